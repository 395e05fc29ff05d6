/* Products of many tokens by Hopper's own instructions. A block of three warpgroups goes through tiles of 256 tokens by 128
 * rows, as many blocks as there are multiprocessors, in an order that reads from the second level what others have read.
 * The first warpgroup fills a ring of four stages of 64 columns, the other two multiply: each has 64 or 128 of the tokens,
 * every second 64, so that tiles of few tokens keep both at work. What no token needs is neither copied nor multiplied.
 *
 * Inputs are rounded to bf16 before, in the order in which tiles take them (product_inputs.cu), and come by TMA. So do
 * weights of bf16; weights of other forms are unpacked by the first warpgroup, rounded to bf16 as product_many.cu rounds
 * them. Sums are fp32 and go through the columns in order, whatever the other tokens. */
#include <string.h>

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

/* --- the first warpgroup --- */

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
    pair[i] = zh_piece<FORM>::MINIMUM
                  ? zh_bf16_pair(fmaf(s.scale, low, s.minimum), fmaf(s.scale, high, s.minimum))
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

/* --- the other two --- */

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

template <int FORM> ZH_KERNEL void __launch_bounds__(THREADS, 1) many_tokens_wgmma(const ZH_GRID_CONSTANT wgmma_view w) {
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

#ifdef __CUDACC__

typedef CUresult (*encode_tiled)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                                 const cuuint64_t *, const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave,
                                 CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* The driver's function, which no library is linked for; NULL: too old a driver. */
static encode_tiled find_encode() {
  void *found = nullptr;
  cudaDriverEntryPointQueryResult result;
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result) !=
          cudaSuccess ||
      result != cudaDriverEntryPointSuccess)
    return nullptr;
  return reinterpret_cast<encode_tiled>(found);
}

zh_status zh_cuda_tensor_map(zh_device *device, zh_tensor_map *out, const zh_tensor_shape *s, zh_error *err) {
  static const encode_tiled encode = find_encode();
  const cuuint64_t sizes[2] = {s->columns, s->rows}, strides[1] = {s->row_bytes};
  const cuuint32_t box[2] = {ZH_BOX_COLUMNS, s->box_rows}, steps[2] = {1, 1};
  if (!encode) return zh_fail(err, ZH_ERR_LACKING, "GPU %d: the driver cannot describe tiles (CUDA 12 can)", device->index);
  CUresult status = encode(out, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void *>(s->base), sizes, strides, box,
                           steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                           CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status == CUDA_SUCCESS) return ZH_OK;
  return zh_fail(err, ZH_ERR_IO, "GPU %d: tiles of a matrix of %llu x %llu, rows %llu bytes apart, cannot be described (%d)",
                 device->index, (unsigned long long)s->rows, (unsigned long long)s->columns,
                 (unsigned long long)s->row_bytes, (int)status);
}

#else

zh_status zh_cuda_tensor_map(zh_device *, zh_tensor_map *out, const zh_tensor_shape *s, zh_error *err) {
  if ((uintptr_t)s->base % 16 || s->row_bytes % 16 || s->box_rows > 256)
    return zh_fail(err, ZH_ERR_ARG, "a matrix at %p, rows %llu bytes apart, cannot be copied by tiles", s->base,
                   (unsigned long long)s->row_bytes);
  *out = {zh_at<const unsigned char>(s->base), s->rows, s->columns, s->row_bytes, s->box_rows};
  return ZH_OK;
}

#endif
