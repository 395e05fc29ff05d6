/* What a converted model says of itself in GGUF's keys (ggml's docs/gguf.md). */
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

const char *zh_conversion_torch_type(const zh_conversion *c) {
  return kinds[commonest(c)].torch;
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

const char *zh_conversion_family_word(const zh_family *family, zh_form form) {
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

/* DeepSeek's mscale_all_dim over ten, from what it makes of the attention scale. */
double zh_conversion_yarn_tenth(const zh_architecture *a) {
  const zh_rope *rope = &a->rope[0];
  if (a->attention != ZH_ATTENTION_LATENT || rope->scaling != ZH_ROPE_YARN || rope->factor <= 1)
    return 0;
  double sharper = (double)a->attention_scale * sqrt((double)a->head_dim);
  double tenth = (sqrt(sharper) - 1) / log(rope->factor);
  return fabs(tenth) < 1e-6 ? 0 : tenth;
}

/* Keys and values as they are cached, with one head; then what they are multiplied out to. */
static void put_latent(zh_conversion *c, const char *word) {
  const zh_architecture *a = &c->described.a;
  const uint32_t numbers[] = {1, a->latent.kv_rank + a->rope[0].dims, a->latent.kv_rank};
  static const char *const keys[] = {"head_count_kv", "key_length", "value_length"};
  char key[96];
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
    snprintf(key, sizeof key, "%s.attention.%s", word, keys[i]);
    zh_put_count(c, key, numbers[i]);
  }
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
  double tenth = zh_conversion_yarn_tenth(&c->described.a);
  snprintf(key, sizeof key, "%s.rope.scaling.yarn_log_multiplier", word);
  if (tenth != 0) zh_put_real(c, key, (float)tenth);
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

static zh_status put_architecture(zh_conversion *c, zh_error *err) {
  zh_described plain = with_base(&c->described);
  const char *word = zh_conversion_family_word(c->family, ZH_FORM_GGUF);
  key_writer w = {c, word};
  if (word == NULL)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the family '%s' is not known in GGUF", c->model->path,
                   c->family->name);
  const zh_family *target; /* files of that form may call several families so */
  ZH_TRY(zh_family_find(&target, word, ZH_FORM_GGUF, err));
  put_text(c, "general.architecture", word);
  put_text(c, "general.name", c->described.a.name);
  put_kind(c);
  ZH_TRY(zh_fields_write(&plain, c->model, target, ZH_FORM_GGUF, put_field, &w, err));
  if (plain.a.attention == ZH_ATTENTION_LATENT) put_latent(c, word);
  return put_rope(c, word, err);
}

zh_status zh_conversion_describe(zh_conversion *c, zh_error *err) {
  if (c->container == ZH_CONTAINER_SAFETENSORS) return zh_conversion_describe_config(c, err);
  if (c->anew) return put_architecture(c, err);
  copy_values(c);
  return ZH_OK;
}
