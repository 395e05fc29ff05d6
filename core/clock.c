#include "core/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

/* Both are written before the injected flag, by one thread, before anything is timed. */
static _Atomic int64_t injected_since_ns;
static _Atomic double injected_rate = 1.0;
static atomic_bool injected;

static int64_t read_ns(clockid_t id) {
  struct timespec now;
  clock_gettime(id, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t zh_now_ns(void) {
  int64_t now = read_ns(CLOCK_MONOTONIC);
  if (!atomic_load_explicit(&injected, memory_order_acquire)) return now;
  int64_t since = atomic_load(&injected_since_ns);
  return since + (int64_t)((double)(now - since) * atomic_load(&injected_rate));
}

int64_t zh_reference_now_ns(void) {
  return read_ns(CLOCK_BOOTTIME);
}

void zh_clock_inject_rate(double rate) {
  atomic_store(&injected_since_ns, read_ns(CLOCK_MONOTONIC));
  atomic_store(&injected_rate, rate);
  atomic_store_explicit(&injected, rate != 1.0, memory_order_release);
}

void zh_utc_now(char *out, size_t capacity) {
  struct tm parts;
  time_t now = time(NULL);
  if (capacity == 0) return;
  out[0] = 0;
  if (gmtime_r(&now, &parts) != NULL) strftime(out, capacity, "%Y-%m-%dT%H:%M:%SZ", &parts);
}
