/* What observers see of a pass on a device: before each instruction its inputs are downloaded,
 * after it what it gave, and an operation like the CPU's is made of them. */
#include <stdlib.h>
#include <string.h>

#include "bench/engine/device_engine.h"

/* Of observers, on the host. */
struct zh_device_sight {
  float *input, *second, *output; /* as fast to copy to as can be */
  float *routed, *shared;         /* weights of the choices, and how much of the shared experts */
  uint32_t *choice, *place;       /* [micro_batch][used] */
  const zh_weight **each;         /* [2][micro_batch used]: weights, then biases */
  float *parts;                   /* [parts][micro_batch][hidden]: of sums over ranks; NULL: none */
};

static size_t choices_of(const zh_engine *engine) {
  return engine->weights.expert ? (size_t)engine->micro_batch * engine->architecture.experts_used
                                : 0;
}

/* Floats of the largest value but logits, which go where the caller wants them. */
static size_t most_floats(const zh_engine *engine) {
  const zh_architecture *a = &engine->architecture;
  size_t most = 1;
  for (int v = 0; v < ZH_VALUES; ++v) {
    size_t rows = zh_value_is_of_choices((zh_value)v) ? choices_of(engine) : engine->micro_batch,
           floats = rows * zh_value_width(a, (zh_value)v);
    if (v != ZH_VALUE_LOGITS && engine->device->value[v] && floats > most) most = floats;
  }
  return most;
}

static size_t part_floats(const zh_engine *engine) {
  return engine->device->tied
             ? (size_t)engine->stages.part.parts * engine->micro_batch * engine->architecture.hidden
             : 0;
}

static void free_sight(const zh_device_engine *d, zh_device_sight *s) {
  if (!s) return;
  d->api->release_host(d->device, s->input);
  d->api->release_host(d->device, s->second);
  d->api->release_host(d->device, s->output);
  free(s->routed);
  free(s->shared);
  free(s->choice);
  free(s->place);
  free(s->each);
  free(s->parts);
  free(s);
}

static zh_status get_values(const zh_device_engine *d, zh_device_sight *s, size_t floats,
                            zh_error *err) {
  float **each[] = {&s->input, &s->second, &s->output};
  for (size_t i = 0; i < sizeof each / sizeof *each; ++i)
    ZH_TRY(d->api->alloc_host(d->device, (void **)each[i], floats * sizeof(float), err));
  return ZH_OK;
}

zh_status zh_device_begin_observing(zh_engine *engine, zh_error *err) {
  size_t choices = choices_of(engine);
  if (engine->device->sight) return ZH_OK;
  zh_device_sight *s = calloc(1, sizeof *s);
  if (!s) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to check operators");
  *s = (zh_device_sight){.routed = malloc((choices + 1) * sizeof(float)),
                         .shared = malloc(engine->micro_batch * sizeof(float)),
                         .choice = malloc((choices + 1) * sizeof(uint32_t)),
                         .place = malloc((choices + 1) * sizeof(uint32_t)),
                         .each = calloc(2 * choices + 1, sizeof *s->each),
                         .parts = malloc(part_floats(engine) * sizeof(float) + 1)};
  engine->gathered = malloc(3 * (size_t)engine->micro_batch * sizeof *engine->gathered);
  bool whole =
      s->routed && s->shared && s->choice && s->place && s->each && s->parts && engine->gathered;
  zh_status status = whole ? get_values(engine->device, s, most_floats(engine), err)
                           : zh_fail(err, ZH_ERR_MEMORY, "not enough memory to check operators");
  if (status != ZH_OK) {
    free_sight(engine->device, s);
    return status;
  }
  for (size_t i = 0; i < choices; ++i) s->place[i] = (uint32_t)i;
  engine->device->sight = s;
  return ZH_OK;
}

void zh_device_end_observing(zh_engine *engine) {
  free_sight(engine->device, engine->device->sight);
  engine->device->sight = NULL;
}

/* --- one instruction --- */

static bool is_gathered(const zh_instruction *is, int layer) {
  return layer < 0 && is->op != ZH_OP_EMBEDDING;
}

static zh_status download(const zh_device_pass *p, void *to, const void *from, size_t bytes,
                          zh_error *err) {
  const zh_device_engine *d = p->d;
  ZH_TRY(d->api->download(d->device, to, from, bytes, err));
  return d->api->wait(d->device, err);
}

static size_t rows_of(const zh_device_pass *p, const zh_instruction *is, int layer,
                      zh_value value) {
  return is_gathered(is, layer) ? p->wanted : zh_device_rows_of(p, value);
}

static zh_status download_value(const zh_device_pass *p, float *to, const zh_instruction *is,
                                int layer, zh_value value, zh_error *err) {
  const float *from = p->d->value[value];
  size_t floats = rows_of(p, is, layer, value) * zh_value_width(&p->e->architecture, value);
  if (is_gathered(is, layer) && is->op == ZH_OP_RMSNORM && value == is->in) from = p->d->last;
  return from ? download(p, to, from, floats * sizeof(float), err) : ZH_OK;
}

static bool has_second(const zh_engine *e, const zh_instruction *is) {
  return is->op == ZH_OP_ADD || is->op == ZH_OP_ACTIVATION ||
         (is->op == ZH_OP_COMBINE && e->architecture.shared_ffn);
}

static zh_status see_inputs(const zh_device_pass *p, const zh_instruction *is, int layer,
                            zh_error *err) {
  zh_device_sight *s = p->d->sight;
  if (is->op != ZH_OP_EMBEDDING) ZH_TRY(download_value(p, s->input, is, layer, is->in, err));
  if (has_second(p->e, is)) ZH_TRY(download_value(p, s->second, is, layer, is->second, err));
  return ZH_OK;
}

/* What a token's choices are, and what is taken of each. */
static zh_status see_mixture(const zh_device_pass *p, zh_mixture *out, zh_error *err) {
  const zh_device_engine *d = p->d;
  zh_device_sight *s = d->sight;
  const zh_architecture *a = &p->e->architecture;
  size_t choices = p->tokens * a->experts_used;
  ZH_TRY(download(p, s->choice, d->choice, choices * sizeof *s->choice, err));
  ZH_TRY(download(p, s->routed, d->value[ZH_VALUE_ROUTED], choices * sizeof(float), err));
  if (a->shared_gated)
    ZH_TRY(download(p, s->shared, d->value[ZH_VALUE_SHARED_SCORE], p->tokens * sizeof(float), err));
  *out = (zh_mixture){a->experts_used,
                      s->choice,
                      s->routed,
                      s->place,
                      a->shared_gated ? s->shared : NULL,
                      p->e->weights.first_expert,
                      p->e->weights.experts_here};
  return ZH_OK;
}

static zh_expert_slot slot_of(zh_value out) {
  return out == ZH_VALUE_EXPERT      ? ZH_EXPERT_DOWN
         : out == ZH_VALUE_EXPERT_UP ? ZH_EXPERT_UP
                                     : ZH_EXPERT_GATE;
}

/* Of each choice by itself. */
static void spread_over_choices(zh_operation *o, const zh_device_pass *p, const zh_instruction *is,
                                int layer) {
  const zh_weights *weights = &p->e->weights;
  zh_device_sight *s = p->d->sight;
  size_t choices = p->tokens * p->e->architecture.experts_used;
  const zh_weight **bias = s->each + choices;
  zh_expert_slot slot = slot_of(is->out);
  bool product = is->op == ZH_OP_MATMUL;
  for (size_t i = 0; i < choices; ++i) {
    const zh_weight *of = zh_weights_expert(weights, (uint32_t)layer, s->choice[i]);
    s->each[i] = product ? &of[slot] : NULL;
    bias[i] = &of[slot + (ZH_EXPERT_GATE_BIAS - ZH_EXPERT_GATE)];
  }
  const zh_weight *any = &zh_weights_own_experts(weights, (uint32_t)layer)[slot];
  o->tokens = choices;
  o->each = s->each;
  bool biased = slot != ZH_EXPERT_DOWN || zh_device_adds_expert_bias(p->e);
  o->each_bias = product && biased && p->e->architecture.ffn_bias ? bias : NULL;
  o->spread = product && slot != ZH_EXPERT_DOWN;
  o->way = product ? zh_weight_way(any, &p->e->kernels->rounds, p->expert_way) : p->expert_way;
}

static void name_tokens(zh_operation *o, const zh_device_pass *p, bool gathered) {
  zh_engine *e = p->e;
  o->token = p->token;
  o->position = p->position;
  o->sequence = p->sequence;
  if (!gathered) return;
  uint32_t *token = e->gathered, *position = token + e->micro_batch,
           *sequence = position + e->micro_batch;
  for (size_t t = 0, row = 0; t < p->tokens; ++t) {
    if (!(p->want ? p->want[t] : p->ends && t + 1 == p->tokens)) continue;
    token[row] = p->token[t];
    position[row] = p->position[t];
    sequence[row++] = p->sequence[t];
  }
  o->token = token;
  o->position = position;
  o->sequence = sequence;
}

static zh_operation describe(const zh_device_pass *p, const zh_instruction *is, int layer) {
  const zh_weights *weights = &p->e->weights;
  const zh_weight *weight = zh_order_weight(is, layer, weights),
                  *bias = zh_device_bias(p, is, layer);
  const zh_device_sight *s = p->d->sight;
  zh_operation o = {.op = is->op,
                    .layer = zh_device_layer_of_model(p, layer),
                    .name = is->name,
                    .weight = weight,
                    .bias = bias && bias->tensor ? bias : NULL,
                    .tokens = rows_of(p, is, layer, is->out),
                    .in_width = zh_value_width(&p->e->architecture, is->in),
                    .out_width = zh_value_width(&p->e->architecture, is->out),
                    .way = is->op == ZH_OP_ATTENTION ? zh_attention_way(&p->e->architecture, p->way)
                                                     : p->way,
                    .input = is->op == ZH_OP_EMBEDDING ? NULL : s->input,
                    .second = has_second(p->e, is) ? s->second : NULL,
                    .output = s->output};
  if (is->out == ZH_VALUE_LOGITS) { /* of this rank's rows */
    o.out_width = weight->matrix.rows;
    o.output_stride = p->e->architecture.vocab;
    o.output = p->logits + weight->first_row;
  }
  if (weight && (is->op == ZH_OP_MATMUL || is->op == ZH_OP_HEAD_MATMUL))
    o.way = zh_weight_way(weight, &p->e->kernels->rounds, p->way);
  name_tokens(&o, p, is_gathered(is, layer));
  return o;
}

/* What the ranks add up behind an instruction: shown by another way than it is summed, and the sum.
 * Of the embedding the sum alone: all but one rank have zeros. */
static zh_status see_sum(zh_device_pass *p, const zh_instruction *is, int layer, zh_error *err) {
  zh_device_sight *s = p->d->sight;
  size_t hidden = p->e->architecture.hidden, floats = p->tokens * hidden;
  if (!p->d->tied || is->out != ZH_VALUE_DELTA) return ZH_OK;
  ZH_TRY(zh_device_show_parts(p->e, s->parts, s->output, floats, err));
  ZH_TRY(zh_device_sum_parts(p, p->d->value[is->out], layer, err));
  ZH_TRY(download_value(p, s->output, is, layer, is->out, err));
  zh_operation o = {.op = ZH_OP_SUM,
                    .layer = zh_device_layer_of_model(p, layer),
                    .name = is->weight == ZH_ATTN_OUTPUT ? "attention sum" : "ffn sum",
                    .tokens = p->tokens,
                    .in_width = hidden,
                    .out_width = hidden,
                    .input = s->parts,
                    .addends = (size_t)p->e->stages.part.parts,
                    .addend_stride = floats,
                    .output = s->output};
  name_tokens(&o, p, false);
  p->e->observer(p->e->observer_user, &o);
  return ZH_OK;
}

zh_status zh_device_run_observed(zh_device_pass *p, const zh_instruction *is, int layer,
                                 zh_error *err) {
  zh_mixture mixture;
  zh_kv kv;
  ZH_TRY(see_inputs(p, is, layer, err));
  ZH_TRY(zh_device_run_instruction(p, is, layer, err));
  if (is->op == ZH_OP_EMBEDDING) ZH_TRY(zh_device_sum_parts(p, p->d->value[is->out], layer, err));
  zh_operation o = describe(p, is, layer);
  if (is->out == ZH_VALUE_LOGITS)
    ZH_TRY(p->d->api->wait(p->d->device, err));
  else
    ZH_TRY(download_value(p, p->d->sight->output, is, layer, is->out, err));
  if (is->op == ZH_OP_ATTENTION) {
    ZH_TRY(zh_device_mirror(p->e, (size_t)layer, false, err));
    kv = zh_engine_kv(p->e, (size_t)layer);
    o.kv = &kv;
  }
  if (is->op == ZH_OP_ROUTE || is->op == ZH_OP_COMBINE || zh_value_is_of_choices(is->out)) {
    ZH_TRY(see_mixture(p, &mixture, err));
    o.mixture = &mixture;
  }
  if (zh_value_is_of_choices(is->out)) spread_over_choices(&o, p, is, layer);
  p->e->observer(p->e->observer_user, &o);
  return see_sum(p, is, layer, err);
}

uint64_t zh_device_sight_bytes(const zh_engine *engine) {
  uint64_t choices = choices_of(engine), tokens = engine->micro_batch;
  if (!engine->device->sight) return 0;
  return 3 * most_floats(engine) * sizeof(float) +
         choices * (3 * sizeof(float) + 2 * sizeof(void *)) + tokens * 4 * sizeof(uint32_t) +
         part_floats(engine) * sizeof(float);
}
