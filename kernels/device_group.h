/* Ranks that compute together, each a process with a GPU of its own: a part of a module's table
 * (device.h). What is enqueued stands in the order of the device's one stream and may be part of a
 * graph; ranks call the same functions of a group in the same order, with the same sizes.
 *
 * Two kinds. PEER: our own kernels, which read the memory of the other GPUs of the node (CUDA IPC,
 * peer access), one stage in small messages and two in large ones. NCCL: the library, looked up
 * when it is asked for; between nodes, too.
 *
 * A rank that never comes would leave kernels waiting: after `patience_s` they give up, and `wait`
 * says so; with NCCL after `patience_s` in which no event came that was recorded. What was computed
 * since then is worth nothing, and the group is of no use any more. */
#ifndef ZH_KERNELS_DEVICE_GROUP_H
#define ZH_KERNELS_DEVICE_GROUP_H

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_device_group zh_device_group;

typedef enum zh_device_group_kind {
  ZH_GROUP_PEER,
  ZH_GROUP_NCCL,
  ZH_GROUP_KINDS
} zh_device_group_kind;
static inline const char *zh_device_group_name(zh_device_group_kind kind) {
  static const char *const names[ZH_GROUP_KINDS] = {"peer", "nccl"};
  return names[kind];
}

enum { ZH_GROUP_RANKS_MAX = 8 }; /* of PEER; NCCL has no limit of ours */

/* What the ranks of a group can do among each other on the host; used by `open` alone.
 * zh_comm_exchange (bench/comm.h) makes one of a communicator. */
typedef struct zh_exchange {
  int rank, ranks;
  void *context;
  /* all[ranks][bytes], the same on all ranks, of what each of them brings. */
  zh_status (*gather)(void *context, void *all, const void *mine, size_t bytes, zh_error *err);
} zh_exchange;

typedef struct zh_device_group_plan {
  zh_device_group_kind kind;
  zh_exchange exchange;
  size_t most_bytes; /* of messages that go in one piece; larger ones go in several. PEER lays twice
                        as much on the device, and for moves up to 2 MiB a rank; 0: 1 MiB */
  double patience_s; /* 0: 60 */
} zh_device_group_plan;

/* What goes to one rank and comes from another at the same time; to, from: -1, none. The
 * n-th that a rank sends to another is the n-th that the other one takes from it, of as many bytes.
 */
typedef struct zh_device_move {
  const void *out;
  int to;
  void *in;
  int from;
  size_t bytes; /* of either */
} zh_device_move;

/* Addresses are the device's. Bytes and addresses are multiples of 4, fastest of 16; nothing
 * overlaps but where that is said. */
typedef struct zh_device_groups {
  /* All ranks of the exchange together, and all of them fail where one does: with its sentence.
   * ZH_ERR_LACKING: no such library, a GPU that does not reach another one's memory, ranks that
   * share a GPU, or (PEER) are on several nodes or more than ZH_GROUP_RANKS_MAX. */
  zh_status (*open)(zh_device *device, zh_device_group **out, const zh_device_group_plan *plan,
                    zh_error *err);
  /* When nothing of it is under way, and no graph holds work of it; NULL is safe. Waits for nobody
   * longer than ten seconds: memory that other ranks have mapped stays until the process ends. */
  void (*close)(zh_device_group *group);
  /* "NCCL 2.27.5", "own, over peer memory"; ZH_ERR_LACKING with one sentence where there is none.
   */
  zh_status (*library)(char *out, size_t capacity, zh_device_group_kind kind, zh_error *err);
  /* As zh_device_api.wait, but ends with ZH_ERR_IO where a rank did not come. */
  zh_status (*wait)(zh_device_group *group, zh_error *err);

  /* In place, the sum over the ranks, all of which get the same bits. PEER adds in the order of the
   * ranks, whatever the size; NCCL in an order of its own. */
  zh_status (*all_reduce)(zh_device_group *group, float *values, size_t count, zh_error *err);
  /* out[count] = sum over the ranks of their in[rank][count], as above. out may be in[rank]. */
  zh_status (*reduce_scatter)(zh_device_group *group, float *out, const float *in, size_t count,
                              zh_error *err);
  /* all[r] = rank r's `mine`. mine may be all[rank]. */
  zh_status (*all_gather)(zh_device_group *group, void *all, const void *mine, size_t bytes,
                          zh_error *err);
  /* in[r] = rank r's out[rank]; bytes: of one of them. */
  zh_status (*all_to_all)(zh_device_group *group, void *in, const void *out, size_t bytes,
                          zh_error *err);
  /* data of rank `root`, to all. */
  zh_status (*broadcast)(zh_device_group *group, void *data, size_t bytes, int root, zh_error *err);
  /* Only by the ranks that it concerns: of neighbours in a ring, or of two stages. */
  zh_status (*move)(zh_device_group *group, const zh_device_move *work, zh_error *err);
} zh_device_groups;

#ifdef __cplusplus
}
#endif
#endif
