/* What a converted model says of itself: GGUF's keys (ggml's docs/gguf.md) and config.json's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/conversion_room.h"

enum { QUANTIZATION_VERSION = 2 };

/* --- the type that most of it has --- */

/* ggml's numbers of whole files (llama_ftype). */
static const struct {
  zh_dtype type;
  uint32_t number;
  const char *torch;
} kinds[] = {{ZH_F32, 0, "float32"}, {ZH_F16, 1, "float16"}, {ZH_BF16, 32, "bfloat16"},
             {ZH_Q4_0, 2, NULL},     {ZH_Q4_1, 3, NULL},     {ZH_Q8_0, 7, NULL},
             {ZH_Q5_0, 8, NULL},     {ZH_Q5_1, 9, NULL},     {ZH_Q2_K, 10, NULL},
             {ZH_Q3_K, 11, NULL},    {ZH_Q4_K, 14, NULL},    {ZH_Q5_K, 16, NULL},
             {ZH_Q6_K, 18, NULL},    {ZH_IQ4_NL, 25, NULL},  {ZH_IQ4_XS, 30, NULL},
             {ZH_MXFP4, 38, NULL}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static size_t commonest(const zh_conversion *c) {
  uint64_t elements[KINDS] = {0};
  size_t best = 0;
  for (size_t i = 0; i < c->count; i++)
    for (size_t k = 0; k < KINDS; k++)
      if (kinds[k].type == c->tensors[i].as.type) elements[k] += c->tensors[i].as.elements;
  for (size_t k = 1; k < KINDS; k++)
    if (elements[k] > elements[best]) best = k;
  return best;
}

/* --- GGUF --- */

static void put_kind(zh_conversion *c) {
  size_t kind = commonest(c);
  zh_put_count(c, "general.file_type", kinds[kind].number);
  if (kinds[kind].torch == NULL)
    zh_put_count(c, "general.quantization_version", QUANTIZATION_VERSION);
}

/* All that the other file says but what changes by writing it anew. */
static void copy_values(zh_conversion *c) {
  static const char *const anew[] = {"general.alignment", "general.file_type",
                                     "general.quantization_version", "split."};
  for (size_t i = 0; i < c->model->value_count; i++) {
    const zh_gguf_value *value = &c->model->values[i];
    bool keep = true;
    for (size_t k = 0; k < sizeof anew / sizeof anew[0]; k++)
      keep &= strncmp(value->key, anew[k], strlen(anew[k])) != 0;
    if (keep) zh_put_value(c, value);
  }
  put_kind(c);
}

static void put_text(zh_conversion *c, const char *key, const char *words) {
  zh_put_words(c, key, words, strlen(words));
}

static void put_architecture(zh_conversion *c, const zh_architecture *a) {
  put_text(c, "general.architecture", a->family);
  put_text(c, "general.name", a->name);
  put_kind(c);
  zh_put_count(c, "llama.block_count", a->layers);
  zh_put_count(c, "llama.context_length", a->context);
  zh_put_count(c, "llama.embedding_length", a->hidden);
  zh_put_count(c, "llama.feed_forward_length", a->ffn);
  zh_put_count(c, "llama.attention.head_count", a->heads);
  zh_put_count(c, "llama.attention.head_count_kv", a->kv_heads);
  zh_put_count(c, "llama.attention.key_length", a->head_dim);
  zh_put_count(c, "llama.attention.value_length", a->head_dim);
  zh_put_real(c, "llama.attention.layer_norm_rms_epsilon", a->norm_eps);
  zh_put_count(c, "llama.rope.dimension_count", a->rope[0].dims);
  zh_put_real(c, "llama.rope.freq_base", (float)a->rope[0].base);
  zh_put_count(c, "llama.vocab_size", a->vocab);
}

/* --- config.json --- */

/* The shortest decimal that is this fp32 number, as people wrote it. */
static json_t *short_real(float value) {
  char text[32];
  for (int digits = 1; digits <= 9; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, (double)value);
    if (strtof(text, NULL) == value) break;
  }
  return json_real(strtod(text, NULL));
}

/* Ids of special tokens, as GGUF states them. */
static void set_token(json_t *config, const zh_model *model, const char *key, const char *from) {
  uint64_t id;
  if (zh_gguf_uint(&id, zh_gguf_find(model, from)))
    json_object_set_new(config, key, json_integer((json_int_t)id));
}

static json_t *config_of(const zh_conversion *c, const zh_architecture *a) {
  json_t *config = json_pack(
      "{s:[s], s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:b, s:s}",
      "architectures", "LlamaForCausalLM", "model_type", "llama", "hidden_act", "silu",
      "hidden_size", (json_int_t)a->hidden, "intermediate_size", (json_int_t)a->ffn,
      "num_hidden_layers", (json_int_t)a->layers, "num_attention_heads", (json_int_t)a->heads,
      "num_key_value_heads", (json_int_t)a->kv_heads, "head_dim", (json_int_t)a->head_dim,
      "vocab_size", (json_int_t)a->vocab, "max_position_embeddings", (json_int_t)a->context,
      "tie_word_embeddings", (int)a->tied_head, "attention_bias", 0, "mlp_bias", 0, "torch_dtype",
      kinds[commonest(c)].torch);
  json_object_set_new(config, "rms_norm_eps", short_real(a->norm_eps));
  json_object_set_new(config, "rope_theta", short_real((float)a->rope[0].base));
  set_token(config, c->model, "bos_token_id", "tokenizer.ggml.bos_token_id");
  set_token(config, c->model, "eos_token_id", "tokenizer.ggml.eos_token_id");
  return config;
}

/* The folder's own, but for the type that it states. */
static json_t *config_copied(const zh_conversion *c) {
  static const char *const keys[] = {"torch_dtype", "dtype"};
  json_t *config = json_copy(c->model->config);
  for (size_t i = 0; i < 2; i++)
    if (json_object_get(config, keys[i]) != NULL && kinds[commonest(c)].torch != NULL)
      json_object_set_new(config, keys[i], json_string(kinds[commonest(c)].torch));
  return config;
}

zh_status zh_conversion_describe(zh_conversion *c, const zh_architecture *a, zh_error *err) {
  if (c->container == ZH_CONTAINER_GGUF) {
    if (a == NULL)
      copy_values(c);
    else
      put_architecture(c, a);
    return ZH_OK;
  }
  if (a == NULL && c->model->config == NULL) return ZH_OK;
  json_t *config = a == NULL ? config_copied(c) : config_of(c, a);
  char *text = NULL;
  zh_status status = config == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (config.json)")
                                    : zh_json_dump(&text, config, err);
  json_decref(config);
  if (status == ZH_OK) zh_text_puts(zh_conversion_add_side(c, "config.json"), text);
  free(text);
  return status;
}
