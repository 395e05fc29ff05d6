/* Expressions to values. */
#include <string.h>

#include "core/template_parts.h"

/* --- names --- */

static zh_status look_up(tpl_value *out, tpl_run *run, const char *name) {
  for (tpl_scope *scope = run->scope; scope; scope = scope->parent) {
    ZH_TRY(tpl_charge(run, scope->count));
    for (size_t i = scope->count; i-- > 0;) {
      if (scope->bindings[i].name != name) continue;
      *out = scope->bindings[i].value;
      return ZH_OK;
    }
  }
  const tpl_builtin *global = tpl_find_global(name);
  if (global) {
    *out = (tpl_value){.kind = TPL_BUILTIN, .as.builtin = global};
    return ZH_OK;
  }
  char *hint = zh_arena_printf(run->arena, "'%s' is undefined", name);
  *out = tpl_undefined(hint ? hint : "a name is undefined");
  return tpl_charge(run, 0);
}

/* --- calls --- */

static zh_status spread_list(tpl_value *out, size_t *count, tpl_run *run, const tpl_node *node,
                             tpl_value **items) {
  *count = 0;
  *items = NULL;
  if (!node) return ZH_OK;
  ZH_TRY(tpl_evaluate(out, run, node));
  return tpl_iterate(items, count, run, *out);
}

static zh_status spread_dict(tpl_arguments *args, tpl_run *run, const tpl_node *node) {
  tpl_value dict;
  if (!node) return ZH_OK;
  ZH_TRY(tpl_evaluate(&dict, run, node));
  run->at = node;
  if (dict.kind != TPL_DICT) return tpl_fail(run, "%s", "'**' needs a dictionary");
  ZH_TRY(tpl_dict_pairs(run, dict.as.dict));
  size_t all = args->named_count + dict.as.dict->count;
  const char **names;
  tpl_value *named;
  ZH_TRY(tpl_alloc(&names, run, all, sizeof *names));
  ZH_TRY(tpl_alloc(&named, run, all, sizeof *named));
  for (size_t i = 0; i < all; i++) {
    bool old = i < args->named_count;
    tpl_value key = old ? tpl_none() : dict.as.dict->keys[i - args->named_count];
    named[i] = old ? args->named[i] : dict.as.dict->values[i - args->named_count];
    if (!old && key.kind != TPL_STRING) return tpl_fail(run, "%s", "names of arguments are text");
    names[i] = old ? args->names[i]
                   : zh_arena_strndup(run->arena, key.as.string->bytes, key.as.string->length);
    if (!names[i]) return tpl_fail(run, "%s", "the template uses more memory than it may");
  }
  *args = (tpl_arguments){args->given, args->count, names, named, all};
  return ZH_OK;
}

static zh_status evaluate_arguments(tpl_arguments *args, tpl_run *run, const tpl_node *node) {
  size_t count = node->items.count, extra;
  tpl_value spread, *items;
  *args = (tpl_arguments){0};
  ZH_TRY(spread_list(&spread, &extra, run, node->extra_list, &items));
  ZH_TRY(tpl_alloc(&args->given, run, count + extra, sizeof *args->given));
  ZH_TRY(tpl_alloc(&args->named, run, count, sizeof *args->named));
  ZH_TRY(tpl_alloc(&args->names, run, count, sizeof *args->names));
  for (size_t i = 0; i < count; i++) {
    tpl_value value;
    ZH_TRY(tpl_evaluate(&value, run, node->items.at[i]));
    if (node->names && node->names[i]) { /* a test's argument may come without brackets */
      args->names[args->named_count] = node->names[i];
      args->named[args->named_count++] = value;
    } else {
      args->given[args->count++] = value;
    }
  }
  for (size_t i = 0; i < extra; i++) args->given[args->count++] = items[i];
  return spread_dict(args, run, node->extra_dict);
}

zh_status tpl_call_value(tpl_value *out, tpl_run *run, tpl_value function,
                         const tpl_arguments *args) {
  ZH_TRY(tpl_need_defined(run, function));
  switch (function.kind) {
  case TPL_MACRO:
    return tpl_call_macro(out, run, function.as.macro, args);
  case TPL_BUILTIN:
    return tpl_call_builtin(out, run, function.as.builtin, "function", tpl_none(), args);
  case TPL_METHOD:
    return tpl_call_builtin(out, run, function.as.method->builtin, "method",
                            function.as.method->self, args);
  case TPL_JOINER: {
    struct tpl_cycle *joiner = function.as.cycle;
    if (joiner->at++ > 0) {
      *out = joiner->items[0];
      return ZH_OK;
    }
    return tpl_borrow_string(out, run, "", 0);
  }
  default:
    return tpl_fail(run, "a value of type '%s' cannot be called", tpl_type_name(function));
  }
}

static zh_status evaluate_call(tpl_value *out, tpl_run *run, const tpl_node *node) {
  tpl_value function;
  tpl_arguments args;
  ZH_TRY(tpl_evaluate(&function, run, node->first));
  ZH_TRY(evaluate_arguments(&args, run, node));
  run->at = node;
  return tpl_call_value(out, run, function, &args);
}

/* --- filters, tests --- */

static zh_status only_printed(tpl_run *run, tpl_value value, const char *filter) {
  if (!value.safe || value.kind != TPL_STRING || strcmp(filter, "safe") == 0 ||
      strcmp(filter, "length") == 0)
    return ZH_OK;
  return tpl_fail(
      run,
      "text marked by 'safe' or 'escape' can only be printed and joined in this version, not "
      "given to '%s'",
      filter);
}

static zh_status apply_filter(tpl_value *out, tpl_run *run, const tpl_node *node, tpl_value self) {
  tpl_arguments args;
  if (!node->known) return tpl_refuse_unknown(node, false, run->err);
  ZH_TRY(evaluate_arguments(&args, run, node));
  run->at = node;
  ZH_TRY(only_printed(run, self, node->name));
  return tpl_call_builtin(out, run, node->known, "filter", self, &args);
}

zh_status tpl_apply_filters(tpl_value *out, tpl_run *run, const tpl_node *filter, tpl_value text) {
  if (!filter) {
    *out = text;
    return ZH_OK;
  }
  tpl_value inner;
  ZH_TRY(tpl_apply_filters(&inner, run, filter->first, text));
  return apply_filter(out, run, filter, inner);
}

static zh_status evaluate_filter(tpl_value *out, tpl_run *run, const tpl_node *node) {
  tpl_value self;
  ZH_TRY(tpl_evaluate(&self, run, node->first));
  return apply_filter(out, run, node, self);
}

static zh_status evaluate_test(tpl_value *out, tpl_run *run, const tpl_node *node) {
  tpl_value self;
  tpl_arguments args;
  if (!node->known) return tpl_refuse_unknown(node, true, run->err);
  ZH_TRY(tpl_evaluate(&self, run, node->first));
  ZH_TRY(evaluate_arguments(&args, run, node));
  run->at = node;
  return tpl_call_builtin(out, run, node->known, "test", self, &args);
}

/* --- literals --- */

static zh_status make_list(tpl_value *out, tpl_run *run, const tpl_node *node) {
  tpl_form form = node->kind == TPL_MAKE_TUPLE ? TPL_TUPLE : TPL_LIST_FORM;
  ZH_TRY(tpl_new_list(out, run, node->items.count, form));
  for (size_t i = 0; i < node->items.count; i++)
    ZH_TRY(tpl_evaluate(&out->as.list->items[i], run, node->items.at[i]));
  return ZH_OK;
}

static zh_status make_dict(tpl_value *out, tpl_run *run, const tpl_node *node) {
  ZH_TRY(tpl_new_dict(out, run, node->items.count / 2));
  for (size_t i = 0; i < node->items.count; i += 2) {
    tpl_value key, value;
    ZH_TRY(tpl_evaluate(&key, run, node->items.at[i]));
    ZH_TRY(tpl_evaluate(&value, run, node->items.at[i + 1]));
    run->at = node;
    ZH_TRY(tpl_dict_set(run, out->as.dict, key, value));
  }
  return ZH_OK;
}

/* --- operators --- */

static zh_status evaluate_join(tpl_value *out, tpl_run *run, const tpl_node *node) {
  zh_text text = {0};
  zh_status status = ZH_OK;
  for (size_t i = 0; i < node->items.count && status == ZH_OK; i++) {
    tpl_value part;
    status = tpl_evaluate(&part, run, node->items.at[i]);
    run->at = node;
    if (status == ZH_OK) status = tpl_print(&text, run, part);
  }
  if (status == ZH_OK) return tpl_take_text(out, run, &text);
  zh_text_free(&text);
  return status;
}

static zh_status evaluate_comparison(tpl_value *out, tpl_run *run, const tpl_node *node) {
  tpl_value left, right;
  bool holds = true;
  ZH_TRY(tpl_evaluate(&left, run, node->first));
  for (size_t i = 0; i < node->items.count && holds; i++) {
    ZH_TRY(tpl_evaluate(&right, run, node->items.at[i]));
    run->at = node;
    ZH_TRY(tpl_compare(&holds, run, node->names[i], left, right));
    left = right;
  }
  *out = tpl_bool(holds);
  return ZH_OK;
}

/* and, or: the last value looked at. */
static zh_status evaluate_logic(tpl_value *out, tpl_run *run, const tpl_node *node) {
  for (size_t i = 0; i < node->items.count; i++) {
    bool truth;
    ZH_TRY(tpl_evaluate(out, run, node->items.at[i]));
    if (i + 1 == node->items.count) return ZH_OK;
    run->at = node;
    ZH_TRY(tpl_truth(&truth, run, *out));
    if (truth == (node->kind == TPL_OR)) return ZH_OK;
  }
  return ZH_OK;
}

static zh_status evaluate_choice(tpl_value *out, tpl_run *run, const tpl_node *node) {
  tpl_value test;
  bool truth;
  ZH_TRY(tpl_evaluate(&test, run, node->second));
  run->at = node;
  ZH_TRY(tpl_truth(&truth, run, test));
  if (truth) return tpl_evaluate(out, run, node->first);
  if (node->third) return tpl_evaluate(out, run, node->third);
  *out = tpl_undefined("an inline 'if' without 'else' did not hold");
  out->safe = true;
  return ZH_OK;
}

static zh_status evaluate_slice(tpl_value *out, tpl_run *run, const tpl_node *node) {
  tpl_value object, bounds[3] = {tpl_none(), tpl_none(), tpl_none()};
  ZH_TRY(tpl_evaluate(&object, run, node->first));
  for (size_t i = 0; i < 3 && i < node->items.count; i++)
    if (node->items.at[i]) ZH_TRY(tpl_evaluate(&bounds[i], run, node->items.at[i]));
  run->at = node;
  return tpl_slice(out, run, object, bounds);
}

static zh_status evaluate_sign(tpl_value *out, tpl_run *run, const tpl_node *node) {
  tpl_value a, b;
  bool truth;
  ZH_TRY(tpl_evaluate(&a, run, node->first));
  if (node->kind == TPL_ARITHMETIC) ZH_TRY(tpl_evaluate(&b, run, node->second));
  run->at = node;
  if (node->kind == TPL_ARITHMETIC) return tpl_arithmetic(out, run, node->name, a, b);
  if (node->kind != TPL_NOT) return tpl_negative(out, run, a, node->kind == TPL_NEGATIVE);
  ZH_TRY(tpl_truth(&truth, run, a));
  *out = tpl_bool(!truth);
  return ZH_OK;
}

static zh_status evaluate(tpl_value *out, tpl_run *run, const tpl_node *node) {
  tpl_value object, key;
  switch (node->kind) {
  case TPL_CONSTANT:
    *out = node->value;
    return ZH_OK;
  case TPL_VARIABLE:
    return look_up(out, run, node->name);
  case TPL_MAKE_LIST:
  case TPL_MAKE_TUPLE:
    return make_list(out, run, node);
  case TPL_MAKE_DICT:
    return make_dict(out, run, node);
  case TPL_ATTRIBUTE:
    ZH_TRY(tpl_evaluate(&object, run, node->first));
    run->at = node;
    return tpl_get_attribute(out, run, object, node->name);
  case TPL_ITEM:
    ZH_TRY(tpl_evaluate(&object, run, node->first));
    ZH_TRY(tpl_evaluate(&key, run, node->second));
    run->at = node;
    return tpl_get_item(out, run, object, key);
  case TPL_SLICE:
    return evaluate_slice(out, run, node);
  case TPL_CALL:
    return evaluate_call(out, run, node);
  case TPL_FILTER:
    return evaluate_filter(out, run, node);
  case TPL_TEST:
    return evaluate_test(out, run, node);
  case TPL_JOIN:
    return evaluate_join(out, run, node);
  case TPL_COMPARE:
    return evaluate_comparison(out, run, node);
  case TPL_AND:
  case TPL_OR:
    return evaluate_logic(out, run, node);
  case TPL_CHOICE:
    return evaluate_choice(out, run, node);
  default:
    return evaluate_sign(out, run, node);
  }
}

zh_status tpl_evaluate(tpl_value *out, tpl_run *run, const tpl_node *node) {
  run->at = node;
  *out = tpl_none();
  if (++run->depth > TPL_DEPTH)
    return tpl_fail(run, "%s", "the template computes deeper than it may; a macro may call itself");
  ZH_TRY(tpl_charge(run, 0));
  ZH_TRY(evaluate(out, run, node));
  run->depth--;
  return ZH_OK;
}
