/* What kernelcheck and the self-check allow products of E4M3 (zh_rounding_loss), against sums as
 * the shim's matrix units make them: right ones are within it, and with its double those are not in
 * which a group's sum does not go over to fp32, is left out, or takes another's scale. And where
 * the scale of a column is. */
#include <math.h>

#include "try.h"

#include "kernels/cuda/forms.cuh"
#include "kernels/kernels.h"

enum { GROUP = ZH_E4M3_GROUP, GROUPS = 10, COLUMNS = GROUPS * GROUP, ROUNDS = 200 };

struct row {
  float w[COLUMNS], x[COLUMNS]; /* as E4M3 has them */
  float w_scale[GROUPS], x_scale[GROUPS];
};

enum fault { NONE, NEVER_PROMOTED, GROUP_LOST, WEIGHTS_SWAPPED, INPUTS_SWAPPED };

static float sum_of_group(float sum, const row &r, int group) {
  for (int at = group * GROUP; at < (group + 1) * GROUP; at += 32) {
    float a[32], b[32];
    for (int k = 0; k < 32; k++) a[k] = r.w[at + k], b[k] = r.x[at + k];
    sum = zh_shim::add_e4m3(sum, a, b);
  }
  return sum;
}

static double computed(const row &r, fault how) {
  float sum = 0, part = 0;
  for (int g = 0; g < GROUPS; g++) {
    int pair = g ^ 1;
    float scale =
        r.w_scale[how == WEIGHTS_SWAPPED ? pair : g] * r.x_scale[how == INPUTS_SWAPPED ? pair : g];
    part = sum_of_group(how == NEVER_PROMOTED ? part : 0, r, g);
    if (how == NEVER_PROMOTED)
      sum = scale * part;
    else if (how != GROUP_LOST || g != 3)
      sum = fmaf(scale, part, sum);
  }
  return (double)sum;
}

/* How far the row's sum is off, of what is allowed. */
static double ratio_of(const row &r, fault how) {
  std::vector<float> w(COLUMNS), x(COLUMNS);
  double sum = 0, size = 0;
  for (int c = 0; c < COLUMNS; c++) {
    w[(size_t)c] = r.w_scale[c / GROUP] * r.w[c];
    x[(size_t)c] = r.x_scale[c / GROUP] * r.x[c];
    double term = (double)w[(size_t)c] * (double)x[(size_t)c];
    sum += term;
    size += fabs(term);
  }
  double bound = 2 * zh_rounding_loss(ZH_ROUND_E4M3_INPUTS, w.data(), x.data(), COLUMNS) +
                 4 * (COLUMNS + 4) * 0x1p-24 * size;
  return fabs(computed(r, how) - sum) / bound;
}

static float normal(uint64_t &state) { /* nearly: the sum of twelve even ones */
  double sum = -6;
  for (int i = 0; i < 12; i++) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    sum += (double)(state >> 40) * 0x1p-24;
  }
  return (float)sum;
}

/* Inputs as they are rounded: the largest of a group is 448. */
static row random_row(uint64_t &state) {
  row r;
  for (int g = 0; g < GROUPS; g++) {
    r.w_scale[g] = 0.001f * (1 + fabsf(normal(state)));
    r.x_scale[g] = 0.01f * (1 + fabsf(normal(state)));
  }
  for (int c = 0; c < COLUMNS; c++) {
    r.w[c] = zh_e4m3_value(zh_e4m3_of(120 * normal(state)));
    r.x[c] = zh_e4m3_value(zh_e4m3_of(c % GROUP == 5 ? 448 : 150 * normal(state)));
  }
  return r;
}

static void right_sums_are_within_the_bound(void **) {
  uint64_t state = 1;
  double worst = 0;
  for (int i = 0; i < ROUNDS; i++) worst = fmax(worst, ratio_of(random_row(state), NONE));
  print_message("the worst right sum has %.2f of its bound\n", worst);
  assert_true(worst < 1);
}

static void wrong_scales_and_lost_groups_are_noticed(void **) {
  for (fault how : {GROUP_LOST, WEIGHTS_SWAPPED, INPUTS_SWAPPED}) {
    uint64_t state = 1;
    int noticed = 0;
    for (int i = 0; i < ROUNDS; i++) noticed += ratio_of(random_row(state), how) > 1;
    print_message("fault %d is noticed in %d of %d sums\n", (int)how, noticed, (int)ROUNDS);
    assert_true(noticed > ROUNDS / 2); /* and kernelcheck looks at hundreds */
  }
}

/* The row that kernelcheck multiplies: "small groups behind a large one". */
static void sums_that_stay_in_the_units_are_noticed(void **) {
  row r;
  for (float &s : r.w_scale) s = 1;
  for (float &s : r.x_scale) s = 1;
  for (int c = 0; c < COLUMNS; c++) {
    r.w[c] = c < GROUP ? 448 : c % GROUP == 0 ? 0 : 40;
    r.x[c] = c < GROUP || c % GROUP == 0 ? 448 : 48;
  }
  assert_true(ratio_of(r, NONE) < 1);
  assert_true(ratio_of(r, NEVER_PROMOTED) > 1);
}

/* Of all widths: at the begin and the end of every block of the widest row. */
static void blocks_of_columns_are_found(void **) {
  const uint32_t all = ZH_SCALED_COLUMNS / 32;
  zh_device_matrix m = {};
  m.form = ZH_FORM_E4M3;
  m.columns = ZH_SCALED_COLUMNS;
  for (uint32_t width = 2; width <= all; width++) {
    m.scale_columns = 32 * width;
    uint32_t reciprocal = zh_scale_reciprocal(&m);
    for (uint32_t first = 0; first < all; first += width) {
      uint32_t last = first + width <= all ? first + width - 1 : all - 1;
      if (__umulhi(first, reciprocal) != first / width ||
          __umulhi(last, reciprocal) != last / width)
        fail_msg("blocks of %u times 32 columns, columns %u and %u times 32", width, first, last);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(right_sums_are_within_the_bound),
                                     cmocka_unit_test(wrong_scales_and_lost_groups_are_noticed),
                                     cmocka_unit_test(sums_that_stay_in_the_units_are_noticed),
                                     cmocka_unit_test(blocks_of_columns_are_found)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
