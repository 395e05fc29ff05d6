/* Arithmetic limits of a GPU: fused multiply-adds and matrix instructions from registers (and
 * shared memory where the instruction reads it), on random normal operands, all multiprocessors.
 *
 * Every thread gives back a word that says what all its rounds computed (kernels/device_limits.h).
 * Matrix loops multiply whole numbers whose sums are exact, so the host knows the word for any
 * number of rounds; of multiply-adds the host repeats every one, for fewer rounds where all would
 * take too long (facts: checked_rounds), and all threads must agree from repeat to repeat. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/workloads/gpu.h"
#include "bench/workloads/table.h"
#include "core/philox.h"

enum { LOOPS_MAX = 16, STREAM_OPERANDS = 7, OPERANDS_BYTES = 1 << 17 };
static const char *const METRIC_WORDS[] = {"fp64_fma",    "fp32_fma",    "fp64_tensor",
                                           "tf32_tensor", "bf16_tensor", "fp16_tensor",
                                           "fp8_tensor",  "int8_tensor", NULL};
static const char *const INSTRUCTIONS[] = {"best", "plainest", NULL};
static const double REFERENCE_STEPS_MAX = 2e7; /* multiply-adds that the host repeats */

typedef struct loop {
  const zh_device_peak *peak;
  uint64_t rounds, checked_rounds;
  uint32_t blocks;
  size_t operand_bytes;
  void *operands;                /* as the device has them */
  uint32_t *expected;            /* matrices: [threads that share one] of one round; FMA: [lanes] of
                                    checked_rounds */
  uint32_t first[ZH_PEAK_LANES]; /* FMA: what the first repeat gave */
  bool has_first;
} loop;

typedef struct gpu_compute_state {
  zh_job *job;
  zh_gpu gpu;
  loop loops[LOOPS_MAX];
  size_t count;
  void *operands;           /* on the device */
  uint32_t *sums, *fetched; /* [most threads]; on the device, here */
  size_t most;
} gpu_compute_state;

static bool is_fma(const loop *l) {
  return l->peak->rows == 0;
}

static size_t threads_of(const loop *l) {
  return (size_t)l->blocks * l->peak->block_threads;
}

/* Of one round, on all of the device. */
static double operations(const loop *l) {
  const zh_device_peak *p = l->peak;
  double threads = (double)threads_of(l);
  if (is_fma(l)) return threads * ZH_PEAK_REPEATS * ZH_PEAK_CHAINS * 2 * 2;
  return threads / p->threads * p->copies * ZH_PEAK_REPEATS * p->steps * 2.0 * p->rows *
         p->columns * p->depth;
}

/* --- operands and what they must give --- */

/* Standard deviation of the whole numbers: their sums must be exact in the shortest accumulators.
 */
static double deviation(const zh_device_peak *p) {
  return p->number == ZH_NUMBER_E4M3 ? 2 : 32;
}
static double largest(const zh_device_peak *p) {
  return p->number == ZH_NUMBER_E4M3 ? 8 : 127;
}

static void draw_whole(loop *l, uint64_t seed) {
  const zh_device_peak *p = l->peak;
  size_t count = (size_t)p->steps * (p->rows + p->columns) * p->depth;
  float z[256];
  for (size_t i = 0; i < count; i++) {
    if (i % 256 == 0) zh_normal_fill(z, 256, seed, STREAM_OPERANDS + p->number, i, 1.0f);
    double value = rint(z[i % 256] * deviation(p));
    zh_number_put(l->operands, i, p->number, fmax(-largest(p), fmin(largest(p), value)));
  }
}

/* d[row][column] of one round. */
static double product(const loop *l, uint32_t row, uint32_t column) {
  const zh_device_peak *p = l->peak;
  size_t b = (size_t)p->steps * p->rows * p->depth;
  double sum = 0;
  for (uint32_t s = 0; s < p->steps; s++)
    for (uint32_t k = 0; k < p->depth; k++)
      sum += zh_number_at(l->operands, ((size_t)s * p->rows + row) * p->depth + k, p->number) *
             zh_number_at(l->operands, b + ((size_t)s * p->columns + column) * p->depth + k,
                          p->number);
  return sum * ZH_PEAK_REPEATS;
}

static uint32_t word_of_thread(const loop *l, uint32_t t) {
  const zh_device_peak *p = l->peak;
  uint32_t elements = p->rows * p->columns / p->threads, sum = 0;
  for (uint32_t e = 0; e < elements; e++) {
    uint32_t row = t / 32 * 16 + t % 32 / 4 + 8 * (e / 2 % 2);
    uint32_t column = 8 * (e / 4) + 2 * (t % 4) + e % 2;
    sum += (2 * e + 1) * (uint32_t)(int64_t)product(l, row, column);
  }
  return sum * p->copies;
}

static uint32_t word_of_f32(double value) {
  float x = (float)value;
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
static uint32_t word_of_f64(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (uint32_t)(bits >> 32) + (uint32_t)bits;
}

static uint32_t word_of_lane(const loop *l, uint32_t lane) {
  enum { ALL = ZH_PEAK_CHAINS * ZH_PEAK_LANES };
  zh_device_number number = l->peak->number;
  bool wide = number == ZH_NUMBER_F64;
  double h = zh_number_at(l->operands, 2 * ALL + lane, number);
  uint32_t sum = 0;
  for (uint32_t c = 0; c < ZH_PEAK_CHAINS; c++) {
    double x = zh_number_at(l->operands, c * ZH_PEAK_LANES + lane, number);
    double y = zh_number_at(l->operands, ALL + c * ZH_PEAK_LANES + lane, number);
    float x32 = (float)x, y32 = (float)y, h32 = (float)h;
    for (uint64_t i = 0; i < l->checked_rounds * ZH_PEAK_REPEATS; i++) {
      if (wide) {
        x = fma(h, y, x);
        y = fma(-h, x, y);
      } else {
        x32 = fmaf(h32, y32, x32);
        y32 = fmaf(-h32, x32, y32);
      }
    }
    sum += (2 * c + 1) * (wide ? word_of_f64(x) : word_of_f32((double)x32));
    sum += (2 * c + 2) * (wide ? word_of_f64(y) : word_of_f32((double)y32));
  }
  return sum;
}

static void draw_fma(loop *l, uint64_t seed) {
  enum { ALL = ZH_PEAK_CHAINS * ZH_PEAK_LANES };
  float z[2 * ALL + ZH_PEAK_LANES];
  zh_normal_fill(z, 2 * ALL + ZH_PEAK_LANES, seed, STREAM_OPERANDS + l->peak->number, 0, 1.0f);
  for (size_t i = 0; i < 2 * ALL + ZH_PEAK_LANES; i++)
    zh_number_put(l->operands, i, l->peak->number,
                  i < 2 * ALL ? (double)z[i] : 0.5 + 0.2 * fabs((double)z[i]));
}

static zh_status draw(loop *l, uint64_t seed, zh_error *err) {
  const zh_device_peak *p = l->peak;
  size_t words = is_fma(l) ? ZH_PEAK_LANES : p->threads;
  size_t bytes = zh_number_bytes(p->number);
  l->operand_bytes = is_fma(l) ? (2 * ZH_PEAK_CHAINS + 1) * ZH_PEAK_LANES * bytes
                               : (size_t)p->steps * (p->rows + p->columns) * p->depth * bytes;
  l->operands = calloc(1, l->operand_bytes);
  l->expected = calloc(words, sizeof *l->expected);
  if (!l->operands || !l->expected) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  if (is_fma(l)) {
    draw_fma(l, seed);
    return ZH_OK;
  }
  draw_whole(l, seed);
  for (uint32_t t = 0; t < words; t++) l->expected[t] = word_of_thread(l, t);
  return ZH_OK;
}

/* --- running --- */

static zh_status turn(gpu_compute_state *s, loop *l, uint64_t rounds, double *ns, zh_error *err) {
  zh_device_peak_run run = {s->operands, s->sums, l->blocks, rounds};
  ZH_TRY(s->gpu.api->upload(s->gpu.device, s->operands, l->operands, l->operand_bytes, err));
  ZH_TRY(s->gpu.api->fill(s->gpu.device, s->sums, 0xFF, threads_of(l) * 4, err));
  ZH_TRY(zh_gpu_begin(&s->gpu, err));
  ZH_TRY(s->gpu.limits->peak(s->gpu.device, l->peak, &run, err));
  return zh_gpu_end(&s->gpu, ns, err);
}

/* Rounds for about `wanted_ns`. */
static zh_status calibrate(gpu_compute_state *s, loop *l, double wanted_ns, zh_error *err) {
  uint64_t rounds = 1;
  double took = 0;
  ZH_TRY(turn(s, l, 1, &took, err)); /* loads the code */
  ZH_TRY(turn(s, l, rounds, &took, err));
  while (took < wanted_ns / 4 && rounds < (uint64_t)1 << 40) {
    rounds *= 2;
    ZH_TRY(turn(s, l, rounds, &took, err));
  }
  l->rounds = (uint64_t)fmax(1, floor((double)rounds * wanted_ns / fmax(took, 1)));
  return ZH_OK;
}

static void expect(loop *l) {
  l->checked_rounds = l->rounds;
  if (!is_fma(l)) return;
  double steps = 2.0 * ZH_PEAK_CHAINS * ZH_PEAK_LANES * ZH_PEAK_REPEATS;
  if ((double)l->rounds * steps > REFERENCE_STEPS_MAX)
    l->checked_rounds = (uint64_t)fmax(1, REFERENCE_STEPS_MAX / steps);
  for (uint32_t lane = 0; lane < ZH_PEAK_LANES; lane++) l->expected[lane] = word_of_lane(l, lane);
}

static void note_loop(const gpu_compute_state *s, const loop *l) {
  json_object_set_new(s->job->facts, l->peak->metric,
                      json_pack("{s:s,s:I,s:I,s:i,s:i}", "variant", l->peak->variant, "rounds",
                                (json_int_t)l->rounds, "checked_rounds",
                                (json_int_t)l->checked_rounds, "blocks", (int)l->blocks,
                                "block_threads", (int)l->peak->block_threads));
}

/* The same on every rank; and what they must give. */
static zh_status share_rounds(gpu_compute_state *s, zh_error *err) {
  double rounds[LOOPS_MAX] = {0};
  for (size_t i = 0; i < s->count; i++) rounds[i] = (double)s->loops[i].rounds;
  ZH_TRY(s->job->comm->max_f64(s->job->comm, rounds, LOOPS_MAX, err));
  for (size_t i = 0; i < s->count; i++) {
    s->loops[i].rounds = (uint64_t)rounds[i];
    expect(&s->loops[i]);
    note_loop(s, &s->loops[i]);
  }
  return ZH_OK;
}

static bool has_metric(const gpu_compute_state *s, const char *metric) {
  for (size_t i = 0; i < s->count; i++)
    if (strcmp(s->loops[i].peak->metric, metric) == 0) return true;
  return false;
}

/* The first of its metric, or the last where the plainest are asked for. */
static bool is_wanted(const gpu_compute_state *s, const zh_device_peak *const *peak) {
  bool plainest = strcmp(zh_job_word(s->job, "instructions"), "plainest") == 0;
  if (!zh_job_lists(s->job, "metrics", (*peak)->metric) || s->count == LOOPS_MAX) return false;
  for (const zh_device_peak *const *next = peak + 1; plainest && *next; next++)
    if (strcmp((*next)->metric, (*peak)->metric) == 0) return false;
  return plainest || !has_metric(s, (*peak)->metric);
}

/* Why there is no loop of a metric, for people. */
static const char *why_lacking(const gpu_compute_state *s, const char *metric) {
  int capability = s->gpu.facts.major * 10 + s->gpu.facts.minor;
  if (strcmp(metric, "fp8_tensor") != 0) return "this build has no loop of it for this GPU";
  if (capability < 89) return "this GPU has no units for FP8";
  return "the FP8 units of this GPU need wgmma (a build for sm_90a) or tcgen05, which this build "
         "has not";
}

/* What was asked for and is not measured; the last of that, NULL where there is none. */
static const char *note_lacking(const gpu_compute_state *s) {
  const char *last = NULL;
  for (const char *const *metric = METRIC_WORDS; *metric; metric++) {
    if (!zh_job_lists(s->job, "metrics", *metric) || has_metric(s, *metric)) continue;
    last = *metric;
    json_object_set_new(s->job->facts, *metric,
                        json_pack("{s:s}", "lacking", why_lacking(s, *metric)));
  }
  return last;
}

static zh_status add_loops(gpu_compute_state *s, zh_error *err) {
  const zh_device_peak *const *peaks = s->gpu.limits->peaks(s->gpu.device);
  uint32_t blocks = (uint32_t)zh_job_int(s->job, "blocks");
  for (; *peaks; peaks++) {
    if (!is_wanted(s, peaks)) continue;
    loop *l = &s->loops[s->count++];
    *l = (loop){.peak = *peaks, .blocks = blocks};
    if (blocks == 0) l->blocks = s->gpu.facts.multiprocessors * (*peaks)->blocks_per_multiprocessor;
    ZH_TRY(draw(l, s->job->seed, err));
    if (l->operand_bytes > OPERANDS_BYTES)
      return zh_fail(err, ZH_ERR_ARG, "the loop %s has too many operands", l->peak->metric);
    if (threads_of(l) > s->most) s->most = threads_of(l);
  }
  const char *lacking = note_lacking(s);
  if (s->count > 0 || !lacking) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "none of what is asked for can be measured; %s: %s", lacking,
                 why_lacking(s, lacking));
}

static void release(void *state) {
  gpu_compute_state *s = state;
  if (s->gpu.device) {
    s->gpu.api->release(s->gpu.device, s->operands);
    s->gpu.api->release(s->gpu.device, s->sums);
  }
  for (size_t i = 0; i < s->count; i++) {
    free(s->loops[i].operands);
    free(s->loops[i].expected);
  }
  free(s->fetched);
  zh_gpu_close(&s->gpu);
  free(s);
}

static zh_status make_ready(gpu_compute_state *s, zh_error *err) {
  double wanted_ns = (double)zh_job_int(s->job, "milliseconds") * 1e6;
  ZH_TRY(zh_gpu_open(&s->gpu, s->job, err));
  ZH_TRY(add_loops(s, err));
  const zh_device_api *api = s->gpu.api;
  s->fetched = calloc(s->most, sizeof *s->fetched);
  if (!s->fetched) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  ZH_TRY(api->alloc(s->gpu.device, &s->operands, OPERANDS_BYTES, "operands", err));
  ZH_TRY(api->alloc(s->gpu.device, (void **)&s->sums, s->most * 4, "sums", err));
  for (size_t i = 0; i < s->count; i++) {
    ZH_TRY(calibrate(s, &s->loops[i], wanted_ns, err));
  }
  return ZH_OK;
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  gpu_compute_state *s = calloc(1, sizeof *s);
  if (!s) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  *state = s;
  s->job = job;
  ZH_TRY(zh_comm_agree(job->comm, make_ready(s, err), err));
  ZH_TRY(share_rounds(s, err));
  *cases = s->count;
  return ZH_OK;
}

static void describe(const void *state, size_t index, zh_case *out) {
  const gpu_compute_state *s = state;
  const loop *l = &s->loops[index];
  *out = (zh_case){.kind = ZH_SAMPLE_RATE,
                   .work = operations(l) * (double)l->rounds * s->job->comm->size,
                   .peak_per_unit = 1,
                   .more_is_better = true};
  snprintf(out->unit, sizeof out->unit, "%s", l->peak->unit);
  snprintf(out->metric, sizeof out->metric, "%s", l->peak->metric);
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  gpu_compute_state *s = state;
  (void)warmup;
  return turn(s, &s->loops[index], s->loops[index].rounds, sample, err);
}

/* --- checks --- */

/* Word of thread t is factor times wanted[t modulo `period`]. */
static zh_status compare(const gpu_compute_state *s, const loop *l, const uint32_t *wanted,
                         size_t period, uint32_t factor, const char *what, zh_error *err) {
  for (size_t t = 0; t < threads_of(l); t++)
    if (s->fetched[t] != wanted[t % period] * factor)
      return zh_fail(err, ZH_ERR_CHECK,
                     "%s (%s): thread %zu of %zu gave 0x%08x, but %s must be 0x%08x",
                     l->peak->metric, l->peak->variant, t, threads_of(l), s->fetched[t], what,
                     wanted[t % period] * factor);
  return ZH_OK;
}

static zh_status verify_fma(gpu_compute_state *s, loop *l, zh_error *err) {
  double ns = 0;
  if (!l->has_first) memcpy(l->first, s->fetched, sizeof l->first);
  l->has_first = true;
  ZH_TRY(compare(s, l, l->first, ZH_PEAK_LANES, 1, "as in the first repeat it", err));
  if (l->checked_rounds < l->rounds) {
    ZH_TRY(turn(s, l, l->checked_rounds, &ns, err));
    ZH_TRY(zh_gpu_get(&s->gpu, s->fetched, s->sums, threads_of(l) * 4, err));
  }
  return compare(s, l, l->expected, ZH_PEAK_LANES, 1, "by the host's multiply-adds it", err);
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  gpu_compute_state *s = state;
  loop *l = &s->loops[index];
  ZH_TRY(zh_gpu_get(&s->gpu, s->fetched, s->sums, threads_of(l) * 4, err));
  if (is_fma(l)) return verify_fma(s, l, err);
  return compare(s, l, l->expected, l->peak->threads, (uint32_t)l->rounds, "by the host's sums it",
                 err);
}

static const zh_parameter PARAMETERS[] = {
    {.name = "metrics",
     .kind = ZH_PARAMETER_WORDS,
     .fallback = "[fp64_fma, fp32_fma, fp64_tensor, tf32_tensor, bf16_tensor, fp16_tensor, "
                 "fp8_tensor, int8_tensor]",
     .words = METRIC_WORDS,
     .help = "which loops, of those that the GPU can run"},
    {.name = "instructions",
     .kind = ZH_PARAMETER_WORD,
     .fallback = "best",
     .words = INSTRUCTIONS,
     .help = "best: the fastest that the GPU has (wgmma on Hopper); plainest: what older ones "
             "have, too"},
    {.name = "milliseconds",
     .kind = ZH_PARAMETER_INT,
     .fallback = "50",
     .min = 1,
     .max = 60000,
     .help = "about how long one repeat takes, in ms"},
    {.name = "blocks",
     .kind = ZH_PARAMETER_INT,
     .fallback = "0",
     .min = 0,
     .max = 1 << 20,
     .help = "blocks of threads; 0: as many as fill the GPU"},
    ZH_GPU_PARAMETER,
    {.name = NULL}};

static const zh_metric METRICS[] = {{"fp64_fma", "FLOP/s"},
                                    {"fp32_fma", "FLOP/s"},
                                    {"fp64_tensor", "FLOP/s"},
                                    {"tf32_tensor", "FLOP/s"},
                                    {"bf16_tensor", "FLOP/s"},
                                    {"fp16_tensor", "FLOP/s"},
                                    {"fp8_tensor", "FLOP/s"},
                                    {"int8_tensor", "OP/s"},
                                    {"int8_tensor_energy", "J/OP"},
                                    {"*_energy", "J/FLOP"},
                                    {NULL, NULL}};

const zh_workload zh_workload_gpu_compute = {
    .name = "gpu-compute",
    .summary_zh = "GPU 算力峰值：FMA 与张量核（fp64、fp32、tf32、bf16、fp16、fp8、int8）",
    .summary_en = "arithmetic peaks of a GPU: multiply-adds and tensor cores, by type",
    .parameters = PARAMETERS,
    .ranks_min = 1,
    .prepare = prepare,
    .describe = describe,
    .run = run,
    .verify = verify,
    .release = release,
    .metrics = METRICS};
