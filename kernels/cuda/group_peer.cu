/* A group over peer memory, host side: each rank lays a block of memory, shows it to the others by a handle of CUDA's
 * inter-process communication, and maps theirs. */
#include <new>
#include <stdio.h>
#include <string.h>

#include "group_peer.cuh"

/* Handles show whole pages of the driver's, of 2 MiB: nothing else of ours shall lie there. */
static const size_t PAGE = (size_t)2 << 20, FLAG_BYTES = (size_t)64 << 10, MOST_OF_BOXES = (size_t)1 << 20;
static_assert(FLAG_WORDS * 4 <= 64 << 10, "flags have their room");

/* What a rank tells the others of itself. */
struct introduction {
  char node[64], uuid[64];
  cudaIpcMemHandle_t handle;
  uint64_t most_bytes;
  int multiprocessors;
};

static void find_node(char *out, size_t capacity) {
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r"); /* the same for all containers of a node */
  size_t length = file ? fread(out, 1, capacity - 1, file) : 0;
  out[length] = '\0';
  if (file) fclose(file);
}

/* --- memory --- */

static size_t on_slices(size_t bytes) {
  size_t unit = (size_t)GROUP_BLOCKS * 16 * ZH_GROUP_RANKS_MAX; /* of a slice for each rank */
  return (bytes + unit - 1) / unit * unit;
}
static size_t stage_bytes(const zh_device_group *g) { return on_slices(g->most_bytes); }
static size_t box_bytes(const zh_device_group *g) {
  return on_slices(g->most_bytes < MOST_OF_BOXES ? g->most_bytes : MOST_OF_BOXES);
}
static size_t all_bytes(const zh_device_group *g) {
  size_t bytes = FLAG_BYTES + 2 * stage_bytes(g) + 2 * (size_t)g->ranks * box_bytes(g);
  return (bytes + PAGE - 1) / PAGE * PAGE;
}

static zh_status lay_memory(zh_device_group *g, zh_error *err) {
  zh_group_peer *p = g->peer;
  size_t counters = sizeof(uint32_t) * COUNTERS * GROUP_BLOCKS, missing = sizeof(uint32_t) * GROUP_BLOCKS;
  ZH_TRY(zh_cuda_alloc(g->device, &p->own, all_bytes(g), "what a group of GPUs shares", err));
  ZH_TRY(zh_cuda_alloc(g->device, reinterpret_cast<void **>(&p->counters), counters, "a group's counters", err));
  ZH_TRY(zh_cuda_alloc_host(g->device, reinterpret_cast<void **>(&p->missing), missing, err));
  memset(p->missing, 0, missing);
  ZH_TRY(zh_cuda_fill(g->device, p->own, 0, FLAG_BYTES, err));
  ZH_TRY(zh_cuda_fill(g->device, p->counters, 0, counters, err));
  return zh_cuda_wait(g->device, err);
}

static zh_status introduce(zh_device_group *g, introduction *mine, zh_error *err) {
  g->peer = new (std::nothrow) zh_group_peer();
  if (!g->peer) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a group of GPUs");
  if (g->ranks > ZH_GROUP_RANKS_MAX)
    return zh_fail(err, ZH_ERR_LACKING, "a group over peer memory has at most %d ranks, not %d; use NCCL",
                   ZH_GROUP_RANKS_MAX, g->ranks);
  find_node(mine->node, sizeof mine->node);
  snprintf(mine->uuid, sizeof mine->uuid, "%s", g->device->facts.uuid);
  mine->most_bytes = g->most_bytes;
  mine->multiprocessors = (int)g->device->facts.multiprocessors;
  ZH_CUDA(g->device, cudaSetDevice(g->device->index), "choosing the device");
  ZH_TRY(lay_memory(g, err));
  cudaError_t status = cudaIpcGetMemHandle(&mine->handle, g->peer->own);
  if (status == cudaSuccess) return ZH_OK;
  cudaGetLastError();
  return zh_fail(err, ZH_ERR_LACKING, "GPU %d cannot show its memory to other processes (%s); use NCCL",
                 g->device->index, cudaGetErrorString(status));
}

/* --- the others --- */

static zh_status check_others(const zh_device_group *g, const introduction *all, zh_error *err) {
  for (int r = 0; r < g->ranks; ++r) {
    const introduction *one = &all[r];
    if (strcmp(one->node, all[0].node) != 0)
      return zh_fail(err, ZH_ERR_LACKING, "ranks 0 and %d are on different nodes: their GPUs share no memory; use NCCL",
                     r);
    if (one->most_bytes != all[0].most_bytes)
      return zh_fail(err, ZH_ERR_ARG, "rank %d asks for messages of %llu bytes, rank 0 for %llu", r,
                     (unsigned long long)one->most_bytes, (unsigned long long)all[0].most_bytes);
    for (int k = 0; k < r; ++k)
      if (strcmp(one->uuid, all[k].uuid) == 0)
        return zh_fail(err, ZH_ERR_LACKING, "ranks %d and %d share one GPU (%s): each needs its own", k, r, one->uuid);
  }
  return ZH_OK;
}

static zh_status map_others(zh_device_group *g, const introduction *all, zh_error *err) {
  for (int r = 0; r < g->ranks; ++r) {
    if (r == g->rank) continue;
    cudaError_t status = cudaIpcOpenMemHandle(&g->peer->theirs[r], all[r].handle, cudaIpcMemLazyEnablePeerAccess);
    if (status == cudaSuccess) continue;
    cudaGetLastError();
    return zh_fail(err, ZH_ERR_LACKING, "GPU %d does not reach the memory of rank %d's GPU (%s); use NCCL",
                   g->device->index, r, cudaGetErrorString(status));
  }
  return ZH_OK;
}

static void close_others(zh_group_peer *p) {
  for (void *&theirs : p->theirs) {
    if (theirs) (void)zh_cuda_succeeds(cudaIpcCloseMemHandle(theirs));
    theirs = nullptr;
  }
}

/* Where one cannot, all let go, and only then does what they held become its owner's alone again. */
static zh_status map_together(zh_device_group *g, const introduction *all, const zh_exchange *x, zh_error *err) {
  g->peer->is_mapped = true;
  zh_status status = zh_group_agree(x, map_others(g, all, err), err);
  if (status == ZH_OK) return ZH_OK;
  close_others(g->peer);
  g->peer->is_mapped = zh_group_agree(x, ZH_OK, nullptr) != ZH_OK;
  return status;
}

static void point(zh_device_group *g, const introduction *all) {
  zh_group_peer *p = g->peer;
  p->blocks = GROUP_BLOCKS;
  p->peers.rank = g->rank;
  p->peers.ranks = g->ranks;
  p->peers.slice = (uint32_t)(stage_bytes(g) / GROUP_BLOCKS / 4);
  p->peers.box_slice = (uint32_t)(box_bytes(g) / GROUP_BLOCKS / 4);
  p->peers.patience_ns = (uint64_t)(g->patience_s * 1e9);
  p->peers.counters = zh_at<uint32_t>(p->counters);
  p->peers.missing = zh_at<uint32_t>(p->missing);
  for (int r = 0; r < g->ranks; ++r) {
    unsigned char *base = static_cast<unsigned char *>(r == g->rank ? p->own : p->theirs[r]);
    p->peers.flags[r] = zh_at<uint32_t>(base);
    p->peers.stage[r] = zh_at<uint32_t>(base + FLAG_BYTES);
    p->peers.box[r] = zh_at<uint32_t>(base + FLAG_BYTES + 2 * stage_bytes(g));
    if (all[r].multiprocessors < p->blocks) p->blocks = all[r].multiprocessors;
  }
}

/* Who fails before all have agreed may not leave: others would wait for what it still owes them. */
zh_status zh_group_peer_open(zh_device_group *g, const zh_exchange *x, zh_error *err) {
  introduction mine = {};
  introduction *all = new (std::nothrow) introduction[(size_t)g->ranks]();
  zh_status status = all ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a group of GPUs");
  if (status == ZH_OK) status = introduce(g, &mine, err);
  status = zh_group_agree(x, status, err);
  if (status == ZH_OK) status = x->gather(x->context, all, &mine, sizeof mine, err);
  if (status == ZH_OK) status = check_others(g, all, err); /* all find the same */
  if (status == ZH_OK) status = map_together(g, all, x, err);
  if (status == ZH_OK) point(g, all);
  delete[] all;
  return status;
}

/* --- waiting and closing --- */

static int missing_rank(const zh_group_peer *p) {
  const volatile uint32_t *missing = p->missing;
  for (int b = 0; b < GROUP_BLOCKS; ++b)
    if (missing[b]) return (int)missing[b] - 1;
  return -1;
}

static zh_status wait(zh_device_group *g, zh_error *err) {
  ZH_TRY(zh_cuda_wait(g->device, err));
  int rank = missing_rank(g->peer);
  if (rank < 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_IO,
                 "GPU %d waited %g s for rank %d of its group in vain; what was computed since then is worth nothing",
                 g->device->index, g->patience_s, rank);
}

/* Whether the others have closed theirs nobody can say without waiting for them, who may never come: what they have
 * mapped stays until the process ends, after they have met for the last time. */
static void close(zh_device_group *g) {
  zh_group_peer *p = g->peer;
  if (!p) return;
  close_others(p);
  if (!p->is_mapped) zh_cuda_release(g->device, p->own);
  zh_cuda_release(g->device, p->counters);
  zh_cuda_release_host(g->device, p->missing);
  delete p;
}

const zh_group_calls zh_group_peer_calls = {
    close,           wait, zh_peer_all_reduce, zh_peer_reduce_scatter, zh_peer_all_gather, zh_peer_all_to_all,
    zh_peer_broadcast, zh_peer_move};
