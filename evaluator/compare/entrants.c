#include "evaluator/compare/entrants.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/manifest.h"
#include "core/text.h"

enum { WORD_MAX = 16384 };

const char *zh_entrants_text(zh_entrants *e, const char *text) {
  const char *copy = text != NULL ? zh_arena_strdup(e->arena, text) : NULL;
  return copy != NULL ? copy : "";
}

void zh_entrant_fact(zh_entrant *entrant, const char *key, const char *text) {
  if (text != NULL && text[0] != '\0') json_object_set_new(entrant->facts, key, json_string(text));
}

void zh_entrant_fact_of(zh_entrants *e, zh_entrant *entrant, const char *name, const char *of,
                        const char *text) {
  const char *key = zh_arena_printf(e->arena, "%s %s", name, of);
  if (key != NULL) zh_entrant_fact(entrant, key, text);
}

void zh_compare_say(json_t *list, const zh_words *words, const char *kind, zh_word word, ...) {
  va_list pairs;
  va_start(pairs, word);
  json_t *entry = zh_phrase_of(zh_word_of(words, word), pairs);
  va_end(pairs);
  json_object_set_new(entry, "kind", json_string(kind));
  json_array_append_new(list, entry);
}

/* --- one entrant --- */

static bool lacks(const zh_entrant *entrant, const zh_part *part) {
  return !(part->speeds && entrant->speed_count > 0) && !(part->scores && entrant->sheet_count > 0);
}

static bool same_model(const zh_entrant *entrant, const zh_part *part) {
  return part->sm3[0] != '\0' && strcmp(part->sm3, entrant->sm3) == 0;
}

/* The entrant that this is a further part of; *contradicts: it bears the label of another model. */
static zh_entrant *find(const zh_entrants *e, const zh_part *part, bool *contradicts) {
  *contradicts = false;
  for (size_t i = 0; i < e->count; i++) {
    zh_entrant *entrant = &e->at[i];
    if (part->label == NULL) {
      if (!entrant->named && same_model(entrant, part) && lacks(entrant, part)) return entrant;
      continue;
    }
    if (!entrant->named || strcmp(entrant->label, part->label) != 0) continue;
    *contradicts = part->sm3[0] != '\0' && entrant->sm3[0] != '\0' && !same_model(entrant, part);
    return entrant;
  }
  return NULL;
}

static const char *last_part(zh_entrants *e, const char *path) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  size_t begin = length;
  while (begin > 0 && path[begin - 1] != '/') begin--;
  const char *copy = zh_arena_strndup(e->arena, path + begin, length - begin);
  return copy != NULL ? copy : "";
}

static zh_status begin(zh_entrant *entrant, zh_entrants *e, const zh_part *part, zh_error *err) {
  *entrant = (zh_entrant){.label = zh_entrants_text(e, part->label ? part->label : part->model),
                          .model = zh_entrants_text(e, part->model),
                          .sm3 = zh_entrants_text(e, part->sm3),
                          .folder = last_part(e, part->path),
                          .scores_sm3 = "",
                          .named = part->label != NULL,
                          .parameters = -1,
                          .bytes = -1,
                          .facts = json_object(),
                          .sources = json_array(),
                          .notes = json_array()};
  return entrant->facts && entrant->sources && entrant->notes
             ? ZH_OK
             : zh_fail(err, ZH_ERR_MEMORY, "out of memory for a comparison");
}

zh_status zh_entrants_take(zh_entrant **out, zh_entrants *e, const zh_part *part, zh_error *err) {
  bool contradicts;
  zh_entrant *entrant = find(e, part, &contradicts);
  *out = NULL;
  if (contradicts)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: is of another model (SM3 %.12s…) than what else was called '%s' (%.12s…); "
                   "give each model its own label",
                   part->path, part->sm3, part->label, entrant->sm3);
  if (entrant != NULL && !lacks(entrant, part))
    return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' has its %s already; name each once", part->path,
                   part->label, part->scores ? "scores" : "speeds");
  if (entrant == NULL) {
    if (e->count == ZH_ENTRANTS_MAX)
      return zh_fail(err, ZH_ERR_USAGE, "more than %d models; compare fewer at a time",
                     ZH_ENTRANTS_MAX);
    entrant = &e->at[e->count];
    ZH_TRY(begin(entrant, e, part, err));
    e->count++;
  }
  if (entrant->sm3[0] == '\0') entrant->sm3 = zh_entrants_text(e, part->sm3);
  *out = entrant;
  return ZH_OK;
}

/* --- the words of the command line --- */

static bool exists(const char *path) {
  return zh_is_file(path) || zh_is_dir(path);
}

static bool holds(const char *folder, const char *file) {
  char path[4096];
  int length = snprintf(path, sizeof path, "%s/%s", folder, file);
  return length > 0 && (size_t)length < sizeof path && zh_is_file(path);
}

static zh_status read_path(zh_entrants *e, const char *label, const char *path, zh_error *err) {
  if (zh_is_file(path)) return zh_read_table(e, label, path, err);
  if (!zh_is_dir(path))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: there is no such bundle, folder of an evaluation, or table of scores",
                   path);
  if (holds(path, "run.json") != holds(path, ZH_MANIFEST_NAME))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: no whole bundle: it lacks %s. Expected is a folder that 'zhiheng run' or "
                   "'zhiheng eval --out' finished, or a table of scores",
                   path, holds(path, "run.json") ? ZH_MANIFEST_NAME : "run.json");
  if (holds(path, "run.json")) return zh_read_run(e, label, path, err);
  return zh_read_evaluation(e, label, path, err);
}

/* LABEL=PATH,PATH; what exists as it stands is a path. */
static zh_status read_word(zh_entrants *e, const char *word, zh_error *err) {
  char room[WORD_MAX];
  const char *equals = strchr(word, '=');
  if (zh_utf8_valid_prefix(word, strlen(word)) != strlen(word))
    return zh_fail(err, ZH_ERR_USAGE, "a name on the command line is no UTF-8");
  if (exists(word) || equals == NULL || equals == word) return read_path(e, NULL, word, err);
  if (strlen(word) >= sizeof room) return zh_fail(err, ZH_ERR_USAGE, "a word is too long");
  memcpy(room, word, strlen(word) + 1);
  char *path = room + (equals - word);
  *path++ = '\0';
  if (exists(path)) return read_path(e, room, path, err);
  for (char *rest = path, *part; (part = strsep(&rest, ",")) != NULL;)
    ZH_TRY(read_path(e, room, part, err));
  return ZH_OK;
}

/* --- labels --- */

static bool label_twice(const zh_entrants *e, size_t at) {
  for (size_t i = 0; i < e->count; i++)
    if (i != at && strcmp(e->at[i].label, e->at[at].label) == 0) return true;
  return false;
}

/* Where two have the same name, each says where it comes from; where that does not help, a number.
 */
static void tell_apart(zh_entrants *e) {
  bool twice[ZH_ENTRANTS_MAX] = {false};
  for (size_t i = 0; i < e->count; i++) twice[i] = !e->at[i].named && label_twice(e, i);
  for (size_t i = 0; i < e->count; i++) {
    if (!twice[i]) continue;
    const char *label = zh_arena_printf(e->arena, "%s:%s", e->at[i].folder, e->at[i].model);
    if (label != NULL) e->at[i].label = label;
  }
  for (size_t i = 1; i < e->count; i++) {
    const char *plain = e->at[i].label;
    for (size_t k = 2; label_twice(e, i) && k < 2 * ZH_ENTRANTS_MAX; k++) {
      const char *label = zh_arena_printf(e->arena, "%s (%zu)", plain, k);
      if (label != NULL) e->at[i].label = label;
    }
  }
}

static zh_status settle(zh_entrants *e, zh_error *err) {
  for (size_t i = 0; i < e->count; i++) {
    for (size_t k = 0; k < e->at[i].sheet_count; k++)
      ZH_TRY(zh_sheet_settle(&e->at[i].sheets[k], e, e->at[i].label, err));
  }
  return ZH_OK;
}

/* A score that no task has would leave each task's own, and nobody would notice. */
static zh_status check_metric(const zh_entrants *e, zh_error *err) {
  zh_text names = {0};
  const char *name;
  json_t *value;
  if (e->metric == NULL || json_object_get(e->metrics, e->metric) != NULL) return ZH_OK;
  json_object_foreach(e->metrics, name, value)
      zh_text_printf(&names, "%s%s", names.length > 0 ? ", " : "", name);
  zh_fail(err, ZH_ERR_USAGE, "--metric %.100s: no task has it; %s%.800s", e->metric,
          names.length > 0 ? "there are " : "the inputs name no metric (tables of scores do not)",
          zh_text_string(&names));
  zh_text_free(&names);
  return ZH_ERR_USAGE;
}

zh_status zh_entrants_open(zh_entrants *e, const char *const *words, size_t count, zh_error *err) {
  ZH_TRY(zh_arena_create(&e->arena, 0, err));
  e->at = calloc(ZH_ENTRANTS_MAX, sizeof *e->at);
  e->metrics = json_object();
  if (e->at == NULL || e->metrics == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for a comparison");
  for (size_t i = 0; i < count; i++) ZH_TRY(read_word(e, words[i], err));
  if (e->count < 2)
    return zh_fail(err, ZH_ERR_INPUT,
                   "there is one model here, %s, and a comparison takes two to %d",
                   e->count == 1 ? e->at[0].label : "none", ZH_ENTRANTS_MAX);
  ZH_TRY(check_metric(e, err));
  tell_apart(e);
  return settle(e, err);
}

void zh_entrants_clear(zh_entrants *e) {
  for (size_t i = 0; i < e->count; i++) {
    zh_entrant *entrant = &e->at[i];
    for (size_t k = 0; k < entrant->sheet_count; k++) {
      free(entrant->sheets[k].answers);
      json_decref(entrant->sheets[k].faults);
    }
    free(entrant->sheets);
    free(entrant->speeds);
    json_decref(entrant->facts);
    json_decref(entrant->sources);
    json_decref(entrant->notes);
  }
  free(e->at);
  json_decref(e->metrics);
  zh_arena_free(e->arena);
}
