/* The engine on an accelerator (kernels/device.h): weights, cache and activations lie there, and a
 * pass is the list of instructions that order.h makes of an architecture, each a call or few of the
 * device's table. All that stands above the engine is the same: what observers are shown is
 * downloaded for them, and the cache has a mirror here in the form that the CPU's has.
 *
 * Files: device_create.c what is refused, what must fit; device_forms.c in which
 * forms weights lie; device_weights.c weights to the device, and held against the model there;
 * device_cache.c keys and values; device_buffers.c places of values; device_pass.c the interpreter;
 * device_observe.c what observers see; device_faults.c; device_generate.c many steps without the
 * host between; device_draw.c the same of tokens that are drawn; device_group.c what GPUs of
 * several ranks give each other. */
#ifndef ZH_BENCH_ENGINE_DEVICE_ENGINE_H
#define ZH_BENCH_ENGINE_DEVICE_ENGINE_H

#include "bench/engine/engine.h"
#include "bench/engine/inside.h"
#include "bench/engine/order.h"
#include "kernels/device.h"
#include "kernels/device_group.h"

/* A weight as it lies on the device; a vector as one row of fp32, the values that count. Those of
 * all experts of a layer's slot follow each other: the first one's matrix begins them all. */
typedef struct zh_laid {
  zh_device_matrix matrix;
} zh_laid;

/* The tokens of a pass, on the device: [micro_batch] each. */
typedef struct zh_device_tokens {
  uint32_t *token, *position, *sequence;
  uint32_t *wanted; /* rows whose logits are wanted */
} zh_device_tokens;

typedef struct zh_device_sight zh_device_sight;
typedef struct zh_device_drawing zh_device_drawing;

struct zh_device_engine {
  const zh_device_api *api;
  zh_device *device;
  zh_device_facts facts;
  int index;
  zh_kernels kernels; /* the host's own, under the device's name and with its roundings */
  zh_program program;
  zh_error late; /* of a call that could not return it; the next pass does */

  zh_laid *laid; /* [zh_weights_count], by their numbers */
  unsigned char *weights;
  uint64_t weight_bytes;
  uint64_t *section;     /* [layers + 2]: where each layer's weights begin, then the whole model's,
                            and their end */
  uint64_t *section_sum; /* [layers + 1]: of their bits, as they were laid */

  unsigned char *cache; /* [layers]: keys, then values */
  uint64_t cache_bytes;
  size_t keys_bytes, values_bytes; /* of a layer */
  zh_device_kv_type kv_type;
  uint32_t *computed; /* [sequences]: positions that the cache holds, up to the pass at hand */
  uint32_t *mirrored; /* [layers][sequences]: positions that the mirror has; NULL: no mirror */

  unsigned char *activations;
  uint64_t activation_bytes;
  float *value[ZH_VALUES]; /* [micro_batch][width], of choices [micro_batch used][width] */
  float *last;             /* [micro_batch][hidden]: rows whose logits are wanted */
  size_t logit_rows;       /* that value[ZH_VALUE_LOGITS] holds */
  double *frequency[2];
  float *slopes; /* [heads]: of ALiBi */
  zh_device_tokens tokens;
  uint32_t *choice, *lists; /* of experts */
  uint64_t *counted; /* [layers][ZH_COUNTS], since the count began */
  zh_device_answer *answer; /* [logit_rows] */
  float *head_factor;       /* [vocab]: of a normalised head; NULL: none */
  void *scratch;            /* of attention */
  void *product_room;       /* lent to the device */
  size_t product_room_bytes;
  uint64_t *sum;            /* [ZH_DEVICE_SUMS] of sum_of_bits */
  float *gathered;          /* [parts][logit_rows][widest part]: logits; NULL: the head is whole */

  unsigned char *staging; /* on the host, as fast to copy as can be */
  size_t staging_bytes;

  zh_device_sight *sight;     /* of observers; NULL: nobody has observed */
  zh_device_drawing *drawing; /* NULL: nothing was drawn */
  zh_device_graph *graph;     /* of a step of so many sequences, or one kernel that does it */
  size_t graph_sequences, steps_at_once;
  uint32_t graph_left_out;
  bool persists; /* which of the two the last one is */
  zh_device_event **event; /* [events] */
  size_t events;

  /* Of several ranks: those that divide this stage's heads and columns; and all, where layers are
   * divided. NULL: there are no others. */
  zh_device_group *tied, *line;
  zh_device_group_kind tied_by, line_by;
  char group_why[512]; /* why another kind was not taken; "": none was wanted */
  bool deserted;       /* another rank did not come */
  size_t exchanged;    /* parts of sums that the pass at hand showed to observers */
};

enum { ZH_DEVICE_STAGING = 32 << 20, ZH_DEVICE_SUMS = 1024 };

/* What must fit on the device, by formula. */
typedef struct zh_device_room {
  uint64_t weights, cache, activations;
} zh_device_room;
zh_device_room zh_device_room_of(const zh_engine *engine);

/* device_create.c. open: before anything is read; fill: when weights are described, vectors there,
 * and sequences, context and micro_batch known. */
ZH_MUST_CHECK zh_status zh_device_engine_open(zh_engine *engine, const zh_engine_options *options,
                                              zh_error *err);
ZH_MUST_CHECK zh_status zh_device_engine_fill(zh_engine *engine, const zh_engine_options *options,
                                              zh_error *err);
void zh_device_engine_free(zh_engine *engine); /* safe where there is none */
/* Anew from here on: which experts tokens went to. */
void zh_device_restart_count(zh_engine *engine);
/* [layers][ZH_COUNTS] since then, in the staging memory; NULL: no experts, or a device that is lost. */
const uint64_t *zh_device_expert_counts(const zh_engine *engine);
/* What of the cost is the device's. */
void zh_device_cost(zh_engine_cost *cost, const zh_engine *engine);
/* On the host, beside the model's vectors. */
uint64_t zh_device_host_bytes(const zh_engine *engine);

/* device_forms.c: laid matrices without their places, before the formula is asked for. ZH_FORMS
 * where no form keeps to a type's roundings. */
ZH_MUST_CHECK zh_status zh_device_choose_forms(zh_engine *engine, zh_error *err);
zh_laid *zh_device_laid_of(const zh_device_engine *d, const zh_weight *w);
/* {"e4m3": bytes, …}: how many of the weights lie in each form. */
json_t *zh_device_forms_json(const zh_engine *engine);

/* device_weights.c */
ZH_MUST_CHECK zh_status zh_device_lay_weights(zh_engine *engine, zh_error *err);
uint64_t zh_device_weights_formula(const zh_engine *engine);
ZH_MUST_CHECK zh_status zh_device_check_forms(const zh_engine *engine, zh_error *err);
/* SM3 over the sums of their bits as they were laid. */
ZH_MUST_CHECK zh_status zh_device_weights_digest(char out[ZH_DIGEST_HEX], zh_engine *engine,
                                                 zh_error *err);
/* Against the model - every row of a file, drawn rows of what was generated - and against what was
 * laid. ZH_ERR_CHECK names the tensor. */
ZH_MUST_CHECK zh_status zh_device_weights_verify(zh_engine *engine, uint64_t seed, zh_error *err);

/* device_cache.c */
ZH_MUST_CHECK zh_status zh_device_make_cache(zh_engine *engine, zh_error *err);
uint64_t zh_device_cache_formula(const zh_engine *engine); /* UINT64_MAX: too much */
zh_device_kv zh_device_cache_of(const zh_engine *engine, size_t layer);
unsigned char *zh_device_cache_row(const zh_device_kv *kv, bool values, size_t sequence,
                                   size_t head, size_t position);
void zh_device_truncate(zh_engine *engine, uint32_t sequence, uint32_t length);
void zh_device_poison(zh_engine *engine, uint32_t sequence, uint32_t length);
/* Brings the mirror of a layer (engine->kv) up to the positions held now. anew: all of them. */
ZH_MUST_CHECK zh_status zh_device_mirror(zh_engine *engine, size_t layer, bool anew, zh_error *err);
uint64_t zh_device_mirror_bytes(const zh_engine *engine);
/* Of the bits of all positions below `length`: equal to that of another run of the same engine, and
 * to no other's. */
ZH_MUST_CHECK zh_status zh_device_cache_sum(uint64_t *out, const zh_engine *engine, uint32_t length,
                                            zh_error *err);

/* device_buffers.c */
ZH_MUST_CHECK zh_status zh_device_make_buffers(zh_engine *engine, zh_error *err);
uint64_t zh_device_buffers_formula(const zh_engine *engine);
size_t zh_device_logit_rows(const zh_engine *engine);
/* Of a layer and so many tokens, without what differs from pass to pass. */
zh_device_attention zh_device_attention_of(const zh_engine *engine, size_t layer, size_t tokens);

/* device_generate.c. Events [count] at least. */
ZH_MUST_CHECK zh_status zh_device_make_events(zh_device_engine *d, size_t count, zh_error *err);
/* "graph" or "persistent"; NULL: nothing was generated. */
const char *zh_device_decode_form(const zh_device_engine *engine);

/* device_pass.c */
typedef struct zh_device_pass {
  zh_engine *e;
  zh_device_engine *d;
  const uint32_t *token, *position, *sequence; /* [tokens], the host's; NULL in a graph */
  size_t tokens, wanted;
  zh_way way, expert_way;
  const bool *want;
  bool ends, keeps_logits;
  float *logits; /* [wanted][vocab], the host's; NULL: they stay on the device */
} zh_device_pass;

ZH_MUST_CHECK zh_status zh_device_forward(zh_engine *engine, const uint32_t *token,
                                          const uint32_t *position, const uint32_t *sequence,
                                          size_t count, const bool *want, float *logits,
                                          zh_error *err);
/* Enqueues everything of a micro-batch whose tokens are on the device. */
ZH_MUST_CHECK zh_status zh_device_enqueue(zh_device_pass *pass, zh_error *err);
ZH_MUST_CHECK zh_status zh_device_run_instruction(zh_device_pass *pass, const zh_instruction *is,
                                                  int layer, zh_error *err);
static inline size_t zh_device_rows_of(const zh_device_pass *p, zh_value value) {
  size_t used = p->e->architecture.experts_used;
  return zh_value_is_of_choices(value) ? p->tokens * used : p->tokens;
}

/* device_group.c. Collective: opens the groups; behind it the device's facts are read anew. */
ZH_MUST_CHECK zh_status zh_device_join(zh_engine *engine, const zh_ranks *ranks, zh_error *err);
void zh_device_leave(zh_device_engine *d);
/* zh_device_api.wait, and that the other ranks came. */
ZH_MUST_CHECK zh_status zh_device_wait(zh_device_engine *d, zh_error *err);
/* Collective: zh_comm_agree, in which what went wrong on a rank counts before what other ranks
 * waited for in vain. */
ZH_MUST_CHECK zh_status zh_device_agree(const zh_engine *engine, zh_status mine, zh_error *err);
/* x [tokens][hidden], over the ranks that divide heads and columns; nothing where none do. */
ZH_MUST_CHECK zh_status zh_device_sum_parts(zh_device_pass *pass, float *x, int layer,
                                            zh_error *err);
/* Where this rank's part of so many rows of logits is computed, [rows][part]; then all have all. */
float *zh_device_part_of_logits(const zh_device_pass *pass, size_t rows);
ZH_MUST_CHECK zh_status zh_device_gather_logits(zh_device_pass *pass, size_t rows, zh_error *err);
size_t zh_device_gathered_floats(const zh_engine *engine);
/* Hidden states from the stage before and to the one after, where there are such. */
ZH_MUST_CHECK zh_status zh_device_take_states(zh_device_pass *pass, zh_error *err);
ZH_MUST_CHECK zh_status zh_device_give_states(zh_device_pass *pass, zh_error *err);
/* Where a step's answers are chosen from: behind the answers where they go to other ranks, else
 * where the next step reads tokens; then all ranks have them. */
uint32_t *zh_device_chosen(const zh_engine *engine, size_t sequences);
ZH_MUST_CHECK zh_status zh_device_share_answers(zh_engine *engine, size_t sequences, zh_error *err);
/* On the host, while observed: all [parts][floats] of what each rank that divides has. A rank whose
 * device failed sits out the rest of a call, so that no other waits for it: of `tokens` tokens,
 * `most` at once. */
ZH_MUST_CHECK zh_status zh_device_show_parts(zh_engine *engine, float *all, const float *mine,
                                             size_t floats, zh_error *err);
void zh_device_sit_out(zh_engine *engine, size_t tokens, size_t most);
bool zh_device_is_left_out(const zh_engine *engine, int layer);
/* Of the model, where the pass counts those of this rank. */
static inline int zh_device_layer_of_model(const zh_device_pass *p, int layer) {
  return layer < 0 ? layer : layer + (int)p->e->weights.first_layer;
}
/* Ranks over which whole experts are shared out. */
static inline uint32_t zh_device_expert_ranks(const zh_engine *e) {
  return e->weights.whole_experts ? (uint32_t)e->stages.part.parts : 1;
}
/* What is added to a sum over ranks, the first of them adds; of a whole expert the one that has it.
 */
static inline bool zh_device_adds_expert_bias(const zh_engine *e) {
  return e->weights.whole_experts || e->stages.part.index == 0;
}
static inline const zh_weight *zh_device_bias(const zh_device_pass *p, const zh_instruction *is,
                                              int layer) {
  bool sums = is->out == ZH_VALUE_DELTA || is->out == ZH_VALUE_EXPERT;
  if (sums && p->e->stages.part.index > 0) return NULL;
  return zh_order_bias(is, layer, &p->e->weights);
}

/* device_joined.c: the instruction at i, or several of them in one call where nobody observes;
 * *taken: how many. A value's place in such a pass, rows `stride` floats apart. */
ZH_MUST_CHECK zh_status zh_device_run_joined(zh_device_pass *pass, size_t i, size_t *taken,
                                             zh_error *err);
float *zh_device_value_at(const zh_device_pass *pass, zh_value value, size_t *stride);

/* device_observe.c */
ZH_MUST_CHECK zh_status zh_device_begin_observing(zh_engine *engine, zh_error *err);
void zh_device_end_observing(zh_engine *engine);
uint64_t zh_device_sight_bytes(const zh_engine *engine);
ZH_MUST_CHECK zh_status zh_device_run_observed(zh_device_pass *pass, const zh_instruction *is,
                                               int layer, zh_error *err);

/* device_draw.c */
void zh_device_end_drawing(zh_device_engine *d);

/* device_faults.c: what engine->tamper does at its place, and nothing where that is another one. */
ZH_MUST_CHECK zh_status zh_device_flip_activation(zh_device_pass *pass, int layer, zh_error *err);
ZH_MUST_CHECK zh_status zh_device_flip_cached(zh_device_pass *pass, int layer, zh_error *err);
ZH_MUST_CHECK zh_status zh_device_lose_choices(zh_device_pass *pass, int layer, zh_error *err);
ZH_MUST_CHECK zh_status zh_device_lose_tile(zh_device_pass *pass, int layer, zh_error *err);
/* what: receives "bit 3 of byte 1234 of blk.0.ffn_up.weight in the GPU's memory". */
ZH_MUST_CHECK zh_status zh_device_flip_weight(zh_engine *engine, uint64_t seed, char *what,
                                              size_t capacity, zh_error *err);
/* w computes with the numbers of `from`. */
ZH_MUST_CHECK zh_status zh_device_swap_weight(zh_engine *engine, const zh_weight *w,
                                              const zh_weight *from, zh_error *err);
ZH_MUST_CHECK zh_status zh_device_coarsen_weight(zh_engine *engine, const zh_weight *w,
                                                 zh_error *err);

#endif
