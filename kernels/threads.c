/* Persistent pinned threads that spin briefly and then sleep.
 *
 * Everything waits at a gate: a number that changes when the gate opens. Waiting spins a few
 * microseconds, because a forward pass comes back within that, then sleeps in the kernel (futex),
 * because a machine may have other work or fewer CPUs than threads. Sleepers are counted so that
 * opening an empty gate costs no system call. The count and the number are sequentially consistent:
 * either the opener sees the sleeper, or the sleeper sees the new number. */
#include "kernels/kernels.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS = 2000 }; /* pauses; 20 to 100 microseconds, by CPU */

typedef struct gate {
  _Alignas(64) _Atomic uint32_t number;
  _Atomic uint32_t sleepers;
} gate;

struct zh_threads {
  gate start;   /* opened by the caller for each task */
  gate barrier; /* opened by the last to arrive */
  _Alignas(64) _Atomic int arrived;
  int count, started, spins;
  bool pinned, stop;
  zh_task task; /* written before `start` opens, read after */
  void *user;
  pthread_t caller;
  cpu_set_t caller_cpus; /* what the caller was allowed before it was pinned */
  struct worker {
    zh_threads *threads;
    int index;
    pthread_t handle;
  } workers[];
};

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void gate_wait(gate *g, uint32_t old, int spins) {
  for (int i = 0; i < spins; i++) {
    if (atomic_load(&g->number) != old) return;
    relax();
  }
  atomic_fetch_add(&g->sleepers, 1);
  while (atomic_load(&g->number) == old)
    (void)syscall(SYS_futex, &g->number, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
  atomic_fetch_sub(&g->sleepers, 1);
}

static void gate_open(gate *g) {
  atomic_fetch_add(&g->number, 1);
  if (atomic_load(&g->sleepers) > 0)
    (void)syscall(SYS_futex, &g->number, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void zh_threads_barrier(zh_threads *threads) {
  if (threads->count == 1) return;
  uint32_t number = atomic_load(&threads->barrier.number);
  if (atomic_fetch_add(&threads->arrived, 1) + 1 == threads->count) {
    atomic_store(&threads->arrived, 0);
    gate_open(&threads->barrier);
  } else {
    gate_wait(&threads->barrier, number, threads->spins);
  }
}

void zh_threads_run(zh_threads *threads, zh_task task, void *user) {
  threads->task = task;
  threads->user = user;
  gate_open(&threads->start);
  task(user, 0, threads->count);
  zh_threads_barrier(threads);
}

static void *worker_main(void *argument) {
  struct worker *me = argument;
  zh_threads *threads = me->threads;
  for (uint32_t number = 0;; number++) {
    gate_wait(&threads->start, number, threads->spins);
    if (threads->stop) return NULL;
    threads->task(threads->user, me->index, threads->count);
    zh_threads_barrier(threads);
  }
}

/* The process's CPUs as they were before any caller was pinned. */
static cpu_set_t process_cpus;
static void read_process_cpus(void) {
  CPU_ZERO(&process_cpus);
  if (sched_getaffinity(0, sizeof process_cpus, &process_cpus) != 0) CPU_ZERO(&process_cpus);
}

static int allowed_cpus(int *out, int capacity) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, read_process_cpus);
  int found = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE && found < capacity; cpu++)
    if (CPU_ISSET(cpu, &process_cpus)) out[found++] = cpu;
  return found;
}

static bool pin(pthread_t thread, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu < 0 || cpu >= CPU_SETSIZE) return false;
  CPU_SET(cpu, &set);
  return pthread_setaffinity_np(thread, sizeof set, &set) == 0;
}

static void pin_all(zh_threads *threads, const int *cpus) {
  int allowed[CPU_SETSIZE];
  if (!cpus) {
    (void)allowed_cpus(allowed, CPU_SETSIZE);
    cpus = allowed;
  }
  threads->pinned = pin(threads->caller, cpus[0]);
  for (int i = 1; i < threads->count; i++)
    threads->pinned &= pin(threads->workers[i].handle, cpus[i]);
}

static zh_status create(zh_threads **out, int count, const int *cpus, bool crowded, zh_error *err) {
  *out = NULL;
  if (count < 1 || count > 4096)
    return zh_fail(err, ZH_ERR_ARG, "%d threads asked for, expected 1 to 4096", count);
  size_t bytes = (sizeof(zh_threads) + (size_t)count * sizeof(struct worker) + 63) & ~(size_t)63;
  zh_threads *threads = aligned_alloc(64, bytes);
  if (!threads) return zh_fail(err, ZH_ERR_MEMORY, "no memory for %d threads", count);
  memset(threads, 0, bytes);
  threads->count = count;
  threads->started = 1;
  int allowed[CPU_SETSIZE];
  crowded = crowded || count > allowed_cpus(allowed, CPU_SETSIZE);
  threads->spins = crowded ? 0 : SPINS;
  threads->caller = pthread_self();
  if (pthread_getaffinity_np(threads->caller, sizeof threads->caller_cpus, &threads->caller_cpus))
    CPU_ZERO(&threads->caller_cpus);
  for (; threads->started < count; threads->started++) {
    struct worker *w = &threads->workers[threads->started];
    w->threads = threads;
    w->index = threads->started;
    int failure = pthread_create(&w->handle, NULL, worker_main, w);
    if (failure) {
      zh_status status =
          zh_fail(err, ZH_ERR_LACKING,
                  "thread %d of %d could not be started: %s (fewer threads, or a higher ulimit -u)",
                  threads->started + 1, count, strerror(failure));
      zh_threads_free(threads);
      return status;
    }
  }
  /* Where there are more threads than CPUs the scheduler places them better than we do. */
  if (!crowded || cpus) pin_all(threads, cpus);
  *out = threads;
  return ZH_OK;
}

zh_status zh_threads_create(zh_threads **out, int count, const int *cpus, zh_error *err) {
  return create(out, count, cpus, false, err);
}

zh_status zh_threads_create_crowded(zh_threads **out, int count, zh_error *err) {
  return create(out, count, NULL, true, err);
}

void zh_threads_free(zh_threads *threads) {
  if (!threads) return;
  threads->stop = true;
  gate_open(&threads->start);
  for (int i = 1; i < threads->started; i++) (void)pthread_join(threads->workers[i].handle, NULL);
  if (pthread_equal(threads->caller, pthread_self()) && CPU_COUNT(&threads->caller_cpus) > 0)
    (void)pthread_setaffinity_np(threads->caller, sizeof threads->caller_cpus,
                                 &threads->caller_cpus);
  free(threads);
}

int zh_threads_count(const zh_threads *threads) {
  return threads->count;
}
int zh_threads_spins(const zh_threads *threads) {
  return threads->spins;
}
bool zh_threads_pinned(const zh_threads *threads) {
  return threads->pinned;
}

void zh_share(size_t *begin, size_t *end, size_t items, size_t grain, int thread, int threads) {
  if (grain == 0) grain = 1;
  size_t grains = items / grain + (items % grain != 0);
  size_t each = grains / (size_t)threads, extra = grains % (size_t)threads, i = (size_t)thread;
  size_t first = i * each + (i < extra ? i : extra), count = each + (i < extra);
  *begin = first * grain < items ? first * grain : items;
  *end = (first + count) * grain < items ? (first + count) * grain : items;
}
