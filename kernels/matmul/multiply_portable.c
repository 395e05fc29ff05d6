/* Products of packed weights in C that compilers turn into the vectors of any machine. */
#include <math.h>

#include "kernels/matmul/dots_portable.h"
#include "kernels/matmul/multiply_bytes.h"
#include "kernels/matmul/multiply_fp32.h"
#include "kernels/variants.h"

void zh_prepare_portable(void *out, zh_dtype type, zh_way way, const float *x, size_t x_stride,
                         size_t columns, size_t tokens, size_t begin, size_t end) {
  (void)tokens;
  zh_rounding rounding = zh_rounding_of(&zh_fp32_roundings, type, way);
  if (rounding == ZH_ROUND_BYTES)
    prepare_bytes(out, x, x_stride, columns, begin, end, false);
  else if (rounding == ZH_ROUND_TWO_BYTES)
    prepare_bytes(out, x, x_stride, columns, begin, end, true);
  else
    prepare_fp32(out, x, x_stride, columns, begin, end);
}

void zh_multiply_portable(float *y, size_t y_stride, const zh_packed *w, zh_way way,
                          const void *prepared, size_t tokens, size_t begin, size_t end,
                          void *scratch) {
  if (begin >= end || tokens == 0) return;
  zh_rounding rounding = zh_rounding_of(&zh_fp32_roundings, w->type, way);
  if (rounding != ZH_ROUND_NONE)
    multiply_bytes(y, y_stride, w, prepared, tokens, begin, end, rounding == ZH_ROUND_TWO_BYTES);
  else
    multiply_fp32(y, y_stride, w, way, prepared, tokens, begin, end, scratch);
}
