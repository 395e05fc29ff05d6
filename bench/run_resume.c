/* How a run begins again: what the journal says is done stays, if the plan, the models and this
 * node are still the same. */
#include "bench/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/files.h"
#include "core/text.h"

enum { PLAN_BYTES_MAX = 16 << 20, PATH_BYTES = ZH_RUN_PATH_BYTES };

size_t zh_run_step_count(const zh_runner *r) {
  return json_array_size(json_object_get(r->plan, "steps"));
}

/* An outcome counts when the journal names it and its bytes are those the journal saw. */
static zh_status keep_outcome(zh_runner *r, const json_t *line, zh_error *err) {
  char path[PATH_BYTES], name[128], digest[ZH_DIGEST_HEX];
  json_t *outcome = NULL;
  const char *key = json_string_value(json_object_get(line, "key"));
  const char *sm3 = json_string_value(json_object_get(line, "sm3"));
  size_t index = key ? (size_t)strtoul(key, NULL, 10) : SIZE_MAX;
  if (!key || !sm3 || index >= zh_run_step_count(r)) return ZH_OK;
  snprintf(name, sizeof name, "work/%03zu/outcome.json", index);
  ZH_TRY(zh_run_path(path, err, r->staging, name));
  if (!zh_is_file(path)) return ZH_OK;
  ZH_TRY(zh_digest_file(digest, ZH_SM3, path, err));
  if (strcmp(digest, sm3) != 0) return ZH_OK;
  ZH_TRY(zh_json_load_file(&outcome, path, 0, err));
  json_array_set_new(r->outcomes, index, outcome);
  return ZH_OK;
}

static zh_status read_journal(zh_runner *r, zh_error *err) {
  json_t *lines = NULL, *line;
  size_t i;
  zh_status status = zh_journal_read(&lines, &r->journal, err);
  json_array_foreach(lines, i, line) {
    const char *event = json_string_value(json_object_get(line, "event"));
    if (status != ZH_OK) break;
    if (strcmp(event, "begun") == 0) {
      const char *id = json_string_value(json_object_get(line, "id"));
      const char *started = json_string_value(json_object_get(line, "started_utc"));
      snprintf(r->id, sizeof r->id, "%s", id ? id : "");
      snprintf(r->started_utc, sizeof r->started_utc, "%s", started ? started : "");
      json_decref(r->command);
      r->command = json_incref(json_object_get(line, "command"));
    }
    if (strcmp(event, "step") == 0) status = keep_outcome(r, line, err);
    if (strcmp(event, "finished") == 0) r->finished = true;
  }
  if (status == ZH_OK && (!r->id[0] || !json_is_array(r->command)))
    status = zh_fail(err, ZH_ERR_INPUT, "%s does not say how the run began", r->journal.path);
  json_decref(lines);
  return status;
}

/* The models must be the bytes that the plan names. */
static zh_status check_models(const zh_runner *r, zh_error *err) {
  size_t i, k;
  json_t *step, *model;
  json_array_foreach(json_object_get(r->plan, "models"), i, model) {
    const char *name = json_string_value(json_object_get(model, "name")), *source = NULL;
    json_array_foreach(json_object_get(r->plan, "steps"), k, step) {
      const char *of = json_string_value(json_object_get(step, "model"));
      if (of && strcmp(of, name) == 0) source = json_string_value(json_object_get(step, "source"));
    }
    if (!source) continue;
    zh_model *opened = NULL;
    char sm3[ZH_DIGEST_HEX];
    ZH_TRY(zh_model_open(&opened, source, err));
    zh_status status = zh_model_digest(sm3, opened, ZH_SM3, err);
    zh_model_free(opened);
    ZH_TRY(status);
    if (strcmp(sm3, json_string_value(json_object_get(model, "sm3"))) != 0)
      return zh_fail(err, ZH_ERR_INPUT, "model %s is no longer the file that the run began with",
                     name);
  }
  return ZH_OK;
}

static zh_status check_node(zh_runner *r, zh_error *err) {
  char node[512];
  ZH_TRY(zh_run_describe_node(r, node, sizeof node, err));
  const char *before = json_string_value(json_object_get(r->plan, "node"));
  if (before && strcmp(before, node) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE,
                 "the run began on another node (%s; this is %s); resume it there",
                 before ? before : "?", node);
}

/* A nonce is kept in no file before the run has ended, so whoever resumes gives it again. */
static zh_status check_nonce(const zh_runner *r, zh_error *err) {
  const char *planned = json_string_value(json_object_get(r->plan, "nonce_commitment"));
  if (strcmp(planned ? planned : "", r->commitment) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE,
                 planned ? "the run was begun with a nonce; resume it with the same --nonce"
                         : "the run was begun without a nonce; resume it without --nonce");
}

static bool goes_on(const json_t *step) {
  const zh_workload *w = zh_workload_find(json_string_value(json_object_get(step, "workload")));
  return w && w->keeps;
}

/* A step that goes on from what it left may do so with other ranks: that is no other plan. The
 * other steps of such a run stay with theirs. */
static zh_status adopt_ranks(zh_runner *r, const json_t *stored, zh_error *err) {
  static const char *const keys[] = {"ranks", "threads", "launcher"};
  size_t i;
  json_t *step;
  bool any = false;
  json_array_foreach(json_object_get(r->plan, "steps"), i, step) {
    any = any || goes_on(step);
  }
  if (!any) return ZH_OK;
  json_array_foreach(json_object_get(r->plan, "steps"), i, step) {
    const json_t *before = json_array_get(json_object_get(stored, "steps"), i);
    if (!before) continue;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
      json_object_set(step, keys[k], json_object_get(before, keys[k]));
  }
  return zh_plan_digest(r->journal.plan_sm3, r->plan, err);
}

/* Options given beside --resume must lead to the very plan that was begun. */
static zh_status check_same_plan(zh_runner *r, zh_error *err) {
  const zh_run_options *o = r->options;
  char difference[512];
  json_t *stored = r->plan;
  if (!o->suite) return ZH_OK;
  uint64_t seed = strtoull(json_string_value(json_object_get(stored, "seed")), NULL, 16);
  char before[ZH_DIGEST_HEX];
  memcpy(before, r->journal.plan_sm3, sizeof before);
  ZH_TRY(zh_suite_load(&r->suite, o->suite, err));
  r->plan = NULL;
  json_decref(r->machine);
  r->machine = NULL;
  zh_status status = zh_run_make_plan(r, r->suite->seed_fresh ? seed : r->suite->seed, err);
  if (status == ZH_OK) status = adopt_ranks(r, stored, err);
  bool same = status == ZH_OK && strcmp(before, r->journal.plan_sm3) == 0;
  if (status == ZH_OK && !same) {
    zh_plan_difference(difference, sizeof difference, stored, r->plan);
    status = zh_fail(err, ZH_ERR_USAGE,
                     "%s is another plan (%s); resume with the same suite and options, or with "
                     "--resume alone",
                     r->staging, difference);
  }
  json_decref(r->plan);
  r->plan = stored;
  memcpy(r->journal.plan_sm3, before, sizeof before);
  return status;
}

static zh_status check_plan_shape(const zh_runner *r, const char *path, zh_error *err) {
  json_t *steps = NULL;
  const char *text = NULL;
  ZH_TRY(zh_json_array(&steps, r->plan, "steps", path, err));
  ZH_TRY(zh_json_string(&text, r->plan, "seed", path, err));
  for (size_t i = 0; i < json_array_size(steps); i++) {
    const char *required[] = {"key", "step", "workload", "when", "launcher"};
    for (size_t k = 0; k < sizeof required / sizeof required[0]; k++)
      ZH_TRY(zh_json_string(&text, json_array_get(steps, i), required[k], path, err));
  }
  return ZH_OK;
}

void zh_run_aside(char out[PATH_BYTES], const zh_runner *r) {
  snprintf(out, PATH_BYTES, "%.*s.work", PATH_BYTES - 16, r->final);
}

/* A run that was ended within publish() has its work folder aside. */
static zh_status fetch_work(const zh_runner *r, zh_error *err) {
  char work[PATH_BYTES], aside[PATH_BYTES];
  ZH_TRY(zh_run_path(work, err, r->staging, "work"));
  zh_run_aside(aside, r);
  if (zh_is_dir(work) || !zh_is_dir(aside) || !zh_is_dir(r->staging)) return ZH_OK;
  if (rename(aside, work) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_IO, "cannot move %s: %s", aside, strerror(errno));
}

/* Files that a death in the middle of zh_write_file left behind. */
static zh_status remove_torn_files(const zh_runner *r, zh_error *err) {
  static const char ending[] = ".tmp";
  zh_file_list files;
  ZH_TRY(zh_list_files(&files, r->staging, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < files.count; i++) {
    char path[PATH_BYTES];
    size_t length = strlen(files.paths[i]), tail = sizeof ending - 1;
    if (length < tail || strcmp(files.paths[i] + length - tail, ending) != 0) continue;
    status = zh_run_path(path, err, r->staging, files.paths[i]);
    if (status == ZH_OK && unlink(path) != 0)
      status = zh_fail(err, ZH_ERR_IO, "cannot remove %s: %s", path, strerror(errno));
  }
  zh_file_list_free(&files);
  return status;
}

zh_status zh_run_begin_again(zh_runner *r, zh_error *err) {
  char path[PATH_BYTES];
  ZH_TRY(zh_run_absolute(r->staging, r->options->resume, err));
  zh_run_cut_slashes(r->staging);
  size_t length = strlen(r->staging), tail = sizeof ZH_RUN_STAGING - 1;
  if (length <= tail || strcmp(r->staging + length - tail, ZH_RUN_STAGING) != 0)
    return zh_fail(err, ZH_ERR_USAGE,
                   "--resume %s: expected the folder of an unfinished run, '…%s'",
                   r->options->resume, ZH_RUN_STAGING);
  snprintf(r->final, sizeof r->final, "%.*s", (int)(length - tail), r->staging);
  ZH_TRY(fetch_work(r, err));
  ZH_TRY(zh_run_path(path, err, r->staging, "work/plan.json"));
  ZH_TRY(zh_run_path(r->journal.path, err, r->staging, "journal.jsonl"));
  if (!zh_is_file(r->journal.path) || !zh_is_file(path))
    return zh_fail(err, ZH_ERR_INPUT, "%s holds no run that could be resumed", r->staging);
  ZH_TRY(zh_run_lock(r, err));
  ZH_TRY(remove_torn_files(r, err));
  ZH_TRY(zh_json_load_file(&r->plan, path, PLAN_BYTES_MAX, err));
  ZH_TRY(check_plan_shape(r, path, err));
  ZH_TRY(zh_plan_digest(r->journal.plan_sm3, r->plan, err));
  for (size_t i = 0; i < zh_run_step_count(r); i++) json_array_append_new(r->outcomes, json_null());
  ZH_TRY(read_journal(r, err));
  ZH_TRY(check_node(r, err));
  ZH_TRY(check_nonce(r, err));
  ZH_TRY(check_same_plan(r, err));
  ZH_TRY(check_models(r, err));
  return zh_journal_add(&r->journal, "resumed", NULL, err);
}
