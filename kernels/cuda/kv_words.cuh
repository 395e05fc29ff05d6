/* Rows of keys and values in shared memory, as they lie in the cache, as operands of mma.m16n8k16. One word holds two
 * numbers in bf16, exactly; scales of E4M3 stay apart. The four words of a thread are a's fragment, or b's of two
 * tiles of eight: {0, 2} and {1, 3}. */
#ifndef ZH_KERNELS_CUDA_KV_WORDS_CUH
#define ZH_KERNELS_CUDA_KV_WORDS_CUH

#include "forms.cuh"
#include "kv.cuh"

/* Rows are this many bytes apart in shared memory: an odd number of sixteens, so that eight rows meet no bank twice. */
static inline uint32_t zh_kv_pitch(const zh_kv_view &kv) {
  uint32_t sixteens = (uint32_t)(kv.row_bytes / 16);
  return (sixteens | 1u) * 16;
}

template <int TYPE> ZH_DEVICE float zh_kv_scale(zh_shared<uint8_t> rows, uint32_t at) {
  if constexpr (TYPE == ZH_DEVICE_KV_E4M3) return zh_load<float>(rows, at);
  return 1.0f;
}

/* Of sixteen columns the first of the pair that thread c of four has as k: `half` 0, and 1 from k = 8 on. E4M3: a
 * thread's four are those of one word. */
template <int TYPE> ZH_DEVICE uint32_t zh_key_column(uint32_t c, uint32_t half) {
  return TYPE == ZH_DEVICE_KV_E4M3 ? 4 * c + 2 * half : 2 * c + 8 * half;
}
/* Of sixteen columns that which is number i of a tile of eight: E4M3 has the even ones in tile 0. */
template <int TYPE> ZH_DEVICE uint32_t zh_value_column(uint32_t i, uint32_t tile) {
  return TYPE == ZH_DEVICE_KV_E4M3 ? 2 * i + tile : i + 8 * tile;
}

/* Sixteen rows from `row` on, sixteen columns from `column` on, k along the columns: word i has row g + 8 (i % 2) and
 * half i / 2. */
template <int TYPE>
ZH_DEVICE void zh_key_words(uint32_t (&word)[4], zh_shared<uint8_t> rows, uint32_t pitch, uint32_t row,
                            uint32_t column) {
  uint32_t lane = threadIdx.x % 32;
  if constexpr (TYPE == ZH_DEVICE_KV_BF16) {
    zh_load_matrices(word, zh_as<uint16_t>(rows), (row + lane % 16) * (pitch / 2) + column + lane / 16 * 8);
  } else {
    for (uint32_t i = 0; i < 2; ++i) {
      uint32_t at = (row + lane / 4 + 8 * i) * pitch + ZH_KV_SCALE_BYTES + column + lane % 4 * 4;
      uint32_t four = zh_load<uint32_t>(rows, at);
      word[i] = zh_e4m3_pair(four, 0);
      word[2 + i] = zh_e4m3_pair(four, 2);
    }
  }
}

/* Sixteen rows from `row` on, 32 columns from `column` on in two sixteens, k along the rows: word i of a sixteen has
 * columns of tile i % 2, and rows 2 c, 2 c + 1, from 8 on where i / 2 is 1. Columns of the second sixteen from `columns`
 * on are not read, and mean nothing. */
template <int TYPE>
ZH_DEVICE void zh_value_words(uint32_t (&word)[2][4], zh_shared<uint8_t> rows, uint32_t pitch, uint32_t row,
                              uint32_t column, uint32_t columns) {
  uint32_t lane = threadIdx.x % 32, second = column + 16 < columns ? column + 16 : column;
  if constexpr (TYPE == ZH_DEVICE_KV_BF16) {
    uint32_t from = (row + lane % 8 + lane / 16 * 8) * (pitch / 2) + lane / 8 % 2 * 8;
    zh_load_matrices_transposed(word[0], zh_as<uint16_t>(rows), from + column);
    zh_load_matrices_transposed(word[1], zh_as<uint16_t>(rows), from + second);
  } else { /* pairs of bytes are moved: two columns of a row */
    uint32_t four[4], from = (row + lane % 16) * (pitch / 2) + (ZH_KV_SCALE_BYTES + (lane < 16 ? column : second)) / 2;
    zh_load_matrices_transposed(four, zh_as<uint16_t>(rows), from);
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
      word[i / 2][i % 2 * 2] = zh_e4m3_apart(four[i] << 8);
      word[i / 2][i % 2 * 2 + 1] = zh_e4m3_apart(four[i]);
    }
  }
}

/* 2^32 over the sixteens of a row, of which there are two and more. */
static inline uint32_t zh_reciprocal(const zh_kv_view &kv) {
  uint32_t sixteens = (uint32_t)(kv.row_bytes / 16);
  return (uint32_t)((0x100000000ull + sixteens - 1) / sixteens);
}
/* Rows [0, ROWS) of shared memory from the cache, by threads `thread` of THREADS; those from `count` on become zeros.
 * reciprocal: zh_reciprocal. */
template <int ROWS, int THREADS>
ZH_DEVICE void zh_copy_rows(zh_shared<uint8_t> to, uint32_t pitch, const zh_kv_view &from, size_t first, uint32_t count,
                            uint32_t thread, uint32_t reciprocal) {
  uint32_t sixteens = (uint32_t)(from.row_bytes / 16);
  for (uint32_t i = thread; i < ROWS * sixteens; i += THREADS) {
    uint32_t row = __umulhi(i, reciprocal), at = (i - row * sixteens) * 16; /* i / sixteens: both are small */
    bool valid = row < count;
    zh_copy_async(to, row * pitch + at, from.rows, first + (valid ? (size_t)row * from.row_bytes + at : 0), valid);
  }
}

/* Two numbers as three pairs of bf16 whose sums they are, exactly. */
ZH_DEVICE void zh_three_pairs(uint32_t (&part)[3], float x, float y) {
#pragma unroll
  for (uint32_t i = 0; i < 3; ++i) {
    part[i] = zh_bf16_pair(x, y);
    x -= zh_float(part[i] << 16);
    y -= zh_float(part[i] & 0xFFFF0000u);
  }
}

#endif
