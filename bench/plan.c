#include "bench/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/device_word.h"
#include "bench/launch.h"
#include "core/digest.h"
#include "core/text.h"

typedef struct planner {
  const zh_suite *suite;
  const zh_plan_model *models;
  size_t model_count;
  const zh_plan_options *options;
  json_t *steps;
} planner;

static json_t *criteria_json(const zh_step *step) {
  json_t *list = json_array();
  for (size_t i = 0; i < step->criterion_count; i++) {
    const zh_criterion *c = &step->criteria[i];
    json_array_append_new(list, json_pack("{s:s,s:s,s:f,s:s}", "metric", c->metric, "op",
                                          c->at_least ? "at_least" : "at_most", "threshold",
                                          c->threshold, "unit", c->unit));
  }
  return list;
}

static zh_status check_ranks(const zh_step *step, int ranks, zh_error *err) {
  if (ranks >= step->workload->ranks_min) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE,
                 "step '%s': workload '%s' needs at least %d ranks, the plan has %d; give --ranks "
                 "%d (through MPI)",
                 step->name, step->workload->name, step->workload->ranks_min, ranks,
                 step->workload->ranks_min);
}

/* What no machine can do is said now, not after the peaks have been measured. */
static zh_status check_context(const zh_step *step, const zh_plan_model *model, zh_error *err) {
  if (!model || !step->workload->positions) return ZH_OK;
  zh_job job = {.parameters = step->parameters};
  int64_t wanted = step->workload->positions(&job);
  if (wanted <= (int64_t)model->context) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE,
                 "step '%s' asks for a context of %lld positions, but model %s holds at most %lld",
                 step->name, (long long)wanted,
                 json_string_value(json_object_get(model->entry, "name")),
                 (long long)model->context);
}

/* Slurm says over how many nodes it will spread them; else they are all here. */
static int ranks_of_a_node(int ranks) {
  const char *text = getenv("SLURM_JOB_NUM_NODES");
  int nodes = text ? atoi(text) : 1;
  return nodes > 1 ? (ranks + nodes - 1) / nodes : ranks;
}

zh_status zh_plan_set_ranks(json_t *step, int ranks, int threads, const char *launcher,
                            zh_error *err) {
  zh_launcher chosen = ZH_LAUNCH_DIRECT;
  ZH_TRY(zh_launcher_choose(&chosen, launcher, ranks, err));
  if (threads == 0) threads = zh_machine_allowed_cores() / ranks_of_a_node(ranks);
  if (json_object_set_new(step, "ranks", json_integer(ranks)) == 0 &&
      json_object_set_new(step, "threads", json_integer(threads > 0 ? threads : 1)) == 0 &&
      json_object_set_new(step, "launcher", json_string(zh_launcher_name(chosen))) == 0)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory while making the plan");
}

/* What the command line asks for must be here; what a suite asks for and is not, is skipped. */
static zh_status choose_device(int *out, const planner *p, const zh_step *step, zh_error *err) {
  const char *asked = p->options->device;
  *out = 0;
  if (!step->workload->needs_model) return ZH_OK;
  ZH_TRY(zh_device_word(out, asked ? asked : step->device, err));
  return asked ? zh_device_is_here(*out, err) : ZH_OK;
}

/* What the workload itself has to say of its parameters. */
static zh_status check_parameters(const planner *p, const zh_step *step, zh_error *err) {
  zh_job job = {.parameters = step->parameters, .run_seed = p->options->seed};
  if (!step->workload->check) return ZH_OK;
  zh_status status = step->workload->check(&job, err);
  if (status != ZH_OK) zh_error_prefix(err, "step %s", step->name);
  return status;
}

/* Adds one step for one model (NULL: it needs none). */
static zh_status add_step(planner *p, const zh_step *step, const zh_plan_model *model,
                          const char *when, zh_error *err) {
  int ranks = p->options->ranks > 0 ? p->options->ranks : step->ranks > 0 ? step->ranks : 1;
  int device = 0;
  char name[256], key[32];
  ZH_TRY(check_ranks(step, ranks, err));
  ZH_TRY(check_context(step, model, err));
  ZH_TRY(choose_device(&device, p, step, err));
  const char *model_name = model ? json_string_value(json_object_get(model->entry, "name")) : NULL;
  snprintf(name, sizeof name, "%s%s%s", step->name, model ? "@" : "", model ? model_name : "");
  snprintf(key, sizeof key, "%03zu", json_array_size(p->steps));
  json_t *entry = json_pack(
      "{s:s,s:s,s:s,s:s,s:s?,s:s?,s:s?,s:s?,s:s,s:f,s:i,s:{s:i,s:i,s:f},s:O,s:o}", "key", key,
      "step", name, "name", step->name, "workload", step->workload->name, "model", model_name,
      "source", model ? model->source : NULL, "model_sm3",
      model ? json_string_value(json_object_get(model->entry, "sm3")) : NULL, "content_sm3",
      model ? json_string_value(json_object_get(model->entry, "content_sm3")) : NULL, "when", when,
      "deadline_s", step->deadline_s, "warmup", step->warmup, "repeats", "min", step->repeats.min,
      "max", step->repeats.max, "relative_stdev", step->repeats.relative_stdev, "parameters",
      step->parameters, "criteria", criteria_json(step));
  if (entry && device > 0) json_object_set_new(entry, "device", json_integer(device));
  zh_status status =
      entry ? zh_plan_set_ranks(entry, ranks, p->options->threads, p->options->launcher, err)
            : ZH_OK;
  if (status != ZH_OK) {
    json_decref(entry);
    return status;
  }
  if (!entry || json_array_append_new(p->steps, entry) != 0)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory while making the plan");
  return ZH_OK;
}

static zh_status add_step_for_models(planner *p, const zh_step *step, zh_error *err) {
  if (!step->workload->needs_model) return add_step(p, step, NULL, "main", err);
  if (p->model_count == 0)
    return zh_fail(err, ZH_ERR_USAGE,
                   "step '%s' needs a model, but neither the suite nor --model names one",
                   step->name);
  ZH_TRY(check_parameters(p, step, err));
  for (size_t i = 0; i < p->model_count; i++) ZH_TRY(add_step(p, step, &p->models[i], "main", err));
  return ZH_OK;
}

static bool is_peak(const zh_suite *suite, size_t step) {
  for (size_t i = 0; i < suite->peak_count; i++)
    if (suite->peaks[i] == step) return true;
  return false;
}

/* Every bundle says what the harness itself costs, so a suite without the null workload gets one.
 */
static zh_status add_null(planner *p, zh_error *err) {
  for (size_t i = 0; i < p->suite->step_count; i++)
    if (strcmp(p->suite->steps[i].workload->name, "null") == 0) return ZH_OK;
  zh_step step = {.name = "null",
                  .workload = zh_workload_find("null"),
                  .deadline_s = 60,
                  .warmup = 10,
                  .repeats = {200, 200, 0},
                  .parameters = json_object()};
  for (size_t i = 0; i < p->suite->step_count; i++)
    if (strcmp(p->suite->steps[i].name, "null") == 0) step.name = "harness";
  zh_status status = add_step(p, &step, NULL, "main", err);
  json_decref(step.parameters);
  return status;
}

static zh_status add_steps(planner *p, zh_error *err) {
  const zh_suite *suite = p->suite;
  ZH_TRY(add_null(p, err));
  for (size_t i = 0; i < suite->peak_count; i++)
    ZH_TRY(add_step(p, &suite->steps[suite->peaks[i]], NULL, "main", err));
  for (size_t i = 0; i < suite->step_count; i++)
    if (!is_peak(suite, i)) ZH_TRY(add_step_for_models(p, &suite->steps[i], err));
  for (size_t i = 0; i < suite->peak_count; i++)
    ZH_TRY(add_step(p, &suite->steps[suite->peaks[i]], NULL, "end", err));
  return ZH_OK;
}

static zh_status check_fault(const planner *p, const char *fault, zh_error *err) {
  bool known = false, models = false;
  for (size_t i = 0; zh_fault_names[i]; i++) known = known || strcmp(zh_fault_names[i], fault) == 0;
  if (!known) {
    const char *near = zh_nearest_word(fault, zh_fault_names);
    return zh_fail(err, ZH_ERR_USAGE,
                   "--inject fault=%s: expected weight, token, activation, clock, cache, stale, "
                   "layer, layers, swap, precision, expert, experts or tile%s%s%s",
                   fault, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
  }
  for (size_t i = 0; i < p->suite->step_count; i++)
    models = models || p->suite->steps[i].workload->needs_model ||
             strcmp(zh_fault_names[p->suite->steps[i].workload->own_fault], fault) == 0;
  if (!models && strcmp(fault, "none") != 0 && strcmp(fault, "clock") != 0)
    return zh_fail(err, ZH_ERR_USAGE,
                   "--inject fault=%s goes into a model, but suite %s has no step with a model",
                   fault, p->suite->name);
  return ZH_OK;
}

/* Two models of one name would give two steps of one name. */
static zh_status check_models(const planner *p, zh_error *err) {
  for (size_t i = 0; i < p->model_count; i++)
    for (size_t j = 0; j < i; j++) {
      const char *name = json_string_value(json_object_get(p->models[i].entry, "name"));
      if (strcmp(name, json_string_value(json_object_get(p->models[j].entry, "name"))) == 0)
        return zh_fail(err, ZH_ERR_USAGE, "two models are called '%s'; rename one or run it apart",
                       name);
    }
  return ZH_OK;
}

zh_status zh_step_seed(char out[32], const char *run_seed, const char *step, zh_error *err) {
  char text[512], digest[ZH_DIGEST_HEX];
  snprintf(text, sizeof text, "%s/%s", run_seed, step);
  ZH_TRY(zh_digest_bytes(digest, ZH_SM3, text, strlen(text), err));
  snprintf(out, 32, "0x%.16s", digest);
  return ZH_OK;
}

zh_status zh_plan_make(json_t **out, const zh_suite *suite, const zh_plan_model *models,
                       size_t model_count, const zh_plan_options *options, zh_error *err) {
  planner p = {suite, models, model_count, options, json_array()};
  const char *fault = options->inject ? options->inject : "none";
  char seed[32];
  *out = NULL;
  json_t *list = json_array();
  zh_status status = check_fault(&p, fault, err);
  if (status == ZH_OK) status = check_models(&p, err);
  if (status == ZH_OK) status = add_steps(&p, err);
  for (size_t i = 0; i < model_count; i++) json_array_append(list, models[i].entry);
  snprintf(seed, sizeof seed, "0x%016llx", (unsigned long long)options->seed);
  json_t *plan = NULL;
  if (status == ZH_OK) {
    plan = json_pack("{s:s,s:{s:s,s:s},s:s,s:s,s:s,s:s,s:s?,s:O,s:O}", "schema", "zhiheng.plan/1",
                     "suite", "name", suite->name, "sm3", suite->sm3, "seed", seed, "node",
                     options->node, "version", ZH_VERSION, "fault", fault, "nonce_commitment",
                     options->commitment, "models", list, "steps", p.steps);
    if (!plan) status = zh_fail(err, ZH_ERR_MEMORY, "out of memory while making the plan");
  }
  json_decref(list);
  json_decref(p.steps);
  *out = plan;
  return status;
}

zh_status zh_plan_digest(char out[ZH_DIGEST_HEX], const json_t *plan, zh_error *err) {
  char *text = json_dumps(plan, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
  if (!text) return zh_fail(err, ZH_ERR_MEMORY, "out of memory while digesting the plan");
  zh_status status = zh_digest_bytes(out, ZH_SM3, text, strlen(text), err);
  free(text);
  return status;
}

static void dump_short(char *out, size_t capacity, const json_t *value) {
  char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
  snprintf(out, capacity, "%.80s", text ? text : "nothing");
  free(text);
}

static bool difference_at(char *out, size_t capacity, const char *path, const json_t *before,
                          const json_t *now) {
  char place[256], first[96], second[96];
  const char *key;
  json_t *value;
  size_t i;
  if (json_is_object(before) && json_is_object(now)) {
    json_object_foreach((json_t *)before, key, value) {
      snprintf(place, sizeof place, "%s%s%s", path, path[0] ? "." : "", key);
      if (difference_at(out, capacity, place, value, json_object_get(now, key))) return true;
    }
    if (json_object_size(before) == json_object_size(now)) return false;
  } else if (json_is_array(before) && json_is_array(now) &&
             json_array_size(before) == json_array_size(now)) {
    json_array_foreach(before, i, value) {
      snprintf(place, sizeof place, "%s[%zu]", path, i);
      if (difference_at(out, capacity, place, value, json_array_get(now, i))) return true;
    }
    return false;
  } else if (json_equal(before, now)) {
    return false;
  }
  dump_short(first, sizeof first, before);
  dump_short(second, sizeof second, now);
  snprintf(out, capacity, "%s was %s and is now %s", path, first, second);
  return true;
}

void zh_plan_difference(char *out, size_t capacity, const json_t *before, const json_t *now) {
  if (!difference_at(out, capacity, "", before, now)) snprintf(out, capacity, "nothing differs");
}
