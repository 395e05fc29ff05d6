#include "bench/quality/decision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/python_values.h"
#include "core/csv.h"

const char zh_decision_header[] = "item,cluster,task,modality,score,prompt\n";

/* ---- which metric decides ---- */

const char *zh_decision_figure(const zh_item_metric *metric) {
  return metric->figure ? metric->figure : metric->name;
}

static const zh_item_metric *metric_named(const zh_exam_task *t, const char *name) {
  for (size_t i = 0; i < t->metric_count; i++)
    if (strcmp(zh_decision_figure(&t->metrics[i]), name) == 0) return &t->metrics[i];
  return NULL;
}

static zh_exam_task *task_named(const zh_exam *exam, const char *name) {
  for (size_t i = 0; i < exam->task_count; i++)
    if (strcmp(exam->tasks[i]->name, name) == 0) return exam->tasks[i];
  return NULL;
}

/* A task's name alone, or a map of it. *asked: counts those that the exam has. */
static zh_status read_task(zh_exam *exam, size_t *asked, const zh_yaml_node *node, zh_error *err) {
  bool bare = zh_yaml_node_kind(node) == ZH_YAML_SCALAR;
  const zh_yaml_node *of_task = node, *of_metric;
  const char *name = NULL, *metric = NULL;
  if (!bare) {
    ZH_TRY(zh_yaml_expect(node, ZH_YAML_MAP, "a task", err));
    ZH_TRY(zh_yaml_require(&of_task, node, "task", err));
  }
  ZH_TRY(zh_yaml_string(&name, of_task, err));
  zh_exam_task *t = task_named(exam, name);
  *asked += t != NULL;
  if (!t || bare || !(of_metric = zh_yaml_get(node, "metric"))) return ZH_OK;
  ZH_TRY(zh_yaml_string(&metric, of_metric, err));
  t->deciding = metric_named(t, metric);
  if (t->deciding) return ZH_OK;
  return zh_yaml_fail(err, of_metric, "the task %s does not have the metric '%.60s'", name, metric);
}

static zh_status read_protocol(zh_exam *exam, const char *path, zh_error *err) {
  zh_yaml_doc *doc;
  ZH_TRY(zh_yaml_load_file(&doc, path, err));
  const zh_yaml_node *root = zh_yaml_root(doc), *tasks = NULL;
  size_t asked = 0;
  zh_status status = zh_yaml_expect(root, ZH_YAML_MAP, "a protocol of a comparison", err);
  if (status == ZH_OK) status = zh_yaml_require(&tasks, root, "tasks", err);
  if (status == ZH_OK) status = zh_yaml_expect(tasks, ZH_YAML_LIST, "a list of tasks", err);
  for (size_t i = 0; status == ZH_OK && i < zh_yaml_count(tasks); i++)
    status = read_task(exam, &asked, zh_yaml_item(tasks, i), err);
  if (status == ZH_OK && asked == 0)
    status = zh_yaml_fail(err, tasks,
                          "the protocol names none of the tasks that are asked (the "
                          "first is %s); ask its tasks, or leave it out",
                          exam->tasks[0]->name);
  zh_yaml_free(doc);
  return status;
}

zh_status zh_decision_choose(char sm3[ZH_DIGEST_HEX], zh_exam *exam, const char *protocol,
                             zh_error *err) {
  sm3[0] = '\0';
  for (size_t i = 0; i < exam->task_count; i++) {
    zh_exam_task *t = exam->tasks[i];
    t->deciding = t->metric_count > 0 ? &t->metrics[0] : NULL;
  }
  if (protocol && protocol[0]) {
    ZH_TRY(zh_digest_file(sm3, ZH_SM3, protocol, err));
    ZH_TRY(read_protocol(exam, protocol, err));
  }
  for (size_t i = 0; i < exam->task_count; i++) {
    zh_exam_task *t = exam->tasks[i];
    if (t->deciding && strcmp(t->deciding->aggregation, "mean") != 0 &&
        strcmp(t->deciding->aggregation, "percent") != 0)
      t->deciding = NULL;
  }
  return ZH_OK;
}

/* ---- rows ---- */

static const char *metadata(const zh_exam_task *t, const char *key) {
  return json_string_value(json_object_get(json_object_get(t->config, "metadata"), key));
}

const char *zh_decision_modality(const zh_exam_task *t) {
  const char *said = metadata(t, "modality");
  return said ? said : "text";
}

static zh_status add_cluster(zh_text *out, const zh_exam_task *t, const json_t *doc,
                             zh_error *err) {
  const char *column = metadata(t, "cluster");
  const json_t *value = column ? json_object_get(doc, column) : NULL;
  char *text;
  size_t length;
  if (!column) return ZH_OK;
  if (!value)
    return zh_fail(err, ZH_ERR_INPUT,
                   "the item has no column '%.60s', which metadata.cluster names", column);
  ZH_TRY(zh_python_str(&text, &length, value, err));
  zh_csv_put(out, text);
  free(text);
  return ZH_OK;
}

static zh_status digest_text(zh_digest *digest, const json_t *text, size_t skipped, zh_error *err) {
  char size[32];
  size_t rest = json_string_length(text) - skipped;
  int length = snprintf(size, sizeof size, "%zu:", rest);
  ZH_TRY(zh_digest_update(digest, size, (size_t)length, err));
  return rest > 0 ? zh_digest_update(digest, json_string_value(text) + skipped, rest, err) : ZH_OK;
}

/* A blank before an option is the template's matter, too. */
static size_t blanks_before(const json_t *text) {
  return text ? strspn(json_string_value(text), " \n") : 0;
}

/* Of all texts asked, with what ends an answer. */
static zh_status digest_prompt(char out[ZH_DIGEST_HEX], const zh_exam_task *t,
                               const zh_request *requests, size_t count, zh_error *err) {
  zh_digest *digest;
  ZH_TRY(zh_digest_create(&digest, ZH_SM3, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < count; i++) {
    const zh_request *r = &requests[i];
    status = digest_text(digest, r->asked ? r->asked : r->context, 0, err);
    if (status == ZH_OK)
      status = digest_text(digest, r->continuation, blanks_before(r->continuation), err);
  }
  for (size_t i = 0; status == ZH_OK && i < json_array_size(t->until); i++)
    status = digest_text(digest, json_array_get(t->until, i), 0, err);
  if (status == ZH_OK) status = zh_digest_final(out, digest, err);
  zh_digest_free(digest);
  return status;
}

void zh_decision_item(char out[ZH_ITEM_NAME], size_t doc, const char *doc_hash) {
  snprintf(out, ZH_ITEM_NAME, "%zu-%.16s", doc, doc_hash);
}

zh_status zh_decision_row(zh_text *out, const zh_exam_task *t, const json_t *doc,
                          const zh_request *requests, size_t count, const json_t *scores,
                          const char *doc_hash, zh_error *err) {
  char prompt[ZH_DIGEST_HEX], name[ZH_ITEM_NAME];
  if (!t->deciding) return ZH_OK;
  const json_t *score = json_object_get(scores, zh_decision_figure(t->deciding));
  if (!json_is_number(score) && !json_is_boolean(score))
    return zh_fail(err, ZH_ERR_CHECK, "the item has no number as its '%s'",
                   zh_decision_figure(t->deciding));
  double value = json_is_number(score) ? json_number_value(score) : json_is_true(score);
  ZH_TRY(digest_prompt(prompt, t, requests, count, err));
  zh_decision_item(name, requests[0].doc, doc_hash);
  zh_text_printf(out, "%s,", name);
  ZH_TRY(add_cluster(out, t, doc, err));
  zh_text_puts(out, ",");
  zh_csv_put(out, t->name);
  zh_text_puts(out, ",");
  zh_csv_put(out, zh_decision_modality(t));
  zh_text_printf(out, ",%.17g,%s\n", value, prompt);
  return ZH_OK;
}
