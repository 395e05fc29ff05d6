/* Matrix products by cuBLASLt, which is looked up at run time and never needed. Its few functions and numbers are
 * declared here, as its public reference gives them, so that no header is needed either.
 *
 * cuBLAS counts columns first: our rows without gaps are its columns. d[m][n] = a[m][k] b[n][k] is its D (n x m) =
 * transposed (k x n matrix b) times (k x m matrix a): TN, the only order that fp8 has on Hopper. */
#include <dlfcn.h>
#include <new>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.cuh"

enum { PROPOSALS_MAX = 32, TRIALS = 4 };

/* --- the library --- */

typedef void *lt_object;
struct lt_algorithm {
  uint64_t data[8];
};
struct lt_proposal {
  lt_algorithm algorithm;
  size_t workspace_bytes;
  int status;
  float waves;
  int reserved[4];
};
enum { LT_R_32F = 0, LT_R_64F = 1, LT_R_16F = 2, LT_R_8I = 3, LT_R_32I = 10, LT_R_16BF = 14, LT_R_8F_E4M3 = 28 };
enum { LT_COMPUTE_32F = 68, LT_COMPUTE_64F = 70, LT_COMPUTE_32I = 72, LT_COMPUTE_32F_FAST_TF32 = 77 };
enum { LT_TRANSPOSE_A = 3, LT_A_SCALE_POINTER = 17, LT_B_SCALE_POINTER = 18, LT_FAST_ACCUMULATION = 25 };
enum { LT_MAX_WORKSPACE_BYTES = 1, LT_OP_T = 1, LT_NOT_SUPPORTED = 15 };

struct lt_library {
  int (*create)(lt_object *);
  size_t (*version)(void);
  int (*product_create)(lt_object *, int compute, int scale);
  int (*product_destroy)(lt_object);
  int (*product_set)(lt_object, int attribute, const void *, size_t);
  int (*layout_create)(lt_object *, int type, uint64_t rows, uint64_t columns, int64_t leading);
  int (*layout_destroy)(lt_object);
  int (*preference_create)(lt_object *);
  int (*preference_destroy)(lt_object);
  int (*preference_set)(lt_object, int attribute, const void *, size_t);
  int (*propose)(lt_object, lt_object product, lt_object a, lt_object b, lt_object c, lt_object d, lt_object preference,
                 int wanted, lt_proposal *, int *found);
  int (*multiply)(lt_object, lt_object product, const void *alpha, const void *a, lt_object, const void *b, lt_object,
                  const void *beta, const void *c, lt_object, void *d, lt_object, const lt_algorithm *, void *workspace,
                  size_t workspace_bytes, cudaStream_t);
  lt_object handle;
  const char *missing; /* what it lacks; NULL: whole */
};

static void *open_library(void) {
  static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"};
  const char *asked = getenv("ZH_CUBLASLT");
  if (asked && *asked) return dlopen(asked, RTLD_NOW | RTLD_LOCAL);
  void *library = nullptr;
  for (const char *name : names)
    if (!library) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  return library;
}

static lt_library load_library(void) {
  lt_library lib = {};
  void *file = open_library();
  const struct {
    const char *name;
    void *function;
  } symbols[] = {{"cublasLtCreate", &lib.create},
                 {"cublasLtGetVersion", &lib.version},
                 {"cublasLtMatmulDescCreate", &lib.product_create},
                 {"cublasLtMatmulDescDestroy", &lib.product_destroy},
                 {"cublasLtMatmulDescSetAttribute", &lib.product_set},
                 {"cublasLtMatrixLayoutCreate", &lib.layout_create},
                 {"cublasLtMatrixLayoutDestroy", &lib.layout_destroy},
                 {"cublasLtMatmulPreferenceCreate", &lib.preference_create},
                 {"cublasLtMatmulPreferenceDestroy", &lib.preference_destroy},
                 {"cublasLtMatmulPreferenceSetAttribute", &lib.preference_set},
                 {"cublasLtMatmulAlgoGetHeuristic", &lib.propose},
                 {"cublasLtMatmul", &lib.multiply}};
  if (!file) {
    lib.missing = "the library libcublasLt.so (of CUDA 12 or 13) is not found";
    return lib;
  }
  for (const auto &symbol : symbols) {
    void *found = dlsym(file, symbol.name);
    memcpy(symbol.function, &found, sizeof found);
    if (!found) lib.missing = symbol.name;
  }
  return lib;
}

/* Loaded once and kept. */
static lt_library *library(void) {
  static lt_library lib = load_library();
  return &lib;
}

static zh_status need_library(zh_error *err) {
  const char *missing = library()->missing;
  if (!missing) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "no matrix products of the vendor: cuBLASLt lacks something: %s", missing);
}

zh_status zh_cuda_gemm_library(char *out, size_t capacity, zh_error *err) {
  ZH_TRY(need_library(err));
  size_t v = library()->version();
  size_t unit = v >= 100000 ? 10000 : 1000; /* 13.1.0.3 is 130100; 11.x counted in thousands */
  snprintf(out, capacity, "cuBLASLt %zu.%zu.%zu", v / unit, v % unit / 100, v % 100);
  return ZH_OK;
}

/* --- one product --- */

struct gemm_form {
  int in, out, compute, scale;
};
static gemm_form form_of(zh_device_gemm_type type) {
  switch (type) {
  case ZH_GEMM_FP64: return {LT_R_64F, LT_R_64F, LT_COMPUTE_64F, LT_R_64F};
  case ZH_GEMM_FP32: return {LT_R_32F, LT_R_32F, LT_COMPUTE_32F, LT_R_32F};
  case ZH_GEMM_TF32: return {LT_R_32F, LT_R_32F, LT_COMPUTE_32F_FAST_TF32, LT_R_32F};
  case ZH_GEMM_BF16: return {LT_R_16BF, LT_R_16BF, LT_COMPUTE_32F, LT_R_32F};
  case ZH_GEMM_FP16: return {LT_R_16F, LT_R_16F, LT_COMPUTE_32F, LT_R_32F};
  case ZH_GEMM_FP8:
  case ZH_GEMM_FP8_FAST: return {LT_R_8F_E4M3, LT_R_16BF, LT_COMPUTE_32F, LT_R_32F};
  default: return {LT_R_8I, LT_R_32I, LT_COMPUTE_32I, LT_R_32I};
  }
}

union gemm_factor {
  double f64;
  float f32;
  int32_t i32;
};

struct zh_device_gemm {
  zh_device_gemm_work work;
  lt_object product, layout_a, layout_b, layout_d;
  gemm_factor one, zero;
  lt_algorithm algorithm;
};

static zh_status lt_status(int status, const char *what, const zh_device_gemm_work *w, zh_error *err) {
  if (status == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "cuBLASLt failed in %s of %s %zux%zux%zu (status %d)%s", what,
                 zh_device_gemm_name(w->type), w->m, w->n, w->k, status,
                 status == LT_NOT_SUPPORTED ? ": this device does not support it" : "");
}

#define ZH_LT(call, what) ZH_TRY(lt_status((call), (what), &g->work, err))

static zh_status describe_scales(zh_device_gemm *g, zh_error *err) {
  const lt_library *lib = library();
  /* cuBLAS's A is our b. */
  const float *scale_a = g->work.scales + 1, *scale_b = g->work.scales;
  int8_t fast = g->work.type == ZH_GEMM_FP8_FAST;
  ZH_LT(lib->product_set(g->product, LT_A_SCALE_POINTER, &scale_a, sizeof scale_a), "setting a scale");
  ZH_LT(lib->product_set(g->product, LT_B_SCALE_POINTER, &scale_b, sizeof scale_b), "setting a scale");
  ZH_LT(lib->product_set(g->product, LT_FAST_ACCUMULATION, &fast, sizeof fast), "choosing the accumulation");
  return ZH_OK;
}

static zh_status describe(zh_device_gemm *g, zh_error *err) {
  lt_library *lib = library();
  gemm_form form = form_of(g->work.type);
  int32_t transpose = LT_OP_T;
  size_t m = g->work.m, n = g->work.n, k = g->work.k;
  if (!lib->handle) ZH_LT(lib->create(&lib->handle), "starting the library");
  ZH_LT(lib->product_create(&g->product, form.compute, form.scale), "describing the product");
  ZH_LT(lib->product_set(g->product, LT_TRANSPOSE_A, &transpose, sizeof transpose), "describing the product");
  ZH_LT(lib->layout_create(&g->layout_a, form.in, k, n, (int64_t)k), "describing a matrix");
  ZH_LT(lib->layout_create(&g->layout_b, form.in, k, m, (int64_t)k), "describing a matrix");
  ZH_LT(lib->layout_create(&g->layout_d, form.out, n, m, (int64_t)n), "describing a matrix");
  if (form.scale == LT_R_64F) g->one.f64 = 1;
  if (form.scale == LT_R_32F) g->one.f32 = 1;
  if (form.scale == LT_R_32I) g->one.i32 = 1;
  return form.in == LT_R_8F_E4M3 ? describe_scales(g, err) : ZH_OK;
}

static int multiply(zh_device *device, const zh_device_gemm *g, const lt_algorithm *algorithm) {
  const lt_library *lib = library();
  const zh_device_gemm_work *w = &g->work;
  return lib->multiply(lib->handle, g->product, &g->one, w->b, g->layout_a, w->a, g->layout_b, &g->zero, w->d,
                       g->layout_d, w->d, g->layout_d, algorithm, w->workspace, w->workspace_bytes, device->stream);
}

static zh_status propose(zh_device_gemm *g, lt_proposal *list, int wanted, int *found, zh_error *err) {
  const lt_library *lib = library();
  lt_object preference = nullptr;
  uint64_t bytes = g->work.workspace_bytes;
  ZH_LT(lib->preference_create(&preference), "preparing the choice");
  int status = lib->preference_set(preference, LT_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
  if (status == 0)
    status = lib->propose(lib->handle, g->product, g->layout_a, g->layout_b, g->layout_d, g->layout_d, preference,
                          wanted, list, found);
  lib->preference_destroy(preference);
  ZH_LT(status, "asking for algorithms");
  if (*found > 0) return ZH_OK;
  return lt_status(LT_NOT_SUPPORTED, "asking for algorithms", &g->work, err);
}

/* The fastest of a few runs; a proposal that does not run is no candidate. */
static zh_status time_proposal(zh_device *device, const zh_device_gemm *g, const lt_proposal *p, double *best,
                               zh_device_event *const events[2], zh_error *err) {
  *best = 0;
  for (int trial = 0; trial < TRIALS; ++trial) {
    double seconds = 0;
    ZH_TRY(zh_cuda_record(device, events[0], err));
    if (p->status != 0 || multiply(device, g, &p->algorithm) != 0) {
      cudaGetLastError();
      *best = 0;
      return ZH_OK;
    }
    ZH_TRY(zh_cuda_record(device, events[1], err));
    ZH_TRY(zh_cuda_elapsed_s(device, &seconds, events[0], events[1], err));
    if (trial == 1 || (trial > 1 && seconds < *best)) *best = seconds; /* the first warms up */
  }
  if (*best <= 0) *best = 1e-9; /* shorter than the events tell */
  return ZH_OK;
}

static zh_status choose(zh_device *device, zh_device_gemm *g, int wanted, zh_device_gemm_facts *facts, zh_error *err) {
  lt_proposal list[PROPOSALS_MAX] = {};
  zh_device_event *events[2] = {};
  int found = 0;
  facts->chosen = -1;
  zh_status status = propose(g, list, wanted < PROPOSALS_MAX ? wanted : PROPOSALS_MAX, &found, err);
  for (auto &event : events)
    if (status == ZH_OK) status = zh_cuda_event(device, &event, err);
  for (int i = 0; status == ZH_OK && i < found; ++i) {
    double seconds = 0;
    status = time_proposal(device, g, &list[i], &seconds, events, err);
    if (status != ZH_OK || seconds <= 0) continue;
    if (facts->candidates++ == 0) facts->first_s = seconds;
    if (facts->chosen >= 0 && seconds >= facts->best_s) continue;
    facts->chosen = i;
    facts->best_s = seconds;
    facts->workspace_bytes = list[i].workspace_bytes;
    g->algorithm = list[i].algorithm;
  }
  for (auto *event : events) zh_cuda_release_event(device, event);
  if (status == ZH_OK && facts->chosen < 0) status = lt_status(LT_NOT_SUPPORTED, "running an algorithm", &g->work, err);
  return status;
}

zh_status zh_cuda_gemm_choose(zh_device *device, zh_device_gemm **out, const zh_device_gemm_work *work, int proposals,
                              zh_device_gemm_facts *facts, zh_error *err) {
  *out = nullptr;
  *facts = {};
  ZH_TRY(need_library(err));
  zh_device_gemm *g = new (std::nothrow) zh_device_gemm();
  if (!g) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a matrix product");
  g->work = *work;
  facts->library_version = library()->version();
  zh_status status = describe(g, err);
  if (status == ZH_OK) status = choose(device, g, proposals, facts, err);
  if (status != ZH_OK) {
    zh_cuda_release_gemm(g);
    return status;
  }
  *out = g;
  return ZH_OK;
}

zh_status zh_cuda_gemm(zh_device *device, zh_device_gemm *g, zh_error *err) {
  return lt_status(multiply(device, g, &g->algorithm), "computing", &g->work, err);
}

void zh_cuda_release_gemm(zh_device_gemm *g) {
  if (!g) return;
  const lt_library *lib = library();
  if (g->layout_a) lib->layout_destroy(g->layout_a);
  if (g->layout_b) lib->layout_destroy(g->layout_b);
  if (g->layout_d) lib->layout_destroy(g->layout_d);
  if (g->product) lib->product_destroy(g->product);
  delete g;
}
