/* Made items and what is behind them, for an oracle in Python: one JSON request a line, one answer
 * a line.
 *   {"made": {"family","language","levels","items","split","seed"}}   {"rows": path}
 *   {"same_json": [right, said]}   {"conditions": [conditions, said]}
 *   {"curve": {"levels": [level of each item], "scores": [score of each]}}
 *   {"rouge_l": [right, said]}   {"token_f1": [right, said]} */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/checked.h"
#include "bench/quality/curves.h"
#include "bench/quality/procedural.h"
#include "bench/quality/rows.h"
#include "bench/quality/text_scores.h"

static json_t *finished(zh_status status, json_t *value, const zh_error *err) {
  if (status == ZH_OK) return value;
  json_decref(value);
  return json_pack("{s:s}", "error", err->message);
}

static const char *text_at(const json_t *list, size_t i) {
  return json_string_value(json_array_get(list, i));
}

static json_t *made(const json_t *of) {
  zh_error err = ZH_ERROR_INIT;
  zh_task_file file = {.path = strdup("request")};
  json_t *rows = json_array(), *files = json_array();
  json_t *config =
      json_pack("{s:O, s:{s:O, s:O, s:O}}", "dataset_name", json_object_get(of, "family"),
                "dataset_kwargs", "language", json_object_get(of, "language"), "levels",
                json_object_get(of, "levels"), "items", json_object_get(of, "items"));
  zh_task_options options = {.seed = (uint64_t)json_integer_value(json_object_get(of, "seed"))};
  zh_status status = zh_procedural_rows(
      rows, files, &file, config, json_string_value(json_object_get(of, "split")), &options, &err);
  json_decref(files);
  json_decref(config);
  free(file.path);
  return finished(status, rows, &err);
}

static json_t *rows(const json_t *of) {
  zh_error err = ZH_ERROR_INIT;
  json_t *list = json_array(), *files = json_array();
  const char *path = json_string_value(of);
  zh_rows_format format = zh_rows_format_of(path);
  zh_status status = zh_rows_read(list, files, path, &format, &err);
  json_decref(files);
  return finished(status, list, &err);
}

static json_t *checked(const json_t *of,
                       zh_status (*check)(bool *, const char *, const char *, zh_error *)) {
  zh_error err = ZH_ERROR_INIT;
  bool right = false;
  zh_status status = check(&right, text_at(of, 0), text_at(of, 1), &err);
  return finished(status, json_boolean(right), &err);
}

static json_t *scored(const json_t *of,
                      zh_status (*score)(double *, const char *, const char *, zh_error *)) {
  zh_error err = ZH_ERROR_INIT;
  double value = 0;
  zh_status status = score(&value, text_at(of, 0), text_at(of, 1), &err);
  return finished(status, json_real(value), &err);
}

static json_t *curve(const json_t *of) {
  zh_error err = ZH_ERROR_INIT;
  zh_item_metric metric = {.name = "acc", .aggregation = "mean"};
  zh_exam_task task = {.docs = json_array(), .metrics = &metric, .metric_count = 1};
  const json_t *levels = json_object_get(of, "levels");
  json_t *out = NULL, *values = json_pack("{s:O}", "acc,none", json_object_get(of, "scores"));
  for (size_t i = 0; i < json_array_size(levels); i++)
    json_array_append_new(task.docs, json_pack("{s:O}", "level", json_array_get(levels, i)));
  zh_status status = zh_curves_make(&out, &task, values, &err);
  json_decref(task.docs);
  json_decref(values);
  return finished(status, out ? out : json_null(), &err);
}

static json_t *answer(const json_t *request) {
  const json_t *of;
  if ((of = json_object_get(request, "made"))) return made(of);
  if ((of = json_object_get(request, "rows"))) return rows(of);
  if ((of = json_object_get(request, "curve"))) return curve(of);
  if ((of = json_object_get(request, "same_json"))) return checked(of, zh_same_json);
  if ((of = json_object_get(request, "conditions"))) return checked(of, zh_conditions_kept);
  if ((of = json_object_get(request, "rouge_l"))) return scored(of, zh_rouge_l);
  if ((of = json_object_get(request, "token_f1"))) return scored(of, zh_token_f1);
  return json_null();
}

int main(void) {
  char *line = NULL;
  size_t capacity = 0;
  for (ssize_t length; (length = getline(&line, &capacity, stdin)) > 0;) {
    zh_error err = ZH_ERROR_INIT;
    json_t *request;
    if (zh_json_load_text(&request, line, (size_t)length, "request", &err) != ZH_OK) {
      fprintf(stderr, "%s\n", err.message);
      return 2;
    }
    json_t *said = answer(request);
    char *text = json_dumps(said, JSON_ENCODE_ANY | JSON_COMPACT);
    puts(text);
    free(text);
    json_decref(said);
    json_decref(request);
  }
  free(line);
  return 0;
}
