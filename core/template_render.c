/* Statements to text: scopes, loops, macros, and the rendering as a whole. */
#include <stdlib.h>
#include <string.h>

#include "core/template_parts.h"

enum { STEPS = 50000000, MEMORY_BYTES = 256 << 20, OUTPUT_BYTES = 64 << 20 };

/* How a body ended. */
typedef enum ending { WENT_ON, BROKE, CONTINUED } ending;

static zh_status render_body(ending *how, tpl_run *run, const tpl_nodes *body);

zh_status tpl_write(tpl_run *run, const char *bytes, size_t length) {
  if (length > run->output) return tpl_fail(run, "%s", "the template writes more text than it may");
  run->output -= length;
  zh_text_append(run->out, bytes, length);
  if (run->out->failed) return zh_fail(run->err, ZH_ERR_MEMORY, "out of memory (template)");
  return tpl_charge(run, length);
}

/* --- scopes --- */

static zh_status open_scope(tpl_scope **scope, tpl_run *run, tpl_scope *parent) {
  ZH_TRY(tpl_alloc(scope, run, 1, sizeof **scope));
  (*scope)->parent = parent;
  return ZH_OK;
}

zh_status tpl_bind_name(tpl_run *run, const char *name, tpl_value value) {
  tpl_scope *scope = run->scope;
  ZH_TRY(tpl_charge(run, scope->count));
  for (size_t i = 0; i < scope->count; i++) {
    if (scope->bindings[i].name != name) continue;
    scope->bindings[i].value = value;
    return ZH_OK;
  }
  if (scope->count == scope->capacity) {
    size_t capacity = scope->capacity * 2 + 4;
    tpl_binding *grown;
    ZH_TRY(tpl_alloc(&grown, run, capacity, sizeof *grown));
    if (scope->count > 0) memcpy(grown, scope->bindings, scope->count * sizeof *grown);
    scope->bindings = grown;
    scope->capacity = capacity;
  }
  scope->bindings[scope->count++] = (tpl_binding){name, value};
  return ZH_OK;
}

/* A body with names of its own. */
static zh_status render_scoped(ending *how, tpl_run *run, const tpl_nodes *body) {
  tpl_scope *outer = run->scope;
  ZH_TRY(open_scope(&run->scope, run, outer));
  zh_status status = render_body(how, run, body);
  run->scope = outer;
  return status;
}

/* What a scoped body writes, as a value. */
static zh_status capture(tpl_value *out, ending *how, tpl_run *run, const tpl_nodes *body) {
  zh_text text = {0}, *outer = run->out;
  run->out = &text;
  zh_status status = render_scoped(how, run, body);
  run->out = outer;
  if (status == ZH_OK) return tpl_take_text(out, run, &text);
  zh_text_free(&text);
  return status;
}

static zh_status assign(tpl_run *run, const tpl_node *target, tpl_value value) {
  run->at = target;
  if (target->kind == TPL_VARIABLE) return tpl_bind_name(run, target->name, value);
  if (target->kind == TPL_NAMESPACE_TARGET) {
    tpl_node name = {
        .kind = TPL_VARIABLE, .line = target->line, .column = target->column, .name = target->name};
    tpl_value space, key;
    ZH_TRY(tpl_evaluate(&space, run, &name));
    run->at = target;
    if (space.kind != TPL_NAMESPACE)
      return tpl_fail(run, "'%s' is no namespace, so that '%s' cannot be set in it", target->name,
                      target->names[0]);
    if (target->names[0][0] == '_')
      return tpl_fail(run, "names in a namespace do not begin with '_', as '%s' does",
                      target->names[0]);
    ZH_TRY(tpl_borrow_string(&key, run, target->names[0], strlen(target->names[0])));
    return tpl_dict_set(run, space.as.dict, key, value);
  }
  tpl_value *items;
  size_t count, wanted = target->items.count;
  ZH_TRY(tpl_iterate(&items, &count, run, value));
  if (count != wanted)
    return tpl_fail(run, "%zu values are to be given to %zu names", count, wanted);
  for (size_t i = 0; i < wanted; i++) ZH_TRY(assign(run, target->items.at[i], items[i]));
  return ZH_OK;
}

static zh_status write_value(tpl_run *run, tpl_value value) {
  zh_text text = {0};
  if (value.kind == TPL_STRING)
    return tpl_write(run, value.as.string->bytes, value.as.string->length);
  zh_status status = tpl_print(&text, run, value);
  if (status == ZH_OK) status = tpl_write(run, zh_text_string(&text), text.length);
  zh_text_free(&text);
  return status;
}

/* --- loops --- */

/* Items for which the test after "if" holds. */
static zh_status filter_items(tpl_value **items, size_t *count, tpl_run *run,
                              const tpl_node *node) {
  tpl_value *kept, truth;
  size_t held = 0;
  tpl_scope *outer = run->scope;
  if (!node->third) return ZH_OK;
  ZH_TRY(tpl_alloc(&kept, run, *count, sizeof *kept));
  for (size_t i = 0; i < *count; i++) {
    bool holds;
    ZH_TRY(open_scope(&run->scope, run, outer));
    ZH_TRY(assign(run, node->first, (*items)[i]));
    ZH_TRY(tpl_evaluate(&truth, run, node->third));
    run->at = node;
    ZH_TRY(tpl_truth(&holds, run, truth));
    if (holds) kept[held++] = (*items)[i];
    run->scope = outer;
  }
  *items = kept;
  *count = held;
  return ZH_OK;
}

static const char *loop_name(const tpl_run *run) {
  for (size_t i = 0; i < run->tpl->name_count; i++)
    if (strcmp(run->tpl->names[i], "loop") == 0) return run->tpl->names[i];
  return NULL;
}

/* completed: whether a pass went to its end, without which "else" comes after the loop. */
static zh_status render_items(bool *completed, tpl_run *run, const tpl_node *node, tpl_loop *loop) {
  tpl_scope *outer = run->scope;
  const char *name = loop_name(run); /* NULL: the template never asks */
  tpl_value value = {.kind = TPL_LOOP, .as.loop = loop};
  ending how = WENT_ON;
  for (; loop->at < loop->count && how != BROKE; loop->at++) {
    run->at = node;
    ZH_TRY(tpl_charge(run, 0));
    ZH_TRY(open_scope(&run->scope, run, outer));
    if (name) ZH_TRY(tpl_bind_name(run, name, value));
    ZH_TRY(assign(run, node->first, loop->items[loop->at]));
    ZH_TRY(render_body(&how, run, &node->body));
    run->scope = outer;
    *completed = *completed || how == WENT_ON;
  }
  return ZH_OK;
}

static zh_status render_for(ending *how, tpl_run *run, const tpl_node *node) {
  tpl_value over, *items;
  size_t count;
  tpl_loop *loop;
  bool completed = false;
  ZH_TRY(tpl_evaluate(&over, run, node->second));
  run->at = node;
  ZH_TRY(tpl_iterate(&items, &count, run, over));
  ZH_TRY(filter_items(&items, &count, run, node));
  ZH_TRY(tpl_alloc(&loop, run, 1, sizeof *loop));
  *loop = (tpl_loop){.items = items, .count = count};
  ZH_TRY(tpl_charge(run, run->tpl->name_count * 8)); /* "loop" is looked for among them */
  ZH_TRY(render_items(&completed, run, node, loop));
  return completed ? ZH_OK : render_scoped(how, run, &node->other);
}

/* --- macros --- */

/* A parameter's value: by position, by name, its default, or undefined. */
static zh_status bind_parameter(tpl_run *run, const tpl_node *node, size_t i,
                                const tpl_arguments *args, bool *used) {
  const char *name = node->names[i];
  tpl_value value;
  bool given = i < args->count;
  if (given) value = args->given[i];
  for (size_t k = 0; k < args->named_count; k++) {
    if (strcmp(args->names[k], name) != 0) continue;
    if (given) return tpl_fail(run, "the parameter '%s' is given twice", name);
    value = args->named[k];
    given = used[k] = true;
  }
  if (!given && node->items.at[i]) {
    ZH_TRY(tpl_evaluate(&value, run, node->items.at[i]));
  } else if (!given) {
    char *hint = zh_arena_printf(run->arena, "the parameter '%s' was not given", name);
    value = tpl_undefined(hint ? hint : "a parameter was not given");
  }
  return tpl_bind_name(run, name, value);
}

static const char *find_name(const tpl_run *run, const char *name) {
  for (size_t i = 0; i < run->tpl->name_count; i++)
    if (strcmp(run->tpl->names[i], name) == 0) return run->tpl->names[i];
  return name;
}

/* varargs, kwargs and caller, where the body asks for them; else what is left over is a mistake. */
static zh_status bind_rest(tpl_run *run, const tpl_node *node, const tpl_arguments *args,
                           bool *used) {
  size_t wanted = node->items.count, extra = args->count > wanted ? args->count - wanted : 0;
  tpl_value rest, named, caller = tpl_undefined("no caller is defined");
  const char *name = node->name ? node->name : "caller";
  if (extra > 0 && !node->uses_varargs)
    return tpl_fail(run, "the macro '%s' takes %zu values at most, but %zu are given", name, wanted,
                    args->count);
  ZH_TRY(tpl_new_list(&rest, run, extra, TPL_TUPLE));
  if (extra > 0) memcpy(rest.as.list->items, args->given + wanted, extra * sizeof(tpl_value));
  ZH_TRY(tpl_new_dict(&named, run, args->named_count));
  for (size_t i = 0; i < args->named_count; i++) {
    if (used[i]) continue;
    if (strcmp(args->names[i], "caller") == 0 && node->uses_caller) {
      caller = args->named[i];
      continue;
    }
    if (!node->uses_kwargs)
      return tpl_fail(run, "the macro '%s' has no parameter '%s'", name, args->names[i]);
    tpl_value key;
    ZH_TRY(tpl_borrow_string(&key, run, args->names[i], strlen(args->names[i])));
    ZH_TRY(tpl_dict_set(run, named.as.dict, key, args->named[i]));
  }
  if (node->uses_varargs) ZH_TRY(tpl_bind_name(run, find_name(run, "varargs"), rest));
  if (node->uses_kwargs) ZH_TRY(tpl_bind_name(run, find_name(run, "kwargs"), named));
  return node->uses_caller ? tpl_bind_name(run, find_name(run, "caller"), caller) : ZH_OK;
}

static zh_status bind_parameters(tpl_run *run, const tpl_macro *macro, const tpl_arguments *args) {
  const tpl_node *node = macro->node;
  bool *used;
  ZH_TRY(tpl_alloc(&used, run, args->named_count, sizeof *used));
  for (size_t i = 0; i < node->items.count; i++) ZH_TRY(bind_parameter(run, node, i, args, used));
  run->at = node;
  return bind_rest(run, node, args, used);
}

zh_status tpl_call_macro(tpl_value *out, tpl_run *run, const tpl_macro *macro,
                         const tpl_arguments *args) {
  tpl_scope *outer = run->scope;
  ending how = WENT_ON;
  if (++run->macro_depth > TPL_MACRO_DEPTH)
    return tpl_fail(run, "%s", "macros call each other deeper than they may");
  ZH_TRY(open_scope(&run->scope, run, macro->scope));
  ZH_TRY(tpl_charge(run, run->tpl->name_count * 16)); /* "caller" is looked for among them */
  zh_status status = bind_parameters(run, macro, args);
  if (status == ZH_OK) status = capture(out, &how, run, &macro->node->body);
  run->scope = outer;
  run->macro_depth--;
  return status;
}

static zh_status make_macro(tpl_value *out, tpl_run *run, const tpl_node *node) {
  tpl_macro *macro;
  ZH_TRY(tpl_alloc(&macro, run, 1, sizeof *macro));
  *macro = (tpl_macro){.node = node, .scope = run->scope};
  *out = (tpl_value){.kind = TPL_MACRO, .as.macro = macro};
  return ZH_OK;
}

/* The call with one more argument, the body, which the macro knows as caller(). */
static zh_status render_call_block(tpl_run *run, const tpl_node *node) {
  const tpl_node *call = node->first;
  tpl_value body, result;
  ZH_TRY(make_macro(&body, run, node));
  tpl_node holder = {
      .kind = TPL_CONSTANT, .line = node->line, .column = node->column, .value = body};
  size_t count = call->items.count;
  tpl_node copy = *call;
  ZH_TRY(tpl_alloc(&copy.items.at, run, count + 1, sizeof(tpl_node *)));
  ZH_TRY(tpl_alloc(&copy.names, run, count + 1, sizeof *copy.names));
  for (size_t i = 0; i < count; i++) {
    copy.items.at[i] = call->items.at[i];
    copy.names[i] = call->names[i]; /* a call has names where it has items */
  }
  copy.items.at[count] = &holder;
  copy.names[count] = "caller";
  copy.items.count = count + 1;
  ZH_TRY(tpl_evaluate(&result, run, &copy));
  run->at = node;
  return write_value(run, result);
}

/* --- the other statements --- */

static zh_status render_output(tpl_run *run, const tpl_node *node) {
  tpl_value value;
  ZH_TRY(tpl_evaluate(&value, run, node->first));
  run->at = node->first;
  return write_value(run, value);
}

static zh_status render_if(ending *how, tpl_run *run, const tpl_node *node) {
  for (size_t i = 0; i < node->items.count; i++) {
    bool holds = true;
    if (node->items.at[i]) {
      tpl_value test;
      ZH_TRY(tpl_evaluate(&test, run, node->items.at[i]));
      run->at = node->items.at[i];
      ZH_TRY(tpl_truth(&holds, run, test));
    }
    if (holds) return render_body(how, run, &node->body.at[i]->body);
  }
  return ZH_OK;
}

static zh_status render_set(tpl_run *run, const tpl_node *node) {
  tpl_value value;
  ZH_TRY(tpl_evaluate(&value, run, node->second));
  return assign(run, node->first, value);
}

static zh_status render_captured(ending *how, tpl_run *run, const tpl_node *node) {
  tpl_value text, result;
  ZH_TRY(capture(&text, how, run, &node->body));
  ZH_TRY(tpl_apply_filters(&result, run, node->second, text));
  return node->kind == TPL_SET_BLOCK ? assign(run, node->first, result) : write_value(run, result);
}

/* Values are computed in the scope around, then bound in the new one. */
static zh_status render_with(ending *how, tpl_run *run, const tpl_node *node) {
  tpl_scope *outer = run->scope, *inner;
  ZH_TRY(open_scope(&inner, run, outer));
  for (size_t i = 0; i < node->items.count; i++) {
    tpl_value value;
    run->scope = outer;
    ZH_TRY(tpl_evaluate(&value, run, node->other.at[i]));
    run->scope = inner;
    ZH_TRY(assign(run, node->items.at[i], value));
  }
  run->scope = inner;
  ZH_TRY(render_body(how, run, &node->body));
  run->scope = outer;
  return ZH_OK;
}

static zh_status render_macro(tpl_run *run, const tpl_node *node) {
  tpl_value macro;
  ZH_TRY(make_macro(&macro, run, node));
  return tpl_bind_name(run, node->name, macro);
}

static zh_status render_node(ending *how, tpl_run *run, const tpl_node *node) {
  switch (node->kind) {
  case TPL_RAW_TEXT:
    return tpl_write(run, node->value.as.string->bytes, node->value.as.string->length);
  case TPL_OUTPUT:
    return render_output(run, node);
  case TPL_IF:
    return render_if(how, run, node);
  case TPL_FOR:
    return render_for(how, run, node);
  case TPL_SET:
    return render_set(run, node);
  case TPL_SET_BLOCK:
  case TPL_FILTER_BLOCK:
    return render_captured(how, run, node);
  case TPL_WITH:
    return render_with(how, run, node);
  case TPL_MACRO_DEFINITION:
    return render_macro(run, node);
  case TPL_CALL_BLOCK:
    return render_call_block(run, node);
  case TPL_SCOPE:
    return render_scoped(how, run, &node->body);
  default:
    *how = node->kind == TPL_BREAK ? BROKE : CONTINUED;
    return ZH_OK;
  }
}

static zh_status render_body(ending *how, tpl_run *run, const tpl_nodes *body) {
  *how = WENT_ON;
  if (++run->depth > TPL_DEPTH)
    return tpl_fail(run, "%s", "the template computes deeper than it may; a macro may call itself");
  for (size_t i = 0; i < body->count && *how == WENT_ON; i++) {
    run->at = body->at[i];
    ZH_TRY(tpl_charge(run, 0));
    ZH_TRY(render_node(how, run, body->at[i]));
  }
  run->depth--;
  return ZH_OK;
}

/* --- the whole --- */

/* Variables that the template never names stay what they are. */
static zh_status bind_variables(tpl_run *run, const json_t *variables) {
  ZH_TRY(open_scope(&run->scope, run, NULL));
  for (size_t i = 0; variables && i < run->tpl->name_count; i++) {
    const json_t *json = json_object_get(variables, run->tpl->names[i]);
    tpl_value value;
    if (!json) continue;
    ZH_TRY(tpl_from_json(&value, run, json));
    ZH_TRY(tpl_bind_name(run, run->tpl->names[i], value));
  }
  return open_scope(&run->scope, run, run->scope);
}

zh_status zh_template_render(char **out, size_t *length, const zh_template *tpl,
                             const json_t *variables, const zh_template_limits *limits,
                             zh_error *err) {
  const zh_template_limits chosen = limits ? *limits : (zh_template_limits){0};
  zh_text text = {0};
  tpl_run run = {.tpl = tpl, .out = &text, .now = chosen.now, .err = err};
  ending how;
  *out = NULL;
  *length = 0;
  run.steps = chosen.steps ? chosen.steps : STEPS;
  run.output = chosen.output_bytes ? chosen.output_bytes : OUTPUT_BYTES;
  ZH_TRY(
      zh_arena_create(&run.arena, chosen.memory_bytes ? chosen.memory_bytes : MEMORY_BYTES, err));
  zh_status status = bind_variables(&run, variables);
  if (status == ZH_OK) status = render_body(&how, &run, &tpl->body);
  if (status == ZH_OK) zh_text_puts(&text, "");
  if (status == ZH_OK && text.failed)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (template)");
  zh_arena_free(run.arena);
  if (status == ZH_OK) {
    *out = text.data;
    *length = text.length;
  } else {
    zh_text_free(&text);
  }
  return status;
}
