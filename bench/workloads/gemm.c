/* Matrix products C = A B^T in fp32, bf16 and int8 at a list of shapes, on random normal data, all
 * cores.
 *
 * Checks, after every repeat: sampled elements against fp64 sums of the very operands, within
 * gamma_k |A||B|^T, where gamma_k = k u / (1 - k u) and u = 2^-24 (Higham, Accuracy and Stability,
 * 2nd ed., 3.5: any order of summation, fused or not; products of bf16 are exact in fp32, but the
 * dot instructions round twice and flush subnormals, so u = 2^-23 there); then Freivalds' check of
 * the whole product, C r against A (B^T r) with random signs r, within the sum of the same bounds.
 * int8 is exact. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/workloads/table.h"
#include "core/clock.h"
#include "core/philox.h"

enum { CASES_MAX = 96, SAMPLED_ROWS = 4, SAMPLED_COLUMNS = 64, SIDE_MAX = 65536 };
static const char *const TYPES[] = {"fp32", "bf16", "int8", NULL};
enum { FP32, BF16, INT8 };
static const size_t ELEMENT_BYTES[] = {4, 2, 1};

typedef struct gemm_case {
  int type;
  size_t m, n, k;
} gemm_case;

typedef struct gemm_state {
  zh_job *job;
  gemm_case cases[CASES_MAX];
  size_t count, current; /* whose operands are drawn; count: none */
  void *a, *b, *c;
  size_t a_bytes, b_bytes, c_bytes;
  double *r, *br, *abs_b; /* r: [n], B^T r and |B|^T 1: [k] */
  const zh_gemm *kernel;
  uint64_t repeat;
} gemm_state;

static double value_at(const void *matrix, int type, size_t i) {
  if (type == FP32) return ((const float *)matrix)[i];
  if (type == BF16) return zh_bf16_to_f32(((const uint16_t *)matrix)[i]);
  return ((const int8_t *)matrix)[i];
}

static double result_at(const gemm_state *s, const gemm_case *c, size_t i) {
  return c->type == INT8 ? (double)((const int32_t *)s->c)[i] : (double)((const float *)s->c)[i];
}

/* Normal numbers; int8: of standard deviation 32, rounded, at most 127. */
static void draw(void *out, const gemm_case *c, size_t count, uint64_t seed, uint64_t stream) {
  float piece[1024];
  for (size_t done = 0; done < count;) {
    size_t now = count - done < 1024 ? count - done : 1024;
    zh_normal_fill(piece, now, seed, stream, done, 1.0f);
    for (size_t i = 0; i < now; i++) {
      if (c->type == FP32) ((float *)out)[done + i] = piece[i];
      if (c->type == BF16) ((uint16_t *)out)[done + i] = zh_f32_to_bf16(piece[i]);
      if (c->type == INT8)
        ((int8_t *)out)[done + i] = (int8_t)fmaxf(-127, fminf(127, rintf(piece[i] * 32)));
    }
    done += now;
  }
}

static void drop_operands(gemm_state *s) {
  zh_big_free(s->a, s->a_bytes);
  zh_big_free(s->b, s->b_bytes);
  zh_big_free(s->c, s->c_bytes);
  free(s->r);
  free(s->br);
  free(s->abs_b);
  s->a = s->b = s->c = NULL;
  s->r = s->br = s->abs_b = NULL;
}

/* One case's operands at a time: drawn at its first repeat, outside the timing. */
static zh_status take_operands(gemm_state *s, size_t index, zh_error *err) {
  const gemm_case *c = &s->cases[index];
  if (s->current == index) return ZH_OK;
  drop_operands(s);
  s->current = s->count;
  s->a_bytes = c->m * c->k * ELEMENT_BYTES[c->type];
  s->b_bytes = c->n * c->k * ELEMENT_BYTES[c->type];
  s->c_bytes = c->m * c->n * 4;
  s->a = zh_big_alloc(s->a_bytes);
  s->b = zh_big_alloc(s->b_bytes);
  s->c = zh_big_alloc(s->c_bytes);
  s->r = calloc(c->n, sizeof(double));
  s->br = calloc(c->k, sizeof(double));
  s->abs_b = calloc(c->k, sizeof(double));
  if (!s->a || !s->b || !s->c || !s->r || !s->br || !s->abs_b)
    return zh_fail(err, ZH_ERR_MEMORY, "there is no memory for matrices of %zux%zux%zu", c->m, c->n,
                   c->k);
  draw(s->a, c, c->m * c->k, s->job->seed, 2 * index);
  draw(s->b, c, c->n * c->k, s->job->seed, 2 * index + 1);
  s->kernel = zh_gemm_best(TYPES[c->type]);
  s->current = index;
  return ZH_OK;
}

/* --- checks --- */

static double unit_roundoff(const gemm_case *c) {
  return c->type == FP32 ? 0x1p-24 : c->type == BF16 ? 0x1p-23 : 0;
}

static double gamma_k(const gemm_case *c) {
  double ku = (double)c->k * unit_roundoff(c);
  return ku / (1 - ku);
}

static zh_status verify_element(const gemm_state *s, const gemm_case *c, size_t row, size_t column,
                                zh_error *err) {
  double sum = 0, magnitude = 0;
  for (size_t i = 0; i < c->k; i++) {
    double product =
        value_at(s->a, c->type, row * c->k + i) * value_at(s->b, c->type, column * c->k + i);
    sum += product;
    magnitude += fabs(product);
  }
  double got = result_at(s, c, row * c->n + column), error = fabs(got - sum);
  /* The oracle's own sum rounds, too; FLT_MIN covers flushed subnormals. */
  double bound = gamma_k(c) * magnitude + (double)c->k * DBL_EPSILON * magnitude +
                 (c->type == INT8 ? 0 : (double)c->k * FLT_MIN);
  if (error <= bound) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "gemm %s %zux%zux%zu (%s): element [%zu][%zu] is %.9g, but must be %.9g; error "
                 "%.3g, bound %.3g",
                 TYPES[c->type], c->m, c->n, c->k, s->kernel->variant, row, column, got, sum, error,
                 bound);
}

static zh_status verify_samples(const gemm_state *s, const gemm_case *c, const uint32_t *random,
                                zh_error *err) {
  for (size_t i = 0; i < SAMPLED_ROWS; i++)
    for (size_t k = 0; k < SAMPLED_COLUMNS; k++)
      ZH_TRY(verify_element(s, c, random[i] % c->m,
                            random[SAMPLED_ROWS + i * SAMPLED_COLUMNS + k] % c->n, err));
  return ZH_OK;
}

/* r, B^T r and |B|^T 1, anew for each repeat so that no product can be fitted to them. */
static void draw_signs(gemm_state *s, const gemm_case *c, const uint32_t *random) {
  memset(s->br, 0, c->k * sizeof(double));
  memset(s->abs_b, 0, c->k * sizeof(double));
  for (size_t j = 0; j < c->n; j++) {
    uint32_t bit;
    zh_random_fill(&bit, 1, s->job->seed ^ random[0], 1u << 20, j);
    s->r[j] = bit & 1 ? 1 : -1;
    for (size_t i = 0; i < c->k; i++) {
      double b = value_at(s->b, c->type, j * c->k + i);
      s->br[i] += s->r[j] * b;
      s->abs_b[i] += fabs(b);
    }
  }
}

static zh_status verify_row(const gemm_state *s, const gemm_case *c, size_t row, zh_error *err) {
  double left = 0, right = 0, magnitude = 0;
  for (size_t j = 0; j < c->n; j++) left += result_at(s, c, row * c->n + j) * s->r[j];
  for (size_t i = 0; i < c->k; i++) {
    double a = value_at(s->a, c->type, row * c->k + i);
    right += a * s->br[i];
    magnitude += fabs(a) * s->abs_b[i];
  }
  double error = fabs(left - right);
  double bound = gamma_k(c) * magnitude + (double)(c->n + 2 * c->k) * DBL_EPSILON * magnitude +
                 (c->type == INT8 ? 0 : (double)c->n * (double)c->k * FLT_MIN);
  if (error <= bound) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK,
                 "gemm %s %zux%zux%zu (%s): row %zu fails Freivalds' check; error %.3g, bound %.3g",
                 TYPES[c->type], c->m, c->n, c->k, s->kernel->variant, row, error, bound);
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  gemm_state *s = state;
  const gemm_case *c = &s->cases[index];
  uint32_t random[SAMPLED_ROWS * (SAMPLED_COLUMNS + 1) + 1];
  zh_random_fill(random, sizeof random / sizeof *random, s->job->seed, 1u << 21,
                 s->repeat++ * (sizeof random / sizeof *random));
  ZH_TRY(verify_samples(s, c, random, err));
  draw_signs(s, c, random);
  for (size_t row = 0; row < c->m; row++) ZH_TRY(verify_row(s, c, row, err));
  /* A later repeat that writes nothing must not pass on this one's product. */
  memset(s->c, 0xff, s->c_bytes);
  return ZH_OK;
}

/* --- workload --- */

static zh_status read_shape(gemm_case *c, const char *text, zh_error *err) {
  char rest;
  if (sscanf(text, "%5zux%5zux%5zu%c", &c->m, &c->n, &c->k, &rest) == 3 && c->m >= 1 && c->n >= 1 &&
      c->k >= 1 && c->m <= SIDE_MAX && c->n <= SIDE_MAX && c->k <= SIDE_MAX)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "gemm: shape '%s': expected rows x columns x depth, such as 512x512x512, each 1 "
                 "to %d",
                 text, SIDE_MAX);
}

static void release(void *state) {
  drop_operands(state);
  free(state);
}

static zh_status add_cases(gemm_state *s, zh_error *err) {
  size_t i, k;
  json_t *type, *shape;
  json_array_foreach(json_object_get(s->job->parameters, "types"), i, type) {
    json_array_foreach(json_object_get(s->job->parameters, "shapes"), k, shape) {
      if (s->count == CASES_MAX)
        return zh_fail(err, ZH_ERR_INPUT, "gemm: at most %d shapes in all types", CASES_MAX);
      gemm_case *c = &s->cases[s->count++];
      for (c->type = 0; strcmp(TYPES[c->type], json_string_value(type)) != 0;) c->type++;
      ZH_TRY(read_shape(c, json_string_value(shape), err));
    }
    json_object_set_new(s->job->facts, json_string_value(type),
                        json_string(zh_gemm_best(json_string_value(type))->variant));
  }
  return ZH_OK;
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  gemm_state *s = calloc(1, sizeof *s);
  if (!s) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  *state = s;
  s->job = job;
  ZH_TRY(add_cases(s, err));
  s->current = s->count;
  *cases = s->count;
  return ZH_OK;
}

/* Each rank multiplies its own, equal matrices. */
static void describe(const void *state, size_t index, zh_case *out) {
  const gemm_state *s = state;
  const gemm_case *c = &s->cases[index];
  const zh_gemm *kernel = zh_gemm_best(TYPES[c->type]);
  *out = (zh_case){.kind = ZH_SAMPLE_RATE,
                   .work = 2.0 * (double)c->m * (double)c->n * (double)c->k * s->job->comm->size,
                   .peak_per_unit = 1,
                   .more_is_better = true};
  snprintf(out->unit, sizeof out->unit, "%s", c->type == INT8 ? "OP/s" : "FLOP/s");
  snprintf(out->metric, sizeof out->metric, "%s_%zux%zux%zu", TYPES[c->type], c->m, c->n, c->k);
  snprintf(out->peak, sizeof out->peak, "compute/%s_all_cores", kernel->peak);
}

static void multiply(void *user, int thread, int threads) {
  gemm_state *s = user;
  const gemm_case *c = &s->cases[s->current];
  size_t begin, end;
  zh_share(&begin, &end, c->m, 1, thread, threads);
  if (begin < end) s->kernel->run(s->c, s->a, s->b, c->m, c->n, c->k, begin, end);
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  gemm_state *s = state;
  (void)warmup;
  ZH_TRY(take_operands(s, index, err));
  int64_t begin = zh_now_ns();
  zh_threads_run(s->job->threads, multiply, s);
  *sample = (double)(zh_now_ns() - begin);
  return ZH_OK;
}

static const zh_parameter PARAMETERS[] = {{.name = "types",
                                           .kind = ZH_PARAMETER_WORDS,
                                           .fallback = "[fp32, bf16, int8]",
                                           .words = TYPES,
                                           .help = "element types"},
                                          {.name = "shapes",
                                           .kind = ZH_PARAMETER_WORDS,
                                           .fallback = "[256x256x256]",
                                           .help = "rows x columns x depth of the products"},
                                          {.name = NULL}};

static const zh_metric METRICS[] = {
    {"fp32_*", "FLOP/s"}, {"bf16_*", "FLOP/s"}, {"int8_*", "OP/s"}, {NULL, NULL}};

const zh_workload zh_workload_gemm = {.name = "gemm",
                                      .summary_zh = "矩阵乘：fp32、bf16、int8，逐一核对结果",
                                      .summary_en =
                                          "matrix products in fp32, bf16 and int8, verified",
                                      .parameters = PARAMETERS,
                                      .ranks_min = 1,
                                      .prepare = prepare,
                                      .describe = describe,
                                      .run = run,
                                      .verify = verify,
                                      .release = release,
                                      .metrics = METRICS};
