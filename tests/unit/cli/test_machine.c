/* What the harness asks of this node: CPUs to pin to, the cache to outgrow, the topology to keep.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

enum { MOST = 4096 };

static void test_allowed_cpus_are_the_affinity_mask(void **state) {
  (void)state;
  static int cpus[MOST];
  cpu_set_t allowed, seen;
  CPU_ZERO(&seen);
  assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  int count = zh_machine_allowed_cpus(cpus, MOST);
  assert_int_equal(count, CPU_COUNT(&allowed));
  for (int i = 0; i < count; i++) {
    assert_true(CPU_ISSET(cpus[i], &allowed));
    assert_false(CPU_ISSET(cpus[i], &seen));
    CPU_SET(cpus[i], &seen);
  }
}

static void test_allowed_cpus_follow_a_narrower_mask(void **state) {
  (void)state;
  int cpus[4];
  cpu_set_t before, one;
  assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
  assert_true(zh_machine_allowed_cpus(cpus, 4) >= 1);
  int last = cpus[0];
  CPU_ZERO(&one);
  CPU_SET(last, &one);
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
  int count = zh_machine_allowed_cpus(cpus, 4);
  assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
  assert_int_equal(count, 1);
  assert_int_equal(cpus[0], last);
}

static void test_capacity_is_kept(void **state) {
  (void)state;
  int cpus[2] = {-1, -7};
  assert_int_equal(zh_machine_allowed_cpus(cpus, 1), 1);
  assert_int_equal(cpus[1], -7);
}

static void test_the_last_level_cache_is_plausible(void **state) {
  (void)state;
  uint64_t bytes = zh_machine_last_level_cache_bytes();
  assert_in_range(bytes, 64 << 10, (uint64_t)1 << 40);
}

static void test_the_description_is_whole_and_repeats(void **state) {
  (void)state;
  static const char *const keys[] = {"schema", "hostname", "system",   "cpu",  "caches",
                                     "numa",   "memory",   "limits",   "gpus", "huge_pages",
                                     "mpi",    "gpu_note", "libraries"};
  zh_error err = ZH_ERROR_INIT;
  json_t *first = NULL, *second = NULL;
  assert_int_equal(zh_machine_describe(&first, &err), ZH_OK);
  assert_int_equal(zh_machine_describe(&second, &err), ZH_OK);
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
    assert_non_null(json_object_get(first, keys[i]));
  }
  assert_int_equal(json_object_size(first), sizeof keys / sizeof keys[0]);
  assert_true(json_equal(json_object_get(first, "cpu"), json_object_get(second, "cpu")));
  json_decref(first);
  json_decref(second);
}

static void test_the_topology_is_xml(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  char *xml = NULL;
  assert_int_equal(zh_machine_hwloc_xml(&xml, &err), ZH_OK);
  assert_memory_equal(xml, "<?xml", 5);
  assert_non_null(strstr(xml, "<topology"));
  free(xml);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_allowed_cpus_are_the_affinity_mask),
      cmocka_unit_test(test_allowed_cpus_follow_a_narrower_mask),
      cmocka_unit_test(test_capacity_is_kept),
      cmocka_unit_test(test_the_last_level_cache_is_plausible),
      cmocka_unit_test(test_the_description_is_whole_and_repeats),
      cmocka_unit_test(test_the_topology_is_xml),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
