/* A comparison of models (docs/schemas/compare.schema.json) as a page. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "reports/chart.h"
#include "reports/number.h"
#include "reports/paper.h"
#include "reports/reports.h"

enum { TEXT = 512, PAIRS_SHOWN = 240, NAMES_SHOWN = 4, HEAT_POINTS = 20 };

typedef struct page {
  zh_paper p;
  const json_t *doc, *models;
} page;

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static double number_of(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

static bool flag_of(const json_t *object, const char *key) {
  return json_is_true(json_object_get(object, key));
}

static const char *label_of(const page *g, json_int_t model) {
  return text_of(json_array_get(g->models, (size_t)model), "label");
}

static const char *label_at(const page *g, const json_t *object, const char *key) {
  return label_of(g, json_integer_value(json_object_get(object, key)));
}

/* --- figures --- */

typedef struct shown {
  char text[TEXT];
} shown;

/* How figures of a task are written: shares in percent, differences of them in points. */
typedef struct manner {
  bool shares, texts;
} manner;

static manner manner_of(const json_t *task) {
  return (manner){flag_of(task, "shares"), flag_of(task, "texts")};
}

static shown figure(double value, manner m, bool difference) {
  shown out = {""};
  char digits[ZH_NUMBER_CAPACITY];
  if (!isfinite(value)) {
    snprintf(out.text, TEXT, "—");
    return out;
  }
  int decimals = m.shares ? 2 : m.texts ? 4 : zh_number_decimals(value, 0, 4);
  zh_number_fixed(digits, value, m.shares ? 2 : 0, decimals);
  snprintf(out.text, TEXT, "%s%s%s", difference && value > 0 ? "+" : "", digits,
           m.shares && !difference ? "%" : "");
  return out;
}

static shown between(double low, double high, manner m, bool difference) {
  shown out = {"—"};
  if (!isfinite(low) || !isfinite(high)) return out;
  snprintf(out.text, TEXT, "%.200s … %.200s", figure(low, m, difference).text,
           figure(high, m, difference).text);
  return out;
}

static shown chance(double p) {
  shown out = {"—"};
  if (isfinite(p)) snprintf(out.text, TEXT, p < 1e-4 ? "< 0.0001" : "%.4f", p);
  return out;
}

static shown whole(const json_t *value) {
  shown out = {"—"};
  if (json_is_integer(value) && json_integer_value(value) >= 0)
    zh_group_digits(out.text, TEXT, (uint64_t)json_integer_value(value));
  return out;
}

/* A speed with its unit; digits follow the value. */
static shown speed(double value, const char *unit) {
  shown out = {"—"};
  char digits[ZH_NUMBER_CAPACITY];
  if (!isfinite(value)) return out;
  zh_number_scale scale = zh_number_scale_for(value, unit);
  zh_number_fixed(digits, value, scale.shift, zh_number_decimals(value, scale.shift, 4));
  snprintf(out.text, TEXT, "%s %s", digits, scale.unit);
  return out;
}

static void append(zh_text *out, const char *text, const char *between) {
  if (out->length > 0) zh_text_puts(out, between);
  zh_text_puts(out, text);
}

/* Sentences of a list in the page's language. */
static void join_sentences(zh_text *out, const page *g, const json_t *list) {
  const json_t *entry;
  size_t i;
  json_array_foreach(list, i, entry) append(out, text_of(entry, g->p.language), " ");
}

/* --- models --- */

static void put_models(page *g) {
  const json_t *model, *source, *note;
  size_t i, k;
  zh_paper_section(&g->p, zh_paper_word(&g->p, "models"));
  json_array_foreach(g->models, i, model) {
    json_array_foreach(json_object_get(model, "notes"), k, note)
        zh_paper_sentence(&g->p, text_of(note, g->p.language));
  }
  zh_paper_table(&g->p, "ttnnt", "model|type|parameters|bytes|sources");
  json_array_foreach(g->models, i, model) {
    zh_text sources = {0};
    char size[64];
    double bytes = number_of(model, "bytes");
    json_array_foreach(json_object_get(model, "sources"), k, source)
        append(&sources, text_of(source, "path"), "; ");
    zh_paper_row(&g->p);
    zh_paper_cell(&g->p, text_of(model, "label"));
    zh_paper_cell(&g->p, json_string_value(json_object_get(model, "type")));
    zh_paper_cell(&g->p, whole(json_object_get(model, "parameters")).text);
    zh_paper_cell(&g->p, bytes > 0 ? zh_human_bytes(size, sizeof size, bytes) : NULL);
    zh_paper_cell(&g->p, zh_text_string(&sources));
    zh_text_free(&sources);
  }
}

/* --- conditions --- */

/* Models that state the same stand together: "2: a, b; 4: c". */
static void join_values(zh_text *out, const page *g, const json_t *values) {
  for (size_t i = 0; i < json_array_size(values); i++) {
    const char *value = json_string_value(json_array_get(values, i));
    zh_text names = {0};
    size_t same = 0;
    bool told = false;
    for (size_t k = 0; k < json_array_size(values) && value != NULL; k++) {
      const char *other = json_string_value(json_array_get(values, k));
      if (other == NULL || strcmp(other, value) != 0) continue;
      told |= k < i;
      if (same++ < NAMES_SHOWN) append(&names, label_of(g, (json_int_t)k), ", ");
    }
    if (value != NULL && !told) {
      append(out, value, "; ");
      zh_text_printf(out, " (%s", zh_text_string(&names));
      if (same > NAMES_SHOWN) zh_text_printf(out, ", … %zu", same);
      zh_text_puts(out, ")");
    }
    zh_text_free(&names);
  }
}

static void put_conditions(page *g) {
  const json_t *protocol = json_object_get(g->doc, "protocol"),
               *list = json_object_get(protocol, "differences"), *entry;
  size_t i;
  zh_paper_section(&g->p, zh_paper_word(&g->p, "conditions"));
  zh_paper_sentence(&g->p, text_of(json_object_get(protocol, "scores"), g->p.language));
  zh_paper_sentence(&g->p, text_of(json_object_get(protocol, "speeds"), g->p.language));
  if (json_array_size(list) == 0) return;
  zh_paper_table(&g->p, "tttt", "field|about|breaks|values");
  json_array_foreach(list, i, entry) {
    zh_text values = {0};
    join_values(&values, g, json_object_get(entry, "values"));
    zh_paper_row(&g->p);
    zh_paper_cell(&g->p, zh_paper_word_of(&g->p, "field %s", text_of(entry, "field")));
    zh_paper_cell(&g->p, zh_paper_word_of(&g->p, "about %s", text_of(entry, "of")));
    zh_paper_cell(&g->p, zh_paper_word(&g->p, flag_of(entry, "breaks") ? "yes" : "no"));
    zh_paper_cell(&g->p, zh_text_string(&values));
    zh_text_free(&values);
  }
}

/* --- speeds --- */

static void put_ratio(page *g, const json_t *ratio) {
  const manner plain = {false, false};
  zh_text text = {0};
  double value = number_of(ratio, "value");
  if (isfinite(value))
    zh_text_printf(&text, "%.3f (%.200s)", value,
                   between(number_of(ratio, "low"), number_of(ratio, "high"), plain, false).text);
  zh_paper_cell(&g->p, text.length > 0 ? text.data : NULL);
  zh_text_free(&text);
  const char *why = json_string_value(json_object_get(ratio, "why"));
  zh_text_puts(&text,
               ratio != NULL ? zh_paper_word_of(&g->p, "speed %s", text_of(ratio, "verdict")) : "");
  if (why != NULL) zh_text_printf(&text, ": %s", zh_paper_word_of(&g->p, "why %s", why));
  zh_paper_cell(&g->p, zh_text_string(&text));
  zh_text_free(&text);
}

static void put_speed(page *g, const json_t *of, const char *figure_name, const char *unit,
                      size_t model) {
  zh_paper_row(&g->p);
  zh_paper_cell(&g->p, figure_name);
  zh_paper_cell(&g->p, label_of(g, (json_int_t)model));
  if (!json_is_object(of)) {
    zh_paper_cell(&g->p, zh_paper_word(&g->p, "missing"));
    for (int i = 0; i < 4; i++) zh_paper_cell(&g->p, NULL);
    return;
  }
  zh_text range = {0};
  zh_text_printf(&range, "%.200s … %.200s", speed(number_of(of, "low"), unit).text,
                 speed(number_of(of, "high"), unit).text);
  zh_paper_cell(&g->p, speed(number_of(of, "value"), unit).text);
  zh_paper_cell(&g->p, zh_text_string(&range));
  zh_paper_cell(&g->p, whole(json_object_get(of, "n")).text);
  put_ratio(g, json_object_get(of, "ratio"));
  zh_text_free(&range);
}

static void put_speeds(page *g) {
  const json_t *list = json_object_get(g->doc, "speeds"), *entry, *of;
  size_t i, k;
  if (json_array_size(list) == 0) return;
  zh_paper_section(&g->p, zh_paper_word(&g->p, "speeds"));
  zh_paper_sentence(&g->p,
                    zh_paper_word_of(&g->p, "ratio to %s", label_at(g, g->doc, "reference")));
  zh_paper_table(&g->p, "ttnnnnt", "figure|model|median|interval|n|ratio|verdict");
  json_array_foreach(list, i, entry) {
    json_array_foreach(json_object_get(entry, "of"), k, of)
        put_speed(g, of, text_of(entry, "figure"), text_of(entry, "unit"), k);
  }
}

/* --- scores --- */

static const char *task_name(page *g, const json_t *task) {
  return flag_of(task, "overall") ? zh_paper_word(&g->p, "overall") : text_of(task, "task");
}

static void put_score(page *g, const json_t *task, const json_t *of, size_t model) {
  manner m = manner_of(task);
  double score = number_of(of, "score");
  const json_t *ranks = json_object_get(of, "ranks");
  char set[64];
  snprintf(set, sizeof set, "%lld–%lld / %lld",
           (long long)json_integer_value(json_array_get(ranks, 0)),
           (long long)json_integer_value(json_array_get(ranks, 1)),
           (long long)json_integer_value(json_array_get(ranks, 2)));
  zh_text why = {0};
  join_sentences(&why, g, json_object_get(of, "faults"));
  zh_paper_row(&g->p);
  zh_paper_cell(&g->p, task_name(g, task));
  zh_paper_cell(&g->p, label_of(g, (json_int_t)model));
  zh_paper_cell(&g->p, flag_of(of, "missing") && !flag_of(task, "overall")
                           ? zh_paper_word(&g->p, "missing")
                           : figure(score, m, false).text);
  zh_paper_cell(&g->p, between(number_of(of, "low"), number_of(of, "high"), m, false).text);
  zh_paper_cell(&g->p, ranks != NULL ? set : NULL);
  zh_paper_cell(&g->p, whole(json_object_get(of, "items")).text);
  zh_paper_cell(&g->p, zh_text_string(&why));
  zh_text_free(&why);
}

/* How far a score lies from the reference's, of the colours' whole range. */
static double heat_of(const json_t *task, double score, double reference) {
  double difference = score - reference;
  if (flag_of(task, "fewer_is_better")) difference = -difference;
  double whole_range = flag_of(task, "shares") ? HEAT_POINTS / 100.0 : fabs(reference) * 0.2;
  return whole_range > 0 ? fmax(-1, fmin(1, difference / whole_range)) : 0;
}

static void put_heat(page *g, const json_t *tasks) {
  size_t rows = json_array_size(tasks), columns = json_array_size(g->models), r;
  const json_t *task;
  size_t reference = (size_t)json_integer_value(json_object_get(g->doc, "reference"));
  const char **names = calloc(rows + columns + 1, sizeof *names);
  zh_heat_field *fields = calloc(rows * columns + 1, sizeof *fields);
  shown *texts = calloc(rows * columns + 1, sizeof *texts);
  for (size_t c = 0; names != NULL && c < columns; c++)
    names[rows + c] = label_of(g, (json_int_t)c);
  json_array_foreach(tasks, r, task) {
    const json_t *of = json_object_get(task, "of");
    double base = number_of(json_array_get(of, reference), "score");
    if (names == NULL || fields == NULL || texts == NULL) break;
    names[r] = task_name(g, task);
    for (size_t c = 0; c < columns; c++) {
      double score = number_of(json_array_get(of, c), "score");
      texts[r * columns + c] = figure(score, manner_of(task), false);
      fields[r * columns + c] =
          (zh_heat_field){texts[r * columns + c].text, names[rows + c],
                          isfinite(score) && isfinite(base) ? heat_of(task, score, base) : NAN};
    }
  }
  if (names != NULL && fields != NULL && texts != NULL)
    zh_paper_chart(&g->p, "heat",
                   zh_paper_word_of(&g->p, "about heat %s", label_at(g, g->doc, "reference")),
                   zh_chart_heat(&(zh_heat){.title = zh_paper_word(&g->p, "scores"),
                                            .rows = names,
                                            .columns = names + rows,
                                            .row_count = rows,
                                            .column_count = columns,
                                            .fields = fields}));
  free(names);
  free(fields);
  free(texts);
}

static void put_scores(page *g) {
  const json_t *tasks = json_object_get(g->doc, "tasks"), *task, *of;
  size_t i, k;
  if (json_array_size(tasks) == 0) return;
  zh_paper_section(&g->p, zh_paper_word(&g->p, "scores"));
  zh_paper_sentence(&g->p, zh_paper_word(&g->p, "about ranks"));
  put_heat(g, tasks);
  zh_paper_table(&g->p, "ttnnnnt", "task|model|score|interval|ranks|items|remark");
  json_array_foreach(tasks, i, task) {
    json_array_foreach(json_object_get(task, "of"), k, of) put_score(g, task, of, k);
  }
}

/* --- pairs --- */

static const json_t *task_named(const page *g, const char *name) {
  const json_t *task;
  size_t i;
  json_array_foreach(json_object_get(g->doc, "tasks"), i, task) {
    if (strcmp(text_of(task, "task"), name) == 0) return task;
  }
  return NULL;
}

static void put_pair(page *g, const json_t *pair) {
  const json_t *task = task_named(g, text_of(pair, "task"));
  manner m = manner_of(task);
  zh_text verdict = {0};
  zh_text_puts(&verdict, flag_of(pair, "missing")
                             ? zh_paper_word(&g->p, "missing")
                             : zh_paper_word_of(&g->p, "score %s", text_of(pair, "verdict")));
  if (json_array_size(json_object_get(pair, "reasons")) > 0) zh_text_puts(&verdict, ": ");
  zh_text why = {0};
  join_sentences(&why, g, json_object_get(pair, "reasons"));
  zh_text_puts(&verdict, zh_text_string(&why));
  zh_paper_row(&g->p);
  zh_paper_cell(&g->p, task_name(g, task));
  zh_paper_cell(&g->p, label_at(g, pair, "first"));
  zh_paper_cell(&g->p, label_at(g, pair, "second"));
  zh_paper_cell(&g->p, figure(number_of(pair, "difference"), m, true).text);
  zh_paper_cell(&g->p, figure(number_of(pair, "se"), m, true).text + (number_of(pair, "se") > 0));
  zh_paper_cell(&g->p, between(number_of(pair, "low"), number_of(pair, "high"), m, true).text);
  zh_paper_cell(&g->p, chance(number_of(pair, "p")).text);
  zh_paper_cell(&g->p, chance(number_of(pair, "p_adjusted")).text);
  zh_paper_cell(&g->p, zh_text_string(&verdict));
  zh_text_free(&why);
  zh_text_free(&verdict);
}

static bool with_reference(const page *g, const json_t *pair) {
  json_int_t reference = json_integer_value(json_object_get(g->doc, "reference"));
  return json_integer_value(json_object_get(pair, "first")) == reference ||
         json_integer_value(json_object_get(pair, "second")) == reference;
}

static void put_pairs(page *g) {
  const json_t *pairs = json_object_get(g->doc, "pairs"), *pair,
               *family = json_object_get(g->doc, "family");
  bool all = json_array_size(pairs) <= PAIRS_SHOWN;
  size_t i;
  if (json_array_size(pairs) == 0) return;
  zh_paper_section(&g->p, zh_paper_word(&g->p, "pairs"));
  zh_paper_sentence(
      &g->p, zh_paper_word_of(&g->p, "%s %lld", text_of(family, "adjusted_by"),
                              (long long)json_integer_value(json_object_get(family, "tests"))));
  if (!all)
    zh_paper_sentence(&g->p,
                      zh_paper_word_of(&g->p, "pairs with %s", label_at(g, g->doc, "reference")));
  zh_paper_table(&g->p, "tttnnnnnt",
                 "task|first|second|difference|error|interval|p|adjusted|verdict");
  json_array_foreach(pairs, i, pair) {
    if (all || with_reference(g, pair)) put_pair(g, pair);
  }
}

/* --- speed against quality --- */

static void put_front_table(page *g, const json_t *front, manner m) {
  const json_t *point;
  size_t i;
  zh_paper_table(&g->p, "tnnt", "model|score|speed|dominated");
  json_array_foreach(json_object_get(front, "points"), i, point) {
    const json_t *by = json_object_get(point, "dominated_by");
    zh_text names = {0};
    for (size_t k = 0; k < json_array_size(by); k++)
      append(&names, label_of(g, json_integer_value(json_array_get(by, k))), ", ");
    if (flag_of(point, "surely")) zh_text_printf(&names, " (%s)", zh_paper_word(&g->p, "surely"));
    zh_paper_row(&g->p);
    zh_paper_cell(&g->p, label_at(g, point, "model"));
    zh_paper_cell(&g->p, figure(number_of(point, "score"), m, false).text);
    zh_paper_cell(&g->p, speed(number_of(point, "speed"), text_of(front, "unit")).text);
    zh_paper_cell(&g->p, zh_text_string(&names));
    zh_text_free(&names);
  }
}

/* Points that nothing dominates, by speed. */
static size_t order_front(size_t *order, const zh_chart_point *points, size_t count) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (strcmp(points[i].kind, "plain") != 0) continue;
    size_t at = kept++;
    for (; at > 0 && points[order[at - 1]].x > points[i].x; at--) order[at] = order[at - 1];
    order[at] = i;
  }
  return kept;
}

static double end_of(const json_t *object, const char *key, size_t end) {
  const json_t *value = json_array_get(json_object_get(object, key), end);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

static void put_front(page *g, const json_t *front) {
  const json_t *list = json_object_get(front, "points"), *point;
  size_t count = json_array_size(list), i, *order = calloc(count + 1, sizeof *order);
  zh_chart_point *points = calloc(count + 1, sizeof *points);
  const json_t *task = task_named(g, text_of(front, "task"));
  zh_paper_section(&g->p, zh_paper_word_of(&g->p, "front %s", text_of(front, "figure")));
  zh_paper_sentence(&g->p, zh_paper_word(&g->p, "about dominated"));
  json_array_foreach(list, i, point) {
    if (points == NULL || order == NULL) break;
    bool dominated = json_array_size(json_object_get(point, "dominated_by")) > 0;
    points[i] = (zh_chart_point){.x = number_of(point, "speed"),
                                 .y = number_of(point, "score"),
                                 .x_low = end_of(point, "speed_interval", 0),
                                 .x_high = end_of(point, "speed_interval", 1),
                                 .y_low = end_of(point, "score_interval", 0),
                                 .y_high = end_of(point, "score_interval", 1),
                                 .label = label_at(g, point, "model"),
                                 .title = label_at(g, point, "model"),
                                 .kind = dominated ? "weak" : "plain"};
  }
  if (points != NULL && order != NULL) {
    zh_text speed_title = {0}, score_title = {0};
    zh_text_printf(&speed_title, "%s, %s", text_of(front, "figure"), text_of(front, "unit"));
    zh_text_puts(&score_title, task_name(g, task));
    if (flag_of(front, "shares")) zh_text_puts(&score_title, ", %");
    const zh_chart chart = {
        .title = text_of(front, "figure"),
        .x = {.title = zh_text_string(&speed_title)},
        .y = {.title = zh_text_string(&score_title), .shift = flag_of(front, "shares") ? 2 : 0},
        .points = points,
        .count = count,
        .front = order,
        .front_count = order_front(order, points, count)};
    zh_paper_chart(&g->p, "scatter", zh_paper_word(&g->p, "about front"), zh_chart_scatter(&chart));
    zh_text_free(&speed_title);
    zh_text_free(&score_title);
  }
  put_front_table(g, front, manner_of(task));
  free(points);
  free(order);
}

/* --- quantisation --- */

static void put_names(page *g, const json_t *pair, const json_t *task) {
  zh_paper_row(&g->p);
  zh_paper_cell(&g->p, label_at(g, pair, "reference"));
  zh_paper_cell(&g->p, label_at(g, pair, "model"));
  zh_paper_cell(&g->p, text_of(task, "task"));
}

static void put_test(page *g, const json_t *test, manner m) {
  zh_paper_cell(&g->p, figure(number_of(test, "difference"), m, true).text);
  zh_paper_cell(&g->p, between(number_of(test, "low"), number_of(test, "high"), m, true).text);
  zh_paper_cell(&g->p, chance(number_of(test, "p")).text);
  zh_paper_cell(&g->p, chance(number_of(test, "p_adjusted")).text);
}

static void put_damage_scores(page *g, const json_t *pair) {
  const json_t *task;
  size_t i;
  json_array_foreach(json_object_get(pair, "tasks"), i, task) {
    const json_t *flips = json_object_get(task, "flips");
    if (!json_is_object(flips)) continue;
    char turned[64];
    snprintf(turned, sizeof turned, "%lld / %lld",
             (long long)json_integer_value(json_object_get(flips, "right_to_wrong")),
             (long long)json_integer_value(json_object_get(flips, "wrong_to_right")));
    put_names(g, pair, task);
    zh_paper_cell(&g->p, figure(number_of(task, "reference"), manner_of(task), false).text);
    zh_paper_cell(&g->p, figure(number_of(task, "score"), manner_of(task), false).text);
    zh_paper_cell(&g->p, turned);
    put_test(g, json_object_get(task, "test"), manner_of(task));
  }
}

/* Nats of the right answer, or bits a byte of texts. */
static void put_damage_likelihoods(page *g, const json_t *pair) {
  const manner texts = {false, true};
  const json_t *task;
  size_t i;
  json_array_foreach(json_object_get(pair, "tasks"), i, task) {
    const json_t *likely = json_object_get(task, "likelihood");
    bool of_texts = flag_of(task, "texts");
    if (!json_is_object(likely) && !of_texts) continue;
    put_names(g, pair, task);
    zh_paper_cell(&g->p, zh_paper_word(&g->p, of_texts ? "unit bits" : "unit nats"));
    put_test(g, of_texts ? json_object_get(task, "test") : likely, texts);
    zh_paper_cell(&g->p, figure(number_of(task, "perplexity_ratio"), texts, false).text);
  }
}

static void put_damage(page *g) {
  const json_t *damage = json_object_get(g->doc, "damage"),
               *pairs = json_object_get(damage, "pairs"), *pair, *task;
  size_t i, k;
  if (json_array_size(pairs) == 0) return;
  zh_paper_section(&g->p, zh_paper_word(&g->p, "damage"));
  zh_paper_sentence(
      &g->p, zh_paper_word_of(&g->p, "about damage %lld",
                              (long long)json_integer_value(json_object_get(damage, "tests"))));
  json_array_foreach(pairs, i, pair) {
    zh_text why = {0};
    join_sentences(&why, g, json_object_get(pair, "reasons"));
    json_array_foreach(json_object_get(pair, "tasks"), k, task)
        join_sentences(&why, g, json_object_get(task, "reasons"));
    if (why.length > 0) zh_paper_sentence(&g->p, why.data);
    zh_text_free(&why);
  }
  zh_paper_table(
      &g->p, "tttnnnnnnn",
      "reference|model|task|score reference|score|turned|difference|interval|p|adjusted");
  json_array_foreach(pairs, i, pair) put_damage_scores(g, pair);
  zh_paper_table(&g->p, "ttttnnnnn",
                 "reference|model|task|unit|change|interval|p|adjusted|perplexity");
  json_array_foreach(pairs, i, pair) put_damage_likelihoods(g, pair);
}

/* --- the page --- */

static void lay_out(page *g) {
  const json_t *front;
  size_t i;
  put_models(g);
  put_conditions(g);
  put_speeds(g);
  put_scores(g);
  put_pairs(g);
  json_array_foreach(json_object_get(g->doc, "fronts"), i, front) put_front(g, front);
  put_damage(g);
}

zh_status zh_comparison_page(char **out, const json_t *comparison, const char *language,
                             zh_page_form form, zh_error *err) {
  page g = {.doc = comparison, .models = json_object_get(comparison, "models")};
  *out = NULL;
  if (strcmp(text_of(comparison, "schema"), "zhiheng.compare/1") != 0)
    return zh_fail(err, ZH_ERR_INPUT, "a comparison must have the schema zhiheng.compare/1");
  zh_status status = zh_paper_begin(&g.p, "compare", language, err);
  if (status == ZH_OK) {
    lay_out(&g);
    status = form == ZH_PAGE_HTML       ? zh_paper_html(out, &g.p, err)
             : form == ZH_PAGE_MARKDOWN ? zh_paper_markdown(out, &g.p, err)
                                        : zh_paper_terminal(out, &g.p, err);
  }
  zh_paper_clear(&g.p);
  return status;
}
