/* Operators of the experts that a followed token went to, as a certificate shows them: of all its
 * choices together. */
#ifndef ZH_BENCH_ENGINE_CHOSEN_H
#define ZH_BENCH_ENGINE_CHOSEN_H

#include "bench/engine/check.h"
#include "bench/engine/order.h"

typedef struct zh_chosen {
  const float *routed; /* the choices' weights, then their experts: zh_value_shown */
  const float *shared; /* how much of the shared experts, before sigmoid; NULL: all */
  const zh_roundings *rounds;
  zh_way way, shared_way; /* of the experts' products and the shared ones', before each weight's
                             own */
} zh_chosen;

/* operation: of the token, without weights; weights: of the whole model, described. where: of the
 * line, for messages. */
ZH_MUST_CHECK zh_status zh_chosen_check(zh_check *check, zh_operation *operation,
                                        const zh_instruction *is, const zh_weights *weights,
                                        const zh_chosen *chosen, const char *where, zh_error *err);

#endif
