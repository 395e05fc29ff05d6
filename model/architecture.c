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

typedef struct checking {
  const zh_architecture *a;
  const zh_model *model;
  const zh_family *family;
} checking;

/* The key by which the file states a field. */
static const char *key(const checking *c, const char *field) {
  return zh_field_key(c->model, c->family, field);
}

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

static zh_status check_sizes(const checking *c, zh_error *err) {
  const zh_architecture *a = c->a;
  const struct {
    const char *what, *field;
    uint32_t value;
  } needed[] = {{"layers", "layers", a->layers},
                {"hidden size", "hidden", a->hidden},
                {"attention heads", "heads", a->heads},
                {"key-value heads", "kv_heads", a->kv_heads},
                {"FFN size", "ffn", a->ffn},
                {"vocabulary", "vocab", a->vocab},
                {"context length", "context", a->context}};
  for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
    if (needed[i].value == 0)
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s: the metadata gives no %s ('%s': one integer from 1 was expected)",
                     c->model->path, needed[i].what, key(c, needed[i].field));
  if (a->layers > ZH_MAX_LAYERS)
    return zh_fail(err, ZH_ERR_INPUT, "%s: %u layers ('%s'); this version holds at most %d",
                   c->model->path, a->layers, key(c, "layers"), ZH_MAX_LAYERS);
  return ZH_OK;
}

/* A head's query is what meets the latent vector, then what is turned. */
static zh_status check_latent(const checking *c, zh_error *err) {
  const zh_architecture *a = c->a;
  const zh_latent *l = &a->latent;
  if (l->kv_rank == 0 || a->value_dim == 0 || l->nope_dims == 0 ||
      (uint64_t)l->nope_dims + a->rope[0].dims != a->head_dim)
    return zh_fail(
        err, ZH_ERR_INPUT,
        "%s: latent attention of rank %u with heads of %u (%u of them not turned, %u "
        "turned) and values of %u ('%s', '%s', '%s', '%s'): each must be over 0, and the two parts "
        "of a head must fill it",
        c->model->path, l->kv_rank, a->head_dim, l->nope_dims, a->rope[0].dims, a->value_dim,
        key(c, "latent_kv_rank"), key(c, "head_dim"), key(c, "latent_rope_dims"),
        key(c, "value_dim"));
  return ZH_OK;
}

static zh_status check_heads(const checking *c, zh_error *err) {
  const zh_architecture *a = c->a;
  const zh_rope *rope = &a->rope[0];
  const char *turned =
      key(c, a->attention == ZH_ATTENTION_LATENT ? "latent_rope_dims" : "rope_dims");
  if (a->heads % a->kv_heads != 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %u attention heads ('%s') cannot share %u key-value heads ('%s')",
                   c->model->path, a->heads, key(c, "heads"), a->kv_heads, key(c, "kv_heads"));
  if (a->head_dim == 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: a hidden size of %u does not divide into %u heads ('%s'), and '%s' gives "
                   "heads no size of their own",
                   c->model->path, a->hidden, a->heads, key(c, "heads"), key(c, "head_dim"));
  if (rope->kind != ZH_ROPE_NONE &&
      (rope->dims > a->head_dim || rope->dims % 2 != 0 || rope->dims == 0))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %u rotated dimensions ('%s'); an even number up to the %u of a head "
                   "('%s') was expected",
                   c->model->path, rope->dims, turned, a->head_dim, key(c, "head_dim"));
  if (rope->dims > 2 * ZH_ROPE_PAIRS_MAX)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %u rotated dimensions ('%s'); this version turns at most %d",
                   c->model->path, rope->dims, turned, 2 * ZH_ROPE_PAIRS_MAX);
  if (a->attention == ZH_ATTENTION_LATENT) return check_latent(c, err);
  if (a->value_dim != a->head_dim)
    return refuse(c->model, "values and keys of different lengths", err);
  return ZH_OK;
}

/* A factor is absent, or a positive number. */
static zh_status check_factors(const checking *c, zh_error *err) {
  const zh_architecture *a = c->a;
  const struct {
    const char *what, *field;
    double value;
    bool needed;
  } factors[] = {{"attention scale", "attention_scale", (double)a->attention_scale, true},
                 {"attention softcap", "attention_softcap", (double)a->attention_softcap, false},
                 {"embedding scale", "embedding_scale", (double)a->embedding_scale, false},
                 {"residual scale", "residual_scale", (double)a->residual_scale, false},
                 {"logit scale", "logit_scale", (double)a->logit_scale, false},
                 {"logit softcap", "logit_softcap", (double)a->logit_softcap, false},
                 {"activation limit", "activation_limit", (double)a->activation_limit,
                  a->activation == ZH_ACTIVATION_CLAMPED},
                 {"router scale", "router_scale", a->router.scale, false}};
  for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++)
    if (!isfinite((float)factors[i].value) || factors[i].value < 0 ||
        (factors[i].needed && factors[i].value == 0))
      return zh_fail(err, ZH_ERR_INPUT, "%s: the %s ('%s') is %g; a number over 0 was expected",
                     c->model->path, factors[i].what, key(c, factors[i].field), factors[i].value);
  if (!isfinite(a->norm_eps) || !(a->norm_eps > 0) || !isfinite(a->rope[0].base) ||
      !(a->rope[0].base > 1))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the norm's epsilon ('%s', %g) must be over 0 and RoPE's base ('%s', %g) "
                   "over 1",
                   c->model->path, key(c, "norm_eps"), (double)a->norm_eps, key(c, "rope_base"),
                   a->rope[0].base);
  if (a->rope[1].base != 0 && !(a->rope[1].base > 1 && isfinite(a->rope[1].base)))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: RoPE's base of sliding layers ('%s') is %g; a number over 1 was expected",
                   c->model->path, key(c, "sliding_rope_base"), a->rope[1].base);
  return ZH_OK;
}

/* The router's groups: equal parts of the experts, of which the best are gone on with. */
static zh_status check_groups(const checking *c, zh_error *err) {
  const zh_router *r = &c->a->router;
  uint32_t experts = c->a->experts, groups = r->groups > 0 ? r->groups : 1;
  const char *method =
      is_gguf(c->model) ? NULL
                        : json_string_value(zh_config_at(zh_text_config(c->model), "topk_method"));
  if (groups > 1 && method != NULL && strcmp(method, "greedy") == 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: 'topk_method' is greedy, which knows no groups of experts, and '%s' is %u",
                   c->model->path, key(c, "router_groups"), groups);
  if (r->groups_used <= groups &&
      (groups == 1 || (experts % groups == 0 && r->groups_used > 0 &&
                       experts / groups * r->groups_used >= c->a->experts_used)))
    return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: %u experts in %u groups ('%s'), of which %u are used ('%s'), cannot give %u "
                 "experts ('%s')",
                 c->model->path, experts, groups, key(c, "router_groups"), r->groups_used,
                 key(c, "router_groups_used"), c->a->experts_used, key(c, "experts_used"));
}

static zh_status check_experts(const checking *c, zh_error *err) {
  const zh_architecture *a = c->a;
  if (a->experts == 0) return ZH_OK;
  if (a->experts > EXPERTS_MAX || a->experts_used == 0 || a->experts_used > a->experts ||
      a->expert_ffn == 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %u of %u experts of size %u ('%s', '%s', '%s'); up to %d experts and at "
                   "least one used were expected",
                   c->model->path, a->experts_used, a->experts, a->expert_ffn,
                   key(c, "experts_used"), key(c, "experts"), key(c, "expert_ffn"), EXPERTS_MAX);
  return check_groups(c, err);
}

static zh_status check_vocabulary(const checking *c, zh_error *err) {
  const zh_gguf_value *tokens = zh_gguf_find(c->model, "tokenizer.ggml.tokens");
  if (tokens != NULL && tokens->type == ZH_GGUF_ARRAY && tokens->count > c->a->vocab)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the tokenizer has %llu tokens ('tokenizer.ggml.tokens'), the model only %u",
                   c->model->path, (unsigned long long)tokens->count, c->a->vocab);
  return ZH_OK;
}

static zh_status check_numbers(const checking *c, zh_error *err) {
  ZH_TRY(check_sizes(c, err));
  ZH_TRY(check_heads(c, err));
  ZH_TRY(check_factors(c, err));
  ZH_TRY(check_experts(c, err));
  return check_vocabulary(c, err);
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
  const checking c = {a, model, family};
  ZH_TRY(refuse_unknown(model, family, err));
  ZH_TRY(zh_fields_check_only(model, family, err));
  ZH_TRY(check_numbers(&c, err));
  ZH_TRY(zh_rope_read(a, model, err));
  a->context = context_of(a);
  d.a = *a;
  ZH_TRY(zh_layers_mark(&d, model, family, err));
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
