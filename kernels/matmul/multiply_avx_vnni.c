/* Products of packed weights by AVX2 where the processor has AVX-VNNI: of bytes; others as
 * multiply_avx2.c. */
#include <math.h>

#include "kernels/matmul/dots_avx2.h"
#include "kernels/matmul/multiply_bytes.h"

void zh_multiply_avx_vnni(float *y, size_t y_stride, const zh_packed *w, zh_way way,
                          const void *prepared, size_t tokens, size_t begin, size_t end,
                          void *scratch) {
  zh_rounding rounding = zh_rounding_of(&zh_fp32_roundings, w->type, way);
  if (rounding != ZH_ROUND_NONE)
    multiply_bytes(y, y_stride, w, prepared, tokens, begin, end, rounding == ZH_ROUND_TWO_BYTES);
  else
    zh_multiply_avx2(y, y_stride, w, way, prepared, tokens, begin, end, scratch);
}
