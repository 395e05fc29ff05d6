/* Rows of a product with unrounded weights; product_plain.cu and persist_steps.cu launch it. */
#ifndef ZH_KERNELS_CUDA_PRODUCT_PLAIN_CUH
#define ZH_KERNELS_CUDA_PRODUCT_PLAIN_CUH

#include "product.cuh"

namespace zh_plain {

enum { WARPS = 8, TOKENS = 8 };

/* Each warp a row, the index-th WARPS of them, of a part. */
template <int FORM> ZH_DEVICE void multiply_rows(const zh_product_view &v, uint32_t index, uint32_t part) {
  zh_part_of p = zh_part_at(v, part);
  uint32_t tile = index * WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (tile >= v.tiles) return;
  const zh_product_side &s = v.side[zh_side_of(v, tile)];
  uint32_t row = tile - s.first_tile;
  for (uint32_t first = 0; first < p.tokens; first += TOKENS) {
    float sum[TOKENS] = {};
    for (uint32_t column = lane * 8; column < v.columns; column += 32 * 8) {
      float w[8], x[8];
      zh_eight_values<FORM>(w, s.w, (size_t)p.part * s.rows + row, column);
#pragma unroll
      for (uint32_t t = 0; t < TOKENS; ++t) {
        if (first + t >= p.tokens) break;
        zh_eight_inputs(x, v, zh_place_of_x(v, p, first + t), column);
        for (uint32_t i = 0; i < 8; ++i) sum[t] = fmaf(w[i], x[i], sum[t]);
      }
    }
#pragma unroll
    for (uint32_t t = 0; t < TOKENS; ++t) {
      if (first + t >= p.tokens) break;
      float all = zh_warp_sum(sum[t]);
      if (lane == 0) zh_put_product(v, s, p, row, first + t, all);
    }
  }
}

} // namespace zh_plain

#endif
