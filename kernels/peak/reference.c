/* What the loops must give, by plain code. The dot products repeat the same round, so their sums
 * are one round's sum times the rounds: no running needed. The orbits of the FMA loop must be run,
 * lane by lane, with fmaf (compiled for FMA hardware: these references are asked for only where it
 * is). */
#include "kernels/peak/peak.h"

#include <math.h>

double zh_fma_reference(uint64_t rounds, uint64_t seed, size_t count, size_t turns) {
  float x[ZH_FMA_STATE_MAX], y[ZH_FMA_STATE_MAX], h[ZH_FMA_STATE_MAX];
  double checksum = 0;
  for (uint64_t done = 0, block = 0; done < rounds; block++) {
    uint64_t now = rounds - done < ZH_FMA_BLOCK ? rounds - done : ZH_FMA_BLOCK;
    zh_fma_state(x, y, h, count, seed, block);
    for (size_t i = turns; i < count; i++) h[i] = h[i % turns];
    for (uint64_t r = 0; r < now; r++)
      for (size_t i = 0; i < count; i++) {
        x[i] = fmaf(h[i], y[i], x[i]);
        y[i] = fmaf(-h[i], x[i], y[i]);
      }
    checksum += zh_fma_fold(x, y, count);
    done += now;
  }
  return checksum;
}

double zh_fma_mirrors_reference(uint64_t rounds, uint64_t seed, size_t count, size_t turns) {
  zh_fma_mirrors m;
  double checksum = 0;
  for (uint64_t done = 0, block = 0; done < rounds; block++) {
    uint64_t now = rounds - done < ZH_FMA_BLOCK ? rounds - done : ZH_FMA_BLOCK;
    zh_fma_mirrors_state(&m, count, turns, seed, block);
    for (uint64_t r = 0; r < now; r++)
      for (size_t i = 0; i < count; i++) {
        m.x[i] = fmaf(-m.there[i % turns], m.x[i], m.far[i]);
        m.x[i] = fmaf(-m.back[i % turns], m.x[i], m.near[i]);
      }
    checksum += zh_fma_fold(m.x, m.far, count);
    done += now;
  }
  return checksum;
}

double zh_bf16_dot_reference(uint64_t rounds, uint64_t seed, size_t steps, size_t sums,
                             size_t elements) {
  int16_t left[4 * 64], right[16 * 64];
  zh_bf16_operands(left, steps, elements, right, sums * elements, seed);
  uint64_t folded = 0;
  for (size_t i = 0; i < sums * elements / 2; i++) {
    int64_t round_sum = 0;
    for (size_t s = 0; s < steps; s++)
      for (size_t k = 0; k < 2; k++) {
        size_t at = 2 * i + k;
        round_sum += left[s * elements + at % elements] * right[at];
      }
    folded += (i + 1) * (uint64_t)round_sum * rounds;
  }
  return zh_checksum_value(folded);
}

double zh_int8_dot_reference(uint64_t rounds, uint64_t seed, size_t steps, size_t sums,
                             size_t elements) {
  int8_t left[4 * 64], right[16 * 64];
  zh_int8_operands(left, steps * elements, seed, 0, true);
  zh_int8_operands(right, sums * elements, seed, 1, false);
  uint64_t folded = 0;
  for (size_t i = 0; i < sums * elements / 4; i++) {
    int64_t round_sum = 0;
    for (size_t s = 0; s < steps; s++)
      for (size_t k = 0; k < 4; k++) {
        size_t at = 4 * i + k;
        round_sum += left[s * elements + at % elements] * right[at];
      }
    folded += (i + 1) * (uint32_t)((uint64_t)round_sum * rounds);
  }
  return zh_checksum_value(folded);
}
