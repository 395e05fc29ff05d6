/* Which products of packed weights the tables of AVX-512 are made of. */
#include "kernels/matmul/packed.h"

#include <unistd.h>

static const zh_roundings rounds_amx = {.bf16 = ZH_ROUND_BF16,
                                        .few = ZH_ROUND_BYTES,
                                        .many = ZH_ROUND_BF16,
                                        .fine = ZH_ROUND_TWO_BYTES,
                                        .attention = ZH_ROUND_BF16};

static void prepare_amx(void *out, zh_dtype type, zh_way way, const float *x, size_t x_stride,
                        size_t columns, size_t tokens, size_t begin, size_t end) {
  zh_rounding rounding = zh_rounding_of(&rounds_amx, type, way);
  switch (rounding) {
  case ZH_ROUND_BF16:
    zh_prepare_bf16_amx(out, x, x_stride, columns, tokens, begin, end);
    break;
  case ZH_ROUND_BYTES:
  case ZH_ROUND_TWO_BYTES:
    zh_prepare_int8_avx512(out, x, x_stride, columns, tokens, begin, end,
                           rounding == ZH_ROUND_TWO_BYTES);
    break;
  default: /* none; the accelerators alone round inputs and no weights */
    zh_prepare_fp32_avx512(out, x, x_stride, columns, tokens, begin, end);
  }
}

static void multiply_amx(float *y, size_t y_stride, const zh_packed *w, zh_way way,
                         const void *prepared, size_t tokens, size_t begin, size_t end,
                         void *scratch) {
  if (begin >= end || tokens == 0) return;
  zh_rounding rounding = zh_rounding_of(&rounds_amx, w->type, way);
  switch (rounding) {
  case ZH_ROUND_BF16:
    zh_multiply_bf16_amx(y, y_stride, w, prepared, tokens, begin, end, scratch);
    break;
  case ZH_ROUND_BYTES:
  case ZH_ROUND_TWO_BYTES:
    zh_multiply_int8_vnni(y, y_stride, w, prepared, tokens, begin, end,
                          rounding == ZH_ROUND_TWO_BYTES);
    break;
  default: /* none; the accelerators alone round inputs and no weights */
    zh_multiply_fp32_avx512(y, y_stride, w, prepared, tokens, begin, end);
  }
}

void zh_add_products_amx(zh_kernels *table) {
  table->rounds = rounds_amx;
  table->prepare = prepare_amx;
  table->multiply = multiply_amx;
}

/* Bytes for any number of tokens: twice bf16's speed, where there are no tiles. Weights of bf16 are
 * multiplied in fp32, unrounded, where the processor has no product of bf16. */
#define ROUNDS_BYTES .few = ZH_ROUND_BYTES, .many = ZH_ROUND_BYTES, .fine = ZH_ROUND_TWO_BYTES
static const zh_roundings rounds_vnni = {.bf16 = ZH_ROUND_BF16, ROUNDS_BYTES};
static const zh_roundings rounds_vnni_alone = {ROUNDS_BYTES};

static void prepare_rounded(void *out, zh_rounding rounding, const float *x, size_t x_stride,
                            size_t columns, size_t tokens, size_t begin, size_t end) {
  if (rounding == ZH_ROUND_BF16)
    zh_prepare_bf16_avx512_bf16(out, x, x_stride, columns, tokens, begin, end);
  else if (rounding == ZH_ROUND_NONE)
    zh_prepare_fp32_avx512(out, x, x_stride, columns, tokens, begin, end);
  else
    zh_prepare_int8_avx512(out, x, x_stride, columns, tokens, begin, end,
                           rounding == ZH_ROUND_TWO_BYTES);
}

static void multiply_rounded(float *y, size_t y_stride, const zh_packed *w, zh_rounding rounding,
                             zh_way way, const void *prepared, size_t tokens, size_t begin,
                             size_t end, void *scratch) {
  if (begin >= end || tokens == 0) return;
  if (rounding == ZH_ROUND_BF16)
    zh_multiply_bf16_avx512_bf16(y, y_stride, w, prepared, tokens, begin, end);
  else if (rounding == ZH_ROUND_NONE)
    zh_multiply_fp32_avx512(y, y_stride, w, prepared, tokens, begin, end);
  else if (way == ZH_MANY)
    zh_multiply_many_int8_vnni(y, y_stride, w, prepared, tokens, begin, end, scratch);
  else
    zh_multiply_int8_vnni(y, y_stride, w, prepared, tokens, begin, end,
                          rounding == ZH_ROUND_TWO_BYTES);
}

#define WITH_ROUNDS(name)                                                                          \
  static void prepare_##name(void *out, zh_dtype type, zh_way way, const float *x,                 \
                             size_t x_stride, size_t columns, size_t tokens, size_t begin,         \
                             size_t end) {                                                         \
    prepare_rounded(out, zh_rounding_of(&rounds_##name, type, way), x, x_stride, columns, tokens,  \
                    begin, end);                                                                   \
  }                                                                                                \
  static void multiply_##name(float *y, size_t y_stride, const zh_packed *w, zh_way way,           \
                              const void *prepared, size_t tokens, size_t begin, size_t end,       \
                              void *scratch) {                                                     \
    multiply_rounded(y, y_stride, w, zh_rounding_of(&rounds_##name, w->type, way), way, prepared,  \
                     tokens, begin, end, scratch);                                                 \
  }
WITH_ROUNDS(vnni)
WITH_ROUNDS(vnni_alone)

void zh_add_products_vnni(zh_kernels *table, bool bf16) {
  long cache = sysconf(_SC_LEVEL1_DCACHE_SIZE);
  zh_many_int8_vnni_cache(cache > 0 ? (size_t)cache : 0);
  table->rounds = bf16 ? rounds_vnni : rounds_vnni_alone;
  table->prepare = bf16 ? prepare_vnni : prepare_vnni_alone;
  table->multiply = bf16 ? multiply_vnni : multiply_vnni_alone;
}
