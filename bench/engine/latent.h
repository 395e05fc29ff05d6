/* Attention whose keys and values are made of one latent vector a position (MLA, arXiv:2405.04434):
 * room for it, beside the engine's. */
#ifndef ZH_BENCH_ENGINE_LATENT_H
#define ZH_BENCH_ENGINE_LATENT_H

#include "bench/engine/pass.h"

struct zh_latents {
  float *q_down, *q_normed; /* [micro_batch][q_rank] */
  float *query;             /* [micro_batch][heads][head_dim]: before it is taken to the latents */
  float *latent; /* [micro_batch][kv_rank + rope dims]: c and what is turned, not normed */
  float *value;  /* [micro_batch][heads][value_dim]: what the heads saw, out of there */
  float *floats; /* all of those, in one block */
  size_t floats_bytes;
  /* What packed products make of one head's inputs, by zh_rounding: a thread's own. */
  unsigned char *own; /* [threads][own_bytes] */
  size_t own_bytes, own_bytes_all, own_prepared[ZH_ROUNDINGS];
};

/* NULL where the model's attention is another one. The engine's weights, kernels, threads, and what
 * prepared inputs it needs are there. */
ZH_MUST_CHECK zh_status zh_latents_create(zh_latents **out, const zh_engine *engine, zh_error *err);
void zh_latents_free(zh_latents *latents);            /* NULL is safe */
uint64_t zh_latents_bytes(const zh_latents *latents); /* NULL: 0 */

#endif
