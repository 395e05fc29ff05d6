/* What the ranks of a divided model show of followed tokens: each keeps its parts, and in the end
 * rank 0 puts them together. */
#ifndef ZH_BENCH_ENGINE_SHOWN_H
#define ZH_BENCH_ENGINE_SHOWN_H

#include "bench/comm.h"
#include "bench/engine/order.h"
#include "model/model.h"

typedef enum zh_shown_kind {
  ZH_SHOWN_VALUES, /* an operator's output */
  ZH_SHOWN_KEYS,   /* of the shown head, at all positions */
  ZH_SHOWN_CACHED, /* its values */
  ZH_SHOWN_KINDS
} zh_shown_kind;

typedef struct zh_shown_part {
  uint32_t token; /* of those followed */
  uint32_t place; /* of the operator: zh_program_at */
  size_t count;
  const float *floats; /* [count], borrowed */
  uint32_t row;        /* of values that a token has several of: which of its choices */
} zh_shown_part;

typedef struct zh_shown_record zh_shown_record;
typedef struct zh_shown {
  zh_shown_record *records;
  float *floats;
  size_t count, capacity, used, room;
} zh_shown;

/* Copies. */
ZH_MUST_CHECK zh_status zh_shown_keep(zh_shown *shown, zh_shown_kind kind,
                                      const zh_shown_part *part, zh_error *err);
void zh_shown_free(zh_shown *shown);

/* Collective. On rank 0 `put` gets every operator of every token, in the order of the pass, put
 * together from the ranks' parts in their order; what several ranks have must be the same. Of each
 * choice of experts the ranks have columns, or one has all of it. */
typedef zh_status (*zh_shown_put)(void *user, const zh_shown_part part[ZH_SHOWN_KINDS],
                                  zh_error *err);
ZH_MUST_CHECK zh_status zh_shown_join(zh_shown *mine, const zh_architecture *whole,
                                      const zh_program *program, const zh_comm *comm,
                                      zh_shown_put put, void *user, zh_error *err);

#endif
