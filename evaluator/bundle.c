#include "evaluator/bundle.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/manifest.h"
#include "core/text.h"
#include "evaluator/policy/policy.h"

enum { AUDIT_BYTES_MAX = 64 << 20 };

static zh_status expect_schema(const json_t *object, const char *schema, const char *where,
                               zh_error *err) {
  const char *found;
  ZH_TRY(zh_json_string(&found, object, "schema", where, err));
  if (strcmp(found, schema) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: schema '%s' is not known; this version reads '%s'", where,
                 found, schema);
}

static zh_status require_bool(bool *out, const json_t *object, const char *key, const char *where,
                              zh_error *err) {
  const json_t *value = json_object_get(object, key);
  if (!json_is_boolean(value))
    return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' must be true or false", where, key);
  *out = json_is_true(value);
  return ZH_OK;
}

static zh_status check_run(zh_bundle *bundle, zh_error *err) {
  json_t *models, *steps, *stability, *step;
  const char *text;
  size_t i;
  ZH_TRY(expect_schema(bundle->run, "zhiheng.run/1", "run.json", err));
  ZH_TRY(zh_json_string(&text, bundle->run, "id", "run.json", err));
  ZH_TRY(zh_json_array(&models, bundle->run, "models", "run.json", err));
  ZH_TRY(zh_json_array(&steps, bundle->run, "steps", "run.json", err));
  json_array_foreach(steps, i, step) {
    ZH_TRY(zh_json_string(&text, step, "step", "run.json, steps", err));
    ZH_TRY(zh_json_string(&text, step, "status", "run.json, steps", err));
  }
  ZH_TRY(require_bool(&bundle->valid, bundle->run, "valid", "run.json", err));
  ZH_TRY(zh_json_object(&stability, bundle->run, "stability", "run.json", err));
  return require_bool(&bundle->stable, stability, "stable", "run.json, stability", err);
}

/* The next member `"key":` of the text; NULL where there is none. A key inside a string is written
 * with a backslash before its quotation mark, so it is not taken for one. */
static const char *next_member(const char *text, const char *key) {
  char member[32];
  snprintf(member, sizeof member, "\"%s\":", key);
  const char *at = strstr(text, member);
  while (at != NULL && at > text && at[-1] == '\\') at = strstr(at + 1, member);
  return at;
}

/* Line of a count of the n-th model, from 1; 1 where it is not found. "declared" opens the counts
 * of each model and stands nowhere else; layers repeat the other names. */
static int count_line(const char *text, const char *key, size_t n) {
  const char *at = next_member(text, "declared");
  for (; n > 0 && at != NULL; n--) at = next_member(at + 1, "declared");
  if (at != NULL) at = next_member(at, key);
  int line = 1;
  for (const char *from = text; at != NULL && from < at; from++) line += *from == '\n';
  return line;
}

static zh_status check_count(int64_t count, const char *where, zh_error *err) {
  return count >= 0 ? ZH_OK : zh_fail(err, ZH_ERR_INPUT, "%s: a count is negative", where);
}

/* {"value","low","high"}; -1 where the weights were not looked at, or by an older audit. */
static zh_status read_effective(zh_audited *model, const json_t *parameters, const char *where,
                                zh_error *err) {
  const json_t *effective = json_object_get(parameters, "effective");
  int64_t *out[] = {&model->counts[ZH_COUNT_EFFECTIVE], &model->low[ZH_COUNT_EFFECTIVE],
                    &model->high[ZH_COUNT_EFFECTIVE]};
  static const char *const keys[] = {"value", "low", "high"};
  for (size_t i = 0; i < 3; i++) {
    *out[i] = -1;
    if (!json_is_object(effective)) continue;
    ZH_TRY(zh_json_int(out[i], effective, keys[i], where, err));
    ZH_TRY(check_count(*out[i], where, err));
  }
  if (*out[1] <= *out[0] && *out[0] <= *out[2]) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: expected low <= value <= high effective parameters",
                 where);
}

static zh_status read_counts(zh_audited *model, const json_t *audit, const char *where,
                             zh_error *err) {
  json_t *parameters;
  ZH_TRY(zh_json_object(&parameters, audit, "parameters", where, err));
  for (int kind = 0; kind < ZH_COUNT_EFFECTIVE; kind++) {
    int64_t *count = &model->counts[kind];
    bool unknown =
        kind != ZH_COUNT_STORED && json_is_null(json_object_get(parameters, zh_count_names[kind]));
    *count = -1;
    if (!unknown) {
      ZH_TRY(zh_json_int(count, parameters, zh_count_names[kind], where, err));
      ZH_TRY(check_count(*count, where, err));
    }
    model->low[kind] = model->high[kind] = *count;
  }
  ZH_TRY(read_effective(model, parameters, where, err));
  for (int kind = 0; kind < ZH_COUNTS; kind++) {
    if (model->high[kind] > model->counts[ZH_COUNT_STORED])
      return zh_fail(err, ZH_ERR_INPUT, "%s: more %s parameters than stored ones", where,
                     zh_count_names[kind]);
  }
  return ZH_OK;
}

/* The file that was counted is the file that ran. */
static zh_status check_digest(const zh_audited *model, const json_t *run, zh_error *err) {
  json_t *models, *entry;
  const char *name, *sm3;
  size_t i;
  ZH_TRY(zh_json_array(&models, run, "models", "run.json", err));
  json_array_foreach(models, i, entry) {
    ZH_TRY(zh_json_string(&name, entry, "name", "run.json, models", err));
    ZH_TRY(zh_json_string(&sm3, entry, "sm3", "run.json, models", err));
    if (strcmp(name, model->name) != 0) continue;
    if (strcmp(sm3, model->sm3) == 0) return ZH_OK;
    return zh_fail(err, ZH_ERR_CHECK,
                   "model '%s': audit.json counted the file with SM3 %s, but run.json ran %s", name,
                   model->sm3, sm3);
  }
  return zh_fail(err, ZH_ERR_CHECK, "model '%s' stands in audit.json, but run.json did not run it",
                 model->name);
}

static const json_t *model_named(const json_t *models, const char *name) {
  for (size_t i = 0; name != NULL && i < json_array_size(models); i++) {
    const json_t *model = json_array_get(models, i);
    const char *other = json_string_value(json_object_get(model, "name"));
    if (other != NULL && strcmp(other, name) == 0) return model;
  }
  return NULL;
}

/* Each model that ran stands once, and was counted. */
static zh_status check_run_models(const zh_bundle *bundle, zh_error *err) {
  const json_t *models = json_object_get(bundle->run, "models"), *entry;
  const json_t *audits = json_object_get(bundle->audit, "models");
  size_t i;
  json_array_foreach(models, i, entry) {
    const char *name;
    ZH_TRY(zh_json_string(&name, entry, "name", "run.json, models", err));
    if (model_named(models, name) != entry)
      return zh_fail(err, ZH_ERR_INPUT, "run.json: model '%s' stands twice", name);
    if (model_named(audits, name) == NULL)
      return zh_fail(err, ZH_ERR_CHECK, "model '%s' ran, but audit.json does not count it", name);
  }
  return ZH_OK;
}

/* Every rank digested the bytes that it mapped: they must be those that were counted. A step that
 * never came to that has no such fact, and no figures. */
static zh_status check_ran(const zh_bundle *bundle, zh_error *err) {
  const json_t *step;
  size_t i;
  json_array_foreach(json_object_get(bundle->run, "steps"), i, step) {
    const char *name = json_string_value(json_object_get(step, "model"));
    const char *of = json_string_value(json_object_get(step, "step"));
    if (name == NULL) continue;
    const json_t *model = model_named(json_object_get(bundle->run, "models"), name);
    const char *counted = json_string_value(json_object_get(model, "content_sm3"));
    const char *ran =
        json_string_value(json_object_get(json_object_get(step, "facts"), "content_sm3"));
    bool done = strcmp(json_string_value(json_object_get(step, "status")), "done") == 0;
    if (model == NULL)
      return zh_fail(err, ZH_ERR_CHECK, "step '%s' ran model '%s', which run.json does not list",
                     of, name);
    if (ran == NULL && !done) continue;
    if (ran == NULL || counted == NULL)
      return zh_fail(err, ZH_ERR_CHECK,
                     "step '%s': run.json does not say by content_sm3 which bytes of model '%s' %s",
                     of, name, ran == NULL ? "ran" : "were counted");
    if (strcmp(ran, counted) != 0)
      return zh_fail(err, ZH_ERR_CHECK,
                     "step '%s': the model '%s' that ran has the content digest %s, but the one "
                     "that was counted %s",
                     of, name, ran, counted);
  }
  return ZH_OK;
}

static zh_status read_model(zh_audited *model, json_t *audit, const zh_bundle *bundle,
                            const char *audit_text, size_t i, int index, zh_error *err) {
  static const char where[] = "audit.json, models";
  ZH_TRY(zh_json_string(&model->name, audit, "name", where, err));
  ZH_TRY(zh_json_string(&model->format, audit, "format", where, err));
  ZH_TRY(zh_json_string(&model->sm3, audit, "sm3", where, err));
  ZH_TRY(read_counts(model, audit, where, err));
  for (int kind = 0; kind < ZH_COUNTS; kind++) {
    model->lines[kind] = audit_text == NULL ? 1 : count_line(audit_text, zh_count_names[kind], i);
  }
  model->bundle = index;
  model->json = audit;
  return check_digest(model, bundle->run, err);
}

static zh_status read_models(zh_bundle *bundle, const char *audit_text, int index, zh_error *err) {
  json_t *models, *audit;
  size_t i;
  ZH_TRY(expect_schema(bundle->audit, "zhiheng.audit/1", "audit.json", err));
  ZH_TRY(zh_json_array(&models, bundle->audit, "models", "audit.json", err));
  bundle->models = calloc(json_array_size(models) + 1, sizeof *bundle->models);
  if (bundle->models == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the bundle's models");
  bundle->model_count = json_array_size(models);
  json_array_foreach(models, i, audit) {
    ZH_TRY(read_model(&bundle->models[i], audit, bundle, audit_text, i, index, err));
    for (size_t k = 0; k < i; k++) {
      if (strcmp(bundle->models[k].name, bundle->models[i].name) != 0) continue;
      return zh_fail(err, ZH_ERR_INPUT, "audit.json: model '%s' stands twice",
                     bundle->models[i].name);
    }
  }
  return ZH_OK;
}

zh_status zh_bundle_accept(zh_bundle *out, json_t *run, json_t *machine, json_t *audit,
                           const char *audit_text, int index, zh_error *err) {
  out->run = run;
  out->machine = machine;
  out->audit = audit;
  if (out->measurements == NULL) out->measurements = json_array();
  if (out->measurements == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the bundle's figures");
  ZH_TRY(check_run(out, err));
  ZH_TRY(read_models(out, audit_text, index, err));
  ZH_TRY(check_run_models(out, err));
  return check_ran(out, err);
}

typedef struct line_reader {
  zh_bundle *bundle;
  int index;
} line_reader;

static zh_status take_measurement(void *user, size_t line, json_t *value, zh_error *err) {
  line_reader *reader = user;
  const char *text;
  ZH_TRY(zh_json_string(&text, value, "step", "measurements.jsonl", err));
  ZH_TRY(zh_json_string(&text, value, "metric", "measurements.jsonl", err));
  ZH_TRY(zh_json_string(&text, value, "unit", "measurements.jsonl", err));
  if (json_object_set_new(value, "bundle", json_integer(reader->index)) != 0 ||
      json_object_set_new(value, "line", json_integer((json_int_t)line)) != 0 ||
      json_array_append(reader->bundle->measurements, value) != 0) {
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the bundle's figures");
  }
  return ZH_OK;
}

/* Name of the folder, also for "." and paths that end in '/'. */
static zh_status take_name(zh_bundle *bundle, const char *folder, zh_error *err) {
  char path[PATH_MAX];
  if (realpath(folder, path) == NULL || !zh_is_dir(path)) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: there is no such bundle (a folder that 'zhiheng run' wrote)", folder);
  }
  const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
  size_t length = strlen(name);
  if (length == 0 || length >= sizeof bundle->name ||
      zh_utf8_valid_prefix(name, length) != length) {
    return zh_fail(err, ZH_ERR_INPUT, "%s: a bundle's folder has a name of 1 to 255 bytes of UTF-8",
                   folder);
  }
  memcpy(bundle->name, name, length + 1);
  return ZH_OK;
}

static zh_status check_finished(const char *folder, const char *name, zh_error *err) {
  char path[PATH_MAX];
  static const char partial[] = ".partial";
  size_t length = strlen(name), tail = sizeof partial - 1;
  bool staged = length > tail && strcmp(name + length - tail, partial) == 0;
  snprintf(path, sizeof path, "%s/%s", folder, ZH_MANIFEST_NAME);
  if (!staged && zh_is_file(path)) return ZH_OK;
  return zh_fail(
      err, ZH_ERR_INPUT,
      "%s: this bundle is unfinished (%s); finish it with 'zhiheng run SUITE --resume %s'", folder,
      staged ? "its name ends in .partial" : "it has no " ZH_MANIFEST_NAME, folder);
}

static zh_status load(json_t **out, const char *folder, const char *file, zh_error *err) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", folder, file);
  return zh_json_load_file(out, path, 0, err);
}

static zh_status read_documents(zh_bundle *out, const char *folder, int index, zh_error *err) {
  char path[PATH_MAX];
  char *audit_text = NULL;
  size_t length = 0;
  json_t *run = NULL, *machine = NULL, *audit = NULL;
  line_reader reader = {out, index};
  snprintf(path, sizeof path, "%s/audit.json", folder);
  zh_status status = load(&run, folder, "run.json", err);
  if (status == ZH_OK) status = load(&machine, folder, "environment/machine.json", err);
  if (status == ZH_OK) status = zh_read_file(&audit_text, &length, path, AUDIT_BYTES_MAX, err);
  if (status == ZH_OK) status = zh_json_load_text(&audit, audit_text, length, path, err);
  if (status == ZH_OK) status = zh_digest_bytes(out->audit_sm3, ZH_SM3, audit_text, length, err);
  if (status == ZH_OK) {
    status = zh_bundle_accept(out, run, machine, audit, audit_text, index, err);
  } else {
    json_decref(run);
    json_decref(machine);
    json_decref(audit);
  }
  free(audit_text);
  if (status != ZH_OK) return status;
  snprintf(path, sizeof path, "%s/measurements.jsonl", folder);
  return zh_jsonl_read(path, take_measurement, &reader, err);
}

zh_status zh_bundle_read(zh_bundle *out, const char *folder, int index, zh_error *err) {
  if (strlen(folder) + 64 >= PATH_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "the bundle's path is too long");
  ZH_TRY(take_name(out, folder, err));
  ZH_TRY(check_finished(folder, out->name, err));
  ZH_TRY(zh_manifest_verify(folder, out->manifest_sm3, err));
  zh_status status = read_documents(out, folder, index, err);
  if (status != ZH_OK) zh_error_prefix(err, "%s", folder);
  return status;
}

void zh_bundle_clear(zh_bundle *bundle) {
  json_decref(bundle->run);
  json_decref(bundle->machine);
  json_decref(bundle->audit);
  json_decref(bundle->measurements);
  free(bundle->models);
  memset(bundle, 0, sizeof *bundle);
}

zh_status zh_bundle_check(const char *folder, zh_error *err) {
  zh_bundle bundle = {0};
  zh_status status = zh_bundle_read(&bundle, folder, 0, err);
  zh_bundle_clear(&bundle);
  return status;
}
