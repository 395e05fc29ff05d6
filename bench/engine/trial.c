#include "bench/engine/trial.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/content.h"
#include "bench/device_place.h"
#include "bench/engine/device_engine.h"
#include "bench/engine/faults.h"
#include "bench/engine/inside.h"
#include "core/clock.h"
#include "core/philox.h"

enum { FIRST_TOKENS = 8 };

/* Philox streams of the choices below; workloads use small numbers for theirs,
 * trial_replay.c 1001. */
enum { STREAM_CHECK = 1000, STREAM_ROWS = 1002 };

uint32_t zh_trial_draw(const zh_trial *trial, uint64_t stream) {
  uint32_t bits;
  zh_random_fill(&bits, 1, trial->job->seed, stream, 0);
  return bits;
}

void zh_trial_tokens(const zh_trial *trial, uint32_t *out, size_t count, uint64_t stream) {
  zh_random_fill(out, count, trial->job->seed, stream, 0);
  for (size_t i = 0; i < count; ++i) out[i] = (uint32_t)(((uint64_t)out[i] * trial->vocab) >> 32);
}

zh_status zh_trial_record(zh_trial *trial, const char *check, const char *what, double bound,
                          double error, bool passed, zh_error *err) {
  if (!trial->job->checks) return ZH_OK;
  json_t *entry =
      json_pack("{s:s, s:s, s:o, s:o, s:b}", "check", check, "what", what, "bound",
                zh_json_number(bound), "error", zh_json_number(error), "passed", passed);
  if (entry && json_array_append_new(trial->job->checks, entry) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to record a check");
}

zh_status zh_trial_fact(zh_trial *trial, const char *name, json_t *value, zh_error *err) {
  if (!trial->job->facts) {
    json_decref(value);
    return ZH_OK;
  }
  if (value && json_object_set_new(trial->job->facts, name, value) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to record '%s'", name);
}

/* The bytes that this rank mapped, or those that it reads of a model that lies over several, must
 * be those that were counted before the run. */
static zh_status hold_to_count(zh_trial *trial, zh_error *err) {
  char content[ZH_DIGEST_HEX];
  const zh_job *job = trial->job;
  ZH_TRY(zh_job_is_parallel(job) ? zh_trial_digest_parts(content, trial, err)
                                 : zh_content_digest(content, trial->model, job->threads, err));
  ZH_TRY(zh_trial_fact(trial, "content_sm3", json_string(content), err));
  if (!job->content_sm3) return ZH_OK;
  bool same = strcmp(content, job->content_sm3) == 0;
  ZH_TRY(zh_trial_record(trial, "content", "the model's bytes against those that were counted", 0,
                         same ? 0 : 1, same, err));
  if (same) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "model %s is not the one that was counted before the run: its content digest is "
                 "%.16s…, and was %.16s…",
                 zh_model_name(trial->model), content, job->content_sm3);
}

/* Times in seconds: load_s without the digests, which are checks. */
static zh_status say_load(zh_trial *trial, double load_s, double content_s, double digest_s,
                          zh_error *err) {
  const zh_load *load = &trial->engine->weights.load;
  double moved = 2 * (double)load->packed_bytes;
  json_t *fact = json_pack(
      "{s:f, s:f, s:f, s:f, s:I, s:o, s:f, s:f, s:s}", "load_s", load_s, "generate_s",
      load->generate_s, "memory_s", load->memory_s, "pack_s", load->pack_s, "packed_bytes",
      (json_int_t)load->packed_bytes, "pack_rate",
      load->pack_s > 0 ? zh_json_number(moved / load->pack_s) : json_null(), "content_digest_s",
      content_s, "weights_digest_s", digest_s, "packed_cache", load->cache);
  return zh_trial_fact(trial, "load", fact, err);
}

static double seconds_since(int64_t begun) {
  return (double)(zh_now_ns() - begun) / 1e9;
}

zh_status zh_trial_open(zh_trial *out, zh_job *job, const zh_trial_plan *plan, zh_error *err) {
  uint32_t sequences = plan->sequences;
  *out = (zh_trial){.job = job, .sequences = sequences, .before = zh_footprint_now()};
  out->time.began = zh_now_ns();
  zh_ranks ranks = {.comm = job->comm,
                    .split = zh_job_split(job),
                    .group = zh_job_group(job),
                    .experts = zh_job_experts(job),
                    .tokens = plan->tokens};
  zh_kv_type kept = ZH_KV_F32;
  if (!plan->unpacked) (void)zh_kv_find(&kept, zh_job_word(job, "kv"));
  zh_engine_options options = {.precision = strcmp(zh_job_word(job, "precision"), "exact") == 0
                                                ? ZH_PRECISION_EXACT
                                                : ZH_PRECISION_FAST,
                               .kv = kept,
                               .sequences = sequences,
                               .context = plan->context,
                               .ranks = zh_job_is_parallel(job) ? &ranks : NULL,
                               .packed_cache = job->packed_cache,
                               .unpacked = plan->unpacked};
  ZH_TRY(zh_device_place(&options.device, job->device, job->comm, err));
  int64_t begun = zh_now_ns();
  zh_status status = zh_model_open(&out->model, job->model, err);
  double load_s = seconds_since(begun), content_s = 0;
  bool parallel = zh_job_is_parallel(job);
  begun = zh_now_ns();
  if (status == ZH_OK && !parallel) status = hold_to_count(out, err);
  content_s = seconds_since(begun);
  status = zh_trial_agree(job, status, err);
  begun = zh_now_ns();
  if (status == ZH_OK)
    status = zh_engine_create(&out->engine, out->model, job->threads, &options, err);
  load_s += seconds_since(begun);
  out->time.load = (int64_t)(load_s * 1e9);
  begun = zh_now_ns();
  if (status == ZH_OK && parallel) status = hold_to_count(out, err);
  content_s += seconds_since(begun);
  if (status == ZH_OK) {
    out->vocab = zh_engine_architecture(out->engine)->vocab;
    out->logits = malloc((size_t)sequences * out->vocab * sizeof *out->logits);
    if (!out->logits)
      status = zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %" PRIu32 " rows of logits",
                       sequences);
  }
  begun = zh_now_ns();
  if (status == ZH_OK) status = zh_engine_digest_weights(out->weights_sm3, out->engine, err);
  if (status == ZH_OK) status = say_load(out, load_s, content_s, seconds_since(begun), err);
  if (status == ZH_OK)
    status = zh_trial_fact(out, "weights_sm3", json_string(out->weights_sm3), err);
  if (status == ZH_OK && out->engine->device)
    status = zh_trial_fact(out, "device", zh_engine_device_json(out->engine), err);
  if (status == ZH_OK && parallel && out->engine->device)
    status = zh_trial_fact(out, "group", zh_engine_group_json(out->engine), err);
  if (status == ZH_OK && out->engine->device && job->watch)
    status = zh_gpu_watch_add(job->watch, out->engine->device->facts.bus, err);
  if (status == ZH_OK)
    status = zh_trial_fact(out, "kernels", json_string(out->engine->kernels->name), err);
  status = zh_trial_agree(job, status, err);
  if (status == ZH_OK) status = zh_trial_say_ranks(out, err);
  for (uint32_t i = 0; status == ZH_OK && i < sequences; ++i) zh_engine_poison(out->engine, i, 0);
  if (status == ZH_OK) status = zh_fault_install(out, err);
  if (status == ZH_OK)
    status = zh_check_create(&out->check, out->engine, job->seed ^ STREAM_CHECK, err);
  if (status != ZH_OK) zh_trial_close(out);
  return status;
}

void zh_trial_close(zh_trial *trial) {
  zh_check_free(trial->check);
  zh_engine_free(trial->engine);
  zh_model_free(trial->model);
  free(trial->logits);
  *trial = (zh_trial){0};
}

zh_status zh_feed_create(zh_feed *out, const uint32_t *tokens, uint32_t sequences, size_t stride,
                         size_t first, size_t last, zh_error *err) {
  size_t count = sequences * (last - first);
  *out = (zh_feed){.token = malloc((count + 1) * sizeof *out->token),
                   .position = malloc((count + 1) * sizeof *out->position),
                   .sequence = malloc((count + 1) * sizeof *out->sequence),
                   .want = calloc(count + 1, sizeof *out->want)};
  if (!out->token || !out->position || !out->sequence || !out->want) {
    zh_feed_free(out);
    return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu tokens", count);
  }
  for (uint32_t s = 0; s < sequences; ++s) {
    for (size_t p = first; p < last; ++p) {
      out->token[out->count] = tokens[s * stride + p];
      out->position[out->count] = (uint32_t)p;
      out->sequence[out->count] = s;
      out->want[out->count++] = p + 1 == last;
    }
  }
  return ZH_OK;
}

void zh_feed_free(zh_feed *feed) {
  free(feed->token);
  free(feed->position);
  free(feed->sequence);
  free(feed->want);
  *feed = (zh_feed){0};
}

zh_status zh_trial_forward(zh_trial *trial, const zh_feed *feed, zh_error *err) {
  if (feed->count == 0) return ZH_OK;
  return zh_engine_forward(trial->engine, feed->token, feed->position, feed->sequence, feed->count,
                           feed->want, trial->logits, err);
}

/* chosen stays outside the vocabulary where the logits are not numbers. */
static void read_answer(zh_answer *out, zh_trial *trial, const float *logits) {
  size_t chosen = trial->engine->kernels->argmax(logits, trial->vocab);
  zh_engine_mark(trial->engine, ZH_STAGE_CHOICE);
  if (chosen >= trial->vocab || !isfinite(logits[chosen])) return;
  out->chosen = (uint32_t)chosen;
  memcpy(&out->logit_bits, &logits[chosen], sizeof out->logit_bits);
  int64_t began = zh_now_ns();
  out->bits_sum = zh_sum_of_bits(logits, trial->vocab);
  trial->time.sums += zh_now_ns() - began;
  zh_engine_mark(trial->engine, ZH_STAGE_CHECK);
}

zh_status zh_trial_answer(zh_answer *out, zh_trial *trial, const float *logits, uint32_t fed,
                          uint32_t position, zh_error *err) {
  *out = (zh_answer){.fed = fed, .chosen = trial->vocab, .position = position};
  if (zh_engine_has_head(trial->engine)) read_answer(out, trial, logits);
  ZH_TRY(zh_engine_share(trial->engine, out, sizeof *out, err));
  if (out->chosen < trial->vocab) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK, "the logits at position %" PRIu32 " are not numbers", position);
}

void zh_trial_sampled(zh_trial *trial, double sample_ns) {
  trial->time.samples += (int64_t)sample_ns;
  trial->time.in_samples += trial->time.sums;
}

void zh_trial_checks_between(zh_trial *trial, int64_t began) {
  trial->time.between += zh_now_ns() - began;
  trial->time.sums = 0;
}

/* All that is neither loading nor a repeat counts as checking, of the whole step. */
static zh_status say_cost(zh_trial *trial, zh_error *err) {
  const zh_check_time *t = &trial->time;
  if (t->samples <= 0) return ZH_OK;
  double samples = (double)t->samples, in = (double)t->in_samples, between = (double)t->between,
         step = (double)(zh_now_ns() - t->began);
  const struct {
    const char *name;
    double share;
  } facts[] = {{"check_share_of_samples", in / samples},
               {"check_share_of_repeats", (in + between) / (samples + between)},
               {"check_share_of_step", 1 - ((double)t->load + samples - in) / step}};
  for (size_t i = 0; i < sizeof facts / sizeof facts[0]; ++i)
    ZH_TRY(zh_trial_fact(trial, facts[i].name, zh_json_number(facts[i].share), err));
  return ZH_OK;
}

zh_status zh_trial_compare(const zh_trial *trial, const zh_answer *reference,
                           const zh_answer *answers, size_t steps, zh_error *err) {
  for (size_t i = 0; i < steps * trial->sequences; ++i) {
    const zh_answer *was = &reference[i], *is = &answers[i];
    size_t step = i / trial->sequences, sequence = i % trial->sequences;
    if (is->fed != was->fed) {
      return zh_fail(err, ZH_ERR_CHECK,
                     "chain: at step %zu of sequence %zu token %" PRIu32
                     " was fed back, where %" PRIu32 " had been generated",
                     step, sequence, is->fed, was->fed);
    }
    if (is->chosen != was->chosen || is->logit_bits != was->logit_bits ||
        is->bits_sum != was->bits_sum) {
      return zh_fail(err, ZH_ERR_CHECK,
                     "chain: at step %zu of sequence %zu (position %" PRIu32
                     ") a repeat chose token %" PRIu32
                     " with logit %.9g where the checked pass chose %" PRIu32
                     " with %.9g; the same computation must "
                     "give the same bits in all logits",
                     step, sequence, is->position, is->chosen, (double)zh_answer_logit(is),
                     was->chosen, (double)zh_answer_logit(was));
    }
  }
  return ZH_OK;
}

static zh_status judge_memory_here(zh_trial *trial, zh_error *err) {
  zh_footprint now = zh_footprint_now(), before = trial->before;
  uint64_t logits = (uint64_t)trial->sequences * trial->vocab * sizeof *trial->logits;
  if (trial->engine->device) {
    zh_engine_device_footprint(&before, &now, trial->engine);
    logits = 0;
  }
  if (!now.known || !before.known) return ZH_OK;
  zh_footprint_judgement found =
      zh_footprint_judge(zh_footprint_formula(trial->engine, logits), &before, &now);
  double beyond = (double)found.held - (double)found.formula;
  ZH_TRY(
      zh_trial_fact(trial, "memory", zh_footprint_json(trial->engine, logits, &before, &now), err));
  ZH_TRY(zh_trial_record(trial, "memory", "bytes held against the formula", (double)found.bound,
                         beyond, found.passed, err));
  if (found.passed) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "memory: the process holds %.1f MB for the model, by formula it should be %.1f MB "
                 "and at most %.1f MB more; something stands twice in memory",
                 (double)found.held / 1e6, (double)found.formula / 1e6, (double)found.bound / 1e6);
}

zh_status zh_trial_judge_memory(zh_trial *trial, zh_error *err) {
  zh_status status = judge_memory_here(trial, err);
  return zh_trial_agree(trial->job, status, err);
}

zh_status zh_trial_finish(zh_trial *trial, zh_error *err) {
  zh_engine_cost cost = zh_engine_cost_of(trial->engine);
  const struct {
    const char *name;
    uint64_t value;
  } facts[] = {
      {"weight_bytes_per_step", trial->step_bytes ? trial->step_bytes : cost.weight_bytes},
      {"kv_bytes_per_position", cost.kv_bytes_per_position},
      {"flop_per_token", cost.flops_per_token},
      {"memory_weights_bytes", cost.memory_weights},
      {"memory_kv_bytes", cost.memory_kv},
      {"memory_activations_bytes", cost.memory_activations},
      {"operator_samples", zh_check_samples(trial->check)},
  };
  for (size_t i = 0; i < sizeof facts / sizeof facts[0]; ++i)
    ZH_TRY(zh_trial_fact(trial, facts[i].name, json_integer((json_int_t)facts[i].value), err));
  ZH_TRY(zh_trial_fact(trial, "kv", json_string(zh_kv_names[trial->engine->kept]), err));
  zh_status status = zh_engine_verify_weights(trial->engine, trial->job->seed ^ STREAM_ROWS, err);
  if (status == ZH_OK) status = zh_model_unchanged(trial->model, err);
  bool same = status == ZH_OK;
  if (same || status == ZH_ERR_CHECK) {
    ZH_TRY(zh_trial_record(trial, "weights", "bytes that the engine read against their source", 0,
                           same ? 0 : 1, same, err));
  }
  return status == ZH_OK ? say_cost(trial, err) : status;
}

/* Entropy of the distribution that the logits at hand give, in nats. */
static double entropy(const float *logits, size_t count, double logsumexp) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i)
    sum += exp((double)logits[i] - logsumexp) * (logsumexp - (double)logits[i]);
  return sum;
}

zh_status zh_trial_describe(zh_trial *trial, const zh_answer *answers, size_t count,
                            zh_error *err) {
  char chain[65];
  ZH_TRY(zh_trial_chain(chain, answers, count, err));
  ZH_TRY(zh_trial_same_chain(trial, chain, err));
  ZH_TRY(zh_trial_fact(trial, "chain_sm3", json_string(chain), err));
  json_t *first = json_array();
  for (size_t i = 0; i * trial->sequences < count && i < FIRST_TOKENS; ++i) /* of sequence 0 */
    json_array_append_new(first, json_integer(answers[i * trial->sequences].chosen));
  ZH_TRY(zh_trial_fact(trial, "first_tokens", first, err));
  ZH_TRY(zh_trial_share_logits(trial, err));
  double lse = trial->engine->kernels->logsumexp(trial->logits, trial->vocab);
  ZH_TRY(zh_trial_fact(trial, "entropy_nats",
                       zh_json_number(entropy(trial->logits, trial->vocab, lse)), err));
  return zh_trial_record(trial, "chain", chain, 0, 0, true, err);
}
