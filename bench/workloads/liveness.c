/* liveness: which share of a model's parameters changes its output, by changing drawn ones
 * (docs/metrics.md, "Live parameters"). One repeat is all probes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/inside.h"
#include "bench/engine/faults.h"
#include "bench/engine/trial.h"
#include "bench/liveness/liveness.h"
#include "bench/workloads/table.h"

enum { STREAM_FAULT = 1 };

static const char *const precisions[] = {"fast", "exact", NULL};
static const zh_parameter parameters[] = {
    {"probes", ZH_PARAMETER_INT, "1000", 1, 100000000, NULL,
     "weights that are changed, one a time"},
    {"precision", ZH_PARAMETER_WORD, "fast", 0, 0, precisions,
     "fast: the CPU's best kernels; exact: the reference"},
    {0},
};

typedef struct probing {
  zh_trial trial;
  zh_liveness_texts texts;
  zh_liveness result;
  uint64_t reference_bits; /* of the checked pass */
} probing;

static void release(void *state) {
  probing *s = state;
  if (!s) return;
  zh_trial_close(&s->trial);
  zh_liveness_free(&s->result);
  free(s);
}

/* Both texts once, every operator watched. */
static zh_status compute_reference(probing *s, zh_error *err) {
  uint32_t position[ZH_LIVENESS_LENGTH], sequence[ZH_LIVENESS_LENGTH] = {0};
  bool want[ZH_LIVENESS_LENGTH];
  size_t floats = (size_t)s->texts.length * s->trial.vocab;
  float *logits = malloc(floats * sizeof *logits);
  zh_status status =
      logits ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a text's logits");
  for (uint32_t i = 0; i < s->texts.length; ++i) {
    position[i] = i;
    want[i] = true;
  }
  for (size_t t = 0; t < ZH_LIVENESS_TEXTS && status == ZH_OK; ++t) {
    zh_engine_poison(s->trial.engine, 0, 0);
    status = zh_engine_forward(s->trial.engine, s->texts.token[t], position, sequence,
                               s->texts.length, want, logits, err);
    if (status == ZH_OK) s->reference_bits += zh_sum_of_bits(logits, floats);
  }
  free(logits);
  return status;
}

static zh_status watch(probing *s, zh_error *err) {
  ZH_TRY(zh_check_attach(s->trial.check, err));
  zh_status status = compute_reference(s, err);
  zh_check_detach(s->trial.check);
  ZH_TRY(status);
  return zh_check_report(s->trial.check, s->trial.job->checks, err);
}

static int64_t positions(const zh_job *job) {
  (void)job;
  return ZH_LIVENESS_LENGTH;
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  probing *s = calloc(1, sizeof *s);
  if (!s) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for probes");
  zh_trial_plan plan = {
      .sequences = ZH_LIVENESS_SEQUENCES, .context = ZH_LIVENESS_LENGTH, .unpacked = true};
  zh_status status = zh_trial_open(&s->trial, job, &plan, err);
  if (status == ZH_OK)
    status = zh_liveness_read_texts(&s->texts, s->trial.model,
                                    zh_engine_architecture(s->trial.engine), err);
  if (status == ZH_OK) status = watch(s, err);
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
  *out = (zh_case){.metric = "live_lower_bound_95",
                   .unit = "1",
                   .kind = ZH_SAMPLE_VALUE,
                   .work = 1,
                   .more_is_better = true,
                   .repeats = 1};
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  probing *s = state;
  zh_job *job = s->trial.job;
  zh_liveness_options options = {.seed = job->seed, .probes = (uint32_t)zh_job_int(job, "probes")};
  zh_liveness_texts texts = s->texts;
  (void)index;
  (void)warmup;
  if (job->fault == ZH_FAULT_TOKEN && !s->trial.fault_done) {
    uint32_t *token = &texts.token[0][zh_trial_draw(&s->trial, STREAM_FAULT) % texts.length];
    s->trial.fault_done = true;
    *token = *token > 0 ? *token - 1 : 1;
  }
  zh_fault_strike(&s->trial, texts.length, false);
  zh_liveness_free(&s->result);
  ZH_TRY(zh_liveness_measure(&s->result, s->trial.engine, job->threads, &texts, &options, err));
  *sample = s->result.lower_bound_95;
  return ZH_OK;
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  const probing *s = state;
  (void)index;
  if (s->result.plain_bits == s->reference_bits) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "chain: the logits of the unchanged model differ from the checked pass's (sum of "
                 "bits %016llx, expected %016llx)",
                 (unsigned long long)s->result.plain_bits, (unsigned long long)s->reference_bits);
}

/* What each probe did, beside the figure; an infinite change is told as the largest float. */
static zh_status report_changes(probing *s, zh_error *err) {
  const zh_liveness *l = &s->result;
  zh_case what = {.metric = "logit_change",
                  .unit = "1",
                  .kind = ZH_SAMPLE_VALUE,
                  .work = 1,
                  .more_is_better = true};
  double *changes = malloc((l->count + 1) * sizeof *changes);
  if (!changes) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the probes' changes");
  for (size_t i = 0; i < l->count; ++i)
    changes[i] = isfinite(l->probes[i].change) ? (double)l->probes[i].change : 3.4e38;
  zh_status status = zh_job_series(s->trial.job, &what, changes, l->count, err);
  free(changes);
  return status;
}

static zh_status finish(void *state, zh_error *err) {
  probing *s = state;
  ZH_TRY(zh_trial_record(&s->trial, "replay", "logits of the unchanged model after all probes", 0,
                         0, true, err));
  ZH_TRY(zh_trial_fact(&s->trial, "live", zh_liveness_json(&s->result), err));
  ZH_TRY(report_changes(s, err));
  return zh_trial_finish(&s->trial, err);
}

static const zh_metric METRICS[] = {{"live_lower_bound_95", "1"}, {"logit_change", "1"}, {0}};

const zh_workload zh_workload_liveness = {
    .name = "liveness",
    .summary_zh = "逐个改动抽取的权重，看输出是否随之改变",
    .summary_en = "which share of a model's weights changes its output",
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
