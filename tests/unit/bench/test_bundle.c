/* The bundle's files: what a figure stands against, and what makes a run unstable. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bench/bundle.h"
#include "core/files.h"
#include "core/json.h"
#include "tests/unit/folder.h"

#define STEP(name, when)                                                                           \
  "{\"step\":\"" name "\",\"workload\":\"" name "\",\"when\":\"" when "\",\"model\":null,"         \
  "\"parameters\":{},\"launcher\":\"direct\",\"criteria\":[],\"ranks\":1,\"threads\":1}"
static const char PLAN[] =
    "{\"suite\":{\"name\":\"t\"},\"seed\":\"0x1\",\"fault\":\"none\",\"models\":[],\"steps\":"
    "[" STEP("memory", "main") "," STEP("decode", "main") "," STEP("memory", "end") "]}";

static json_t *outcome(const char *metric, const char *unit, const char *peak, double value,
                       double best, double per_unit) {
  json_t *figure =
      json_pack("{s:s,s:s,s:s,s:s,s:f,s:f,s:[f,f],s:f,s:i,s:i,s:[f,f],s:b}", "metric", metric,
                "unit", unit, "kind", "rate", "peak", peak, "value", value, "work", 100.0,
                "samples", 100e9 / value, 100e9 / best, "per_unit", per_unit, "warmup", 0, "n", 2,
                "ci95", value, best, "more_is_better", 1);
  return json_pack("{s:s,s:s,s:f,s:[],s:{s:[o],s:{s:i}}}", "status", "done", "reason", "", "wall_s",
                   1.0, "ranks", "result", "measurements", figure, "facts", "memory_weights_bytes",
                   1000);
}

/* Reading at 100 B/s (best repeat 200 B/s), at the end at `last`; decoding at `rate`, 10 bytes a
 * token. */
static json_t *outcomes(double last, double rate) {
  return json_pack("[o,o,o]", outcome("read_all_cores", "B/s", "", 100, 200, 1),
                   outcome("decode_rate", "token/s", "memory/read_all_cores", rate, rate, 10),
                   outcome("read_all_cores", "B/s", "", last, last, 1));
}

typedef struct answer {
  bool stable;
  double peak, fraction;
  size_t limits;
  double second; /* fraction */
  size_t beyond, in_cache;
} answer;

static zh_status keep_decode(void *user, size_t line, json_t *value, zh_error *err) {
  answer *a = user;
  json_t *peak = json_object_get(value, "peak");
  (void)line, (void)err;
  if (!json_is_object(peak)) return ZH_OK;
  a->peak = json_number_value(json_object_get(peak, "value"));
  a->fraction = json_number_value(json_object_get(peak, "fraction"));
  const json_t *limits = json_object_get(value, "limits");
  a->limits = json_array_size(limits);
  a->second = json_number_value(json_object_get(json_array_get(limits, 1), "fraction"));
  return ZH_OK;
}

static uint64_t cache_bytes;
static double
    other_per_unit; /* bytes a token of the second limit, copying at the same rates; 0: none */

static void add_second_limit(json_t *all) {
  json_t *figure = json_array_get(
      json_object_get(json_object_get(json_array_get(all, 1), "result"), "measurements"), 0);
  json_object_set_new(figure, "other_peak", json_string("memory/read_all_cores"));
  json_object_set_new(figure, "other_per_unit", json_real(other_per_unit));
}

static answer write_bundle(double last, double rate) {
  answer a = {0};
  bool valid = false;
  zh_error err = ZH_ERROR_INIT;
  const char *folder = test_folder();
  char path[600];
  json_t *plan = json_loads(PLAN, 0, NULL), *command = json_array(), *run = NULL;
  zh_bundle_run bundle = {.folder = folder,
                          .id = "t",
                          .plan_sm3 = "",
                          .plan = plan,
                          .command = command,
                          .started_utc = "",
                          .finished_utc = "",
                          .cache_bytes = cache_bytes,
                          .outcomes = outcomes(last, rate)};
  if (other_per_unit > 0) add_second_limit(bundle.outcomes);
  assert_non_null(bundle.outcomes);
  if (zh_bundle_write(&valid, &a.stable, &bundle, &err) != ZH_OK) fail_msg("%s", err.message);
  snprintf(path, sizeof path, "%s/measurements.jsonl", folder);
  assert_int_equal(zh_jsonl_read(path, keep_decode, &a, &err), ZH_OK);
  snprintf(path, sizeof path, "%s/run.json", folder);
  assert_int_equal(zh_json_load_file(&run, path, 0, &err), ZH_OK);
  a.beyond = json_array_size(json_object_get(json_object_get(run, "stability"), "beyond_peak"));
  a.in_cache = json_array_size(json_object_get(json_object_get(run, "stability"), "in_cache"));
  json_decref(run);
  json_decref(plan);
  json_decref(command);
  json_decref(bundle.outcomes);
  return a;
}

static void peak_is_the_best_repeat_of_both_passes(void **state) {
  (void)state;
  answer a = write_bundle(105, 15);
  assert_true(fabs(a.peak - 200) < 1e-9);
  assert_true(fabs(a.fraction - 0.75) < 1e-9);
  assert_true(a.stable && a.beyond == 0);
  a = write_bundle(250, 15);
  assert_true(fabs(a.peak - 250) < 1e-9);
  assert_true(fabs(a.fraction - 0.6) < 1e-9);
}

/* A figure of two limits stands against the one that leaves it less room. */
static void the_nearer_limit_is_the_peak(void **state) {
  (void)state;
  other_per_unit = 4;
  answer a = write_bundle(100, 15);
  assert_int_equal(a.limits, 2);
  assert_true(fabs(a.fraction - 0.75) < 1e-9 && fabs(a.second - 0.3) < 1e-9);
  other_per_unit = 12;
  a = write_bundle(100, 15);
  assert_true(fabs(a.fraction - 0.9) < 1e-9 && fabs(a.second - 0.75) < 1e-9);
  other_per_unit = 14;
  a = write_bundle(100, 15);
  assert_true(!a.stable && a.beyond == 1);
  other_per_unit = 0;
  assert_int_equal(write_bundle(100, 15).limits, 0);
}

static void drift_makes_a_run_unstable(void **state) {
  (void)state;
  assert_true(write_bundle(91, 1).stable);
  assert_false(write_bundle(89, 1).stable);
  assert_false(write_bundle(111, 1).stable);
}

static void a_figure_beyond_its_peak_makes_a_run_unstable(void **state) {
  (void)state;
  answer a = write_bundle(100, 20.3);
  assert_true(a.stable && a.beyond == 0);
  a = write_bundle(100, 20.5);
  assert_false(a.stable);
  assert_int_equal(a.beyond, 1);
}

/* The model of PLAN holds 1000 bytes. */
static void weights_in_a_cache_may_be_faster_than_memory(void **state) {
  (void)state;
  cache_bytes = 1000;
  answer a = write_bundle(100, 40);
  assert_true(a.stable && a.beyond == 0 && a.in_cache == 1);
  cache_bytes = 999;
  a = write_bundle(100, 40);
  assert_true(!a.stable && a.beyond == 1 && a.in_cache == 0);
  cache_bytes = 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(peak_is_the_best_repeat_of_both_passes),
      cmocka_unit_test(the_nearer_limit_is_the_peak), cmocka_unit_test(drift_makes_a_run_unstable),
      cmocka_unit_test(a_figure_beyond_its_peak_makes_a_run_unstable),
      cmocka_unit_test(weights_in_a_cache_may_be_faster_than_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
