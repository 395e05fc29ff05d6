#include "tests/kernelcheck/check.h"

#include "core/philox.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const zh_dtype weight_types[] = {ZH_F32,  ZH_F16,  ZH_BF16, ZH_Q8_0, ZH_Q4_0, ZH_Q4_1,
                                 ZH_Q5_0, ZH_Q5_1, ZH_Q4_K, ZH_Q5_K, ZH_Q6_K};
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
  out[0] = type == ZH_Q6_K ? 208 : 0;
  out[1] = two ? 2 : -1;
}

static void set_scales(uint8_t *block, zh_dtype type) {
  int offsets[2];
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

static void check_all(void) {
  printf("%-16s %-14s %-44s %9s\n", "operator", "variant", "shape", "error/bound");
  check_dequantize();
  check_pack();
  for (const zh_kernels *const *k = zh_kernels_all(); *k; k++) {
    check_matmul(*k);
    check_multiply(*k);
    check_small_kernels(*k);
    check_attention(*k);
  }
  check_multiply_without_bf16();
  check_memory();
  check_gemm();
  check_peaks();
  printf("%d checks, %d failed\n", lines, failures);
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
    printf("this processor cannot run the kernels '%s', which ZH_CPU asks for: '%s' are best\n",
           missing, zh_kernels_best()->name);
  return true;
}

int main(int argc, char **argv) {
  if (argc >= 3 && argc <= 4 && strcmp(argv[1], "--bench") == 0 &&
      strcmp(argv[2], "barrier") == 0) {
    bench_waiting(argc == 4 ? atoi(argv[3]) : 0);
    return 0;
  }
  bool bench = argc >= 2 && strcmp(argv[1], "--bench") == 0,
       matmul = bench && argc >= 3 && strcmp(argv[2], "matmul") == 0,
       attention = bench && argc >= 3 && strcmp(argv[2], "attention") == 0,
       packing = bench && argc >= 3 && argc <= 4 && strcmp(argv[2], "packing") == 0;
  if ((argc > 1 && !bench) || (argc > 2 && !matmul && !attention && !packing) || argc > 5) {
    fprintf(stderr, "usage: zhiheng-kernelcheck [--bench [matmul [TYPE [THREADS]] | attention "
                    "[f32|bf16|q8 [THREADS]] | packing [TYPE] | barrier [THREADS]]]\n");
    return 2;
  }
  if (!kernels_asked()) return 2;
  if (matmul) {
    int threads = argc == 5 ? atoi(argv[4]) : 1;
    bench_matmul_limits(argc >= 4 ? argv[3] : NULL, threads < 1 ? 1 : threads);
    return 0;
  }
  if (attention) {
    int threads = argc == 5 ? atoi(argv[4]) : 1;
    bench_attention(argc >= 4 ? argv[3] : NULL, threads < 1 ? 1 : threads);
    return 0;
  }
  if (packing) {
    bench_packing(argc == 4 ? argv[3] : NULL);
    return 0;
  }
  check_all();
  if (bench && failures == 0) bench_all();
  return failures ? 1 : 0;
}
