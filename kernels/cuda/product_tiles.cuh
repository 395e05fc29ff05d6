/* Tiles of 128 rows by 128 tokens, out of shared memory by the matrix instructions of a warp: what product_many.cu and
 * product_e4m3.cu share. A step has 64 bytes of each row and token: 32 columns of bf16, or 64 of E4M3, of which matrices
 * of halves are loaded all the same. Eight warps have 32 rows by 64 tokens each. */
#ifndef ZH_KERNELS_CUDA_PRODUCT_TILES_CUH
#define ZH_KERNELS_CUDA_PRODUCT_TILES_CUH

#include "product_many.cuh"

namespace zh_tiles {

enum {
  TILE = 128, /* rows, tokens */
  DEEP = 32,  /* halves of a step */
  PITCH = 40, /* halves of a row in shared memory: eight rows beside each other meet no bank twice */
  THREADS = 256,
  WARP_ROWS = 32,
  WARP_TOKENS = 64
};

/* 32 bytes of a row of weights and of a token, by each thread. */
struct step {
  uint32_t a[8], b[8];
};

ZH_DEVICE void keep_half(zh_shared<uint16_t> to, uint32_t row, uint32_t column, const uint32_t (&word)[8]) {
  zh_store(to, row * PITCH + column, make_uint4(word[0], word[1], word[2], word[3]));
  zh_store(to, row * PITCH + column + 8, make_uint4(word[4], word[5], word[6], word[7]));
}

/* sum[rows of 16][tokens of 8] += what the two planes hold. */
template <bool E4M3>
ZH_DEVICE void multiply_step(float (&sum)[2][8][4], zh_shared<uint16_t> weights, zh_shared<uint16_t> inputs,
                             uint32_t first_row, uint32_t first_token) {
  uint32_t lane = threadIdx.x % 32;
#pragma unroll
  for (uint32_t k = 0; k < DEEP; k += 16) {
    uint32_t a[2][4], b[8][2];
#pragma unroll
    for (uint32_t i = 0; i < 2; ++i)
      zh_load_matrices(a[i], weights, (first_row + 16 * i + lane % 16) * PITCH + k + lane / 16 * 8);
#pragma unroll
    for (uint32_t j = 0; j < 8; j += 2) {
      uint32_t four[4];
      zh_load_matrices(four, inputs, (first_token + 8 * j + lane % 8 + lane / 16 * 8) * PITCH + k + lane / 8 % 2 * 8);
      b[j][0] = four[0], b[j][1] = four[1], b[j + 1][0] = four[2], b[j + 1][1] = four[3];
    }
#pragma unroll
    for (uint32_t i = 0; i < 2; ++i)
      for (uint32_t j = 0; j < 8; ++j)
        if constexpr (E4M3)
          zh_mma_e4m3(sum[i][j], a[i], b[j]);
        else
          zh_mma_bf16(sum[i][j], a[i], b[j]);
  }
}

ZH_DEVICE void put_tile(const zh_product_view &v, const zh_product_side &s, const zh_part_of &p,
                        const float (&sum)[2][8][4], uint32_t first_row, uint32_t first_token) {
  uint32_t g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
#pragma unroll
  for (uint32_t j = 0; j < 8; ++j)
    for (uint32_t i = 0; i < 2; ++i)
      for (uint32_t e = 0; e < 4; ++e) {
        uint32_t row = first_row + 16 * i + g + e / 2 * 8, token = first_token + 8 * j + 2 * c + e % 2;
        if (row < s.rows && token < p.tokens) zh_put_product(v, s, p, row, token, sum[i][j][e]);
      }
}

/* Tiles of tokens, tiles of rows, parts. */
static inline dim3 grid_of(const zh_product_view *v) {
  return dim3(v->kind == ZH_PRODUCT_GROUPED ? 1 : (v->tokens + TILE - 1) / TILE, v->tiles, v->parts);
}

} // namespace zh_tiles

#endif
