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
#include "evaluator/stats/pairs.h"
#include "evaluator/stats/proportions.h"
#include "evaluator/stats/rank_sets.h"
#include "evaluator/stats/special.h"

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
  assert_int_equal(zh_sign_flip_test(&p, groups, scores, 0, &alone, &err), ZH_OK);
  assert_int_equal(zh_sign_flip_test(&q, groups, scores, 0, &together, &err), ZH_OK);
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

/* Graded scores that lie a constant step apart: what rounding leaves of the step is no variance. */
static void rounding_is_no_variance(void **state) {
  (void)state;
  static double scores[MODELS * ITEMS];
  static const double sizes[] = {1, 100, 1e6};
  zh_error err = ZH_ERROR_INIT;
  for (size_t k = 0; k < 3; k++) {
    for (size_t alone = 0; alone < 2; alone++) {
      zh_groups *groups = world(scores);
      for (size_t i = 0; i < ITEMS; i++) {
        scores[i] = sizes[k] * (0.9 + 1e-5 * (double)(i * 7 % 1000));
        scores[ITEMS + i] = scores[i] - 1e-4 * sizes[k];
      }
      if (alone == 0) unpack(groups);
      const zh_pair_question question = {.groups = groups,
                                         .first = scores,
                                         .second = scores + ITEMS,
                                         .alpha = 0.05,
                                         .draws = {.replicates = REPLICATES, .seed = 1}};
      const zh_field field = {groups, 2, scores};
      const zh_rank_options options = {
          .alpha = 0.05, .claimant = ZH_ALL_PAIRS, .draws = question.draws};
      zh_pair pair;
      zh_rank_set sets[2];
      size_t untested;
      assert_int_equal(zh_pair_test(&pair, &question, &err), ZH_OK);
      assert_false(zh_pair_known(&pair));
      assert_true(isnan(pair.p_greater) && isnan(pair.bound) && pair.estimate.value > 0);
      assert_int_equal(zh_rank_sets(sets, &untested, &field, &options, &err), ZH_OK);
      assert_int_equal(untested, 1);
      assert_true(sets[0].low == 1 && sets[0].high == 2);
      zh_groups_free(groups);
    }
  }
}

/* Steps up and down of equal size are equal among flips, too, whatever rounding makes of them. */
static void rounding_parts_no_equal_flips(void **state) {
  (void)state;
  enum { FEW = 10, LOST = 2 };
  double first_scores[FEW], second[FEW], differences[FEW];
  zh_error err = ZH_ERROR_INIT;
  zh_groups *groups;
  zh_flip_test test;
  const zh_draws draws = {.replicates = 2000, .seed = 1};
  assert_int_equal(zh_groups_plain(&groups, NULL, FEW, 0, &err), ZH_OK);
  for (size_t i = 0; i < FEW; i++) {
    first_scores[i] = 87.31 + 1.37 * (double)i;
    second[i] = first_scores[i] + (i < LOST ? 1e-4 : -1e-4);
    differences[i] = first_scores[i] - second[i];
  }
  assert_int_equal(zh_sign_flip_test(&test, groups, differences, 100, &draws, &err), ZH_OK);
  assert_true(test.exact && test.p_greater == 56.0 / 1024); /* C(10,0) + C(10,1) + C(10,2) */
  assert_true(test.p_less == 1013.0 / 1024 && test.p_two_sided == 112.0 / 1024);
  zh_groups_free(groups);
}

/* Chance that the lower limit of b - c of n lies at -margin or above, though the truth is -margin:
 * a share `won` of the items is won, margin more of them lost. Without a discordant item no limit
 * is given. */
static double wrongly_not_inferior(int64_t n, double won, double margin) {
  double lost = won + margin, sum = 0;
  int64_t most = (int64_t)((double)n * lost + 8 * sqrt((double)n * lost) + 10);
  for (int64_t c = 0; c <= most && c <= n; c++) {
    double p_c = zh_binomial_pmf(c, n, lost);
    for (int64_t b = 0; b <= most && b + c <= n; b++) {
      double p = p_c * zh_binomial_pmf(b, n - c, won / (1 - lost));
      if (p < 1e-12 || b + c == 0) continue;
      if (zh_tango((double)b, (double)c, (double)n, 0.9).low >= -margin) sum += p;
    }
  }
  return sum;
}

static void limits_of_shares_keep_their_level(void **state) {
  (void)state;
  static const int64_t items[] = {300, 500, 1346};
  static const double won[] = {0.0005, 0.002, 0.005, 0.01, 0.05};
  for (size_t k = 0; k < 3; k++) {
    for (size_t i = 0; i < 5; i++)
      assert_true(wrongly_not_inferior(items[k], won[i], 0.01) < 0.0515);
  }
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
      cmocka_unit_test(rounding_is_no_variance),
      cmocka_unit_test(rounding_parts_no_equal_flips),
      cmocka_unit_test(limits_of_shares_keep_their_level),
      cmocka_unit_test(bits_are_counted_the_same_in_every_way),
      cmocka_unit_test(groups_that_contradict_themselves_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
