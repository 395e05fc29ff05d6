/* Every clause of the policy with its verdict, a line each, so that silence is on record. */
#include <stdio.h>
#include <string.h>

#include "reports/view.h"

void zh_view_clauses(zh_view *view) {
  const json_t *clauses = zh_view_list_of(view, view->evaluation, "clauses", "evaluation.json");
  json_t *list = zh_view_list(view, view->root, "clauses");
  size_t unclaimed = 0, rest = 0;
  for (size_t i = 0; i < json_array_size(clauses) && view->status == ZH_OK; i++) {
    const json_t *clause = json_array_get(clauses, i);
    const char *kind = zh_view_text_of(view, clause, "kind", "clauses");
    bool amount = strcmp(kind, "amount") == 0, condition = strcmp(kind, "condition") == 0;
    bool claimed = zh_view_flag_of(view, clause, "looked_at", "clauses");
    size_t number =
        amount ? zh_view_grant_number(view, zh_view_text_of(view, clause, "id", "clauses")) : 0;
    json_t *row = zh_view_item(view, list);
    zh_view_text(view, row, "clause_id", zh_view_text_of(view, clause, "clause", "clauses"));
    zh_view_local(view, row, "clause_heading", clause, "heading", "clauses");
    zh_view_text(view, row, "clause_quote", zh_view_text_of(view, clause, "quote", "clauses"));
    zh_view_word(view, row, "clause_kind", "clause_kinds", kind);
    zh_view_verdict(view, row, clause, "clauses");
    zh_view_flag(view, row, "is_judged", condition || (amount && claimed));
    zh_view_flag(view, row, "not_claimed", amount && !claimed);
    zh_view_flag(view, row, "is_rest", !condition && !amount);
    unclaimed += amount && !claimed;
    rest += !condition && !amount;
    zh_view_money(view, row, "pool", clause, "pool_yuan", "clauses");
    if (number > 0)
      zh_view_number(view, row, "clause_grant", number);
    else
      zh_view_text(view, row, "clause_grant", NULL);
  }
  zh_view_flag(view, view->root, "has_unclaimed", unclaimed > 0);
  zh_view_flag(view, view->root, "has_unjudged", rest > 0);
}
