/* The application papers: which are there, what was checked of them, which this report fills. */
#include <stdio.h>
#include <string.h>

#include "reports/view.h"

static void put_paper(zh_view *view, json_t *row, const json_t *item) {
  static const char where[] = "papers";
  const json_t *clause = zh_view_object_of(view, item, "clause", where);
  const json_t *checks = json_object_get(item, "checks");
  const char *sm3 = zh_view_maybe_text(item, "sm3");
  zh_view_text(view, row, "clause_id", zh_view_text_of(view, clause, "id", where));
  zh_view_local(view, row, "paper_name", item, "name", where);
  zh_view_word(view, row, "paper_state", "paper_states",
               zh_view_text_of(view, item, "status", where));
  zh_view_text(view, row, "paper_file", zh_view_maybe_text(item, "file"));
  zh_view_digest(view, row, "paper_sm3", sm3 ? sm3 : "");
  zh_view_text(view, row, "paper_issued", zh_view_maybe_text(item, "issued"));
  json_t *list = zh_view_list(view, row, "paper_checks");
  for (size_t i = 0; i < json_array_size(checks) && view->status == ZH_OK; i++) {
    const char *text = zh_view_text_of(view, json_array_get(checks, i), view->language, where);
    zh_view_text(view, zh_view_item(view, list), "paper_check", text);
  }
  const json_t *filled = json_object_get(item, "filled_by");
  zh_view_text(view, row, "paper_filled",
               json_is_object(filled) ? zh_view_text_of(view, filled, view->language, where)
                                      : NULL);
}

/* Absent where no applicant was given, or the policy asks for no papers. */
void zh_view_papers(zh_view *view) {
  const json_t *papers = json_object_get(view->evaluation, "papers");
  json_t *list = zh_view_list(view, view->root, "papers");
  for (size_t i = 0; i < json_array_size(papers) && view->status == ZH_OK; i++) {
    json_t *row = zh_view_item(view, list);
    zh_view_number(view, row, "paper_no", i + 1);
    put_paper(view, row, json_array_get(papers, i));
  }
  zh_view_flag(view, view->root, "has_papers", json_array_size(papers) > 0);
}
