/* == < in, and sorting: as Python compares. */
#include <math.h>
#include <string.h>

#include "core/template_parts.h"

enum { NESTED_MAX = 80 };

static bool is_number(tpl_value v) {
  return v.kind == TPL_INT || v.kind == TPL_BOOL || v.kind == TPL_FLOAT;
}

/* Holds every int64_t and every double on the machines we run on: 64 bits of mantissa or more. */
static long double number_of(tpl_value v) {
  if (v.kind == TPL_FLOAT) return (long double)v.as.real;
  return v.kind == TPL_BOOL ? (long double)v.as.truth : (long double)v.as.integer;
}

static zh_status equal(bool *out, tpl_run *run, tpl_value a, tpl_value b, int depth);

static zh_status equal_lists(bool *out, tpl_run *run, tpl_value a, tpl_value b, int depth) {
  tpl_list *left = a.as.list, *right = b.as.list;
  if (left == right) return ZH_OK;
  *out = false;
  if (left->form != right->form || left->form == TPL_GENERATOR || left->form == TPL_VIEW ||
      left->count != right->count)
    return ZH_OK;
  tpl_value *x, *y;
  size_t count;
  ZH_TRY(tpl_items(&x, &count, run, a));
  ZH_TRY(tpl_items(&y, &count, run, b));
  *out = true;
  for (size_t i = 0; i < count && *out; i++) ZH_TRY(equal(out, run, x[i], y[i], depth + 1));
  return ZH_OK;
}

static zh_status equal_dicts(bool *out, tpl_run *run, tpl_dict *a, tpl_dict *b, int depth) {
  if (a == b) return ZH_OK;
  *out = a->count == b->count;
  if (!*out) return ZH_OK;
  ZH_TRY(tpl_dict_pairs(run, a));
  for (size_t i = 0; i < a->count && *out; i++) {
    tpl_value other;
    ZH_TRY(tpl_dict_get(out, &other, run, b, a->keys[i]));
    if (*out) ZH_TRY(equal(out, run, a->values[i], other, depth + 1));
  }
  return ZH_OK;
}

static zh_status equal(bool *out, tpl_run *run, tpl_value a, tpl_value b, int depth) {
  *out = true;
  if (depth > NESTED_MAX) return tpl_fail(run, "%s", "values nested too deeply are compared");
  ZH_TRY(tpl_charge(run, 0));
  ZH_TRY(tpl_strict(run, a));
  ZH_TRY(tpl_strict(run, b));
  if (is_number(a) && is_number(b)) {
    *out = number_of(a) == number_of(b);
    return ZH_OK;
  }
  if (a.kind != b.kind) {
    *out = false;
    return ZH_OK;
  }
  switch (a.kind) {
  case TPL_UNDEFINED:
  case TPL_NONE:
    return ZH_OK;
  case TPL_STRING:
    *out = a.as.string->length == b.as.string->length &&
           memcmp(a.as.string->bytes, b.as.string->bytes, a.as.string->length) == 0;
    return tpl_charge(run, *out ? a.as.string->length : 0);
  case TPL_LIST:
    return equal_lists(out, run, a, b, depth);
  case TPL_DICT:
    return equal_dicts(out, run, a.as.dict, b.as.dict, depth);
  default:
    *out = a.as.hint == b.as.hint;
    return ZH_OK;
  }
}

zh_status tpl_equal(bool *out, tpl_run *run, tpl_value a, tpl_value b) {
  return equal(out, run, a, b, 0);
}

/* --- order --- */

static zh_status order(int *out, bool *unordered, tpl_run *run, const char *sign, tpl_value a,
                       tpl_value b, int depth);

/* Bytes of UTF-8 are ordered as code points are. */
static int order_strings(const tpl_string *a, const tpl_string *b) {
  size_t least = a->length < b->length ? a->length : b->length;
  int first = least > 0 ? memcmp(a->bytes, b->bytes, least) : 0;
  return first != 0 ? first : (a->length > b->length) - (a->length < b->length);
}

static zh_status order_lists(int *out, bool *unordered, tpl_run *run, const char *sign, tpl_value a,
                             tpl_value b, int depth) {
  tpl_value *x, *y;
  size_t m, n;
  ZH_TRY(tpl_items(&x, &m, run, a));
  ZH_TRY(tpl_items(&y, &n, run, b));
  for (size_t i = 0; i < m && i < n; i++) {
    bool same;
    ZH_TRY(equal(&same, run, x[i], y[i], depth + 1));
    if (!same) return order(out, unordered, run, sign, x[i], y[i], depth + 1);
  }
  *out = (m > n) - (m < n);
  return ZH_OK;
}

static zh_status order(int *out, bool *unordered, tpl_run *run, const char *sign, tpl_value a,
                       tpl_value b, int depth) {
  *unordered = false;
  ZH_TRY(tpl_need_defined(run, a));
  ZH_TRY(tpl_need_defined(run, b));
  if (is_number(a) && is_number(b)) {
    long double x = number_of(a), y = number_of(b);
    *out = (x > y) - (x < y);
    *unordered = isnan(x) || isnan(y);
    return ZH_OK;
  }
  if (a.kind == TPL_STRING && b.kind == TPL_STRING) {
    *out = order_strings(a.as.string, b.as.string);
    return tpl_charge(run, a.as.string->length);
  }
  if (a.kind == TPL_LIST && b.kind == TPL_LIST && a.as.list->form == b.as.list->form &&
      a.as.list->form <= TPL_TUPLE && depth < NESTED_MAX)
    return order_lists(out, unordered, run, sign, a, b, depth);
  return tpl_fail(run, "'%s' does not compare values of types '%s' and '%s' in this version", sign,
                  tpl_type_name(a), tpl_type_name(b));
}

zh_status tpl_order(int *out, bool *unordered, tpl_run *run, const char *sign, tpl_value a,
                    tpl_value b) {
  return order(out, unordered, run, sign, a, b, 0);
}

static zh_status contains(bool *out, tpl_run *run, tpl_value item, tpl_value where) {
  tpl_value *items, ignored;
  size_t count;
  *out = false;
  if (where.kind == TPL_STRING) {
    ZH_TRY(tpl_need_defined(run, item));
    if (item.kind != TPL_STRING)
      return tpl_fail(run, "'in' looks for text in text, not for a value of type '%s'",
                      tpl_type_name(item));
    ZH_TRY(tpl_charge(run, where.as.string->length));
    *out = tpl_find(where.as.string->bytes, where.as.string->length, item.as.string) != SIZE_MAX;
    return ZH_OK;
  }
  if (where.kind == TPL_DICT) return tpl_dict_get(out, &ignored, run, where.as.dict, item);
  ZH_TRY(tpl_iterate(&items, &count, run, where));
  for (size_t i = 0; i < count && !*out; i++) ZH_TRY(tpl_equal(out, run, items[i], item));
  return ZH_OK;
}

zh_status tpl_compare(bool *out, tpl_run *run, const char *sign, tpl_value a, tpl_value b) {
  int way = 0;
  bool unordered = false;
  *out = false;
  if (strcmp(sign, "==") == 0 || strcmp(sign, "!=") == 0) {
    ZH_TRY(tpl_equal(out, run, a, b));
    *out = *out == (sign[0] == '=');
    return ZH_OK;
  }
  if (strcmp(sign, "in") == 0) return contains(out, run, a, b);
  if (strcmp(sign, "not in") == 0) {
    ZH_TRY(contains(out, run, a, b));
    *out = !*out;
    return ZH_OK;
  }
  ZH_TRY(tpl_order(&way, &unordered, run, sign, a, b));
  bool equal_too = sign[1] == '=';
  *out = !unordered &&
         (sign[0] == '<' ? way < 0 || (equal_too && way == 0) : way > 0 || (equal_too && way == 0));
  return ZH_OK;
}

/* --- sorting: merge, because comparing may fail and equal ones keep their order --- */

static zh_status merge(tpl_run *run, tpl_value *keys, tpl_value *items, size_t middle, size_t count,
                       bool reverse, tpl_value *spare) {
  size_t left = 0, right = middle, at = 0;
  tpl_value *other = spare + count;
  while (left < middle || right < count) {
    bool take_right = left == middle;
    if (!take_right && right < count) {
      int way = 0;
      bool unordered;
      ZH_TRY(tpl_order(&way, &unordered, run, "<", keys[right], keys[left]));
      take_right = !unordered && (reverse ? way > 0 : way < 0);
    }
    size_t from = take_right ? right++ : left++;
    spare[at] = keys[from];
    other[at++] = items[from];
  }
  memcpy(keys, spare, count * sizeof *keys);
  memcpy(items, other, count * sizeof *items);
  return ZH_OK;
}

static zh_status sort_part(tpl_run *run, tpl_value *keys, tpl_value *items, size_t count,
                           bool reverse, tpl_value *spare) {
  if (count < 2) return ZH_OK;
  size_t middle = count / 2;
  ZH_TRY(sort_part(run, keys, items, middle, reverse, spare));
  ZH_TRY(sort_part(run, keys + middle, items + middle, count - middle, reverse, spare));
  ZH_TRY(tpl_charge(run, count * 16));
  return merge(run, keys, items, middle, count, reverse, spare);
}

zh_status tpl_sort(tpl_run *run, tpl_value *keys, tpl_value *items, size_t count, bool reverse) {
  tpl_value *spare;
  ZH_TRY(tpl_alloc(&spare, run, count * 2, sizeof *spare));
  return sort_part(run, keys, items, count, reverse, spare);
}
