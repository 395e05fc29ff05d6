/* Products of many tokens: tiles of 128 rows by 128 tokens, 32 columns a step, by mma.m16n8k16. What a step multiplies
 * is brought to bf16 on its way into shared memory, weights with their scales; the next step's numbers are on their way
 * meanwhile. Sums go through the columns in order, so that a token's bits do not depend on the others. */
#include "product_tiles.cuh"

using namespace zh_tiles;

namespace {

struct source {
  size_t row, x; /* a row of the matrix; where a token's row of x begins */
  bool has_row, has_token;
};

template <int FORM>
ZH_DEVICE step load_step(const zh_product_view &v, const zh_weights_view &w, const source &from, uint32_t column) {
  step s;
  for (uint32_t h = 0; h < 2; ++h) {
    uint32_t at = column + 8 * h, pair[4] = {0, 0, 0, 0};
    if (from.has_row) {
      if constexpr (FORM == ZH_FORM_BF16) {
        uint4 raw = zh_load<uint4>(w.numbers, from.row * w.row_bytes + at * 2);
        pair[0] = raw.x, pair[1] = raw.y, pair[2] = raw.z, pair[3] = raw.w;
      } else {
        float value[8];
        zh_eight_values<FORM>(value, w, from.row, at);
        zh_pairs_of(pair, value);
      }
    }
    for (uint32_t i = 0; i < 4; ++i) s.a[4 * h + i] = pair[i];
    float x[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    if (from.has_token) zh_eight_inputs(x, v, from.x, at);
    zh_pairs_of(pair, x);
    for (uint32_t i = 0; i < 4; ++i) s.b[4 * h + i] = pair[i];
  }
  return s;
}

/* Grid: grid_of. */
template <int FORM> ZH_KERNEL void __launch_bounds__(THREADS, 2) many_tokens(zh_product_view v) {
  ZH_SHARED(uint16_t, weights, 2 * TILE * PITCH);
  ZH_SHARED(uint16_t, inputs, 2 * TILE * PITCH);
  zh_part_of p = zh_part_at(v, blockIdx.z);
  const zh_product_side &s = v.side[zh_side_of(v, blockIdx.y)];
  uint32_t warp = threadIdx.x / 32, line = threadIdx.x / 2, half = threadIdx.x % 2 * 16;
  uint32_t first_row = (blockIdx.y - s.first_tile) * TILE, steps = (v.columns + DEEP - 1) / DEEP;
  for (uint32_t first = blockIdx.x * TILE; first < p.tokens; first += gridDim.x * TILE) {
    float sum[2][8][4] = {};
    source from = {(size_t)p.part * s.rows + first_row + line, 0, first_row + line < s.rows, first + line < p.tokens};
    if (from.has_token) from.x = zh_place_of_x(v, p, first + line);
    step next = load_step<FORM>(v, s.w, from, half);
    for (uint32_t k = 0; k < steps; ++k) {
      zh_shared<uint16_t> a = weights + k % 2 * TILE * PITCH, b = inputs + k % 2 * TILE * PITCH;
      keep_half(a, line, half, next.a);
      keep_half(b, line, half, next.b);
      __syncthreads(); /* two steps ago everyone was done with this half */
      if (k + 1 < steps) next = load_step<FORM>(v, s.w, from, (k + 1) * DEEP + half);
      multiply_step<false>(sum, a, b, warp / 2 * WARP_ROWS, warp % 2 * WARP_TOKENS);
    }
    put_tile(v, s, p, sum, first_row + warp / 2 * WARP_ROWS, first + warp % 2 * WARP_TOKENS);
    __syncthreads();
  }
}

template <int FORM> void launch(zh_device *device, const zh_product_view *v) {
  auto kernel = many_tokens<FORM>;
  ZH_LAUNCH(kernel, grid_of(v), THREADS, 0, device->stream, *v);
}

} // namespace

zh_status zh_cuda_product_mma(zh_device *device, zh_product_view *v, const zh_product_matrices *matrices,
                              zh_error *err) {
  zh_count_tiles(v, TILE);
  switch (matrices->form) {
  case ZH_FORM_BF16:
    launch<ZH_FORM_BF16>(device, v);
    break;
  case ZH_FORM_E4M3:
    launch<ZH_FORM_E4M3>(device, v);
    break;
  case ZH_FORM_Q8:
    launch<ZH_FORM_Q8>(device, v);
    break;
  case ZH_FORM_Q4:
    launch<ZH_FORM_Q4>(device, v);
    break;
  case ZH_FORM_Q4_1:
    launch<ZH_FORM_Q4_1>(device, v);
    break;
  default:
    launch<ZH_FORM_Q4_K>(device, v);
  }
  return zh_cuda_launched(device, "a product of many tokens", err);
}
