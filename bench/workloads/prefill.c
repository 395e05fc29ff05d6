/* prefill: how fast a model reads a prompt, up to the choice of the first token. */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "bench/engine/certificate.h"
#include "bench/engine/faults.h"
#include "bench/engine/inside.h"
#include "bench/engine/ledger.h"
#include "bench/engine/trial.h"
#include "core/clock.h"

enum { STREAM_PROMPT = 1 };

static const char *const precisions[] = {"fast", "exact", NULL};
static const zh_parameter parameters[] = {
    {"prompt", ZH_PARAMETER_INT, "128", 2, 1 << 20, NULL, "tokens of the prompt, of each sequence"},
    {"depth", ZH_PARAMETER_INT, "0", 0, 1 << 20, NULL,
     "tokens already in the context before the prompt"},
    {"batch", ZH_PARAMETER_INT, "1", 1, 4096, NULL, "sequences computed together"},
    {"precision", ZH_PARAMETER_WORD, "fast", 0, 0, precisions,
     "fast: the CPU's best kernels; exact: the reference"},
    {"kv", ZH_PARAMETER_WORD, "bf16", 0, 0, zh_kv_names,
     "how keys and values are kept; f32 always where precision is exact"},
    {"parallel", ZH_PARAMETER_WORD, "none", 0, 0, zh_parallels, ZH_PARALLEL_HELP},
    {"group", ZH_PARAMETER_WORD, "auto", 0, 0, zh_group_words, ZH_GROUP_HELP},
    {"experts", ZH_PARAMETER_WORD, "auto", 0, 0, zh_expert_words, ZH_EXPERTS_HELP},
    {0},
};

typedef struct prefill {
  zh_trial trial;
  uint32_t batch;
  size_t depth, prompt;
  uint32_t *tokens;              /* [batch][depth + prompt] */
  zh_feed feed;                  /* the timed part */
  zh_answer *reference, *answer; /* [batch] */
  uint64_t reference_cache;
  double *ns; /* [count] of every kept repeat */
  size_t count, capacity;
  zh_ledger ledger;
} prefill;

static void release(void *state) {
  prefill *p = state;
  if (!p) return;
  zh_trial_close(&p->trial);
  zh_feed_free(&p->feed);
  free(p->tokens);
  free(p->reference);
  free(p->answer);
  free(p->ns);
  zh_ledger_free(&p->ledger);
  free(p);
}

static size_t length_of(const prefill *p) {
  return p->depth + p->prompt;
}

static zh_status answer_all(prefill *p, zh_answer *out, zh_error *err) {
  for (uint32_t s = 0; s < p->batch; ++s) {
    const float *logits = p->trial.logits + (size_t)s * p->trial.vocab;
    size_t last = length_of(p) - 1;
    ZH_TRY(zh_trial_answer(&out[s], &p->trial, logits, p->tokens[s * length_of(p) + last],
                           (uint32_t)last, err));
  }
  return ZH_OK;
}

/* The untimed pass with every operator checked. */
static zh_status check_pass(prefill *p, zh_error *err) {
  zh_feed before;
  ZH_TRY(zh_check_attach(p->trial.check, err));
  ZH_TRY(zh_feed_create(&before, p->tokens, p->batch, length_of(p), 0, p->depth, err));
  zh_status status = zh_trial_forward(&p->trial, &before, err);
  zh_feed_free(&before);
  zh_engine_restart_count(p->trial.engine); /* experts of the prompt, not of what is behind */
  if (status == ZH_OK) status = zh_trial_forward(&p->trial, &p->feed, err);
  zh_check_detach(p->trial.check);
  ZH_TRY(status);
  ZH_TRY(zh_trial_report_check(&p->trial, err));
  ZH_TRY(answer_all(p, p->reference, err));
  return zh_trial_cache_sum(&p->reference_cache, &p->trial, (uint32_t)length_of(p), err);
}

static int64_t positions(const zh_job *job) {
  return zh_job_int(job, "depth") + zh_job_int(job, "prompt");
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  prefill *p = calloc(1, sizeof *p);
  if (!p) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for prefill");
  p->batch = (uint32_t)zh_job_int(job, "batch");
  p->depth = (size_t)zh_job_int(job, "depth");
  p->prompt = (size_t)zh_job_int(job, "prompt");
  zh_trial_plan plan = {
      .sequences = p->batch, .context = (uint32_t)length_of(p), .tokens = p->batch * p->prompt};
  zh_status status = zh_trial_open(&p->trial, job, &plan, err);
  if (status == ZH_OK) {
    p->tokens = malloc(p->batch * length_of(p) * sizeof *p->tokens);
    p->reference = calloc(p->batch, sizeof *p->reference);
    p->answer = calloc(p->batch, sizeof *p->answer);
    if (!p->tokens || !p->reference || !p->answer)
      status = zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %u prompts", p->batch);
  }
  if (status == ZH_OK) {
    zh_trial_tokens(&p->trial, p->tokens, p->batch * length_of(p), STREAM_PROMPT);
    status =
        zh_feed_create(&p->feed, p->tokens, p->batch, length_of(p), p->depth, length_of(p), err);
  }
  status = zh_trial_agree(job, status, err);
  if (status == ZH_OK) status = check_pass(p, err);
  if (status != ZH_OK) {
    release(p);
    return status;
  }
  *state = p;
  *cases = 1;
  return ZH_OK;
}

/* Operations a token of the prompt: its products, the pairs it attends to, its share of the head.
 */
static double flop_per_token(const prefill *p) {
  zh_engine_cost cost = zh_engine_cost_of(p->trial.engine);
  double pairs = zh_engine_seen(p->trial.engine, (uint64_t)p->depth, (uint64_t)p->prompt);
  return (double)cost.flops_per_token + (double)cost.attention_flops_per_pair * pairs +
         (double)cost.head_flops / (double)p->prompt;
}

/* The weights and what is in the context are read at least once. */
static double bytes_per_token(const prefill *p) {
  zh_engine_cost cost = zh_engine_cost_of(p->trial.engine);
  double behind = zh_engine_seen(p->trial.engine, (uint64_t)p->depth, 1) - 1;
  return ((double)cost.weight_bytes / p->batch + (double)cost.kv_bytes_per_position * behind) /
         (double)p->prompt;
}

static void describe(const void *state, size_t index, zh_case *out) {
  const prefill *p = state;
  double gpus = zh_engine_gpus(p->trial.engine);
  (void)index;
  *out = (zh_case){.metric = "prefill_rate",
                   .unit = "token/s",
                   .kind = ZH_SAMPLE_RATE,
                   .work = (double)p->batch * (double)p->prompt,
                   .peak_per_unit = flop_per_token(p) / gpus,

                   .other_per_unit = bytes_per_token(p) / gpus,
                   .more_is_better = true};
  snprintf(out->other_peak, sizeof out->other_peak, "%s", zh_engine_memory_peak(p->trial.engine));
  snprintf(out->peak, sizeof out->peak, "%s", zh_engine_peak(p->trial.engine, p->feed.count));
}

/* What an earlier repeat left of these positions must not be read. */
static void forget_prompts(prefill *p) {
  for (uint32_t s = 0; s < p->batch; ++s) zh_engine_poison(p->trial.engine, s, (uint32_t)p->depth);
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  prefill *p = state;
  (void)index;
  int64_t checking = zh_now_ns();
  forget_prompts(p);
  zh_trial_checks_between(&p->trial, checking);
  if (!warmup) {
    zh_fault_strike(&p->trial, p->feed.count, true);
    if (p->trial.job->fault == ZH_FAULT_TOKEN && !p->trial.fault_done) {
      p->trial.fault_done =
          true; /* nothing is fed back here: one token of the prompt is altered instead */
      uint32_t *last = &p->feed.token[p->feed.count - 1];
      *last = *last > 0 ? *last - 1 : 1;
    }
  }
  zh_engine_restart_count(p->trial.engine);
  int64_t begin = zh_now_ns();
  ZH_TRY(zh_trial_forward(&p->trial, &p->feed, err));
  ZH_TRY(answer_all(p, p->answer, err));
  *sample = (double)(zh_now_ns() - begin);
  zh_trial_sampled(&p->trial, *sample);
  if (warmup) return ZH_OK;
  ZH_TRY(zh_ledger_keep(&p->ledger, p->trial.engine, *sample, err));
  if (p->count == p->capacity) {
    size_t capacity = p->capacity ? 2 * p->capacity : 16;
    double *grown = realloc(p->ns, capacity * sizeof *grown);
    if (!grown) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for samples");
    p->ns = grown;
    p->capacity = capacity;
  }
  p->ns[p->count++] = *sample;
  return ZH_OK;
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  prefill *p = state;
  (void)index;
  int64_t checking = zh_now_ns();
  ZH_TRY(zh_trial_compare(&p->trial, p->reference, p->answer, 1, err));
  ZH_TRY(zh_trial_compare_cache(&p->trial, (uint32_t)length_of(p), p->reference_cache, err));
  zh_trial_checks_between(&p->trial, checking);
  return ZH_OK;
}

/* The prompts once more; answers, keys and values must be the timed ones. */
static zh_status read_again(void *state, zh_error *err) {
  prefill *p = state;
  forget_prompts(p);
  ZH_TRY(zh_trial_forward(&p->trial, &p->feed, err));
  ZH_TRY(answer_all(p, p->reference, err));
  ZH_TRY(zh_trial_compare(&p->trial, p->answer, p->reference, 1, err));
  return zh_trial_compare_cache(&p->trial, (uint32_t)length_of(p), p->reference_cache, err);
}

static zh_status certify(prefill *p, zh_error *err) {
  char sm3[ZH_DIGEST_HEX];
  size_t count = p->batch * p->prompt;
  uint64_t *marks = malloc(count * sizeof *marks);
  if (!marks) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu marks", count);
  zh_status status = zh_trial_cache_marks(marks, &p->trial, p->depth, p->prompt, err);
  if (status == ZH_OK) status = zh_marks_digest(sm3, marks, count, err);
  if (status == ZH_OK) status = zh_trial_fact(&p->trial, "marks_sm3", json_string(sm3), err);
  zh_certified run = {.is_prompt = true,
                      .steps = p->prompt,
                      .sequences = p->batch,
                      .start = p->depth,
                      .answers = p->answer,
                      .marks = marks};
  if (status == ZH_OK) status = zh_certify(&p->trial, &run, read_again, p, err);
  free(marks);
  return status;
}

static zh_status finish(void *state, zh_error *err) {
  prefill *p = state;
  uint32_t s = zh_trial_draw(&p->trial, STREAM_PROMPT + 1) % p->batch;
  ZH_TRY(zh_trial_say_experts(&p->trial, err));
  ZH_TRY(zh_trial_judge_memory(&p->trial, err));
  ZH_TRY(zh_trial_describe(&p->trial, p->answer, p->batch, err));
  ZH_TRY(certify(p, err));
  zh_ways ways = {p->depth, p->batch * p->depth, p->batch * (length_of(p) - p->depth)};
  ZH_TRY(zh_trial_replay(&p->trial, p->tokens + s * length_of(p), length_of(p), s, ways,
                         &p->answer[s], err));
  zh_case ttft = {.metric = "ttft", .unit = "s", .kind = ZH_SAMPLE_TIME, .work = 1};
  if (p->count > 0) ZH_TRY(zh_job_series(p->trial.job, &ttft, p->ns, p->count, err));
  double work = (double)p->batch * (double)p->prompt;
  ZH_TRY(zh_ledger_report(&p->ledger, p->trial.job->facts, "prefill_rate", work, err));
  return zh_trial_finish(&p->trial, err);
}

static const zh_metric METRICS[] = {{"prefill_rate", "token/s"}, {"ttft", "s"}, {0}};

const zh_workload zh_workload_prefill = {
    .name = "prefill",
    .summary_zh = "模型读入提示词的速度，直到选出第一个词元",
    .summary_en = "how fast a model reads a prompt, up to its first token",
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
