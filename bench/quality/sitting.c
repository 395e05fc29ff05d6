#include "bench/quality/sitting.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/answer_journal.h"
#include "bench/quality/functions_code.h"
#include "core/clock.h"
#include "core/digest.h"

/* What is being held. */
typedef struct sitting {
  zh_exam *exam;
  const zh_sitting_options *options;
  zh_speech speech;
  zh_requests *lists; /* [tasks] */
  zh_asks *asks;      /* [tasks] */
  bool **done;        /* [tasks][requests] */
  zh_examinee *examinee;
  zh_answer_journal *journal;
  zh_sitting_tell tell;
  void *user;
  zh_sitting_news news;
  double sum; /* of the first metric, over `scored` items */
  size_t scored;
} sitting;

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (evaluation)");
}

/* ---- what is asked ---- */

static zh_status make_requests(sitting *s, zh_error *err) {
  size_t tasks = s->exam->task_count;
  s->lists = calloc(tasks, sizeof *s->lists);
  s->asks = calloc(tasks, sizeof *s->asks);
  s->done = calloc(tasks, sizeof *s->done);
  if (!s->lists || !s->asks || !s->done) return no_memory(err);
  for (size_t t = 0; t < tasks; t++) {
    ZH_TRY(zh_task_requests(&s->lists[t], s->exam->tasks[t], err));
    ZH_TRY(zh_asks_make(&s->asks[t], &s->speech, s->exam->tasks[t], &s->lists[t], err));
    s->done[t] = calloc(s->lists[t].count + 1, sizeof **s->done);
    if (!s->done[t]) return no_memory(err);
    s->news.tokens_all += s->asks[t].tokens;
  }
  return ZH_OK;
}

static zh_status feed_text(zh_digest *digest, const json_t *text, zh_error *err) {
  char size[32];
  int length = snprintf(size, sizeof size, "%zu:", json_string_length(text));
  ZH_TRY(zh_digest_update(digest, size, (size_t)length, err));
  if (json_string_length(text) == 0) return ZH_OK;
  return zh_digest_update(digest, json_string_value(text), json_string_length(text), err);
}

static zh_status feed_task(zh_digest *digest, const zh_exam_task *t, const zh_requests *list,
                           zh_error *err) {
  char head[256];
  int length = snprintf(head, sizeof head, "\n%.120s %d %zu %llu\n", t->name, (int)t->output,
                        list->count, (unsigned long long)t->max_new);
  ZH_TRY(zh_digest_update(digest, head, (size_t)length, err));
  if (t->draws.drawn) {
    const zh_draws *d = &t->draws;
    length = snprintf(head, sizeof head, "drawn %.17g %.17g %lld %llu\n", d->temperature, d->top_p,
                      (long long)d->top_k, (unsigned long long)d->seed);
    ZH_TRY(zh_digest_update(digest, head, (size_t)length, err));
  }
  for (size_t i = 0; i < json_array_size(t->until); i++)
    ZH_TRY(feed_text(digest, json_array_get(t->until, i), err));
  for (size_t i = 0; i < list->count; i++) {
    ZH_TRY(feed_text(digest, list->at[i].context, err));
    ZH_TRY(feed_text(digest, list->at[i].continuation, err));
  }
  return ZH_OK;
}

/* Whatever changes an answer is in it. */
static zh_status digest_plan(char out[ZH_DIGEST_HEX], const sitting *s, zh_model *model,
                             zh_error *err) {
  char of_model[ZH_DIGEST_HEX], how[160];
  zh_digest *digest;
  const zh_examinee_options *o = &s->options->examinee;
  ZH_TRY(zh_model_digest(of_model, model, ZH_SM3, err));
  int length = snprintf(how, sizeof how, "zhiheng.answers/1 %s %d %d %d %d %zu", of_model,
                        (int)o->precision, o->unrounded, (int)o->kv, o->device, s->speech.longest);
  ZH_TRY(zh_digest_create(&digest, ZH_SM3, err));
  zh_status status = zh_digest_update(digest, how, (size_t)length, err);
  for (size_t t = 0; status == ZH_OK && t < s->exam->task_count; t++)
    status = feed_task(digest, s->exam->tasks[t], &s->lists[t], err);
  if (status == ZH_OK) status = zh_digest_final(out, digest, err);
  zh_digest_free(digest);
  return status;
}

/* ---- answering ---- */

/* The mean of the first metric so far, where it is a mean of numbers. */
static zh_status score_so_far(sitting *s, const zh_requests *list, size_t first, size_t count,
                              zh_error *err) {
  const zh_exam_task *t = s->news.of;
  if (t->metric_count == 0 || strcmp(t->metrics[0].aggregation, "mean") != 0) return ZH_OK;
  if (zh_code_task(t)) return ZH_OK; /* programs are run when all answers are there */
  json_t *filtered, *scores;
  const zh_request *r = &list->at[first];
  ZH_TRY(zh_filter_apply(&filtered, &t->chains[0], t, r, count, err));
  zh_status status =
      zh_score_item(&scores, t, json_array_get(t->docs, r->doc), r, count, filtered, err);
  json_decref(filtered);
  ZH_TRY(status);
  const json_t *value = json_object_get(scores, t->metrics[0].name);
  if (json_is_number(value) || json_is_boolean(value)) {
    s->sum += json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
    s->scored++;
    s->news.metric = t->metrics[0].name;
    s->news.figure = s->sum / (double)s->scored;
  }
  json_decref(scores);
  return ZH_OK;
}

/* Items whose requests are all answered are counted once: when the last of them is. */
static zh_status count_items(sitting *s, size_t first, size_t end, zh_error *err) {
  size_t task = s->news.task;
  const zh_requests *list = &s->lists[task];
  for (size_t i = first; i < end;) {
    size_t begin = i, stop = i;
    while (begin > 0 && list->at[begin - 1].doc == list->at[i].doc) begin--;
    while (stop < list->count && list->at[stop].doc == list->at[i].doc) stop++;
    bool whole = stop <= end;
    for (size_t k = begin; whole && k < stop; k++) whole = s->done[task][k];
    if (whole) {
      s->news.items++;
      ZH_TRY(score_so_far(s, list, begin, stop - begin, err));
    }
    i = stop;
  }
  return ZH_OK;
}

/* Groups are answered: their requests are kept. */
static zh_status take_answers(void *user, size_t first, size_t count, uint64_t tokens,
                              zh_error *err) {
  sitting *s = user;
  size_t task = s->news.task, from = SIZE_MAX, to = 0;
  const zh_asks *asks = &s->asks[task];
  (void)tokens;
  for (size_t g = first; g < first + count; g++) {
    for (size_t a = asks->groups[g].first; a < asks->groups[g].first + asks->groups[g].count; a++) {
      size_t number = asks->at[a].request;
      s->news.tokens += asks->at[a].count > 0 ? asks->at[a].count - 1 : 0;
      bool last = a + 1 == asks->count || asks->at[a + 1].request != number;
      if (!last || s->done[task][number]) continue;
      s->done[task][number] = true;
      if (number < from) from = number;
      if (number + 1 > to) to = number + 1;
      if (s->journal)
        ZH_TRY(zh_answer_journal_add(s->journal, task, number, &s->lists[task].at[number], err));
    }
  }
  ZH_TRY(zh_answer_journal_flush(s->journal, err));
  if (from < to) ZH_TRY(count_items(s, from, to, err));
  if (s->tell) s->tell(s->user, &s->news);
  return ZH_OK;
}

/* A group is done when all of its requests are. */
static bool *groups_done(const zh_asks *asks, const bool *done) {
  bool *out = calloc(asks->group_count + 1, sizeof *out);
  for (size_t g = 0; out && g < asks->group_count; g++) {
    out[g] = true;
    for (size_t a = 0; a < asks->groups[g].count; a++)
      out[g] &= done[asks->at[asks->groups[g].first + a].request];
  }
  return out;
}

static zh_status answer_task(sitting *s, size_t task, zh_error *err) {
  zh_exam_task *t = s->exam->tasks[task];
  s->news.task = task;
  s->news.of = t;
  s->news.items = s->news.kept = 0;
  s->news.items_all = t->taken;
  s->news.metric = NULL;
  s->news.figure = NAN;
  s->sum = 0;
  s->scored = 0;
  for (size_t i = 0; i < s->lists[task].count; i++) s->news.kept += s->done[task][i];
  ZH_TRY(count_items(s, 0, s->lists[task].count, err));
  bool *done = groups_done(&s->asks[task], s->done[task]);
  if (!done) return no_memory(err);
  if (s->tell) s->tell(s->user, &s->news);
  zh_status status = zh_examinee_answer(s->examinee, t, &s->lists[task], &s->asks[task], done,
                                        take_answers, s, err);
  free(done);
  return status;
}

static void drop(sitting *s) {
  for (size_t t = 0; t < s->exam->task_count; t++) {
    if (s->lists) zh_requests_free(&s->lists[t]);
    if (s->asks) zh_asks_free(&s->asks[t]);
    if (s->done) free(s->done[t]);
  }
  free(s->lists);
  free(s->asks);
  free(s->done);
  zh_examinee_free(s->examinee);
  zh_answer_journal_close(s->journal);
}

static zh_status hold(sitting *s, zh_marks *marks, zh_sitting_facts *facts, zh_model *model,
                      zh_threads *threads, zh_error *err) {
  size_t tasks = s->exam->task_count, positions = 0;
  ZH_TRY(zh_code_ready(s->exam, err));
  ZH_TRY(zh_speech_of(&s->speech, model, s->options->examinee.longest, err));
  ZH_TRY(make_requests(s, err));
  ZH_TRY(digest_plan(facts->plan, s, model, err));
  if (s->options->journal)
    ZH_TRY(zh_answer_journal_open(&s->journal, s->options->journal, facts->plan, s->options->seed,
                                  s->lists, s->done, tasks, err));
  for (size_t t = 0; t < tasks; t++)
    if (s->asks[t].longest > positions) positions = s->asks[t].longest;
  ZH_TRY(zh_examinee_create(&s->examinee, model, threads, &s->speech, positions,
                            &s->options->examinee, err));
  int64_t began = zh_now_ns();
  for (size_t t = 0; t < tasks; t++) ZH_TRY(answer_task(s, t, err));
  facts->seconds = (double)(zh_now_ns() - began) * 1e-9;
  facts->fed = s->examinee->fed;
  facts->asked = s->news.tokens_all;
  facts->sequences = s->examinee->sequences;
  facts->positions = s->examinee->positions;
  for (size_t t = 0; t < tasks; t++)
    ZH_TRY(zh_marks_make(&marks[t], s->exam->tasks[t], &s->lists[t], err));
  return ZH_OK;
}

zh_status zh_sitting_hold(zh_marks *marks, zh_sitting_facts *facts, zh_exam *exam, zh_model *model,
                          zh_threads *threads, const zh_sitting_options *options,
                          zh_sitting_tell tell, void *user, zh_error *err) {
  sitting s = {.exam = exam, .options = options, .tell = tell, .user = user};
  s.news.tasks = exam->task_count;
  *facts = (zh_sitting_facts){0};
  zh_status status = hold(&s, marks, facts, model, threads, err);
  drop(&s);
  return status;
}
