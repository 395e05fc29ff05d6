/* The network between ranks, by the definitions of the OSU micro-benchmarks and nccl-tests:
 * point-to-point latency (half a round trip) and bandwidth (64 messages in flight) between the
 * first and the last rank, all-reduce of fp32 over all ranks: algbw = bytes / time, busbw = algbw 2
 * (n - 1) / n, of the same repeats.
 *
 * Contents: each repeat sends its own pattern into buffers filled with something else, and compares
 * every byte that arrived last; all-reduce sums whole numbers small enough to be exact in any
 * order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/workloads/table.h"
#include "core/clock.h"
#include "core/philox.h"

enum { CASES_MAX = 96, WINDOW = 64, SMALL_BYTES = 8192, CLASSES = 251 };
enum { LATENCY, BANDWIDTH, ALLREDUCE };
static const char *const NAMES[] = {"latency", "bandwidth", "allreduce_algbw"};

typedef struct mpi_case {
  int kind;
  size_t bytes;
  zh_kept_times kept; /* the slowest rank's time of each all-reduce repeat, for busbw */
} mpi_case;

typedef struct mpi_state {
  zh_job *job;
  mpi_case cases[CASES_MAX];
  size_t count, largest;
  unsigned char *out, *in; /* [largest], [largest * WINDOW] */
  float *values;           /* [largest / 4], all-reduced in place */
  uint64_t repeat;
  int peer; /* 0 talks to the last rank; -1: this rank only waits */
} mpi_state;

/* Iterations and skipped ones: OSU's defaults for small and large messages, divided by `thin`. */
static void iterations(int *skip, int *count, const mpi_state *s, const mpi_case *c) {
  int thin = (int)zh_job_int(s->job, "thin");
  int small = c->kind == LATENCY ? 10000 : c->kind == BANDWIDTH ? 100 : 1000;
  int large = c->kind == LATENCY ? 1000 : c->kind == BANDWIDTH ? 20 : 100;
  *count = (c->bytes <= SMALL_BYTES ? small : large) / thin;
  if (*count < 1) *count = 1;
  *skip = *count / 10 > 0 ? *count / 10 : 1;
}

static unsigned char pattern(const mpi_state *s, size_t i, int from) {
  return (unsigned char)((i * 31 + s->repeat * 7 + (size_t)from * 13 + (s->job->seed & 255)) %
                         CLASSES);
}

static void fill(mpi_state *s, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) s->out[i] = pattern(s, i, s->job->comm->rank);
}

/* --- what is timed --- */

static zh_status ping(mpi_state *s, size_t bytes, zh_error *err) {
  const zh_comm *comm = s->job->comm;
  if (comm->rank == 0) {
    ZH_TRY(comm->send(comm, s->out, bytes, s->peer, err));
    return comm->receive(comm, s->in, bytes, s->peer, err);
  }
  ZH_TRY(comm->receive(comm, s->in, bytes, s->peer, err));
  return comm->send(comm, s->out, bytes, s->peer, err);
}

static zh_status window(mpi_state *s, size_t bytes, zh_error *err) {
  const zh_comm *comm = s->job->comm;
  if (comm->rank == 0) return comm->send_window(comm, s->out, bytes, WINDOW, s->peer, err);
  return comm->receive_window(comm, s->in, bytes, WINDOW, s->peer, err);
}

/* Total time of `count` iterations after `skip`, in ns; 0 for a rank that only waits. */
static zh_status point_to_point(double *ns, mpi_state *s, const mpi_case *c, zh_error *err) {
  int skip, count;
  int64_t begin = 0;
  iterations(&skip, &count, s, c);
  if (s->peer >= 0)
    for (int i = 0; i < skip + count; i++) {
      if (i == skip) begin = zh_now_ns();
      ZH_TRY(c->kind == LATENCY ? ping(s, c->bytes, err) : window(s, c->bytes, err));
    }
  *ns = s->peer >= 0 ? (double)(zh_now_ns() - begin) : 0;
  return s->job->comm->barrier(s->job->comm, err);
}

static float term(const mpi_state *s, size_t i, int rank) {
  return (float)((i + s->repeat + (size_t)rank * 17) % CLASSES);
}

/* Each iteration reduces fresh values; only the reduction is timed. */
static zh_status all_reduce(double *ns, mpi_state *s, const mpi_case *c, zh_error *err) {
  const zh_comm *comm = s->job->comm;
  size_t values = c->bytes / sizeof(float);
  int skip, count;
  iterations(&skip, &count, s, c);
  *ns = 0;
  for (int i = 0; i < skip + count; i++) {
    for (size_t k = 0; k < values; k++) s->values[k] = term(s, k, comm->rank);
    ZH_TRY(comm->barrier(comm, err));
    int64_t begin = zh_now_ns();
    ZH_TRY(comm->sum_f32(comm, s->values, values, err));
    if (i >= skip) *ns += (double)(zh_now_ns() - begin);
  }
  return ZH_OK;
}

/* The same sample that the harness will keep: the slowest rank's. */
static zh_status keep_time(mpi_state *s, mpi_case *c, double ns, zh_error *err) {
  ZH_TRY(s->job->comm->max_f64(s->job->comm, &ns, 1, err));
  return zh_keep_time(&c->kept, ns, err);
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  mpi_state *s = state;
  mpi_case *c = &s->cases[index];
  s->repeat++;
  fill(s, c->bytes);
  memset(s->in, 0xff, c->kind == BANDWIDTH ? c->bytes * WINDOW : c->bytes); /* never in a pattern */
  if (c->kind != ALLREDUCE) return point_to_point(sample, s, c, err);
  ZH_TRY(all_reduce(sample, s, c, err));
  return warmup ? ZH_OK : keep_time(s, c, *sample, err);
}

/* --- checks --- */

static zh_status verify_received(const mpi_state *s, const mpi_case *c, zh_error *err) {
  size_t count = c->kind == BANDWIDTH ? c->bytes * WINDOW : c->bytes;
  if (s->peer < 0 || (c->kind == BANDWIDTH && s->job->comm->rank == 0)) return ZH_OK;
  for (size_t i = 0; i < count; i++)
    if (s->in[i] != pattern(s, i % c->bytes, s->peer))
      return zh_fail(err, ZH_ERR_CHECK,
                     "%s of %zu bytes: byte %zu arrived as %u, but was sent as %u", NAMES[c->kind],
                     c->bytes, i, s->in[i], pattern(s, i % c->bytes, s->peer));
  return ZH_OK;
}

static zh_status verify_sums(const mpi_state *s, const mpi_case *c, zh_error *err) {
  for (size_t i = 0; i < c->bytes / sizeof(float); i++) {
    float sum = 0;
    for (int rank = 0; rank < s->job->comm->size; rank++) sum += term(s, i, rank);
    if (s->values[i] != sum)
      return zh_fail(err, ZH_ERR_CHECK,
                     "%s of %zu bytes: value %zu is %g, but must be %g (bound 0)", NAMES[c->kind],
                     c->bytes, i, (double)s->values[i], (double)sum);
  }
  return ZH_OK;
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  const mpi_state *s = state;
  const mpi_case *c = &s->cases[index];
  return c->kind == ALLREDUCE ? verify_sums(s, c, err) : verify_received(s, c, err);
}

/* --- workload --- */

static void describe(const void *state, size_t index, zh_case *out) {
  const mpi_state *s = state;
  const mpi_case *c = &s->cases[index];
  int skip, count;
  iterations(&skip, &count, s, c);
  double bytes = (double)c->bytes * count;
  *out = (zh_case){.unit = "B/s", .kind = ZH_SAMPLE_RATE, .work = bytes, .more_is_better = true};
  if (c->kind == BANDWIDTH) out->work = bytes * WINDOW;
  if (c->kind == LATENCY) {
    *out = (zh_case){.unit = "s", .kind = ZH_SAMPLE_TIME, .work = 2.0 * count};
  }
  snprintf(out->metric, sizeof out->metric, "%s_%zuB", NAMES[c->kind], c->bytes);
}

/* busbw says of each all-reduce what algbw says, in terms of the links: no second measurement. */
static zh_status finish(void *state, zh_error *err) {
  mpi_state *s = state;
  double n = s->job->comm->size;
  for (size_t i = 0; i < s->count; i++) {
    const mpi_case *c = &s->cases[i];
    zh_case what;
    if (c->kept.count == 0) continue;
    describe(s, i, &what);
    what.work *= 2 * (n - 1) / n;
    snprintf(what.metric, sizeof what.metric, "allreduce_busbw_%zuB", c->bytes);
    ZH_TRY(zh_job_series(s->job, &what, c->kept.ns, c->kept.count, err));
  }
  return ZH_OK;
}

static void add_sizes(mpi_state *s, const char *parameter, int kind) {
  int64_t sizes[CASES_MAX];
  size_t count = zh_job_ints(s->job, parameter, sizes, CASES_MAX);
  for (size_t i = 0; i < count && s->count < CASES_MAX; i++) {
    size_t bytes = (size_t)sizes[i];
    if (kind == ALLREDUCE) bytes = (bytes + 3) & ~(size_t)3;
    s->cases[s->count++] = (mpi_case){.kind = kind, .bytes = bytes};
    if (bytes > s->largest) s->largest = bytes;
  }
}

static void release(void *state) {
  mpi_state *s = state;
  for (size_t i = 0; i < s->count; i++) free(s->cases[i].kept.ns);
  free(s->out);
  free(s->in);
  free(s->values);
  free(s);
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  mpi_state *s = calloc(1, sizeof *s);
  if (!s) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  s->job = job;
  s->peer = job->comm->rank == 0                     ? job->comm->size - 1
            : job->comm->rank == job->comm->size - 1 ? 0
                                                     : -1;
  add_sizes(s, "latency_bytes", LATENCY);
  add_sizes(s, "bandwidth_bytes", BANDWIDTH);
  add_sizes(s, "allreduce_bytes", ALLREDUCE);
  s->out = malloc(s->largest);
  s->in = malloc(s->largest * WINDOW);
  s->values = malloc(s->largest + sizeof(float));
  if (!s->out || !s->in || !s->values) {
    zh_status status =
        zh_fail(err, ZH_ERR_MEMORY, "there is no memory for messages of %zu bytes", s->largest);
    release(s);
    return status;
  }
  json_object_set_new(job->facts, "library", json_string(job->comm->library));
  *state = s;
  *cases = s->count;
  return ZH_OK;
}

static const zh_parameter PARAMETERS[] = {
    {.name = "latency_bytes",
     .kind = ZH_PARAMETER_INTS,
     .fallback = "[8]",
     .min = 1,
     .max = 1 << 26,
     .help = "message sizes for latency, in bytes"},
    {.name = "bandwidth_bytes",
     .kind = ZH_PARAMETER_INTS,
     .fallback = "[1048576]",
     .min = 1,
     .max = 1 << 26,
     .help = "message sizes for bandwidth, in bytes"},
    {.name = "allreduce_bytes",
     .kind = ZH_PARAMETER_INTS,
     .fallback = "[8, 1048576]",
     .min = 4,
     .max = 1 << 28,
     .help = "buffer sizes for all-reduce, in bytes (rounded up to whole floats)"},
    {.name = "thin",
     .kind = ZH_PARAMETER_INT,
     .fallback = "1",
     .min = 1,
     .max = 10000,
     .help = "divides OSU's iteration counts; 1 for results, more for tests of the function"},
    {.name = NULL}};

static const zh_metric METRICS[] = {{"latency_*", "s"},
                                    {"bandwidth_*", "B/s"},
                                    {"allreduce_algbw_*", "B/s"},
                                    {"allreduce_busbw_*", "B/s"},
                                    {NULL, NULL}};

const zh_workload zh_workload_mpi = {
    .name = "mpi",
    .summary_zh = "进程间通信：点对点延迟与带宽、all-reduce（algbw 与 busbw）",
    .summary_en = "between ranks: point-to-point latency and bandwidth, all-reduce",
    .parameters = PARAMETERS,
    .ranks_min = 2,
    .prepare = prepare,
    .describe = describe,
    .run = run,
    .verify = verify,
    .finish = finish,
    .release = release,
    .metrics = METRICS};
