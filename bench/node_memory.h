/* Which ranks live on one node, and memory that they share there. */
#ifndef ZH_BENCH_NODE_MEMORY_H
#define ZH_BENCH_NODE_MEMORY_H

#include <stddef.h>

#include "bench/comm.h"
#include "core/status.h"

typedef struct zh_node_memory {
  const zh_comm *comm;
  int *node;           /* [ranks]: number of each rank's node, in the order of their first ranks */
  int *leader;         /* [nodes]: the first rank of each */
  int nodes;           /* of the job */
  int members, member; /* ranks of this node; this rank's place among them */
  void *at;            /* zeroed at first; no name in the file system, gone with the last rank */
  size_t bytes;
  int file; /* of the leader, else -1 */
} zh_node_memory;

/* All ranks call both. Ranks whose ZHIHENG_NODE differ count as on different nodes, for tests. */
ZH_MUST_CHECK zh_status zh_node_memory_find(zh_node_memory *out, const zh_comm *comm,
                                            zh_error *err);
ZH_MUST_CHECK zh_status zh_node_memory_share(zh_node_memory *memory, size_t bytes, zh_error *err);
void zh_node_memory_close(zh_node_memory *memory);

#endif
