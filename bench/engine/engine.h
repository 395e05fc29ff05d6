/* A decoder-only transformer's forward pass over kernels/. It reads the architecture description; no family has its
 * own forward pass. One engine holds one model's weights (mapped, or rearranged in their place), the KV cache of `sequences` sequences
 * and the activations of at most `micro_batch` tokens. */
#ifndef ZH_BENCH_ENGINE_ENGINE_H
#define ZH_BENCH_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/comm.h"
#include "core/json.h"
#include "core/status.h"
#include "kernels/drawing.h"
#include "kernels/kernels.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum zh_precision {
  ZH_PRECISION_EXACT, /* reference kernels: fp32 values, fp64 sums, no quantised activations */
  ZH_PRECISION_FAST   /* the timed path: the CPU's best kernels, which may round activations (zh_rounded) */
} zh_precision;

/* How several ranks hold one model. */
typedef enum zh_split {
  ZH_SPLIT_TENSOR,   /* heads, columns and vocabulary */
  ZH_SPLIT_PIPELINE, /* layers: each rank a stage */
  ZH_SPLIT_NODES     /* layers between nodes, heads and columns between the ranks of a node */
} zh_split;
/* How GPUs of several ranks reach each other (kernels/device_group.h): peer memory where all are of one node and can,
 * else NCCL; or one of them alone. */
typedef enum zh_group_choice { ZH_GROUP_AUTO, ZH_GROUP_BY_PEER, ZH_GROUP_BY_NCCL } zh_group_choice;
extern const char *const zh_group_words[]; /* "auto", "peer", "nccl", NULL */
/* How experts lie over the ranks that divide a stage (expert_shares.h): columns of each on every rank, or whole ones, a
 * share of them a rank; auto: what takes fewer bytes. */
typedef enum zh_expert_split { ZH_EXPERTS_AUTO, ZH_EXPERTS_COLUMNS, ZH_EXPERTS_WHOLE } zh_expert_split;
extern const char *const zh_expert_words[]; /* "auto", "columns", "whole", NULL */
typedef struct zh_ranks {
  const zh_comm *comm;
  zh_split split;
  zh_group_choice group; /* of GPUs */
  double patience_s;     /* a GPU waits so long for another rank's; 0: 60 */
  zh_expert_split experts;
  size_t tokens; /* of the calls that count, by which `auto` chooses; 0: 1 */
} zh_ranks;

typedef struct zh_engine_options {
  zh_precision precision;
  uint32_t sequences;   /* independent sequences in the KV cache, >= 1 */
  uint32_t context;     /* positions a sequence can hold; <= the model's own, or ZH_ERR_ARG */
  uint32_t micro_batch; /* tokens computed together; 0: 512, on a device 2048 */
  bool unpacked;        /* weights as the file has them, and no rounded activations: rows can be patched */
  zh_kv_type kv; /* of the cache; the exact precision and unpacked weights take ZH_KV_F32 alone */
  const char *packed_cache; /* folder where rearranged weights are kept between starts; NULL: nowhere */
  int device; /* 0: the CPU; N: the N-th accelerator (kernels/device.h), which counts them from 0 on */
  const zh_ranks *ranks; /* NULL or one: the whole model here; else this rank's part of it, and every call but
                            zh_engine_free is made by all ranks in the same order */
} zh_engine_options;

typedef struct zh_engine zh_engine;

ZH_MUST_CHECK zh_status zh_engine_create(zh_engine **out, const zh_model *model, zh_threads *threads,
                                         const zh_engine_options *options, zh_error *err);
void zh_engine_free(zh_engine *engine); /* NULL is safe */

/* Computes `count` tokens: token[i] of sequence sequence[i] at position position[i]; a sequence's positions must come
 * in order without gaps. logits: [wanted][vocab] f32 for those i with want[i] (want NULL: only the last); may be NULL.
 * ZH_ERR_ARG for ids outside the vocabulary or positions outside the context. Where layers lie over several ranks,
 * logits are computed on those alone that have the head. */
ZH_MUST_CHECK zh_status zh_engine_forward(zh_engine *engine, const uint32_t *token, const uint32_t *position,
                                          const uint32_t *sequence, size_t count, const bool *want, float *logits,
                                          zh_error *err);
bool zh_engine_has_head(const zh_engine *engine);
/* Collective: gives all ranks what the one with the head has in `bytes`. Does nothing where all have the head. */
ZH_MUST_CHECK zh_status zh_engine_share(const zh_engine *engine, void *bytes, size_t length, zh_error *err);
/* Forgets positions >= length of a sequence. */
void zh_engine_truncate(zh_engine *engine, uint32_t sequence, uint32_t length);
/* Whether sequences can take over what others have computed; and positions [begin, end) of `to` become those of `from`,
 * before which both hold the same tokens. `to` then has `end` positions. */
bool zh_engine_copies(const zh_engine *engine);
void zh_engine_copy(zh_engine *engine, uint32_t to, uint32_t from, uint32_t begin, uint32_t end);

/* Bytes and operations by formula (docs/metrics.md): what "fraction of peak" divides by. */
typedef struct zh_engine_cost {
  uint64_t weight_bytes;         /* read once for a step: all but the embedding rows not looked up; tied head once. Of
                                    experts those that tokens were sent to, on the mean of the passes since the count
                                    was restarted; before any, a token's. Of whole experts on GPUs as if each rank had
                                    read as many as the one that read most: it has that memory alone, and all wait */
  uint64_t kv_bytes_per_position;
  uint64_t flops_per_token;      /* 2 x weights multiplied, without attention and without the head */
  uint64_t head_flops;           /* for each position whose logits are wanted */
  uint64_t attention_flops_per_pair; /* for each (query, key) pair, all layers and heads */
  uint64_t memory_weights, memory_kv, memory_activations; /* bytes held by this rank; all else is over all ranks */
} zh_engine_cost;
zh_engine_cost zh_engine_cost_of(const zh_engine *engine);
/* Positions that a token sees, itself included, on the mean of `count` tokens from position `first` on and of all
 * layers: in sliding ones the window's at most. Pairs, and with count 1 what of the cache is read. */
double zh_engine_seen(const zh_engine *engine, uint64_t first, uint64_t count);
const zh_architecture *zh_engine_architecture(const zh_engine *engine);


/* --- on a device --- */

/* Whether the engine writes many tokens without the host between them: on a device, while nobody observes it and
 * no fault waits. */
bool zh_engine_generates(const zh_engine *engine);
typedef struct zh_generated {
  uint32_t chosen, logit_bits; /* the largest logit's token, ties to the lowest (UINT32_MAX: there was a NaN), its bits */
  uint64_t bits_sum;           /* zh_sum_of_bits of all its logits */
} zh_generated;
/* Feeds first[s] to each sequence s < sequences at `position`, then what was chosen after it, `steps` times:
 * out[steps][sequences]. step_ns: [steps], by the device's clock; may be NULL. */
ZH_MUST_CHECK zh_status zh_engine_generate(zh_engine *engine, const uint32_t *first, uint32_t position,
                                           size_t sequences, size_t steps, zh_generated *out, double *step_ns,
                                           zh_error *err);
/* What the first call would do besides: no part of what is timed. Nothing where the engine is no such one. */
ZH_MUST_CHECK zh_status zh_engine_prepare_generation(zh_engine *engine, size_t sequences, size_t steps, zh_error *err);
/* Whether tokens are drawn there, too, without the host between them; then of sequence 0: feeds `first` at
 * `position`, then what was drawn after it, `steps` times. out: [steps], UINT32_MAX from where a logit was no number.
 * Of its rule number `index` is the first draw; with rate 0 the largest are taken. Of several ranks all draw the same,
 * what one would draw from logits of these bits. each: is given every token when its step is done, while the next steps
 * go on; its failure is the call's, behind the last step; may be NULL. */
typedef zh_status (*zh_token_sink)(void *user, uint32_t token, zh_error *err);
enum { ZH_DRAW_STEPS_MAX = 4096 };
bool zh_engine_draws(const zh_engine *engine);
ZH_MUST_CHECK zh_status zh_engine_draw(zh_engine *engine, const zh_draw_rule *how, uint32_t first, uint32_t position,
                                       size_t steps, uint32_t *out, zh_token_sink each, void *user, zh_error *err);
/* {"kind","name","backend","build","driver","runtime","memory_bytes"} of the device, and "decode" where it generated:
 * "graph" or "persistent"; NULL on the CPU. */
json_t *zh_engine_device_json(const zh_engine *engine);
/* {"parts","stages": {"kind","library"}, "why"}: how the GPUs of several ranks reach each other, and why not the kind
 * that is tried first; NULL where there is one. */
json_t *zh_engine_group_json(const zh_engine *engine);

#ifdef __cplusplus
}
#endif
#endif
