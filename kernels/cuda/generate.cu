/* Weights of standard models, made in place: core/philox.h's numbers, the same bits. */
#include "philox.cuh"

namespace {

enum { THREADS = 256, BLOCKS = 2048, OCTAVES = 32, CORNERS = 17 };

__device__ const int32_t corners[OCTAVES][CORNERS] = {
#include "core/normal_table.inc"
};

/* zh_normal_q16. */
ZH_DEVICE int32_t normal_q16(zh_shared<int32_t> table, uint32_t bits) {
  uint32_t w = bits << 1 | 1u;
  int octave = __clz((int)w);
  uint32_t mantissa = w << octave << 1;
  uint32_t corner = (uint32_t)octave * CORNERS + (mantissa >> 28);
  int32_t fraction = (int32_t)(mantissa >> 12 & 0xFFFFu), first = table[corner], second = table[corner + 1];
  int32_t z = first - (((first - second) * fraction + 0x8000) >> 16), sign = (int32_t)bits >> 31;
  return (z ^ sign) - sign;
}

struct target {
  zh_global<uint8_t> numbers;
  zh_global<const float> scales;
  uint32_t rows, columns, row_bytes, scale_rows, scale_columns, scale_stride;
};

struct origin {
  uint64_t seed, stream, first; /* first: number of the value at row 0, column 0 */
  uint64_t whole_columns;
  float unit; /* of a number in 2^16ths */
};

template <int FORM> ZH_DEVICE void put_value(const target &to, uint32_t row, uint32_t column, float value) {
  size_t at = (size_t)row * to.row_bytes;
  if constexpr (FORM == ZH_FORM_F32) {
    zh_store(to.numbers, at + 4 * (size_t)column, value);
  } else if constexpr (FORM == ZH_FORM_F16) {
    zh_store(to.numbers, at + 2 * (size_t)column, zh_f16_of(value));
  } else if constexpr (FORM == ZH_FORM_BF16) {
    zh_store(to.numbers, at + 2 * (size_t)column, zh_bf16_of(value));
  } else {
    uint32_t last = min(column, to.columns - 1);
    float scale = to.scales[(size_t)(row / to.scale_rows) * to.scale_stride + last / to.scale_columns];
    to.numbers[at + column] = zh_e4m3_of(value / scale);
  }
}

/* Each thread has the four values of a counter of a row, as far as they are wanted; and what lies behind a row's
 * columns becomes zero. */
template <int FORM> ZH_KERNEL void make_weights(target to, origin from, uint32_t padded) {
  ZH_SHARED(int32_t, table, OCTAVES * CORNERS);
  for (uint32_t i = threadIdx.x; i < OCTAVES * CORNERS; i += blockDim.x) table[i] = corners[i / CORNERS][i % CORNERS];
  __syncthreads();
  uint32_t fours = padded / 4 + 1; /* a row may begin within a counter */
  for (uint64_t i = zh_block_begin() + threadIdx.x; i < (uint64_t)to.rows * fours; i += (uint64_t)gridDim.x * THREADS) {
    uint32_t row = (uint32_t)(i / fours), bits[4];
    uint64_t first = from.first + row * from.whole_columns, block = first / 4 + i % fours;
    zh_philox(bits, block, from.stream, from.seed);
    for (uint32_t k = 0; k < 4; ++k) {
      uint64_t index = 4 * block + k;
      if (index < first || index - first >= padded) continue;
      uint32_t column = (uint32_t)(index - first);
      put_value<FORM>(to, row, column, column < to.columns ? (float)normal_q16(table, bits[k]) * from.unit : 0.0f);
    }
  }
}

/* --- blocks of 32 columns with scales of their own: as zh_quantize_row, the same bits --- */

struct blocks_target {
  zh_global<uint8_t> numbers, scales;
  uint32_t rows, blocks, padded, row_bytes, scale_bytes; /* blocks of a row, and those with what is filled up */
};

ZH_DEVICE void block_values(float (&x)[32], zh_shared<int32_t> table, const origin &from, uint64_t first) {
  uint32_t bits[4] = {0, 0, 0, 0};
  for (uint32_t k = 0; k < 32; ++k) {
    uint64_t index = first + k;
    if (k == 0 || index % 4 == 0) zh_philox(bits, index / 4, from.stream, from.seed);
    uint32_t lane = (uint32_t)index % 4, own = lane == 0   ? bits[0]
                                               : lane == 1 ? bits[1]
                                               : lane == 2 ? bits[2]
                                                           : bits[3];
    x[k] = (float)normal_q16(table, own) * from.unit;
  }
}

ZH_DEVICE float inverse_of(float d) {
  return d == 0.0f ? 0.0f : 1.0f / d;
}

/* Downwards to 0 … 15. */
ZH_DEVICE uint32_t quantum(float value) {
  if (!(value >= 0.0f && value < INFINITY)) return 0;
  return value >= 15.0f ? 15u : (uint32_t)value;
}

/* To the nearest, ties away from zero. */
ZH_DEVICE int rounded(float value) {
  float size = fabsf(value), whole = floorf(size);
  whole += floorf(2.0f * (size - whole));
  return (int)(value < 0.0f ? -whole : whole);
}

template <int FORM>
ZH_DEVICE void put_block(const blocks_target &to, uint32_t row, uint32_t block, const float (&x)[32]) {
  size_t at = (size_t)row * to.row_bytes, scale_at = (size_t)row * to.scale_bytes;
  float largest = x[0], low = x[0], high = x[0];
  for (uint32_t i = 1; i < 32; ++i) {
    if (fabsf(x[i]) > fabsf(largest)) largest = x[i];
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  float d = FORM == ZH_FORM_Q8 ? fabsf(largest) / 127.0f : FORM == ZH_FORM_Q4 ? largest / -8.0f : (high - low) / 15.0f;
  float inverse = inverse_of(d), less = FORM == ZH_FORM_Q4_1 ? low : 0.0f, more = FORM == ZH_FORM_Q4_1 ? 0.5f : 8.5f;
  for (uint32_t c = 0; c < 4; ++c) {
    uint32_t word[2] = {0, 0};
    for (uint32_t i = 0; i < 8; ++i) {
      float q = __fmul_rn(x[8 * c + i] - less, inverse); /* never fused with what follows */
      if (FORM == ZH_FORM_Q8)
        word[i / 4] |= ((uint32_t)(q - q == 0.0f ? rounded(q) : 0) & 0xFFu) << (8 * (i % 4));
      else
        word[0] |= quantum(__fadd_rn(q, more)) << (4 * (i / 2 + i % 2 * 4));
    }
    if (FORM == ZH_FORM_Q8)
      zh_store(to.numbers, at + block / 2 * 64 + c * 16 + block % 2 * 8, make_uint2(word[0], word[1]));
    else
      zh_store(to.numbers, at + block / 4 * 64 + c * 16 + block % 4 * 4, word[0]);
  }
  if (FORM == ZH_FORM_Q4_1)
    zh_store(to.scales, scale_at + block * 4, (uint32_t)zh_f16_of(d) | (uint32_t)zh_f16_of(low) << 16);
  else
    zh_store(to.scales, scale_at + block * 2, zh_f16_of(d));
}

/* What fills a row up: zeros, as zh_device_lay leaves them. */
template <int FORM> ZH_DEVICE void put_nothing(const blocks_target &to, uint32_t row, uint32_t block) {
  size_t at = (size_t)row * to.row_bytes, scale_at = (size_t)row * to.scale_bytes;
  uint32_t piece = FORM == ZH_FORM_Q8 ? block / 2 : block / 4;
  for (uint32_t c = 0; c < 4 && (piece + 1) * 64 <= to.row_bytes; ++c) {
    if (FORM == ZH_FORM_Q8)
      zh_store(to.numbers, at + piece * 64 + c * 16 + block % 2 * 8, make_uint2(0u, 0u));
    else
      zh_store(to.numbers, at + piece * 64 + c * 16 + block % 4 * 4, 0u);
  }
  if (FORM == ZH_FORM_Q4_1 && block * 4 < to.scale_bytes) zh_store(to.scales, scale_at + block * 4, 0u);
  if (FORM != ZH_FORM_Q4_1 && block * 2 < to.scale_bytes) zh_store(to.scales, scale_at + block * 2, (uint16_t)0);
}

template <int FORM> ZH_KERNEL void make_blocks(blocks_target to, origin from) {
  ZH_SHARED(int32_t, table, OCTAVES * CORNERS);
  for (uint32_t i = threadIdx.x; i < OCTAVES * CORNERS; i += blockDim.x) table[i] = corners[i / CORNERS][i % CORNERS];
  __syncthreads();
  uint64_t all = (uint64_t)to.rows * to.padded;
  for (uint64_t i = zh_block_begin() + threadIdx.x; i < all; i += (uint64_t)gridDim.x * THREADS) {
    uint32_t row = (uint32_t)(i / to.padded), block = (uint32_t)(i % to.padded);
    float x[32];
    if (block >= to.blocks) {
      put_nothing<FORM>(to, row, block);
      continue;
    }
    block_values(x, table, from, from.first + row * from.whole_columns + (uint64_t)block * 32);
    put_block<FORM>(to, row, block, x);
  }
}

void launch_blocks(zh_device *device, const zh_device_matrix *out, const origin &from) {
  blocks_target to = {};
  uint32_t each = out->form == ZH_FORM_Q4_1 ? 4 : 2, in_piece = out->form == ZH_FORM_Q8 ? 2 : 4;
  to.numbers = zh_at<uint8_t>(out->numbers);
  to.scales = zh_at<uint8_t>(out->scales);
  to.rows = out->rows;
  to.blocks = out->columns / 32;
  to.row_bytes = (uint32_t)zh_device_number_bytes(out->form, 1, out->columns);
  to.scale_bytes = (uint32_t)zh_device_scale_row_bytes(out->form, out->columns);
  uint32_t of_numbers = to.row_bytes / 64 * in_piece, of_scales = to.scale_bytes / each;
  to.padded = of_numbers > of_scales ? of_numbers : of_scales;
  unsigned blocks = zh_blocks((size_t)to.rows * to.padded, THREADS);
  auto kernel = out->form == ZH_FORM_Q8   ? make_blocks<ZH_FORM_Q8>
                : out->form == ZH_FORM_Q4 ? make_blocks<ZH_FORM_Q4>
                                          : make_blocks<ZH_FORM_Q4_1>;
  ZH_LAUNCH(kernel, blocks < BLOCKS ? blocks : (unsigned)BLOCKS, THREADS, 0, device->stream, to, from);
}

} // namespace

zh_status zh_cuda_generate(zh_device *device, const zh_device_matrix *out, uint64_t seed, uint64_t stream,
                           uint64_t first_row, uint64_t first_column, uint64_t whole_columns, float scale,
                           zh_error *err) {
  if (out->rows == 0 || out->columns == 0) return ZH_OK;
  bool in_blocks = out->form > ZH_FORM_E4M3;
  if (out->form == ZH_FORM_Q4_K || (in_blocks && out->columns % 32 != 0))
    return zh_fail(err, ZH_ERR_ARG,
                   "weights of form '%s' with %u columns cannot be made in place: of all forms but q4_k, and of "
                   "quantised ones whole blocks of 32 columns, can",
                   zh_device_form_names[out->form], out->columns);
  origin from = {seed, stream, first_row * whole_columns + first_column, whole_columns, scale * 0x1p-16f};
  if (in_blocks) {
    launch_blocks(device, out, from);
    return zh_cuda_launched(device, "making weights", err);
  }
  target to = {};
  to.numbers = zh_at<uint8_t>(out->numbers);
  to.scales = zh_at<const float>(out->scales);
  to.rows = out->rows;
  to.columns = out->columns;
  to.row_bytes = (uint32_t)zh_device_number_bytes(out->form, 1, out->columns);
  to.scale_rows = out->scale_rows;
  to.scale_columns = out->scale_columns;
  if (out->form == ZH_FORM_E4M3) to.scale_stride = (out->columns + out->scale_columns - 1) / out->scale_columns;
  uint32_t padded = to.row_bytes / (out->form == ZH_FORM_F32 ? 4 : out->form == ZH_FORM_E4M3 ? 1 : 2);
  unsigned blocks = zh_blocks((size_t)out->rows * (padded / 4 + 1), THREADS);
  auto kernel = out->form == ZH_FORM_F32    ? make_weights<ZH_FORM_F32>
                : out->form == ZH_FORM_F16  ? make_weights<ZH_FORM_F16>
                : out->form == ZH_FORM_BF16 ? make_weights<ZH_FORM_BF16>
                                            : make_weights<ZH_FORM_E4M3>;
  ZH_LAUNCH(kernel, blocks < BLOCKS ? blocks : (unsigned)BLOCKS, THREADS, 0, device->stream, to, from, padded);
  return zh_cuda_launched(device, "making weights", err);
}
