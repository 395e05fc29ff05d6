#include "tests/kernelcheck/check.h"

#include "kernels/variants.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Variants must give the reference's bits, also where scales are subnormal, huge, infinite or no
 * number (any NaN equals any other). */
static double same_weights(const float *a, const float *b, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (memcmp(&a[i], &b[i], sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i]))) return INFINITY;
  return 0;
}

void check_dequantize(void) {
  for (size_t n = 0; n < weight_type_count; n++) {
    const zh_dtype_info *info = zh_dtype_find((uint32_t)weight_types[n]);
    size_t elements = info->block_elements == 1 ? 1003 : 4096;
    uint8_t *bytes = random_bytes(elements / info->block_elements * info->block_bytes);
    float *exact = zeroed(elements * sizeof *exact), *mine = zeroed(elements * sizeof *mine);
    zh_dequantize_row(exact, bytes, info->type, elements);
    zh_dequantize_row_fast(mine, bytes, info->type, elements);
    check_report("dequantize", "best", info->name, same_weights(mine, exact, elements));
#ifdef __x86_64__
    zh_cpu_features has = zh_cpu_detect();
    if (has.avx2_fma && has.f16c) {
      zh_dequantize_row_avx2(mine, bytes, info->type, elements);
      check_report("dequantize", "avx2", info->name, same_weights(mine, exact, elements));
    }
    if (has.avx512) {
      zh_dequantize_row_avx512(mine, bytes, info->type, elements);
      check_report("dequantize", "avx512", info->name, same_weights(mine, exact, elements));
    }
#endif
    free(bytes);
    free(exact);
    free(mine);
  }
}

typedef struct matmul_case {
  zh_matrix w;
  float *x, *y;
  void *scratch;
  size_t x_stride, y_stride, tokens;
} matmul_case;

enum { PADDING = 3 }; /* columns of x and y that nobody may touch */

static matmul_case matmul_prepare(zh_dtype type, size_t rows, size_t columns, size_t tokens) {
  uint64_t bytes;
  if (!zh_dtype_bytes(&bytes, type, columns)) exit(3);
  matmul_case c = {.w = {NULL, type, rows, columns, (size_t)bytes + 1},
                   .tokens = tokens}; /* rows lie unaligned */
  uint8_t *data = zeroed(rows * c.w.row_bytes);
  for (size_t r = 0; r < rows; r++) random_weights(data + r * c.w.row_bytes, type, columns);
  c.w.data = data;
  c.x_stride = columns + PADDING;
  c.y_stride = rows + PADDING;
  c.x = normal_floats(tokens * c.x_stride, 1);
  for (size_t t = 0; t < tokens; t++) /* what lies beyond a row must not enter its sum */
    for (size_t i = columns; i < c.x_stride; i++) c.x[t * c.x_stride + i] = NAN;
  c.y = zeroed(tokens * c.y_stride * sizeof *c.y);
  c.scratch = zeroed(zh_matmul_scratch_bytes(columns, tokens));
  return c;
}

static void matmul_release(matmul_case *c) {
  free((void *)(uintptr_t)c->w.data);
  free(c->x);
  free(c->y);
  free(c->scratch);
}

/* fp32 sums: each product and each addition rounds, at most columns + 1 in a row, so the error is
 * within gamma(columns + 1) sum |w x|. fp64 sums: one rounding to fp32, and sums 2^29 times finer.
 */
static double matmul_error(const matmul_case *c, bool fp64_sums) {
  double worst = 0;
  float *row = zeroed(c->w.columns * sizeof *row);
  for (size_t r = 0; r < c->w.rows; r++) {
    zh_dequantize_row(row, (const char *)c->w.data + r * c->w.row_bytes, c->w.type, c->w.columns);
    for (size_t t = 0; t < c->tokens; t++) {
      double exact = 0, size = 0;
      for (size_t i = 0; i < c->w.columns; i++) {
        double product = (double)row[i] * c->x[t * c->x_stride + i];
        exact += product;
        size += fabs(product);
      }
      double bound = gamma_of((double)c->w.columns + 1) * size;
      if (fp64_sums) bound = 0x1p-24 * fabs(exact) + (double)c->w.columns * 0x1p-51 * size;
      worst = worse(worst, c->y[t * c->y_stride + r], exact, bound);
    }
  }
  free(row);
  return worst;
}

/* The same bits from ranges of rows and from tokens one by one; nothing written beside. */
static double matmul_divided(const zh_kernels *k, const matmul_case *c) {
  size_t bytes = c->tokens * c->y_stride * sizeof(float), cut = c->w.rows / 3;
  float *y = zeroed(bytes);
  k->matmul(y, c->y_stride, &c->w, c->x, c->x_stride, c->tokens, cut, c->w.rows, c->scratch);
  k->matmul(y, c->y_stride, &c->w, c->x, c->x_stride, c->tokens, 0, cut, c->scratch);
  double worst = unless_equal(0, y, c->y, bytes);
  memset(y, 0, bytes);
  for (size_t t = 0; t < c->tokens; t++)
    k->matmul(y + t * c->y_stride, c->y_stride, &c->w, c->x + t * c->x_stride, c->x_stride, 1, 0,
              c->w.rows, c->scratch);
  worst = unless_equal(worst, y, c->y, bytes);
  free(y);
  return worst;
}

static void matmul_shape(const zh_kernels *k, zh_dtype type, size_t rows, size_t columns,
                         size_t tokens) {
  char shape[64];
  const char *name = zh_dtype_find((uint32_t)type)->name;
  matmul_case c = matmul_prepare(type, rows, columns, tokens);
  k->matmul(c.y, c.y_stride, &c.w, c.x, c.x_stride, tokens, 0, rows, c.scratch);
  snprintf(shape, sizeof shape, "%s %zux%zu, %zu tokens", name, rows, columns, tokens);
  check_report("matmul", k->name, shape, matmul_error(&c, k->fp64_sums));
  double divided = matmul_divided(k, &c);
  if (divided > 0) check_report("matmul divided", k->name, shape, divided);
  matmul_release(&c);
}

void check_matmul(const zh_kernels *k) {
  static const size_t shapes[][2] = {{1, 256}, {5, 512}, {70, 768}};
  static const size_t odd_columns[] = {1, 7, 17, 31, 100, 331};
  static const size_t token_counts[] = {1, 2, 5, 13};
  for (size_t n = 0; n < weight_type_count; n++)
    for (size_t s = 0; s < 3; s++)
      for (size_t t = 0; t < 4; t++)
        matmul_shape(k, weight_types[n], shapes[s][0], shapes[s][1], token_counts[t]);
  for (size_t n = 0; n < 3; n++) /* F32, F16, BF16: any number of columns */
    for (size_t c = 0; c < 6; c++)
      for (size_t t = 0; t < 4; t++)
        matmul_shape(k, weight_types[n], 6, odd_columns[c], token_counts[t]);
  for (size_t n = 0; n < weight_type_count; n++)
    if (zh_dtype_find((uint32_t)weight_types[n])->block_elements == 32)
      matmul_shape(k, weight_types[n], 9, 32 * 19, 4);
}
