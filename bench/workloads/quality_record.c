/* What a held examination leaves: files in the step's folder, facts, a figure for each score. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/record.h"
#include "bench/workloads/quality.h"

static const double NORMAL_95 = 1.959963984540054;

static json_t *tokens_json(const zh_sitting_count *c) {
  return json_pack("{s:I, s:I, s:I, s:I}", "asked", (json_int_t)c->asked, "needed",
                   (json_int_t)c->needed, "computed", (json_int_t)c->computed, "generated",
                   (json_int_t)c->generated);
}

static json_t *all_tokens(const zh_quality *q) {
  zh_sitting_count sum = {0};
  for (size_t t = 0; t < q->exam->task_count; t++) {
    sum.asked += q->counts[t].asked;
    sum.needed += q->counts[t].needed;
    sum.computed += q->counts[t].computed;
    sum.generated += q->counts[t].generated;
  }
  return tokens_json(&sum);
}

/* Where the time went: of each task its tokens and seconds. */
static json_t *speed_json(const zh_quality *q) {
  json_t *list = json_array();
  for (size_t t = 0; t < q->exam->task_count; t++) {
    json_t *one = tokens_json(&q->counts[t]);
    json_object_set_new(one, "task", json_string(q->exam->tasks[t]->name));
    json_object_set_new(one, "seconds", zh_json_number(q->counts[t].seconds));
    json_array_append_new(list, one);
  }
  return list;
}

static zh_status complete_facts(json_t *facts, const zh_quality *q, json_t *tokens, zh_error *err) {
  const char *protocol = zh_job_word(q->job, "protocol");
  json_object_set_new(facts, "seed", json_integer((json_int_t)q->seed));
  json_object_set_new(facts, "plan_sm3", json_string(zh_sitting_plan(q->sitting)));
  if (q->protocol_sm3[0])
    json_object_set_new(facts, "protocol",
                        json_pack("{s:s, s:s}", "path", protocol, "sm3", q->protocol_sm3));
  json_object_set(facts, "tokens", tokens);
  json_object_set_new(facts, "speed", speed_json(q));
  json_object_set_new(facts, "limit",
                      json_pack("{s:I, s:I}", "tokens", (json_int_t)q->token_count, "behind",
                                (json_int_t)q->depth));
  json_object_set_new(facts, "sequences", json_integer(q->examinee->sequences));
  json_object_set_new(facts, "seconds", zh_json_number(q->seconds));
  if (json_object_set(q->job->facts, "quality", facts) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (facts)");
}

/* "task.metric", with the filter behind it where that is not "none". */
static bool name_figure(char out[sizeof((zh_case *)0)->metric], const json_t *figure) {
  const char *filter = json_string_value(json_object_get(figure, "filter"));
  bool bare = strcmp(filter, "none") == 0;
  size_t room = sizeof((zh_case *)0)->metric;
  int length = snprintf(out, room, "%s.%s%s%s", json_string_value(json_object_get(figure, "name")),
                        json_string_value(json_object_get(figure, "metric")), bare ? "" : ".",
                        bare ? "" : filter);
  return length > 0 && (size_t)length < room;
}

/* A task that stands in two groups has its figures once. */
static zh_status add_figure(zh_quality *q, json_t *seen, const json_t *figure, zh_error *err) {
  zh_case what = {.unit = "1",
                  .kind = ZH_SAMPLE_VALUE,
                  .work = 1,
                  .more_is_better = json_is_true(json_object_get(figure, "higher_is_better"))};
  const json_t *value = json_object_get(figure, "value"),
               *error = json_object_get(figure, "stderr");
  double sample = json_number_value(value);
  if (!json_is_number(value) || !name_figure(what.metric, figure)) return ZH_OK;
  if (json_object_get(seen, what.metric)) return ZH_OK;
  if (json_object_set_new(seen, what.metric, json_true()) != 0)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (figures)");
  what.margin = json_is_number(error) ? NORMAL_95 * json_number_value(error) : 0;
  return zh_job_series(q->job, &what, &sample, 1, err);
}

static zh_status add_figures(zh_quality *q, const json_t *facts, zh_error *err) {
  json_t *seen = json_object(), *figure;
  size_t i;
  zh_status status = ZH_OK;
  json_array_foreach(json_object_get(facts, "figures"), i, figure) {
    if (status == ZH_OK) status = add_figure(q, seen, figure, err);
  }
  json_decref(seen);
  return status;
}

static zh_status record(zh_quality *q, zh_marks *marks, zh_error *err) {
  char folder[4096], *end;
  json_t *facts = NULL, *tokens = all_tokens(q);
  const zh_job *job = q->job;
  zh_record_about about = {.model_name = zh_model_name(q->model),
                           .model_path = zh_model_path(q->model),
                           .model_sm3 = job->model_sm3 ? job->model_sm3 : "",
                           .precision = zh_job_word(job, "precision"),
                           .kv = zh_kv_names[q->trial.engine->kept],
                           .plan = zh_sitting_plan(q->sitting),
                           .limit = strtod(zh_job_word(job, "limit"), &end),
                           .seconds = q->seconds,
                           .seed = q->seed,
                           .sequences = q->examinee->sequences,
                           .tokens = tokens};
  snprintf(folder, sizeof folder, "%.4000s/quality", job->folder);
  zh_status status = zh_sitting_mark(marks, q->sitting, err);
  if (status == ZH_OK) status = zh_record_write(&facts, folder, q->exam, marks, &about, err);
  if (status == ZH_OK) status = complete_facts(facts, q, tokens, err);
  if (status == ZH_OK) status = add_figures(q, facts, err);
  json_decref(facts);
  json_decref(tokens);
  return status;
}

zh_status zh_quality_record(zh_quality *q, zh_error *err) {
  size_t tasks = q->exam->task_count;
  zh_marks *marks = calloc(tasks, sizeof *marks);
  if (!marks) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (results)");
  zh_status status = record(q, marks, err);
  for (size_t t = 0; t < tasks; t++) zh_marks_free(&marks[t]);
  free(marks);
  return status;
}
