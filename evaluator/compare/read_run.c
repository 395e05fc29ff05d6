/* Bundles of `zhiheng run`: speeds of each model, the conditions they were measured under, and what
 * its quality steps left. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/bundle.h"
#include "evaluator/compare/entrants.h"

typedef struct reading {
  zh_entrants *e;
  const char *label, *path;
  const zh_bundle *bundle;
  const char *model; /* under way */
} reading;

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static bool is_of(const json_t *object, const char *model) {
  return strcmp(text_of(object, "model"), model) == 0;
}

/* Prompts and generation; peaks, and scores of quality tasks, are no speeds of a model. */
static bool is_speed(const json_t *line, const char *model) {
  const char *workload = text_of(line, "workload");
  return is_of(line, model) && strcmp(text_of(line, "when"), "main") == 0 &&
         (strcmp(workload, "prefill") == 0 || strcmp(workload, "decode") == 0) &&
         json_is_number(json_object_get(line, "value"));
}

static size_t count_speeds(const zh_bundle *bundle, const char *model) {
  size_t count = 0, i;
  const json_t *line;
  json_array_foreach(bundle->measurements, i, line) count += is_speed(line, model);
  return count;
}

static const json_t *quality_of(const json_t *step) {
  const json_t *quality = json_object_get(json_object_get(step, "facts"), "quality");
  return json_is_object(quality) ? quality : NULL;
}

static bool has_scores(const zh_bundle *bundle, const char *model) {
  const json_t *step;
  size_t i;
  json_array_foreach(json_object_get(bundle->run, "steps"), i, step) {
    if (is_of(step, model) && quality_of(step) != NULL) return true;
  }
  return false;
}

/* --- speeds --- */

/* "decode" of "decode@model.gguf". */
static const char *plain_step(zh_entrants *e, const char *step) {
  const char *plain = zh_arena_strndup(e->arena, step, strcspn(step, "@"));
  return plain != NULL ? plain : "";
}

static void take_speed(zh_speed *out, zh_entrants *e, const json_t *line) {
  const json_t *ci = json_object_get(line, "ci95"), *low = json_array_get(ci, 0),
               *high = json_array_get(ci, 1);
  int64_t n = json_integer_value(json_object_get(line, "n"));
  bool interval = n > 1 && json_is_number(low) && json_is_number(high);
  const char *step = plain_step(e, text_of(line, "step")),
             *figure = zh_arena_printf(e->arena, "%s/%s", step, text_of(line, "metric"));
  *out = (zh_speed){.figure = figure != NULL ? figure : "",
                    .unit = zh_entrants_text(e, text_of(line, "unit")),
                    .step = step,
                    .value = json_number_value(json_object_get(line, "value")),
                    .low = interval ? json_number_value(low) : NAN,
                    .high = interval ? json_number_value(high) : NAN,
                    .n = n,
                    .more_is_better = json_is_true(json_object_get(line, "more_is_better")),
                    .valid = json_is_true(json_object_get(line, "valid"))};
}

static zh_status take_speeds(zh_entrant *entrant, const reading *r, zh_error *err) {
  size_t count = count_speeds(r->bundle, r->model), i;
  const json_t *line;
  if (count == 0) return ZH_OK;
  entrant->speeds = calloc(count, sizeof *entrant->speeds);
  if (entrant->speeds == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for speeds");
  json_array_foreach(r->bundle->measurements, i, line) {
    if (is_speed(line, r->model)) take_speed(&entrant->speeds[entrant->speed_count++], r->e, line);
  }
  return ZH_OK;
}

/* --- conditions --- */

static void add_machine(zh_entrant *entrant, const json_t *machine) {
  const json_t *cpu = json_object_get(machine, "cpu"), *gpus = json_object_get(machine, "gpus"),
               *gpu;
  zh_text text = {0};
  size_t i;
  zh_text_printf(&text, "%s, %lld × %lld / %lld", text_of(cpu, "model"),
                 (long long)json_integer_value(json_object_get(cpu, "packages")),
                 (long long)json_integer_value(json_object_get(cpu, "cores")),
                 (long long)json_integer_value(json_object_get(cpu, "threads")));
  json_array_foreach(gpus, i, gpu) zh_text_printf(&text, "; %s", text_of(gpu, "name"));
  zh_entrant_fact(entrant, "machine", zh_text_string(&text));
  zh_entrant_fact(entrant, "host", text_of(machine, "hostname"));
  zh_text_free(&text);
}

static void add_number(zh_entrant *entrant, const char *key, const json_t *value) {
  char text[32];
  snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
  if (json_is_integer(value)) zh_entrant_fact(entrant, key, text);
}

/* Parameters of the steps that measured speeds, as they stand. */
static zh_status add_steps(zh_entrant *entrant, const reading *r, zh_error *err) {
  const json_t *step;
  size_t i;
  json_array_foreach(json_object_get(r->bundle->run, "steps"), i, step) {
    const char *workload = text_of(step, "workload");
    char *dumped = NULL;
    if (!is_of(step, r->model)) continue;
    if (strcmp(workload, "prefill") != 0 && strcmp(workload, "decode") != 0) continue;
    const char *plain = plain_step(r->e, text_of(step, "step"));
    const json_t *parameters = json_object_get(step, "parameters"),
                 *facts = json_object_get(step, "facts"),
                 *device = json_object_get(facts, "device");
    ZH_TRY(zh_json_dump_line(&dumped, parameters, err));
    zh_entrant_fact_of(r->e, entrant, "parameters", plain, dumped);
    free(dumped);
    zh_entrant_fact(entrant, "step kernels", text_of(facts, "kernels"));
    zh_entrant_fact(entrant, "device",
                    json_is_object(device) ? text_of(device, "name") : json_string_value(device));
  }
  return ZH_OK;
}

static void add_suite(zh_entrant *entrant, const json_t *run) {
  const json_t *suite = json_object_get(run, "suite"), *version = json_object_get(run, "version");
  char text[512];
  snprintf(text, sizeof text, "%.200s, SM3 %.12s", text_of(suite, "name"), text_of(suite, "sm3"));
  zh_entrant_fact(entrant, "suite", text);
  zh_entrant_fact(entrant, "seed", text_of(run, "seed"));
  add_number(entrant, "threads", json_object_get(run, "threads"));
  add_number(entrant, "ranks", json_object_get(run, "ranks"));
  zh_entrant_fact(entrant, "program", text_of(version, "zhiheng"));
  zh_entrant_fact(entrant, "commit", text_of(version, "commit"));
  zh_entrant_fact(entrant, "compiler", text_of(version, "compiler"));
  zh_entrant_fact(entrant, "kernels", text_of(version, "kernels"));
  zh_entrant_fact(entrant, "fault", text_of(run, "fault"));
}

/* The element type that most of the parameters have. */
static void add_model(zh_entrant *entrant, const reading *r) {
  const json_t *types = NULL, *type;
  json_int_t most = 0;
  size_t i;
  for (size_t k = 0; k < r->bundle->model_count; k++) {
    if (strcmp(r->bundle->models[k].name, r->model) != 0) continue;
    types = json_object_get(r->bundle->models[k].json, "types");
    entrant->parameters = r->bundle->models[k].counts[ZH_COUNT_STORED];
  }
  json_array_foreach(types, i, type) {
    json_int_t parameters = json_integer_value(json_object_get(type, "parameters"));
    if (parameters <= most) continue;
    most = parameters;
    zh_entrant_fact(entrant, "type", text_of(type, "type"));
  }
}

static void add_notes(zh_entrant *entrant, const reading *r, bool speeds) {
  const zh_words *words = r->e->words;
  entrant->doubtful |= speeds && !(r->bundle->valid && r->bundle->stable);
  if (!r->bundle->valid)
    zh_compare_say(entrant->notes, words, "invalid_run", ZH_WORD_compare_invalid_run, "model",
                   entrant->label, "file", r->path, NULL);
  if (!r->bundle->stable)
    zh_compare_say(entrant->notes, words, "unstable_run", ZH_WORD_compare_unstable_run, "model",
                   entrant->label, "file", r->path, NULL);
}

/* --- scores --- */

/* A path that run.json names, below the bundle and nowhere else. */
static zh_status inside(zh_text *out, const reading *r, const char *relative, zh_error *err) {
  if (relative[0] == '\0' || relative[0] == '/' || strstr(relative, "..") != NULL)
    return zh_fail(err, ZH_ERR_INPUT, "%s: run.json names '%.100s', which is no file of the bundle",
                   r->path, relative);
  zh_text_printf(out, "%s/%s", r->path, relative);
  return out->failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for a path") : ZH_OK;
}

static void name_metrics(zh_entrant *entrant, const json_t *quality, const char *step,
                         zh_entrants *e) {
  const json_t *tasks = json_object_get(quality, "tasks"), *task;
  char with_step[1024];
  size_t i;
  json_array_foreach(tasks, i, task) {
    const char *name = text_of(task, "task");
    snprintf(with_step, sizeof with_step, "%s/%s", step, name);
    zh_sheet *sheet = zh_sheet_named(entrant, name);
    if (sheet == NULL) sheet = zh_sheet_named(entrant, with_step);
    if (sheet == NULL || sheet->metric[0] != '\0') continue;
    sheet->metric = zh_entrants_text(e, text_of(task, "metric"));
    if (sheet->metric[0] != '\0') json_object_set_new(e->metrics, sheet->metric, json_true());
    const json_t *figures = json_object_get(quality, "figures"), *figure;
    size_t k;
    json_array_foreach(figures, k, figure) {
      if (strcmp(text_of(figure, "name"), name) != 0) continue;
      if (strcmp(text_of(figure, "metric"), sheet->metric) != 0) continue;
      sheet->fewer_is_better = json_is_false(json_object_get(figure, "higher_is_better"));
    }
  }
}

static zh_status take_step(zh_entrant *entrant, const reading *r, const json_t *step,
                           const char **table, zh_error *err) {
  const json_t *quality = quality_of(step);
  const char *name = text_of(step, "step"), *scores = text_of(quality, "scores"),
             *results = text_of(quality, "results");
  zh_text path = {0};
  zh_status status = ZH_OK;
  /* One table a model, whichever step names it. */
  if (scores[0] != '\0' && (*table == NULL || strcmp(*table, scores) != 0)) {
    status = inside(&path, r, scores, err);
    if (status == ZH_OK) status = zh_read_rows(r->e, entrant, path.data, err);
    *table = scores;
  }
  zh_text_free(&path);
  if (status == ZH_OK) name_metrics(entrant, quality, name, r->e);
  if (status == ZH_OK && results[0] != '\0') {
    status = inside(&path, r, results, err);
    if (status == ZH_OK) status = zh_read_results(r->e, entrant, path.data, name, err);
  }
  zh_text_free(&path);
  return status;
}

static zh_status take_scores(zh_entrant *entrant, const reading *r, zh_error *err) {
  const json_t *step;
  const char *table = NULL;
  size_t i;
  json_array_foreach(json_object_get(r->bundle->run, "steps"), i, step) {
    if (is_of(step, r->model) && quality_of(step) != NULL)
      ZH_TRY(take_step(entrant, r, step, &table, err));
  }
  return ZH_OK;
}

/* --- a model of a bundle --- */

static zh_status take_model(reading *r, const json_t *model, zh_error *err) {
  zh_entrant *entrant;
  r->model = text_of(model, "name");
  const zh_part part = {.label = r->label,
                        .model = r->model,
                        .sm3 = text_of(model, "sm3"),
                        .path = r->path,
                        .speeds = count_speeds(r->bundle, r->model) > 0,
                        .scores = has_scores(r->bundle, r->model)};
  ZH_TRY(zh_entrants_take(&entrant, r->e, &part, err));
  entrant->bytes = json_integer_value(json_object_get(model, "bytes"));
  json_array_append_new(entrant->sources, json_pack("{s:s, s:s, s:s}", "path", r->path, "kind",
                                                    "bundle", "sm3", r->bundle->manifest_sm3));
  add_model(entrant, r);
  add_notes(entrant, r, part.speeds);
  if (part.speeds) {
    add_machine(entrant, r->bundle->machine);
    add_suite(entrant, r->bundle->run);
    ZH_TRY(add_steps(entrant, r, err));
    ZH_TRY(take_speeds(entrant, r, err));
  }
  return part.scores ? take_scores(entrant, r, err) : ZH_OK;
}

static zh_status take_models(reading *r, zh_error *err) {
  const json_t *models = json_object_get(r->bundle->run, "models"), *model;
  size_t i;
  if (json_array_size(models) == 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: this run had no model", r->path);
  if (r->label != NULL && json_array_size(models) > 1)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: '%s' cannot be the name of %zu models; name the bundle without a label",
                   r->path, r->label, json_array_size(models));
  json_array_foreach(models, i, model) ZH_TRY(take_model(r, model, err));
  return ZH_OK;
}

zh_status zh_read_run(zh_entrants *e, const char *label, const char *path, zh_error *err) {
  zh_bundle bundle = {0};
  reading r = {.e = e, .label = label, .path = path, .bundle = &bundle};
  zh_status status = zh_bundle_read(&bundle, path, 0, err);
  if (status == ZH_OK) status = take_models(&r, err);
  zh_bundle_clear(&bundle);
  return status;
}
