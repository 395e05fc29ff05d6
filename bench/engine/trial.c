#include "bench/engine/trial.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/content.h"
#include "bench/engine/inside.h"
#include "core/philox.h"

enum { FIRST_TOKENS = 8 };

/* Philox streams of the choices below; workloads use small numbers for theirs. */
enum { STREAM_CHECK = 1000, STREAM_WEIGHT, STREAM_FLIP, STREAM_CUT, STREAM_ROWS, STREAM_STRUCK };

/* How far a replayed logit may lie from the timed one, relative to the largest of the logits: where
 * kernels sum in fp32, one token and many tokens may be summed in different orders.
 * docs/metrics.md, "Self-check". */
static const double REPLAY_RELATIVE = 1e-3;

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

bool zh_job_is_parallel(const zh_job *job) {
  const char *word = json_string_value(json_object_get(job->parameters, "parallel"));
  return word && strcmp(word, "tensor") == 0 && job->comm && job->comm->size > 1;
}

zh_status zh_trial_agree(const zh_job *job, zh_status mine, zh_error *err) {
  return zh_job_is_parallel(job) ? zh_comm_agree(job->comm, mine, err) : mine;
}

/* Of ranks that compute together one has the fault; but tokens are fed to all of them. */
static bool is_struck(const zh_trial *trial) {
  const zh_job *job = trial->job;
  if (!zh_job_is_parallel(job) || job->fault == ZH_FAULT_TOKEN) return true;
  return zh_trial_draw(trial, STREAM_STRUCK) % (uint32_t)job->comm->size ==
         (uint32_t)job->comm->rank;
}

static zh_status say_ranks(zh_trial *trial, zh_error *err) {
  if (!zh_job_is_parallel(trial->job)) return ZH_OK;
  ZH_TRY(zh_trial_fact(trial, "ranks_of_one_model", json_integer(trial->job->comm->size), err));
  return zh_trial_fact(trial, "nodes_of_one_model",
                       json_integer(zh_reduce_nodes(trial->engine->reduce)), err);
}

static zh_status inject_weight(zh_trial *trial, zh_error *err) {
  char what[128];
  uint64_t seed = trial->job->seed ^ zh_trial_draw(trial, STREAM_WEIGHT);
  ZH_TRY(zh_weights_flip(&trial->engine->weights, seed, what, sizeof what, err));
  return zh_trial_fact(trial, "injected", json_sprintf("weight: %s", what), err);
}

/* The bytes that this rank mapped must be those that were counted before the run. */
static zh_status hold_to_count(zh_trial *trial, zh_error *err) {
  char content[ZH_DIGEST_HEX];
  const zh_job *job = trial->job;
  ZH_TRY(zh_content_digest(content, trial->model, job->threads, err));
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

zh_status zh_trial_open(zh_trial *out, zh_job *job, uint32_t sequences, uint32_t context,
                        bool unpacked, zh_error *err) {
  *out = (zh_trial){.job = job, .sequences = sequences};
  zh_engine_options options = {.precision = strcmp(zh_job_word(job, "precision"), "exact") == 0
                                                ? ZH_PRECISION_EXACT
                                                : ZH_PRECISION_FAST,
                               .sequences = sequences,
                               .context = context,
                               .comm = zh_job_is_parallel(job) ? job->comm : NULL,
                               .unpacked = unpacked};
  zh_status status = zh_model_open(&out->model, job->model, err);
  if (status == ZH_OK) status = hold_to_count(out, err);
  status = zh_trial_agree(job, status, err);
  if (status == ZH_OK)
    status = zh_engine_create(&out->engine, out->model, job->threads, &options, err);
  if (status == ZH_OK) {
    out->vocab = zh_engine_architecture(out->engine)->vocab;
    out->logits = malloc((size_t)sequences * out->vocab * sizeof *out->logits);
    if (!out->logits)
      status = zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %" PRIu32 " rows of logits",
                       sequences);
  }
  if (status == ZH_OK)
    status = zh_weights_digest(out->weights_sm3, &out->engine->weights, job->threads, err);
  if (status == ZH_OK)
    status = zh_trial_fact(out, "weights_sm3", json_string(out->weights_sm3), err);
  if (status == ZH_OK)
    status = zh_trial_fact(out, "kernels", json_string(out->engine->kernels->name), err);
  if (status == ZH_OK) status = say_ranks(out, err);
  out->fault_done = !is_struck(out);
  if (status == ZH_OK && job->fault == ZH_FAULT_WEIGHT && !out->fault_done)
    status = inject_weight(out, err);
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

zh_status zh_trial_answer(zh_answer *out, const zh_trial *trial, const float *logits, uint32_t fed,
                          uint32_t position, zh_error *err) {
  size_t chosen = trial->engine->kernels->argmax(logits, trial->vocab);
  if (chosen >= trial->vocab || !isfinite(logits[chosen]))
    return zh_fail(err, ZH_ERR_CHECK, "the logits at position %" PRIu32 " are not numbers",
                   position);
  *out = (zh_answer){.fed = fed, .chosen = (uint32_t)chosen, .position = position};
  memcpy(&out->logit_bits, &logits[chosen], sizeof out->logit_bits);
  out->bits_sum = zh_sum_of_bits(logits, trial->vocab);
  return ZH_OK;
}

static float logit_of(const zh_answer *answer) {
  float logit;
  memcpy(&logit, &answer->logit_bits, sizeof logit);
  return logit;
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
                     step, sequence, is->position, is->chosen, (double)logit_of(is), was->chosen,
                     (double)logit_of(was));
    }
  }
  return ZH_OK;
}

static void little_endian(unsigned char *out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t from_little_endian(const unsigned char *at, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= (uint64_t)at[i] << (8 * i);
  return value;
}

void zh_answer_bytes(unsigned char out[ZH_LINK_BYTES], const zh_answer *answer) {
  little_endian(out, answer->fed, 4);
  little_endian(out + 4, answer->chosen, 4);
  little_endian(out + 8, answer->logit_bits, 4);
  little_endian(out + 12, answer->position, 4);
  little_endian(out + 16, answer->bits_sum, 8);
}

void zh_answer_read(zh_answer *out, const unsigned char link[ZH_LINK_BYTES]) {
  *out = (zh_answer){.fed = (uint32_t)from_little_endian(link, 4),
                     .chosen = (uint32_t)from_little_endian(link + 4, 4),
                     .logit_bits = (uint32_t)from_little_endian(link + 8, 4),
                     .position = (uint32_t)from_little_endian(link + 12, 4),
                     .bits_sum = from_little_endian(link + 16, 8)};
}

zh_status zh_trial_chain(char out[65], const zh_answer *answers, size_t count, zh_error *err) {
  zh_digest *digest = NULL;
  ZH_TRY(zh_digest_create(&digest, ZH_SM3, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; i < count && status == ZH_OK; ++i) {
    unsigned char link[ZH_LINK_BYTES];
    zh_answer_bytes(link, &answers[i]);
    status = zh_digest_update(digest, link, sizeof link, err);
  }
  if (status == ZH_OK) status = zh_digest_final(out, digest, err);
  zh_digest_free(digest);
  return status;
}

uint64_t zh_trial_cache_sum(const zh_trial *trial, uint32_t length) {
  const zh_engine *e = trial->engine;
  size_t row = (size_t)e->architecture.kv_heads * e->architecture.head_dim,
         stride = e->context * row;
  uint64_t sum = 0;
  for (size_t i = 0; i < (size_t)e->architecture.layers * e->sequences; ++i)
    sum += zh_sum_of_bits(e->keys + i * stride, length * row) +
           zh_sum_of_bits(e->values + i * stride, length * row);
  return sum;
}

zh_status zh_trial_compare_cache(uint64_t reference, uint64_t now, zh_error *err) {
  if (now == reference) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "cache: the keys and values of a repeat differ from the checked pass's (sum of "
                 "bits %016" PRIx64 ", expected %016" PRIx64 ")",
                 now, reference);
}

/* Bits of a number next to its row's mean that no rounding of activations takes away: of fp32 all
 * that matter, of bf16 the upper 7 of the fraction, of bytes what is more than several steps of a
 * block whose largest is some times the mean. */
static unsigned lowest_flipped_bit(const zh_engine *e) {
  return e->prepared[ZH_ROUND_BYTES] ? 21 : e->prepared[ZH_ROUND_BF16] ? 18 : 8;
}

void zh_trial_flip_activation(zh_trial *trial, size_t tokens) {
  zh_engine *e = trial->engine;
  if (trial->fault_done || trial->job->fault != ZH_FAULT_ACTIVATION) return;
  trial->fault_done = true;
  uint32_t random[4];
  zh_random_fill(random, 4, trial->job->seed, STREAM_FLIP, 0);
  if (tokens > e->micro_batch) tokens = e->micro_batch;
  uint32_t layers = e->architecture.layers, hidden = e->architecture.hidden,
           lowest = lowest_flipped_bit(e);
  /* What the last layer adds for a token that is not the last one is never read: there a flip
   * changes nothing. */
  size_t t = layers > 1 ? random[1] % tokens : tokens - 1;
  e->flip = (zh_flip){.armed = true,
                      .layer = layers > 1 ? random[0] % (layers - 1) : 0,
                      .element = t * hidden + random[2] % hidden,
                      .bit = lowest + random[3] % (32 - lowest)};
}

/* Where kernels sum in fp64, batches do not change the bits. */
static double replay_bound(const zh_trial *trial) {
  if (trial->engine->kernels->fp64_sums) return 0;
  double largest = 0;
  for (size_t i = 0; i < trial->vocab; ++i) largest = fmax(largest, fabs((double)trial->logits[i]));
  return REPLAY_RELATIVE * largest;
}

zh_status zh_trial_judge_replay(zh_trial *trial, uint32_t token, float timed, uint32_t position,
                                uint32_t sequence, zh_error *err) {
  double again = trial->logits[token], error = fabs((double)timed - again);
  double bound = replay_bound(trial);
  bool passed = error <= bound;
  char what[128];
  snprintf(what, sizeof what, "position %" PRIu32 " of sequence %" PRIu32 " from an empty cache",
           position, sequence);
  ZH_TRY(zh_trial_record(trial, "replay", what, bound, error, passed, err));
  if (passed) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "replay: %s gives token %" PRIu32
                 " a logit of %.9g, the timed run gave %.9g; the error %.3g is over the bound %.3g",
                 what, token, again, (double)timed, error, bound);
}

/* Tokens [first, last) of the feed, one way. */
static zh_status recompute_part(zh_trial *trial, const zh_feed *feed, size_t first, size_t last,
                                zh_way way, zh_error *err) {
  zh_engine *engine = trial->engine;
  if (first >= last) return ZH_OK;
  engine->way_is_set = true;
  engine->way = way;
  zh_status status =
      zh_engine_forward(engine, feed->token + first, feed->position + first, feed->sequence + first,
                        last - first, NULL, trial->logits, err);
  engine->way_is_set = false;
  return status;
}

/* The same, in two parts where `cut` lies inside. */
static zh_status recompute_parts(zh_trial *trial, const zh_feed *feed, size_t first, size_t last,
                                 size_t cut, zh_way way, zh_error *err) {
  if (cut <= first || cut >= last) return recompute_part(trial, feed, first, last, way, err);
  ZH_TRY(recompute_part(trial, feed, first, cut, way, err));
  return recompute_part(trial, feed, cut, last, way, err);
}

zh_status zh_trial_recompute(zh_trial *trial, const uint32_t *tokens, size_t length,
                             uint32_t sequence, zh_ways ways, zh_error *err) {
  zh_feed feed;
  size_t cut = length > 1 ? 1 + zh_trial_draw(trial, STREAM_CUT) % (length - 1) : length,
         lead = ways.lead < length ? ways.lead : length;
  ZH_TRY(zh_feed_create(&feed, tokens, 1, length, 0, length, err));
  for (size_t i = 0; i < length; ++i) feed.sequence[i] = sequence;
  zh_engine_poison(trial->engine, sequence);
  zh_status status = recompute_parts(trial, &feed, 0, lead, cut, ways.before, err);
  if (status == ZH_OK) status = recompute_parts(trial, &feed, lead, length, cut, ways.after, err);
  zh_feed_free(&feed);
  return status;
}

zh_status zh_trial_replay(zh_trial *trial, const uint32_t *tokens, size_t length, uint32_t sequence,
                          zh_ways ways, const zh_answer *expected, zh_error *err) {
  zh_answer again = {0};
  uint32_t position = (uint32_t)length - 1;
  ZH_TRY(zh_trial_recompute(trial, tokens, length, sequence, ways, err));
  ZH_TRY(zh_trial_answer(&again, trial, trial->logits, tokens[position], position, err));
  ZH_TRY(
      zh_trial_judge_replay(trial, expected->chosen, logit_of(expected), position, sequence, err));
  double lead = (double)logit_of(&again) - trial->logits[expected->chosen];
  if (again.chosen == expected->chosen || lead <= replay_bound(trial)) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "replay: position %" PRIu32 " of sequence %" PRIu32 " chose token %" PRIu32
                 ", the timed run %" PRIu32 "; their logits differ by %.3g",
                 position, sequence, again.chosen, expected->chosen, lead);
}

zh_status zh_trial_finish(zh_trial *trial, zh_error *err) {
  zh_engine_cost cost = zh_engine_cost_of(trial->engine);
  const struct {
    const char *name;
    uint64_t value;
  } facts[] = {
      {"weight_bytes_per_step", cost.weight_bytes},
      {"kv_bytes_per_position", cost.kv_bytes_per_position},
      {"flop_per_token", cost.flops_per_token},
      {"memory_weights_bytes", cost.memory_weights},
      {"memory_kv_bytes", cost.memory_kv},
      {"memory_activations_bytes", cost.memory_activations},
      {"operator_samples", zh_check_samples(trial->check)},
  };
  for (size_t i = 0; i < sizeof facts / sizeof facts[0]; ++i)
    ZH_TRY(zh_trial_fact(trial, facts[i].name, json_integer((json_int_t)facts[i].value), err));
  zh_status status = zh_weights_verify(&trial->engine->weights, trial->job->threads,
                                       trial->job->seed ^ STREAM_ROWS, err);
  if (status == ZH_OK) status = zh_model_unchanged(trial->model, err);
  bool same = status == ZH_OK;
  if (same || status == ZH_ERR_CHECK) {
    ZH_TRY(zh_trial_record(trial, "weights", "bytes that the engine read against their source", 0,
                           same ? 0 : 1, same, err));
  }
  return status;
}

/* Entropy of the distribution that the logits at hand give, in nats. */
static double entropy(const float *logits, size_t count, double logsumexp) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i)
    sum += exp((double)logits[i] - logsumexp) * (logsumexp - (double)logits[i]);
  return sum;
}

zh_status zh_trial_same_chain(zh_trial *trial, const char chain[65], zh_error *err) {
  const zh_comm *comm = trial->job->comm;
  char first[65];
  if (!zh_job_is_parallel(trial->job)) return ZH_OK;
  memcpy(first, chain, sizeof first);
  ZH_TRY(comm->broadcast(comm, first, sizeof first, 0, err));
  double differs = strcmp(first, chain) == 0 ? 0 : comm->rank;
  ZH_TRY(comm->max_f64(comm, &differs, 1, err));
  ZH_TRY(zh_trial_record(trial, "ranks", "the chain of every rank against rank 0's", 0, differs,
                         differs == 0, err));
  if (differs == 0) return ZH_OK;
  return zh_fail(
      err, ZH_ERR_CHECK,
      "ranks: the chain of rank %.0f is not that of rank 0; ranks that compute one model "
      "together must have the same bits in all logits",
      differs);
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
  double lse = trial->engine->kernels->logsumexp(trial->logits, trial->vocab);
  ZH_TRY(zh_trial_fact(trial, "entropy_nats",
                       zh_json_number(entropy(trial->logits, trial->vocab, lse)), err));
  return zh_trial_record(trial, "chain", chain, 0, 0, true, err);
}
