#include "evaluator/leading/contamination.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "evaluator/stats/exchange.h"
#include "evaluator/stats/multiplicity.h"

enum { OVERLAP = 1, OPTIONS = 2, LEAST = 4, ORDER = 8, TESTS = 3 };
static const double DIRTY = 0.8;

static const char *const test_names[TESTS] = {"order", "options", "least"};

/* A task while it is decided. */
typedef struct subject {
  const json_t *measured;
  json_t *shown;
  unsigned char *signs; /* [items] */
  size_t items;
  double p[TESTS]; /* NaN: not tested */
} subject;

typedef struct decision {
  subject *subjects;
  size_t count;
  double *reference; /* values of unseen items */
  size_t reference_count;
  const zh_contamination_options *options;
} decision;

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (contamination)");
}

static size_t size_at(const json_t *list, size_t i) {
  return (size_t)json_integer_value(json_array_get(list, i));
}

static json_t *part_of(const subject *s, const char *name) {
  return json_object_get(s->measured, name);
}

/* ---- words in common ---- */

static void decide_overlap(subject *s, const decision *d) {
  const json_t *part = part_of(s, "overlap");
  const json_t *words = json_object_get(part, "words"), *covered = json_object_get(part, "covered");
  size_t run = (size_t)json_integer_value(json_object_get(part, "run"));
  size_t too_short = 0, not_clean = 0, dirty = 0;
  for (size_t i = 0; part && i < s->items; i++) {
    double share =
        size_at(words, i) > 0 ? (double)size_at(covered, i) / (double)size_at(words, i) : 0;
    too_short += size_at(words, i) < run;
    dirty += share >= DIRTY;
    if (share < d->options->not_clean) continue;
    not_clean++;
    s->signs[i] |= OVERLAP;
  }
  if (!part) return;
  json_object_set_new(s->shown, "overlap",
                      json_pack("{s:I, s:I, s:I, s:I}", "run", (json_int_t)run, "too_short",
                                (json_int_t)too_short, "not_clean", (json_int_t)not_clean, "dirty",
                                (json_int_t)dirty));
}

/* ---- the order of items ---- */

/* rows: lists of as many numbers each. */
static zh_status read_rows(double **out, size_t *columns, const json_t *rows, zh_error *err) {
  size_t count = json_array_size(rows);
  *columns = json_array_size(json_array_get(rows, 0));
  *out = malloc((count * *columns + 1) * sizeof **out);
  if (!*out) return no_memory(err);
  for (size_t r = 0; r < count; r++)
    for (size_t c = 0; c < *columns; c++)
      (*out)[r * *columns + c] = json_number_value(json_array_get(json_array_get(rows, r), c));
  return ZH_OK;
}

static zh_status decide_order(subject *s, const decision *d, zh_error *err) {
  const json_t *part = part_of(s, "order"), *rows = json_object_get(part, "rows");
  zh_order_test test = {.difference = NAN, .t = NAN, .p_t = NAN, .p = NAN};
  double *values = NULL;
  size_t columns = 0;
  if (!part) return ZH_OK;
  if (json_array_size(rows) > 0) {
    ZH_TRY(read_rows(&values, &columns, rows, err));
    zh_status status = zh_test_order(&test, values, json_array_size(rows), columns,
                                     d->options->replicates, d->options->seed, err);
    free(values);
    ZH_TRY(status);
  }
  s->p[0] = test.p;
  json_object_set_new(s->shown, "order",
                      json_pack("{s:I, s:I, s:O, s:o, s:o, s:o, s:o}", "rows",
                                (json_int_t)json_array_size(rows), "orders", (json_int_t)columns,
                                "left_out", json_object_get(part, "left_out"), "difference",
                                zh_json_number(test.difference), "t", zh_json_number(test.t), "p_t",
                                zh_json_number(test.p_t), "p", zh_json_number(test.p)));
  return ZH_OK;
}

/* ---- the order of options ---- */

/* Alone at the top; a tie speaks for nobody. */
static bool is_first(const json_t *row) {
  double published = json_number_value(json_array_get(row, 0));
  for (size_t i = 1; i < json_array_size(row); i++)
    if (json_number_value(json_array_get(row, i)) >= published) return false;
  return json_array_size(row) > 1;
}

static zh_status decide_options(subject *s, zh_error *err) {
  const json_t *part = part_of(s, "options"), *rows = json_object_get(part, "rows");
  size_t count = json_array_size(rows), first = 0;
  double expected = 0, p = NAN, *chances = calloc(count + 1, sizeof *chances);
  if (!chances) return no_memory(err);
  for (size_t r = 0; r < count; r++) {
    const json_t *row = json_array_get(rows, r);
    chances[r] = 1.0 / (double)json_array_size(row);
    expected += chances[r];
    if (!is_first(row)) continue;
    first++;
    s->signs[size_at(json_object_get(part, "item"), r)] |= OPTIONS;
  }
  zh_status status = count > 0 ? zh_poisson_binomial_tail(&p, first, chances, count, err) : ZH_OK;
  free(chances);
  if (!part || status != ZH_OK) return status;
  s->p[1] = p;
  json_object_set_new(s->shown, "options",
                      json_pack("{s:I, s:O, s:I, s:f, s:o}", "items", (json_int_t)count, "left_out",
                                json_object_get(part, "left_out"), "first", (json_int_t)first,
                                "expected", expected, "p", zh_json_number(p)));
  return ZH_OK;
}

/* ---- the least likely tokens ---- */

static zh_status read_numbers(double **out, const json_t *list, zh_error *err) {
  *out = calloc(json_array_size(list) + 1, sizeof **out);
  if (!*out) return no_memory(err);
  for (size_t i = 0; i < json_array_size(list); i++)
    (*out)[i] = json_number_value(json_array_get(list, i));
  return ZH_OK;
}

static double mean_of(const double *values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += values[i];
  return count > 0 ? sum / (double)count : NAN;
}

/* Items that are likelier than the unseen ones, at a false discovery rate of alpha. */
static zh_status flag_likely(size_t *flagged, subject *s, const decision *d, const json_t *items,
                             const double *values, size_t count, zh_error *err) {
  double *p = calloc(count + 1, sizeof *p);
  if (!p) return no_memory(err);
  zh_status status = zh_conformal_p(p, values, count, d->reference, d->reference_count, err);
  if (status == ZH_OK) status = zh_benjamini_hochberg(p, p, count, err);
  for (size_t i = 0; status == ZH_OK && i < count; i++) {
    if (p[i] > d->options->alpha) continue;
    (*flagged)++;
    s->signs[size_at(items, i)] |= LEAST;
  }
  free(p);
  return status;
}

static zh_status decide_least(subject *s, const decision *d, zh_error *err) {
  const json_t *part = part_of(s, "least"), *list = json_object_get(part, "values");
  size_t count = json_array_size(list), flagged = 0;
  zh_mann_whitney test = {.auc = NAN, .p_greater = NAN, .p_two_sided = NAN};
  double *values;
  if (!part) return ZH_OK;
  ZH_TRY(read_numbers(&values, list, err));
  zh_status status = ZH_OK;
  if (count > 0 && d->reference_count > 0) {
    status = zh_test_mann_whitney(&test, values, count, d->reference, d->reference_count, err);
    if (status == ZH_OK)
      status = flag_likely(&flagged, s, d, json_object_get(part, "item"), values, count, err);
  }
  s->p[2] = test.p_greater;
  if (status == ZH_OK)
    json_object_set_new(s->shown, "least",
                        json_pack("{s:I, s:O, s:o, s:I, s:o, s:o, s:o, s:I}", "items",
                                  (json_int_t)count, "left_out", json_object_get(part, "left_out"),
                                  "mean", zh_json_number(mean_of(values, count)), "reference_items",
                                  (json_int_t)d->reference_count, "reference_mean",
                                  zh_json_number(mean_of(d->reference, d->reference_count)), "auc",
                                  zh_json_number(test.auc), "p", zh_json_number(test.p_greater),
                                  "flagged", (json_int_t)flagged));
  free(values);
  return status;
}

/* ---- over all tasks ---- */

/* p_holm of one test over the tasks that have it; *significant[i] of those. */
static zh_status adjust(decision *d, int test, zh_error *err) {
  double *p = calloc(d->count + 1, sizeof *p);
  size_t n = 0;
  if (!p) return no_memory(err);
  for (size_t i = 0; i < d->count; i++)
    if (!isnan(d->subjects[i].p[test])) p[n++] = d->subjects[i].p[test];
  zh_status status = zh_holm(p, p, n, err);
  n = 0;
  for (size_t i = 0; status == ZH_OK && i < d->count; i++) {
    subject *s = &d->subjects[i];
    json_t *part = json_object_get(s->shown, test_names[test]);
    if (!isnan(s->p[test])) s->p[test] = p[n++];
    if (part) json_object_set_new(part, "p_holm", zh_json_number(s->p[test]));
  }
  free(p);
  return status;
}

/* Signs that one item gives by chance count where the task as a whole is beyond chance. */
static void list_items(subject *s, const decision *d) {
  bool whole = s->p[0] <= d->options->alpha, options = s->p[1] <= d->options->alpha;
  json_t *listed = json_array(), *names = json_object_get(s->measured, "items");
  for (size_t i = 0; i < s->items; i++) {
    unsigned signs = s->signs[i];
    if (!options) signs &= ~(unsigned)OPTIONS;
    if (whole) signs |= ORDER;
    if (signs == 0) continue;
    json_t *words = json_array();
    if (signs & OVERLAP) json_array_append_new(words, json_string("overlap"));
    if (signs & ORDER) json_array_append_new(words, json_string("order"));
    if (signs & OPTIONS) json_array_append_new(words, json_string("options"));
    if (signs & LEAST) json_array_append_new(words, json_string("least"));
    json_array_append_new(
        listed, json_pack("{s:O, s:o}", "item", json_array_get(names, i), "signs", words));
  }
  json_object_set_new(s->shown, "listed_whole", json_boolean(whole));
  json_object_set_new(s->shown, "listed", listed);
}

static zh_status begin(subject *s, const json_t *measured, zh_error *err) {
  s->measured = measured;
  s->items = json_array_size(json_object_get(measured, "items"));
  s->signs = calloc(s->items + 1, 1);
  s->shown = json_pack("{s:O, s:I}", "task", json_object_get(measured, "task"), "items",
                       (json_int_t)s->items);
  for (int t = 0; t < TESTS; t++) s->p[t] = NAN;
  return s->signs && s->shown ? ZH_OK : no_memory(err);
}

static zh_status read_reference(decision *d, const json_t *reference, zh_error *err) {
  const json_t *tasks = json_object_get(reference, "tasks");
  for (size_t i = 0; i < json_array_size(tasks); i++) {
    const json_t *values =
        json_object_get(json_object_get(json_array_get(tasks, i), "least"), "values");
    size_t count = json_array_size(values);
    double *grown = realloc(d->reference, (d->reference_count + count + 1) * sizeof *grown);
    if (!grown) return no_memory(err);
    d->reference = grown;
    for (size_t k = 0; k < count; k++)
      d->reference[d->reference_count++] = json_number_value(json_array_get(values, k));
  }
  return ZH_OK;
}

static zh_status decide(decision *d, const json_t *tasks, zh_error *err) {
  for (size_t i = 0; i < d->count; i++) {
    subject *s = &d->subjects[i];
    ZH_TRY(begin(s, json_array_get(tasks, i), err));
    decide_overlap(s, d);
    ZH_TRY(decide_order(s, d, err));
    ZH_TRY(decide_options(s, err));
    ZH_TRY(decide_least(s, d, err));
  }
  for (int t = 0; t < TESTS; t++) ZH_TRY(adjust(d, t, err));
  for (size_t i = 0; i < d->count; i++) list_items(&d->subjects[i], d);
  return ZH_OK;
}

static json_t *result_of(const decision *d) {
  json_t *tasks = json_array();
  size_t listed = 0;
  for (size_t i = 0; i < d->count; i++) {
    json_array_append(tasks, d->subjects[i].shown);
    listed += json_array_size(json_object_get(d->subjects[i].shown, "listed"));
  }
  return json_pack("{s:o, s:I, s:f, s:f}", "tasks", tasks, "listed", (json_int_t)listed, "alpha",
                   d->options->alpha, "not_clean", d->options->not_clean);
}

zh_status zh_contamination_decide(json_t **out, const json_t *measured, const json_t *reference,
                                  const zh_contamination_options *options, zh_error *err) {
  const json_t *tasks = json_object_get(measured, "tasks");
  decision d = {.count = json_array_size(tasks), .options = options};
  *out = NULL;
  d.subjects = calloc(d.count + 1, sizeof *d.subjects);
  zh_status status = d.subjects ? read_reference(&d, reference, err) : no_memory(err);
  if (status == ZH_OK) status = decide(&d, tasks, err);
  if (status == ZH_OK && (*out = result_of(&d)) == NULL) status = no_memory(err);
  for (size_t i = 0; d.subjects && i < d.count; i++) {
    json_decref(d.subjects[i].shown);
    free(d.subjects[i].signs);
  }
  free(d.subjects);
  free(d.reference);
  return status;
}
