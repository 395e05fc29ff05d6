/* W x for weights that are not packed, in vectors of any machine: rows become fp32, then column c
 * goes to lane c % LANES of an output's one vector of sums, whatever stands beside it. */
#include "kernels/variants.h"
#include "kernels/vector_portable.h"

enum { TILE_ROWS = 4, TILE_TOKENS = 2 };

/* y[t][0 … rows) of up to TILE_ROWS rows and `tokens` tokens. */
ALWAYS_INLINE void tile(float *y, size_t y_stride, const float *w, size_t w_stride, size_t rows,
                        const float *x, size_t x_stride, size_t columns, const int tokens) {
  lanes sum[TILE_TOKENS][TILE_ROWS];
  for (int t = 0; t < tokens; t++)
    for (int r = 0; r < TILE_ROWS; r++) sum[t][r] = lanes_set(0);
  for (size_t c = 0; c < columns; c += LANES) {
    size_t left = columns - c;
    lanes value[TILE_TOKENS];
    for (int t = 0; t < tokens; t++) value[t] = lanes_load_some(x + (size_t)t * x_stride + c, left);
    for (size_t r = 0; r < TILE_ROWS; r++) { /* past the end the first row: not kept */
      lanes weight = lanes_load_some(w + (r < rows ? r : 0) * w_stride + c, left);
      for (int t = 0; t < tokens; t++) sum[t][r] = lanes_fma(weight, value[t], sum[t][r]);
    }
  }
  for (int t = 0; t < tokens; t++)
    for (size_t r = 0; r < rows; r++) y[(size_t)t * y_stride + r] = lanes_sum(sum[t][r]);
}

static void rows_by_tokens(float *y, size_t y_stride, const float *w, size_t w_stride, size_t rows,
                           const float *x, size_t x_stride, size_t columns, size_t tokens) {
  for (size_t t = 0; t < tokens; t += TILE_TOKENS)
    for (size_t r = 0; r < rows; r += TILE_ROWS) {
      float *out = y + t * y_stride + r;
      const float *in = x + t * x_stride, *first = w + r * w_stride;
      size_t now = rows - r < TILE_ROWS ? rows - r : TILE_ROWS;
      if (tokens - t == 1)
        tile(out, y_stride, first, w_stride, now, in, x_stride, columns, 1);
      else
        tile(out, y_stride, first, w_stride, now, in, x_stride, columns, TILE_TOKENS);
    }
}

void zh_matmul_portable(float *y, size_t y_stride, const zh_matrix *w, const float *x,
                        size_t x_stride, size_t tokens, size_t begin, size_t end, void *scratch) {
  size_t most = zh_matmul_block_rows(w->columns), padded = (w->columns + 15) & ~(size_t)15;
  bool direct = w->type == ZH_F32 && (uintptr_t)w->data % 4 == 0 && w->row_bytes % 4 == 0;
  for (size_t r = begin; r < end; r += most) {
    size_t rows = end - r < most ? end - r : most, stride = direct ? w->row_bytes / 4 : padded;
    const uint8_t *first = (const uint8_t *)w->data + r * w->row_bytes;
    const float *block = direct ? (const float *)(const void *)first : scratch;
    for (size_t i = 0; i < rows && !direct; i++)
      zh_dequantize_row((float *)scratch + i * padded, first + i * w->row_bytes, w->type,
                        w->columns);
    rows_by_tokens(y + r, y_stride, block, stride, rows, x, x_stride, w->columns, tokens);
  }
}
