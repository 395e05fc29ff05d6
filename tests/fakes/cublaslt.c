/* cuBLASLt's few functions that the module uses, multiplying plainly on the shim's device: what was
 * described is what is computed, so a wrong layout, type or scale gives a wrong product. Tests name
 * it by ZH_CUBLASLT; ZH_FAKE_CUBLASLT is a word:
 *
 *   wrong   every element is larger by 1000
 *   none    proposes no algorithm
 *   broken  proposes algorithms that do not run, but for the last
 *   busy    fails inside (14) when it is asked for algorithms
 *   memory  has no memory (3) for that
 *   tired   computes what is tried (three algorithms, four times), and fails (13) then
 *
 * It reaches the device's memory by the module itself (ZH_DEVICE_MODULE), at once: the caller has
 * waited for its operands. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/halves.h"
#include "kernels/device.h"

#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* they are found by name */
#define API __attribute__((visibility("default")))
enum {
  OK = 0,
  NOT_READY = 1,
  ALLOCATION = 3,
  INVALID = 7,
  FAILED = 13,
  INTERNAL = 14,
  NOT_SUPPORTED = 15
};
enum { F32 = 0, F64 = 1, F16 = 2, I8 = 3, I32 = 10, BF16 = 14, E4M3 = 28 };
enum { WORKSPACE = 32 << 20 };

typedef struct product {
  int compute, scale, transpose_a, transpose_b;
  const float *scale_a, *scale_b;
  int8_t fast;
} product;
typedef struct layout {
  int type;
  uint64_t rows, columns;
  int64_t leading;
} layout;
typedef struct preference {
  uint64_t workspace;
  uint32_t alignment[2]; /* of c, d; 0: not said */
} preference;
typedef struct algorithm {
  uint64_t data[8];
} algorithm;
typedef struct proposal {
  algorithm chosen;
  size_t workspace;
  int status;
  float waves;
  int reserved[4];
} proposal;

static const zh_device_api *api;
static zh_device *device;

static int is_word(const char *word) {
  const char *text = getenv("ZH_FAKE_CUBLASLT");
  return text && strcmp(text, word) == 0;
}

API int cublasLtCreate(void **handle) {
  const zh_device_api *(*table)(void) = NULL;
  const char *path = getenv("ZH_DEVICE_MODULE"); /* else where an archive has it */
  void *module = dlopen(path ? path : getenv("ZH_FAKE_MODULE"), RTLD_NOW);
  void *symbol = module ? dlsym(module, "zh_device_module") : NULL;
  memcpy(&table, &symbol, sizeof table);
  if (!table) return NOT_READY;
  api = table();
  *handle = &api;
  return api->open(&device, 0, NULL) == ZH_OK ? OK : NOT_READY;
}
API size_t cublasLtGetVersion(void) {
  return 130100;
}

API int cublasLtMatmulDescCreate(void **out, int compute, int scale) {
  product *p = calloc(1, sizeof *p);
  *p = (product){.compute = compute, .scale = scale};
  *out = p;
  return OK;
}
API int cublasLtMatmulDescDestroy(void *p) {
  free(p);
  return OK;
}
API int cublasLtMatmulDescSetAttribute(void *of, int attribute, const void *value, size_t bytes) {
  product *p = of;
  if (attribute == 3 && bytes == 4)
    memcpy(&p->transpose_a, value, bytes);
  else if (attribute == 4 && bytes == 4)
    memcpy(&p->transpose_b, value, bytes);
  else if (attribute == 17 && bytes == 8)
    memcpy(&p->scale_a, value, bytes);
  else if (attribute == 18 && bytes == 8)
    memcpy(&p->scale_b, value, bytes);
  else if (attribute == 25 && bytes == 1)
    memcpy(&p->fast, value, bytes);
  else
    return INVALID;
  return OK;
}
API int cublasLtMatrixLayoutCreate(void **out, int type, uint64_t rows, uint64_t columns,
                                   int64_t leading) {
  layout *l = calloc(1, sizeof *l);
  *l = (layout){type, rows, columns, leading};
  *out = l;
  return OK;
}
API int cublasLtMatrixLayoutDestroy(void *l) {
  free(l);
  return OK;
}
API int cublasLtMatmulPreferenceCreate(void **out) {
  *out = calloc(1, sizeof(preference));
  return OK;
}
API int cublasLtMatmulPreferenceDestroy(void *p) {
  free(p);
  return OK;
}
API int cublasLtMatmulPreferenceSetAttribute(void *p, int attribute, const void *value,
                                             size_t bytes) {
  preference *of = p;
  uint32_t word = 0;
  if (attribute == 1 && bytes == 8) {
    memcpy(&of->workspace, value, bytes);
    return OK;
  }
  if (bytes != 4) return INVALID;
  memcpy(&word, value, bytes);
  if (attribute == 3) return word == 0 ? OK : INVALID; /* no sums of parts */
  if (attribute != 7 && attribute != 8) return INVALID;
  of->alignment[attribute - 7] = word;
  return OK;
}

/* The combinations of the library's reference that the module asks for. */
static int is_supported(const product *p, const layout *a, const layout *d) {
  static const int known[][4] = {{F64, F64, 70, F64},   {F32, F32, 68, F32},  {F32, F32, 77, F32},
                                 {BF16, BF16, 68, F32}, {BF16, F32, 68, F32}, {F16, F16, 68, F32},
                                 {E4M3, BF16, 68, F32}, {I8, I32, 72, I32}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i][0] == a->type && known[i][1] == d->type && known[i][2] == p->compute &&
        known[i][3] == p->scale)
      return a->type != E4M3 || (p->scale_a && p->scale_b && p->transpose_a && !p->transpose_b);
  return 0;
}

API int cublasLtMatmulAlgoGetHeuristic(void *handle, void *of, void *a, void *b, void *c, void *d,
                                       void *p, int wanted, proposal *out, int *found) {
  *found = 0;
  (void)handle, (void)b;
  if (c != d || ((preference *)p)->workspace != WORKSPACE) return INVALID;
  if (is_word("busy")) return INTERNAL;
  if (is_word("memory")) return ALLOCATION;
  if (!is_supported(of, a, d) || is_word("none")) return NOT_SUPPORTED;
  *found = wanted < 3 ? wanted : 3;
  for (int i = 0; i < *found; i++) {
    out[i] = (proposal){.workspace = 1024};
    out[i].chosen.data[0] = (uint64_t)(is_word("broken") && i + 1 < *found ? 99 : i);
  }
  return OK;
}

/* --- computing --- */

static size_t bytes_of(int type) {
  return type == F64 ? 8 : type == F32 || type == I32 ? 4 : type == F16 || type == BF16 ? 2 : 1;
}

static double e4m3(uint8_t bits) {
  int exponent = bits >> 3 & 15, mantissa = bits & 7;
  double size = exponent ? (8 + mantissa) / 8.0 : mantissa / 8.0;
  for (int i = exponent ? exponent : 1; i < 7; i++) size /= 2;
  for (int i = exponent; i > 7; i--) size *= 2;
  return bits & 128 ? -size : size;
}

static double value(const void *in, int type, size_t i) {
  switch (type) {
  case F64:
    return ((const double *)in)[i];
  case F32:
    return (double)((const float *)in)[i];
  case F16:
    return (double)zh_f16_to_f32(((const uint16_t *)in)[i]);
  case BF16:
    return (double)zh_bf16_to_f32(((const uint16_t *)in)[i]);
  case E4M3:
    return e4m3(((const uint8_t *)in)[i]);
  default:
    return ((const int8_t *)in)[i];
  }
}

static void put(void *out, int type, size_t i, double x) {
  if (type == F64) ((double *)out)[i] = x;
  if (type == F32) ((float *)out)[i] = (float)x;
  if (type == I32) ((int32_t *)out)[i] = (int32_t)x;
  if (type == F16) ((uint16_t *)out)[i] = zh_f32_to_f16((float)x);
  if (type == BF16) ((uint16_t *)out)[i] = zh_f32_to_bf16((float)x);
}

/* Streams of the caller are not this one's: giving memory back waits for all of them. */
static void wait_for_all(void) {
  void *at = NULL;
  if (api->alloc(device, &at, 1, "waiting", NULL) == ZH_OK) api->release(device, at);
}

static void *fetch(const void *from, size_t bytes) {
  void *here = malloc(bytes);
  if (api->download(device, here, from, bytes, NULL) != ZH_OK || api->wait(device, NULL) != ZH_OK)
    memset(here, 0xFF, bytes);
  return here;
}

static double factor(const float *scale) {
  float x = 1;
  float *here = scale ? fetch(scale, sizeof x) : NULL;
  if (here) x = *here;
  free(here);
  return (double)x;
}

/* Element (row, column) of a matrix that was described column by column. */
static size_t at(const layout *l, uint64_t row, uint64_t column) {
  return (size_t)(row + column * (uint64_t)l->leading);
}

static int multiplied;

API int cublasLtMatmul(void *handle, void *of, const void *alpha, const void *a, void *la,
                       const void *b, void *lb, const void *beta, const void *c, void *lc, void *d,
                       void *ld, const algorithm *chosen, void *workspace, size_t workspace_bytes,
                       void *stream) {
  const product *p = of;
  const layout *of_a = la, *of_b = lb, *of_d = ld;
  uint64_t m = p->transpose_a ? of_a->columns : of_a->rows;
  uint64_t k = p->transpose_a ? of_a->rows : of_a->columns;
  uint64_t n = p->transpose_b ? of_b->rows : of_b->columns;
  (void)handle, (void)stream;
  wait_for_all();
  if (chosen->data[0] == 99) return NOT_SUPPORTED;
  if (is_word("tired") && ++multiplied > 3 * 4) return FAILED;
  if (k != (p->transpose_b ? of_b->columns : of_b->rows) || of_d->rows != m || of_d->columns != n ||
      c != d || lc != ld || !workspace || workspace_bytes != WORKSPACE)
    return INVALID;
  double by = p->scale == F64   ? *(const double *)alpha
              : p->scale == F32 ? (double)*(const float *)alpha
                                : *(const int32_t *)alpha;
  double keeps = p->scale == F32 ? (double)*(const float *)beta : 0;
  by *= factor(p->scale_a) * factor(p->scale_b);
  void *x = fetch(a, (size_t)of_a->leading * of_a->columns * bytes_of(of_a->type));
  void *y = fetch(b, (size_t)of_b->leading * of_b->columns * bytes_of(of_b->type));
  size_t bytes = ((size_t)of_d->leading * (of_d->columns - 1) + of_d->rows) * bytes_of(of_d->type);
  void *out = fetch(d, bytes); /* what lies between its columns stays */
  for (uint64_t i = 0; i < m; i++)
    for (uint64_t j = 0; j < n; j++) {
      double sum = 0;
      for (uint64_t t = 0; t < k; t++)
        sum += value(x, of_a->type, p->transpose_a ? at(of_a, t, i) : at(of_a, i, t)) *
               value(y, of_b->type, p->transpose_b ? at(of_b, j, t) : at(of_b, t, j));
      if (keeps != 0) sum += keeps / by * value(out, of_d->type, at(of_d, i, j));
      put(out, of_d->type, at(of_d, i, j), sum * by + (is_word("wrong") ? 1000 : 0));
    }
  int status = api->upload(device, d, out, bytes, NULL) == ZH_OK && api->wait(device, NULL) == ZH_OK
                   ? OK
                   : INVALID;
  free(x);
  free(y);
  free(out);
  return status;
}
