/* Figures of a comparison as people read them. */
#include "reports/paper_compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "reports/number.h"

const char *zh_page_text(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

double zh_page_number(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

bool zh_page_flag(const json_t *object, const char *key) {
  return json_is_true(json_object_get(object, key));
}

const char *zh_page_label(const zh_compare_page *g, json_int_t model) {
  return zh_page_text(json_array_get(g->models, (size_t)model), "label");
}

const char *zh_page_label_at(const zh_compare_page *g, const json_t *object, const char *key) {
  return zh_page_label(g, json_integer_value(json_object_get(object, key)));
}

zh_manner zh_page_manner(const json_t *task) {
  return (zh_manner){zh_page_flag(task, "shares"), zh_page_flag(task, "texts")};
}

zh_shown zh_page_figure(double value, zh_manner m, bool difference) {
  zh_shown out = {""};
  char digits[ZH_NUMBER_CAPACITY];
  if (!isfinite(value)) {
    snprintf(out.text, ZH_SHOWN, "—");
    return out;
  }
  int decimals = m.shares ? 2 : m.texts ? 4 : zh_number_decimals(value, 0, 4);
  zh_number_fixed(digits, value, m.shares ? 2 : 0, decimals);
  snprintf(out.text, ZH_SHOWN, "%s%s%s", difference && value > 0 ? "+" : "", digits,
           m.shares && !difference ? "%" : "");
  return out;
}

zh_shown zh_page_between(double low, double high, zh_manner m, bool difference) {
  zh_shown out = {"—"};
  if (!isfinite(low) || !isfinite(high)) return out;
  snprintf(out.text, ZH_SHOWN, "%.200s … %.200s", zh_page_figure(low, m, difference).text,
           zh_page_figure(high, m, difference).text);
  return out;
}

zh_shown zh_page_chance(double p) {
  zh_shown out = {"—"};
  if (isfinite(p)) snprintf(out.text, ZH_SHOWN, p < 1e-4 ? "< 0.0001" : "%.4f", p);
  return out;
}

zh_shown zh_page_whole(const json_t *value) {
  zh_shown out = {"—"};
  if (json_is_integer(value) && json_integer_value(value) >= 0)
    zh_group_digits(out.text, ZH_SHOWN, (uint64_t)json_integer_value(value));
  return out;
}

/* A speed with its unit; digits follow the value. */
zh_shown zh_page_speed(double value, const char *unit) {
  zh_shown out = {"—"};
  char digits[ZH_NUMBER_CAPACITY];
  if (!isfinite(value)) return out;
  zh_number_scale scale = zh_number_scale_for(value, unit);
  zh_number_fixed(digits, value, scale.shift, zh_number_decimals(value, scale.shift, 4));
  snprintf(out.text, ZH_SHOWN, "%s %s", digits, scale.unit);
  return out;
}

void zh_page_append(zh_text *out, const char *text, const char *between) {
  if (out->length > 0) zh_text_puts(out, between);
  zh_text_puts(out, text);
}

/* Sentences of a list in the page's language. */
void zh_page_join(zh_text *out, const zh_compare_page *g, const json_t *list) {
  const json_t *entry;
  size_t i;
  json_array_foreach(list, i, entry) zh_page_append(out, zh_page_text(entry, g->p.language), " ");
}

const char *zh_page_task_name(zh_compare_page *g, const json_t *task) {
  return zh_page_flag(task, "overall") ? zh_paper_word(&g->p, "overall")
                                       : zh_page_text(task, "task");
}

const json_t *zh_page_task_named(const zh_compare_page *g, const char *name) {
  const json_t *task;
  size_t i;
  json_array_foreach(json_object_get(g->doc, "tasks"), i, task) {
    if (strcmp(zh_page_text(task, "task"), name) == 0) return task;
  }
  return NULL;
}
