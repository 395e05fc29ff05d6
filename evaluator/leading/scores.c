#include "evaluator/leading/scores.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

enum { COLUMNS = 7 };

void zh_refuse(zh_refusals *refusals, const char *kind, const char *model, zh_word word, ...) {
  va_list list;
  va_start(list, word);
  json_t *entry = zh_phrase_of(zh_word_of(refusals->words, word), list);
  va_end(list);
  json_object_set_new(entry, "kind", json_string(kind));
  json_object_set_new(entry, "model", json_string(model));
  json_array_append_new(refusals->list, entry);
}

static const char *const column_names[COLUMNS] = {"item",     "task", "score", "cluster",
                                                  "modality", "run",  "prompt"};
enum { ITEM, TASK, SCORE, CLUSTER, MODALITY, RUN, PROMPT };
enum { NEEDED = CLUSTER }; /* those before it must be there */

typedef struct columns {
  size_t at[COLUMNS];
  bool there[COLUMNS];
} columns;

static const char *field(const zh_csv *csv, const columns *c, int which) {
  return c->there[which] ? zh_csv_field(csv, c->at[which]) : "";
}

char *zh_scores_remark(const char *remarks, const char *key) {
  for (const char *at = remarks; *at != '\0';) {
    size_t length = strcspn(at, "\r\n");
    const char *word = at + strspn(at, "# \t");
    size_t key_length = strlen(key);
    if (word < at + length && strncmp(word, key, key_length) == 0 && word[key_length] == ':') {
      word += key_length + 1;
      word += strspn(word, " \t");
      while (length > 0 && strchr(" \t,", at[length - 1]) != NULL) length--;
      return word < at + length ? strndup(word, (size_t)(at + length - word)) : strdup("");
    }
    at += strcspn(at, "\n");
    at += *at == '\n';
  }
  return NULL;
}

char *zh_scores_name(const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
  size_t length = strlen(name);
  if (length > 4 && zh_ends_in(name, ".csv")) length -= 4;
  return strndup(name, length);
}

static bool find_task(uint32_t *out, const zh_protocol *protocol, const char *name) {
  for (size_t t = 0; t < protocol->task_count; t++) {
    if (strcmp(protocol->tasks[t].task, name) != 0) continue;
    *out = (uint32_t)t;
    return true;
  }
  return false;
}

static zh_status read_score(double *out, const char *text, const zh_csv *csv, zh_error *err) {
  char *end;
  *out = strtod(text, &end);
  if (*text != '\0' && *end == '\0' && strspn(text, " \t") == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: the score is '%.40s', where a number is expected",
                 zh_csv_path(csv), zh_csv_line(csv), text);
}

static zh_status grow(zh_scorer *s, size_t *room, zh_error *err) {
  if (s->row_count < *room) return ZH_OK;
  size_t more = *room > 0 ? 2 * *room : 4096;
  zh_scored *rows = realloc(s->rows, more * sizeof *rows);
  if (rows == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu scores", more);
  s->rows = rows;
  *room = more;
  return ZH_OK;
}

static zh_status read_rows(zh_scorer *s, const columns *c, const zh_protocol *protocol,
                           zh_refusals *refusals, zh_error *err) {
  size_t room = 0, unknown = 0, bad = 0;
  bool more;
  for (;;) {
    ZH_TRY(zh_csv_next(&more, s->csv, err));
    if (!more) return ZH_OK;
    zh_scored row = {.item = field(s->csv, c, ITEM),
                     .cluster = field(s->csv, c, CLUSTER),
                     .modality = field(s->csv, c, MODALITY),
                     .prompt = field(s->csv, c, PROMPT),
                     .run = field(s->csv, c, RUN),
                     .line = zh_csv_line(s->csv)};
    const char *task = field(s->csv, c, TASK), *score = field(s->csv, c, SCORE);
    char line[32];
    ZH_TRY(read_score(&row.score, score, s->csv, err));
    snprintf(line, sizeof line, "%zu", row.line);
    if (!isfinite(row.score)) {
      if (bad++ == 0)
        zh_refuse(refusals, "not_finite", s->name, ZH_WORD_leading_not_finite, "model", s->name,
                  "item", row.item, "file", s->file, "line", line, NULL);
      continue;
    }
    if (!find_task(&row.task, protocol, task)) {
      if (unknown++ == 0)
        zh_refuse(refusals, "unknown_task", s->name, ZH_WORD_leading_unknown_task, "model", s->name,
                  "task", task, "file", s->file, "line", line, NULL);
      continue;
    }
    ZH_TRY(grow(s, &room, err));
    s->rows[s->row_count++] = row;
  }
}

static int by_place(const void *a, const void *b) {
  const zh_scored *x = a, *y = b;
  if (x->task != y->task) return x->task < y->task ? -1 : 1;
  int order = strcmp(x->item, y->item);
  return order != 0 ? order : strcmp(x->run, y->run);
}

static bool same_item(const zh_scored *a, const zh_scored *b) {
  return a->task == b->task && strcmp(a->item, b->item) == 0;
}

/* Sorts; finds items given twice, and runs that lack items. */
static void check_rows(zh_scorer *s, const zh_protocol *protocol, zh_refusals *refusals) {
  bool twice = false, uneven = false;
  if (s->row_count > 1) qsort(s->rows, s->row_count, sizeof *s->rows, by_place);
  for (size_t i = 0, next; i < s->row_count; i = next) {
    for (next = i + 1; next < s->row_count && same_item(&s->rows[i], &s->rows[next]); next++) {
      if (twice || strcmp(s->rows[next].run, s->rows[next - 1].run) != 0) continue;
      char line[32];
      snprintf(line, sizeof line, "%zu", s->rows[next].line);
      zh_refuse(refusals, "duplicate", s->name, ZH_WORD_leading_duplicate, "model", s->name, "item",
                s->rows[i].item, "task", protocol->tasks[s->rows[i].task].task, "file", s->file,
                "line", line, NULL);
      twice = true;
    }
    size_t runs = next - i;
    if (i == 0) s->runs = runs;
    bool other = runs != s->runs;
    for (size_t k = 0; !other && k < runs; k++)
      other = strcmp(s->rows[k].run, s->rows[i + k].run) != 0;
    if (other && !uneven && !twice)
      zh_refuse(refusals, "runs_differ", s->name, ZH_WORD_leading_runs_differ, "model", s->name,
                "item", s->rows[i].item, "task", protocol->tasks[s->rows[i].task].task, NULL);
    uneven |= other;
  }
}

static void check_digests(const zh_scorer *s, const char *remarks, const zh_protocol *protocol,
                          zh_refusals *refusals) {
  char *under = zh_scores_remark(remarks, "protocol"),
       *model = zh_scores_remark(remarks, "model_sm3");
  const char *declared = strcmp(s->name, protocol->claimant) == 0 ? protocol->claimant_sm3 : NULL;
  for (size_t i = 0; i < protocol->peer_count; i++) {
    if (strcmp(protocol->peers[i].model, s->name) == 0) declared = protocol->peers[i].sm3;
  }
  if (under != NULL && strcmp(under, protocol->sm3) != 0)
    zh_refuse(refusals, "protocol_differs", s->name, ZH_WORD_leading_protocol_differs, "model",
              s->name, "file", s->file, "sm3", under, NULL);
  if (model != NULL && declared != NULL && strcmp(model, declared) != 0)
    zh_refuse(refusals, "model_differs", s->name, ZH_WORD_leading_model_differs, "model", s->name,
              "file", s->file, "sm3", model, NULL);
  free(under);
  free(model);
}

zh_status zh_scorer_read(zh_scorer *s, const char *path, const zh_protocol *protocol,
                         zh_refusals *refusals, zh_error *err) {
  columns c;
  *s = (zh_scorer){.file = path};
  ZH_TRY(zh_digest_file(s->sm3, ZH_SM3, path, err));
  ZH_TRY(zh_csv_open(&s->csv, path, NULL, err));
  for (int i = 0; i < COLUMNS; i++) {
    c.there[i] = zh_csv_find(&c.at[i], s->csv, column_names[i]);
    if (!c.there[i] && i < NEEDED) ZH_TRY(zh_csv_require(&c.at[i], s->csv, column_names[i], err));
  }
  char *name = zh_scores_remark(zh_csv_remarks(s->csv), "model");
  s->name = name != NULL && name[0] != '\0' ? name : (free(name), zh_scores_name(path));
  if (s->name == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %s", path);
  ZH_TRY(read_rows(s, &c, protocol, refusals, err));
  check_rows(s, protocol, refusals);
  check_digests(s, zh_csv_remarks(s->csv), protocol, refusals);
  return ZH_OK;
}

void zh_scorer_clear(zh_scorer *scorer) {
  free((char *)scorer->name);
  zh_csv_free(scorer->csv);
  free(scorer->rows);
}
