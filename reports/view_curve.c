/* How a score falls as items get harder: a drawing, and the figures in words. */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "reports/number.h"
#include "reports/view.h"

/* As curve.svg.mustache has them. */
enum { WIDTH = 200, HEIGHT = 60 };

static double height_of(double score) {
  return HEIGHT * (1 - (score < 0 ? 0 : score > 1 ? 1 : score));
}

static double member(const json_t *at, const char *key, double otherwise) {
  const json_t *value = json_object_get(at, key);
  return json_is_number(value) ? json_number_value(value) : otherwise;
}

static void put_point(zh_view *view, json_t *out, zh_text *way, const json_t *at, double x) {
  char text[2][ZH_NUMBER_CAPACITY];
  double value = zh_view_real_of(view, at, "value", "curves");
  double low = member(at, "low", value), high = member(at, "high", value);
  zh_view_fixed(view, out, "level", zh_view_real_of(view, at, "level", "curves"), 0, 0);
  zh_view_fixed(view, out, "level_score", value, 2, 0);
  zh_view_fixed(view, out, "level_low", low, 2, 0);
  zh_view_fixed(view, out, "level_high", high, 2, 0);
  zh_view_fixed(view, out, "curve_x", x, 0, 1);
  zh_view_fixed(view, out, "curve_y", height_of(value), 0, 1);
  zh_view_fixed(view, out, "curve_low", height_of(low), 0, 1);
  zh_view_fixed(view, out, "curve_high", height_of(high), 0, 1);
  zh_text_printf(way, "%s%s,%s", way->length > 0 ? " " : "", zh_number_fixed(text[0], x, 0, 1),
                 zh_number_fixed(text[1], height_of(value), 0, 1));
}

/* The level at which half of the answers are right, or on which side of the levels it lies. */
static void put_half(zh_view *view, json_t *out, const json_t *half) {
  const char *side = zh_view_maybe_text(half, "side");
  const json_t *level = json_object_get(half, "level");
  zh_view_flag(view, out, "half_known", json_is_number(level));
  zh_view_fixed(view, out, "half_level", json_number_value(level), 0, 1);
  zh_view_flag(view, out, "half_below", side && strcmp(side, "below") == 0);
  zh_view_flag(view, out, "half_above", side && strcmp(side, "above") == 0);
}

void zh_view_curve(zh_view *view, json_t *list, const json_t *curve) {
  json_t *out = zh_view_item(view, list), *points = zh_view_list(view, out, "points");
  const json_t *given = zh_view_list_of(view, curve, "points", "curves");
  size_t count = json_array_size(given);
  zh_text way = {0};
  zh_view_text(view, out, "curve_task", zh_view_text_of(view, curve, "task", "curves"));
  for (size_t i = 0; i < count && view->status == ZH_OK; i++)
    put_point(view, zh_view_item(view, points), &way, json_array_get(given, i),
              WIDTH * ((double)i + 0.5) / (double)count);
  zh_view_text(view, out, "curve_way", zh_text_string(&way));
  if (way.failed) zh_view_fail(view, "curves", "out of memory");
  put_half(view, out, json_object_get(curve, "half"));
  zh_text_free(&way);
}
