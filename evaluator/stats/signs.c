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

/* Clusters that do not differ have no sign to flip, and are left out of it all. */
typedef struct permutation {
  const zh_groups *groups;
  const zh_draws *draws;
  double *parts;   /* of clusters that differ */
  size_t *begin;   /* [tasks + 1]: where in parts a task's begin */
  double *squares; /* [tasks] */
  size_t flips;
  bool all;
  double observed, least; /* statistic; what counts as equal to it */
  size_t (*counts)[3];    /* [threads]: at least as large, as small, as far from 0 */
  atomic_bool failed;
} permutation;

/* bits NULL: no sign changes. Comparable between flips alone: with one task the sum itself, which
 * Student's t follows. */
static double statistic(const permutation *p, const uint64_t *bits) {
  const zh_groups *g = p->groups;
  double total = 0, variance = 0;
  for (size_t t = 0; t < g->tasks; t++) {
    double sum = 0, clusters = (double)(g->first[t + 1] - g->first[t]);
    for (size_t k = p->begin[t]; k < p->begin[t + 1]; k++) {
      bool plus = bits == NULL || (bits[k / 64] >> (k % 64) & 1);
      sum += plus ? p->parts[k] : -p->parts[k];
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
  size_t begin, end, count = p->begin[p->groups->tasks], *counts = p->counts[thread];
  uint64_t *bits = calloc((count + 63) / 64 + 1, sizeof *bits);
  zh_share(&begin, &end, p->flips, 1, thread, threads);
  if (bits == NULL) {
    atomic_store(&p->failed, true);
    return;
  }
  for (size_t r = begin; r < end; r++) {
    if (p->all)
      bits[0] = r;
    else
      zh_sign_bits(bits, count, p->draws->seed, r);
    double value = statistic(p, bits);
    counts[0] += value >= p->observed - p->least;
    counts[1] += value <= p->observed + p->least;
    counts[2] += fabs(value) >= fabs(p->observed) - p->least;
  }
  free(bits);
}

static void finish(zh_flip_test *out, const permutation *p, int threads) {
  size_t sums[3] = {0}, own = !p->all;
  double p_of[3];
  for (int i = 0; i < threads; i++)
    for (int k = 0; k < 3; k++) sums[k] += p->counts[i][k];
  for (int k = 0; k < 3; k++) p_of[k] = (double)(sums[k] + own) / (double)(p->flips + own);
  *out = (zh_flip_test){.p_greater = p_of[0],
                        .p_less = p_of[1],
                        .p_two_sided = p_of[2],
                        .flips = p->flips,
                        .exact = p->all};
}

/* parts: of all clusters, of which those that differ stay. */
static void gather(permutation *p, double size) {
  const zh_groups *g = p->groups;
  double sum = 0, squares = 0;
  size_t count = 0;
  for (size_t t = 0; t < g->tasks; t++) {
    p->begin[t] = count;
    for (size_t c = g->first[t]; c < g->first[t + 1]; c++) {
      double part = p->parts[c];
      if (part == 0) continue;
      p->parts[count++] = part;
      p->squares[t] += part * part;
      sum += fabs(part);
    }
    squares += p->squares[t];
  }
  p->begin[g->tasks] = count;
  p->all = zh_signs_all(&p->flips, count, p->draws->replicates);
  p->observed = statistic(p, NULL);
  double noise = zh_score_noise(size, 1);
  p->least = fmax(1e-11 * sum, noise);
  if (g->tasks == 1) return;
  double relative = 1e-11 + (squares > 0 ? noise / sqrt(squares) : 0);
  p->least = isfinite(p->observed) ? relative * (1 + fabs(p->observed)) : 0;
}

zh_status zh_sign_flip_test(zh_flip_test *out, const zh_groups *g, const double *differences,
                            double size, const zh_draws *draws, zh_error *err) {
  int threads = draws->threads != NULL ? zh_threads_count(draws->threads) : 1;
  double *parts = calloc(g->clusters + g->tasks, sizeof *parts);
  size_t *begin = calloc(g->tasks + 1, sizeof *begin);
  permutation p = {.groups = g,
                   .draws = draws,
                   .parts = parts,
                   .begin = begin,
                   .counts = calloc((size_t)threads, sizeof *p.counts)};
  zh_status status = ZH_OK;
  if (parts == NULL || begin == NULL || p.counts == NULL) {
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu clusters", g->clusters);
    goto done;
  }
  p.squares = parts + g->clusters;
  zh_differing(parts, g, differences, size);
  gather(&p, fmax(size, zh_largest(differences, g->items)));
  zh_draws_run(draws, permute, &p);
  if (atomic_load(&p.failed))
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu clusters", g->clusters);
  else
    finish(out, &p, threads);
done:
  free(parts);
  free(begin);
  free(p.counts);
  return status;
}
