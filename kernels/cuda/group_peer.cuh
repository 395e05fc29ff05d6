/* Memory that the GPUs of a group see of each other.
 *
 * Each rank lays one block: flags, then a staging area [2][blocks][slice], then boxes [ranks][2][blocks][box] for what
 * goes to one rank alone. Block b of a kernel writes its slice, sets flag b of its rank at every other rank, waits for
 * theirs, and reads their slices b. Flags hold an epoch that each block counts for itself in memory (a graph launched
 * again goes on counting), and slices are used in turn: who sets a flag of epoch e has read all of epoch e - 1, since it
 * began e after that, and so a slice that was read in epoch e - 2 is free in epoch e when all flags of e - 1 were seen.
 * Nobody waits at an end. */
#ifndef ZH_KERNELS_CUDA_GROUP_PEER_CUH
#define ZH_KERNELS_CUDA_GROUP_PEER_CUH

#include "group.cuh"

enum { GROUP_BLOCKS = 64, GROUP_THREADS = 512 };
/* A block of this number has staged; has its part ready; has sent to one rank; has taken from one. */
enum { FLAG_STAGED, FLAG_PARTS, FLAG_SENT, FLAG_TAKEN, FLAG_KINDS };
enum { FLAG_WORDS = FLAG_KINDS * GROUP_BLOCKS * ZH_GROUP_RANKS_MAX };
/* Counters of a block: epochs of collectives, of moves to each rank and from each. */
enum { COUNTERS = 1 + 2 * ZH_GROUP_RANKS_MAX, COUNTER_LOST = -1 };

/* What kernels are given; [r] is rank r's. */
struct zh_peers {
  zh_global<uint32_t> flags[ZH_GROUP_RANKS_MAX], stage[ZH_GROUP_RANKS_MAX], box[ZH_GROUP_RANKS_MAX];
  zh_global<uint32_t> counters; /* [COUNTERS][GROUP_BLOCKS] of this rank */
  zh_global<uint32_t> missing;  /* [GROUP_BLOCKS] of the host: 1 + the rank that a block waited for in vain */
  int rank, ranks;
  uint32_t slice, box_slice; /* words of one, multiples of 4 */
  uint64_t patience_ns;
};

struct zh_group_peer {
  zh_peers peers;
  int blocks;               /* at most, of a launch */
  void *own;                /* flags, staging area, boxes */
  bool is_mapped;           /* others may have it: then it must not be given back (cudaIpcOpenMemHandle) */
  void *theirs[ZH_GROUP_RANKS_MAX];
  uint32_t *counters, *missing;
};

/* group_among.cu */
zh_status zh_peer_all_reduce(zh_device_group *group, float *values, size_t count, zh_error *err);
zh_status zh_peer_reduce_scatter(zh_device_group *group, float *out, const float *in, size_t count, zh_error *err);
zh_status zh_peer_all_gather(zh_device_group *group, void *all, const void *mine, size_t bytes, zh_error *err);
zh_status zh_peer_all_to_all(zh_device_group *group, void *in, const void *out, size_t bytes, zh_error *err);
zh_status zh_peer_broadcast(zh_device_group *group, void *data, size_t bytes, int root, zh_error *err);
zh_status zh_peer_move(zh_device_group *group, const zh_device_move *work, zh_error *err);

#endif
