/* Which models an evaluation is about. */
#include <stdlib.h>
#include <string.h>

#include "evaluator/evaluation.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the evaluation");
}

bool zh_is_standard(const zh_audited *model) {
  return strcmp(model->format, "standard") == 0;
}

/* The same model measured in two bundles is one; two files under one name cannot both be meant. */
static zh_status add_model(const zh_audited **models, size_t *count, const zh_audited *model,
                           zh_error *err) {
  for (size_t i = 0; i < *count; i++) {
    if (strcmp(models[i]->name, model->name) != 0) continue;
    if (strcmp(models[i]->sm3, model->sm3) == 0) return ZH_OK;
    return zh_fail(err, ZH_ERR_CHECK,
                   "the bundles hold two different models under the name '%s' (SM3 %s and %s)",
                   model->name, models[i]->sm3, model->sm3);
  }
  models[(*count)++] = model;
  return ZH_OK;
}

/* Every distinct model, in the order of bundles. The caller frees. */
zh_status zh_models_collect(const zh_audited ***out, size_t *count, const zh_bundle *bundles,
                            size_t bundle_count, zh_error *err) {
  size_t total = 0;
  for (size_t b = 0; b < bundle_count; b++) total += bundles[b].model_count;
  const zh_audited **models = calloc(total + 1, sizeof *models);
  *out = NULL;
  *count = 0;
  if (models == NULL) return no_memory(err);
  for (size_t b = 0; b < bundle_count; b++) {
    for (size_t m = 0; m < bundles[b].model_count; m++) {
      zh_status status = add_model(models, count, &bundles[b].models[m], err);
      if (status == ZH_OK) continue;
      free(models);
      return status;
    }
  }
  *out = models;
  return ZH_OK;
}

/* Keeps the submitted models; where there are only standard ones, the first of them. */
zh_status zh_subjects_choose(const zh_audited **models, size_t *count, size_t bundle_count,
                             zh_error *err) {
  size_t kept = 0;
  if (bundle_count == 0) return ZH_OK; /* the applicant's papers alone */
  if (*count == 0)
    return zh_fail(err, ZH_ERR_INPUT, "no bundle audits a model, so there is nothing to evaluate");
  for (size_t i = 0; i < *count; i++) {
    if (!zh_is_standard(models[i])) models[kept++] = models[i];
  }
  *count = kept > 0 ? kept : 1;
  return ZH_OK;
}
