/* Memory that two processes share: what orders them, and what is reported where nothing does. Each
 * case runs in two processes of its own, which pass a handle and, where real time must have an
 * order that the shim shall not know of, single bytes. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "try.h"

enum { THREADS = 64, DATA = 16, FLAG = 0, ANSWER = 1, WORDS = DATA + THREADS };
enum { NOTHING = 0, RACE = 1, GIVEN_BACK = 2, OTHER = 3, FAILED = 4, STILL_OPEN = 5 };

ZH_KERNEL void write_and_tell(zh_global<uint32_t> area, uint32_t value, bool has_barrier) {
  area[DATA + threadIdx.x] = value + threadIdx.x;
  if (has_barrier) __syncthreads();
  if (threadIdx.x == 0) zh_store_release_system(area + FLAG, value);
}
ZH_KERNEL void wait_and_read(zh_global<uint32_t> area, zh_global<uint32_t> out, uint32_t value,
                             bool answers) {
  if (threadIdx.x == 0)
    while (value && zh_load_acquire_system(area + FLAG) != value) {
    }
  __syncthreads();
  out[threadIdx.x] = area[DATA + threadIdx.x];
  __syncthreads();
  if (answers && threadIdx.x == 0) zh_store_release_system(area + ANSWER, value);
}
ZH_KERNEL void wait_for_answer(zh_global<uint32_t> area, uint32_t value) {
  while (threadIdx.x == 0 && zh_load_acquire_system(area + ANSWER) != value) {
  }
}

/* --- two processes --- */

struct line {
  int in, out;
  void give(const void *bytes, size_t count) const {
    if (write(out, bytes, count) != (ssize_t)count) _exit(FAILED);
  }
  void take(void *bytes, size_t count) const {
    if (read(in, bytes, count) != (ssize_t)count) _exit(FAILED);
  }
  void say() const { give("", 1); }
  void hear() const {
    char byte;
    take(&byte, 1);
  }
};

static void finish() {
  cudaStreamSynchronize(nullptr);
  const char *report = zh_shim_report();
  _exit(!*report                            ? NOTHING
        : strstr(report, "nothing to order") ? RACE
        : strstr(report, "given it back")    ? GIVEN_BACK
        : strstr(report, "still have open")  ? STILL_OPEN
                                             : OTHER);
}

static zh_global<uint32_t> show_area(const line &to) {
  uint32_t *area = nullptr;
  cudaIpcMemHandle_t handle;
  if (cudaMalloc(&area, WORDS * 4) != cudaSuccess ||
      cudaMemset(area, 0, WORDS * 4) != cudaSuccess ||
      cudaIpcGetMemHandle(&handle, area) != cudaSuccess)
    _exit(FAILED);
  to.give(&handle, sizeof handle);
  return zh_at<uint32_t>(area);
}
static zh_global<uint32_t> see_area(const line &from) {
  void *area = nullptr;
  cudaIpcMemHandle_t handle;
  from.take(&handle, sizeof handle);
  if (cudaIpcOpenMemHandle(&area, handle, cudaIpcMemLazyEnablePeerAccess) != cudaSuccess)
    _exit(FAILED);
  return zh_at<uint32_t>(area);
}
static zh_global<uint32_t> make_out() {
  uint32_t *out = nullptr;
  if (cudaMalloc(&out, THREADS * 4) != cudaSuccess) _exit(FAILED);
  return zh_at<uint32_t>(out);
}

typedef void side(const line &other, uint64_t seed);

struct outcome {
  int first, second;
};
static outcome run_both(side *first, side *second, uint64_t seed) {
  int there[2], back[2], status[2];
  pid_t child[2];
  assert_int_equal(pipe(there), 0);
  assert_int_equal(pipe(back), 0);
  const line lines[2] = {{back[0], there[1]}, {there[0], back[1]}};
  for (int i = 0; i < 2; i++) {
    child[i] = fork();
    assert_true(child[i] >= 0);
    if (child[i] > 0) continue;
    alarm(20); /* who waits in vain ends */
    zh_shim_forget(seed);
    (i == 0 ? first : second)(lines[i], seed);
    finish();
  }
  for (int i = 0; i < 2; i++) {
    assert_int_equal(waitpid(child[i], &status[i], 0), child[i]);
    close(there[i]);
    close(back[i]);
  }
  return outcome{WIFEXITED(status[0]) ? WEXITSTATUS(status[0]) : FAILED,
                 WIFEXITED(status[1]) ? WEXITSTATUS(status[1]) : FAILED};
}

/* --- sides --- */

static void writes(const line &other, uint64_t) {
  zh_global<uint32_t> area = show_area(other);
  ZH_LAUNCH(write_and_tell, 1, THREADS, 0, nullptr, area, 7u, true);
  cudaStreamSynchronize(nullptr);
  other.say();
  other.hear();
}
static void writes_without_a_barrier(const line &other, uint64_t) {
  zh_global<uint32_t> area = show_area(other);
  ZH_LAUNCH(write_and_tell, 1, THREADS, 0, nullptr, area, 7u, false);
  cudaStreamSynchronize(nullptr);
  other.say();
  other.hear();
}
static void waits_and_reads(const line &other, uint64_t) {
  uint32_t here[THREADS];
  zh_global<uint32_t> area = see_area(other);
  uint32_t *out = nullptr;
  if (cudaMalloc(&out, sizeof here) != cudaSuccess) _exit(FAILED);
  ZH_LAUNCH(wait_and_read, 1, THREADS, 0, nullptr, area, zh_at<uint32_t>(out), 7u, true);
  bool done = cudaMemcpy(here, out, sizeof here, cudaMemcpyDeviceToHost) == cudaSuccess;
  for (uint32_t i = 0; done && i < THREADS; i++)
    if (here[i] != 7 + i) _exit(FAILED);
  other.hear();
  other.say();
}
static void reads_without_waiting(const line &other, uint64_t) {
  zh_global<uint32_t> area = see_area(other);
  other.hear();
  ZH_LAUNCH(wait_and_read, 1, THREADS, 0, nullptr, area, make_out(), 0u, false);
  cudaStreamSynchronize(nullptr);
  other.say();
}
/* The second time after the other has read, which it knows by real time alone. */
static void writes_again(const line &other, uint64_t) {
  zh_global<uint32_t> area = show_area(other);
  ZH_LAUNCH(write_and_tell, 1, THREADS, 0, nullptr, area, 7u, true);
  cudaStreamSynchronize(nullptr);
  other.say();
  other.hear();
  ZH_LAUNCH(write_and_tell, 1, THREADS, 0, nullptr, area, 8u, true);
}
static void writes_again_after_an_answer(const line &other, uint64_t) {
  zh_global<uint32_t> area = show_area(other);
  ZH_LAUNCH(write_and_tell, 1, THREADS, 0, nullptr, area, 7u, true);
  ZH_LAUNCH(wait_for_answer, 1, THREADS, 0, nullptr, area, 7u);
  ZH_LAUNCH(write_and_tell, 1, THREADS, 0, nullptr, area, 8u, true);
  cudaStreamSynchronize(nullptr);
  other.say();
  other.hear();
}
static void gives_back(const line &other, uint64_t) {
  uint32_t *area = nullptr;
  cudaIpcMemHandle_t handle;
  if (cudaMalloc(&area, WORDS * 4) != cudaSuccess ||
      cudaIpcGetMemHandle(&handle, area) != cudaSuccess)
    _exit(FAILED);
  other.give(&handle, sizeof handle);
  other.hear(); /* it has been opened */
  cudaFree(area);
  other.say();
}
static void reads_what_was_given_back(const line &other, uint64_t) {
  zh_global<uint32_t> area = see_area(other);
  other.say();
  other.hear();
  ZH_LAUNCH(wait_and_read, 1, THREADS, 0, nullptr, area, make_out(), 0u, false);
}

/* --- cases --- */

static void a_flag_orders_two_processes(void **) {
  for (uint64_t seed = 1; seed <= 4; seed++) {
    outcome o = run_both(writes, waits_and_reads, seed);
    assert_int_equal(o.first, NOTHING);
    assert_int_equal(o.second, NOTHING);
    o = run_both(writes_again_after_an_answer, waits_and_reads, seed);
    assert_int_equal(o.first, NOTHING);
    assert_int_equal(o.second, NOTHING);
  }
}

static void reading_without_waiting_is_a_race(void **) {
  outcome o = run_both(writes, reads_without_waiting, 1);
  assert_int_equal(o.first, NOTHING);
  assert_int_equal(o.second, RACE);
}

static void a_flag_before_the_barrier_is_a_race(void **) {
  int found = 0; /* in all orders but those in which thread 0 comes last */
  for (uint64_t seed = 1; seed <= 8; seed++) {
    outcome o = run_both(writes_without_a_barrier, waits_and_reads, seed);
    found += o.first == RACE || o.second == RACE;
  }
  assert_true(found >= 4);
}

static void writing_what_another_may_still_read_is_a_race(void **) {
  outcome o = run_both(writes_again, waits_and_reads, 1);
  assert_int_equal(o.first, RACE);
}

static void memory_that_was_given_back_is_known(void **) {
  outcome o = run_both(gives_back, reads_what_was_given_back, 1);
  assert_int_equal(o.first, STILL_OPEN);
  assert_int_equal(o.second, GIVEN_BACK);
}

static void shows_and_frees(const line &other, uint64_t) {
  cudaIpcMemHandle_t handle;
  uint32_t *area = nullptr;
  void *again = nullptr;
  if (cudaMalloc(&area, WORDS * 4) != cudaSuccess) _exit(FAILED);
  if (cudaIpcGetMemHandle(&handle, area + 1) != cudaErrorInvalidValue) _exit(FAILED + 1);
  if (cudaIpcGetMemHandle(&handle, area) != cudaSuccess) _exit(FAILED + 2);
  if (cudaIpcOpenMemHandle(&again, handle, 0) != cudaErrorInvalidValue) _exit(FAILED + 3);
  if (cudaIpcCloseMemHandle(area) != cudaErrorInvalidValue) _exit(FAILED + 4);
  other.give(&handle, sizeof handle);
  other.hear();
}
static void misuses_a_handle(const line &other, uint64_t) {
  cudaIpcMemHandle_t handle;
  void *area = nullptr;
  other.take(&handle, sizeof handle);
  setenv("ZH_SHIM_PEERS", "0", 1);
  if (cudaIpcOpenMemHandle(&area, handle, 0) != cudaErrorPeerAccessUnsupported) _exit(FAILED);
  unsetenv("ZH_SHIM_PEERS");
  if (cudaIpcOpenMemHandle(&area, handle, 0) != cudaSuccess) _exit(FAILED + 1);
  if (cudaFree(area) != cudaErrorInvalidValue) _exit(FAILED + 2);
  if (cudaIpcCloseMemHandle(area) != cudaSuccess) _exit(FAILED + 3);
  if (cudaIpcCloseMemHandle(area) != cudaErrorInvalidValue) _exit(FAILED + 4);
  other.say();
}
static void handles_are_checked(void **) {
  outcome o = run_both(shows_and_frees, misuses_a_handle, 1);
  assert_int_equal(o.first, NOTHING);
  assert_int_equal(o.second, NOTHING);
}

static void goes_too_far(const line &other, uint64_t) {
  zh_global<uint32_t> area = see_area(other);
  ZH_LAUNCH(wait_and_read, 1, THREADS, 0, nullptr, area + 1, make_out(), 0u, false);
  cudaStreamSynchronize(nullptr);
  other.say();
}
static void shows(const line &other, uint64_t) {
  show_area(other);
  other.hear();
}
static void others_memory_has_bounds_too(void **) {
  outcome o = run_both(shows, goes_too_far, 1);
  assert_int_equal(o.second, OTHER);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_flag_orders_two_processes),
      cmocka_unit_test(reading_without_waiting_is_a_race),
      cmocka_unit_test(a_flag_before_the_barrier_is_a_race),
      cmocka_unit_test(writing_what_another_may_still_read_is_a_race),
      cmocka_unit_test(memory_that_was_given_back_is_known),
      cmocka_unit_test(handles_are_checked),
      cmocka_unit_test(others_memory_has_bounds_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
