/* The loops with 256-bit registers, of which there are sixteen: mirrors (peak.h) in fourteen of
 * them, so that two units of latency 4 or 5 never wait; what is added comes from memory (the first
 * cache), which an FMA reads in the same cycle. */
#include "kernels/peak/peak.h"

#include <immintrin.h>

enum { CHAINS = 14, LANES = 8, COUNT = CHAINS * LANES, DOT_SUMS = 8, DOT_LANES = 32, STEPS = 4 };

/* Hidden from the compiler, which would keep the value in a register and push out a chain. */
static inline __m256 read_again(const float *p) {
  __asm__ volatile("" ::: "memory");
  return _mm256_loadu_ps(p);
}

static void fma_rounds(zh_fma_mirrors *m, uint64_t rounds) {
  __m256 x[CHAINS], there = _mm256_loadu_ps(m->there), back = _mm256_loadu_ps(m->back);
  for (int c = 0; c < CHAINS; c++) x[c] = _mm256_loadu_ps(m->x + c * LANES);
  for (uint64_t r = 0; r < rounds; r++) {
    for (int c = 0; c < CHAINS; c++)
      x[c] = _mm256_fnmadd_ps(there, x[c], read_again(m->far + c * LANES));
    for (int c = 0; c < CHAINS; c++)
      x[c] = _mm256_fnmadd_ps(back, x[c], read_again(m->near + c * LANES));
  }
  for (int c = 0; c < CHAINS; c++) _mm256_storeu_ps(m->x + c * LANES, x[c]);
}

static double fp32_run(uint64_t rounds, uint64_t seed, double *checksum) {
  zh_fma_mirrors m;
  *checksum = 0;
  for (uint64_t done = 0, block = 0; done < rounds; block++) {
    uint64_t now = rounds - done < ZH_FMA_BLOCK ? rounds - done : ZH_FMA_BLOCK;
    zh_fma_mirrors_state(&m, COUNT, LANES, seed, block);
    fma_rounds(&m, now);
    *checksum += zh_fma_fold(m.x, m.far, COUNT);
    done += now;
  }
  return (double)rounds * COUNT * 4;
}

static double fp32_reference(uint64_t rounds, uint64_t seed) {
  return zh_fma_mirrors_reference(rounds, seed, COUNT, LANES);
}

/* maddubs: pairs of products added to 16 bits (at most 2 * 127 * 127 < 2^15), then pairs of those
 * to 32. */
static double int8_run(uint64_t rounds, uint64_t seed, double *checksum) {
  int8_t left[STEPS * DOT_LANES];
  _Alignas(64) int8_t right[DOT_SUMS * DOT_LANES]; /* read by every step */
  zh_int8_operands(left, sizeof left, seed, 0, true);
  zh_int8_operands(right, sizeof right, seed, 1, false);
  __m256i sum[DOT_SUMS], step[STEPS];
  const __m256i ones = _mm256_set1_epi16(1);
  for (int i = 0; i < DOT_SUMS; i++) sum[i] = _mm256_setzero_si256();
  for (int s = 0; s < STEPS; s++)
    step[s] = _mm256_loadu_si256((const __m256i *)(const void *)(left + s * DOT_LANES));
  for (uint64_t r = 0; r < rounds; r++)
    for (int s = 0; s < STEPS; s++) {
      __m256i a = step[s];
      __asm__ volatile(
          ""
          : "+x"(a)); /* else the products of unchanging operands would be computed once */
      for (int i = 0; i < DOT_SUMS; i++) {
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(right + i * DOT_LANES));
        sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
      }
    }
  int32_t sums[DOT_SUMS * 8];
  for (int i = 0; i < DOT_SUMS; i++) _mm256_storeu_si256((__m256i *)(void *)(sums + 8 * i), sum[i]);
  uint64_t folded = 0;
  zh_int8_fold(&folded, sums, DOT_SUMS * 8);
  *checksum = zh_checksum_value(folded);
  return (double)rounds * STEPS * DOT_SUMS * DOT_LANES * 2;
}

static double int8_reference(uint64_t rounds, uint64_t seed) {
  return zh_int8_dot_reference(rounds, seed, STEPS, DOT_SUMS, DOT_LANES);
}

const zh_peak_loop zh_peak_fp32_avx2 = {"fp32_fma", "avx2", "FLOP/s", fp32_run, fp32_reference, 0};
const zh_peak_loop zh_peak_int8_avx2 = {"int8_dot", "avx2", "OP/s", int8_run, int8_reference, 0};
