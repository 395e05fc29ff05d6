/* What follows a primary expression: .name [key] (…) |filter and is test. */
#include <string.h>

#include "core/template_parts.h"

#define fail_here(r, ...) tpl_fail_at((r)->err, (r)->at->line, (r)->at->column, __VA_ARGS__)

static zh_status read_slice_part(tpl_node *slice, tpl_reader *r, bool colon_first) {
  tpl_node *part = NULL;
  if (colon_first && !tpl_skip_sign(r, ":")) return tpl_nodes_add(&slice->items, r, NULL);
  if (!tpl_at_sign(r, ":") && !tpl_at_sign(r, "]") && !tpl_at_sign(r, ","))
    ZH_TRY(tpl_read_expression(&part, r, true));
  return tpl_nodes_add(&slice->items, r, part);
}

static zh_status read_subscript(tpl_node **out, tpl_reader *r, tpl_node *object) {
  tpl_node *node, *key = NULL;
  ZH_TRY(tpl_node_new(&node, r, TPL_ITEM));
  node->first = object;
  r->at++;
  if (!tpl_at_sign(r, ":")) ZH_TRY(tpl_read_expression(&key, r, true));
  node->second = key;
  if (tpl_at_sign(r, ":")) {
    node->kind = TPL_SLICE;
    ZH_TRY(tpl_nodes_add(&node->items, r, key));
    ZH_TRY(read_slice_part(node, r, true));
    ZH_TRY(read_slice_part(node, r, true));
  }
  *out = node;
  if (tpl_at_sign(r, ","))
    return fail_here(r, "%s", "an index of several parts is not known to this version");
  return tpl_expect_sign(r, "]");
}

static zh_status read_attribute(tpl_node **out, tpl_reader *r, tpl_node *object) {
  tpl_node *node;
  ZH_TRY(tpl_node_new(&node, r, TPL_ATTRIBUTE));
  r->at++;
  node->first = object;
  *out = node;
  if (r->at->kind == TPL_INTEGER) {
    node->kind = TPL_ITEM;
    return tpl_read_primary(&node->second, r);
  }
  node->name = r->at->bytes;
  return tpl_expect_kind(r, TPL_NAME);
}

static zh_status read_argument(tpl_node *node, tpl_reader *r, const char ***names) {
  bool list = tpl_at_sign(r, "*"), dict = tpl_at_sign(r, "**");
  bool named = r->at->kind == TPL_NAME && r->at[1].kind == TPL_SIGN && *r->at[1].bytes == '=' &&
               r->at[1].length == 1;
  const char *name = named ? r->at->bytes : NULL;
  bool before = node->items.count > 0 && (*names)[node->items.count - 1];
  if (node->extra_dict || (list && node->extra_list) ||
      (!list && !dict && !named && (node->extra_list || before)))
    return fail_here(r, "%s", "arguments by position stand before those by name");
  r->at += named ? 2 : list || dict;
  if (list) return tpl_read_expression(&node->extra_list, r, true);
  if (dict) return tpl_read_expression(&node->extra_dict, r, true);
  tpl_node *value;
  ZH_TRY(tpl_read_expression(&value, r, true));
  size_t count = node->items.count, capacity = node->items.capacity;
  ZH_TRY(tpl_nodes_add(&node->items, r, value));
  if (node->items.capacity > capacity) {
    const char **grown = zh_arena_alloc(r->tpl->arena, node->items.capacity, sizeof *grown);
    if (!grown) return tpl_out_of_memory(r);
    if (count > 0) memcpy(grown, *names, count * sizeof *grown);
    *names = grown;
  }
  (*names)[count] = name;
  return ZH_OK;
}

/* "(…)" into items, names, extra_list and extra_dict of node. */
static zh_status read_arguments(tpl_node *node, tpl_reader *r) {
  const char **names = NULL;
  bool first = true;
  ZH_TRY(tpl_expect_sign(r, "("));
  ZH_TRY(tpl_enter(r));
  for (; !tpl_at_sign(r, ")"); first = false) {
    if (!first) ZH_TRY(tpl_expect_sign(r, ","));
    if (tpl_at_sign(r, ")")) break;
    ZH_TRY(read_argument(node, r, &names));
  }
  node->names = names;
  r->depth--;
  return tpl_expect_sign(r, ")");
}

zh_status tpl_read_call(tpl_node **out, tpl_reader *r, tpl_node *function) {
  tpl_node *node;
  ZH_TRY(tpl_node_new(&node, r, TPL_CALL));
  node->line = function->line;
  node->column = function->column;
  node->first = function;
  *out = node;
  return read_arguments(node, r);
}

/* Chains of ".a(b)[c]" grow to the left: their length is their depth. */
zh_status tpl_read_postfix(tpl_node **out, tpl_reader *r, tpl_node *node) {
  int depth = r->depth;
  for (;;) {
    if (tpl_at_sign(r, ".")) {
      ZH_TRY(read_attribute(&node, r, node));
    } else if (tpl_at_sign(r, "[")) {
      ZH_TRY(read_subscript(&node, r, node));
    } else if (tpl_at_sign(r, "(")) {
      ZH_TRY(tpl_read_call(&node, r, node));
    } else {
      break;
    }
    ZH_TRY(tpl_enter(r));
  }
  r->depth = depth;
  *out = node;
  return ZH_OK;
}

zh_status tpl_refuse_unknown(const tpl_node *node, bool test, zh_error *err) {
  char guess[ZH_GUESS_BYTES];
  return tpl_fail_at(err, node->line, node->column, "the %s '%s' is not known to this version%s",
                     test ? "test" : "filter", node->name, tpl_guess(guess, node->name, test));
}

/* The name after "|" or "is". Within "if" an unknown one fails only where it is reached, as in
 * Jinja: templates ask first whether their harness has it. */
static zh_status read_known(tpl_node *node, tpl_reader *r, bool test) {
  node->line = r->at->line;
  node->column = r->at->column;
  node->name = r->at->bytes;
  ZH_TRY(tpl_expect_kind(r, TPL_NAME));
  node->known = test ? tpl_find_test(node->name) : tpl_find_filter(node->name);
  if (tpl_at_sign(r, "."))
    return fail_here(r, "names with dots, as after '%s', are not known to this version",
                     node->name);
  return node->known || r->choices > 0 ? ZH_OK : tpl_refuse_unknown(node, test, r->err);
}

zh_status tpl_read_filters(tpl_node **out, tpl_reader *r, tpl_node *first, bool inline_start) {
  int depth = r->depth;
  tpl_node *node = first;
  while (inline_start || tpl_skip_sign(r, "|")) {
    tpl_node *filter;
    ZH_TRY(tpl_enter(r));
    ZH_TRY(tpl_node_new(&filter, r, TPL_FILTER));
    filter->first = node;
    ZH_TRY(read_known(filter, r, false));
    if (tpl_at_sign(r, "(")) ZH_TRY(read_arguments(filter, r));
    node = filter;
    inline_start = false;
  }
  r->depth = depth;
  *out = node;
  return ZH_OK;
}

static bool test_has_argument(const tpl_reader *r) {
  switch (r->at->kind) {
  case TPL_TEXT:
  case TPL_INTEGER:
  case TPL_REAL:
    return true;
  case TPL_NAME:
    return !tpl_at_name(r, "else") && !tpl_at_name(r, "or") && !tpl_at_name(r, "and");
  default:
    return tpl_at_sign(r, "[") || tpl_at_sign(r, "{");
  }
}

zh_status tpl_read_test(tpl_node **out, tpl_reader *r, tpl_node *subject) {
  tpl_node *test, *argument, *not_node = NULL;
  r->at++;
  if (tpl_at_name(r, "not")) {
    ZH_TRY(tpl_node_new(&not_node, r, TPL_NOT));
    r->at++;
  }
  ZH_TRY(tpl_node_new(&test, r, TPL_TEST));
  test->first = subject;
  ZH_TRY(read_known(test, r, true));
  if (tpl_at_sign(r, "(")) {
    ZH_TRY(read_arguments(test, r));
  } else if (test_has_argument(r)) {
    if (tpl_at_name(r, "is")) return fail_here(r, "%s", "tests with 'is' cannot be chained");
    ZH_TRY(tpl_read_primary(&argument, r));
    ZH_TRY(tpl_read_postfix(&argument, r, argument));
    ZH_TRY(tpl_nodes_add(&test->items, r, argument));
  }
  *out = test;
  if (not_node) {
    not_node->first = test;
    *out = not_node;
  }
  return ZH_OK;
}
