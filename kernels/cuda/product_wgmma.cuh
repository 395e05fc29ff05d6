/* What a block of the wgmma products (product_wgmma.cu) works on: which tiles, in which ring of stages, and how its
 * first warpgroup fills that. */
#ifndef ZH_KERNELS_CUDA_PRODUCT_WGMMA_CUH
#define ZH_KERNELS_CUDA_PRODUCT_WGMMA_CUH

#include "hopper.cuh"
#include "product_many.cuh"

namespace {

enum {
  TOKENS = 256, /* of a tile, at most: four blocks of 64 */
  ROWS = ZH_WGMMA_COLUMNS,
  DEEP = ZH_BOX_COLUMNS, /* columns of a stage */
  INSTRUCTION_DEPTH = 16,
  BLOCKS = TOKENS / ZH_WGMMA_ROWS,
  CONSUMERS = 2,
  THREADS = (1 + CONSUMERS) * ZH_WARPGROUP,
  CONSUMER_WARPS = CONSUMERS * ZH_WARPGROUP / 32,
  STAGES = 4,
  BLOCK_BYTES = ZH_WGMMA_ROWS * ZH_ATOM_ROW_BYTES,
  INPUT_BYTES = BLOCKS * BLOCK_BYTES,
  WEIGHT_BYTES = ROWS * ZH_ATOM_ROW_BYTES,
  STAGE_BYTES = INPUT_BYTES + WEIGHT_BYTES,
  SHARED_BYTES = ZH_ATOM_BYTES + STAGES * STAGE_BYTES + 2 * STAGES * 8,
  FULL = 0, /* barriers: [stage] of each */
  EMPTY = STAGES
};

struct wgmma_view {
  zh_product_view v;
  zh_tensor_map inputs, weights[ZH_SIDES]; /* weights: of bf16 */
  uint32_t tile_tokens;                    /* 256, 128 or 64 */
  bool pairs;                              /* y can be written eight bytes at a time */
};

/* --- which tile --- */

/* The part that the last tile was of, and the tiles before it. */
struct tile_walk {
  zh_part_of p;
  uint32_t index, before, token_tiles;
};

struct tile {
  uint32_t side, first_row, first_token, blocks; /* blocks: of 64 tokens */
  uint32_t first_input;                          /* row of the rounded inputs */
};

ZH_DEVICE void enter_part(tile_walk &walk, const wgmma_view &w, uint32_t index) {
  walk.index = index;
  walk.p = zh_part_at(w.v, index);
  walk.token_tiles = (walk.p.tokens + w.tile_tokens - 1) / w.tile_tokens;
}

/* Tiles are asked for in rising order; false: there are no more. */
ZH_DEVICE bool find_tile(tile &out, tile_walk &walk, const wgmma_view &w, uint32_t number) {
  const zh_product_view &v = w.v;
  while (number - walk.before >= walk.token_tiles * v.tiles) {
    if (walk.index + 1 >= v.parts) return false;
    walk.before += walk.token_tiles * v.tiles;
    enter_part(walk, w, walk.index + 1);
  }
  zh_tile_place at = zh_tile_at(number - walk.before, walk.token_tiles, v.tiles);
  uint32_t left = min(walk.p.tokens - at.tokens * w.tile_tokens, w.tile_tokens);
  out.side = zh_side_of(v, at.rows);
  out.first_row = (at.rows - v.side[out.side].first_tile) * ROWS;
  out.first_token = at.tokens * w.tile_tokens;
  out.blocks = (left + ZH_WGMMA_ROWS - 1) / ZH_WGMMA_ROWS;
  out.first_input = out.first_token + (v.kind == ZH_PRODUCT_HEADS ? walk.p.part * v.tokens : walk.p.first);
  return true;
}

#if ZH_HAS_HOPPER

struct ring {
  zh_shared<unsigned char> stages; /* aligned to an atom */
  zh_shared<uint64_t> barriers;
};

ZH_DEVICE ring make_ring(zh_shared<unsigned char> all) {
  uint32_t shift = (ZH_ATOM_BYTES - zh_shared_address(all) % ZH_ATOM_BYTES) % ZH_ATOM_BYTES;
  return {zh_part<unsigned char>(all, shift, STAGES * STAGE_BYTES),
          zh_part<uint64_t>(all, shift + STAGES * STAGE_BYTES, 2 * STAGES)};
}

/* --- filling --- */

ZH_DEVICE void load_inputs(const wgmma_view &w, const ring &r, const tile &t, uint32_t stage, uint32_t step) {
#pragma unroll
  for (uint32_t b = 0; b < BLOCKS; ++b)
    if (b < t.blocks)
      zh_tensor_load(r.stages + (stage * STAGE_BYTES + b * BLOCK_BYTES), w.inputs, step * DEEP,
                     t.first_input + b * ZH_WGMMA_ROWS, r.barriers, FULL + stage);
}

/* Weights of bf16: one thread starts all copies of a stage. */
ZH_DEVICE void copy_tile(const wgmma_view &w, const ring &r, zh_ring_place &at, const tile &t, uint32_t part,
                         uint32_t steps) {
  uint32_t row = part * w.v.side[t.side].rows + t.first_row;
  for (uint32_t k = 0; k < steps; ++k) {
    zh_barrier_wait(r.barriers, EMPTY + at.stage, at.parity ^ 1u);
    zh_barrier_expect(r.barriers, FULL + at.stage, WEIGHT_BYTES + t.blocks * BLOCK_BYTES);
    zh_tensor_load(r.stages + (at.stage * STAGE_BYTES + INPUT_BYTES), w.weights[t.side], k * DEEP, row, r.barriers,
                   FULL + at.stage);
    load_inputs(w, r, t, at.stage, k);
    zh_ring_next(at, STAGES);
  }
}

enum { UNPACKED_ROWS = 4, ROWS_APART = ROWS / UNPACKED_ROWS }; /* of a thread; four threads have a row's 64 bytes */

template <int FORM>
ZH_DEVICE void load_pieces(zh_loaded (&out)[UNPACKED_ROWS], const zh_product_side &s, const tile &t, uint32_t part,
                           uint32_t piece) {
  uint32_t line = threadIdx.x / 4, c = threadIdx.x % 4;
#pragma unroll
  for (uint32_t i = 0; i < UNPACKED_ROWS; ++i) { /* rows behind the last are read as it and not put */
    uint32_t row = min(t.first_row + line + i * ROWS_APART, s.rows - 1);
    out[i] = zh_load_piece<FORM>(s.w, (size_t)part * s.rows + row, piece, c);
  }
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
  zh_loaded next[UNPACKED_ROWS], here[UNPACKED_ROWS];
  load_pieces<FORM>(next, s, t, part, 0);
  for (uint32_t piece = 0; piece < pieces; ++piece) {
#pragma unroll
    for (uint32_t i = 0; i < UNPACKED_ROWS; ++i) here[i] = next[i];
    if (piece + 1 < pieces) load_pieces<FORM>(next, s, t, part, piece + 1);
#pragma unroll
    for (uint32_t half = 0; half < STEPS; ++half) {
      uint32_t step = piece * STEPS + half;
      if (step >= steps) break;
      zh_barrier_wait(r.barriers, EMPTY + at.stage, at.parity ^ 1u);
      if (threadIdx.x == 0) {
        zh_barrier_expect(r.barriers, FULL + at.stage, t.blocks * BLOCK_BYTES);
        load_inputs(w, r, t, at.stage, step);
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
      copy_tile(w, r, at, t, walk.p.part, steps);
    else
      unpack_tile<FORM>(w, r, at, t, walk.p.part, steps);
}

#endif

} // namespace

#endif
