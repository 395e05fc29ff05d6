#include "cli/compare_csv.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/csv.h"

/* A row under way; members that are not set stay empty. */
typedef struct row {
  const char *kind, *task, *model, *other, *unit, *verdict, *reason;
  const json_t *value, *low, *high, *n, *p, *p_adjusted;
} row;

typedef struct writing {
  zh_text text;
  const json_t *doc, *models;
  const char *language;
} writing;

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static const char *label_of(const writing *w, size_t model) {
  return text_of(json_array_get(w->models, model), "label");
}

static const char *label_at(const writing *w, const json_t *object, const char *key) {
  return label_of(w, (size_t)json_integer_value(json_object_get(object, key)));
}

/* Whoever made an input chose its names, and a spreadsheet takes a cell that begins so for a
 * formula: an apostrophe before it keeps it text. Numbers stay numbers. */
static bool could_run(const char *text) {
  char *end;
  if (text[0] == 0 || strchr("=+-@\t\r", text[0]) == NULL) return false;
  (void)strtod(text, &end);
  return *end != 0;
}

static void put_text(zh_text *out, const char *text) {
  zh_text quoted = {0};
  if (text == NULL) return;
  zh_text_printf(&quoted, "%s%s", could_run(text) ? "'" : "", text);
  zh_csv_put(out, zh_text_string(&quoted));
  out->failed |= quoted.failed;
  zh_text_free(&quoted);
}

static void put_number(zh_text *out, const json_t *value) {
  if (json_is_integer(value))
    zh_text_printf(out, "%lld", (long long)json_integer_value(value));
  else if (json_is_number(value))
    zh_text_printf(out, "%.17g", json_number_value(value));
}

static void put(writing *w, const row *r) {
  const char *names[] = {r->kind, r->task, r->model, r->other, r->unit},
             *ends[] = {r->verdict, r->reason};
  const json_t *numbers[] = {r->value, r->low, r->high, r->n, r->p, r->p_adjusted};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    put_text(&w->text, names[i]);
    zh_text_puts(&w->text, ",");
  }
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    put_number(&w->text, numbers[i]);
    zh_text_puts(&w->text, ",");
  }
  put_text(&w->text, ends[0]);
  zh_text_puts(&w->text, ",");
  put_text(&w->text, ends[1]);
  zh_text_puts(&w->text, "\n");
}

static void join(zh_text *out, const writing *w, const json_t *sentences) {
  const json_t *entry;
  size_t i;
  json_array_foreach(sentences, i, entry) {
    if (i > 0) zh_text_puts(out, " ");
    zh_text_puts(out, text_of(entry, w->language));
  }
}

static void put_conditions(writing *w) {
  const json_t *list = json_object_get(json_object_get(w->doc, "protocol"), "differences"), *entry,
               *value;
  size_t i, k;
  json_array_foreach(list, i, entry) {
    json_array_foreach(json_object_get(entry, "values"), k, value)
        put(w, &(row){.kind = "condition",
                      .task = text_of(entry, "field"),
                      .model = label_of(w, k),
                      .unit = text_of(entry, "of"),
                      .verdict = json_is_true(json_object_get(entry, "breaks")) ? "breaks" : "",
                      .reason = json_string_value(value)});
  }
}

static void put_speed(writing *w, const json_t *figure, const json_t *of, size_t model) {
  const json_t *ratio = json_object_get(of, "ratio");
  row r = {.kind = "speed",
           .task = text_of(figure, "figure"),
           .model = label_of(w, model),
           .unit = text_of(figure, "unit"),
           .value = json_object_get(of, "value"),
           .low = json_object_get(of, "low"),
           .high = json_object_get(of, "high"),
           .n = json_object_get(of, "n"),
           .verdict = json_is_object(of) ? "" : "missing"};
  put(w, &r);
  if (ratio == NULL) return;
  put(w, &(row){.kind = "speed_ratio",
                .task = r.task,
                .model = r.model,
                .other = label_at(w, w->doc, "reference"),
                .value = json_object_get(ratio, "value"),
                .low = json_object_get(ratio, "low"),
                .high = json_object_get(ratio, "high"),
                .verdict = text_of(ratio, "verdict"),
                .reason = json_string_value(json_object_get(ratio, "why"))});
}

static void put_speeds(writing *w) {
  const json_t *figure, *of;
  size_t i, k;
  json_array_foreach(json_object_get(w->doc, "speeds"), i, figure) {
    json_array_foreach(json_object_get(figure, "of"), k, of) put_speed(w, figure, of, k);
  }
}

static void put_scores(writing *w) {
  const json_t *task, *of;
  size_t i, k;
  json_array_foreach(json_object_get(w->doc, "tasks"), i, task) {
    json_array_foreach(json_object_get(task, "of"), k, of) {
      zh_text why = {0};
      join(&why, w, json_object_get(of, "faults"));
      put(w, &(row){.kind = "score",
                    .task = text_of(task, "task"),
                    .model = label_of(w, k),
                    .unit = text_of(task, "metric"),
                    .value = json_object_get(of, "score"),
                    .low = json_object_get(of, "low"),
                    .high = json_object_get(of, "high"),
                    .n = json_object_get(of, "items"),
                    .verdict = json_is_true(json_object_get(of, "missing")) ? "missing" : "",
                    .reason = zh_text_string(&why)});
      zh_text_free(&why);
    }
  }
}

static void put_pairs(writing *w) {
  const json_t *pair;
  size_t i;
  json_array_foreach(json_object_get(w->doc, "pairs"), i, pair) {
    zh_text why = {0};
    join(&why, w, json_object_get(pair, "reasons"));
    put(w, &(row){.kind = "pair",
                  .task = text_of(pair, "task"),
                  .model = label_at(w, pair, "first"),
                  .other = label_at(w, pair, "second"),
                  .unit = text_of(pair, "method"),
                  .value = json_object_get(pair, "difference"),
                  .low = json_object_get(pair, "low"),
                  .high = json_object_get(pair, "high"),
                  .p = json_object_get(pair, "p"),
                  .p_adjusted = json_object_get(pair, "p_adjusted"),
                  .verdict = text_of(pair, "verdict"),
                  .reason = zh_text_string(&why)});
    zh_text_free(&why);
  }
}

static void put_test(writing *w, const json_t *pair, const json_t *task, const char *key) {
  const json_t *test = json_object_get(task, key);
  if (!json_is_object(test)) return;
  put(w, &(row){.kind = strcmp(key, "test") == 0 ? "damage" : "damage_likelihood",
                .task = text_of(task, "task"),
                .model = label_at(w, pair, "model"),
                .other = label_at(w, pair, "reference"),
                .unit = text_of(test, "method"),
                .value = json_object_get(test, "difference"),
                .low = json_object_get(test, "low"),
                .high = json_object_get(test, "high"),
                .n = json_object_get(task, "items"),
                .p = json_object_get(test, "p"),
                .p_adjusted = json_object_get(test, "p_adjusted")});
}

static void put_damage(writing *w) {
  const json_t *pairs = json_object_get(json_object_get(w->doc, "damage"), "pairs"), *pair, *task;
  size_t i, k;
  json_array_foreach(pairs, i, pair) {
    json_array_foreach(json_object_get(pair, "tasks"), k, task) {
      put_test(w, pair, task, "test");
      put_test(w, pair, task, "likelihood");
    }
  }
}

zh_status zh_compare_csv(char **out, const json_t *comparison, const char *language,
                         zh_error *err) {
  writing w = {
      .doc = comparison, .models = json_object_get(comparison, "models"), .language = language};
  zh_text_puts(&w.text,
               "kind,task,model,other,unit,value,low,high,n,p,p_adjusted,verdict,reason\n");
  put_conditions(&w);
  put_speeds(&w);
  put_scores(&w);
  put_pairs(&w);
  put_damage(&w);
  *out = w.text.failed ? NULL : strdup(zh_text_string(&w.text));
  zh_text_free(&w.text);
  return *out != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for CSV");
}
