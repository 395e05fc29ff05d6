/* Plans: their order, their digest, and what is refused before anything runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/launch.h"
#include "bench/plan.h"

static const char SUITE[] = "suite: probe\nsummary: {zh: a, en: b}\npeaks: [m]\nsteps:\n"
                            "  - step: g\n    workload: gemm\n"
                            "  - step: m\n    workload: memory\n"
                            "  - step: d\n    workload: decode\n";
static const zh_plan_options OPTIONS = {.seed = 7, .node = "n", .threads = 1};

static zh_suite *parse(const char *text) {
  zh_error err = ZH_ERROR_INIT;
  zh_suite *suite = NULL;
  if (zh_suite_parse(&suite, text, strlen(text), "probe.yaml", &err) != ZH_OK)
    fail_msg("%s", err.message);
  return suite;
}

/* The plan of SUITE for two models, or NULL with the message. */
static json_t *plan_of(const char *text, const char *first, const char *second,
                       const zh_plan_options *options, zh_error *err) {
  zh_suite *suite = parse(text);
  zh_plan_model models[2] = {{first, json_pack("{s:s}", "name", first), 4096},
                             {second, json_pack("{s:s}", "name", second), 4096}};
  json_t *plan = NULL;
  zh_status status = zh_plan_make(&plan, suite, models, first ? 2 : 0, options, err);
  assert_int_equal(status == ZH_OK, plan != NULL);
  json_decref(models[0].entry);
  json_decref(models[1].entry);
  zh_suite_free(suite);
  return plan;
}

static void order(void **state) {
  (void)state;
  static const char *const wanted[][2] = {{"null", "main"}, {"m", "main"},   {"g", "main"},
                                          {"d@x", "main"},  {"d@y", "main"}, {"m", "end"}};
  zh_error err = ZH_ERROR_INIT;
  json_t *plan = plan_of(SUITE, "x", "y", &OPTIONS, &err), *steps = json_object_get(plan, "steps");
  if (!plan) fail_msg("%s", err.message);
  assert_int_equal(json_array_size(steps), 6);
  for (size_t i = 0; i < 6; i++) {
    const json_t *step = json_array_get(steps, i);
    assert_string_equal(json_string_value(json_object_get(step, "step")), wanted[i][0]);
    assert_string_equal(json_string_value(json_object_get(step, "when")), wanted[i][1]);
  }
  json_decref(plan);
}

static void digest_is_of_the_meaning(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  char first[ZH_DIGEST_HEX], second[ZH_DIGEST_HEX], difference[256];
  json_t *plan = plan_of(SUITE, "x", "y", &OPTIONS, &err);
  /* Written and read again, with members in another order: the same plan. */
  char *text = json_dumps(plan, JSON_SORT_KEYS);
  json_t *again = json_loads(text, 0, NULL);
  assert_int_equal(zh_plan_digest(first, plan, &err), ZH_OK);
  assert_int_equal(zh_plan_digest(second, again, &err), ZH_OK);
  assert_string_equal(first, second);
  zh_plan_options other = OPTIONS;
  other.threads = 2;
  json_t *changed = plan_of(SUITE, "x", "y", &other, &err);
  assert_int_equal(zh_plan_digest(second, changed, &err), ZH_OK);
  assert_string_not_equal(first, second);
  zh_plan_difference(difference, sizeof difference, plan, changed);
  assert_string_equal(difference, "steps[0].threads was 1 and is now 2");
  free(text);
  json_decref(plan);
  json_decref(again);
  json_decref(changed);
}

static void refused(const char *text, const char *first, const char *second,
                    const zh_plan_options *options, const char *part) {
  zh_error err = ZH_ERROR_INIT;
  assert_null(plan_of(text, first, second, options, &err));
  if (!strstr(err.message, part)) fail_msg("'%s' is not in: %s", part, err.message);
  assert_int_equal(err.status, ZH_ERR_USAGE);
}

static void refuses(void **state) {
  (void)state;
  zh_plan_options options = OPTIONS;
  refused(SUITE, NULL, NULL, &options, "needs a model");
  refused(SUITE, "x", "x", &options, "two models are called 'x'");
  options.inject = "wieght";
  refused(SUITE, "x", "y", &options, "did you mean 'weight'");
  options = OPTIONS;
  options.launcher = "mpirum";
  refused(SUITE, "x", "y", &options, "did you mean 'mpirun'");
  options = OPTIONS;
  options.launcher = "direct";
  options.ranks = 2;
  refused(SUITE, "x", "y", &options, "starts one rank");
  static const char deep[] = "suite: probe\nsummary: {zh: a, en: b}\nsteps:\n  - step: d\n"
                             "    workload: decode\n    parameters: {prompt: 32, tokens: 4065}\n";
  refused(deep, "x", "y", &OPTIONS, "asks for a context of 4097 positions, but model x holds");
  static const char mpi[] =
      "suite: probe\nsummary: {zh: a, en: b}\nsteps:\n  - step: m\n    workload: mpi\n";
  refused(mpi, NULL, NULL, &OPTIONS, "needs at least 2 ranks");
}

static bool has_word(const char *const *words, const char *word) {
  for (; *words; words++)
    if (strcmp(*words, word) == 0) return true;
  return false;
}

static void commands(void **state) {
  (void)state;
  const char *words[ZH_LAUNCH_WORDS];
  char text[32];
  zh_launcher_command(words, text, sizeof text, ZH_LAUNCH_DIRECT, 1, 2, "rank", "step");
  assert_true(strcmp(words[0], "rank") == 0 && strcmp(words[1], "step") == 0 && !words[2]);
  zh_launcher_command(words, text, sizeof text, ZH_LAUNCH_MPIRUN, 4, 2, "rank", "step");
  assert_true(has_word(words, "--oversubscribe") && has_word(words, "4"));
  zh_launcher_command(words, text, sizeof text, ZH_LAUNCH_MPIRUN, 2, 2, "rank", "step");
  assert_false(has_word(words, "--oversubscribe"));
  zh_launcher_command(words, text, sizeof text, ZH_LAUNCH_SRUN, 2, 2, "rank", "step");
  assert_true(has_word(words, "--mpi=pmix"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(order),
                                     cmocka_unit_test(digest_is_of_the_meaning),
                                     cmocka_unit_test(refuses), cmocka_unit_test(commands)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
