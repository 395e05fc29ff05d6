/* What a GPU costs before it computes: launching a kernel, the boundary between two kernels of a
 * stream and of a graph, and between two parts of one kernel whose blocks wait for each other,
 * launching a graph, memory. Kernels here do nothing, so a boundary is the time that each more of
 * them adds: of two lengths the difference, which leaves the ends out. They are enqueued while the
 * GPU is busy with something else, for at least as long as the host takes for it: else it would be
 * the host's time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/workloads/gpu.h"
#include "bench/workloads/table.h"
#include "core/clock.h"

enum { CASES_MAX = 6 + 16, GRAPHS = 3, MEETINGS_MAX = 1 << 20 };
enum { CALL, ROUND_TRIP, STREAM, GRAPH, KERNEL, GRAPH_ROUND_TRIP, ALLOCATE };
static const char *const NAMES[] = {"launch_call",       "launch_round_trip",  "boundary_in_stream",
                                    "boundary_in_graph", "boundary_in_kernel", "graph_round_trip",
                                    "allocate"};

typedef struct gpu_launch_state {
  zh_job *job;
  zh_gpu gpu;
  zh_device_graph *graphs[GRAPHS]; /* of 1, `kernels` and twice as many kernels */
  void *word;                      /* of the blocks that wait for each other */
  int kernels, trips;
  zh_device_event *busy; /* when the GPU begins to be kept so */
  uint32_t meetings;     /* of blocks, that keep it busy for long enough */
  size_t mib[CASES_MAX];
  size_t sizes;
} gpu_launch_state;

static void release(void *state) {
  gpu_launch_state *s = state;
  for (int i = 0; s->gpu.device && i < GRAPHS; i++)
    s->gpu.api->release_graph(s->gpu.device, s->graphs[i]);
  if (s->gpu.device) s->gpu.api->release(s->gpu.device, s->word);
  if (s->gpu.device) s->gpu.api->release_event(s->gpu.device, s->busy);
  zh_gpu_close(&s->gpu);
  free(s);
}

static zh_status empties(gpu_launch_state *s, int count, zh_error *err) {
  for (int i = 0; i < count; i++) ZH_TRY(s->gpu.limits->empty(s->gpu.device, err));
  return ZH_OK;
}

static zh_status make_graph(gpu_launch_state *s, int which, int kernels, zh_error *err) {
  ZH_TRY(s->gpu.api->begin_graph(s->gpu.device, err));
  zh_status status = empties(s, kernels, err);
  zh_status ended = s->gpu.api->end_graph(s->gpu.device, &s->graphs[which], err);
  return status != ZH_OK ? status : ended;
}

static zh_status make_ready(gpu_launch_state *s, zh_error *err) {
  int64_t mib[CASES_MAX];
  s->kernels = (int)zh_job_int(s->job, "kernels");
  s->trips = (int)zh_job_int(s->job, "trips");
  s->meetings = (uint32_t)s->kernels;
  s->sizes = zh_job_ints(s->job, "allocate_mib", mib, CASES_MAX - ALLOCATE);
  for (size_t i = 0; i < s->sizes; i++) s->mib[i] = (size_t)mib[i];
  ZH_TRY(zh_gpu_open(&s->gpu, s->job, err));
  ZH_TRY(empties(s, 1, err)); /* loads the code before a graph is made of it */
  ZH_TRY(s->gpu.api->event(s->gpu.device, &s->busy, err));
  ZH_TRY(s->gpu.api->alloc(s->gpu.device, &s->word, sizeof(uint32_t), "a word", err));
  ZH_TRY(s->gpu.api->fill(s->gpu.device, s->word, 0, sizeof(uint32_t), err));
  ZH_TRY(s->gpu.api->wait(s->gpu.device, err));
  ZH_TRY(make_graph(s, 0, 1, err));
  ZH_TRY(make_graph(s, 1, s->kernels, err));
  return make_graph(s, 2, 2 * s->kernels, err);
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  gpu_launch_state *s = calloc(1, sizeof *s);
  if (!s) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  *state = s;
  s->job = job;
  ZH_TRY(make_ready(s, err));
  *cases = ALLOCATE + s->sizes;
  return ZH_OK;
}

static void describe(const void *state, size_t index, zh_case *out) {
  const gpu_launch_state *s = state;
  bool is_difference = index == STREAM || index == GRAPH || index == KERNEL;
  double work = index == CALL ? s->kernels : s->trips;
  *out = (zh_case){.unit = "s",
                   .kind = is_difference ? ZH_SAMPLE_VALUE : ZH_SAMPLE_TIME,
                   .work = is_difference ? 1 : work};
  if (index >= ALLOCATE)
    snprintf(out->metric, sizeof out->metric, "%s_%zuMiB", NAMES[ALLOCATE],
             s->mib[index - ALLOCATE]);
  else
    snprintf(out->metric, sizeof out->metric, "%s", NAMES[index]);
}

/* --- what is timed --- */

/* By the host: enqueuing alone. */
static zh_status time_calls(gpu_launch_state *s, double *ns, zh_error *err) {
  int64_t begin = zh_now_ns();
  ZH_TRY(empties(s, s->kernels, err));
  *ns = (double)(zh_now_ns() - begin);
  return s->gpu.api->wait(s->gpu.device, err);
}

/* By the host: from the call until the host knows that it is done. */
static zh_status time_trips(gpu_launch_state *s, bool graph, double *ns, zh_error *err) {
  int64_t begin = zh_now_ns();
  for (int i = 0; i < s->trips; i++) {
    ZH_TRY(graph ? s->gpu.api->launch(s->gpu.device, s->graphs[0], err) : empties(s, 1, err));
    ZH_TRY(s->gpu.api->wait(s->gpu.device, err));
  }
  *ns = (double)(zh_now_ns() - begin);
  return ZH_OK;
}

static zh_status enqueue_boundaries(gpu_launch_state *s, size_t index, int times, zh_error *err) {
  const zh_gpu *gpu = &s->gpu;
  if (index == STREAM) return empties(s, times * s->kernels, err);
  if (index == GRAPH) return gpu->api->launch(gpu->device, s->graphs[times], err);
  return gpu->limits->meetings(gpu->device, s->word, (uint32_t)(times * s->kernels), err);
}

/* What is timed, behind what keeps the GPU busy. *spare: how much longer that took than the host
 * needed to enqueue all of it; the GPU cannot have begun before the host did. */
static zh_status time_behind(gpu_launch_state *s, size_t index, int times, double *ns,
                             double *spare, zh_error *err) {
  const zh_device_api *api = s->gpu.api;
  double busy_s = 0;
  int64_t begin = zh_now_ns();
  ZH_TRY(api->record(s->gpu.device, s->busy, err));
  ZH_TRY(s->gpu.limits->meetings(s->gpu.device, s->word, s->meetings, err));
  ZH_TRY(zh_gpu_begin(&s->gpu, err));
  ZH_TRY(enqueue_boundaries(s, index, times, err));
  double enqueued = (double)(zh_now_ns() - begin);
  ZH_TRY(zh_gpu_end(&s->gpu, ns, err));
  ZH_TRY(api->elapsed_s(s->gpu.device, &busy_s, s->busy, s->gpu.begin, err));
  *spare = busy_s * 1e9 - enqueued;
  return ZH_OK;
}

static zh_status time_held(gpu_launch_state *s, size_t index, int times, double *ns,
                           zh_error *err) {
  double spare = 0;
  for (;;) {
    ZH_TRY(time_behind(s, index, times, ns, &spare, err));
    if (spare > 0 || s->meetings >= MEETINGS_MAX) break;
    s->meetings *= 2;
  }
  if (spare > 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_IO,
                 "the host enqueues %d kernels more slowly than the GPU goes through %u waits of "
                 "all its blocks: it is too busy for boundaries to be timed",
                 times * s->kernels, s->meetings);
}

/* By events: of twice as many kernels less those of once as many, for each. */
static zh_status time_boundary(gpu_launch_state *s, size_t index, double *seconds, zh_error *err) {
  double ns[2] = {0};
  for (int i = 0; i < 2; i++) ZH_TRY(time_held(s, index, 1 + i, &ns[i], err));
  *seconds = (ns[1] - ns[0]) / s->kernels * 1e-9;
  return ZH_OK;
}

static zh_status time_allocations(gpu_launch_state *s, size_t mib, double *ns, zh_error *err) {
  const zh_device_api *api = s->gpu.api;
  int64_t begin = zh_now_ns();
  for (int i = 0; i < s->trips; i++) {
    void *memory = NULL;
    ZH_TRY(api->alloc(s->gpu.device, &memory, mib << 20, "timing an allocation", err));
    api->release(s->gpu.device, memory);
  }
  *ns = (double)(zh_now_ns() - begin);
  return ZH_OK;
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  gpu_launch_state *s = state;
  (void)warmup;
  switch (index) {
  case CALL:
    return time_calls(s, sample, err);
  case ROUND_TRIP:
  case GRAPH_ROUND_TRIP:
    return time_trips(s, index == GRAPH_ROUND_TRIP, sample, err);
  case STREAM:
  case GRAPH:
  case KERNEL:
    return time_boundary(s, index, sample, err);
  default:
    return time_allocations(s, s->mib[index - ALLOCATE], sample, err);
  }
}

static const zh_parameter PARAMETERS[] = {
    {.name = "kernels",
     .kind = ZH_PARAMETER_INT,
     .fallback = "200",
     .min = 1,
     .max = 400, /* twice as many have room in a stream's queue, of about a thousand */
     .help = "empty kernels, or waits of all blocks, in a row"},
    {.name = "trips",
     .kind = ZH_PARAMETER_INT,
     .fallback = "100",
     .min = 1,
     .max = 100000,
     .help = "round trips or allocations in one repeat"},
    {.name = "allocate_mib",
     .kind = ZH_PARAMETER_INTS,
     .fallback = "[1, 1024]",
     .min = 1,
     .max = 1 << 20,
     .help = "sizes in MiB whose allocation and release is timed"},
    ZH_GPU_PARAMETER,
    {.name = NULL}};

static const zh_metric METRICS[] = {{"launch_call", "s"},        {"launch_round_trip", "s"},
                                    {"boundary_in_stream", "s"}, {"boundary_in_graph", "s"},
                                    {"boundary_in_kernel", "s"}, {"graph_round_trip", "s"},
                                    {"allocate_*", "s"},         {NULL, NULL}};

const zh_workload zh_workload_gpu_launch = {
    .name = "gpu-launch",
    .summary_zh = "GPU 启动开销：内核启动、内核之间的间隔（流与图）、内存分配",
    .summary_en = "what a GPU costs before it computes: launches, kernel boundaries, allocation",
    .parameters = PARAMETERS,
    .ranks_min = 1,
    .prepare = prepare,
    .describe = describe,
    .run = run,
    .release = release,
    .metrics = METRICS};
