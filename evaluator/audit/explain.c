/* What was measured on single tensors, matrix by matrix. */
#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/audit/portrait.h"

static json_t *shape_json(const zh_tensor *t) {
  json_t *shape = json_array();
  for (int i = 0; i < t->dims; i++)
    json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
  return shape;
}

static json_t *number_or_null(bool known, int64_t number) {
  return known ? json_integer(number) : json_null();
}

static json_t *bytes_json(zh_auditor *a, const zh_grid *u) {
  char hash[20];
  snprintf(hash, sizeof hash, "%016" PRIx64, u->hash);
  return json_pack("{s:b, s:b, s:b, s:I, s:I, s:s, s:o}", "zero", (int)u->zero, "constant",
                   (int)u->constant, "hole", (int)u->sparse, "zero_rows", (json_int_t)u->zero_rows,
                   "zero_columns", (json_int_t)u->zero_columns, "xxh3", hash, "repeats",
                   u->repeats ? json_string(zh_grid_name(a, &a->units[u->source])) : json_null());
}

static json_t *scores_json(const zh_portrait *p) {
  static const char *const names[] = {[ZH_SCORE_EDGE] = "edge",
                                      [ZH_SCORE_ROW_MEANS] = "row_means",
                                      [ZH_SCORE_COLUMN_MEANS] = "column_means",
                                      [ZH_SCORE_ROW_SIZES] = "row_sizes",
                                      [ZH_SCORE_COLUMN_SIZES] = "column_sizes"};
  json_t *scores = json_object();
  for (int i = 0; i < ZH_SCORES; i++)
    json_object_set_new(scores, names[i], zh_json_number(p->scores[i]));
  return scores;
}

static json_t *block_json(const zh_portrait *p) {
  if (p->block_rows == 0) return json_null();
  return json_pack("{s:I, s:I, s:o, s:o, s:o, s:I, s:o}", "rows", (json_int_t)p->block_rows,
                   "columns", (json_int_t)p->block_columns, "scores", scores_json(p), "departure",
                   zh_json_number(p->departure), "departures", zh_json_number(p->departures),
                   "rank", (json_int_t)p->rank, "rest", zh_json_number(p->rest));
}

static json_t *values_json(const zh_portrait *p) {
  if (p == NULL || !p->looked) return json_null();
  return json_pack("{s:I, s:o, s:o, s:o, s:I, s:o}", "rows_looked_at", (json_int_t)p->rows.count,
                   "rms", zh_json_number(p->rms), "mean", zh_json_number(p->mean), "deviation",
                   zh_json_number(p->deviation), "constant_rows", (json_int_t)p->constant_rows,
                   "block", block_json(p));
}

static json_t *unit_json(zh_auditor *a, size_t i) {
  const zh_grid *u = &a->units[i];
  return json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:I, s:o, s:o}", "matrix", zh_grid_name(a, u),
                   "rows", (json_int_t)u->rows, "columns", (json_int_t)u->columns, "parameters",
                   (json_int_t)u->parameters, "layer",
                   number_or_null(u->place.layer >= 0, u->place.layer), "expert",
                   number_or_null(u->place.expert >= 0, u->place.expert), "spoken_of",
                   (json_int_t)zh_covered(u, ZH_PRESUMED), "bytes", bytes_json(a, u), "values",
                   values_json(a->portraits != NULL ? &a->portraits[i] : NULL));
}

static json_t *tensor_json(zh_auditor *a, size_t tensor) {
  const zh_tensor *t = zh_model_tensor(a->model, tensor);
  const zh_grid *first = &a->units[a->first_unit[tensor]];
  json_t *matrices = json_array();
  for (size_t i = a->first_unit[tensor]; i < a->first_unit[tensor + 1]; i++)
    json_array_append_new(matrices, unit_json(a, i));
  return json_pack("{s:s, s:s, s:o, s:s, s:I, s:o}", "tensor", t->name, "type",
                   zh_dtype_find((uint32_t)t->type)->name, "shape", shape_json(t), "role",
                   zh_tensor_role_name(first->place.role), "bytes", (json_int_t)t->bytes,
                   "matrices", matrices);
}

static bool is_meant(const zh_tensor *t, const char *name) {
  return strcmp(t->name, name) == 0 || fnmatch(name, t->name, 0) == 0;
}

zh_status zh_explain_find(const zh_auditor *a, const char *name, zh_error *err) {
  size_t count = zh_model_tensor_count(a->model);
  char guess[ZH_GUESS_BYTES];
  const char **names = calloc(count + 1, sizeof *names);
  if (names == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the tensors' names");
  bool found = false;
  for (size_t i = 0; i < count; i++) {
    names[i] = zh_model_tensor(a->model, i)->name;
    found |= is_meant(zh_model_tensor(a->model, i), name);
  }
  zh_status status =
      found ? ZH_OK
            : zh_fail(err, ZH_ERR_USAGE, "%s has no tensor '%s'%s", zh_model_name(a->model), name,
                      zh_did_you_mean(guess, name, names));
  free(names);
  return status;
}

zh_status zh_explain_json(json_t **out, zh_auditor *a, const char *name, zh_error *err) {
  json_t *tensors = json_array();
  for (size_t i = 0; i < zh_model_tensor_count(a->model); i++)
    if (is_meant(zh_model_tensor(a->model, i), name))
      json_array_append_new(tensors, tensor_json(a, i));
  *out = json_pack("{s:s, s:o}", "model", zh_model_name(a->model), "tensors", tensors);
  return *out != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the explanation");
}
