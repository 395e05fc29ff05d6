/* What is read of GPUs while a step runs, played by a library that tests write the script of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/gpu_watch.h"
#include "bench/nvml.h"
#include "bench/placement.h"
#include "core/files.h"

#define FAKE ZH_BINARY_DIR "/tests/fake_nvml.so"
#define BUS "0000:00:00.0"

static char folder[64];

static void play(const char *library, const char *script) {
  setenv("ZH_NVML", library, 1);
  setenv("ZH_FAKE_NVML", script, 1);
}

static void sleep_ms(int ms) {
  nanosleep(&(struct timespec){0, ms * 1000000L}, NULL);
}

/* A step with one timed region of a quarter of a second, in which at least one reading falls; the
 * summary of its first GPU. */
static json_t *watch(double *watts) {
  zh_error err = ZH_ERROR_INIT;
  zh_gpu_watch *w = NULL;
  zh_comm *comm = NULL;
  json_t *all = NULL;
  assert_int_equal(zh_comm_solo(&comm, &err), ZH_OK);
  assert_int_equal(zh_gpu_watch_new(&w, folder, "probe", 3, &err), ZH_OK);
  assert_false(zh_gpu_watch_is_on(w));
  assert_int_equal(zh_gpu_watch_add(w, BUS, &err), ZH_OK);
  assert_true(zh_gpu_watch_is_on(w));
  sleep_ms(30);
  zh_gpu_watch_begin(w);
  sleep_ms(250);
  *watts = zh_gpu_watch_end(w);
  assert_int_equal(zh_gpu_watch_finish(&all, w, comm, &err), ZH_OK);
  zh_gpu_watch_free(w);
  zh_comm_finish(comm);
  assert_int_equal(json_array_size(all), 1);
  json_t *first = json_incref(json_array_get(all, 0));
  json_decref(all);
  return first;
}

static json_int_t whole(const json_t *object, const char *key) {
  return json_integer_value(json_object_get(object, key));
}
static double part(const json_t *object, const char *key, const char *of) {
  return json_number_value(json_object_get(json_object_get(object, key), of));
}

static void test_an_honest_gpu_is_summed_up(void **state) {
  (void)state;
  double watts = 0;
  play(FAKE, "power=350 temperature=71 reasons=0x1");
  json_t *seen = watch(&watts);
  assert_true(json_is_true(json_object_get(seen, "watched")));
  assert_float_equal(watts, 350, 1e-9);
  assert_float_equal(part(seen, "power_w", "mean"), 350, 1e-9);
  assert_float_equal(part(seen, "temperature_c", "most"), 71, 1e-9);
  assert_float_equal(part(seen, "sm_mhz", "least"), 1980, 1e-9);
  double timed_s = json_number_value(json_object_get(seen, "timed_s"));
  assert_true(timed_s >= 0.25);
  double energy_j = json_number_value(json_object_get(seen, "energy_j"));
  assert_true(fabs(energy_j - 350 * timed_s) < 1e-6);
  assert_true(whole(seen, "timed_readings") >= 2);
  assert_int_equal(whole(seen, "throttled_readings"), 0); /* idle is no limit */
  assert_int_equal(whole(json_object_get(seen, "reasons"), "idle"), whole(seen, "timed_readings"));
  assert_int_equal(whole(seen, "ecc_uncorrected"), 0); /* what was there before is not the run's */
  assert_int_equal(json_array_size(json_object_get(seen, "xid")), 0);
  json_decref(seen);
}

static void test_throttling_errors_and_events_are_seen(void **state) {
  (void)state;
  double watts = 0;
  play(FAKE, "reasons=0x24 corrected=4 uncorrected=1 xid=79");
  json_t *seen = watch(&watts), *reasons = json_object_get(seen, "reasons");
  assert_int_equal(whole(seen, "throttled_readings"), whole(seen, "timed_readings"));
  assert_int_equal(whole(reasons, "power_cap"), whole(seen, "timed_readings"));
  assert_int_equal(whole(reasons, "thermal_slowdown"), whole(seen, "timed_readings"));
  assert_int_equal(whole(seen, "ecc_corrected"), 4);
  assert_int_equal(whole(seen, "ecc_uncorrected"), 1);
  assert_int_equal(json_integer_value(json_array_get(json_object_get(seen, "xid"), 0)), 79);
  json_decref(seen);
}

static void test_the_present_draw_is_preferred(void **state) {
  (void)state;
  double watts = 0;
  play(FAKE, "power=350 instant");
  json_t *seen = watch(&watts);
  assert_float_equal(watts, 351, 1e-9);
  json_decref(seen);
}

static void test_what_is_not_said_is_null(void **state) {
  (void)state;
  double watts = 0;
  static const char *const scripts[][2] = {
      {FAKE, "lacks=DeviceGetPowerUsage,DeviceGetTemperature,DeviceGetTotalEccErrors,"
             "DeviceGetCurrentClocksThrottleReasons,DeviceRegisterEvents,DeviceGetClockInfo,"
             "DeviceGetTotalEnergyConsumption"},
      {ZH_BINARY_DIR "/tests/fake_nvml_deaf.so", ""}};
  for (size_t i = 0; i < 2; i++) {
    static const char *const keys[] = {"power_w",       "energy_j",        "meter_j",
                                       "sm_mhz",        "temperature_c",   "reasons",
                                       "ecc_corrected", "ecc_uncorrected", "throttled_readings"};
    play(scripts[i][0], scripts[i][1]);
    json_t *seen = watch(&watts);
    assert_true(isnan(watts));
    assert_true(json_is_true(json_object_get(seen, "watched")));
    assert_true(whole(seen, "readings") >= 2);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
      if (!json_is_null(json_object_get(seen, keys[k]))) fail_msg("%s is not null", keys[k]);
    json_decref(seen);
  }
}

static void expect_unwatched(const char *library, const char *script, const char *word) {
  double watts = 0;
  play(library, script);
  json_t *seen = watch(&watts);
  const char *note = json_string_value(json_object_get(seen, "note"));
  assert_true(isnan(watts));
  assert_false(json_is_true(json_object_get(seen, "watched")));
  if (!strstr(note, word)) fail_msg("'%s' does not say '%s'", note, word);
  json_decref(seen);
}

static void test_why_nothing_is_watched_is_said(void **state) {
  (void)state;
  expect_unwatched(FAKE, "init=9", "no driver answers (status 9)");
  expect_unwatched(ZH_BINARY_DIR "/tests/fake_nvml_old.so", "", "too old");
  expect_unwatched(FAKE, "gpus=0", "does not know the GPU at " BUS);
  expect_unwatched("/nowhere/libnvidia-ml.so.1", "", "driver");
}

static void test_slices_and_processes_are_seen(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_nvml *nvml = NULL;
  zh_nvml_device device = NULL;
  play(FAKE, "gpus=2 mig busy");
  assert_int_equal(zh_nvml_open(&nvml, &err), ZH_OK);
  assert_int_equal(zh_nvml_count(nvml), 2);
  assert_true(zh_nvml_on_bus(&device, nvml, "0000:01:00.0"));
  assert_int_equal(zh_nvml_index(nvml, device), 1);
  assert_true(zh_nvml_is_cut(nvml, device));
  assert_int_equal(zh_nvml_processes(nvml, device), 1);
  assert_false(zh_nvml_at(&device, nvml, 2));
  zh_nvml_close(nvml);
}

static zh_status check_line(void *user, size_t line, json_t *value, zh_error *err) {
  int64_t *last = user;
  (void)line, (void)err;
  if (json_object_get(value, "xid")) return ZH_OK;
  assert_true(whole(value, "t_ns") > *last);
  *last = whole(value, "t_ns");
  assert_string_equal(json_string_value(json_object_get(value, "step")), "probe");
  assert_int_equal(whole(value, "rank"), 3);
  return ZH_OK;
}

static void test_readings_are_written_at_least_ten_times_a_second(void **state) {
  (void)state;
  char path[128];
  double watts = 0;
  int64_t last = 0;
  zh_error err = ZH_ERROR_INIT;
  snprintf(path, sizeof path, "%s/gpu-0.jsonl", folder);
  remove(path);
  play(FAKE, "power=ramp");
  json_t *seen = watch(&watts);
  assert_int_equal(zh_jsonl_read(path, check_line, &last, &err), ZH_OK);
  char *text = NULL;
  size_t length = 0, lines = 0;
  assert_int_equal(zh_read_file(&text, &length, path, 1 << 20, &err), ZH_OK);
  for (size_t i = 0; i < length; i++) lines += text[i] == '\n';
  assert_int_equal(lines, whole(seen, "readings"));
  free(text);
  json_decref(seen);
}

/* CPUs of this process's threads but the calling one; how many there are. */
static int other_threads(cpu_set_t *cpus) {
  DIR *tasks = opendir("/proc/self/task");
  struct dirent *entry;
  int count = 0;
  assert_non_null(tasks);
  while ((entry = readdir(tasks))) {
    pid_t task = (pid_t)atoi(entry->d_name);
    if (task > 0 && task != gettid() && sched_getaffinity(task, sizeof *cpus, cpus) == 0) count++;
  }
  closedir(tasks);
  return count;
}

/* A reading must not interrupt what is timed. */
static void test_the_watch_is_not_tied_to_the_cpu_of_who_measures(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_gpu_watch *w = NULL;
  cpu_set_t all, one, seen;
  zh_process_cpus(&all);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &all)) cpu++;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  play(FAKE, "");
  assert_int_equal(pthread_setaffinity_np(pthread_self(), sizeof one, &one), 0);
  assert_int_equal(zh_gpu_watch_new(&w, folder, "probe", 3, &err), ZH_OK);
  assert_int_equal(zh_gpu_watch_add(w, BUS, &err), ZH_OK);
  assert_int_equal(other_threads(&seen), 1);
  assert_true(CPU_EQUAL(&seen, &all));
  zh_gpu_watch_free(w);
  assert_int_equal(pthread_setaffinity_np(pthread_self(), sizeof all, &all), 0);
}

static int make_folder(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/zh-watch-XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}
static int remove_folder(void **state) {
  (void)state;
  return zh_remove_tree(folder, NULL) == ZH_OK ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_honest_gpu_is_summed_up),
      cmocka_unit_test(test_throttling_errors_and_events_are_seen),
      cmocka_unit_test(test_the_present_draw_is_preferred),
      cmocka_unit_test(test_what_is_not_said_is_null),
      cmocka_unit_test(test_why_nothing_is_watched_is_said),
      cmocka_unit_test(test_slices_and_processes_are_seen),
      cmocka_unit_test(test_readings_are_written_at_least_ten_times_a_second),
      cmocka_unit_test(test_the_watch_is_not_tied_to_the_cpu_of_who_measures),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
