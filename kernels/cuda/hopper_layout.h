/* How Hopper's matrix units see shared memory, and in which order tiles are worked on: plain functions that kernels and
 * host tests share (tests/shim/test_hopper.cc holds them against the PTX ISA's formulas).
 *
 * A tile of bf16 has rows of 64 columns: 128 bytes. Eight rows are an atom of 1024 bytes, aligned to as much; in it the
 * sixteen-byte chunks of row r stand at their number xor r ("128-byte swizzle": bits 4 to 6 of an address are xored
 * with its bits 7 to 9), so that neither rows nor columns meet a bank twice. TMA writes tiles so, and wgmma reads them
 * so. */
#ifndef ZH_KERNELS_CUDA_HOPPER_LAYOUT_H
#define ZH_KERNELS_CUDA_HOPPER_LAYOUT_H

#include <stdint.h>

#ifdef __CUDACC__
#define ZH_BOTH __host__ __device__ __forceinline__
#else
#define ZH_BOTH inline
#endif

enum {
  ZH_ATOM_ROWS = 8,
  ZH_ATOM_ROW_BYTES = 128,
  ZH_ATOM_BYTES = ZH_ATOM_ROWS * ZH_ATOM_ROW_BYTES,
  ZH_CHUNK_BYTES = 16
};

/* Where in a tile the chunk (of eight columns of bf16) of a row begins. */
static ZH_BOTH uint32_t zh_chunk_place(uint32_t row, uint32_t chunk) {
  return row * ZH_ATOM_ROW_BYTES + (chunk ^ row % ZH_ATOM_ROWS) * ZH_CHUNK_BYTES;
}

/* The matrix descriptor of wgmma (PTX ISA, "Matrix-descriptor format") of rows that begin at this shared address, depth
 * first, 128-byte swizzle: the address / 16 in bits 0 to 13; the leading offset, which this layout does not use, as 1
 * in bits 16 to 29; from an atom to the next rows' / 16 in bits 32 to 45; no base offset, since atoms are aligned; 1 in
 * bits 62 and 63. Further along a row: as many bytes / 16 added to it. */
static ZH_BOTH uint64_t zh_matrix_descriptor(uint32_t address) {
  return (uint64_t)((address & 0x3FFFFu) >> 4) | (uint64_t)1 << 16 | (uint64_t)(ZH_ATOM_BYTES >> 4) << 32 |
         (uint64_t)1 << 62;
}

/* --- the order of tiles --- */

struct zh_tile_place {
  uint32_t tokens, rows; /* which tile of each */
};
enum { ZH_TOKEN_TILES_TOGETHER = 8 };

/* Tile `index` of a part: eight tiles of tokens by all tiles of rows, then the next eight, so that those that are
 * worked on at once form a block, and read from the second level what another has read. */
static ZH_BOTH zh_tile_place zh_tile_at(uint32_t index, uint32_t token_tiles, uint32_t row_tiles) {
  uint32_t group = index / (ZH_TOKEN_TILES_TOGETHER * row_tiles), first = group * ZH_TOKEN_TILES_TOGETHER;
  uint32_t within = index - first * row_tiles, left = token_tiles - first;
  uint32_t wide = left < ZH_TOKEN_TILES_TOGETHER ? left : (uint32_t)ZH_TOKEN_TILES_TOGETHER;
  return zh_tile_place{first + within % wide, within / wide};
}

/* --- a ring of stages --- */

/* Which stage is next, and the parity of the phase that its filling has there. */
struct zh_ring_place {
  uint32_t stage, parity;
};
static ZH_BOTH void zh_ring_next(zh_ring_place &at, uint32_t stages) {
  if (++at.stage < stages) return;
  at.stage = 0;
  at.parity ^= 1u;
}

#endif
