/* Which experts a token goes to, and how much of each it takes: the router's scores, from its
 * logits. */
#ifndef ZH_BENCH_ENGINE_ROUTE_H
#define ZH_BENCH_ENGINE_ROUTE_H

#include "model/architecture.h"

enum { ZH_GROUPS_MAX = 64 };

typedef struct zh_routing {
  const zh_router *router;
  uint32_t experts, used;      /* used of experts, 1 … experts */
  const float *bias;           /* [experts], added to logits; NULL: none */
  const float *selection_bias; /* [experts], added to scores for choosing alone; NULL: none */
} zh_routing;

/* expert[used], the best first (ties: the lower number), and weight[used]. logits: [experts].
 * scratch: zh_route_scratch_floats(experts). All in fp32 but for sums. NaN among the logits
 * gives weights of NaN, so that it shows. Where there are groups, they divide the experts, at most
 * ZH_GROUPS_MAX of them, and the groups used hold at least `used` experts. */
void zh_route(uint32_t *expert, float *weight, const zh_routing *routing, const float *logits,
              float *scratch);
size_t zh_route_scratch_floats(uint32_t experts);

/* Whether `expert` [used] are the ones to be chosen, by fp64 and within what rounding may turn;
 * expected[used] and bound[used], of the error in fp32, are then their weights, else undefined. */
bool zh_route_judge(double *expected, double *bound, const zh_routing *routing, const float *logits,
                    const uint32_t *expert);

/* Tokens by the expert that they go to: what makes many small products of one. */
typedef struct zh_assignment {
  uint32_t *first; /* [experts + 1]: place of an expert's first token */
  uint32_t *token; /* [tokens used]: by place */
  uint32_t *place; /* [tokens used]: of token t's k-th choice at t used + k */
} zh_assignment;
/* expert: [tokens][used]. Tokens of an expert keep their order. */
void zh_assign(zh_assignment *out, const uint32_t *expert, size_t tokens, uint32_t used,
               uint32_t experts);

#endif
