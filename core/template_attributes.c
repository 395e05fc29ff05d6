/* x.name and x[key]: methods, attributes, items, in Jinja's order. */
#include <string.h>

#include "core/template_parts.h"

static zh_status no_attribute(tpl_value *out, tpl_run *run, tpl_value object, const char *name) {
  const char *format = "a value of type '%s' has no attribute or key '%s'";
  char *hint = zh_arena_printf(run->arena, format, tpl_type_name(object), name);
  *out = tpl_undefined(hint ? hint : "an attribute is undefined");
  return tpl_charge(run, 64);
}

static zh_status loop_attribute(tpl_value *out, tpl_run *run, tpl_value object, const char *name) {
  const tpl_loop *loop = object.as.loop;
  int64_t at = (int64_t)loop->at, count = (int64_t)loop->count;
  const struct {
    const char *name;
    int64_t value;
  } numbers[] = {{"index", at + 1},
                 {"index0", at},
                 {"revindex", count - at},
                 {"length", count},
                 {"revindex0", count - at - 1},
                 {"depth", loop->level + 1},
                 {"depth0", loop->level}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    if (strcmp(numbers[i].name, name) != 0) continue;
    *out = tpl_int(numbers[i].value);
    return ZH_OK;
  }
  bool first = at == 0, last = at == count - 1;
  if (strcmp(name, "first") == 0 || strcmp(name, "last") == 0) {
    *out = tpl_bool(name[0] == 'f' ? first : last);
  } else if (strcmp(name, "previtem") == 0) {
    *out = first ? tpl_undefined("there is no previous item") : loop->items[at - 1];
  } else if (strcmp(name, "nextitem") == 0) {
    *out = last ? tpl_undefined("there is no next item") : loop->items[at + 1];
  } else {
    return no_attribute(out, run, object, name);
  }
  return ZH_OK;
}

/* Methods and attributes alone; MISSING where there is none of that name. */
static zh_status own_attribute(tpl_value *out, tpl_run *run, tpl_value object, const char *name) {
  *out = (tpl_value){.kind = TPL_MISSING};
  ZH_TRY(tpl_need_defined(run, object));
  ZH_TRY(tpl_find_method(out, run, object, name));
  if (out->kind != TPL_MISSING) return ZH_OK;
  if (object.kind == TPL_LOOP) return loop_attribute(out, run, object, name);
  if (object.kind == TPL_CYCLER && strcmp(name, "current") == 0)
    *out = object.as.cycle->items[object.as.cycle->at];
  if (object.kind != TPL_NAMESPACE) return ZH_OK;
  tpl_value key;
  bool found;
  ZH_TRY(tpl_borrow_string(&key, run, name, strlen(name)));
  ZH_TRY(tpl_dict_get(&found, out, run, object.as.dict, key));
  return found ? ZH_OK : no_attribute(out, run, object, name);
}

static zh_status list_item(bool *found, tpl_value *out, tpl_run *run, tpl_value object,
                           int64_t index) {
  size_t length;
  *found = false;
  ZH_TRY(tpl_length(&length, run, object));
  if (index < 0) index += (int64_t)length;
  if (index < 0 || index >= (int64_t)length) return ZH_OK;
  *found = true;
  if (object.kind == TPL_LIST) {
    tpl_value *items;
    size_t count;
    if (object.as.list->json) ZH_TRY(tpl_items(&items, &count, run, object));
    *out = object.as.list->items[index];
    return ZH_OK;
  }
  tpl_string *s = object.as.string;
  size_t from = tpl_byte_of(s, (size_t)index), to = from + 1;
  while (to < s->length && (s->bytes[to] & 0xC0) == 0x80) to++;
  return tpl_borrow_string(out, run, s->bytes + from, to - from);
}

/* Items alone, as object[key] in Python. */
static zh_status own_item(bool *found, tpl_value *out, tpl_run *run, tpl_value object,
                          tpl_value key) {
  *found = false;
  ZH_TRY(tpl_need_defined(run, object));
  if (object.kind == TPL_DICT) {
    if (key.kind == TPL_LIST || key.kind == TPL_DICT) return ZH_OK;
    return tpl_dict_get(found, out, run, object.as.dict, key);
  }
  bool list = object.kind == TPL_LIST && object.as.list->form <= TPL_RANGE;
  if (!list && object.kind != TPL_STRING) return ZH_OK;
  if (key.kind != TPL_INT && key.kind != TPL_BOOL) return ZH_OK;
  return list_item(found, out, run, object, key.kind == TPL_BOOL ? key.as.truth : key.as.integer);
}

zh_status tpl_get_attribute(tpl_value *out, tpl_run *run, tpl_value object, const char *name) {
  tpl_value key;
  bool found;
  ZH_TRY(own_attribute(out, run, object, name));
  if (out->kind != TPL_MISSING) return ZH_OK;
  ZH_TRY(tpl_borrow_string(&key, run, name, strlen(name)));
  ZH_TRY(own_item(&found, out, run, object, key));
  return found ? ZH_OK : no_attribute(out, run, object, name);
}

zh_status tpl_get_item(tpl_value *out, tpl_run *run, tpl_value object, tpl_value key) {
  bool found;
  ZH_TRY(own_item(&found, out, run, object, key));
  if (found) return ZH_OK;
  if (key.kind != TPL_STRING) {
    *out = tpl_undefined("there is no item of that index or key");
    return ZH_OK;
  }
  char *name = zh_arena_strndup(run->arena, key.as.string->bytes, key.as.string->length);
  if (!name) return tpl_fail(run, "%s", "the template uses more memory than it may");
  ZH_TRY(tpl_charge(run, key.as.string->length));
  ZH_TRY(own_attribute(out, run, object, name));
  return out->kind != TPL_MISSING ? ZH_OK : no_attribute(out, run, object, name);
}
