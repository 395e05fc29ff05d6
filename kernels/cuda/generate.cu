/* Weights of standard models, made in place: core/philox.h's numbers, the same bits. */
#include "device.cuh"

namespace {

enum { THREADS = 256, BLOCKS = 2048, OCTAVES = 32, CORNERS = 17, ROUNDS = 10 };

__device__ const int32_t corners[OCTAVES][CORNERS] = {
#include "core/normal_table.inc"
};

ZH_DEVICE void philox(uint32_t (&c)[4], uint64_t block, uint64_t stream, uint64_t seed) {
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  c[0] = (uint32_t)block, c[1] = (uint32_t)(block >> 32), c[2] = (uint32_t)stream, c[3] = (uint32_t)(stream >> 32);
  for (int round = 0; round < ROUNDS; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    uint32_t a = 0xD2511F53u * c[0], b = 0xCD9E8D57u * c[2], a_high = __umulhi(0xD2511F53u, c[0]),
             b_high = __umulhi(0xCD9E8D57u, c[2]);
    c[0] = b_high ^ c[1] ^ k0, c[2] = a_high ^ c[3] ^ k1;
    c[1] = b, c[3] = a;
  }
}

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
    philox(bits, block, from.stream, from.seed);
    for (uint32_t k = 0; k < 4; ++k) {
      uint64_t index = 4 * block + k;
      if (index < first || index - first >= padded) continue;
      uint32_t column = (uint32_t)(index - first);
      put_value<FORM>(to, row, column, column < to.columns ? (float)normal_q16(table, bits[k]) * from.unit : 0.0f);
    }
  }
}

} // namespace

zh_status zh_cuda_generate(zh_device *device, const zh_device_matrix *out, uint64_t seed, uint64_t stream,
                           uint64_t first_row, uint64_t first_column, uint64_t whole_columns, float scale,
                           zh_error *err) {
  if (out->rows == 0 || out->columns == 0) return ZH_OK;
  if (out->form > ZH_FORM_E4M3)
    return zh_fail(err, ZH_ERR_ARG, "weights of form '%s' cannot be made in place; f32, f16, bf16 and e4m3 can",
                   zh_device_form_names[out->form]);
  target to = {};
  to.numbers = zh_at<uint8_t>(out->numbers);
  to.scales = zh_at<const float>(out->scales);
  to.rows = out->rows;
  to.columns = out->columns;
  to.row_bytes = (uint32_t)zh_device_number_bytes(out->form, 1, out->columns);
  to.scale_rows = out->scale_rows;
  to.scale_columns = out->scale_columns;
  if (out->form == ZH_FORM_E4M3) to.scale_stride = (out->columns + out->scale_columns - 1) / out->scale_columns;
  origin from = {seed, stream, first_row * whole_columns + first_column, whole_columns, scale * 0x1p-16f};
  uint32_t padded = to.row_bytes / (out->form == ZH_FORM_F32 ? 4 : out->form == ZH_FORM_E4M3 ? 1 : 2);
  unsigned blocks = zh_blocks((size_t)out->rows * (padded / 4 + 1), THREADS);
  auto kernel = out->form == ZH_FORM_F32    ? make_weights<ZH_FORM_F32>
                : out->form == ZH_FORM_F16  ? make_weights<ZH_FORM_F16>
                : out->form == ZH_FORM_BF16 ? make_weights<ZH_FORM_BF16>
                                            : make_weights<ZH_FORM_E4M3>;
  ZH_LAUNCH(kernel, blocks < BLOCKS ? blocks : BLOCKS, THREADS, 0, device->stream, to, from, padded);
  return zh_cuda_launched(device, "making weights", err);
}
