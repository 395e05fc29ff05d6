/* verify --recompute: the certificates of a bundle against the models, on any machine. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/certificate.h"
#include "bench/plan.h"
#include "cli/recompute.h"
#include "core/files.h"
#include "core/progress.h"

static const char *word(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

/* The step whose facts hold this certificate's digest: so the file's name decides nothing. */
static const json_t *step_of(const json_t *run, const char *certificate_sm3) {
  size_t i;
  json_t *step;
  json_array_foreach(json_object_get(run, "steps"), i, step) {
    if (strcmp(word(json_object_get(step, "facts"), "certificate_sm3"), certificate_sm3) == 0)
      return step;
  }
  return NULL;
}

static const json_t *model_of(const json_t *run, const char *name) {
  size_t i;
  json_t *model;
  json_array_foreach(json_object_get(run, "models"), i, model) {
    if (strcmp(word(model, "name"), name) == 0) return model;
  }
  return NULL;
}

/* The model that ran: by name where it is a standard one, else --model or the path of the run, and
 * in any case with the digest that the run had. */
static zh_status open_model(zh_model **out, const json_t *entry, const char *given, zh_error *err) {
  char sm3[ZH_DIGEST_HEX];
  bool standard = strcmp(word(entry, "format"), "standard") == 0;
  const char *source = standard ? word(entry, "name") : given != NULL ? given : word(entry, "path");
  if (!standard && given == NULL && !zh_is_file(source) && !zh_is_dir(source))
    return zh_fail(err, ZH_ERR_INPUT, "model %s is not at %s any more; name it with --model FILE",
                   word(entry, "name"), source);
  ZH_TRY(zh_model_open(out, source, err));
  zh_status status = zh_model_digest(sm3, *out, ZH_SM3, err);
  if (status == ZH_OK && strcmp(sm3, word(entry, "sm3")) != 0)
    status =
        zh_fail(err, ZH_ERR_CHECK, "%s is not the model that ran: its SM3 is %.16s…, not %.16s…",
                source, sm3, word(entry, "sm3"));
  if (status == ZH_OK) return ZH_OK;
  zh_model_free(*out);
  *out = NULL;
  return status;
}

static zh_status recheck_one(json_t *results, const char *path, const json_t *run,
                             const zh_recompute_options *options, zh_error *err) {
  char sm3[ZH_DIGEST_HEX];
  zh_model *model = NULL;
  zh_recheck found;
  ZH_TRY(zh_digest_file(sm3, ZH_SM3, path, err));
  const json_t *step = step_of(run, sm3);
  if (step == NULL)
    return zh_fail(err, ZH_ERR_CHECK, "%s: no step of run.json has this certificate", path);
  const json_t *entry = model_of(run, word(step, "model"));
  if (entry == NULL)
    return zh_fail(err, ZH_ERR_INPUT, "run.json has no model %s", word(step, "model"));
  zh_progress_detail("%s", word(step, "step"));
  char seed[32];
  ZH_TRY(zh_step_seed(seed, word(run, "seed"), word(step, "step"), err));
  ZH_TRY(open_model(&model, entry, options->model, err));
  zh_certificate_claim claim = {.path = path,
                                .step = word(step, "step"),
                                .workload = word(step, "workload"),
                                .marks_sm3 = word(json_object_get(step, "facts"), "marks_sm3"),
                                .seed = strtoull(seed, NULL, 16),
                                .chain_sm3 = word(json_object_get(step, "facts"), "chain_sm3"),
                                .model_sm3 = word(entry, "sm3"),
                                .commitment = word(run, "nonce_commitment"),
                                .model = model};
  zh_status status = zh_certificate_recheck(&found, &claim, options->seed, options->rows, err);
  zh_model_free(model);
  ZH_TRY(status);
  json_array_append_new(results, json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:o,s:s}", "step",
                                           word(step, "step"), "model", word(step, "model"),
                                           "nonce", found.nonce, "tokens", (json_int_t)found.tokens,
                                           "operators", (json_int_t)found.operators, "samples",
                                           (json_int_t)found.samples, "largest_error_of_bound",
                                           zh_json_number(found.nearest), "where", found.where));
  return ZH_OK;
}

zh_status zh_recompute(json_t **out, const char *bundle, const zh_recompute_options *options,
                       zh_error *err) {
  char folder[PATH_MAX], path[PATH_MAX];
  json_t *run = NULL, *results = json_array();
  zh_file_list files = {0};
  *out = NULL;
  snprintf(folder, sizeof folder, "%.4000s/certificates", bundle);
  snprintf(path, sizeof path, "%.4000s/run.json", bundle);
  zh_status status =
      zh_is_dir(folder)
          ? zh_list_files(&files, folder, err)
          : zh_fail(err, ZH_ERR_INPUT,
                    "%s holds no certificate; a run with --nonce WORDS writes one for each decode "
                    "step",
                    bundle);
  if (status == ZH_OK) status = zh_json_load_file(&run, path, 0, err);
  for (size_t i = 0; status == ZH_OK && i < files.count; i++) {
    snprintf(path, sizeof path, "%.4000s/certificates/%.80s", bundle, files.paths[i]);
    status = recheck_one(results, path, run, options, err);
  }
  zh_file_list_free(&files);
  json_decref(run);
  if (status != ZH_OK) {
    json_decref(results);
    return status;
  }
  *out = results;
  return ZH_OK;
}
