/* Items with their options in other orders. */
#include <stdlib.h>
#include <string.h>

#include "bench/quality/contamination/variants.h"
#include "bench/quality/python_values.h"
#include "core/text.h"

enum { OPTIONS_MAX = 26, ALL_ORDERS = 4 }; /* up to so many options: every order */

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (orders of options)");
}

/* Where the options of an item stand. */
typedef struct options {
  enum { IN_LIST, IN_COLUMNS, SHOWN } place;
  const char *column; /* IN_LIST; with a member where that is an object */
  const char *member;
  const json_t *at[OPTIONS_MAX]; /* borrowed from the item or from `choices` */
  size_t count;
  json_t *choices; /* what the task makes of the item */
} options;

static bool take_texts(options *o, const json_t *list) {
  size_t count = json_array_size(list);
  if (count < 2 || count > OPTIONS_MAX) return false;
  for (size_t i = 0; i < count; i++) {
    o->at[i] = json_array_get(list, i);
    if (!json_is_string(o->at[i])) return false;
  }
  o->count = count;
  return true;
}

/* A column that is a list of as many texts as there are choices: ["…", "…"] or {"text": […]}. */
static bool find_list(options *o, const json_t *doc) {
  const char *key;
  json_t *value;
  size_t wanted = json_array_size(o->choices);
  json_object_foreach((json_t *)(uintptr_t)doc, key, value) {
    const json_t *inner = json_is_object(value) ? json_object_get(value, "text") : NULL;
    const json_t *list = inner ? inner : value;
    if (!json_is_array(list) || (wanted > 0 && json_array_size(list) != wanted)) continue;
    if (!take_texts(o, list)) continue;
    o->place = IN_LIST;
    o->column = key;
    o->member = inner ? "text" : NULL;
    return true;
  }
  return false;
}

/* Columns A, B, C … */
static bool find_columns(options *o, const json_t *doc) {
  for (o->count = 0; o->count < OPTIONS_MAX; o->count++) {
    const char name[2] = {(char)('A' + o->count), 0};
    const json_t *value = json_object_get(doc, name);
    if (!json_is_string(value)) break;
    o->at[o->count] = value;
  }
  o->place = IN_COLUMNS;
  return o->count >= 2;
}

/* "A", "B", "C" alone say nothing that could be put in another order. */
static bool are_labels(const options *o) {
  bool all = true;
  for (size_t i = 0; i < o->count; i++) all = all && json_string_length(o->at[i]) == 1;
  return all;
}

static zh_status find_options(options *o, const zh_exam_task *t, const json_t *doc, zh_error *err) {
  *o = (options){0};
  if (t->choice.value) ZH_TRY(zh_task_choices(&o->choices, t, &t->choice, doc, err));
  if (find_list(o, doc) || find_columns(o, doc)) return ZH_OK;
  o->place = SHOWN;
  if (!take_texts(o, o->choices) || are_labels(o)) o->count = 0;
  return ZH_OK;
}

/* ---- which items say something ---- */

static bool has(const json_t *text, const char *part) {
  return strstr(json_string_value(text), part) != NULL;
}

/* Numbers that rise or fall stand where anybody would put them. */
static bool numbers_in_order(const options *o) {
  bool rising = true, falling = true;
  double before = 0;
  for (size_t i = 0; i < o->count; i++) {
    char *end;
    const char *text = json_string_value(o->at[i]);
    double value = strtod(text, &end);
    if (end == text) return false;
    if (i > 0 && !(value > before)) rising = false;
    if (i > 0 && !(value < before)) falling = false;
    before = value;
  }
  return rising || falling;
}

/* 以上都是, "none of the above": only the last place is theirs. */
static bool has_its_place(const json_t *option) {
  return has(option, "the above") || has(option, "of these") || has(option, "以上") ||
         has(option, "上述");
}

static bool says_something(const options *o) {
  if (o->count < 2 || numbers_in_order(o)) return false;
  for (size_t i = 0; i < o->count; i++) {
    if (json_string_length(o->at[i]) == 0 || has_its_place(o->at[i])) return false;
    for (size_t k = 0; k < i; k++)
      if (json_equal(o->at[i], o->at[k])) return false;
  }
  return true;
}

/* ---- an item in an order ---- */

static json_t *permuted_list(const options *o, const uint32_t *order) {
  json_t *list = json_array();
  for (size_t i = 0; i < o->count; i++)
    json_array_append(list, (json_t *)(uintptr_t)o->at[order[i]]);
  return list;
}

static json_t *permuted_doc(const json_t *doc, const options *o, const uint32_t *order) {
  json_t *copy = json_copy((json_t *)(uintptr_t)doc);
  if (o->place == IN_COLUMNS) {
    for (size_t i = 0; i < o->count; i++) {
      const char name[2] = {(char)('A' + i), 0};
      json_object_set(copy, name, (json_t *)(uintptr_t)o->at[order[i]]);
    }
  } else if (o->place == IN_LIST && o->member) {
    json_t *inner = json_copy(json_object_get(doc, o->column));
    json_object_set_new(inner, o->member, permuted_list(o, order));
    json_object_set_new(copy, o->column, inner);
  } else if (o->place == IN_LIST) {
    json_object_set_new(copy, o->column, permuted_list(o, order));
  }
  return copy;
}

static zh_status question_of(zh_text *out, const zh_exam_task *t, const json_t *doc,
                             const options *o, const uint32_t *order, zh_error *err) {
  json_t *copy = permuted_doc(doc, o, order), *question = NULL;
  zh_status status = copy ? ZH_OK : no_memory(err);
  if (status == ZH_OK && t->text.value) status = zh_task_text(&question, t, &t->text, copy, err);
  zh_text_append(out, json_string_value(question) ? json_string_value(question) : "",
                 json_string_length(question));
  json_decref(copy);
  json_decref(question);
  return status;
}

static zh_status write_item(zh_text *out, const zh_exam_task *t, const json_t *doc,
                            const options *o, const uint32_t *order, bool listed, zh_error *err) {
  ZH_TRY(question_of(out, t, doc, o, order, err));
  for (size_t i = 0; listed && i < o->count; i++) {
    zh_text_printf(out, "\n%c. ", (char)('A' + i));
    zh_text_append(out, json_string_value(o->at[order[i]]), json_string_length(o->at[order[i]]));
  }
  return out->failed ? no_memory(err) : ZH_OK;
}

/* Whether the task's own question shows them: then another order makes another question. */
static zh_status shows_options(bool *out, const zh_exam_task *t, const json_t *doc,
                               const options *o, zh_error *err) {
  uint32_t as_is[OPTIONS_MAX], turned[OPTIONS_MAX];
  zh_text a = {0}, b = {0};
  for (uint32_t i = 0; i < o->count; i++) {
    as_is[i] = i;
    turned[i] = (uint32_t)o->count - 1 - i;
  }
  zh_status status = question_of(&a, t, doc, o, as_is, err);
  if (status == ZH_OK) status = question_of(&b, t, doc, o, turned, err);
  *out = a.length != b.length || (a.length > 0 && memcmp(a.data, b.data, a.length) != 0);
  zh_text_free(&a);
  zh_text_free(&b);
  return status;
}

/* ---- orders ---- */

/* The next permutation in the order of the dictionary; false after the last. */
static bool next_order(uint32_t *order, size_t count) {
  size_t i = count - 1, k = count - 1;
  while (i > 0 && order[i - 1] >= order[i]) i--;
  if (i == 0) return false;
  while (order[k] <= order[i - 1]) k--;
  uint32_t kept = order[i - 1];
  order[i - 1] = order[k];
  order[k] = kept;
  for (size_t low = i, high = count - 1; low < high; low++, high--) {
    kept = order[low];
    order[low] = order[high];
    order[high] = kept;
  }
  return true;
}

/* Drawn orders are none of those before, the published one included. orders[most][OPTIONS_MAX] */
static size_t choose_orders(uint32_t (*orders)[OPTIONS_MAX], size_t most, size_t count,
                            const zh_variant_options *chosen, size_t item) {
  size_t made = 1, tries = 0;
  for (uint32_t i = 0; i < count; i++) orders[0][i] = i;
  if (count <= ALL_ORDERS) {
    for (; made < most; made++) {
      memcpy(orders[made], orders[made - 1], count * sizeof **orders);
      if (!next_order(orders[made], count)) break;
    }
    return made;
  }
  while (made < most) {
    zh_variant_shuffle(orders[made], count, chosen, item, tries++);
    bool known = false;
    for (size_t k = 0; k < made; k++)
      known |= memcmp(orders[k], orders[made], count * sizeof **orders) == 0;
    made += !known;
  }
  return made;
}

/* Bytes that all texts begin with, up to the last line end or blank among them. */
static size_t shared_beginning(const zh_text *texts, size_t count) {
  size_t same = texts[0].length;
  for (size_t i = 1; i < count; i++) {
    size_t n = 0;
    while (n < same && n < texts[i].length && texts[i].data[n] == texts[0].data[n]) n++;
    same = n;
  }
  while (same > 0 && texts[0].data[same - 1] != '\n' && texts[0].data[same - 1] != ' ') same--;
  size_t inked = same; /* a context of blanks alone is none */
  while (inked > 0 && (texts[0].data[inked - 1] == '\n' || texts[0].data[inked - 1] == ' '))
    inked--;
  return inked;
}

static zh_status add_row(zh_variants *out, const zh_exam_task *t, const json_t *doc, size_t item,
                         const options *o, const zh_variant_options *chosen, zh_error *err) {
  size_t most = chosen->others + 1, made = 0;
  uint32_t(*orders)[OPTIONS_MAX] = calloc(most, sizeof *orders);
  zh_text *texts = calloc(most, sizeof *texts);
  bool shown = false;
  zh_status status = orders && texts ? shows_options(&shown, t, doc, o, err) : no_memory(err);
  if (status == ZH_OK) made = choose_orders(orders, most, o->count, chosen, item);
  for (size_t i = 0; status == ZH_OK && i < made; i++)
    status = write_item(&texts[i], t, doc, o, orders[i], !shown, err);
  size_t same = status == ZH_OK ? shared_beginning(texts, made) : 0;
  if (status == ZH_OK) status = zh_variants_begin(out, item, err);
  for (size_t i = 0; status == ZH_OK && i < made; i++)
    status = zh_variants_add(out, texts[0].data, same, texts[i].data + same, texts[i].length - same,
                             err);
  for (size_t i = 0; texts && i < most; i++) zh_text_free(&texts[i]);
  free(texts);
  free(orders);
  return status;
}

zh_status zh_variants_of_options(zh_variants *out, const zh_exam_task *t,
                                 const zh_variant_options *chosen, zh_error *err) {
  zh_status status = ZH_OK;
  *out = (zh_variants){0};
  for (size_t i = 0; status == ZH_OK && i < t->taken; i++) {
    const json_t *doc = json_array_get(t->docs, i);
    options o;
    status = find_options(&o, t, doc, err);
    if (status == ZH_OK && says_something(&o))
      status = add_row(out, t, doc, i, &o, chosen, err);
    else if (status == ZH_OK)
      out->left_out++;
    json_decref(o.choices);
    if (status != ZH_OK) zh_error_prefix(err, "item %zu", i);
  }
  if (status != ZH_OK) zh_variants_free(out);
  return status;
}
