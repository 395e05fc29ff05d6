/* Groups of GPUs: what all kinds check, and the part of the module's table. */
#include <new>
#include <stdio.h>
#include <stdlib.h>

#include "group.cuh"

enum { DEFAULT_PATIENCE_S = 60 };
static const size_t DEFAULT_BYTES = (size_t)1 << 20, SMALLEST_BYTES = (size_t)1 << 12, LARGEST_BYTES = (size_t)1 << 32;

zh_status zh_group_agree(const zh_exchange *x, zh_status mine, zh_error *err) {
  zh_error own = ZH_ERROR_INIT;
  if (err) own = *err;
  own.status = mine;
  own.rank = x->rank;
  zh_error *all = static_cast<zh_error *>(calloc((size_t)x->ranks, sizeof *all));
  if (!all) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to agree in");
  zh_status status = x->gather(x->context, all, &own, sizeof own, err);
  const zh_error *first = nullptr;
  for (int r = x->ranks - 1; status == ZH_OK && r >= 0; --r)
    if (all[r].status != ZH_OK) first = &all[r];
  if (first) status = first->status;
  if (first && mine == ZH_OK) zh_fail(err, status, "rank %d: %s", first->rank, first->message);
  free(all);
  return status;
}

static zh_status check_plan(const zh_device_group_plan *plan, zh_error *err) {
  const zh_exchange *x = &plan->exchange;
  if (x->ranks < 1 || x->rank < 0 || x->rank >= x->ranks || !x->gather)
    return zh_fail(err, ZH_ERR_ARG, "a group of GPUs with rank %d of %d", x->rank, x->ranks);
  if (plan->kind != ZH_GROUP_PEER && plan->kind != ZH_GROUP_NCCL)
    return zh_fail(err, ZH_ERR_ARG, "a group of GPUs of kind %d, which there is not", (int)plan->kind);
  return ZH_OK;
}

static void close_group(zh_device_group *g) {
  if (!g) return;
  g->calls->close(g);
  delete g;
}

static zh_status open_group(zh_device *device, zh_device_group **out, const zh_device_group_plan *plan,
                            zh_error *given) {
  zh_error here = ZH_ERROR_INIT, *err = given ? given : &here; /* others are told, too */
  *out = nullptr;
  ZH_TRY(check_plan(plan, err));
  zh_device_group *g = new (std::nothrow) zh_device_group();
  zh_status status = g ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a group of GPUs");
  status = zh_group_agree(&plan->exchange, status, err);
  if (status != ZH_OK) {
    delete g;
    return status;
  }
  bool is_peer = plan->kind == ZH_GROUP_PEER;
  size_t most = plan->most_bytes ? plan->most_bytes : DEFAULT_BYTES;
  g->device = device;
  g->kind = plan->kind;
  g->rank = plan->exchange.rank;
  g->ranks = plan->exchange.ranks;
  g->most_bytes = most < SMALLEST_BYTES ? SMALLEST_BYTES : most > LARGEST_BYTES ? LARGEST_BYTES : most;
  g->patience_s = plan->patience_s > 0 ? plan->patience_s : (double)DEFAULT_PATIENCE_S;
  g->calls = is_peer ? &zh_group_peer_calls : &zh_group_nccl_calls;
  status = is_peer ? zh_group_peer_open(g, &plan->exchange, err) : zh_group_nccl_open(g, &plan->exchange, err);
  if (status == ZH_OK)
    *out = g;
  else
    close_group(g);
  return status;
}

static zh_status library(char *out, size_t capacity, zh_device_group_kind kind, zh_error *err) {
  if (kind == ZH_GROUP_NCCL) return zh_group_nccl_library(out, capacity, err);
  snprintf(out, capacity, "own, over peer memory");
  return ZH_OK;
}

static zh_status wait(zh_device_group *g, zh_error *err) { return g->calls->wait(g, err); }

/* --- collectives --- */

static zh_status check_words(const void *a, const void *b, size_t bytes, const char *what, zh_error *err) {
  if (((uintptr_t)a | (uintptr_t)b | bytes) % 4 == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_ARG, "%s of %zu bytes: bytes and addresses must be multiples of 4", what, bytes);
}
static zh_status check_rank(const zh_device_group *g, int rank, const char *what, zh_error *err) {
  if (rank >= 0 && rank < g->ranks) return ZH_OK;
  return zh_fail(err, ZH_ERR_ARG, "%s: there is no rank %d among %d", what, rank, g->ranks);
}

/* A rank alone, or with nothing: what is elsewhere than it should be is copied. */
static zh_status alone(const zh_device_group *g, void *to, const void *from, size_t bytes, zh_error *err) {
  return to == from || bytes == 0 ? ZH_OK : zh_cuda_copy(g->device, to, from, bytes, err);
}
static bool is_alone(const zh_device_group *g, size_t bytes) { return g->ranks == 1 || bytes == 0; }

static zh_status all_reduce(zh_device_group *g, float *values, size_t count, zh_error *err) {
  ZH_TRY(check_words(values, nullptr, 0, "all-reduce", err));
  return is_alone(g, count) ? ZH_OK : g->calls->all_reduce(g, values, count, err);
}

static zh_status reduce_scatter(zh_device_group *g, float *out, const float *in, size_t count, zh_error *err) {
  ZH_TRY(check_words(out, in, 0, "reduce-scatter", err));
  if (is_alone(g, count)) return alone(g, out, in, count * sizeof *in, err);
  return g->calls->reduce_scatter(g, out, in, count, err);
}

static zh_status all_gather(zh_device_group *g, void *all, const void *mine, size_t bytes, zh_error *err) {
  ZH_TRY(check_words(all, mine, bytes, "all-gather", err));
  if (is_alone(g, bytes)) return alone(g, all, mine, bytes, err);
  return g->calls->all_gather(g, all, mine, bytes, err);
}

static zh_status all_to_all(zh_device_group *g, void *in, const void *out, size_t bytes, zh_error *err) {
  ZH_TRY(check_words(in, out, bytes, "all-to-all", err));
  if (is_alone(g, bytes)) return alone(g, in, out, bytes, err);
  return g->calls->all_to_all(g, in, out, bytes, err);
}

static zh_status broadcast(zh_device_group *g, void *data, size_t bytes, int root, zh_error *err) {
  ZH_TRY(check_words(data, nullptr, bytes, "broadcast", err));
  ZH_TRY(check_rank(g, root, "broadcast", err));
  return is_alone(g, bytes) ? ZH_OK : g->calls->broadcast(g, data, bytes, root, err);
}

static zh_status move(zh_device_group *g, const zh_device_move *work, zh_error *err) {
  zh_device_move w = *work;
  ZH_TRY(check_words(w.to < 0 ? nullptr : w.out, w.from < 0 ? nullptr : w.in, w.bytes, "a move", err));
  if (w.to >= 0) ZH_TRY(check_rank(g, w.to, "a move", err));
  if (w.from >= 0) ZH_TRY(check_rank(g, w.from, "a move", err));
  if ((w.to == g->rank) != (w.from == g->rank))
    return zh_fail(err, ZH_ERR_ARG, "a move of a rank to itself sends and receives");
  if (w.to == g->rank) return alone(g, w.in, w.out, w.bytes, err);
  if (w.bytes == 0 || (w.to < 0 && w.from < 0)) return ZH_OK;
  return g->calls->move(g, &w, err);
}

const zh_device_groups zh_cuda_groups = {open_group, close_group, library,    wait,      all_reduce,
                                         reduce_scatter, all_gather,  all_to_all, broadcast, move};
