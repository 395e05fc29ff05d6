/* Which scalars are changed: one, uniformly, from each of `count` equal slices of all of them. */
#ifndef ZH_BENCH_LIVENESS_DRAW_H
#define ZH_BENCH_LIVENESS_DRAW_H

#include "bench/engine/inside.h"
#include "bench/liveness/reach.h"

uint64_t zh_liveness_scalars(const zh_weights *weights);
/* out: with population, seed, count and texts. */
void zh_liveness_draw(zh_liveness *out, const zh_engine *engine, const zh_reach *reach);

#endif
