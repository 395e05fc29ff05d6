/* decode: how fast a model writes, each token fed back to give the next. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/certificate.h"
#include "bench/engine/faults.h"
#include "bench/engine/inside.h"
#include "bench/engine/ledger.h"
#include "bench/engine/trial.h"
#include "core/clock.h"
#include "core/statistics.h"

enum { STREAM_PROMPT = 1, STREAM_REPLAYED_STEP, STREAM_REPLAYED_SEQUENCE, STREAM_FAULT_STEP };

static const char *const precisions[] = {"fast", "exact", NULL};
static const zh_parameter parameters[] = {
    {"prompt", ZH_PARAMETER_INT, "32", 1, 1 << 20, NULL, "tokens of the prompt, of each sequence"},
    {"depth", ZH_PARAMETER_INT, "0", 0, 1 << 20, NULL, "tokens in the context before the prompt"},
    {"batch", ZH_PARAMETER_INT, "1", 1, 4096, NULL, "sequences computed together"},
    {"tokens", ZH_PARAMETER_INT, "32", 2, 1 << 20, NULL, "tokens generated in each sequence"},
    {"precision", ZH_PARAMETER_WORD, "fast", 0, 0, precisions,
     "fast: the CPU's best kernels; exact: the reference"},
    {"kv", ZH_PARAMETER_WORD, "bf16", 0, 0, zh_kv_names,
     "how keys and values are kept; f32 always where precision is exact"},
    {"parallel", ZH_PARAMETER_WORD, "none", 0, 0, zh_parallels, ZH_PARALLEL_HELP},
    {"group", ZH_PARAMETER_WORD, "auto", 0, 0, zh_group_words, ZH_GROUP_HELP},
    {"experts", ZH_PARAMETER_WORD, "auto", 0, 0, zh_expert_words, ZH_EXPERTS_HELP},
    {0},
};

typedef struct decode {
  zh_trial trial;
  uint32_t batch;
  size_t start, steps;                 /* positions before the first timed token; timed tokens */
  uint32_t *tokens;                    /* [batch][start]: depth and prompt */
  uint32_t *first;                     /* [batch]: chosen after the prompt, fed at step 0 */
  uint32_t *fed, *position, *sequence; /* [batch]: one step */
  bool *want;
  bool struck;                   /* a fault's step has been, on whichever rank it struck */
  zh_answer *reference, *answer; /* [steps][batch] */
  zh_generated *made;            /* the same, of an engine that writes by itself */
  uint64_t reference_cache;
  double *step_ns;      /* [steps]: of the repeat at hand */
  double *intervals_ns; /* [count]: of every kept repeat */
  size_t count, capacity;
  zh_ledger ledger;
} decode;

static void release(void *state) {
  decode *d = state;
  if (!d) return;
  zh_trial_close(&d->trial);
  free(d->tokens);
  free(d->first);
  free(d->fed);
  free(d->position);
  free(d->sequence);
  free(d->want);
  free(d->reference);
  free(d->answer);
  free(d->made);
  free(d->step_ns);
  free(d->intervals_ns);
  zh_ledger_free(&d->ledger);
  free(d);
}

static zh_status allocate(decode *d, zh_error *err) {
  d->tokens = malloc(d->batch * d->start * sizeof *d->tokens);
  d->first = malloc(d->batch * sizeof *d->first);
  d->fed = malloc(d->batch * sizeof *d->fed);
  d->position = malloc(d->batch * sizeof *d->position);
  d->sequence = malloc(d->batch * sizeof *d->sequence);
  d->want = malloc(d->batch * sizeof *d->want);
  d->reference = calloc(d->steps * d->batch, sizeof *d->reference);
  d->answer = calloc(d->steps * d->batch, sizeof *d->answer);
  d->made = calloc(d->steps * d->batch, sizeof *d->made);
  d->step_ns = calloc(d->steps, sizeof *d->step_ns);
  if (d->tokens && d->first && d->fed && d->position && d->sequence && d->want && d->reference &&
      d->answer && d->made && d->step_ns)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %u sequences", d->batch);
}

static zh_status read_prompt(decode *d, zh_error *err) {
  zh_feed feed;
  zh_trial_tokens(&d->trial, d->tokens, d->batch * d->start, STREAM_PROMPT);
  ZH_TRY(zh_feed_create(&feed, d->tokens, d->batch, d->start, 0, d->start, err));
  zh_status status = zh_trial_forward(&d->trial, &feed, err);
  zh_feed_free(&feed);
  for (uint32_t s = 0; s < d->batch && status == ZH_OK; ++s) {
    zh_answer answer = {0};
    status = zh_trial_answer(&answer, &d->trial, d->trial.logits + (size_t)s * d->trial.vocab, 0,
                             (uint32_t)d->start - 1, err);
    d->first[s] = answer.chosen;
    d->sequence[s] = s;
    d->want[s] = true;
  }
  return status;
}

/* One step of all sequences: the tokens in `fed` are computed and answered. */
static zh_status step(decode *d, size_t i, zh_answer *answer, zh_error *err) {
  for (uint32_t s = 0; s < d->batch; ++s) d->position[s] = (uint32_t)(d->start + i);
  ZH_TRY(zh_engine_forward(d->trial.engine, d->fed, d->position, d->sequence, d->batch, d->want,
                           d->trial.logits, err));
  for (uint32_t s = 0; s < d->batch; ++s) {
    const float *logits = d->trial.logits + (size_t)s * d->trial.vocab;
    ZH_TRY(zh_trial_answer(&answer[s], &d->trial, logits, d->fed[s], d->position[s], err));
    d->fed[s] = answer[s].chosen;
  }
  return ZH_OK;
}

/* Steps [first, end) by the engine alone, where it can: the host reads the answers when all are
 * there. */
static zh_status generate_apart(decode *d, size_t first, size_t end, zh_answer *answers,
                                zh_error *err) {
  ZH_TRY(zh_engine_generate(d->trial.engine, d->fed, (uint32_t)(d->start + first), d->batch,
                            end - first, d->made, d->step_ns + first, err));
  for (size_t i = first; i < end; ++i)
    for (uint32_t s = 0; s < d->batch; ++s) {
      const zh_generated *made = &d->made[(i - first) * d->batch + s];
      zh_answer *answer = &answers[i * d->batch + s];
      *answer = (zh_answer){.fed = d->fed[s],
                            .chosen = made->chosen,
                            .logit_bits = made->logit_bits,
                            .position = (uint32_t)(d->start + i),
                            .bits_sum = made->bits_sum};
      if (made->chosen >= d->trial.vocab || !isfinite(zh_answer_logit(answer)))
        return zh_fail(err, ZH_ERR_CHECK, "the logits at position %u are not numbers",
                       answer->position);
      d->fed[s] = made->chosen;
    }
  return ZH_OK;
}

/* A generation. Faults strike at a drawn step when `faults`: that one is the host's. */
static zh_status generate(decode *d, zh_answer *answers, bool faults, zh_error *err) {
  zh_fault fault = faults && !d->struck ? d->trial.job->fault : ZH_FAULT_NONE;
  size_t fault_step = zh_trial_draw(&d->trial, STREAM_FAULT_STEP) % (d->steps - 1);
  for (uint32_t s = 0; s < d->batch; ++s)
    zh_engine_truncate(d->trial.engine, s, (uint32_t)d->start);
  memcpy(d->fed, d->first, d->batch * sizeof *d->fed);
  for (size_t i = 0, next; i < d->steps; i = next) {
    bool struck = fault != ZH_FAULT_NONE && i == fault_step;
    next = i + 1;
    if (!struck && zh_engine_generates(d->trial.engine)) {
      next = fault != ZH_FAULT_NONE && i < fault_step ? fault_step : d->steps;
      ZH_TRY(generate_apart(d, i, next, answers, err));
      continue;
    }
    int64_t begin = zh_now_ns();
    if (struck) zh_fault_strike(&d->trial, d->batch, true);
    ZH_TRY(step(d, i, answers + i * d->batch, err));
    if (struck && fault == ZH_FAULT_TOKEN) {
      d->fed[0] = d->fed[0] > 0 ? d->fed[0] - 1 : 1;
      d->trial.fault_done = true;
    }
    d->struck |= struck;
    d->step_ns[i] = (double)(zh_now_ns() - begin);
  }
  return ZH_OK;
}

/* What an earlier repeat left of these positions must not be read. */
static void forget_answers(decode *d) {
  for (uint32_t s = 0; s < d->batch; ++s) zh_engine_poison(d->trial.engine, s, (uint32_t)d->start);
}

static zh_status check_pass(decode *d, zh_error *err) {
  ZH_TRY(zh_check_attach(d->trial.check, err));
  uint64_t prompt_cache = 0;
  zh_status status = read_prompt(d, err);
  if (status == ZH_OK)
    status = zh_trial_cache_sum(&prompt_cache, &d->trial, (uint32_t)d->start, err);
  zh_engine_restart_count(d->trial.engine); /* experts of the generation, not of the prompt */
  if (status == ZH_OK) status = generate(d, d->reference, false, err);
  zh_check_detach(d->trial.check);
  ZH_TRY(status);
  ZH_TRY(zh_trial_compare_cache(&d->trial, (uint32_t)d->start, prompt_cache, err));
  ZH_TRY(zh_trial_cache_sum(&d->reference_cache, &d->trial, (uint32_t)(d->start + d->steps), err));
  return zh_trial_report_check(&d->trial, err);
}

static int64_t positions(const zh_job *job) {
  return zh_job_int(job, "depth") + zh_job_int(job, "prompt") + zh_job_int(job, "tokens");
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  decode *d = calloc(1, sizeof *d);
  if (!d) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for decode");
  d->batch = (uint32_t)zh_job_int(job, "batch");
  d->start = (size_t)(zh_job_int(job, "depth") + zh_job_int(job, "prompt"));
  d->steps = (size_t)zh_job_int(job, "tokens");
  zh_trial_plan plan = {
      .sequences = d->batch, .context = (uint32_t)(d->start + d->steps), .tokens = d->batch};
  zh_status status = zh_trial_open(&d->trial, job, &plan, err);
  if (status == ZH_OK) status = allocate(d, err);
  status = zh_trial_agree(job, status, err);
  if (status == ZH_OK) status = check_pass(d, err);
  if (status == ZH_OK)
    status = zh_engine_prepare_generation(d->trial.engine, d->batch, d->steps, err);
  json_t *device = status == ZH_OK ? zh_engine_device_json(d->trial.engine) : NULL;
  if (device) /* with the form that steps have now */
    status = zh_trial_fact(&d->trial, "device", device, err);
  if (status != ZH_OK) {
    release(d);
    return status;
  }
  *state = d;
  *cases = 1;
  return ZH_OK;
}

static double mean_positions(const decode *d) {
  return zh_engine_seen(d->trial.engine, (uint64_t)d->start, (uint64_t)d->steps);
}

/* The weights are read once a step for all sequences, each sequence's keys and values for itself.
 */
static double bytes_per_token(const decode *d) {
  zh_engine_cost cost = zh_engine_cost_of(d->trial.engine);
  return (double)cost.weight_bytes / d->batch +
         (double)cost.kv_bytes_per_position * mean_positions(d);
}

static double flop_per_token(const decode *d) {
  zh_engine_cost cost = zh_engine_cost_of(d->trial.engine);
  return (double)cost.flops_per_token + (double)cost.head_flops +
         (double)cost.attention_flops_per_pair * mean_positions(d);
}

static void describe(const void *state, size_t index, zh_case *out) {
  const decode *d = state;
  double gpus = zh_engine_gpus(d->trial.engine);
  (void)index;
  *out = (zh_case){.metric = "decode_rate",
                   .unit = "token/s",
                   .kind = ZH_SAMPLE_RATE,
                   .work = (double)d->batch * (double)d->steps,

                   .peak_per_unit = bytes_per_token(d) / gpus,
                   .other_per_unit = flop_per_token(d) / gpus,
                   .more_is_better = true};
  snprintf(out->peak, sizeof out->peak, "%s", zh_engine_memory_peak(d->trial.engine));
  snprintf(out->other_peak, sizeof out->other_peak, "%s",
           zh_engine_peak(d->trial.engine, d->batch));
}

static zh_status keep_intervals(decode *d, zh_error *err) {
  if (d->count + d->steps > d->capacity) {
    size_t capacity = 2 * (d->capacity + d->steps);
    double *grown = realloc(d->intervals_ns, capacity * sizeof *grown);
    if (!grown) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for samples");
    d->intervals_ns = grown;
    d->capacity = capacity;
  }
  memcpy(d->intervals_ns + d->count, d->step_ns, d->steps * sizeof *d->step_ns);
  d->count += d->steps;
  return ZH_OK;
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  decode *d = state;
  (void)index;
  int64_t checking = zh_now_ns();
  forget_answers(d);
  zh_engine_restart_count(d->trial.engine);
  zh_trial_checks_between(&d->trial, checking);
  int64_t begin = zh_now_ns();
  ZH_TRY(generate(d, d->answer, !warmup, err));
  *sample = (double)(zh_now_ns() - begin);
  zh_trial_sampled(&d->trial, *sample);
  if (warmup) return ZH_OK;
  ZH_TRY(zh_ledger_keep(&d->ledger, d->trial.engine, *sample, err));
  return keep_intervals(d, err);
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  decode *d = state;
  (void)index;
  int64_t checking = zh_now_ns();
  ZH_TRY(zh_trial_compare(&d->trial, d->reference, d->answer, d->steps, err));
  ZH_TRY(
      zh_trial_compare_cache(&d->trial, (uint32_t)(d->start + d->steps), d->reference_cache, err));
  zh_trial_checks_between(&d->trial, checking);
  return ZH_OK;
}

/* The answer at a drawn step of a drawn sequence, computed anew from the tokens that were fed up to
 * it. */
static zh_status replay(decode *d, zh_error *err) {
  size_t at = zh_trial_draw(&d->trial, STREAM_REPLAYED_STEP) % d->steps;
  uint32_t s = zh_trial_draw(&d->trial, STREAM_REPLAYED_SEQUENCE) % d->batch;
  uint32_t *fed = malloc((d->start + d->steps) * sizeof *fed);
  if (!fed) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the replay");
  memcpy(fed, d->tokens + s * d->start, d->start * sizeof *fed);
  for (size_t i = 0; i <= at; ++i) fed[d->start + i] = d->answer[i * d->batch + s].fed;
  zh_ways ways = {d->start, d->batch * d->start, d->batch};
  zh_status status = zh_trial_replay(&d->trial, fed, d->start + at + 1, s, ways,
                                     &d->answer[at * d->batch + s], err);
  free(fed);
  return status;
}

/* Time a token of each repeat, each gap between two tokens, and the gaps' 99th percentile:
 * docs/metrics.md. */
static zh_status report_times(decode *d, zh_error *err) {
  size_t repeats = d->count / d->steps;
  if (repeats == 0) return ZH_OK;
  zh_case what = {.metric = "tpot", .unit = "s", .kind = ZH_SAMPLE_TIME, .work = (double)d->steps};
  double *totals = calloc(repeats, sizeof *totals);
  if (!totals) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for samples");
  for (size_t i = 0; i < d->count; ++i) totals[i / d->steps] += d->intervals_ns[i];
  zh_status status = zh_job_series(d->trial.job, &what, totals, repeats, err);
  free(totals);
  ZH_TRY(status);
  what = (zh_case){.metric = "inter_token", .unit = "s", .kind = ZH_SAMPLE_TIME, .work = 1};
  ZH_TRY(zh_job_series(d->trial.job, &what, d->intervals_ns, d->count, err));
  zh_sort_doubles(d->intervals_ns, d->count);
  double p99 = zh_percentile(d->intervals_ns, d->count, 0.99);
  what = (zh_case){.metric = "inter_token_p99", .unit = "s", .kind = ZH_SAMPLE_TIME, .work = 1};
  return zh_job_series(d->trial.job, &what, &p99, 1, err);
}

/* The run once more; its answers must be the timed ones. */
static zh_status generate_again(void *state, zh_error *err) {
  decode *d = state;
  forget_answers(d);
  ZH_TRY(generate(d, d->reference, false, err));
  return zh_trial_compare(&d->trial, d->answer, d->reference, d->steps, err);
}

static zh_status finish(void *state, zh_error *err) {
  decode *d = state;
  ZH_TRY(zh_trial_say_experts(&d->trial, err));
  ZH_TRY(zh_trial_judge_memory(&d->trial, err));
  ZH_TRY(zh_trial_describe(&d->trial, d->answer, d->steps * d->batch, err));
  zh_certified run = {
      .steps = d->steps, .sequences = d->batch, .start = d->start, .answers = d->answer};
  ZH_TRY(zh_certify(&d->trial, &run, generate_again, d, err));
  ZH_TRY(replay(d, err));
  ZH_TRY(report_times(d, err));
  double work = (double)d->batch * (double)d->steps;
  ZH_TRY(zh_ledger_report(&d->ledger, d->trial.job->facts, "decode_rate", work, err));
  return zh_trial_finish(&d->trial, err);
}

static const zh_metric METRICS[] = {
    {"decode_rate", "token/s"}, {"tpot", "s"}, {"inter_token", "s"}, {"inter_token_p99", "s"}, {0}};

const zh_workload zh_workload_decode = {
    .name = "decode",
    .summary_zh = "模型逐个写出词元的速度",
    .summary_en = "how fast a model writes, token by token",
    .parameters = parameters,
    .needs_model = true,
    .ranks_min = 1,
    .prepare = prepare,
    .describe = describe,
    .run = run,
    .verify = verify,
    .finish = finish,
    .release = release,
    .positions = positions,
    .metrics = METRICS,
};
