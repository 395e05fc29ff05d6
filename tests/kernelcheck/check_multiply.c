/* Products of packed weights: the bits come back from the packed form, results are within fp32's
 * bound of fp64 on operands rounded to bf16, and however work is divided they are the same. */
#include "kernels/matmul/packed.h"
#include "tests/kernelcheck/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PADDING = 3 };

typedef struct multiply_case {
  zh_matrix w;
  zh_packed packed;
  float *x, *y;
  void *prepared, *scratch;
  size_t x_stride, y_stride, tokens;
  zh_way way;
  zh_rounding rounding;
} multiply_case;

static multiply_case multiply_prepare(zh_dtype type, zh_way way, zh_rounding rounding, size_t rows,
                                      size_t columns, size_t tokens) {
  uint64_t bytes;
  if (!zh_dtype_bytes(&bytes, type, columns)) exit(3);
  multiply_case c = {.w = {NULL, type, rows, columns, (size_t)bytes + 1},
                     .tokens = tokens,
                     .way = way,
                     .rounding = rounding};
  uint8_t *data = zeroed(rows * c.w.row_bytes);
  for (size_t r = 0; r < rows; r++) random_weights(data + r * c.w.row_bytes, type, columns);
  c.w.data = data;
  void *packed = zeroed(zh_packed_bytes(type, rows, columns));
  zh_pack_rows(packed, type, data, rows, c.w.row_bytes, columns);
  c.packed = (zh_packed){packed, type, rows, columns};
  c.x_stride = columns + PADDING;
  c.y_stride = rows + PADDING;
  c.x = normal_floats(tokens * c.x_stride, 1);
  for (size_t t = 0; t < tokens; t++)
    for (size_t i = columns; i < c.x_stride; i++) c.x[t * c.x_stride + i] = NAN;
  c.y = zeroed(tokens * c.y_stride * sizeof *c.y);
  c.prepared = zeroed(zh_prepared_bytes(rounding, columns, tokens));
  c.scratch = zeroed(zh_multiply_scratch_bytes(columns));
  return c;
}

static void multiply_release(multiply_case *c) {
  free((void *)(uintptr_t)c->w.data);
  free((void *)(uintptr_t)c->packed.data);
  free(c->x);
  free(c->y);
  free(c->prepared);
  free(c->scratch);
}

static double rows_come_back(const multiply_case *c) {
  uint64_t bytes;
  if (!zh_dtype_bytes(&bytes, c->w.type, c->w.columns)) exit(3);
  uint8_t *row = random_bytes(bytes);
  double worst = 0;
  for (size_t r = 0; r < c->w.rows; r++) {
    zh_unpack_row(row, &c->packed, r);
    worst = unless_equal(worst, row, (const char *)c->w.data + r * c->w.row_bytes, bytes);
  }
  free(row);
  return worst;
}

/* bf16: products of two bf16 numbers are exact in fp32; a sum rounds at most once for each column
 * and each step of 32. Quanta: a block's integer is exact; scales multiply it with two roundings
 * (products of d with a and with the integer, d itself of a K-quant exact), and each block adds
 * twice; d q x and m x stand apart, so their magnitudes count apart. Of two bytes the integer may
 * be rounded once. What is below fp32's normal numbers may be taken for zero. */
static double multiply_error(const multiply_case *c) {
  double worst = 0;
  size_t columns = c->w.columns;
  bool two = c->rounding == ZH_ROUND_TWO_BYTES, bytes = two || c->rounding == ZH_ROUND_BYTES;
  float *row = zeroed(columns * sizeof *row), *x = zeroed(columns * sizeof *x);
  for (size_t t = 0; t < c->tokens; t++) {
    zh_rounded(x, c->rounding, c->x + t * c->x_stride, columns);
    for (size_t r = 0; r < c->w.rows; r++) {
      zh_dequantize_row(row, (const char *)c->w.data + r * c->w.row_bytes, c->w.type, columns);
      zh_rounded_weights(row, c->rounding, columns);
      double exact = 0, size = 0;
      for (size_t i = 0; i < columns; i++) {
        exact += (double)row[i] * x[i];
        size += fabs((double)row[i] * x[i]);
      }
      double terms = (double)columns;
      double roundings = bytes ? (two ? 4 : 3) * terms / 32 + 4 : terms + terms / 32 + 2;
      double bound = gamma_of(roundings) * size * (bytes ? 4 : 1);
      worst = worse(worst, c->y[t * c->y_stride + r], exact, bound + terms * 0x1p-120);
    }
  }
  free(row);
  free(x);
  return worst;
}

static void multiply_all(const zh_kernels *k, const multiply_case *c, float *y, const float *x,
                         size_t tokens, size_t cut) {
  size_t half = tokens / 2 & ~(size_t)15;
  k->prepare(c->prepared, c->w.type, c->way, x, c->x_stride, c->w.columns, tokens, half, tokens);
  if (half)
    k->prepare(c->prepared, c->w.type, c->way, x, c->x_stride, c->w.columns, tokens, 0, half);
  k->multiply(y, c->y_stride, &c->packed, c->way, c->prepared, tokens, cut, c->w.rows, c->scratch);
  if (cut) k->multiply(y, c->y_stride, &c->packed, c->way, c->prepared, tokens, 0, cut, c->scratch);
}

/* The same bits from ranges of rows, from tokens one by one and from the first few; nothing written
 * beside. */
static double multiply_divided(const zh_kernels *k, const multiply_case *c) {
  size_t bytes = c->tokens * c->y_stride * sizeof(float), cut = c->w.rows / 3 & ~(size_t)15;
  float *y = zeroed(bytes);
  multiply_all(k, c, y, c->x, c->tokens, cut);
  double worst = unless_equal(0, y, c->y, bytes);
  memset(y, 0, bytes);
  for (size_t t = 0; t < c->tokens;) {
    size_t now = t < 3 ? 1 : c->tokens - t < 37 ? c->tokens - t : 37;
    multiply_all(k, c, y + t * c->y_stride, c->x + t * c->x_stride, now, 0);
    t += now;
  }
  worst = unless_equal(worst, y, c->y, bytes);
  free(y);
  return worst;
}

static void multiply_shape(const zh_kernels *k, zh_dtype type, zh_way way, size_t rows,
                           size_t columns, size_t tokens) {
  char shape[64];
  const char *name = zh_dtype_find((uint32_t)type)->name;
  multiply_case c =
      multiply_prepare(type, way, zh_rounding_of(&k->rounds, type, way), rows, columns, tokens);
  snprintf(shape, sizeof shape, "%s %zux%zu, %zu tokens, %s", name, rows, columns, tokens,
           way == ZH_FEW    ? "few"
           : way == ZH_MANY ? "many"
                            : "fine");
  double back = rows_come_back(&c);
  if (back > 0) check_report("pack", "portable", shape, back);
  if (k->multiply) {
    multiply_all(k, &c, c.y, c.x, tokens, 0);
    check_report("multiply", k->name, shape, multiply_error(&c));
    double divided = multiply_divided(k, &c);
    if (divided > 0) check_report("multiply divided", k->name, shape, divided);
  }
  multiply_release(&c);
}

static void multiply_shapes(const zh_kernels *k, zh_dtype type, zh_way way) {
  static const size_t shapes[][2] = {{1, 256}, {37, 768}, {96, 1280}};
  static const size_t odd_columns[] = {1, 7, 31, 100, 331};
  static const size_t token_counts[] = {1, 2, 15, 16, 17, 33, 75};
  for (size_t s = 0; s < 3; s++)
    for (size_t t = 0; t < 7; t++)
      multiply_shape(k, type, way, shapes[s][0], shapes[s][1], token_counts[t]);
  if (zh_dtype_find((uint32_t)type)->block_elements == 32)
    multiply_shape(k, type, way, 50, 32 * 19, 40);
  bool any = zh_dtype_find((uint32_t)type)->block_elements == 1;
  for (size_t c = 0; c < 5 && any; c++)
    for (size_t t = 0; t < 7; t++)
      multiply_shape(k, type, way, 21, odd_columns[c], token_counts[t]);
  /* More rows, columns and tokens than a block of the kernels holds. */
  multiply_shape(k, type, way, 16 * 18 + 5, 32 * 64 + 256, 16 * 17 + 3);
}

void check_multiply(const zh_kernels *k) {
  for (size_t n = 0; n < weight_type_count; n++) {
    if (!zh_packs(weight_types[n])) continue;
    multiply_shapes(k, weight_types[n], ZH_FEW);
    multiply_shapes(k, weight_types[n], ZH_MANY);
    if (zh_rounding_of(&k->rounds, weight_types[n], ZH_FINE) == ZH_ROUND_TWO_BYTES)
      multiply_shapes(k, weight_types[n], ZH_FINE);
  }
}

/* What processors do that lack an instruction of this one: products that its tables pass by. */
static void check_as(const char *name,
                     void (*multiply)(float *, size_t, const zh_packed *, zh_way, const void *,
                                      size_t, size_t, size_t, void *)) {
  for (const zh_kernels *const *k = zh_kernels_all(); *k; k++) {
    bool avx2 = strncmp(name, "avx2", 4) == 0;
    if (strcmp((*k)->name, avx2 ? "avx2" : "portable") != 0 || (*k)->multiply == multiply) continue;
    zh_kernels plain = **k;
    plain.name = name;
    plain.multiply = multiply;
    for (size_t n = 0; n < weight_type_count; n++) {
      if (zh_rounding_of(&plain.rounds, weight_types[n], ZH_FEW) != ZH_ROUND_BYTES) continue;
      multiply_shapes(&plain, weight_types[n], ZH_FEW);
      multiply_shapes(&plain, weight_types[n], ZH_FINE);
    }
  }
}

void check_multiply_without(void) {
  check_as("no dotprod", zh_multiply_portable);
#ifdef __x86_64__
  check_as("avx2, no vnni", zh_multiply_avx2);
  if (!zh_cpu_detect().avx512_vnni) return;
  zh_kernels alone = *zh_kernels_reference();
  alone.name = "vnni, no bf16";
  alone.fp64_sums = false;
  zh_add_products_vnni(&alone, false);
  multiply_shapes(&alone, ZH_BF16, ZH_FEW);
  multiply_shapes(&alone, ZH_BF16, ZH_MANY);
#endif
}
