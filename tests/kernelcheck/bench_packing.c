/* kernelcheck --bench packing [TYPE]: how fast weights are rearranged, beside a plain copy of as
 * many bytes, on one thread and on two.
 *
 * The matrix is zh-1b's largest. Copies of it, twice the last-level cache or more, take turns, and
 * so do the places they are written to: nothing lies in a cache. Each repeat times the packing and
 * then zh_memory_copy of another copy, so that both meet the same clock and the same neighbours.
 * Bytes read and bytes written both count, as STREAM does for a copy. */
#include "tests/kernelcheck/check.h"
#include "tests/kernelcheck/timing.h"

#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 5632, COLUMNS = 2048, REPEATS = 41 };
static const size_t COLD_BYTES = (size_t)600 << 20;

typedef struct packing {
  zh_threads *threads;
  zh_dtype type;
  char *from, *to; /* COLD_BYTES each */
  size_t row_bytes, bytes, copies, copy;
} packing;

static void share_of(size_t *begin, size_t *end, int thread, int threads) {
  zh_share(begin, end, ROWS, ZH_PACKED_ROWS, thread, threads);
}

static void pack_task(void *user, int thread, int threads) {
  const packing *p = user;
  size_t begin, end, at = p->copy * p->bytes;
  share_of(&begin, &end, thread, threads);
  zh_pack_rows(p->to + at + begin * p->row_bytes, p->type, p->from + at + begin * p->row_bytes,
               end - begin, p->row_bytes, COLUMNS);
}

static void copy_task(void *user, int thread, int threads) {
  const packing *p = user;
  size_t begin, end, at = p->copy * p->bytes / sizeof(double);
  share_of(&begin, &end, thread, threads);
  size_t doubles = p->row_bytes / sizeof(double);
  zh_memory_copy((double *)(void *)p->to, (const double *)(const void *)p->from,
                 at + begin * doubles, at + end * doubles);
}

static double time_task(packing *p, zh_task task) {
  p->copy = (p->copy + 1) % p->copies;
  int64_t start = zh_now_ns();
  zh_threads_run(p->threads, task, p);
  return (double)(zh_now_ns() - start);
}

static void bench_type(packing *p, int threads) {
  double pack[REPEATS], copy[REPEATS];
  uint64_t bytes;
  if (!zh_dtype_bytes(&bytes, p->type, COLUMNS)) return;
  p->row_bytes = (size_t)bytes;
  p->bytes = ROWS * p->row_bytes;
  p->copies = COLD_BYTES / p->bytes;
  p->copy = 0;
  for (int i = -2; i < REPEATS; i++) { /* two to warm up */
    double packed = time_task(p, pack_task), copied = time_task(p, copy_task);
    if (i >= 0) pack[i] = packed, copy[i] = copied;
  }
  timing_report(&(timing){.operator= "packing",
                          .kernels = zh_kernels_best()->name,
                          .type = zh_dtype_find((uint32_t)p->type)->name,
                          .state = "cold",
                          .threads = threads,
                          .bytes = 2 * (double)p->bytes,
                          .pass = pack,
                          .read = copy,
                          .count = REPEATS});
}

void bench_packing(const char *only_type) {
  packing p = {.from = zh_big_alloc(COLD_BYTES), .to = zh_big_alloc(COLD_BYTES)};
  if (!p.from || !p.to) exit(3);
  if (!timing_is_json())
    printf("packing: W[%d][%d] rearranged, %d repeats, cold, bytes read and written; 'read' is a "
           "plain copy of as many; %s\n",
           ROWS, COLUMNS, REPEATS, zh_kernels_best()->name);
  memset(p.from, 0x3c, COLD_BYTES);
  memset(p.to, 0, COLD_BYTES);
  for (int threads = 1; threads <= 2; threads++) {
    zh_error err = ZH_ERROR_INIT;
    if (zh_threads_create(&p.threads, threads, NULL, &err) != ZH_OK) exit(3);
    for (size_t n = 0; n < weight_type_count; n++) {
      p.type = weight_types[n];
      if (!zh_packs(p.type)) continue;
      if (!only_type || strcmp(only_type, zh_dtype_find((uint32_t)p.type)->name) == 0)
        bench_type(&p, threads);
    }
    zh_threads_free(p.threads);
  }
  zh_big_free(p.from, COLD_BYTES);
  zh_big_free(p.to, COLD_BYTES);
}
