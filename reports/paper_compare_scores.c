/* Scores, their heat map, and pairs. */
#include "reports/paper_compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "reports/chart.h"

enum { PAIRS_SHOWN = 240, HEAT_POINTS = 20 };

static void put_score(zh_compare_page *g, const json_t *task, const json_t *of, size_t model) {
  zh_manner m = zh_page_manner(task);
  double score = zh_page_number(of, "score");
  const json_t *ranks = json_object_get(of, "ranks");
  char set[64];
  snprintf(set, sizeof set, "%lld–%lld / %lld",
           (long long)json_integer_value(json_array_get(ranks, 0)),
           (long long)json_integer_value(json_array_get(ranks, 1)),
           (long long)json_integer_value(json_array_get(ranks, 2)));
  zh_text why = {0};
  zh_page_join(&why, g, json_object_get(of, "faults"));
  zh_paper_row(&g->p);
  zh_paper_cell(&g->p, zh_page_task_name(g, task));
  zh_paper_cell(&g->p, zh_page_label(g, (json_int_t)model));
  zh_paper_cell(&g->p, zh_page_flag(of, "missing") && !zh_page_flag(task, "overall")
                           ? zh_paper_word(&g->p, "missing")
                           : zh_page_figure(score, m, false).text);
  zh_paper_cell(
      &g->p, zh_page_between(zh_page_number(of, "low"), zh_page_number(of, "high"), m, false).text);
  zh_paper_cell(&g->p, ranks != NULL ? set : NULL);
  zh_paper_cell(&g->p, zh_page_whole(json_object_get(of, "items")).text);
  zh_paper_cell(&g->p, zh_text_string(&why));
  zh_text_free(&why);
}

/* How far a score lies from the reference's, of the colours' whole range. */
static double heat_of(const json_t *task, double score, double reference) {
  double difference = score - reference;
  if (zh_page_flag(task, "fewer_is_better")) difference = -difference;
  double whole_range = zh_page_flag(task, "shares") ? HEAT_POINTS / 100.0 : fabs(reference) * 0.2;
  return whole_range > 0 ? fmax(-1, fmin(1, difference / whole_range)) : 0;
}

static void put_heat(zh_compare_page *g, const json_t *tasks) {
  size_t rows = json_array_size(tasks), columns = json_array_size(g->models), r;
  const json_t *task;
  size_t reference = (size_t)json_integer_value(json_object_get(g->doc, "reference"));
  const char **names = calloc(rows + columns + 1, sizeof *names);
  zh_heat_field *fields = calloc(rows * columns + 1, sizeof *fields);
  zh_shown *texts = calloc(rows * columns + 1, sizeof *texts);
  for (size_t c = 0; names != NULL && c < columns; c++)
    names[rows + c] = zh_page_label(g, (json_int_t)c);
  json_array_foreach(tasks, r, task) {
    const json_t *of = json_object_get(task, "of");
    double base = zh_page_number(json_array_get(of, reference), "score");
    if (names == NULL || fields == NULL || texts == NULL) break;
    names[r] = zh_page_task_name(g, task);
    for (size_t c = 0; c < columns; c++) {
      double score = zh_page_number(json_array_get(of, c), "score");
      texts[r * columns + c] = zh_page_figure(score, zh_page_manner(task), false);
      fields[r * columns + c] =
          (zh_heat_field){texts[r * columns + c].text, names[rows + c],
                          isfinite(score) && isfinite(base) ? heat_of(task, score, base) : NAN};
    }
  }
  if (names != NULL && fields != NULL && texts != NULL)
    zh_paper_chart(
        &g->p, "heat",
        zh_paper_word_of(&g->p, "about heat %s", zh_page_label_at(g, g->doc, "reference")),
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

void zh_page_scores(zh_compare_page *g) {
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

static void put_pair(zh_compare_page *g, const json_t *pair) {
  const json_t *task = zh_page_task_named(g, zh_page_text(pair, "task"));
  zh_manner m = zh_page_manner(task);
  zh_text verdict = {0};
  zh_text_puts(&verdict, zh_page_flag(pair, "missing")
                             ? zh_paper_word(&g->p, "missing")
                             : zh_paper_word_of(&g->p, "score %s", zh_page_text(pair, "verdict")));
  if (json_array_size(json_object_get(pair, "reasons")) > 0) zh_text_puts(&verdict, ": ");
  zh_text why = {0};
  zh_page_join(&why, g, json_object_get(pair, "reasons"));
  zh_text_puts(&verdict, zh_text_string(&why));
  zh_paper_row(&g->p);
  zh_paper_cell(&g->p, zh_page_task_name(g, task));
  zh_paper_cell(&g->p, zh_page_label_at(g, pair, "first"));
  zh_paper_cell(&g->p, zh_page_label_at(g, pair, "second"));
  zh_paper_cell(&g->p, zh_page_figure(zh_page_number(pair, "difference"), m, true).text);
  zh_paper_cell(&g->p, zh_page_figure(zh_page_number(pair, "se"), m, true).text +
                           (zh_page_number(pair, "se") > 0));
  zh_paper_cell(
      &g->p,
      zh_page_between(zh_page_number(pair, "low"), zh_page_number(pair, "high"), m, true).text);
  zh_paper_cell(&g->p, zh_page_chance(zh_page_number(pair, "p")).text);
  zh_paper_cell(&g->p, zh_page_chance(zh_page_number(pair, "p_adjusted")).text);
  zh_paper_cell(&g->p, zh_text_string(&verdict));
  zh_text_free(&why);
  zh_text_free(&verdict);
}

static bool with_reference(const zh_compare_page *g, const json_t *pair) {
  json_int_t reference = json_integer_value(json_object_get(g->doc, "reference"));
  return json_integer_value(json_object_get(pair, "first")) == reference ||
         json_integer_value(json_object_get(pair, "second")) == reference;
}

void zh_page_pairs(zh_compare_page *g) {
  const json_t *pairs = json_object_get(g->doc, "pairs"), *pair,
               *family = json_object_get(g->doc, "family");
  bool all = json_array_size(pairs) <= PAIRS_SHOWN;
  size_t i;
  if (json_array_size(pairs) == 0) return;
  zh_paper_section(&g->p, zh_paper_word(&g->p, "pairs"));
  zh_paper_sentence(
      &g->p, zh_paper_word_of(&g->p, "%s %lld", zh_page_text(family, "adjusted_by"),
                              (long long)json_integer_value(json_object_get(family, "tests"))));
  if (!all)
    zh_paper_sentence(
        &g->p, zh_paper_word_of(&g->p, "pairs with %s", zh_page_label_at(g, g->doc, "reference")));
  zh_paper_table(&g->p, "tttnnnnnt",
                 "task|first|second|difference|error|interval|p|adjusted|verdict");
  json_array_foreach(pairs, i, pair) {
    if (all || with_reference(g, pair)) put_pair(g, pair);
  }
}
