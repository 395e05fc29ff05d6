/* Expressions: precedence as Jinja's. Recursion is bounded, so hostile nesting ends in a sentence.
 */
#include <stdio.h>
#include <string.h>

#include "core/template_parts.h"

enum { NESTING_MAX = 200 };

/* --- tokens --- */

#define fail_here(r, ...) tpl_fail_at((r)->err, (r)->at->line, (r)->at->column, __VA_ARGS__)

bool tpl_at_sign(const tpl_reader *r, const char *sign) {
  return r->at->kind == TPL_SIGN && strcmp(r->at->bytes, sign) == 0;
}

bool tpl_at_name(const tpl_reader *r, const char *name) {
  return r->at->kind == TPL_NAME && strcmp(r->at->bytes, name) == 0;
}

bool tpl_skip_sign(tpl_reader *r, const char *sign) {
  bool there = tpl_at_sign(r, sign);
  r->at += there;
  return there;
}

bool tpl_skip_name(tpl_reader *r, const char *name) {
  bool there = tpl_at_name(r, name);
  r->at += there;
  return there;
}

const char *tpl_describe(char out[64], const tpl_token *token) {
  switch (token->kind) {
  case TPL_END:
    return "the end of the template";
  case TPL_VARIABLE_END:
  case TPL_BLOCK_END:
    snprintf(out, 64, "the end of the tag, '%s'", token->bytes);
    return out;
  case TPL_DATA:
    return "text outside of tags";
  case TPL_TEXT:
    return "a quoted text";
  default:
    snprintf(out, 64, "'%.*s'", token->length < 40 ? (int)token->length : 40, token->bytes);
    return out;
  }
}

zh_status tpl_expect_sign(tpl_reader *r, const char *sign) {
  char found[64];
  if (tpl_skip_sign(r, sign)) return ZH_OK;
  return fail_here(r, "expected '%s', but found %s", sign, tpl_describe(found, r->at));
}

zh_status tpl_expect_kind(tpl_reader *r, tpl_token_kind kind) {
  char found[64];
  if (r->at->kind == kind) {
    if (kind != TPL_END) r->at++;
    return ZH_OK;
  }
  const char *what = kind == TPL_NAME           ? "a name"
                     : kind == TPL_BLOCK_END    ? "the end of the tag, '%}'"
                     : kind == TPL_VARIABLE_END ? "the end of the tag, '}}'"
                                                : "the end of the template";
  return fail_here(r, "expected %s, but found %s", what, tpl_describe(found, r->at));
}

/* --- nodes --- */

static zh_status out_of_memory(tpl_reader *r) {
  return fail_here(r, "the template is too large at '%s': no memory is left for it",
                   r->at->kind == TPL_NAME ? r->at->bytes : "…");
}

zh_status tpl_node_new(tpl_node **out, tpl_reader *r, tpl_node_kind kind) {
  tpl_node *node = *out = zh_arena_alloc(r->tpl->arena, 1, sizeof *node);
  if (!node) return out_of_memory(r);
  node->kind = kind;
  node->line = r->at->line;
  node->column = r->at->column;
  return ZH_OK;
}

zh_status tpl_nodes_add(tpl_nodes *list, tpl_reader *r, tpl_node *node) {
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? list->capacity * 2 : 4;
    tpl_node **grown = zh_arena_alloc(r->tpl->arena, capacity, sizeof *grown);
    if (!grown) return out_of_memory(r);
    if (list->count > 0) memcpy(grown, list->at, list->count * sizeof *grown);
    list->at = grown;
    list->capacity = capacity;
  }
  list->at[list->count++] = node;
  return ZH_OK;
}

static zh_status enter(tpl_reader *r) {
  if (++r->depth <= NESTING_MAX) return ZH_OK;
  return fail_here(r, "nested deeper than %d levels", NESTING_MAX);
}

/* --- literals and names --- */

static zh_status read_constant(tpl_node **out, tpl_reader *r, tpl_value value) {
  ZH_TRY(tpl_node_new(out, r, TPL_CONSTANT));
  (*out)->value = value;
  r->at++;
  return ZH_OK;
}

/* Neighbouring texts are one text. */
static zh_status read_text(tpl_node **out, tpl_reader *r) {
  ZH_TRY(tpl_node_new(out, r, TPL_CONSTANT));
  size_t length = 0;
  const tpl_token *first = r->at;
  for (; r->at->kind == TPL_TEXT; r->at++) length += r->at->length;
  tpl_string *string = zh_arena_alloc(r->tpl->arena, 1, sizeof *string);
  char *bytes = zh_arena_alloc(r->tpl->arena, length + 1, 1);
  if (!string || !bytes) return out_of_memory(r);
  size_t at = 0;
  for (const tpl_token *t = first; t != r->at; at += t->length, t++)
    memcpy(bytes + at, t->bytes, t->length);
  *string = (tpl_string){.bytes = bytes, .length = length};
  string->points = SIZE_MAX;
  tpl_points(string); /* now, because threads share it */
  (*out)->value = (tpl_value){.kind = TPL_STRING, .as.string = string};
  return ZH_OK;
}

/* What a macro needs to know of the names inside it. */
static void note_name(tpl_reader *r, const char *name) {
  if (!r->macro) return;
  if (strcmp(name, "caller") == 0) r->macro->uses_caller = true;
  if (strcmp(name, "varargs") == 0) r->macro->uses_varargs = true;
  if (strcmp(name, "kwargs") == 0) r->macro->uses_kwargs = true;
}

static zh_status read_name(tpl_node **out, tpl_reader *r) {
  if (tpl_at_name(r, "true") || tpl_at_name(r, "True"))
    return read_constant(out, r, tpl_bool(true));
  if (tpl_at_name(r, "false") || tpl_at_name(r, "False"))
    return read_constant(out, r, tpl_bool(false));
  if (tpl_at_name(r, "none") || tpl_at_name(r, "None")) return read_constant(out, r, tpl_none());
  ZH_TRY(tpl_node_new(out, r, TPL_VARIABLE));
  (*out)->name = r->at->bytes;
  note_name(r, r->at->bytes);
  r->at++;
  return ZH_OK;
}

/* Items up to a closing bracket; dictionaries have pairs. */
static zh_status read_items(tpl_node *node, tpl_reader *r, const char *closing, bool pairs) {
  r->at++;
  while (!tpl_at_sign(r, closing)) {
    tpl_node *item;
    if (node->items.count > 0) ZH_TRY(tpl_expect_sign(r, ","));
    if (tpl_at_sign(r, closing)) break;
    ZH_TRY(tpl_read_expression(&item, r, true));
    ZH_TRY(tpl_nodes_add(&node->items, r, item));
    if (!pairs) continue;
    ZH_TRY(tpl_expect_sign(r, ":"));
    ZH_TRY(tpl_read_expression(&item, r, true));
    ZH_TRY(tpl_nodes_add(&node->items, r, item));
  }
  return tpl_expect_sign(r, closing);
}

static bool tuple_ends(const tpl_reader *r, const char *extra_end) {
  return r->at->kind == TPL_VARIABLE_END || r->at->kind == TPL_BLOCK_END || tpl_at_sign(r, ")") ||
         (extra_end && tpl_at_name(r, extra_end));
}

/* simple: targets, which are names and brackets of them. */
static zh_status read_tuple(tpl_node **out, tpl_reader *r, bool with_choice, const char *extra_end,
                            bool parentheses, bool simple) {
  tpl_node *tuple, *item = NULL;
  bool commas = false;
  ZH_TRY(tpl_node_new(&tuple, r, TPL_MAKE_TUPLE));
  for (;;) {
    if (tuple->items.count > 0) ZH_TRY(tpl_expect_sign(r, ","));
    if (tuple_ends(r, extra_end)) break;
    ZH_TRY(simple ? tpl_read_primary(&item, r) : tpl_read_expression(&item, r, with_choice));
    ZH_TRY(tpl_nodes_add(&tuple->items, r, item));
    if (!tpl_at_sign(r, ",")) break;
    commas = true;
  }
  *out = commas || tuple->items.count == 0 ? tuple : item;
  char found[64];
  if (tuple->items.count == 0 && !parentheses)
    return fail_here(r, "expected an expression, but found %s", tpl_describe(found, r->at));
  return ZH_OK;
}

zh_status tpl_read_tuple(tpl_node **out, tpl_reader *r, bool with_choice, const char *extra_end) {
  return read_tuple(out, r, with_choice, extra_end, false, false);
}

zh_status tpl_read_targets(tpl_node **out, tpl_reader *r, const char *extra_end) {
  return read_tuple(out, r, true, extra_end, false, true);
}

zh_status tpl_read_primary(tpl_node **out, tpl_reader *r) {
  char found[64];
  switch (r->at->kind) {
  case TPL_NAME:
    return read_name(out, r);
  case TPL_TEXT:
    return read_text(out, r);
  case TPL_INTEGER:
    return read_constant(out, r, tpl_int(r->at->integer));
  case TPL_REAL:
    return read_constant(out, r, tpl_float(r->at->real));
  default:
    break;
  }
  if (tpl_at_sign(r, "(")) {
    r->at++;
    ZH_TRY(enter(r));
    ZH_TRY(read_tuple(out, r, true, NULL, true, false));
    r->depth--;
    return tpl_expect_sign(r, ")");
  }
  bool list = tpl_at_sign(r, "[");
  if (list || tpl_at_sign(r, "{")) {
    ZH_TRY(tpl_node_new(out, r, list ? TPL_MAKE_LIST : TPL_MAKE_DICT));
    ZH_TRY(enter(r));
    ZH_TRY(read_items(*out, r, list ? "]" : "}", !list));
    r->depth--;
    return ZH_OK;
  }
  return fail_here(r, "unexpected %s", tpl_describe(found, r->at));
}

/* --- what follows a primary: .name [key] (…) |filter is test --- */

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
    return read_constant(&node->second, r, tpl_int(r->at->integer));
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
    if (!grown) return out_of_memory(r);
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
  ZH_TRY(enter(r));
  for (; !tpl_at_sign(r, ")"); first = false) {
    if (!first) ZH_TRY(tpl_expect_sign(r, ","));
    if (tpl_at_sign(r, ")")) break;
    ZH_TRY(read_argument(node, r, &names));
  }
  node->names = names;
  r->depth--;
  return tpl_expect_sign(r, ")");
}

static zh_status read_call(tpl_node **out, tpl_reader *r, tpl_node *function) {
  tpl_node *node;
  ZH_TRY(tpl_node_new(&node, r, TPL_CALL));
  node->line = function->line;
  node->column = function->column;
  node->first = function;
  *out = node;
  return read_arguments(node, r);
}

/* Chains of ".a(b)[c]" grow to the left: their length is their depth. */
static zh_status read_postfix(tpl_node **out, tpl_reader *r, tpl_node *node) {
  int depth = r->depth;
  for (;;) {
    if (tpl_at_sign(r, ".")) {
      ZH_TRY(read_attribute(&node, r, node));
    } else if (tpl_at_sign(r, "[")) {
      ZH_TRY(read_subscript(&node, r, node));
    } else if (tpl_at_sign(r, "(")) {
      ZH_TRY(read_call(&node, r, node));
    } else {
      break;
    }
    ZH_TRY(enter(r));
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
    ZH_TRY(enter(r));
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

static zh_status read_test(tpl_node **out, tpl_reader *r, tpl_node *subject) {
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
    ZH_TRY(read_postfix(&argument, r, argument));
    ZH_TRY(tpl_nodes_add(&test->items, r, argument));
  }
  *out = test;
  if (not_node) {
    not_node->first = test;
    *out = not_node;
  }
  return ZH_OK;
}

/* --- operators, from the tightest --- */

static zh_status read_unary(tpl_node **out, tpl_reader *r, bool with_filter) {
  tpl_node *node;
  int depth = r->depth;
  ZH_TRY(enter(r));
  bool minus = tpl_at_sign(r, "-");
  if (minus || tpl_at_sign(r, "+")) {
    ZH_TRY(tpl_node_new(&node, r, minus ? TPL_NEGATIVE : TPL_POSITIVE));
    r->at++;
    ZH_TRY(read_unary(&node->first, r, false));
  } else {
    ZH_TRY(tpl_read_primary(&node, r));
  }
  ZH_TRY(read_postfix(&node, r, node));
  while (with_filter) {
    ZH_TRY(enter(r));
    if (tpl_at_sign(r, "|")) {
      ZH_TRY(tpl_read_filters(&node, r, node, false));
    } else if (tpl_at_name(r, "is")) {
      ZH_TRY(read_test(&node, r, node));
    } else if (tpl_at_sign(r, "(")) {
      ZH_TRY(read_call(&node, r, node));
    } else {
      break;
    }
  }
  r->depth = depth;
  *out = node;
  return ZH_OK;
}

static const char *const powers[] = {"**", NULL}, *const products[] = {"*", "/", "//", "%", NULL},
                         *const sums[] = {"+", "-", NULL}, *const comparisons[] = {"==", "!=", "<=",
                                                                                   ">=", "<",  ">",
                                                                                   NULL};

static const char *one_of(const tpl_reader *r, const char *const *signs) {
  for (; *signs; signs++)
    if (tpl_at_sign(r, *signs)) return *signs;
  return NULL;
}

typedef zh_status (*level)(tpl_node **out, tpl_reader *r);

/* next sign next sign next …, to the left; the length of a chain is the depth of its tree. */
static zh_status read_chain(tpl_node **out, tpl_reader *r, const char *const *signs, level next) {
  tpl_node *left;
  const char *sign;
  int depth = r->depth;
  ZH_TRY(next(&left, r));
  while ((sign = one_of(r, signs)) != NULL) {
    tpl_node *node;
    ZH_TRY(enter(r));
    ZH_TRY(tpl_node_new(&node, r, TPL_ARITHMETIC));
    r->at++;
    node->name = sign;
    node->first = left;
    ZH_TRY(next(&node->second, r));
    left = node;
  }
  r->depth = depth;
  *out = left;
  return ZH_OK;
}

static zh_status read_filtered(tpl_node **out, tpl_reader *r) {
  return read_unary(out, r, true);
}
static zh_status read_power(tpl_node **out, tpl_reader *r) {
  return read_chain(out, r, powers, read_filtered);
}
static zh_status read_product(tpl_node **out, tpl_reader *r) {
  return read_chain(out, r, products, read_power);
}

static zh_status read_join(tpl_node **out, tpl_reader *r) {
  tpl_node *part, *node;
  ZH_TRY(read_product(&part, r));
  *out = part;
  if (!tpl_at_sign(r, "~")) return ZH_OK;
  ZH_TRY(tpl_node_new(&node, r, TPL_JOIN));
  ZH_TRY(tpl_nodes_add(&node->items, r, part));
  while (tpl_skip_sign(r, "~")) {
    ZH_TRY(read_product(&part, r));
    ZH_TRY(tpl_nodes_add(&node->items, r, part));
  }
  *out = node;
  return ZH_OK;
}

static zh_status read_sum(tpl_node **out, tpl_reader *r) {
  return read_chain(out, r, sums, read_join);
}

static const char *comparison_at(tpl_reader *r) {
  const char *sign = one_of(r, comparisons);
  if (sign) {
    r->at++;
  } else if (tpl_skip_name(r, "in")) {
    sign = "in";
  } else if (tpl_at_name(r, "not") && r->at[1].kind == TPL_NAME &&
             strcmp(r->at[1].bytes, "in") == 0) {
    sign = "not in";
    r->at += 2;
  }
  return sign;
}

static zh_status read_comparison(tpl_node **out, tpl_reader *r) {
  tpl_node *node, *right;
  const char *signs[16], *sign;
  ZH_TRY(tpl_node_new(&node, r, TPL_COMPARE));
  ZH_TRY(read_sum(&node->first, r));
  while ((sign = comparison_at(r)) != NULL) {
    size_t at = node->items.count;
    if (at == sizeof signs / sizeof *signs)
      return fail_here(r, "more than %zu comparisons in one chain", at);
    ZH_TRY(read_sum(&right, r));
    ZH_TRY(tpl_nodes_add(&node->items, r, right));
    signs[at] = sign;
  }
  size_t count = node->items.count;
  *out = count > 0 ? node : node->first;
  if (count == 0) return ZH_OK;
  node->names = zh_arena_alloc(r->tpl->arena, count, sizeof *node->names);
  if (!node->names) return out_of_memory(r);
  memcpy(node->names, signs, count * sizeof *signs);
  return ZH_OK;
}

static zh_status read_not(tpl_node **out, tpl_reader *r) {
  if (!tpl_at_name(r, "not")) return read_comparison(out, r);
  tpl_node *node;
  ZH_TRY(tpl_node_new(&node, r, TPL_NOT));
  r->at++;
  ZH_TRY(enter(r));
  ZH_TRY(read_not(&node->first, r));
  r->depth--;
  *out = node;
  return ZH_OK;
}

/* "and", "or": items, so that long chains are not deep. */
static zh_status read_logic(tpl_node **out, tpl_reader *r, const char *word, tpl_node_kind kind,
                            level next) {
  tpl_node *part, *node;
  ZH_TRY(next(&part, r));
  *out = part;
  if (!tpl_at_name(r, word)) return ZH_OK;
  ZH_TRY(tpl_node_new(&node, r, kind));
  ZH_TRY(tpl_nodes_add(&node->items, r, part));
  while (tpl_skip_name(r, word)) {
    ZH_TRY(next(&part, r));
    ZH_TRY(tpl_nodes_add(&node->items, r, part));
  }
  *out = node;
  return ZH_OK;
}

static zh_status read_and(tpl_node **out, tpl_reader *r) {
  return read_logic(out, r, "and", TPL_AND, read_not);
}

static zh_status read_or(tpl_node **out, tpl_reader *r) {
  return read_logic(out, r, "or", TPL_OR, read_and);
}

zh_status tpl_read_expression(tpl_node **out, tpl_reader *r, bool with_choice) {
  tpl_node *node, *choice;
  int depth = r->depth;
  ZH_TRY(enter(r));
  ZH_TRY(read_or(&node, r));
  while (with_choice && tpl_at_name(r, "if")) {
    ZH_TRY(enter(r));
    ZH_TRY(tpl_node_new(&choice, r, TPL_CHOICE));
    r->at++;
    choice->first = node;
    ZH_TRY(read_or(&choice->second, r));
    if (tpl_skip_name(r, "else")) ZH_TRY(tpl_read_expression(&choice->third, r, true));
    node = choice;
  }
  r->depth = depth;
  *out = node;
  return ZH_OK;
}
