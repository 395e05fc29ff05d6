#include "evaluator/leading/scores.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/text.h"
#include "evaluator/leading/columns.h"

enum { SHOWN_BYTES = 240 }; /* of a name that somebody else chose, in a sentence */

typedef struct shown {
  char text[SHOWN_BYTES + 8];
} shown;

/* What would act on a terminal becomes a question mark; what is very long is cut. */
static shown cut(const char *text) {
  shown out;
  size_t length = strlen(text);
  if (length > SHOWN_BYTES) length = zh_utf8_valid_prefix(text, SHOWN_BYTES);
  snprintf(out.text, sizeof out.text, "%.*s%s", (int)length, text, text[length] != '\0' ? "…" : "");
  for (char *at = out.text; *at != '\0'; at++)
    if ((unsigned char)*at < ' ' || *at == 0x7f) *at = '?';
  return out;
}

void zh_refuse(zh_refusals *refusals, const char *kind, const char *model, zh_word word, ...) {
  shown values[ZH_SLOTS_MAX];
  zh_slot slots[ZH_SLOTS_MAX];
  size_t count = 0;
  va_list list;
  va_start(list, word);
  for (const char *name; count < ZH_SLOTS_MAX && (name = va_arg(list, const char *)) != NULL;
       count++) {
    values[count] = cut(va_arg(list, const char *));
    slots[count] = (zh_slot){name, values[count].text, values[count].text};
  }
  va_end(list);
  json_t *entry = zh_phrase_json(zh_word_of(refusals->words, word), slots, count);
  json_object_set_new(entry, "kind", json_string(kind));
  json_object_set_new(entry, "model", json_string(model));
  json_array_append_new(refusals->list, entry);
}

char *zh_scores_remark(const char *remarks, const char *key) {
  for (const char *at = remarks; *at != '\0';) {
    size_t length = strcspn(at, "\r\n");
    const char *word = at + strspn(at, "# \t");
    size_t key_length = strlen(key);
    if (word < at + length && strncasecmp(word, key, key_length) == 0 && word[key_length] == ':') {
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

/* Decimal: strtod alone would take 0x1p-1. */
static zh_status read_score(double *out, const char *text, const zh_csv *csv, zh_error *err) {
  char *end;
  *out = strtod(text, &end);
  if (*text != '\0' && *end == '\0' && strspn(text, " \t") == 0 && strpbrk(text, "xX") == NULL)
    return ZH_OK;
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

/* What was said already, once a table. */
typedef struct faults {
  bool unknown, bad, outside;
} faults;

/* Whether a row can be used; its score by the task's scale. */
static bool take_row(zh_scorer *s, zh_scored *row, const char *task, const zh_protocol *protocol,
                     zh_refusals *refusals, faults *said) {
  char line[32];
  snprintf(line, sizeof line, "%zu", row->line);
  if (!isfinite(row->score)) {
    if (!said->bad)
      zh_refuse(refusals, "not_finite", s->name, ZH_WORD_leading_not_finite, "model", s->name,
                "item", row->item, "file", s->file, "line", line, NULL);
    said->bad = true;
    return false;
  }
  if (!find_task(&row->task, protocol, task)) {
    if (!said->unknown)
      zh_refuse(refusals, "unknown_task", s->name, ZH_WORD_leading_unknown_task, "model", s->name,
                "task", task, "file", s->file, "line", line, NULL);
    said->unknown = true;
    return false;
  }
  const zh_asked *asked = &protocol->tasks[row->task];
  if (asked->scale == 0) return true;
  if (!(row->score >= 0 && row->score <= asked->scale)) {
    char value[32], most[32];
    snprintf(value, sizeof value, "%g", row->score);
    snprintf(most, sizeof most, "%g", asked->scale);
    if (!said->outside)
      zh_refuse(refusals, "out_of_scale", s->name, ZH_WORD_leading_out_of_scale, "model", s->name,
                "item", row->item, "task", task, "file", s->file, "line", line, "value", value,
                "limit", most, NULL);
    said->outside = true;
    return false;
  }
  row->score /= asked->scale;
  return true;
}

static zh_status read_rows(zh_scorer *s, const zh_columns *c, const zh_protocol *protocol,
                           zh_refusals *refusals, zh_error *err) {
  size_t room = 0;
  faults said = {0};
  bool more;
  for (;;) {
    ZH_TRY(zh_csv_next(&more, s->csv, err));
    if (!more) return ZH_OK;
    zh_scored row = {.item = zh_columns_field(c, s->csv, ZH_COLUMN_ITEM),
                     .cluster = zh_columns_field(c, s->csv, ZH_COLUMN_CLUSTER),
                     .modality = zh_columns_field(c, s->csv, ZH_COLUMN_MODALITY),
                     .prompt = zh_columns_field(c, s->csv, ZH_COLUMN_PROMPT),
                     .run = zh_columns_field(c, s->csv, ZH_COLUMN_RUN),
                     .line = zh_csv_line(s->csv)};
    if (row.item[0] == '\0')
      return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: the item has no name", s->file, row.line);
    ZH_TRY(read_score(&row.score, zh_columns_field(c, s->csv, ZH_COLUMN_SCORE), s->csv, err));
    if (!take_row(s, &row, zh_columns_field(c, s->csv, ZH_COLUMN_TASK), protocol, refusals, &said))
      continue;
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

/* A protocol that names the model's files is not content with a table that does not. */
static void check_digests(const zh_scorer *s, const zh_protocol *protocol, zh_refusals *refusals) {
  const char *declared = zh_protocol_model_sm3(protocol, s->name);
  if (s->protocol_sm3 != NULL && strcasecmp(s->protocol_sm3, protocol->sm3) != 0)
    zh_refuse(refusals, "protocol_differs", s->name, ZH_WORD_leading_protocol_differs, "model",
              s->name, "file", s->file, "sm3", s->protocol_sm3, NULL);
  if (declared == NULL) return;
  if (s->model_sm3 == NULL)
    zh_refuse(refusals, "model_unstated", s->name, ZH_WORD_leading_model_unstated, "model", s->name,
              "file", s->file, "sm3", declared, NULL);
  else if (strcasecmp(s->model_sm3, declared) != 0)
    zh_refuse(refusals, "model_differs", s->name, ZH_WORD_leading_model_differs, "model", s->name,
              "file", s->file, "sm3", s->model_sm3, NULL);
}

/* What stands behind a key of the remarks; an empty one says nothing. */
static char *stated(const zh_csv *csv, const char *key) {
  char *text = zh_scores_remark(zh_csv_remarks(csv), key);
  if (text != NULL && text[0] != '\0') return text;
  free(text);
  return NULL;
}

zh_status zh_scorer_read(zh_scorer *s, const char *path, const zh_protocol *protocol,
                         zh_refusals *refusals, zh_error *err) {
  zh_columns c;
  *s = (zh_scorer){.file = path, .not_read = json_array()};
  ZH_TRY(zh_digest_file(s->sm3, ZH_SM3, path, err));
  ZH_TRY(zh_csv_open(&s->csv, path, NULL, err));
  ZH_TRY(zh_columns_find(&c, s->not_read, s->csv, err));
  s->protocol_sm3 = stated(s->csv, "protocol");
  s->model_sm3 = stated(s->csv, "model_sm3");
  s->name = stated(s->csv, "model");
  if (s->name == NULL) s->name = zh_scores_name(path);
  if (s->name == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %s", path);
  ZH_TRY(read_rows(s, &c, protocol, refusals, err));
  check_rows(s, protocol, refusals);
  check_digests(s, protocol, refusals);
  return ZH_OK;
}

void zh_scorer_clear(zh_scorer *scorer) {
  free((char *)scorer->name);
  free(scorer->protocol_sm3);
  free(scorer->model_sm3);
  json_decref(scorer->not_read);
  zh_csv_free(scorer->csv);
  free(scorer->rows);
}
