/* One shape for three products. fp32, pairs of bf16 and fours of int8 are all 32-bit words to this
 * code: a panel of 32 rows of B is packed word by word, [word][32], and tiles of 12 rows of A and
 * two vectors of B keep 24 sums in registers; a word of A enters as a broadcast. Depth goes in
 * blocks of 256 words, so that a panel (32 KiB) stays in the first cache; sums wait in C between
 * blocks. Elements are summed in the order of k, however rows are divided.
 *
 * The including file defines
 *   __m512i multiply_add(__m512i sum, __m512i b, __m512i a)   one word's product added, in each
 * lane
 *   __m512i first_sum(const char *a_row, size_t bytes)        what a row's sums begin with
 *   uint32_t packed_word(uint32_t word, size_t valid_bytes)   a word of B as the panel holds it
 * and then zh_gemm_panels does the rest. */
#ifndef ZH_KERNELS_GEMM_PANELS_AVX512_H
#define ZH_KERNELS_GEMM_PANELS_AVX512_H

#include <string.h>

#include "kernels/gemm/gemm.h"
#include "kernels/lanes_avx512.h"

enum { PANEL_ROWS = 32, DEPTH = 256, TILE_ROWS = 12 };

ALWAYS_INLINE sums multiply_add(sums sum, __m512i b, __m512i a);
static sums first_sum(const char *a_row, size_t bytes);
ALWAYS_INLINE uint32_t packed_word(uint32_t word, size_t valid_bytes);

/* Up to four bytes; the missing ones are zero. */
ALWAYS_INLINE uint32_t word_of(const char *p, size_t bytes) {
  uint32_t word = 0;
  memcpy(&word, p, bytes < 4 ? bytes : 4);
  return word;
}

/* Bytes [first, last) of the rows of B, to panel[word][row]; rows that are not there stay what they
 * were, since their sums are not stored. */
static void pack_panel(uint32_t panel[][PANEL_ROWS], const char *b, size_t row_bytes, size_t rows,
                       size_t first, size_t last) {
  for (size_t j = 0; j < rows; j++) {
    const char *row = b + j * row_bytes;
    for (size_t at = first, word = 0; at < last; at += 4, word++) {
      size_t valid = last - at < 4 ? last - at : 4;
      panel[word][j] =
          packed_word(valid == 4 ? word_of(row + at, 4) : word_of(row + at, valid), valid);
    }
  }
}

typedef struct gemm_tile {
  char *c;
  size_t c_row_bytes;
  const char *a; /* at the first byte of this block of depth */
  size_t row_bytes, bytes;
  const uint32_t (*panel)[PANEL_ROWS];
  __mmask16 low, high; /* which of the 32 columns of C are there */
} gemm_tile;

ALWAYS_INLINE void multiply_tile(const gemm_tile *t, const int rows) {
  sums sum[TILE_ROWS][2];
  for (int r = 0; r < rows; r++) {
    sum[r][0] = (sums)_mm512_maskz_loadu_epi32(t->low, t->c + (size_t)r * t->c_row_bytes);
    sum[r][1] = (sums)_mm512_maskz_loadu_epi32(t->high, t->c + (size_t)r * t->c_row_bytes + 64);
  }
  size_t words = t->bytes / 4, rest = t->bytes % 4;
  for (size_t w = 0; w < words; w++) {
    __m512i low = _mm512_loadu_si512(t->panel[w]), high = _mm512_loadu_si512(t->panel[w] + 16);
    for (int r = 0; r < rows; r++) {
      __m512i a = _mm512_set1_epi32((int)word_of(t->a + (size_t)r * t->row_bytes + 4 * w, 4));
      sum[r][0] = multiply_add(sum[r][0], low, a);
      sum[r][1] = multiply_add(sum[r][1], high, a);
    }
  }
  for (int r = 0; r < rows && rest; r++) {
    __m512i a = _mm512_set1_epi32((int)word_of(t->a + (size_t)r * t->row_bytes + 4 * words, rest));
    sum[r][0] = multiply_add(sum[r][0], _mm512_loadu_si512(t->panel[words]), a);
    sum[r][1] = multiply_add(sum[r][1], _mm512_loadu_si512(t->panel[words] + 16), a);
  }
  for (int r = 0; r < rows; r++) {
    _mm512_mask_storeu_epi32(t->c + (size_t)r * t->c_row_bytes, t->low, (__m512i)sum[r][0]);
    _mm512_mask_storeu_epi32(t->c + (size_t)r * t->c_row_bytes + 64, t->high, (__m512i)sum[r][1]);
  }
}

static void begin_sums(char *c, size_t c_row_bytes, const char *a, size_t row_bytes, size_t begin,
                       size_t end, __mmask16 low, __mmask16 high) {
  for (size_t i = begin; i < end; i++) {
    __m512i first = (__m512i)first_sum(a + i * row_bytes, row_bytes);
    _mm512_mask_storeu_epi32(c + i * c_row_bytes, low, first);
    _mm512_mask_storeu_epi32(c + i * c_row_bytes + 64, high, first);
  }
}

/* C, A and B as zh_gemm.run; C's elements have four bytes, A's and B's element_bytes. */
static void zh_gemm_panels(char *c, const char *a, const char *b, size_t element_bytes, size_t n,
                           size_t k, size_t begin, size_t end) {
  _Alignas(64) uint32_t panel[DEPTH][PANEL_ROWS];
  memset(panel, 0, sizeof panel);
  size_t row_bytes = k * element_bytes, c_row_bytes = 4 * n;
  for (size_t j = 0; j < n; j += PANEL_ROWS) {
    size_t columns = n - j < PANEL_ROWS ? n - j : PANEL_ROWS;
    __mmask16 low = lanes16(columns), high = columns > 16 ? lanes16(columns - 16) : 0;
    begin_sums(c + 4 * j, c_row_bytes, a, row_bytes, begin, end, low, high);
    for (size_t first = 0; first < row_bytes; first += 4 * DEPTH) {
      size_t last = row_bytes - first < 4 * DEPTH ? row_bytes : first + 4 * DEPTH;
      pack_panel(panel, b + j * row_bytes, row_bytes, columns, first, last);
      gemm_tile t = {NULL,      c_row_bytes,  NULL,
                     row_bytes, last - first, (const uint32_t(*)[PANEL_ROWS])panel,
                     low,       high};
      for (size_t i = begin; i < end;) {
        t.c = c + i * c_row_bytes + 4 * j;
        t.a = a + i * row_bytes + first;
        if (end - i >= TILE_ROWS) {
          multiply_tile(&t, TILE_ROWS);
          i += TILE_ROWS;
        } else if (end - i >= 4) {
          multiply_tile(&t, 4);
          i += 4;
        } else {
          multiply_tile(&t, 1);
          i += 1;
        }
      }
    }
  }
}

#endif
