#include "bench/quality/sitting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/answer_journal.h"
#include "bench/quality/functions_code.h"
#include "bench/quality/sharing.h"
#include "core/clock.h"

enum { PROBED_END = 16 };

struct zh_sitting {
  zh_exam *exam;
  zh_sitting_options options;
  zh_speech speech;
  zh_requests *lists;       /* [tasks] */
  zh_asks *asks;            /* [tasks] */
  bool **done;              /* [tasks][requests]: answered, here or before */
  bool **kept;              /* [tasks][requests]: … before, or by nobody here */
  bool **skip;              /* [tasks][groups]: not asked by this rank */
  zh_sitting_count *counts; /* [tasks] */
  size_t depth;             /* where what has to be computed begins, on the mean */
  zh_answer_journal *journal;
  char plan[ZH_DIGEST_HEX];
  zh_sitting_tell tell;
  void *user;
  zh_sitting_news news;
  double cost_of_request; /* of this task, on the mean */
};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (evaluation)");
}

/* ---- what is asked ---- */

static zh_status make_task(zh_sitting *s, size_t t, zh_error *err) {
  ZH_TRY(zh_task_requests(&s->lists[t], s->exam->tasks[t], err));
  ZH_TRY(zh_asks_make(&s->asks[t], &s->speech, s->exam->tasks[t], &s->lists[t], err));
  s->done[t] = calloc(s->lists[t].count + 1, sizeof **s->done);
  s->kept[t] = calloc(s->lists[t].count + 1, sizeof **s->kept);
  s->skip[t] = calloc(s->asks[t].group_count + 1, sizeof **s->skip);
  return s->done[t] && s->kept[t] && s->skip[t] ? ZH_OK : no_memory(err);
}

static zh_status make_requests(zh_sitting *s, zh_error *err) {
  size_t tasks = s->exam->task_count;
  s->lists = calloc(tasks, sizeof *s->lists);
  s->asks = calloc(tasks, sizeof *s->asks);
  s->done = calloc(tasks, sizeof *s->done);
  s->kept = calloc(tasks, sizeof *s->kept);
  s->skip = calloc(tasks, sizeof *s->skip);
  s->counts = calloc(tasks, sizeof *s->counts);
  if (!s->lists || !s->asks || !s->done || !s->kept || !s->skip || !s->counts)
    return no_memory(err);
  for (size_t t = 0; t < tasks; t++) ZH_TRY(make_task(s, t, err));
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
  if (t->opencompass) ZH_TRY(zh_digest_update(digest, "whole texts\n", 12, err));
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
static zh_status digest_plan(zh_sitting *s, zh_error *err) {
  char longest[48];
  zh_digest *digest;
  ZH_TRY(zh_digest_create(&digest, ZH_SM3, err));
  int length = snprintf(longest, sizeof longest, "zhiheng.answers/2 %zu ", s->speech.longest);
  zh_status status = zh_digest_update(digest, longest, (size_t)length, err);
  if (status == ZH_OK)
    status = zh_digest_update(digest, s->options.how, strlen(s->options.how), err);
  for (size_t t = 0; status == ZH_OK && t < s->exam->task_count; t++)
    status = feed_task(digest, s->exam->tasks[t], &s->lists[t], err);
  if (status == ZH_OK) status = zh_digest_final(s->plan, digest, err);
  zh_digest_free(digest);
  return status;
}

/* What a machine lacks is left out of a run; programs that cannot be run are not: the step fails. */
static zh_status look_at_sandbox(const zh_exam *exam, zh_error *err) {
  zh_status status = zh_code_ready(exam, err);
  if (status != ZH_ERR_LACKING) return status;
  if (err) err->status = ZH_ERR_CHECK;
  return ZH_ERR_CHECK;
}

zh_status zh_sitting_open(zh_sitting **out, zh_exam *exam, const zh_model *model,
                          const zh_sitting_options *options, zh_error *err) {
  zh_sitting *s = calloc(1, sizeof *s);
  *out = NULL;
  if (!s) return no_memory(err);
  *s = (zh_sitting){.exam = exam, .options = *options, .news.tasks = exam->task_count};
  zh_status status = zh_speech_of(&s->speech, model, options->longest, err);
  if (status == ZH_OK) status = look_at_sandbox(exam, err);
  if (status == ZH_OK) status = make_requests(s, err);
  if (status == ZH_OK) status = digest_plan(s, err);
  if (status != ZH_OK) {
    zh_sitting_free(s);
    return status;
  }
  *out = s;
  return ZH_OK;
}

void zh_sitting_free(zh_sitting *s) {
  if (!s) return;
  for (size_t t = 0; t < s->exam->task_count; t++) {
    if (s->lists) zh_requests_free(&s->lists[t]);
    if (s->asks) zh_asks_free(&s->asks[t]);
    if (s->done) free(s->done[t]);
    if (s->kept) free(s->kept[t]);
    if (s->skip) free(s->skip[t]);
  }
  free(s->lists);
  free(s->asks);
  free(s->done);
  free(s->kept);
  free(s->skip);
  free(s->counts);
  zh_answer_journal_close(s->journal);
  free(s);
}

size_t zh_sitting_positions(const zh_sitting *s) {
  size_t longest = 1;
  for (size_t t = 0; t < s->exam->task_count; t++)
    if (s->asks[t].longest > longest) longest = s->asks[t].longest;
  return longest < s->speech.longest ? longest : s->speech.longest;
}

size_t zh_sitting_depth(const zh_sitting *s) {
  return s->depth;
}

const zh_speech *zh_sitting_speech(const zh_sitting *s) {
  return &s->speech;
}

const char *zh_sitting_plan(const zh_sitting *s) {
  return s->plan;
}

zh_sitting_count zh_sitting_counted(const zh_sitting *s, size_t task) {
  return s->counts[task];
}

/* ---- who asks what ---- */

static size_t doc_of(const zh_sitting *s, size_t task, size_t group) {
  const zh_asks *asks = &s->asks[task];
  return s->lists[task].at[asks->at[asks->groups[group].first].request].doc;
}

/* Whether all requests of a group's item are answered already. */
static bool was_kept(const zh_sitting *s, size_t task, size_t group) {
  const zh_ask_group *g = &s->asks[task].groups[group];
  for (size_t a = g->first; a < g->first + g->count; a++)
    if (!s->kept[task][s->asks[task].at[a].request]) return false;
  return true;
}

/* Groups of one item, beside each other, are one thing to share out. */
typedef struct things {
  size_t count;
  double *cost;
  int *rank_of;
} things;

/* visit: with the thing's number, for each group that is still to be asked. */
typedef void (*visitor)(zh_sitting *s, things *of, size_t thing, size_t task, size_t group);
static size_t visit_things(zh_sitting *s, things *of, visitor visit) {
  size_t thing = 0;
  for (size_t t = 0; t < s->exam->task_count; t++) {
    size_t doc = SIZE_MAX;
    for (size_t g = 0; g < s->asks[t].group_count; g++) {
      if (was_kept(s, t, g)) continue;
      if (doc != SIZE_MAX && doc_of(s, t, g) != doc) thing++;
      doc = doc_of(s, t, g);
      visit(s, of, thing, t, g);
    }
    if (doc != SIZE_MAX) thing++;
  }
  return thing;
}

static void add_nothing(zh_sitting *s, things *of, size_t thing, size_t task, size_t group) {
  (void)s, (void)of, (void)thing, (void)task, (void)group;
}

static double cost_of(const zh_sitting *s, size_t task, size_t group) {
  return zh_group_cost(&s->asks[task], group, group > 0 ? group - 1 : SIZE_MAX,
                       s->exam->tasks[task]);
}

static void add_cost(zh_sitting *s, things *of, size_t thing, size_t task, size_t group) {
  of->cost[thing] += cost_of(s, task, group);
}

static void take_mine(zh_sitting *s, things *of, size_t thing, size_t task, size_t group) {
  if (!s->options.together && of->rank_of[thing] != s->options.comm->rank) return;
  s->skip[task][group] = false;
  s->news.cost_all += cost_of(s, task, group);
}

static zh_status share_out(zh_sitting *s, zh_error *err) {
  things all = {0};
  all.count = visit_things(s, &all, add_nothing);
  all.cost = calloc(all.count + 1, sizeof *all.cost);
  all.rank_of = calloc(all.count + 1, sizeof *all.rank_of);
  zh_status status = all.cost && all.rank_of ? ZH_OK : no_memory(err);
  if (status == ZH_OK) {
    visit_things(s, &all, add_cost);
    status = zh_share_items(all.rank_of, all.cost, all.count, s->options.comm->size, err);
  }
  for (size_t t = 0; t < s->exam->task_count; t++) memset(s->skip[t], true, s->asks[t].group_count);
  if (status == ZH_OK) visit_things(s, &all, take_mine);
  free(all.cost);
  free(all.rank_of);
  return status;
}

/* Tokens of the prompts that this rank has to ask, and where they begin. */
static void count_tokens(zh_sitting *s) {
  double depth = 0, tokens = 0;
  for (size_t t = 0; t < s->exam->task_count; t++) {
    const zh_asks *asks = &s->asks[t];
    for (size_t g = 0, before = SIZE_MAX; g < asks->group_count; g++) {
      if (s->skip[t][g]) continue;
      uint64_t needed = zh_asks_needed(asks, g, before);
      s->counts[t].needed += needed;
      depth += (double)needed * (double)zh_asks_before(asks, g, before);
      tokens += (double)needed;
      for (size_t a = 0; a < asks->groups[g].count; a++)
        s->counts[t].asked += zh_ask_fed(&asks->at[asks->groups[g].first + a]);
      before = g;
    }
  }
  s->depth = tokens > 0 ? (size_t)(depth / tokens) : 0;
}

/* What the folder has, the same on all ranks. */
static zh_status take_up(zh_sitting *s, zh_error *err) {
  const zh_comm *comm = s->options.comm;
  zh_answer_sheet sheet = {s->lists, s->kept, s->exam->task_count};
  zh_text lines = {0};
  zh_status status = ZH_OK;
  if (s->options.folder && comm->rank == 0)
    status = zh_answer_journals_read(&lines, s->options.folder, s->plan, err);
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = zh_share_text(&lines, comm, err);
  if (status == ZH_OK)
    status = zh_answer_lines_read(&sheet, zh_text_string(&lines), lines.length,
                                  "answers that were kept", err);
  zh_text_free(&lines);
  for (size_t t = 0; t < s->exam->task_count; t++)
    memcpy(s->done[t], s->kept[t], s->lists[t].count * sizeof **s->done);
  return status;
}

zh_status zh_sitting_share(zh_sitting *s, zh_error *err) {
  const zh_comm *comm = s->options.comm;
  ZH_TRY(take_up(s, err));
  zh_status status = share_out(s, err);
  if (status == ZH_OK) count_tokens(s);
  bool writes = s->options.folder && (!s->options.together || comm->rank == 0);
  if (status == ZH_OK && writes)
    status = zh_answer_journal_open(&s->journal, s->options.folder, comm->rank, s->plan, err);
  return zh_comm_agree(comm, status, err);
}

/* ---- answering ---- */

/* Adds an item to the mean of the first metric so far, where it is a mean of numbers. */
static zh_status score_so_far(zh_sitting *s, const zh_requests *list, size_t first, size_t count,
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
    s->news.metric = t->metrics[0].name;
    s->news.sum += json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
    s->news.scored++;
  }
  json_decref(scores);
  return ZH_OK;
}

static void find_item(size_t *first, size_t *end, const zh_requests *list, size_t number) {
  *first = *end = number;
  while (*first > 0 && list->at[*first - 1].doc == list->at[number].doc) --*first;
  while (*end < list->count && list->at[*end].doc == list->at[number].doc) ++*end;
}

/* An item is counted once: when the last of its requests is answered. */
static zh_status count_item(zh_sitting *s, size_t number, zh_error *err) {
  size_t first, end;
  const zh_requests *list = &s->lists[s->news.task];
  find_item(&first, &end, list, number);
  for (size_t k = first; k < end; k++)
    if (!s->done[s->news.task][k]) return ZH_OK;
  s->news.items++;
  return score_so_far(s, list, first, end - first, err);
}

static zh_status take_answer(void *user, size_t number, zh_error *err) {
  zh_sitting *s = user;
  size_t task = s->news.task;
  s->done[task][number] = true;
  s->news.cost += s->cost_of_request;
  if (s->journal)
    ZH_TRY(zh_answer_journal_add(s->journal, task, number, &s->lists[task].at[number], err));
  ZH_TRY(count_item(s, number, err));
  if (s->tell) s->tell(s->user, &s->news);
  return ZH_OK;
}

static double mean_cost(const zh_sitting *s, size_t task) {
  const zh_asks *asks = &s->asks[task];
  double cost = 0, requests = 0;
  for (size_t g = 0; g < asks->group_count; g++) {
    if (s->skip[task][g]) continue;
    cost += cost_of(s, task, g);
    for (size_t a = asks->groups[g].first, n = 0; n < asks->groups[g].count; n++, a++)
      requests += a == 0 || asks->at[a - 1].request != asks->at[a].request;
  }
  return requests > 0 ? cost / requests : 0;
}

/* Items of this rank, and on the first rank those that were kept. */
static zh_status begin_task(zh_sitting *s, size_t task, zh_error *err) {
  const zh_asks *asks = &s->asks[task];
  s->news = (zh_sitting_news){.task = task,
                              .tasks = s->exam->task_count,
                              .of = s->exam->tasks[task],
                              .cost = s->news.cost,
                              .cost_all = s->news.cost_all};
  s->cost_of_request = mean_cost(s, task);
  for (size_t g = 0, doc = SIZE_MAX; g < asks->group_count; g++) {
    if (s->skip[task][g]) continue;
    s->news.items_all += doc_of(s, task, g) != doc;
    doc = doc_of(s, task, g);
  }
  if (s->options.comm->rank > 0) return ZH_OK;
  for (size_t i = 0, end; i < s->lists[task].count; i = end) {
    size_t first;
    find_item(&first, &end, &s->lists[task], i);
    bool whole = true;
    for (size_t k = first; k < end; k++) whole &= s->kept[task][k];
    s->news.items_all += whole;
    if (whole) ZH_TRY(count_item(s, i, err));
  }
  return ZH_OK;
}

static zh_status answer_task(zh_sitting *s, zh_examinee *e, size_t task, zh_error *err) {
  zh_sitting_count *count = &s->counts[task];
  uint64_t fed = e->fed, made = e->made;
  ZH_TRY(begin_task(s, task, err));
  if (s->tell) s->tell(s->user, &s->news);
  int64_t began = zh_now_ns();
  zh_status status = zh_examinee_answer(e, s->exam->tasks[task], &s->lists[task], &s->asks[task],
                                        s->skip[task], take_answer, s, err);
  count->seconds = (double)(zh_now_ns() - began) * 1e-9;
  count->computed = e->fed - fed;
  count->generated = e->made - made;
  return status;
}

zh_status zh_sitting_hold(zh_sitting *s, zh_examinee *examinee, zh_sitting_tell tell, void *user,
                          zh_error *err) {
  s->tell = tell;
  s->user = user;
  for (size_t t = 0; t < s->exam->task_count; t++) ZH_TRY(answer_task(s, examinee, t, err));
  return ZH_OK;
}

/* ---- the end ---- */

zh_status zh_sitting_collect(zh_sitting *s, zh_error *err) {
  const zh_comm *comm = s->options.comm;
  zh_answer_sheet sheet = {s->lists, s->done, s->exam->task_count};
  zh_text lines = {0};
  zh_status status = ZH_OK;
  if (comm->size == 1 || s->options.together) return ZH_OK;
  for (size_t t = 0; comm->rank > 0 && t < s->exam->task_count; t++)
    for (size_t i = 0; status == ZH_OK && i < s->lists[t].count; i++)
      if (s->done[t][i] && !s->kept[t][i])
        status = zh_answer_line(&lines, t, i, &s->lists[t].at[i], err);
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = zh_collect_texts(&lines, comm, err);
  if (status == ZH_OK && comm->rank == 0)
    status = zh_answer_lines_read(&sheet, zh_text_string(&lines), lines.length,
                                  "answers of other ranks", err);
  zh_text_free(&lines);
  return zh_comm_agree(comm, status, err);
}

zh_status zh_sitting_mark(zh_marks *marks, zh_sitting *s, zh_error *err) {
  for (size_t t = 0; t < s->exam->task_count; t++) {
    for (size_t i = 0; i < s->lists[t].count; i++)
      if (!s->done[t][i])
        return zh_fail(err, ZH_ERR_CHECK, "task %s: request %zu was answered by no rank",
                       s->exam->tasks[t]->name, i);
    ZH_TRY(zh_marks_make(&marks[t], s->exam->tasks[t], &s->lists[t], err));
  }
  return ZH_OK;
}

/* ---- the self-check ---- */

static bool find_first(size_t *task, size_t *group, const zh_sitting *s) {
  for (*task = 0; *task < s->exam->task_count; ++*task)
    for (*group = 0; *group < s->asks[*task].group_count; ++*group)
      if (!s->skip[*task][*group]) return true;
  return false;
}

/* A group alone, as log-likelihoods; tokens are borrowed. */
static zh_status copy_group(zh_asks *out, const zh_sitting *s, size_t task, size_t group,
                            zh_error *err) {
  const zh_ask_group *g = &s->asks[task].groups[group];
  *out = (zh_asks){.count = g->count, .group_count = 1};
  out->at = calloc(g->count, sizeof *out->at);
  out->groups = calloc(1, sizeof *out->groups);
  if (!out->at || !out->groups) return no_memory(err);
  out->groups[0].count = g->count;
  for (size_t a = 0; a < g->count; a++) {
    zh_ask *ask = &out->at[a];
    *ask = s->asks[task].at[g->first + a];
    ask->request = a;
    if (s->exam->tasks[task]->output == ZH_OUTPUT_GENERATE)
      ask->scored = ask->count > PROBED_END ? ask->count - PROBED_END : 1;
  }
  return ZH_OK;
}

zh_status zh_sitting_probe(double **logprobs, size_t *count, zh_sitting *s, zh_examinee *e,
                           zh_error *err) {
  static const zh_exam_task as_text = {.output = ZH_OUTPUT_LOGLIKELIHOOD};
  size_t task, group;
  zh_asks asks;
  *logprobs = NULL;
  *count = 0;
  if (!find_first(&task, &group, s)) return ZH_OK;
  zh_status status = copy_group(&asks, s, task, group, err);
  zh_requests requests = {.at = calloc(asks.count, sizeof *requests.at), .count = asks.count};
  *logprobs = calloc(asks.count, sizeof **logprobs);
  if (status == ZH_OK && (!requests.at || !*logprobs)) status = no_memory(err);
  uint64_t fed = e->fed;
  if (status == ZH_OK)
    status = zh_examinee_answer(e, &as_text, &requests, &asks, NULL, NULL, NULL, err);
  for (size_t a = 0; status == ZH_OK && a < asks.count; a++) (*logprobs)[a] = asks.at[a].logprob;
  if (status == ZH_OK) *count = asks.count;
  e->fed = fed;
  zh_examinee_forget(e);
  free(requests.at);
  free(asks.at);
  free(asks.groups);
  return status;
}

bool zh_sitting_first_generates(const zh_sitting *s) {
  size_t task, group;
  return find_first(&task, &group, s) && s->exam->tasks[task]->output == ZH_OUTPUT_GENERATE;
}

void zh_sitting_probed(double *logprobs, size_t count, const zh_sitting *s) {
  size_t task, group;
  if (!find_first(&task, &group, s)) return;
  const zh_ask_group *g = &s->asks[task].groups[group];
  for (size_t a = 0; a < count && a < g->count; a++)
    logprobs[a] = s->asks[task].at[g->first + a].logprob;
}

uint32_t *zh_sitting_first_token(zh_sitting *s) {
  size_t task, group;
  if (!find_first(&task, &group, s)) return NULL;
  zh_ask *ask = &s->asks[task].at[s->asks[task].groups[group].first];
  return zh_ask_fed(ask) > 0 ? &ask->tokens[zh_ask_fed(ask) - 1] : NULL;
}
