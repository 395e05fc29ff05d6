/* The loops with 512-bit registers. A core with two FMA units of latency 4 needs 8 instructions in
 * flight; latencies of 5 and 6 (Zen 2 to 5, vdpbf16ps) 10 and 12. Twelve chains cover all and leave
 * room for the operands. */
#include "kernels/peak/peak.h"

#include <immintrin.h>

enum { PAIRS = 12, LANES = 16, COUNT = PAIRS * LANES, TURNS = 4 };

/* x and y of 12 pairs in 24 registers; pairs p, p + 4 and p + 8 share one of 4 registers of h. */
static void fma_rounds(float *x, float *y, const float *h, uint64_t rounds) {
  __m512 a[PAIRS], b[PAIRS], turn[TURNS];
  for (int p = 0; p < PAIRS; p++) {
    a[p] = _mm512_loadu_ps(x + p * LANES);
    b[p] = _mm512_loadu_ps(y + p * LANES);
  }
  for (int p = 0; p < TURNS; p++) turn[p] = _mm512_loadu_ps(h + p * LANES);
  for (uint64_t r = 0; r < rounds; r++) {
    for (int p = 0; p < PAIRS; p++) a[p] = _mm512_fmadd_ps(turn[p % TURNS], b[p], a[p]);
    for (int p = 0; p < PAIRS; p++) b[p] = _mm512_fnmadd_ps(turn[p % TURNS], a[p], b[p]);
  }
  for (int p = 0; p < PAIRS; p++) {
    _mm512_storeu_ps(x + p * LANES, a[p]);
    _mm512_storeu_ps(y + p * LANES, b[p]);
  }
}

static double fp32_run(uint64_t rounds, uint64_t seed, double *checksum) {
  float x[COUNT], y[COUNT], h[COUNT];
  *checksum = 0;
  for (uint64_t done = 0, block = 0; done < rounds; block++) {
    uint64_t now = rounds - done < ZH_FMA_BLOCK ? rounds - done : ZH_FMA_BLOCK;
    zh_fma_state(x, y, h, COUNT, seed, block);
    fma_rounds(x, y, h, now);
    *checksum += zh_fma_fold(x, y, COUNT);
    done += now;
  }
  return (double)rounds * COUNT * 4;
}

static double fp32_reference(uint64_t rounds, uint64_t seed) {
  return zh_fma_reference(rounds, seed, COUNT, TURNS * LANES);
}

const zh_peak_loop zh_peak_fp32_avx512 = {"fp32_fma", "avx512",       "FLOP/s",
                                          fp32_run,   fp32_reference, 0};
