/* Whole groups of sixteen rows into the arrangement that packed.h describes, type by type. Included
 * only by pack_*.c of this folder, which first say what a vector of their processor does:
 *
 *   words               sixteen words of 32 bits, one of each row
 *   load_words(w, p, s) the first four words of rows p, p + s, …: w[word]
 *   load_first(p, s)    only the first
 *   store_words(out, w) [row], 64 bytes
 *   store_halves        the lower halves [row], then the upper [row]: 64 bytes
 *   store_lower         the lower halves alone: 32 bytes
 *   store_bytes         [byte][row], 64 bytes
 *   store_fifths        eight masks of 64 bits: nibble j of row r is nibble r of mask j
 *
 * Rows are rearranged into a few KiB on the stack and leave from there in whole lines: stores of
 * parts of lines would make the memory read what is about to be overwritten. As much as a
 * second-level cache holds is written into it: whoever asked for so little is about to read it. */
#include <string.h>

enum { STAGE_BYTES = 8 << 10, LINE = 64, KEPT_BYTES = 1 << 20 };

/* Bit `run` of 32 bytes. */
ALWAYS_INLINE uint32_t run_bits(const uint8_t *p, int run) {
  __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)p);
  return (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(bytes, 7 - run));
}

/* Copies multiples of 32 bytes past the caches, out at one of 32 too. */
ALWAYS_INLINE void write_past(uint8_t *out, const uint8_t *p, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 32)
    _mm256_stream_si256((__m256i *)(void *)(out + i),
                        _mm256_load_si256((const __m256i *)(const void *)(p + i)));
}

/* 16 bytes of each row: four words [word][row]. */
ALWAYS_INLINE void pack_chunk(uint8_t *out, const uint8_t *p, size_t stride) {
  words w[4];
  load_words(w, p, stride);
  for (int k = 0; k < 4; k++) store_words(out + LINE * k, w[k]);
}

ALWAYS_INLINE void pack_chunks(uint8_t *out, const uint8_t *p, size_t stride, int count) {
  for (int c = 0; c < count; c++) pack_chunk(out + 4 * LINE * c, p + 16 * c, stride);
}

/* d, dmin and twelve bytes of scales. */
ALWAYS_INLINE void pack_k_scales(uint8_t *out, const uint8_t *p, size_t stride) {
  words w[4];
  load_words(w, p, stride);
  store_halves(out, w[0]);
  for (int k = 1; k < 4; k++) store_bytes(out + LINE * k, w[k]);
}

ALWAYS_INLINE void pack_k_fifths(uint8_t *out, const uint8_t *p, size_t stride) {
  uint32_t bits[8][ZH_PACKED_ROWS];
  for (size_t r = 0; r < ZH_PACKED_ROWS; r++)
    for (int run = 0; run < 8; run++) bits[run][r] = run_bits(p + r * stride, run);
  for (int run = 0; run < 8; run++) {
    words w;
    memcpy(&w, bits[run], sizeof w);
    store_fifths(out + LINE * run, w);
  }
}

/* Columns of 16 bits: [column][row]. */
ALWAYS_INLINE void pack_half_columns(uint8_t *out, const uint8_t *p, size_t stride) {
  for (int c = 0; c < 4; c++) {
    words w[4];
    load_words(w, p + 16 * c, stride);
    for (int k = 0; k < 4; k++) store_halves(out + LINE * (4 * c + k), w[k]);
  }
}

/* d is the last of a block: read with what lies before it, as nothing may lie behind. */
ALWAYS_INLINE void pack_q6_scales(uint8_t *out, const uint8_t *p, size_t stride) {
  uint8_t halves[LINE];
  words w[4];
  load_words(w, p + 194, stride);
  store_halves(halves, w[3]);
  memcpy(out, halves + 32, 32);
  load_words(w, p + 192, stride);
  for (int k = 0; k < 4; k++) store_bytes(out + 32 + LINE * k, w[k]);
}

/* One block of all sixteen rows, the first row's at p. */
ALWAYS_INLINE void pack_block_of(uint8_t *out, zh_dtype type, const uint8_t *p, size_t stride) {
  switch (type) {
  case ZH_F32:
    pack_chunks(out, p, stride, 8);
    return;
  case ZH_F16:
    pack_half_columns(out, p, stride);
    return;
  case ZH_Q6_K:
    pack_q6_scales(out, p, stride);
    pack_chunks(out + 288, p, stride, 12);
    return;
  case ZH_BF16:
    pack_chunks(out, p, stride, 4);
    return;
  case ZH_Q8_0:
    store_lower(out, load_first(p, stride));
    pack_chunks(out + 32, p + 2, stride, 2);
    return;
  case ZH_MXFP4:
    for (size_t r = 0; r < ZH_PACKED_ROWS; r++) out[r] = p[r * stride];
    pack_chunk(out + 16, p + 1, stride);
    return;
  case ZH_Q4_0:
  case ZH_IQ4_NL:
    store_lower(out, load_first(p, stride));
    pack_chunk(out + 32, p + 2, stride);
    return;
  case ZH_Q4_1:
    store_halves(out, load_first(p, stride));
    pack_chunk(out + 64, p + 4, stride);
    return;
  case ZH_Q5_0:
    store_lower(out, load_first(p, stride));
    store_fifths(out + 32, load_first(p + 2, stride));
    pack_chunk(out + 96, p + 6, stride);
    return;
  case ZH_Q5_1:
    store_halves(out, load_first(p, stride));
    store_fifths(out + 64, load_first(p + 4, stride));
    pack_chunk(out + 128, p + 8, stride);
    return;
  case ZH_Q4_K:
    pack_k_scales(out, p, stride);
    pack_chunks(out + 256, p + 16, stride, 8);
    return;
  default: /* Q5_K */
    pack_k_scales(out, p, stride);
    pack_k_fifths(out + 256, p + 16, stride);
    pack_chunks(out + 768, p + 48, stride, 8);
    return;
  }
}

/* Where rows lie one after the other, a group is one run of bytes: the next is fetched along with
 * each part of this one, in the order of the memory and not of the rows. */
ALWAYS_INLINE void fetch(const uint8_t *p, size_t bytes) {
  for (size_t i = 0; i < bytes; i += LINE) _mm_prefetch((const char *)p + i, _MM_HINT_T1);
}

ALWAYS_INLINE void pack_groups_of(uint8_t *out, zh_dtype type, const uint8_t *rows, size_t groups,
                                  size_t row_bytes, size_t blocks, size_t block_bytes) {
  _Alignas(LINE) uint8_t stage[STAGE_BYTES];
  size_t bytes = ZH_PACKED_ROWS * block_bytes, most = STAGE_BYTES / bytes;
  bool close = row_bytes == blocks * block_bytes,
       keep = bytes % 32 != 0 || groups * blocks * bytes <= KEPT_BYTES;
  for (size_t g = 0; g < groups; g++, rows += ZH_PACKED_ROWS * row_bytes)
    for (size_t first = 0; first < blocks; first += most) {
      size_t count = blocks - first < most ? blocks - first : most;
      if (close && g + 1 < groups)
        fetch(rows + ZH_PACKED_ROWS * row_bytes + first * bytes, count * bytes);
      for (size_t b = 0; b < count; b++)
        pack_block_of(stage + b * bytes, type, rows + (first + b) * block_bytes, row_bytes);
      if (keep)
        memcpy(out, stage, count * bytes);
      else
        write_past(out, stage, count * bytes);
      out += count * bytes;
    }
}

/* Types whose rows are not whole blocks, or are not known here, are left to the plain code. */
static bool pack_groups(void *out, zh_dtype type, const void *rows, size_t groups, size_t row_bytes,
                        size_t columns) {
  switch (type) {
#define TYPE(t, elements, bytes)                                                                   \
  case t:                                                                                          \
    if (columns % (elements) != 0) return false;                                                   \
    pack_groups_of(out, t, rows, groups, row_bytes, columns / (elements), bytes);                  \
    return true
    TYPE(ZH_F32, 32, 128);
    TYPE(ZH_F16, 32, 64);
    TYPE(ZH_BF16, 32, 64);
    TYPE(ZH_Q8_0, 32, 34);
    TYPE(ZH_Q4_0, 32, 18);
    TYPE(ZH_IQ4_NL, 32, 18);
    TYPE(ZH_MXFP4, 32, 17);
    TYPE(ZH_Q4_1, 32, 20);
    TYPE(ZH_Q5_0, 32, 22);
    TYPE(ZH_Q5_1, 32, 24);
    TYPE(ZH_Q4_K, 256, 144);
    TYPE(ZH_Q5_K, 256, 176);
    TYPE(ZH_Q6_K, 256, 210);
#undef TYPE
  default:
    return false;
  }
}
