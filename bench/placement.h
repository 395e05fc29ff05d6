/* Which CPUs the threads of a rank run on: one rank a NUMA node where they fit, one thread a core.
 */
#ifndef ZH_BENCH_PLACEMENT_H
#define ZH_BENCH_PLACEMENT_H

#include <hwloc.h>
#include <sched.h>

#include "bench/comm.h"
#include "core/status.h"

enum { ZH_PLACED_CPUS_MAX = 4096, ZH_PLACED_NODES_MAX = 16 };

typedef struct zh_placement {
  int cpu[ZH_PLACED_CPUS_MAX]; /* [count]: of each thread */
  int count;                   /* 0: more threads than CPUs; nothing is pinned, and none may spin */
  int node[ZH_PLACED_NODES_MAX], nodes; /* NUMA nodes that they belong to, the first few */
} zh_placement;

/* For rank `member` of the `members` that share the CPUs `allowed`, `threads` each; 0: one a core.
 * Ranks get whole NUMA nodes, or even parts of one, if all of them then have a core for each
 * thread; else even parts of all cores in order; second hardware threads only where there are more
 * threads than cores. */
void zh_place(zh_placement *out, hwloc_topology_t topology, hwloc_const_cpuset_t allowed,
              int member, int members, int threads);
/* The same without a topology: CPUs in the system's order. */
void zh_place_plainly(zh_placement *out, hwloc_const_cpuset_t allowed, int member, int members,
                      int threads);
/* For this rank, on this node. Collective: ranks of one node that may use the same CPUs share them;
 * whom the launcher has bound elsewhere keeps what it was given. */
ZH_MUST_CHECK zh_status zh_place_rank(zh_placement *out, const zh_comm *comm, int threads,
                                      zh_error *err);

/* The calling thread, which is about to open the GPU at this PCI address ("0000:17:00.0"), runs
 * from here on on the CPUs near it, as far as the process may use them: it launches from there, and
 * host memory that it pins lies there. zh_threads_free gives it back its own. Where the system does
 * not say what is near (ZH_PCI names another folder than /sys/bus/pci/devices), nothing changes. */
void zh_place_near(const char *bus);
/* The CPUs that the process may use, whatever its threads were placed on since; for threads that
 * help one that computes, and must not run where it does. */
void zh_process_cpus(cpu_set_t *out);
/* As the system writes them, "0-31,64"; cut where it is too long. */
void zh_cpu_list(char *out, size_t capacity, const cpu_set_t *cpus);

/* For this process, alone on the CPUs that it may use. */
ZH_MUST_CHECK zh_status zh_place_here(zh_placement *out, int threads, zh_error *err);

#endif
