/* Recomputes digests and compares what an evaluation quotes with the bundle it quotes from. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/digest.h"
#include "core/files.h"
#include "core/manifest.h"
#include "core/text.h"
#include "reports/reports.h"

static bool exists_in(const char *folder, const char *name) {
  char path[PATH_MAX];
  return snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path && zh_is_file(path);
}

static zh_status join(char out[PATH_MAX], const char *folder, const char *name, zh_error *err) {
  if (snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "%s/%s: the path is too long", folder, name);
  return ZH_OK;
}

/* --- an evaluation against its bundle --- */

static zh_status compare_json(const json_t *quoted, const char *folder, const char *file,
                              zh_error *err) {
  char path[PATH_MAX];
  json_t *original = NULL;
  ZH_TRY(join(path, folder, file, err));
  ZH_TRY(zh_json_load_file(&original, path, 0, err));
  bool same = json_equal(quoted, original);
  json_decref(original);
  return same ? ZH_OK
              : zh_fail(err, ZH_ERR_CHECK, "evaluation.json quotes %s otherwise than it is", path);
}

/* A model of this bundle's audit must be quoted as it is; others come from other bundles. */
static zh_status compare_models(const json_t *evaluation, const char *folder, zh_error *err) {
  char path[PATH_MAX];
  json_t *audit = NULL, *audited = NULL;
  const json_t *quoted = json_object_get(evaluation, "models");
  ZH_TRY(join(path, folder, "audit.json", err));
  ZH_TRY(zh_json_load_file(&audit, path, 0, err));
  zh_status status = zh_json_array(&audited, audit, "models", path, err);
  for (size_t i = 0; status == ZH_OK && i < json_array_size(audited); i++) {
    const json_t *model = json_array_get(audited, i);
    const char *name = json_string_value(json_object_get(model, "name"));
    bool same = false;
    for (size_t j = 0; !same && j < json_array_size(quoted); j++)
      same = json_equal(model, json_array_get(quoted, j));
    if (!same)
      status = zh_fail(err, ZH_ERR_CHECK,
                       "evaluation.json quotes the audit of %.200s otherwise than %s has it",
                       name ? name : "a model", path);
  }
  json_decref(audit);
  return status;
}

typedef struct line_check {
  const json_t *measurements;
  const char *path;
  size_t bundle, found;
} line_check;

/* A quoted measurement is its line and two members more: "bundle" and "line". */
static zh_status compare_line(void *user, size_t line, json_t *value, zh_error *err) {
  line_check *check = user;
  for (size_t i = 0; i < json_array_size(check->measurements); i++) {
    const json_t *quoted = json_array_get(check->measurements, i);
    if ((size_t)json_integer_value(json_object_get(quoted, "bundle")) != check->bundle) continue;
    if ((size_t)json_integer_value(json_object_get(quoted, "line")) != line) continue;
    json_t *copy = json_copy((json_t *)(uintptr_t)quoted);
    if (copy) {
      json_object_del(copy, "bundle");
      json_object_del(copy, "line");
    }
    bool same = copy && json_equal(copy, value);
    json_decref(copy);
    if (!same)
      return zh_fail(err, ZH_ERR_CHECK, "evaluation.json quotes %s line %zu otherwise than it is",
                     check->path, line);
    check->found++;
  }
  return ZH_OK;
}

static zh_status compare_measurements(const json_t *evaluation, size_t bundle, const char *folder,
                                      zh_error *err) {
  char path[PATH_MAX];
  const json_t *all = json_object_get(evaluation, "measurements");
  size_t quoted = 0;
  ZH_TRY(join(path, folder, "measurements.jsonl", err));
  line_check check = {.measurements = all, .path = path, .bundle = bundle};
  for (size_t i = 0; i < json_array_size(all); i++) {
    const json_t *owner = json_object_get(json_array_get(all, i), "bundle");
    quoted += json_is_integer(owner) && (size_t)json_integer_value(owner) == bundle;
  }
  ZH_TRY(zh_jsonl_read(path, compare_line, &check, err));
  if (check.found != quoted)
    return zh_fail(err, ZH_ERR_CHECK, "evaluation.json quotes %zu lines of %s, of which %zu exist",
                   quoted, path, check.found);
  return ZH_OK;
}

static zh_status compare_evidence(const json_t *evaluation, size_t bundle, const char *folder,
                                  zh_error *err) {
  const json_t *findings = json_object_get(evaluation, "findings");
  for (size_t i = 0; i < json_array_size(findings); i++) {
    const json_t *list = json_object_get(json_array_get(findings, i), "evidence");
    for (size_t j = 0; j < json_array_size(list); j++) {
      const json_t *evidence = json_array_get(list, j),
                   *owner = json_object_get(evidence, "bundle");
      const char *file = json_string_value(json_object_get(evidence, "file"));
      const char *sm3 = json_string_value(json_object_get(evidence, "sm3"));
      char path[PATH_MAX], digest[ZH_DIGEST_HEX];
      if (!json_is_integer(owner) || (size_t)json_integer_value(owner) != bundle) continue;
      /* The manifest lists what a bundle holds; a name that climbs out of it is not in it. */
      if (!file || !sm3 || file[0] == '/' || strstr(file, ".."))
        return zh_fail(err, ZH_ERR_INPUT,
                       "evaluation.json: findings[%zu].evidence[%zu] names no file of its bundle",
                       i, j);
      ZH_TRY(join(path, folder, file, err));
      ZH_TRY(zh_digest_file(digest, ZH_SM3, path, err));
      if (strcmp(digest, sm3) != 0)
        return zh_fail(err, ZH_ERR_CHECK, "%s has SM3 %.16s…, but evaluation.json says %.16s…",
                       path, digest, sm3);
    }
  }
  return ZH_OK;
}

/* The bundle where the evaluation says, or under its name beside the evaluation or the report's
 * folder. */
static bool find_bundle(char out[PATH_MAX], const char *near, const char *path) {
  static const char *const up[] = {"", "../", "../../"};
  const char *slash = strrchr(path, '/'), *name = slash && slash[1] ? slash + 1 : path;
  if (snprintf(out, PATH_MAX, "%s", path) < PATH_MAX && exists_in(out, "run.json")) return true;
  for (size_t i = 0; i < sizeof up / sizeof *up; i++) {
    int length = snprintf(out, PATH_MAX, "%s/%s%s", near, up[i], name);
    if (length < PATH_MAX && exists_in(out, "run.json")) return true;
  }
  return false;
}

static zh_status check_bundle(zh_text *what, const json_t *evaluation, size_t i, const char *near,
                              zh_error *err) {
  const json_t *entry = json_array_get(json_object_get(evaluation, "bundle"), i);
  const char *path = NULL, *expected = NULL;
  char folder[PATH_MAX], digest[ZH_DIGEST_HEX], *real = NULL;
  ZH_TRY(zh_json_string(&path, entry, "path", "evaluation.json: bundle", err));
  ZH_TRY(zh_json_string(&expected, entry, "manifest_sm3", "evaluation.json: bundle", err));
  if (!find_bundle(folder, near, path)) {
    zh_text_printf(what, "bundle %s: not found beside it, so not compared\n", path);
    return ZH_OK;
  }
  ZH_TRY(zh_manifest_verify(folder, digest, err));
  if (strcmp(digest, expected) != 0)
    return zh_fail(err, ZH_ERR_CHECK, "%s/%s has SM3 %.16s…, but evaluation.json says %.16s…",
                   folder, ZH_MANIFEST_NAME, digest, expected);
  ZH_TRY(compare_json(json_object_get(entry, "run"), folder, "run.json", err));
  ZH_TRY(compare_json(json_object_get(entry, "machine"), folder, "environment/machine.json", err));
  ZH_TRY(compare_measurements(evaluation, i, folder, err));
  ZH_TRY(compare_evidence(evaluation, i, folder, err));
  ZH_TRY(compare_models(evaluation, folder, err));
  real = realpath(folder, NULL);
  zh_text_printf(what,
                 "bundle %s: every digest holds, and the evaluation quotes it as it is "
                 "(MANIFEST.sm3 %s)\n",
                 real ? real : folder, digest);
  free(real);
  return ZH_OK;
}

static zh_status check_evaluation(zh_text *what, const char *path, const char *near,
                                  zh_error *err) {
  json_t *evaluation = NULL, *bundles = NULL;
  const char *schema = NULL;
  ZH_TRY(zh_json_load_file(&evaluation, path, 0, err));
  zh_status status = zh_json_string(&schema, evaluation, "schema", path, err);
  if (status == ZH_OK && strcmp(schema, "zhiheng.evaluation/1") != 0)
    status = zh_fail(err, ZH_ERR_INPUT, "%s: schema must be zhiheng.evaluation/1, not '%.64s'",
                     path, schema);
  if (status == ZH_OK) status = zh_json_array(&bundles, evaluation, "bundle", path, err);
  for (size_t i = 0; status == ZH_OK && i < json_array_size(bundles); i++)
    status = check_bundle(what, evaluation, i, near, err);
  json_decref(evaluation);
  return status;
}

/* --- what was given --- */

static zh_status check_folder(zh_text *what, const char *path, zh_error *err) {
  char digest[ZH_DIGEST_HEX], evaluation[PATH_MAX];
  if (!exists_in(path, ZH_MANIFEST_NAME))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s has no %s; give the folder of a bundle or a report, or an evaluation.json",
                   path, ZH_MANIFEST_NAME);
  ZH_TRY(zh_manifest_verify(path, digest, err));
  bool report = exists_in(path, "evaluation.json");
  zh_text_printf(what, "%s %s: every digest holds (MANIFEST.sm3 %s)\n",
                 report ? "report" : "bundle", path, digest);
  if (!report) return ZH_OK;
  ZH_TRY(join(evaluation, path, "evaluation.json", err));
  return check_evaluation(what, evaluation, path, err);
}

static zh_status check_file(zh_text *what, const char *path, zh_error *err) {
  char digest[ZH_DIGEST_HEX], near[PATH_MAX];
  if (snprintf(near, sizeof near, "%s", path) >= (int)sizeof near)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the path is too long", path);
  char *slash = strrchr(near, '/');
  if (slash)
    slash[slash == near ? 1 : 0] = '\0';
  else
    snprintf(near, sizeof near, ".");
  /* Inside a report its manifest speaks for it. */
  if (exists_in(near, ZH_MANIFEST_NAME) && exists_in(near, "evaluation.json"))
    return check_folder(what, near, err);
  ZH_TRY(zh_digest_file(digest, ZH_SM3, path, err));
  zh_text_printf(what, "evaluation %s: SM3 %s\n", path, digest);
  return check_evaluation(what, path, near, err);
}

zh_status zh_verify(char **what, const char *path, zh_error *err) {
  zh_text text = {0};
  *what = NULL;
  zh_status status =
      zh_is_dir(path) ? check_folder(&text, path, err) : check_file(&text, path, err);
  if (status == ZH_OK && (text.failed || !(*what = strdup(zh_text_string(&text)))))
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory while verifying %s", path);
  zh_text_free(&text);
  return status;
}
