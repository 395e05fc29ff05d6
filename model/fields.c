/* Fields of an architecture, and what model/families/ may say of them.
 *
 * A rule is a constant, or a map:
 *   config, gguf                 key or keys, the first that is there counts; config's may lead
 * into objects by dots config_as, gguf_as           arithmetic on what is found, called x
 *   config_present               true where config.json has the key
 *   config_is, gguf_is           a constant for one form
 *   gguf_tensor, config_tensor, gguf_no_tensor
 *                                whether the file has a tensor of that name
 *   words                        the file's words and ours
 *   default                      constant or arithmetic on fields before this one */
#include "model/fields.h"

#include <math.h>
#include <string.h>

#include "core/text.h"
#include "model/expression.h"

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define FIELD(name, kind, member)                                                                  \
  { name, ZH_FIELD_##kind, offsetof(zh_described, member), NULL, false }
#define POSITIVE(name, kind, member)                                                               \
  { name, ZH_FIELD_##kind, offsetof(zh_described, member), NULL, true }
#define CHOICE(name, member, ...)                                                                  \
  { name, ZH_FIELD_WORD, offsetof(zh_described, member), WORDS(__VA_ARGS__), false }

/* Words in the order of their enumeration. */
static const zh_field fields[] = {
    FIELD("predicting_layers", COUNT, pattern.predicting_layers),
    FIELD("layers", COUNT, a.layers),
    FIELD("hidden", COUNT, a.hidden),
    FIELD("heads", COUNT, a.heads),
    FIELD("kv_heads", COUNT, a.kv_heads),
    FIELD("latent_q_rank", COUNT, a.latent.q_rank),
    FIELD("latent_kv_rank", COUNT, a.latent.kv_rank),
    FIELD("latent_rope_dims", COUNT, latent_rope_dims),
    FIELD("head_dim", COUNT, a.head_dim),
    FIELD("latent_nope_dims", COUNT, a.latent.nope_dims),
    FIELD("value_dim", COUNT, a.value_dim),
    FIELD("ffn", COUNT, a.ffn),
    FIELD("vocab", COUNT, a.vocab),
    FIELD("context", COUNT, a.context),
    CHOICE("norm", a.norm, "rms", "rms_plus_one", "layer"),
    FIELD("norm_eps", REAL, a.norm_eps),
    FIELD("norm_before_attention", FLAG, a.norm_before.attention),
    FIELD("norm_after_attention", FLAG, a.norm_after.attention),
    FIELD("norm_before_ffn", FLAG, a.norm_before.ffn),
    FIELD("norm_after_ffn", FLAG, a.norm_after.ffn),
    CHOICE("head_norm", a.head_norm, "none", "before_rope", "after_rope"),
    FIELD("qkv_bias", FLAG, a.qkv_bias),
    FIELD("output_bias", FLAG, a.output_bias),
    FIELD("ffn_bias", FLAG, a.ffn_bias),
    CHOICE("attention", a.attention, "grouped", "latent"),
    POSITIVE("attention_scale", REAL, a.attention_scale),
    FIELD("attention_softcap", REAL, a.attention_softcap),
    FIELD("sinks", FLAG, a.sinks),
    FIELD("alibi", FLAG, a.alibi),
    FIELD("window", COUNT, a.window),
    FIELD("slides", FLAG, pattern.slides),
    POSITIVE("sliding_every", COUNT, pattern.sliding_every),
    FIELD("sliding_from", COUNT, pattern.sliding_from),
    CHOICE("rope", a.rope[0].kind, "none", "halves", "pairs"),
    FIELD("rope_dims", COUNT, a.rope[0].dims),
    FIELD("rope_base", WIDE, a.rope[0].base),
    FIELD("yarn_exact", FLAG, a.rope[0].beta_exact),
    FIELD("sliding_rope_base", WIDE, a.rope[1].base),
    CHOICE("activation", a.activation, "silu", "gelu", "gelu_tanh", "clamped"),
    POSITIVE("activation_limit", REAL, a.activation_limit),
    FIELD("experts", COUNT, a.experts),
    FIELD("experts_used", COUNT, a.experts_used),
    FIELD("expert_ffn", COUNT, a.expert_ffn),
    CHOICE("router_score", a.router.score, "softmax", "sigmoid", "softmax_chosen"),
    FIELD("router_renormalise", FLAG, a.router.renormalise),
    FIELD("router_bias", FLAG, a.router.bias),
    FIELD("router_selection_bias", FLAG, a.router.selection_bias),
    FIELD("router_groups", COUNT, a.router.groups),
    FIELD("router_groups_used", COUNT, a.router.groups_used),
    CHOICE("router_group_score", a.router.group_score, "max", "best_two"),
    POSITIVE("router_scale", WIDE, a.router.scale),
    FIELD("shared_ffn", COUNT, a.shared_ffn),
    FIELD("shared_gated", FLAG, a.shared_gated),
    FIELD("dense_first", COUNT, pattern.dense_first),
    POSITIVE("sparse_every", COUNT, pattern.sparse_every),
    FIELD("sparse_last", COUNT, pattern.sparse_last),
    POSITIVE("embedding_scale", REAL, a.embedding_scale),
    POSITIVE("residual_scale", REAL, a.residual_scale),
    POSITIVE("logit_scale", REAL, a.logit_scale),
    FIELD("logit_softcap", REAL, a.logit_softcap),
    FIELD("tied_head", FLAG, a.tied_head),
    FIELD("normalised_head", FLAG, a.normalised_head),
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

const zh_field *zh_field_at(size_t i) {
  return i < FIELDS ? &fields[i] : NULL;
}

const zh_field *zh_field_named(const char *name, size_t length) {
  for (size_t i = 0; i < FIELDS; i++)
    if (strlen(fields[i].name) == length && memcmp(fields[i].name, name, length) == 0)
      return &fields[i];
  return NULL;
}

double zh_field_number(const zh_described *d, const zh_field *f) {
  const unsigned char *at = (const unsigned char *)d + f->at;
  switch (f->kind) {
  case ZH_FIELD_COUNT:
    return *(const uint32_t *)(const void *)at;
  case ZH_FIELD_REAL:
    return (double)*(const float *)(const void *)at;
  case ZH_FIELD_WIDE:
    return *(const double *)(const void *)at;
  case ZH_FIELD_FLAG:
    return *(const bool *)at;
  default:
    return *(const int *)(const void *)at;
  }
}

bool zh_find_word(int *out, const char *const *words, const char *text) {
  for (int i = 0; words[i] != NULL; i++)
    if (strcmp(words[i], text) == 0) {
      *out = i;
      return true;
    }
  return false;
}

/* --- arithmetic on them --- */

typedef struct terms {
  const zh_described *described;
  const zh_model *model;
  double x;
} terms;

static double embedding_rows(const zh_model *model) {
  const zh_tensor *t = zh_model_find(model, "token_embd.weight");
  return t != NULL && t->dims == 2 ? (double)t->shape[0] : NAN;
}

static double value_of(void *user, const char *name, int length) {
  const terms *k = user;
  if (length == 1 && name[0] == 'x') return k->x;
  if (length == 14 && memcmp(name, "embedding_rows", 14) == 0)
    return k->model != NULL ? embedding_rows(k->model) : NAN;
  const zh_field *f = zh_field_named(name, (size_t)length);
  return f != NULL ? zh_field_number(k->described, f) : NAN;
}

double zh_field_arithmetic(const char *text, const zh_described *described, const zh_model *model,
                           double x) {
  terms k = {described, model, x};
  return zh_expression(text, value_of, &k);
}

double zh_described_value(const zh_described *described, const char *arithmetic) {
  return zh_field_arithmetic(arithmetic, described, NULL, NAN);
}

/* --- rules, when a family is read --- */

static double any_name(void *user, const char *name, int length) {
  bool *bad = user;
  bool known = (length == 1 && name[0] == 'x') ||
               (length == 14 && memcmp(name, "embedding_rows", 14) == 0) ||
               zh_field_named(name, (size_t)length) != NULL;
  *bad |= !known;
  return 1;
}

static bool is_expression(const char *text) {
  bool bad = false;
  double value = zh_expression(text, any_name, &bad);
  return !bad && !isnan(value);
}

static zh_status check_constant(const zh_field *f, const zh_yaml_node *node, zh_error *err) {
  const char *text;
  int word;
  ZH_TRY(zh_yaml_string(&text, node, err));
  bool flag = strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
  bool fits = f->kind == ZH_FIELD_WORD   ? zh_find_word(&word, f->words, text)
              : f->kind == ZH_FIELD_FLAG ? flag || is_expression(text)
                                         : is_expression(text);
  if (fits) return ZH_OK;
  return zh_yaml_fail(err, node, "'%s' is no value that '%s' can have", text, f->name);
}

static zh_status check_keys(const zh_yaml_node *node, zh_error *err) {
  const char *text;
  if (zh_yaml_node_kind(node) == ZH_YAML_SCALAR) return zh_yaml_string(&text, node, err);
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_LIST, "a key or a list of keys", err));
  for (size_t i = 0; i < zh_yaml_count(node); i++)
    ZH_TRY(zh_yaml_string(&text, zh_yaml_item(node, i), err));
  return ZH_OK;
}

zh_status zh_arithmetic_check(const zh_yaml_node *node, zh_error *err) {
  const char *text;
  ZH_TRY(zh_yaml_string(&text, node, err));
  return is_expression(text) ? ZH_OK
                             : zh_yaml_fail(err, node, "'%s' is no arithmetic on fields", text);
}

static zh_status check_words(const zh_field *f, const zh_yaml_node *map, zh_error *err) {
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "words of files and what they mean", err));
  if (f->kind != ZH_FIELD_WORD) return zh_yaml_fail(err, map, "'%s' is no word", f->name);
  for (size_t i = 0; i < zh_yaml_count(map); i++)
    ZH_TRY(check_constant(f, zh_yaml_item(map, i), err));
  return ZH_OK;
}

/* A word of ours may mean something else to a file, or nothing. */
static zh_status check_meaning(const zh_field *f, const zh_yaml_node *rule, zh_error *err) {
  static const char *const stated[] = {"config", "gguf", "config_tensor", "gguf_tensor",
                                       "gguf_no_tensor"};
  if (f->kind != ZH_FIELD_WORD || zh_yaml_get(rule, "words") != NULL) return ZH_OK;
  for (size_t i = 0; i < sizeof stated / sizeof stated[0]; i++)
    if (zh_yaml_get(rule, stated[i]) != NULL)
      return zh_yaml_fail(err, rule, "'%s' needs 'words', which say what files mean", f->name);
  return ZH_OK;
}

zh_status zh_field_check(const zh_yaml_node *rule, const char *name, zh_error *err) {
  static const char *const keys[] = {
      "config", "config_as", "config_is", "config_present", "config_tensor",
      "gguf",   "gguf_as",   "gguf_is",   "gguf_tensor",    "gguf_no_tensor",
      "words",  "default",   NULL};
  const zh_field *f = zh_field_named(name, strlen(name));
  if (f == NULL) return zh_yaml_fail(err, rule, "'%s' is no field of an architecture", name);
  if (zh_yaml_node_kind(rule) == ZH_YAML_SCALAR) return check_constant(f, rule, err);
  ZH_TRY(zh_yaml_expect(rule, ZH_YAML_MAP, "a constant or where the value is stated", err));
  ZH_TRY(zh_yaml_expect_keys(rule, keys, err));
  for (size_t i = 0; i < zh_yaml_count(rule); i++) {
    const char *key = zh_yaml_key(rule, i);
    const zh_yaml_node *node = zh_yaml_item(rule, i);
    if (strcmp(key, "words") == 0)
      ZH_TRY(check_words(f, node, err));
    else if (strcmp(key, "default") == 0 || zh_ends_in(key, "_is"))
      ZH_TRY(check_constant(f, node, err));
    else if (zh_ends_in(key, "_as"))
      ZH_TRY(zh_arithmetic_check(node, err));
    else
      ZH_TRY(check_keys(node, err));
  }
  return check_meaning(f, rule, err);
}
