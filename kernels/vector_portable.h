/* Four fp32 lanes in the vector types that gcc and clang make of any machine's registers (NEON,
 * SSE2, LSX …): what the portable kernels need, under the names of vector_avx2.h.
 * Included only by *_portable.c and *_dotprod.c. */
#ifndef ZH_KERNELS_VECTOR_PORTABLE_H
#define ZH_KERNELS_VECTOR_PORTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __aarch64__
#include <arm_neon.h>
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { LANES = 4 };
typedef float lanes __attribute__((vector_size(16)));
typedef int32_t words __attribute__((vector_size(16)));
typedef uint32_t unsigned_words __attribute__((vector_size(16)));

ALWAYS_INLINE lanes lanes_set(float value) {
  return (lanes){value, value, value, value};
}
ALWAYS_INLINE lanes lanes_load(const float *p) {
  lanes v;
  memcpy(&v, p, sizeof v);
  return v;
}
ALWAYS_INLINE void lanes_store(float *p, lanes v) {
  memcpy(p, &v, sizeof v);
}
/* Lanes [0, count), at most all; the others are zero, and not read or written. */
ALWAYS_INLINE lanes lanes_load_some(const float *p, size_t count) {
  if (count >= LANES) return lanes_load(p);
  float copy[LANES] = {0};
  for (size_t i = 0; i < count; i++) copy[i] = p[i];
  return lanes_load(copy);
}
ALWAYS_INLINE void lanes_store_some(float *p, lanes v, size_t count) {
  if (count >= LANES) {
    lanes_store(p, v);
    return;
  }
  float copy[LANES];
  lanes_store(copy, v);
  for (size_t i = 0; i < count; i++) p[i] = copy[i];
}

ALWAYS_INLINE lanes lanes_add(lanes a, lanes b) {
  return a + b;
}
ALWAYS_INLINE lanes lanes_sub(lanes a, lanes b) {
  return a - b;
}
ALWAYS_INLINE lanes lanes_mul(lanes a, lanes b) {
  return a * b;
}
ALWAYS_INLINE lanes lanes_div(lanes a, lanes b) {
  return a / b;
}
/* a b + c; rounds once where the machine can, else twice. */
ALWAYS_INLINE lanes lanes_fma(lanes a, lanes b, lanes c) {
#ifdef __aarch64__
  return (lanes)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}
ALWAYS_INLINE lanes lanes_choose(words where, lanes yes, lanes no) {
  return (lanes)(((words)yes & where) | ((words)no & ~where));
}
/* b where one of them is no number. */
ALWAYS_INLINE lanes lanes_max(lanes a, lanes b) {
  return lanes_choose(a > b, a, b);
}
ALWAYS_INLINE lanes lanes_min(lanes a, lanes b) {
  return lanes_choose(a < b, a, b);
}
ALWAYS_INLINE lanes lanes_abs(lanes a) {
  return (lanes)((words)a & 0x7fffffff);
}
ALWAYS_INLINE float lanes_sum(lanes v) {
  return (v[0] + v[2]) + (v[1] + v[3]);
}
ALWAYS_INLINE float lanes_largest(lanes v) {
  float a = v[0] > v[1] ? v[0] : v[1], b = v[2] > v[3] ? v[2] : v[3];
  return a > b ? a : b;
}
ALWAYS_INLINE bool lanes_any_nan(lanes v) {
  words odd = v != v;
  return (odd[0] | odd[1] | odd[2] | odd[3]) != 0;
}

ALWAYS_INLINE words words_set(int32_t value) {
  return (words){value, value, value, value};
}
ALWAYS_INLINE words words_load(const void *p) {
  words v;
  memcpy(&v, p, sizeof v);
  return v;
}
ALWAYS_INLINE words words_add(words a, words b) {
  return a + b;
}
ALWAYS_INLINE words words_sub(words a, words b) {
  return a - b;
}
ALWAYS_INLINE words words_and(words a, words b) {
  return a & b;
}
ALWAYS_INLINE words words_or(words a, words b) {
  return a | b;
}
ALWAYS_INLINE words words_xor(words a, words b) {
  return a ^ b;
}
ALWAYS_INLINE words words_left(words a, int bits) {
  return (words)((unsigned_words)a << (uint32_t)bits);
}
ALWAYS_INLINE words words_right(words a, int bits) { /* zeros enter */
  return (words)((unsigned_words)a >> (uint32_t)bits);
}
/* Byte i of each word, signed. */
/* Each byte, 0 … 15, becomes the table's of that number. */
ALWAYS_INLINE words words_look_up(const int8_t table[16], words v) {
#ifdef __aarch64__
  return (words)vqtbl1q_s8(vld1q_s8(table), (uint8x16_t)v);
#else
  int8_t bytes[16];
  memcpy(bytes, &v, sizeof bytes);
  for (int i = 0; i < 16; i++) bytes[i] = table[bytes[i]];
  memcpy(&v, bytes, sizeof bytes);
  return v;
#endif
}
ALWAYS_INLINE words words_signed_byte(words a, int i) {
  return words_left(a, 24 - 8 * i) >> 24;
}
ALWAYS_INLINE int32_t words_sum(words v) {
  return v[0] + v[1] + v[2] + v[3];
}
ALWAYS_INLINE lanes lanes_of_words(words v) {
  return __builtin_convertvector(v, lanes);
}
ALWAYS_INLINE lanes lanes_of_bits(words v) {
  return (lanes)v;
}
ALWAYS_INLINE words bits_of_lanes(lanes v) {
  return (words)v;
}
/* To the nearest, ties to even; |v| < 2^22. The sum's last bit is one. */
ALWAYS_INLINE words words_round(lanes v) {
  const lanes magic = lanes_set(0x1.8p23f);
  return (words)(v + magic) - (words)magic;
}
/* All bits where v is no number. */
ALWAYS_INLINE words words_nan(lanes v) {
  return v != v;
}

ALWAYS_INLINE words words_of_u8(const uint8_t *p) {
  return (words){p[0], p[1], p[2], p[3]};
}
ALWAYS_INLINE words words_of_u16(const void *p) {
  uint16_t halves[4];
  memcpy(halves, p, sizeof halves);
  return (words){halves[0], halves[1], halves[2], halves[3]};
}
/* Values of f16. Moved by 13 bits they are 2^112 too small, subnormal ones too. */
ALWAYS_INLINE lanes lanes_of_f16(const void *p) {
  words bits = words_of_u16(p), exponent = bits & 0x7c00;
  lanes magnitude = (lanes)((bits & 0x7fff) << 13) * lanes_set(0x1p112f);
  words infinite = (exponent == 0x7c00) & 0x7f800000;
  return (lanes)((words)magnitude | infinite | words_left(bits & 0x8000, 16));
}

/* The sixteen bytes of four words from one to sixteen: bit 4 lane + i of `mask` is bit 4 of byte i.
 */
ALWAYS_INLINE words words_of_fifths(const uint8_t *mask) {
  words n = {mask[0] & 15, mask[0] >> 4, mask[1] & 15, mask[1] >> 4};
  return ((n << 4) | (n << 11) | (n << 18) | (n << 25)) & 0x10101010;
}

/* exp(x), as exp16 of lanes_avx512.h; 2^n enters in two halves, as in lanes_avx2.h. */
ALWAYS_INLINE lanes lanes_exp(lanes x) {
  x = lanes_min(lanes_max(x, lanes_set(-105.0f)), lanes_set(89.0f));
  words whole = words_round(x * lanes_set(0x1.715476p0f)), half = whole >> 1;
  lanes n = lanes_of_words(whole);
  lanes r = lanes_fma(-n, lanes_set(0.693359375f), x);
  r = lanes_fma(-n, lanes_set(-2.12194440e-4f), r);
  lanes p = lanes_set(1.0f / 5040);
  p = lanes_fma(p, r, lanes_set(1.0f / 720));
  p = lanes_fma(p, r, lanes_set(1.0f / 120));
  p = lanes_fma(p, r, lanes_set(1.0f / 24));
  p = lanes_fma(p, r, lanes_set(1.0f / 6));
  p = lanes_fma(p, r, lanes_set(0.5f));
  p = lanes_fma(p, r, lanes_set(1.0f));
  p = lanes_fma(p, r, lanes_set(1.0f));
  lanes first = (lanes)((half + 127) << 23), second = (lanes)((whole - half + 127) << 23);
  return p * first * second;
}

#endif
