/* Keys and values of a trial, as sums: a repeat's against the checked pass's, and marks of single
 * positions for a certificate. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/device_engine.h"
#include "bench/engine/inside.h"
#include "bench/engine/trial.h"

typedef struct summing {
  const zh_engine *engine;
  uint32_t length;
  uint64_t *sums; /* [threads] */
} summing;

/* Layers and sequences have odd factors, so that none can stand in another's place. */
static void sum_caches(void *user, int thread, int threads) {
  const summing *s = user;
  const zh_engine *e = s->engine;
  size_t begin, end;
  uint64_t sum = 0;
  zh_share(&begin, &end, (size_t)e->architecture.layers * e->sequences, 1, thread, threads);
  for (size_t i = begin; i < end; ++i) {
    zh_kv kv = zh_engine_kv(e, i / e->sequences);
    sum += zh_kv_sum(&kv, i % e->sequences, s->length) * (2 * (uint64_t)i + 1);
  }
  s->sums[thread] = sum;
}

zh_status zh_trial_cache_sum(uint64_t *out, const zh_trial *trial, uint32_t length, zh_error *err) {
  if (trial->engine->device) return zh_device_cache_sum(out, trial->engine, length, err);
  int threads = zh_threads_count(trial->engine->threads);
  summing s = {trial->engine, length, calloc((size_t)threads, sizeof *s.sums)};
  if (!s.sums) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to check the cache");
  zh_threads_run(trial->engine->threads, sum_caches, &s);
  *out = 0;
  for (int i = 0; i < threads; ++i) *out += s.sums[i];
  free(s.sums);
  return ZH_OK;
}

/* Of the heads that no rank before this one has: of the values that are held, one position's. */
static void mark_own(uint64_t *out, float *head, const zh_trial *trial, size_t start,
                     size_t steps) {
  const zh_engine *e = trial->engine;
  for (uint64_t here = 0; here < e->architecture.layers; ++here) {
    zh_kv kv = zh_engine_kv(e, here);
    uint64_t layer = here + e->weights.first_layer;
    for (size_t i = 0; i < trial->sequences * steps * kv.kv_heads; ++i) {
      size_t place = i / kv.kv_heads, h = i % kv.kv_heads, at = start + place % steps;
      zh_kv_keys(head, &kv, place / steps, h, at, at + 1);
      out[place] += zh_sum_of_bits(head, kv.head_dim) * (4 * layer + 1);
      if (kv.shared) continue;
      zh_kv_values(head, &kv, place / steps, h, at, at + 1);
      out[place] += zh_sum_of_bits(head, kv.head_dim) * (4 * layer + 3);
    }
  }
}

/* Ranks beyond the key heads share them: of those that hold the same one the first counts. */
static bool holds_first(const zh_trial *trial) {
  zh_architecture whole;
  zh_part part = trial->engine->stages.part;
  if (zh_model_architecture(&whole, trial->model, NULL) != ZH_OK) return true;
  uint32_t parts = (uint32_t)part.parts;
  return parts <= whole.kv_heads || (uint32_t)part.index % (parts / whole.kv_heads) == 0;
}

static zh_status sum_over_ranks(uint64_t *marks, size_t count, const zh_comm *comm, zh_error *err) {
  uint64_t *all = calloc((size_t)comm->size, count * sizeof *all);
  zh_status status = all ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the marks");
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = comm->gather(comm, marks, count * sizeof *marks, all, 0, err);
  for (size_t i = 0; status == ZH_OK && comm->rank == 0 && i < count; ++i) {
    marks[i] = 0;
    for (size_t rank = 0; rank < (size_t)comm->size; ++rank) marks[i] += all[rank * count + i];
  }
  free(all);
  if (status == ZH_OK) status = comm->broadcast(comm, marks, count * sizeof *marks, 0, err);
  return status;
}

zh_status zh_trial_cache_marks(uint64_t *out, const zh_trial *trial, size_t start, size_t steps,
                               zh_error *err) {
  size_t count = trial->sequences * steps;
  bool parallel = zh_job_is_parallel(trial->job);
  float *head = malloc(trial->engine->kv.head_dim * sizeof *head);
  zh_status status =
      head ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a head's keys");
  status = zh_trial_agree(trial->job, status, err);
  memset(out, 0, count * sizeof *out);
  if (status == ZH_OK) status = zh_engine_fetch_cache(trial->engine, err);
  if (status == ZH_OK && (!parallel || holds_first(trial)))
    mark_own(out, head, trial, start, steps);
  free(head);
  return status == ZH_OK && parallel ? sum_over_ranks(out, count, trial->job->comm, err) : status;
}

zh_status zh_trial_compare_cache(const zh_trial *trial, uint32_t length, uint64_t reference,
                                 zh_error *err) {
  uint64_t now = 0;
  ZH_TRY(zh_trial_cache_sum(&now, trial, length, err));
  if (now == reference) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "cache: the keys and values of a repeat differ from the checked pass's (sum of "
                 "bits %016" PRIx64 ", expected %016" PRIx64 ")",
                 now, reference);
}
