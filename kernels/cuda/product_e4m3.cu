/* Products of weights of E4M3 with many tokens, whose inputs were rounded to E4M3 before (product_inputs.cu): tiles as
 * those of product_many.cu, 64 columns a step, by mma.m16n8k32. Units of these numbers keep 13 bits below the largest
 * term of a sum, so what a group of 128 columns gives is added, times the scales of token and weights, to sums in fp32.
 * Where there are none (zh_cuda_has_e4m3_units) the products are of f16 and the sums fp32's: within the same bound, by
 * more instructions than product_many.cu has. */
#include "product_tiles.cuh"

using namespace zh_tiles;

namespace {

enum { STEP_COLUMNS = 2 * DEEP, GROUP_STEPS = ZH_E4M3_GROUP / STEP_COLUMNS };

struct e4m3_view {
  zh_product_view v;
  zh_global<const uint8_t> numbers; /* of the inputs: [count][wide] */
  zh_global<const float> scales;    /* [groups][count] */
  uint32_t wide, count;
};

/* What a thread brings: half of a step's columns of a row and of a token; and of each group one scale, of a row or of a
 * token. */
struct source {
  size_t row, input, scaled;
  bool has_row, has_token, has_scale, scales_row;
};

ZH_DEVICE source source_of(const e4m3_view &of, const zh_product_side &s, const zh_part_of &p, uint32_t first_row,
                           uint32_t first_token) {
  uint32_t line = threadIdx.x / 2, mine = threadIdx.x % TILE;
  size_t row = (size_t)p.part * s.rows + first_row,
         input = (of.v.kind == ZH_PRODUCT_HEADS ? (size_t)p.part * of.v.tokens : p.first) + first_token;
  source from = {row + line, input + line, 0, first_row + line < s.rows, first_token + line < p.tokens, false,
                 threadIdx.x < TILE};
  from.scaled = from.scales_row ? row + mine : input + mine;
  from.has_scale = from.scales_row ? first_row + mine < s.rows : first_token + mine < p.tokens;
  return from;
}

ZH_DEVICE void load_words(uint32_t (&word)[8], zh_global<const uint8_t> from, size_t at, bool there) {
  for (uint32_t h = 0; h < 2; ++h) {
    uint4 raw = there ? zh_load<uint4>(from, at + 16 * h) : make_uint4(0, 0, 0, 0);
    word[4 * h] = raw.x, word[4 * h + 1] = raw.y, word[4 * h + 2] = raw.z, word[4 * h + 3] = raw.w;
  }
}

ZH_DEVICE step load_step(const e4m3_view &of, const zh_weights_view &w, const source &from, uint32_t column) {
  step s;
  load_words(s.a, w.numbers, from.row * w.row_bytes + column, from.has_row);
  load_words(s.b, of.numbers, from.input * of.wide + column, from.has_token);
  return s;
}

ZH_DEVICE float load_scale(const e4m3_view &of, const zh_weights_view &w, const source &from, uint32_t group) {
  if (!from.has_scale) return 0.0f;
  if (from.scales_row) return zh_scale_at<ZH_FORM_E4M3>(w, from.scaled, group * ZH_E4M3_GROUP).scale;
  return of.scales[(size_t)group * of.count + from.scaled];
}

/* sum += part, times its scales; then nothing is in part. */
ZH_DEVICE void promote(float (&sum)[2][8][4], float (&part)[2][8][4], zh_shared<float> rows, zh_shared<float> tokens) {
  uint32_t g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
#pragma unroll
  for (uint32_t j = 0; j < 8; ++j) {
    float2 token = zh_load<float2>(tokens, 8 * j + 2 * c);
#pragma unroll
    for (uint32_t i = 0; i < 2; ++i)
      for (uint32_t e = 0; e < 4; ++e) {
        float scale = rows[16 * i + g + e / 2 * 8] * (e % 2 ? token.y : token.x);
        sum[i][j][e] = fmaf(scale, part[i][j][e], sum[i][j][e]);
        part[i][j][e] = 0.0f;
      }
  }
}

/* Grid: grid_of. */
ZH_KERNEL void __launch_bounds__(THREADS, 1) many_tokens_e4m3(e4m3_view of) {
  ZH_SHARED(uint16_t, weights, 2 * TILE * PITCH);
  ZH_SHARED(uint16_t, inputs, 2 * TILE * PITCH);
  ZH_SHARED(float, scales, 4 * TILE); /* of rows and tokens, of two groups */
  const zh_product_view &v = of.v;
  zh_part_of p = zh_part_at(v, blockIdx.z);
  const zh_product_side &s = v.side[zh_side_of(v, blockIdx.y)];
  uint32_t warp = threadIdx.x / 32, line = threadIdx.x / 2, half = threadIdx.x % 2 * 16;
  uint32_t warp_row = warp / 2 * WARP_ROWS, warp_token = warp % 2 * WARP_TOKENS;
  uint32_t first_row = (blockIdx.y - s.first_tile) * TILE, steps = (v.columns + STEP_COLUMNS - 1) / STEP_COLUMNS;
  for (uint32_t first = blockIdx.x * TILE; first < p.tokens; first += gridDim.x * TILE) {
    float sum[2][8][4] = {}, part[2][8][4] = {};
    source from = source_of(of, s, p, first_row, first);
    step next = load_step(of, s.w, from, 2 * half);
    float scale = load_scale(of, s.w, from, 0);
    for (uint32_t k = 0; k < steps; ++k) {
      zh_shared<uint16_t> a = weights + k % 2 * TILE * PITCH, b = inputs + k % 2 * TILE * PITCH;
      zh_shared<float> both = scales + k / GROUP_STEPS % 2 * 2 * TILE;
      keep_half(a, line, half, next.a);
      keep_half(b, line, half, next.b);
      if (k % GROUP_STEPS == 0) both[threadIdx.x] = scale;
      __syncthreads(); /* two steps ago everyone was done with this half, and two groups ago with these scales */
      if (k + 1 < steps) {
        next = load_step(of, s.w, from, (k + 1) * STEP_COLUMNS + 2 * half);
        if ((k + 1) % GROUP_STEPS == 0) scale = load_scale(of, s.w, from, (k + 1) / GROUP_STEPS);
      }
      multiply_step<true>(part, a, b, warp_row, warp_token);
      if ((k + 1) % GROUP_STEPS == 0 || k + 1 == steps) promote(sum, part, both + warp_row, both + TILE + warp_token);
    }
    put_tile(v, s, p, sum, first_row + warp_row, first + warp_token);
    __syncthreads();
  }
}

} // namespace

/* Also where it is no instruction: there it is the plain variant of wgmma-e4m3, and has what that leaves over. */
bool zh_cuda_has_mma_e4m3(const zh_device *device) {
  bool has = device->facts.major * 10 + device->facts.minor >= 89;
#ifdef __CUDACC__
  cudaFuncAttributes code; /* what an older device would run as well lacks it */
  has = has && cudaFuncGetAttributes(&code, many_tokens_e4m3) == cudaSuccess && code.ptxVersion >= 89;
  cudaGetLastError();
#endif
  return has;
}

bool zh_cuda_e4m3_takes(const zh_product_view *v, zh_device_form form) {
  bool takes = form == ZH_FORM_E4M3;
  for (uint32_t i = 0; i < v->sides; ++i)
    takes = takes && zh_device_even_groups(v->side[i].w.scale_columns, v->columns);
  return takes;
}

zh_status zh_cuda_product_mma_e4m3(zh_device *device, zh_product_view *v, const zh_product_matrices *, zh_error *err) {
  zh_e4m3_inputs inputs;
  zh_count_tiles(v, TILE);
  ZH_TRY(zh_cuda_round_to_e4m3(device, v, &inputs, err));
  e4m3_view of = {*v, zh_at<const uint8_t>(inputs.numbers), zh_at<const float>(inputs.scales),
                  (uint32_t)inputs.columns, (uint32_t)inputs.count};
  ZH_LAUNCH(many_tokens_e4m3, grid_of(v), THREADS, 0, device->stream, of);
  return zh_cuda_launched(device, "a product of many tokens in E4M3", err);
}
