/* Matrix products D = A B^T by the vendor's library on a GPU: the fastest of the algorithms that it
 * proposes, on random normal data; and, as a control, how much faster zeros are multiplied.
 *
 * Elements of A and B are drawn from a pool of normal numbers by a hash of their place, so the host
 * knows each. Sampled elements of D are held against fp64 sums of the very operands: within
 * gamma_k |A||B|^T (Higham, Accuracy and Stability, 2nd ed., 3.5) with u = 2^-53, 2^-24 or, where
 * tensor cores may cut sums off, 2^-23; tf32 adds what rounding the operands to 11 bits costs, and
 * every type the rounding of D. Sums of e4m3 on Hopper keep 13 bits below their largest term: their
 * bound takes 4 standard deviations of a partial sum as its size. int8 is exact. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/workloads/gpu.h"
#include "bench/workloads/table.h"
#include "core/philox.h"

enum { CASES_MAX = 96, POOL = 1 << 16, SAMPLED_ROWS = 8, SAMPLED_COLUMNS = 32, SIDE_MAX = 1 << 17 };
enum { RATIOS = 5, WORKSPACE_MIB = 32, MULTIPLE = 16 };
static const char *const TYPES[] = {"fp64", "fp32",     "tf32", "bf16", "fp16",
                                    "fp8",  "fp8_fast", "int8", NULL};
static const double E4M3_SCALE = 16; /* numbers are stored times this */

typedef struct gemm_form {
  zh_device_number in, out;
  double in_scale, sum_roundoff, out_roundoff, operand_roundoff;
  const char *peak;
} gemm_form;

static const gemm_form FORMS[] = {
    [ZH_GEMM_FP64] = {ZH_NUMBER_F64, ZH_NUMBER_F64, 1, 0x1p-53, 0, 0, "fp64_tensor"},
    [ZH_GEMM_FP32] = {ZH_NUMBER_F32, ZH_NUMBER_F32, 1, 0x1p-24, 0, 0, "fp32_fma"},
    [ZH_GEMM_TF32] = {ZH_NUMBER_TF32, ZH_NUMBER_F32, 1, 0x1p-23, 0, 0x1p-10, "tf32_tensor"},
    [ZH_GEMM_BF16] = {ZH_NUMBER_BF16, ZH_NUMBER_BF16, 1, 0x1p-23, 0x1p-8, 0, "bf16_tensor"},
    [ZH_GEMM_FP16] = {ZH_NUMBER_F16, ZH_NUMBER_F16, 1, 0x1p-23, 0x1p-11, 0, "fp16_tensor"},
    [ZH_GEMM_FP8] = {ZH_NUMBER_E4M3, ZH_NUMBER_BF16, 16, 0x1p-23, 0x1p-8, 0, "fp8_tensor"},
    [ZH_GEMM_FP8_FAST] = {ZH_NUMBER_E4M3, ZH_NUMBER_BF16, 16, 0x1p-23, 0x1p-8, 0, "fp8_tensor"},
    [ZH_GEMM_INT8] = {ZH_NUMBER_INT8, ZH_NUMBER_F32, 1, 0, 0, 0, "int8_tensor"}};

typedef struct gpu_gemm_case {
  zh_device_gemm_type type;
  size_t m, n, k;
} gpu_gemm_case;

typedef struct gpu_gemm_state {
  zh_job *job;
  zh_gpu gpu;
  gpu_gemm_case cases[CASES_MAX];
  size_t count, current; /* whose operands are there; count: none */
  void *a, *b, *d, *pool_on_device, *workspace;
  float *scales;
  void *pool, *row; /* here: the current type's pool, a row of D */
  zh_device_gemm *gemm;
  uint64_t repeat;
  int launches;
} gpu_gemm_state;

static size_t out_bytes(const gpu_gemm_case *c) {
  return zh_number_bytes(FORMS[c->type].out);
}

static double operations(const gpu_gemm_case *c) {
  return 2.0 * (double)c->m * (double)c->n * (double)c->k;
}

/* --- operands --- */

static uint32_t key_of(const gpu_gemm_state *s, int matrix) {
  return (uint32_t)s->job->seed + 2 * (uint32_t)s->current + (uint32_t)matrix;
}

/* As it is multiplied: what is stored, over its scale. */
static double element(const gpu_gemm_state *s, const gpu_gemm_case *c, int matrix, size_t i) {
  size_t at = zh_flow_word(key_of(s, matrix), i) & (POOL - 1);
  return zh_number_at(s->pool, at, FORMS[c->type].in) / FORMS[c->type].in_scale;
}

static void draw_pool(gpu_gemm_state *s, zh_device_gemm_type type) {
  float z[256];
  double scale = type == ZH_GEMM_INT8 ? 32 : FORMS[type].in_scale;
  for (size_t i = 0; i < POOL; i++) {
    if (i % 256 == 0) zh_normal_fill(z, 256, s->job->seed, 100 + type, i, 1.0f);
    zh_number_put(s->pool, i, FORMS[type].in, (double)z[i % 256] * scale);
  }
}

static void drop_operands(gpu_gemm_state *s) {
  if (!s->gpu.device) return;
  const zh_device_api *api = s->gpu.api;
  s->gpu.limits->release_gemm(s->gemm);
  api->release(s->gpu.device, s->a);
  api->release(s->gpu.device, s->b);
  api->release(s->gpu.device, s->d);
  s->gemm = NULL;
  s->a = s->b = s->d = NULL;
  s->current = s->count;
}

static zh_status spread(gpu_gemm_state *s, const gpu_gemm_case *c, void *to, int matrix,
                        size_t count, zh_error *err) {
  return s->gpu.limits->spread(s->gpu.device, to, s->pool_on_device, POOL,
                               zh_number_bytes(FORMS[c->type].in), count, key_of(s, matrix), err);
}

static void note_choice(gpu_gemm_state *s, const gpu_gemm_case *c, const zh_device_gemm_facts *f) {
  char name[64];
  snprintf(name, sizeof name, "%s_%zux%zux%zu", TYPES[c->type], c->m, c->n, c->k);
  json_object_set_new(s->job->facts, name,
                      json_pack("{s:i,s:i,s:o,s:I}", "algorithms_tried", f->candidates, "chosen",
                                f->chosen, "over_first", zh_json_number(f->first_s / f->best_s),
                                "workspace_bytes", (json_int_t)f->workspace_bytes));
}

static zh_status choose(gpu_gemm_state *s, const gpu_gemm_case *c, zh_error *err) {
  zh_device_gemm_facts facts;
  zh_device_gemm_work work = {c->type, c->m, c->n,      c->k,         s->a,
                              s->b,    s->d, s->scales, s->workspace, (size_t)WORKSPACE_MIB << 20};
  ZH_TRY(s->gpu.limits->gemm_choose(s->gpu.device, &s->gemm, &work,
                                    (int)zh_job_int(s->job, "proposals"), &facts, err));
  note_choice(s, c, &facts);
  return ZH_OK;
}

/* One case's operands at a time: drawn before its first repeat. */
static zh_status take_operands(gpu_gemm_state *s, size_t index, zh_error *err) {
  const gpu_gemm_case *c = &s->cases[index];
  const zh_device_api *api = s->gpu.api;
  size_t bytes = zh_number_bytes(FORMS[c->type].in);
  if (s->current == index) return ZH_OK;
  drop_operands(s);
  s->current = index;
  zh_device *device = s->gpu.device;
  draw_pool(s, c->type);
  zh_status status = zh_gpu_put(&s->gpu, s->pool_on_device, s->pool, POOL * bytes, err);
  if (status == ZH_OK) status = api->alloc(device, &s->a, c->m * c->k * bytes, "a matrix", err);
  if (status == ZH_OK) status = api->alloc(device, &s->b, c->n * c->k * bytes, "a matrix", err);
  if (status == ZH_OK)
    status = api->alloc(device, &s->d, c->m * c->n * out_bytes(c), "a product", err);
  if (status == ZH_OK) status = spread(s, c, s->a, 0, c->m * c->k, err);
  if (status == ZH_OK) status = spread(s, c, s->b, 1, c->n * c->k, err);
  if (status == ZH_OK) status = api->wait(device, err);
  if (status == ZH_OK) status = choose(s, c, err);
  if (status != ZH_OK) drop_operands(s);
  return status;
}

/* --- checks --- */

typedef struct dot {
  double sum, magnitude, square;
} dot;

static dot dot_of(const gpu_gemm_state *s, const gpu_gemm_case *c, size_t row, size_t column) {
  dot out = {0};
  for (size_t i = 0; i < c->k; i++) {
    double product = element(s, c, 0, row * c->k + i) * element(s, c, 1, column * c->k + i);
    out.sum += product;
    out.magnitude += fabs(product);
    out.square += product * product;
  }
  return out;
}

static double bound_of(const gpu_gemm_case *c, const dot *d) {
  const gemm_form *f = &FORMS[c->type];
  double k = (double)c->k, ku = k * f->sum_roundoff;
  double bound = ku / (1 - ku) * d->magnitude + 2 * f->operand_roundoff * d->magnitude +
                 k * DBL_EPSILON * d->magnitude;
  if (f->in == ZH_NUMBER_E4M3) {
    double size = 4 * sqrt(d->square);
    if (c->type == ZH_GEMM_FP8 && k > 128) size *= sqrt(128 / k); /* promoted every 128 */
    bound += (k / 32 + 1) * 0x1p-13 * size;
  }
  return bound + f->out_roundoff * (fabs(d->sum) + bound);
}

static double result_at(const gpu_gemm_state *s, const gpu_gemm_case *c, size_t column) {
  if (c->type == ZH_GEMM_INT8) return ((const int32_t *)s->row)[column];
  return zh_number_at(s->row, column, FORMS[c->type].out);
}

static zh_status verify_row(const gpu_gemm_state *s, const gpu_gemm_case *c, size_t row,
                            const uint32_t *random, zh_error *err) {
  for (size_t k = 0; k < SAMPLED_COLUMNS; k++) {
    size_t column = random[k] % c->n;
    dot d = dot_of(s, c, row, column);
    double got = result_at(s, c, column), error = fabs(got - d.sum), bound = bound_of(c, &d);
    if (!(error <= bound))
      return zh_fail(err, ZH_ERR_CHECK,
                     "gpu-gemm %s %zux%zux%zu: element [%zu][%zu] is %.9g, but must be %.9g; error "
                     "%.3g, bound %.3g",
                     TYPES[c->type], c->m, c->n, c->k, row, column, got, d.sum, error, bound);
  }
  return ZH_OK;
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  gpu_gemm_state *s = state;
  const gpu_gemm_case *c = &s->cases[index];
  uint32_t random[SAMPLED_ROWS * (SAMPLED_COLUMNS + 1)];
  size_t count = sizeof random / sizeof *random, row_bytes = c->n * out_bytes(c);
  zh_random_fill(random, count, s->job->seed, 1u << 22, s->repeat++ * count);
  for (size_t i = 0; i < SAMPLED_ROWS; i++) {
    size_t row = random[i * (SAMPLED_COLUMNS + 1)] % c->m;
    ZH_TRY(zh_gpu_get(&s->gpu, s->row, (const char *)s->d + row * row_bytes, row_bytes, err));
    ZH_TRY(verify_row(s, c, row, random + i * (SAMPLED_COLUMNS + 1) + 1, err));
  }
  /* A later repeat that writes nothing must not pass on this one's product: these are NaN, or -1.
   */
  ZH_TRY(s->gpu.api->fill(s->gpu.device, s->d, 0xFF, c->m * row_bytes, err));
  return s->gpu.api->wait(s->gpu.device, err);
}

/* --- workload --- */

static zh_status read_shape(gpu_gemm_case *c, const char *text, zh_error *err) {
  char rest;
  if (sscanf(text, "%6zux%6zux%6zu%c", &c->m, &c->n, &c->k, &rest) == 3 && c->m >= MULTIPLE &&
      c->n >= MULTIPLE && c->k >= MULTIPLE && c->m <= SIDE_MAX && c->n <= SIDE_MAX &&
      c->k <= SIDE_MAX && (c->m | c->n | c->k) % MULTIPLE == 0)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "gpu-gemm: shape '%s': expected rows x columns x depth, such as 8192x8192x8192, "
                 "multiples of %d up to %d",
                 text, MULTIPLE, SIDE_MAX);
}

static zh_status add_cases(gpu_gemm_state *s, zh_error *err) {
  size_t i, k;
  json_t *type, *shape;
  bool has_fp8 = s->gpu.facts.major * 10 + s->gpu.facts.minor >= 89;
  json_array_foreach(json_object_get(s->job->parameters, "types"), i, type) {
    json_array_foreach(json_object_get(s->job->parameters, "shapes"), k, shape) {
      gpu_gemm_case c = {.type = 0};
      if (s->count == CASES_MAX)
        return zh_fail(err, ZH_ERR_INPUT, "gpu-gemm: at most %d shapes in all types", CASES_MAX);
      while (strcmp(TYPES[c.type], json_string_value(type)) != 0) c.type++;
      ZH_TRY(read_shape(&c, json_string_value(shape), err));
      if (has_fp8 || FORMS[c.type].in != ZH_NUMBER_E4M3) s->cases[s->count++] = c;
    }
  }
  if (s->count > 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "this GPU has none of the types asked for");
}

static void release(void *state) {
  gpu_gemm_state *s = state;
  drop_operands(s);
  if (s->gpu.device) {
    s->gpu.api->release(s->gpu.device, s->pool_on_device);
    s->gpu.api->release(s->gpu.device, s->workspace);
    s->gpu.api->release(s->gpu.device, s->scales);
  }
  free(s->pool);
  free(s->row);
  zh_gpu_close(&s->gpu);
  free(s);
}

static zh_status make_ready(gpu_gemm_state *s, zh_error *err) {
  float scales[2] = {(float)(1 / E4M3_SCALE), (float)(1 / E4M3_SCALE)};
  char library[64];
  size_t widest = 0;
  ZH_TRY(zh_gpu_open(&s->gpu, s->job, err));
  ZH_TRY(s->gpu.limits->gemm_library(library, sizeof library, err));
  json_object_set_new(s->job->facts, "library", json_string(library));
  ZH_TRY(add_cases(s, err));
  s->current = s->count;
  for (size_t i = 0; i < s->count; i++)
    if (s->cases[i].n > widest) widest = s->cases[i].n;
  const zh_device_api *api = s->gpu.api;
  s->pool = calloc(POOL, 8);
  s->row = calloc(widest, 8);
  if (!s->pool || !s->row) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  ZH_TRY(api->alloc(s->gpu.device, &s->pool_on_device, (size_t)POOL * 8, "a pool", err));
  ZH_TRY(api->alloc(s->gpu.device, &s->workspace, (size_t)WORKSPACE_MIB << 20, "a workspace", err));
  ZH_TRY(api->alloc(s->gpu.device, (void **)&s->scales, sizeof scales, "scales", err));
  return zh_gpu_put(&s->gpu, s->scales, scales, sizeof scales, err);
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  gpu_gemm_state *s = calloc(1, sizeof *s);
  if (!s) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  *state = s;
  s->job = job;
  s->launches = (int)zh_job_int(job, "launches");
  ZH_TRY(make_ready(s, err));
  *cases = s->count;
  return ZH_OK;
}

/* Each rank multiplies its own, equal matrices. */
static void describe(const void *state, size_t index, zh_case *out) {
  const gpu_gemm_state *s = state;
  const gpu_gemm_case *c = &s->cases[index];
  *out = (zh_case){.kind = ZH_SAMPLE_RATE,
                   .work = operations(c) * s->launches * s->job->comm->size,
                   .peak_per_unit = 1,
                   .more_is_better = true};
  snprintf(out->unit, sizeof out->unit, "%s", c->type == ZH_GEMM_INT8 ? "OP/s" : "FLOP/s");
  snprintf(out->metric, sizeof out->metric, "%s_%zux%zux%zu", TYPES[c->type], c->m, c->n, c->k);
  /* From Blackwell on the tensor cores' own instructions are not among gpu-compute's loops. */
  if (s->gpu.facts.major < 10 || c->type == ZH_GEMM_FP32)
    snprintf(out->peak, sizeof out->peak, "gpu-compute/%s", FORMS[c->type].peak);
}

static zh_status multiply(gpu_gemm_state *s, double *ns, zh_error *err) {
  ZH_TRY(s->gpu.api->wait(s->gpu.device, err));
  ZH_TRY(zh_gpu_begin(&s->gpu, err));
  for (int i = 0; i < s->launches; i++) ZH_TRY(s->gpu.limits->gemm(s->gpu.device, s->gemm, err));
  return zh_gpu_end(&s->gpu, ns, err);
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  gpu_gemm_state *s = state;
  (void)warmup;
  ZH_TRY(take_operands(s, index, err));
  return multiply(s, sample, err);
}

/* --- zeros as a control --- */

static zh_status time_zeros(gpu_gemm_state *s, size_t index, double *ratios, zh_error *err) {
  const gpu_gemm_case *c = &s->cases[index];
  size_t bytes = zh_number_bytes(FORMS[c->type].in);
  ZH_TRY(take_operands(s, index, err));
  for (int i = 0; i < RATIOS; i++) {
    double normal = 0, zeros = 0;
    ZH_TRY(spread(s, c, s->a, 0, c->m * c->k, err));
    ZH_TRY(spread(s, c, s->b, 1, c->n * c->k, err));
    ZH_TRY(multiply(s, &normal, err));
    ZH_TRY(s->gpu.api->fill(s->gpu.device, s->a, 0, c->m * c->k * bytes, err));
    ZH_TRY(s->gpu.api->fill(s->gpu.device, s->b, 0, c->n * c->k * bytes, err));
    ZH_TRY(multiply(s, &zeros, err));
    ratios[i] = zeros > 0 ? normal / zeros : 0;
  }
  drop_operands(s);
  return ZH_OK;
}

/* Of each type the product with the most operations. */
static zh_status finish(void *state, zh_error *err) {
  gpu_gemm_state *s = state;
  if (strcmp(zh_job_word(s->job, "zeros"), "no") == 0) return ZH_OK;
  for (zh_device_gemm_type type = 0; type < ZH_GEMM_TYPES; type++) {
    double ratios[RATIOS];
    size_t largest = s->count;
    for (size_t i = 0; i < s->count; i++)
      if (s->cases[i].type == type &&
          (largest == s->count || operations(&s->cases[i]) > operations(&s->cases[largest])))
        largest = i;
    if (largest == s->count) continue;
    zh_case what = {.unit = "1", .kind = ZH_SAMPLE_VALUE, .work = 1};
    snprintf(what.metric, sizeof what.metric, "zeros_ratio_%s", TYPES[type]);
    ZH_TRY(time_zeros(s, largest, ratios, err));
    ZH_TRY(zh_job_series(s->job, &what, ratios, RATIOS, err));
  }
  return ZH_OK;
}

static const char *const YES_NO[] = {"yes", "no", NULL};
static const zh_parameter PARAMETERS[] = {
    {.name = "types",
     .kind = ZH_PARAMETER_WORDS,
     .fallback = "[fp64, fp32, tf32, bf16, fp16, fp8, fp8_fast, int8]",
     .words = TYPES,
     .help = "element types; fp8_fast keeps sums shorter than fp8 does"},
    {.name = "shapes",
     .kind = ZH_PARAMETER_WORDS,
     .fallback = "[8192x8192x8192]",
     .help = "rows x columns x depth of the products, multiples of 16"},
    {.name = "proposals",
     .kind = ZH_PARAMETER_INT,
     .fallback = "12",
     .min = 1,
     .max = 32,
     .help = "algorithms that the library is asked for; the fastest is taken"},
    {.name = "launches",
     .kind = ZH_PARAMETER_INT,
     .fallback = "10",
     .min = 1,
     .max = 10000,
     .help = "products in one repeat"},
    {.name = "zeros",
     .kind = ZH_PARAMETER_WORD,
     .fallback = "yes",
     .words = YES_NO,
     .help = "whether to time zeros, too, as a control"},
    ZH_GPU_PARAMETER,
    {.name = NULL}};

static const zh_metric METRICS[] = {{"int8_*_energy", "J/OP"},
                                    {"*_energy", "J/FLOP"},
                                    {"zeros_ratio_*", "1"},
                                    {"int8_*", "OP/s"},
                                    {"fp64_*", "FLOP/s"},
                                    {"fp32_*", "FLOP/s"},
                                    {"tf32_*", "FLOP/s"},
                                    {"bf16_*", "FLOP/s"},
                                    {"fp16_*", "FLOP/s"},
                                    {"fp8_*", "FLOP/s"},
                                    {NULL, NULL}};

const zh_workload zh_workload_gpu_gemm = {
    .name = "gpu-gemm",
    .summary_zh = "GPU 矩阵乘：厂商库（cuBLASLt），随机数据，抽样核对，以全零作对照",
    .summary_en =
        "matrix products of a GPU by cuBLASLt: random data, sampled checks, zeros as control",
    .parameters = PARAMETERS,
    .ranks_min = 1,
    .prepare = prepare,
    .describe = describe,
    .run = run,
    .verify = verify,
    .finish = finish,
    .release = release,
    .metrics = METRICS};
