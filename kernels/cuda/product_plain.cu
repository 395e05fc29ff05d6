/* Products with F32 and F16 weights, which nothing rounds: a warp has a row and up to eight tokens, both ways alike. */
#include "product.cuh"

namespace {

enum { WARPS = 8, TOKENS = 8 };

/* Grid: rows (tiles of one), parts. */
template <int FORM> ZH_KERNEL void plain_rows(zh_product_view v) {
  zh_part_of p = zh_part_at(v, blockIdx.y);
  uint32_t tile = blockIdx.x * WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
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

template <int FORM> void launch(zh_device *device, const zh_product_view *v) {
  auto kernel = plain_rows<FORM>;
  ZH_LAUNCH(kernel, dim3((v->tiles + WARPS - 1) / WARPS, v->parts), 32 * WARPS, 0, device->stream, *v);
}

} // namespace

zh_status zh_cuda_product_plain(zh_device *device, zh_product_view *v, zh_device_form form, zh_error *err) {
  zh_count_tiles(v, 1);
  if (form == ZH_FORM_F16)
    launch<ZH_FORM_F16>(device, v);
  else
    launch<ZH_FORM_F32>(device, v);
  return zh_cuda_launched(device, "a product with unrounded weights", err);
}
