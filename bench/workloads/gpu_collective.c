/* Collectives between the GPUs of a run's ranks, by NCCL and by our own kernels over peer memory
 * (kernels/device_group.h), with the definitions of nccl-tests (doc/PERFORMANCE.md): of `count`
 * operations in a row, algbw = S / time, where S is the whole buffer of those that have a part for
 * each rank; busbw = algbw times what makes it the traffic of a link. Latency is the same time of
 * small messages, in a stream and in a graph.
 *
 * Contents: what comes last is compared word for word. Sums are of whole numbers up to 15, so that
 * they are exact in any order, and stay so where an all-reduce sums its own results again: several
 * buffers take turns where the ranks are no power of two. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/comm_exchange.h"
#include "bench/workloads/gpu.h"
#include "bench/workloads/table.h"

enum { CASES_MAX = 480, SIZES_MAX = 16, PIECE = 1 << 20, POOL = 16 };
enum { ALL_REDUCE, ALL_GATHER, REDUCE_SCATTER, BROADCAST, ALL_TO_ALL, SENDRECV, OPERATIONS };
static const char *const OPERATION_NAMES[] = {
    "all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all", "sendrecv", NULL};
enum { RATE, LATENCY, GRAPH_LATENCY };
static const char *const KIND_NAMES[] = {"peer", "nccl", NULL};
static const char *const YES_NO[] = {"yes", "no", NULL};

typedef struct collective_case {
  zh_device_group_kind kind;
  int operation, measures;
  size_t asked;    /* bytes, as the metric's name has them */
  size_t part;     /* words of one rank's part, or of all where nothing is divided */
  size_t words;    /* S in words */
  zh_kept_times kept; /* the slowest rank's times, for busbw */
} collective_case;

typedef struct collective_state {
  zh_job *job;
  zh_gpu gpu;
  const zh_device_groups *groups;
  zh_device_group *group[ZH_GROUP_KINDS];
  collective_case cases[CASES_MAX];
  size_t count;
  uint32_t *a, *b; /* on the device: what goes in (all-reduce: and comes out), what comes out */
  size_t a_words, b_words;
  float *pool, *scratch;
  uint32_t *host; /* [PIECE] */
  uint32_t key;
} collective_state;

/* --- what each rank brings --- */

static uint32_t key_of(const collective_state *s, int rank) {
  return s->key + (uint32_t)rank * 0x01000193u;
}
static uint32_t word_of(const collective_state *s, int rank, size_t i) {
  return zh_flow_word(key_of(s, rank), i);
}
static bool sums(const collective_case *c) {
  return c->operation == ALL_REDUCE || c->operation == REDUCE_SCATTER;
}
static bool has_parts(int operation) {
  return operation == ALL_GATHER || operation == REDUCE_SCATTER || operation == ALL_TO_ALL;
}

/* How often a sum of `ranks` numbers up to 15 may be summed again and stay exact. */
static int exact_rounds(int ranks) {
  int odd = ranks, rounds = 1;
  while (odd % 2 == 0) odd /= 2;
  double most = 15.0 * ranks, all = most;
  while (most * odd <= 16777216.0 && all * ranks < 1e38) most *= odd, all *= ranks, rounds++;
  return rounds;
}

static int operations_of(const collective_state *s, const collective_case *c) {
  return (int)zh_job_int(s->job, c->measures == RATE ? "count" : "latency_count");
}
static int buffers_of(const collective_state *s, const collective_case *c) {
  int rounds = exact_rounds(s->job->comm->size), count = operations_of(s, c);
  return c->operation == ALL_REDUCE ? (count + rounds - 1) / rounds : 1;
}
static size_t words_in(const collective_state *s, const collective_case *c) {
  if (c->operation == ALL_REDUCE) return c->words * (size_t)buffers_of(s, c);
  return c->operation == ALL_GATHER ? c->part : c->words;
}
static size_t words_out(const collective_case *c) {
  if (c->operation == ALL_REDUCE || c->operation == BROADCAST) return 0;
  return c->operation == REDUCE_SCATTER ? c->part : c->words;
}

static zh_status fill(collective_state *s, const collective_case *c, zh_error *err) {
  const zh_device_api *api = s->gpu.api;
  zh_device *device = s->gpu.device;
  uint32_t key = key_of(s, s->job->comm->rank);
  zh_device_traffic words = {ZH_FLOW_WRITE, s->a, NULL, NULL, words_in(s, c), NULL, key};
  for (int k = 0; sums(c) && k < buffers_of(s, c); k++)
    ZH_TRY(s->gpu.limits->spread(device, s->a + (size_t)k * c->words, s->pool, POOL, sizeof(float),
                                 c->words, key, err));
  if (!sums(c)) ZH_TRY(s->gpu.limits->traffic(device, &words, err));
  if (words_out(c)) ZH_TRY(api->fill(device, s->b, 0xFF, words_out(c) * 4, err));
  if (s->job->fault == ZH_FAULT_ACTIVATION && s->job->comm->rank == s->job->comm->size - 1)
    ZH_TRY(api->fill(device, s->a + words_in(s, c) / 2, 0x47, 4, err));
  return api->wait(device, err);
}

/* --- what is timed --- */

static zh_status operate(collective_state *s, const collective_case *c, int i, zh_error *err) {
  zh_device_group *g = s->group[c->kind];
  int rank = s->job->comm->rank, size = s->job->comm->size;
  float *in = (float *)(void *)s->a, *out = (float *)(void *)s->b;
  zh_device_move ring = {s->a, (rank + 1) % size, s->b, (rank + size - 1) % size, c->words * 4};
  switch (c->operation) {
  case ALL_REDUCE:
    in += (size_t)(i % buffers_of(s, c)) * c->words;
    return s->groups->all_reduce(g, in, c->words, err);
  case ALL_GATHER:
    return s->groups->all_gather(g, s->b, s->a, c->part * 4, err);
  case REDUCE_SCATTER:
    return s->groups->reduce_scatter(g, out, in, c->part, err);
  case BROADCAST:
    return s->groups->broadcast(g, s->a, c->words * 4, 0, err);
  case ALL_TO_ALL:
    return s->groups->all_to_all(g, s->b, s->a, c->part * 4, err);
  default:
    return s->groups->move(g, &ring, err);
  }
}

static zh_status operate_all(collective_state *s, const collective_case *c, zh_error *err) {
  int count = operations_of(s, c);
  for (int i = 0; i < count; i++) ZH_TRY(operate(s, c, i, err));
  return ZH_OK;
}

static zh_status make_graph(collective_state *s, const collective_case *c, zh_device_graph **out,
                            zh_error *err) {
  ZH_TRY(s->gpu.api->begin_graph(s->gpu.device, err));
  zh_status status = operate_all(s, c, err);
  zh_status ended = s->gpu.api->end_graph(s->gpu.device, out, err);
  return status != ZH_OK ? status : ended;
}

static zh_status enqueue(collective_state *s, const collective_case *c, zh_device_graph *graph,
                         zh_error *err) {
  return graph ? s->gpu.api->launch(s->gpu.device, graph, err) : operate_all(s, c, err);
}

static zh_status time_here(collective_state *s, const collective_case *c, zh_device_graph *graph,
                           double *ns, zh_error *err) {
  double seconds = 0;
  zh_device_group *g = s->group[c->kind];
  ZH_TRY(s->groups->all_reduce(g, s->scratch, 4, err)); /* so that all GPUs begin together */
  ZH_TRY(s->gpu.api->record(s->gpu.device, s->gpu.begin, err));
  ZH_TRY(enqueue(s, c, graph, err));
  ZH_TRY(s->gpu.api->record(s->gpu.device, s->gpu.end, err));
  ZH_TRY(s->groups->wait(g, err));
  ZH_TRY(s->gpu.api->elapsed_s(s->gpu.device, &seconds, s->gpu.begin, s->gpu.end, err));
  *ns = seconds * 1e9;
  return ZH_OK;
}

/* Ranks agree before and after, so that they always make the same calls: one that fails leaves no
 * other waiting longer than its patience. */
static zh_status time_once(collective_state *s, const collective_case *c, zh_device_graph *graph,
                           zh_status status, double *ns, zh_error *err) {
  if (status == ZH_OK) status = fill(s, c, err);
  ZH_TRY(zh_comm_agree(s->job->comm, status, err));
  return zh_comm_agree(s->job->comm, time_here(s, c, graph, ns, err), err);
}

static zh_status time_graph(collective_state *s, const collective_case *c, double *ns,
                            zh_error *err) {
  zh_device_graph *graph = NULL;
  zh_status status = make_graph(s, c, &graph, err);
  status = time_once(s, c, graph, status, ns, err); /* the first launch lays it out */
  if (status == ZH_OK) status = time_once(s, c, graph, status, ns, err);
  s->gpu.api->release_graph(s->gpu.device, graph);
  return status;
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  collective_state *s = state;
  collective_case *c = &s->cases[index];
  s->key += 0x9E3779B1u;
  ZH_TRY(c->measures == GRAPH_LATENCY ? time_graph(s, c, sample, err)
                                      : time_once(s, c, NULL, ZH_OK, sample, err));
  if (c->measures != RATE) return ZH_OK;
  double slowest = *sample;
  ZH_TRY(s->job->comm->max_f64(s->job->comm, &slowest, 1, err));
  *sample = slowest;
  return warmup ? ZH_OK : zh_keep_time(&c->kept, slowest, err);
}

/* --- checks --- */

static float sum_at(const collective_state *s, size_t i) {
  uint32_t sum = 0;
  for (int r = 0; r < s->job->comm->size; r++) sum += word_of(s, r, i) % POOL;
  return (float)sum;
}
static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* Word i of what has come; factor: of sums that were summed again. */
static uint32_t expected(const collective_state *s, const collective_case *c, size_t i,
                         double factor) {
  int rank = s->job->comm->rank, size = s->job->comm->size;
  switch (c->operation) {
  case ALL_REDUCE:
    return bits_of((float)((double)sum_at(s, i) * factor));
  case REDUCE_SCATTER:
    return bits_of(sum_at(s, (size_t)rank * c->part + i));
  case ALL_GATHER:
    return word_of(s, (int)(i / c->part), i % c->part);
  case ALL_TO_ALL:
    return word_of(s, (int)(i / c->part), (size_t)rank * c->part + i % c->part);
  case BROADCAST:
    return word_of(s, 0, i);
  default:
    return word_of(s, (rank + size - 1) % size, i);
  }
}

static zh_status verify_words(collective_state *s, const collective_case *c, const uint32_t *from,
                              size_t words, double factor, zh_error *err) {
  for (size_t first = 0; first < words; first += PIECE) {
    size_t count = words - first < PIECE ? words - first : PIECE;
    ZH_TRY(zh_gpu_get(&s->gpu, s->host, from + first, count * 4, err));
    for (size_t i = 0; i < count; i++) {
      uint32_t right = expected(s, c, first + i, factor);
      if (s->host[i] != right)
        return zh_fail(err, ZH_ERR_CHECK,
                       "%s by %s of %zu bytes: word %zu of %zu that came to rank %d is 0x%08x, but "
                       "must be 0x%08x (bound 0)",
                       OPERATION_NAMES[c->operation], zh_device_group_name(c->kind), c->asked,
                       first + i, words, s->job->comm->rank, s->host[i], right);
    }
  }
  return ZH_OK;
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  collective_state *s = state;
  const collective_case *c = &s->cases[index];
  int buffers = buffers_of(s, c), count = operations_of(s, c);
  if (c->operation == BROADCAST) return verify_words(s, c, s->a, c->words, 1, err);
  if (c->operation != ALL_REDUCE) return verify_words(s, c, s->b, words_out(c), 1, err);
  for (int k = 0; k < buffers && k < count; k++) {
    int rounds = (count - k + buffers - 1) / buffers;
    double factor = pow(s->job->comm->size, rounds - 1);
    ZH_TRY(verify_words(s, c, s->a + (size_t)k * c->words, c->words, factor, err));
  }
  return ZH_OK;
}

/* --- workload --- */

static void describe(const void *state, size_t index, zh_case *out) {
  const collective_state *s = state;
  const collective_case *c = &s->cases[index];
  static const char *const measures[] = {"algbw", "latency", "graph_latency"};
  double count = operations_of(s, c);
  *out = (zh_case){.unit = "s", .kind = ZH_SAMPLE_TIME, .work = count};
  if (c->measures == RATE)
    *out = (zh_case){.unit = "B/s",
                     .kind = ZH_SAMPLE_RATE,
                     .work = 4.0 * (double)c->words * count,
                     .more_is_better = true};
  snprintf(out->metric, sizeof out->metric, "%s_%s_%s_%zuB", zh_device_group_name(c->kind),
           OPERATION_NAMES[c->operation], measures[c->measures], c->asked);
}

static double link_factor(int operation, double ranks) {
  if (operation == ALL_REDUCE) return 2 * (ranks - 1) / ranks;
  return has_parts(operation) ? (ranks - 1) / ranks : 1;
}

/* busbw says of each repeat what algbw says, in terms of the links: no second measurement. */
static zh_status finish(void *state, zh_error *err) {
  collective_state *s = state;
  for (size_t i = 0; i < s->count; i++) {
    const collective_case *c = &s->cases[i];
    zh_case what;
    if (c->kept.count == 0) continue;
    describe(s, i, &what);
    what.work *= link_factor(c->operation, s->job->comm->size);
    snprintf(what.metric, sizeof what.metric, "%s_%s_busbw_%zuB", zh_device_group_name(c->kind),
             OPERATION_NAMES[c->operation], c->asked);
    ZH_TRY(zh_job_series(s->job, &what, c->kept.ns, c->kept.count, err));
  }
  return ZH_OK;
}

static void release(void *state) {
  collective_state *s = state;
  for (int k = 0; k < ZH_GROUP_KINDS; k++)
    if (s->group[k]) s->groups->close(s->group[k]);
  for (size_t i = 0; i < s->count; i++) free(s->cases[i].kept.ns);
  if (s->gpu.device) {
    s->gpu.api->release(s->gpu.device, s->a);
    s->gpu.api->release(s->gpu.device, s->b);
    s->gpu.api->release(s->gpu.device, s->pool);
    s->gpu.api->release(s->gpu.device, s->scratch);
  }
  zh_gpu_close(&s->gpu);
  free(s->host);
  free(s);
}

/* Parts are whole and aligned for the fastest way: 16 bytes. */
static void add_case(collective_state *s, zh_device_group_kind kind, int operation, int measures,
                     int64_t asked) {
  size_t ranks = has_parts(operation) ? (size_t)s->job->comm->size : 1;
  size_t part = (size_t)asked / ranks / 16 * 4;
  if (s->count == CASES_MAX) return;
  if (part == 0) part = 4;
  collective_case *c = &s->cases[s->count++];
  *c = (collective_case){kind, operation, measures, (size_t)asked, part, part * ranks, {0}};
  if (words_in(s, c) > s->a_words) s->a_words = words_in(s, c);
  if (words_out(c) > s->b_words) s->b_words = words_out(c);
}

static void add_cases(collective_state *s) {
  int64_t sizes[SIZES_MAX], small[SIZES_MAX];
  size_t size_count = zh_job_ints(s->job, "bytes", sizes, SIZES_MAX);
  size_t small_count = zh_job_ints(s->job, "latency_bytes", small, SIZES_MAX);
  bool graphs = strcmp(zh_job_word(s->job, "graph"), "yes") == 0;
  for (int kind = 0; kind < ZH_GROUP_KINDS; kind++)
    for (int o = 0; s->group[kind] && o < OPERATIONS; o++) {
      if (!zh_job_lists(s->job, "operations", OPERATION_NAMES[o])) continue;
      for (size_t i = 0; i < small_count; i++) add_case(s, kind, o, LATENCY, small[i]);
      for (size_t i = 0; graphs && i < small_count; i++)
        add_case(s, kind, o, GRAPH_LATENCY, small[i]);
      for (size_t i = 0; i < size_count; i++) add_case(s, kind, o, RATE, sizes[i]);
    }
}

static zh_status open_device(collective_state *s, zh_error *err) {
  if (s->job->comm->size < 2)
    return zh_fail(err, ZH_ERR_LACKING,
                   "collectives need at least two ranks, each with a GPU; give --ranks 2");
  ZH_TRY(zh_gpu_open(&s->gpu, s->job, err));
  s->groups = s->gpu.api->groups;
  if (!s->groups)
    return zh_fail(err, ZH_ERR_LACKING, "the module '%s' lets no GPUs compute together",
                   s->gpu.api->backend);
  s->host = malloc(PIECE * sizeof *s->host);
  return s->host ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for comparing contents");
}

/* What is lacking of one kind leaves that kind out, and is said; of both, it is the step's reason.
 */
static zh_status open_groups(collective_state *s, zh_error *err) {
  json_t *facts = json_object();
  zh_error why[ZH_GROUP_KINDS] = {ZH_ERROR_INIT, ZH_ERROR_INIT};
  bool any = false;
  json_object_set_new(s->job->facts, "groups", facts);
  for (int kind = 0; kind < ZH_GROUP_KINDS; kind++) {
    char library[80] = "";
    zh_device_group_plan plan = {kind, zh_comm_exchange(s->job->comm),
                                 (size_t)zh_job_int(s->job, "stage_kib") << 10,
                                 (double)zh_job_int(s->job, "patience_s")};
    if (!zh_job_lists(s->job, "kinds", KIND_NAMES[kind])) continue;
    zh_status status = s->groups->open(s->gpu.device, &s->group[kind], &plan, &why[kind]);
    if (status == ZH_OK) status = s->groups->library(library, sizeof library, kind, &why[kind]);
    if (status != ZH_OK && status != ZH_ERR_LACKING)
      return zh_fail(err, status, "%s", why[kind].message);
    any |= status == ZH_OK;
    json_object_set_new(facts, KIND_NAMES[kind],
                        json_string(status == ZH_OK ? library : why[kind].message));
  }
  if (any) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "no collectives: %.400s%s%.400s", why[0].message,
                 why[0].message[0] && why[1].message[0] ? "; " : "", why[1].message);
}

static zh_status allocate(collective_state *s, zh_error *err) {
  const zh_device_api *api = s->gpu.api;
  zh_device *device = s->gpu.device;
  float pool[POOL];
  for (int i = 0; i < POOL; i++) pool[i] = (float)i;
  ZH_TRY(api->alloc(device, (void **)&s->a, s->a_words * 4, "what ranks bring", err));
  ZH_TRY(api->alloc(device, (void **)&s->b, s->b_words * 4, "what ranks get", err));
  ZH_TRY(api->alloc(device, (void **)&s->pool, sizeof pool, "numbers", err));
  ZH_TRY(api->alloc(device, (void **)&s->scratch, 16, "numbers", err));
  ZH_TRY(api->fill(device, s->scratch, 0, 16, err));
  return zh_gpu_put(&s->gpu, s->pool, pool, sizeof pool, err);
}

/* Ranks open groups together: before that all must have come so far. */
static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  collective_state *s = calloc(1, sizeof *s);
  if (!s) return zh_comm_agree(job->comm, zh_fail(err, ZH_ERR_MEMORY, "out of memory"), err);
  *state = s;
  s->job = job;
  s->key = (uint32_t)job->seed;
  ZH_TRY(zh_comm_agree(job->comm, open_device(s, err), err));
  ZH_TRY(open_groups(s, err));
  add_cases(s);
  ZH_TRY(allocate(s, err));
  *cases = s->count;
  return ZH_OK;
}

static const zh_parameter PARAMETERS[] = {
    {.name = "kinds",
     .kind = ZH_PARAMETER_WORDS,
     .fallback = "[peer, nccl]",
     .words = KIND_NAMES,
     .help = "peer: own kernels over the memory of GPUs of one node; nccl: the library"},
    {.name = "operations",
     .kind = ZH_PARAMETER_WORDS,
     .fallback = "[all_reduce, all_gather, reduce_scatter, broadcast, all_to_all, sendrecv]",
     .words = OPERATION_NAMES,
     .help = "what is measured; sendrecv: around the ring of ranks, all at once"},
    {.name = "bytes",
     .kind = ZH_PARAMETER_INTS,
     .fallback = "[1048576, 16777216, 268435456]",
     .min = 16,
     .max = (int64_t)1 << 33,
     .help = "whole buffers for algbw and busbw, in bytes (rounded down to parts of 16)"},
    {.name = "latency_bytes",
     .kind = ZH_PARAMETER_INTS,
     .fallback = "[1024, 16384, 131072]",
     .min = 16,
     .max = 1 << 26,
     .help = "whole buffers for latency, in bytes"},
    {.name = "count",
     .kind = ZH_PARAMETER_INT,
     .fallback = "20",
     .min = 1,
     .max = 10000,
     .help = "operations that are timed together for algbw"},
    {.name = "latency_count",
     .kind = ZH_PARAMETER_INT,
     .fallback = "100",
     .min = 1,
     .max = 10000,
     .help = "the same for latency"},
    {.name = "graph",
     .kind = ZH_PARAMETER_WORD,
     .fallback = "yes",
     .words = YES_NO,
     .help = "yes: latency also of operations of one graph"},
    {.name = "stage_kib",
     .kind = ZH_PARAMETER_INT,
     .fallback = "8192",
     .min = 4,
     .max = 1 << 20,
     .help = "largest piece of a message over peer memory, in KiB"},
    {.name = "patience_s",
     .kind = ZH_PARAMETER_INT,
     .fallback = "60",
     .min = 1,
     .max = 3600,
     .help = "how long a GPU waits for another rank's, in seconds"},
    ZH_GPU_PARAMETER,
    {.name = NULL}};

static const zh_metric METRICS[] = {
    {"peer_*_algbw_*", "B/s"},       {"peer_*_busbw_*", "B/s"}, {"peer_*_graph_latency_*", "s"},
    {"peer_*_latency_*", "s"},       {"nccl_*_algbw_*", "B/s"}, {"nccl_*_busbw_*", "B/s"},
    {"nccl_*_graph_latency_*", "s"}, {"nccl_*_latency_*", "s"}, {NULL, NULL}};

const zh_workload zh_workload_gpu_collective = {
    .name = "gpu-collective",
    .summary_zh = "GPU 之间的集合通信：NCCL 与自有内核的带宽（algbw、busbw）与小消息延迟",
    .summary_en = "collectives between GPUs, by NCCL and own kernels: algbw, busbw, latency",
    .parameters = PARAMETERS,
    .own_fault = ZH_FAULT_ACTIVATION, /* in a word that the last rank brings */
    .ranks_min = 1, /* with one it is skipped, so that a suite of all limits runs on any node */
    .prepare = prepare,
    .describe = describe,
    .run = run,
    .verify = verify,
    .finish = finish,
    .release = release,
    .metrics = METRICS};
