#include "evaluator/stats/bits.h"

bool zh_bits_pack(uint64_t *bits, const double *scores, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (scores[i] != 0 && scores[i] != 1) return false;
    bits[i / 64] |= (uint64_t)(scores[i] == 1) << (i % 64);
  }
  return true;
}

uint64_t zh_bits_count(const uint64_t *bits, size_t words) {
  uint64_t count = 0;
  for (size_t i = 0; i < words; i++) count += (uint64_t)__builtin_popcountll(bits[i]);
  return count;
}

uint64_t zh_bits_common(const uint64_t *a, const uint64_t *b, size_t words) {
  uint64_t count = 0;
  for (size_t i = 0; i < words; i++) count += (uint64_t)__builtin_popcountll(a[i] & b[i]);
  return count;
}

uint64_t zh_bits_differ(const uint64_t *a, const uint64_t *b, size_t words) {
  uint64_t count = 0;
  for (size_t i = 0; i < words; i++) count += (uint64_t)__builtin_popcountll(a[i] ^ b[i]);
  return count;
}

/* The hot loop, compiled for processors with and without instructions that count bits. */
static inline __attribute__((always_inline)) void
rows(uint32_t *counts, const uint64_t *bits, size_t row_count, const uint64_t *mask, size_t words) {
  for (size_t m = 0; m < row_count; m++) {
    const uint64_t *row = bits + m * words;
    uint64_t count = 0;
    for (size_t i = 0; i < words; i++) count += (uint64_t)__builtin_popcountll(row[i] & mask[i]);
    counts[m] = (uint32_t)count;
  }
}

#if defined(__x86_64__)
static __attribute__((target("avx512f,avx512vpopcntdq"))) void
rows_vpopcnt(uint32_t *counts, const uint64_t *bits, size_t row_count, const uint64_t *mask,
             size_t words) {
  rows(counts, bits, row_count, mask, words);
}

static __attribute__((target("popcnt"))) void rows_popcnt(uint32_t *counts, const uint64_t *bits,
                                                          size_t row_count, const uint64_t *mask,
                                                          size_t words) {
  rows(counts, bits, row_count, mask, words);
}
#endif

void zh_bits_rows(uint32_t *counts, const uint64_t *bits, size_t row_count, const uint64_t *mask,
                  size_t words) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512vpopcntdq")) {
    rows_vpopcnt(counts, bits, row_count, mask, words);
    return;
  }
  if (__builtin_cpu_supports("popcnt")) {
    rows_popcnt(counts, bits, row_count, mask, words);
    return;
  }
#endif
  rows(counts, bits, row_count, mask, words);
}
