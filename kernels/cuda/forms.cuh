/* Weights as kernels see them: eight columns as values, or as pairs of bf16 with a scale apart. The
 * order of columns: kernels/device_forms.c. */
#ifndef ZH_KERNELS_CUDA_FORMS_CUH
#define ZH_KERNELS_CUDA_FORMS_CUH

#include "device.cuh"

/* A zh_device_matrix. scale_stride: E4M3's scales of a row of blocks; else bytes of a row of scales. */
struct zh_weights_view {
  zh_global<const uint8_t> numbers, scales;
  uint32_t columns, row_bytes, scale_stride, scale_rows, scale_columns;
  uint32_t scale_reciprocal; /* zh_scale_reciprocal */
};

/* E4M3: a column's block of scale_columns, a multiple of 64, is __umulhi(column / 32, this): exactly, for rows of up to
 * ZH_SCALED_COLUMNS. For times the n = scale_columns / 32 this is 2^32 + e, e < n, and what e adds to column / 32 / n is
 * less than 1 / n while column / 32 e < 2^32. 0: all columns have one scale. */
enum { ZH_SCALED_COLUMNS = 1 << 21 };
static inline uint32_t zh_scale_reciprocal(const zh_device_matrix *m) {
  uint32_t units = m->scale_columns / 32;
  if (m->form != ZH_FORM_E4M3 || m->scale_columns >= m->columns || units < 2) return 0;
  return (uint32_t)((0x100000000ull + units - 1) / units);
}

static inline zh_weights_view zh_view_of(const zh_device_matrix *m) {
  zh_weights_view v;
  v.numbers = zh_at<const uint8_t>(m->numbers);
  v.scales = zh_at<const uint8_t>(m->scales);
  v.columns = m->columns;
  v.row_bytes = (uint32_t)zh_device_number_bytes(m->form, 1, m->columns);
  v.scale_rows = m->scale_rows;
  v.scale_columns = m->scale_columns;
  v.scale_reciprocal = zh_scale_reciprocal(m);
  v.scale_stride = m->form == ZH_FORM_E4M3 ? (m->columns + m->scale_columns - 1) / m->scale_columns
                                           : (uint32_t)zh_device_scale_row_bytes(m->form, m->columns);
  return v;
}

/* --- scales --- */

struct zh_scale_pair {
  float scale, minimum; /* scale n + minimum */
};

ZH_DEVICE float zh_low_f16(uint32_t word) {
  return zh_f16_value(word & 0xFFFFu);
}
ZH_DEVICE float zh_high_f16(uint32_t word) {
  return zh_f16_value(word >> 16);
}

/* Run `run` of eight of Q4_K's sixteen bytes. */
ZH_DEVICE zh_scale_pair zh_k_scale(const uint4 &s, uint32_t run) {
  uint32_t shift = run % 4 * 8, y = s.y >> shift, z = s.z >> shift, w = s.w >> shift;
  uint32_t scale = run < 4 ? y & 63u : (w & 15u) | (y >> 2 & 48u);
  uint32_t minimum = run < 4 ? z & 63u : (w >> 4 & 15u) | (z >> 2 & 48u);
  return {zh_low_f16(s.x) * (float)scale, -(zh_high_f16(s.x) * (float)minimum)};
}

/* Of the block of 32 columns that `column` is in; E4M3's block is scale_columns wide. */
template <int FORM> ZH_DEVICE zh_scale_pair zh_scale_at(const zh_weights_view &w, size_t row, uint32_t column) {
  size_t at = row * w.scale_stride;
  uint32_t block = column / 32;
  if constexpr (FORM == ZH_FORM_E4M3) {
    uint32_t last = column < w.columns ? column : w.columns - 1; /* what lies behind the columns is zero */
    at = ((size_t)((uint32_t)row / w.scale_rows) * w.scale_stride + last / w.scale_columns) * 4;
    return {zh_load<float>(w.scales, at), 0.0f};
  } else if constexpr (FORM == ZH_FORM_Q8 || FORM == ZH_FORM_Q4) {
    return {zh_f16_value(zh_load<uint16_t>(w.scales, at + block * 2)), 0.0f};
  } else if constexpr (FORM == ZH_FORM_Q4_1) {
    uint32_t both = zh_load<uint32_t>(w.scales, at + block * 4);
    return {zh_low_f16(both), zh_high_f16(both)};
  } else if constexpr (FORM == ZH_FORM_Q4_K) {
    return zh_k_scale(zh_load<uint4>(w.scales, at + block / 8 * 16), block % 8);
  } else {
    return {1.0f, 0.0f};
  }
}

/* --- numbers --- */

/* Pairs of columns 2 i, 2 i + 1 of a word of halves: `place` i. */
ZH_DEVICE uint32_t zh_half_pair(uint32_t word, uint32_t place) {
  return word >> (4 * place) & 0x000F000Fu;
}

/* Signed byte i of a word. */
ZH_DEVICE float zh_signed_byte(uint32_t word, uint32_t i) {
  return (float)(int8_t)(word >> (8 * i) & 0xFFu);
}

/* Columns column … column + 7 of a row, `column` a multiple of 8, as values, as zh_device_row_values has them. */
template <int FORM>
ZH_DEVICE void zh_eight_values(float (&v)[8], const zh_weights_view &w, size_t row, uint32_t column) {
  size_t at = row * w.row_bytes;
  zh_scale_pair s = zh_scale_at<FORM>(w, row, column);
  uint32_t block = column / 32, part = column / 8 % 4;
  if constexpr (FORM == ZH_FORM_F32) {
    for (uint32_t h = 0; h < 2; ++h) {
      float4 four = zh_load<float4>(w.numbers, at + column * 4 + 16 * h);
      v[4 * h] = four.x, v[4 * h + 1] = four.y, v[4 * h + 2] = four.z, v[4 * h + 3] = four.w;
    }
  } else if constexpr (FORM == ZH_FORM_F16 || FORM == ZH_FORM_BF16) {
    uint4 raw = zh_load<uint4>(w.numbers, at + column * 2);
    uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
    for (uint32_t i = 0; i < 4; ++i) {
      v[2 * i] = FORM == ZH_FORM_F16 ? zh_low_f16(words[i]) : zh_bf16_value(words[i] & 0xFFFFu);
      v[2 * i + 1] = FORM == ZH_FORM_F16 ? zh_high_f16(words[i]) : zh_bf16_value(words[i] >> 16);
    }
  } else if constexpr (FORM == ZH_FORM_E4M3 || FORM == ZH_FORM_Q8) {
    size_t place = FORM == ZH_FORM_E4M3 ? column : block / 2 * 64 + part * 16 + block % 2 * 8;
    uint2 raw = zh_load<uint2>(w.numbers, at + place);
    uint32_t words[2] = {raw.x, raw.y};
    for (uint32_t i = 0; i < 8; ++i)
      v[i] = s.scale * (FORM == ZH_FORM_E4M3 ? zh_e4m3_value(words[i / 4] >> (8 * (i % 4)) & 0xFFu)
                                             : zh_signed_byte(words[i / 4], i % 4));
  } else {
    uint32_t word = zh_load<uint32_t>(w.numbers, at + block / 4 * 64 + part * 16 + block % 4 * 4);
    for (uint32_t i = 0; i < 4; ++i) {
      uint32_t pair = zh_half_pair(word, i);
      float low = (float)(pair & 15u), high = (float)(pair >> 16);
      v[2 * i] = FORM == ZH_FORM_Q4 ? s.scale * (low - 8.0f) : fmaf(s.scale, low, s.minimum);
      v[2 * i + 1] = FORM == ZH_FORM_Q4 ? s.scale * (high - 8.0f) : fmaf(s.scale, high, s.minimum);
    }
  }
}

/* --- pieces of 64 bytes, of which each of four threads has sixteen --- */

/* Runs of 32 columns in a piece (each thread has eight columns of each), whether they have a scale of their own, and
 * what a piece's columns are. */
template <int FORM> struct zh_piece {
  static constexpr uint32_t UNITS = FORM == ZH_FORM_BF16 ? 1 : FORM == ZH_FORM_E4M3 || FORM == ZH_FORM_Q8 ? 2 : 4;
  static constexpr uint32_t COLUMNS = 32 * UNITS;
  static constexpr bool SCALED = FORM != ZH_FORM_BF16;
  static constexpr bool MINIMUM = FORM == ZH_FORM_Q4_1 || FORM == ZH_FORM_Q4_K;
};

/* The first of the eight columns that thread c of four has of a unit. */
template <int FORM> ZH_DEVICE uint32_t zh_unit_column(uint32_t piece, uint32_t unit, uint32_t c) {
  uint32_t first = piece * zh_piece<FORM>::COLUMNS;
  return FORM == ZH_FORM_E4M3 ? first + 16 * c + 8 * unit : first + 32 * unit + 8 * c;
}

ZH_DEVICE uint32_t zh_word_of(const uint4 &v, uint32_t i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

/* Of the upper bytes of both halves of a word; what the lower ones are does not matter. */
ZH_DEVICE uint32_t zh_e4m3_apart(uint32_t word) {
  uint32_t bits = (word >> 4 & 0x07F007F0u) | (word & 0x80008000u);
  return zh_bf16_pair_fma(bits, 0x7B807B80u, 0x80008000u); /* 2^120; - 0 */
}
/* Two bytes of E4M3 from place i on. */
ZH_DEVICE uint32_t zh_e4m3_pair(uint32_t word, uint32_t i) {
  return zh_e4m3_apart(__byte_perm(word, 0u, i == 0 ? 0x1404u : 0x3424u)); /* 0 a 0 b, from the low byte on */
}

ZH_DEVICE uint32_t zh_q8_pair(uint32_t word, uint32_t i) {
  /* Bytes have eight significant bits: their bf16 is the upper half of their fp32. */
  return __byte_perm(zh_bits(zh_signed_byte(word, i)), zh_bits(zh_signed_byte(word, i + 1)), 0x7632u);
}

/* A thread's eight columns of a unit, exactly, in bf16; scales apart. */
template <int FORM> ZH_DEVICE void zh_unit_pairs(uint32_t (&pair)[4], const uint4 &raw, uint32_t unit) {
  if constexpr (FORM == ZH_FORM_BF16) {
    pair[0] = raw.x, pair[1] = raw.y, pair[2] = raw.z, pair[3] = raw.w;
  } else if constexpr (FORM == ZH_FORM_E4M3 || FORM == ZH_FORM_Q8) {
    for (uint32_t i = 0; i < 4; ++i) {
      uint32_t word = zh_word_of(raw, 2 * unit + i / 2);
      pair[i] = FORM == ZH_FORM_E4M3 ? zh_e4m3_pair(word, i % 2 * 2) : zh_q8_pair(word, i % 2 * 2);
    }
  } else {
    /* 0x4300 | n is the bf16 128 + n. */
    uint32_t word = zh_word_of(raw, unit), less = FORM == ZH_FORM_Q4 ? 0xC308C308u : 0xC300C300u;
    for (uint32_t i = 0; i < 4; ++i) pair[i] = zh_bf16_pair_fma(zh_half_pair(word, i) | 0x43004300u, 0x3F803F80u, less);
  }
}

/* A row as what is the same for all of its pieces; of E4M3 where it begins, and the first of its scales, which takes a
 * division. */
template <int FORM> struct zh_row_place {
  size_t row;
};
template <> struct zh_row_place<ZH_FORM_E4M3> {
  size_t numbers;
  uint32_t scale;
};
template <int FORM> ZH_DEVICE zh_row_place<FORM> zh_place_of_row(const zh_weights_view &w, size_t row) {
  if constexpr (FORM == ZH_FORM_E4M3)
    return {row * w.row_bytes, (uint32_t)row / w.scale_rows * w.scale_stride};
  else
    return {row};
}

/* What a thread has loaded for a row of a piece. */
struct zh_loaded {
  uint4 numbers, scales;
};

template <int FORM>
ZH_DEVICE zh_loaded zh_load_piece(const zh_weights_view &w, const zh_row_place<FORM> &place, uint32_t piece,
                                  uint32_t c) {
  zh_loaded l;
  l.scales = make_uint4(0, 0, 0, 0);
  if constexpr (FORM == ZH_FORM_E4M3) {
    uint32_t scale = place.scale + __umulhi(2 * piece, w.scale_reciprocal);
    l.numbers = zh_load_once(w.numbers, place.numbers + (size_t)piece * 64 + c * 16);
    l.scales.x = zh_load<uint32_t>(w.scales, (size_t)scale * 4);
  } else {
    size_t at = place.row * w.scale_stride;
    l.numbers = zh_load_once(w.numbers, place.row * w.row_bytes + (size_t)piece * 64 + c * 16);
    if constexpr (FORM == ZH_FORM_Q8) l.scales.x = zh_load<uint32_t>(w.scales, at + piece * 4);
    if constexpr (FORM == ZH_FORM_Q4) {
      uint2 two = zh_load<uint2>(w.scales, at + piece * 8);
      l.scales.x = two.x, l.scales.y = two.y;
    }
    if constexpr (FORM == ZH_FORM_Q4_1) l.scales = zh_load<uint4>(w.scales, at + piece * 16);
    if constexpr (FORM == ZH_FORM_Q4_K) l.scales = zh_load<uint4>(w.scales, at + piece / 2 * 16);
  }
  return l;
}

template <int FORM> ZH_DEVICE zh_scale_pair zh_unit_scale(const zh_loaded &l, uint32_t piece, uint32_t unit) {
  if constexpr (FORM == ZH_FORM_E4M3) {
    return {zh_float(l.scales.x), 0.0f};
  } else if constexpr (FORM == ZH_FORM_Q8 || FORM == ZH_FORM_Q4) {
    uint32_t word = zh_word_of(l.scales, unit / 2);
    return {unit % 2 ? zh_high_f16(word) : zh_low_f16(word), 0.0f};
  } else if constexpr (FORM == ZH_FORM_Q4_1) {
    uint32_t word = zh_word_of(l.scales, unit);
    return {zh_low_f16(word), zh_high_f16(word)};
  } else if constexpr (FORM == ZH_FORM_Q4_K) {
    return zh_k_scale(l.scales, piece % 2 * 4 + unit);
  } else {
    return {1.0f, 0.0f};
  }
}

#endif
