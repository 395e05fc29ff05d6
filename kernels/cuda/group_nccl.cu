/* A group by NCCL, which is looked up at run time and never needed. Its few functions and numbers are declared here, as
 * its public reference gives them, so that no header is needed either. */
#include <new>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "group.cuh"
#include "library.cuh"

struct nccl_id {
  char bytes[128];
};
enum { NCCL_UINT32 = 3, NCCL_FLOAT32 = 7, NCCL_SUM = 0, NCCL_OK = 0, NCCL_IN_PROGRESS = 7 };
enum { LEAVING_S = 10 };
typedef void *nccl_comm;

struct nccl_library {
  int (*version)(int *);
  int (*unique_id)(nccl_id *);
  int (*init)(nccl_comm *, int ranks, nccl_id, int rank);
  int (*abort)(nccl_comm);
  int (*async_error)(nccl_comm, int *);
  const char *(*text)(int);
  int (*all_reduce)(const void *, void *, size_t, int type, int operation, nccl_comm, cudaStream_t);
  int (*reduce_scatter)(const void *, void *, size_t, int type, int operation, nccl_comm, cudaStream_t);
  int (*all_gather)(const void *, void *, size_t, int type, nccl_comm, cudaStream_t);
  int (*broadcast)(const void *, void *, size_t, int type, int root, nccl_comm, cudaStream_t);
  int (*send)(const void *, size_t, int type, int to, nccl_comm, cudaStream_t);
  int (*receive)(void *, size_t, int type, int from, nccl_comm, cudaStream_t);
  int (*begin)(void);
  int (*end)(void);
  const char *missing; /* what it lacks; NULL: whole */
};

struct zh_group_nccl {
  nccl_comm comm; /* null: left */
  pthread_t leaving;
  bool is_leaving;
};

/* --- the library --- */

static void *open_library(void) {
  const char *asked = getenv("ZH_NCCL");
  if (asked && *asked) return dlopen(asked, RTLD_NOW | RTLD_LOCAL);
  void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  return library ? library : dlopen("libnccl.so", RTLD_NOW | RTLD_LOCAL);
}

static nccl_library load_library(void) {
  nccl_library lib = {};
  void *file = open_library();
  const zh_symbol symbols[] = {{"ncclGetVersion", &lib.version},
                 {"ncclGetUniqueId", &lib.unique_id},
                 {"ncclCommInitRank", &lib.init},
                 {"ncclCommAbort", &lib.abort},
                 {"ncclCommGetAsyncError", &lib.async_error},
                 {"ncclGetErrorString", &lib.text},
                 {"ncclAllReduce", &lib.all_reduce},
                 {"ncclReduceScatter", &lib.reduce_scatter},
                 {"ncclAllGather", &lib.all_gather},
                 {"ncclBroadcast", &lib.broadcast},
                 {"ncclSend", &lib.send},
                 {"ncclRecv", &lib.receive},
                 {"ncclGroupStart", &lib.begin},
                 {"ncclGroupEnd", &lib.end}};
  if (!file) {
    lib.missing = "the library libnccl.so.2 is not found";
    return lib;
  }
  lib.missing = zh_find_symbols(file, symbols);
  return lib;
}

/* Loaded once and kept. */
static const nccl_library *library(void) {
  static const nccl_library lib = load_library();
  return &lib;
}

static zh_status need_library(zh_error *err) {
  const char *missing = library()->missing;
  if (!missing) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "no collectives of NCCL: it lacks something: %s", missing);
}

zh_status zh_group_nccl_library(char *out, size_t capacity, zh_error *err) {
  int v = 0;
  ZH_TRY(need_library(err));
  if (library()->version(&v) != NCCL_OK) v = 0;
  int unit = v >= 10000 ? 10000 : 1000; /* 2.8 and older counted in thousands */
  snprintf(out, capacity, "NCCL %d.%d.%d", v / unit, v % unit / 100, v % 100);
  return ZH_OK;
}

static zh_status nccl_status(const zh_device_group *g, int status, const char *what, zh_error *err) {
  if (status == NCCL_OK) return ZH_OK;
  const char *marked = g->device->marked;
  return zh_fail(err, ZH_ERR_IO, "GPU %d: %s by NCCL failed%s%s%s: %s", g->device->index, what, marked ? " in '" : "",
                 marked ? marked : "", marked ? "'" : "", library()->text(status));
}

/* --- opening and closing --- */

static zh_status begin(zh_device_group *g, nccl_id *id, zh_error *err) {
  ZH_TRY(need_library(err));
  g->nccl = new (std::nothrow) zh_group_nccl();
  if (!g->nccl) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a group of GPUs");
  return g->rank == 0 ? nccl_status(g, library()->unique_id(id), "making a name for the group", err) : ZH_OK;
}

/* Two ranks of one GPU would wait for each other, which not every version says. */
static zh_status check_uuids(const zh_device_group *g, const char (*uuids)[64], zh_error *err) {
  for (int r = 0; r < g->ranks; ++r)
    for (int k = 0; k < r; ++k)
      if (strcmp(uuids[r], uuids[k]) == 0)
        return zh_fail(err, ZH_ERR_LACKING, "ranks %d and %d share one GPU (%s): each needs its own", k, r, uuids[r]);
  return ZH_OK;
}

static zh_status join(zh_device_group *g, const nccl_id *id, zh_error *err) {
  ZH_CUDA(g->device, cudaSetDevice(g->device->index), "choosing the device");
  int status = library()->init(&g->nccl->comm, g->ranks, *id, g->rank);
  if (status == NCCL_OK) return ZH_OK;
  g->nccl->comm = nullptr;
  return zh_fail(err, ZH_ERR_LACKING, "NCCL does not connect %d ranks (%s); NCCL_DEBUG=WARN says more", g->ranks,
                 library()->text(status));
}

struct hello {
  nccl_id id;
  char uuid[64];
};

zh_status zh_group_nccl_open(zh_device_group *g, const zh_exchange *x, zh_error *err) {
  hello mine = {};
  size_t ranks = (size_t)g->ranks;
  hello *all = new (std::nothrow) hello[ranks]();
  char(*uuids)[64] = new (std::nothrow) char[ranks][64]();
  zh_status status = all && uuids ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a group of GPUs");
  if (status == ZH_OK) status = begin(g, &mine.id, err);
  snprintf(mine.uuid, sizeof mine.uuid, "%s", g->device->facts.uuid);
  status = zh_group_agree(x, status, err);
  if (status == ZH_OK) status = x->gather(x->context, all, &mine, sizeof mine, err);
  for (size_t r = 0; status == ZH_OK && r < ranks; ++r) memcpy(uuids[r], all[r].uuid, sizeof uuids[r]);
  if (status == ZH_OK) status = check_uuids(g, uuids, err); /* all find the same */
  if (status == ZH_OK) status = zh_group_agree(x, join(g, &all[0].id, err), err);
  delete[] uuids;
  delete[] all;
  return status;
}

/* --- leaving --- */

/* Not by ncclCommDestroy, which would wait for ranks that never come. Since NCCL 2.26 this, too, waits: until every
 * graph is gone that holds work of the group, which its owner alone can end. What lets kernels end comes first. */
static void *abort_comm(void *comm) {
  library()->abort(comm);
  return nullptr;
}

/* By a thread of its own; `close` waits for it. Where none can be had, the kernels stay. */
static void leave(zh_device_group *g) {
  zh_group_nccl *n = g->nccl;
  if (n->comm) n->is_leaving = pthread_create(&n->leaving, nullptr, abort_comm, n->comm) == 0;
  n->comm = nullptr;
}

static void close(zh_device_group *g) {
  zh_group_nccl *n = g->nccl;
  timespec until;
  if (!n) return;
  leave(g);
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += LEAVING_S;
  if (n->is_leaving && pthread_timedjoin_np(n->leaving, nullptr, &until) != 0) pthread_detach(n->leaving);
  delete n;
}

/* --- waiting --- */

static double seconds_now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool is_done(zh_device_group *g) {
  cudaError_t status = cudaStreamQuery(g->device->stream);
  return zh_cuda_succeeds(status) || status != cudaErrorNotReady;
}

/* The stream ends by what `leave` has set going; a device that does not even do that is not waited for. */
static void leave_stream(zh_device_group *g) {
  double begin = seconds_now();
  leave(g);
  while (!is_done(g) && seconds_now() - begin < LEAVING_S) sched_yield();
}

static zh_status give_up(zh_device_group *g, zh_error *err) {
  leave_stream(g);
  return zh_fail(err, ZH_ERR_IO,
                 "GPU %d waited %g s for other ranks of its group in vain; what was computed since then is worth nothing",
                 g->device->index, g->patience_s);
}

/* What the library has found out by itself, of a network or of another rank. */
static zh_status check_comm(zh_device_group *g, zh_error *err) {
  int trouble = NCCL_OK;
  library()->async_error(g->nccl->comm, &trouble);
  if (trouble == NCCL_OK || trouble == NCCL_IN_PROGRESS) return ZH_OK;
  leave_stream(g);
  return nccl_status(g, trouble, "a collective", err);
}

/* Patience is with a stream that does not go on: each recorded event that has come begins it anew. */
static zh_status wait_for_stream(zh_device_group *g, zh_error *err) {
  double begin = seconds_now();
  while (!is_done(g)) {
    if (zh_cuda_goes_on(g->device)) begin = seconds_now();
    if (seconds_now() - begin > g->patience_s) return give_up(g, err);
    ZH_TRY(check_comm(g, err));
    sched_yield();
  }
  ZH_TRY(zh_cuda_wait(g->device, err));
  return check_comm(g, err);
}

static zh_status lost(const zh_device_group *g, zh_error *err) {
  return zh_fail(err, ZH_ERR_IO, "GPU %d: its group has lost a rank before and is of no use any more",
                 g->device->index);
}

static zh_status wait(zh_device_group *g, zh_error *err) {
  return g->nccl->comm ? wait_for_stream(g, err) : lost(g, err);
}

/* --- collectives --- */

#define ZH_NCCL(call, what)                                                                                            \
  do {                                                                                                                 \
    if (!g->nccl->comm) return lost(g, err);                                                                           \
    ZH_TRY(nccl_status(g, (call), (what), err));                                                                       \
  } while (0)

static zh_status all_reduce(zh_device_group *g, float *values, size_t count, zh_error *err) {
  ZH_NCCL(library()->all_reduce(values, values, count, NCCL_FLOAT32, NCCL_SUM, g->nccl->comm, g->device->stream),
          "an all-reduce");
  return ZH_OK;
}

static zh_status reduce_scatter(zh_device_group *g, float *out, const float *in, size_t count, zh_error *err) {
  ZH_NCCL(library()->reduce_scatter(in, out, count, NCCL_FLOAT32, NCCL_SUM, g->nccl->comm, g->device->stream),
          "a reduce-scatter");
  return ZH_OK;
}

static zh_status all_gather(zh_device_group *g, void *all, const void *mine, size_t bytes, zh_error *err) {
  ZH_NCCL(library()->all_gather(mine, all, bytes / 4, NCCL_UINT32, g->nccl->comm, g->device->stream), "an all-gather");
  return ZH_OK;
}

static zh_status broadcast(zh_device_group *g, void *data, size_t bytes, int root, zh_error *err) {
  ZH_NCCL(library()->broadcast(data, data, bytes / 4, NCCL_UINT32, root, g->nccl->comm, g->device->stream),
          "a broadcast");
  return ZH_OK;
}

/* What was begun is ended, whatever went wrong between. */
static zh_status grouped(zh_device_group *g, int status, const char *what, zh_error *err) {
  int ended = library()->end();
  return nccl_status(g, status != NCCL_OK ? status : ended, what, err);
}

static zh_status all_to_all(zh_device_group *g, void *in, const void *out, size_t bytes, zh_error *err) {
  unsigned char *to = static_cast<unsigned char *>(in);
  const unsigned char *from = static_cast<const unsigned char *>(out);
  nccl_comm comm = g->nccl->comm;
  ZH_NCCL(library()->begin(), "an all-to-all");
  int status = NCCL_OK;
  for (int r = 0; status == NCCL_OK && r < g->ranks; ++r) {
    status = library()->send(from + (size_t)r * bytes, bytes / 4, NCCL_UINT32, r, comm, g->device->stream);
    if (status == NCCL_OK)
      status = library()->receive(to + (size_t)r * bytes, bytes / 4, NCCL_UINT32, r, comm, g->device->stream);
  }
  return grouped(g, status, "an all-to-all", err);
}

static zh_status move(zh_device_group *g, const zh_device_move *w, zh_error *err) {
  nccl_comm comm = g->nccl->comm;
  ZH_NCCL(library()->begin(), "a move");
  int status = NCCL_OK;
  if (w->to >= 0) status = library()->send(w->out, w->bytes / 4, NCCL_UINT32, w->to, comm, g->device->stream);
  if (w->from >= 0 && status == NCCL_OK)
    status = library()->receive(w->in, w->bytes / 4, NCCL_UINT32, w->from, comm, g->device->stream);
  return grouped(g, status, "a move", err);
}

const zh_group_calls zh_group_nccl_calls = {close,      wait,       all_reduce, reduce_scatter,
                                            all_gather, all_to_all, broadcast,  move};
