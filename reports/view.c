#include "reports/view.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/number.h"
#include "reports/glossary.h"

static const char *const SCHEMA = "zhiheng.evaluation/1";

void zh_view_fail(zh_view *view, const char *where, const char *what) {
  if (view->status == ZH_OK)
    view->status = zh_fail(view->err, ZH_ERR_INPUT, "evaluation.json: %s: %s", where, what);
}

static void keep(zh_view *view, zh_status status) {
  if (view->status == ZH_OK) view->status = status;
}

/* --- reading --- */

const char *zh_view_text_of(zh_view *view, const json_t *object, const char *key,
                            const char *where) {
  const char *text = "";
  if (view->status == ZH_OK) keep(view, zh_json_string(&text, object, key, where, view->err));
  return view->status == ZH_OK ? text : "";
}

const char *zh_view_local_of(zh_view *view, const json_t *object, const char *key,
                             const char *where) {
  return zh_view_text_of(view, zh_view_object_of(view, object, key, where), view->language, where);
}

double zh_view_real_of(zh_view *view, const json_t *object, const char *key, const char *where) {
  double value = 0;
  if (view->status == ZH_OK) keep(view, zh_json_real(&value, object, key, where, view->err));
  return view->status == ZH_OK ? value : 0;
}

int64_t zh_view_int_of(zh_view *view, const json_t *object, const char *key, const char *where) {
  int64_t value = 0;
  if (view->status == ZH_OK) keep(view, zh_json_int(&value, object, key, where, view->err));
  return view->status == ZH_OK ? value : 0;
}

bool zh_view_flag_of(zh_view *view, const json_t *object, const char *key, const char *where) {
  const json_t *value = json_object_get(object, key);
  if (!json_is_boolean(value)) {
    char what[128];
    snprintf(what, sizeof what, "'%.64s' must be true or false", key);
    zh_view_fail(view, where, what);
  }
  return json_is_true(value);
}

const json_t *zh_view_object_of(zh_view *view, const json_t *object, const char *key,
                                const char *where) {
  json_t *value = NULL;
  if (view->status == ZH_OK) keep(view, zh_json_object(&value, object, key, where, view->err));
  return view->status == ZH_OK ? value : NULL;
}

const json_t *zh_view_list_of(zh_view *view, const json_t *object, const char *key,
                              const char *where) {
  json_t *value = NULL;
  if (view->status == ZH_OK) keep(view, zh_json_array(&value, object, key, where, view->err));
  return view->status == ZH_OK ? value : NULL;
}

const char *zh_view_maybe_text(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text && *text ? text : NULL;
}

/* --- writing --- */

static void put(zh_view *view, json_t *into, const char *key, json_t *value) {
  if (view->status != ZH_OK) {
    json_decref(value);
    return;
  }
  if (json_object_set_new(into, key, value) != 0)
    view->status = zh_fail(view->err, ZH_ERR_MEMORY, "out of memory while laying out the report");
}

void zh_view_text(zh_view *view, json_t *into, const char *key, const char *text) {
  put(view, into, key, text ? json_string(text) : json_false());
}

void zh_view_flag(zh_view *view, json_t *into, const char *key, bool flag) {
  put(view, into, key, json_boolean(flag));
}

void zh_view_word(zh_view *view, json_t *into, const char *key, const char *section,
                  const char *identifier) {
  put(view, into, key, zh_glossary_word(view->words, section, identifier));
}

void zh_view_fixed(zh_view *view, json_t *into, const char *key, double value, int shift,
                   int decimals) {
  char text[ZH_NUMBER_CAPACITY];
  zh_view_text(view, into, key, zh_number_fixed(text, value, shift, decimals));
}

void zh_view_local(zh_view *view, json_t *into, const char *key, const json_t *object,
                   const char *source, const char *where) {
  zh_view_text(view, into, key, zh_view_local_of(view, object, source, where));
}

void zh_view_digest(zh_view *view, json_t *into, const char *key, const char *hex) {
  char name[64], abbreviated[13];
  if (*hex && (strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64))
    zh_view_fail(view, key, "a digest must be 64 lower-case hexadecimal digits");
  snprintf(name, sizeof name, "%s_short", key);
  snprintf(abbreviated, sizeof abbreviated, "%.12s", hex);
  zh_view_text(view, into, key, *hex ? hex : NULL);
  zh_view_text(view, into, name, *hex ? abbreviated : NULL);
}

void zh_view_count(zh_view *view, json_t *into, const char *key, int64_t count) {
  char name[64];
  double value = (double)count; /* exact below 2^53, beyond any model */
  zh_view_fixed(view, into, key, value, 0, 0);
  snprintf(name, sizeof name, "%s_yi", key);
  int decimals = zh_number_decimals(value, -8, 3);
  if (decimals <= 4)
    zh_view_fixed(view, into, name, value, -8, decimals);
  else
    zh_view_text(view, into, name,
                 NULL); /* below a thousandth of 10^8 the plain count reads better */
  bool billion = value >= 1e9;
  snprintf(name, sizeof name, "%s_billion", key);
  if (billion)
    zh_view_fixed(view, into, name, value, -9, zh_number_decimals(value, -9, 3));
  else
    zh_view_text(view, into, name, NULL);
  snprintf(name, sizeof name, "%s_million", key);
  if (!billion && value >= 1e6)
    zh_view_fixed(view, into, name, value, -6, zh_number_decimals(value, -6, 3));
  else
    zh_view_text(view, into, name, NULL);
}

void zh_view_bytes(zh_view *view, json_t *into, const char *key, double bytes) {
  char number[ZH_NUMBER_CAPACITY], text[ZH_NUMBER_CAPACITY + 40];
  zh_number_scale scale = zh_number_scale_for(bytes, "B");
  zh_number_fixed(number, bytes, scale.shift, zh_number_decimals(bytes, scale.shift, 3));
  snprintf(text, sizeof text, "%s %s", number, scale.unit);
  zh_view_text(view, into, key, text);
}

void zh_view_binary(zh_view *view, json_t *into, const char *key, double bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  char number[ZH_NUMBER_CAPACITY], text[ZH_NUMBER_CAPACITY + 40];
  int step = 0;
  for (; step < 4 && bytes >= 1024; step++) bytes /= 1024;
  bool whole = bytes == floor(bytes);
  zh_number_fixed(number, bytes, 0, whole ? 0 : zh_number_decimals(bytes, 0, 3));
  snprintf(text, sizeof text, "%s %s", number, units[step]);
  zh_view_text(view, into, key, text);
}

void zh_view_number(zh_view *view, json_t *into, const char *key, size_t number) {
  zh_view_fixed(view, into, key, (double)number, 0, 0);
}

json_t *zh_view_list(zh_view *view, json_t *into, const char *key) {
  put(view, into, key, json_array());
  return json_object_get(into, key);
}

json_t *zh_view_object(zh_view *view, json_t *into, const char *key) {
  put(view, into, key, json_object());
  return json_object_get(into, key);
}

json_t *zh_view_item(zh_view *view, json_t *list) {
  json_t *item = view->status == ZH_OK ? json_object() : NULL;
  if (view->status == ZH_OK && json_array_append_new(list, item) != 0)
    view->status = zh_fail(view->err, ZH_ERR_MEMORY, "out of memory while laying out the report");
  return view->status == ZH_OK ? item : NULL;
}

zh_status zh_view_build(json_t **out, const json_t *evaluation, const char *digest,
                        const char *language, const json_t *words, zh_error *err) {
  zh_view view = {.evaluation = evaluation,
                  .digest = digest,
                  .language = language,
                  .words = words,
                  .root = json_object(),
                  .status = ZH_OK,
                  .err = err};
  *out = NULL;
  if (!json_is_object(evaluation)) zh_view_fail(&view, "document", "must be an object");
  const char *schema = zh_view_text_of(&view, evaluation, "schema", "evaluation.json");
  if (strcmp(schema, SCHEMA) != 0) zh_view_fail(&view, "schema", "must be zhiheng.evaluation/1");
  zh_view_subject(&view);
  zh_view_findings(&view);
  zh_view_grants(&view);
  zh_view_sums(&view);
  zh_view_readings(&view);
  zh_view_would(&view);
  zh_view_proofs(&view);
  zh_view_clauses(&view);
  zh_view_papers(&view);
  zh_view_figures(&view);
  zh_view_quality(&view);
  zh_view_machine(&view);
  zh_view_method(&view);
  if (view.status == ZH_OK)
    *out = view.root;
  else
    json_decref(view.root);
  return view.status;
}
