#include "bench/placement.h"

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/node_memory.h"

/* Cores in the order of their NUMA nodes, each with its allowed hardware threads. */
typedef struct core {
  int cpu[8], threads;
  int domain; /* place in the list of NUMA nodes that have allowed CPUs */
  int node;   /* the system's number of it; -1: unknown */
} core;

typedef struct machine {
  core *cores;
  int count;
  int domains; /* >= 1 */
} machine;

typedef struct range {
  int begin, end; /* of the cores */
} range;

static void add_core(machine *m, hwloc_const_cpuset_t cpus, int domain, int node) {
  core *c = &m->cores[m->count];
  int cpu;
  *c = (core){.domain = domain, .node = node};
  hwloc_bitmap_foreach_begin(cpu, cpus) {
    if (c->threads < 8) c->cpu[c->threads++] = cpu;
  }
  hwloc_bitmap_foreach_end();
  m->count += c->threads > 0;
}

/* Cores of `inside`; each CPU alone where the topology shows no cores there. */
static void add_cores(machine *m, hwloc_topology_t topology, hwloc_const_cpuset_t inside,
                      int domain, int node) {
  hwloc_bitmap_t left = hwloc_bitmap_dup(inside), own = hwloc_bitmap_alloc();
  int cpu;
  for (hwloc_obj_t c = NULL;
       left && own && (c = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, c)) != NULL;) {
    hwloc_bitmap_and(own, c->cpuset, left);
    if (hwloc_bitmap_iszero(own)) continue;
    add_core(m, own, domain, node);
    hwloc_bitmap_andnot(left, left, own);
  }
  if (left && own) {
    hwloc_bitmap_foreach_begin(cpu, left) {
      hwloc_bitmap_only(own, (unsigned)cpu);
      add_core(m, own, domain, node);
    }
    hwloc_bitmap_foreach_end();
  }
  hwloc_bitmap_free(left);
  hwloc_bitmap_free(own);
}

static void read_machine(machine *m, hwloc_topology_t topology, hwloc_const_cpuset_t allowed) {
  hwloc_bitmap_t left = hwloc_bitmap_dup(allowed), inside = hwloc_bitmap_alloc();
  hwloc_obj_t node = NULL;
  int domain = 0;
  while (left && inside &&
         (node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != NULL) {
    hwloc_bitmap_and(inside, node->cpuset, left);
    if (hwloc_bitmap_iszero(inside)) continue;
    add_cores(m, topology, inside, domain++, (int)node->os_index);
    hwloc_bitmap_andnot(left, left, inside); /* a CPU with two kinds of memory counts once */
  }
  if (left && !hwloc_bitmap_iszero(left)) add_cores(m, topology, left, domain++, -1);
  m->domains = domain > 0 ? domain : 1;
  hwloc_bitmap_free(left);
  hwloc_bitmap_free(inside);
}

/* --- shares --- */

static int first_core(const machine *m, int domain) {
  int i = 0;
  while (i < m->count && m->cores[i].domain < domain) ++i;
  return i;
}

/* Whole NUMA nodes for each rank, or an even part of one. */
static range aligned_share(const machine *m, int member, int members) {
  int d = m->domains;
  if (members <= d) {
    return (range){first_core(m, member * d / members), first_core(m, (member + 1) * d / members)};
  }
  int domain = member * d / members, begin = first_core(m, domain),
      cores = first_core(m, domain + 1) - begin;
  int first = (domain * members + d - 1) / d, next = ((domain + 1) * members + d - 1) / d,
      place = member - first, beside = next - first;
  return (range){begin + place * cores / beside, begin + (place + 1) * cores / beside};
}

static range even_share(const machine *m, int member, int members) {
  return (range){member * m->count / members, (member + 1) * m->count / members};
}

static int cpus_in(const machine *m, range r) {
  int cpus = 0;
  for (int i = r.begin; i < r.end; ++i) cpus += m->cores[i].threads;
  return cpus;
}

/* Every rank must come to the same: parts of two kinds would overlap. */
typedef range (*sharing)(const machine *m, int member, int members);
static bool suffices(const machine *m, sharing share, int members, int threads, bool cores) {
  for (int i = 0; i < members; ++i) {
    range r = share(m, i, members);
    if ((cores ? r.end - r.begin : cpus_in(m, r)) < threads) return false;
  }
  return true;
}

static void take(zh_placement *out, const core *c, int thread) {
  bool known = c->node < 0;
  out->cpu[out->count++] = c->cpu[thread];
  for (int i = 0; i < out->nodes; ++i) known = known || out->node[i] == c->node;
  if (!known && out->nodes < ZH_PLACED_NODES_MAX) out->node[out->nodes++] = c->node;
}

/* Fewer threads than cores lie spread over them, so that they have all caches and channels. */
static void fill(zh_placement *out, const machine *m, range r, int threads) {
  int cores = r.end - r.begin;
  if (threads <= cores) {
    for (int t = 0; t < threads; ++t) take(out, &m->cores[r.begin + t * cores / threads], 0);
    return;
  }
  for (int second = 0; second < 8; ++second)
    for (int i = r.begin; i < r.end && out->count < threads; ++i)
      if (second < m->cores[i].threads) take(out, &m->cores[i], second);
}

static void share_out(zh_placement *out, const machine *m, int member, int members, int threads) {
  enum { MOST = 1 << 15 }; /* of what is multiplied below */
  if (threads < 0 || threads > ZH_PLACED_CPUS_MAX || m->count > MOST || members > MOST) return;
  if (threads == 0) {
    range r = aligned_share(m, member, members);
    fill(out, m, r, r.end - r.begin);
  } else if (suffices(m, aligned_share, members, threads, true))
    fill(out, m, aligned_share(m, member, members), threads);
  else if (suffices(m, even_share, members, threads, true))
    fill(out, m, even_share(m, member, members), threads);
  else if (suffices(m, aligned_share, members, threads, false))
    fill(out, m, aligned_share(m, member, members), threads);
  else if (suffices(m, even_share, members, threads, false))
    fill(out, m, even_share(m, member, members), threads);
}

void zh_place(zh_placement *out, hwloc_topology_t topology, hwloc_const_cpuset_t allowed,
              int member, int members, int threads) {
  machine m = {.cores = NULL};
  int cpus = hwloc_bitmap_weight(allowed);
  *out = (zh_placement){0};
  m.cores = calloc((size_t)(cpus > 0 ? cpus : 1), sizeof *m.cores);
  if (m.cores && cpus > 0) {
    read_machine(&m, topology, allowed);
    share_out(out, &m, member, members, threads);
  }
  free(m.cores);
}

void zh_place_plainly(zh_placement *out, hwloc_const_cpuset_t allowed, int member, int members,
                      int threads) {
  int cpus = hwloc_bitmap_weight(allowed), cpu;
  machine m = {.cores = calloc((size_t)(cpus > 0 ? cpus : 1), sizeof *m.cores), .domains = 1};
  *out = (zh_placement){0};
  if (m.cores && cpus > 0) {
    hwloc_bitmap_foreach_begin(cpu, allowed) {
      m.cores[m.count++] = (core){.cpu = {cpu}, .threads = 1, .node = -1};
    }
    hwloc_bitmap_foreach_end();
    share_out(out, &m, member, members, threads);
  }
  free(m.cores);
}

/* --- ranks --- */

/* Of the ranks of this node that may use the same CPUs, which one this is, and of how many. */
static zh_status find_peers(int *member, int *members, const zh_comm *comm, const cpu_set_t *mine,
                            zh_error *err) {
  zh_node_memory nodes;
  cpu_set_t *all = calloc((size_t)comm->size, sizeof *all);
  zh_status status =
      all ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for %d ranks", comm->size);
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = comm->gather(comm, mine, sizeof *mine, all, 0, err);
  if (status == ZH_OK)
    status = comm->broadcast(comm, all, sizeof *all * (size_t)comm->size, 0, err);
  if (status == ZH_OK) status = zh_node_memory_find(&nodes, comm, err);
  *member = *members = 0;
  for (int i = 0; status == ZH_OK && i < comm->size; ++i) {
    if (nodes.node[i] != nodes.node[comm->rank] || !CPU_EQUAL(&all[i], mine)) continue;
    if (i == comm->rank) *member = *members;
    ++*members;
  }
  if (status == ZH_OK) zh_node_memory_close(&nodes);
  free(all);
  return status;
}

/* NULL: no memory. */
static hwloc_bitmap_t bitmap_of(const cpu_set_t *cpus) {
  hwloc_bitmap_t all = hwloc_bitmap_alloc();
  for (int cpu = 0; all && cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, cpus)) hwloc_bitmap_set(all, (unsigned)cpu);
  return all;
}

static zh_status place_among(zh_placement *out, const cpu_set_t *mine, int member, int members,
                             int threads, zh_error *err) {
  hwloc_topology_t topology = NULL;
  hwloc_bitmap_t allowed = bitmap_of(mine);
  if (!allowed) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the CPUs of a rank");
  bool loaded = hwloc_topology_init(&topology) == 0 && hwloc_topology_load(topology) == 0;
  if (loaded)
    zh_place(out, topology, allowed, member, members, threads);
  else
    zh_place_plainly(out, allowed, member, members, threads);
  if (topology) hwloc_topology_destroy(topology);
  hwloc_bitmap_free(allowed);
  return ZH_OK;
}

static void read_mask(cpu_set_t *out) {
  CPU_ZERO(out);
  if (sched_getaffinity(0, sizeof *out, out) != 0) CPU_ZERO(out);
}

/* Before main, while no thread has been placed. */
static cpu_set_t process_cpus;
__attribute__((constructor)) static void read_process_cpus(void) {
  read_mask(&process_cpus);
}

void zh_process_cpus(cpu_set_t *out) {
  *out = process_cpus;
}

zh_status zh_place_here(zh_placement *out, int threads, zh_error *err) {
  cpu_set_t mine;
  read_mask(&mine);
  return place_among(out, &mine, 0, 1, threads, err);
}

zh_status zh_place_rank(zh_placement *out, const zh_comm *comm, int threads, zh_error *err) {
  cpu_set_t mine;
  int member = 0, members = 1;
  *out = (zh_placement){0};
  read_mask(&mine);
  if (comm->size > 1) ZH_TRY(find_peers(&member, &members, comm, &mine, err));
  return place_among(out, &mine, member, members, threads, err);
}

/* --- near a device --- */

/* "0-31,64-95", as the system lists CPUs. */
static bool read_near(hwloc_bitmap_t out, const char *bus) {
  char path[PATH_MAX], text[4096];
  const char *folder = getenv("ZH_PCI");
  snprintf(path, sizeof path, "%s/%s/local_cpulist",
           folder && *folder ? folder : "/sys/bus/pci/devices", bus);
  FILE *file = fopen(path, "re");
  if (!file) return false;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = '\0';
  text[strcspn(text, "\n")] = '\0';
  if (text[0] == '\0' || text[strspn(text, "0123456789,-")] != '\0') return false;
  return hwloc_bitmap_list_sscanf(out, text) == 0;
}

void zh_place_near(const char *bus) {
  hwloc_bitmap_t near = hwloc_bitmap_alloc();
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (near && read_near(near, bus))
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &process_cpus) && hwloc_bitmap_isset(near, (unsigned)cpu))
        CPU_SET(cpu, &cpus);
  hwloc_bitmap_free(near);
  if (CPU_COUNT(&cpus) > 0) (void)pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
}

void zh_cpu_list(char *out, size_t capacity, const cpu_set_t *cpus) {
  hwloc_bitmap_t all = bitmap_of(cpus);
  out[0] = '\0';
  if (all) hwloc_bitmap_list_snprintf(out, capacity, all);
  hwloc_bitmap_free(all);
}
