/* Passes of 64 bytes at a time. Copy and triad write past the caches: every store fills whole
 * lines, so nothing needs to be read first, and the bytes that move are those that STREAM counts.
 * Stores begin on a line; what lies before is done singly. */
#include "kernels/variants.h"

#include <immintrin.h>

enum { LANES = 8, UNROLL = 8 };

/* The first place from `begin` on where p is on a 64-byte line. */
static size_t line_start(const double *p, size_t begin, size_t end) {
  size_t past = (uintptr_t)(p + begin) / sizeof(double) % 8, start = begin + (8 - past) % 8;
  return start < end ? start : end;
}

static double read_pass(const double *a, size_t begin, size_t end) {
  __m512d sum[UNROLL];
  for (int k = 0; k < UNROLL; k++) sum[k] = _mm512_setzero_pd();
  size_t i = begin;
  for (; i + UNROLL * LANES <= end; i += UNROLL * LANES)
    for (int k = 0; k < UNROLL; k++)
      sum[k] = _mm512_add_pd(sum[k], _mm512_loadu_pd(a + i + k * LANES));
  double total = 0, lanes[LANES];
  for (int k = 0; k < UNROLL; k++) {
    _mm512_storeu_pd(lanes, sum[k]);
    for (int l = 0; l < LANES; l++) total += lanes[l];
  }
  for (; i < end; i++) total += a[i];
  return total;
}

static void copy_pass(double *b, const double *a, size_t begin, size_t end) {
  size_t i = begin, start = line_start(b, begin, end);
  for (; i < start; i++) b[i] = a[i];
  for (; i + 8 <= end; i += 8)
    for (size_t k = 0; k < 8; k += LANES) _mm512_stream_pd(b + i + k, _mm512_loadu_pd(a + i + k));
  for (; i < end; i++) b[i] = a[i];
  _mm_sfence();
}

static void triad_pass(double *a, const double *b, const double *c, double s, size_t begin,
                       size_t end) {
  size_t i = begin, start = line_start(a, begin, end);
  for (; i < start; i++) a[i] = b[i] + s * c[i];
  __m512d factor = _mm512_set1_pd(s);
  for (; i + 8 <= end; i += 8)
    for (size_t k = 0; k < 8; k += LANES)
      _mm512_stream_pd(a + i + k, _mm512_fmadd_pd(factor, _mm512_loadu_pd(c + i + k),
                                                  _mm512_loadu_pd(b + i + k)));
  for (; i < end; i++) a[i] = b[i] + s * c[i];
  _mm_sfence();
}

const zh_memory_loops zh_memory_avx512 = {"avx512", read_pass, copy_pass, triad_pass};
