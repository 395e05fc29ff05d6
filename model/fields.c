/* Fields of an architecture from what a file states, by the rules of its family.
 *
 * A rule is a constant, or a map:
 *   config, gguf        key or keys, the first that is there counts; config's may lead into objects
 * by dots config_as, gguf_as  arithmetic on what is found, called x config_is, gguf_is  a constant
 * for one form gguf_tensor, config_tensor, gguf_no_tensor  whether the file has a tensor of that
 * name words               other words for ours default             constant or arithmetic on
 * fields before this one */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/expression.h"
#include "model/family.h"

typedef enum field_kind {
  COUNT,
  REAL,
  WIDE,
  FLAG,
  WORD
} field_kind; /* u32, float, double, bool, int */
typedef struct field {
  const char *name;
  field_kind kind;
  size_t at; /* in zh_described */
  const char *const *words;
} field;

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define FIELD(name, kind, member)                                                                  \
  { name, kind, offsetof(zh_described, member), NULL }
#define CHOICE(name, member, ...)                                                                  \
  { name, WORD, offsetof(zh_described, member), WORDS(__VA_ARGS__) }

/* Words in the order of their enumeration. */
static const field fields[] = {
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
    FIELD("attention_scale", REAL, a.attention_scale),
    FIELD("attention_softcap", REAL, a.attention_softcap),
    FIELD("sinks", FLAG, a.sinks),
    FIELD("alibi", FLAG, a.alibi),
    FIELD("window", COUNT, a.window),
    FIELD("slides", FLAG, pattern.slides),
    FIELD("sliding_every", COUNT, pattern.sliding_every),
    FIELD("sliding_from", COUNT, pattern.sliding_from),
    CHOICE("rope", a.rope[0].kind, "none", "halves", "pairs"),
    FIELD("rope_dims", COUNT, a.rope[0].dims),
    FIELD("rope_base", WIDE, a.rope[0].base),
    FIELD("yarn_exact", FLAG, a.rope[0].beta_exact),
    FIELD("sliding_rope_base", WIDE, a.rope[1].base),
    CHOICE("activation", a.activation, "silu", "gelu", "gelu_tanh", "clamped"),
    FIELD("activation_limit", REAL, a.activation_limit),
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
    FIELD("router_scale", WIDE, a.router.scale),
    FIELD("shared_ffn", COUNT, a.shared_ffn),
    FIELD("shared_gated", FLAG, a.shared_gated),
    FIELD("dense_first", COUNT, pattern.dense_first),
    FIELD("sparse_every", COUNT, pattern.sparse_every),
    FIELD("sparse_last", COUNT, pattern.sparse_last),
    FIELD("embedding_scale", REAL, a.embedding_scale),
    FIELD("residual_scale", REAL, a.residual_scale),
    FIELD("logit_scale", REAL, a.logit_scale),
    FIELD("logit_softcap", REAL, a.logit_softcap),
    FIELD("tied_head", FLAG, a.tied_head),
    FIELD("normalised_head", FLAG, a.normalised_head),
};
enum { FIELDS = sizeof fields / sizeof fields[0], KEYS_MAX = 6 };

static const field *field_named(const char *name, size_t length) {
  for (size_t i = 0; i < FIELDS; i++)
    if (strlen(fields[i].name) == length && memcmp(fields[i].name, name, length) == 0)
      return &fields[i];
  return NULL;
}

/* --- rules, when a family is read --- */

static double any_name(void *user, const char *name, int length) {
  bool *bad = user;
  bool known = (length == 1 && name[0] == 'x') ||
               (length == 14 && memcmp(name, "embedding_rows", 14) == 0) ||
               field_named(name, (size_t)length) != NULL;
  *bad |= !known;
  return 1;
}

static bool is_expression(const char *text) {
  bool bad = false;
  double value = zh_expression(text, any_name, &bad);
  return !bad && !isnan(value);
}

static bool find_word(int *out, const char *const *words, const char *text) {
  for (int i = 0; words[i] != NULL; i++)
    if (strcmp(words[i], text) == 0) {
      *out = i;
      return true;
    }
  return false;
}

static zh_status check_constant(const field *f, const zh_yaml_node *node, zh_error *err) {
  const char *text;
  int word;
  ZH_TRY(zh_yaml_string(&text, node, err));
  bool flag = strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
  bool fits = f->kind == WORD   ? find_word(&word, f->words, text)
              : f->kind == FLAG ? flag || is_expression(text)
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

static zh_status check_words(const field *f, const zh_yaml_node *map, zh_error *err) {
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "words of files and what they mean", err));
  if (f->kind != WORD) return zh_yaml_fail(err, map, "'%s' is no word", f->name);
  for (size_t i = 0; i < zh_yaml_count(map); i++)
    ZH_TRY(check_constant(f, zh_yaml_item(map, i), err));
  return ZH_OK;
}

zh_status zh_field_check(const zh_yaml_node *rule, const char *name, zh_error *err) {
  static const char *const keys[] = {
      "config", "config_as", "config_is", "config_present", "config_tensor",
      "gguf",   "gguf_as",   "gguf_is",   "gguf_tensor",    "gguf_no_tensor",
      "words",  "default",   NULL};
  const field *f = field_named(name, strlen(name));
  if (f == NULL) return zh_yaml_fail(err, rule, "'%s' is no field of an architecture", name);
  if (zh_yaml_node_kind(rule) == ZH_YAML_SCALAR) return check_constant(f, rule, err);
  ZH_TRY(zh_yaml_expect(rule, ZH_YAML_MAP, "a constant or where the value is stated", err));
  ZH_TRY(zh_yaml_expect_keys(rule, keys, err));
  for (size_t i = 0; i < zh_yaml_count(rule); i++) {
    const char *key = zh_yaml_key(rule, i);
    const zh_yaml_node *node = zh_yaml_item(rule, i);
    size_t length = strlen(key);
    if (strcmp(key, "words") == 0)
      ZH_TRY(check_words(f, node, err));
    else if (strcmp(key, "default") == 0 || strcmp(key + length - 3, "_is") == 0)
      ZH_TRY(check_constant(f, node, err));
    else if (strcmp(key + length - 3, "_as") == 0)
      ZH_TRY(zh_arithmetic_check(node, err));
    else
      ZH_TRY(check_keys(node, err));
  }
  return ZH_OK;
}

/* --- what a file states --- */

typedef struct stated {
  bool there, is_word;
  const char *key;
  double number; /* NaN: neither number nor yes or no */
  char word[64];
} stated;

const json_t *zh_text_config(const zh_model *model) {
  const json_t *config = model->config, *text = json_object_get(config, "text_config");
  return json_object_get(config, "hidden_size") == NULL && json_is_object(text) ? text : config;
}

const json_t *zh_config_at(const json_t *config, const char *path) {
  while (config != NULL) {
    size_t length = strcspn(path, ".");
    char key[96];
    if (length >= sizeof key) return NULL;
    memcpy(key, path, length);
    key[length] = '\0';
    config = json_object_get(config, key);
    if (path[length] == '\0') break;
    path += length + 1;
  }
  return json_is_null(config) ? NULL : config;
}

/* A list of one number for each layer, all the same, is that number. */
static const json_t *one_for_all(const json_t *value) {
  const json_t *first = json_array_get(value, 0);
  for (size_t i = 0; i < json_array_size(value); i++)
    if (!json_is_number(first) || !json_equal(json_array_get(value, i), first)) return value;
  return first != NULL ? first : value;
}

static stated in_config(const zh_model *model, const char *key) {
  const json_t *value = one_for_all(zh_config_at(zh_text_config(model), key));
  stated s = {.there = value != NULL, .is_word = json_is_string(value)};
  s.number = json_is_number(value) ? json_number_value(value) : json_is_true(value) ? 1 : 0;
  if (s.is_word) snprintf(s.word, sizeof s.word, "%s", json_string_value(value));
  if (json_is_array(value) || json_is_object(value)) s.number = NAN;
  return s;
}

const zh_gguf_value *zh_gguf_family_value(const zh_model *model, const char *key) {
  const char *family = NULL;
  size_t length = 0;
  char full[192];
  if (!zh_gguf_string(&family, &length, zh_gguf_find(model, "general.architecture")) || length > 64)
    return NULL;
  snprintf(full, sizeof full, "%.*s.%s", (int)length, family, key);
  return zh_gguf_find(model, full);
}

/* Of a list of whole numbers, one a layer, the one that all are; NaN where they differ. */
static double same_number(const zh_gguf_value *value) {
  int64_t first, other;
  if (value->count == 0 || !zh_gguf_item(&first, value, 0)) return NAN;
  for (uint64_t i = 1; i < value->count; i++)
    if (!zh_gguf_item(&other, value, i) || other != first) return NAN;
  return (double)first;
}

static stated in_gguf(const zh_model *model, const char *key) {
  const zh_gguf_value *value = zh_gguf_family_value(model, key);
  stated s = {.there = value != NULL};
  uint64_t whole;
  bool flag;
  const char *text;
  size_t length;
  if (value == NULL) return s;
  if (zh_gguf_uint(&whole, value)) {
    s.number = (double)whole;
  } else if (zh_gguf_bool(&flag, value)) {
    s.number = flag;
  } else if (zh_gguf_string(&text, &length, value)) {
    s.is_word = true;
    snprintf(s.word, sizeof s.word, "%.*s", (int)(length < 60 ? length : 60), text);
  } else if (value->type == ZH_GGUF_ARRAY) {
    s.number = same_number(value);
  } else if (!zh_gguf_real(&s.number, value)) {
    s.number = NAN;
  }
  return s;
}

/* --- one field --- */

typedef struct reading {
  zh_described *out;
  const zh_model *model;
  bool gguf;
  double x; /* what an "as" calls x */
} reading;

static double number_of(const zh_described *d, const field *f) {
  const unsigned char *at = (const unsigned char *)d + f->at;
  switch (f->kind) {
  case COUNT:
    return *(const uint32_t *)(const void *)at;
  case REAL:
    return (double)*(const float *)(const void *)at;
  case WIDE:
    return *(const double *)(const void *)at;
  case FLAG:
    return *(const bool *)at;
  default:
    return *(const int *)(const void *)at;
  }
}

static double embedding_rows(const zh_model *model) {
  const zh_tensor *t = zh_model_find(model, "token_embd.weight");
  return t != NULL && t->dims == 2 ? (double)t->shape[0] : NAN;
}

static double value_of(void *user, const char *name, int length) {
  const reading *r = user;
  if (length == 1 && name[0] == 'x') return r->x;
  if (length == 14 && memcmp(name, "embedding_rows", 14) == 0)
    return r->model != NULL ? embedding_rows(r->model) : NAN;
  const field *f = field_named(name, (size_t)length);
  return f != NULL ? number_of(r->out, f) : NAN;
}

double zh_described_value(const zh_described *described, const char *arithmetic) {
  zh_described copy = *described;
  reading r = {.out = &copy};
  return zh_expression(arithmetic, value_of, &r);
}

/* A count that is no whole number, or too large to mean anything, is 0. */
static void set_number(zh_described *d, const field *f, double number) {
  unsigned char *at = (unsigned char *)d + f->at;
  switch (f->kind) {
  case COUNT:
    *(uint32_t *)(void *)at =
        number >= 0 && number <= INT32_MAX && number == floor(number) ? (uint32_t)number : 0;
    break;
  case REAL:
    *(float *)(void *)at = (float)number;
    break;
  case WIDE:
    *(double *)(void *)at = number;
    break;
  case FLAG:
    *(bool *)at = number != 0;
    break;
  default:
    break;
  }
}

/* As families' `words` know it: numbers but 0 and 1 by their digits. */
static const char *words_of(stated *s) {
  if (s->is_word || s->number == 1 || s->number == 0)
    return s->is_word ? s->word : s->number == 1 ? "true" : "false";
  snprintf(s->word, sizeof s->word, "%g", s->number);
  return s->word;
}

static zh_status set_word(const reading *r, const field *f, const zh_yaml_node *rule,
                          const char *word, zh_error *err) {
  int *at = (int *)(void *)((unsigned char *)r->out + f->at);
  const zh_yaml_node *words = zh_yaml_get(rule, "words");
  const zh_yaml_node *ours = words != NULL ? zh_yaml_get(words, word) : NULL;
  if (ours != NULL) ZH_TRY(zh_yaml_string(&word, ours, err));
  if (find_word(at, f->words, word)) return ZH_OK;
  zh_text known = {0};
  for (int i = 0; f->words[i] != NULL; i++)
    zh_text_printf(&known, "%s%s", i == 0 ? "" : ", ", f->words[i]);
  zh_status status = zh_fail(err, ZH_ERR_INPUT,
                             "%s: the %s '%s' is not among those that this version computes (%s)",
                             r->model->path, f->name, word, zh_text_string(&known));
  zh_text_free(&known);
  return status;
}

/* A constant of the family; arithmetic for numbers. */
static zh_status set_constant(reading *r, const field *f, const zh_yaml_node *node, zh_error *err) {
  const char *text;
  ZH_TRY(zh_yaml_string(&text, node, err));
  if (f->kind == WORD)
    return find_word((int *)(void *)((unsigned char *)r->out + f->at), f->words, text)
               ? ZH_OK
               : zh_yaml_fail(err, node, "'%s' is unknown", text);
  bool literal = strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
  if (f->kind == FLAG && literal)
    set_number(r->out, f, text[0] == 't');
  else
    set_number(r->out, f, zh_expression(text, value_of, r));
  return ZH_OK;
}

static stated look_up(const reading *r, const zh_yaml_node *keys) {
  stated s = {0};
  const char *key;
  bool list = zh_yaml_node_kind(keys) == ZH_YAML_LIST;
  for (size_t i = 0; !s.there && i < (list ? zh_yaml_count(keys) : 1); i++)
    if (zh_yaml_string(&key, list ? zh_yaml_item(keys, i) : keys, NULL) == ZH_OK) {
      s = r->gguf ? in_gguf(r->model, key) : in_config(r->model, key);
      s.key = key;
    }
  return s;
}

/* -1 is how some files say that there is none. */
static zh_status expect_number(const zh_model *model, const field *f, const stated *s, bool count,
                               zh_error *err) {
  double x = s->number;
  if (s->is_word || isnan(x))
    return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' should be %s%s%s", model->path, s->key,
                   f->kind == FLAG ? "true or false" : "one number", s->is_word ? ", not " : "",
                   s->is_word ? s->word : "");
  if (!count || f->kind != COUNT || (x >= -1 && x <= INT32_MAX && x == floor(x))) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' is %.15g; a whole number up to %d was expected",
                 model->path, s->key, x, INT32_MAX);
}

static zh_status set_stated(reading *r, const field *f, const zh_yaml_node *rule, stated *s,
                            zh_error *err) {
  const zh_yaml_node *as = zh_yaml_get(rule, r->gguf ? "gguf_as" : "config_as");
  const char *text;
  if (f->kind == WORD) return set_word(r, f, rule, words_of(s), err);
  ZH_TRY(expect_number(r->model, f, s, as == NULL, err));
  r->x = s->number;
  if (as != NULL) {
    ZH_TRY(zh_yaml_string(&text, as, err));
    r->x = zh_expression(text, value_of, r);
  }
  set_number(r->out, f, isnan(r->x) ? 0 : r->x);
  return ZH_OK;
}

static bool set_by_presence(const reading *r, const field *f, const zh_yaml_node *rule) {
  const zh_yaml_node *node = r->gguf ? NULL : zh_yaml_get(rule, "config_present");
  if (node == NULL || !look_up(r, node).there) return false;
  set_number(r->out, f, 1);
  return true;
}

/* What a tensor's presence says: "true" or "false" where words are expected. */
static zh_status set_by_tensor(bool *set, reading *r, const field *f, const zh_yaml_node *rule,
                               zh_error *err) {
  const zh_yaml_node *with = zh_yaml_get(rule, r->gguf ? "gguf_tensor" : "config_tensor"),
                     *without = r->gguf ? zh_yaml_get(rule, "gguf_no_tensor") : NULL;
  const char *name;
  *set = with != NULL || without != NULL;
  if (!*set) return ZH_OK;
  ZH_TRY(zh_yaml_string(&name, with != NULL ? with : without, err));
  bool there = zh_model_find(r->model, name) != NULL;
  stated s = {.there = true, .number = there == (with != NULL)};
  if (f->kind == WORD) return set_word(r, f, rule, words_of(&s), err);
  set_number(r->out, f, s.number);
  return ZH_OK;
}

static zh_status read_field(reading *r, const field *f, const zh_yaml_node *rule, zh_error *err) {
  if (rule == NULL) return ZH_OK;
  if (zh_yaml_node_kind(rule) == ZH_YAML_SCALAR) return set_constant(r, f, rule, err);
  const zh_yaml_node *keys = zh_yaml_get(rule, r->gguf ? "gguf" : "config"),
                     *is = zh_yaml_get(rule, r->gguf ? "gguf_is" : "config_is"),
                     *otherwise = zh_yaml_get(rule, "default");
  stated s = {0};
  if (keys != NULL) s = look_up(r, keys);
  if (s.there) return set_stated(r, f, rule, &s, err);
  if (set_by_presence(r, f, rule)) return ZH_OK;
  if (is != NULL) return set_constant(r, f, is, err);
  bool set;
  ZH_TRY(set_by_tensor(&set, r, f, rule, err));
  return set ? ZH_OK : otherwise != NULL ? set_constant(r, f, otherwise, err) : ZH_OK;
}

zh_status zh_fields_read(zh_described *out, const zh_model *model, const zh_family *family,
                         zh_error *err) {
  reading r = {.out = out, .model = model, .gguf = strcmp(model->format, "gguf") == 0};
  zh_status first = ZH_OK;
  out->pattern.slides = true;
  out->pattern.sliding_from = out->pattern.sparse_last = UINT32_MAX;
  for (size_t i = 0; i < FIELDS; i++) {
    zh_status status = read_field(&r, &fields[i], zh_family_rule(family, "fields", fields[i].name),
                                  first == ZH_OK ? err : NULL);
    if (first == ZH_OK) first = status;
  }
  return first;
}

/* --- the other way --- */

const char *zh_field_constant(const zh_family *family, const char *name, zh_form form) {
  const zh_yaml_node *rule = zh_family_rule(family, "fields", name);
  const char *text = NULL;
  if (rule != NULL && zh_yaml_node_kind(rule) == ZH_YAML_MAP)
    rule = zh_yaml_get(rule, form == ZH_FORM_GGUF ? "gguf_is" : "config_is");
  if (rule == NULL || zh_yaml_string(&text, rule, NULL) != ZH_OK) return NULL;
  return text;
}

/* The first key; in config.json rather one that leads into no object. */
static const char *key_of(const zh_yaml_node *keys, bool gguf) {
  const char *first = NULL, *key;
  bool list = zh_yaml_node_kind(keys) == ZH_YAML_LIST;
  for (size_t i = 0; i < (list ? zh_yaml_count(keys) : 1); i++) {
    if (zh_yaml_string(&key, list ? zh_yaml_item(keys, i) : keys, NULL) != ZH_OK) continue;
    if (first == NULL || (!gguf && strchr(first, '.') != NULL)) first = key;
  }
  return first;
}

/* A file's word for ours, where it is another: of several the first, in GGUF the last, which is
 * its number. */
static const char *word_for(const field *f, const zh_yaml_node *rule, int value, bool gguf) {
  const zh_yaml_node *words = zh_yaml_get(rule, "words");
  const char *ours = f->words[value], *text, *found = NULL;
  if (strcmp(ours, "silu") == 0 || strcmp(ours, "gelu") == 0) return ours;
  for (size_t i = 0; words != NULL && i < zh_yaml_count(words); i++)
    if (zh_yaml_string(&text, zh_yaml_item(words, i), NULL) == ZH_OK && strcmp(text, ours) == 0 &&
        (found == NULL || gguf))
      found = zh_yaml_key(words, i);
  return found != NULL ? found : ours;
}

/* x for which an "as" gives this number: it is linear, or has x below a line or a root. NaN where
 * none does. */
static double undone(reading *r, const zh_yaml_node *as, double number) {
  const char *text;
  if (as == NULL) return number;
  if (zh_yaml_string(&text, as, NULL) != ZH_OK) return NAN;
  r->x = 0;
  double zero = zh_expression(text, value_of, r);
  r->x = 1;
  double one = zh_expression(text, value_of, r);
  const double guesses[] = {(number - zero) / (one - zero), one / number,
                            number / one * (number / one), one / number * (one / number)};
  for (size_t i = 0; i < sizeof guesses / sizeof guesses[0]; i++) {
    r->x = guesses[i];
    double again = isfinite(r->x) ? zh_expression(text, value_of, r) : NAN;
    if (!(fabs(again - number) <= 1e-6 * fabs(number))) continue;
    double x = r->x;
    r->x = rint(x); /* as people wrote it, where that is the same number in fp32 */
    again = zh_expression(text, value_of, r);
    return fabs(again - number) <= 1.2e-7 * fabs(number) ? r->x : x;
  }
  return NAN;
}

/* What would be understood without being said, where saying it needs arithmetic. */
static bool goes_without_saying(reading *r, const zh_yaml_node *rule, double number) {
  const char *text;
  const zh_yaml_node *otherwise = zh_yaml_get(rule, "default");
  return otherwise != NULL && zh_yaml_string(&text, otherwise, NULL) == ZH_OK &&
         zh_expression(text, value_of, r) == number;
}

/* A key that says several fields is written once. */
static bool is_said_before(const zh_family *family, size_t i, const char *key, bool gguf) {
  for (size_t k = 0; k < i; k++) {
    const zh_yaml_node *rule = zh_family_rule(family, "fields", fields[k].name);
    if (rule == NULL || zh_yaml_node_kind(rule) != ZH_YAML_MAP) continue;
    const zh_yaml_node *keys = zh_yaml_get(rule, gguf ? "gguf" : "config");
    const char *other = keys != NULL ? key_of(keys, gguf) : NULL;
    if (other != NULL && strcmp(other, key) == 0) return true;
  }
  return false;
}

/* Other programs take another number for what is not said. */
static bool is_said_as_nought(const field *f) {
  return f->at == offsetof(zh_described, pattern.dense_first);
}

/* A word that files state as a number is one: "true" is 1. */
static void say_word(zh_field_value *value, const char *word, bool gguf) {
  char *end;
  double number = strtod(word, &end);
  bool flag = strcmp(word, "true") == 0 || strcmp(word, "false") == 0;
  if (flag) number = word[0] == 't';
  value->word = word;
  if (!flag && *end != '\0') return;
  value->kind = flag && !gguf ? ZH_FIELD_FLAG : ZH_FIELD_COUNT;
  value->number = number;
}

zh_status zh_fields_write(const zh_described *described, const zh_model *model,
                          const zh_family *family, zh_form form, zh_field_writer write, void *user,
                          zh_error *err) {
  zh_described copy = *described;
  bool gguf = form == ZH_FORM_GGUF;
  reading r = {.out = &copy, .model = model, .gguf = gguf};
  for (size_t i = 0; i < FIELDS; i++) {
    const field *f = &fields[i];
    const zh_yaml_node *rule = zh_family_rule(family, "fields", f->name);
    if (rule == NULL || zh_yaml_node_kind(rule) != ZH_YAML_MAP) continue;
    const zh_yaml_node *keys = zh_yaml_get(rule, gguf ? "gguf" : "config"),
                       *as = zh_yaml_get(rule, gguf ? "gguf_as" : "config_as");
    const char *key = keys != NULL ? key_of(keys, gguf) : NULL;
    double number = number_of(&copy, f);
    if (key == NULL) continue;
    if (f->kind != FLAG && f->kind != WORD && number == 0 && !is_said_as_nought(f)) continue;
    if (is_said_before(family, i, key, gguf)) continue;
    if (f->kind == COUNT && number == (double)UINT32_MAX) continue; /* a pattern without an end */
    if (as != NULL && goes_without_saying(&r, rule, number)) continue;
    zh_field_value value = {.number = undone(&r, as, number)};
    if (isnan(value.number))
      return zh_fail(err, ZH_ERR_INPUT, "%s: the %s of this model cannot be said as '%s'",
                     model->path, f->name, key);
    bool whole = as == NULL || value.number == rint(value.number);
    value.kind = f->kind == WORD             ? ZH_FIELD_WORD
                 : f->kind == FLAG           ? ZH_FIELD_FLAG
                 : f->kind == COUNT && whole ? ZH_FIELD_COUNT
                                             : ZH_FIELD_REAL;
    if (f->kind == WORD) say_word(&value, word_for(f, rule, (int)number, gguf), gguf);
    write(user, key, &value);
  }
  return ZH_OK;
}

/* --- two descriptions --- */

static bool about(double a, double b) {
  return fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

static bool turn_alike(const zh_rope *a, const zh_rope *b, uint32_t context) {
  double x[ZH_ROPE_PAIRS_MAX], y[ZH_ROPE_PAIRS_MAX];
  const uint32_t contexts[] = {1, context};
  if ((a->kind == ZH_ROPE_NONE) != (b->kind == ZH_ROPE_NONE)) return false;
  if (a->kind == ZH_ROPE_NONE) return true;
  if (a->dims != b->dims || !about(a->attention_factor == 0 ? 1 : a->attention_factor,
                                   b->attention_factor == 0 ? 1 : b->attention_factor))
    return false;
  for (int c = 0; c < 2; c++) {
    zh_rope_frequencies(x, a, contexts[c]);
    zh_rope_frequencies(y, b, contexts[c]);
    for (uint32_t i = 0; i < a->dims / 2; i++)
      if (!about(x[i], y[i])) return false;
  }
  return true;
}

static bool any_slides(const zh_architecture *a) {
  for (uint32_t i = 0; i < a->layers && i < ZH_MAX_LAYERS; i++)
    if (zh_layer_is(a, i, ZH_LAYER_SLIDING)) return true;
  return false;
}

const char *zh_architecture_difference(const zh_architecture *a, const zh_architecture *b) {
  static const char *const elsewhere[] = {"norm",
                                          "rope",
                                          "rope_dims",
                                          "rope_base",
                                          "sliding_rope_base",
                                          "sliding_every",
                                          "sliding_from",
                                          "dense_first",
                                          "sparse_every",
                                          "sparse_last",
                                          NULL};
  zh_described x = {.a = *a}, y = {.a = *b};
  for (size_t i = 0; i < FIELDS; i++) {
    int found;
    if (find_word(&found, elsewhere, fields[i].name)) continue;
    bool of_experts = strncmp(fields[i].name, "expert_", 7) == 0 ||
                      strncmp(fields[i].name, "router_", 7) == 0 ||
                      strncmp(fields[i].name, "shared_", 7) == 0;
    if (of_experts && a->experts == 0 && b->experts == 0) continue;
    if (strcmp(fields[i].name, "window") == 0 && !any_slides(a) && !any_slides(b)) continue;
    if (!about(number_of(&x, &fields[i]), number_of(&y, &fields[i]))) return fields[i].name;
  }
  if ((a->norm == ZH_NORM_LAYER) != (b->norm == ZH_NORM_LAYER)) return "norm";
  if (memcmp(a->layer, b->layer, sizeof a->layer) != 0) return "pattern of layers";
  if (!turn_alike(&a->rope[0], &b->rope[0], a->context)) return "positions (rope)";
  if (!any_slides(a) || turn_alike(&a->rope[1], &b->rope[1], a->context)) return NULL;
  return "positions of sliding layers";
}
