#include "bench/quality/contamination/reading.h"

#include <math.h>
#include <stdlib.h>

#include "core/statistics.h"

enum { WINDOW = 1024 };

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (reading of items)");
}

/* One task in one way: what is asked, until it is answered. */
typedef struct sheet {
  zh_exam_task task; /* a plain one, for the examinee */
  zh_variants variants;
  zh_asks asks;
  double *each; /* of all asks' tokens, one behind the other; NULL: not wanted */
} sheet;

typedef struct reader {
  const zh_exam *exam;
  const zh_reading_options *options;
  zh_speech speech;
  sheet (*sheets)[ZH_READ_KINDS];
  zh_engine *engine;
  zh_examinee *examinee;
  zh_reading_news news;
  double tokens, tokens_a_request; /* of the sheet that is answered */
  zh_reading_tell tell;
  void *user;
} reader;

/* ---- what is asked ---- */

static zh_status make_variants(sheet *s, const reader *r, size_t task, zh_reading_kind kind,
                               zh_error *err) {
  const zh_exam_task *t = r->exam->tasks[task];
  zh_variant_options how = {.seed = r->options->seed,
                            .number = (uint32_t)(task * ZH_READ_KINDS + kind),
                            .window = r->options->window ? r->options->window : WINDOW};
  if (how.window > r->speech.longest) how.window = r->speech.longest;
  how.others = kind == ZH_READ_ORDER ? r->options->item_orders : r->options->option_orders;
  if (kind == ZH_READ_ORDER) return zh_variants_of_items(&s->variants, t, &r->speech, &how, err);
  if (kind == ZH_READ_OPTIONS) return zh_variants_of_options(&s->variants, t, &how, err);
  return zh_variants_of_none(&s->variants, t, err);
}

static zh_status keep_each(sheet *s, zh_error *err) {
  size_t tokens = 0;
  for (size_t i = 0; i < s->asks.count; i++) tokens += s->asks.at[i].count - s->asks.at[i].scored;
  s->each = calloc(tokens + 1, sizeof *s->each);
  if (!s->each) return no_memory(err);
  double *next = s->each;
  for (size_t i = 0; i < s->asks.count; i++) {
    s->asks.at[i].each = next;
    next += s->asks.at[i].count - s->asks.at[i].scored;
  }
  return ZH_OK;
}

static zh_status make_sheet(reader *r, size_t task, zh_reading_kind kind, zh_error *err) {
  sheet *s = &r->sheets[task][kind];
  ZH_TRY(make_variants(s, r, task, kind, err));
  s->task = (zh_exam_task){.name = r->exam->tasks[task]->name, .output = ZH_OUTPUT_LOGLIKELIHOOD};
  ZH_TRY(zh_asks_make(&s->asks, &r->speech, &s->task, &s->variants.requests, err));
  if (kind == ZH_READ_LEAST) ZH_TRY(keep_each(s, err));
  r->news.tokens_all += s->asks.tokens;
  return ZH_OK;
}

/* ---- what is answered ---- */

static zh_status tell_of(void *user, size_t request, zh_error *err) {
  reader *r = user;
  (void)request;
  (void)err;
  r->tokens += r->tokens_a_request;
  r->news.tokens = (uint64_t)r->tokens;
  if (r->tell) r->tell(r->user, &r->news);
  return ZH_OK;
}

/* Sorts the tokens' log-probabilities: they are not looked at again. */
static double least_likely(double *each, size_t count, double share) {
  size_t taken = (size_t)ceil(share * (double)count);
  double sum = 0;
  zh_sort_doubles(each, count);
  for (size_t i = 0; i < taken; i++) sum += each[i];
  return taken > 0 ? sum / (double)taken : 0;
}

static void read_values(zh_reading *out, const sheet *s, double share) {
  for (size_t i = 0; i < s->variants.requests.count; i++)
    out->values[i] = s->variants.requests.at[i].logprob;
  for (size_t a = 0; s->each && a < s->asks.count; a++) {
    const zh_ask *ask = &s->asks.at[a];
    out->values[ask->request] = least_likely(ask->each, ask->count - ask->scored, share);
  }
}

/* The reading takes the lists of the variants over. */
static zh_status answer_sheet(zh_reading *out, reader *r, sheet *s, zh_error *err) {
  size_t requests = s->variants.requests.count;
  r->tokens_a_request = requests > 0 ? (double)s->asks.tokens / (double)requests : 0;
  ZH_TRY(zh_examinee_answer(r->examinee, &s->task, &s->variants.requests, &s->asks, NULL, tell_of,
                            r, err));
  out->values = calloc(s->variants.requests.count + 1, sizeof *out->values);
  if (!out->values) return no_memory(err);
  out->rows = s->variants.rows;
  out->left_out = s->variants.left_out;
  out->tokens = s->asks.tokens;
  read_values(out, s, r->options->least);
  out->item = s->variants.item;
  out->first = s->variants.first;
  s->variants.item = s->variants.first = NULL;
  return ZH_OK;
}

/* The timed path, as `eval` takes it. */
static zh_status make_examinee(reader *r, size_t positions, zh_model *model, zh_threads *threads,
                               zh_error *err) {
  enum { MICRO_BATCH = 512 };
  zh_architecture a;
  ZH_TRY(zh_model_architecture(&a, model, err));
  if (positions > a.context) positions = a.context;
  if (positions == 0) positions = 1;
  zh_engine_options options = {.precision = ZH_PRECISION_FAST,
                               .sequences = zh_examinee_sequences(&a, positions, 0),
                               .context = (uint32_t)positions,
                               .micro_batch = MICRO_BATCH,
                               .kv = ZH_KV_BF16,
                               .device = r->options->device};
  ZH_TRY(zh_engine_create(&r->engine, model, threads, &options, err));
  return zh_examinee_create(&r->examinee, r->engine, &r->speech, err);
}

static zh_status take_all(reader *r, zh_reading (*readings)[ZH_READ_KINDS], zh_model *model,
                          zh_threads *threads, zh_error *err) {
  size_t longest = 0, tasks = r->exam->task_count;
  ZH_TRY(zh_speech_of(&r->speech, model, 0, err));
  for (size_t i = 0; i < tasks * ZH_READ_KINDS; i++) {
    size_t task = i / ZH_READ_KINDS, kind = i % ZH_READ_KINDS;
    if (!r->options->kinds[kind]) continue;
    ZH_TRY(make_sheet(r, task, (zh_reading_kind)kind, err));
    if (r->sheets[task][kind].asks.longest > longest) longest = r->sheets[task][kind].asks.longest;
  }
  ZH_TRY(make_examinee(r, longest, model, threads, err));
  for (size_t i = 0; i < tasks * ZH_READ_KINDS; i++) {
    size_t task = i / ZH_READ_KINDS, kind = i % ZH_READ_KINDS;
    if (!r->options->kinds[kind]) continue;
    r->news.task = r->exam->tasks[task];
    r->news.kind = (zh_reading_kind)kind;
    r->news.step = i;
    readings[task][kind].asked = true;
    ZH_TRY(answer_sheet(&readings[task][kind], r, &r->sheets[task][kind], err));
  }
  return ZH_OK;
}

zh_status zh_readings_take(zh_reading (*readings)[ZH_READ_KINDS], const zh_exam *exam,
                           zh_model *model, zh_threads *threads, const zh_reading_options *options,
                           zh_reading_tell tell, void *user, zh_error *err) {
  reader r = {.exam = exam, .options = options, .tell = tell, .user = user};
  r.news.steps = exam->task_count * ZH_READ_KINDS;
  r.sheets = calloc(exam->task_count, sizeof *r.sheets);
  zh_status status = r.sheets ? take_all(&r, readings, model, threads, err) : no_memory(err);
  for (size_t t = 0; r.sheets && t < exam->task_count; t++) {
    for (int k = 0; k < ZH_READ_KINDS; k++) {
      zh_variants_free(&r.sheets[t][k].variants);
      zh_asks_free(&r.sheets[t][k].asks);
      free(r.sheets[t][k].each);
    }
  }
  free(r.sheets);
  zh_examinee_free(r.examinee);
  zh_engine_free(r.engine);
  return status;
}

void zh_reading_free(zh_reading *reading) {
  free(reading->item);
  free(reading->first);
  free(reading->values);
  *reading = (zh_reading){0};
}
