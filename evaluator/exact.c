#include "evaluator/exact.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"

typedef struct unit {
  const char *name;
  int64_t factor; /* a power of ten: smallest units in one of this */
} unit;

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* digits[.digits] × factor as a whole number. */
typedef enum decimal_fault {
  DECIMAL_FINE,
  DECIMAL_MALFORMED,
  DECIMAL_TOO_FINE,
  DECIMAL_TOO_BIG
} decimal_fault;

static decimal_fault parse_decimal(int64_t *out, const char *text, size_t length, int64_t factor) {
  int64_t value = 0;
  size_t i = 0;
  bool fraction = false;
  if (length == 0 || !is_digit(text[0]) || !is_digit(text[length - 1])) return DECIMAL_MALFORMED;
  for (; i < length; i++) {
    if (text[i] == '.' && !fraction) {
      fraction = true;
      continue;
    }
    if (!is_digit(text[i])) return DECIMAL_MALFORMED;
    int digit = text[i] - '0';
    if (fraction && factor == 1 && digit != 0) return DECIMAL_TOO_FINE;
    if (fraction && factor == 1) continue;
    if (fraction) factor /= 10;
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value)) {
      return DECIMAL_TOO_BIG;
    }
  }
  return __builtin_mul_overflow(value, factor, out) ? DECIMAL_TOO_BIG : DECIMAL_FINE;
}

static zh_status read_exact(int64_t *out, const zh_yaml_node *node, const unit *units,
                            const char *example, zh_error *err) {
  const char *text;
  ZH_TRY(zh_yaml_string(&text, node, err));
  const char *space = strchr(text, ' ');
  bool joined = is_digit(text[0]) && strspn(text, "0123456789.") < strlen(text);
  if (space == NULL && joined) {
    return zh_yaml_fail(err, node, "'%s' has no space before its unit; write it as '%s'", text,
                        example);
  }
  if (space == NULL) {
    return zh_yaml_fail(err, node,
                        "expected a number, a space and a unit, such as '%s'; '%s' has no unit",
                        example, text);
  }
  for (const unit *u = units; u->name != NULL; u++) {
    if (strcmp(u->name, space + 1) != 0) continue;
    switch (parse_decimal(out, text, (size_t)(space - text), u->factor)) {
    case DECIMAL_FINE:
      return ZH_OK;
    case DECIMAL_TOO_FINE:
      return zh_yaml_fail(err, node, "'%s' has more decimals than its unit can have", text);
    case DECIMAL_TOO_BIG:
      return zh_yaml_fail(err, node, "'%s' is too big to be computed exactly", text);
    case DECIMAL_MALFORMED:
      break;
    }
    return zh_yaml_fail(err, node, "expected plain digits such as '%s', not '%s'", example, text);
  }
  return zh_yaml_fail(err, node, "unknown unit '%s'; expected a quantity such as '%s'", space + 1,
                      example);
}

zh_status zh_money_read(int64_t *fen, const zh_yaml_node *node, zh_error *err) {
  static const unit units[] = {
      {"元", 100}, {"万元", ZH_FEN_PER_WAN_YUAN}, {"亿元", 10000000000}, {NULL, 0}};
  return read_exact(fen, node, units, "2000 万元", err);
}

zh_status zh_rate_read(int64_t *millionths, const zh_yaml_node *node, zh_error *err) {
  static const unit units[] = {{"%", ZH_RATE_ONE / 100}, {NULL, 0}};
  ZH_TRY(read_exact(millionths, node, units, "50 %", err));
  if (*millionths > ZH_RATE_ONE) return zh_yaml_fail(err, node, "a rate is at most 100 %%");
  return ZH_OK;
}

zh_status zh_parameters_read(int64_t *count, const zh_yaml_node *node, zh_error *err) {
  static const unit units[] = {{"parameters", 1}, {NULL, 0}};
  return read_exact(count, node, units, "100000000000 parameters", err);
}

zh_status zh_count_read(int64_t *count, const char *name, const zh_yaml_node *node, zh_error *err) {
  char example[64];
  const unit units[] = {{name, 1}, {NULL, 0}};
  snprintf(example, sizeof example, "100 %.40s", name);
  return read_exact(count, node, units, example, err);
}

int64_t zh_award_share(int64_t base_fen, int64_t rate_millionths, int64_t cap_fen) {
  __int128 share = (__int128)base_fen * rate_millionths / ZH_RATE_ONE;
  return share < cap_fen ? (int64_t)share : cap_fen;
}

/* value / scale with as many decimals as it needs; scale is a power of ten. */
static char *decimal_text(char *out, size_t capacity, int64_t value, int64_t scale, int decimals) {
  int length = snprintf(out, capacity, "%lld.%0*lld", (long long)(value / scale), decimals,
                        (long long)(value % scale));
  if (length < 0 || (size_t)length >= capacity) return out;
  while (out[length - 1] == '0') out[--length] = '\0';
  if (out[length - 1] == '.') out[--length] = '\0';
  return out;
}

char *zh_wan_yuan_text(char *out, size_t capacity, int64_t fen) {
  return decimal_text(out, capacity, fen, ZH_FEN_PER_WAN_YUAN, 6);
}

char *zh_yuan_text(char *out, size_t capacity, int64_t fen) {
  zh_group_digits(out, capacity, (uint64_t)(fen / 100));
  size_t length = strlen(out);
  if (fen % 100 != 0) snprintf(out + length, capacity - length, ".%02d", (int)(fen % 100));
  return out;
}

char *zh_rate_text(char *out, size_t capacity, int64_t millionths) {
  decimal_text(out, capacity, millionths, ZH_RATE_ONE / 100, 4);
  size_t length = strlen(out);
  snprintf(out + length, capacity - length, " %%");
  return out;
}
