/* Scores of 0 and 1 as bits, 64 items a word. */
#ifndef ZH_EVALUATOR_STATS_BITS_H
#define ZH_EVALUATOR_STATS_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* False where a score is neither 0 nor 1. bits: (count + 63) / 64 words, zeroed. */
bool zh_bits_pack(uint64_t *bits, const double *scores, size_t count);
uint64_t zh_bits_count(const uint64_t *bits, size_t words);
uint64_t zh_bits_common(const uint64_t *a, const uint64_t *b, size_t words); /* in both */
uint64_t zh_bits_differ(const uint64_t *a, const uint64_t *b, size_t words); /* in one alone */
/* counts[m] = items common to rows[m * words …] and mask. */
void zh_bits_rows(uint32_t *counts, const uint64_t *rows, size_t row_count, const uint64_t *mask,
                  size_t words);

#ifdef __cplusplus
}
#endif
#endif
