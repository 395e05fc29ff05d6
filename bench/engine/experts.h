/* The FFN of a layer whose tokens go to some of many experts: room for it, beside the engine's. */
#ifndef ZH_BENCH_ENGINE_EXPERTS_H
#define ZH_BENCH_ENGINE_EXPERTS_H

#include "bench/engine/expert_shares.h"
#include "bench/engine/pass.h"
#include "bench/engine/route.h"
#include "kernels/device.h"

/* A place is a choice of a token, used of them a token; places of an expert lie beside each other,
 * so that its products have one input. */
struct zh_experts {
  size_t most;   /* places of a micro-batch */
  float *logits; /* [micro_batch][experts]: the router's */
  float *shared; /* [micro_batch]: how much of the shared experts a token takes, before sigmoid */
  uint32_t *choice;         /* [micro_batch][used]: experts */
  float *weight;            /* [micro_batch][used] */
  float *input;             /* [most][hidden]: the tokens' inputs, by place */
  float *gate, *up, *inner; /* [most][expert_ffn] */
  float *output;            /* [most][hidden] */
  float *common;            /* [micro_batch][hidden]: the shared experts' output */
  float *floats;            /* all of those, in one block */
  size_t floats_bytes;
  /* What packed products make of `input`, then of `inner`: each expert's begins at a multiple of 16
   * places. By zh_rounding. */
  unsigned char *prepared[ZH_ROUNDINGS];
  size_t prepared_bytes[ZH_ROUNDINGS];
  const zh_weight **each; /* [2][most]: while observed, weights and biases of the choices */
  unsigned char *own;     /* [threads][own_bytes]: a thread's lists, and the router's scratch */
  size_t own_bytes, own_bytes_all;
  uint64_t *bytes;        /* [layers][experts]: of an expert's weights, as the model has them */
  size_t bytes_all;       /* of that list */
  double of_a_token;      /* experts used, of all */
  uint64_t read, offered; /* bytes of the experts that had tokens, and of all, over all passes; of
                             all ranks */
  uint64_t (*counted)[ZH_COUNTS]; /* [layers] */
  size_t layers;
};

/* NULL where the model has no experts. The engine's weights, kernels, threads, and what prepared
 * inputs it needs are there. */
ZH_MUST_CHECK zh_status zh_experts_create(zh_experts **out, const zh_engine *engine, zh_error *err);
void zh_experts_free(zh_experts *experts); /* NULL is safe */
/* Of the bytes of all experts, how much a pass read on the mean, all ranks together; before any
 * pass, what one token reads. NULL: 0. */
double zh_experts_share_read(const zh_experts *experts);
void zh_experts_restart_count(zh_experts *experts);   /* NULL is safe */
uint64_t zh_experts_bytes(const zh_experts *experts); /* NULL: 0 */

#endif
