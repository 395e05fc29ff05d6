/* Signs of flips: bits of Philox, or of the replicate's own number where all flips are made. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "evaluator/stats/flips.h"

void zh_draws_run(const zh_draws *draws, zh_task task, void *user) {
  if (draws->threads != NULL)
    zh_threads_run(draws->threads, task, user);
  else
    task(user, 0, 1);
}

void zh_sign_bits(uint64_t *bits, size_t count, uint64_t seed, uint64_t replicate) {
  size_t words = (count + 63) / 64;
  zh_random_fill((uint32_t *)bits, 2 * words, seed, replicate, 0);
  if (count % 64 != 0) bits[words - 1] &= ((uint64_t)1 << (count % 64)) - 1;
}

bool zh_signs_all(size_t *flips, size_t count, size_t replicates) {
  enum { LIMIT = 40 };
  bool all = count < LIMIT && (size_t)1 << count <= replicates;
  *flips = all ? (size_t)1 << count : replicates;
  return all;
}

typedef struct permutation {
  const zh_groups *groups;
  const zh_draws *draws;
  const double *parts; /* [clusters] */
  double *squares;     /* [tasks] */
  size_t flips;
  bool all;
  double observed, least;   /* statistic; what counts as equal to it */
  size_t *greater, *beyond; /* [threads] */
  atomic_bool failed;
} permutation;

/* bits NULL: no sign changes. Comparable between flips alone: with one task the sum itself, which
 * Student's t follows. */
static double statistic(const permutation *p, const uint64_t *bits) {
  const zh_groups *g = p->groups;
  double total = 0, variance = 0;
  for (size_t t = 0; t < g->tasks; t++) {
    double sum = 0, clusters = (double)(g->first[t + 1] - g->first[t]);
    for (size_t c = g->first[t]; c < g->first[t + 1]; c++) {
      bool plus = bits == NULL || (bits[c / 64] >> (c % 64) & 1);
      sum += plus ? p->parts[c] : -p->parts[c];
    }
    total += sum;
    if (clusters > 1)
      variance += (p->squares[t] - sum * sum / clusters) * clusters / (clusters - 1);
  }
  if (g->tasks == 1) return total;
  return variance > 0 ? total / sqrt(variance) : total == 0 ? 0 : copysign(INFINITY, total);
}

static void permute(void *user, int thread, int threads) {
  permutation *p = user;
  size_t begin, end, words = (p->groups->clusters + 63) / 64;
  uint64_t *bits = calloc(words + 1, sizeof *bits);
  zh_share(&begin, &end, p->flips, 1, thread, threads);
  if (bits == NULL) {
    atomic_store(&p->failed, true);
    return;
  }
  for (size_t r = begin; r < end; r++) {
    if (p->all)
      bits[0] = r;
    else
      zh_sign_bits(bits, p->groups->clusters, p->draws->seed, r);
    double value = statistic(p, bits);
    p->greater[thread] += value >= p->observed - p->least;
    p->beyond[thread] += fabs(value) >= fabs(p->observed) - p->least;
  }
  free(bits);
}

static void finish(zh_flip_test *out, const permutation *p, int threads) {
  size_t greater = 0, beyond = 0, own = !p->all;
  for (int i = 0; i < threads; i++) greater += p->greater[i], beyond += p->beyond[i];
  *out = (zh_flip_test){.p_greater = (double)(greater + own) / (double)(p->flips + own),
                        .p_two_sided = (double)(beyond + own) / (double)(p->flips + own),
                        .flips = p->flips,
                        .exact = p->all};
}

zh_status zh_sign_flip_test(zh_flip_test *out, const zh_groups *g, const double *differences,
                            const zh_draws *draws, zh_error *err) {
  int threads = draws->threads != NULL ? zh_threads_count(draws->threads) : 1;
  double *parts = calloc(g->clusters + g->tasks, sizeof *parts);
  size_t *counts = calloc(2 * (size_t)threads, sizeof *counts);
  zh_status status = ZH_OK;
  if (parts == NULL || counts == NULL) {
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu clusters", g->clusters);
    goto done;
  }
  permutation p = {.groups = g,
                   .draws = draws,
                   .parts = parts,
                   .squares = parts + g->clusters,
                   .greater = counts,
                   .beyond = counts + threads};
  double size = 0;
  zh_contributions(parts, g, differences, false);
  for (size_t c = 0; c < g->clusters; c++) {
    p.squares[g->task_of[c]] += parts[c] * parts[c];
    size += fabs(parts[c]);
  }
  p.all = zh_signs_all(&p.flips, g->clusters, draws->replicates);
  p.observed = statistic(&p, NULL);
  p.least = 1e-11 * (g->tasks == 1 ? size : 1 + fabs(p.observed));
  zh_draws_run(draws, permute, &p);
  if (atomic_load(&p.failed))
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu clusters", g->clusters);
  else
    finish(out, &p, threads);
done:
  free(parts);
  free(counts);
  return status;
}
