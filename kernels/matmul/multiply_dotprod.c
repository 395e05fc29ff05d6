/* Products of packed weights where the processor has dot products of bytes (Armv8.2 FEAT_DotProd);
 * others as multiply_portable.c. */
#include <math.h>

#include "kernels/matmul/dots_portable.h"
#include "kernels/matmul/multiply_bytes.h"

void zh_multiply_dotprod(float *y, size_t y_stride, const zh_packed *w, zh_way way,
                         const void *prepared, size_t tokens, size_t begin, size_t end,
                         void *scratch) {
  zh_rounding rounding = zh_rounding_of(&zh_fp32_roundings, w->type, way);
  if (rounding != ZH_ROUND_NONE)
    multiply_bytes(y, y_stride, w, prepared, tokens, begin, end, rounding == ZH_ROUND_TWO_BYTES);
  else
    zh_multiply_portable(y, y_stride, w, way, prepared, tokens, begin, end, scratch);
}
