/* Memory bandwidth: pure read, copy and triad, from one core and from all, on arrays that no cache
 * holds.
 *
 * Every element is a whole number below 1024, so each sum is exact in fp64 in any order, and one
 * wrong element shows: sums are compared for equality, as are sampled elements. Traffic is counted
 * as STREAM counts it: 8, 16 and 24 bytes an element (a copy's or triad's write-allocate is not
 * counted). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/workloads/table.h"
#include "core/clock.h"

enum { SAMPLED = 4096, MARGIN_PERCENT = 60 };
static const double SCALE = 3; /* triad: a = b + 3 c */

static const char *const OPERATIONS[] = {"read", "copy", "triad", NULL};
static const char *const SCOPES[] = {"one_core", "all_cores", NULL};
static const int BYTES_AN_ELEMENT[] = {8, 16, 24};

typedef struct memory_case {
  int operation, scope;
} memory_case;

typedef struct memory_state {
  zh_job *job;
  size_t elements; /* of each array, on each rank */
  double *a, *b, *c;
  double *sums; /* [threads], 16 apart so that none share a line */
  double sum_b, sum_c;
  double read; /* what the last read summed up */
  memory_case cases[6];
  size_t count;
  int operation; /* in progress */
  bool alone;    /* one thread does it all */
} memory_state;

enum { APART = 16 };

/* Below 1024, by multiplicative hashing of position and seed. */
static double element(uint64_t seed, size_t i, uint64_t array) {
  uint64_t mixed = (i + array * 0x9e3779b97f4a7c15u) * 0xd1342543de82ef95u ^ seed;
  mixed ^= mixed >> 32;
  return (double)((mixed * 0x9e3779b97f4a7c15u) >> 54);
}

static void range(size_t *begin, size_t *end, const memory_state *s, int thread, int threads) {
  if (s->alone) {
    *begin = 0;
    *end = thread == 0 ? s->elements : 0;
  } else {
    zh_share(begin, end, s->elements, 512, thread, threads); /* whole pages */
  }
}

/* --- tasks of the threads --- */

static void fill(void *user, int thread, int threads) {
  memory_state *s = user;
  size_t begin, end;
  double b = 0, c = 0;
  range(&begin, &end, s, thread, threads);
  for (size_t i = begin; i < end; i++) {
    s->a[i] = 0;
    b += s->b[i] = element(s->job->seed, i, 1);
    c += s->c[i] = element(s->job->seed, i, 2);
  }
  s->sums[thread * APART] = b;
  s->sums[thread * APART + 1] = c;
}

static void operate(void *user, int thread, int threads) {
  memory_state *s = user;
  size_t begin, end;
  range(&begin, &end, s, thread, threads);
  s->sums[thread * APART] = 0;
  if (begin == end) return;
  if (s->operation == 0) s->sums[thread * APART] = zh_memory_read(s->b, begin, end);
  if (s->operation == 1) zh_memory_copy(s->a, s->b, begin, end);
  if (s->operation == 2) zh_memory_triad(s->a, s->b, s->c, SCALE, begin, end);
}

static void sum_a(void *user, int thread, int threads) {
  memory_state *s = user;
  size_t begin, end;
  zh_share(&begin, &end, s->elements, 512, thread, threads);
  double sum = 0;
  for (size_t i = begin; i < end; i++) sum += s->a[i];
  s->sums[thread * APART] = sum;
}

static double total(const memory_state *s, int column) {
  double sum = 0;
  for (int t = 0; t < zh_threads_count(s->job->threads); t++) sum += s->sums[t * APART + column];
  return sum;
}

/* --- sizes --- */

static uint64_t available_bytes(void) {
  char line[128];
  unsigned long long kib = 0;
  FILE *file = fopen("/proc/meminfo", "re");
  if (!file) return 0;
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) break;
  fclose(file);
  return (uint64_t)kib * 1024;
}

/* Four times the last-level cache for each array; less, with a mark, where three of them would not
 * fit. */
static zh_status choose_size(memory_state *s, zh_error *err) {
  int64_t mib = zh_job_int(s->job, "array_mib");
  uint64_t cache = zh_machine_last_level_cache_bytes(), free_bytes = available_bytes();
  uint64_t wanted = mib > 0 ? (uint64_t)mib << 20 : 4 * cache, bytes = wanted;
  uint64_t most = free_bytes / 100 * MARGIN_PERCENT / 3 / (uint64_t)s->job->comm->size;
  if (free_bytes > 0 && bytes > most) bytes = most;
  s->elements = (size_t)(bytes / sizeof(double)) & ~(size_t)511;
  if (s->elements < SAMPLED)
    return zh_fail(err, ZH_ERR_MEMORY, "there is no memory for arrays of %llu MiB",
                   (unsigned long long)(wanted >> 20));
  bool enough = s->elements * sizeof(double) >= 4 * cache - 4096;
  json_t *facts = s->job->facts;
  json_object_set_new(facts, "array_bytes", json_integer((json_int_t)(s->elements * 8)));
  json_object_set_new(facts, "last_level_cache_bytes", json_integer((json_int_t)cache));
  json_object_set_new(facts, "arrays_exceed_caches", json_boolean(enough));
  json_object_set_new(facts, "variant", json_string(zh_memory_variant()));
  if (!enough)
    json_object_set_new(facts, "mark",
                        json_string(bytes < wanted
                                        ? "memory is short: arrays are smaller than 4 x the "
                                          "last-level cache, so the figures may include the cache"
                                        : "arrays are smaller than 4 x the last-level cache by "
                                          "request, so the figures may include the cache"));
  return ZH_OK;
}

static bool is_listed(const zh_job *job, const char *parameter, const char *word) {
  size_t i;
  json_t *item;
  json_array_foreach(json_object_get(job->parameters, parameter), i, item) {
    if (strcmp(json_string_value(item), word) == 0) return true;
  }
  return false;
}

/* --- workload --- */

static void release(void *state) {
  memory_state *s = state;
  size_t bytes = s->elements * sizeof(double);
  zh_big_free(s->a, bytes);
  zh_big_free(s->b, bytes);
  zh_big_free(s->c, bytes);
  free(s->sums);
  free(s);
}

static zh_status allocate(memory_state *s, zh_error *err) {
  size_t bytes = s->elements * sizeof(double);
  s->a = zh_big_alloc(bytes);
  s->b = zh_big_alloc(bytes);
  s->c = zh_big_alloc(bytes);
  s->sums = calloc((size_t)zh_threads_count(s->job->threads) * APART, sizeof(double));
  if (s->a && s->b && s->c && s->sums) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "there is no memory for three arrays of %zu MiB", bytes >> 20);
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  memory_state *s = calloc(1, sizeof *s);
  if (!s) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  *state = s;
  s->job = job;
  ZH_TRY(choose_size(s, err));
  ZH_TRY(allocate(s, err));
  zh_threads_run(job->threads, fill, s);
  s->sum_b = total(s, 0);
  s->sum_c = total(s, 1);
  for (int operation = 0; OPERATIONS[operation]; operation++)
    for (int scope = 0; SCOPES[scope]; scope++)
      if (is_listed(job, "operations", OPERATIONS[operation]) &&
          is_listed(job, "scopes", SCOPES[scope]))
        s->cases[s->count++] = (memory_case){operation, scope};
  *cases = s->count;
  return ZH_OK;
}

/* One core: of rank 0 alone. All cores: of all ranks. */
static void describe(const void *state, size_t index, zh_case *out) {
  const memory_state *s = state;
  memory_case c = s->cases[index];
  double ranks = c.scope == 0 ? 1 : s->job->comm->size;
  *out = (zh_case){.unit = "B/s",
                   .kind = ZH_SAMPLE_RATE,
                   .work = ranks * (double)s->elements * BYTES_AN_ELEMENT[c.operation],
                   .peak_per_unit = 1,
                   .more_is_better = true};
  snprintf(out->metric, sizeof out->metric, "%s_%s", OPERATIONS[c.operation], SCOPES[c.scope]);
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  memory_state *s = state;
  (void)warmup, (void)err;
  s->operation = s->cases[index].operation;
  s->alone = s->cases[index].scope == 0;
  if (s->alone && s->job->comm->rank != 0) return ZH_OK;
  int64_t begin = zh_now_ns();
  zh_threads_run(s->job->threads, operate, s);
  *sample = (double)(zh_now_ns() - begin);
  s->read = total(s, 0);
  return ZH_OK;
}

static double expected(const memory_state *s, size_t i) {
  double b = element(s->job->seed, i, 1);
  return s->operation == 1 ? b : b + SCALE * element(s->job->seed, i, 2);
}

static size_t sampled(const memory_state *s, size_t k) {
  return s->elements / SAMPLED * k + (size_t)(s->job->seed + k) % (s->elements / SAMPLED + 1);
}

static zh_status verify_elements(const memory_state *s, zh_error *err) {
  for (size_t k = 0; k < SAMPLED; k++) {
    size_t i = sampled(s, k) % s->elements;
    if (s->a[i] != expected(s, i))
      return zh_fail(err, ZH_ERR_CHECK, "%s: element %zu is %g, but must be %g",
                     OPERATIONS[s->operation], i, s->a[i], expected(s, i));
  }
  return ZH_OK;
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  memory_state *s = state;
  (void)index;
  if (s->alone && s->job->comm->rank != 0) return ZH_OK;
  double sum = s->read, wanted = s->sum_b;
  if (s->operation != 0) {
    ZH_TRY(verify_elements(s, err));
    zh_threads_run(s->job->threads, sum_a, s);
    sum = total(s, 0);
    if (s->operation == 2) wanted += SCALE * s->sum_c;
  }
  /* So that a later repeat that writes nothing cannot pass on what this one wrote. */
  for (size_t k = 0; k < SAMPLED; k++) s->a[sampled(s, k) % s->elements] = -1;
  if (sum == wanted) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "%s: the sum of %zu elements is %.17g, but must be %.17g (bound 0)",
                 OPERATIONS[s->operation], s->elements, sum, wanted);
}

static const zh_parameter PARAMETERS[] = {
    {.name = "array_mib",
     .kind = ZH_PARAMETER_INT,
     .fallback = "0",
     .min = 0,
     .max = (int64_t)1 << 24,
     .help = "size of each of the three arrays in MiB; 0: 4 x the last-level caches"},
    {.name = "operations",
     .kind = ZH_PARAMETER_WORDS,
     .fallback = "[read, copy, triad]",
     .words = OPERATIONS,
     .help = "what to do with the arrays"},
    {.name = "scopes",
     .kind = ZH_PARAMETER_WORDS,
     .fallback = "[one_core, all_cores]",
     .words = SCOPES,
     .help = "from how many cores"},
    {.name = NULL}};

static const zh_metric METRICS[] = {{"read_one_core", "B/s"},
                                    {"read_all_cores", "B/s"},
                                    {"copy_one_core", "B/s"},
                                    {"copy_all_cores", "B/s"},
                                    {"triad_one_core", "B/s"},
                                    {"triad_all_cores", "B/s"},
                                    {NULL, NULL}};

const zh_workload zh_workload_memory = {
    .name = "memory",
    .summary_zh = "内存带宽：纯读、拷贝、triad，单核与全部核",
    .summary_en = "memory bandwidth: read, copy and triad, from one core and from all",
    .parameters = PARAMETERS,
    .ranks_min = 1,
    .prepare = prepare,
    .describe = describe,
    .run = run,
    .verify = verify,
    .release = release,
    .metrics = METRICS};
