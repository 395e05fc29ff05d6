/* What a task file says, checked and made ready. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/python_values.h"
#include "bench/quality/quality.h"
#include "bench/quality/rows.h"
#include "bench/quality/task_data.h"

enum { LOOKED_AT = 20, DEFAULT_MAX_NEW = 256, REPEATS_MAX = 1000, SHOTS_MAX = 10000 };

/* Keys of a task, as lm-evaluation-harness 0.4.13 has them. */
static const char *const keys[] = {"task",
                                   "task_alias",
                                   "tag",
                                   "group",
                                   "custom_dataset",
                                   "dataset_path",
                                   "dataset_name",
                                   "dataset_kwargs",
                                   "training_split",
                                   "validation_split",
                                   "test_split",
                                   "fewshot_split",
                                   "process_docs",
                                   "doc_to_text",
                                   "doc_to_target",
                                   "doc_to_choice",
                                   "doc_to_image",
                                   "doc_to_audio",
                                   "unsafe_code",
                                   "process_results",
                                   "use_prompt",
                                   "description",
                                   "target_delimiter",
                                   "fewshot_delimiter",
                                   "fewshot_config",
                                   "num_fewshot",
                                   "metric_list",
                                   "output_type",
                                   "generation_kwargs",
                                   "repeats",
                                   "filter_list",
                                   "should_decontaminate",
                                   "doc_to_decontamination_query",
                                   "gen_prefix",
                                   "metadata",
                                   NULL};

/* What is Python's own or a library's, and cannot be run here. */
static const char *const refused[] = {"custom_dataset", "doc_to_image", "doc_to_audio",
                                      "use_prompt", NULL};

/* Below these keys functions may stand; each is looked up where it is read. */
static const char *const with_functions[] = {
    "process_docs",  "process_results", "doc_to_text", "doc_to_target",
    "doc_to_choice", "metric_list",     "filter_list", "fewshot_config",
    "description",   "gen_prefix",      NULL};

typedef struct reading {
  zh_exam_task *task;
  const zh_task_file *file;
  json_t *config;
  const zh_task_options *options;
  zh_error *err;
} reading;

static const char *word_of(const json_t *object, const char *key) {
  return json_string_value(json_object_get(object, key));
}

static bool is_given(const json_t *config, const char *key) {
  const json_t *value = json_object_get(config, key);
  return value && !json_is_null(value) && !json_is_false(value);
}

#define fail_at(r, key, ...)                                                                       \
  (zh_task_file_node((r)->file, key)                                                               \
       ? zh_yaml_fail((r)->err, zh_task_file_node((r)->file, key), __VA_ARGS__)                    \
       : zh_fail((r)->err, ZH_ERR_INPUT, __VA_ARGS__))

/* The first function below a node, or NULL. */
static const zh_yaml_node *function_in(const zh_yaml_node *node) {
  if (zh_yaml_node_kind(node) == ZH_YAML_SCALAR) return zh_yaml_function(node) ? node : NULL;
  for (size_t i = 0; i < zh_yaml_count(node); i++) {
    const zh_yaml_node *found = function_in(zh_yaml_item(node, i));
    if (found) return found;
  }
  return NULL;
}

static bool is_among(const char *const *words, const char *word) {
  while (*words && strcmp(*words, word) != 0) words++;
  return *words != NULL;
}

static zh_status check_keys(const reading *r) {
  const char *key;
  json_t *value;
  json_object_foreach(r->config, key, value) {
    const zh_yaml_node *node = zh_task_file_node(r->file, key);
    const zh_yaml_node *function = node ? function_in(node) : NULL;
    char guess[ZH_GUESS_BYTES];
    if (!is_among(keys, key))
      return fail_at(r, key, "unknown key '%.60s' of a task%s", key,
                     zh_did_you_mean(guess, key, keys));
    if (function && !is_among(with_functions, key))
      return zh_yaml_fail(r->err, function,
                          "'%.80s' is a function in Python; below '%.40s' none is known to this "
                          "version",
                          zh_yaml_function(function), key);
  }
  for (size_t i = 0; refused[i]; i++)
    if (is_given(r->config, refused[i]))
      return fail_at(r, refused[i], "'%s' is not known to this version", refused[i]);
  return ZH_OK;
}

static zh_status read_word(const char **out, const reading *r, const json_t *object,
                           const char *key, const char *fallback) {
  const json_t *value = json_object_get(object, key);
  *out = fallback;
  if (!value || json_is_null(value)) return ZH_OK;
  if (!json_is_string(value)) return fail_at(r, key, "'%s' must be text", key);
  *out = json_string_value(value);
  return ZH_OK;
}

static zh_status read_whole(int64_t *out, const reading *r, const json_t *object, const char *key,
                            int64_t fallback, int64_t least, int64_t most) {
  const json_t *value = json_object_get(object, key);
  *out = fallback;
  if (!value || json_is_null(value)) return ZH_OK;
  *out = json_integer_value(value);
  if (json_is_integer(value) && *out >= least && *out <= most) return ZH_OK;
  return fail_at(r, key, "'%s' must be a whole number from %lld to %lld", key, (long long)least,
                 (long long)most);
}

static zh_status read_output(const reading *r) {
  static const char *const words[] = {"loglikelihood", "multiple_choice", "loglikelihood_rolling",
                                      "generate_until", NULL};
  const char *word;
  ZH_TRY(read_word(&word, r, r->config, "output_type", "generate_until"));
  for (size_t i = 0; words[i]; i++) {
    if (strcmp(word, words[i]) != 0) continue;
    r->task->output = (zh_output)i;
    return ZH_OK;
  }
  char guess[ZH_GUESS_BYTES];
  return fail_at(r, "output_type",
                 "unknown output_type '%.60s'%s; loglikelihood, multiple_choice, "
                 "loglikelihood_rolling and generate_until are known",
                 word, zh_did_you_mean(guess, word, words));
}

/* The results tell which functions were used. */
static zh_status note_function(const reading *r, const zh_function *function) {
  if (!function) return ZH_OK;
  char *told = zh_function_told(function);
  json_t *list = r->task->functions, *name = told ? json_string(told) : NULL;
  bool known = false;
  free(told);
  for (size_t i = 0; name && i < json_array_size(list); i++)
    known |= json_equal(json_array_get(list, i), name) != 0;
  bool good = name && (known || json_array_append(list, name) == 0);
  json_decref(name);
  return good ? ZH_OK : zh_fail(r->err, ZH_ERR_MEMORY, "out of memory (functions)");
}

/* *out stays NULL where the value is no function. */
static zh_status read_function(const zh_function **out, const reading *r, const json_t *value,
                               zh_function_kind kind) {
  const char *word = zh_function_word(value);
  if (!word) return ZH_OK;
  ZH_TRY(zh_function_find(out, r->file, r->config, word, kind, r->err));
  return note_function(r, *out);
}

static zh_status read_field(zh_field *out, const reading *r, const json_t *object,
                            const char *key) {
  ZH_TRY(zh_field_read(out, r->file, r->config, key, json_object_get(object, key), r->err));
  return note_function(r, out->function);
}

static zh_status read_texts(const reading *r) {
  zh_exam_task *t = r->task;
  const json_t *shots = json_object_get(r->config, "fewshot_config");
  ZH_TRY(read_field(&t->text, r, r->config, "doc_to_text"));
  ZH_TRY(read_field(&t->target, r, r->config, "doc_to_target"));
  ZH_TRY(read_field(&t->choice, r, r->config, "doc_to_choice"));
  ZH_TRY(read_field(&t->description, r, r->config, "description"));
  ZH_TRY(read_field(&t->gen_prefix, r, r->config, "gen_prefix"));
  ZH_TRY(read_field(&t->shot_text, r, shots, "doc_to_text"));
  ZH_TRY(read_field(&t->shot_target, r, shots, "doc_to_target"));
  ZH_TRY(read_field(&t->shot_choice, r, shots, "doc_to_choice"));
  ZH_TRY(read_field(&t->shot_gen_prefix, r, shots, "gen_prefix"));
  ZH_TRY(read_word(&t->target_delimiter, r, r->config, "target_delimiter", " "));
  ZH_TRY(read_word(&t->fewshot_delimiter, r, r->config, "fewshot_delimiter", "\n\n"));
  ZH_TRY(read_word(&t->shot_target_delimiter, r, shots, "target_delimiter", t->target_delimiter));
  ZH_TRY(read_word(&t->shot_delimiter, r, shots, "fewshot_delimiter", t->fewshot_delimiter));
  if (!t->target.value)
    return fail_at(r, "doc_to_target", "%s: 'doc_to_target' is missing", r->file->path);
  if (!t->text.value && t->output != ZH_OUTPUT_ROLLING)
    return fail_at(r, "doc_to_text", "%s: 'doc_to_text' is missing", r->file->path);
  if (!t->choice.value && t->output == ZH_OUTPUT_CHOICE)
    return fail_at(r, "doc_to_choice", "%s: 'doc_to_choice' is missing", r->file->path);
  return ZH_OK;
}

/* ---- items ---- */

/* The rows of a split, as process_docs leaves them. */
static zh_status read_split(json_t **out, const reading *r, const char *split) {
  const zh_function *function = NULL;
  ZH_TRY(read_function(&function, r, json_object_get(r->config, "process_docs"), ZH_FUNCTION_DOCS));
  if (!function && is_given(r->config, "process_docs"))
    return fail_at(r, "process_docs", "'process_docs' must be a function: !function MODULE.NAME");
  json_t *rows;
  ZH_TRY(zh_task_split(&rows, r->task->files, r->file, r->config, split, r->options, r->err));
  *out = rows;
  if (!function) return ZH_OK;
  zh_function_call call = {.function = function};
  zh_status status = function->body.docs(out, &call, rows, r->err);
  json_decref(rows);
  if (status == ZH_OK) status = zh_rows_unify(*out, r->err);
  if (status == ZH_OK && json_array_size(*out) == 0)
    status = zh_fail(r->err, ZH_ERR_INPUT, "%s: process_docs leaves no items of the split '%s'",
                     r->file->path, split);
  if (status != ZH_OK) {
    zh_error_prefix(r->err, "%s", function->name);
    json_decref(*out);
    *out = NULL;
  }
  return status;
}

/* Examples that the file has, or a function makes. */
static zh_status read_samples(const reading *r, const json_t *samples) {
  const zh_function *function = NULL;
  ZH_TRY(read_function(&function, r, samples, ZH_FUNCTION_SAMPLES));
  zh_function_call call = {.function = function};
  if (function) return function->body.samples(&r->task->shot_docs, &call, r->err);
  r->task->shot_docs = json_incref((json_t *)(uintptr_t)samples);
  return ZH_OK;
}

static zh_status check_shots(const reading *r, const json_t *shots) {
  static const char *const known[] = {"sampler",          "split",        "samples",
                                      "num_fewshot",      "doc_to_text",  "doc_to_target",
                                      "doc_to_choice",    "gen_prefix",   "fewshot_delimiter",
                                      "target_delimiter", "process_docs", NULL};
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)shots, key, value) {
    char guess[ZH_GUESS_BYTES];
    bool other_items = strcmp(key, "process_docs") == 0 && !json_is_null(value) &&
                       !json_equal(value, json_object_get(r->config, key));
    if (!is_among(known, key) || other_items)
      return fail_at(r, "fewshot_config", "'%.60s' of fewshot_config is not known%s", key,
                     other_items ? " where it is not the task's own"
                                 : zh_did_you_mean(guess, key, known));
  }
  return ZH_OK;
}

static zh_status read_examples(const reading *r, const char *test, const char *validation) {
  zh_exam_task *t = r->task;
  const json_t *shots = json_object_get(r->config, "fewshot_config");
  ZH_TRY(check_shots(r, shots));
  const char *training, *split, *sampler;
  ZH_TRY(read_word(&training, r, r->config, "training_split", NULL));
  ZH_TRY(read_word(&split, r, r->config, "fewshot_split", word_of(shots, "split")));
  ZH_TRY(read_word(&sampler, r, shots, "sampler", "default"));
  t->first_n = strcmp(sampler, "first_n") == 0;
  if (!t->first_n && strcmp(sampler, "default") != 0)
    return fail_at(r, "fewshot_config", "unknown sampler '%.60s'; default and first_n are known",
                   sampler);
  /* An item is kept out of its own examples only where both splits have the same name, or none. */
  t->exclude_itself = split && test ? strcmp(split, test) == 0 : !split && !test;
  json_t *samples = json_object_get(shots, "samples");
  if (!split && (json_is_array(samples) || zh_function_word(samples)))
    return read_samples(r, samples);
  if (t->shots == 0) return ZH_OK;
  if (!split) split = training ? training : validation ? validation : test;
  return read_split(&t->shot_docs, r, split);
}

static zh_status read_items(const reading *r) {
  zh_exam_task *t = r->task;
  const char *test, *validation;
  ZH_TRY(read_word(&test, r, r->config, "test_split", NULL));
  ZH_TRY(read_word(&validation, r, r->config, "validation_split", NULL));
  const char *split = test ? test : validation;
  if (!split)
    return fail_at(r, "test_split", "%s: neither test_split nor validation_split is given",
                   r->file->path);
  t->files = json_array();
  t->columns = json_object();
  if (!t->files || !t->columns) return zh_fail(r->err, ZH_ERR_MEMORY, "out of memory (items)");
  ZH_TRY(read_split(&t->docs, r, split));
  const char *key;
  json_t *value;
  json_object_foreach(json_array_get(t->docs, 0), key, value)
      json_object_set_new(t->columns, key, json_true());
  size_t count = json_array_size(t->docs);
  double limit = r->options->limit;
  t->taken = count;
  if (limit > 0 && limit < 1) t->taken = (size_t)ceil((double)count * limit);
  if (limit >= 1 && limit < (double)count) t->taken = (size_t)limit;
  return read_examples(r, test, validation);
}

static zh_status read_shots(const reading *r) {
  const json_t *given = json_object_get(r->config, "num_fewshot"),
               *shots = json_object_get(r->config, "fewshot_config");
  ZH_TRY(read_whole(&r->task->shots, r, r->config, "num_fewshot", 0, 0, SHOTS_MAX));
  if ((!given || json_is_null(given)) && json_object_get(shots, "num_fewshot"))
    ZH_TRY(read_whole(&r->task->shots, r, shots, "num_fewshot", 0, 0, SHOTS_MAX));
  /* A task that says 0 means it. */
  bool fixed = json_is_integer(given) && json_integer_value(given) == 0;
  if (r->options->shots >= 0 && !fixed) {
    r->task->shots = r->options->shots;
    json_object_set_new(r->config, "num_fewshot", json_integer(r->options->shots));
  }
  return ZH_OK;
}

/* ---- generation ---- */

static zh_status read_until(const reading *r) {
  zh_exam_task *t = r->task;
  json_t *until = json_object_get(t->generation, "until");
  t->until = json_array();
  if (!t->until) return zh_fail(r->err, ZH_ERR_MEMORY, "out of memory (until)");
  if (json_is_string(until)) json_array_append(t->until, until);
  for (size_t i = 0; i < json_array_size(until); i++) {
    if (!json_is_string(json_array_get(until, i)))
      return fail_at(r, "generation_kwargs", "'until' must be text, or a list of texts");
    json_array_append(t->until, json_array_get(until, i));
  }
  return ZH_OK;
}

/* A number of generation_kwargs within [least, most]. */
static zh_status read_number(double *out, const reading *r, const char *key, double fallback,
                             double least, double most) {
  const json_t *value = json_object_get(r->task->generation, key);
  *out = fallback;
  if (!value || json_is_null(value)) return ZH_OK;
  *out = json_number_value(value);
  if (json_is_number(value) && *out >= least && *out <= most) return ZH_OK;
  return fail_at(r, "generation_kwargs", "'%s' must be a number from %g to %g", key, least, most);
}

/* FNV-1a of the task's name: which stream of numbers its answers are drawn with. */
static uint64_t stream_of(const char *name) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (; *name; name++) hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
  return hash;
}

static zh_status read_draws(const reading *r) {
  static const char *const taken[] = {
      "until",          "do_sample",  "temperature", "max_gen_toks", "top_p",
      "max_new_tokens", "max_tokens", "top_k",       "max_length",   NULL};
  zh_draws *d = &r->task->draws;
  const json_t *given = r->task->generation, *sample = json_object_get(given, "do_sample"),
               *warm = json_object_get(given, "temperature");
  const char *key;
  json_t *value;
  double k;
  json_object_foreach((json_t *)(uintptr_t)given, key, value) {
    if (!is_among(taken, key)) return fail_at(r, "generation_kwargs", "unknown key '%.60s'", key);
  }
  ZH_TRY(read_number(&d->temperature, r, "temperature", 1, 0, 100));
  ZH_TRY(read_number(&d->top_p, r, "top_p", 1, 1e-6, 1));
  ZH_TRY(read_number(&k, r, "top_k", 0, 0, 1 << 20));
  d->top_k = (int64_t)k;
  d->drawn = json_is_true(sample) ? d->temperature > 0
                                  : !sample && json_is_number(warm) && d->temperature > 0;
  d->seed = r->options->seed;
  d->stream = stream_of(r->task->name);
  return ZH_OK;
}

static zh_status read_generation(const reading *r) {
  zh_exam_task *t = r->task;
  int64_t most = DEFAULT_MAX_NEW;
  if (t->output != ZH_OUTPUT_GENERATE) return ZH_OK;
  json_t *given = json_object_get(r->config, "generation_kwargs");
  t->generation = json_is_object(given)
                      ? json_deep_copy(given)
                      : json_pack("{s:[s], s:b, s:i}", "until", t->fewshot_delimiter, "do_sample",
                                  0, "temperature", 0);
  if (!t->generation) return zh_fail(r->err, ZH_ERR_MEMORY, "out of memory (generation)");
  if (json_is_integer(json_object_get(t->generation, "temperature")) && json_is_object(given))
    json_object_set_new(
        t->generation, "temperature",
        json_real(json_number_value(json_object_get(t->generation, "temperature"))));
  if (!json_object_get(t->generation, "until"))
    json_object_set_new(t->generation, "until", json_pack("[s]", t->fewshot_delimiter));
  json_object_set(r->config, "generation_kwargs", t->generation);
  static const char *const limits[] = {"max_gen_toks", "max_new_tokens", "max_tokens", NULL};
  for (size_t i = 0; limits[i]; i++)
    if (json_object_get(t->generation, limits[i])) {
      ZH_TRY(read_whole(&most, r, t->generation, limits[i], DEFAULT_MAX_NEW, 1, 1 << 20));
      break;
    }
  t->max_new = (uint64_t)most;
  ZH_TRY(read_draws(r));
  ZH_TRY(read_until(r));
  return ZH_OK;
}

/* ---- metrics ---- */

/* Of pass@k for several k the first decides. */
static zh_status read_figure(zh_item_metric *out, const reading *r, const json_t *entry) {
  const json_t *k = json_object_get(entry, "k");
  if (json_is_array(k)) k = json_array_get(k, 0);
  if (!out->function || strcmp(out->name, "pass_at_k") != 0 || !json_is_integer(k)) return ZH_OK;
  char *figure = zh_arena_printf(r->task->arena, "pass@%lld", (long long)json_integer_value(k));
  out->figure = figure;
  return figure ? ZH_OK : zh_fail(r->err, ZH_ERR_MEMORY, "out of memory (metrics)");
}

/* A metric of our own, a function, or one that process_results gives. */
static zh_status read_metric(zh_item_metric *out, const reading *r, const json_t *entry) {
  const char *name = word_of(entry, "metric"), *usual;
  if (!name) return fail_at(r, "metric_list", "an entry of metric_list names no 'metric'");
  *out = (zh_item_metric){.name = name, .options = entry, .higher_is_better = true};
  ZH_TRY(read_function(&out->function, r, json_object_get(entry, "metric"), ZH_FUNCTION_METRIC));
  ZH_TRY(read_function(&out->aggregate, r, json_object_get(entry, "aggregation"),
                       ZH_FUNCTION_AGGREGATION));
  if (out->function) out->name = out->function->name;
  usual = zh_metric_aggregation(name, &out->higher_is_better);
  if (!usual && (out->function || r->task->process_results)) usual = "mean";
  if (!usual)
    return fail_at(r, "metric_list", "the metric '%.60s' is not known to this version", name);
  ZH_TRY(read_word(&out->aggregation, r, entry, "aggregation", usual));
  if (!out->aggregate && !zh_aggregation_known(out->aggregation))
    return fail_at(r, "metric_list", "the aggregation '%.60s' is not known to this version",
                   out->aggregation);
  const json_t *higher = json_object_get(entry, "higher_is_better");
  if (json_is_boolean(higher)) out->higher_is_better = json_is_true(higher);
  return read_figure(out, r, entry);
}

static zh_status read_metrics(const reading *r) {
  static const char *const usual[][4] = {
      [ZH_OUTPUT_LOGLIKELIHOOD] = {"perplexity", "acc"},
      [ZH_OUTPUT_CHOICE] = {"acc", "acc_norm"},
      [ZH_OUTPUT_ROLLING] = {"word_perplexity", "byte_perplexity", "bits_per_byte"},
      [ZH_OUTPUT_GENERATE] = {"exact_match"}};
  zh_exam_task *t = r->task;
  const json_t *list = json_object_get(r->config, "metric_list");
  size_t count = json_array_size(list);
  const char *const *names = usual[t->output];
  if (count == 0)
    while (count < 4 && names[count]) count++;
  t->metrics = zh_arena_alloc(t->arena, count, sizeof *t->metrics);
  if (!t->metrics) return zh_fail(r->err, ZH_ERR_MEMORY, "out of memory (metrics)");
  for (size_t i = 0; i < count; i++) {
    zh_item_metric *m = &t->metrics[i];
    if (json_array_size(list) > 0) {
      ZH_TRY(read_metric(m, r, json_array_get(list, i)));
    } else {
      *m = (zh_item_metric){.name = names[i]};
      m->aggregation = zh_metric_aggregation(names[i], &m->higher_is_better);
    }
  }
  t->metric_count = count;
  return ZH_OK;
}

/* OpenCompass has one figure of a data set: the part of right answers, in percent. */
static zh_status choose_opencompass(const reading *r) {
  zh_exam_task *t = r->task;
  if (!r->options->opencompass) return ZH_OK;
  if ((t->output != ZH_OUTPUT_CHOICE && t->output != ZH_OUTPUT_GENERATE) || t->process_results)
    return zh_fail(r->err, ZH_ERR_INPUT,
                   "%s: OpenCompass's definitions are of options (ppl) and of generated answers "
                   "(gen), scored by equality; this task needs its own",
                   r->file->path);
  t->opencompass = true;
  t->metrics[0] =
      (zh_item_metric){.name = "accuracy", .aggregation = "percent", .higher_is_better = true};
  t->metric_count = 1;
  return ZH_OK;
}

/* ---- the first item tells how the others are read ---- */

/* What kind of thing the templates give, told by an item that they can be read of: the first is as
 * likely to be broken as any other. Where some are broken, all may be, and each may cost a second.
 */
static zh_status look_at_first(const reading *r) {
  zh_exam_task *t = r->task;
  json_t *text = NULL, *target = NULL;
  zh_status status = ZH_OK;
  zh_error first = ZH_ERROR_INIT;
  size_t count = json_array_size(t->docs), most = count < LOOKED_AT ? count : LOOKED_AT;
  for (size_t i = 0; i == 0 || (status != ZH_OK && i < most); i++) {
    const json_t *doc = json_array_get(t->docs, i);
    zh_error later = ZH_ERROR_INIT, *err = i == 0 ? &first : &later;
    json_decref(text);
    text = NULL;
    zh_status read = t->text.value ? zh_task_text(&text, t, &t->text, doc, err) : ZH_OK;
    if (read == ZH_OK) read = zh_task_target(&target, t, &t->target, doc, err);
    if (i == 0 || read == ZH_OK) status = read;
  }
  t->multiple_input = json_is_integer(text) && t->choice.value;
  t->multiple_target = json_is_array(target);
  json_decref(text);
  json_decref(target);
  if (status != ZH_OK && r->err) *r->err = first;
  return status;
}

static zh_status read_task(const reading *r, const char *name) {
  zh_exam_task *t = r->task;
  const json_t *metadata = json_object_get(r->config, "metadata");
  ZH_TRY(check_keys(r));
  t->name = zh_arena_strdup(t->arena, name);
  t->path = zh_arena_strdup(t->arena, r->file->path);
  if (!t->name || !t->path) return zh_fail(r->err, ZH_ERR_MEMORY, "out of memory (task)");
  ZH_TRY(read_word(&t->alias, r, r->config, "task_alias", t->name));
  t->version = json_incref(json_object_get(metadata, "version"));
  t->functions = json_array();
  t->chat = r->options->chat;
  ZH_TRY(read_output(r));
  ZH_TRY(read_whole(&t->repeats, r, r->config, "repeats", 1, 1, REPEATS_MAX));
  if (t->repeats > 1 && t->output != ZH_OUTPUT_GENERATE)
    return fail_at(r, "repeats", "only generated answers can be repeated; others are always alike");
  ZH_TRY(read_function(&t->process_results, r, json_object_get(r->config, "process_results"),
                       ZH_FUNCTION_RESULTS));
  if (!t->process_results && is_given(r->config, "process_results"))
    return fail_at(r, "process_results",
                   "'process_results' must be a function: !function MODULE.NAME");
  ZH_TRY(read_texts(r));
  ZH_TRY(read_shots(r));
  ZH_TRY(read_generation(r));
  ZH_TRY(read_metrics(r));
  ZH_TRY(choose_opencompass(r));
  ZH_TRY(zh_filters_read(t, r->file, json_object_get(r->config, "filter_list"), r->err));
  for (size_t c = 0; c < t->chain_count; c++)
    for (size_t i = 0; i < t->chains[c].count; i++)
      ZH_TRY(note_function(r, t->chains[c].filters[i].function));
  ZH_TRY(read_items(r));
  return look_at_first(r);
}

zh_status zh_task_create(zh_exam_task **out, const zh_task_file *file, json_t *config,
                         const char *name, const zh_task_options *options, zh_error *err) {
  zh_exam_task *task = calloc(1, sizeof *task);
  *out = NULL;
  if (!task) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (task)");
  zh_status status = zh_arena_create(&task->arena, 0, err);
  if (status == ZH_OK) {
    task->config = json_deep_copy(config); /* the task's texts live in it */
    if (!task->config) status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (task)");
  }
  reading r = {.task = task, .file = file, .config = task->config, .options = options, .err = err};
  if (status == ZH_OK) status = read_task(&r, name);
  if (status != ZH_OK) {
    zh_task_free(task);
    return status;
  }
  *out = task;
  return ZH_OK;
}

void zh_task_free(zh_exam_task *t) {
  if (!t) return;
  zh_field *fields[] = {&t->text,        &t->target,      &t->choice,
                        &t->description, &t->gen_prefix,  &t->shot_text,
                        &t->shot_target, &t->shot_choice, &t->shot_gen_prefix};
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) zh_field_free(fields[i]);
  for (size_t c = 0; c < t->chain_count; c++)
    for (size_t i = 0; i < t->chains[c].count; i++) zh_regex_free(t->chains[c].filters[i].regex);
  json_t *held[] = {t->config, t->version, t->docs,       t->shot_docs, t->columns,
                    t->files,  t->until,   t->generation, t->functions};
  for (size_t i = 0; i < sizeof held / sizeof held[0]; i++) json_decref(held[i]);
  zh_arena_free(t->arena);
  free(t);
}
