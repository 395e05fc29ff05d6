/* log(sum(exp(x))) in fp64, LANES / 2 numbers at a time; the file that includes this defines LANES
 * and NAME(x). */
#include "kernels/lanes.h"
#include "kernels/variants.h"

enum { WIDE = LANES / 2 };
typedef double vd __attribute__((vector_size(WIDE * 8)));
typedef int64_t vl __attribute__((vector_size(WIDE * 8)));
typedef float half_vf __attribute__((vector_size(WIDE * 4)));

/* exp(x), x <= 0, 0 below -700; NaN must not come. As exp_lanes, but the Taylor polynomial goes to
 * degree 13, which stops 0.347^14 / 14! < 2^-57 short. Adding 1.5 2^52 leaves the whole part in the
 * last bits. */
ALWAYS_INLINE vd exp_wide(vd x) {
  static const double factorials[] = {1.0 / 6227020800,
                                      1.0 / 479001600,
                                      1.0 / 39916800,
                                      1.0 / 3628800,
                                      1.0 / 362880,
                                      1.0 / 40320,
                                      1.0 / 5040,
                                      1.0 / 720,
                                      1.0 / 120,
                                      1.0 / 24,
                                      1.0 / 6,
                                      0.5,
                                      1.0,
                                      1.0};
  const double whole = 0x1.8p52;
  vl there = x > -700.0;
  x = (vd)((vl)x & there);
  vd shifted = x * 0x1.71547652b82fep0 + whole, n = shifted - whole;
  vd r = x - n * 0x1.62e42fefa0000p-1;
  r = r - n * 0x1.cf79abc9e3b3ap-40;
  vd p = r * factorials[0] + factorials[1];
  for (size_t i = 2; i < sizeof factorials / sizeof *factorials; i++) p = p * r + factorials[i];
  vl power = ((vl)shifted - 0x4338000000000000 + 1023) << 52;
  return (vd)((vl)(p * (vd)power) & there);
}

/* The largest, or NaN where there is one. */
ALWAYS_INLINE float largest_of(const float *x, size_t count) {
  vf top = all_lanes(-INFINITY);
  vi nan = {0};
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    vf v = load_f32(x + i);
    nan |= v != v;
    top = larger_f32(v, top);
  }
  float largest = largest_lane(top);
  bool has_nan = false;
  for (int lane = 0; lane < LANES; lane++) has_nan |= nan[lane] != 0;
  for (; i < count; i++) {
    has_nan |= isnan(x[i]);
    largest = x[i] > largest ? x[i] : largest;
  }
  return has_nan ? NAN : largest;
}

double NAME(zh_logsumexp)(const float *x, size_t count) {
  float largest = largest_of(x, count);
  if (isnan(largest) || isinf(largest)) return largest;
  vd sum = {0};
  for (size_t i = 0; i < count; i += WIDE) {
    half_vf v = (half_vf){0} - INFINITY;
    if (count - i >= WIDE)
      memcpy(&v, x + i, sizeof v);
    else
      memcpy(&v, x + i, (count - i) * sizeof *x);
    sum += exp_wide(__builtin_convertvector(v, vd) - (double)largest);
  }
  double total = 0;
  for (int lane = 0; lane < WIDE; lane++) total += sum[lane];
  return log(total) + (double)largest;
}
