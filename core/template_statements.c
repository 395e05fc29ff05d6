/* Statements: what stands in {% … %}, and the text between. */
#include <string.h>

#include "core/template_parts.h"

enum { STATEMENTS_DEEP = 60 };

static zh_status read_body(tpl_nodes *body, tpl_reader *r, const char *const *ends);

#define fail_here(r, ...) tpl_fail_at((r)->err, (r)->at->line, (r)->at->column, __VA_ARGS__)

/* From the end of the opening tag to the name of one of `ends`, which stays the next token. */
static zh_status read_block(tpl_nodes *body, tpl_reader *r, const char *const *ends) {
  tpl_skip_sign(r, ":");
  ZH_TRY(tpl_expect_kind(r, TPL_BLOCK_END));
  if (++r->depth > STATEMENTS_DEEP)
    return fail_here(r, "blocks are nested deeper than %d levels", STATEMENTS_DEEP);
  ZH_TRY(read_body(body, r, ends));
  r->depth--;
  return ZH_OK;
}

static zh_status read_closed_block(tpl_nodes *body, tpl_reader *r, const char *end) {
  const char *const ends[] = {end, NULL};
  ZH_TRY(read_block(body, r, ends));
  r->at++;
  return ZH_OK;
}

/* --- if, for --- */

static zh_status add_branch(tpl_node *node, tpl_reader *r, tpl_node *test,
                            const char *const *ends) {
  tpl_node *branch;
  ZH_TRY(tpl_node_new(&branch, r, TPL_SCOPE));
  ZH_TRY(tpl_nodes_add(&node->items, r, test));
  ZH_TRY(tpl_nodes_add(&node->body, r, branch));
  return read_block(&branch->body, r, ends);
}

static zh_status read_if(tpl_node **out, tpl_reader *r) {
  static const char *const ends[] = {"elif", "else", "endif", NULL}, *const last[] = {"endif",
                                                                                      NULL};
  tpl_node *node, *test;
  ZH_TRY(tpl_node_new(&node, r, TPL_IF));
  *out = node;
  r->choices++;
  do {
    r->at++; /* if, elif */
    ZH_TRY(tpl_read_tuple(&test, r, false, NULL));
    ZH_TRY(add_branch(node, r, test, ends));
  } while (tpl_at_name(r, "elif"));
  if (tpl_skip_name(r, "else")) ZH_TRY(add_branch(node, r, NULL, last));
  r->at++;
  r->choices--;
  return ZH_OK;
}

/* Names, or tuples of names; "namespace.name" where `namespaces`. */
static zh_status check_target(tpl_reader *r, tpl_node *target, bool namespaces) {
  if (target->kind == TPL_VARIABLE) return ZH_OK;
  if (target->kind == TPL_NAMESPACE_TARGET && namespaces) return ZH_OK;
  if (target->kind == TPL_MAKE_TUPLE || target->kind == TPL_MAKE_LIST) {
    for (size_t i = 0; i < target->items.count; i++)
      ZH_TRY(check_target(r, target->items.at[i], namespaces));
    return ZH_OK;
  }
  return tpl_fail_at(r->err, target->line, target->column, "%s",
                     "a name to assign to was expected here");
}

static zh_status read_for(tpl_node **out, tpl_reader *r) {
  static const char *const ends[] = {"endfor", "else", NULL};
  tpl_node *node;
  ZH_TRY(tpl_node_new(&node, r, TPL_FOR));
  *out = node;
  r->at++;
  ZH_TRY(tpl_read_targets(&node->first, r, "in"));
  ZH_TRY(check_target(r, node->first, false));
  if (!tpl_skip_name(r, "in")) return fail_here(r, "%s", "expected 'in' after the names of 'for'");
  ZH_TRY(tpl_read_tuple(&node->second, r, false, "recursive"));
  if (tpl_skip_name(r, "if")) ZH_TRY(tpl_read_expression(&node->third, r, true));
  if (tpl_at_name(r, "recursive"))
    return fail_here(r, "%s", "'recursive' loops are not known to this version");
  r->loops++;
  ZH_TRY(read_block(&node->body, r, ends));
  r->loops--;
  if (tpl_skip_name(r, "endfor")) return ZH_OK;
  r->at++;
  return read_closed_block(&node->other, r, "endfor");
}

static zh_status read_jump(tpl_node **out, tpl_reader *r, tpl_node_kind kind) {
  if (r->loops == 0) return fail_here(r, "'%s' stands outside of a loop", r->at->bytes);
  ZH_TRY(tpl_node_new(out, r, kind));
  r->at++;
  return ZH_OK;
}

static zh_status read_break(tpl_node **out, tpl_reader *r) {
  return read_jump(out, r, TPL_BREAK);
}
static zh_status read_continue(tpl_node **out, tpl_reader *r) {
  return read_jump(out, r, TPL_CONTINUE);
}

/* --- set, with --- */

/* "a.b" as a target means the entry b of namespace a. */
static zh_status read_set_target(tpl_node **out, tpl_reader *r) {
  bool namespace = r->at->kind == TPL_NAME && r->at[1].kind == TPL_SIGN && *r->at[1].bytes == '.';
  if (!namespace) {
    ZH_TRY(tpl_read_targets(out, r, NULL));
    return check_target(r, *out, true);
  }
  ZH_TRY(tpl_node_new(out, r, TPL_NAMESPACE_TARGET));
  (*out)->name = r->at->bytes;
  r->at += 2;
  (*out)->names = zh_arena_alloc(r->tpl->arena, 1, sizeof *(*out)->names);
  if (!(*out)->names) return fail_here(r, "%s", "the template is too large");
  (*out)->names[0] = r->at->bytes;
  ZH_TRY(tpl_expect_kind(r, TPL_NAME));
  if (tpl_at_sign(r, ","))
    return fail_here(r, "%s", "entries of namespaces in tuples are not known to this version");
  return ZH_OK;
}

static zh_status read_set(tpl_node **out, tpl_reader *r) {
  tpl_node *node;
  ZH_TRY(tpl_node_new(&node, r, TPL_SET));
  *out = node;
  r->at++;
  ZH_TRY(read_set_target(&node->first, r));
  if (tpl_skip_sign(r, "=")) return tpl_read_tuple(&node->second, r, true, NULL);
  node->kind = TPL_SET_BLOCK;
  ZH_TRY(tpl_read_filters(&node->second, r, NULL, false));
  return read_closed_block(&node->body, r, "endset");
}

static zh_status read_with(tpl_node **out, tpl_reader *r) {
  tpl_node *node, *target, *value;
  ZH_TRY(tpl_node_new(&node, r, TPL_WITH));
  *out = node;
  r->at++;
  while (r->at->kind != TPL_BLOCK_END) {
    if (node->items.count > 0) ZH_TRY(tpl_expect_sign(r, ","));
    ZH_TRY(tpl_read_primary(&target, r));
    ZH_TRY(check_target(r, target, false));
    ZH_TRY(tpl_expect_sign(r, "="));
    ZH_TRY(tpl_read_expression(&value, r, true));
    ZH_TRY(tpl_nodes_add(&node->items, r, target));
    ZH_TRY(tpl_nodes_add(&node->other, r, value));
  }
  return read_closed_block(&node->body, r, "endwith");
}

/* --- macro, call, filter, generation --- */

/* "(a, b=1)": names in `names`, defaults (or NULL) in items. */
static zh_status read_signature(tpl_node *node, tpl_reader *r) {
  const char **names = NULL;
  bool defaults = false;
  ZH_TRY(tpl_expect_sign(r, "("));
  while (!tpl_at_sign(r, ")")) {
    if (node->items.count > 0) ZH_TRY(tpl_expect_sign(r, ","));
    const char *name = r->at->bytes;
    tpl_node *value = NULL;
    ZH_TRY(tpl_expect_kind(r, TPL_NAME));
    size_t count = node->items.count, capacity = node->items.capacity;
    if (tpl_skip_sign(r, "=")) ZH_TRY(tpl_read_expression(&value, r, true));
    if (defaults && !value)
      return fail_here(r, "the parameter '%s' without a default follows one that has one", name);
    defaults = value != NULL;
    ZH_TRY(tpl_nodes_add(&node->items, r, value));
    if (node->items.capacity > capacity) {
      const char **grown = zh_arena_alloc(r->tpl->arena, node->items.capacity, sizeof *grown);
      if (!grown) return fail_here(r, "%s", "the template is too large");
      if (count > 0) memcpy(grown, names, count * sizeof *grown);
      names = grown;
    }
    names[count] = name;
  }
  node->names = names;
  return tpl_expect_sign(r, ")");
}

/* The body of a macro: loops around it are not its own. */
static zh_status read_macro_body(tpl_node *node, tpl_reader *r, const char *end) {
  tpl_node *outer = r->macro;
  int loops = r->loops;
  r->macro = node;
  r->loops = 0;
  ZH_TRY(read_closed_block(&node->body, r, end));
  r->macro = outer;
  r->loops = loops;
  return ZH_OK;
}

static zh_status read_macro(tpl_node **out, tpl_reader *r) {
  tpl_node *node, *outer = r->macro;
  ZH_TRY(tpl_node_new(&node, r, TPL_MACRO_DEFINITION));
  *out = node;
  r->at++;
  node->name = r->at->bytes;
  ZH_TRY(tpl_expect_kind(r, TPL_NAME));
  r->macro = node;
  ZH_TRY(read_signature(node, r));
  r->macro = outer;
  return read_macro_body(node, r, "endmacro");
}

static zh_status read_call(tpl_node **out, tpl_reader *r) {
  tpl_node *node;
  ZH_TRY(tpl_node_new(&node, r, TPL_CALL_BLOCK));
  *out = node;
  r->at++;
  if (tpl_at_sign(r, "(")) ZH_TRY(read_signature(node, r));
  ZH_TRY(tpl_read_expression(&node->first, r, true));
  if (node->first->kind != TPL_CALL)
    return fail_here(r, "%s", "'call' needs the call of a macro, like {% call name() %}");
  return read_macro_body(node, r, "endcall");
}

static zh_status read_filter(tpl_node **out, tpl_reader *r) {
  tpl_node *node;
  ZH_TRY(tpl_node_new(&node, r, TPL_FILTER_BLOCK));
  *out = node;
  r->at++;
  ZH_TRY(tpl_read_filters(&node->second, r, NULL, true));
  return read_closed_block(&node->body, r, "endfilter");
}

/* Marks what the assistant wrote, for training; here it is only a scope. */
static zh_status read_generation(tpl_node **out, tpl_reader *r) {
  int loops = r->loops;
  ZH_TRY(tpl_node_new(out, r, TPL_SCOPE));
  r->at++;
  r->loops = 0;
  ZH_TRY(read_closed_block(&(*out)->body, r, "endgeneration"));
  r->loops = loops;
  return ZH_OK;
}

/* --- all of them --- */

typedef struct statement {
  const char *name;
  zh_status (*read)(tpl_node **out, tpl_reader *r);
} statement;

static const statement statements[] = {
    {"if", read_if},
    {"for", read_for},
    {"set", read_set},
    {"macro", read_macro},
    {"call", read_call},
    {"filter", read_filter},
    {"with", read_with},
    {"break", read_break},
    {"continue", read_continue},
    {"generation", read_generation},
};
enum { STATEMENTS = sizeof statements / sizeof *statements };

static zh_status unknown_tag(tpl_reader *r) {
  const char *names[STATEMENTS + 1] = {NULL}, *name = r->at->bytes;
  char guess[ZH_GUESS_BYTES], found[64];
  for (size_t i = 0; i < STATEMENTS; i++) names[i] = statements[i].name;
  if (r->at->kind != TPL_NAME)
    return fail_here(r, "expected the name of a tag, but found %s", tpl_describe(found, r->at));
  static const char *const ends[] = {"elif", "else", NULL};
  bool stray = strncmp(name, "end", 3) == 0;
  for (size_t i = 0; ends[i]; i++) stray = stray || strcmp(name, ends[i]) == 0;
  if (stray) return fail_here(r, "'%s' does not belong to the block that is open here", name);
  return fail_here(r, "the tag '%s' is not known to this version%s", name,
                   zh_did_you_mean(guess, name, names));
}

static zh_status read_statement(tpl_node **out, tpl_reader *r) {
  for (size_t i = 0; i < STATEMENTS; i++)
    if (tpl_at_name(r, statements[i].name)) return statements[i].read(out, r);
  return unknown_tag(r);
}

static zh_status read_data(tpl_node **out, tpl_reader *r) {
  ZH_TRY(tpl_node_new(out, r, TPL_RAW_TEXT));
  tpl_string *string = zh_arena_alloc(r->tpl->arena, 1, sizeof *string);
  if (!string) return fail_here(r, "%s", "the template is too large");
  *string = (tpl_string){.bytes = r->at->bytes, .length = r->at->length, .points = SIZE_MAX};
  (*out)->value = (tpl_value){.kind = TPL_STRING, .as.string = string};
  r->at++;
  return ZH_OK;
}

static zh_status read_output(tpl_node **out, tpl_reader *r) {
  r->at++;
  ZH_TRY(tpl_node_new(out, r, TPL_OUTPUT));
  ZH_TRY(tpl_read_tuple(&(*out)->first, r, true, NULL));
  return tpl_expect_kind(r, TPL_VARIABLE_END);
}

static bool at_one_of(const tpl_reader *r, const char *const *ends) {
  for (; ends && *ends; ends++)
    if (tpl_at_name(r, *ends)) return true;
  return false;
}

/* ends NULL: to the end of the template. */
static zh_status read_body(tpl_nodes *body, tpl_reader *r, const char *const *ends) {
  for (;;) {
    tpl_node *node;
    if (r->at->kind == TPL_DATA) {
      ZH_TRY(read_data(&node, r));
    } else if (r->at->kind == TPL_VARIABLE_BEGIN) {
      ZH_TRY(read_output(&node, r));
    } else if (r->at->kind == TPL_BLOCK_BEGIN) {
      r->at++;
      if (at_one_of(r, ends)) return ZH_OK;
      ZH_TRY(read_statement(&node, r));
      ZH_TRY(tpl_expect_kind(r, TPL_BLOCK_END));
    } else if (!ends) {
      return ZH_OK;
    } else {
      const char *last = ends[0];
      while (*++ends) last = *ends;
      return fail_here(r, "the template ends before '%s'", last);
    }
    ZH_TRY(tpl_nodes_add(body, r, node));
  }
}

zh_status tpl_read_statements(tpl_reader *r) {
  return read_body(&r->tpl->body, r, NULL);
}
