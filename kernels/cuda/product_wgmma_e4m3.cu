/* Products of weights of E4M3 with many tokens, whose inputs were rounded to E4M3 before, by Hopper's own instructions:
 * the blocks, tiles and ring of product_wgmma.cu, where a stage is a group of 128 columns, 128 bytes of each row and
 * token, and all of it comes by TMA.
 *
 * The units keep 13 bits below the largest term of a sum (zh_rounding_loss). So a warpgroup waits for the four products
 * of a group, and adds what they gave, times the scales of token and weights, to sums in fp32: 64 multiply-adds of each
 * thread for 256 cycles of the units, which meanwhile have the other warpgroup's products. */
#include "product_wgmma.cuh"

namespace {

enum { GROUP = ZH_E4M3_GROUP, E4M3_DEPTH = 32 };
static_assert((int)GROUP == (int)ZH_BOX_BYTES, "a stage is a group");

struct e4m3_view {
  wgmma_view w;
  zh_global<const float> scales; /* of the inputs: [groups][count] */
  uint32_t count;
  bool by_rows; /* rows of a tile have scales of their own, each one for all columns: they meet the whole sums */
};

#if ZH_HAS_HOPPER

/* Scales of a group as they come from memory: the weights', and those of the two tokens that a thread has of each of its
 * blocks. They are asked for while the products of the group before are made, and used behind these: what is used is
 * waited for. */
template <int COUNT> struct group_scales {
  float weights, tokens[COUNT][2];
};

/* first: the thread's first token among the inputs; at: the first scale of the tile's rows. */
template <int COUNT>
ZH_DEVICE group_scales<COUNT> load_scales(const e4m3_view &v, uint32_t side, uint32_t first, uint32_t at,
                                          uint32_t index) {
  group_scales<COUNT> scales;
  const zh_weights_view &w = v.w.v.side[side].w;
  scales.weights = 1.0f;
  if (!v.by_rows) scales.weights = zh_load<float>(w.scales, (size_t)(at + (w.scale_columns == GROUP ? index : 0)) * 4);
#pragma unroll
  for (uint32_t m = 0; m < COUNT; ++m)
    for (uint32_t h = 0; h < 2; ++h) { /* tokens behind the last are taken for it, and not put */
      uint32_t token = min(first + m * CONSUMERS * ZH_WGMMA_ROWS + 8 * h, v.count - 1);
      scales.tokens[m][h] = v.scales[(size_t)index * v.count + token];
    }
  return scales;
}

/* This warpgroup's COUNT blocks of 64 tokens through all stages of a tile. */
template <int COUNT>
ZH_DEVICE void take_groups(float (&sum)[2][ZH_WGMMA_SUMS], const e4m3_view &v, const tile &t, const zh_part_of &p,
                           const ring &r, zh_ring_place &at, uint32_t steps, uint32_t group) {
  const zh_product_side &s = v.w.v.side[t.side];
  uint32_t first = zh_shared_address(r.stages);
  uint32_t from = (p.part * s.rows + t.first_row) / s.w.scale_rows * s.w.scale_stride;
  uint32_t token = t.first_input + group * ZH_WGMMA_ROWS + threadIdx.x % ZH_WARPGROUP / 32 * 16 + threadIdx.x % 32 / 4;
  float part[ZH_WGMMA_SUMS] = {};
  group_scales<COUNT> scales = load_scales<COUNT>(v, t.side, token, from, 0);
  for (uint32_t k = 0; k < steps; ++k) {
    zh_barrier_wait(r.barriers, FULL + at.stage, at.parity);
    uint32_t stage = first + at.stage * STAGE_BYTES;
    uint64_t b = zh_matrix_descriptor(stage + INPUT_BYTES), a = zh_matrix_descriptor(stage + group * BLOCK_BYTES);
#pragma unroll
    for (uint32_t m = 0; m < COUNT; ++m) {
      zh_wgmma_fence();
#pragma unroll
      for (uint32_t i = 0; i < GROUP / E4M3_DEPTH; ++i)
        zh_wgmma_e4m3(part, a + (m * CONSUMERS * BLOCK_BYTES + i * E4M3_DEPTH) / 16, b + i * E4M3_DEPTH / 16, i > 0);
      zh_wgmma_commit();
      const float scale[2] = {scales.weights * scales.tokens[m][0], scales.weights * scales.tokens[m][1]};
      if (m + 1 == COUNT && k + 1 < steps) scales = load_scales<COUNT>(v, t.side, token, from, k + 1);
      zh_wgmma_wait<0>();
      zh_wgmma_settle(part);
      if (m + 1 == COUNT) release(r, at.stage);
#pragma unroll
      for (uint32_t e = 0; e < ZH_WGMMA_SUMS; ++e) sum[m][e] = fmaf(scale[e / 2 % 2], part[e], sum[m][e]);
    }
    zh_ring_next(at, STAGES);
  }
}

/* Scales of rows, of all columns. */
ZH_DEVICE void scale_rows(float (&sum)[ZH_WGMMA_SUMS], const e4m3_view &v, const tile &t, const zh_part_of &p) {
  const zh_product_side &s = v.w.v.side[t.side];
  uint32_t c = threadIdx.x % 4;
#pragma unroll
  for (uint32_t e = 0; e < ZH_WGMMA_SUMS; e += 4)
    for (uint32_t i = 0; i < 2; ++i) {
      uint32_t row = min(t.first_row + 2 * e + 2 * c + i, s.rows - 1);
      float scale = zh_scale_at<ZH_FORM_E4M3>(s.w, (size_t)p.part * s.rows + row, 0).scale;
      sum[e + i] *= scale;
      sum[e + 2 + i] *= scale;
    }
}

ZH_DEVICE void consume(const e4m3_view &v, const ring &r, uint32_t steps) {
  uint32_t group = threadIdx.x / ZH_WARPGROUP - 1;
  tile_walk walk = {};
  tile t = {};
  zh_ring_place at = {0, 0};
  enter_part(walk, v.w, 0);
  for (uint32_t number = blockIdx.x; find_tile(t, walk, v.w, number); number += gridDim.x) {
    uint32_t mine = t.blocks > group ? (t.blocks - group + 1) / CONSUMERS : 0;
    float sum[2][ZH_WGMMA_SUMS] = {};
    if (mine == 2)
      take_groups<2>(sum, v, t, walk.p, r, at, steps, group);
    else if (mine == 1)
      take_groups<1>(sum, v, t, walk.p, r, at, steps, group);
    else
      pass_stages(r, at, steps);
#pragma unroll
    for (uint32_t m = 0; m < 2; ++m) {
      if (m >= mine) break;
      if (v.by_rows) scale_rows(sum[m], v, t, walk.p);
      put_block(v.w, walk.p, t, t.first_token + (group + m * CONSUMERS) * ZH_WGMMA_ROWS, sum[m]);
    }
  }
}

ZH_DEVICE void produce(const wgmma_view &w, const ring &r, uint32_t steps) {
  tile_walk walk = {};
  tile t = {};
  zh_ring_place at = {0, 0};
  enter_part(walk, w, 0);
  for (uint32_t number = blockIdx.x; find_tile(t, walk, w, number); number += gridDim.x)
    copy_tile<GROUP>(w, r, at, t, walk.p.part, steps);
}

#endif

ZH_KERNEL void __launch_bounds__(THREADS, 1) many_tokens_wgmma_e4m3(const ZH_GRID_CONSTANT e4m3_view v) {
#if ZH_HAS_HOPPER
  enum { PRODUCER_REGISTERS = 40, CONSUMER_REGISTERS = 232 };
  ZH_SHARED_DYNAMIC(all);
  ring r = make_ring(all);
  uint32_t steps = (v.w.v.columns + GROUP - 1) / GROUP;
  if (threadIdx.x == 0) {
    for (uint32_t i = 0; i < STAGES; ++i) {
      zh_barrier_init(r.barriers, FULL + i, 1);
      zh_barrier_init(r.barriers, EMPTY + i, CONSUMER_WARPS);
    }
    zh_barriers_made();
  }
  __syncthreads();
  if (threadIdx.x < ZH_WARPGROUP) {
    zh_registers_fewer<PRODUCER_REGISTERS>();
    if (threadIdx.x == 0) produce(v.w, r, steps);
  } else {
    zh_registers_more<CONSUMER_REGISTERS>();
    consume(v, r, steps);
  }
#else
  (void)v;
#endif
}

/* Whether all rows of any tile have one scale, group by group or for all of them. */
bool has_even_rows(const zh_product_view *v, const zh_product_matrices *m) {
  bool even = true;
  for (uint32_t i = 0; i < v->sides; ++i) {
    const zh_weights_view &w = v->side[i].w;
    even = even && (w.scale_rows % ROWS == 0 || w.scale_rows >= m->matrix[i]->rows) &&
           (w.scale_columns == GROUP || w.scale_columns >= v->columns);
  }
  return even;
}

bool has_even_columns(const zh_product_view *v) {
  bool even = true;
  for (uint32_t i = 0; i < v->sides; ++i) even = even && v->side[i].w.scale_columns >= v->columns;
  return even;
}

} // namespace

zh_status zh_cuda_product_wgmma_e4m3(zh_device *device, zh_product_view *v, const zh_product_matrices *m,
                                     zh_error *err) {
  e4m3_view view = {};
  zh_e4m3_inputs inputs;
  view.by_rows = !has_even_rows(v, m);
  if (view.by_rows && !has_even_columns(v)) return zh_cuda_product_mma_e4m3(device, v, m, err);
  zh_count_tiles(v, ROWS);
  ZH_TRY(zh_cuda_round_to_e4m3(device, v, &inputs, err));
  ZH_TRY(begin_view(device, &view.w, v, m, inputs.numbers, inputs.count, inputs.columns, true, err));
  ZH_TRY(map_weights(device, &view.w, m, err));
  view.scales = zh_at<const float>(inputs.scales);
  view.count = (uint32_t)inputs.count;
  return launch_ring(device, many_tokens_wgmma_e4m3, view.w, view, "a product of many tokens by wgmma in E4M3", err);
}
