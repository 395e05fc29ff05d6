/* Values: made, read, gone over. Sizes are counted against the rendering's limits. */
#include <string.h>

#include "core/template_parts.h"

zh_status tpl_charge(tpl_run *run, size_t bytes) {
  uint64_t steps = bytes / 16 + 1;
  if (steps <= run->steps) {
    run->steps -= steps;
    return ZH_OK;
  }
  run->steps = 0;
  return tpl_fail(run, "%s", "the template takes more steps than it may; it seems not to end");
}

zh_status tpl_alloc(void *out_pointer, tpl_run *run, size_t count, size_t size) {
  void **out = out_pointer;
  size_t bytes;
  *out = NULL;
  if (!__builtin_mul_overflow(count, size, &bytes)) {
    ZH_TRY(tpl_charge(run, bytes));
    *out = zh_arena_alloc(run->arena, count > 0 ? count : 1, size);
  }
  if (*out) return ZH_OK;
  return tpl_fail(run, "%s", "the template uses more memory than it may");
}

/* --- making --- */

tpl_value tpl_undefined(const char *hint) {
  return (tpl_value){.kind = TPL_UNDEFINED, .as.hint = hint};
}
tpl_value tpl_none(void) {
  return (tpl_value){.kind = TPL_NONE};
}
tpl_value tpl_bool(bool truth) {
  return (tpl_value){.kind = TPL_BOOL, .as.truth = truth};
}
tpl_value tpl_int(int64_t integer) {
  return (tpl_value){.kind = TPL_INT, .as.integer = integer};
}
tpl_value tpl_float(double real) {
  return (tpl_value){.kind = TPL_FLOAT, .as.real = real};
}

zh_status tpl_borrow_string(tpl_value *out, tpl_run *run, const char *bytes, size_t length) {
  tpl_string *string;
  ZH_TRY(tpl_alloc(&string, run, 1, sizeof *string));
  *string = (tpl_string){.bytes = bytes, .length = length, .points = SIZE_MAX};
  *out = (tpl_value){.kind = TPL_STRING, .as.string = string};
  return ZH_OK;
}

zh_status tpl_copy_string(tpl_value *out, tpl_run *run, const char *bytes, size_t length) {
  char *copy;
  ZH_TRY(tpl_alloc(&copy, run, length, 1));
  if (length > 0) memcpy(copy, bytes, length);
  return tpl_borrow_string(out, run, copy, length);
}

zh_status tpl_take_text(tpl_value *out, tpl_run *run, zh_text *text) {
  zh_status status = text->failed ? zh_fail(run->err, ZH_ERR_MEMORY, "out of memory (template)")
                                  : tpl_copy_string(out, run, zh_text_string(text), text->length);
  zh_text_free(text);
  return status;
}

zh_status tpl_new_list(tpl_value *out, tpl_run *run, size_t count, tpl_form form) {
  tpl_list *list;
  ZH_TRY(tpl_alloc(&list, run, 1, sizeof *list));
  *list = (tpl_list){.count = count, .form = form};
  *out = (tpl_value){.kind = TPL_LIST, .as.list = list};
  return tpl_alloc(&list->items, run, count, sizeof *list->items);
}

zh_status tpl_new_dict(tpl_value *out, tpl_run *run, size_t capacity) {
  tpl_dict *dict;
  ZH_TRY(tpl_alloc(&dict, run, 1, sizeof *dict));
  dict->capacity = capacity > 0 ? capacity : 4;
  *out = (tpl_value){.kind = TPL_DICT, .as.dict = dict};
  ZH_TRY(tpl_alloc(&dict->keys, run, dict->capacity, sizeof *dict->keys));
  return tpl_alloc(&dict->values, run, dict->capacity, sizeof *dict->values);
}

/* Lists and objects are looked into only where the template does. */
zh_status tpl_from_json(tpl_value *out, tpl_run *run, const json_t *json) {
  tpl_list *list;
  tpl_dict *dict;
  switch (json_typeof(json)) {
  case JSON_STRING:
    return tpl_borrow_string(out, run, json_string_value(json), json_string_length(json));
  case JSON_INTEGER:
    *out = tpl_int(json_integer_value(json));
    return ZH_OK;
  case JSON_REAL:
    *out = tpl_float(json_real_value(json));
    return ZH_OK;
  case JSON_ARRAY:
    ZH_TRY(tpl_alloc(&list, run, 1, sizeof *list));
    *list = (tpl_list){.json = json, .count = json_array_size(json)};
    *out = (tpl_value){.kind = TPL_LIST, .as.list = list};
    return ZH_OK;
  case JSON_OBJECT:
    ZH_TRY(tpl_alloc(&dict, run, 1, sizeof *dict));
    *dict = (tpl_dict){.json = json, .count = json_object_size(json)};
    *out = (tpl_value){.kind = TPL_DICT, .as.dict = dict};
    return ZH_OK;
  case JSON_NULL:
    *out = tpl_none();
    return ZH_OK;
  default:
    *out = tpl_bool(json_is_true(json));
    return ZH_OK;
  }
}

/* --- lists --- */

static zh_status unfold(tpl_run *run, tpl_list *list) {
  if (!list->json) return ZH_OK;
  tpl_value *items;
  ZH_TRY(tpl_alloc(&items, run, list->count, sizeof *items));
  for (size_t i = 0; i < list->count; i++)
    ZH_TRY(tpl_from_json(&items[i], run, json_array_get(list->json, i)));
  list->items = items;
  list->json = NULL;
  return ZH_OK;
}

zh_status tpl_items(tpl_value **items, size_t *count, tpl_run *run, tpl_value value) {
  tpl_list *list = value.as.list;
  ZH_TRY(unfold(run, list));
  size_t spent = list->form == TPL_GENERATOR ? list->spent : 0;
  *items = list->items + spent;
  *count = list->count - spent;
  if (list->form == TPL_GENERATOR) list->spent = list->count;
  return tpl_charge(run, *count);
}

static zh_status characters(tpl_value **items, size_t *count, tpl_run *run, tpl_string *string) {
  *count = tpl_points(string);
  ZH_TRY(tpl_alloc(items, run, *count, sizeof **items));
  size_t at = 0;
  for (size_t i = 0; i < *count; i++) {
    uint32_t point;
    int size = zh_utf8_decode(&point, string->bytes + at, string->length - at);
    ZH_TRY(tpl_borrow_string(&(*items)[i], run, string->bytes + at, (size_t)size));
    at += (size_t)size;
  }
  return ZH_OK;
}

zh_status tpl_iterate(tpl_value **items, size_t *count, tpl_run *run, tpl_value value) {
  *items = NULL;
  *count = 0;
  switch (value.kind) {
  case TPL_UNDEFINED:
    return tpl_strict(run, value);
  case TPL_LIST:
    return tpl_items(items, count, run, value);
  case TPL_STRING:
    return characters(items, count, run, value.as.string);
  case TPL_DICT:
    ZH_TRY(tpl_dict_pairs(run, value.as.dict));
    *items = value.as.dict->keys;
    *count = value.as.dict->count;
    return tpl_charge(run, *count);
  default:
    return tpl_fail(run, "a value of type '%s' cannot be gone over item by item",
                    tpl_type_name(value));
  }
}

/* --- dictionaries --- */

static bool hashable(tpl_value value) {
  if (value.kind == TPL_DICT) return false;
  if (value.kind != TPL_LIST) return true;
  tpl_list *list = value.as.list;
  if (list->form != TPL_TUPLE) return list->form != TPL_LIST_FORM;
  for (size_t i = 0; i < list->count; i++)
    if (!hashable(list->items[i])) return false;
  return true;
}

static zh_status check_key(tpl_run *run, tpl_value key) {
  if (hashable(key)) return ZH_OK;
  return tpl_fail(run, "a value of type '%s' cannot be a key", tpl_type_name(key));
}

static zh_status find_json(bool *found, tpl_value *out, tpl_run *run, const json_t *json,
                           tpl_value key) {
  *found = false;
  if (key.kind != TPL_STRING) return ZH_OK;
  const tpl_string *name = key.as.string;
  if (memchr(name->bytes, 0, name->length)) return ZH_OK;
  char *copy;
  ZH_TRY(tpl_alloc(&copy, run, name->length + 1, 1));
  memcpy(copy, name->bytes, name->length);
  const json_t *value = json_object_get(json, copy);
  *found = value != NULL;
  return value ? tpl_from_json(out, run, value) : ZH_OK;
}

static zh_status find_pair(size_t *at, tpl_run *run, const tpl_dict *dict, tpl_value key) {
  for (*at = 0; *at < dict->count; ++*at) {
    bool same;
    ZH_TRY(tpl_equal(&same, run, dict->keys[*at], key));
    if (same) return ZH_OK;
  }
  return ZH_OK;
}

zh_status tpl_dict_get(bool *found, tpl_value *out, tpl_run *run, const tpl_dict *dict,
                       tpl_value key) {
  size_t at;
  *found = false;
  ZH_TRY(check_key(run, key));
  if (dict->json) return find_json(found, out, run, dict->json, key);
  ZH_TRY(find_pair(&at, run, dict, key));
  *found = at < dict->count;
  if (*found) *out = dict->values[at];
  return ZH_OK;
}

zh_status tpl_dict_set(tpl_run *run, tpl_dict *dict, tpl_value key, tpl_value value) {
  size_t at;
  ZH_TRY(tpl_dict_pairs(run, dict));
  ZH_TRY(check_key(run, key));
  ZH_TRY(find_pair(&at, run, dict, key));
  if (at == dict->capacity) {
    size_t capacity = dict->capacity * 2 + 4;
    tpl_value *keys, *values;
    ZH_TRY(tpl_alloc(&keys, run, capacity, sizeof *keys));
    ZH_TRY(tpl_alloc(&values, run, capacity, sizeof *values));
    if (dict->count > 0) {
      memcpy(keys, dict->keys, dict->count * sizeof *keys);
      memcpy(values, dict->values, dict->count * sizeof *values);
    }
    dict->keys = keys;
    dict->values = values;
    dict->capacity = capacity;
  }
  if (at == dict->count) {
    dict->keys[at] = key;
    dict->count++;
  }
  dict->values[at] = value;
  return ZH_OK;
}

zh_status tpl_dict_pairs(tpl_run *run, tpl_dict *dict) {
  if (!dict->json) return ZH_OK;
  tpl_value *keys, *values;
  size_t count = json_object_size(dict->json), at = 0;
  ZH_TRY(tpl_alloc(&keys, run, count, sizeof *keys));
  ZH_TRY(tpl_alloc(&values, run, count, sizeof *values));
  const char *key;
  json_t *value, *object = (json_t *)(uintptr_t)dict->json;
  json_object_foreach(object, key, value) {
    ZH_TRY(tpl_borrow_string(&keys[at], run, key, strlen(key)));
    ZH_TRY(tpl_from_json(&values[at], run, value));
    at++;
  }
  *dict = (tpl_dict){.keys = keys, .values = values, .count = at, .capacity = count};
  return ZH_OK;
}

size_t tpl_dict_count(const tpl_dict *dict) {
  return dict->count;
}

/* --- asking --- */

bool tpl_is_string(tpl_value value, const char *text) {
  size_t length = strlen(text);
  return value.kind == TPL_STRING && value.as.string->length == length &&
         memcmp(value.as.string->bytes, text, length) == 0;
}

const char *tpl_type_name(tpl_value value) {
  static const char *const names[] = {[TPL_MISSING] = "nothing",
                                      [TPL_UNDEFINED] = "Undefined",
                                      [TPL_NONE] = "NoneType",
                                      [TPL_BOOL] = "bool",
                                      [TPL_INT] = "int",
                                      [TPL_FLOAT] = "float",
                                      [TPL_STRING] = "str",
                                      [TPL_DICT] = "dict",
                                      [TPL_NAMESPACE] = "namespace",
                                      [TPL_MACRO] = "macro",
                                      [TPL_BUILTIN] = "function",
                                      [TPL_METHOD] = "method",
                                      [TPL_LOOP] = "loop",
                                      [TPL_CYCLER] = "cycler",
                                      [TPL_JOINER] = "joiner"};
  static const char *const forms[] = {"list", "tuple", "range", "view", "generator"};
  return value.kind == TPL_LIST ? forms[value.as.list->form] : names[value.kind];
}

zh_status tpl_need_defined(tpl_run *run, tpl_value value) {
  if (value.kind != TPL_UNDEFINED) return ZH_OK;
  return tpl_fail(run, "%s", value.as.hint ? value.as.hint : "a value is undefined");
}

zh_status tpl_strict(tpl_run *run, tpl_value value) {
  return run->tpl->style.strict_undefined && !value.safe ? tpl_need_defined(run, value) : ZH_OK;
}

zh_status tpl_truth(bool *out, tpl_run *run, tpl_value value) {
  switch (value.kind) {
  case TPL_UNDEFINED:
    *out = false;
    return tpl_strict(run, value);
  case TPL_NONE:
    *out = false;
    return ZH_OK;
  case TPL_BOOL:
    *out = value.as.truth;
    return ZH_OK;
  case TPL_INT:
    *out = value.as.integer != 0;
    return ZH_OK;
  case TPL_FLOAT:
    *out = value.as.real != 0;
    return ZH_OK;
  case TPL_STRING:
    *out = value.as.string->length > 0;
    return ZH_OK;
  case TPL_LIST:
    *out = value.as.list->count > 0 || value.as.list->form == TPL_GENERATOR;
    return ZH_OK;
  case TPL_DICT:
    *out = value.as.dict->count > 0;
    return ZH_OK;
  default:
    *out = true;
    return ZH_OK;
  }
}

zh_status tpl_length(size_t *out, tpl_run *run, tpl_value value) {
  *out = 0;
  switch (value.kind) {
  case TPL_UNDEFINED:
    return tpl_strict(run, value);
  case TPL_STRING:
    *out = tpl_points(value.as.string);
    return tpl_charge(run, value.as.string->length);
  case TPL_LIST:
    if (value.as.list->form == TPL_GENERATOR) break;
    *out = value.as.list->count;
    return ZH_OK;
  case TPL_DICT:
    *out = value.as.dict->count;
    return ZH_OK;
  case TPL_LOOP:
    *out = value.as.loop->count;
    return ZH_OK;
  default:
    break;
  }
  return tpl_fail(run, "a value of type '%s' has no length", tpl_type_name(value));
}
