/* zh_run: from a suite to a bundle. The order of writing is what makes a run resumable: a step's
 * outcome is a whole file before the journal names it, and the staging folder takes its final name
 * only when everything is in it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/bundle.h"
#include "bench/content.h"
#include "bench/engine/certificate.h"
#include "bench/journal.h"
#include "bench/plan.h"
#include "bench/supervise.h"
#include "core/clock.h"
#include "core/files.h"
#include "core/manifest.h"
#include "core/progress.h"
#include "core/text.h"

enum { CPUS_MAX = 4096, PATH_BYTES = 4096, PLAN_BYTES_MAX = 16 << 20, MODELS_MAX = 32 };
static const char STAGING[] = ".partial";

typedef struct runner {
  const zh_run_options *options;
  zh_suite *suite;
  zh_plan_model models[MODELS_MAX];
  size_t model_count;
  json_t *audits, *audit_s; /* audit_s: seconds of each, by name */
  json_t *plan, *command, *outcomes, *machine;
  char id[128], started_utc[32];
  char commitment[ZH_DIGEST_HEX]; /* to the nonce; "" where there is none */
  char staging[PATH_BYTES], final[PATH_BYTES];
  zh_journal journal;
  zh_supervision supervision;
  int lock;
  bool finished; /* the journal says that all files but the manifest are written */
} runner;

/* --- paths --- */

static zh_status join_path(char out[PATH_BYTES], zh_error *err, const char *folder,
                           const char *name) {
  int length = snprintf(out, PATH_BYTES, "%s/%s", folder, name);
  if (length > 0 && length < PATH_BYTES) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "the path %.200s… is too long", folder);
}

static zh_status absolute(char out[PATH_BYTES], const char *path, zh_error *err) {
  char here[PATH_BYTES];
  if (path[0] == '/') {
    if (snprintf(out, PATH_BYTES, "%s", path) < PATH_BYTES) return ZH_OK;
    return zh_fail(err, ZH_ERR_INPUT, "the path %.200s… is too long", path);
  }
  if (!getcwd(here, sizeof here))
    return zh_fail(err, ZH_ERR_IO, "the current folder cannot be read: %s", strerror(errno));
  return join_path(out, err, here, path);
}

static void cut_slashes(char *path) {
  for (size_t length = strlen(path); length > 1 && path[length - 1] == '/';) path[--length] = '\0';
}

/* "20261121T100812Z" */
static void stamp(char *out, size_t capacity) {
  time_t now = time(NULL);
  struct tm parts;
  gmtime_r(&now, &parts);
  strftime(out, capacity, "%Y%m%dT%H%M%SZ", &parts);
}

static zh_status choose_names(runner *r, uint64_t seed, zh_error *err) {
  char time_text[32], out[PATH_BYTES];
  const char *given = r->options->out;
  stamp(time_text, sizeof time_text);
  snprintf(r->id, sizeof r->id, "%s-%s-%04x", r->suite->name, time_text, (unsigned)(seed & 0xffff));
  snprintf(out, sizeof out, "out/%s-%s", r->suite->name, time_text);
  ZH_TRY(absolute(r->final, given ? given : out, err));
  cut_slashes(r->final);
  if (strlen(r->final) + sizeof STAGING + 64 > PATH_BYTES)
    return zh_fail(err, ZH_ERR_INPUT, "the path %.200s… is too long", r->final);
  snprintf(r->staging, sizeof r->staging, "%.*s%s", PATH_BYTES - 32, r->final, STAGING);
  if (zh_is_dir(r->final) || zh_is_file(r->final))
    return zh_fail(err, ZH_ERR_USAGE, "%s is already there; choose another --out", r->final);
  if (zh_is_dir(r->staging))
    return zh_fail(err, ZH_ERR_USAGE,
                   "%s holds an unfinished run; go on with 'zhiheng run --resume %s', or remove it",
                   r->staging, r->staging);
  return ZH_OK;
}

/* --- models --- */

/* The digest that every rank computes again from the bytes that it maps. */
static zh_status digest_content(char out[ZH_DIGEST_HEX], zh_model *model, zh_error *err) {
  int cpus[CPUS_MAX], count = zh_machine_allowed_cpus(cpus, CPUS_MAX);
  zh_threads *threads = NULL;
  ZH_TRY(zh_threads_create(&threads, count > 0 ? count : 1, NULL, err));
  zh_status status = zh_content_digest(out, model, threads, err);
  zh_threads_free(threads);
  return status;
}

static zh_status describe_model(json_t **out, zh_model *model, zh_error *err) {
  char sm3[ZH_DIGEST_HEX], sha256[ZH_DIGEST_HEX], content[ZH_DIGEST_HEX];
  bool has_file = zh_model_path(model)[0] != '\0';
  ZH_TRY(zh_model_digest(sm3, model, ZH_SM3, err));
  if (has_file) ZH_TRY(zh_model_digest(sha256, model, ZH_SHA256, err));
  ZH_TRY(digest_content(content, model, err));
  *out = json_pack("{s:s,s:s,s:s,s:I,s:s,s:s?,s:s}", "name", zh_model_name(model), "format",
                   zh_model_format(model), "path", zh_model_path(model), "bytes",
                   (json_int_t)zh_model_file_bytes(model), "sm3", sm3, "sha256",
                   has_file ? sha256 : NULL, "content_sm3", content);
  return *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the model's entry");
}

/* The audit and the run must speak of the same file. */
static zh_status check_audit(const json_t *audit, const json_t *entry, zh_error *err) {
  const char *audited = json_string_value(json_object_get(audit, "sm3"));
  const char *run = json_string_value(json_object_get(entry, "sm3"));
  if (audited && strcmp(audited, run) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK, "model %s changed between its audit and the run",
                 json_string_value(json_object_get(entry, "name")));
}

static zh_status audit_model(runner *r, const char *source, const json_t *entry, zh_error *err) {
  json_t *audit = NULL;
  int64_t begin = zh_now_ns();
  if (!r->options->audit) return ZH_OK;
  zh_progress_detail("auditing %s", source);
  ZH_TRY(r->options->audit(&audit, source, r->options->audit_user, err));
  zh_status status = check_audit(audit, entry, err);
  json_object_set_new(r->audit_s, json_string_value(json_object_get(entry, "name")),
                      zh_json_number((double)(zh_now_ns() - begin) / 1e9));
  if (json_array_append_new(r->audits, audit) != 0 && status == ZH_OK)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the audit");
  return status;
}

/* Once for each model, before anything is timed. The model stays mapped all the while: what was
 * digested, what was audited and what lies there at the end are one file, to which nobody wrote. */
static zh_status add_model(runner *r, const char *source, zh_error *err) {
  zh_model *model = NULL;
  json_t *entry = NULL;
  if (r->model_count == MODELS_MAX)
    return zh_fail(err, ZH_ERR_USAGE, "a run takes at most %d models", MODELS_MAX);
  zh_progress_detail("reading %s", source);
  ZH_TRY(zh_model_open(&model, source, err));
  zh_architecture architecture;
  zh_status status = zh_model_architecture(&architecture, model, err);
  if (status == ZH_OK) status = describe_model(&entry, model, err);
  if (status == ZH_OK) {
    r->models[r->model_count++] = (zh_plan_model){source, entry, architecture.context};
    status = audit_model(r, source, entry, err);
  }
  if (status == ZH_OK) status = zh_model_unchanged(model, err);
  zh_model_free(model);
  return status;
}

static bool wants_models(const zh_suite *suite) {
  for (size_t i = 0; i < suite->step_count; i++)
    if (suite->steps[i].workload->needs_model) return true;
  return false;
}

static zh_status add_models(runner *r, zh_error *err) {
  const zh_run_options *o = r->options;
  if (!wants_models(r->suite)) {
    if (o->model_count == 0) return ZH_OK;
    return zh_fail(err, ZH_ERR_USAGE, "suite %s has no step that runs a model; leave --model out",
                   r->suite->name);
  }
  size_t count = o->model_count ? o->model_count : r->suite->model_count;
  for (size_t i = 0; i < count; i++)
    ZH_TRY(add_model(r, o->model_count ? o->models[i] : r->suite->models[i], err));
  return ZH_OK;
}

/* --- plan --- */

static zh_status describe_node(runner *r, char *out, size_t capacity, zh_error *err) {
  ZH_TRY(zh_machine_describe(&r->machine, err));
  const char *host = json_string_value(json_object_get(r->machine, "hostname"));
  const char *cpu = json_string_value(json_object_get(json_object_get(r->machine, "cpu"), "model"));
  snprintf(out, capacity, "%s, %s", host ? host : "?", cpu ? cpu : "?");
  return ZH_OK;
}

static zh_status draw_seed(uint64_t *out, const zh_suite *suite, zh_error *err) {
  *out = suite->seed;
  if (!suite->seed_fresh) return ZH_OK;
  if (getrandom(out, sizeof *out, 0) == (ssize_t)sizeof *out) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "the system gives no random seed: %s", strerror(errno));
}

static zh_status make_plan(runner *r, uint64_t seed, zh_error *err) {
  char node[512];
  zh_plan_options options = {r->options->ranks,
                             r->options->threads,
                             r->options->launcher,
                             r->options->inject,
                             r->commitment[0] ? r->commitment : NULL,
                             seed,
                             node};
  ZH_TRY(describe_node(r, node, sizeof node, err));
  for (size_t i = 0; i < r->options->setting_count; i++)
    ZH_TRY(zh_suite_set(r->suite, r->options->settings[i], err));
  ZH_TRY(add_models(r, err));
  ZH_TRY(zh_plan_make(&r->plan, r->suite, r->models, r->model_count, &options, err));
  return zh_plan_digest(r->journal.plan_sm3, r->plan, err);
}

/* --- staging --- */

static zh_status lock_staging(runner *r, zh_error *err) {
  char path[PATH_BYTES];
  ZH_TRY(join_path(path, err, r->staging, "work"));
  r->lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (r->lock < 0) return zh_fail(err, ZH_ERR_IO, "cannot open %s: %s", path, strerror(errno));
  if (flock(r->lock, LOCK_EX | LOCK_NB) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "%s is being written by another run", r->staging);
}

static zh_status write_json(const runner *r, const char *name, const json_t *value, zh_error *err) {
  char path[PATH_BYTES];
  ZH_TRY(join_path(path, err, r->staging, name));
  return zh_json_write_file(value, path, err);
}

static zh_status write_environment(const runner *r, zh_error *err) {
  char path[PATH_BYTES];
  char *xml = NULL;
  ZH_TRY(join_path(path, err, r->staging, "environment"));
  ZH_TRY(zh_make_dirs(path, err));
  ZH_TRY(write_json(r, "environment/machine.json", r->machine, err));
  ZH_TRY(zh_machine_hwloc_xml(&xml, err));
  zh_status status = join_path(path, err, r->staging, "environment/hwloc.xml");
  if (status == ZH_OK) status = zh_write_file(path, xml, strlen(xml), err);
  free(xml);
  return status;
}

static zh_status write_audits(const runner *r, zh_error *err) {
  json_t *file = json_pack("{s:s,s:O}", "schema", "zhiheng.audit/1", "models", r->audits);
  if (!file) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for audit.json");
  zh_status status = write_json(r, "audit.json", file, err);
  json_decref(file);
  return status;
}

/* The journal's first line comes last: a folder without it holds nothing worth resuming. */
static zh_status write_beginning(runner *r, zh_error *err) {
  char path[PATH_BYTES];
  ZH_TRY(join_path(path, err, r->staging, "suite.yaml"));
  ZH_TRY(zh_write_file(path, r->suite->text, r->suite->text_length, err));
  ZH_TRY(write_environment(r, err));
  ZH_TRY(write_audits(r, err));
  ZH_TRY(write_json(r, "work/plan.json", r->plan, err));
  return zh_journal_add(&r->journal, "begun",
                        json_pack("{s:s,s:O,s:s,s:O}", "id", r->id, "command", r->command,
                                  "started_utc", r->started_utc, "audit_s", r->audit_s),
                        err);
}

static zh_status open_staging(runner *r, zh_error *err) {
  char path[PATH_BYTES];
  ZH_TRY(join_path(path, err, r->staging, "work"));
  ZH_TRY(zh_make_dirs(path, err));
  ZH_TRY(lock_staging(r, err));
  ZH_TRY(join_path(r->journal.path, err, r->staging, "journal.jsonl"));
  zh_utc_now(r->started_utc, sizeof r->started_utc);
  return write_beginning(r, err);
}

static zh_status begin_new(runner *r, zh_error *err) {
  uint64_t seed = 0;
  ZH_TRY(zh_suite_load(&r->suite, r->options->suite, err));
  ZH_TRY(draw_seed(&seed, r->suite, err));
  ZH_TRY(choose_names(r, seed, err));
  ZH_TRY(make_plan(r, seed, err));
  zh_status status = open_staging(r, err);
  /* Nothing was measured yet, so there is nothing to resume. */
  if (status != ZH_OK && r->lock >= 0) (void)!zh_remove_tree(r->staging, NULL);
  return status;
}

/* --- resuming --- */

static size_t step_count(const runner *r) {
  return json_array_size(json_object_get(r->plan, "steps"));
}

/* An outcome counts when the journal names it and its bytes are those the journal saw. */
static zh_status keep_outcome(runner *r, const json_t *line, zh_error *err) {
  char path[PATH_BYTES], name[128], digest[ZH_DIGEST_HEX];
  json_t *outcome = NULL;
  const char *key = json_string_value(json_object_get(line, "key"));
  const char *sm3 = json_string_value(json_object_get(line, "sm3"));
  size_t index = key ? (size_t)strtoul(key, NULL, 10) : SIZE_MAX;
  if (!key || !sm3 || index >= step_count(r)) return ZH_OK;
  snprintf(name, sizeof name, "work/%03zu/outcome.json", index);
  ZH_TRY(join_path(path, err, r->staging, name));
  if (!zh_is_file(path)) return ZH_OK;
  ZH_TRY(zh_digest_file(digest, ZH_SM3, path, err));
  if (strcmp(digest, sm3) != 0) return ZH_OK;
  ZH_TRY(zh_json_load_file(&outcome, path, 0, err));
  json_array_set_new(r->outcomes, index, outcome);
  return ZH_OK;
}

static zh_status read_journal(runner *r, zh_error *err) {
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
static zh_status check_models(const runner *r, zh_error *err) {
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

static zh_status check_node(runner *r, zh_error *err) {
  char node[512];
  ZH_TRY(describe_node(r, node, sizeof node, err));
  const char *before = json_string_value(json_object_get(r->plan, "node"));
  if (before && strcmp(before, node) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE,
                 "the run began on another node (%s; this is %s); resume it there",
                 before ? before : "?", node);
}

/* A nonce is kept in no file before the run has ended, so whoever resumes gives it again. */
static zh_status check_nonce(const runner *r, zh_error *err) {
  const char *planned = json_string_value(json_object_get(r->plan, "nonce_commitment"));
  if (strcmp(planned ? planned : "", r->commitment) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE,
                 planned ? "the run was begun with a nonce; resume it with the same --nonce"
                         : "the run was begun without a nonce; resume it without --nonce");
}

/* Options given beside --resume must lead to the very plan that was begun. */
static zh_status check_same_plan(runner *r, zh_error *err) {
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
  zh_status status = make_plan(r, r->suite->seed_fresh ? seed : r->suite->seed, err);
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

static zh_status check_plan_shape(const runner *r, const char *path, zh_error *err) {
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

static void aside_name(char out[PATH_BYTES], const runner *r) {
  snprintf(out, PATH_BYTES, "%.*s.work", PATH_BYTES - 16, r->final);
}

/* A run that was ended within publish() has its work folder aside. */
static zh_status fetch_work(const runner *r, zh_error *err) {
  char work[PATH_BYTES], aside[PATH_BYTES];
  ZH_TRY(join_path(work, err, r->staging, "work"));
  aside_name(aside, r);
  if (zh_is_dir(work) || !zh_is_dir(aside) || !zh_is_dir(r->staging)) return ZH_OK;
  if (rename(aside, work) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_IO, "cannot move %s: %s", aside, strerror(errno));
}

/* Files that a death in the middle of zh_write_file left behind. */
static zh_status remove_torn_files(const runner *r, zh_error *err) {
  static const char ending[] = ".tmp";
  zh_file_list files;
  ZH_TRY(zh_list_files(&files, r->staging, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < files.count; i++) {
    char path[PATH_BYTES];
    size_t length = strlen(files.paths[i]), tail = sizeof ending - 1;
    if (length < tail || strcmp(files.paths[i] + length - tail, ending) != 0) continue;
    status = join_path(path, err, r->staging, files.paths[i]);
    if (status == ZH_OK && unlink(path) != 0)
      status = zh_fail(err, ZH_ERR_IO, "cannot remove %s: %s", path, strerror(errno));
  }
  zh_file_list_free(&files);
  return status;
}

static zh_status begin_again(runner *r, zh_error *err) {
  char path[PATH_BYTES];
  ZH_TRY(absolute(r->staging, r->options->resume, err));
  cut_slashes(r->staging);
  size_t length = strlen(r->staging), tail = sizeof STAGING - 1;
  if (length <= tail || strcmp(r->staging + length - tail, STAGING) != 0)
    return zh_fail(err, ZH_ERR_USAGE,
                   "--resume %s: expected the folder of an unfinished run, '…%s'",
                   r->options->resume, STAGING);
  snprintf(r->final, sizeof r->final, "%.*s", (int)(length - tail), r->staging);
  ZH_TRY(fetch_work(r, err));
  ZH_TRY(join_path(path, err, r->staging, "work/plan.json"));
  ZH_TRY(join_path(r->journal.path, err, r->staging, "journal.jsonl"));
  if (!zh_is_file(r->journal.path) || !zh_is_file(path))
    return zh_fail(err, ZH_ERR_INPUT, "%s holds no run that could be resumed", r->staging);
  ZH_TRY(lock_staging(r, err));
  ZH_TRY(remove_torn_files(r, err));
  ZH_TRY(zh_json_load_file(&r->plan, path, PLAN_BYTES_MAX, err));
  ZH_TRY(check_plan_shape(r, path, err));
  ZH_TRY(zh_plan_digest(r->journal.plan_sm3, r->plan, err));
  for (size_t i = 0; i < step_count(r); i++) json_array_append_new(r->outcomes, json_null());
  ZH_TRY(read_journal(r, err));
  ZH_TRY(check_node(r, err));
  ZH_TRY(check_nonce(r, err));
  ZH_TRY(check_same_plan(r, err));
  ZH_TRY(check_models(r, err));
  return zh_journal_add(&r->journal, "resumed", NULL, err);
}

/* --- steps --- */

static zh_status clear_folder(char out[PATH_BYTES], const runner *r, const json_t *step,
                              zh_error *err) {
  char name[64];
  snprintf(name, sizeof name, "work/%s", json_string_value(json_object_get(step, "key")));
  ZH_TRY(join_path(out, err, r->staging, name));
  ZH_TRY(zh_remove_tree(out, err));
  return zh_make_dirs(out, err);
}

static zh_status record_outcome(runner *r, const json_t *step, const char *folder, size_t index,
                                json_t *outcome, zh_error *err) {
  char path[PATH_BYTES], sm3[ZH_DIGEST_HEX];
  json_array_set(r->outcomes, index, outcome);
  ZH_TRY(join_path(path, err, folder, "outcome.json"));
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

static zh_status run_step(runner *r, size_t index, zh_error *err) {
  char folder[PATH_BYTES], seed[32];
  json_t *outcome = NULL;
  const json_t *planned = json_array_get(json_object_get(r->plan, "steps"), index);
  ZH_TRY(clear_folder(folder, r, planned, err));
  ZH_TRY(zh_step_seed(seed, json_string_value(json_object_get(r->plan, "seed")),
                      json_string_value(json_object_get(planned, "step")), err));
  json_t *step = json_copy((json_t *)planned);
  if (!step || json_object_set_new(step, "seed", json_string(seed)) != 0 ||
      json_object_set(step, "fault", json_object_get(r->plan, "fault")) != 0 ||
      (r->options->nonce && json_object_set_new(step, "nonce", json_string(r->options->nonce))) ||
      (r->options->packed_cache &&
       json_object_set_new(step, "packed_cache", json_string(r->options->packed_cache)))) {
    json_decref(step);
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for a step");
  }
  zh_status status = zh_supervise(&outcome, &r->supervision, step, folder, err);
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

static zh_status run_steps(runner *r, bool resumed, zh_error *err) {
  size_t count = step_count(r);
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

static zh_status write_files(runner *r, zh_run_result *out, zh_error *err) {
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
static zh_status publish(runner *r, zh_error *err) {
  char work[PATH_BYTES], aside[PATH_BYTES], parent[PATH_BYTES];
  ZH_TRY(join_path(work, err, r->staging, "work"));
  aside_name(aside, r);
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
static zh_status judge(const runner *r, const zh_run_result *out, zh_error *err) {
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
static void tell_resume(const runner *r, zh_error *err) {
  if (!err) return;
  size_t length = strlen(err->message);
  if (length == 0 && r->supervision.signal)
    length = (size_t)snprintf(err->message, sizeof err->message, "%s came",
                              strsignal(r->supervision.signal));
  if (!zh_is_dir(r->staging)) return;
  snprintf(err->message + length, sizeof err->message - length,
           "; go on with: zhiheng run --resume %s", r->staging);
}

static zh_status run_in_staging(runner *r, zh_run_result *out, bool resumed, zh_error *err) {
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

static void free_runner(runner *r) {
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

static zh_status commit_to_nonce(runner *r, zh_error *err) {
  const char *nonce = r->options->nonce;
  size_t length = strlen(nonce);
  if (length < 1 || length > 200 || zh_utf8_valid_prefix(nonce, length) != length)
    return zh_fail(err, ZH_ERR_USAGE, "--nonce: expected 1 to 200 bytes of UTF-8");
  ZH_TRY(zh_nonce_commitment(r->commitment, nonce, err));
  zh_progress_detail("commitment to the nonce: %s", r->commitment);
  return ZH_OK;
}

zh_status zh_run(zh_run_result *out, const zh_run_options *options, zh_error *err) {
  runner *r = calloc(1, sizeof *r);
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
  if (status == ZH_OK) status = options->resume ? begin_again(r, err) : begin_new(r, err);
  if (status == ZH_OK && !options->resume)
    for (size_t i = 0; i < step_count(r); i++) json_array_append_new(r->outcomes, json_null());
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
