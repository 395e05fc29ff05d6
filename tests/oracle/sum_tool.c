/* sum_tool FLOATS THREADS [ROUNDS [NODES]]: sums over the ranks of mpirun as a layer of one model
 * makes them, each held against the sum counted here; prints the best time of one. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/engine/reduce.h"
#include "bench/placement.h"
#include "core/clock.h"

enum { ROWS = 2, SUMS = 200 };

typedef struct probe {
  const zh_comm *comm;
  zh_reduce *reduce;
  zh_threads *threads;
  float *out; /* [ROWS][width] */
  size_t width;
  bool checked;
  atomic_int wrong;
} probe;

/* Of rank r at element i of sum s: small whole numbers, exact in any order. */
static float part(int rank, size_t i, int s) {
  return (float)((int)(i % 251) * (rank + 1) + s % 17);
}

static void write_parts(const probe *p, int thread, int threads, int s) {
  size_t begin, end;
  float *mine = zh_reduce_mine(p->reduce, s % ZH_REDUCE_SLOTS);
  zh_share(&begin, &end, ROWS * p->width, 1, thread, threads);
  for (size_t i = begin; i < end; ++i) mine[i] = part(p->comm->rank, i, s);
}

static void check_sum(probe *p, int thread, int threads, int s) {
  size_t begin, end;
  zh_share(&begin, &end, ROWS * p->width, 1, thread, threads);
  for (size_t i = begin; i < end; ++i) {
    float expected = 0;
    for (int rank = 0; rank < p->comm->size; ++rank) expected += part(rank, i, s);
    if (p->out[i] != expected) atomic_fetch_add(&p->wrong, 1);
  }
}

static void add_up(void *user, int thread, int threads) {
  probe *p = user;
  for (int s = 0; s < SUMS; ++s) {
    if (p->checked) write_parts(p, thread, threads, s);
    zh_reduce_sum(p->reduce, p->threads, thread, s % ZH_REDUCE_SLOTS, p->out, p->checked ? ROWS : 1,
                  p->width);
    zh_threads_barrier(p->threads);
    if (p->checked) {
      check_sum(p, thread, threads, s);
      zh_threads_barrier(p->threads);
    }
  }
}

static zh_status run(const zh_comm *comm, size_t width, int threads, int rounds, zh_error *err) {
  zh_placement place;
  probe p = {.comm = comm, .width = width, .checked = true};
  ZH_TRY(zh_place_rank(&place, comm, threads, err));
  ZH_TRY(place.count > 0 ? zh_threads_create(&p.threads, threads, place.cpu, err)
                         : zh_threads_create_crowded(&p.threads, threads, err));
  ZH_TRY(zh_reduce_create(&p.reduce, comm, ROWS * width, ZH_PACKED_ROWS, p.threads, err));
  p.out = calloc(ROWS * width, sizeof *p.out);
  if (!p.out) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for a sum");
  zh_threads_run(p.threads, add_up, &p);
  p.checked = false;
  double best = 1e300;
  for (int round = 0; round < rounds; ++round) {
    int64_t begin = zh_now_ns();
    zh_threads_run(p.threads, add_up, &p);
    double ns = (double)(zh_now_ns() - begin) / SUMS;
    best = ns < best ? ns : best;
  }
  if (comm->rank == 0 && rounds > 0)
    printf("a sum of %zu floats over %d ranks of %d threads%s: best %.3f us\n", width, comm->size,
           threads, zh_threads_spins(p.threads) > 0 ? "" : ", sleeping", best / 1e3);
  zh_status status = zh_reduce_error(p.reduce, err);
  if (status == ZH_OK && atomic_load(&p.wrong) > 0)
    status = zh_fail(err, ZH_ERR_CHECK, "%d elements of the sums are wrong", p.wrong);
  zh_reduce_free(p.reduce);
  zh_threads_free(p.threads);
  free(p.out);
  return status;
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  zh_comm *comm = NULL;
  if (argc < 3 || argc > 5) return 2;
  zh_status status = zh_comm_open_mpi(&comm, &err);
  if (status == ZH_OK && argc == 5) {
    char node[16];
    snprintf(node, sizeof node, "%d", comm->rank * atoi(argv[4]) / comm->size);
    setenv("ZHIHENG_NODE", node, 1);
  }
  if (status == ZH_OK)
    status = run(comm, (size_t)atoi(argv[1]), atoi(argv[2]), argc > 3 ? atoi(argv[3]) : 0, &err);
  if (status != ZH_OK) fprintf(stderr, "sum_tool: %s\n", err.message);
  zh_comm_finish(comm);
  return status == ZH_OK ? 0 : zh_status_exit_code(status);
}
