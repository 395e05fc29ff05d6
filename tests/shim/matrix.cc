/* A warp's products and loads of matrices: what its 32 threads hold, put together and taken apart
 * as the PTX ISA lays fragments out. */
#include <math.h>

#include "engine.h"
#include "shim_math.h"
#include "shim_matrix.h"

namespace zh_shim {

static uint32_t word_in(const offer *lane, int which, int i) {
  return static_cast<const uint32_t *>(lane->in[which])[i];
}

/* --- 16-bit numbers: a[16][16], b[16][8] --- */

static uint32_t half_of(uint32_t word, int column) {
  return word >> (column % 2 * 16) & 0xFFFFu;
}
/* Row r, column k of a: lane 4 (r mod 8) + (k mod 8) / 2; word 0 for rows and columns below 8, 1
 * for rows from 8 on, 2 for columns from 8 on, 3 for both. */
static uint32_t a_half(offer *const lanes[32], int r, int k) {
  return half_of(word_in(lanes[r % 8 * 4 + k % 8 / 2], 0, r / 8 + k / 8 * 2), k);
}
/* Row k, column c of b: lane 4 c + (k mod 8) / 2, word k / 8. */
static uint32_t b_half(offer *const lanes[32], int k, int c) {
  return half_of(word_in(lanes[c * 4 + k % 8 / 2], 1, k / 8), k);
}
/* Row r, column c of d: lane 4 (r mod 8) + c / 2, number c mod 2, and 2 more for rows from 8 on. */
template <class T> static T &d_of(offer *const lanes[32], int r, int c) {
  return static_cast<T *>(lanes[r % 8 * 4 + c / 2]->out)[r / 8 * 2 + c % 2];
}

static float bf16_value(uint32_t bits) {
  return zh_float(bits << 16);
}
static float f16_value(uint32_t bits) {
  uint32_t exponent = bits >> 10 & 31u, fraction = bits & 1023u;
  float magnitude = exponent == 31 ? (fraction ? NAN : INFINITY)
                    : exponent     ? ldexpf((float)(1024u | fraction), (int)exponent - 25)
                                   : ldexpf((float)fraction, -24);
  return bits & 0x8000u ? -magnitude : magnitude;
}

template <float (*value)(uint32_t)> static void multiply_halves(offer *const lanes[32]) {
  float a[16][16], b[16][8];
  for (int k = 0; k < 16; k++) {
    for (int r = 0; r < 16; r++) a[r][k] = value(a_half(lanes, r, k));
    for (int c = 0; c < 8; c++) b[k][c] = value(b_half(lanes, k, c));
  }
  for (int r = 0; r < 16; r++) {
    float sum[8];
    for (int c = 0; c < 8; c++) sum[c] = d_of<float>(lanes, r, c);
    for (int k = 0; k < 16; k++)
      for (int c = 0; c < 8; c++) sum[c] += a[r][k] * b[k][c];
    for (int c = 0; c < 8; c++) d_of<float>(lanes, r, c) = kept_sum(sum[c]);
  }
}

void multiply_bf16(offer *const lanes[32]) {
  multiply_halves<bf16_value>(lanes);
}
void multiply_f16(offer *const lanes[32]) {
  multiply_halves<f16_value>(lanes);
}

/* --- bytes, signed or E4M3: a[16][32], b[32][8] --- */

static int byte_of(uint32_t word, int k) {
  return (signed char)(word >> (k % 4 * 8) & 255u);
}
static int a_byte(offer *const lanes[32], int r, int k) {
  return byte_of(word_in(lanes[r % 8 * 4 + k % 16 / 4], 0, r / 8 + k / 16 * 2), k);
}
static int b_byte(offer *const lanes[32], int k, int c) {
  return byte_of(word_in(lanes[c * 4 + k % 16 / 4], 1, k / 16), k);
}

void multiply_int8(offer *const lanes[32]) {
  int a[16][32], b[8][32];
  for (int k = 0; k < 32; k++) {
    for (int r = 0; r < 16; r++) a[r][k] = a_byte(lanes, r, k);
    for (int c = 0; c < 8; c++) b[c][k] = b_byte(lanes, k, c);
  }
  for (int r = 0; r < 16; r++)
    for (int c = 0; c < 8; c++) {
      uint32_t sum = (uint32_t)d_of<int32_t>(lanes, r, c);
      for (int k = 0; k < 32; k++) sum += (uint32_t)(a[r][k] * b[c][k]);
      d_of<int32_t>(lanes, r, c) = (int32_t)sum;
    }
}

static float e4m3_of(uint32_t bits) {
  int exponent = (int)(bits >> 3 & 15u), fraction = (int)(bits & 7u);
  float magnitude =
      exponent ? ldexpf((float)(8 + fraction), exponent - 10) : ldexpf((float)fraction, -9);
  if ((bits & 127u) == 127u) magnitude = NAN;
  return bits & 128u ? -magnitude : magnitude;
}

float e4m3_value(uint32_t bits) {
  static const std::vector<float> values = [] {
    std::vector<float> made(256);
    for (uint32_t i = 0; i < 256; i++) made[i] = e4m3_of(i);
    return made;
  }();
  return values[bits & 255u];
}

/* Without what lies more than 13 bits below 2^(exponent - 127). Numbers are normal, or zero. */
static float cut(float x, int exponent) {
  uint32_t bits = zh_bits(x);
  int kept = (int)(bits >> 23 & 255u) - exponent + 13;
  if (kept >= 23) return x;
  return kept < 0 ? 0.0f : zh_float(bits & ~((1u << (23 - kept)) - 1u));
}

static int exponent_of(float x) {
  return (int)(zh_bits(x) >> 23 & 255u);
}

float add_e4m3(float sum, const float (&a)[32], const float (&b)[32]) {
  float term[33], all = 0; /* exact: 33 terms of at most 14 bits */
  int largest = exponent_of(term[32] = sum);
  for (int k = 0; k < 32; k++) {
    int exponent = exponent_of(term[k] = a[k] * b[k]);
    largest = exponent > largest ? exponent : largest;
  }
  if (largest == 255) return NAN;
  for (int k = 0; k < 33; k++) all += cut(term[k], largest);
  return cut(all, exponent_of(all));
}

void multiply_e4m3(offer *const lanes[32]) {
  float a[16][32], b[8][32];
  for (int k = 0; k < 32; k++) {
    for (int r = 0; r < 16; r++) a[r][k] = e4m3_value((uint32_t)a_byte(lanes, r, k));
    for (int c = 0; c < 8; c++) b[c][k] = e4m3_value((uint32_t)b_byte(lanes, k, c));
  }
  for (int r = 0; r < 16; r++)
    for (int c = 0; c < 8; c++)
      d_of<float>(lanes, r, c) = add_e4m3(d_of<float>(lanes, r, c), a[r], b[c]);
}

/* --- four matrices of 8 x 8: lane 8 m + r brings row r of matrix m --- */

static uint32_t element_of(offer *const lanes[32], int matrix, int r, int c) {
  return half_of(word_in(lanes[matrix * 8 + r], 0, c / 2), c);
}

void spread_rows(offer *const lanes[32]) {
  for (int lane = 0; lane < WARP; lane++)
    for (int m = 0; m < 4; m++)
      static_cast<uint32_t *>(lanes[lane]->out)[m] = word_in(lanes[m * 8 + lane / 4], 0, lane % 4);
}

void spread_columns(offer *const lanes[32]) {
  for (int lane = 0; lane < WARP; lane++)
    for (int m = 0; m < 4; m++)
      static_cast<uint32_t *>(lanes[lane]->out)[m] =
          element_of(lanes, m, lane % 4 * 2, lane / 4) |
          element_of(lanes, m, lane % 4 * 2 + 1, lane / 4) << 16;
}

/* --- copies that are under way --- */

enum : size_t { COPY_BYTES = 16 };

void copy_begin(const zh_shared<unsigned char> &to, const memory *of, const unsigned char *from,
                bool valid, const site &where) {
  block_thread &me = block.thread[now.thread];
  to.space.may(WRITE, to.at, COPY_BYTES, COPY_BYTES, where);
  unset_shared(to.at, COPY_BYTES);
  if (valid) global_space{of}.may(READ, from, COPY_BYTES, COPY_BYTES, where);
  me.copies.push_back(pending_copy{to.at, to.space, valid ? from : nullptr, of, me.groups, where});
}

void copies_commit() {
  block.thread[now.thread].groups++;
}

void copies_wait(unsigned pending) {
  block_thread &me = block.thread[now.thread];
  unsigned done =
      me.groups > pending ? me.groups - pending : 0; /* groups below it are waited for */
  size_t kept = 0;
  for (const pending_copy &c : me.copies) {
    if (c.group >= done) {
      me.copies[kept++] = c;
      continue;
    }
    c.to_space.may(WRITE, c.to, COPY_BYTES, COPY_BYTES, c.where);
    if (c.from)
      memcpy(c.to, c.from, COPY_BYTES);
    else
      memset(c.to, 0, COPY_BYTES);
  }
  me.copies.resize(kept);
}

} // namespace zh_shim
