/* Opens cuBLASLt, describes a product to it, lets it choose an algorithm by time. */
#include <stdlib.h>
#include <string.h>

#include "cublaslt.cuh"
#include "library.cuh"

enum { PROPOSALS_MAX = 32, TRIALS = 4, DEVICES_MAX = 64 };

/* --- the library --- */

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
  const zh_symbol symbols[] = {{"cublasLtCreate", &lib.create},
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
  lib.missing = zh_find_symbols(file, symbols);
  return lib;
}

const lt_library *zh_lt_library(void) {
  static const lt_library lib = load_library();
  return &lib;
}

zh_status zh_lt_need(zh_error *err) {
  const char *missing = zh_lt_library()->missing;
  if (!missing) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING, "no matrix products of the vendor: cuBLASLt lacks something: %s", missing);
}

static lt_object handles[DEVICES_MAX];

int zh_lt_start(int index) {
  if (index < 0 || index >= DEVICES_MAX || !zh_cuda_succeeds(cudaSetDevice(index))) return LT_NOT_INITIALIZED;
  return handles[index] ? 0 : zh_lt_library()->create(&handles[index]);
}

/* --- one product --- */

/* What it has not for this device skips a step; a product that it refuses or stumbles over while choosing is that step's
 * failure; what fails in the middle stops the run. */
static zh_status kind_of(int status, bool computes) {
  switch (status) {
  case LT_ALLOC_FAILED: return ZH_ERR_MEMORY;
  case LT_NOT_INITIALIZED:
  case LT_ARCH_MISMATCH:
  case LT_NOT_SUPPORTED: return ZH_ERR_LACKING;
  case LT_INVALID_VALUE:
  case LT_EXECUTION_FAILED:
  case LT_INTERNAL_ERROR: return computes ? ZH_ERR_IO : ZH_ERR_CHECK;
  default: return ZH_ERR_IO;
  }
}

static zh_status fail(zh_status kind, int status, const char *what, const lt_product *p, zh_error *err) {
  return zh_fail(err, kind, "cuBLASLt failed in %s of %s %zux%zux%zu (status %d)%s", what, p->name, p->m,
                 p->n, p->k, status, status == LT_NOT_SUPPORTED ? ": this device does not support it" : "");
}

zh_status zh_lt_status(int status, const char *what, const lt_product *p, zh_error *err) {
  return status == 0 ? ZH_OK : fail(kind_of(status, false), status, what, p, err);
}

#define ZH_LT(call, what) ZH_TRY(zh_lt_status((call), (what), p, err))

zh_status zh_lt_describe(zh_device *device, lt_product *p, zh_error *err) {
  const lt_library *lib = zh_lt_library();
  int32_t transpose = LT_OP_T;
  ZH_LT(zh_lt_start(device->index), "starting the library");
  ZH_LT(lib->product_create(&p->product, p->compute, p->scale), "describing the product");
  ZH_LT(lib->product_set(p->product, LT_TRANSPOSE_A, &transpose, sizeof transpose), "describing the product");
  ZH_LT(lib->layout_create(&p->layout_a, p->in, p->k, p->n, p->b.leading), "describing a matrix");
  ZH_LT(lib->layout_create(&p->layout_b, p->in, p->k, p->m, p->a.leading), "describing a matrix");
  ZH_LT(lib->layout_create(&p->layout_d, p->out, p->n, p->m, p->d.leading), "describing a matrix");
  return ZH_OK;
}

static int multiply(zh_device *device, const lt_product *p, const lt_algorithm *algorithm) {
  const lt_library *lib = zh_lt_library();
  void *d = const_cast<void *>(p->d.at);
  return lib->multiply(handles[device->index], p->product, &p->alpha, p->b.at, p->layout_a, p->a.at, p->layout_b,
                       &p->beta, d, p->layout_d, d, p->layout_d, algorithm, p->workspace, p->workspace_bytes,
                       device->stream);
}

static int prefer(const lt_product *p, lt_object preference) {
  const lt_library *lib = zh_lt_library();
  uint64_t bytes = p->workspace_bytes;
  uint32_t none = 0;
  int status = lib->preference_set(preference, LT_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
  if (status == 0 && p->in_order) status = lib->preference_set(preference, LT_REDUCTION_SCHEMES, &none, sizeof none);
  for (int which = LT_ALIGNMENT_C; status == 0 && p->alignment && which <= LT_ALIGNMENT_D; ++which)
    status = lib->preference_set(preference, which, &p->alignment, sizeof p->alignment);
  return status;
}

static zh_status propose(const zh_device *device, const lt_product *p, lt_proposal *list, int wanted, int *found,
                         zh_error *err) {
  const lt_library *lib = zh_lt_library();
  lt_object preference = nullptr;
  ZH_LT(lib->preference_create(&preference), "preparing the choice");
  int status = prefer(p, preference);
  if (status == 0)
    status = lib->propose(handles[device->index], p->product, p->layout_a, p->layout_b, p->layout_d, p->layout_d,
                          preference, wanted, list, found);
  lib->preference_destroy(preference);
  ZH_LT(status, "asking for algorithms");
  if (*found > 0) return ZH_OK;
  return zh_lt_status(LT_NOT_SUPPORTED, "asking for algorithms", p, err);
}

/* The fastest of a few runs; a proposal that does not run is no candidate. */
static zh_status time_proposal(zh_device *device, const lt_product *p, const lt_proposal *proposal, double *best,
                               zh_device_event *const events[2], zh_error *err) {
  *best = 0;
  for (int trial = 0; trial < TRIALS; ++trial) {
    double seconds = 0;
    ZH_TRY(zh_cuda_record(device, events[0], err));
    if (proposal->status != 0 || multiply(device, p, &proposal->algorithm) != 0) {
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

static zh_status time_all(zh_device *device, lt_product *p, const lt_proposal *list, int found,
                          zh_device_gemm_facts *facts, zh_error *err) {
  zh_device_event *events[2] = {};
  zh_status status = ZH_OK;
  for (auto &event : events)
    if (status == ZH_OK) status = zh_cuda_event(device, &event, err);
  for (int i = 0; status == ZH_OK && i < found; ++i) {
    double seconds = 0;
    status = time_proposal(device, p, &list[i], &seconds, events, err);
    if (status != ZH_OK || seconds <= 0) continue;
    if (facts->candidates++ == 0) facts->first_s = seconds;
    if (facts->chosen >= 0 && seconds >= facts->best_s) continue;
    facts->chosen = i;
    facts->best_s = seconds;
    facts->workspace_bytes = list[i].workspace_bytes;
    p->algorithm = list[i].algorithm;
  }
  for (auto *event : events) zh_cuda_release_event(device, event);
  if (status == ZH_OK && facts->chosen < 0) status = zh_lt_status(LT_NOT_SUPPORTED, "running an algorithm", p, err);
  return status;
}

zh_status zh_lt_choose(zh_device *device, lt_product *p, int wanted, zh_device_gemm_facts *facts, zh_error *err) {
  lt_proposal list[PROPOSALS_MAX] = {};
  int found = 0;
  facts->chosen = -1;
  facts->library_version = zh_lt_library()->version();
  ZH_TRY(propose(device, p, list, wanted < 1 ? 1 : wanted < PROPOSALS_MAX ? wanted : PROPOSALS_MAX, &found, err));
  if (wanted > 0) return time_all(device, p, list, found, facts, err);
  p->algorithm = list[0].algorithm;
  return ZH_OK;
}

zh_status zh_lt_multiply(zh_device *device, const lt_product *p, zh_error *err) {
  int status = multiply(device, p, &p->algorithm);
  return status == 0 ? ZH_OK : fail(kind_of(status, true), status, "computing", p, err);
}

void zh_lt_release(lt_product *p) {
  const lt_library *lib = zh_lt_library();
  if (p->layout_a) lib->layout_destroy(p->layout_a);
  if (p->layout_b) lib->layout_destroy(p->layout_b);
  if (p->layout_d) lib->layout_destroy(p->layout_d);
  if (p->product) lib->product_destroy(p->product);
}
