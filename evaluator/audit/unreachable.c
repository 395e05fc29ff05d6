/* Rows of the token tables that no text can reach: past the tokenizer's last token, of tokens it
 * marks as unused, of tokens it cannot make. */
#include <stdlib.h>

#include "evaluator/audit/audit.h"

enum { WAYS = 3 }; /* past the end, unused, unmerged */
static const char *const variants[WAYS] = {"past", "unused", "unmerged"};

static zh_status memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for findings");
}

/* A hundredth of the tokens unmade is usual: tokens of the training's first rounds. */
static bool says_something(int way, uint64_t count, uint64_t rows) {
  return way == 2 ? count > rows / 100 : count > 0;
}

static int way_of(const zh_vocabulary *v, uint64_t row) {
  if (row >= v->count) return 0;
  return v->state[row] == ZH_TOKEN_UNUSED ? 1 : v->state[row] == ZH_TOKEN_UNMERGED ? 2 : -1;
}

static zh_status report(zh_auditor *a, zh_grid *u, const zh_vocabulary *v, int way,
                        unsigned char *flags, zh_error *err) {
  uint64_t count = 0, parameters = 0;
  for (uint64_t r = 0; r < u->rows; r++) count += flags[r] = way_of(v, r) == way;
  if (!says_something(way, count, u->rows)) return ZH_OK;
  double confidence = way == 2 ? 0.97 : 1;
  zh_text where = {0};
  zh_text_printf(&where, "%s rows ", zh_grid_name(a, u));
  zh_runs_text(&where, flags, u->rows);
  for (uint64_t r = 0; r < u->rows; r++)
    if (flags[r]) parameters += zh_cover_row(u, r, zh_level_of(confidence));
  zh_audit_finding *f =
      zh_found(a, ZH_FOUND_unreachable_vocabulary, zh_text_string(&where), parameters, confidence);
  zh_text_free(&where);
  if (f == NULL) return memory(err);
  f->variant = variants[way];
  zh_found_number(a, f, "count", count);
  zh_found_number(a, f, "total", u->rows);
  zh_found_number(a, f, "counted", v->count);
  return ZH_OK;
}

static bool is_token_table(const zh_grid *u) {
  bool table = u->place.part == ZH_PART_EMBEDDING || u->place.part == ZH_PART_HEAD;
  return table && u->whole && u->tensor->dims == 2 && !u->place.bias && u->data != NULL &&
         u->place.layer < 0;
}

zh_status zh_find_unreachable(zh_auditor *a, zh_error *err) {
  zh_vocabulary v = {0};
  zh_error unreadable =
      ZH_ERROR_INIT; /* a tokenizer that cannot be read says nothing of the rows */
  zh_status status = zh_model_vocabulary(&v, a->model, &unreadable);
  if (status == ZH_ERR_MEMORY) return zh_fail(err, status, "%s", unreadable.message);
  status = ZH_OK;
  a->tokens = v.count;
  for (size_t i = 0; v.count > 0 && status == ZH_OK && i < a->unit_count; i++) {
    zh_grid *u = &a->units[i];
    if (!is_token_table(u) || u->covered != 0) continue;
    unsigned char *flags = malloc((size_t)u->rows + 1);
    if (flags == NULL) status = memory(err);
    for (int way = 0; status == ZH_OK && way < WAYS; way++)
      status = report(a, u, &v, way, flags, err);
    free(flags);
  }
  zh_vocabulary_free(&v);
  return status;
}
