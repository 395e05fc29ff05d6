/* vpdpbusd: 12 sums, 12 right operands, 4 left ones; 28 registers. */
#include "kernels/peak/peak.h"

#include <immintrin.h>

enum { SUMS = 12, LANES = 64, STEPS = 4 };

static double int8_run(uint64_t rounds, uint64_t seed, double *checksum) {
  int8_t left[STEPS * LANES], right[SUMS * LANES];
  zh_int8_operands(left, sizeof left, seed, 0, true);
  zh_int8_operands(right, sizeof right, seed, 1, false);
  __m512i sum[SUMS], step[STEPS], fixed[SUMS];
  for (int i = 0; i < SUMS; i++) sum[i] = _mm512_setzero_si512();
  for (int i = 0; i < SUMS; i++) fixed[i] = _mm512_loadu_si512(right + i * LANES);
  for (int s = 0; s < STEPS; s++) step[s] = _mm512_loadu_si512(left + s * LANES);
  for (uint64_t r = 0; r < rounds; r++)
    for (int s = 0; s < STEPS; s++)
      for (int i = 0; i < SUMS; i++) sum[i] = _mm512_dpbusd_epi32(sum[i], step[s], fixed[i]);
  int32_t sums[SUMS * 16];
  for (int i = 0; i < SUMS; i++) _mm512_storeu_si512(sums + 16 * i, sum[i]);
  uint64_t folded = 0;
  zh_int8_fold(&folded, sums, SUMS * 16);
  *checksum = zh_checksum_value(folded);
  return (double)rounds * STEPS * SUMS * LANES * 2;
}

static double int8_reference(uint64_t rounds, uint64_t seed) {
  return zh_int8_dot_reference(rounds, seed, STEPS, SUMS, LANES);
}

const zh_peak_loop zh_peak_int8_avx512 = {"int8_dot", "avx512_vnni",  "OP/s",
                                          int8_run,   int8_reference, 0};
