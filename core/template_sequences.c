/* Filters of lists. What Jinja makes one by one is made at once here; it is spent after one use all
 * the same. */
#include <string.h>

#include "core/template_parts.h"

#define FILTER(name)                                                                               \
  static zh_status name(tpl_value *out, tpl_run *run, tpl_value v, const tpl_value *given,         \
                        const tpl_arguments *args)
#define UNUSED (void)given, (void)args, (void)v, (void)run

static bool missing(tpl_value v) {
  return v.kind == TPL_MISSING;
}

static zh_status flag_of(bool *out, tpl_run *run, tpl_value v) {
  *out = false;
  return missing(v) ? ZH_OK : tpl_truth(out, run, v);
}

/* Copies items into a list of that form. */
static zh_status list_of(tpl_value *out, tpl_run *run, const tpl_value *items, size_t count,
                         tpl_form form) {
  ZH_TRY(tpl_new_list(out, run, count, form));
  if (count > 0) memcpy(out->as.list->items, items, count * sizeof *items);
  return ZH_OK;
}

/* --- what an item is looked at by --- */

/* "a.b.0" goes from item to item; fallback: instead of what is undefined, MISSING for none. */
static zh_status follow(tpl_value *out, tpl_run *run, tpl_value item, tpl_value path,
                        tpl_value fallback) {
  *out = item;
  if (missing(path) || path.kind == TPL_NONE) return ZH_OK;
  if (path.kind == TPL_INT) return tpl_get_item(out, run, item, path);
  tpl_string *s;
  ZH_TRY(tpl_want_string(&s, run, path, "'attribute'"));
  for (size_t at = 0, end; at <= s->length; at = end + 1) {
    for (end = at; end < s->length && s->bytes[end] != '.';) end++;
    tpl_value key;
    bool digits = end > at && end - at < 10;
    int64_t index = 0;
    for (size_t i = at; i < end && digits; i++) {
      digits = s->bytes[i] >= '0' && s->bytes[i] <= '9';
      index = index * 10 + (s->bytes[i] - '0');
    }
    ZH_TRY(tpl_borrow_string(&key, run, s->bytes + at, end - at));
    ZH_TRY(tpl_get_item(out, run, *out, digits ? tpl_int(index) : key));
    if (out->kind == TPL_UNDEFINED && !missing(fallback)) *out = fallback;
  }
  return ZH_OK;
}

/* Text without its case unless asked for. */
static zh_status key_of(tpl_value *out, tpl_run *run, tpl_value item, bool case_sensitive) {
  *out = item;
  if (case_sensitive || item.kind != TPL_STRING) return ZH_OK;
  return tpl_change_case(out, run, item.as.string, TPL_LOWER);
}

/* What counts as false has no items here, whatever it is. */
static zh_status items_if_true(tpl_value **items, size_t *count, tpl_run *run, tpl_value v) {
  bool truth;
  *items = NULL;
  *count = 0;
  ZH_TRY(tpl_truth(&truth, run, v));
  return truth ? tpl_iterate(items, count, run, v) : ZH_OK;
}

/* --- choosing --- */

/* The test that `name` and the arguments behind it ask for; without a name: whether it is true. */
static zh_status holds(bool *out, tpl_run *run, tpl_value item, const tpl_arguments *args,
                       size_t name_at) {
  if (name_at >= args->count) return tpl_truth(out, run, item);
  tpl_string *name;
  char copy[64] = {0};
  ZH_TRY(tpl_want_string(&name, run, args->given[name_at], "the name of a test"));
  if (name->length < sizeof copy) memcpy(copy, name->bytes, name->length);
  const tpl_builtin *test = tpl_find_test(copy);
  if (!test)
    return tpl_fail(run, "the test '%.*s' is not known to this version",
                    (int)(name->length < 60 ? name->length : 60), name->bytes);
  const tpl_arguments rest = {.given = args->given + name_at + 1,
                              .count = args->count - name_at - 1,
                              .names = args->names,
                              .named = args->named,
                              .named_count = args->named_count};
  tpl_value truth;
  ZH_TRY(tpl_call_builtin(&truth, run, test, "test", item, &rest));
  return tpl_truth(out, run, truth);
}

static zh_status choose(tpl_value *out, tpl_run *run, tpl_value v, const tpl_arguments *args,
                        bool wanted, bool by_attribute) {
  tpl_value *items, *kept;
  size_t count, held = 0;
  if (by_attribute && args->count == 0)
    return tpl_fail(run, "%s", "the attribute's name is missing");
  ZH_TRY(items_if_true(&items, &count, run, v));
  ZH_TRY(tpl_alloc(&kept, run, count, sizeof *kept));
  for (size_t i = 0; i < count; i++) {
    tpl_value looked_at = items[i], none = {.kind = TPL_MISSING};
    bool truth;
    if (by_attribute) ZH_TRY(follow(&looked_at, run, items[i], args->given[0], none));
    ZH_TRY(holds(&truth, run, looked_at, args, by_attribute));
    if (truth == wanted) kept[held++] = items[i];
  }
  return list_of(out, run, kept, held, TPL_GENERATOR);
}
FILTER(run_select) {
  UNUSED;
  return choose(out, run, v, args, true, false);
}
FILTER(run_reject) {
  UNUSED;
  return choose(out, run, v, args, false, false);
}
FILTER(run_selectattr) {
  UNUSED;
  return choose(out, run, v, args, true, true);
}
FILTER(run_rejectattr) {
  UNUSED;
  return choose(out, run, v, args, false, true);
}

/* --- map --- */

static zh_status map_attribute(tpl_value *out, tpl_run *run, tpl_value *items, size_t count,
                               const tpl_arguments *args) {
  tpl_value path = {.kind = TPL_MISSING}, fallback = path;
  for (size_t i = 0; i < args->named_count; i++) {
    if (strcmp(args->names[i], "attribute") == 0) {
      path = args->named[i];
    } else if (strcmp(args->names[i], "default") == 0) {
      fallback = args->named[i];
    } else {
      return tpl_fail(run, "'map' does not take '%s'", args->names[i]);
    }
  }
  if (missing(path)) return tpl_fail(run, "%s", "'map' needs a filter's name or attribute=…");
  if (fallback.kind == TPL_NONE) fallback.kind = TPL_MISSING;
  ZH_TRY(tpl_new_list(out, run, count, TPL_GENERATOR));
  for (size_t i = 0; i < count; i++)
    ZH_TRY(follow(&out->as.list->items[i], run, items[i], path, fallback));
  return ZH_OK;
}

FILTER(run_map) {
  UNUSED;
  tpl_value *items;
  size_t count;
  tpl_string *name;
  char copy[64] = {0};
  ZH_TRY(items_if_true(&items, &count, run, v));
  if (args->count == 0) return map_attribute(out, run, items, count, args);
  ZH_TRY(tpl_want_string(&name, run, args->given[0], "the name of a filter"));
  if (name->length < sizeof copy) memcpy(copy, name->bytes, name->length);
  const tpl_builtin *filter = tpl_find_filter(copy);
  if (!filter)
    return tpl_fail(run, "the filter '%.*s' is not known to this version",
                    (int)(name->length < 60 ? name->length : 60), name->bytes);
  tpl_arguments rest = *args;
  rest.given++;
  rest.count--;
  ZH_TRY(tpl_new_list(out, run, count, TPL_GENERATOR));
  if (++run->depth > TPL_DEPTH) return tpl_fail(run, "%s", "'map' is nested too deeply");
  for (size_t i = 0; i < count; i++)
    ZH_TRY(tpl_call_builtin(&out->as.list->items[i], run, filter, "filter", items[i], &rest));
  run->depth--;
  return ZH_OK;
}

/* --- one item --- */

FILTER(run_first) {
  UNUSED;
  tpl_value *items;
  size_t count;
  /* One item alone is taken of what can be gone over only once. */
  tpl_list *list = v.kind == TPL_LIST ? v.as.list : NULL;
  size_t spent = list ? list->spent : 0;
  ZH_TRY(tpl_iterate(&items, &count, run, v));
  *out = count > 0 ? items[0] : tpl_undefined("there is no first item: the list is empty");
  if (list && list->form == TPL_GENERATOR) list->spent = spent + (count > 0);
  return ZH_OK;
}

FILTER(run_last) {
  UNUSED;
  tpl_value *items;
  size_t count;
  if (v.kind == TPL_LIST && v.as.list->form == TPL_GENERATOR)
    return tpl_fail(run, "%s", "'last' of a generator has no answer; '|list' makes a list of it");
  ZH_TRY(tpl_iterate(&items, &count, run, v));
  *out = count > 0 ? items[count - 1] : tpl_undefined("there is no last item: the list is empty");
  return ZH_OK;
}

static zh_status extreme(tpl_value *out, tpl_run *run, tpl_value v, const tpl_value *given,
                         bool largest) {
  tpl_value *items, best = tpl_none();
  size_t count;
  bool exact;
  ZH_TRY(flag_of(&exact, run, given[0]));
  ZH_TRY(tpl_iterate(&items, &count, run, v));
  *out = tpl_undefined("an empty list has no smallest or largest item");
  for (size_t i = 0; i < count; i++) {
    tpl_value key, none = {.kind = TPL_MISSING};
    int way = 0;
    bool unordered = false;
    ZH_TRY(follow(&key, run, items[i], given[1], none));
    ZH_TRY(key_of(&key, run, key, exact));
    if (i > 0) ZH_TRY(tpl_order(&way, &unordered, run, largest ? ">" : "<", key, best));
    if (i > 0 && (unordered || (largest ? way <= 0 : way >= 0))) continue;
    best = key;
    *out = items[i];
  }
  return ZH_OK;
}
FILTER(run_min) {
  UNUSED;
  return extreme(out, run, v, given, false);
}
FILTER(run_max) {
  UNUSED;
  return extreme(out, run, v, given, true);
}

FILTER(run_sum) {
  UNUSED;
  tpl_value *items, none = {.kind = TPL_MISSING};
  size_t count;
  ZH_TRY(tpl_iterate(&items, &count, run, v));
  *out = missing(given[1]) ? tpl_int(0) : given[1];
  if (out->kind == TPL_STRING) return tpl_fail(run, "%s", "'sum' does not add up text");
  for (size_t i = 0; i < count; i++) {
    tpl_value item;
    ZH_TRY(follow(&item, run, items[i], given[0], none));
    ZH_TRY(tpl_arithmetic(out, run, "+", *out, item));
  }
  return ZH_OK;
}

/* --- the whole --- */

FILTER(run_list) {
  UNUSED;
  tpl_value *items;
  size_t count;
  ZH_TRY(tpl_iterate(&items, &count, run, v));
  return list_of(out, run, items, count, TPL_LIST_FORM);
}

FILTER(run_join) {
  UNUSED;
  tpl_value *items, none = {.kind = TPL_MISSING};
  tpl_string *between = NULL;
  size_t count;
  zh_text text = {0};
  zh_status status = ZH_OK;
  ZH_TRY(tpl_iterate(&items, &count, run, v));
  if (!missing(given[0])) ZH_TRY(tpl_text_of(&between, run, given[0]));
  for (size_t i = 0; i < count && status == ZH_OK; i++) {
    tpl_value item;
    if (i > 0 && between) zh_text_append(&text, between->bytes, between->length);
    status = follow(&item, run, items[i], given[1], none);
    if (status == ZH_OK) status = tpl_print(&text, run, item);
    if (status == ZH_OK && text.length > run->output)
      status = tpl_fail(run, "%s", "the text that 'join' makes is too long");
  }
  if (status == ZH_OK) return tpl_take_text(out, run, &text);
  zh_text_free(&text);
  return status;
}

FILTER(run_reverse) {
  UNUSED;
  tpl_value *items;
  size_t count;
  const tpl_value bounds[3] = {tpl_none(), tpl_none(), tpl_int(-1)};
  if (v.kind == TPL_STRING) return tpl_slice(out, run, v, bounds);
  bool once = v.kind == TPL_LIST && v.as.list->form == TPL_GENERATOR;
  ZH_TRY(tpl_need_defined(run, v));
  ZH_TRY(tpl_iterate(&items, &count, run, v));
  ZH_TRY(tpl_new_list(out, run, count, once ? TPL_LIST_FORM : TPL_GENERATOR));
  for (size_t i = 0; i < count; i++) out->as.list->items[i] = items[count - 1 - i];
  return ZH_OK;
}

/* "a,b": by a, then by b. Always a list, in which what is undefined may stand beside its like. */
static zh_status sort_key(tpl_value *out, tpl_run *run, tpl_value item, tpl_value paths,
                          bool exact) {
  tpl_value none = {.kind = TPL_MISSING}, key;
  bool text = paths.kind == TPL_STRING;
  const tpl_string *s = text ? paths.as.string : NULL;
  size_t count = 1, at = 0;
  for (size_t i = 0; text && i < s->length; i++) count += s->bytes[i] == ',';
  ZH_TRY(tpl_new_list(out, run, count, TPL_LIST_FORM));
  for (size_t i = 0; i < count; i++) {
    size_t end = at;
    tpl_value path = paths;
    while (text && end < s->length && s->bytes[end] != ',') end++;
    if (text) ZH_TRY(tpl_borrow_string(&path, run, s->bytes + at, end - at));
    ZH_TRY(follow(&key, run, item, path, none));
    ZH_TRY(key_of(&out->as.list->items[i], run, key, exact));
    at = end + 1;
  }
  return ZH_OK;
}

static zh_status sort_items(tpl_value *out, tpl_run *run, tpl_value *items, size_t count,
                            tpl_value paths, bool exact, bool reverse) {
  tpl_value *keys;
  ZH_TRY(tpl_alloc(&keys, run, count, sizeof *keys));
  ZH_TRY(list_of(out, run, items, count, TPL_LIST_FORM));
  for (size_t i = 0; i < count; i++) ZH_TRY(sort_key(&keys[i], run, items[i], paths, exact));
  return tpl_sort(run, keys, out->as.list->items, count, reverse);
}

FILTER(run_sort) {
  UNUSED;
  tpl_value *items;
  size_t count;
  bool reverse, exact;
  ZH_TRY(flag_of(&reverse, run, given[0]));
  ZH_TRY(flag_of(&exact, run, given[1]));
  ZH_TRY(tpl_iterate(&items, &count, run, v));
  return sort_items(out, run, items, count, given[2], exact, reverse);
}

FILTER(run_unique) {
  UNUSED;
  tpl_value *items, seen, none = {.kind = TPL_MISSING};
  size_t count;
  bool exact;
  ZH_TRY(flag_of(&exact, run, given[0]));
  ZH_TRY(tpl_iterate(&items, &count, run, v));
  ZH_TRY(tpl_new_dict(&seen, run, 8));
  for (size_t i = 0; i < count; i++) {
    tpl_value key, first;
    bool found;
    ZH_TRY(follow(&key, run, items[i], given[1], none));
    ZH_TRY(key_of(&key, run, key, exact));
    ZH_TRY(tpl_dict_get(&found, &first, run, seen.as.dict, key));
    if (!found) ZH_TRY(tpl_dict_set(run, seen.as.dict, key, items[i]));
  }
  return list_of(out, run, seen.as.dict->values, seen.as.dict->count, TPL_GENERATOR);
}

/* --- dictionaries --- */

static zh_status pairs_of(tpl_value *out, tpl_run *run, tpl_value v, tpl_form form) {
  tpl_value no_arguments[2] = {{.kind = TPL_MISSING}, {.kind = TPL_MISSING}}, method;
  if (v.kind != TPL_DICT)
    return tpl_fail(run, "a dictionary is needed here, not a value of type '%s'", tpl_type_name(v));
  ZH_TRY(tpl_find_method(&method, run, v, "items"));
  ZH_TRY(method.as.method->builtin->run(out, run, v, no_arguments, NULL));
  out->as.list->form = form;
  return ZH_OK;
}

FILTER(run_items) {
  UNUSED;
  if (v.kind != TPL_UNDEFINED) return pairs_of(out, run, v, TPL_GENERATOR);
  return list_of(out, run, NULL, 0, TPL_GENERATOR);
}

FILTER(run_dictsort) {
  UNUSED;
  tpl_value pairs;
  bool exact, reverse;
  ZH_TRY(tpl_need_defined(run, v));
  ZH_TRY(flag_of(&exact, run, given[0]));
  bool by_value = !missing(given[1]) && tpl_is_string(given[1], "value");
  if (!missing(given[1]) && !by_value && !tpl_is_string(given[1], "key"))
    return tpl_fail(run, "%s", "'dictsort' sorts by key or value");
  ZH_TRY(flag_of(&reverse, run, given[2]));
  ZH_TRY(pairs_of(&pairs, run, v, TPL_LIST_FORM));
  tpl_list *list = pairs.as.list;
  return sort_items(out, run, list->items, list->count, tpl_int(by_value), exact, reverse);
}

const tpl_builtin tpl_sequence_filters[] = {
    {"select", run_select, "*"},
    {"reject", run_reject, "*"},
    {"selectattr", run_selectattr, "*"},
    {"rejectattr", run_rejectattr, "*"},
    {"map", run_map, "*"},
    {"first", run_first, ""},
    {"last", run_last, ""},
    {"min", run_min, "?case_sensitive ?attribute"},
    {"max", run_max, "?case_sensitive ?attribute"},
    {"sum", run_sum, "?attribute ?start"},
    {"list", run_list, ""},
    {"join", run_join, "?d ?attribute"},
    {"reverse", run_reverse, ""},
    {"sort", run_sort, "?reverse ?case_sensitive ?attribute"},
    {"unique", run_unique, "?case_sensitive ?attribute"},
    {"items", run_items, ""},
    {"dictsort", run_dictsort, "?case_sensitive ?by ?reverse"},
    {NULL, NULL, NULL}};
