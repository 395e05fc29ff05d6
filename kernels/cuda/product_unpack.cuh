/* How the first warpgroup of product_wgmma.cu unpacks weights that are not bf16 into a stage. */
#ifndef ZH_KERNELS_CUDA_PRODUCT_UNPACK_CUH
#define ZH_KERNELS_CUDA_PRODUCT_UNPACK_CUH

#include "product_wgmma.cuh"

#if ZH_HAS_HOPPER

namespace {

enum { UNPACKED_ROWS = 4, ROWS_APART = ROWS / UNPACKED_ROWS }; /* of a thread; four threads have a row's 64 bytes */

template <int FORM> struct unpacked_rows {
  zh_row_place<FORM> at[UNPACKED_ROWS];
};
template <int FORM> ZH_DEVICE unpacked_rows<FORM> rows_of(const zh_product_side &s, const tile &t, uint32_t part) {
  unpacked_rows<FORM> rows;
#pragma unroll
  for (uint32_t i = 0; i < UNPACKED_ROWS; ++i) { /* rows behind the last are read as it and not put */
    uint32_t row = min(t.first_row + threadIdx.x / 4 + i * ROWS_APART, s.rows - 1);
    rows.at[i] = zh_place_of_row<FORM>(s.w, (size_t)part * s.rows + row);
  }
  return rows;
}

template <int FORM>
ZH_DEVICE void load_pieces(zh_loaded (&out)[UNPACKED_ROWS], const zh_weights_view &w, const unpacked_rows<FORM> &rows,
                           uint32_t piece) {
#pragma unroll
  for (uint32_t i = 0; i < UNPACKED_ROWS; ++i) out[i] = zh_load_piece<FORM>(w, rows.at[i], piece, threadIdx.x % 4);
}

/* Eight columns as they are multiplied: the values of zh_eight_values, rounded to bf16. */
template <int FORM> ZH_DEVICE uint4 unpacked(const zh_loaded &from, uint32_t piece, uint32_t unit) {
  uint32_t exact[4], pair[4];
  zh_unit_pairs<FORM>(exact, from.numbers, unit);
  zh_scale_pair s = zh_unit_scale<FORM>(from, piece, unit);
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
    float low = zh_bf16_value(exact[i] & 0xFFFFu), high = zh_float(exact[i] & 0xFFFF0000u);
    pair[i] = zh_piece<FORM>::MINIMUM ? zh_bf16_pair(fmaf(s.scale, low, s.minimum), fmaf(s.scale, high, s.minimum))
                                      : zh_bf16_pair(s.scale * low, s.scale * high);
  }
  return make_uint4(pair[0], pair[1], pair[2], pair[3]);
}

/* Weights of other forms: each of the 128 threads unpacks its part, the next piece on its way meanwhile. */
template <int FORM>
ZH_DEVICE void unpack_tile(const wgmma_view &w, const ring &r, zh_ring_place &at, const tile &t, uint32_t part,
                           uint32_t steps) {
  constexpr uint32_t UNITS = DEEP / 32, STEPS = zh_piece<FORM>::UNITS / UNITS; /* of a step; of a piece */
  const zh_product_side &s = w.v.side[t.side];
  uint32_t line = threadIdx.x / 4, c = threadIdx.x % 4, pieces = (steps + STEPS - 1) / STEPS;
  const unpacked_rows<FORM> rows = rows_of<FORM>(s, t, part);
  zh_loaded next[UNPACKED_ROWS], here[UNPACKED_ROWS];
  load_pieces<FORM>(next, s.w, rows, 0);
  for (uint32_t piece = 0; piece < pieces; ++piece) {
#pragma unroll
    for (uint32_t i = 0; i < UNPACKED_ROWS; ++i) here[i] = next[i];
    if (piece + 1 < pieces) load_pieces<FORM>(next, s.w, rows, piece + 1);
#pragma unroll
    for (uint32_t half = 0; half < STEPS; ++half) {
      uint32_t step = piece * STEPS + half;
      if (step >= steps) break;
      zh_barrier_wait(r.barriers, EMPTY + at.stage, at.parity ^ 1u);
      if (threadIdx.x == 0) {
        zh_barrier_expect(r.barriers, FULL + at.stage, t.blocks * BLOCK_BYTES);
        load_inputs(w, r, t, at.stage, step * DEEP);
      }
      zh_shared<unsigned char> to = r.stages + (at.stage * STAGE_BYTES + INPUT_BYTES);
#pragma unroll
      for (uint32_t i = 0; i < UNPACKED_ROWS; ++i)
        for (uint32_t u = 0; u < UNITS; ++u) {
          uint32_t unit = half * UNITS + u, chunk = zh_unit_column<FORM>(piece, unit, c) / 8 % 8;
          zh_store(to, zh_chunk_place(line + i * ROWS_APART, chunk), unpacked<FORM>(here[i], piece, unit));
        }
      zh_async_fence();
      __syncwarp();
      if (threadIdx.x % 32 == 0) zh_barrier_arrive(r.barriers, FULL + at.stage);
      zh_ring_next(at, STAGES);
    }
  }
}

template <int FORM> ZH_DEVICE void produce(const wgmma_view &w, const ring &r, uint32_t steps) {
  tile_walk walk = {};
  tile t = {};
  zh_ring_place at = {0, 0};
  enter_part(walk, w, 0);
  for (uint32_t number = blockIdx.x; find_tile(t, walk, w, number); number += gridDim.x)
    if constexpr (FORM == ZH_FORM_BF16)
      copy_tile<DEEP>(w, r, at, t, walk.p.part, steps);
    else
      unpack_tile<FORM>(w, r, at, t, walk.p.part, steps);
}

} // namespace

#endif
#endif
