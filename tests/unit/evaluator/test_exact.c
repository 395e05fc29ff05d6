#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "evaluator/exact.h"

typedef zh_status (*reader)(int64_t *, const zh_yaml_node *, zh_error *);

static zh_status read_scalar(int64_t *out, reader read, const char *scalar, zh_error *err) {
  char text[128];
  snprintf(text, sizeof text, "amount: %s\n", scalar);
  zh_yaml_doc *doc = NULL;
  assert_int_equal(zh_yaml_load_text(&doc, text, strlen(text), "a.yaml", err), ZH_OK);
  zh_status status = read(out, zh_yaml_get(zh_yaml_root(doc), "amount"), err);
  zh_yaml_free(doc);
  return status;
}

static void accepts(reader read, const char *scalar, int64_t expected) {
  zh_error err = ZH_ERROR_INIT;
  int64_t value = -1;
  if (read_scalar(&value, read, scalar, &err) != ZH_OK) fail_msg("%s: %s", scalar, err.message);
  if (value != expected)
    fail_msg("%s: %lld, not %lld", scalar, (long long)value, (long long)expected);
}

static void refuses(reader read, const char *scalar, const char *part) {
  zh_error err = ZH_ERROR_INIT;
  int64_t value;
  assert_int_equal(read_scalar(&value, read, scalar, &err), ZH_ERR_INPUT);
  if (strstr(err.message, part) == NULL) fail_msg("'%s' lacks '%s'", err.message, part);
  if (strstr(err.message, "a.yaml:1:9:") == NULL) fail_msg("'%s' lacks its place", err.message);
}

static void money_is_exact(void **state) {
  (void)state;
  accepts(zh_money_read, "2000 万元", INT64_C(2000000000));
  accepts(zh_money_read, "4000.01 万元", INT64_C(4000010000));
  accepts(zh_money_read, "0.000001 万元", 1);
  accepts(zh_money_read, "2 亿元", INT64_C(20000000000));
  accepts(zh_money_read, "1.5 亿元", INT64_C(15000000000));
  accepts(zh_money_read, "15 元", 1500);
  accepts(zh_money_read, "0.07 元", 7);
  accepts(zh_money_read, "0 元", 0);
  /* 0.1 + 0.2 in binary is not 0.3; here every figure is a whole number of 分. */
  accepts(zh_money_read, "0.30 元", 30);
  accepts(zh_money_read, "1.10000 元", 110);
}

static void money_that_is_not_exact_is_refused(void **state) {
  (void)state;
  refuses(zh_money_read, "2000", "no unit");
  refuses(zh_money_read, "0.001 元", "more decimals");
  refuses(zh_money_read, "0.0000001 万元", "more decimals");
  refuses(zh_money_read, "-3 元", "plain digits");
  refuses(zh_money_read, "1,000 元", "plain digits");
  refuses(zh_money_read, "1e3 元", "plain digits");
  refuses(zh_money_read, "1.2.3 元", "plain digits");
  refuses(zh_money_read, "1. 元", "plain digits");
  refuses(zh_money_read, "100 USD", "unknown unit 'USD'");
  refuses(zh_money_read, "92233720368547758.08 元", "too big");
  refuses(zh_money_read, "99999999999999999999 亿元", "too big");
  accepts(zh_money_read, "92233720368547758.07 元", INT64_MAX);
}

static void rates_and_thresholds(void **state) {
  (void)state;
  accepts(zh_rate_read, "50 %", 500000);
  accepts(zh_rate_read, "12.5 %", 125000);
  accepts(zh_rate_read, "100 %", 1000000);
  refuses(zh_rate_read, "100.0001 %", "at most 100 %");
  refuses(zh_rate_read, "0.5", "no unit");
  accepts(zh_parameters_read, "100000000000 parameters", INT64_C(100000000000));
  accepts(zh_parameters_read, "9223372036854775807 parameters", INT64_MAX);
  refuses(zh_parameters_read, "100000000000", "no unit");
  refuses(zh_parameters_read, "1.5 parameters", "more decimals");
}

/* min(rate × base, cap), by hand. */
static void awards(void **state) {
  (void)state;
  const int64_t wan = ZH_FEN_PER_WAN_YUAN, cap = 2000 * wan;
  assert_int_equal(zh_award_share(3999 * wan, 500000, cap), 1999 * wan + wan / 2);
  assert_int_equal(zh_award_share(4000 * wan, 500000, cap), cap);
  assert_int_equal(zh_award_share(4000 * wan + wan / 100, 500000, cap), cap);
  assert_int_equal(zh_award_share(4000 * wan - 2, 500000, cap), cap - 1);
  assert_int_equal(zh_award_share(4000 * wan - 1, 500000, cap), cap - 1); /* half a 分 is not given */
  assert_int_equal(zh_award_share(0, 500000, cap), 0);
  assert_int_equal(zh_award_share(1, 500000, cap), 0);
  assert_int_equal(zh_award_share(INT64_MAX, 1000000, cap), cap); /* no overflow on the way */
  assert_int_equal(zh_award_share(INT64_MAX, 1000000, INT64_MAX), INT64_MAX);
}

static void amounts_as_text(void **state) {
  char text[64];
  (void)state;
  assert_string_equal(zh_wan_yuan_text(text, sizeof text, INT64_C(2000000000)), "2000");
  assert_string_equal(zh_wan_yuan_text(text, sizeof text, INT64_C(1640005000)), "1640.005");
  assert_string_equal(zh_wan_yuan_text(text, sizeof text, 1), "0.000001");
  assert_string_equal(zh_wan_yuan_text(text, sizeof text, 0), "0");
  assert_string_equal(zh_yuan_text(text, sizeof text, INT64_C(2000000000)), "20,000,000");
  assert_string_equal(zh_yuan_text(text, sizeof text, INT64_C(1640005007)), "16,400,050.07");
  assert_string_equal(zh_rate_text(text, sizeof text, 500000), "50 %");
  assert_string_equal(zh_rate_text(text, sizeof text, 125000), "12.5 %");
  assert_string_equal(zh_rate_text(text, sizeof text, 1000000), "100 %");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(money_is_exact),       cmocka_unit_test(money_that_is_not_exact_is_refused),
      cmocka_unit_test(rates_and_thresholds), cmocka_unit_test(awards),
      cmocka_unit_test(amounts_as_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
