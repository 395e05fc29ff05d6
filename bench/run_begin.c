/* How a run begins: names, models with their audits, the plan, the staging folder. */
#include "bench/run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "bench/content.h"
#include "core/clock.h"
#include "core/files.h"
#include "core/progress.h"
#include "core/text.h"

enum { CPUS_MAX = 4096, PATH_BYTES = ZH_RUN_PATH_BYTES };

/* --- paths --- */

zh_status zh_run_path(char out[PATH_BYTES], zh_error *err, const char *folder, const char *name) {
  int length = snprintf(out, PATH_BYTES, "%s/%s", folder, name);
  if (length > 0 && length < PATH_BYTES) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "the path %.200s… is too long", folder);
}

zh_status zh_run_absolute(char out[PATH_BYTES], const char *path, zh_error *err) {
  char here[PATH_BYTES];
  if (path[0] == '/') {
    if (snprintf(out, PATH_BYTES, "%s", path) < PATH_BYTES) return ZH_OK;
    return zh_fail(err, ZH_ERR_INPUT, "the path %.200s… is too long", path);
  }
  if (!getcwd(here, sizeof here))
    return zh_fail(err, ZH_ERR_IO, "the current folder cannot be read: %s", strerror(errno));
  return zh_run_path(out, err, here, path);
}

void zh_run_cut_slashes(char *path) {
  for (size_t length = strlen(path); length > 1 && path[length - 1] == '/';) path[--length] = '\0';
}

/* "20261121T100812Z" */
static void stamp(char *out, size_t capacity) {
  time_t now = time(NULL);
  struct tm parts;
  gmtime_r(&now, &parts);
  strftime(out, capacity, "%Y%m%dT%H%M%SZ", &parts);
}

static zh_status choose_names(zh_runner *r, uint64_t seed, zh_error *err) {
  char time_text[32], out[PATH_BYTES];
  const char *given = r->options->out;
  stamp(time_text, sizeof time_text);
  snprintf(r->id, sizeof r->id, "%s-%s-%04x", r->suite->name, time_text, (unsigned)(seed & 0xffff));
  snprintf(out, sizeof out, "out/%s-%s", r->suite->name, time_text);
  ZH_TRY(zh_run_absolute(r->final, given ? given : out, err));
  zh_run_cut_slashes(r->final);
  if (strlen(r->final) + sizeof ZH_RUN_STAGING + 64 > PATH_BYTES)
    return zh_fail(err, ZH_ERR_INPUT, "the path %.200s… is too long", r->final);
  snprintf(r->staging, sizeof r->staging, "%.*s%s", PATH_BYTES - 32, r->final, ZH_RUN_STAGING);
  rmdir(r->final); /* an empty folder is as good as none */
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

static zh_status audit_model(zh_runner *r, const char *source, const json_t *entry, zh_error *err) {
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
static zh_status add_model(zh_runner *r, const char *source, zh_error *err) {
  zh_model *model = NULL;
  json_t *entry = NULL;
  if (r->model_count == ZH_RUN_MODELS_MAX)
    return zh_fail(err, ZH_ERR_USAGE, "a run takes at most %d models", ZH_RUN_MODELS_MAX);
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

static zh_status add_models(zh_runner *r, zh_error *err) {
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

zh_status zh_run_describe_node(zh_runner *r, char *out, size_t capacity, zh_error *err) {
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

zh_status zh_run_make_plan(zh_runner *r, uint64_t seed, zh_error *err) {
  char node[512];
  zh_plan_options options = {r->options->ranks,
                             r->options->threads,
                             r->options->device,
                             r->options->launcher,
                             r->options->inject,
                             r->commitment[0] ? r->commitment : NULL,
                             seed,
                             node};
  ZH_TRY(zh_run_describe_node(r, node, sizeof node, err));
  for (size_t i = 0; i < r->options->setting_count; i++)
    ZH_TRY(zh_suite_set(r->suite, r->options->settings[i], err));
  ZH_TRY(add_models(r, err));
  ZH_TRY(zh_plan_make(&r->plan, r->suite, r->models, r->model_count, &options, err));
  return zh_plan_digest(r->journal.plan_sm3, r->plan, err);
}

/* --- staging --- */

zh_status zh_run_lock(zh_runner *r, zh_error *err) {
  char path[PATH_BYTES];
  ZH_TRY(zh_run_path(path, err, r->staging, "work"));
  r->lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (r->lock < 0) return zh_fail(err, ZH_ERR_IO, "cannot open %s: %s", path, strerror(errno));
  if (flock(r->lock, LOCK_EX | LOCK_NB) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "%s is being written by another run", r->staging);
}

static zh_status write_json(const zh_runner *r, const char *name, const json_t *value,
                            zh_error *err) {
  char path[PATH_BYTES];
  ZH_TRY(zh_run_path(path, err, r->staging, name));
  return zh_json_write_file(value, path, err);
}

static zh_status write_environment(const zh_runner *r, zh_error *err) {
  char path[PATH_BYTES];
  char *xml = NULL;
  ZH_TRY(zh_run_path(path, err, r->staging, "environment"));
  ZH_TRY(zh_make_dirs(path, err));
  ZH_TRY(write_json(r, "environment/machine.json", r->machine, err));
  ZH_TRY(zh_machine_hwloc_xml(&xml, err));
  zh_status status = zh_run_path(path, err, r->staging, "environment/hwloc.xml");
  if (status == ZH_OK) status = zh_write_file(path, xml, strlen(xml), err);
  free(xml);
  return status;
}

static zh_status write_audits(const zh_runner *r, zh_error *err) {
  json_t *file = json_pack("{s:s,s:O}", "schema", "zhiheng.audit/1", "models", r->audits);
  if (!file) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for audit.json");
  zh_status status = write_json(r, "audit.json", file, err);
  json_decref(file);
  return status;
}

/* The journal's first line comes last: a folder without it holds nothing worth resuming. */
static zh_status write_beginning(zh_runner *r, zh_error *err) {
  char path[PATH_BYTES];
  ZH_TRY(zh_run_path(path, err, r->staging, "suite.yaml"));
  ZH_TRY(zh_write_file(path, r->suite->text, r->suite->text_length, err));
  ZH_TRY(write_environment(r, err));
  ZH_TRY(write_audits(r, err));
  ZH_TRY(write_json(r, "work/plan.json", r->plan, err));
  return zh_journal_add(&r->journal, "begun",
                        json_pack("{s:s,s:O,s:s,s:O}", "id", r->id, "command", r->command,
                                  "started_utc", r->started_utc, "audit_s", r->audit_s),
                        err);
}

static zh_status open_staging(zh_runner *r, zh_error *err) {
  char path[PATH_BYTES];
  ZH_TRY(zh_run_path(path, err, r->staging, "work"));
  ZH_TRY(zh_make_dirs(path, err));
  ZH_TRY(zh_run_lock(r, err));
  ZH_TRY(zh_run_path(r->journal.path, err, r->staging, "journal.jsonl"));
  zh_utc_now(r->started_utc, sizeof r->started_utc);
  return write_beginning(r, err);
}

zh_status zh_run_begin_new(zh_runner *r, zh_error *err) {
  uint64_t seed = 0;
  ZH_TRY(zh_suite_load(&r->suite, r->options->suite, err));
  ZH_TRY(draw_seed(&seed, r->suite, err));
  ZH_TRY(choose_names(r, seed, err));
  ZH_TRY(zh_run_make_plan(r, seed, err));
  zh_status status = open_staging(r, err);
  /* Nothing was measured yet, so there is nothing to resume. */
  if (status != ZH_OK && r->lock >= 0) (void)!zh_remove_tree(r->staging, NULL);
  return status;
}
