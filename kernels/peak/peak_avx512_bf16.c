/* vdpbf16ps: 12 sums, 12 right operands, 4 left ones; 28 registers. */
#include "kernels/peak/peak.h"

#include <immintrin.h>

enum { SUMS = 12, LANES = 32, STEPS = 4 };

static __m512bh bf16_load(const int16_t *grid) {
  uint16_t bits[LANES];
  for (int i = 0; i < LANES; i++) bits[i] = zh_bf16_of_grid(grid[i]);
  return (__m512bh)_mm512_loadu_si512(bits);
}

static double bf16_run(uint64_t rounds, uint64_t seed, double *checksum) {
  int16_t left[STEPS * LANES], right[SUMS * LANES];
  zh_bf16_operands(left, STEPS, LANES, right, SUMS * LANES, seed);
  __m512bh step[STEPS], fixed[SUMS];
  for (int s = 0; s < STEPS; s++) step[s] = bf16_load(left + s * LANES);
  for (int i = 0; i < SUMS; i++) fixed[i] = bf16_load(right + i * LANES);
  uint64_t folded = 0;
  for (uint64_t done = 0; done < rounds;) {
    uint64_t now = rounds - done < ZH_BF16_BLOCK ? rounds - done : ZH_BF16_BLOCK;
    __m512 sum[SUMS];
    for (int i = 0; i < SUMS; i++) sum[i] = _mm512_setzero_ps();
    for (uint64_t r = 0; r < now; r++)
      for (int s = 0; s < STEPS; s++)
        for (int i = 0; i < SUMS; i++) sum[i] = _mm512_dpbf16_ps(sum[i], step[s], fixed[i]);
    float sums[SUMS * 16];
    for (int i = 0; i < SUMS; i++) _mm512_storeu_ps(sums + 16 * i, sum[i]);
    zh_bf16_fold(&folded, sums, SUMS * 16);
    done += now;
  }
  *checksum = zh_checksum_value(folded);
  return (double)rounds * STEPS * SUMS * LANES * 2;
}

static double bf16_reference(uint64_t rounds, uint64_t seed) {
  return zh_bf16_dot_reference(rounds, seed, STEPS, SUMS, LANES);
}

const zh_peak_loop zh_peak_bf16_avx512 = {"bf16_dot", "avx512_bf16",  "FLOP/s",
                                          bf16_run,   bf16_reference, 0};
