/* From metadata to what the engine needs: read leniently by the rules of the family (audits
 * describe what they cannot run), then checked strictly against the tensors, so that nothing a file
 * claims can lead the engine out of bounds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/family.h"

enum { EXPERTS_MAX = 4096 };

static bool is_gguf(const zh_model *model) {
  return strcmp(model->format, "gguf") == 0;
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

/* What the file calls its architecture. */
static void read_names(zh_architecture *a, const zh_model *model) {
  if (is_gguf(model)) {
    copy_value(a->family, sizeof a->family, zh_gguf_find(model, "general.architecture"));
    copy_value(a->name, sizeof a->name, zh_gguf_find(model, "general.name"));
    return;
  }
  const char *type = json_string_value(json_object_get(model->config, "model_type"));
  if (type != NULL) copy_words(a->family, sizeof a->family, type, strlen(type));
  copy_words(a->name, sizeof a->name, model->name, strlen(model->name));
}

bool zh_model_stated(uint64_t *out, const zh_model *model, const char *gguf_key,
                     const char *config_key) {
  if (is_gguf(model)) {
    bool general = strncmp(gguf_key, "general.", 8) == 0;
    return zh_gguf_uint(out, general ? zh_gguf_find(model, gguf_key)
                                     : zh_gguf_family_value(model, gguf_key));
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

/* Stated, and not as nothing: null, false, 0. */
static bool says(const zh_model *model, const char *key) {
  if (is_gguf(model)) return zh_gguf_family_value(model, key) != NULL;
  const json_t *value = zh_config_at(zh_text_config(model), key);
  return value != NULL && !json_is_false(value) &&
         !(json_is_number(value) && json_number_value(value) == 0);
}

static zh_status refuse_unknown(const zh_model *model, const zh_family *family, zh_error *err) {
  const zh_yaml_node *keys = zh_family_rule(family, "refused", is_gguf(model) ? "gguf" : "config");
  const char *key;
  char what[160];
  for (size_t i = 0; keys != NULL && i < zh_yaml_count(keys); i++) {
    ZH_TRY(zh_yaml_string(&key, zh_yaml_item(keys, i), err));
    if (!says(model, key)) continue;
    snprintf(what, sizeof what, "the file states '%s'", key);
    return refuse(model, what, err);
  }
  return ZH_OK;
}

/* --- numbers that belong together --- */

static zh_status check_sizes(const zh_architecture *a, const zh_model *model, zh_error *err) {
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
  if (a->layers > ZH_MAX_LAYERS)
    return zh_fail(err, ZH_ERR_INPUT, "%s: %u layers; this version holds at most %d", model->path,
                   a->layers, ZH_MAX_LAYERS);
  return ZH_OK;
}

/* A head's query is what meets the latent vector, then what is turned. */
static zh_status check_latent(const zh_architecture *a, const zh_model *model, zh_error *err) {
  const zh_latent *l = &a->latent;
  if (l->kv_rank == 0 || a->value_dim == 0 || l->nope_dims == 0 ||
      (uint64_t)l->nope_dims + a->rope[0].dims != a->head_dim)
    return zh_fail(
        err, ZH_ERR_INPUT,
        "%s: latent attention of rank %u with heads of %u (%u of them not turned, %u "
        "turned) and values of %u: each must be over 0, and the two parts of a head must "
        "fill it",
        model->path, l->kv_rank, a->head_dim, l->nope_dims, a->rope[0].dims, a->value_dim);
  return ZH_OK;
}

static zh_status check_heads(const zh_architecture *a, const zh_model *model, zh_error *err) {
  const zh_rope *rope = &a->rope[0];
  if (a->heads % a->kv_heads != 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: %u attention heads cannot share %u key-value heads",
                   model->path, a->heads, a->kv_heads);
  if (a->head_dim == 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: a hidden size of %u does not divide into %u heads",
                   model->path, a->hidden, a->heads);
  if (rope->kind != ZH_ROPE_NONE &&
      (rope->dims > a->head_dim || rope->dims % 2 != 0 || rope->dims == 0))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %u rotated dimensions; an even number up to the %u of a head was expected",
                   model->path, rope->dims, a->head_dim);
  if (rope->dims > 2 * ZH_ROPE_PAIRS_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "%s: %u rotated dimensions; this version turns at most %d",
                   model->path, rope->dims, 2 * ZH_ROPE_PAIRS_MAX);
  if (a->attention == ZH_ATTENTION_LATENT) return check_latent(a, model, err);
  if (a->value_dim != a->head_dim)
    return refuse(model, "values and keys of different lengths", err);
  return ZH_OK;
}

/* A factor is absent, or a positive number. */
static zh_status check_factors(const zh_architecture *a, const zh_model *model, zh_error *err) {
  const struct {
    const char *what;
    float value;
  } factors[] = {
      {"attention scale", a->attention_scale},   {"attention softcap", a->attention_softcap},
      {"embedding scale", a->embedding_scale},   {"residual scale", a->residual_scale},
      {"logit scale", a->logit_scale},           {"logit softcap", a->logit_softcap},
      {"activation limit", a->activation_limit}, {"router scale", (float)a->router.scale}};
  for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++)
    if (!isfinite(factors[i].value) || factors[i].value < 0)
      return zh_fail(err, ZH_ERR_INPUT, "%s: the %s is %g; a number over 0 was expected",
                     model->path, factors[i].what, (double)factors[i].value);
  if (!isfinite(a->norm_eps) || !(a->norm_eps > 0) || !isfinite(a->rope[0].base) ||
      !(a->rope[0].base > 1))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the norm's epsilon (%g) must be over 0 and RoPE's base (%g) over 1",
                   model->path, (double)a->norm_eps, a->rope[0].base);
  return ZH_OK;
}

static zh_status check_experts(const zh_architecture *a, const zh_model *model, zh_error *err) {
  const zh_router *r = &a->router;
  if (a->experts == 0) return ZH_OK;
  if (a->experts > EXPERTS_MAX || a->experts_used == 0 || a->experts_used > a->experts ||
      a->expert_ffn == 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %u of %u experts of size %u; up to %d experts and at least one used were "
                   "expected",
                   model->path, a->experts_used, a->experts, a->expert_ffn, EXPERTS_MAX);
  if (r->groups > 1 &&
      (a->experts % r->groups != 0 || r->groups_used == 0 || r->groups_used > r->groups ||
       a->experts / r->groups * r->groups_used < a->experts_used))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %u experts in %u groups, of which %u are used, cannot give %u experts",
                   model->path, a->experts, r->groups, r->groups_used, a->experts_used);
  return ZH_OK;
}

static zh_status check_vocabulary(const zh_architecture *a, const zh_model *model, zh_error *err) {
  const zh_gguf_value *tokens = zh_gguf_find(model, "tokenizer.ggml.tokens");
  if (tokens != NULL && tokens->type == ZH_GGUF_ARRAY && tokens->count > a->vocab)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tokenizer has %llu tokens, the model only %u",
                   model->path, (unsigned long long)tokens->count, a->vocab);
  return ZH_OK;
}

static zh_status check_numbers(const zh_architecture *a, const zh_model *model, zh_error *err) {
  ZH_TRY(check_sizes(a, model, err));
  ZH_TRY(check_heads(a, model, err));
  ZH_TRY(check_factors(a, model, err));
  ZH_TRY(check_experts(a, model, err));
  return check_vocabulary(a, model, err);
}

/* --- what each layer is --- */

/* A list of words, one a layer: those equal to `word` get the bit, others `otherwise`. */
static zh_status mark_by_types(zh_architecture *a, const zh_model *model, const char *key,
                               const char *word, const char *otherwise, zh_layer_bits bit,
                               bool *there, zh_error *err) {
  const json_t *list = is_gguf(model) ? NULL : zh_config_at(zh_text_config(model), key);
  *there = list != NULL;
  if (list == NULL) return ZH_OK;
  if (json_array_size(list) != a->layers)
    return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' should be a list of %u words, one for each layer",
                   model->path, key, a->layers);
  for (uint32_t i = 0; i < a->layers; i++) {
    const char *text = json_string_value(json_array_get(list, i));
    bool is = text != NULL && strcmp(text, word) == 0;
    if (!is && (text == NULL || strcmp(text, otherwise) != 0))
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s: layer %u is '%.40s' by '%s'; this version computes %s and %s",
                     model->path, i, text != NULL ? text : "?", key, word, otherwise);
    if (is) a->layer[i] |= (uint8_t)bit;
  }
  return ZH_OK;
}

static zh_status mark_sliding(zh_described *d, const zh_model *model, zh_error *err) {
  zh_architecture *a = &d->a;
  const zh_layer_pattern *p = &d->pattern;
  bool listed = false;
  if (a->window == 0 || !p->slides) return ZH_OK;
  ZH_TRY(mark_by_types(a, model, "layer_types", "sliding_attention", "full_attention",
                       ZH_LAYER_SLIDING, &listed, err));
  for (uint32_t i = 0; !listed && i < a->layers; i++)
    if (p->sliding_every > 0 ? (i + 1) % p->sliding_every != 0 : i >= p->sliding_from)
      a->layer[i] |= ZH_LAYER_SLIDING;
  return ZH_OK;
}

static zh_status mark_experts(zh_described *d, const zh_model *model, zh_error *err) {
  zh_architecture *a = &d->a;
  const zh_layer_pattern *p = &d->pattern;
  bool listed = false;
  if (a->experts == 0) return ZH_OK;
  ZH_TRY(mark_by_types(a, model, "mlp_layer_types", "sparse", "dense", ZH_LAYER_EXPERTS, &listed,
                       err));
  for (uint32_t i = 0; !listed && i < a->layers; i++)
    if (i >= p->dense_first && i <= p->sparse_last &&
        (p->sparse_every <= 1 || (i + 1) % p->sparse_every == 0))
      a->layer[i] |= ZH_LAYER_EXPERTS;
  const json_t *dense =
      is_gguf(model) ? NULL : zh_config_at(zh_text_config(model), "mlp_only_layers");
  for (size_t i = 0; !listed && i < json_array_size(dense); i++) {
    json_int_t layer = json_integer_value(json_array_get(dense, i));
    if (layer >= 0 && layer < a->layers) a->layer[layer] &= (uint8_t)~ZH_LAYER_EXPERTS;
  }
  return ZH_OK;
}

/* --- the whole --- */

/* Scaling that is made for more positions than the file counts. */
static uint32_t context_of(const zh_architecture *a) {
  const zh_rope *rope = &a->rope[0];
  double longer = rope->factor * rope->original_context;
  bool stretches = rope->scaling == ZH_ROPE_YARN || rope->scaling == ZH_ROPE_DYNAMIC;
  return stretches && longer > a->context && longer <= INT32_MAX ? (uint32_t)longer : a->context;
}

/* Its description as far as the file gives one, in *a even where something is wrong. */
static zh_status describe(zh_architecture *a, const zh_model *model, const zh_family *family,
                          zh_error *err) {
  zh_described d = {.a = *a};
  zh_status status = zh_fields_read(&d, model, family, err);
  *a = d.a;
  if (a->alibi) a->rope[0].kind = ZH_ROPE_NONE;
  ZH_TRY(status);
  snprintf(a->family, sizeof a->family, "%s", family->name);
  ZH_TRY(refuse_unknown(model, family, err));
  ZH_TRY(check_numbers(a, model, err));
  ZH_TRY(zh_rope_read(a, model, err));
  a->context = context_of(a);
  d.a = *a;
  ZH_TRY(mark_sliding(&d, model, err));
  ZH_TRY(mark_experts(&d, model, err));
  *a = d.a;
  return zh_sources_check(model, a, err);
}

static zh_status unknown_family(zh_architecture *a, const zh_model *model, zh_error *err) {
  const zh_family *plain;
  zh_text known = {0};
  zh_described d = {.a = *a};
  zh_status status = zh_family_named(&plain, "llama", err);
  if (status == ZH_OK) status = zh_family_names(&known, err);
  if (status == ZH_OK) {
    (void)!zh_fields_read(&d, model, plain, NULL); /* as far as its words are the usual ones */
    *a = d.a;
    status = zh_fail(err, ZH_ERR_INPUT,
                     "%s: architecture '%s' is not supported yet; this version runs %s",
                     model->path, a->family, zh_text_string(&known));
  }
  zh_text_free(&known);
  return status;
}

zh_status zh_model_architecture(zh_architecture *out, const zh_model *model, zh_error *err) {
  const zh_family *family;
  memset(out, 0, sizeof *out);
  if (strcmp(model->format, "standard") == 0) {
    *out = model->standard;
    return ZH_OK;
  }
  bool gguf = is_gguf(model);
  if (!gguf && model->config == NULL)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s has no config.json beside its tensors, so its architecture is unknown; open "
                   "the folder that holds both",
                   model->path);
  read_names(out, model);
  if (out->family[0] == '\0')
    return zh_fail(err, ZH_ERR_INPUT, "%s does not say its architecture (%s)", model->path,
                   gguf ? "general.architecture" : "model_type");
  ZH_TRY(zh_family_find(&family, out->family, gguf ? ZH_FORM_GGUF : ZH_FORM_CONFIG, err));
  return family != NULL ? describe(out, model, family, err) : unknown_family(out, model, err);
}
