#include "bench/engine/spent.h"

#include <stdlib.h>
#include <string.h>

#include "bench/engine/device_engine.h"
#include "bench/engine/experts.h"
#include "bench/engine/inside.h"

const char *const zh_stage_names[ZH_STAGES] = {"products", "attention", "rows", "sums",
                                               "waiting",  "choice",    "check"};

zh_status zh_engine_count(zh_engine *engine, bool on, zh_error *err) {
  size_t counters = (size_t)zh_threads_count(engine->threads) + 1;
  free(engine->spent);
  engine->spent = NULL;
  if (!on) return ZH_OK;
  engine->spent = aligned_alloc(_Alignof(zh_spent), counters * sizeof *engine->spent);
  if (!engine->spent) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for counters");
  engine->counted_every = ZH_COUNTED_EVERY;
  zh_engine_restart_count(engine);
  return ZH_OK;
}

void zh_engine_restart_count(zh_engine *engine) {
  size_t counters = (size_t)zh_threads_count(engine->threads) + 1;
  zh_experts_restart_count(engine->experts);
  if (engine->device) zh_device_restart_count(engine);
  if (!engine->spent) return;
  memset(engine->spent, 0, counters * sizeof *engine->spent);
  engine->passes = 0;
  engine->uncounted = 0;
  engine->counted_since_ns = zh_now_ns();
  engine->counted_since_ticks = zh_ticks();
  zh_spent_between(engine)->last = engine->counted_since_ticks;
}

zh_spent *zh_spent_between(const zh_engine *engine) {
  return &engine->spent[zh_threads_count(engine->threads)];
}

void zh_engine_mark(const zh_engine *engine, zh_stage stage) {
  if (engine->spent) zh_spent_mark(zh_spent_between(engine), stage);
}

void zh_engine_mark_nothing(const zh_engine *engine) {
  if (engine->spent) zh_spent_between(engine)->last = zh_ticks();
}

static uint64_t sum_of(const zh_spent *spent) {
  uint64_t sum = 0;
  for (int stage = 0; stage < ZH_STAGES; ++stage) sum += spent->ticks[stage];
  return sum;
}

/* A thread that came late to a pass, or left it early, was waiting: thread 0, which begins and ends
 * each of them, tells how long they took. */
static void add_passes(zh_times *times, const zh_engine *engine, double second) {
  uint64_t counted = sum_of(&engine->spent[0]);
  int threads = zh_threads_count(engine->threads);
  if (counted == 0) return;
  double each = second / threads * (double)(counted + engine->uncounted) / (double)counted;
  for (int thread = 0; thread < threads; ++thread) {
    const zh_spent *spent = &engine->spent[thread];
    uint64_t own = sum_of(spent);
    for (int stage = 0; stage < ZH_STAGES; ++stage)
      times->seconds[stage] += (double)spent->ticks[stage] * each;
    if (own < counted) times->seconds[ZH_STAGE_WAITING] += (double)(counted - own) * each;
  }
}

zh_times zh_engine_times(const zh_engine *engine) {
  zh_times times = {{0}, 0};
  if (!engine->spent) return times;
  double ticks = (double)(zh_ticks() - engine->counted_since_ticks);
  times.total = (double)(zh_now_ns() - engine->counted_since_ns) * 1e-9;
  double second = ticks > 0 ? times.total / ticks : 0;
  add_passes(&times, engine, second);
  for (int stage = 0; stage < ZH_STAGES; ++stage)
    times.seconds[stage] += (double)zh_spent_between(engine)->ticks[stage] * second;
  return times;
}
