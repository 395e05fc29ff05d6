/* Arguments of functions, filters, tests and methods; the functions that every template knows. */
#include <string.h>

#include "core/template_parts.h"

/* --- arguments --- */

/* "old new ?count" one by one: the next name and whether it may be left out. */
static const char *next_parameter(const char *at, size_t *length, bool *optional) {
  at += strspn(at, " ");
  *optional = *at == '?';
  at += *optional;
  *length = strcspn(at, " ");
  return at;
}

typedef struct binding_of {
  const char *what, *name; /* "filter", "replace" */
  tpl_value *given;
} binding_of;

static zh_status bind_one(tpl_run *run, const binding_of *to, const char *parameter, size_t length,
                          size_t at, bool optional, const tpl_arguments *args, size_t *named) {
  to->given[at] = (tpl_value){.kind = TPL_MISSING};
  if (at < args->count) to->given[at] = args->given[at];
  for (size_t i = 0; i < args->named_count; i++) {
    if (strncmp(args->names[i], parameter, length) != 0 || args->names[i][length] != 0) continue;
    if (to->given[at].kind != TPL_MISSING)
      return tpl_fail(run, "the %s '%s' is given '%s' twice", to->what, to->name, args->names[i]);
    to->given[at] = args->named[i];
    ++*named;
  }
  if (to->given[at].kind != TPL_MISSING || optional) return ZH_OK;
  return tpl_fail(run, "the %s '%s' needs '%.*s'", to->what, to->name, (int)length, parameter);
}

zh_status tpl_call_builtin(tpl_value *out, tpl_run *run, const tpl_builtin *builtin,
                           const char *what, tpl_value self, const tpl_arguments *args) {
  tpl_value given[TPL_PARAMETERS];
  size_t count = 0, named = 0, length;
  bool optional;
  const binding_of to = {what, builtin->name, given};
  *out = tpl_none();
  ZH_TRY(tpl_charge(run, 16));
  if (strcmp(builtin->signature, "*") == 0) return builtin->run(out, run, self, NULL, args);
  const char *at = next_parameter(builtin->signature, &length, &optional);
  for (; length > 0; at = next_parameter(at + length, &length, &optional), count++)
    ZH_TRY(bind_one(run, &to, at, length, count, optional, args, &named));
  if (args->count > count)
    return tpl_fail(run, "the %s '%s' takes %zu values at most, but %zu are given", what,
                    builtin->name, count, args->count);
  if (named < args->named_count)
    return tpl_fail(run, "the %s '%s' does not take '%s' here in this version", what, builtin->name,
                    args->names[args->named_count - 1]);
  return builtin->run(out, run, self, given, args);
}

zh_status tpl_want_string(tpl_string **out, tpl_run *run, tpl_value value, const char *what) {
  ZH_TRY(tpl_need_defined(run, value));
  *out = value.as.string;
  if (value.kind == TPL_STRING) return ZH_OK;
  return tpl_fail(run, "%s must be text, not a value of type '%s'", what, tpl_type_name(value));
}

zh_status tpl_want_int(int64_t *out, tpl_run *run, tpl_value value, const char *what) {
  ZH_TRY(tpl_need_defined(run, value));
  *out = value.kind == TPL_BOOL ? value.as.truth : value.as.integer;
  if (value.kind == TPL_INT || value.kind == TPL_BOOL) return ZH_OK;
  return tpl_fail(run, "%s must be a whole number, not a value of type '%s'", what,
                  tpl_type_name(value));
}

zh_status tpl_text_of(tpl_string **out, tpl_run *run, tpl_value value) {
  tpl_value text;
  ZH_TRY(tpl_to_string(&text, run, value));
  *out = text.as.string;
  return ZH_OK;
}

const tpl_builtin *tpl_find_in(const tpl_builtin *table, const char *name) {
  for (; table->name; table++)
    if (strcmp(table->name, name) == 0) return table;
  return NULL;
}

/* --- functions --- */

static zh_status run_range(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,
                           const tpl_arguments *args) {
  int64_t bounds[3] = {0, 0, 1}, from = 0, to;
  (void)self;
  (void)args;
  for (int i = 0; i < 3; i++)
    if (given[i].kind != TPL_MISSING)
      ZH_TRY(tpl_want_int(&bounds[i], run, given[i], "a bound of 'range'"));
  to = bounds[0];
  if (given[1].kind != TPL_MISSING) from = bounds[0], to = bounds[1];
  int64_t step = bounds[2];
  if (step == 0) return tpl_fail(run, "%s", "the step of 'range' is not zero");
  __int128 span = step > 0 ? (__int128)to - from : (__int128)from - to;
  __int128 stride = step > 0 ? (__int128)step : -(__int128)step;
  __int128 count = span > 0 ? (span + stride - 1) / stride : 0;
  if (count > TPL_RANGE_MAX)
    return tpl_fail(run, "'range' makes %d numbers at most", TPL_RANGE_MAX);
  ZH_TRY(tpl_new_list(out, run, (size_t)count, TPL_RANGE));
  for (int64_t i = 0; i < (int64_t)count; i++) out->as.list->items[i] = tpl_int(from + i * step);
  return ZH_OK;
}

/* dict(pairs or dictionary, name=value …): also what a namespace begins with. */
static zh_status run_dict(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,
                          const tpl_arguments *args) {
  (void)self;
  (void)given;
  ZH_TRY(tpl_new_dict(out, run, args->named_count));
  if (args->count > 1) return tpl_fail(run, "%s", "'dict' takes one value by position");
  if (args->count == 1 && args->given[0].kind == TPL_DICT) {
    tpl_dict *from = args->given[0].as.dict;
    ZH_TRY(tpl_dict_pairs(run, from));
    for (size_t i = 0; i < from->count; i++)
      ZH_TRY(tpl_dict_set(run, out->as.dict, from->keys[i], from->values[i]));
  } else if (args->count == 1) {
    tpl_value *items, *pair;
    size_t count, two;
    ZH_TRY(tpl_iterate(&items, &count, run, args->given[0]));
    for (size_t i = 0; i < count; i++) {
      ZH_TRY(tpl_iterate(&pair, &two, run, items[i]));
      if (two != 2) return tpl_fail(run, "%s", "'dict' is made of pairs");
      ZH_TRY(tpl_dict_set(run, out->as.dict, pair[0], pair[1]));
    }
  }
  for (size_t i = 0; i < args->named_count; i++) {
    tpl_value key;
    ZH_TRY(tpl_borrow_string(&key, run, args->names[i], strlen(args->names[i])));
    ZH_TRY(tpl_dict_set(run, out->as.dict, key, args->named[i]));
  }
  return ZH_OK;
}

static zh_status run_namespace(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,
                               const tpl_arguments *args) {
  ZH_TRY(run_dict(out, run, self, given, args));
  for (size_t i = 0; i < out->as.dict->count; i++) {
    tpl_value key = out->as.dict->keys[i];
    if (key.kind == TPL_STRING && key.as.string->length > 0 && key.as.string->bytes[0] == '_')
      return tpl_fail(run, "names in a namespace do not begin with '_', as '%.*s' does",
                      (int)(key.as.string->length < 40 ? key.as.string->length : 40),
                      key.as.string->bytes);
  }
  out->kind = TPL_NAMESPACE;
  return ZH_OK;
}

static zh_status run_cycler(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,
                            const tpl_arguments *args) {
  struct tpl_cycle *cycle;
  (void)self;
  (void)given;
  if (args->count == 0) return tpl_fail(run, "%s", "'cycler' needs something to go through");
  ZH_TRY(tpl_alloc(&cycle, run, 1, sizeof *cycle));
  *cycle = (struct tpl_cycle){.items = args->given, .count = args->count};
  *out = (tpl_value){.kind = TPL_CYCLER, .as.cycle = cycle};
  return ZH_OK;
}

static zh_status run_joiner(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,
                            const tpl_arguments *args) {
  struct tpl_cycle *joiner;
  tpl_value *separator;
  (void)self;
  (void)args;
  ZH_TRY(tpl_alloc(&joiner, run, 1, sizeof *joiner));
  ZH_TRY(tpl_alloc(&separator, run, 1, sizeof *separator));
  ZH_TRY(tpl_borrow_string(separator, run, ", ", 2));
  if (given[0].kind != TPL_MISSING) *separator = given[0];
  *joiner = (struct tpl_cycle){.items = separator, .count = 1};
  *out = (tpl_value){.kind = TPL_JOINER, .as.cycle = joiner};
  return ZH_OK;
}

static zh_status run_raise(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,
                           const tpl_arguments *args) {
  tpl_string *message;
  (void)out;
  (void)self;
  (void)args;
  ZH_TRY(tpl_text_of(&message, run, given[0]));
  return tpl_fail(run, "the template refuses its input: %.*s",
                  (int)(message->length < 500 ? message->length : 500), message->bytes);
}

static zh_status run_strftime(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,
                              const tpl_arguments *args) {
  tpl_string *format;
  char written[512], pattern[128];
  struct tm parts;
  (void)self;
  (void)args;
  ZH_TRY(tpl_want_string(&format, run, given[0], "the format of 'strftime_now'"));
  time_t now = run->now ? run->now : time(NULL);
  if (format->length >= sizeof pattern - 1 || !localtime_r(&now, &parts))
    return tpl_fail(run, "%s", "the format of 'strftime_now' is too long");
  /* A final letter tells an empty result from one that has no room. */
  memcpy(pattern, format->bytes, format->length);
  memcpy(pattern + format->length, "x", 2);
  size_t length = strftime(written, sizeof written, pattern, &parts);
  if (length == 0) return tpl_fail(run, "%s", "'strftime_now' writes too much");
  return tpl_copy_string(out, run, written, length - 1);
}

static const tpl_builtin globals[] = {{"range", run_range, "start ?stop ?step"},
                                      {"dict", run_dict, "*"},
                                      {"namespace", run_namespace, "*"},
                                      {"cycler", run_cycler, "*"},
                                      {"joiner", run_joiner, "?sep"},
                                      {"raise_exception", run_raise, "message"},
                                      {"strftime_now", run_strftime, "format"},
                                      {NULL, NULL, NULL}};

const tpl_builtin *tpl_find_global(const char *name) {
  return tpl_find_in(globals, name);
}
