#include "kernels/kernels.h"
#include "kernels/variants.h"

/* Eight fp64 partial sums, column c in sum c % 8, added pairwise: a fixed order that compilers can
 * vectorise. The product of two fp32 values is exact in fp64, so fused or not, each step rounds
 * once and gives the same bits. */
static double dot(const float *w, const float *x, size_t columns) {
  double sum[8] = {0};
  size_t whole = columns & ~(size_t)7;
  for (size_t c = 0; c < whole; c += 8)
    for (int i = 0; i < 8; i++) sum[i] += (double)w[c + i] * x[c + i];
  for (size_t c = whole; c < columns; c++) sum[c & 7] += (double)w[c] * x[c];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

void zh_matmul_ref(float *y, size_t y_stride, const zh_matrix *w, const float *x, size_t x_stride,
                   size_t tokens, size_t begin, size_t end, void *scratch) {
  float *row = scratch; /* [columns] */
  for (size_t r = begin; r < end; r++) {
    zh_dequantize_row(row, (const char *)w->data + r * w->row_bytes, w->type, w->columns);
    for (size_t t = 0; t < tokens; t++)
      y[t * y_stride + r] = (float)dot(row, x + t * x_stride, w->columns);
  }
}
