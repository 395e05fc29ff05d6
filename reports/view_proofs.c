/* Conditions as trees that a person can follow: a line for each node, indented by its depth. A
 * branch that was printed before is named and not printed again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/view.h"

enum { DEPTH_MAX = 32, DEPTH_SHOWN = 6 };

typedef struct tree {
  zh_view *view;
  json_t *lines;
  json_t *printed; /* keys: what was printed in full before */
} tree;

static const char *kind_of(zh_view *view, const json_t *node) {
  return zh_view_text_of(view, node, "kind", "grants.proof");
}

/* Findings of a leaf: its own, or "leaf.count.model" where a rule gives several. */
static bool is_of_leaf(const json_t *finding, const char *leaf) {
  const char *id = zh_view_maybe_text(finding, "id");
  size_t length = strlen(leaf);
  return id && strncmp(id, leaf, length) == 0 && (id[length] == '\0' || id[length] == '.');
}

/* seen_at: where each finding stands in the annex; facts: value, criterion, evidence. */
static void put_findings(zh_view *view, json_t *line, const char *leaf, bool whole) {
  const json_t *findings = json_object_get(view->evaluation, "findings");
  const json_t *shown = json_object_get(view->root, "findings");
  json_t *numbers = zh_view_list(view, line, "seen_at");
  json_t *facts = zh_view_list(view, line, "facts");
  for (size_t i = 0; i < json_array_size(findings) && view->status == ZH_OK; i++) {
    if (!is_of_leaf(json_array_get(findings, i), leaf)) continue;
    zh_view_number(view, zh_view_item(view, numbers), "finding_no", i + 1);
    if (whole && json_array_append(facts, json_array_get(shown, i)) != 0)
      zh_view_fail(view, "grants.proof", "out of memory");
  }
}

static json_t *new_line(tree *t, const json_t *node, size_t depth) {
  json_t *line = zh_view_item(t->view, t->lines);
  char indent[16];
  snprintf(indent, sizeof indent, "d%zu", depth < DEPTH_SHOWN ? depth : DEPTH_SHOWN);
  zh_view_text(t->view, line, "indent", indent);
  zh_view_verdict(t->view, line, node, "grants.proof");
  zh_view_flag(t->view, line, "is_leaf", false);
  zh_view_flag(t->view, line, "by_choice", false);
  zh_view_text(t->view, line, "node_clause", zh_view_maybe_text(node, "clause"));
  return line;
}

/* The name of the choice under which this branch stands; false where it stands under none. */
static void put_choice(tree *t, json_t *line, const json_t *node, const char *reading) {
  const char *choice = zh_view_maybe_text(node, "choice");
  json_t *pair = json_object(), *list = zh_view_list(t->view, line, "branch");
  if (choice && reading && t->view->status == ZH_OK && pair &&
      json_object_set_new(pair, reading, json_string(choice)) == 0)
    zh_view_choices(t->view, zh_view_item(t->view, list), pair, NULL);
  json_decref(pair);
}

static void put_leaf(tree *t, json_t *line, const json_t *node) {
  zh_view *view = t->view;
  const char *id = zh_view_text_of(view, node, "id", "grants.proof");
  const json_t *choices = json_object_get(node, "by_reading");
  bool again = json_object_get(t->printed, id) != NULL;
  zh_view_flag(view, line, "is_leaf", true);
  zh_view_local(view, line, "leaf_statement", node, "statement", "grants.proof");
  put_findings(view, line, id, !again);
  json_t *list = zh_view_list(view, line, "leaf_choices");
  for (size_t i = 0; !again && i < json_array_size(choices); i++) {
    const json_t *choice = json_array_get(choices, i);
    json_t *item = zh_view_item(view, list);
    zh_view_choices(view, item, json_object_get(choice, "choices"), NULL);
    zh_view_verdict(view, item, choice, "grants.proof.by_reading");
  }
  if (view->status == ZH_OK) json_object_set_new(t->printed, id, json_true());
}

static void put_node(tree *t, const json_t *node, size_t depth, const char *under);

static void put_children(tree *t, const json_t *node, size_t depth, const char *reading) {
  const json_t *of = zh_view_list_of(t->view, node, "of", "grants.proof");
  for (size_t i = 0; i < json_array_size(of) && t->view->status == ZH_OK; i++)
    put_node(t, json_array_get(of, i), depth, reading);
}

/* A conjunction in a conjunction, or as all that a clause asks, needs no line of its own. */
static bool is_plain(const json_t *node, const char *kind) {
  return strcmp(kind, "all") == 0 && !json_object_get(node, "choice");
}

static void put_group(tree *t, const json_t *node, size_t depth, const char *under,
                      const char *kind) {
  const char *reading = strcmp(kind, "reading") == 0
                            ? zh_view_text_of(t->view, node, "reading", "grants.proof")
                            : NULL;
  json_t *line = new_line(t, node, depth);
  zh_view_word(t->view, line, "node_word", "proof", kind);
  put_choice(t, line, node, under);
  if (strcmp(kind, "holds") == 0) return;
  put_children(t, node, depth + 1, reading);
}

static void put_node(tree *t, const json_t *node, size_t depth, const char *under) {
  const char *kind = kind_of(t->view, node);
  if (depth > DEPTH_MAX) return zh_view_fail(t->view, "grants.proof", "more than 32 deep");
  if (strcmp(kind, "leaf") == 0) {
    json_t *line = new_line(t, node, depth);
    put_choice(t, line, node, under);
    put_leaf(t, line, node);
  } else if (is_plain(node, kind)) {
    put_children(t, node, depth, NULL);
  } else {
    put_group(t, node, depth, under, kind);
  }
}

/* What an earlier amount rests on too is named by that amount's number. */
static size_t printed_with(const json_t *grants, size_t before, const json_t *node) {
  for (size_t i = 0; i < before; i++) {
    const json_t *proof = json_object_get(json_array_get(grants, i), "proof");
    for (size_t k = 0; k < json_array_size(proof); k++)
      if (json_equal(json_array_get(proof, k), node)) return i + 1;
  }
  return 0;
}

static const char *verdict_of(const json_t *node) {
  const char *verdict = zh_view_maybe_text(node, "verdict");
  return verdict ? verdict : "";
}

/* The leaves of a branch that do not pass, by name. */
static void put_open_leaves(zh_view *view, json_t *list, const json_t *node, size_t depth) {
  const json_t *of = json_object_get(node, "of");
  if (strcmp(verdict_of(node), "pass") == 0 || depth > DEPTH_MAX) return;
  if (json_object_get(node, "statement"))
    zh_view_local(view, zh_view_item(view, list), "shared_name", node, "statement", "grants.proof");
  for (size_t i = 0; i < json_array_size(of) && view->status == ZH_OK; i++)
    put_open_leaves(view, list, json_array_get(of, i), depth + 1);
}

/* One line for all that an earlier amount shares with the same verdict; what does not pass by name.
 */
static void put_shared(zh_view *view, json_t *list, size_t earlier, const json_t *node) {
  json_t *row = NULL;
  char number[24];
  snprintf(number, sizeof number, "%zu", earlier);
  for (size_t i = 0; i < json_array_size(list) && !row; i++) {
    json_t *known = json_array_get(list, i);
    const char *no = zh_view_maybe_text(known, "earlier_no");
    const char *verdict = zh_view_maybe_text(known, "verdict_class");
    if (no && verdict && strcmp(no, number) == 0 && strcmp(verdict, verdict_of(node)) == 0)
      row = known;
  }
  if (!row) {
    row = zh_view_item(view, list);
    zh_view_text(view, row, "earlier_no", number);
    zh_view_verdict(view, row, node, "grants.proof");
    zh_view_list(view, row, "shared_names");
    zh_view_text(view, row, "shared_count", "0");
  }
  const char *count = zh_view_maybe_text(row, "shared_count");
  size_t shared = count ? strtoul(count, NULL, 10) : 0;
  zh_view_number(view, row, "shared_count", shared + 1);
  put_open_leaves(view, json_object_get(row, "shared_names"), node, 0);
}

static void put_proof(zh_view *view, json_t *out, const json_t *grants, size_t i, json_t *printed) {
  const json_t *grant = json_array_get(grants, i);
  const json_t *proof = zh_view_list_of(view, grant, "proof", "grants");
  tree t = {.view = view, .lines = zh_view_list(view, out, "lines"), .printed = printed};
  json_t *shared = zh_view_list(view, out, "shared");
  zh_view_number(view, out, "grant_no", i + 1);
  zh_view_local(view, out, "grant_title", grant, "title", "grants");
  zh_view_verdict(view, out, grant, "grants");
  for (size_t k = 0; k < json_array_size(proof) && view->status == ZH_OK; k++) {
    const json_t *node = json_array_get(proof, k);
    size_t earlier = printed_with(grants, i, node);
    if (earlier == 0) {
      put_node(&t, node, 0, NULL);
      continue;
    }
    put_shared(view, shared, earlier, node);
  }
}

void zh_view_proofs(zh_view *view) {
  const json_t *grants = zh_view_list_of(view, view->evaluation, "grants", "evaluation.json");
  json_t *list = zh_view_list(view, view->root, "proofs"), *printed = json_object();
  for (size_t i = 0; i < json_array_size(grants) && view->status == ZH_OK; i++)
    put_proof(view, zh_view_item(view, list), grants, i, printed);
  json_decref(printed);
}
