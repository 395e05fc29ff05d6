/* Tables as RFC 4180 has them, and what is wrong with others. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/csv.h"
#include "core/files.h"
#include "tests/unit/folder.h"

static zh_csv *open_text(const char *text, size_t length, zh_error *err) {
  char path[300];
  zh_csv *csv = NULL;
  snprintf(path, sizeof path, "%s/table.csv", test_folder());
  assert_int_equal(zh_write_file(path, text, length, err), ZH_OK);
  zh_status status = zh_csv_open(&csv, path, NULL, err);
  assert_true((status == ZH_OK) == (csv != NULL));
  return csv;
}

static void fields_come_unquoted(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  static const char text[] =
      "\xEF\xBB\xBF# model: x\r\na,\"b, c\",d\r\n1,\"say \"\"yes\"\"\",\r\n\n"
      "2,\"two\nlines\",z\n3,,\"\"";
  zh_csv *csv = open_text(text, sizeof text - 1, &err);
  size_t column;
  bool more;
  assert_string_equal(zh_csv_remarks(csv), "# model: x\r\n");
  assert_int_equal(zh_csv_columns(csv), 3);
  assert_true(zh_csv_find(&column, csv, "b, c") && column == 1);
  assert_false(zh_csv_find(&column, csv, "b"));
  static const char *const want[][3] = {
      {"1", "say \"yes\"", ""}, {"2", "two\nlines", "z"}, {"3", "", ""}};
  static const size_t lines[] = {3, 5, 7};
  for (size_t row = 0; row < 3; row++) {
    assert_int_equal(zh_csv_next(&more, csv, &err), ZH_OK);
    assert_true(more);
    assert_int_equal(zh_csv_line(csv), lines[row]);
    for (size_t i = 0; i < 3; i++) assert_string_equal(zh_csv_field(csv, i), want[row][i]);
  }
  assert_int_equal(zh_csv_next(&more, csv, &err), ZH_OK);
  assert_false(more);
  zh_csv_free(csv);
}

static void broken_tables_are_refused_by_line(void **state) {
  (void)state;
  static const struct {
    const char *text, *said;
  } cases[] = {{"", "no header line"},
               {"# only a remark\n", "no header line"},
               {"a,a\n", ":1: the column 'a' is named twice"},
               {"a,b\n1\n", ":2: 1 fields, where the header has 2"},
               {"a,b\n1,2,3\n", ":2: 3 fields"},
               {"a,b\n\"1,2\n3,4\n", ":2: a quote opens"},
               {"a,b\n\"1\"x,2\n", ":2: a comma must follow"},
               {"a\n\xff\n", "byte 2 is not UTF-8"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    zh_error err = ZH_ERROR_INIT;
    bool more = true;
    zh_csv *csv = open_text(cases[i].text, strlen(cases[i].text), &err);
    while (csv != NULL && more && zh_csv_next(&more, csv, &err) == ZH_OK) continue;
    zh_csv_free(csv);
    assert_int_equal(err.status, ZH_ERR_INPUT);
    assert_non_null(strstr(err.message, cases[i].said));
  }
}

static void tabs_separate_where_asked_and_nothing_is_a_remark(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  static const char text[] = "#id\ta, b\n1\t\"x\ty\"\n";
  const zh_csv_form form = {.separator = '\t', .max_bytes = sizeof text};
  char path[300];
  zh_csv *csv;
  bool more;
  snprintf(path, sizeof path, "%s/table.tsv", test_folder());
  assert_int_equal(zh_write_file(path, text, sizeof text - 1, &err), ZH_OK);
  assert_int_equal(zh_csv_open(&csv, path, &form, &err), ZH_OK);
  assert_string_equal(zh_csv_name(csv, 0), "#id");
  assert_string_equal(zh_csv_name(csv, 1), "a, b");
  assert_int_equal(zh_csv_next(&more, csv, &err), ZH_OK);
  assert_true(more);
  assert_string_equal(zh_csv_field(csv, 1), "x\ty");
  zh_csv_free(csv);
}

static void a_nul_is_refused(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  assert_null(open_text("a\n1\0002\n", 6, &err));
  assert_non_null(strstr(err.message, "byte 3 is NUL"));
}

static void a_column_that_must_be_there_is_guessed_at(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  size_t column;
  zh_csv *csv = open_text("item,scores\n", 12, &err);
  assert_int_equal(zh_csv_require(&column, csv, "score", &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "did you mean 'scores'?"));
  zh_csv_free(csv);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fields_come_unquoted),
      cmocka_unit_test(broken_tables_are_refused_by_line),
      cmocka_unit_test(tabs_separate_where_asked_and_nothing_is_a_remark),
      cmocka_unit_test(a_nul_is_refused),
      cmocka_unit_test(a_column_that_must_be_there_is_guessed_at),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
