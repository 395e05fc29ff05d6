/* Where the time of forward passes goes. Each thread reads the processor's counter wherever one
 * stage ends and the next begins, and adds the ticks to the stage. Reading keeps the processor from
 * working ahead and so costs some 25 ns: short passes are not all counted but one of
 * ZH_COUNTED_EVERY, which stands for the others. */
#ifndef ZH_BENCH_ENGINE_SPENT_H
#define ZH_BENCH_ENGINE_SPENT_H

#include <stdint.h>

#include "core/clock.h"

typedef enum zh_stage {
  ZH_STAGE_PRODUCTS,
  ZH_STAGE_ATTENTION, /* with rotation and the cache */
  ZH_STAGE_ROWS,      /* embedding, norms, additions, rounding of the products' inputs */
  ZH_STAGE_SUMS,      /* over ranks, and hidden states from and to them, with waiting */
  ZH_STAGE_WAITING,   /* for other threads */
  ZH_STAGE_CHOICE,    /* of the next token */
  ZH_STAGE_CHECK,     /* the self-check's part of what is timed */
  ZH_STAGES
} zh_stage;
extern const char *const zh_stage_names[ZH_STAGES]; /* "products" …, as bundles have them */

enum { ZH_COUNTED_EVERY = 4 };

/* Of one thread. Counters of two threads share no cache line. */
typedef struct zh_spent {
  _Alignas(64) uint64_t last; /* when the stage at hand began */
  uint64_t ticks[ZH_STAGES];
  uint64_t marks; /* how often the counter was read: what counting itself costs */
} zh_spent;

typedef struct zh_times {
  double seconds[ZH_STAGES]; /* of passes the mean over the threads, between them thread 0's */
  double total;              /* wall time, with what is no stage's */
} zh_times;

/* Ticks of an unknown but steady rate; those of two CPUs need not agree. */
static inline uint64_t zh_ticks(void) {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t ticks;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  return (uint64_t)zh_now_ns();
#endif
}

/* What passed since the last mark was `stage`'s. */
static inline void zh_spent_mark(zh_spent *spent, zh_stage stage) {
  uint64_t now = zh_ticks();
  spent->ticks[stage] += now - spent->last;
  spent->last = now;
  ++spent->marks;
}

#endif
