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

#include "product_unpack.cuh"

namespace {

#if ZH_HAS_HOPPER

/* --- the warpgroups that multiply --- */

/* This warpgroup's COUNT blocks of 64 tokens through all stages of a tile. */
template <int COUNT>
ZH_DEVICE void take_stages(float (&sum)[2][ZH_WGMMA_SUMS], const ring &r, zh_ring_place &at, uint32_t steps,
                           uint32_t group) {
  uint32_t before = 0, first = zh_shared_address(r.stages);
  for (uint32_t k = 0; k < steps; ++k) {
    zh_barrier_wait(r.barriers, FULL + at.stage, at.parity);
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
    zh_ring_next(at, STAGES);
  }
  zh_wgmma_wait<0>();
  release(r, before);
#pragma unroll
  for (uint32_t m = 0; m < COUNT; ++m) zh_wgmma_settle(sum[m]);
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
      pass_stages(r, at, steps);
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

template <int FORM> zh_status launch(zh_device *device, const wgmma_view &w, zh_error *err) {
  return launch_ring(device, many_tokens_wgmma<FORM>, w, w, "a product of many tokens by wgmma", err);
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
  ZH_TRY(begin_view(device, &w, v, m, inputs.rows, inputs.count, inputs.columns, false, err));
  switch (m->form) {
  case ZH_FORM_BF16:
    ZH_TRY(map_weights(device, &w, m, err));
    return launch<ZH_FORM_BF16>(device, w, err);
  case ZH_FORM_E4M3:
    return launch<ZH_FORM_E4M3>(device, w, err);
  case ZH_FORM_Q8:
    return launch<ZH_FORM_Q8>(device, w, err);
  case ZH_FORM_Q4:
    return launch<ZH_FORM_Q4>(device, w, err);
  case ZH_FORM_Q4_1:
    return launch<ZH_FORM_Q4_1>(device, w, err);
  default:
    return launch<ZH_FORM_Q4_K>(device, w, err);
  }
}
