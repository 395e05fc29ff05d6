/* What a block of the wgmma products (product_wgmma.cu, product_wgmma_e4m3.cu) works on: which tiles, in which ring of
 * stages, how its first warpgroup copies into that, and where sums go. */
#ifndef ZH_KERNELS_CUDA_PRODUCT_WGMMA_CUH
#define ZH_KERNELS_CUDA_PRODUCT_WGMMA_CUH

#include "hopper.cuh"
#include "product_many.cuh"

namespace {

enum {
  TOKENS = 256, /* of a tile, at most: four blocks of 64 */
  ROWS = ZH_WGMMA_COLUMNS,
  DEEP = ZH_BOX_COLUMNS, /* columns of bf16 of a stage; of E4M3 twice as many */
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
  zh_tensor_map inputs, weights[ZH_SIDES]; /* weights: as they lie */
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

ZH_DEVICE void load_inputs(const wgmma_view &w, const ring &r, const tile &t, uint32_t stage, uint32_t column) {
#pragma unroll
  for (uint32_t b = 0; b < BLOCKS; ++b)
    if (b < t.blocks)
      zh_tensor_load(r.stages + (stage * STAGE_BYTES + b * BLOCK_BYTES), w.inputs, column,
                     t.first_input + b * ZH_WGMMA_ROWS, r.barriers, FULL + stage);
}

/* Weights that are multiplied as they lie: one thread starts all copies of a stage, of so many columns. */
template <uint32_t COLUMNS>
ZH_DEVICE void copy_tile(const wgmma_view &w, const ring &r, zh_ring_place &at, const tile &t, uint32_t part,
                         uint32_t steps) {
  uint32_t row = part * w.v.side[t.side].rows + t.first_row;
  for (uint32_t k = 0; k < steps; ++k) {
    zh_barrier_wait(r.barriers, EMPTY + at.stage, at.parity ^ 1u);
    zh_barrier_expect(r.barriers, FULL + at.stage, WEIGHT_BYTES + t.blocks * BLOCK_BYTES);
    zh_tensor_load(r.stages + (at.stage * STAGE_BYTES + INPUT_BYTES), w.weights[t.side], k * COLUMNS, row,
                   r.barriers, FULL + at.stage);
    load_inputs(w, r, t, at.stage, k * COLUMNS);
    zh_ring_next(at, STAGES);
  }
}

/* --- what multiplies: giving stages back, putting sums --- */

ZH_DEVICE void release(const ring &r, uint32_t stage) {
  if (threadIdx.x % 32 == 0) zh_barrier_arrive(r.barriers, EMPTY + stage);
}

/* Nothing of a tile is this warpgroup's. */
ZH_DEVICE void pass_stages(const ring &r, zh_ring_place &at, uint32_t steps) {
  for (uint32_t k = 0; k < steps; ++k) {
    zh_barrier_wait(r.barriers, FULL + at.stage, at.parity);
    __syncwarp();
    release(r, at.stage);
    zh_ring_next(at, STAGES);
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

#endif

/* --- the host's half --- */

inline size_t token_tiles_of(const zh_product_view *v, uint32_t tokens) {
  if (v->kind == ZH_PRODUCT_GROUPED) return v->parts + (size_t)v->tokens * v->used / tokens; /* at most */
  return v->parts * (((size_t)v->tokens + tokens - 1) / tokens);
}

/* Large tiles read least; smaller ones where large ones would leave multiprocessors without any. Rounds of all of them,
 * each as long as its tokens and, for the weights that it reads, a block more. Which does not change a sum. */
inline uint32_t choose_tokens(const zh_device *device, const zh_product_view *v) {
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

/* Whether rows of y can be written in pairs: rows of tiles begin at even places. */
inline bool has_pairs(const zh_product_view *v, const void *y) {
  bool even = (uintptr_t)y % 8 == 0 && v->y_stride % 2 == 0 && v->y_part % 2 == 0;
  for (uint32_t i = 0; i < v->sides; ++i) even = even && v->side[i].y % 2 == 0;
  return even;
}

/* A view whose tiles of rows were counted, and its inputs: rows of bf16, or of bytes. */
inline zh_status begin_view(zh_device *device, wgmma_view *w, const zh_product_view *v, const zh_product_matrices *m,
                            const void *rows, size_t count, size_t columns, bool bytes, zh_error *err) {
  zh_tensor_shape shape = {rows, count, columns, columns * (bytes ? 1 : 2), ZH_WGMMA_ROWS, bytes};
  w->v = *v;
  w->pairs = has_pairs(v, m->y);
  w->tile_tokens = choose_tokens(device, v);
  return zh_cuda_tensor_map(device, &w->inputs, &shape, err);
}

/* Weights as they lie, with the zeros at rows' ends. */
inline zh_status map_weights(zh_device *device, wgmma_view *w, const zh_product_matrices *m, zh_error *err) {
  for (uint32_t i = 0; i < w->v.sides; ++i) {
    zh_tensor_shape shape = {m->matrix[i]->numbers, m->matrix[i]->rows, w->v.columns, w->v.side[i].w.row_bytes, ROWS,
                             m->form == ZH_FORM_E4M3};
    ZH_TRY(zh_cuda_tensor_map(device, &w->weights[i], &shape, err));
  }
  return ZH_OK;
}

/* view: has w, or is it. */
template <class View>
zh_status launch_ring(zh_device *device, void (*kernel)(View), const wgmma_view &w, const View &view, const char *what,
                      zh_error *err) {
  size_t tiles = token_tiles_of(&w.v, w.tile_tokens) * w.v.tiles;
  ZH_CUDA(device, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, SHARED_BYTES),
          "asking for shared memory");
  ZH_LAUNCH(kernel, (unsigned)(tiles < device->facts.multiprocessors ? tiles : device->facts.multiprocessors), THREADS,
            SHARED_BYTES, device->stream, view);
  return zh_cuda_launched(device, what, err);
}

} // namespace

#endif
