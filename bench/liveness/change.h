/* One scalar of a row of weights, changed by about the size of its neighbours, in whatever format
 * the row is stored. */
#ifndef ZH_BENCH_LIVENESS_CHANGE_H
#define ZH_BENCH_LIVENESS_CHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/dtype.h"

typedef enum zh_change_result {
  ZH_CHANGED,
  ZH_CHANGE_ALL_ZERO, /* the scalar's group holds zeros alone: it has no size to change by */
  ZH_CHANGE_STUCK     /* the format cannot change this scalar alone (its scale is zero), or no float
                         is that near */
} zh_change_result;

/* The group of a scalar is its quantised block, or the aligned run of 32 scalars of the row where
 * the format has no blocks; the change's aim is the rms of the group. Floats move by the rms
 * towards zero and past it; of quantised scalars the bit of the code is flipped that comes nearest
 * to the rms. No other scalar of the row changes. row: a copy of whole blocks. */
zh_change_result zh_change_scalar(unsigned char *row, zh_dtype type, size_t columns, size_t column,
                                  float *was, float *is);

#endif
