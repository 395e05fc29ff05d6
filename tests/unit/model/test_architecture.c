#include "files.h"

#include <math.h>

/* A llama of one layer in F32, and what a test changes in it. */
typedef struct recipe {
  uint32_t layers, hidden, heads, kv_heads, ffn, vocab, rope_dims, context;
  float eps, theta;
  const char *family, *extra_tensor, *without;
  void (*more)(zh_text *); /* one value more */
} recipe;

static const recipe sound = {.layers = 1,
                             .hidden = 8,
                             .heads = 4,
                             .kv_heads = 2,
                             .ffn = 16,
                             .vocab = 10,
                             .rope_dims = 2,
                             .context = 32,
                             .eps = 1e-5f,
                             .theta = 10000.0f,
                             .family = "llama"};

typedef struct part {
  const char *name;
  uint64_t rows, columns;
} part;

/* The tensors are always those of `sound`: it is the metadata that lies. */
static const char *make(const recipe *r) {
  static const part parts[] = {{"token_embd.weight", 10, 8},       {"output_norm.weight", 0, 8},
                               {"blk.0.attn_norm.weight", 0, 8},   {"blk.0.attn_q.weight", 8, 8},
                               {"blk.0.attn_k.weight", 4, 8},      {"blk.0.attn_v.weight", 4, 8},
                               {"blk.0.attn_output.weight", 8, 8}, {"blk.0.ffn_norm.weight", 0, 8},
                               {"blk.0.ffn_gate.weight", 16, 8},   {"blk.0.ffn_up.weight", 16, 8},
                               {"blk.0.ffn_down.weight", 8, 16}};
  zh_text b = {0};
  uint64_t count = 0, offset = 0;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    count += r->without == NULL || strcmp(parts[i].name, r->without) != 0;
  put_header(&b, 3, count + (r->extra_tensor != NULL), 11 + (r->more != NULL));
  put_key_string(&b, "general.architecture", r->family);
  put_key_u32(&b, "llama.block_count", r->layers);
  put_key_u32(&b, "llama.embedding_length", r->hidden);
  put_key_u32(&b, "llama.attention.head_count", r->heads);
  put_key_u32(&b, "llama.attention.head_count_kv", r->kv_heads);
  put_key_u32(&b, "llama.feed_forward_length", r->ffn);
  put_key_u32(&b, "llama.vocab_size", r->vocab);
  put_key_u32(&b, "llama.context_length", r->context);
  put_key_u32(&b, "llama.rope.dimension_count", r->rope_dims);
  put_key_f32(&b, "llama.rope.freq_base", r->theta);
  put_key_f32(&b, "llama.attention.layer_norm_rms_epsilon", r->eps);
  if (r->more != NULL) r->more(&b);
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    if (r->without != NULL && strcmp(parts[i].name, r->without) == 0) continue;
    put_tensor(&b, parts[i].name, parts[i].rows, parts[i].columns, 0, offset);
    offset += (parts[i].columns * (parts[i].rows == 0 ? 1 : parts[i].rows) * 4 + 31) / 32 * 32;
  }
  if (r->extra_tensor != NULL) put_tensor(&b, r->extra_tensor, 0, 8, 0, offset), offset += 32;
  put_padding(&b, 32);
  put_data(&b, (size_t)offset);
  const char *path = put_file("llama.gguf", b.data, b.length);
  zh_text_free(&b);
  return path;
}

static void test_describes_llama(void **state) {
  zh_error err = ZH_ERROR_INIT;
  zh_architecture a;
  (void)state;
  zh_model *m = open_good(make(&sound));
  if (zh_model_architecture(&a, m, &err) != ZH_OK) fail_msg("%s", err.message);
  assert_string_equal(a.family, "llama");
  assert_int_equal(a.layers, 1);
  assert_int_equal(a.head_dim, 2);
  assert_int_equal(a.kv_heads, 2);
  assert_int_equal(a.vocab, 10);
  assert_int_equal(a.rope[0].dims, 2);
  assert_int_equal(a.rope[0].kind, ZH_ROPE_PAIRS);
  assert_true(a.tied_head);
  assert_true(a.norm_eps == 1e-5f && a.rope[0].base == 10000.0);
  zh_model_free(m);
}

static void refuse(const recipe *r, const char *words) {
  zh_error err = ZH_ERROR_INIT;
  zh_architecture a;
  zh_model *m = open_good(make(r));
  if (zh_model_architecture(&a, m, &err) != ZH_ERR_INPUT) fail_msg("'%s' was accepted", words);
  if (strstr(err.message, words) == NULL) fail_msg("'%s' does not say '%s'", err.message, words);
  zh_model_free(m);
}

/* Changes one number of the sound recipe. */
#define REFUSE(field, number, words)                                                               \
  do {                                                                                             \
    recipe r = sound;                                                                              \
    r.field = number;                                                                              \
    refuse(&r, words);                                                                             \
  } while (0)

static void many_tokens(zh_text *b) {
  static const char *const tokens[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"};
  put_key_strings(b, "tokenizer.ggml.tokens", tokens, 11);
}
static void scaling(zh_text *b) {
  put_key_string(b, "llama.rope.scaling.type", "yarn");
}
static void value_length(zh_text *b) {
  put_key_u32(b, "llama.attention.value_length", 3);
}
static void key_length(zh_text *b) {
  put_key_u32(b, "llama.attention.key_length", 1u << 30);
}
static void experts(zh_text *b) {
  put_key_u32(b, "llama.expert_count", 8);
}
static void gating(zh_text *b) {
  put_key_u32(b, "llama.expert_gating_func", 2);
}
static void acausal(zh_text *b) {
  put_key(b, "llama.attention.causal", 7);
  put_u8(b, 0);
}
static void two_sizes(zh_text *b) { /* of one layer */
  put_key(b, "llama.attention.key_length", 9);
  put_u32(b, 4);
  put_u64(b, 2);
  put_u32(b, 2);
  put_u32(b, 2);
}
static void logit_scale(zh_text *b) {
  put_key_f32(b, "llama.logit_scale", 0.5f);
}

static void test_refuses_what_the_tensors_deny(void **state) {
  (void)state;
  REFUSE(layers, 2, "'blk.1.attn_norm.weight' is missing");
  REFUSE(layers, 512, "'blk.1.attn_norm.weight' is missing");
  REFUSE(layers, 513, "holds at most 512");
  REFUSE(layers, INT32_MAX, "holds at most 512");
  REFUSE(layers, UINT32_MAX, "'block_count' is 4294967295; a whole number");
  REFUSE(layers, 0, "gives no layers");
  REFUSE(hidden, 16, "should have the shape [10, 16]");
  REFUSE(hidden, 7, "does not divide into 4 heads");
  REFUSE(heads, 2, "'blk.0.attn_k.weight' should have the shape [8, 8]");
  REFUSE(heads, 0, "gives no attention heads");
  REFUSE(kv_heads, 4, "'blk.0.attn_k.weight' should have the shape [8, 8]");
  REFUSE(kv_heads, 3, "cannot share");
  REFUSE(ffn, 1u << 31, "'feed_forward_length' is 2147483648; a whole number");
  REFUSE(ffn, 1u << 30, "should have the shape [1073741824, 8]");
  REFUSE(vocab, 11, "should have the shape [11, 8]");
  REFUSE(context, 0, "gives no context length");
  REFUSE(rope_dims, 3, "rotated dimensions");
  REFUSE(rope_dims, 4, "rotated dimensions");
  REFUSE(eps, 0.0f, "epsilon");
  REFUSE(eps, -1.0f, "epsilon");
  REFUSE(eps, (float)(1e308 * 10), "epsilon");
  REFUSE(theta, 0.0f, "epsilon");
  REFUSE(theta, (float)(1e308 * 10), "epsilon");
  REFUSE(family, "mamba", "architecture 'mamba' is not supported yet");
  REFUSE(family, "ll\x1b[31m", "architecture 'll?[31m'");
  REFUSE(family, "ll\xff", "architecture 'll?'");
  REFUSE(family, "智算模型智算模型智算模型",
         "architecture '智算模型智算模型智算'"); /* whole characters */
  REFUSE(family, "", "does not say its architecture");
  REFUSE(without, "blk.0.ffn_up.weight", "'blk.0.ffn_up.weight' is missing");
  REFUSE(without, "token_embd.weight", "'token_embd.weight' is missing");
  REFUSE(extra_tensor, "blk.0.attn_k.bias", "'blk.0.attn_k.bias' is no part");
  REFUSE(extra_tensor, "blk.0.attn_q.bias", "'blk.0.attn_k.bias' is missing");
  REFUSE(extra_tensor, "blk.0.attn_q_norm.weight", "'blk.0.attn_q_norm.weight' is no part");
  REFUSE(extra_tensor, "output.weight", "'output.weight' should have the shape");
  REFUSE(extra_tensor, "rope_freqs.weight", "8 factors of RoPE for 1 pairs");
  REFUSE(more, many_tokens, "11 tokens");
  REFUSE(more, scaling, "scales its positions");
  REFUSE(more, value_length, "different lengths");
  REFUSE(more, key_length, "should have the shape [4294967296, 8]");
  REFUSE(more, experts, "0 of 8 experts");
  REFUSE(more, gating,
         "'expert_gating_func' is '2'; of a llama model this version computes 1 alone");
  REFUSE(more, acausal, "'attention.causal' is 'false'");
  REFUSE(more, two_sizes, "'attention.key_length' is a list of 2 numbers");
  REFUSE(more, logit_scale, "states 'logit_scale'");
}

static void test_roles(void **state) {
  static const struct {
    const char *name;
    zh_tensor_role role;
  } expected[] = {
      {"token_embd.weight", ZH_ROLE_EMBEDDING},
      {"model.embed_tokens.weight", ZH_ROLE_EMBEDDING},
      {"blk.0.attn_q.weight", ZH_ROLE_ATTENTION},
      {"blk.0.attn_output.weight", ZH_ROLE_ATTENTION},
      {"blk.0.attn_q.bias", ZH_ROLE_ATTENTION},
      {"blk.0.attn_kv_a_mqa.weight", ZH_ROLE_ATTENTION},
      {"blk.0.attn_kv_a_norm.weight", ZH_ROLE_NORM},
      {"model.layers.3.self_attn.k_proj.weight", ZH_ROLE_ATTENTION},
      {"model.layers.3.self_attn.q_norm.weight", ZH_ROLE_NORM},
      {"model.layers.3.self_attn.rotary_emb.inv_freq", ZH_ROLE_BUFFER},
      {"model.layers.3.self_attn.q_proj.weight_scale_inv", ZH_ROLE_BUFFER},
      {"transformer.h.0.attn.bias", ZH_ROLE_BUFFER},
      {"blk.0.attn_norm.weight", ZH_ROLE_NORM},
      {"blk.0.ffn_norm.weight", ZH_ROLE_NORM},
      {"output_norm.weight", ZH_ROLE_NORM},
      {"model.norm.weight", ZH_ROLE_NORM},
      {"model.layers.0.post_attention_layernorm.weight", ZH_ROLE_NORM},
      {"blk.0.ffn_up.weight", ZH_ROLE_FFN},
      {"model.layers.0.mlp.gate_proj.weight", ZH_ROLE_FFN},
      {"blk.0.ffn_gate_inp.weight", ZH_ROLE_ROUTER},
      {"model.layers.0.mlp.gate.weight", ZH_ROLE_ROUTER},
      {"model.layers.0.mlp.gate.e_score_correction_bias", ZH_ROLE_ROUTER},
      {"model.layers.0.mlp.shared_expert_gate.weight", ZH_ROLE_ROUTER},
      {"blk.0.exp_probs_b.bias", ZH_ROLE_ROUTER},
      {"blk.0.ffn_gate_exps.weight", ZH_ROLE_EXPERTS},
      {"blk.0.ffn_up_shexp.weight", ZH_ROLE_EXPERTS},
      {"model.layers.0.mlp.experts.7.down_proj.weight", ZH_ROLE_EXPERTS},
      {"model.layers.0.mlp.shared_experts.up_proj.weight", ZH_ROLE_EXPERTS},
      {"output.weight", ZH_ROLE_HEAD},
      {"lm_head.weight", ZH_ROLE_HEAD},
      {"rope_freqs.weight", ZH_ROLE_BUFFER},
      {"something.else", ZH_ROLE_OTHER},
  };
  (void)state;
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
    zh_tensor t = {.name = expected[i].name};
    if (zh_tensor_role_of(&t) != expected[i].role)
      fail_msg("%s is %s", t.name, zh_tensor_role_name(zh_tensor_role_of(&t)));
  }
  assert_string_equal(zh_tensor_role_name(ZH_ROLE_EXPERTS), "experts");
}

/* arXiv:2108.12409: of eight heads 1/2 … 1/256; beyond a power of two every second slope of twice
 * as many heads. */
static void test_alibi_slopes(void **state) {
  float slope[40];
  (void)state;
  zh_alibi_slopes(slope, 1);
  assert_true(slope[0] == 0x1p-8f);
  zh_alibi_slopes(slope, 8);
  for (int i = 0; i < 8; i++) assert_true(slope[i] == ldexpf(1, -i - 1));
  zh_alibi_slopes(slope, 11);
  for (int i = 0; i < 8; i++) assert_true(slope[i] == ldexpf(1, -i - 1));
  for (int i = 0; i < 3; i++) assert_true(fabsf(slope[8 + i] - exp2f(-0.5f - (float)i)) < 1e-7f);
  zh_alibi_slopes(slope, 40);
  assert_true(fabsf(slope[0] - exp2f(-0.25f)) < 1e-7f && slope[31] == 0x1p-8f);
  assert_true(fabsf(slope[32] - exp2f(-0.125f)) < 1e-7f);
  assert_true(fabsf(slope[39] - exp2f(-0.125f * 15)) < 1e-7f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_describes_llama),
      cmocka_unit_test(test_refuses_what_the_tensors_deny),
      cmocka_unit_test(test_roles),
      cmocka_unit_test(test_alibi_slopes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
