/* Which CPUs a rank gets, on machines that are played: every rank its own, one thread a core, one
 * NUMA node a rank where they fit. Expected numbers are counted by hand from the descriptions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/placement.h"
#include "core/files.h"

/* 2 sockets x 4 NUMA nodes x 4 cores x 2 hardware threads. As Linux numbers them: the first threads
 * of all cores are 0 to 31, node n has 4n to 4n + 3, the second ones 32 to 63. */
static const char TWO_SOCKETS[] = "pack:2 group:4 [numa] core:4 pu:2(indexes=2*32:32*1)";
enum { NODES = 8, CORES = 32, CPUS = 64, CORES_OF_NODE = 4 };

static hwloc_topology_t play(const char *synthetic) {
  hwloc_topology_t topology;
  assert_int_equal(hwloc_topology_init(&topology), 0);
  assert_int_equal(hwloc_topology_set_synthetic(topology, synthetic), 0);
  assert_int_equal(hwloc_topology_load(topology), 0);
  return topology;
}

static int node_of(hwloc_topology_t topology, int cpu) {
  hwloc_obj_t node = NULL;
  while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != NULL)
    if (hwloc_bitmap_isset(node->cpuset, (unsigned)cpu)) return (int)node->os_index;
  fail_msg("CPU %d lies in no NUMA node", cpu);
  return -1;
}

static int core_of(hwloc_topology_t topology, int cpu) {
  hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(topology, (unsigned)cpu);
  assert_non_null(pu);
  hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, pu);
  return core ? (int)core->logical_index : cpu;
}

typedef struct played {
  zh_placement rank[64];
  int ranks;
} played;

/* All ranks: as many CPUs as asked for, all allowed, none twice; nodes told as they are. */
static void place_all(played *p, hwloc_topology_t topology, hwloc_const_cpuset_t allowed, int ranks,
                      int threads) {
  hwloc_bitmap_t used = hwloc_bitmap_alloc();
  p->ranks = ranks;
  for (int r = 0; r < ranks; r++) {
    zh_placement *place = &p->rank[r];
    zh_place(place, topology, allowed, r, ranks, threads);
    assert_int_equal(place->count, threads);
    for (int t = 0; t < threads; t++) {
      unsigned cpu = (unsigned)place->cpu[t];
      assert_true(hwloc_bitmap_isset(allowed, cpu));
      assert_false(hwloc_bitmap_isset(used, cpu));
      hwloc_bitmap_set(used, cpu);
      bool told = false;
      for (int n = 0; n < place->nodes; n++)
        told = told || place->node[n] == node_of(topology, (int)cpu);
      assert_true(told);
    }
  }
  hwloc_bitmap_free(used);
}

static int cores_used(const played *p, hwloc_topology_t topology) {
  hwloc_bitmap_t cores = hwloc_bitmap_alloc();
  for (int r = 0; r < p->ranks; r++)
    for (int t = 0; t < p->rank[r].count; t++)
      hwloc_bitmap_set(cores, (unsigned)core_of(topology, p->rank[r].cpu[t]));
  int count = hwloc_bitmap_weight(cores);
  hwloc_bitmap_free(cores);
  return count;
}

static void a_node_for_each_rank(void **state) {
  (void)state;
  hwloc_topology_t topology = play(TWO_SOCKETS);
  hwloc_const_cpuset_t all = hwloc_topology_get_topology_cpuset(topology);
  played p;
  assert_int_equal(hwloc_bitmap_weight(all), CPUS);
  place_all(&p, topology, all, NODES, CORES_OF_NODE);
  for (int r = 0; r < NODES; r++) {
    assert_int_equal(p.rank[r].nodes, 1);
    assert_int_equal(p.rank[r].node[0], r);
    for (int t = 0; t < CORES_OF_NODE; t++)
      assert_int_equal(p.rank[r].cpu[t], CORES_OF_NODE * r + t);
  }
  assert_int_equal(cores_used(&p, topology), CORES);
  hwloc_topology_destroy(topology);
}

/* Fewer ranks than nodes have several whole ones; more have even parts of one. */
static void other_numbers_of_ranks(void **state) {
  (void)state;
  hwloc_topology_t topology = play(TWO_SOCKETS);
  hwloc_const_cpuset_t all = hwloc_topology_get_topology_cpuset(topology);
  played p;
  for (int ranks = 1; ranks <= CORES; ranks++) {
    place_all(&p, topology, all, ranks, CORES / ranks);
    assert_int_equal(cores_used(&p, topology), ranks * (CORES / ranks));
    for (int r = 0; r < ranks; r++) {
      if (NODES % ranks == 0) assert_int_equal(p.rank[r].nodes, NODES / ranks);
      if (ranks % NODES == 0) assert_int_equal(p.rank[r].nodes, 1);
    }
  }
  place_all(&p, topology, all, 12, 2); /* 8 nodes: every second has two ranks, two cores each */
  for (int r = 0; r < 12; r++) assert_int_equal(p.rank[r].nodes, 1);
  hwloc_topology_destroy(topology);
}

/* Fewer threads than cores are spread; hardware threads are shared only where there are more. */
static void threads_of_a_rank(void **state) {
  (void)state;
  hwloc_topology_t topology = play(TWO_SOCKETS);
  hwloc_const_cpuset_t all = hwloc_topology_get_topology_cpuset(topology);
  played p;
  place_all(&p, topology, all, 1, NODES);
  assert_int_equal(p.rank[0].nodes, NODES);
  place_all(&p, topology, all, NODES, 2 * CORES_OF_NODE);
  assert_int_equal(cores_used(&p, topology), CORES);
  for (int r = 0; r < NODES; r++) assert_int_equal(p.rank[r].nodes, 1);
  for (int t = 0; t < CORES_OF_NODE; t++)
    assert_int_equal(core_of(topology, p.rank[3].cpu[t]),
                     core_of(topology, p.rank[3].cpu[CORES_OF_NODE + t]));
  zh_placement place;
  zh_place(&place, topology, all, 0, 1, 0);
  assert_int_equal(place.count, CORES);
  zh_place(&place, topology, all, 0, NODES, 0);
  assert_int_equal(place.count, CORES_OF_NODE);
  zh_place(&place, topology, all, 1, NODES, 2 * CORES_OF_NODE + 1);
  assert_int_equal(place.count, 0);
  zh_place(&place, topology, all, 0, CPUS + 1, 1);
  assert_int_equal(place.count, 0);
  hwloc_topology_destroy(topology);
}

/* A job that may use a part of the machine: three cores of node 1, one of node 2 with its second
 * thread alone, and both threads of one of node 6. */
static void a_restricted_set(void **state) {
  (void)state;
  hwloc_topology_t topology = play(TWO_SOCKETS);
  hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
  hwloc_obj_t core[5];
  for (int i = 0; i < 5; i++) {
    static const unsigned numbers[] = {4, 5, 6, 8, 24};
    core[i] = hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, numbers[i]);
    unsigned first = (unsigned)hwloc_bitmap_first(core[i]->cpuset),
             last = (unsigned)hwloc_bitmap_last(core[i]->cpuset);
    hwloc_bitmap_set(allowed, i == 3 ? last : first);
    if (i == 4) hwloc_bitmap_set(allowed, last);
  }
  played p;
  place_all(&p, topology, allowed, 1, 5);
  assert_int_equal(cores_used(&p, topology), 5);
  place_all(&p, topology, allowed, 1, 6);
  assert_int_equal(cores_used(&p, topology), 5);
  for (int ranks = 1; ranks <= 5; ranks++) place_all(&p, topology, allowed, ranks, 5 / ranks);
  place_all(&p, topology, allowed, 3, 1);
  assert_int_equal(p.rank[0].node[0], 1);
  assert_int_equal(p.rank[1].node[0], 2);
  assert_int_equal(p.rank[2].node[0], 6);
  zh_placement place;
  zh_place(&place, topology, allowed, 0, 1, 7);
  assert_int_equal(place.count, 0);
  hwloc_bitmap_free(allowed);
  hwloc_topology_destroy(topology);
}

/* Virtual machines may show no cores, or one node; and hwloc may show nothing at all. */
static void plain_machines(void **state) {
  (void)state;
  hwloc_topology_t topology = play("pu:6");
  hwloc_const_cpuset_t all = hwloc_topology_get_topology_cpuset(topology);
  played p;
  for (int ranks = 1; ranks <= 6; ranks++) place_all(&p, topology, all, ranks, 6 / ranks);
  hwloc_topology_destroy(topology);
  hwloc_bitmap_t few = hwloc_bitmap_alloc();
  hwloc_bitmap_set_range(few, 3, 7);
  zh_placement place;
  zh_place_plainly(&place, few, 1, 2, 2);
  assert_int_equal(place.count, 2);
  assert_int_equal(place.cpu[0], 5);
  assert_int_equal(place.nodes, 0);
  zh_place_plainly(&place, few, 0, 1, 6);
  assert_int_equal(place.count, 0);
  hwloc_bitmap_zero(few);
  zh_place_plainly(&place, few, 0, 1, 1);
  assert_int_equal(place.count, 0);
  hwloc_bitmap_free(few);
}

/* --- near a device --- */

static void write_near(const char *folder, const char *text) {
  char path[256];
  snprintf(path, sizeof path, "%s/0000:17:00.0", folder);
  (void)mkdir(path, 0700);
  snprintf(path, sizeof path, "%s/0000:17:00.0/local_cpulist", folder);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static void mask_of(cpu_set_t *out) {
  assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof *out, out), 0);
}

/* The list that stands where the device is; no list, or none of the process's CPUs, changes
 * nothing. */
static void a_thread_near_its_device(void **state) {
  (void)state;
  char folder[] = "/tmp/zh-near-XXXXXX", text[512];
  cpu_set_t all, first, now;
  zh_process_cpus(&all);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &all)) cpu++;
  CPU_ZERO(&first);
  CPU_SET(cpu, &first);
  assert_non_null(mkdtemp(folder));
  setenv("ZH_PCI", folder, 1);
  assert_int_equal(pthread_setaffinity_np(pthread_self(), sizeof first, &first), 0);
  zh_place_near("0000:17:00.0");
  mask_of(&now);
  assert_true(CPU_EQUAL(&now, &first));
  write_near(folder, "nonsense\n");
  zh_place_near("0000:17:00.0");
  write_near(folder, "1023\n");
  zh_place_near("0000:17:00.0");
  mask_of(&now);
  assert_true(CPU_EQUAL(&now, &first));
  write_near(folder, "0-511,700,702-1000\n");
  zh_place_near("0000:17:00.0");
  mask_of(&now);
  assert_true(CPU_EQUAL(&now, &all)); /* not only the one that it was pinned to */
  zh_cpu_list(text, sizeof text, &first);
  write_near(folder, text);
  zh_place_near("0000:17:00.0");
  mask_of(&now);
  assert_true(CPU_EQUAL(&now, &first));
  assert_int_equal(pthread_setaffinity_np(pthread_self(), sizeof all, &all), 0);
  unsetenv("ZH_PCI");
  assert_int_equal(zh_remove_tree(folder, NULL), ZH_OK);
}

static void lists_of_cpus(void **state) {
  (void)state;
  static const int some[] = {0, 1, 2, 5, 7, 8};
  char text[64], few[6];
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  zh_cpu_list(text, sizeof text, &cpus);
  assert_string_equal(text, "");
  for (size_t i = 0; i < sizeof some / sizeof *some; i++) CPU_SET(some[i], &cpus);
  zh_cpu_list(text, sizeof text, &cpus);
  assert_string_equal(text, "0-2,5,7-8");
  zh_cpu_list(few, sizeof few, &cpus);
  assert_string_equal(few, "0-2,5");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_node_for_each_rank), cmocka_unit_test(other_numbers_of_ranks),
      cmocka_unit_test(threads_of_a_rank),    cmocka_unit_test(a_restricted_set),
      cmocka_unit_test(plain_machines),       cmocka_unit_test(a_thread_near_its_device),
      cmocka_unit_test(lists_of_cpus),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
