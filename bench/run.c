/* zh_run: from a suite to a bundle. The order of writing is what makes a run resumable: a step's
 * outcome is a whole file before the journal names it, and the staging folder takes its final name
 * only when everything is in it. */
#include "bench/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bundle.h"
#include "bench/engine/certificate.h"
#include "core/clock.h"
#include "core/files.h"
#include "core/manifest.h"
#include "core/progress.h"
#include "core/text.h"

enum { PATH_BYTES = ZH_RUN_PATH_BYTES };

/* --- steps --- */

/* All but what the step goes on from. */
static zh_status remove_others(const char *folder, const char *kept, zh_error *err) {
  zh_file_list files;
  ZH_TRY(zh_list_files(&files, folder, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < files.count; i++) {
    char path[PATH_BYTES];
    if (strncmp(files.paths[i], kept, strlen(kept)) == 0) continue;
    status = zh_run_path(path, err, folder, files.paths[i]);
    if (status == ZH_OK) status = zh_remove_tree(path, err);
  }
  zh_file_list_free(&files);
  return status;
}

static zh_status clear_folder(char out[PATH_BYTES], const zh_runner *r, const json_t *step,
                              zh_error *err) {
  char name[64];
  const zh_workload *w = zh_workload_find(json_string_value(json_object_get(step, "workload")));
  snprintf(name, sizeof name, "work/%s", json_string_value(json_object_get(step, "key")));
  ZH_TRY(zh_run_path(out, err, r->staging, name));
  if (w && w->keeps && zh_is_dir(out)) return remove_others(out, w->keeps, err);
  ZH_TRY(zh_remove_tree(out, err));
  return zh_make_dirs(out, err);
}

/* A step that goes on from what it left may do so with other ranks than it began with. */
static zh_status change_ranks(const zh_runner *r, json_t *step, zh_error *err) {
  const zh_run_options *o = r->options;
  const zh_workload *w = zh_workload_find(json_string_value(json_object_get(step, "workload")));
  if (!o->resume || !w || !w->keeps || (o->ranks == 0 && o->threads == 0 && !o->launcher))
    return ZH_OK;
  int ranks = o->ranks > 0 ? o->ranks : (int)json_integer_value(json_object_get(step, "ranks"));
  return zh_plan_set_ranks(step, ranks, o->threads, o->launcher, err);
}

static zh_status record_outcome(zh_runner *r, const json_t *step, const char *folder, size_t index,
                                json_t *outcome, zh_error *err) {
  char path[PATH_BYTES], sm3[ZH_DIGEST_HEX];
  json_array_set(r->outcomes, index, outcome);
  ZH_TRY(zh_run_path(path, err, folder, "outcome.json"));
  ZH_TRY(zh_json_write_file(outcome, path, err));
  ZH_TRY(zh_digest_file(sm3, ZH_SM3, path, err));
  return zh_journal_add(&r->journal, "step",
                        json_pack("{s:O,s:O,s:O,s:O,s:O,s:s}", "key", json_object_get(step, "key"),
                                  "step", json_object_get(step, "step"), "when",
                                  json_object_get(step, "when"), "status",
                                  json_object_get(outcome, "status"), "reason",
                                  json_object_get(outcome, "reason"), "sm3", sm3),
                        err);
}

/* A rank that could not do its work for want of disk, memory or sound input stops the run, to be
 * mended and resumed; a failed check, a lost rank or something this machine lacks is the step's own
 * result. */
static zh_status stop_on_trouble(const json_t *step, const json_t *outcome, zh_error *err) {
  const char *error = json_string_value(json_object_get(outcome, "error"));
  if (!error || strcmp(error, "ZH_ERR_CHECK") == 0 || strcmp(error, "ZH_ERR_LACKING") == 0)
    return ZH_OK;
  zh_status status = ZH_ERR_IO;
#define MATCH(name, text, code)                                                                    \
  if (strcmp(error, #name) == 0) status = name;
  ZH_STATUS_LIST(MATCH)
#undef MATCH
  return zh_fail(err, status, "step %s: %s", json_string_value(json_object_get(step, "step")),
                 json_string_value(json_object_get(outcome, "reason")));
}

static void tell(const json_t *outcome) {
  const char *status = json_string_value(json_object_get(outcome, "status"));
  const char *reason = json_string_value(json_object_get(outcome, "reason"));
  double wall_s = json_number_value(json_object_get(outcome, "wall_s"));
  if (strcmp(status, "done") == 0)
    zh_progress_done("%.1f s", wall_s);
  else
    zh_progress_done("%s: %s", status, reason);
}

static zh_status run_step(zh_runner *r, size_t index, zh_error *err) {
  char folder[PATH_BYTES], seed[32];
  json_t *outcome = NULL;
  const json_t *planned = json_array_get(json_object_get(r->plan, "steps"), index);
  ZH_TRY(clear_folder(folder, r, planned, err));
  ZH_TRY(zh_step_seed(seed, json_string_value(json_object_get(r->plan, "seed")),
                      json_string_value(json_object_get(planned, "step")), err));
  json_t *step = json_copy((json_t *)planned);
  if (!step || json_object_set_new(step, "seed", json_string(seed)) != 0 ||
      json_object_set(step, "run_seed", json_object_get(r->plan, "seed")) != 0 ||
      json_object_set(step, "fault", json_object_get(r->plan, "fault")) != 0 ||
      (r->options->nonce && json_object_set_new(step, "nonce", json_string(r->options->nonce))) ||
      (r->options->packed_cache &&
       json_object_set_new(step, "packed_cache", json_string(r->options->packed_cache)))) {
    json_decref(step);
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for a step");
  }
  zh_status status = change_ranks(r, step, err);
  if (status == ZH_OK) status = zh_supervise(&outcome, &r->supervision, step, folder, err);
  if (status == ZH_OK) tell(outcome);
  if (status == ZH_OK) status = stop_on_trouble(step, outcome, err);
  if (status == ZH_OK) status = record_outcome(r, step, folder, index, outcome, err);
  json_decref(outcome);
  json_decref(step);
  return status;
}

static bool is_settled(const json_t *outcome) {
  const char *status = json_string_value(json_object_get(outcome, "status"));
  return status && strcmp(status, "lost") != 0;
}

static zh_status run_steps(zh_runner *r, bool resumed, zh_error *err) {
  size_t count = zh_run_step_count(r);
  for (size_t i = 0; i < count; i++) {
    const json_t *step = json_array_get(json_object_get(r->plan, "steps"), i);
    bool is_end = strcmp(json_string_value(json_object_get(step, "when")), "end") == 0;
    if (resumed && is_settled(json_array_get(r->outcomes, i))) continue;
    zh_progress_step((int)i + 1, (int)count, "%s%s",
                     json_string_value(json_object_get(step, "step")), is_end ? " (again)" : "");
    ZH_TRY(run_step(r, i, err));
  }
  return ZH_OK;
}

/* --- the end --- */

static zh_status write_files(zh_runner *r, zh_run_result *out, zh_error *err) {
  char finished_utc[32];
  zh_utc_now(finished_utc, sizeof finished_utc);
  zh_bundle_run bundle = {
      r->staging, r->id,          r->journal.plan_sm3, r->plan,
      r->command, r->started_utc, finished_utc,        zh_machine_last_level_cache_bytes(),
      r->outcomes};
  ZH_TRY(zh_bundle_write(&out->valid, &out->stable, &bundle, err));
  return r->finished ? ZH_OK : zh_journal_add(&r->journal, "finished", NULL, err);
}

static zh_status sync_folder(const char *path, zh_error *err) {
  int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int failed = folder < 0 || fsync(folder) != 0;
  if (folder >= 0) close(folder);
  return failed ? zh_fail(err, ZH_ERR_IO, "cannot sync %s: %s", path, strerror(errno)) : ZH_OK;
}

/* The work folder leaves the staging folder by one rename, so that it is either there or not; until
 * then --resume can repeat all this from the beginning. A death right after the bundle's own rename
 * leaves <out>.work beside a whole bundle; nothing needs it any more. */
static zh_status publish(zh_runner *r, zh_error *err) {
  char work[PATH_BYTES], aside[PATH_BYTES], parent[PATH_BYTES];
  ZH_TRY(zh_run_path(work, err, r->staging, "work"));
  zh_run_aside(aside, r);
  ZH_TRY(zh_remove_tree(aside, err));
  if (rename(work, aside) != 0)
    return zh_fail(err, ZH_ERR_IO, "cannot move %s: %s", work, strerror(errno));
  zh_status status = zh_manifest_write(r->staging, err);
  if (status == ZH_OK && rename(r->staging, r->final) != 0)
    status = zh_fail(err, ZH_ERR_IO, "cannot rename %s to %s: %s", r->staging, r->final,
                     strerror(errno));
  if (status != ZH_OK) { /* as it was, so that it can be resumed */
    (void)!rename(aside, work);
    return status;
  }
  snprintf(parent, sizeof parent, "%s", r->final);
  char *slash = strrchr(parent, '/');
  slash[slash == parent] = '\0';
  status = sync_folder(parent, err);
  (void)!zh_remove_tree(aside, NULL);
  return status;
}

/* First sentence about what went wrong, for a run that is whole but not valid. */
static zh_status judge(const zh_runner *r, const zh_run_result *out, zh_error *err) {
  size_t i;
  json_t *outcome;
  if (out->valid) return ZH_OK;
  json_array_foreach(r->outcomes, i, outcome) {
    const char *status = json_string_value(json_object_get(outcome, "status"));
    const json_t *step = json_array_get(json_object_get(r->plan, "steps"), i);
    if (strcmp(status, "failed") == 0 || strcmp(status, "lost") == 0)
      return zh_fail(err, ZH_ERR_CHECK, "step %s %s: %s; the bundle %s says so",
                     json_string_value(json_object_get(step, "step")),
                     strcmp(status, "lost") == 0 ? "was lost" : "failed",
                     json_string_value(json_object_get(outcome, "reason")), out->bundle);
  }
  return zh_fail(err, ZH_ERR_CHECK, "a criterion was not met; the bundle %s says which",
                 out->bundle);
}

/* Tells how to go on, unless somebody took the folder away; keeps the status and the innermost
 * sentence. */
static void tell_resume(const zh_runner *r, zh_error *err) {
  if (!err) return;
  size_t length = strlen(err->message);
  if (length == 0 && r->supervision.signal)
    length = (size_t)snprintf(err->message, sizeof err->message, "%s came",
                              strsignal(r->supervision.signal));
  if (!zh_is_dir(r->staging)) return;
  snprintf(err->message + length, sizeof err->message - length,
           "; go on with: zhiheng run --resume %s", r->staging);
}

static zh_status run_in_staging(zh_runner *r, zh_run_result *out, bool resumed, zh_error *err) {
  zh_status status = run_steps(r, resumed, err);
  if (status == ZH_OK) status = write_files(r, out, err);
  if (status == ZH_OK) status = publish(r, err);
  if (status != ZH_OK) {
    /* On a full disk this fails too; --resume does not need it. */
    json_t *details = json_pack("{s:s}", "reason", err ? err->message : "");
    (void)!zh_journal_add(&r->journal, "stopped", details, NULL);
    tell_resume(r, err);
    return status;
  }
  out->complete = true;
  snprintf(out->bundle, sizeof out->bundle, "%s", r->final);
  return judge(r, out, err);
}

static json_t *command_json(const zh_run_options *options) {
  json_t *list = json_array();
  for (int i = 0; i < options->command_count; i++)
    json_array_append_new(list, json_string(options->command[i]));
  return list;
}

static void free_runner(zh_runner *r) {
  if (r->lock >= 0) close(r->lock);
  for (size_t i = 0; i < r->model_count; i++) json_decref(r->models[i].entry);
  json_decref(r->audits);
  json_decref(r->audit_s);
  json_decref(r->plan);
  json_decref(r->command);
  json_decref(r->outcomes);
  json_decref(r->machine);
  zh_suite_free(r->suite);
}

static zh_status commit_to_nonce(zh_runner *r, zh_error *err) {
  const char *nonce = r->options->nonce;
  size_t length = strlen(nonce);
  if (length < 1 || length > 200 || zh_utf8_valid_prefix(nonce, length) != length)
    return zh_fail(err, ZH_ERR_USAGE, "--nonce: expected 1 to 200 bytes of UTF-8");
  ZH_TRY(zh_nonce_commitment(r->commitment, nonce, err));
  zh_progress_detail("commitment to the nonce: %s", r->commitment);
  return ZH_OK;
}

zh_status zh_run(zh_run_result *out, const zh_run_options *options, zh_error *err) {
  zh_runner *r = calloc(1, sizeof *r);
  memset(out, 0, sizeof *out);
  if (!r) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  r->options = options;
  r->lock = -1;
  r->audits = json_array();
  r->audit_s = json_object();
  r->outcomes = json_array();
  r->command = command_json(options);
  zh_status status = options->resume || options->suite
                         ? ZH_OK
                         : zh_fail(err, ZH_ERR_USAGE, "name a suite, or --resume a folder");
  if (status == ZH_OK && options->nonce) status = commit_to_nonce(r, err);
  if (status == ZH_OK)
    status = options->resume ? zh_run_begin_again(r, err) : zh_run_begin_new(r, err);
  if (status == ZH_OK && !options->resume)
    for (size_t i = 0; i < zh_run_step_count(r); i++)
      json_array_append_new(r->outcomes, json_null());
  if (status == ZH_OK) {
    snprintf(out->bundle, sizeof out->bundle, "%s", r->staging);
    status = zh_supervision_begin(&r->supervision, err);
    if (status == ZH_OK) {
      status = run_in_staging(r, out, options->resume != NULL, err);
      zh_supervision_end(&r->supervision);
    }
  }
  free_runner(r);
  free(r);
  return status;
}
