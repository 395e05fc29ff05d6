/* Tables of scores, item,cluster,task,modality,score[,run][,prompt], as `zhiheng rank` reads them.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/csv.h"
#include "core/digest.h"
#include "evaluator/compare/entrants.h"
#include "evaluator/leading/columns.h"
#include "evaluator/leading/scores.h"

static const char *field(zh_entrants *e, const zh_csv *csv, const zh_columns *c, int which) {
  return zh_entrants_text(e, zh_columns_field(c, csv, which));
}

static zh_status sheet_of(zh_sheet **out, zh_entrants *e, zh_entrant *entrant, const char *task,
                          const char *modality, zh_error *err) {
  *out = zh_sheet_named(entrant, task);
  if (*out != NULL) return ZH_OK;
  ZH_TRY(zh_sheet_new(out, e, entrant, task, err));
  (*out)->modality = modality;
  return ZH_OK;
}

static zh_status read_rows(zh_entrants *e, zh_entrant *entrant, zh_csv *csv, zh_error *err) {
  zh_columns c;
  zh_sheet *sheet;
  bool more;
  ZH_TRY(zh_columns_find(&c, NULL, csv, err));
  for (;;) {
    ZH_TRY(zh_csv_next(&more, csv, err));
    if (!more) return ZH_OK;
    zh_answer answer = {.item = field(e, csv, &c, ZH_COLUMN_ITEM),
                        .prompt = field(e, csv, &c, ZH_COLUMN_PROMPT),
                        .cluster = field(e, csv, &c, ZH_COLUMN_CLUSTER),
                        .run = field(e, csv, &c, ZH_COLUMN_RUN),
                        .likely = NAN};
    ZH_TRY(zh_scores_number(&answer.score, zh_columns_field(&c, csv, ZH_COLUMN_SCORE), csv, err));
    ZH_TRY(sheet_of(&sheet, e, entrant, zh_columns_field(&c, csv, ZH_COLUMN_TASK),
                    field(e, csv, &c, ZH_COLUMN_MODALITY), err));
    ZH_TRY(zh_sheet_add(sheet, &answer, err));
  }
}

static void take_remarks(zh_entrant *entrant, const zh_csv *csv) {
  char *protocol = zh_scores_remark(zh_csv_remarks(csv), "protocol");
  zh_entrant_fact(entrant, "protocol", protocol);
  free(protocol);
}

zh_status zh_read_rows(zh_entrants *e, zh_entrant *entrant, const char *path, zh_error *err) {
  char sm3[ZH_DIGEST_HEX];
  zh_csv *csv = NULL;
  ZH_TRY(zh_digest_file(sm3, ZH_SM3, path, err));
  ZH_TRY(zh_csv_open(&csv, path, NULL, err));
  zh_status status = read_rows(e, entrant, csv, err);
  if (status == ZH_OK) take_remarks(entrant, csv);
  zh_csv_free(csv);
  entrant->scores_sm3 = zh_entrants_text(e, sm3);
  return status;
}

zh_status zh_read_table(zh_entrants *e, const char *label, const char *path, zh_error *err) {
  zh_csv *csv = NULL;
  zh_entrant *entrant;
  ZH_TRY(zh_csv_open(&csv, path, NULL, err));
  char *name = zh_scores_remark(zh_csv_remarks(csv), "model"),
       *sm3 = zh_scores_remark(zh_csv_remarks(csv), "model_sm3");
  zh_csv_free(csv);
  if (name == NULL || name[0] == '\0') {
    free(name);
    name = zh_scores_name(path);
  }
  const zh_part part = {.label = label,
                        .model = name != NULL ? name : "",
                        .sm3 = sm3 != NULL ? sm3 : "",
                        .path = path,
                        .scores = true};
  zh_status status = zh_entrants_take(&entrant, e, &part, err);
  free(name);
  free(sm3);
  ZH_TRY(status);
  ZH_TRY(zh_read_rows(e, entrant, path, err));
  json_array_append_new(entrant->sources, json_pack("{s:s, s:s, s:s}", "path", path, "kind",
                                                    "table", "sm3", entrant->scores_sm3));
  return ZH_OK;
}
