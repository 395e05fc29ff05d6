/* Experts over the ranks that divide a stage's heads and columns. Either every rank has columns of
 * each: whatever tokens choose, all read the same. Or whole experts, a share of them a rank, in
 * order and as even as can be: a rank computes those of its own, for the tokens that chose them,
 * and the sum over the ranks that follows anyway adds up what they made. The activations are the
 * same on all of these ranks, so there is nothing to send beforehand, and all choose alike. */
#ifndef ZH_BENCH_ENGINE_EXPERT_SHARES_H
#define ZH_BENCH_ENGINE_EXPERT_SHARES_H

#include "bench/engine/weights.h"

/* Which of the two; `auto` takes the one of which the busiest rank moves fewer bytes in a layer, by
 * formula (docs/metrics.md, "experts"), of those that are possible. weights: described, not cut. */
bool zh_experts_lie_whole(const zh_weights *weights, zh_part part);

/* A rank's share of whole experts. */
typedef struct zh_expert_share {
  uint32_t first, count;
} zh_expert_share;
zh_expert_share zh_expert_share_of(uint32_t experts, int index, int parts);

/* Of the experts that a layer has, each token choosing `used` of them as if by lot: how many a pass
 * of so many tokens reads on the mean; and of one rank's share, where it reads most of its own. */
double zh_experts_busy(uint32_t experts, uint32_t used, double tokens);
double zh_experts_busiest(uint32_t experts, int parts, double busy);

#endif
