/* What a converted model says of itself: GGUF's keys (ggml's docs/gguf.md) and config.json's. */
#include <math.h>
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

/* How files of that form call the family: the first of its words. NULL: there are none. */
static const char *family_word(const zh_family *family, zh_form form) {
  const char *text = NULL;
  for (; family != NULL && text == NULL; family = family->like) {
    const zh_yaml_node *list = zh_yaml_get(family->root, form == ZH_FORM_GGUF ? "gguf" : "config");
    if (list != NULL && zh_yaml_count(list) > 0)
      (void)!zh_yaml_string(&text, zh_yaml_item(list, 0), NULL);
  }
  return text;
}

typedef struct key_writer {
  zh_conversion *c;
  const char *word; /* before every key */
  json_t *config;
} key_writer;

static void put_field(void *user, const char *key, const zh_field_value *value) {
  const key_writer *w = user;
  char full[192];
  snprintf(full, sizeof full, "%s.%s", w->word, key);
  if (value->kind == ZH_FIELD_COUNT) zh_put_count(w->c, full, (uint32_t)value->number);
  if (value->kind == ZH_FIELD_REAL) zh_put_real(w->c, full, (float)value->number);
  if (value->kind == ZH_FIELD_FLAG) zh_put_bool(w->c, full, value->number != 0);
  if (value->kind == ZH_FIELD_WORD) put_text(w->c, full, value->word);
}

/* Plain frequencies over scaled ones: what llama.cpp multiplies the wave lengths with. */
static zh_status add_rope_factors(zh_conversion *c, zh_error *err) {
  const zh_rope *rope = &c->described.a.rope[0];
  zh_rope plain = {.kind = rope->kind, .dims = rope->dims, .base = rope->base};
  double a[ZH_ROPE_PAIRS_MAX], b[ZH_ROPE_PAIRS_MAX];
  float *factors = zh_arena_alloc(c->arena, rope->dims / 2 + 1, sizeof *factors);
  if (factors == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  zh_rope_frequencies(a, &plain, c->described.a.context);
  zh_rope_frequencies(b, rope, c->described.a.context);
  for (uint32_t i = 0; i < rope->dims / 2; i++) factors[i] = (float)(a[i] / b[i]);
  return zh_conversion_add_values(c, "rope_freqs.weight", factors, rope->dims / 2, err);
}

static zh_status add_long_factors(zh_conversion *c, const char *word, zh_error *err) {
  const zh_rope *rope = &c->described.a.rope[0];
  char key[96];
  float *lists = zh_arena_alloc(c->arena, 2 * rope->factors + 1, sizeof *lists);
  if (lists == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversion)");
  memcpy(lists, rope->short_factor, rope->factors * sizeof *lists);
  memcpy(lists + rope->factors, rope->long_factor, rope->factors * sizeof *lists);
  snprintf(key, sizeof key, "%s.rope.scaling.attn_factor", word);
  zh_put_real(c, key, rope->attention_factor == 0 ? 1 : (float)rope->attention_factor);
  ZH_TRY(zh_conversion_add_values(c, "rope_factors_short.weight", lists, rope->factors, err));
  return zh_conversion_add_values(c, "rope_factors_long.weight", lists + rope->factors,
                                  rope->factors, err);
}

static zh_status put_rope(zh_conversion *c, const char *word, zh_error *err) {
  const zh_rope *rope = &c->described.a.rope[0];
  char key[96];
  if (rope->kind == ZH_ROPE_NONE || rope->scaling == ZH_ROPE_PLAIN) return ZH_OK;
  if (rope->scaling == ZH_ROPE_ALPHA) return ZH_OK; /* in the base */
  if (rope->scaling == ZH_ROPE_LLAMA3) return add_rope_factors(c, err);
  snprintf(key, sizeof key, "%s.rope.scaling.original_context_length", word);
  zh_put_count(c, key, rope->original_context);
  if (rope->scaling == ZH_ROPE_LONGROPE) return add_long_factors(c, word, err);
  bool yarn = rope->scaling == ZH_ROPE_YARN;
  if (!yarn && rope->scaling != ZH_ROPE_LINEAR) return ZH_OK; /* the check will name it */
  snprintf(key, sizeof key, "%s.rope.scaling.type", word);
  put_text(c, key, yarn ? "yarn" : "linear");
  snprintf(key, sizeof key, "%s.rope.scaling.factor", word);
  zh_put_real(c, key, (float)rope->factor);
  if (!yarn) return ZH_OK;
  snprintf(key, sizeof key, "%s.rope.scaling.yarn_beta_fast", word);
  zh_put_real(c, key, (float)rope->beta_fast);
  snprintf(key, sizeof key, "%s.rope.scaling.yarn_beta_slow", word);
  zh_put_real(c, key, (float)rope->beta_slow);
  return ZH_OK;
}

/* A larger base that holds for all contexts is a base. */
static zh_described with_base(const zh_described *d) {
  zh_described plain = *d;
  zh_rope *rope = &plain.a.rope[0];
  double dims = rope->dims;
  if (rope->scaling != ZH_ROPE_ALPHA || dims <= 2) return plain;
  rope->base *= pow(rope->alpha, dims / (dims - 2));
  return plain;
}

/* Its projections are cut and turned otherwise in the two formats. */
static zh_status refuse_latent(const zh_conversion *c, const char *format, zh_error *err) {
  if (c->described.a.attention != ZH_ATTENTION_LATENT) return ZH_OK;
  return zh_fail(
      err, ZH_ERR_INPUT,
      "%s cannot become %s: models with latent attention (MLA) are not converted between "
      "formats; it can have other types in its own",
      c->model->path, format);
}

static zh_status put_architecture(zh_conversion *c, zh_error *err) {
  zh_described plain = with_base(&c->described);
  const char *word = family_word(c->family, ZH_FORM_GGUF);
  key_writer w = {c, word, NULL};
  if (word == NULL)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the family '%s' is not known in GGUF", c->model->path,
                   c->family->name);
  const zh_family *target; /* files of that form may call several families so */
  ZH_TRY(zh_family_find(&target, word, ZH_FORM_GGUF, err));
  ZH_TRY(refuse_latent(c, "GGUF", err));
  put_text(c, "general.architecture", word);
  put_text(c, "general.name", c->described.a.name);
  put_kind(c);
  ZH_TRY(zh_fields_write(&plain, c->model, target, ZH_FORM_GGUF, put_field, &w, err));
  return put_rope(c, word, err);
}

/* --- config.json --- */

/* The shortest decimal that is this fp32 number, as people wrote it. */
static json_t *short_real(double value) {
  char text[32];
  for (int digits = 1; digits <= 9; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtof(text, NULL) == (float)value) break;
  }
  return json_real(strtod(text, NULL));
}

/* A key may lead into objects. */
static void set_field(void *user, const char *path, const zh_field_value *value) {
  const key_writer *w = user;
  json_t *object = w->config, *made = NULL;
  const char *dot;
  char key[96];
  while ((dot = strchr(path, '.')) != NULL && (size_t)(dot - path) < sizeof key) {
    snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
    if (!json_is_object(json_object_get(object, key)))
      json_object_set_new(object, key, json_object());
    object = json_object_get(object, key);
    path = dot + 1;
  }
  if (value->kind == ZH_FIELD_COUNT) made = json_integer((json_int_t)value->number);
  if (value->kind == ZH_FIELD_REAL) made = short_real(value->number);
  if (value->kind == ZH_FIELD_FLAG) made = json_boolean(value->number != 0);
  if (value->kind == ZH_FIELD_WORD) made = json_string(value->word);
  json_object_set_new(object, path, made);
}

static json_t *list_of(const float *values, uint32_t count) {
  json_t *list = json_array();
  for (uint32_t i = 0; i < count; i++) json_array_append_new(list, short_real((double)values[i]));
  return list;
}

static void set_rope(json_t *config, const zh_rope *rope) {
  static const char *const words[ZH_ROPE_SCALINGS] = {[ZH_ROPE_LINEAR] = "linear",
                                                      [ZH_ROPE_LLAMA3] = "llama3",
                                                      [ZH_ROPE_YARN] = "yarn",
                                                      [ZH_ROPE_LONGROPE] = "longrope"};
  if (rope->kind == ZH_ROPE_NONE || words[rope->scaling] == NULL) return;
  json_t *object = json_pack("{s:s, s:I, s:o}", "rope_type", words[rope->scaling],
                             "original_max_position_embeddings", (json_int_t)rope->original_context,
                             "factor", short_real(rope->factor));
  if (rope->scaling == ZH_ROPE_LLAMA3) {
    json_object_set_new(object, "low_freq_factor", short_real(rope->low_frequency));
    json_object_set_new(object, "high_freq_factor", short_real(rope->high_frequency));
  }
  if (rope->scaling == ZH_ROPE_YARN) {
    json_object_set_new(object, "beta_fast", short_real(rope->beta_fast));
    json_object_set_new(object, "beta_slow", short_real(rope->beta_slow));
  }
  if (rope->scaling == ZH_ROPE_LONGROPE) {
    json_object_set_new(object, "short_factor", list_of(rope->short_factor, rope->factors));
    json_object_set_new(object, "long_factor", list_of(rope->long_factor, rope->factors));
  }
  if (rope->scaling == ZH_ROPE_LONGROPE || rope->scaling == ZH_ROPE_YARN)
    json_object_set_new(object, "attention_factor",
                        short_real(rope->attention_factor == 0 ? 1 : rope->attention_factor));
  json_object_set_new(config, "rope_scaling", object);
}

/* Ids of special tokens, as GGUF states them. */
static void set_token(json_t *config, const zh_model *model, const char *key, const char *from) {
  uint64_t id;
  if (zh_gguf_uint(&id, zh_gguf_find(model, from)))
    json_object_set_new(config, key, json_integer((json_int_t)id));
}

static zh_status config_of(json_t **out, zh_conversion *c, zh_error *err) {
  const char *word = family_word(c->family, ZH_FORM_CONFIG);
  if (word == NULL)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the family '%s' is not known in safetensors",
                   c->model->path, c->family->name);
  ZH_TRY(refuse_latent(c, "safetensors", err));
  json_t *config = *out = json_object();
  key_writer w = {c, word, config};
  if (strcmp(word, "llama") == 0)
    json_object_set_new(config, "architectures", json_pack("[s]", "LlamaForCausalLM"));
  json_object_set_new(config, "model_type", json_string(word));
  json_object_set_new(config, "torch_dtype", json_string(kinds[commonest(c)].torch));
  set_token(config, c->model, "bos_token_id", "tokenizer.ggml.bos_token_id");
  set_token(config, c->model, "eos_token_id", "tokenizer.ggml.eos_token_id");
  set_rope(config, &c->described.a.rope[0]);
  return zh_fields_write(&c->described, c->model, c->family, ZH_FORM_CONFIG, set_field, &w, err);
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

zh_status zh_conversion_describe(zh_conversion *c, zh_error *err) {
  if (c->container == ZH_CONTAINER_GGUF) {
    if (c->anew) return put_architecture(c, err);
    copy_values(c);
    return ZH_OK;
  }
  if (!c->anew && c->model->config == NULL) return ZH_OK;
  json_t *config = NULL;
  char *text = NULL;
  zh_status status = ZH_OK;
  if (c->anew)
    status = config_of(&config, c, err);
  else
    config = config_copied(c);
  if (status == ZH_OK && config == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (config.json)");
  if (status == ZH_OK) status = zh_json_dump(&text, config, err);
  json_decref(config);
  if (status == ZH_OK) zh_text_puts(zh_conversion_add_side(c, "config.json"), text);
  free(text);
  return status;
}
