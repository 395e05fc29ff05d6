/* Work dealt out to all threads, with progress. */
#include <stdatomic.h>
#include <stdlib.h>

#include "core/clock.h"
#include "evaluator/audit/audit.h"

typedef struct dealer {
  zh_auditor *a;
  const char *stage;
  size_t count, floats;
  zh_grid_task task;
  void *user;
  _Atomic size_t next, finished;
  _Atomic int status;
  _Atomic uint64_t bytes;
  int64_t said_ns;
} dealer;

void zh_tell(const zh_auditor *a, const char *stage, uint64_t done, uint64_t all, uint64_t bytes) {
  const zh_audit_options *options = a->options;
  if (options->progress != NULL)
    options->progress(options->progress_user, stage, (size_t)done, (size_t)all, bytes);
}

/* Thread 0 alone speaks, at most ten times a second. */
static void speak(dealer *d, int thread) {
  int64_t now = thread == 0 ? zh_now_ns() : 0;
  if (now - d->said_ns < 100000000) return;
  d->said_ns = now;
  zh_tell(d->a, d->stage, atomic_load(&d->finished), d->count, atomic_load(&d->bytes));
}

static void deal(void *user, int thread, int threads) {
  dealer *d = user;
  zh_scratch scratch = {.thread = thread};
  (void)threads;
  scratch.floats = d->floats > 0 ? malloc(d->floats * sizeof(float)) : NULL;
  if (d->floats > 0 && scratch.floats == NULL) atomic_store(&d->status, ZH_ERR_MEMORY);
  while (atomic_load(&d->status) == ZH_OK) {
    size_t i = atomic_fetch_add(&d->next, 1);
    if (i >= d->count) break;
    scratch.bytes = 0;
    zh_status status = d->task(d->a, i, &scratch, d->user);
    if (status != ZH_OK) atomic_store(&d->status, (int)status);
    atomic_fetch_add(&d->finished, 1);
    atomic_fetch_add(&d->bytes, scratch.bytes);
    speak(d, thread);
  }
  free(scratch.floats);
}

zh_status zh_each(zh_auditor *a, const char *stage, size_t count, size_t floats, zh_grid_task task,
                  void *user, zh_error *err) {
  dealer d = {.a = a, .stage = stage, .count = count, .floats = floats, .task = task, .user = user};
  d.said_ns = zh_now_ns();
  zh_tell(a, stage, 0, count, 0);
  zh_threads_run(a->threads, deal, &d);
  zh_status status = (zh_status)atomic_load(&d.status);
  if (status == ZH_OK) zh_tell(a, stage, count, count, atomic_load(&d.bytes));
  if (status == ZH_OK) return ZH_OK;
  return zh_fail(err, status, "the audit stopped while it looked at the weights (%s): %s", stage,
                 zh_status_text(status));
}
