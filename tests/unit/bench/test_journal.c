/* The journal: appended, keyed by the plan, mended where a crash cut it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/journal.h"
#include "core/files.h"
#include "tests/unit/folder.h"

static zh_journal journal;

static int make(void **state) {
  snprintf(journal.path, sizeof journal.path, "%s/journal.jsonl", test_folder());
  memset(journal.plan_sm3, 'a', ZH_DIGEST_HEX - 1);
  return empty_test_folder(state);
}

static size_t lines(void) {
  zh_error err = ZH_ERROR_INIT;
  json_t *list = NULL;
  if (zh_journal_read(&list, &journal, &err) != ZH_OK) fail_msg("%s", err.message);
  size_t count = json_array_size(list);
  json_decref(list);
  return count;
}

static void add(const char *event) {
  assert_int_equal(zh_journal_add(&journal, event, json_pack("{s:i}", "n", 1), NULL), ZH_OK);
}

static void append_raw(const char *text) {
  FILE *file = fopen(journal.path, "a");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static void keeps_lines(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  json_t *list = NULL;
  add("begun");
  add("step");
  assert_int_equal(zh_journal_read(&list, &journal, &err), ZH_OK);
  assert_int_equal(json_array_size(list), 2);
  const json_t *last = json_array_get(list, 1);
  assert_string_equal(json_string_value(json_object_get(last, "event")), "step");
  assert_string_equal(json_string_value(json_object_get(last, "plan_sm3")), journal.plan_sm3);
  assert_int_equal(json_integer_value(json_object_get(last, "n")), 1);
  json_decref(list);
}

static void mends_a_cut_line(void **state) {
  (void)state;
  add("begun");
  append_raw("{\"utc\":\"2026-11");
  assert_int_equal(lines(), 1);
  add("step");
  assert_int_equal(lines(), 2);
}

static void refuses(const char *part) {
  zh_error err = ZH_ERROR_INIT;
  json_t *list = NULL;
  assert_int_equal(zh_journal_read(&list, &journal, &err), ZH_ERR_INPUT);
  assert_null(list);
  if (!strstr(err.message, part)) fail_msg("'%s' is not in: %s", part, err.message);
}

static void refuses_another_plan(void **state) {
  (void)state;
  add("begun");
  journal.plan_sm3[0] = 'b';
  refuses("another plan");
}

static void refuses_nonsense(void **state) {
  (void)state;
  add("begun");
  append_raw("[]\n");
  refuses(":2");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup(keeps_lines, make),
                                     cmocka_unit_test_setup(mends_a_cut_line, make),
                                     cmocka_unit_test_setup(refuses_another_plan, make),
                                     cmocka_unit_test_setup(refuses_nonsense, make)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
