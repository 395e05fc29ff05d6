/* Which experts tokens are sent to: a weight of an expert can only show itself on such tokens.
 * First the two fixed texts are looked at, then drawn ones, until every expert has had a token or
 * ZH_REACH_TEXTS have been drawn. All of it depends on the model alone. */
#ifndef ZH_BENCH_LIVENESS_REACH_H
#define ZH_BENCH_LIVENESS_REACH_H

#include "bench/liveness/liveness.h"

enum { ZH_REACH_TEXTS = 256 };
#define ZH_NOT_REACHED UINT32_MAX

typedef struct zh_reach {
  uint32_t experts; /* of a layer; 0: a dense model, and nothing below */
  uint32_t *first;  /* [layers][experts]: number of the first text that sends a token there, or
                       ZH_NOT_REACHED */
} zh_reach;

ZH_MUST_CHECK zh_status zh_reach_find(zh_reach *out, zh_liveness_experts *count, zh_engine *engine,
                                      const zh_liveness_texts *texts, zh_error *err);
void zh_reach_free(zh_reach *reach);

#endif
