/* From metadata to what the engine needs: read leniently (audits describe what they cannot run),
 * then checked strictly against the tensors, so that nothing a file claims can lead the engine out
 * of bounds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/room.h"

/* --- GGUF metadata --- */

static const zh_gguf_value *family_value(const zh_model *model, const char *family,
                                         const char *key) {
  char full[160];
  snprintf(full, sizeof full, "%s.%s", family, key);
  return zh_gguf_find(model, full);
}

/* 0 where the value is absent, no integer, or too large to mean anything. */
static uint32_t family_count(const zh_model *model, const char *family, const char *key) {
  uint64_t number;
  if (!zh_gguf_uint(&number, family_value(model, family, key)) || number > INT32_MAX) return 0;
  return (uint32_t)number;
}

static float family_real(const zh_model *model, const char *family, const char *key, float absent) {
  double number = 0;
  const zh_gguf_value *value = family_value(model, family, key);
  if (value == NULL) return absent;
  return zh_gguf_real(&number, value) ? (float)number : 0;
}

/* Foreign text as a short C string of whole characters; invalid bytes and control characters become
 * '?'. */
static void copy_words(char *out, size_t capacity, const char *bytes, size_t length) {
  size_t written = 0;
  for (size_t i = 0; i < length;) {
    uint32_t character;
    int step = zh_utf8_decode(&character, bytes + i, length - i);
    bool clean = step > 0 && zh_is_printable(character);
    size_t take = step > 0 ? (size_t)step : 1, put = clean ? take : 1;
    if (written + put >= capacity) break;
    memcpy(out + written, clean ? bytes + i : "?", put);
    written += put;
    i += take;
  }
  out[written] = '\0';
}

static void copy_value(char *out, size_t capacity, const zh_gguf_value *value) {
  const char *bytes = NULL;
  size_t length = 0;
  (void)zh_gguf_string(&bytes, &length, value);
  copy_words(out, capacity, bytes, length);
}

static void describe_gguf(zh_architecture *a, const zh_model *model) {
  copy_value(a->family, sizeof a->family, zh_gguf_find(model, "general.architecture"));
  copy_value(a->name, sizeof a->name, zh_gguf_find(model, "general.name"));
  const char *f = a->family;
  const zh_tensor *embedding = zh_model_find(model, "token_embd.weight");
  a->layers = family_count(model, f, "block_count");
  a->hidden = family_count(model, f, "embedding_length");
  a->heads = family_count(model, f, "attention.head_count");
  a->kv_heads = family_count(model, f, "attention.head_count_kv");
  a->head_dim = family_count(model, f, "attention.key_length");
  a->ffn = family_count(model, f, "feed_forward_length");
  a->context = family_count(model, f, "context_length");
  a->vocab = family_count(model, f, "vocab_size");
  a->experts = family_count(model, f, "expert_count");
  a->experts_used = family_count(model, f, "expert_used_count");
  a->norm_eps = family_real(model, f, "attention.layer_norm_rms_epsilon", 0);
  a->rope_theta = family_real(model, f, "rope.freq_base", 10000.0f);
  a->rope_dims = family_count(model, f, "rope.dimension_count");
  a->rope_interleaved = true; /* the converter permutes the rows of Q and K of llama models */
  a->tied_head = zh_model_find(model, "output.weight") == NULL;
  if (family_value(model, f, "attention.head_count_kv") == NULL) a->kv_heads = a->heads;
  if (a->vocab == 0 && embedding != NULL && embedding->dims == 2 &&
      embedding->shape[0] <= INT32_MAX)
    a->vocab = (uint32_t)embedding->shape[0];
}

/* --- config.json --- */

static uint32_t config_count(const json_t *config, const char *key) {
  const json_t *value = json_object_get(config, key);
  json_int_t number = json_is_integer(value) ? json_integer_value(value) : 0;
  return number > 0 && number <= INT32_MAX ? (uint32_t)number : 0;
}

static uint32_t config_first_count(const json_t *config, const char *const *keys) {
  for (; *keys != NULL; keys++)
    if (config_count(config, *keys) != 0) return config_count(config, *keys);
  return 0;
}

static float config_real(const json_t *config, const char *key, float absent) {
  const json_t *value = json_object_get(config, key);
  return value == NULL ? absent : (float)json_number_value(value);
}

static void describe_config(zh_architecture *a, const zh_model *model) {
  static const char *const experts[] = {"num_local_experts", "n_routed_experts", "num_experts",
                                        NULL};
  const json_t *c = model->config, *text = json_object_get(c, "text_config");
  const char *family = json_string_value(json_object_get(c, "model_type"));
  if (family != NULL) copy_words(a->family, sizeof a->family, family, strlen(family));
  copy_words(a->name, sizeof a->name, model->name, strlen(model->name));
  if (json_object_get(c, "hidden_size") == NULL && json_is_object(text)) c = text;
  a->layers = config_count(c, "num_hidden_layers");
  a->hidden = config_count(c, "hidden_size");
  a->heads = config_count(c, "num_attention_heads");
  a->kv_heads = config_count(c, "num_key_value_heads");
  a->head_dim = config_count(c, "head_dim");
  a->ffn = config_count(c, "intermediate_size");
  a->vocab = config_count(c, "vocab_size");
  a->context = config_count(c, "max_position_embeddings");
  a->experts = config_first_count(c, experts);
  a->experts_used = config_count(c, "num_experts_per_tok");
  a->norm_eps = config_real(c, "rms_norm_eps", 0);
  a->rope_theta = config_real(c, "rope_theta", 10000.0f);
  a->tied_head = json_is_true(json_object_get(c, "tie_word_embeddings"));
  if (json_object_get(c, "num_key_value_heads") == NULL) a->kv_heads = a->heads;
}

bool zh_model_stated(uint64_t *out, const zh_model *model, const char *gguf_key,
                     const char *config_key) {
  char family[32];
  if (strcmp(model->format, "gguf") == 0) {
    copy_value(family, sizeof family, zh_gguf_find(model, "general.architecture"));
    bool general = strncmp(gguf_key, "general.", 8) == 0;
    return zh_gguf_uint(out, general ? zh_gguf_find(model, gguf_key)
                                     : family_value(model, family, gguf_key));
  }
  const json_t *c = model->config, *text = json_object_get(c, "text_config");
  if (json_object_get(c, config_key) == NULL && json_is_object(text)) c = text;
  const json_t *value = json_object_get(c, config_key);
  if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
  *out = (uint64_t)json_integer_value(value);
  return true;
}

/* --- what would be computed wrongly is refused --- */

static zh_status refuse(const zh_model *model, const char *what, zh_error *err) {
  return zh_fail(err, ZH_ERR_INPUT, "%s: %s, which this version does not compute", model->path,
                 what);
}

static zh_status refuse_unknown_gguf(const zh_model *model, zh_error *err) {
  static const char *const factors[] = {
      "llama.logit_scale",     "llama.embedding_scale",        "llama.residual_scale",
      "llama.attention.scale", "llama.attn_logit_softcapping", "llama.final_logit_softcapping"};
  const zh_gguf_value *scaling = zh_gguf_find(model, "llama.rope.scaling.type");
  const char *type;
  size_t length;
  if (scaling != NULL &&
      !(zh_gguf_string(&type, &length, scaling) && length == 4 && memcmp(type, "none", 4) == 0))
    return refuse(model, "the model scales its positions (llama.rope.scaling)", err);
  for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++)
    if (zh_gguf_find(model, factors[i]) != NULL) return refuse(model, factors[i], err);
  if (zh_model_find(model, "rope_freqs.weight") != NULL)
    return refuse(model, "the model scales its positions (rope_freqs.weight)", err);
  return ZH_OK;
}

static zh_status refuse_unknown_config(const zh_model *model, zh_error *err) {
  const json_t *scaling = json_object_get(model->config, "rope_scaling");
  const char *activation = json_string_value(json_object_get(model->config, "hidden_act"));
  if (scaling != NULL && !json_is_null(scaling))
    return refuse(model, "the model scales its positions (rope_scaling)", err);
  if (activation != NULL && strcmp(activation, "silu") != 0)
    return refuse(model, "the activation (hidden_act) is not silu", err);
  return ZH_OK;
}

static zh_status check_numbers(zh_architecture *a, const zh_model *model, zh_error *err) {
  const struct {
    const char *what;
    uint32_t value;
  } needed[] = {{"layers", a->layers},         {"hidden size", a->hidden},
                {"attention heads", a->heads}, {"key-value heads", a->kv_heads},
                {"FFN size", a->ffn},          {"vocabulary", a->vocab},
                {"context length", a->context}};
  for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
    if (needed[i].value == 0)
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s: the metadata gives no %s (one integer from 1 was expected)", model->path,
                     needed[i].what);
  if (a->experts != 0) return refuse(model, "the model has experts", err);
  if (a->heads % a->kv_heads != 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: %u attention heads cannot share %u key-value heads",
                   model->path, a->heads, a->kv_heads);
  if (a->head_dim == 0 && a->hidden % a->heads != 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: a hidden size of %u does not divide into %u heads",
                   model->path, a->hidden, a->heads);
  if (a->head_dim == 0) a->head_dim = a->hidden / a->heads;
  if (a->rope_dims == 0) a->rope_dims = a->head_dim;
  if (a->rope_dims > a->head_dim || a->rope_dims % 2 != 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %u rotated dimensions; an even number up to the %u of a head was expected",
                   model->path, a->rope_dims, a->head_dim);
  if (!isfinite(a->norm_eps) || !(a->norm_eps > 0) || !isfinite(a->rope_theta) ||
      !(a->rope_theta > 1))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the norm's epsilon (%g) must be over 0 and RoPE's base (%g) over 1",
                   model->path, (double)a->norm_eps, (double)a->rope_theta);
  return ZH_OK;
}

/* --- the tensors of a llama model --- */

static zh_status check_tensor(bool *used, const zh_model *model, const char *name, uint64_t rows,
                              uint64_t columns, zh_error *err) {
  const zh_tensor *t = zh_model_find(model, name);
  if (t == NULL)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' is missing", model->path, name);
  used[t - model->tensors] = true;
  bool vector = rows == 1;
  if (t->dims != (vector ? 1 : 2) || t->shape[t->dims - 1] != columns ||
      (!vector && t->shape[0] != rows))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' should have the shape [%llu, %llu] that the metadata implies, "
                   "not [%llu, %llu]%s",
                   model->path, t->name, (unsigned long long)rows, (unsigned long long)columns,
                   (unsigned long long)(t->dims > 1 ? t->shape[0] : 1),
                   (unsigned long long)(t->dims > 0 ? t->shape[t->dims - 1] : 1),
                   t->dims > 2 ? " and more" : "");
  if (!zh_dtype_is_weight(t->type))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the tensor '%s' has the type %s, which this version does not compute",
                   model->path, t->name, zh_dtype_find((uint32_t)t->type)->name);
  size_t alignment = t->type == ZH_F32 ? 4 : 2; /* every block of the others begins with 16 bits */
  if (t->data != NULL && (uintptr_t)t->data % alignment != 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%s' starts at byte %llu, not a multiple of %zu",
                   model->path, t->name, (unsigned long long)t->file_offset, alignment);
  return ZH_OK;
}

static zh_status check_layer(bool *used, const zh_model *model, const zh_architecture *a,
                             uint32_t layer, zh_error *err) {
  const uint64_t hidden = a->hidden, ffn = a->ffn;
  const uint64_t query = (uint64_t)a->heads * a->head_dim, kv = (uint64_t)a->kv_heads * a->head_dim;
  const struct {
    const char *name;
    uint64_t rows, columns;
  } parts[] = {
      {"attn_norm", 1, hidden},  {"attn_q", query, hidden},      {"attn_k", kv, hidden},
      {"attn_v", kv, hidden},    {"attn_output", hidden, query}, {"ffn_norm", 1, hidden},
      {"ffn_gate", ffn, hidden}, {"ffn_up", ffn, hidden},        {"ffn_down", hidden, ffn}};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, parts[i].name);
    ZH_TRY(check_tensor(used, model, name, parts[i].rows, parts[i].columns, err));
  }
  return ZH_OK;
}

static zh_status check_all(bool *used, const zh_model *model, const zh_architecture *a,
                           zh_error *err) {
  ZH_TRY(check_tensor(used, model, "token_embd.weight", a->vocab, a->hidden, err));
  ZH_TRY(check_tensor(used, model, "output_norm.weight", 1, a->hidden, err));
  if (zh_model_find(model, "output.weight") != NULL || !a->tied_head)
    ZH_TRY(check_tensor(used, model, "output.weight", a->vocab, a->hidden, err));
  for (uint32_t i = 0; i < a->layers; i++) ZH_TRY(check_layer(used, model, a, i, err));
  for (size_t i = 0; i < model->tensor_count; i++)
    if (!used[i] && zh_tensor_role_of(&model->tensors[i]) != ZH_ROLE_BUFFER)
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s: the tensor '%s' is no part of a llama model as this version computes it",
                     model->path, model->tensors[i].name);
  return ZH_OK;
}

static zh_status check_llama(const zh_model *model, zh_architecture *a, zh_error *err) {
  ZH_TRY(check_numbers(a, model, err));
  const zh_gguf_value *tokens = zh_gguf_find(model, "tokenizer.ggml.tokens");
  if (tokens != NULL && tokens->type == ZH_GGUF_ARRAY && tokens->count > a->vocab)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tokenizer has %llu tokens, the model only %u",
                   model->path, (unsigned long long)tokens->count, a->vocab);
  const zh_gguf_value *value_length = zh_gguf_find(model, "llama.attention.value_length");
  uint64_t length;
  if (value_length != NULL && (!zh_gguf_uint(&length, value_length) || length != a->head_dim))
    return refuse(model, "values and keys of different lengths", err);
  bool *used = calloc(model->tensor_count + 1, sizeof *used);
  if (used == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (architecture)");
  zh_status status = check_all(used, model, a, err);
  free(used);
  return status;
}

zh_status zh_model_architecture(zh_architecture *out, const zh_model *model, zh_error *err) {
  memset(out, 0, sizeof *out);
  if (strcmp(model->format, "standard") == 0) {
    *out = model->standard;
    return ZH_OK;
  }
  bool gguf = strcmp(model->format, "gguf") == 0;
  if (!gguf && model->config == NULL)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s has no config.json beside its tensors, so its architecture is unknown; open "
                   "the folder that holds both",
                   model->path);
  if (gguf)
    describe_gguf(out, model);
  else
    describe_config(out, model);
  if (out->family[0] == '\0')
    return zh_fail(err, ZH_ERR_INPUT, "%s does not say its architecture (%s)", model->path,
                   gguf ? "general.architecture" : "model_type");
  if (strcmp(out->family, "llama") != 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: architecture '%s' is not supported yet; this version runs llama",
                   model->path, out->family);
  ZH_TRY(gguf ? refuse_unknown_gguf(model, err) : refuse_unknown_config(model, err));
  return check_llama(model, out, err);
}
