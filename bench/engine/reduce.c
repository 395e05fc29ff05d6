#include "bench/engine/reduce.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/node_memory.h"

enum {
  LINE = 128,         /* bytes that two ranks never share: CPUs fetch cache lines in pairs */
  UNIT = 16,          /* floats of a cache line */
  SPINS = 20000,      /* pauses before sleeping: some 0.2 to 1 ms */
  GATHERED_ROWS = 16, /* at a time */
  PLACES = 2          /* for gathered rows, used in turn */
};

/* A rank's number of meetings; others wait for it. Sleepers are counted so that nobody is woken in
 * vain (kernels/threads.c has the same reasoning). */
typedef struct post {
  _Alignas(LINE) _Atomic uint32_t number;
  _Atomic uint32_t sleepers;
} post;

struct zh_reduce {
  const zh_comm *comm;
  zh_node_memory memory;
  int spins;
  size_t floats, width;
  post *posts;    /* [members] */
  float *parts;   /* [slots][members][floats] */
  float *total;   /* [floats]: over the nodes */
  float *rows;    /* [PLACES][GATHERED_ROWS][width] */
  float *inbox;   /* [floats] or [GATHERED_ROWS][width]: from another node */
  zh_error error; /* of thread 0 */
};

static size_t padded(size_t floats) {
  return (floats + UNIT - 1) / UNIT * UNIT;
}

/* Places in the shared memory; returns how much there must be. */
static size_t layout(zh_reduce *r) {
  size_t members = (size_t)r->memory.members, at = members * sizeof(post);
  size_t floats =
      ZH_REDUCE_SLOTS * members * r->floats + r->floats + (size_t)PLACES * GATHERED_ROWS * r->width;
  if (r->memory.at) {
    r->posts = r->memory.at;
    r->parts = (float *)(void *)((unsigned char *)r->memory.at + at);
    r->total = r->parts + ZH_REDUCE_SLOTS * members * r->floats;
    r->rows = r->total + r->floats;
  }
  return at + floats * sizeof(float);
}

static zh_status make_inbox(zh_reduce *r, zh_error *err) {
  size_t rows = (size_t)GATHERED_ROWS * r->width, floats = r->floats > rows ? r->floats : rows;
  if (r->memory.nodes == 1) return ZH_OK;
  r->inbox = malloc(floats * sizeof *r->inbox);
  return r->inbox ? ZH_OK
                  : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for another node's sums");
}

zh_status zh_reduce_create(zh_reduce **out, const zh_comm *comm, size_t floats, size_t width,
                           const zh_threads *threads, zh_error *err) {
  zh_reduce *r = calloc(1, sizeof *r);
  zh_status status = r ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the ranks");
  status = zh_comm_agree(comm, status, err);
  if (status != ZH_OK) {
    free(r);
    return status;
  }
  *r = (zh_reduce){.comm = comm, .floats = padded(floats), .width = width, .error = ZH_ERROR_INIT};
  status = zh_node_memory_find(&r->memory, comm, err);
  if (status == ZH_OK) status = zh_comm_agree(comm, make_inbox(r, err), err);
  if (status == ZH_OK) status = zh_node_memory_share(&r->memory, layout(r), err);
  if (status != ZH_OK) {
    zh_reduce_free(r);
    return status;
  }
  (void)layout(r);
  r->spins = zh_threads_spins(threads) > 0 ? SPINS : 0;
  *out = r;
  return ZH_OK;
}

void zh_reduce_free(zh_reduce *r) {
  if (!r) return;
  zh_node_memory_close(&r->memory);
  free(r->inbox);
  free(r);
}

static bool leads(const zh_reduce *r) {
  return r->memory.member == 0;
}

static float *part_of(const zh_reduce *r, zh_reduce_slot slot, int member) {
  return r->parts + ((size_t)slot * (size_t)r->memory.members + (size_t)member) * r->floats;
}

float *zh_reduce_mine(const zh_reduce *r, zh_reduce_slot slot) {
  return part_of(r, slot, r->memory.member);
}

const float *zh_reduce_parts(const zh_reduce *r, zh_reduce_slot slot, size_t *stride) {
  *stride = r->floats;
  return r->memory.nodes == 1 ? part_of(r, slot, 0) : NULL;
}

size_t zh_reduce_bytes(const zh_reduce *r) {
  return r->memory.bytes / (size_t)r->memory.members;
}

zh_status zh_reduce_error(zh_reduce *r, zh_error *err) {
  if (r->error.status == ZH_OK) return ZH_OK;
  zh_status status = zh_fail(err, r->error.status, "%s", r->error.message);
  r->error = (zh_error)ZH_ERROR_INIT;
  return status;
}

/* --- meeting --- */

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static bool reached(post *p, uint32_t number) {
  return (int32_t)(atomic_load(&p->number) - number) >= 0;
}

static void wait_for(post *p, uint32_t number, int spins) {
  for (int i = 0; i < spins; i++) {
    if (reached(p, number)) return;
    relax();
  }
  atomic_fetch_add(&p->sleepers, 1);
  for (uint32_t seen = atomic_load(&p->number); (int32_t)(seen - number) < 0;
       seen = atomic_load(&p->number))
    (void)syscall(SYS_futex, &p->number, FUTEX_WAIT, seen, NULL, NULL, 0);
  atomic_fetch_sub(&p->sleepers, 1);
}

/* What any thread of the node's ranks wrote before, all see after: thread 0 says that those of its
 * rank have come, and each waits for the other ranks by itself. Nobody can be here twice before all
 * have seen the number: between two meetings lies a barrier of the rank's threads. */
static void meet(zh_reduce *r, zh_threads *threads, int thread) {
  post *mine = &r->posts[r->memory.member];
  uint32_t number = atomic_load(&mine->number) + 1;
  zh_threads_barrier(threads);
  if (thread == 0) {
    atomic_store(&mine->number, number);
    if (atomic_load(&mine->sleepers) > 0)
      (void)syscall(SYS_futex, &mine->number, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
  }
  for (int i = 0; i < r->memory.members; ++i)
    if (i != r->memory.member) wait_for(&r->posts[i], number, r->spins);
}

/* --- sums --- */

static void add_parts(const zh_reduce *r, zh_reduce_slot slot, float *out, size_t begin,
                      size_t end) {
  const float *first = part_of(r, slot, 0);
  if (r->memory.members == 1) {
    for (size_t i = begin; i < end; ++i) out[i] = first[i];
    return;
  }
  const float *second = part_of(r, slot, 1);
  for (size_t i = begin; i < end; ++i) out[i] = first[i] + second[i];
  for (int member = 2; member < r->memory.members; ++member) {
    const float *part = part_of(r, slot, member);
    for (size_t i = begin; i < end; ++i) out[i] += part[i];
  }
}

/* The first node adds up what the others send, in their order, and sends it back. */
static zh_status exchange(zh_reduce *r, size_t floats, zh_error *err) {
  const zh_comm *comm = r->comm;
  size_t bytes = floats * sizeof(float);
  if (comm->rank != r->memory.leader[0]) {
    ZH_TRY(comm->send(comm, r->total, bytes, r->memory.leader[0], err));
    return comm->receive(comm, r->total, bytes, r->memory.leader[0], err);
  }
  for (int node = 1; node < r->memory.nodes; ++node) {
    ZH_TRY(comm->receive(comm, r->inbox, bytes, r->memory.leader[node], err));
    for (size_t i = 0; i < floats; ++i) r->total[i] += r->inbox[i];
  }
  for (int node = 1; node < r->memory.nodes; ++node)
    ZH_TRY(comm->send(comm, r->total, bytes, r->memory.leader[node], err));
  return ZH_OK;
}

void zh_reduce_sum(zh_reduce *r, zh_threads *threads, int thread, zh_reduce_slot slot, float *out,
                   size_t rows, size_t width) {
  size_t begin, end;
  meet(r, threads, thread);
  if (r->memory.nodes > 1) {
    if (thread == 0 && leads(r)) {
      add_parts(r, slot, r->total, 0, rows * width);
      if (r->error.status == ZH_OK) (void)exchange(r, rows * width, &r->error);
    }
    zh_threads_barrier(threads);
    meet(r, threads, thread);
  }
  zh_share(&begin, &end, width, ZH_PACKED_ROWS, thread, zh_threads_count(threads));
  for (size_t i = 0; begin < end && i < rows * width; i += width) {
    if (r->memory.nodes == 1)
      add_parts(r, slot, out, i + begin, i + end);
    else
      memcpy(out + i + begin, r->total + i + begin, (end - begin) * sizeof *out);
  }
}

/* --- rows --- */

static void columns_of(const zh_reduce *r, int rank, size_t *begin, size_t *end) {
  zh_share(begin, end, r->width, ZH_PACKED_ROWS, rank, r->comm->size);
}

static void copy_columns(float *to, const float *from, size_t width, size_t count, size_t begin,
                         size_t end) {
  for (size_t t = 0; begin < end && t < count; ++t)
    memcpy(to + t * width + begin, from + t * width + begin, (end - begin) * sizeof *to);
}

static void gather_in_node(zh_reduce *r, zh_threads *threads, int thread, float *rows, size_t count,
                           float *place) {
  size_t begin, end, mine_begin, mine_end;
  columns_of(r, r->comm->rank, &mine_begin, &mine_end);
  zh_share(&begin, &end, mine_end - mine_begin, UNIT, thread, zh_threads_count(threads));
  copy_columns(place, rows, r->width, count, mine_begin + begin, mine_begin + end);
  meet(r, threads, thread);
  zh_share(&begin, &end, r->width, UNIT, thread, zh_threads_count(threads));
  copy_columns(rows, place, r->width, count, begin, end);
}

/* Thread 0: each rank in turn gives its columns to all. */
static zh_status gather_between_nodes(zh_reduce *r, float *rows, size_t count, zh_error *err) {
  for (int rank = 0; rank < r->comm->size; ++rank) {
    size_t begin, end;
    columns_of(r, rank, &begin, &end);
    size_t width = end - begin;
    for (size_t t = 0; t < count; ++t)
      memcpy(r->inbox + t * width, rows + t * r->width + begin, width * sizeof *rows);
    ZH_TRY(r->comm->broadcast(r->comm, r->inbox, count * width * sizeof *rows, rank, err));
    for (size_t t = 0; t < count; ++t)
      memcpy(rows + t * r->width + begin, r->inbox + t * width, width * sizeof *rows);
  }
  return ZH_OK;
}

void zh_reduce_gather(zh_reduce *r, zh_threads *threads, int thread, float *rows, size_t count) {
  zh_threads_barrier(threads);
  for (size_t first = 0, turn = 0; first < count; first += GATHERED_ROWS, ++turn) {
    if (turn > 0) zh_threads_barrier(threads);
    size_t now = count - first < GATHERED_ROWS ? count - first : GATHERED_ROWS;
    float *at = rows + first * r->width;
    if (r->memory.nodes == 1)
      gather_in_node(r, threads, thread, at, now,
                     r->rows + turn % PLACES * GATHERED_ROWS * r->width);
    else if (thread == 0 && r->error.status == ZH_OK)
      (void)gather_between_nodes(r, at, now, &r->error);
  }
  zh_threads_barrier(threads);
}
