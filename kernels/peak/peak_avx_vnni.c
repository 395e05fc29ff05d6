/* vpdpbusd on 256-bit registers, for CPUs without AVX-512 that have it (AVX-VNNI): 12 sums, 4 left
 * operands, right operands from the first cache. */
#include "kernels/peak/peak.h"

#include <immintrin.h>

enum { SUMS = 12, LANES = 32, STEPS = 4 };

static double int8_run(uint64_t rounds, uint64_t seed, double *checksum) {
  int8_t left[STEPS * LANES];
  _Alignas(64) int8_t right[SUMS * LANES]; /* read by every step */
  zh_int8_operands(left, sizeof left, seed, 0, true);
  zh_int8_operands(right, sizeof right, seed, 1, false);
  __m256i sum[SUMS], step[STEPS];
  for (int i = 0; i < SUMS; i++) sum[i] = _mm256_setzero_si256();
  for (int s = 0; s < STEPS; s++)
    step[s] = _mm256_loadu_si256((const __m256i *)(const void *)(left + s * LANES));
  for (uint64_t r = 0; r < rounds; r++) {
    __asm__ volatile("" ::: "memory");
    for (int s = 0; s < STEPS; s++)
      for (int i = 0; i < SUMS; i++)
        sum[i] = _mm256_dpbusd_avx_epi32(
            sum[i], step[s],
            _mm256_loadu_si256((const __m256i *)(const void *)(right + i * LANES)));
  }
  int32_t sums[SUMS * 8];
  for (int i = 0; i < SUMS; i++) _mm256_storeu_si256((__m256i *)(void *)(sums + 8 * i), sum[i]);
  uint64_t folded = 0;
  zh_int8_fold(&folded, sums, SUMS * 8);
  *checksum = zh_checksum_value(folded);
  return (double)rounds * STEPS * SUMS * LANES * 2;
}

static double int8_reference(uint64_t rounds, uint64_t seed) {
  return zh_int8_dot_reference(rounds, seed, STEPS, SUMS, LANES);
}

const zh_peak_loop zh_peak_int8_avx_vnni = {"int8_dot", "avx_vnni",     "OP/s",
                                            int8_run,   int8_reference, 0};
