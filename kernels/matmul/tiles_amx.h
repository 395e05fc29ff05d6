/* What files with AMX tiles share. Included only by *_amx.c of this folder. */
#ifndef ZH_KERNELS_MATMUL_TILES_AMX_H
#define ZH_KERNELS_MATMUL_TILES_AMX_H

#include "kernels/lanes_avx512.h"
#include "kernels/matmul/packed.h"

enum { TILE_BYTES = 1024, TILE_ROW_BYTES = 64, TOKENS = 16, GROUP = ZH_PACKED_ROWS };

typedef struct tile_config {
  _Alignas(64) uint8_t palette;
  uint8_t start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_config;

ALWAYS_INLINE void tiles_configure(const tile_config *config) {
  __asm__ volatile("" ::: "memory"); /* compilers do not see that the next instruction reads it */
  _tile_loadconfig(config);
}

#endif
