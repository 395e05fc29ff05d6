/* How well the models answered: scores with their errors, what was asked, and under which
 * protocol. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "reports/view.h"

enum { SCORE_DECIMALS = 4, WHERE_CAPACITY = 64, DEEPEST = 8 };

static void put_score(zh_view *view, json_t *rows, const json_t *figure, const char *where) {
  json_t *row = zh_view_item(view, rows);
  const json_t *value = json_object_get(figure, "value"),
               *error = json_object_get(figure, "stderr");
  const char *filter = zh_view_text_of(view, figure, "filter", where);
  int64_t depth = zh_view_int_of(view, figure, "depth", where);
  char indent[8];
  snprintf(indent, sizeof indent, "%d", depth < 0 ? 0 : depth > DEEPEST ? DEEPEST : (int)depth);
  zh_view_text(view, row, "score_name", zh_view_text_of(view, figure, "alias", where));
  zh_view_text(view, row, "indent", indent);
  zh_view_word(view, row, "score_metric", "metrics",
               zh_view_text_of(view, figure, "metric", where));
  zh_view_text(view, row, "score_filter", strcmp(filter, "none") == 0 ? NULL : filter);
  zh_view_flag(view, row, "score_known", json_is_number(value));
  zh_view_fixed(view, row, "score", json_number_value(value), 0, SCORE_DECIMALS);
  bool none = json_is_number(error) && json_number_value(error) == 0; /* as older bundles say it */
  zh_view_flag(view, row, "score_error", json_is_number(error) && !none);
  zh_view_flag(view, row, "score_alike", json_is_true(json_object_get(figure, "alike")) || none);
  zh_view_fixed(view, row, "error", json_number_value(error), 0, SCORE_DECIMALS);
  zh_view_fixed(view, row, "items", (double)zh_view_int_of(view, figure, "items", where), 0, 0);
}

/* What a data set is licensed as and where it is from: {"zh","en"}. */
static void put_sources(zh_view *view, json_t *into, const json_t *quality) {
  json_t *list = zh_view_list(view, into, "score_sources");
  const json_t *sources = json_object_get(quality, "sources");
  for (size_t i = 0; i < json_array_size(sources) && view->status == ZH_OK; i++)
    zh_view_local(view, zh_view_item(view, list), "score_source", json_array_get(sources, i),
                  view->language, "sources");
}

static void put_curves(zh_view *view, json_t *into, const json_t *quality) {
  json_t *list = zh_view_list(view, into, "curves");
  const json_t *curves = json_object_get(quality, "curves");
  for (size_t i = 0; i < json_array_size(curves) && view->status == ZH_OK; i++)
    zh_view_curve(view, list, json_array_get(curves, i));
}

static void put_step(zh_view *view, json_t *list, const json_t *step, const json_t *quality) {
  json_t *out = zh_view_item(view, list), *rows = zh_view_list(view, out, "scores");
  const json_t *figures = zh_view_list_of(view, quality, "figures", "facts.quality"),
               *protocol = json_object_get(quality, "protocol");
  char seed[32];
  for (size_t i = 0; i < json_array_size(figures) && view->status == ZH_OK; i++) {
    char where[WHERE_CAPACITY];
    snprintf(where, sizeof where, "facts.quality.figures[%zu]", i);
    put_score(view, rows, json_array_get(figures, i), where);
  }
  snprintf(seed, sizeof seed, "%lld",
           (long long)zh_view_int_of(view, quality, "seed", "facts.quality"));
  zh_view_text(view, out, "quality_step", zh_view_text_of(view, step, "step", "run.steps"));
  zh_view_text(view, out, "made_seed", seed);
  zh_view_digest(view, out, "protocol_sm3",
                 json_is_object(protocol)
                     ? zh_view_text_of(view, protocol, "sm3", "facts.quality.protocol")
                     : "");
  put_sources(view, out, quality);
  put_curves(view, out, quality);
}

void zh_view_quality(zh_view *view) {
  json_t *list = zh_view_list(view, view->root, "quality");
  const json_t *bundles = zh_view_list_of(view, view->evaluation, "bundle", "evaluation.json");
  for (size_t b = 0; b < json_array_size(bundles); b++) {
    const json_t *run = json_object_get(json_array_get(bundles, b), "run");
    const json_t *steps = json_object_get(run, "steps");
    for (size_t i = 0; i < json_array_size(steps) && view->status == ZH_OK; i++) {
      const json_t *step = json_array_get(steps, i),
                   *quality = json_object_get(json_object_get(step, "facts"), "quality");
      const char *status = zh_view_maybe_text(step, "status");
      if (json_is_object(quality) && status && strcmp(status, "failed") != 0)
        put_step(view, list, step, quality);
    }
  }
  zh_view_flag(view, view->root, "has_quality", json_array_size(list) > 0);
}
