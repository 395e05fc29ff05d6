/* The cover: who and what was evaluated, against what, and the marks that every page carries. */
#include <stdio.h>
#include <string.h>

#include "reports/view.h"

/* "2026-11-21T10:10:47Z" */
static const char *utc_of(zh_view *view, const json_t *run, const char *key) {
  static const char pattern[] = "0000-00-00T00:00:00Z";
  const char *utc = zh_view_text_of(view, run, key, "run");
  bool good = strlen(utc) == sizeof pattern - 1;
  for (size_t i = 0; good && pattern[i]; i++)
    good = pattern[i] == '0' ? utc[i] >= '0' && utc[i] <= '9' : utc[i] == pattern[i];
  if (!good) zh_view_fail(view, key, "a time must read like 2026-11-21T10:10:47Z");
  return utc;
}

/* "2026-11-21T10:10:47Z" → "2026-11-21" */
static void put_day(zh_view *view, json_t *into, const char *key, const char *utc) {
  char day[11];
  snprintf(day, sizeof day, "%.10s", utc);
  zh_view_text(view, into, key, day);
}

static void put_policy(zh_view *view) {
  const json_t *policy = zh_view_object_of(view, view->evaluation, "policy", "evaluation.json");
  json_t *out = zh_view_object(view, view->root, "policy");
  const char *status = zh_view_text_of(view, policy, "status", "policy");
  zh_view_text(view, out, "policy_name", zh_view_text_of(view, policy, "name", "policy"));
  zh_view_local(view, out, "policy_title", policy, "title", "policy");
  zh_view_local(view, out, "policy_issuer", policy, "issuer", "policy");
  zh_view_text(view, out, "policy_number", zh_view_maybe_text(policy, "number"));
  zh_view_text(view, out, "policy_date", zh_view_maybe_text(policy, "date"));
  zh_view_text(view, out, "policy_source", zh_view_maybe_text(policy, "source"));
  zh_view_digest(view, out, "policy_sm3", zh_view_text_of(view, policy, "sm3", "policy"));
  zh_view_local(view, out, "policy_validity", policy, "validity", "policy");
  zh_view_flag(view, view->root, "draft", strcmp(status, "draft") == 0);
  zh_view_flag(view, view->root, "expired", strcmp(status, "expired") == 0);
}

static void put_subject(zh_view *view) {
  const json_t *subject = zh_view_object_of(view, view->evaluation, "subject", "evaluation.json");
  const json_t *models = zh_view_list_of(view, view->evaluation, "models", "evaluation.json");
  json_t *out = zh_view_object(view, view->root, "subject");
  const char *name = zh_view_maybe_text(subject, "model");
  zh_view_text(view, out, "subject_name", name);
  const json_t *model = NULL;
  for (size_t i = 0; name && !model && i < json_array_size(models); i++) {
    const json_t *candidate = json_array_get(models, i);
    if (strcmp(zh_view_text_of(view, candidate, "name", "models"), name) == 0) model = candidate;
  }
  if (name && !model) zh_view_fail(view, "subject", "the model is not among 'models'");
  size_t submitted = json_array_size(zh_view_list_of(view, subject, "models", "subject"));
  zh_view_flag(view, out, "subject_several", submitted > 1);
  zh_view_number(view, out, "subject_count", submitted);
  zh_view_flag(view, out, "audited", model != NULL);
  zh_view_flag(view, view->root, "standard_subject", false);
  if (!model) return;
  const json_t *parameters = zh_view_object_of(view, model, "parameters", "models");
  const char *format = zh_view_text_of(view, model, "format", "models");
  zh_view_flag(view, view->root, "standard_subject", strcmp(format, "standard") == 0);
  zh_view_flag(view, out, "subject_file", strcmp(format, "standard") != 0);
  zh_view_bytes(view, out, "subject_bytes", zh_view_real_of(view, model, "bytes", "models"));
  zh_view_fixed(view, out, "subject_bytes_exact", zh_view_real_of(view, model, "bytes", "models"),
                0, 0);
  const char *sm3 = zh_view_maybe_text(model, "sm3"); /* null where the weights were not read */
  zh_view_digest(view, out, "subject_sm3", sm3 ? sm3 : "");
  const json_t *unique = json_object_get(parameters, "unique");
  zh_view_flag(view, out, "counted_unique", json_is_integer(unique));
  zh_view_count(view, out, "parameters",
                json_is_integer(unique) ? json_integer_value(unique)
                                        : zh_view_int_of(view, parameters, "stored", "models"));
}

static void put_applicant(zh_view *view) {
  const json_t *applicant =
      zh_view_object_of(view, view->evaluation, "applicant", "evaluation.json");
  json_t *out = zh_view_object(view, view->root, "applicant");
  bool given = zh_view_flag_of(view, applicant, "given", "applicant");
  zh_view_flag(view, out, "given", given);
  zh_view_text(view, out, "applicant_name", given ? zh_view_maybe_text(applicant, "name") : NULL);
  zh_view_digest(view, out, "applicant_sm3",
                 given ? zh_view_text_of(view, applicant, "file_sm3", "applicant") : "");
}

/* The report's number: day of the run, where there is one, and the evaluation's own digest, so that
 * the same evaluation has the same number for ever. */
static void put_dates(zh_view *view, const char *first, const char *last) {
  char id[40];
  if (view->status != ZH_OK) return;
  if (!first || !last) { /* the applicant's papers alone */
    snprintf(id, sizeof id, "ZH-%.8s", view->digest);
    return zh_view_text(view, view->root, "report_id", id);
  }
  put_day(view, view->root, "first_day", first);
  put_day(view, view->root, "last_day", last);
  zh_view_flag(view, view->root, "one_day", strncmp(first, last, 10) == 0);
  snprintf(id, sizeof id, "ZH-%.4s%.2s%.2s-%.8s", last, last + 5, last + 8, view->digest);
  zh_view_text(view, view->root, "report_id", id);
}

/* Runs decide the dates and whether the pages must warn. */
static void put_runs(zh_view *view) {
  const json_t *bundles = zh_view_list_of(view, view->evaluation, "bundle", "evaluation.json");
  bool sample = false, unstable = false, invalid = false;
  const char *first = NULL, *last = NULL, *version = "";
  zh_view_flag(view, view->root, "has_runs", json_array_size(bundles) > 0);
  for (size_t i = 0; i < json_array_size(bundles); i++) {
    const json_t *run = zh_view_object_of(view, json_array_get(bundles, i), "run", "bundle");
    const json_t *stability = zh_view_object_of(view, run, "stability", "run");
    const char *started = utc_of(view, run, "started_utc");
    const char *finished = utc_of(view, run, "finished_utc");
    sample = sample || strcmp(zh_view_text_of(view, run, "id", "run"), "sample") == 0;
    unstable = unstable || !zh_view_flag_of(view, stability, "stable", "run.stability");
    invalid = invalid || !zh_view_flag_of(view, run, "valid", "run");
    if (!first || strcmp(started, first) < 0) first = started;
    if (!last || strcmp(finished, last) > 0) last = finished;
    version = zh_view_text_of(view, zh_view_object_of(view, run, "version", "run"), "zhiheng",
                              "run.version");
  }
  zh_view_flag(view, view->root, "sample", sample);
  zh_view_flag(view, view->root, "unstable", unstable);
  zh_view_flag(view, view->root, "invalid", invalid);
  zh_view_text(view, view->root, "tool_version", *version ? version : NULL);
  put_dates(view, first, last);
}

/* What a reader must know before any number. */
static void put_marks(zh_view *view) {
  const json_t *marks = zh_view_list_of(view, view->evaluation, "marks", "evaluation.json");
  json_t *list = zh_view_list(view, view->root, "marks");
  for (size_t i = 0; i < json_array_size(marks); i++)
    zh_view_text(view, zh_view_item(view, list), "mark",
                 zh_view_text_of(view, json_array_get(marks, i), view->language, "marks"));
}

void zh_view_subject(zh_view *view) {
  put_marks(view);
  put_policy(view);
  put_subject(view);
  put_applicant(view);
  put_runs(view);
  zh_view_digest(view, view->root, "evaluation_sm3", view->digest);
}
