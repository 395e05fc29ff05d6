/* Index of the largest, LANES numbers at a time; the file that includes this defines LANES and
 * NAME(x). */
#include "kernels/lanes.h"
#include "kernels/variants.h"

ALWAYS_INLINE bool any(vi lanes) {
  int32_t a[LANES], all = 0;
  memcpy(a, &lanes, sizeof a);
  for (int i = 0; i < LANES; i++) all |= a[i];
  return all != 0;
}

/* The largest value, then the first place that holds it: ties go to the lowest, and -0 equals 0, as
 * in the reference. */
size_t NAME(zh_argmax)(const float *x, size_t count) {
  enum { TOGETHER = 4 * LANES };
  vf best[4];
  vi odd = {0};
  for (int k = 0; k < 4; k++) best[k] = all_lanes(-INFINITY);
  size_t whole = count / TOGETHER * TOGETHER, i = 0;
  for (; i < whole; i += TOGETHER)
    for (size_t k = 0; k < 4; k++) {
      vf v = load_f32(x + i + k * LANES);
      odd |= v != v;
      best[k] = larger_f32(v, best[k]);
    }
  float largest =
      largest_lane(larger_f32(larger_f32(best[0], best[1]), larger_f32(best[2], best[3])));
  if (any(odd)) return SIZE_MAX;
  for (; i < count; i++) {
    if (isnan(x[i])) return SIZE_MAX;
    largest = x[i] > largest ? x[i] : largest;
  }
  for (i = 0; i < whole; i += TOGETHER) {
    vi found = {0};
    for (size_t k = 0; k < 4; k++) found |= load_f32(x + i + k * LANES) == largest;
    if (any(found)) break;
  }
  for (; i < count; i++)
    if (x[i] == largest) return i;
  return SIZE_MAX;
}
