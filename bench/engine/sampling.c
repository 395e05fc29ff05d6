#include "bench/engine/sampling.h"

#include <math.h>

#include "core/philox.h"

enum { STREAM_SAMPLING = 7 };

size_t zh_sample_token(const zh_kernels *kernels, const float *logits, size_t count,
                       double temperature, uint64_t seed, uint64_t index) {
  size_t largest = kernels->argmax(logits, count);
  if (largest >= count || !(temperature > 0)) return largest;
  double top = logits[largest], total = 0, below = 0;
  for (size_t i = 0; i < count; ++i) total += exp(((double)logits[i] - top) / temperature);
  uint32_t bits;
  zh_random_fill(&bits, 1, seed, STREAM_SAMPLING, index);
  double target = ((double)bits + 0.5) * 0x1p-32 * total;
  for (size_t i = 0; i < count; ++i) {
    below += exp(((double)logits[i] - top) / temperature);
    if (below > target) return i;
  }
  return largest; /* the sums' last rounding */
}
