/* The measuring loop, on workloads made here: how often it repeats, what it computes, what it
 * refuses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "bench/bundle.h"
#include "bench/measure.h"
#include "core/clock.h"

/* What the made-up workload does; reset by measure(). */
static struct {
  zh_sample_kind kind;
  const double *samples; /* taken in turn, for ever */
  size_t sample_count, runs, warmups, verified, released;
  size_t fail_verify_at; /* this run's result is wrong; 0: none */
  double work;
  int repeats;
  bool sleep;
} fake;

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  (void)job, (void)err;
  *state = &fake;
  *cases = 1;
  return ZH_OK;
}

static void describe(const void *state, size_t index, zh_case *out) {
  (void)state, (void)index;
  *out = (zh_case){
      .metric = "m", .unit = "u", .kind = fake.kind, .work = fake.work, .repeats = fake.repeats};
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  (void)state, (void)index, (void)err;
  if (warmup) fake.warmups++;
  if (fake.sleep) nanosleep(&(struct timespec){0, 2000000}, NULL);
  *sample = fake.samples[fake.runs++ % fake.sample_count];
  return ZH_OK;
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  (void)state, (void)index;
  if (++fake.verified == fake.fail_verify_at)
    return zh_fail(err, ZH_ERR_CHECK, "row 3: error 2, bound 1");
  return ZH_OK;
}

static void release(void *state) {
  (void)state;
  fake.released++;
}

static const zh_workload WORKLOAD = {.name = "fake",
                                     .ranks_min = 1,
                                     .prepare = prepare,
                                     .describe = describe,
                                     .run = run,
                                     .verify = verify,
                                     .release = release};

static zh_status measure(json_t **out, zh_measure_rules rules, zh_fault fault, zh_error *err) {
  zh_comm *comm = NULL;
  assert_int_equal(zh_comm_solo(&comm, err), ZH_OK);
  zh_job job = {.comm = comm,
                .fault = fault,
                .facts = json_object(),
                .checks = json_array(),
                .series = json_array()};
  fake.runs = fake.warmups = fake.verified = fake.released = 0;
  zh_status status = zh_measure(out, &rules, &WORKLOAD, &job, err);
  assert_int_equal(fake.released, 1);
  json_decref(job.facts);
  json_decref(job.checks);
  json_decref(job.series);
  return status;
}

static double number(const json_t *list, const char *key) {
  return json_number_value(json_object_get(json_array_get(list, 0), key));
}

static void stops_when_steady(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  json_t *out = NULL;
  static const double samples[] = {50, 100, 101, 99, 100};
  fake.kind = ZH_SAMPLE_VALUE, fake.work = 1, fake.samples = samples + 1, fake.sample_count = 4;
  zh_measure_rules rules = {.warmup = 2, .repeats = {3, 10, 0.02}};
  assert_int_equal(measure(&out, rules, ZH_FAULT_NONE, &err), ZH_OK);
  assert_int_equal(fake.warmups, 2);
  assert_int_equal(fake.runs, 2 + 3);
  assert_int_equal(fake.verified, 5); /* warm-ups, too */
  assert_true(number(out, "n") == 3 && number(out, "value") == 100);
  assert_int_equal(json_array_size(json_object_get(json_array_get(out, 0), "warmup")), 2);
  json_decref(out);
}

static void goes_on_to_the_most_when_not(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  json_t *out = NULL;
  static const double samples[] = {1, 100};
  fake.kind = ZH_SAMPLE_VALUE, fake.samples = samples, fake.sample_count = 2;
  zh_measure_rules rules = {.repeats = {3, 10, 0.02}};
  assert_int_equal(measure(&out, rules, ZH_FAULT_NONE, &err), ZH_OK);
  assert_true(number(out, "n") == 10 && number(out, "value") == 50.5);
  json_decref(out);
  /* Time nearly up: the least number of repeats, and no more. */
  rules.deadline_s = 1e-9;
  assert_int_equal(measure(&out, rules, ZH_FAULT_NONE, &err), ZH_OK);
  assert_true(number(out, "n") == 3);
  json_decref(out);
  fake.repeats = 1; /* a workload that is computed once */
  assert_int_equal(measure(&out, rules, ZH_FAULT_NONE, &err), ZH_OK);
  assert_true(number(out, "n") == 1);
  fake.repeats = 0;
  json_decref(out);
}

static void rates_and_times(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  json_t *out = NULL;
  static const double samples[] = {1000000}; /* 1 ms */
  fake.samples = samples, fake.sample_count = 1, fake.work = 5, fake.sleep = true;
  zh_measure_rules rules = {.repeats = {2, 2, 0}};
  fake.kind = ZH_SAMPLE_RATE;
  assert_int_equal(measure(&out, rules, ZH_FAULT_NONE, &err), ZH_OK);
  assert_true(fabs(number(out, "value") - 5000) < 1e-6);
  json_decref(out);
  fake.kind = ZH_SAMPLE_TIME;
  assert_int_equal(measure(&out, rules, ZH_FAULT_NONE, &err), ZH_OK);
  assert_true(fabs(number(out, "value") - 0.0002) < 1e-12);
  json_decref(out);
}

static void gives_no_number(const char *part, zh_fault fault) {
  zh_error err = ZH_ERROR_INIT;
  json_t *out = NULL;
  zh_measure_rules rules = {.repeats = {3, 3, 0}};
  assert_int_equal(measure(&out, rules, fault, &err), ZH_ERR_CHECK);
  assert_null(out);
  if (!strstr(err.message, part)) fail_msg("'%s' is not in: %s", part, err.message);
}

static void refuses_what_is_wrong(void **state) {
  (void)state;
  static const double fine[] = {1000000}, none[] = {0}, wild[] = {NAN}, boasting[] = {5e9};
  fake.kind = ZH_SAMPLE_RATE, fake.sample_count = 1, fake.sleep = true;
  fake.samples = fine;
  fake.fail_verify_at = 2;
  gives_no_number("row 3: error 2, bound 1", ZH_FAULT_NONE);
  fake.fail_verify_at = 0;
  gives_no_number("clock", ZH_FAULT_CLOCK);
  zh_clock_inject_rate(1.0);
  fake.samples = none;
  gives_no_number("no time at all", ZH_FAULT_NONE);
  fake.samples = wild;
  gives_no_number("no number", ZH_FAULT_NONE);
  fake.samples = boasting; /* longer than the repeat itself took */
  gives_no_number("clock", ZH_FAULT_NONE);
}

static void clocks_and_drift(void **state) {
  (void)state;
  assert_true(zh_clocks_agree(1e9, 1e9));
  assert_true(zh_clocks_agree(1.01e9, 1e9));
  assert_false(zh_clocks_agree(1.02e9, 1e9));
  assert_false(zh_clocks_agree(0.98e9, 1e9));
  assert_true(zh_clocks_agree(40000, 0));
  assert_false(zh_clocks_agree(60000, 0));
  assert_true(fabs(zh_drift(100, 89) + 0.11) < 1e-12);
  assert_true(zh_drift(0, 5) == 0);
  const double steady[] = {100, 101, 99}, wild[] = {100, 200, 50};
  zh_repeats rule = {3, 5, 0.02};
  assert_false(zh_measure_enough(&rule, steady, 2));
  assert_true(zh_measure_enough(&rule, steady, 3));
  assert_false(zh_measure_enough(&rule, wild, 3));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(stops_when_steady), cmocka_unit_test(goes_on_to_the_most_when_not),
      cmocka_unit_test(rates_and_times), cmocka_unit_test(refuses_what_is_wrong),
      cmocka_unit_test(clocks_and_drift)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
