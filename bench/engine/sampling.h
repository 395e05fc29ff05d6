/* The next token from logits: the largest, or drawn. */
#ifndef ZH_BENCH_ENGINE_SAMPLING_H
#define ZH_BENCH_ENGINE_SAMPLING_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* temperature 0: the largest, ties to the lowest id. Else id i with probability exp(logit[i] /
 * temperature) / sum, by inversion of the distribution function in the order of ids, with the 32
 * bits of Philox number `index` of `seed`. SIZE_MAX when a logit is not a number. */
size_t zh_sample_token(const zh_kernels *kernels, const float *logits, size_t count,
                       double temperature, uint64_t seed, uint64_t index);

#endif
