/* Inside kernels/: one block of a type that has a file of its own. */
#ifndef ZH_KERNELS_QUANTIZE_QUANTIZE_H
#define ZH_KERNELS_QUANTIZE_QUANTIZE_H

#include "kernels/kernels.h"

/* 256 finite weights; false where a scale is beyond f16. */
bool zh_quantize_q4_k(uint8_t *block, const float *x);

#endif
