/* Speeds, and speed against quality. */
#include "reports/paper_compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/chart.h"

static void put_ratio(zh_compare_page *g, const json_t *ratio) {
  const zh_manner plain = {false, false};
  zh_text text = {0};
  double value = zh_page_number(ratio, "value"), low = zh_page_number(ratio, "low"),
         high = zh_page_number(ratio, "high");
  if (isfinite(value)) zh_text_printf(&text, "%.3f", value);
  if (isfinite(low) && isfinite(high))
    zh_text_printf(&text, " (%.200s)", zh_page_between(low, high, plain, false).text);
  zh_paper_cell(&g->p, text.length > 0 ? text.data : NULL);
  zh_text_free(&text);
  const char *why = json_string_value(json_object_get(ratio, "why"));
  zh_text_puts(&text, ratio != NULL
                          ? zh_paper_word_of(&g->p, "speed %s", zh_page_text(ratio, "verdict"))
                          : "");
  if (why != NULL) zh_text_printf(&text, ": %s", zh_paper_word_of(&g->p, "why %s", why));
  zh_paper_cell(&g->p, zh_text_string(&text));
  zh_text_free(&text);
}

static void put_range(zh_compare_page *g, double low, double high, const char *unit) {
  zh_text range = {0};
  if (isfinite(low) && isfinite(high))
    zh_text_printf(&range, "%.200s … %.200s", zh_page_speed(low, unit).text,
                   zh_page_speed(high, unit).text);
  zh_paper_cell(&g->p, range.data);
  zh_text_free(&range);
}

static void put_speed(zh_compare_page *g, const json_t *of, const char *figure_name,
                      const char *unit, size_t model) {
  zh_paper_row(&g->p);
  zh_paper_cell(&g->p, figure_name);
  zh_paper_cell(&g->p, zh_page_label(g, (json_int_t)model));
  if (!json_is_object(of)) {
    zh_paper_cell(&g->p, zh_paper_word(&g->p, "missing"));
    for (int i = 0; i < 4; i++) zh_paper_cell(&g->p, NULL);
    return;
  }
  zh_paper_cell(&g->p, zh_page_speed(zh_page_number(of, "value"), unit).text);
  put_range(g, zh_page_number(of, "low"), zh_page_number(of, "high"), unit);
  zh_paper_cell(&g->p, zh_page_whole(json_object_get(of, "n")).text);
  put_ratio(g, json_object_get(of, "ratio"));
}

void zh_page_speeds(zh_compare_page *g) {
  const json_t *list = json_object_get(g->doc, "speeds"), *entry, *of;
  size_t i, k;
  if (json_array_size(list) == 0) return;
  zh_paper_section(&g->p, zh_paper_word(&g->p, "speeds"));
  zh_paper_sentence(
      &g->p, zh_paper_word_of(&g->p, "ratio to %s", zh_page_label_at(g, g->doc, "reference")));
  zh_paper_table(&g->p, "ttnnnnt", "figure|model|median|interval|n|ratio|verdict");
  json_array_foreach(list, i, entry) {
    json_array_foreach(json_object_get(entry, "of"), k, of)
        put_speed(g, of, zh_page_text(entry, "figure"), zh_page_text(entry, "unit"), k);
  }
}

static void put_front_table(zh_compare_page *g, const json_t *front, zh_manner m) {
  const json_t *point;
  size_t i;
  zh_paper_table(&g->p, "tnnt", "model|score|speed|dominated");
  json_array_foreach(json_object_get(front, "points"), i, point) {
    const json_t *by = json_object_get(point, "dominated_by");
    zh_text names = {0};
    for (size_t k = 0; k < json_array_size(by); k++)
      zh_page_append(&names, zh_page_label(g, json_integer_value(json_array_get(by, k))), ", ");
    if (zh_page_flag(point, "surely"))
      zh_text_printf(&names, " (%s)", zh_paper_word(&g->p, "surely"));
    zh_paper_row(&g->p);
    zh_paper_cell(&g->p, zh_page_label_at(g, point, "model"));
    zh_paper_cell(&g->p, zh_page_figure(zh_page_number(point, "score"), m, false).text);
    zh_paper_cell(&g->p,
                  zh_page_speed(zh_page_number(point, "speed"), zh_page_text(front, "unit")).text);
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

void zh_page_front(zh_compare_page *g, const json_t *front) {
  const json_t *list = json_object_get(front, "points"), *point;
  size_t count = json_array_size(list), i, *order = calloc(count + 1, sizeof *order);
  zh_chart_point *points = calloc(count + 1, sizeof *points);
  const json_t *task = zh_page_task_named(g, zh_page_text(front, "task"));
  zh_paper_section(&g->p, zh_paper_word_of(&g->p, "front %s", zh_page_text(front, "figure")));
  zh_paper_sentence(&g->p, zh_paper_word(&g->p, "about dominated"));
  json_array_foreach(list, i, point) {
    if (points == NULL || order == NULL) break;
    bool dominated = json_array_size(json_object_get(point, "dominated_by")) > 0;
    points[i] = (zh_chart_point){.x = zh_page_number(point, "speed"),
                                 .y = zh_page_number(point, "score"),
                                 .x_low = end_of(point, "speed_interval", 0),
                                 .x_high = end_of(point, "speed_interval", 1),
                                 .y_low = end_of(point, "score_interval", 0),
                                 .y_high = end_of(point, "score_interval", 1),
                                 .label = zh_page_label_at(g, point, "model"),
                                 .title = zh_page_label_at(g, point, "model"),
                                 .kind = dominated ? "weak" : "plain"};
  }
  if (points != NULL && order != NULL) {
    zh_text speed_title = {0}, score_title = {0};
    zh_text_printf(&speed_title, "%s, %s", zh_page_text(front, "figure"),
                   zh_page_text(front, "unit"));
    zh_text_puts(&score_title, zh_page_task_name(g, task));
    if (zh_page_flag(front, "shares")) zh_text_puts(&score_title, ", %");
    const zh_chart chart = {.title = zh_page_text(front, "figure"),
                            .x = {.title = zh_text_string(&speed_title)},
                            .y = {.title = zh_text_string(&score_title),
                                  .shift = zh_page_flag(front, "shares") ? 2 : 0},
                            .points = points,
                            .count = count,
                            .front = order,
                            .front_count = order_front(order, points, count)};
    zh_paper_chart(&g->p, "scatter", zh_paper_word(&g->p, "about front"), zh_chart_scatter(&chart));
    zh_text_free(&speed_title);
    zh_text_free(&score_title);
  }
  put_front_table(g, front, zh_page_manner(task));
  free(points);
  free(order);
}
