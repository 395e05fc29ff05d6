/* MT19937: M. Matsumoto and T. Nishimura, ACM TOMACS 8 (1998), initialised by array (2002). */
#include "bench/quality/python_random.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { WORDS = 624, MIDDLE = 397 };

static void begin(zh_python_random *r, uint32_t seed) {
  r->state[0] = seed;
  for (uint32_t i = 1; i < WORDS; i++)
    r->state[i] = 1812433253U * (r->state[i - 1] ^ (r->state[i - 1] >> 30)) + i;
  r->at = WORDS;
}

void zh_python_seed(zh_python_random *r, uint64_t seed) {
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  uint32_t length = key[1] != 0 ? 2 : 1, i = 1, j = 0, *s = r->state;
  begin(r, 19650218U);
  for (int k = WORDS; k > 0; k--) {
    s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525U)) + key[j] + j;
    if (++i == WORDS) s[0] = s[WORDS - 1], i = 1;
    if (++j == length) j = 0;
  }
  for (int k = WORDS - 1; k > 0; k--) {
    s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941U)) - i;
    if (++i == WORDS) s[0] = s[WORDS - 1], i = 1;
  }
  s[0] = 0x80000000U;
}

static uint32_t twisted(uint32_t high, uint32_t low) {
  uint32_t y = (high & 0x80000000U) | (low & 0x7fffffffU);
  return (y >> 1) ^ ((y & 1) != 0 ? 0x9908b0dfU : 0);
}

static uint32_t next_word(zh_python_random *r) {
  uint32_t *s = r->state;
  if (r->at >= WORDS) {
    for (int i = 0; i < WORDS; i++)
      s[i] = s[(i + MIDDLE) % WORDS] ^ twisted(s[i], s[(i + 1) % WORDS]);
    r->at = 0;
  }
  uint32_t y = s[r->at++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680U;
  y ^= (y << 15) & 0xefc60000U;
  return y ^ (y >> 18);
}

uint32_t zh_python_bits(zh_python_random *r, unsigned bits) {
  return next_word(r) >> (32 - bits);
}

double zh_python_real(zh_python_random *r) {
  uint32_t a = next_word(r) >> 5, b = next_word(r) >> 6;
  return (a * 67108864.0 + b) * (1.0 / 9007199254740992.0);
}

uint32_t zh_python_below(zh_python_random *r, uint32_t n) {
  unsigned bits = 32U - (unsigned)__builtin_clz(n);
  uint32_t value = zh_python_bits(r, bits);
  while (value >= n) value = zh_python_bits(r, bits);
  return value;
}

/* From a list of all, the last taking the place of what was drawn. */
static zh_status sample_pool(uint32_t *out, zh_python_random *r, uint32_t count, uint32_t wanted,
                             zh_error *err) {
  uint32_t *pool = malloc((count + (size_t)1) * sizeof *pool);
  if (pool == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (sample of %u)", count);
  for (uint32_t i = 0; i < count; i++) pool[i] = i;
  for (uint32_t i = 0; i < wanted; i++) {
    uint32_t j = zh_python_below(r, count - i);
    out[i] = pool[j];
    pool[j] = pool[count - i - 1];
  }
  free(pool);
  return ZH_OK;
}

zh_status zh_python_sample(uint32_t *out, zh_python_random *r, uint32_t count, uint32_t wanted,
                           zh_error *err) {
  double pool_size = 21;
  if (wanted > count)
    return zh_fail(err, ZH_ERR_INPUT, "%u examples were asked for, and only %u are there", wanted,
                   count);
  if (wanted > 5) pool_size += pow(4, ceil(log(3.0 * wanted) / log(4)));
  if (count <= pool_size) return sample_pool(out, r, count, wanted, err);
  for (uint32_t i = 0; i < wanted; i++) {
    bool again = true;
    while (again) {
      out[i] = zh_python_below(r, count);
      again = false;
      for (uint32_t k = 0; k < i; k++) again |= out[k] == out[i];
    }
  }
  return ZH_OK;
}
