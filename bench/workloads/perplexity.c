/* perplexity: how well a model predicts a text, by docs/metrics.md. A standard model has no
 * tokenizer: it is given tokens drawn uniformly by the seed, and its perplexity only shows that the
 * engine computes the same each time. */
#include "bench/engine/perplexity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/faults.h"
#include "bench/engine/trial.h"
#include "core/files.h"

enum { STREAM_TEXT = 1, STREAM_REPLAYED, STREAM_FAULT, TEXT_BYTES_MAX = 64 << 20 };

static const char *const precisions[] = {"fast", "exact", NULL};
static const zh_parameter parameters[] = {
    {"text", ZH_PARAMETER_FILE, "bench/suites/texts/measuring-en.txt", 0, 0, NULL,
     "UTF-8 text; a path of the product's data folder, or of this machine"},
    {"tokens", ZH_PARAMETER_INT, "512", 2, 1 << 20, NULL,
     "tokens of the text that are read, at most"},
    {"window", ZH_PARAMETER_INT, "256", 2, 1 << 20, NULL,
     "tokens of a window; each starts with an empty context"},
    {"precision", ZH_PARAMETER_WORD, "fast", 0, 0, precisions,
     "fast: the CPU's best kernels; exact: the reference"},
    {"kv", ZH_PARAMETER_WORD, "bf16", 0, 0, zh_kv_names,
     "how keys and values are kept; f32 always where precision is exact"},
    {"parallel", ZH_PARAMETER_WORD, "none", 0, 0, zh_parallels, ZH_PARALLEL_HELP},
    {"group", ZH_PARAMETER_WORD, "auto", 0, 0, zh_group_words, ZH_GROUP_HELP},
    {"experts", ZH_PARAMETER_WORD, "auto", 0, 0, zh_expert_words, ZH_EXPERTS_HELP},
    {0},
};

typedef struct scoring {
  zh_trial trial;
  uint32_t *tokens;
  size_t count;
  int64_t bos;
  uint32_t window;
  zh_prediction *reference, *prediction; /* [count] */
  zh_perplexity_result reference_result, result;
} scoring;

static void release(void *state) {
  scoring *s = state;
  if (!s) return;
  zh_trial_close(&s->trial);
  free(s->tokens);
  free(s->reference);
  free(s->prediction);
  free(s);
}

static zh_status read_text(scoring *s, const zh_tokenizer *tokenizer, const char *name,
                           zh_error *err) {
  char path[4096], *text = NULL;
  size_t length = 0;
  ZH_TRY(zh_data_path(path, sizeof path, name, err));
  ZH_TRY(zh_read_file(&text, &length, name[0] != '/' && zh_is_file(path) ? path : name,
                      TEXT_BYTES_MAX, err));
  zh_status status = zh_tokenize(&s->tokens, &s->count, tokenizer, text, length, false, true, err);
  free(text);
  return status;
}

static zh_status load_tokens(scoring *s, zh_job *job, zh_error *err) {
  const zh_tokenizer *tokenizer = NULL;
  size_t limit = (size_t)zh_job_int(job, "tokens");
  ZH_TRY(zh_model_tokenizer(&tokenizer, s->trial.model, err));
  s->bos = -1;
  if (tokenizer) {
    zh_special_tokens special = zh_tokenizer_special(tokenizer);
    if (special.add_bos) s->bos = special.bos;
    ZH_TRY(read_text(s, tokenizer, zh_job_word(job, "text"), err));
    if (s->count > limit) s->count = limit;
  } else {
    s->tokens = malloc(limit * sizeof *s->tokens);
    if (!s->tokens) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu tokens", limit);
    s->count = limit;
    zh_trial_tokens(&s->trial, s->tokens, s->count, STREAM_TEXT);
  }
  s->reference = calloc(s->count + 1, sizeof *s->reference);
  s->prediction = calloc(s->count + 1, sizeof *s->prediction);
  if (!s->reference || !s->prediction)
    return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu tokens", s->count);
  return zh_trial_fact(&s->trial, "text",
                       json_string(tokenizer ? zh_job_word(job, "text") : "random tokens"), err);
}

static zh_status score(scoring *s, zh_perplexity_result *result, zh_prediction *predictions,
                       zh_error *err) {
  return zh_perplexity(result, s->trial.engine, s->tokens, s->count, s->bos, s->window, ZH_MANY,
                       predictions, err);
}

static int64_t positions(const zh_job *job) {
  return zh_job_int(job, "window");
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  scoring *s = calloc(1, sizeof *s);
  if (!s) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for perplexity");
  s->window = (uint32_t)zh_job_int(job, "window");
  zh_trial_plan plan = {.sequences = 1, .context = s->window, .tokens = s->window};
  zh_status status = zh_trial_open(&s->trial, job, &plan, err);
  if (status == ZH_OK) status = load_tokens(s, job, err);
  status = zh_trial_agree(job, status, err);
  if (status == ZH_OK) status = zh_check_attach(s->trial.check, err);
  if (status == ZH_OK) {
    status = score(s, &s->reference_result, s->reference, err);
    zh_check_detach(s->trial.check);
  }
  if (status == ZH_OK) status = zh_trial_report_check(&s->trial, err);
  if (status != ZH_OK) {
    release(s);
    return status;
  }
  *state = s;
  *cases = 1;
  return ZH_OK;
}

static void describe(const void *state, size_t index, zh_case *out) {
  (void)state;
  (void)index;
  *out = (zh_case){
      .metric = "perplexity", .unit = "1", .kind = ZH_SAMPLE_VALUE, .work = 1, .repeats = 1};
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  scoring *s = state;
  (void)index;
  (void)warmup;
  uint32_t *altered = NULL, kept = 0;
  if (s->trial.job->fault == ZH_FAULT_TOKEN && !s->trial.fault_done) {
    s->trial.fault_done = true;
    altered = &s->tokens[zh_trial_draw(&s->trial, STREAM_FAULT) % s->count];
    kept = *altered;
    *altered = kept > 0 ? kept - 1 : 1;
  }
  zh_fault_strike(&s->trial, 1, false); /* at position 0, which all of the first window reads */
  ZH_TRY(score(s, &s->result, s->prediction, err));
  if (altered) *altered = kept;
  *sample = s->result.perplexity;
  return ZH_OK;
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  const scoring *s = state;
  (void)index;
  for (size_t i = 0; i < s->reference_result.predicted; ++i) {
    const zh_prediction *was = &s->reference[i], *is = &s->prediction[i];
    if (is->token == was->token && memcmp(&is->logit, &was->logit, sizeof is->logit) == 0 &&
        memcmp(&is->logsumexp, &was->logsumexp, sizeof is->logsumexp) == 0 &&
        is->bits_sum == was->bits_sum)
      continue;
    return zh_fail(err, ZH_ERR_CHECK,
                   "chain: prediction %zu (token %u) has logit %.9g and log-sum %.17g, where the "
                   "checked pass gave "
                   "token %u, %.9g and %.17g; the same computation must give the same bits",
                   i, is->token, (double)is->logit, is->logsumexp, was->token, (double)was->logit,
                   was->logsumexp);
  }
  return ZH_OK;
}

/* A drawn position of the first window, computed anew: what it says of the token that follows. */
static zh_status replay(scoring *s, zh_error *err) {
  size_t lead = s->bos >= 0, held = s->count + lead < s->window ? s->count + lead : s->window;
  size_t length = 1 + zh_trial_draw(&s->trial, STREAM_REPLAYED) % (held - 1);
  uint32_t *fed = malloc(held * sizeof *fed);
  if (!fed) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the replay");
  if (lead) fed[0] = (uint32_t)s->bos;
  memcpy(fed + lead, s->tokens, (held - lead) * sizeof *fed);
  const zh_prediction *timed = &s->prediction[length - 1];
  zh_ways ways = {0, ZH_AS_OF_MANY, ZH_AS_OF_MANY};
  zh_status status = zh_trial_recompute(&s->trial, fed, length, 0, ways, err);
  if (status == ZH_OK) {
    status =
        zh_trial_judge_replay(&s->trial, timed->token, timed->logit, (uint32_t)length - 1, 0, err);
  }
  free(fed);
  return status;
}

/* The predictions as a chain: token, bits of its logit, place, sum of the bits of all logits. */
static zh_status describe_chain(scoring *s, zh_error *err) {
  size_t count = s->result.predicted;
  zh_answer *chain = calloc(count, sizeof *chain);
  if (!chain) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the chain");
  for (size_t i = 0; i < count; ++i) {
    const zh_prediction *p = &s->prediction[i];
    chain[i] = (zh_answer){.chosen = p->token, .position = (uint32_t)i, .bits_sum = p->bits_sum};
    memcpy(&chain[i].logit_bits, &p->logit, sizeof p->logit);
  }
  char digest[65];
  zh_status status = zh_trial_chain(digest, chain, count, err);
  free(chain);
  ZH_TRY(status);
  ZH_TRY(zh_trial_same_chain(&s->trial, digest, err));
  return zh_trial_fact(&s->trial, "chain_sm3", json_string(digest), err);
}

static zh_status finish(void *state, zh_error *err) {
  scoring *s = state;
  zh_trial *trial = &s->trial;
  ZH_TRY(zh_trial_fact(trial, "nll_nats", zh_json_number(s->result.nll), err));
  ZH_TRY(zh_trial_say_experts(trial, err));
  json_t *predicted = json_integer((json_int_t)s->result.predicted);
  ZH_TRY(zh_trial_fact(trial, "predicted_tokens", predicted, err));
  ZH_TRY(describe_chain(s, err));
  ZH_TRY(replay(s, err));
  return zh_trial_finish(trial, err);
}

static const zh_metric METRICS[] = {{"perplexity", "1"}, {0}};

const zh_workload zh_workload_perplexity = {
    .name = "perplexity",
    .summary_zh = "模型对一段文字的预测能力（困惑度）",
    .summary_en = "how well a model predicts a text",
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
