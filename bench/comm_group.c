/* Some ranks of a job as a communicator of their own, over messages of the whole one: for what few
 * ranks exchange seldom. */
#include <stdlib.h>
#include <string.h>

#include "bench/comm.h"

typedef struct group {
  zh_comm comm;
  const zh_comm *whole;
  int member[]; /* [size]: rank in the whole */
} group;

static const group *group_of(const zh_comm *comm) {
  return comm->state;
}

static zh_status group_send(const zh_comm *comm, const void *bytes, size_t length, int to,
                            zh_error *err) {
  const group *g = group_of(comm);
  return g->whole->send(g->whole, bytes, length, g->member[to], err);
}

static zh_status group_receive(const zh_comm *comm, void *bytes, size_t length, int from,
                               zh_error *err) {
  const group *g = group_of(comm);
  return g->whole->receive(g->whole, bytes, length, g->member[from], err);
}

static zh_status group_send_window(const zh_comm *comm, const void *bytes, size_t length,
                                   int window, int to, zh_error *err) {
  const group *g = group_of(comm);
  return g->whole->send_window(g->whole, bytes, length, window, g->member[to], err);
}

static zh_status group_receive_window(const zh_comm *comm, void *bytes, size_t length, int window,
                                      int from, zh_error *err) {
  const group *g = group_of(comm);
  return g->whole->receive_window(g->whole, bytes, length, window, g->member[from], err);
}

static zh_status group_start_send(const zh_comm *comm, int slot, const void *bytes, size_t length,
                                  int to, zh_error *err) {
  const group *g = group_of(comm);
  return g->whole->start_send(g->whole, slot, bytes, length, g->member[to], err);
}

static zh_status group_finish_send(const zh_comm *comm, int slot, zh_error *err) {
  const group *g = group_of(comm);
  return g->whole->finish_send(g->whole, slot, err);
}

static zh_status group_broadcast(const zh_comm *comm, void *bytes, size_t length, int root,
                                 zh_error *err) {
  if (comm->rank != root) return group_receive(comm, bytes, length, root, err);
  for (int i = 0; i < comm->size; ++i)
    if (i != root) ZH_TRY(group_send(comm, bytes, length, i, err));
  return ZH_OK;
}

static zh_status group_gather(const zh_comm *comm, const void *mine, size_t length, void *to_all,
                              int root, zh_error *err) {
  if (comm->rank != root) return group_send(comm, mine, length, root, err);
  for (int i = 0; i < comm->size; ++i) {
    unsigned char *place = (unsigned char *)to_all + (size_t)i * length;
    if (i == root)
      memcpy(place, mine, length);
    else
      ZH_TRY(group_receive(comm, place, length, i, err));
  }
  return ZH_OK;
}

/* Element by element in the order of the ranks, at the first one; then to all. */
#define REDUCE(name, type, combine)                                                                \
  static zh_status name(const zh_comm *comm, type *values, size_t count, zh_error *err) {          \
    type *theirs = malloc(count * sizeof *theirs);                                                 \
    if (!theirs) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu values", count);        \
    zh_status status = ZH_OK;                                                                      \
    if (comm->rank > 0) status = group_send(comm, values, count * sizeof *values, 0, err);         \
    for (int i = 1; comm->rank == 0 && i < comm->size && status == ZH_OK; ++i) {                   \
      status = group_receive(comm, theirs, count * sizeof *theirs, i, err);                        \
      for (size_t k = 0; status == ZH_OK && k < count; ++k) combine;                               \
    }                                                                                              \
    free(theirs);                                                                                  \
    ZH_TRY(status);                                                                                \
    return group_broadcast(comm, values, count * sizeof *values, 0, err);                          \
  }
REDUCE(group_sum_f32, float, values[k] += theirs[k])
REDUCE(group_max_f64, double, values[k] = values[k] < theirs[k] ? theirs[k] : values[k])

static zh_status group_barrier(const zh_comm *comm, zh_error *err) {
  double nothing = 0;
  return group_max_f64(comm, &nothing, 1, err);
}

static void group_finish(zh_comm *comm) {
  free(comm->state);
}

zh_status zh_comm_group(zh_comm **out, const zh_comm *whole, const int *members, int count,
                        zh_error *err) {
  group *g = calloc(1, sizeof *g + (size_t)count * sizeof *g->member);
  if (!g) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for a group of %d ranks", count);
  g->whole = whole;
  memcpy(g->member, members, (size_t)count * sizeof *members);
  g->comm = (zh_comm){.abi = ZH_COMM_ABI,
                      .size = count,
                      .library = whole->library,
                      .state = g,
                      .barrier = group_barrier,
                      .sum_f32 = group_sum_f32,
                      .max_f64 = group_max_f64,
                      .broadcast = group_broadcast,
                      .gather = group_gather,
                      .send = group_send,
                      .receive = group_receive,
                      .start_send = group_start_send,
                      .finish_send = group_finish_send,
                      .send_window = group_send_window,
                      .receive_window = group_receive_window,
                      .finish = group_finish};
  while (g->comm.rank + 1 < count && members[g->comm.rank] != whole->rank) ++g->comm.rank;
  *out = &g->comm;
  return ZH_OK;
}
