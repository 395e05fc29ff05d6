#include "bench/engine/chosen.h"

#include <inttypes.h>
#include <stdlib.h>

/* Places are choices. */
typedef struct choices {
  zh_mixture mixture;
  uint32_t *choice, *place;       /* [used] */
  const zh_weight **each, **bias; /* [used] */
} choices;

static void free_choices(choices *c) {
  free(c->choice);
  free(c->place);
  free(c->each);
  free(c->bias);
}

static zh_status read_choices(choices *out, const zh_architecture *a, const zh_chosen *chosen,
                              const char *where, zh_error *err) {
  size_t used = a->experts_used;
  *out = (choices){.choice = calloc(used + 1, sizeof *out->choice),
                   .place = calloc(used + 1, sizeof *out->place),
                   .each = calloc(used + 1, sizeof *out->each),
                   .bias = calloc(used + 1, sizeof *out->bias)};
  if (!out->choice || !out->place || !out->each || !out->bias)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the certificate");
  for (size_t k = 0; k < used; ++k) {
    float expert = chosen->routed[used + k];
    if (!(expert >= 0 && expert < (float)a->experts))
      return zh_fail(err, ZH_ERR_CHECK, "%s: expert %g is none of the model's %" PRIu32, where,
                     (double)expert, a->experts);
    out->choice[k] = (uint32_t)expert;
    out->place[k] = (uint32_t)k;
  }
  out->mixture = (zh_mixture){a->experts_used, out->choice, chosen->routed, out->place,
                              chosen->shared,  0,           a->experts};
  return ZH_OK;
}

static zh_expert_slot slot_of(zh_value out) {
  return out == ZH_VALUE_EXPERT_GATE ? ZH_EXPERT_GATE
         : out == ZH_VALUE_EXPERT_UP ? ZH_EXPERT_UP
                                     : ZH_EXPERT_DOWN;
}

/* Each choice of the token, by its own expert's weights. */
static void take_weights(zh_operation *o, choices *c, zh_expert_slot slot,
                         const zh_weights *weights, const zh_chosen *chosen) {
  const zh_architecture *a = &weights->architecture;
  for (size_t k = 0; k < a->experts_used; ++k) {
    const zh_weight *of = zh_weights_expert(weights, (uint32_t)o->layer, c->choice[k]);
    c->each[k] = &of[slot];
    c->bias[k] = &of[slot + (ZH_EXPERT_GATE_BIAS - ZH_EXPERT_GATE)];
  }
  o->each = c->each;
  o->each_bias = a->ffn_bias ? (const zh_weight *const *)c->bias : NULL;
  o->way = zh_weight_way(c->each[0], chosen->rounds, chosen->way);
}

static void spread_over_choices(zh_operation *o, choices *c, const zh_instruction *is,
                                const zh_weights *weights, const zh_chosen *chosen) {
  zh_expert_slot slot = slot_of(is->out);
  o->tokens = weights->architecture.experts_used;
  o->each = c->each; /* of no weights: NULL each */
  if (is->op != ZH_OP_MATMUL) return;
  take_weights(o, c, slot, weights, chosen);
  o->spread = slot != ZH_EXPERT_DOWN;
}

/* The last products of all choices and of the shared experts, summed, whose columns lay over ranks.
 */
static void check_sum(zh_check *check, zh_operation *o, choices *c, const zh_weights *weights,
                      const zh_chosen *chosen) {
  const zh_weight *shared = &zh_weights_layer(weights, (uint32_t)o->layer)[ZH_SHARED_DOWN];
  zh_way way = chosen->shared_way;
  take_weights(o, c, ZH_EXPERT_DOWN, weights, chosen);
  if (shared->tensor) way = zh_weight_way(shared, chosen->rounds, way);
  zh_check_experts_sum(check, o, shared->tensor ? shared : NULL, way);
}

zh_status zh_chosen_check(zh_check *check, zh_operation *o, const zh_instruction *is,
                          const zh_weights *weights, const zh_chosen *chosen, const char *where,
                          zh_error *err) {
  choices c;
  zh_status status = read_choices(&c, &weights->architecture, chosen, where, err);
  o->mixture = &c.mixture;
  if (is->op == ZH_OP_COMBINE && !weights->architecture.shared_ffn) o->second = NULL;
  if (status == ZH_OK && zh_value_is_of_choices(is->out))
    spread_over_choices(o, &c, is, weights, chosen);
  if (status == ZH_OK && is->op == ZH_OP_COMBINE && is->in == ZH_VALUE_EXPERT_INNER)
    check_sum(check, o, &c, weights, chosen);
  else if (status == ZH_OK)
    zh_check_operation(check, o);
  free_choices(&c);
  return status;
}
