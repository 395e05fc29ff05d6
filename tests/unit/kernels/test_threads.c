#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "core/clock.h"
#include "kernels/kernels.h"

enum { MOST = 8, STEPS = 50 };

typedef struct ring {
  zh_threads *threads;
  int values[MOST];
  atomic_int calls;
} ring;

/* Each thread reads its neighbour's plain value, and writes its own after a barrier: any thread
 * that a barrier lets through too early reads a value of another step. */
static void pass_on(void *user, int thread, int threads) {
  ring *r = user;
  atomic_fetch_add(&r->calls, 1);
  for (int step = 0; step < STEPS; step++) {
    int next = r->values[(thread + 1) % threads] + 1;
    zh_threads_barrier(r->threads);
    r->values[thread] = next;
    zh_threads_barrier(r->threads);
  }
}

static void barriers_hold(void **state) {
  (void)state;
  for (int count = 1; count <= MOST; count++) {
    ring r = {0};
    assert_int_equal(zh_threads_create(&r.threads, count, NULL, NULL), ZH_OK);
    assert_int_equal(zh_threads_count(r.threads), count);
    for (int run = 0; run < 5; run++) zh_threads_run(r.threads, pass_on, &r);
    assert_int_equal(atomic_load(&r.calls), 5 * count);
    for (int i = 0; i < count; i++) assert_int_equal(r.values[i], 5 * STEPS);
    zh_threads_free(r.threads);
  }
}

static void count_up(void *user, int thread, int threads) {
  (void)threads;
  ((int *)user)[16 * thread]++;
}

/* More threads than CPUs must sleep, not burn each other's time slices. */
static void crowded_threads_are_quick(void **state) {
  (void)state;
  int count = 2 * (int)sysconf(_SC_NPROCESSORS_ONLN),
      *calls = test_calloc((size_t)count * 16, sizeof *calls);
  zh_threads *threads;
  assert_int_equal(zh_threads_create(&threads, count, NULL, NULL), ZH_OK);
  int64_t start = zh_now_ns();
  for (int run = 0; run < 500; run++) zh_threads_run(threads, count_up, calls);
  double seconds = (double)(zh_now_ns() - start) / 1e9;
  zh_threads_free(threads);
  for (int i = 0; i < count; i++) assert_int_equal(calls[16 * i], 500);
  test_free(calls);
  assert_true(seconds < 5);
}

/* Where others need the CPUs as well a thread is left where the system puts it, and never spins. */
static void threads_that_share_cpus_sleep(void **state) {
  (void)state;
  zh_threads *threads;
  int calls[2 * 16] = {0};
  assert_int_equal(zh_threads_create_crowded(&threads, 2, NULL), ZH_OK);
  assert_false(zh_threads_pinned(threads));
  assert_int_equal(zh_threads_spins(threads), 0);
  for (int run = 0; run < 100; run++) zh_threads_run(threads, count_up, calls);
  zh_threads_free(threads);
  assert_int_equal(calls[0], 100);
  assert_int_equal(calls[16], 100);
}

static void wait_a_little(void *user, int thread, int threads) {
  (void)user;
  (void)threads;
  if (thread == 0)
    usleep(3000); /* long past the spinning: the others sleep at the barrier and must be woken */
}

static void sleepers_are_woken(void **state) {
  (void)state;
  zh_threads *threads;
  assert_int_equal(zh_threads_create(&threads, 3, NULL, NULL), ZH_OK);
  for (int run = 0; run < 10; run++) {
    zh_threads_run(threads, wait_a_little, NULL);
    usleep(3000);
  }
  zh_threads_free(threads);
}

static void the_callers_cpus_come_back(void **state) {
  (void)state;
  cpu_set_t before, after;
  assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof before, &before), 0);
  for (int round = 0; round < 2; round++) { /* a second team must see all CPUs again */
    zh_threads *threads;
    int count = CPU_COUNT(&before) > MOST ? MOST : CPU_COUNT(&before);
    assert_int_equal(zh_threads_create(&threads, count, NULL, NULL), ZH_OK);
    assert_true(zh_threads_pinned(threads));
    zh_threads_free(threads);
  }
  assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof after, &after), 0);
  assert_true(CPU_EQUAL(&before, &after));
}

static void bad_counts_are_refused(void **state) {
  (void)state;
  zh_threads *threads = (zh_threads *)1;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(zh_threads_create(&threads, 0, NULL, &err), ZH_ERR_ARG);
  assert_null(threads);
  zh_threads_free(NULL);
  int nowhere = 1 << 20; /* pinning that fails is no error */
  assert_int_equal(zh_threads_create(&threads, 1, &nowhere, NULL), ZH_OK);
  assert_false(zh_threads_pinned(threads));
  zh_threads_free(threads);
}

/* Parts follow each other without gap, start on the grain, and differ by at most one grain. */
static void shares_cover_everything(void **state) {
  (void)state;
  for (size_t items = 0; items < 100; items++)
    for (size_t grain = 1; grain < 20; grain += 3)
      for (int threads = 1; threads < 9; threads++) {
        size_t expected = 0, least = SIZE_MAX, most = 0;
        for (int i = 0; i < threads; i++) {
          size_t begin, end;
          zh_share(&begin, &end, items, grain, i, threads);
          assert_int_equal(begin, expected);
          assert_true(end >= begin && (begin % grain == 0 || begin == items));
          size_t grains = (end - begin + grain - 1) / grain;
          least = grains < least ? grains : least;
          most = grains > most ? grains : most;
          expected = end;
        }
        assert_int_equal(expected, items);
        assert_true(most - least <= 1);
      }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(barriers_hold),
      cmocka_unit_test(crowded_threads_are_quick),
      cmocka_unit_test(threads_that_share_cpus_sleep),
      cmocka_unit_test(sleepers_are_woken),
      cmocka_unit_test(the_callers_cpus_come_back),
      cmocka_unit_test(bad_counts_are_refused),
      cmocka_unit_test(shares_cover_everything),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
