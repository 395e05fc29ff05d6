/* Against numpy and scipy: scripts/make-statistics-vectors.py made the vectors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/statistics.h"
#include "statistics_vectors.inc"

enum {
  SERIES = sizeof series / sizeof *series,
  PERCENTILES = sizeof percentiles_of / sizeof *percentiles_of
};

static void percentiles_equal_numpys(void **state) {
  (void)state;
  for (size_t s = 0; s < SERIES; s++) {
    double sorted[30];
    memcpy(sorted, series[s].values, sizeof sorted);
    zh_sort_doubles(sorted, series[s].count);
    for (size_t p = 0; p < PERCENTILES; p++) {
      double got = zh_percentile(sorted, series[s].count, percentiles_of[p]),
             want = series[s].percentiles[p];
      assert_true(fabs(got - want) <= 4 * DBL_EPSILON * fabs(want));
    }
  }
}

static void mean_and_deviation_equal_numpys(void **state) {
  (void)state;
  for (size_t s = 0; s < SERIES; s++) {
    size_t count = series[s].count;
    double mean = zh_mean(series[s].values, count), deviation = zh_stdev(series[s].values, count);
    assert_true(fabs(mean - series[s].mean) <= 8 * DBL_EPSILON * fabs(mean));
    /* The mean's rounding enters the deviation. */
    assert_true(fabs(deviation - series[s].stdev) <=
                1e-12 * series[s].stdev + 8 * DBL_EPSILON * fabs(mean));
  }
}

static void the_medians_interval_has_binomial_ranks(void **state) {
  (void)state;
  double sorted[200], low, high;
  for (size_t count = 1; count <= 200; count++) {
    for (size_t i = 0; i < count; i++) sorted[i] = (double)(i + 1);
    zh_median_ci95(&low, &high, sorted, count);
    assert_int_equal((int)low, lower_ranks[count - 1]);
    assert_int_equal((int)high, (int)count + 1 - lower_ranks[count - 1]);
  }
}

static void long_series_do_not_underflow(void **state) {
  (void)state;
  static double sorted[10000];
  double low, high;
  for (size_t i = 0; i < 10000; i++) sorted[i] = (double)(i + 1);
  zh_median_ci95(&low, &high, sorted, 10000);
  assert_int_equal((int)low, 4902); /* scipy.stats.binom: cdf(4901) = 0.02442, cdf(4902) > 0.025 */
  assert_int_equal((int)high, 5099);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(percentiles_equal_numpys),
      cmocka_unit_test(mean_and_deviation_equal_numpys),
      cmocka_unit_test(the_medians_interval_has_binomial_ranks),
      cmocka_unit_test(long_series_do_not_underflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
