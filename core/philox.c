#include "core/philox.h"

#include <string.h>

enum { ROUNDS = 10, LANES = 4 };
static const uint32_t MULTIPLIER[2] = {0xD2511F53, 0xCD9E8D57};
static const uint32_t KEY_STEP[2] = {0x9E3779B9, 0xBB67AE85}; /* golden ratio, sqrt(3) - 1 */

void zh_philox4x32_10(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]) {
  uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
  for (uint32_t round = 0; round < ROUNDS; round++) {
    uint64_t a = (uint64_t)MULTIPLIER[0] * c[0], b = (uint64_t)MULTIPLIER[1] * c[2];
    uint32_t next0 = (uint32_t)(b >> 32) ^ c[1] ^ (key[0] + round * KEY_STEP[0]);
    uint32_t next2 = (uint32_t)(a >> 32) ^ c[3] ^ (key[1] + round * KEY_STEP[1]);
    c[0] = next0, c[1] = (uint32_t)b, c[2] = next2, c[3] = (uint32_t)a;
  }
  memcpy(out, c, sizeof c);
}

enum { OCTAVES = 32, CELLS = 16 };
static const int32_t normal_table[OCTAVES][CELLS + 1] = {
#include "core/normal_table.inc"
};

/* The top bit is the sign; the other 31, with a one behind them, the tail probability w / 2^33,
 * never 0. */
static inline int32_t normal_q16(uint32_t bits) {
  uint32_t w = bits << 1 | 1;
  int octave = __builtin_clz(w);
  uint32_t mantissa = w << octave << 1; /* without its leading one */
  const int32_t *corner = &normal_table[octave][mantissa >> 28];
  int32_t fraction = (int32_t)(mantissa >> 12 & 0xFFFF);
  int32_t z = corner[0] - (((corner[0] - corner[1]) * fraction + 0x8000) >> 16);
  int32_t sign = (int32_t)bits >> 31;
  return (z ^ sign) - sign;
}

int32_t zh_normal_q16(uint32_t bits) {
  return normal_q16(bits);
}

/* Blocks are computed side by side, so that the compiler puts them into vector lanes. 32: gcc 12
 * unrolls shorter loops whole before it looks for vectors. Not inlined: what follows the call is
 * scalar, and gcc mixes the two badly. */
enum { WIDTH = 32, BATCH = WIDTH * LANES };

static __attribute__((noinline)) void batch(uint32_t out[restrict BATCH], uint64_t block,
                                            uint64_t stream, uint64_t seed) {
  uint32_t c0[WIDTH], c1[WIDTH], c2[WIDTH], c3[WIDTH];
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int i = 0; i < WIDTH; i++) {
    c0[i] = (uint32_t)(block + (uint64_t)i);
    c1[i] = (uint32_t)((block + (uint64_t)i) >> 32);
    c2[i] = (uint32_t)stream;
    c3[i] = (uint32_t)(stream >> 32);
  }
  for (int round = 0; round < ROUNDS; round++, k0 += KEY_STEP[0], k1 += KEY_STEP[1]) {
    for (int i = 0; i < WIDTH; i++) {
      uint64_t a = (uint64_t)MULTIPLIER[0] * c0[i], b = (uint64_t)MULTIPLIER[1] * c2[i];
      c0[i] = (uint32_t)(b >> 32) ^ c1[i] ^ k0;
      c1[i] = (uint32_t)b;
      c2[i] = (uint32_t)(a >> 32) ^ c3[i] ^ k1;
      c3[i] = (uint32_t)a;
    }
  }
  for (int i = 0; i < WIDTH; i++) {
    out[LANES * i] = c0[i];
    out[LANES * i + 1] = c1[i];
    out[LANES * i + 2] = c2[i];
    out[LANES * i + 3] = c3[i];
  }
}

void zh_random_fill(uint32_t *out, size_t count, uint64_t seed, uint64_t stream, uint64_t index) {
  uint32_t bits[BATCH];
  while (count > 0) {
    size_t skip = index % LANES, take = BATCH - skip < count ? BATCH - skip : count;
    batch(bits, index / LANES, stream, seed);
    memcpy(out, bits + skip, take * sizeof *out);
    out += take, count -= take, index += take;
  }
}

void zh_normal_fill(float *out, size_t count, uint64_t seed, uint64_t stream, uint64_t index,
                    float scale) {
  uint32_t bits[BATCH];
  float unit = scale * 0x1p-16f; /* a power of two: exact, so the product below rounds once */
  while (count > 0) {
    size_t skip = index % LANES, take = BATCH - skip < count ? BATCH - skip : count;
    batch(bits, index / LANES, stream, seed);
    for (size_t i = 0; i < take; i++) out[i] = (float)normal_q16(bits[skip + i]) * unit;
    out += take, count -= take, index += take;
  }
}
