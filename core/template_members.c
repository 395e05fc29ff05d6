/* Methods of lists, dictionaries, loops and cyclers; which names Python knows and we do not. */
#include <string.h>

#include "core/template_parts.h"

#define METHOD(name)                                                                               \
  static zh_status name(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,      \
                        const tpl_arguments *args)
#define UNUSED (void)given, (void)args, (void)self

/* --- dictionaries --- */

static zh_status view(tpl_value *out, tpl_run *run, tpl_value self, bool keys, bool values) {
  tpl_dict *dict = self.as.dict;
  ZH_TRY(tpl_dict_pairs(run, dict));
  ZH_TRY(tpl_new_list(out, run, dict->count, TPL_VIEW));
  for (size_t i = 0; i < dict->count; i++) {
    tpl_value *item = &out->as.list->items[i];
    if (keys != values) {
      *item = keys ? dict->keys[i] : dict->values[i];
      continue;
    }
    ZH_TRY(tpl_new_list(item, run, 2, TPL_TUPLE));
    item->as.list->items[0] = dict->keys[i];
    item->as.list->items[1] = dict->values[i];
  }
  return ZH_OK;
}
METHOD(run_items) {
  UNUSED;
  return view(out, run, self, true, true);
}
METHOD(run_keys) {
  UNUSED;
  return view(out, run, self, true, false);
}
METHOD(run_values) {
  UNUSED;
  return view(out, run, self, false, true);
}

METHOD(run_get) {
  UNUSED;
  bool found;
  ZH_TRY(tpl_dict_get(&found, out, run, self.as.dict, given[0]));
  if (!found) *out = given[1].kind == TPL_MISSING ? tpl_none() : given[1];
  return ZH_OK;
}

/* Nothing can change it, so a copy is the thing itself. */
METHOD(run_copy) {
  UNUSED;
  *out = self;
  return tpl_charge(run, 0);
}

static const tpl_builtin dict_methods[] = {
    {"items", run_items, ""},         {"keys", run_keys, ""}, {"values", run_values, ""},
    {"get", run_get, "key ?default"}, {"copy", run_copy, ""}, {NULL, NULL, NULL}};

/* --- lists --- */

METHOD(run_list_index) {
  UNUSED;
  tpl_value *items;
  size_t count;
  ZH_TRY(tpl_items(&items, &count, run, self));
  for (size_t i = 0; i < count; i++) {
    bool same;
    ZH_TRY(tpl_equal(&same, run, items[i], given[0]));
    if (!same) continue;
    *out = tpl_int((int64_t)i);
    return ZH_OK;
  }
  return tpl_fail(run, "%s", "'index': the value is not in the list");
}

METHOD(run_list_count) {
  UNUSED;
  tpl_value *items;
  size_t count;
  int64_t same_as = 0;
  ZH_TRY(tpl_items(&items, &count, run, self));
  for (size_t i = 0; i < count; i++) {
    bool same;
    ZH_TRY(tpl_equal(&same, run, items[i], given[0]));
    same_as += same;
  }
  *out = tpl_int(same_as);
  return ZH_OK;
}

static const tpl_builtin list_methods[] = {{"index", run_list_index, "value"},
                                           {"count", run_list_count, "value"},
                                           {"copy", run_copy, ""},
                                           {NULL, NULL, NULL}};

/* --- loops, cyclers --- */

METHOD(run_loop_cycle) {
  UNUSED;
  if (args->count == 0) return tpl_fail(run, "%s", "'loop.cycle' needs something to go through");
  *out = args->given[self.as.loop->at % args->count];
  return ZH_OK;
}

METHOD(run_loop_changed) {
  UNUSED;
  tpl_loop *loop = self.as.loop;
  bool same = loop->seen && loop->seen_count == args->count;
  for (size_t i = 0; i < args->count && same; i++)
    ZH_TRY(tpl_equal(&same, run, loop->seen[i], args->given[i]));
  loop->seen = args->given;
  loop->seen_count = args->count;
  *out = tpl_bool(!same);
  return ZH_OK;
}

static const tpl_builtin loop_methods[] = {
    {"cycle", run_loop_cycle, "*"}, {"changed", run_loop_changed, "*"}, {NULL, NULL, NULL}};

METHOD(run_cycler_next) {
  UNUSED;
  struct tpl_cycle *cycle = self.as.cycle;
  *out = cycle->items[cycle->at];
  cycle->at = (cycle->at + 1) % cycle->count;
  return tpl_charge(run, 0);
}

METHOD(run_cycler_reset) {
  UNUSED;
  self.as.cycle->at = 0;
  *out = tpl_none();
  return tpl_charge(run, 0);
}

static const tpl_builtin cycler_methods[] = {
    {"next", run_cycler_next, ""}, {"reset", run_cycler_reset, ""}, {NULL, NULL, NULL}};

/* --- names that Python knows --- */

static const char *const text_names[] = {
    "casefold",  "encode",      "expandtabs", "format_map", "isascii",  "isdecimal", "isidentifier",
    "isnumeric", "isprintable", "istitle",    "maketrans",  "swapcase", "translate", NULL};
static const char *const list_names[] = {"append", "clear",   "extend", "insert", "pop",
                                         "remove", "reverse", "sort",   NULL};
static const char *const tuple_names[] = {NULL};
static const char *const dict_names[] = {"clear",      "fromkeys", "pop", "popitem",
                                         "setdefault", "update",   NULL};
static const char *const number_names[] = {
    "real",      "imag",     "numerator",  "denominator", "bit_length",
    "bit_count", "to_bytes", "from_bytes", "conjugate",   "as_integer_ratio",
    "hex",       "fromhex",  "is_integer", NULL};

typedef struct members {
  const tpl_builtin *methods;
  const char *const *refused;
} members;

static members members_of(tpl_value object) {
  static const tpl_builtin none[] = {{NULL, NULL, NULL}};
  switch (object.kind) {
  case TPL_STRING:
    return (members){tpl_string_methods, text_names};
  case TPL_DICT:
    return (members){dict_methods, dict_names};
  case TPL_LIST:
    if (object.as.list->form > TPL_TUPLE) break;
    return (members){list_methods, object.as.list->form == TPL_TUPLE ? tuple_names : list_names};
  case TPL_LOOP:
    return (members){loop_methods, tuple_names};
  case TPL_CYCLER:
    return (members){cycler_methods, tuple_names};
  case TPL_INT:
  case TPL_BOOL:
  case TPL_FLOAT:
    return (members){none, number_names};
  default:
    break;
  }
  return (members){none, tuple_names};
}

zh_status tpl_find_method(tpl_value *out, tpl_run *run, tpl_value object, const char *name) {
  const members has = members_of(object);
  const tpl_builtin *found = tpl_find_in(has.methods, name);
  if (!found && object.kind == TPL_STRING) found = tpl_find_in(tpl_split_methods, name);
  size_t length = strlen(name);
  bool changes = object.kind == TPL_LIST || object.kind == TPL_DICT;
  *out = (tpl_value){.kind = TPL_MISSING};
  if (found) {
    tpl_method *method;
    if (object.safe)
      return tpl_fail(
          run,
          "text marked by 'safe' can only be printed and joined in this version, not asked "
          "for '%s'",
          name);
    ZH_TRY(tpl_alloc(&method, run, 1, sizeof *method));
    *method = (tpl_method){.builtin = found, .self = object};
    *out = (tpl_value){.kind = TPL_METHOD, .as.method = method};
    return ZH_OK;
  }
  for (const char *const *at = has.refused; *at; at++) {
    if (strcmp(*at, name) != 0) continue;
    if (changes)
      return tpl_fail(run, "'%s' would change its value, which templates may not do", name);
    return tpl_fail(run, "the method '%s' is not known to this version", name);
  }
  if (length > 4 && strncmp(name, "__", 2) == 0 && strcmp(name + length - 2, "__") == 0)
    return tpl_fail(run, "'%s' belongs to Python's inside, which templates may not see", name);
  return tpl_charge(run, 0);
}
