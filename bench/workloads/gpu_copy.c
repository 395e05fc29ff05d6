/* Copies between host and GPU, inside a GPU, and between GPUs, by the definitions of nvbandwidth's
 * copy-engine tests: nothing starts before all is enqueued; 4 copies warm up, then 16 of 512 MiB
 * are timed by events; host memory is pinned. "Bidirectional" times one direction while twice as
 * many copies go the other way. A copy inside the GPU counts the bytes copied, once.
 * Between GPUs there is a case for each pair that a rank's GPU is the first of, one after the other
 * over all ranks; GPUs of the same numbers on several nodes go together, and the slowest counts.
 *
 * Contents: the source holds a pattern of its repeat, the target something else; what arrived is
 * compared, on the host word by word, on the GPU by its sum and in pieces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/workloads/gpu.h"
#include "bench/workloads/table.h"

enum { PEERS_MAX = 64, PIECE = 1024 };
enum {
  H2D,
  D2H,
  H2D_AGAINST,
  D2H_AGAINST,
  D2D,
  PEER_WRITE,
  PEER_READ,
  PEER_WRITE_AGAINST,
  PEER_READ_AGAINST,
  DIRECTIONS_COUNT
};
static const char *const DIRECTIONS[] = {
    "h2d",        "d2h",       "h2d_bidirectional",        "d2h_bidirectional",       "d2d",
    "peer_write", "peer_read", "peer_write_bidirectional", "peer_read_bidirectional", NULL};

typedef struct gpu_copy_case {
  int direction;
  int from, to; /* of pairs: the GPU that copies, and its peer, by their numbers on the node */
} gpu_copy_case;

typedef struct peer {
  int index;
  zh_device *device;
  void *memory; /* twice the words: what is copied, and what goes against it */
} peer;

typedef struct gpu_copy_state {
  zh_job *job;
  zh_gpu gpu;
  gpu_copy_case *cases;
  size_t count;
  peer peers[PEERS_MAX];
  size_t peer_count;
  size_t words;
  uint32_t *host_a, *host_b; /* pinned; b only for the copies against */
  uint32_t *a, *b, *sum;     /* on the device */
  uint32_t key;
} gpu_copy_state;

static bool is_listed(const gpu_copy_state *s, int direction) {
  return zh_job_lists(s->job, "directions", DIRECTIONS[direction]);
}
static bool writes_peer(int direction) {
  return direction == PEER_WRITE || direction == PEER_WRITE_AGAINST;
}
static bool is_of_pair(int direction) {
  return direction >= PEER_WRITE;
}
/* The rank's own peer of a case; NULL: the case is another rank's. */
static const peer *peer_of(const gpu_copy_state *s, const gpu_copy_case *c) {
  for (size_t i = 0; c->from == s->gpu.index && i < s->peer_count; i++)
    if (s->peers[i].index == c->to) return &s->peers[i];
  return NULL;
}

/* --- memory --- */

static void release(void *state) {
  gpu_copy_state *s = state;
  const zh_device_api *api = s->gpu.api;
  for (size_t i = 0; i < s->peer_count; i++) {
    api->release(s->peers[i].device, s->peers[i].memory);
    api->close(s->peers[i].device);
  }
  if (s->gpu.device) {
    api->release(s->gpu.device, s->a);
    api->release(s->gpu.device, s->b);
    api->release(s->gpu.device, s->sum);
    api->release_host(s->gpu.device, s->host_a);
    api->release_host(s->gpu.device, s->host_b);
  }
  zh_gpu_close(&s->gpu);
  free(s->cases);
  free(s);
}

/* Whether it can be opened, and each reaches the other's memory; leaves the rank's own GPU the
 * current one. */
static bool open_peer(gpu_copy_state *s, peer *p, int index) {
  *p = (peer){.index = index};
  if (s->gpu.api->open(&p->device, index, NULL) != ZH_OK) {
    s->gpu.limits->peers(s->gpu.device, s->gpu.device);
    return false;
  }
  if (s->gpu.limits->peers(s->gpu.device, p->device)) return true;
  s->gpu.api->close(p->device);
  return false;
}

/* Every other GPU that this one reaches. */
static zh_status open_peers(gpu_copy_state *s, zh_error *err) {
  const zh_device_api *api = s->gpu.api;
  int count = 0;
  bool any = false;
  for (int d = PEER_WRITE; d < DIRECTIONS_COUNT; d++) any |= is_listed(s, d);
  if (!any) return ZH_OK;
  ZH_TRY(api->count(&count, err));
  for (int i = 0; i < count && i < PEERS_MAX; i++) {
    peer *p = &s->peers[s->peer_count];
    if (i == s->gpu.index || !open_peer(s, p, i)) continue;
    s->peer_count++;
    ZH_TRY(api->alloc(p->device, &p->memory, s->words * 8, "copies on a peer", err));
  }
  return ZH_OK;
}

static zh_status allocate(gpu_copy_state *s, zh_error *err) {
  const zh_device_api *api = s->gpu.api;
  zh_device *device = s->gpu.device;
  size_t bytes = s->words * 4;
  ZH_TRY(api->alloc(device, (void **)&s->a, bytes, "a copy", err));
  ZH_TRY(api->alloc(device, (void **)&s->b, bytes, "a copy", err));
  ZH_TRY(api->alloc(device, (void **)&s->sum, 16, "a sum", err));
  ZH_TRY(api->alloc_host(device, (void **)&s->host_a, bytes, err));
  ZH_TRY(api->alloc_host(device, (void **)&s->host_b, bytes, err));
  memset(s->host_b, 0, bytes);
  ZH_TRY(api->fill(device, s->b, 0, bytes, err));
  return open_peers(s, err);
}

static zh_status add_case(gpu_copy_state *s, int direction, int from, int to, zh_error *err) {
  gpu_copy_case *more = realloc(s->cases, (s->count + 1) * sizeof *more);
  if (!more) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for cases");
  s->cases = more;
  s->cases[s->count++] = (gpu_copy_case){direction, from, to};
  return ZH_OK;
}

/* pairs[i PEERS_MAX + j]: whether some rank's GPU i reaches GPU j. */
static zh_status add_pairs(gpu_copy_state *s, const double *pairs, zh_error *err) {
  for (int d = PEER_WRITE; d < DIRECTIONS_COUNT; d++)
    for (int i = 0; is_listed(s, d) && i < PEERS_MAX; i++)
      for (int j = 0; j < PEERS_MAX; j++)
        if (pairs[i * PEERS_MAX + j] > 0) ZH_TRY(add_case(s, d, i, j, err));
  return ZH_OK;
}

/* The same on all ranks, which have come here together. */
static zh_status add_cases(gpu_copy_state *s, zh_error *err) {
  static double pairs[PEERS_MAX * PEERS_MAX];
  memset(pairs, 0, sizeof pairs);
  for (size_t i = 0; s->gpu.index < PEERS_MAX && i < s->peer_count; i++)
    pairs[s->gpu.index * PEERS_MAX + s->peers[i].index] = 1;
  if (s->job->comm->size > 1)
    ZH_TRY(s->job->comm->max_f64(s->job->comm, pairs, PEERS_MAX * PEERS_MAX, err));
  for (int d = 0; d < PEER_WRITE; d++)
    if (is_listed(s, d)) ZH_TRY(add_case(s, d, 0, 0, err));
  ZH_TRY(add_pairs(s, pairs, err));
  if (s->count > 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "no rank's GPU reaches another one's memory");
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  gpu_copy_state *s = calloc(1, sizeof *s);
  if (!s) return zh_comm_agree(job->comm, zh_fail(err, ZH_ERR_MEMORY, "out of memory"), err);
  *state = s;
  s->job = job;
  s->words = (size_t)zh_job_int(job, "kib") << 8;
  s->key = (uint32_t)job->seed;
  zh_status status = zh_gpu_open(&s->gpu, job, err);
  if (status == ZH_OK) status = allocate(s, err);
  ZH_TRY(zh_comm_agree(job->comm, status, err));
  ZH_TRY(add_cases(s, err));
  json_object_set_new(job->facts, "peers", json_integer((json_int_t)s->peer_count));
  *cases = s->count;
  return ZH_OK;
}

static void describe(const void *state, size_t index, zh_case *out) {
  const gpu_copy_state *s = state;
  const gpu_copy_case *c = &s->cases[index];
  double bytes = 4.0 * (double)s->words * (double)zh_job_int(s->job, "count");

  *out = (zh_case){.unit = "B/s",
                   .kind = ZH_SAMPLE_RATE,
                   .work = is_of_pair(c->direction) ? bytes : bytes * s->job->comm->size,
                   .peak_per_unit = 1,
                   .more_is_better = true};
  if (is_of_pair(c->direction))
    snprintf(out->metric, sizeof out->metric, "%s_%d_%d", DIRECTIONS[c->direction], c->from, c->to);
  else
    snprintf(out->metric, sizeof out->metric, "%s", DIRECTIONS[c->direction]);
}

/* --- one repeat --- */

/* The pattern into `to` on this device. */
static zh_status write_pattern(gpu_copy_state *s, uint32_t *to, zh_error *err) {
  zh_device_traffic work = {ZH_FLOW_WRITE, to, NULL, NULL, s->words, s->sum, s->key};
  return s->gpu.limits->traffic(s->gpu.device, &work, err);
}

static zh_status copy_once(gpu_copy_state *s, const peer *p, zh_device_copy_kind kind, void *to,
                           const void *from, zh_error *err) {
  zh_device_copies one = {.kind = kind, .to = to, .from = from, .bytes = s->words * 4, .count = 1};
  double seconds = 0;
  return s->gpu.limits->copies(s->gpu.device, p ? p->device : NULL, &one, &seconds, err);
}

/* Of a pair: the pattern is in `b`, something else in `a`. */
static zh_status describe_pair(gpu_copy_state *s, const gpu_copy_case *c, zh_device_copies *w,
                               zh_error *err) {
  const peer *p = peer_of(s, c);
  uint32_t *other_half = (uint32_t *)p->memory + s->words;
  bool writes = writes_peer(c->direction), against = c->direction >= PEER_WRITE_AGAINST;
  ZH_TRY(copy_once(s, p, ZH_COPY_PEER_WRITE, p->memory, writes ? s->a : s->b, err));
  if (writes)
    *w = (zh_device_copies){.kind = ZH_COPY_PEER_WRITE, .to = p->memory, .from = s->b};
  else
    *w = (zh_device_copies){.kind = ZH_COPY_PEER_READ, .to = s->a, .from = p->memory};
  if (against && writes) w->against_to = s->a, w->against_from = other_half;
  if (against && !writes) w->against_to = other_half, w->against_from = s->b;
  return ZH_OK;
}

/* Pattern at the source, something else at the target. */
static zh_status describe_copies(gpu_copy_state *s, const gpu_copy_case *c, zh_device_copies *w,
                                 zh_error *err) {
  const zh_device_api *api = s->gpu.api;
  zh_device *device = s->gpu.device;
  size_t bytes = s->words * 4;
  bool to_host = c->direction == D2H || c->direction == D2H_AGAINST;
  bool from_host = c->direction == H2D || c->direction == H2D_AGAINST;
  s->key++;
  ZH_TRY(api->fill(device, s->a, 0xFF, bytes, err));
  if (from_host) {
    for (size_t i = 0; i < s->words; i++) s->host_a[i] = zh_flow_word(s->key, i);
    *w = (zh_device_copies){.kind = ZH_COPY_TO_DEVICE, .to = s->a, .from = s->host_a};
  } else if (to_host) {
    memset(s->host_a, 0xFF, bytes);
    ZH_TRY(write_pattern(s, s->a, err));
    *w = (zh_device_copies){.kind = ZH_COPY_FROM_DEVICE, .to = s->host_a, .from = s->a};
  } else {
    ZH_TRY(write_pattern(s, s->b, err));
    *w = (zh_device_copies){.kind = ZH_COPY_LOCAL, .to = s->a, .from = s->b};
  }
  ZH_TRY(api->wait(device, err));
  if (is_of_pair(c->direction)) ZH_TRY(describe_pair(s, c, w, err));
  if (c->direction == H2D_AGAINST) w->against_to = s->host_b, w->against_from = s->b;
  if (c->direction == D2H_AGAINST) w->against_to = s->b, w->against_from = s->host_b;
  w->bytes = bytes;
  w->warmups = (int)zh_job_int(s->job, "warmups");
  w->count = (int)zh_job_int(s->job, "count");
  return ZH_OK;
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  gpu_copy_state *s = state;
  const gpu_copy_case *c = &s->cases[index];
  const peer *p = is_of_pair(c->direction) ? peer_of(s, c) : NULL;
  zh_device_copies work;
  double seconds = 0;
  (void)warmup;
  *sample = 0;
  if (is_of_pair(c->direction) && !p) return ZH_OK; /* another rank's turn */
  ZH_TRY(describe_copies(s, c, &work, err));
  ZH_TRY(s->gpu.limits->copies(s->gpu.device, p ? p->device : NULL, &work, &seconds, err));
  *sample = seconds * 1e9;
  return ZH_OK;
}

/* --- checks --- */

static zh_status verify_words(const gpu_copy_state *s, const char *what, const uint32_t *words,
                              size_t first, size_t count, zh_error *err) {
  for (size_t i = 0; i < count; i++)
    if (words[i] != zh_flow_word(s->key, first + i))
      return zh_fail(err, ZH_ERR_CHECK, "%s: word %zu of %zu arrived as 0x%08x, but was 0x%08x",
                     what, first + i, s->words, words[i], zh_flow_word(s->key, first + i));
  return ZH_OK;
}

static zh_status verify_on_device(gpu_copy_state *s, const char *what, zh_error *err) {
  uint32_t sum = 0, piece[PIECE];
  zh_device_traffic work = {ZH_FLOW_READ, NULL, s->a, NULL, s->words, s->sum, 0};
  size_t count = s->words < PIECE ? s->words : PIECE;
  ZH_TRY(s->gpu.api->fill(s->gpu.device, s->sum, 0, 16, err));
  ZH_TRY(s->gpu.limits->traffic(s->gpu.device, &work, err));
  ZH_TRY(zh_gpu_get(&s->gpu, &sum, s->sum, sizeof sum, err));
  for (size_t part = 0; part < 2; part++) { /* its beginning and its end */
    size_t at = part ? s->words - count : 0;
    ZH_TRY(zh_gpu_get(&s->gpu, piece, s->a + at, count * 4, err));
    ZH_TRY(verify_words(s, what, piece, at, count, err));
  }
  if (sum == zh_flow_sum(s->key, s->words)) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "%s: the sum of %zu words that arrived is 0x%08x, but must be 0x%08x", what,
                 s->words, sum, zh_flow_sum(s->key, s->words));
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  gpu_copy_state *s = state;
  const gpu_copy_case *c = &s->cases[index];
  const char *what = DIRECTIONS[c->direction];
  const peer *p = is_of_pair(c->direction) ? peer_of(s, c) : NULL;
  if (is_of_pair(c->direction) && !p) return ZH_OK;
  if (c->direction == D2H || c->direction == D2H_AGAINST)
    return verify_words(s, what, s->host_a, 0, s->words, err);
  if (writes_peer(c->direction)) ZH_TRY(copy_once(s, p, ZH_COPY_PEER_READ, s->a, p->memory, err));
  return verify_on_device(s, what, err);
}

static const zh_parameter PARAMETERS[] = {
    {.name = "directions",
     .kind = ZH_PARAMETER_WORDS,
     .fallback = "[h2d, d2h, h2d_bidirectional, d2h_bidirectional, d2d, peer_write, peer_read, "
                 "peer_write_bidirectional, peer_read_bidirectional]",
     .words = DIRECTIONS,
     .help = "h: host, d: the rank's GPU, peer: every other GPU that it reaches"},
    {.name = "kib",
     .kind = ZH_PARAMETER_INT,
     .fallback = "524288",
     .min = 4,
     .max = (int64_t)1 << 26,
     .help = "size of one copy in KiB"},
    {.name = "count",
     .kind = ZH_PARAMETER_INT,
     .fallback = "16",
     .min = 1,
     .max = 200, /* with those against them, half of what a stream has room for */
     .help = "copies that are timed together"},
    {.name = "warmups",
     .kind = ZH_PARAMETER_INT,
     .fallback = "4",
     .min = 0,
     .max = 50,
     .help = "copies before them"},
    ZH_GPU_PARAMETER,
    {.name = NULL}};

static const zh_metric METRICS[] = {{"h2d", "B/s"},
                                    {"d2h", "B/s"},
                                    {"h2d_bidirectional", "B/s"},
                                    {"d2h_bidirectional", "B/s"},
                                    {"d2d", "B/s"},
                                    {"peer_write_*", "B/s"},
                                    {"peer_read_*", "B/s"},
                                    {NULL, NULL}};

const zh_workload zh_workload_gpu_copy = {
    .name = "gpu-copy",
    .summary_zh = "GPU 拷贝带宽：主机与 GPU、GPU 内、GPU 之间（按 nvbandwidth 的定义）",
    .summary_en = "copies: host and GPU, inside a GPU, between GPUs (as nvbandwidth defines them)",
    .parameters = PARAMETERS,
    .ranks_min = 1,
    .prepare = prepare,
    .describe = describe,
    .run = run,
    .verify = verify,
    .release = release,
    .metrics = METRICS};
