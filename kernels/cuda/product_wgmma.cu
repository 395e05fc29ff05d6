/* Products of many tokens by Hopper's own instructions. Blocks of three warpgroups, one a multiprocessor, go through
 * tiles of 256 tokens by 128 rows in an order that reads from the second level what others have read. The first
 * warpgroup fills a ring of four stages of 64 columns, the other two multiply: each has 64 or 128 of the tokens, every
 * second 64, so that tiles of few tokens keep both at work. What no token needs is neither copied nor multiplied.
 *
 * Inputs are rounded to bf16 before, in the order in which tiles take them (product_inputs.cu), and come by TMA. So do
 * weights of bf16; weights of other forms are unpacked by the first warpgroup, rounded to bf16 as product_many.cu
 * rounds them. Sums are fp32 and go through the columns in order, whatever the other tokens.
 *
 * A stage is 48 KB for 1024 cycles of the matrix units. If the second level cannot give that to all multiprocessors,
 * two neighbours of a cluster can share a tile's inputs by multicast: 32 KB for each. */
#include <string.h>

#include "product_wgmma.cuh"

namespace {

#if ZH_HAS_HOPPER

/* --- the warpgroups that multiply --- */

ZH_DEVICE void release(const ring &r, uint32_t stage) {
  if (threadIdx.x % 32 == 0) zh_barrier_arrive(r.barriers, EMPTY + stage);
}

/* This warpgroup's COUNT blocks of 64 tokens through all stages of a tile. */
template <int COUNT>
ZH_DEVICE void take_stages(float (&sum)[2][ZH_WGMMA_SUMS], const ring &r, zh_ring_place &at, uint32_t steps,
                           uint32_t group) {
  uint32_t before = 0, first = zh_shared_address(r.stages);
  for (uint32_t k = 0; k < steps; ++k) {
    zh_barrier_wait(r.barriers, FULL + at.stage, at.parity);
    if constexpr (COUNT == 0) {
      __syncwarp();
      release(r, at.stage);
    } else {
      uint32_t stage = first + at.stage * STAGE_BYTES;
      uint64_t b = zh_matrix_descriptor(stage + INPUT_BYTES), a = zh_matrix_descriptor(stage + group * BLOCK_BYTES);
      zh_wgmma_fence();
#pragma unroll
      for (uint32_t i = 0; i < DEEP / INSTRUCTION_DEPTH; ++i)
#pragma unroll
        for (uint32_t m = 0; m < COUNT; ++m)
          zh_wgmma_bf16(sum[m], a + (m * CONSUMERS * BLOCK_BYTES + i * INSTRUCTION_DEPTH * 2) / 16,
                        b + i * INSTRUCTION_DEPTH * 2 / 16);
      zh_wgmma_commit();
      zh_wgmma_wait<1>();
      if (k > 0) release(r, before); /* its products are done */
      before = at.stage;
    }
    zh_ring_next(at, STAGES);
  }
  if constexpr (COUNT > 0) {
    zh_wgmma_wait<0>();
    release(r, before);
#pragma unroll
    for (uint32_t m = 0; m < COUNT; ++m) zh_wgmma_settle(sum[m]);
  }
}

/* A row's two neighbours, for one token whose row of y begins at `at`. */
ZH_DEVICE void put_pair(const wgmma_view &w, const zh_product_side &s, const zh_part_of &p, size_t at, uint32_t row,
                        uint32_t token, float first, float second) {
  const zh_product_view &v = w.v;
  if (!w.pairs || row + 1 >= s.rows) {
    if (row < s.rows) zh_put_product(v, s, p, row, token, first);
    if (row + 1 < s.rows) zh_put_product(v, s, p, row + 1, token, second);
    return;
  }
  if (s.bias) {
    size_t i = (size_t)p.part * s.rows + row;
    first += s.bias[i];
    second += s.bias[i + 1];
  }
  if (v.adds) {
    float2 y = zh_load<float2>(v.y, at + row);
    first = fmaf(v.factor, first, y.x);
    second = fmaf(v.factor, second, y.y);
  }
  zh_store(v.y, at + row, make_float2(first, second));
}

/* 64 tokens from first_token on. */
ZH_DEVICE void put_block(const wgmma_view &w, const zh_part_of &p, const tile &t, uint32_t first_token,
                         const float (&sum)[ZH_WGMMA_SUMS]) {
  const zh_product_side &s = w.v.side[t.side];
  uint32_t warp = threadIdx.x % ZH_WARPGROUP / 32, g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
#pragma unroll
  for (uint32_t h = 0; h < 2; ++h) {
    uint32_t token = first_token + 16 * warp + g + 8 * h;
    if (token >= p.tokens) continue;
    size_t at = zh_row_of_y(w.v, p, token) * w.v.y_stride + s.y;
    if (w.v.kind == ZH_PRODUCT_HEADS) at += p.part * w.v.y_part;
#pragma unroll
    for (uint32_t j = 0; j < ROWS / 8; ++j)
      put_pair(w, s, p, at, t.first_row + 8 * j + 2 * c, token, sum[4 * j + 2 * h], sum[4 * j + 2 * h + 1]);
  }
}

ZH_DEVICE void consume(const wgmma_view &w, const ring &r, uint32_t steps) {
  uint32_t group = threadIdx.x / ZH_WARPGROUP - 1;
  tile_walk walk = {};
  tile t = {};
  zh_ring_place at = {0, 0};
  enter_part(walk, w, 0);
  for (uint32_t number = blockIdx.x; find_tile(t, walk, w, number); number += gridDim.x) {
    uint32_t mine = t.blocks > group ? (t.blocks - group + 1) / CONSUMERS : 0;
    uint32_t first_token = t.first_token + group * ZH_WGMMA_ROWS;
    float sum[2][ZH_WGMMA_SUMS] = {};
    if (mine == 2)
      take_stages<2>(sum, r, at, steps, group);
    else if (mine == 1)
      take_stages<1>(sum, r, at, steps, group);
    else
      take_stages<0>(sum, r, at, steps, group);
    if (mine > 0) put_block(w, walk.p, t, first_token, sum[0]);
    if (mine > 1) put_block(w, walk.p, t, first_token + CONSUMERS * ZH_WGMMA_ROWS, sum[1]);
  }
}

/* Registers of a thread that copies, or unpacks, and of one that multiplies: 65536 in all. */
template <int FORM> struct registers {
  static constexpr int PRODUCER = FORM == ZH_FORM_BF16 ? 40 : 104, CONSUMER = FORM == ZH_FORM_BF16 ? 232 : 200;
};

#endif

template <int FORM>
ZH_KERNEL void __launch_bounds__(THREADS, 1) many_tokens_wgmma(const ZH_GRID_CONSTANT wgmma_view w) {
#if ZH_HAS_HOPPER
  ZH_SHARED_DYNAMIC(all);
  ring r = make_ring(all);
  uint32_t steps = (w.v.columns + DEEP - 1) / DEEP;
  if (threadIdx.x == 0) {
    for (uint32_t i = 0; i < STAGES; ++i) {
      zh_barrier_init(r.barriers, FULL + i, FORM == ZH_FORM_BF16 ? 1 : 1 + ZH_WARPGROUP / 32);
      zh_barrier_init(r.barriers, EMPTY + i, CONSUMER_WARPS);
    }
    zh_barriers_made();
  }
  __syncthreads();
  if (threadIdx.x < ZH_WARPGROUP) {
    zh_registers_fewer<registers<FORM>::PRODUCER>();
    if (FORM != ZH_FORM_BF16 || threadIdx.x == 0) produce<FORM>(w, r, steps);
  } else {
    zh_registers_more<registers<FORM>::CONSUMER>();
    consume(w, r, steps);
  }
#else
  (void)w;
#endif
}

/* --- the host's half --- */

size_t token_tiles_of(const zh_product_view *v, uint32_t tokens) {
  if (v->kind == ZH_PRODUCT_GROUPED) return v->parts + (size_t)v->tokens * v->used / tokens; /* at most */
  return v->parts * (((size_t)v->tokens + tokens - 1) / tokens);
}

/* Large tiles read least; smaller ones where large ones would leave multiprocessors without any. Rounds of all of them,
 * each as long as its tokens and, for the weights that it reads, a block more. Which does not change a sum. */
uint32_t choose_tokens(const zh_device *device, const zh_product_view *v) {
  size_t least = SIZE_MAX, together = device->facts.multiprocessors;
  uint32_t best = TOKENS;
  for (uint32_t tokens = TOKENS; v->kind != ZH_PRODUCT_GROUPED && tokens >= ZH_WGMMA_ROWS; tokens /= 2) {
    size_t rounds = (token_tiles_of(v, tokens) * v->tiles + together - 1) / together;
    size_t cost = rounds * (tokens + ZH_WGMMA_ROWS);
    if (cost >= least) continue;
    least = cost;
    best = tokens;
  }
  return best;
}

template <int FORM> zh_status launch(zh_device *device, const wgmma_view *w, zh_error *err) {
  auto kernel = many_tokens_wgmma<FORM>;
  size_t tiles = token_tiles_of(&w->v, w->tile_tokens) * w->v.tiles;
  ZH_CUDA(device, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, SHARED_BYTES),
          "asking for shared memory");
  ZH_LAUNCH(kernel, (unsigned)(tiles < device->facts.multiprocessors ? tiles : device->facts.multiprocessors), THREADS,
            SHARED_BYTES, device->stream, *w);
  return zh_cuda_launched(device, "a product of many tokens by wgmma", err);
}

/* Whether rows of y can be written in pairs: rows of tiles begin at even places. */
bool has_pairs(const zh_product_view *v, const void *y) {
  bool even = (uintptr_t)y % 8 == 0 && v->y_stride % 2 == 0 && v->y_part % 2 == 0;
  for (uint32_t i = 0; i < v->sides; ++i) even = even && v->side[i].y % 2 == 0;
  return even;
}

/* Weights of bf16 as they lie, with the zeros at rows' ends. */
zh_status map_weights(zh_device *device, wgmma_view *w, const zh_product_matrices *m, zh_error *err) {
  for (uint32_t i = 0; i < w->v.sides; ++i) {
    zh_tensor_shape shape = {m->matrix[i]->numbers, m->matrix[i]->rows, w->v.columns, w->v.side[i].w.row_bytes, ROWS};
    ZH_TRY(zh_cuda_tensor_map(device, &w->weights[i], &shape, err));
  }
  return ZH_OK;
}

} // namespace

bool zh_cuda_has_wgmma(const zh_device *device) {
#ifdef __CUDACC__
  bool built = strstr(ZH_CUDA_ARCHITECTURES, "90a") || strcmp(ZH_CUDA_ARCHITECTURES, "release") == 0;
  return built && device->facts.major == 9 && device->facts.shared_bytes >= SHARED_BYTES;
#else
  return device->facts.shared_bytes >= SHARED_BYTES;
#endif
}

zh_status zh_cuda_product_wgmma(zh_device *device, zh_product_view *v, const zh_product_matrices *m, zh_error *err) {
  wgmma_view w = {};
  zh_rounded_inputs inputs;
  zh_count_tiles(v, ROWS);
  ZH_TRY(zh_cuda_round_inputs(device, v, &inputs, err));
  w.v = *v;
  w.pairs = has_pairs(v, m->y);
  w.tile_tokens = choose_tokens(device, v);
  zh_tensor_shape shape = {inputs.rows, inputs.count, inputs.columns, inputs.columns * 2, ZH_WGMMA_ROWS};
  ZH_TRY(zh_cuda_tensor_map(device, &w.inputs, &shape, err));
  switch (m->form) {
  case ZH_FORM_BF16:
    ZH_TRY(map_weights(device, &w, m, err));
    return launch<ZH_FORM_BF16>(device, &w, err);
  case ZH_FORM_E4M3:
    return launch<ZH_FORM_E4M3>(device, &w, err);
  case ZH_FORM_Q8:
    return launch<ZH_FORM_Q8>(device, &w, err);
  case ZH_FORM_Q4:
    return launch<ZH_FORM_Q4>(device, &w, err);
  case ZH_FORM_Q4_1:
    return launch<ZH_FORM_Q4_1>(device, &w, err);
  default:
    return launch<ZH_FORM_Q4_K>(device, &w, err);
  }
}
