#include "evaluator/leading/columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const names[] = {"item",  "cluster", "task",   "modality",
                                    "score", "run",     "prompt", NULL};

/* A table that is cut by another character has one column, whose name is the whole header. */
static zh_status check_separator(const zh_csv *csv, zh_error *err) {
  static const struct {
    char character;
    const char *name;
  } others[] = {{';', "semicolons"}, {'\t', "tabs"}, {'|', "vertical bars"}};
  for (size_t i = 0; zh_csv_columns(csv) == 1 && i < sizeof others / sizeof *others; i++) {
    if (strchr(zh_csv_name(csv, 0), others[i].character) == NULL) continue;
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the header is separated by %s; save the table with commas",
                   zh_csv_path(csv), others[i].name);
  }
  return ZH_OK;
}

static bool is_known(const char *name) {
  for (int i = 0; i < ZH_SCORE_COLUMNS; i++)
    if (strcmp(names[i], name) == 0) return true;
  return false;
}

zh_status zh_columns_find(zh_columns *out, json_t *not_read, const zh_csv *csv, zh_error *err) {
  char guess[ZH_GUESS_BYTES];
  ZH_TRY(check_separator(csv, err));
  for (int i = 0; i < ZH_SCORE_COLUMNS; i++) {
    out->there[i] = zh_csv_find(&out->at[i], csv, names[i]);
    if (!out->there[i] && i < ZH_COLUMN_RUN)
      ZH_TRY(zh_csv_require(&out->at[i], csv, names[i], err));
  }
  for (size_t c = 0; c < zh_csv_columns(csv); c++) {
    const char *name = zh_csv_name(csv, c);
    if (is_known(name)) continue;
    if (zh_nearest_word(name, names) != NULL)
      return zh_fail(err, ZH_ERR_INPUT, "%s: unknown column '%.80s'%s", zh_csv_path(csv), name,
                     zh_did_you_mean(guess, name, names));
    if (not_read != NULL) json_array_append_new(not_read, json_string(name));
  }
  return ZH_OK;
}

const char *zh_columns_field(const zh_columns *columns, const zh_csv *csv, int which) {
  return columns->there[which] ? zh_csv_field(csv, columns->at[which]) : "";
}

/* What spreadsheets, pandas, R and Python write where there is none. */
static bool is_gap(const char *text) {
  static const char *const gaps[] = {"", "NA", "N/A", "<NA>", "null", "None"};
  for (size_t i = 0; i < sizeof gaps / sizeof *gaps; i++)
    if (strcasecmp(text, gaps[i]) == 0) return true;
  return false;
}

/* Decimal: strtod alone would take 0x1p-1. */
zh_status zh_scores_number(double *out, const char *text, const zh_csv *csv, zh_error *err) {
  char *end;
  if (is_gap(text)) {
    *out = NAN;
    return ZH_OK;
  }
  *out = strtod(text, &end);
  if (*end == '\0' && strspn(text, " \t") == 0 && strpbrk(text, "xX") == NULL) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: the score is '%.40s', where a number is expected",
                 zh_csv_path(csv), zh_csv_line(csv), text);
}
