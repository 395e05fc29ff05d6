/* What would decide the conditions that are open, or meet those that fail: each once, with the
 * amounts that wait for it. Questions to the authority have their own table. */
#include <stdio.h>
#include <string.h>

#include "reports/view.h"

static bool is_question(const zh_view *view, const char *text) {
  const json_t *readings = json_object_get(view->evaluation, "readings");
  for (size_t i = 0; i < json_array_size(readings); i++) {
    const json_t *question = json_object_get(json_array_get(readings, i), "question");
    const char *words = zh_view_maybe_text(question, view->language);
    if (words && strstr(text, words)) return true;
  }
  return false;
}

static json_t *row_of(zh_view *view, json_t *list, const json_t *entry, const char *text) {
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *known = zh_view_maybe_text(json_array_get(list, i), "would_text");
    if (known && strcmp(known, text) == 0) return json_array_get(list, i);
  }
  json_t *row = zh_view_item(view, list);
  zh_view_number(view, row, "would_no", json_array_size(list));
  zh_view_text(view, row, "would_text", text);
  zh_view_verdict(view, row, entry, "grants.would_take");
  zh_view_list(view, row, "would_grants");
  return row;
}

/* An amount that waits for the same paper twice is named once. */
static void add_grant(zh_view *view, json_t *row, size_t number, size_t all) {
  json_t *grants = json_object_get(row, "would_grants");
  char text[24];
  snprintf(text, sizeof text, "%zu", number);
  const json_t *last = json_array_get(grants, json_array_size(grants) - 1);
  const char *known = zh_view_maybe_text(last, "grant_no");
  if (known && strcmp(known, text) == 0) return;
  zh_view_text(view, zh_view_item(view, grants), "grant_no", text);
  zh_view_flag(view, row, "for_all", json_array_size(grants) == all);
}

/* A list with the failing ones first. */
static void put_sorted(zh_view *view, const json_t *rows) {
  static const char *const order[] = {"fail", "undetermined"};
  json_t *out = zh_view_list(view, view->root, "would");
  for (size_t o = 0; o < 2; o++) {
    for (size_t i = 0; i < json_array_size(rows) && view->status == ZH_OK; i++) {
      json_t *row = json_array_get(rows, i);
      const char *verdict = zh_view_maybe_text(row, "verdict_class");
      if (!verdict || strcmp(verdict, order[o]) != 0) continue;
      zh_view_number(view, row, "would_no", json_array_size(out) + 1);
      if (json_array_append(out, row) != 0) zh_view_fail(view, "would_take", "out of memory");
    }
  }
  zh_view_flag(view, view->root, "has_would", json_array_size(out) > 0);
  zh_view_number(view, view->root, "would_count", json_array_size(out));
}

void zh_view_would(zh_view *view) {
  const json_t *grants = zh_view_list_of(view, view->evaluation, "grants", "evaluation.json");
  json_t *rows = json_array();
  for (size_t i = 0; i < json_array_size(grants) && view->status == ZH_OK; i++) {
    const json_t *list = zh_view_list_of(view, json_array_get(grants, i), "would_take", "grants");
    for (size_t k = 0; k < json_array_size(list) && view->status == ZH_OK; k++) {
      const json_t *entry = json_array_get(list, k);
      const char *text = zh_view_local_of(view, entry, "text", "grants.would_take");
      if (view->status != ZH_OK || is_question(view, text)) continue;
      json_t *row = row_of(view, rows, entry, text);
      if (view->status == ZH_OK) add_grant(view, row, i + 1, json_array_size(grants));
    }
  }
  put_sorted(view, rows);
  json_decref(rows);
}
