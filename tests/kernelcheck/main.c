#include "tests/kernelcheck/cases.h"
#include "tests/kernelcheck/check.h"
#include "tests/kernelcheck/device.h"
#include "tests/kernelcheck/timing.h"

#include "core/philox.h"
#include "core/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const zh_dtype weight_types[] = {ZH_F32,  ZH_F16,    ZH_BF16,   ZH_Q8_0, ZH_Q4_0, ZH_Q4_1,
                                 ZH_Q5_0, ZH_Q5_1,   ZH_Q4_K,   ZH_Q5_K, ZH_Q6_K, ZH_Q2_K,
                                 ZH_Q3_K, ZH_IQ4_NL, ZH_IQ4_XS, ZH_MXFP4};
const size_t weight_type_count = sizeof weight_types / sizeof *weight_types;

static int failures, lines;

void check_report(const char *op, const char *variant, const char *shape, double worst) {
  bool failed = !(worst <= 1);
  failures += failed;
  lines++;
  printf("%-16s %-14s %-44s %9.3g%s\n", op, variant, shape, worst, failed ? "  FAILED" : "");
}

int check_failures(void) {
  return failures;
}

double gamma_of(double roundings) {
  return roundings * 0x1p-24 / (1 - roundings * 0x1p-24);
}

double worse(double worst, double value, double exact, double bound) {
  double error = fabs(value - exact);
  if (isnan(error)) return INFINITY;
  if (error == 0) return worst;
  return fmax(worst, error / bound);
}

double unless_equal(double worst, const void *a, const void *b, size_t bytes) {
  return memcmp(a, b, bytes) == 0 ? worst : INFINITY;
}

double exact_dot(double *size, const float *a, const float *b, size_t count) {
  enum { LANES = 8 };
  double sums[LANES] = {0}, sizes[LANES] = {0}, sum = 0;
  size_t whole = count / LANES * LANES;
  for (size_t i = 0; i < whole; i += LANES)
    for (size_t lane = 0; lane < LANES; lane++) {
      double term = (double)a[i + lane] * b[i + lane];
      sums[lane] += term;
      sizes[lane] += fabs(term);
    }
  for (size_t i = whole; i < count; i++) {
    sums[i - whole] += (double)a[i] * b[i];
    sizes[i - whole] += fabs((double)a[i] * b[i]);
  }
  *size = 0;
  for (size_t lane = 0; lane < LANES; lane++) {
    sum += sums[lane];
    *size += sizes[lane];
  }
  return sum;
}

void *zeroed(size_t bytes) {
  size_t whole = (bytes + 127) & ~(size_t)63;
  void *p = aligned_alloc(64, whole);
  if (!p) exit(3);
  return memset(p, 0, whole);
}

static uint64_t stream;

float *normal_floats(size_t count, float scale) {
  float *p = zeroed(count * sizeof *p);
  zh_normal_fill(p, count, 20261121, stream++, 0, scale);
  return p;
}

void *random_bytes(size_t bytes) {
  uint32_t *p = zeroed(bytes);
  zh_random_fill(p, bytes / 4 + 1, 20261121, stream++, 0);
  return p;
}

/* Offsets of the f16 scales in a block; -1 where there is no more. */
static void scale_offsets(int out[2], zh_dtype type) {
  bool two = type == ZH_Q4_1 || type == ZH_Q5_1 || type == ZH_Q4_K || type == ZH_Q5_K;
  out[0] = type == ZH_Q6_K ? 208 : type == ZH_Q2_K ? 80 : type == ZH_Q3_K ? 108 : 0;
  out[1] = two ? 2 : type == ZH_Q2_K ? 82 : -1;
}

static void set_scales(uint8_t *block, zh_dtype type) {
  int offsets[2];
  if (type == ZH_MXFP4) *block = (uint8_t)(118 + *block % 8); /* 2^-9 … 2^-2 */
  if (type == ZH_MXFP4) return;
  scale_offsets(offsets, type);
  for (int i = 0; i < 2; i++) {
    if (offsets[i] < 0) continue;
    float z;
    zh_normal_fill(&z, 1, 7, stream++, 0, 0.02f);
    uint16_t bits = zh_f32_to_f16(z);
    memcpy(block + offsets[i], &bits, sizeof bits);
  }
}

void random_weights(void *p, zh_dtype type, size_t elements) {
  const zh_dtype_info *info = zh_dtype_find((uint32_t)type);
  if (info->block_elements == 1) {
    float *values = normal_floats(elements, 1);
    for (size_t i = 0; i < elements; i++) {
      uint16_t half = type == ZH_F16 ? zh_f32_to_f16(values[i]) : zh_f32_to_bf16(values[i]);
      memcpy((char *)p + i * info->block_bytes, type == ZH_F32 ? (void *)&values[i] : &half,
             info->block_bytes);
    }
    free(values);
    return;
  }
  size_t blocks = elements / info->block_elements, bytes = blocks * info->block_bytes;
  void *noise = random_bytes(bytes);
  memcpy(p, noise, bytes);
  free(noise);
  for (size_t b = 0; b < blocks; b++) set_scales((uint8_t *)p + b * info->block_bytes, type);
}

/* --- what the words ask for --- */

static void check_cases(const kernel_case *only) {
  printf("%-16s %-14s %-44s %9s\n", "operator", "variant", "shape", "error/bound");
  for (size_t i = 0; i < kernel_case_count; i++) {
    const kernel_case *c = &kernel_cases[i];
    if (only && c != only) continue;
    if (c->check) c->check();
    for (const zh_kernels *const *k = zh_kernels_all(); c->check_table && *k; k++)
      c->check_table(*k);
  }
  printf("%d checks, %d failed\n", lines, failures);
}

static void time_cases(const kernel_case *only, const char *type, int threads) {
  for (size_t i = 0; i < kernel_case_count; i++) {
    const kernel_case *c = &kernel_cases[i];
    /* Products are timed once: packed ones where there are, others for the other tables. */
    if (!only && strcmp(c->name, "matmul") == 0) continue;
    if (!only || c == only) c->time(c->name, type, threads);
  }
}

/* Whose name was asked for; false where there are none of that name. */
static bool kernels_asked(void) {
  zh_error err = ZH_ERROR_INIT;
  const char *missing;
  if (zh_kernels_asked(&missing, &err) != ZH_OK) {
    fprintf(stderr, "zhiheng-kernelcheck: %s\n", err.message);
    return false;
  }
  if (missing)
    fprintf(stderr,
            "this processor cannot run the kernels '%s', which ZH_CPU asks for: '%s' are best\n",
            missing, zh_kernels_best()->name);
  return true;
}

static int help(void) {
  printf(
      "zhiheng-kernelcheck: are the kernels right, how near the machine's limits do they come, "
      "and which run here?\n\n"
      "  zhiheng-kernelcheck [OPERATOR]\n"
      "      Holds every variant that this processor can run against fp64, with bounds derived\n"
      "      from the roundings; prints error / bound, 1 at most. Exit status 1 where one fails.\n"
      "  zhiheng-kernelcheck --bench [OPERATOR [TYPE [THREADS]]] [--json]\n"
      "      Times passes beside a plain read of as many bytes and a peak loop, in turn; \"of "
      "limit\"\n"
      "      is the longer of (bytes / read) and (operations / peak), divided by the time. Cold:\n"
      "      from memory; warm: from a second-level cache. THREADS: 1 where it is not said.\n"
      "  zhiheng-kernelcheck --support [--json]\n"
      "      Who computes each operator and type, with each table of kernels.\n"
      "  zhiheng-kernelcheck --device [--module FILE] [--bench] [OPERATOR]\n"
      "      Holds the operators of an accelerator against fp64; FILE: its module, else\n"
      "      libzhiheng-cuda.so. Exit status 1 where there is no device, too. With --bench: the "
      "time of products,\n"
      "      by experts too (grouped), attention and rows by events, weights cold, beside a plain "
      "read in\n      the same run. ZH_GPU_PRODUCT: one variant of products of many tokens "
      "alone.\n\n"
      "ZH_CPU=ref|portable|avx2|avx512|vnni|amx imitates a processor that has no more; --bench "
      "then\n"
      "times that table alone. To see whether decoding is held by memory or by the kernels:\n"
      "      zhiheng-kernelcheck --bench multiply Q4_K 2\n\n"
      "operators:\n");
  for (size_t i = 0; i < kernel_case_count; i++) {
    printf("  %-11s %s\n  %-11s   ", kernel_cases[i].name, kernel_cases[i].about, "");
    for (size_t t = 0; kernel_cases[i].types[t]; t++) printf(" %s", kernel_cases[i].types[t]);
    printf("\n");
  }
  printf("\nof accelerators:");
  for (size_t i = 0; i < device_case_count; i++) printf(" %s", device_cases[i].name);
  printf("\n");
  return 0;
}

static int refuse(const char *sentence, const char *word, const char *const *words) {
  char guess[ZH_GUESS_BYTES];
  fprintf(stderr, "zhiheng-kernelcheck: ");
  fprintf(stderr, sentence, word);
  fprintf(stderr, "%s; --help names them all\n", zh_did_you_mean(guess, word, words));
  return 2;
}

typedef struct request {
  bool bench, support, json, device;
  const char *module, *of_device; /* an operator of device_cases */
  const kernel_case *only;
  const char *type;
  int threads;
} request;

static int read_device_word(request *r, const char *word) {
  const char *names[64] = {NULL};
  for (size_t i = 0; i < device_case_count && i < 63; i++) {
    names[i] = device_cases[i].name;
    if (!r->of_device && strcmp(word, names[i]) == 0) r->of_device = names[i];
  }
  return r->of_device && strcmp(r->of_device, word) == 0
             ? 0
             : refuse("accelerators have no operator '%s'", word, names);
}

/* OPERATOR [TYPE [THREADS]]; 0 or an exit status. */
static int read_word(request *r, const char *word) {
  if (r->device) return read_device_word(r, word);
  if (!r->only) {
    const char *names[64] = {NULL};
    for (size_t i = 0; i < kernel_case_count && i < 63; i++) names[i] = kernel_cases[i].name;
    r->only = kernel_case_find(word);
    return r->only ? 0 : refuse("there is no operator '%s'", word, names);
  }
  if (r->bench && !r->type) {
    for (size_t t = 0; r->only->types[t]; t++)
      if (strcmp(r->only->types[t], word) == 0) r->type = r->only->types[t];
    return r->type ? 0 : refuse("the operator has no type '%s'", word, r->only->types);
  }
  char *end;
  long threads = strtol(word, &end, 10);
  if (!r->bench || r->threads || *end || threads < 1 || threads > 4096)
    return refuse(r->bench && !r->threads ? "THREADS is a number from 1 to 4096, not '%s'"
                                          : "one word too many: '%s'",
                  word, (const char *const[]){NULL});
  r->threads = (int)threads;
  return 0;
}

int main(int argc, char **argv) {
  static const char *const options[] = {"--bench",  "--support", "--json", "--device",
                                        "--module", "--help",    NULL};
  request r = {0};
  setvbuf(stdout, NULL, _IOLBF, 0); /* what was found stays where a device then hangs */
  for (int i = 1; i < argc; i++) {
    const char *word = argv[i];
    int status = 0;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return help();
    if (strcmp(word, "--bench") == 0)
      r.bench = true;
    else if (strcmp(word, "--support") == 0)
      r.support = true;
    else if (strcmp(word, "--json") == 0)
      r.json = true;
    else if (strcmp(word, "--device") == 0)
      r.device = true;
    else if (strcmp(word, "--module") == 0 && i + 1 < argc)
      r.module = argv[++i];
    else if (word[0] == '-')
      status = refuse("there is no option '%s'", word, options);
    else
      status = read_word(&r, word);
    if (status) return status;
  }
  if (r.bench + r.support > 1 || (r.json && !r.bench && !r.support) || (r.support && r.only)) {
    fprintf(stderr,
            "zhiheng-kernelcheck: --bench and --support exclude each other, --json goes with "
            "either, and --support takes no operator; --help shows what there is\n");
    return 2;
  }
  if (r.device ? r.support || r.json || r.only : r.module != NULL) {
    fprintf(stderr,
            "zhiheng-kernelcheck: --module goes with --device, which comes before its operator and "
            "without other options; --help shows what there is\n");
    return 2;
  }
  if (r.module) setenv("ZH_DEVICE_MODULE", r.module, 1);
  if (r.device) return (r.bench ? bench_device : check_device)(r.of_device);
  if (!kernels_asked()) return 2;
  if (r.support) {
    print_support(r.json);
  } else if (r.bench) {
    timing_begin(r.json);
    time_cases(r.only, r.type, r.threads ? r.threads : 1);
    timing_end();
  } else {
    check_cases(r.only);
  }
  return failures ? 1 : 0;
}
