/* What outside programs cannot see: the same numbers on any number of threads, and scores packed
 * into bits against the same scores as doubles. Values against scipy: tests/golden/statistics.py.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "evaluator/stats/bits.h"
#include "evaluator/stats/bootstrap.h"
#include "evaluator/stats/rank_sets.h"

enum { MODELS = 5, ITEMS = 333, TASKS = 3, REPLICATES = 400 };

static const size_t first[TASKS + 1] = {0, 70, 198, ITEMS};
static const double weight[TASKS] = {1, 2, 0.5};

/* Items alone, in three tasks; shares of right answers rise with the model. */
static zh_groups *world(double *scores) {
  uint32_t cluster_of[ITEMS], random[ITEMS];
  zh_error err = ZH_ERROR_INIT;
  zh_groups *groups;
  for (uint32_t i = 0; i < ITEMS; i++) cluster_of[i] = i;
  for (size_t m = 0; m < MODELS; m++) {
    zh_random_fill(random, ITEMS, 5, m, 0);
    for (size_t i = 0; i < ITEMS; i++)
      scores[m * ITEMS + i] = random[i] * 0x1p-32 < 0.5 + 0.08 * (double)m;
  }
  assert_int_equal(zh_groups_create(&groups, cluster_of, ITEMS, first, weight, TASKS, &err), ZH_OK);
  assert_true(groups->singles);
  return groups;
}

/* The same groups, but as if items could share a cluster, so that nothing is packed. */
static void unpack(zh_groups *groups) {
  groups->singles = false;
}

static void assert_near(const double *a, const double *b, size_t count) {
  for (size_t i = 0; i < count; i++) assert_true(fabs(a[i] - b[i]) <= 1e-13);
}

static void packed_flips_are_those_of_doubles(void **state) {
  (void)state;
  static double scores[MODELS * ITEMS];
  zh_error err = ZH_ERROR_INIT;
  zh_groups *groups = world(scores);
  const zh_field field = {groups, MODELS, scores};
  const zh_draws draws = {.replicates = REPLICATES, .seed = 3};
  zh_flipped bits, doubles;
  assert_int_equal(zh_flip_field(&bits, &field, &draws, &err), ZH_OK);
  unpack(groups);
  assert_int_equal(zh_flip_field(&doubles, &field, &draws, &err), ZH_OK);
  assert_true(bits.packed && !doubles.packed && bits.replicates == REPLICATES);
  assert_near(bits.means, doubles.means, MODELS);
  assert_near(bits.sums, doubles.sums, TASKS * MODELS * REPLICATES);
  assert_near(bits.squares, doubles.squares, TASKS * MODELS * (MODELS - 1) / 2);
  zh_flipped_clear(&bits);
  zh_flipped_clear(&doubles);
  zh_groups_free(groups);
}

static void packed_bootstraps_are_those_of_doubles(void **state) {
  (void)state;
  static double scores[MODELS * ITEMS], bits[MODELS * REPLICATES], doubles[MODELS * REPLICATES];
  zh_error err = ZH_ERROR_INIT;
  zh_groups *groups = world(scores);
  const zh_field field = {groups, MODELS, scores};
  const zh_draws draws = {.replicates = REPLICATES, .seed = 3};
  assert_int_equal(zh_bootstrap_means(bits, &field, &draws, &err), ZH_OK);
  unpack(groups);
  assert_int_equal(zh_bootstrap_means(doubles, &field, &draws, &err), ZH_OK);
  assert_near(bits, doubles, MODELS * REPLICATES);
  assert_true(bits[0] != bits[1]);
  zh_groups_free(groups);
}

static void threads_change_nothing(void **state) {
  (void)state;
  static double scores[MODELS * ITEMS], one[MODELS * REPLICATES], three[MODELS * REPLICATES];
  zh_error err = ZH_ERROR_INIT;
  zh_groups *groups = world(scores);
  zh_threads *threads;
  const zh_field field = {groups, MODELS, scores};
  assert_int_equal(zh_threads_create(&threads, 3, NULL, &err), ZH_OK);
  const zh_draws alone = {.replicates = REPLICATES, .seed = 9},
                 together = {.replicates = REPLICATES, .seed = 9, .threads = threads};
  zh_flipped a, b;
  assert_int_equal(zh_flip_field(&a, &field, &alone, &err), ZH_OK);
  assert_int_equal(zh_flip_field(&b, &field, &together, &err), ZH_OK);
  assert_memory_equal(a.sums, b.sums, TASKS * MODELS * REPLICATES * sizeof *a.sums);
  assert_int_equal(zh_bootstrap_means(one, &field, &alone, &err), ZH_OK);
  assert_int_equal(zh_bootstrap_means(three, &field, &together, &err), ZH_OK);
  assert_memory_equal(one, three, sizeof one);
  zh_flip_test p, q;
  assert_int_equal(zh_sign_flip_test(&p, groups, scores, &alone, &err), ZH_OK);
  assert_int_equal(zh_sign_flip_test(&q, groups, scores, &together, &err), ZH_OK);
  assert_true(p.p_greater == q.p_greater && p.p_two_sided == q.p_two_sided);
  zh_flipped_clear(&a);
  zh_flipped_clear(&b);
  zh_threads_free(threads);
  zh_groups_free(groups);
}

/* Both ways of naming the family, and models without a difference. */
static void sets_name_ranks(void **state) {
  (void)state;
  static double scores[MODELS * ITEMS];
  zh_error err = ZH_ERROR_INIT;
  zh_groups *groups = world(scores);
  memcpy(scores, scores + ITEMS, ITEMS * sizeof *scores); /* models 0 and 1 are the same */
  const zh_field field = {groups, MODELS, scores};
  zh_rank_options options = {
      .alpha = 0.05, .claimant = ZH_ALL_PAIRS, .draws = {.replicates = REPLICATES, .seed = 1}};
  zh_rank_set sets[MODELS], own[MODELS];
  size_t untested;
  assert_int_equal(zh_rank_sets(sets, &untested, &field, &options, &err), ZH_OK);
  assert_int_equal(untested, 1);
  assert_true(sets[MODELS - 1].high < MODELS && sets[0].low > 1);
  options.claimant = MODELS - 1;
  assert_int_equal(zh_rank_sets(own, &untested, &field, &options, &err), ZH_OK);
  assert_int_equal(untested, 0);
  assert_int_equal(own[MODELS - 1].low, 1);
  assert_true(own[MODELS - 1].high <= sets[MODELS - 1].high); /* a smaller family asks less */
  zh_groups_free(groups);
}

static void bits_are_counted_the_same_in_every_way(void **state) {
  (void)state;
  enum { WORDS = 37 };
  uint64_t rows[3 * WORDS], mask[WORDS];
  uint32_t counts[3];
  zh_random_fill((uint32_t *)rows, 2 * 3 * WORDS, 1, 1, 0);
  zh_random_fill((uint32_t *)mask, 2 * WORDS, 1, 2, 0);
  zh_bits_rows(counts, rows, 3, mask, WORDS);
  for (size_t m = 0; m < 3; m++) {
    uint64_t want = 0;
    for (size_t i = 0; i < 64 * WORDS; i++)
      want += rows[m * WORDS + i / 64] >> (i % 64) & mask[i / 64] >> (i % 64) & 1;
    assert_int_equal(counts[m], want);
    assert_int_equal(zh_bits_common(rows + m * WORDS, mask, WORDS), want);
  }
}

static void groups_that_contradict_themselves_are_refused(void **state) {
  (void)state;
  static const uint32_t cluster_of[3] = {0, 2, 2};
  static const size_t three[2] = {0, 3}, two[2] = {0, 2}, none[3] = {0, 0, 3};
  zh_error err = ZH_ERROR_INIT;
  zh_groups *groups;
  assert_int_equal(zh_groups_create(&groups, cluster_of, 3, three, NULL, 1, &err), ZH_ERR_ARG);
  assert_int_equal(zh_groups_create(&groups, cluster_of, 3, two, NULL, 1, NULL), ZH_ERR_ARG);
  assert_int_equal(zh_groups_create(&groups, cluster_of, 3, none, NULL, 2, NULL), ZH_ERR_ARG);
  assert_int_equal(zh_groups_plain(&groups, NULL, 0, 0, NULL), ZH_ERR_ARG);
  assert_null(groups);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(packed_flips_are_those_of_doubles),
      cmocka_unit_test(packed_bootstraps_are_those_of_doubles),
      cmocka_unit_test(threads_change_nothing),
      cmocka_unit_test(sets_name_ranks),
      cmocka_unit_test(bits_are_counted_the_same_in_every_way),
      cmocka_unit_test(groups_that_contradict_themselves_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
