#include "bench/suite.h"

#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/parameters.h"
#include "core/files.h"
#include "bench/device_word.h"
#include "core/text.h"

enum { STEPS_MAX = 64, MODELS_MAX = 32, CRITERIA_MAX = 32, NAMES_MAX = 128 };
static const size_t SUITE_BYTES_MAX = (size_t)1 << 20;
static const char SUITES[] = "bench/suites";

/* --- small readers --- */

static zh_status optional(const zh_yaml_node **out, const zh_yaml_node *map, const char *key) {
  *out = zh_yaml_get(map, key);
  return *out ? ZH_OK : ZH_ERR_INPUT;
}

/* Names become parts of paths and of "step.parameter", so they are plain. */
static bool is_plain_name(const char *name) {
  size_t length = strlen(name);
  return length > 0 && length < 48 &&
         strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == length;
}

static zh_status read_name(const char **out, const zh_yaml_node *map, const char *key,
                           zh_error *err) {
  const zh_yaml_node *node = NULL;
  ZH_TRY(zh_yaml_require(&node, map, key, err));
  ZH_TRY(zh_yaml_string(out, node, err));
  if (!is_plain_name(*out))
    return zh_yaml_fail(err, node, "'%s' must be at most 47 letters, digits, '_' and '-'", key);
  return ZH_OK;
}

/* "90 s", "2 min", "1 h" */
static zh_status read_duration(double *out_s, const zh_yaml_node *node, zh_error *err) {
  static const char *const units[] = {"s", "min", "h", "ms", NULL};
  static const double seconds[] = {1, 60, 3600, 1e-3};
  double value = 0;
  size_t unit = 0;
  ZH_TRY(zh_yaml_quantity(&value, &unit, node, units, err));
  *out_s = value * seconds[unit];
  if (!(*out_s >= 0.001 && *out_s <= 7 * 86400.0))
    return zh_yaml_fail(err, node, "a deadline must be between 1 ms and 168 h");
  return ZH_OK;
}

static zh_status read_repeats(zh_repeats *out, const zh_yaml_node *node, zh_error *err) {
  static const char *const keys[] = {"min", "max", "relative_stdev", NULL};
  static const char *const units[] = {"%", NULL};
  const zh_yaml_node *min = NULL, *max = NULL, *stdev = NULL;
  int64_t value = 0;
  if (zh_yaml_node_kind(node) == ZH_YAML_SCALAR) {
    ZH_TRY(zh_yaml_int(&value, node, 1, 1000000, err));
    *out = (zh_repeats){(int)value, (int)value, 0};
    return ZH_OK;
  }
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "a whole number, or {min, max, relative_stdev}", err));
  ZH_TRY(zh_yaml_expect_keys(node, keys, err));
  ZH_TRY(zh_yaml_require(&min, node, "min", err));
  ZH_TRY(zh_yaml_require(&max, node, "max", err));
  ZH_TRY(zh_yaml_require(&stdev, node, "relative_stdev", err));
  ZH_TRY(zh_yaml_int(&value, min, 1, 1000000, err));
  out->min = (int)value;
  ZH_TRY(zh_yaml_int(&value, max, out->min, 1000000, err));
  out->max = (int)value;
  size_t unit = 0;
  ZH_TRY(zh_yaml_quantity(&out->relative_stdev, &unit, stdev, units, err));
  out->relative_stdev /= 100;
  if (!(out->relative_stdev >= 0 && out->relative_stdev <= 1))
    return zh_yaml_fail(err, stdev, "a relative standard deviation lies between 0 %% and 100 %%");
  return ZH_OK;
}

/* --- criteria --- */

/* NULL when the workload declares no metric of that name; *declared tells whether it declares any.
 */
static const zh_metric *find_metric(bool *declared, const zh_workload *workload, const char *name) {
  *declared = workload->metrics != NULL;
  for (const zh_metric *m = workload->metrics; m && m->name; m++)
    if (fnmatch(m->name, name, 0) == 0) return m;
  return NULL;
}

static zh_status check_metric(const zh_metric **out, const zh_workload *workload,
                              const zh_yaml_node *node, const char *name, zh_error *err) {
  const char *names[NAMES_MAX + 1] = {NULL};
  zh_text known = {0};
  size_t count = 0;
  bool declared = false;
  *out = find_metric(&declared, workload, name);
  if (*out || !declared) return ZH_OK;
  for (const zh_metric *m = workload->metrics; m->name && count < NAMES_MAX; m++) {
    names[count++] = m->name;
    zh_text_printf(&known, "%s%s", known.length ? ", " : "", m->name);
  }
  const char *near = zh_nearest_word(name, names);
  zh_status status =
      near ? zh_yaml_fail(err, node, "workload '%s' has no metric '%s'; did you mean '%s'?",
                          workload->name, name, near)
           : zh_yaml_fail(err, node, "workload '%s' has no metric '%s'; it has %s", workload->name,
                          name, zh_text_string(&known));
  zh_text_free(&known);
  return status;
}

/* "1 token/s": a number, a space, a unit. */
static zh_status read_threshold(zh_criterion *out, const zh_yaml_node *node,
                                const zh_metric *metric, zh_error *err) {
  const char *text = NULL, *base = NULL;
  ZH_TRY(zh_yaml_string(&text, node, err));
  const char *wanted = metric ? metric->unit : "the metric's unit";
  char *end = NULL;
  errno = 0;
  double value = strtod(text, &end), factor = 1;
  if (end == text || errno != 0 || !isfinite(value))
    return zh_yaml_fail(err, node, "expected a number and a unit, such as '1 %s'", wanted);
  if (*end == '\0')
    return zh_yaml_fail(err, node, "the threshold has no unit; write '%s %s'", text, wanted);
  if (*end != ' ' || !zh_unit_find(&base, &factor, end + 1))
    return zh_yaml_fail(err, node, "unknown unit in '%s'; expected a number, a space and %s", text,
                        metric ? metric->unit
                               : "one of B/s, FLOP/s, OP/s, token/s, s, with or "
                                 "without an SI prefix");
  if (metric && strcmp(base, metric->unit) != 0)
    return zh_yaml_fail(err, node, "'%s' is measured in %s, not in %s", metric->name, metric->unit,
                        end + 1);
  out->threshold = value * factor;
  out->unit = base;
  return ZH_OK;
}

static zh_status read_criterion(zh_criterion *out, const zh_yaml_node *node,
                                const zh_workload *workload, zh_error *err) {
  static const char *const keys[] = {"metric", "at_least", "at_most", NULL};
  const zh_yaml_node *name = NULL;
  const zh_metric *metric = NULL;
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "{metric: name, at_least: '1 unit'}", err));
  ZH_TRY(zh_yaml_expect_keys(node, keys, err));
  ZH_TRY(zh_yaml_require(&name, node, "metric", err));
  ZH_TRY(zh_yaml_string(&out->metric, name, err));
  ZH_TRY(check_metric(&metric, workload, name, out->metric, err));
  const zh_yaml_node *low = zh_yaml_get(node, "at_least"), *high = zh_yaml_get(node, "at_most");
  if (!low == !high)
    return zh_yaml_fail(err, node, "a criterion has either 'at_least' or 'at_most'");
  out->at_least = low != NULL;
  return read_threshold(out, low ? low : high, metric, err);
}

static zh_status read_criteria(zh_step *step, const zh_yaml_node *list, zh_error *err) {
  ZH_TRY(zh_yaml_expect(list, ZH_YAML_LIST, "a list of criteria", err));
  size_t count = zh_yaml_count(list);
  if (count > CRITERIA_MAX)
    return zh_yaml_fail(err, list, "at most %d criteria in a step", CRITERIA_MAX);
  step->criteria = calloc(count ? count : 1, sizeof *step->criteria);
  if (!step->criteria) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  for (size_t i = 0; i < count; i++)
    ZH_TRY(read_criterion(&step->criteria[i], zh_yaml_item(list, i), step->workload, err));
  step->criterion_count = count;
  return ZH_OK;
}

/* --- steps --- */

static zh_status read_workload(zh_step *step, const zh_yaml_node *map, zh_error *err) {
  const zh_yaml_node *node = NULL;
  const char *names[NAMES_MAX + 1] = {NULL};
  size_t index = 0, count = 0;
  for (const zh_workload *const *w = zh_workloads(); *w && count < NAMES_MAX; w++)
    names[count++] = (*w)->name;
  ZH_TRY(zh_yaml_require(&node, map, "workload", err));
  ZH_TRY(zh_yaml_word(&index, node, names, err));
  step->workload = zh_workloads()[index];
  return ZH_OK;
}

static zh_status read_device(zh_step *step, const zh_yaml_node *node, zh_error *err) {
  zh_error wrong = ZH_ERROR_INIT;
  int device = 0;
  ZH_TRY(zh_yaml_string(&step->device, node, err));
  if (!step->workload->needs_model)
    return zh_yaml_fail(err, node, "workload '%s' runs no model, so it has no device",
                        step->workload->name);
  if (zh_device_word(&device, step->device, &wrong) == ZH_OK) return ZH_OK;
  return zh_yaml_fail(err, node, "%s", wrong.message);
}

static zh_status read_step(zh_step *step, const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"step",       "workload", "deadline", "warmup",   "repeats",
                                     "parameters", "ranks",    "device",   "criteria", NULL};
  const zh_yaml_node *node = NULL;
  int64_t value = 0;
  *step = (zh_step){.deadline_s = 600, .warmup = 1, .repeats = {3, 10, 0.02}};
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a step with 'step' and 'workload'", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(read_name(&step->name, map, "step", err));
  ZH_TRY(read_workload(step, map, err));
  if (optional(&node, map, "deadline") == ZH_OK)
    ZH_TRY(read_duration(&step->deadline_s, node, err));
  if (optional(&node, map, "warmup") == ZH_OK) {
    ZH_TRY(zh_yaml_int(&value, node, 0, 10000, err));
    step->warmup = (int)value;
  }
  if (optional(&node, map, "repeats") == ZH_OK) ZH_TRY(read_repeats(&step->repeats, node, err));
  if (optional(&node, map, "ranks") == ZH_OK) {
    ZH_TRY(zh_yaml_int(&value, node, step->workload->ranks_min, 1000000, err));
    step->ranks = (int)value;
  }
  if (optional(&node, map, "device") == ZH_OK) ZH_TRY(read_device(step, node, err));
  if (optional(&node, map, "criteria") == ZH_OK) ZH_TRY(read_criteria(step, node, err));
  return zh_job_parameters_read(&step->parameters, step->workload, zh_yaml_get(map, "parameters"),
                                err);
}

static const zh_step *find_step(const zh_suite *suite, const char *name) {
  for (size_t i = 0; i < suite->step_count; i++)
    if (strcmp(suite->steps[i].name, name) == 0) return &suite->steps[i];
  return NULL;
}

static zh_status read_steps(zh_suite *suite, const zh_yaml_node *root, zh_error *err) {
  const zh_yaml_node *list = NULL;
  ZH_TRY(zh_yaml_require(&list, root, "steps", err));
  ZH_TRY(zh_yaml_expect(list, ZH_YAML_LIST, "a list of steps", err));
  size_t count = zh_yaml_count(list);
  if (count == 0 || count > STEPS_MAX)
    return zh_yaml_fail(err, list, "a suite has 1 to %d steps", STEPS_MAX);
  suite->steps = calloc(count, sizeof *suite->steps);
  if (!suite->steps) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  for (size_t i = 0; i < count; i++) {
    zh_step step;
    zh_status status = read_step(&step, zh_yaml_item(list, i), err);
    const zh_step *same = status == ZH_OK ? find_step(suite, step.name) : NULL;
    suite->steps[suite->step_count++] = step;
    if (status != ZH_OK) return status;
    if (same)
      return zh_yaml_fail(err, zh_yaml_get(zh_yaml_item(list, i), "step"),
                          "there is already a step '%s'", step.name);
  }
  return ZH_OK;
}

static zh_status read_models(zh_suite *suite, const zh_yaml_node *list, zh_error *err) {
  ZH_TRY(zh_yaml_expect(list, ZH_YAML_LIST, "a list of models, such as [zh-0.1b]", err));
  size_t count = zh_yaml_count(list);
  if (count > MODELS_MAX) return zh_yaml_fail(err, list, "at most %d models", MODELS_MAX);
  suite->models = calloc(count ? count : 1, sizeof *suite->models);
  if (!suite->models) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  for (size_t i = 0; i < count; i++)
    ZH_TRY(zh_yaml_string(&suite->models[i], zh_yaml_item(list, i), err));
  suite->model_count = count;
  return ZH_OK;
}

static zh_status read_peaks(zh_suite *suite, const zh_yaml_node *list, zh_error *err) {
  const char *names[STEPS_MAX + 1] = {NULL};
  ZH_TRY(zh_yaml_expect(list, ZH_YAML_LIST, "a list of step names, or []", err));
  size_t count = zh_yaml_count(list);
  if (count > suite->step_count) return zh_yaml_fail(err, list, "there are more peaks than steps");
  suite->peaks = calloc(count ? count : 1, sizeof *suite->peaks);
  if (!suite->peaks) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  for (size_t i = 0; i < suite->step_count; i++) names[i] = suite->steps[i].name;
  for (size_t i = 0; i < count; i++) {
    const zh_yaml_node *node = zh_yaml_item(list, i);
    ZH_TRY(zh_yaml_word(&suite->peaks[i], node, names, err));
    for (size_t j = 0; j < i; j++)
      if (suite->peaks[j] == suite->peaks[i])
        return zh_yaml_fail(err, node, "this step is named twice");
    if (suite->steps[suite->peaks[i]].workload->needs_model)
      return zh_yaml_fail(err, node, "a peak is the machine's: its workload must need no model");
  }
  suite->peak_count = count;
  return ZH_OK;
}

static zh_status read_seed(zh_suite *suite, const zh_yaml_node *node, zh_error *err) {
  const char *text = NULL;
  int64_t value = 0;
  suite->seed_fresh = true;
  if (!node) return ZH_OK;
  if (zh_yaml_node_kind(node) == ZH_YAML_SCALAR && zh_yaml_string(&text, node, NULL) == ZH_OK &&
      strcmp(text, "fresh") == 0)
    return ZH_OK;
  if (zh_yaml_int(&value, node, 0, INT64_MAX, NULL) != ZH_OK)
    return zh_yaml_fail(err, node, "expected 'fresh' or a whole number from 0");
  suite->seed_fresh = false;
  suite->seed = (uint64_t)value;
  return ZH_OK;
}

static zh_status read_summary(zh_suite *suite, const zh_yaml_node *node, zh_error *err) {
  static const char *const keys[] = {"zh", "en", NULL};
  const zh_yaml_node *zh = NULL, *en = NULL;
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "{zh: 一句话, en: one line}", err));
  ZH_TRY(zh_yaml_expect_keys(node, keys, err));
  ZH_TRY(zh_yaml_require(&zh, node, "zh", err));
  ZH_TRY(zh_yaml_require(&en, node, "en", err));
  ZH_TRY(zh_yaml_string(&suite->summary_zh, zh, err));
  return zh_yaml_string(&suite->summary_en, en, err);
}

/* The file's name without folder and .yaml, or "" where there is no file. */
static void name_of_path(char *out, size_t capacity, const char *path) {
  const char *slash = strrchr(path, '/');
  const char *base = slash ? slash + 1 : path;
  const char *dot = strrchr(base, '.');
  size_t length = dot ? (size_t)(dot - base) : strlen(base);
  if (length >= capacity) length = capacity - 1;
  memcpy(out, base, length);
  out[length] = '\0';
}

static zh_status read_root(zh_suite *suite, const char *path, zh_error *err) {
  static const char *const keys[] = {"suite", "summary", "seed", "models", "peaks", "steps", NULL};
  const zh_yaml_node *root = zh_yaml_root(suite->doc), *node = NULL;
  char name[256];
  ZH_TRY(zh_yaml_expect(root, ZH_YAML_MAP, "a suite: 'suite', 'summary', 'steps'", err));
  ZH_TRY(zh_yaml_expect_keys(root, keys, err));
  ZH_TRY(read_name(&suite->name, root, "suite", err));
  name_of_path(name, sizeof name, path);
  if (name[0] && strcmp(name, suite->name) != 0)
    return zh_yaml_fail(err, zh_yaml_get(root, "suite"),
                        "the suite must be called '%s', as its file is", name);
  ZH_TRY(zh_yaml_require(&node, root, "summary", err));
  ZH_TRY(read_summary(suite, node, err));
  ZH_TRY(read_seed(suite, zh_yaml_get(root, "seed"), err));
  if (optional(&node, root, "models") == ZH_OK) ZH_TRY(read_models(suite, node, err));
  ZH_TRY(read_steps(suite, root, err));
  if (optional(&node, root, "peaks") == ZH_OK) ZH_TRY(read_peaks(suite, node, err));
  return ZH_OK;
}

zh_status zh_suite_parse(zh_suite **out, const char *text, size_t length, const char *path,
                         zh_error *err) {
  *out = NULL;
  zh_suite *suite = calloc(1, sizeof *suite);
  if (!suite) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  zh_status status = ZH_OK;
  suite->text = malloc(length + 1);
  if (!suite->text) status = zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  if (status == ZH_OK) {
    memcpy(suite->text, text, length);
    suite->text[length] = '\0';
    suite->text_length = length;
    status = zh_yaml_load_text(&suite->doc, text, length, path, err);
  }
  if (status == ZH_OK) status = zh_digest_bytes(suite->sm3, ZH_SM3, text, length, err);
  if (status == ZH_OK) status = read_root(suite, path, err);
  if (status != ZH_OK) {
    zh_suite_free(suite);
    return status;
  }
  *out = suite;
  return ZH_OK;
}

void zh_suite_free(zh_suite *suite) {
  if (!suite) return;
  for (size_t i = 0; i < suite->step_count; i++) {
    json_decref(suite->steps[i].parameters);
    free(suite->steps[i].criteria);
  }
  free(suite->steps);
  free(suite->peaks);
  free(suite->models);
  zh_yaml_free(suite->doc);
  free(suite->text);
  free(suite);
}

const char *zh_suite_name(const zh_suite *suite) {
  return suite->name;
}

const char *zh_suite_summary(const zh_suite *suite, const char *language) {
  return strcmp(language, "zh") == 0 ? suite->summary_zh : suite->summary_en;
}

/* --- the suites in the data folder --- */

static zh_status list_names(zh_file_list *out, zh_error *err) {
  char folder[4096];
  ZH_TRY(zh_data_path(folder, sizeof folder, SUITES, err));
  return zh_list_files(out, folder, err);
}

static bool is_suite_file(const char *path) {
  size_t length = strlen(path);
  return !strchr(path, '/') && length > 5 && strcmp(path + length - 5, ".yaml") == 0;
}

static zh_status fail_unknown(const char *name, zh_error *err) {
  zh_file_list files = {0};
  char(*stems)[64] = NULL;
  const char **words = NULL;
  zh_text known = {0};
  size_t count = 0;
  ZH_TRY(list_names(&files, err));
  stems = calloc(files.count + 1, sizeof *stems);
  words = calloc(files.count + 1, sizeof *words);
  for (size_t i = 0; stems && words && i < files.count; i++) {
    if (!is_suite_file(files.paths[i])) continue;
    name_of_path(stems[count], sizeof stems[count], files.paths[i]);
    zh_text_printf(&known, "%s%s", count ? ", " : "", stems[count]);
    words[count] = stems[count];
    count++;
  }
  const char *near = words ? zh_nearest_word(name, words) : NULL;
  zh_status status =
      near
          ? zh_fail(err, ZH_ERR_INPUT, "there is no suite '%s'; did you mean '%s'?", name, near)
          : zh_fail(err, ZH_ERR_INPUT, "there is no suite '%s' and no such file; the suites are %s",
                    name, zh_text_string(&known));
  zh_text_free(&known);
  free(words);
  free(stems);
  zh_file_list_free(&files);
  return status;
}

zh_status zh_suite_load(zh_suite **out, const char *name_or_path, zh_error *err) {
  *out = NULL;
  char path[4096];
  char *text = NULL;
  size_t length = 0;
  size_t given = strlen(name_or_path);
  bool is_path = strchr(name_or_path, '/') || (given > 5 && is_suite_file(name_or_path));
  if (is_path) {
    if (given >= sizeof path) return zh_fail(err, ZH_ERR_INPUT, "the suite's path is too long");
    memcpy(path, name_or_path, given + 1);
  } else {
    char relative[512];
    if (!is_plain_name(name_or_path)) return fail_unknown(name_or_path, err);
    snprintf(relative, sizeof relative, "%s/%s.yaml", SUITES, name_or_path);
    ZH_TRY(zh_data_path(path, sizeof path, relative, err));
    if (!zh_is_file(path)) return fail_unknown(name_or_path, err);
  }
  ZH_TRY(zh_read_file(&text, &length, path, SUITE_BYTES_MAX, err));
  zh_status status = zh_suite_parse(out, text, length, path, err);
  free(text);
  return status;
}

zh_status zh_suite_list(zh_suite_entry **out, size_t *count, zh_error *err) {
  zh_file_list files = {0};
  *out = NULL;
  *count = 0;
  ZH_TRY(list_names(&files, err));
  zh_status status = ZH_OK;
  zh_suite_entry *entries = calloc(files.count + 1, sizeof *entries);
  if (!entries) status = zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  for (size_t i = 0; status == ZH_OK && i < files.count; i++) {
    char name[64];
    zh_suite *suite = NULL;
    if (!is_suite_file(files.paths[i])) continue;
    name_of_path(name, sizeof name, files.paths[i]);
    status = zh_suite_load(&suite, name, err);
    if (status != ZH_OK) break;
    zh_suite_entry *entry = &entries[(*count)++];
    snprintf(entry->name, sizeof entry->name, "%s", suite->name);
    snprintf(entry->summary_zh, sizeof entry->summary_zh, "%s", suite->summary_zh);
    snprintf(entry->summary_en, sizeof entry->summary_en, "%s", suite->summary_en);
    zh_suite_free(suite);
  }
  zh_file_list_free(&files);
  if (status != ZH_OK) {
    free(entries);
    *count = 0;
    return status;
  }
  *out = entries;
  return ZH_OK;
}

/* --- --set --- */

/* Rules of a step that --set may change beside its parameters. */
static const char *const RULES[] = {"deadline", "warmup", "repeats", NULL};

static zh_status set_rule(zh_step *step, const char *name, const zh_yaml_node *node,
                          zh_error *err) {
  int64_t value = 0;
  if (strcmp(name, "deadline") == 0) return read_duration(&step->deadline_s, node, err);
  if (strcmp(name, "repeats") == 0) return read_repeats(&step->repeats, node, err);
  ZH_TRY(zh_yaml_int(&value, node, 0, 10000, err));
  step->warmup = (int)value;
  return ZH_OK;
}

static bool is_rule(const char *name) {
  for (size_t i = 0; RULES[i]; i++)
    if (strcmp(RULES[i], name) == 0) return true;
  return false;
}

static zh_status set_one(zh_step *step, const char *name, const zh_yaml_node *node, zh_error *err) {
  const zh_parameter *parameter = zh_parameter_find(step->workload, name);
  if (!parameter) return set_rule(step, name, node, err);
  json_t *value = NULL;
  ZH_TRY(zh_parameter_read(&value, parameter, node, err));
  if (json_object_set_new(step->parameters, name, value) != 0)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  return ZH_OK;
}

/* Says what could have been meant: parameters of the step, or of all steps. */
static zh_status fail_setting(const zh_suite *suite, const zh_step *only, const char *name,
                              zh_error *err) {
  const char *words[NAMES_MAX + 1] = {NULL};
  size_t count = 0;
  for (size_t i = 0; RULES[i]; i++) words[count++] = RULES[i];
  for (size_t i = 0; i < suite->step_count; i++)
    for (const zh_parameter *p = suite->steps[i].workload->parameters;
         (!only || only == &suite->steps[i]) && p && p->name && count < NAMES_MAX; p++)
      words[count++] = p->name;
  const char *near = zh_nearest_word(name, words);
  return zh_fail(err, ZH_ERR_USAGE, "%s%s has no parameter '%s'%s%s%s", only ? "step " : "suite ",
                 only ? only->name : suite->name, name, near ? "; did you mean '" : "",
                 near ? near : "", near ? "'?" : "");
}

static zh_status fail_step(const zh_suite *suite, const char *name, zh_error *err) {
  const char *words[STEPS_MAX + 1] = {NULL};
  for (size_t i = 0; i < suite->step_count; i++) words[i] = suite->steps[i].name;
  const char *near = zh_nearest_word(name, words);
  return zh_fail(err, ZH_ERR_USAGE, "suite %s has no step '%s'%s%s%s", suite->name, name,
                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

zh_status zh_suite_set(zh_suite *suite, const char *setting, zh_error *err) {
  char key[256];
  const char *equals = strchr(setting, '=');
  size_t length = equals ? (size_t)(equals - setting) : 0;
  if (length == 0 || length >= sizeof key)
    return zh_fail(err, ZH_ERR_USAGE,
                   "--set %s: expected step.parameter=value or parameter=value, such as "
                   "decode.tokens=64",
                   setting);
  memcpy(key, setting, length);
  key[length] = '\0';
  char *dot = strchr(key, '.');
  const char *name = dot ? dot + 1 : key;
  const zh_step *only = NULL;
  if (dot) {
    *dot = '\0';
    only = find_step(suite, key);
    if (!only) return fail_step(suite, key, err);
  }
  zh_yaml_doc *doc = NULL;
  size_t hits = 0;
  char source[sizeof key + 8]; /* a run may have many settings; the message names its own */
  snprintf(source, sizeof source, "--set %.*s", (int)length, setting);
  if (equals[1] == '\0')
    return zh_fail(err, ZH_ERR_USAGE, "%s=: a value is missing after '='", source);
  ZH_TRY(zh_yaml_load_text(&doc, equals + 1, strlen(equals + 1), source, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < suite->step_count; i++) {
    zh_step *step = &suite->steps[i];
    if ((only && only != step) || (!zh_parameter_find(step->workload, name) && !is_rule(name)))
      continue;
    hits++;
    status = set_one(step, name, zh_yaml_root(doc), err);
  }
  zh_yaml_free(doc);
  if (status == ZH_OK && hits == 0) status = fail_setting(suite, only, name, err);
  return status;
}
