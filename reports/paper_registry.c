/* Published scores as a drawing: over the models' release dates, or a row a model. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "reports/chart.h"
#include "reports/paper.h"
#include "reports/reports.h"

enum { REMARKS_MAX = 400 };

typedef struct figure {
  const json_t *row;
  const char *label; /* the model, or the benchmark where one model was asked for */
  double score, best, year;
} figure;

typedef struct drawing {
  zh_paper words;
  const json_t *rows;
  bool over_time, by_benchmark;
  figure *figures;
  zh_chart_point *points;
  char **remarks, **titles;
  size_t count, remark_count, title_count, undated, other_units;
  const char *unit;
} drawing;

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

/* 2025-07-15 is 2025.5; NAN where there is no date. */
static double year_of(const char *date) {
  int year = 0, month = 1, day = 1;
  int parts = sscanf(date, "%4d-%2d-%2d", &year, &month, &day);
  if (parts < 1 || year < 1900 || year > 2200 || month < 1 || month > 12) return NAN;
  return year + (month - 1) / 12.0 + (day - 1) / 366.0;
}

/* The unit that most rows have: one axis, one unit. */
static const char *main_unit(const json_t *rows) {
  const char *found = "";
  size_t most = 0, i, k;
  const json_t *row, *other;
  json_array_foreach(rows, i, row) {
    const char *unit = text_of(row, "unit");
    size_t same = 0;
    if (strcmp(unit, found) == 0) continue;
    json_array_foreach(rows, k, other) same += strcmp(text_of(other, "unit"), unit) == 0;
    if (same <= most) continue;
    most = same;
    found = unit;
  }
  return found;
}

static bool one_model(const json_t *rows) {
  const json_t *row;
  size_t i;
  json_array_foreach(rows, i, row) {
    if (strcmp(text_of(row, "model"), text_of(json_array_get(rows, 0), "model")) != 0) return false;
  }
  return true;
}

static void gather(drawing *d) {
  const json_t *row;
  size_t i;
  d->unit = main_unit(d->rows);
  d->by_benchmark = one_model(d->rows);
  json_array_foreach(d->rows, i, row) {
    const json_t *score = json_object_get(row, "score");
    figure f = {.row = row,
                .label = text_of(row, d->by_benchmark ? "benchmark" : "model"),
                .score = json_is_number(score) ? json_number_value(score) : NAN,
                .year = year_of(text_of(row, "release"))};
    bool other_unit = strcmp(text_of(row, "unit"), d->unit) != 0,
         undated = d->over_time && isnan(f.year);
    d->other_units += other_unit;
    d->undated += !other_unit && undated;
    if (!other_unit && !undated && isfinite(f.score)) d->figures[d->count++] = f;
  }
  for (size_t a = 0; a < d->count; a++) {
    d->figures[a].best = d->figures[a].score;
    for (size_t b = 0; b < d->count; b++)
      if (strcmp(d->figures[a].label, d->figures[b].label) == 0)
        d->figures[a].best = fmax(d->figures[a].best, d->figures[b].score);
  }
}

/* Equal in all that makes two figures comparable, so that they contradict each other. */
static int same_question(const json_t *a, const json_t *b) {
  static const char *const keys[] = {"benchmark", "model", "kind", "metric", "shots", "setting"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    int order = strcmp(text_of(a, keys[i]), text_of(b, keys[i]));
    if (order != 0) return order;
  }
  return 0;
}

/* Labels with the best figures first; of one question side by side. */
static int by_best(const void *a, const void *b) {
  const figure *x = a, *y = b;
  if (x->best != y->best) return x->best > y->best ? -1 : 1;
  int order = strcmp(x->label, y->label);
  if (order == 0) order = same_question(x->row, y->row);
  if (order != 0) return order;
  return (x->score < y->score) - (x->score > y->score);
}

static char *title_of(const figure *f) {
  zh_text text = {0};
  const char *shots = text_of(f->row, "shots"), *setting = text_of(f->row, "setting");
  zh_text_printf(&text, "%s, %s: %g %s (%s%s%s%s%s) %s:%s", text_of(f->row, "model"),
                 text_of(f->row, "benchmark"), f->score, text_of(f->row, "unit"),
                 text_of(f->row, "kind"), shots[0] ? ", shots " : "", shots, setting[0] ? ", " : "",
                 setting, text_of(f->row, "source_repo"), text_of(f->row, "source_path"));
  char *title = text.failed ? NULL : strdup(zh_text_string(&text));
  zh_text_free(&text);
  return title;
}

static void remark(drawing *d, const char *text) {
  if (d->remark_count < REMARKS_MAX && (d->remarks[d->remark_count] = strdup(text)) != NULL)
    d->remark_count++;
}

static void remark_count(drawing *d, const char *key, size_t count) {
  if (count > 0) remark(d, zh_paper_word_of(&d->words, "%s %zu", key, count));
}

static void place(drawing *d) {
  for (size_t i = 0; i < d->count; i++) {
    const figure *f = &d->figures[i], *before = i > 0 ? f - 1 : NULL;
    bool asked_before = before != NULL && same_question(before->row, f->row) == 0,
         linked = asked_before && before->score != f->score;
    char *title = title_of(f);
    if (title != NULL) d->titles[d->title_count++] = title;
    d->points[i] = (zh_chart_point){
        .x = f->year,
        .y = f->score,
        .x_low = NAN,
        .x_high = NAN,
        .y_low = NAN,
        .y_high = NAN,
        .label =
            before != NULL && strcmp(before->label, f->label) == 0 && d->over_time ? "" : f->label,
        .title = title != NULL ? title : "",
        .kind = strcmp(text_of(f->row, "country"), "CN") == 0 ? "plain" : "weak",
        .linked = linked};
    if (!linked) continue;
    d->points[i].kind = d->points[i - 1].kind = "other";
  }
}

static void tell(drawing *d) {
  bool head = false;
  remark(d, zh_paper_word(&d->words, "legend"));
  remark(d, zh_paper_word(&d->words, "caveat"));
  remark_count(d, "undated", d->undated);
  remark_count(d, "other units", d->other_units);
  for (size_t i = 0; i < d->count; i++) {
    if (strcmp(d->points[i].kind, "other") != 0) continue;
    if (!head) remark(d, zh_paper_word(&d->words, "conflicts"));
    head = true;
    remark(d, d->points[i].title);
  }
}

static zh_status draw(char **out, drawing *d, zh_error *err) {
  const json_t *first = json_array_get(d->rows, 0);
  zh_text axis = {0};
  zh_text_printf(&axis, "%s, %s", text_of(first, d->by_benchmark ? "model" : "benchmark"), d->unit);
  const zh_chart chart = {.title = zh_text_string(&axis),
                          .x = {.title = zh_paper_word(&d->words, "released"), .dates = true},
                          .y = {.title = zh_text_string(&axis)},
                          .points = d->points,
                          .count = d->count,
                          .remarks = (const char *const *)d->remarks,
                          .remark_count = d->remark_count};
  json_t *model = d->over_time ? zh_chart_scatter(&chart) : zh_chart_rows(&chart);
  zh_status status = zh_chart_svg(out, d->over_time ? "scatter" : "rows", model, err);
  json_decref(model);
  zh_text_free(&axis);
  return status;
}

static zh_status prepare(drawing *d, const char *language, zh_error *err) {
  size_t rows = json_array_size(d->rows);
  ZH_TRY(zh_paper_begin(&d->words, "registry", language, err));
  d->figures = calloc(rows + 1, sizeof *d->figures);
  d->points = calloc(rows + 1, sizeof *d->points);
  d->titles = calloc(rows + 1, sizeof *d->titles);
  d->remarks = calloc(REMARKS_MAX, sizeof *d->remarks);
  if (!d->figures || !d->points || !d->titles || !d->remarks)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu figures", rows);
  gather(d);
  if (d->count == 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "none of the %zu figures has %s, so that there is nothing to draw", rows,
                   d->over_time ? "a date of release ('--by model' needs none)" : "a score");
  qsort(d->figures, d->count, sizeof *d->figures, by_best);
  return ZH_OK;
}

zh_status zh_registry_svg(char **out, const json_t *scores, bool over_time, const char *language,
                          zh_error *err) {
  drawing d = {.rows = json_object_get(scores, "rows"), .over_time = over_time};
  *out = NULL;
  zh_status status = prepare(&d, language, err);
  if (status == ZH_OK) {
    place(&d);
    tell(&d);
    status = draw(out, &d, err);
  }
  for (size_t i = 0; i < d.title_count; i++) free(d.titles[i]);
  for (size_t i = 0; i < d.remark_count; i++) free(d.remarks[i]);
  free(d.titles);
  free(d.remarks);
  free(d.figures);
  free(d.points);
  zh_paper_clear(&d.words);
  return status;
}
