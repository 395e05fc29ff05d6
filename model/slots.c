/* Which weights an architecture has, and of which shapes. */
#include "model/architecture.h"

typedef enum extent {
  ONE,
  HIDDEN,
  QUERY, /* all heads' */
  KEY,
  VALUE,
  ATTENDED,
  HEAD,
  HEADS,
  FFN,
  VOCAB,
  EXPERTS,
  EXPERT_FFN,
  SHARED_FFN,
  Q_RANK,
  KV_RANK,
  KV_DOWN,
  K_UP,
  NOPE
} extent;

typedef enum condition {
  ALWAYS,
  NORM_BEFORE_ATTENTION,
  NORM_AFTER_ATTENTION,
  NORM_BEFORE_FFN,
  NORM_AFTER_FFN,
  GROUPED,
  PLAIN_QUERY, /* of grouped attention, or of MLA without a rank */
  QKV_BIAS,
  OUTPUT_BIAS,
  HEAD_NORM,
  SINKS,
  DENSE,
  DENSE_BIAS,
  SPARSE, /* a layer of experts */
  SPARSE_BIAS,
  ROUTER_BIAS,
  SELECTION_BIAS,
  SHARED,
  SHARED_GATED,
  LATENT,
  LATENT_QUERY,
  UNTIED
} condition;

typedef struct rule {
  const char *name;
  extent rows, columns;
  condition when;
  bool is_norm;
} rule;

static const rule layer_rules[ZH_LAYER_SLOTS] = {
    [ZH_ATTN_NORM] = {"attn_norm", ONE, HIDDEN, NORM_BEFORE_ATTENTION, true},
    [ZH_ATTN_Q] = {"attn_q", QUERY, HIDDEN, PLAIN_QUERY, false},
    [ZH_ATTN_K] = {"attn_k", KEY, HIDDEN, GROUPED, false},
    [ZH_ATTN_V] = {"attn_v", VALUE, HIDDEN, GROUPED, false},
    [ZH_ATTN_OUTPUT] = {"attn_output", HIDDEN, ATTENDED, ALWAYS, false},
    [ZH_FFN_NORM] = {"ffn_norm", ONE, HIDDEN, NORM_BEFORE_FFN, true},
    [ZH_FFN_GATE] = {"ffn_gate", FFN, HIDDEN, DENSE, false},
    [ZH_FFN_UP] = {"ffn_up", FFN, HIDDEN, DENSE, false},
    [ZH_FFN_DOWN] = {"ffn_down", HIDDEN, FFN, DENSE, false},
    [ZH_ATTN_Q_BIAS] = {"attn_q_bias", ONE, QUERY, QKV_BIAS, false},
    [ZH_ATTN_K_BIAS] = {"attn_k_bias", ONE, KEY, QKV_BIAS, false},
    [ZH_ATTN_V_BIAS] = {"attn_v_bias", ONE, VALUE, QKV_BIAS, false},
    [ZH_ATTN_OUTPUT_BIAS] = {"attn_output_bias", ONE, HIDDEN, OUTPUT_BIAS, false},
    [ZH_ATTN_Q_NORM] = {"attn_q_norm", ONE, HEAD, HEAD_NORM, true},
    [ZH_ATTN_K_NORM] = {"attn_k_norm", ONE, HEAD, HEAD_NORM, true},
    [ZH_ATTN_SINKS] = {"attn_sinks", ONE, HEADS, SINKS, false},
    [ZH_ATTN_POST_NORM] = {"attn_post_norm", ONE, HIDDEN, NORM_AFTER_ATTENTION, true},
    [ZH_FFN_GATE_BIAS] = {"ffn_gate_bias", ONE, FFN, DENSE_BIAS, false},
    [ZH_FFN_UP_BIAS] = {"ffn_up_bias", ONE, FFN, DENSE_BIAS, false},
    [ZH_FFN_DOWN_BIAS] = {"ffn_down_bias", ONE, HIDDEN, DENSE_BIAS, false},
    [ZH_FFN_POST_NORM] = {"ffn_post_norm", ONE, HIDDEN, NORM_AFTER_FFN, true},
    [ZH_ROUTER] = {"router", EXPERTS, HIDDEN, SPARSE, false},
    [ZH_ROUTER_BIAS] = {"router_bias", ONE, EXPERTS, ROUTER_BIAS, false},
    [ZH_ROUTER_SELECTION_BIAS] = {"router_selection_bias", ONE, EXPERTS, SELECTION_BIAS, false},
    [ZH_SHARED_GATE] = {"shared_gate", SHARED_FFN, HIDDEN, SHARED, false},
    [ZH_SHARED_UP] = {"shared_up", SHARED_FFN, HIDDEN, SHARED, false},
    [ZH_SHARED_DOWN] = {"shared_down", HIDDEN, SHARED_FFN, SHARED, false},
    [ZH_SHARED_SCORE] = {"shared_score", ONE, HIDDEN, SHARED_GATED, false},
    [ZH_LATENT_Q_DOWN] = {"latent_q_down", Q_RANK, HIDDEN, LATENT_QUERY, false},
    [ZH_LATENT_Q_NORM] = {"latent_q_norm", ONE, Q_RANK, LATENT_QUERY, true},
    [ZH_LATENT_Q_UP] = {"latent_q_up", QUERY, Q_RANK, LATENT_QUERY, false},
    [ZH_LATENT_KV_DOWN] = {"latent_kv_down", KV_DOWN, HIDDEN, LATENT, false},
    [ZH_LATENT_KV_NORM] = {"latent_kv_norm", ONE, KV_RANK, LATENT, true},
    [ZH_LATENT_K_UP] = {"latent_k_up", K_UP, NOPE, LATENT, false},
    [ZH_LATENT_V_UP] = {"latent_v_up", ATTENDED, KV_RANK, LATENT, false},
};
static const rule expert_rules[ZH_EXPERT_SLOTS] = {
    [ZH_EXPERT_GATE] = {"expert_gate", EXPERT_FFN, HIDDEN, SPARSE, false},
    [ZH_EXPERT_UP] = {"expert_up", EXPERT_FFN, HIDDEN, SPARSE, false},
    [ZH_EXPERT_DOWN] = {"expert_down", HIDDEN, EXPERT_FFN, SPARSE, false},
    [ZH_EXPERT_GATE_BIAS] = {"expert_gate_bias", ONE, EXPERT_FFN, SPARSE_BIAS, false},
    [ZH_EXPERT_UP_BIAS] = {"expert_up_bias", ONE, EXPERT_FFN, SPARSE_BIAS, false},
    [ZH_EXPERT_DOWN_BIAS] = {"expert_down_bias", ONE, HIDDEN, SPARSE_BIAS, false},
};
static const rule model_rules[ZH_MODEL_SLOTS] = {
    [ZH_EMBEDDING] = {"embedding", VOCAB, HIDDEN, ALWAYS, false},
    [ZH_OUTPUT_NORM] = {"output_norm", ONE, HIDDEN, ALWAYS, true},
    [ZH_HEAD] = {"head", VOCAB, HIDDEN, UNTIED, false},
};

static uint64_t extent_of(const zh_architecture *a, extent which) {
  const uint64_t heads = a->heads;
  switch (which) {
  case HIDDEN:
    return a->hidden;
  case QUERY:
    return heads * a->head_dim;
  case KEY:
    return (uint64_t)a->kv_heads * a->head_dim;
  case VALUE:
    return (uint64_t)a->kv_heads * a->value_dim;
  case ATTENDED:
    return heads * a->value_dim;
  case HEAD:
    return a->head_dim;
  case HEADS:
    return heads;
  case FFN:
    return a->ffn;
  case VOCAB:
    return a->vocab;
  case EXPERTS:
    return a->experts;
  case EXPERT_FFN:
    return a->expert_ffn;
  case SHARED_FFN:
    return a->shared_ffn;
  case Q_RANK:
    return a->latent.q_rank;
  case KV_RANK:
    return a->latent.kv_rank;
  case KV_DOWN:
    return (uint64_t)a->latent.kv_rank + a->rope[0].dims;
  case K_UP:
    return heads * a->latent.kv_rank;
  case NOPE:
    return a->latent.nope_dims;
  default:
    return 1;
  }
}

static bool is_needed(const zh_architecture *a, condition when, bool sparse) {
  const bool latent = a->attention == ZH_ATTENTION_LATENT;
  switch (when) {
  case NORM_BEFORE_ATTENTION:
    return a->norm_before.attention;
  case NORM_AFTER_ATTENTION:
    return a->norm_after.attention;
  case NORM_BEFORE_FFN:
    return a->norm_before.ffn;
  case NORM_AFTER_FFN:
    return a->norm_after.ffn;
  case GROUPED:
    return !latent;
  case PLAIN_QUERY:
    return !latent || a->latent.q_rank == 0;
  case QKV_BIAS:
    return a->qkv_bias && !latent;
  case OUTPUT_BIAS:
    return a->output_bias;
  case HEAD_NORM:
    return a->head_norm != ZH_HEAD_NORM_NONE;
  case SINKS:
    return a->sinks;
  case DENSE:
    return !sparse;
  case DENSE_BIAS:
    return !sparse && a->ffn_bias;
  case SPARSE:
    return sparse;
  case SPARSE_BIAS:
    return sparse && a->ffn_bias;
  case ROUTER_BIAS:
    return sparse && a->router.bias;
  case SELECTION_BIAS:
    return sparse && a->router.selection_bias;
  case SHARED:
    return sparse && a->shared_ffn != 0;
  case SHARED_GATED:
    return sparse && a->shared_ffn != 0 && a->shared_gated;
  case LATENT:
    return latent;
  case LATENT_QUERY:
    return latent && a->latent.q_rank != 0;
  case UNTIED:
    return !a->tied_head;
  default:
    return true;
  }
}

zh_weight_shape zh_weight_shape_of(const zh_architecture *a, zh_weight_place place) {
  const rule *r = place.layer < 0    ? &model_rules[place.slot]
                  : place.expert < 0 ? &layer_rules[place.slot]
                                     : &expert_rules[place.slot];
  bool sparse = place.layer >= 0 && zh_layer_is(a, (uint32_t)place.layer, ZH_LAYER_EXPERTS);
  return (zh_weight_shape){.name = r->name,
                           .rows = extent_of(a, r->rows),
                           .columns = extent_of(a, r->columns),
                           .needed = is_needed(a, r->when, sparse),
                           .is_vector = r->rows == ONE,
                           .is_norm = r->is_norm};
}
