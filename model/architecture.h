/* What a decoder-only transformer is, as a value without pointers: the engine reads it, and no
 * family has a forward pass of its own. Families are data (model/families/, described in
 * docs/adding-a-model-family.md); a file's metadata fill in the numbers. A field that does not
 * apply is 0, false, or the first name of its kind, so that {0} with sizes is a plain Llama.
 *
 *   x = embedding[token] * embedding_scale
 *   each layer:
 *     n = norm(x) if norm_before.attention;  q, k, v = W n + b;  q, k = norm of heads, RoPE
 *     a = Wo attention(q, k, v) + b;  a = norm(a) if norm_after.attention;  x += residual_scale a
 *     n = norm(x) if norm_before.ffn;  f = Wdown (act(Wgate n) * Wup n), or experts
 *     f = norm(f) if norm_after.ffn;  x += residual_scale f
 *   logits = softcap(logit_scale Whead norm(x)) */
#ifndef ZH_MODEL_ARCHITECTURE_H
#define ZH_MODEL_ARCHITECTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ZH_MAX_LAYERS = 512, ZH_ROPE_PAIRS_MAX = 256 };

typedef enum zh_norm_kind {
  ZH_NORM_RMS,          /* gain x / sqrt(mean(x^2) + eps), arXiv:1910.07467 */
  ZH_NORM_RMS_PLUS_ONE, /* (1 + gain) x / … (Gemma; its GGUF files hold 1 + gain, so RMS there) */
  ZH_NORM_LAYER         /* gain (x - mean) / sqrt(variance + eps) + bias, arXiv:1607.06450 */
} zh_norm_kind;

typedef struct zh_norm_places {
  bool attention, ffn;
} zh_norm_places;

/* Norm of each head of q and k, with one gain [head_dim] for all heads. */
typedef enum zh_head_norm {
  ZH_HEAD_NORM_NONE,
  ZH_HEAD_NORM_BEFORE_ROPE, /* Qwen3, Gemma 3, GLM-4.5 */
  ZH_HEAD_NORM_AFTER_ROPE   /* Hunyuan */
} zh_head_norm;

/* --- RoPE, arXiv:2104.09864: pair i of a head turns by position * frequency_i --- */

typedef enum zh_rope_kind {
  ZH_ROPE_NONE,
  ZH_ROPE_HALVES, /* pairs (i, i + dims / 2): safetensors of most families */
  ZH_ROPE_PAIRS   /* pairs (2 i, 2 i + 1): GGUF llama, whose rows of q and k are permuted; GLM-4 */
} zh_rope_kind;

/* Plain frequencies are f_i = base^(-2 i / dims). Formulas: zh_rope_frequencies. */
typedef enum zh_rope_scaling {
  ZH_ROPE_PLAIN,
  ZH_ROPE_LINEAR,   /* f_i / factor */
  ZH_ROPE_LLAMA3,   /* low frequencies / factor, a ramp between low and high */
  ZH_ROPE_YARN,     /* arXiv:2309.00071 */
  ZH_ROPE_LONGROPE, /* f_i / short_factor_i, or long_factor_i beyond original_context
                       (arXiv:2402.13753) */
  ZH_ROPE_DYNAMIC,  /* a larger base beyond original_context (InternLM2) */
  ZH_ROPE_ALPHA,    /* base * alpha^(dims / (dims - 2)) always (Hunyuan) */
  ZH_ROPE_SCALINGS
} zh_rope_scaling;

typedef struct zh_rope {
  zh_rope_kind kind;
  uint32_t dims; /* of a head that are turned, the first ones; even */
  double base;
  zh_rope_scaling scaling;
  double factor;                        /* how many times longer the context becomes */
  uint32_t original_context;            /* positions it was trained for */
  double low_frequency, high_frequency; /* llama3: turns in original_context where the ramp is */
  double beta_fast, beta_slow;          /* YaRN: the same, from the other end */
  bool beta_exact;                      /* YaRN: the ramp's ends are not rounded (gpt-oss) */
  double alpha;
  double attention_factor; /* multiplies cosines and sines; 0: 1 */
  uint32_t factors;        /* how many of each list are there: 0 or dims / 2 */
  float short_factor[ZH_ROPE_PAIRS_MAX], long_factor[ZH_ROPE_PAIRS_MAX];
} zh_rope;

/* frequency: [dims / 2]. context: positions that a sequence may get, by which longrope and dynamic
 * scaling choose for all of them. */
void zh_rope_frequencies(double *frequency, const zh_rope *rope, uint32_t context);

/* ALiBi, arXiv:2108.12409: a key n positions back scores n slopes less. slope: [heads]; with n the
 * largest power of two of them, head i < n has 2^(-8 (i + 1) / n), and those beyond every second
 * slope of 2 n heads. */
void zh_alibi_slopes(float *slope, uint32_t heads);

/* --- attention, FFN, experts --- */

typedef enum zh_attention_kind {
  ZH_ATTENTION_GROUPED, /* kv_heads key heads, each for heads / kv_heads query heads:
                           arXiv:2305.13245 */
  ZH_ATTENTION_LATENT   /* keys and values are made of one latent vector a position: MLA,
                           arXiv:2405.04434 */
} zh_attention_kind;

/* MLA: q = Wq_b norm(Wq_a n), or Wq n where q_rank is 0; (c, k_rope) = Wkv_a n; c = norm(c);
 * k = (Wk_b c, RoPE(k_rope)), v = Wv_b c. Each head: head_dim = nope_dims + rope[0].dims. Computed
 * absorbed: every head's query is taken to the latent space, so that all heads share one key
 * (c, RoPE(k_rope)) of kv_rank + rope[0].dims, and one value c; hence kv_heads is 1. */
typedef struct zh_latent {
  uint32_t q_rank, kv_rank, nope_dims;
} zh_latent;

/* Of MLA's own two norms, whatever the file says of the others. */
#define ZH_LATENT_NORM_EPS 1e-6f

typedef enum zh_activation {
  ZH_ACTIVATION_SILU,      /* x / (1 + exp(-x)) */
  ZH_ACTIVATION_GELU,      /* x (1 + erf(x / sqrt(2))) / 2 */
  ZH_ACTIVATION_GELU_TANH, /* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
  ZH_ACTIVATION_CLAMPED    /* gpt-oss: g = min(gate, limit), u = clamp(up, ±limit);
                              g / (1 + exp(-1.702 g)) (u + 1) */
} zh_activation;

typedef enum zh_router_score {
  ZH_ROUTER_SOFTMAX,       /* over all experts, then the best are taken */
  ZH_ROUTER_SIGMOID,       /* of each by itself */
  ZH_ROUTER_SOFTMAX_CHOSEN /* the best logits are taken, then softmax over these (Mixtral's is
                              SOFTMAX with renormalise, the same; gpt-oss, which has biases) */
} zh_router_score;

typedef enum zh_group_score {
  ZH_GROUP_MAX,     /* of a group the best expert's score (DeepSeek-V2) */
  ZH_GROUP_BEST_TWO /* the sum of its two best, selection bias included (V3) */
} zh_group_score;

/* s = score(Wrouter n (+ bias)); chosen by s (+ selection bias) within the best groups;
 * weight of a chosen expert = s / (sum of the chosen s if renormalise) * scale. */
typedef struct zh_router {
  zh_router_score score;
  bool renormalise;
  bool bias;           /* added to logits: gpt-oss */
  bool selection_bias; /* added to scores for choosing alone: DeepSeek-V3, GLM-4.5, ERNIE 4.5 */
  uint32_t groups, groups_used; /* 0 or 1: no groups */
  zh_group_score group_score;
  double scale; /* 0: 1 */
} zh_router;

/* --- the whole --- */

typedef enum zh_layer_bits {
  ZH_LAYER_SLIDING = 1, /* sees the last `window` positions, and turns by rope[1] */
  ZH_LAYER_EXPERTS = 2, /* its FFN is one of experts; else dense */
  ZH_LAYER_NO_ROPE = 4
} zh_layer_bits;

typedef struct zh_architecture {
  char family[32]; /* of model/families/; the file's own word where the family is not known */
  char name[96];   /* the model's own name, for people */

  uint32_t layers, hidden, heads, kv_heads;
  uint32_t head_dim;  /* of queries and keys */
  uint32_t value_dim; /* of values: head_dim but for MLA */
  uint32_t ffn;       /* of dense layers */
  uint32_t vocab, context;

  zh_norm_kind norm;
  float norm_eps;
  zh_norm_places norm_before, norm_after; /* after: of the output, before it is added to x */
  zh_head_norm head_norm;

  bool qkv_bias, output_bias; /* of attention */
  bool ffn_bias;              /* of the dense FFN, or of every expert */

  zh_attention_kind attention;
  zh_latent latent;
  float attention_scale;   /* multiplies q·k: 1 / sqrt(head_dim) unless the family says else */
  float attention_softcap; /* s = cap tanh(s / cap); 0: none (Gemma 2) */
  bool sinks;              /* a learned logit a head in each softmax, without a value (gpt-oss) */
  bool alibi;              /* arXiv:2108.12409 in place of RoPE (Baichuan2-13B) */
  uint32_t window;         /* of sliding layers, the position itself included */
  zh_rope rope[2];         /* [0] of layers that see all, [1] of sliding ones */
  uint8_t layer[ZH_MAX_LAYERS]; /* zh_layer_bits */

  zh_activation activation;
  float activation_limit; /* of ZH_ACTIVATION_CLAMPED */

  uint32_t experts, experts_used; /* 0 for dense models */
  uint32_t expert_ffn;
  zh_router router;
  uint32_t shared_ffn; /* of all shared experts together; 0: none */
  bool shared_gated;   /* their output times sigmoid(Wscore n): Qwen2-MoE */

  float embedding_scale; /* as it multiplies: already rounded where the family rounds it; 0: 1 */
  float residual_scale;  /* 0: 1 (MiniCPM) */
  float logit_scale;     /* 0: 1 */
  float logit_softcap;   /* 0: none */
  bool tied_head;        /* no separate output matrix: logits use the embedding */
  bool normalised_head;  /* each row of the head divided by its length (Baichuan2) */
} zh_architecture;

static inline bool zh_layer_is(const zh_architecture *a, uint32_t layer, zh_layer_bits bit) {
  return (a->layer[layer] & bit) != 0;
}
static inline const zh_rope *zh_layer_rope(const zh_architecture *a, uint32_t layer) {
  return &a->rope[zh_layer_is(a, layer, ZH_LAYER_SLIDING)];
}
static inline bool zh_layer_turns(const zh_architecture *a, uint32_t layer) {
  return !zh_layer_is(a, layer, ZH_LAYER_NO_ROPE) && zh_layer_rope(a, layer)->kind != ZH_ROPE_NONE;
}
/* What attention compares, and what the cache holds of each key head. */
static inline uint32_t zh_key_dim(const zh_architecture *a) {
  return a->attention == ZH_ATTENTION_LATENT ? a->latent.kv_rank + a->rope[0].dims : a->head_dim;
}
/* What attention gives of each query head: of latents a mean of latents. */
static inline uint32_t zh_seen_dim(const zh_architecture *a) {
  return a->attention == ZH_ATTENTION_LATENT ? a->latent.kv_rank : a->head_dim;
}
/* A factor whose absence is 0. */
static inline float zh_factor(float stated) {
  return stated == 0 ? 1 : stated;
}

/* --- its weights --- */

/* Of each layer. q, k, v follow each other, with what MLA has instead, gate and up too: one input
 * serves all of them. A bias
 * follows by name what it is added to; a slot that the architecture does not have is empty. */
typedef enum zh_layer_slot {
  ZH_ATTN_NORM,
  ZH_ATTN_Q,
  ZH_ATTN_K,
  ZH_ATTN_V,
  ZH_LATENT_Q_DOWN,  /* [q_rank][hidden] */
  ZH_LATENT_KV_DOWN, /* [kv_rank + rope dims][hidden] */
  ZH_ATTN_OUTPUT,
  ZH_FFN_NORM,
  ZH_FFN_GATE,
  ZH_FFN_UP,
  ZH_FFN_DOWN,
  ZH_ATTN_Q_BIAS,
  ZH_ATTN_K_BIAS,
  ZH_ATTN_V_BIAS,
  ZH_ATTN_OUTPUT_BIAS,
  ZH_ATTN_Q_NORM, /* [head_dim] */
  ZH_ATTN_K_NORM,
  ZH_ATTN_SINKS, /* [heads] */
  ZH_ATTN_POST_NORM,
  ZH_FFN_GATE_BIAS,
  ZH_FFN_UP_BIAS,
  ZH_FFN_DOWN_BIAS,
  ZH_FFN_POST_NORM,
  ZH_ROUTER,      /* [experts][hidden] */
  ZH_ROUTER_BIAS, /* [experts] */
  ZH_ROUTER_SELECTION_BIAS,
  ZH_SHARED_GATE, /* [shared_ffn][hidden] */
  ZH_SHARED_UP,
  ZH_SHARED_DOWN,
  ZH_SHARED_SCORE,   /* [1][hidden] */
  ZH_LATENT_Q_NORM,  /* [q_rank] */
  ZH_LATENT_Q_UP,    /* [heads head_dim][q_rank]; without a rank the layer has ZH_ATTN_Q */
  ZH_LATENT_KV_NORM, /* [kv_rank] */
  ZH_LATENT_K_UP,    /* [heads kv_rank][nope_dims]: of each head, turned round, so that it takes a
                        query to the latent space */
  ZH_LATENT_V_UP,    /* [heads value_dim][kv_rank] */
  ZH_LAYER_SLOTS
} zh_layer_slot;

/* Of each expert of a layer that has them. */
typedef enum zh_expert_slot {
  ZH_EXPERT_GATE, /* [expert_ffn][hidden] */
  ZH_EXPERT_UP,
  ZH_EXPERT_DOWN,
  ZH_EXPERT_GATE_BIAS,
  ZH_EXPERT_UP_BIAS,
  ZH_EXPERT_DOWN_BIAS,
  ZH_EXPERT_SLOTS
} zh_expert_slot;

typedef enum zh_model_slot { ZH_EMBEDDING, ZH_OUTPUT_NORM, ZH_HEAD, ZH_MODEL_SLOTS } zh_model_slot;

/* Which weight: slot of the layer's own kind, of an expert, or of the model. */
typedef struct zh_weight_place {
  int layer;  /* -1: of the whole model, `slot` a zh_model_slot */
  int expert; /* -1: none, `slot` a zh_layer_slot; else a zh_expert_slot */
  int slot;
} zh_weight_place;

/* What the architecture wants there; vectors have one row. */
typedef struct zh_weight_shape {
  const char *name; /* "attn_q", as model/families/ calls it */
  uint64_t rows, columns;
  bool needed, is_vector;
  bool is_norm; /* its values are gains, to which RMS_PLUS_ONE adds 1 */
} zh_weight_shape;
zh_weight_shape zh_weight_shape_of(const zh_architecture *a, zh_weight_place place);

#ifdef __cplusplus
}
#endif
#endif
