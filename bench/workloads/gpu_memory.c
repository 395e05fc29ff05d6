/* Memory bandwidth of a GPU: pure read, write, copy and triad, on arrays that its second-level
 * cache does not hold; and reads of smaller ones that were driven out of it before each pass. What
 * is written of those may stay in the cache, and would say nothing of the memory.
 *
 * Words add up modulo 2^32, so that one wrong one shows: what was read is compared with the sum
 * that the host makes by formula, what was written is read again, and sampled pieces are fetched.
 * Traffic counts what the loop names: 1, 1, 2 and 3 arrays. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/workloads/gpu.h"
#include "bench/workloads/table.h"

enum { SIZES_MAX = 32, CASES_MAX = 4 * (SIZES_MAX + 1), PIECE = 1024, PIECES = 16 };
enum { KEY_B = 0x243F6A88, KEY_C = 0x13198A2E };
static const uint64_t LARGE_BYTES = (uint64_t)1 << 30;

static const char *const OPERATIONS[] = {"read", "write", "copy", "triad", NULL};
static const int ARRAYS[] = {1, 1, 2, 3};

typedef struct gpu_memory_case {
  zh_device_flow flow;
  size_t words;
  bool large; /* named without its size */
} gpu_memory_case;

typedef struct gpu_memory_state {
  zh_job *job;
  zh_gpu gpu;
  uint32_t *a, *b, *c, *sum, *flush; /* sum[2]: of what empties the cache */
  size_t words, flush_words, large_words;
  gpu_memory_case cases[CASES_MAX];
  size_t count;
  uint32_t key; /* of what the next write writes */
  int launches;
} gpu_memory_state;

/* --- sizes --- */

/* At least four times the cache, as STREAM asks for, and a gibibyte; what three of them leave. */
static size_t large_words(const gpu_memory_state *s) {
  uint64_t bytes = (uint64_t)zh_job_int(s->job, "array_mib") << 20;
  uint64_t cache = 4 * s->gpu.facts.l2_bytes;
  if (bytes == 0) bytes = cache > LARGE_BYTES ? cache : LARGE_BYTES;
  uint64_t most = s->gpu.facts.memory_bytes / 5;
  if (bytes > most) bytes = most;
  return (size_t)(bytes / 16 * 4);
}

static void add_size(gpu_memory_state *s, size_t words, bool large) {
  bool writes = large || words * 4 >= 4 * s->gpu.facts.l2_bytes;
  for (int flow = 0; OPERATIONS[flow]; flow++)
    if (zh_job_lists(s->job, "operations", OPERATIONS[flow]) && s->count < CASES_MAX &&
        (writes || flow == ZH_FLOW_READ))
      s->cases[s->count++] = (gpu_memory_case){(zh_device_flow)flow, words, large};
  if (words > s->words) s->words = words;
}

static void add_sizes(gpu_memory_state *s) {
  int64_t kib[SIZES_MAX];
  size_t count = zh_job_ints(s->job, "sizes_kib", kib, SIZES_MAX);
  s->large_words = large_words(s);
  add_size(s, s->large_words, true);
  for (size_t i = 0; i < count; i++)
    if (kib[i] > 0) add_size(s, (size_t)kib[i] << 8, false);
}

/* --- workload --- */

static void release(void *state) {
  gpu_memory_state *s = state;
  if (s->gpu.device) {
    uint32_t *const all[] = {s->a, s->b, s->c, s->sum, s->flush};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
      s->gpu.api->release(s->gpu.device, all[i]);
  }
  zh_gpu_close(&s->gpu);
  free(s);
}

static zh_status enqueue(gpu_memory_state *s, zh_device_flow flow, uint32_t *a, const uint32_t *b,
                         size_t words, uint32_t key, zh_error *err) {
  zh_device_traffic work = {flow, a, b, s->c, words, s->sum, key};
  return s->gpu.limits->traffic(s->gpu.device, &work, err);
}

static zh_status allocate(gpu_memory_state *s, zh_error *err) {
  const zh_device_api *api = s->gpu.api;
  zh_device *device = s->gpu.device;
  s->flush_words = (size_t)(2 * s->gpu.facts.l2_bytes / 16 * 4);
  if (s->flush_words < 4) s->flush_words = 4;
  ZH_TRY(api->alloc(device, (void **)&s->a, s->words * 4, "an array to write", err));
  ZH_TRY(api->alloc(device, (void **)&s->b, s->words * 4, "an array to read", err));
  ZH_TRY(api->alloc(device, (void **)&s->c, s->words * 4, "a second array to read", err));
  ZH_TRY(api->alloc(device, (void **)&s->sum, 16, "a sum", err));
  ZH_TRY(api->alloc(device, (void **)&s->flush, s->flush_words * 4, "what empties the cache", err));
  ZH_TRY(api->fill(device, s->flush, 0, s->flush_words * 4, err));
  ZH_TRY(enqueue(s, ZH_FLOW_WRITE, s->b, NULL, s->words, KEY_B, err));
  ZH_TRY(enqueue(s, ZH_FLOW_WRITE, s->c, NULL, s->words, KEY_C, err));
  return api->wait(device, err);
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  gpu_memory_state *s = calloc(1, sizeof *s);
  if (!s) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  *state = s;
  s->job = job;
  s->launches = (int)zh_job_int(job, "launches");
  s->key = (uint32_t)job->seed;
  ZH_TRY(zh_gpu_open(&s->gpu, job, err));
  add_sizes(s);
  ZH_TRY(allocate(s, err));
  json_object_set_new(job->facts, "array_bytes", json_integer((json_int_t)(s->large_words * 4)));
  json_object_set_new(job->facts, "arrays_exceed_caches",
                      json_boolean(s->large_words * 4 >= 4 * s->gpu.facts.l2_bytes));
  *cases = s->count;
  return ZH_OK;
}

static void describe(const void *state, size_t index, zh_case *out) {
  const gpu_memory_state *s = state;
  const gpu_memory_case *c = &s->cases[index];
  double bytes = 4.0 * (double)c->words * ARRAYS[c->flow] * s->launches;
  size_t kib = c->words >> 8;
  *out = (zh_case){.unit = "B/s",
                   .kind = ZH_SAMPLE_RATE,
                   .work = bytes * s->job->comm->size,
                   .peak_per_unit = 1,
                   .more_is_better = true};
  if (c->large)
    snprintf(out->metric, sizeof out->metric, "%s", OPERATIONS[c->flow]);
  else if (kib % 1024 == 0)
    snprintf(out->metric, sizeof out->metric, "%s_%zuMiB", OPERATIONS[c->flow], kib / 1024);
  else
    snprintf(out->metric, sizeof out->metric, "%s_%zuKiB", OPERATIONS[c->flow], kib);
}

/* By reading: what was written would still have to leave the cache while the next pass is timed. */
static zh_status empty_cache(gpu_memory_state *s, zh_error *err) {
  zh_device_traffic work = {ZH_FLOW_READ, NULL, s->flush, NULL, s->flush_words, s->sum + 2, 0};
  return s->gpu.limits->traffic(s->gpu.device, &work, err);
}

/* The cache holds other things before each pass. While they are read the host enqueues the pass,
 * which so begins when the first event has come, not when the host gets to it. */
static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  gpu_memory_state *s = state;
  const gpu_memory_case *c = &s->cases[index];
  (void)warmup;
  s->key++;
  ZH_TRY(s->gpu.api->fill(s->gpu.device, s->sum, 0, 16, err));
  for (int i = 0; i < s->launches; i++) {
    double ns = 0;
    ZH_TRY(empty_cache(s, err));
    ZH_TRY(zh_gpu_begin(&s->gpu, err));
    ZH_TRY(enqueue(s, c->flow, s->a, s->b, c->words, s->key, err));
    ZH_TRY(zh_gpu_end(&s->gpu, &ns, err));
    *sample += ns;
  }
  return ZH_OK;
}

/* --- checks --- */

static uint32_t expected_word(const gpu_memory_state *s, zh_device_flow flow, size_t i) {
  if (flow == ZH_FLOW_WRITE) return zh_flow_word(s->key, i);
  uint32_t b = zh_flow_word(KEY_B, i);
  return flow == ZH_FLOW_TRIAD ? b + 3 * zh_flow_word(KEY_C, i) : b;
}

static uint32_t expected_sum(const gpu_memory_state *s, const gpu_memory_case *c) {
  if (c->flow == ZH_FLOW_WRITE) return zh_flow_sum(s->key, c->words);
  uint32_t b = zh_flow_sum(KEY_B, c->words);
  if (c->flow == ZH_FLOW_READ) return b * (uint32_t)s->launches;
  return c->flow == ZH_FLOW_TRIAD ? b + 3 * zh_flow_sum(KEY_C, c->words) : b;
}

static zh_status verify_pieces(gpu_memory_state *s, const gpu_memory_case *c, zh_error *err) {
  uint32_t piece[PIECE];
  for (size_t k = 0; k < PIECES; k++) {
    size_t count = c->words < PIECE ? c->words : PIECE;
    size_t at = (c->words - count) / PIECES * k + (s->key + k) % ((c->words - count) / PIECES + 1);
    ZH_TRY(zh_gpu_get(&s->gpu, piece, s->a + at, count * 4, err));
    for (size_t i = 0; i < count; i++)
      if (piece[i] != expected_word(s, c->flow, at + i))
        return zh_fail(err, ZH_ERR_CHECK, "%s: word %zu of %zu is 0x%08x, but must be 0x%08x",
                       OPERATIONS[c->flow], at + i, c->words, piece[i],
                       expected_word(s, c->flow, at + i));
  }
  return ZH_OK;
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  gpu_memory_state *s = state;
  const gpu_memory_case *c = &s->cases[index];
  uint32_t sum = 0, wanted = expected_sum(s, c);
  if (c->flow != ZH_FLOW_READ) {
    ZH_TRY(s->gpu.api->fill(s->gpu.device, s->sum, 0, 16, err));
    ZH_TRY(enqueue(s, ZH_FLOW_READ, NULL, s->a, c->words, 0, err));
    ZH_TRY(verify_pieces(s, c, err));
  }
  ZH_TRY(zh_gpu_get(&s->gpu, &sum, s->sum, sizeof sum, err));
  if (sum != wanted)
    return zh_fail(err, ZH_ERR_CHECK,
                   "%s: the sum of %zu words is 0x%08x, but must be 0x%08x (modulo 2^32)",
                   OPERATIONS[c->flow], c->words, sum, wanted);
  /* A later repeat that writes nothing must not pass on what this one wrote. */
  ZH_TRY(s->gpu.api->fill(s->gpu.device, s->a, 0xFF, c->words * 4, err));
  return s->gpu.api->wait(s->gpu.device, err);
}

static const zh_parameter PARAMETERS[] = {
    {.name = "operations",
     .kind = ZH_PARAMETER_WORDS,
     .fallback = "[read, write, copy, triad]",
     .words = OPERATIONS,
     .help = "what to do with the arrays"},
    {.name = "array_mib",
     .kind = ZH_PARAMETER_INT,
     .fallback = "0",
     .min = 0,
     .max = (int64_t)1 << 20,
     .help = "size of each of the large arrays in MiB; 0: 1 GiB, at least 4 x the L2 cache"},
    {.name = "sizes_kib",
     .kind = ZH_PARAMETER_INTS,
     .fallback = "[0]",
     .min = 0,
     .max = (int64_t)1 << 30,
     .help = "further sizes of each array in KiB, past the L2 cache, below 4 x its size read only; "
             "0: none"},
    {.name = "launches",
     .kind = ZH_PARAMETER_INT,
     .fallback = "4",
     .min = 1,
     .max = 10000,
     .help = "passes over the arrays in one repeat"},
    ZH_GPU_PARAMETER,
    {.name = NULL}};

static const zh_metric METRICS[] = {{"read", "B/s"},   {"write", "B/s"},   {"copy", "B/s"},
                                    {"triad", "B/s"},  {"read_*", "B/s"},  {"write_*", "B/s"},
                                    {"copy_*", "B/s"}, {"triad_*", "B/s"}, {NULL, NULL}};

const zh_workload zh_workload_gpu_memory = {
    .name = "gpu-memory",
    .summary_zh = "GPU 显存带宽：纯读、写、拷贝、triad，二级缓存之外",
    .summary_en = "memory bandwidth of a GPU: read, write, copy and triad, past its L2 cache",
    .parameters = PARAMETERS,
    .ranks_min = 1,
    .prepare = prepare,
    .describe = describe,
    .run = run,
    .verify = verify,
    .release = release,
    .metrics = METRICS};
