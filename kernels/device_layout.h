/* Units in which numbers and scales lie on a device: kernels/device_forms.c says why. */
#ifndef ZH_KERNELS_DEVICE_LAYOUT_H
#define ZH_KERNELS_DEVICE_LAYOUT_H

#include <stddef.h>

enum {
  ZH_DEVICE_PIECE = 64,    /* bytes that four threads read together */
  ZH_DEVICE_BLOCK = 32,    /* columns that have a scale */
  ZH_DEVICE_SUPER = 256,   /* columns of a block of Q4_K */
  ZH_DEVICE_ROW_UNIT = 16, /* bytes: rows of scales, of keys and of values begin at multiples */
};

static inline size_t zh_device_blocks(size_t columns, size_t each) {
  return (columns + each - 1) / each;
}

#endif
