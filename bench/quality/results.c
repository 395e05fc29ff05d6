#include "bench/quality/results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/curves.h"
#include "bench/quality/dataset_terms.h"
#include "bench/quality/decision.h"
#include "bench/quality/functions_code.h"
#include "bench/quality/python_values.h"
#include "core/digest.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (results)");
}

static zh_status hash_of(char out[ZH_DIGEST_HEX], const char *text, size_t length, zh_error *err) {
  return zh_digest_bytes(out, ZH_SHA256, text, length, err);
}

/* ---- a line for each item ---- */

/* [value, greedy] and the like as texts, as Python writes them. New reference. */
static zh_status as_texts(json_t **out, const json_t *value, zh_error *err) {
  if (json_is_array(value)) {
    *out = json_array();
    for (size_t i = 0; *out && i < json_array_size(value); i++) {
      json_t *item;
      ZH_TRY(as_texts(&item, json_array_get(value, i), err));
      json_array_append_new(*out, item);
    }
  } else {
    char *text;
    size_t length;
    ZH_TRY(zh_python_str(&text, &length, value, err));
    *out = json_stringn(text, length);
    free(text);
  }
  return *out ? ZH_OK : no_memory(err);
}

/* What was asked: {"gen_args_0": {"arg_0": context, "arg_1": continuation}}; what was asked several
 * times stands there once. */
static json_t *arguments_json(const zh_exam_task *t, const zh_request *requests, size_t count) {
  json_t *all = json_object();
  for (size_t i = 0; all && i < count && requests[i].repeat == 0; i++) {
    char name[32];
    snprintf(name, sizeof name, "gen_args_%zu", i);
    json_t *one = json_pack("{s:O}", "arg_0", requests[i].context);
    if (requests[i].continuation) json_object_set(one, "arg_1", requests[i].continuation);
    if (t->output == ZH_OUTPUT_GENERATE) json_object_set(one, "arg_1", t->generation);
    json_object_set_new(all, name, one);
  }
  return all;
}

/* An answer before its filters. New reference. */
static json_t *answer_json(const zh_exam_task *t, const zh_request *r) {
  if (t->output == ZH_OUTPUT_GENERATE) return json_incref(r->text);
  if (t->output == ZH_OUTPUT_ROLLING) return json_real(r->logprob);
  if (r->tokens > 0)
    return json_pack("[f, b, I]", r->logprob, (int)r->greedy, (json_int_t)r->tokens);
  return json_pack("[f, b]", r->logprob, (int)r->greedy);
}

typedef struct item {
  const zh_exam_task *task;
  const json_t *doc;
  const zh_request *requests;
  size_t count;
  const zh_filter_chain *chain;
  json_t *filtered, *scores;
  char doc_hash[ZH_DIGEST_HEX];
} item;

static zh_status add_answers(json_t *line, const item *m, zh_error *err) {
  json_t *plain = json_array(), *answers = NULL, *texts = NULL, *filtered = NULL;
  for (size_t i = 0; i < m->count; i++) {
    if (m->requests[i].repeat == 0) json_array_append_new(plain, answers = json_array());
    json_array_append_new(answers, answer_json(m->task, &m->requests[i]));
  }
  zh_status status = as_texts(&texts, plain, err);
  if (status == ZH_OK) status = as_texts(&filtered, m->filtered, err);
  json_decref(plain);
  json_object_set_new(line, "resps", texts);
  json_object_set_new(line, "filtered_resps", filtered);
  return status;
}

static zh_status add_hashes(json_t *line, zh_text *hashes, item *m, const char *target,
                            size_t target_length, zh_error *err) {
  char *doc = NULL, of[ZH_DIGEST_HEX];
  size_t length;
  const json_t *prompt = m->requests[0].context;
  ZH_TRY(zh_python_dumps(&doc, &length, m->doc, true, err));
  zh_status status = hash_of(m->doc_hash, doc, length, err);
  free(doc);
  ZH_TRY(status);
  json_object_set_new(line, "doc_hash", json_string(m->doc_hash));
  zh_text_puts(hashes, m->doc_hash);
  ZH_TRY(hash_of(of, json_string_value(prompt), json_string_length(prompt), err));
  json_object_set_new(line, "prompt_hash", json_string(of));
  zh_text_puts(hashes, of);
  ZH_TRY(hash_of(of, target, target_length, err));
  json_object_set_new(line, "target_hash", json_string(of));
  zh_text_puts(hashes, of);
  return ZH_OK;
}

static zh_status write_line(zh_text *out, zh_text *hashes, item *m, zh_error *err) {
  const zh_exam_task *t = m->task;
  const char *key;
  json_t *target = NULL, *value, *names = json_array(), *line = NULL;
  char *text = NULL, *dumped = NULL;
  size_t length = 0, size = 0;
  zh_status status = zh_task_target(&target, t, &t->target, m->doc, err);
  if (status == ZH_OK) status = zh_python_str(&text, &length, target, err);
  json_decref(target);
  if (status == ZH_OK)
    line = json_pack("{s:I, s:O, s:s%, s:o}", "doc_id", (json_int_t)m->requests[0].doc, "doc",
                     (json_t *)(uintptr_t)m->doc, "target", text, length, "arguments",
                     arguments_json(t, m->requests, m->count));
  if (status == ZH_OK && (!line || !names)) status = no_memory(err);
  if (status == ZH_OK) status = add_answers(line, m, err);
  if (status == ZH_OK) {
    json_object_foreach(m->scores, key, value) json_array_append_new(names, json_string(key));
    json_object_set_new(line, "filter", json_string(m->chain->name));
    json_object_set(line, "metrics", names);
    status = add_hashes(line, hashes, m, text, length, err);
  }
  if (status == ZH_OK) {
    json_object_update(line, m->scores);
    status = zh_python_dumps(&dumped, &size, line, false, err);
  }
  if (status == ZH_OK) {
    zh_text_append(out, dumped, size);
    zh_text_puts(out, "\n");
  }
  free(text);
  free(dumped);
  json_decref(names);
  json_decref(line);
  return status;
}

/* ---- a task ---- */

/* Appends an item's scores to the lists of all: {"acc,none": [values]}. */
static zh_status collect(json_t *values, const json_t *scores, const char *filter, zh_error *err) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)scores, name, value) {
    zh_text key = {0};
    zh_text_printf(&key, "%s,%s", name, filter);
    json_t *list = json_object_get(values, zh_text_string(&key));
    if (!list) json_object_set_new(values, zh_text_string(&key), list = json_array());
    bool good = !key.failed && json_array_append(list, value) == 0;
    zh_text_free(&key);
    if (!good) return no_memory(err);
  }
  return ZH_OK;
}

static zh_status mark_item(zh_marks *out, zh_text *hashes, json_t *values, item *m, zh_error *err) {
  ZH_TRY(zh_filter_apply(&m->filtered, m->chain, m->task, m->requests, m->count, err));
  zh_status status =
      zh_score_item(&m->scores, m->task, m->doc, m->requests, m->count, m->filtered, err);
  if (status == ZH_OK) status = write_line(&out->samples, hashes, m, err);
  if (status == ZH_OK) status = collect(values, m->scores, m->chain->name, err);
  if (status == ZH_OK && m->chain == m->task->chains)
    status = zh_decision_row(&out->rows, m->task, m->doc, m->requests, m->count, m->scores,
                             m->doc_hash, err);
  if (status != ZH_OK) zh_error_prefix(err, "task %s, item %zu", m->task->name, m->requests[0].doc);
  json_decref(m->filtered);
  json_decref(m->scores);
  return status;
}

/* "acc,none" and "acc_stderr,none". */
static zh_status add_figures(json_t *result, const zh_exam_task *t, json_t *values, zh_error *err) {
  const char *key;
  json_t *list;
  json_object_foreach(values, key, list) {
    size_t length = strcspn(key, ",");
    double figure = 0, error = NAN;
    ZH_TRY(zh_task_figure(&figure, &error, t, key, length, list, err));
    zh_text name = {0};
    zh_text_printf(&name, "%.*s_stderr%s", (int)length, key, key + length);
    json_object_set_new(result, key, zh_json_number(figure));
    json_object_set_new(result, zh_text_string(&name),
                        isfinite(error) ? json_real(error) : json_string("N/A"));
    bool failed = name.failed;
    zh_text_free(&name);
    if (failed) return no_memory(err);
  }
  return ZH_OK;
}

zh_status zh_marks_make(zh_marks *out, const zh_exam_task *t, const zh_requests *requests,
                        zh_error *err) {
  json_t *values = json_object();
  zh_text hashes = {0};
  *out = (zh_marks){.result = json_pack("{s:s, s:s, s:I}", "name", t->name, "alias", t->alias,
                                        "sample_len", (json_int_t)t->taken)};
  zh_status status = values && out->result ? zh_code_run_all(t, requests, err) : no_memory(err);
  for (size_t c = 0; status == ZH_OK && c < t->chain_count; c++) {
    for (size_t i = 0, count; status == ZH_OK && i < requests->count; i += count) {
      const zh_request *first = &requests->at[i];
      for (count = 1; i + count < requests->count && first[count].doc == first->doc;) count++;
      item m = {.task = t,
                .doc = json_array_get(t->docs, first->doc),
                .requests = first,
                .count = count,
                .chain = &t->chains[c]};
      status = mark_item(out, &hashes, values, &m, err);
    }
  }
  if (status == ZH_OK) status = add_figures(out->result, t, values, err);
  if (status == ZH_OK) status = zh_curves_make(&out->curves, t, values, err);
  if (status == ZH_OK && (out->samples.failed || out->rows.failed || hashes.failed))
    status = no_memory(err);
  if (status == ZH_OK) status = hash_of(out->hash, zh_text_string(&hashes), hashes.length, err);
  zh_text_free(&hashes);
  json_decref(values);
  if (status != ZH_OK) zh_marks_free(out);
  return status;
}

void zh_marks_free(zh_marks *marks) {
  json_decref(marks->result);
  json_decref(marks->curves);
  zh_text_free(&marks->samples);
  zh_text_free(&marks->rows);
  *marks = (zh_marks){0};
}

/* ---- groups ---- */

/* A figure of a leaf, with how many items it is of. */
typedef struct leaf {
  double figure, error;
  double items;
} leaf;

typedef struct leaves {
  leaf *at;
  size_t count, capacity;
} leaves;

typedef struct summing {
  const zh_exam *exam;
  const zh_marks *marks;
  json_t *results;
  zh_error *err;
} summing;

static const json_t *result_of(const summing *s, const zh_exam_task *task) {
  for (size_t i = 0; i < s->exam->task_count; i++)
    if (s->exam->tasks[i] == task) return s->marks[i].result;
  return NULL;
}

static void error_name(char *out, size_t capacity, const char *key) {
  size_t length = strcspn(key, ",");
  snprintf(out, capacity, "%.*s_stderr%s", (int)length, key, key + length);
}

static zh_status gather_leaves(leaves *out, const summing *s, const zh_entry *entry,
                               const char *key) {
  for (size_t i = 0; i < entry->child_count; i++)
    ZH_TRY(gather_leaves(out, s, entry->children[i], key));
  const json_t *result = entry->task ? result_of(s, entry->task) : NULL;
  const json_t *figure = json_object_get(result, key);
  char name[256];
  if (!json_is_number(figure)) return ZH_OK;
  error_name(name, sizeof name, key);
  const json_t *error = json_object_get(result, name);
  if (out->count == out->capacity) {
    size_t capacity = out->capacity * 2 + 16;
    leaf *grown = realloc(out->at, capacity * sizeof *grown);
    if (!grown) return no_memory(s->err);
    out->at = grown;
    out->capacity = capacity;
  }
  out->at[out->count++] =
      (leaf){json_number_value(figure), json_is_number(error) ? json_number_value(error) : NAN,
             (double)entry->task->taken};
  return ZH_OK;
}

/* Weighted by items: pooled variance. Else: the variance of a mean of independent figures. */
static void combine(double *figure, double *error, const leaves *l, bool weighted) {
  double sum = 0, items = 0, pooled = 0, squares = 0, count = (double)l->count;
  for (size_t i = 0; i < l->count; i++) {
    const leaf *one = &l->at[i];
    double n = one->items;
    sum += one->figure * (weighted ? n : 1);
    items += n;
    pooled += (n - 1) * n * one->error * one->error;
    squares += one->error * one->error;
  }
  *figure = sum / (weighted ? items : count);
  *error = weighted ? sqrt(pooled / (items - count) / items) : sqrt(squares) / count;
}

/* What a group's own tasks say of their metrics; null where they contradict each other. */
static void collect_better(json_t *better, const zh_entry *group) {
  for (size_t i = 0; i < group->child_count; i++) {
    const zh_exam_task *t = group->children[i]->task;
    for (size_t k = 0; t && k < t->metric_count; k++) {
      const json_t *before = json_object_get(better, t->metrics[k].name);
      bool higher = t->metrics[k].higher_is_better,
           agrees = !before || (json_is_boolean(before) && json_is_true(before) == higher);
      json_object_set_new(better, t->metrics[k].name, agrees ? json_boolean(higher) : json_null());
    }
  }
}

/* Every "metric,filter" that a leaf has. */
static void collect_keys(json_t *keys, const summing *s, const zh_entry *entry,
                         const zh_group_metric *m) {
  const char *key;
  json_t *value;
  for (size_t i = 0; i < entry->child_count; i++) collect_keys(keys, s, entry->children[i], m);
  const json_t *result = entry->task ? result_of(s, entry->task) : NULL;
  size_t length = strlen(m->metric);
  json_object_foreach((json_t *)(uintptr_t)result, key, value) {
    if (strncmp(key, m->metric, length) != 0 || key[length] != ',') continue;
    if (m->filter && strcmp(key + length + 1, m->filter) != 0) continue;
    json_object_set_new(keys, key, json_true());
  }
}

static double items_below(const zh_entry *entry) {
  double sum = entry->task ? (double)entry->task->taken : 0;
  for (size_t i = 0; i < entry->child_count; i++) sum += items_below(entry->children[i]);
  return sum;
}

static double items_of(const leaves *l) {
  double sum = 0;
  for (size_t i = 0; i < l->count; i++) sum += l->at[i].items;
  return sum;
}

static zh_status add_group_figures(json_t *result, json_t *counts, const summing *s,
                                   const zh_entry *entry, const zh_group_metric *m) {
  json_t *keys = json_object(), *value;
  const char *key;
  zh_status status = ZH_OK;
  collect_keys(keys, s, entry, m);
  json_object_foreach(keys, key, value) {
    leaves l = {0};
    double figure, error;
    char name[256];
    status = gather_leaves(&l, s, entry, key);
    if (status == ZH_OK) {
      combine(&figure, &error, &l, m->weighted);
      error_name(name, sizeof name, key);
      json_object_set_new(result, key, zh_json_number(figure));
      json_object_set_new(result, name, isfinite(error) ? json_real(error) : json_string("N/A"));
      json_object_set_new(counts, key, json_integer((json_int_t)items_of(&l)));
    }
    free(l.at);
    if (status != ZH_OK) break;
  }
  json_decref(keys);
  return status;
}

static zh_status add_entry(json_t *out, const summing *s, const zh_entry *entry) {
  json_t *members = json_array();
  if (entry->task) {
    json_object_set(json_object_get(out, "results"), entry->name,
                    (json_t *)(uintptr_t)result_of(s, entry->task));
    json_decref(members);
    return ZH_OK;
  }
  json_t *result = json_pack("{s:s, s:s, s:I}", "name", entry->name, "alias", entry->alias,
                             "sample_len", (json_int_t)items_below(entry));
  json_t *counts = json_object();
  zh_status status = result && members && counts ? ZH_OK : no_memory(s->err);
  for (size_t i = 0; status == ZH_OK && i < entry->metric_count; i++)
    status = add_group_figures(result, counts, s, entry, &entry->metrics[i]);
  if (entry->metric_count > 0) json_object_set(result, "sample_count", counts);
  json_decref(counts);
  json_object_set(json_object_get(out, "results"), entry->name, result);
  if (entry->metric_count > 0) json_object_set(json_object_get(out, "groups"), entry->name, result);
  json_t *better = json_object();
  collect_better(better, entry);
  json_object_set_new(json_object_get(out, "higher_is_better"), entry->name, better);
  if (entry->version)
    json_object_set(json_object_get(out, "versions"), entry->name, entry->version);
  for (size_t i = 0; status == ZH_OK && i < entry->child_count; i++) {
    json_array_append_new(members, json_string(entry->children[i]->name));
    status = add_entry(out, s, entry->children[i]);
  }
  json_object_set(json_object_get(out, "group_subtasks"), entry->name, members);
  json_decref(result);
  json_decref(members);
  return status;
}

static void describe_task(json_t *out, const zh_exam_task *t, const zh_marks *marks) {
  json_t *better = json_object();
  for (size_t i = 0; i < t->metric_count; i++)
    json_object_set_new(better, t->metrics[i].name, json_boolean(t->metrics[i].higher_is_better));
  json_object_set(json_object_get(out, "configs"), t->name, t->config);
  json_object_set_new(json_object_get(out, "versions"), t->name,
                      t->version ? json_incref(t->version) : json_string("Yaml"));
  json_object_set_new(json_object_get(out, "n-shot"), t->name, json_integer(t->shots));
  json_object_set_new(json_object_get(out, "higher_is_better"), t->name, better);
  json_object_set_new(json_object_get(out, "n-samples"), t->name,
                      json_pack("{s:I, s:I}", "original", (json_int_t)json_array_size(t->docs),
                                "effective", (json_int_t)t->taken));
  json_object_set_new(json_object_get(out, "task_hashes"), t->name, json_string(marks->hash));
  json_object_set(json_object_get(out, "files"), t->name, t->files);
  json_object_set(json_object_get(out, "functions"), t->name, t->functions);
  if (marks->curves) json_object_set(json_object_get(out, "curves"), t->name, marks->curves);
}

zh_status zh_exam_results(json_t **out, const zh_exam *exam, const zh_marks *marks, zh_error *err) {
  summing s = {.exam = exam, .marks = marks, .err = err};
  *out = json_pack("{s:{}, s:{}, s:{}, s:{}, s:{}, s:{}, s:{}, s:{}, s:{}, s:{}, s:{}, s:{}}",
                   "results", "groups", "group_subtasks", "configs", "versions", "n-shot",
                   "higher_is_better", "n-samples", "task_hashes", "files", "functions", "curves");
  zh_status status = *out ? ZH_OK : no_memory(err);
  for (size_t i = 0; status == ZH_OK && i < exam->entry_count; i++)
    status = add_entry(*out, &s, exam->entries[i]);
  for (size_t i = 0; status == ZH_OK && i < exam->task_count; i++)
    describe_task(*out, exam->tasks[i], &marks[i]);
  json_t *terms = NULL;
  if (status == ZH_OK) status = zh_exam_terms(&terms, exam, err);
  if (status == ZH_OK) json_object_set_new(*out, "datasets", terms);
  if (status == ZH_OK && json_object_size(json_object_get(*out, "groups")) == 0)
    json_object_del(*out, "groups");
  if (status == ZH_OK) return ZH_OK;
  json_decref(*out);
  *out = NULL;
  return status;
}
