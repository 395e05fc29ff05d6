/* The next token from logits: the largest, or drawn. */
#ifndef ZH_BENCH_ENGINE_SAMPLING_H
#define ZH_BENCH_ENGINE_SAMPLING_H

#include <stddef.h>
#include <stdint.h>

#include "bench/engine/engine.h"
#include "kernels/drawing.h"
#include "kernels/kernels.h"

/* kernels/drawing.h says what each does, with temperature 0 nothing. */
typedef struct zh_sampling {
  double temperature; /* 0: the largest, ties to the lowest id */
  uint64_t seed;
  uint32_t top_k;      /* 0: all */
  double top_p, min_p; /* 0 … 1; top_p 1 and min_p 0: all */
} zh_sampling;
/* Of number `index` from the beginning. */
zh_draw_rule zh_sampling_rule(const zh_sampling *how, uint64_t index);
/* SIZE_MAX when a logit is not a number. */
size_t zh_sample_token(const zh_kernels *kernels, const float *logits, size_t count,
                       const zh_sampling *how, uint64_t index);
/* The same of an engine's logits. Where several ranks hold the model those that have the head take
 * the token from all of its rows, which they have gathered, and the others are told: it is the one
 * that one rank with these logits would take. Collective. */
ZH_MUST_CHECK zh_status zh_sample_next(size_t *out, const zh_engine *engine, const float *logits,
                                       const zh_sampling *how, uint64_t index, zh_error *err);

#endif
