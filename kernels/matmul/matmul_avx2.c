/* W x by AVX2, as matmul_avx512.c with vectors of 8: column c goes to lane c % 8 of an element's
 * one vector of sums, on every path. Sixteen registers hold a tile of 4 rows and 3 tokens: 12 sums,
 * 3 activations, one weight. */
#include "kernels/dequantize/unpack_avx2.h"

enum { TILE_ROWS = 4, TILE_TOKENS = 3 };

ALWAYS_INLINE void dot_rows(float *y, const uint8_t *row, size_t row_bytes, zh_dtype type,
                            const float *x, size_t columns, const int rows) {
  __m256 sum[TILE_ROWS];
  for (int r = 0; r < TILE_ROWS; r++) sum[r] = _mm256_setzero_ps();
  for (size_t b = 0; b < columns / 32; b++)
    for (int r = 0; r < rows; r++) {
      weights32 w = unpack32(row + (size_t)r * row_bytes, type, b);
      for (size_t i = 0; i < 4; i++)
        sum[r] = _mm256_fmadd_ps(w.part[i], _mm256_loadu_ps(x + 32 * b + 8 * i), sum[r]);
    }
  /* Only unquantised rows can end within 32. */
  size_t element = type == ZH_F32 ? 4 : 2;
  for (size_t c = columns & ~(size_t)31; c < columns; c += 8) {
    size_t count = columns - c < 8 ? columns - c : 8;
    __m256 x_tail = _mm256_maskload_ps(x + c, lanes8(count));
    for (int r = 0; r < rows; r++) {
      __m256 w = load_some(row + (size_t)r * row_bytes + c * element, type, count);
      sum[r] = _mm256_fmadd_ps(w, x_tail, sum[r]);
    }
  }
  __m128 sums = sum4(sum[0], sum[1], sum[2], sum[3]);
  if (rows == TILE_ROWS)
    _mm_storeu_ps(y, sums);
  else
    *y = _mm_cvtss_f32(sums);
}

ALWAYS_INLINE void one_token(float *y, const zh_matrix *w, zh_dtype type, const float *x,
                             size_t begin, size_t end) {
  const uint8_t *data = w->data;
  size_t r = begin;
  for (; r + TILE_ROWS <= end; r += TILE_ROWS)
    dot_rows(y + r, data + r * w->row_bytes, w->row_bytes, type, x, w->columns, TILE_ROWS);
  for (; r < end; r++)
    dot_rows(y + r, data + r * w->row_bytes, w->row_bytes, type, x, w->columns, 1);
}

ALWAYS_INLINE void dequantize(float *y, const uint8_t *row, zh_dtype type, size_t columns) {
  for (size_t b = 0; b < columns / 32; b++) {
    weights32 w = unpack32(row, type, b);
    for (size_t i = 0; i < 4; i++) _mm256_storeu_ps(y + 32 * b + 8 * i, w.part[i]);
  }
  size_t element = type == ZH_F32 ? 4 : 2;
  for (size_t c = columns & ~(size_t)31; c < columns; c += 8) {
    size_t count = columns - c < 8 ? columns - c : 8;
    _mm256_maskstore_ps(y + c, lanes8(count), load_some(row + c * element, type, count));
  }
}

static void one_token_any(float *y, const zh_matrix *w, const float *x, size_t begin, size_t end) {
#define CALL(type) one_token(y, w, type, x, begin, end)
  ZH_FOR_WEIGHT_TYPE(w->type, CALL)
#undef CALL
}

void zh_dequantize_row_avx2(float *y, const void *row, zh_dtype type, size_t columns){
#define CALL(type) dequantize(y, row, type, columns)
    ZH_FOR_WEIGHT_TYPE(type, CALL)
#undef CALL
}

/* y[t][0 … rows) for 4 rows (or 1) and up to 3 tokens; rows w_stride floats apart. */
ALWAYS_INLINE void tile(float *y, size_t y_stride, const float *w, size_t w_stride, const float *x,
                        size_t x_stride, size_t columns, const int rows, const int tokens) {
  __m256 sum[TILE_TOKENS][TILE_ROWS];
  for (int t = 0; t < tokens; t++)
    for (int r = 0; r < TILE_ROWS; r++) sum[t][r] = _mm256_setzero_ps();
  size_t whole = columns & ~(size_t)7;
  for (size_t c = 0; c < whole; c += 8) {
    __m256 value[TILE_TOKENS];
    for (int t = 0; t < tokens; t++) value[t] = _mm256_loadu_ps(x + (size_t)t * x_stride + c);
    for (int r = 0; r < rows; r++) {
      __m256 weight = _mm256_loadu_ps(w + (size_t)r * w_stride + c);
      for (int t = 0; t < tokens; t++) sum[t][r] = _mm256_fmadd_ps(weight, value[t], sum[t][r]);
    }
  }
  __m256i mask = lanes8(columns - whole);
  for (int t = 0; t < tokens && whole < columns; t++) {
    __m256 value = _mm256_maskload_ps(x + (size_t)t * x_stride + whole, mask);
    for (int r = 0; r < rows; r++) {
      __m256 weight = _mm256_maskload_ps(w + (size_t)r * w_stride + whole, mask);
      sum[t][r] = _mm256_fmadd_ps(weight, value, sum[t][r]);
    }
  }
  for (int t = 0; t < tokens; t++) {
    __m128 sums = sum4(sum[t][0], sum[t][1], sum[t][2], sum[t][3]);
    if (rows == TILE_ROWS)
      _mm_storeu_ps(y + (size_t)t * y_stride, sums);
    else
      y[(size_t)t * y_stride] = _mm_cvtss_f32(sums);
  }
}

ALWAYS_INLINE void tile_tokens(float *y, size_t y_stride, const float *w, size_t w_stride,
                               const float *x, size_t x_stride, size_t columns, const int rows,
                               size_t tokens) {
  switch (tokens) {
  case 1:
    tile(y, y_stride, w, w_stride, x, x_stride, columns, rows, 1);
    break;
  case 2:
    tile(y, y_stride, w, w_stride, x, x_stride, columns, rows, 2);
    break;
  default:
    tile(y, y_stride, w, w_stride, x, x_stride, columns, rows, 3);
    break;
  }
}

/* rows of fp32 weights against all tokens: the tokens of a tile stay in the first cache while the
 * rows pass. */
static void block_of_rows(float *y, size_t y_stride, const float *w, size_t w_stride, size_t rows,
                          const float *x, size_t x_stride, size_t columns, size_t tokens) {
  for (size_t t = 0; t < tokens; t += TILE_TOKENS) {
    size_t now = tokens - t < TILE_TOKENS ? tokens - t : TILE_TOKENS, r = 0;
    float *out = y + t * y_stride;
    const float *in = x + t * x_stride;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
      tile_tokens(out + r, y_stride, w + r * w_stride, w_stride, in, x_stride, columns, TILE_ROWS,
                  now);
    for (; r < rows; r++)
      tile_tokens(out + r, y_stride, w + r * w_stride, w_stride, in, x_stride, columns, 1, now);
  }
}

void zh_matmul_avx2(float *y, size_t y_stride, const zh_matrix *w, const float *x, size_t x_stride,
                    size_t tokens, size_t begin, size_t end, void *scratch) {
  if (tokens == 1) {
    one_token_any(y, w, x, begin, end);
    return;
  }
  size_t most = zh_matmul_block_rows(w->columns), padded = (w->columns + 15) & ~(size_t)15;
  bool direct = w->type == ZH_F32 && (uintptr_t)w->data % 4 == 0 && w->row_bytes % 4 == 0;
  for (size_t r = begin; r < end; r += most) {
    size_t rows = end - r < most ? end - r : most, stride = direct ? w->row_bytes / 4 : padded;
    const uint8_t *first = (const uint8_t *)w->data + r * w->row_bytes;
    const float *block = direct ? (const float *)(const void *)first : scratch;
    for (size_t i = 0; i < rows && !direct; i++)
      zh_dequantize_row_avx2((float *)scratch + i * padded, first + i * w->row_bytes, w->type,
                             w->columns);
    block_of_rows(y + r, y_stride, block, stride, rows, x, x_stride, w->columns, tokens);
  }
}
