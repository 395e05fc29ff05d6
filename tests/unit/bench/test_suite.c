/* Suites: what is read from a good one, and the words that answer a bad one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/suite.h"

#define HEAD "suite: probe\nsummary: {zh: 试验, en: a probe}\n"
#define STEP "steps:\n  - step: a\n    workload: memory\n"

static zh_suite *good(const char *text) {
  zh_error err = ZH_ERROR_INIT;
  zh_suite *suite = NULL;
  if (zh_suite_parse(&suite, text, strlen(text), "probe.yaml", &err) != ZH_OK)
    fail_msg("%s", err.message);
  return suite;
}

/* The message must hold all of `parts`, separated by '|'. */
static void bad(const char *text, const char *parts) {
  zh_error err = ZH_ERROR_INIT;
  zh_suite *suite = NULL;
  char copy[512];
  assert_int_equal(zh_suite_parse(&suite, text, strlen(text), "probe.yaml", &err), ZH_ERR_INPUT);
  assert_null(suite);
  snprintf(copy, sizeof copy, "%s", parts);
  for (char *part = strtok(copy, "|"); part; part = strtok(NULL, "|"))
    if (!strstr(err.message, part)) fail_msg("'%s' is not in:\n%s", part, err.message);
}

static void reads_everything(void **state) {
  (void)state;
  zh_suite *suite = good(HEAD "seed: 42\nmodels: [zh-0.1b, b.gguf]\npeaks: [a]\n" STEP
                              "    deadline: 2 min\n    warmup: 3\n"
                              "    repeats: {min: 4, max: 9, relative_stdev: 0.5 %}\n"
                              "    parameters: {array_mib: 7, operations: [triad]}\n"
                              "    criteria:\n"
                              "      - {metric: triad_all_cores, at_least: 1.5 GB/s}\n"
                              "  - step: b\n    workload: \"null\"\n    repeats: 2\n");
  assert_string_equal(zh_suite_name(suite), "probe");
  assert_string_equal(zh_suite_summary(suite, "zh"), "试验");
  assert_string_equal(zh_suite_summary(suite, "en"), "a probe");
  assert_false(suite->seed_fresh);
  assert_int_equal(suite->seed, 42);
  assert_int_equal(suite->model_count, 2);
  assert_int_equal(suite->peak_count, 1);
  const zh_step *a = &suite->steps[0], *b = &suite->steps[1];
  assert_true(a->deadline_s == 120 && a->warmup == 3 && a->repeats.min == 4 && a->repeats.max == 9);
  assert_true(a->repeats.relative_stdev > 0.00499 && a->repeats.relative_stdev < 0.00501);
  assert_int_equal(json_integer_value(json_object_get(a->parameters, "array_mib")), 7);
  assert_int_equal(json_array_size(json_object_get(a->parameters, "operations")), 1);
  assert_int_equal(json_array_size(json_object_get(a->parameters, "scopes")), 2); /* the default */
  assert_true(a->criteria[0].at_least && a->criteria[0].threshold == 1.5e9);
  assert_string_equal(a->criteria[0].unit, "B/s");
  assert_true(b->repeats.min == 2 && b->repeats.max == 2);
  zh_suite_free(suite);
}

static void names_place_and_nearest_word(void **state) {
  (void)state;
  bad(HEAD STEP "    warmpu: 3\n", "probe.yaml:6:|warmpu|^|did you mean 'warmup'");
  bad(HEAD "steps:\n  - step: a\n    workload: memroy\n",
      "probe.yaml:5:|memroy|did you mean 'memory'");
  bad(HEAD STEP "    parameters: {array_mb: 1}\n",
      "probe.yaml:6:|array_mb|did you mean 'array_mib'");
  bad(HEAD STEP "    parameters: {array_mib: big}\n", "probe.yaml:6:29|array_mib: big|^");
  bad(HEAD STEP "    parameters: {operations: [reed]}\n", "did you mean 'read'");
  bad(HEAD STEP "    criteria: [{metric: read_all_core, at_least: 1 GB/s}]\n",
      "probe.yaml:6:|did you mean 'read_all_cores'");
  bad(HEAD "peaks: [b]\n" STEP, "probe.yaml:3:9|^");
  bad(HEAD STEP "    repeats: {min: 1, max: 2, relative_stdev: 1}\n", "probe.yaml:6:|%");
  bad(HEAD STEP "    deadline: 90\n", "probe.yaml:6:15| s");
}

static void thresholds_need_their_unit(void **state) {
  (void)state;
#define CRITERION(text) HEAD STEP "    criteria: [{metric: read_one_core, " text "}]\n"
  bad(CRITERION("at_least: 5"), "probe.yaml:6:|has no unit|B/s");
  bad(CRITERION("at_least: 5 GB"), "unknown unit");
  bad(CRITERION("at_least: 5 token/s"), "measured in B/s, not in token/s");
  bad(CRITERION("at_least: 1 GB/s, at_most: 2 GB/s"), "either 'at_least' or 'at_most'");
  bad(CRITERION("at_lest: 1 GB/s"), "did you mean 'at_least'");
  bad(CRITERION("at_least: nan GB/s"), "number and a unit");
}

static void refuses_what_makes_no_sense(void **state) {
  (void)state;
  bad("", "probe.yaml");
  bad("[]", "probe.yaml:1:1");
  bad(HEAD, "steps");
  bad("suite: other\nsummary: {zh: a, en: b}\n" STEP, "must be called 'probe'");
  bad(HEAD STEP "  - step: a\n    workload: \"null\"\n", "already a step 'a'");
  bad(HEAD "steps:\n  - step: ../a\n    workload: memory\n", "letters, digits");
  bad(HEAD "seed: -1\n" STEP, "fresh");
  bad(HEAD STEP "    ranks: 0\n", "probe.yaml:6:12");
  bad(HEAD "steps:\n  - step: m\n    workload: mpi\n    ranks: 1\n", "probe.yaml:6:12");
  bad(HEAD "peaks: [a, a]\n" STEP, "more peaks than steps");
  bad(HEAD "peaks: [a, a]\n" STEP "  - step: b\n    workload: \"null\"\n",
      "probe.yaml:3:12|named twice");
  bad(HEAD STEP "    repeats: {min: 5, max: 2, relative_stdev: 1 %}\n", "probe.yaml:6:");
  bad(HEAD "steps: []\n", "1 to 64 steps");
}

static void set_one(zh_suite *suite, const char *setting, zh_status expected, const char *part) {
  zh_error err = ZH_ERROR_INIT;
  zh_status status = zh_suite_set(suite, setting, &err);
  if (status != expected) fail_msg("%s: %s: %s", setting, zh_status_name(status), err.message);
  if (part && !strstr(err.message, part)) fail_msg("'%s' is not in: %s", part, err.message);
}

static void sets_parameters(void **state) {
  (void)state;
  zh_suite *suite =
      good(HEAD STEP "  - step: b\n    workload: memory\n  - step: c\n    workload: \"null\"\n");
  set_one(suite, "array_mib=5", ZH_OK, NULL);
  set_one(suite, "b.array_mib=6", ZH_OK, NULL);
  set_one(suite, "b.operations=[copy, read]", ZH_OK, NULL);
  set_one(suite, "c.repeats=9", ZH_OK, NULL);
  set_one(suite, "deadline=3 s", ZH_OK, NULL);
  assert_int_equal(json_integer_value(json_object_get(suite->steps[0].parameters, "array_mib")), 5);
  assert_int_equal(json_integer_value(json_object_get(suite->steps[1].parameters, "array_mib")), 6);
  assert_true(suite->steps[2].repeats.max == 9 && suite->steps[0].deadline_s == 3);
  set_one(suite, "b.aray_mib=6", ZH_ERR_USAGE, "did you mean 'array_mib'");
  set_one(suite, "bb.array_mib=6", ZH_ERR_USAGE, "no step 'bb'; did you mean 'b'");
  set_one(suite, "c.array_mib=6", ZH_ERR_USAGE, "step c has no parameter");
  set_one(suite, "array_mib", ZH_ERR_USAGE, "step.parameter=value");
  set_one(suite, "=1", ZH_ERR_USAGE, "step.parameter=value");
  set_one(suite, "array_mib=-1", ZH_ERR_INPUT, "--set array_mib:1:1");
  set_one(suite, "b.array_mib=x", ZH_ERR_INPUT, "--set b.array_mib:1:1");
  set_one(suite, "b.operations=read", ZH_ERR_INPUT, "such as [a, b], found a single value");
  set_one(suite, "array_mib=", ZH_ERR_USAGE, "a value is missing");
  set_one(suite, "array_mib=[1", ZH_ERR_INPUT, "--set");
  zh_suite_free(suite);
}

static void units(void **state) {
  (void)state;
  const char *base = NULL;
  double factor = 0;
  assert_true(zh_unit_find(&base, &factor, "GB/s"));
  assert_true(strcmp(base, "B/s") == 0 && factor == 1e9);
  assert_true(zh_unit_find(&base, &factor, "ms") && strcmp(base, "s") == 0 && factor == 1e-3);
  assert_true(zh_unit_find(&base, &factor, "token/s") && factor == 1);
  assert_false(zh_unit_find(&base, &factor, "GiB/s"));
  assert_false(zh_unit_find(&base, &factor, ""));
}

static void own_suites_are_sound(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_suite_entry *entries = NULL;
  size_t count = 0;
  if (zh_suite_list(&entries, &count, &err) != ZH_OK) fail_msg("%s", err.message);
  assert_true(count >= 5);
  free(entries);
  zh_suite *suite = NULL;
  assert_int_equal(zh_suite_load(&suite, "quickstrat", &err), ZH_ERR_INPUT);
  assert_non_null(strstr(err.message, "did you mean 'quickstart'"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(reads_everything),
                                     cmocka_unit_test(names_place_and_nearest_word),
                                     cmocka_unit_test(thresholds_need_their_unit),
                                     cmocka_unit_test(refuses_what_makes_no_sense),
                                     cmocka_unit_test(sets_parameters),
                                     cmocka_unit_test(units),
                                     cmocka_unit_test(own_suites_are_sound)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
