/* Which products of packed weights the tables of AVX-512 are made of. */
#include "kernels/matmul/packed.h"

static const zh_roundings rounds_amx = {ZH_ROUND_BF16, ZH_ROUND_BYTES, ZH_ROUND_BF16};

static void prepare_amx(void *out, zh_dtype type, zh_way way, const float *x, size_t x_stride,
                        size_t columns, size_t tokens, size_t begin, size_t end) {
  switch (zh_rounding_of(&rounds_amx, type, way)) {
  case ZH_ROUND_BF16:
    zh_prepare_bf16_amx(out, x, x_stride, columns, tokens, begin, end);
    break;
  case ZH_ROUND_BYTES:
    zh_prepare_int8_avx512(out, x, x_stride, columns, tokens, begin, end);
    break;
  case ZH_ROUND_NONE:
    zh_prepare_fp32_avx512(out, x, x_stride, columns, tokens, begin, end);
  }
}

static void multiply_amx(float *y, size_t y_stride, const zh_packed *w, zh_way way,
                         const void *prepared, size_t tokens, size_t begin, size_t end,
                         void *scratch) {
  if (begin >= end || tokens == 0) return;
  switch (zh_rounding_of(&rounds_amx, w->type, way)) {
  case ZH_ROUND_BF16:
    zh_multiply_bf16_amx(y, y_stride, w, prepared, tokens, begin, end, scratch);
    break;
  case ZH_ROUND_BYTES:
    zh_multiply_int8_vnni(y, y_stride, w, prepared, tokens, begin, end);
    break;
  case ZH_ROUND_NONE:
    zh_multiply_fp32_avx512(y, y_stride, w, prepared, tokens, begin, end);
  }
}

void zh_add_products_amx(zh_kernels *table) {
  table->rounds = rounds_amx;
  table->prepare = prepare_amx;
  table->multiply = multiply_amx;
}

/* Bytes for any number of tokens: twice bf16's speed, where there are no tiles. */
static const zh_roundings rounds_vnni = {ZH_ROUND_BF16, ZH_ROUND_BYTES, ZH_ROUND_BYTES};

static void prepare_vnni(void *out, zh_dtype type, zh_way way, const float *x, size_t x_stride,
                         size_t columns, size_t tokens, size_t begin, size_t end) {
  switch (zh_rounding_of(&rounds_vnni, type, way)) {
  case ZH_ROUND_BF16:
    zh_prepare_bf16_avx512_bf16(out, x, x_stride, columns, tokens, begin, end);
    break;
  case ZH_ROUND_BYTES:
    zh_prepare_int8_avx512(out, x, x_stride, columns, tokens, begin, end);
    break;
  case ZH_ROUND_NONE:
    zh_prepare_fp32_avx512(out, x, x_stride, columns, tokens, begin, end);
  }
}

static void multiply_vnni(float *y, size_t y_stride, const zh_packed *w, zh_way way,
                          const void *prepared, size_t tokens, size_t begin, size_t end,
                          void *scratch) {
  if (begin >= end || tokens == 0) return;
  switch (zh_rounding_of(&rounds_vnni, w->type, way)) {
  case ZH_ROUND_BF16:
    zh_multiply_bf16_avx512_bf16(y, y_stride, w, prepared, tokens, begin, end);
    break;
  case ZH_ROUND_BYTES:
    if (way == ZH_FEW)
      zh_multiply_int8_vnni(y, y_stride, w, prepared, tokens, begin, end);
    else
      zh_multiply_many_int8_vnni(y, y_stride, w, prepared, tokens, begin, end, scratch);
    break;
  case ZH_ROUND_NONE:
    zh_multiply_fp32_avx512(y, y_stride, w, prepared, tokens, begin, end);
  }
}

void zh_add_products_vnni(zh_kernels *table) {
  table->rounds = rounds_vnni;
  table->prepare = prepare_vnni;
  table->multiply = multiply_vnni;
}
