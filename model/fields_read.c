/* Fields of an architecture from what a file states, by the rules of its family (fields.c). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "model/fields.h"

/* --- what a file states --- */

typedef struct stated {
  bool there, is_word, is_flag;
  const char *key;
  uint64_t items; /* of a list of equal numbers; 0: no list */
  double number;  /* NaN: neither number nor yes or no */
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
  const json_t *found = zh_config_at(zh_text_config(model), key), *value = one_for_all(found);
  stated s = {.there = value != NULL,
              .is_word = json_is_string(value),
              .is_flag = json_is_boolean(value),
              .items = json_array_size(found)};
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
  const char *text;
  size_t length;
  if (value == NULL) return s;
  if (zh_gguf_uint(&whole, value)) {
    s.number = (double)whole;
  } else if (zh_gguf_bool(&s.is_flag, value)) {
    s.number = s.is_flag;
    s.is_flag = true;
  } else if (zh_gguf_string(&text, &length, value)) {
    s.is_word = true;
    snprintf(s.word, sizeof s.word, "%.*s", (int)(length < 60 ? length : 60), text);
  } else if (value->type == ZH_GGUF_ARRAY) {
    s.items = value->count;
    s.number = same_number(value);
  } else if (!zh_gguf_real(&s.number, value)) {
    s.number = NAN;
  }
  return s;
}

static bool is_gguf(const zh_model *model) {
  return strcmp(model->format, "gguf") == 0;
}

/* The first of the keys that is there. */
static stated look_up(const zh_model *model, const zh_yaml_node *keys) {
  stated s = {0};
  const char *key;
  bool list = zh_yaml_node_kind(keys) == ZH_YAML_LIST;
  for (size_t i = 0; !s.there && i < (list ? zh_yaml_count(keys) : 1); i++)
    if (zh_yaml_string(&key, list ? zh_yaml_item(keys, i) : keys, NULL) == ZH_OK) {
      s = is_gguf(model) ? in_gguf(model, key) : in_config(model, key);
      s.key = key;
    }
  return s;
}

const char *zh_field_key(const zh_model *model, const zh_family *family, const char *field) {
  const zh_yaml_node *rule = zh_family_rule(family, "fields", field), *keys = NULL;
  if (rule != NULL && zh_yaml_node_kind(rule) == ZH_YAML_MAP)
    keys = zh_yaml_get(rule, is_gguf(model) ? "gguf" : "config");
  return keys != NULL ? look_up(model, keys).key : field;
}

/* As families' `words` know it. */
static const char *words_of(stated *s) {
  if (s->is_word) return s->word;
  if (s->is_flag) return s->number != 0 ? "true" : "false";
  if (isnan(s->number)) return "?"; /* a list, an object */
  snprintf(s->word, sizeof s->word, "%g", s->number);
  return s->word;
}

/* --- one field --- */

typedef struct reading {
  zh_described *out;
  const zh_model *model;
} reading;

static double compute(const reading *r, const char *text, double x) {
  return zh_field_arithmetic(text, r->out, r->model, x);
}

/* A count that is no whole number, or too large to mean anything, is 0. */
static void set_number(zh_described *d, const zh_field *f, double number) {
  unsigned char *at = (unsigned char *)d + f->at;
  switch (f->kind) {
  case ZH_FIELD_COUNT:
    *(uint32_t *)(void *)at =
        number >= 0 && number <= INT32_MAX && number == floor(number) ? (uint32_t)number : 0;
    break;
  case ZH_FIELD_REAL:
    *(float *)(void *)at = (float)number;
    break;
  case ZH_FIELD_WIDE:
    *(double *)(void *)at = number;
    break;
  case ZH_FIELD_FLAG:
    *(bool *)at = number != 0;
    break;
  default:
    break;
  }
}

static void known_words(zh_text *out, const zh_field *f, const zh_yaml_node *words) {
  if (words != NULL)
    for (size_t i = 0; i < zh_yaml_count(words); i++)
      zh_text_printf(out, "%s%s", i == 0 ? "" : ", ", zh_yaml_key(words, i));
  else
    for (int i = 0; f->words[i] != NULL; i++)
      zh_text_printf(out, "%s%s", i == 0 ? "" : ", ", f->words[i]);
}

static zh_status set_word(const reading *r, const zh_field *f, const zh_yaml_node *rule, stated *s,
                          zh_error *err) {
  int *at = (int *)(void *)((unsigned char *)r->out + f->at);
  const char *word = words_of(s), *ours = NULL;
  const zh_yaml_node *words = zh_yaml_get(rule, "words");
  const zh_yaml_node *meaning = words != NULL ? zh_yaml_get(words, word) : NULL;
  if (meaning != NULL) ZH_TRY(zh_yaml_string(&ours, meaning, err));
  if (ours != NULL && zh_find_word(at, f->words, ours)) return ZH_OK;
  zh_text known = {0};
  known_words(&known, f, words);
  zh_status status = zh_fail(
      err, ZH_ERR_INPUT,
      "%s: '%s': the %s '%.60s' is not among those that this version computes (%s)", r->model->path,
      s->key, f->name, zh_name_is_clean(word, strlen(word)) ? word : "?", zh_text_string(&known));
  zh_text_free(&known);
  return status;
}

/* A constant of the family; arithmetic for numbers. */
static zh_status set_constant(const reading *r, const zh_field *f, const zh_yaml_node *node,
                              zh_error *err) {
  const char *text;
  ZH_TRY(zh_yaml_string(&text, node, err));
  if (f->kind == ZH_FIELD_WORD)
    return zh_find_word((int *)(void *)((unsigned char *)r->out + f->at), f->words, text)
               ? ZH_OK
               : zh_yaml_fail(err, node, "'%s' is unknown", text);
  bool literal = strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
  if (f->kind == ZH_FIELD_FLAG && literal)
    set_number(r->out, f, text[0] == 't');
  else
    set_number(r->out, f, compute(r, text, NAN));
  return ZH_OK;
}

/* false is how some files say that there is none of what is counted. */
static zh_status check_kind(const reading *r, const zh_field *f, const stated *s, zh_error *err) {
  bool flag = f->kind == ZH_FIELD_FLAG;
  const char *found = s->is_word ? s->word : s->is_flag ? "true" : NULL;
  if (flag && !s->is_word && (s->is_flag || s->number == 0 || s->number == 1)) return ZH_OK;
  if (!flag && !isnan(s->number) && !s->is_word && (!s->is_flag || s->number == 0)) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' should be %s%s%s", r->model->path, s->key,
                 flag ? "true or false" : "one number", found != NULL ? ", not " : "",
                 found == NULL                            ? ""
                 : zh_name_is_clean(found, strlen(found)) ? found
                                                          : "?");
}

/* One number for each layer, those behind the last included where the file counts them. */
static zh_status check_items(const reading *r, const stated *s, zh_error *err) {
  uint64_t layers = r->out->a.layers, all = layers + r->out->pattern.predicting_layers;
  if (s->items == 0 || s->items == layers || s->items == all) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: '%s' is a list of %llu numbers; one number, or one for each of %llu layers, "
                 "was expected",
                 r->model->path, s->key, (unsigned long long)s->items, (unsigned long long)layers);
}

/* What becomes of a stated number must be one that the field can have. */
static zh_status check_result(const reading *r, const zh_field *f, const stated *s, double made,
                              bool as, zh_error *err) {
  bool count = f->kind == ZH_FIELD_COUNT, gguf = is_gguf(r->model);
  bool none = !as && s->number == -1;
  bool whole = s->number >= -1 && made >= 0 && made <= INT32_MAX && made == floor(made);
  char what[96] = "";
  if (as) snprintf(what, sizeof what, ", which makes %s %.10g", f->name, made);
  if (count && !whole && !none)
    return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' is %.15g%s; a whole number up to %d was expected",
                   r->model->path, s->key, s->number, what, INT32_MAX);
  if (!isfinite(made) && isfinite(s->number))
    return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' is %.15g%s; a number was expected", r->model->path,
                   s->key, s->number, what);
  if (f->positive && !(made > 0) && (count || !gguf || made < 0))
    return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' is %.15g%s; a number over 0 was expected",
                   r->model->path, s->key, s->number, what);
  return ZH_OK;
}

static zh_status set_stated(const reading *r, const zh_field *f, const zh_yaml_node *rule,
                            stated *s, zh_error *err) {
  const zh_yaml_node *as = zh_yaml_get(rule, is_gguf(r->model) ? "gguf_as" : "config_as");
  const char *text;
  if (f->kind == ZH_FIELD_WORD) return set_word(r, f, rule, s, err);
  ZH_TRY(check_kind(r, f, s, err));
  ZH_TRY(check_items(r, s, err));
  double made = s->number;
  if (as != NULL) {
    ZH_TRY(zh_yaml_string(&text, as, err));
    made = compute(r, text, made);
    /* 0.7 * 10 is a little over 7 */
    if (f->kind == ZH_FIELD_COUNT && fabs(made - rint(made)) < 1e-9 * fabs(made)) made = rint(made);
  }
  set_number(r->out, f, isnan(made) ? 0 : made);
  return check_result(r, f, s, made, as != NULL, err);
}

static bool set_by_presence(const reading *r, const zh_field *f, const zh_yaml_node *rule) {
  const zh_yaml_node *node = is_gguf(r->model) ? NULL : zh_yaml_get(rule, "config_present");
  if (node == NULL || !look_up(r->model, node).there) return false;
  set_number(r->out, f, 1);
  return true;
}

/* What a tensor's presence says: "true" or "false" where words are expected. */
static zh_status set_by_tensor(bool *set, const reading *r, const zh_field *f,
                               const zh_yaml_node *rule, zh_error *err) {
  bool gguf = is_gguf(r->model);
  const zh_yaml_node *with = zh_yaml_get(rule, gguf ? "gguf_tensor" : "config_tensor"),
                     *without = gguf ? zh_yaml_get(rule, "gguf_no_tensor") : NULL;
  const char *name;
  *set = with != NULL || without != NULL;
  if (!*set) return ZH_OK;
  ZH_TRY(zh_yaml_string(&name, with != NULL ? with : without, err));
  bool there = zh_model_find(r->model, name) != NULL;
  stated s = {.there = true, .is_flag = true, .key = name, .number = there == (with != NULL)};
  if (f->kind == ZH_FIELD_WORD) return set_word(r, f, rule, &s, err);
  set_number(r->out, f, s.number);
  return ZH_OK;
}

static zh_status read_field(const reading *r, const zh_field *f, const zh_yaml_node *rule,
                            zh_error *err) {
  bool gguf = is_gguf(r->model);
  if (rule == NULL) return ZH_OK;
  if (zh_yaml_node_kind(rule) == ZH_YAML_SCALAR) return set_constant(r, f, rule, err);
  const zh_yaml_node *keys = zh_yaml_get(rule, gguf ? "gguf" : "config"),
                     *is = zh_yaml_get(rule, gguf ? "gguf_is" : "config_is"),
                     *otherwise = zh_yaml_get(rule, "default");
  stated s = {0};
  if (keys != NULL) s = look_up(r->model, keys);
  if (s.there) return set_stated(r, f, rule, &s, err);
  if (set_by_presence(r, f, rule)) return ZH_OK;
  if (is != NULL) return set_constant(r, f, is, err);
  bool set;
  ZH_TRY(set_by_tensor(&set, r, f, rule, err));
  return set ? ZH_OK : otherwise != NULL ? set_constant(r, f, otherwise, err) : ZH_OK;
}

zh_status zh_fields_read(zh_described *out, const zh_model *model, const zh_family *family,
                         zh_error *err) {
  const reading r = {.out = out, .model = model};
  const zh_field *f;
  zh_status first = ZH_OK;
  out->pattern.slides = true;
  out->pattern.sliding_from = out->pattern.sparse_last = UINT32_MAX;
  for (size_t i = 0; (f = zh_field_at(i)) != NULL; i++) {
    zh_status status =
        read_field(&r, f, zh_family_rule(family, "fields", f->name), first == ZH_OK ? err : NULL);
    if (first == ZH_OK) first = status;
  }
  return first;
}

/* --- what no field holds --- */

zh_status zh_fields_check_only(const zh_model *model, const zh_family *family, zh_error *err) {
  const zh_yaml_node *map = zh_family_rule(family, "only", is_gguf(model) ? "gguf" : "config");
  for (size_t i = 0; map != NULL && i < zh_yaml_count(map); i++) {
    const zh_yaml_node *words = zh_yaml_item(map, i);
    const char *key = zh_yaml_key(map, i), *text;
    stated s = is_gguf(model) ? in_gguf(model, key) : in_config(model, key);
    bool fits = !s.there;
    zh_text known = {0};
    for (size_t k = 0; k < zh_yaml_count(words); k++) {
      if (zh_yaml_string(&text, zh_yaml_item(words, k), NULL) != ZH_OK) continue;
      fits |= strcmp(text, words_of(&s)) == 0;
      zh_text_printf(&known, "%s%s", k == 0 ? "" : ", ", text);
    }
    const char *word = words_of(&s);
    zh_status status =
        fits ? ZH_OK
             : zh_fail(err, ZH_ERR_INPUT,
                       "%s: '%s' is '%.60s'; of a %s model this version computes %s alone",
                       model->path, key, zh_name_is_clean(word, strlen(word)) ? word : "?",
                       family->name, zh_text_string(&known));
    zh_text_free(&known);
    ZH_TRY(status);
  }
  return ZH_OK;
}
