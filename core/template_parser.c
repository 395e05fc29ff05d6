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

zh_status tpl_out_of_memory(tpl_reader *r) {
  return fail_here(r, "the template is too large at '%s': no memory is left for it",
                   r->at->kind == TPL_NAME ? r->at->bytes : "…");
}

zh_status tpl_node_new(tpl_node **out, tpl_reader *r, tpl_node_kind kind) {
  tpl_node *node = *out = zh_arena_alloc(r->tpl->arena, 1, sizeof *node);
  if (!node) return tpl_out_of_memory(r);
  node->kind = kind;
  node->line = r->at->line;
  node->column = r->at->column;
  return ZH_OK;
}

zh_status tpl_nodes_add(tpl_nodes *list, tpl_reader *r, tpl_node *node) {
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? list->capacity * 2 : 4;
    tpl_node **grown = zh_arena_alloc(r->tpl->arena, capacity, sizeof *grown);
    if (!grown) return tpl_out_of_memory(r);
    if (list->count > 0) memcpy(grown, list->at, list->count * sizeof *grown);
    list->at = grown;
    list->capacity = capacity;
  }
  list->at[list->count++] = node;
  return ZH_OK;
}

zh_status tpl_enter(tpl_reader *r) {
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
  if (!string || !bytes) return tpl_out_of_memory(r);
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
    ZH_TRY(tpl_enter(r));
    ZH_TRY(read_tuple(out, r, true, NULL, true, false));
    r->depth--;
    return tpl_expect_sign(r, ")");
  }
  bool list = tpl_at_sign(r, "[");
  if (list || tpl_at_sign(r, "{")) {
    ZH_TRY(tpl_node_new(out, r, list ? TPL_MAKE_LIST : TPL_MAKE_DICT));
    ZH_TRY(tpl_enter(r));
    ZH_TRY(read_items(*out, r, list ? "]" : "}", !list));
    r->depth--;
    return ZH_OK;
  }
  return fail_here(r, "unexpected %s", tpl_describe(found, r->at));
}

/* --- operators, from the tightest --- */

static zh_status read_unary(tpl_node **out, tpl_reader *r, bool with_filter) {
  tpl_node *node;
  int depth = r->depth;
  ZH_TRY(tpl_enter(r));
  bool minus = tpl_at_sign(r, "-");
  if (minus || tpl_at_sign(r, "+")) {
    ZH_TRY(tpl_node_new(&node, r, minus ? TPL_NEGATIVE : TPL_POSITIVE));
    r->at++;
    ZH_TRY(read_unary(&node->first, r, false));
  } else {
    ZH_TRY(tpl_read_primary(&node, r));
  }
  ZH_TRY(tpl_read_postfix(&node, r, node));
  while (with_filter) {
    ZH_TRY(tpl_enter(r));
    if (tpl_at_sign(r, "|")) {
      ZH_TRY(tpl_read_filters(&node, r, node, false));
    } else if (tpl_at_name(r, "is")) {
      ZH_TRY(tpl_read_test(&node, r, node));
    } else if (tpl_at_sign(r, "(")) {
      ZH_TRY(tpl_read_call(&node, r, node));
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
    ZH_TRY(tpl_enter(r));
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
  if (!node->names) return tpl_out_of_memory(r);
  memcpy(node->names, signs, count * sizeof *signs);
  return ZH_OK;
}

static zh_status read_not(tpl_node **out, tpl_reader *r) {
  if (!tpl_at_name(r, "not")) return read_comparison(out, r);
  tpl_node *node;
  ZH_TRY(tpl_node_new(&node, r, TPL_NOT));
  r->at++;
  ZH_TRY(tpl_enter(r));
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
  ZH_TRY(tpl_enter(r));
  ZH_TRY(read_or(&node, r));
  while (with_choice && tpl_at_name(r, "if")) {
    ZH_TRY(tpl_enter(r));
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
