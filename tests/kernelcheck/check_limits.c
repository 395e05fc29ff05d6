/* Memory passes, matrix products and peak loops. */
#include "tests/kernelcheck/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Small integers: every sum is exact, so results must be equal. */
void check_memory(void) {
  enum { COUNT = 1000 };
  double *a = zeroed(COUNT * sizeof *a), *b = zeroed(COUNT * sizeof *b),
         *c = zeroed(COUNT * sizeof *c);
  double worst = 0;
  for (size_t begin = 0; begin < 20; begin++)
    for (size_t end = COUNT - 40; end < COUNT; end += 3) {
      double sum = 0;
      for (size_t i = 0; i < COUNT; i++) {
        b[i] = (double)(i % 97);
        c[i] = (double)(i % 31);
        a[i] = -1;
      }
      for (size_t i = begin; i < end; i++) sum += b[i];
      if (zh_memory_read(b, begin, end) != sum) worst = INFINITY;
      zh_memory_copy(a, b, begin, end);
      for (size_t i = 0; i < COUNT; i++)
        if (a[i] != (i >= begin && i < end ? b[i] : -1)) worst = INFINITY;
      zh_memory_triad(a, b, c, 3, begin, end);
      for (size_t i = 0; i < COUNT; i++)
        if (a[i] != (i >= begin && i < end ? b[i] + 3 * c[i] : -1)) worst = INFINITY;
    }
  check_report("memory", zh_memory_variant(), "read, copy, triad; odd ends", worst);
  free(a);
  free(b);
  free(c);
}

void check_peaks(void) {
  for (const zh_peak_loop *loop = zh_peak_loops(); loop->metric; loop++) {
    static const uint64_t rounds[] = {1, 3, 4096, 10007, (1 << 22) + 5};
    double worst = 0;
    for (size_t i = 0; i < 5; i++) {
      double checksum = NAN, operations = loop->run(rounds[i], 99 + i, &checksum);
      double exact = loop->reference(rounds[i], 99 + i);
      if (!(operations > 0) || !isfinite(checksum)) worst = INFINITY;
      worst = worse(worst, checksum, exact, loop->tolerance * fabs(exact));
    }
    char name[64];
    snprintf(name, sizeof name, "%s, 1 to 2^22 + 5 rounds", loop->metric);
    check_report("peak", loop->variant, name, worst);
  }
}

typedef struct product {
  size_t m, n, k;
  void *a, *b, *c;
} product;

static void *gemm_operand(const char *type, size_t count) {
  if (strcmp(type, "int8") == 0) return random_bytes(count);
  void *p = zeroed(count * 4);
  random_weights(p, strcmp(type, "fp32") == 0 ? ZH_F32 : ZH_BF16, count);
  return p;
}

static double element(const char *type, const void *p, size_t i) {
  if (strcmp(type, "fp32") == 0) return (double)((const float *)p)[i];
  if (strcmp(type, "bf16") == 0) return (double)zh_bf16_to_f32(((const uint16_t *)p)[i]);
  return ((const int8_t *)p)[i];
}

/* fp32 and bf16: products and sums round, at most 2 k times in a row; int8 is exact. */
static double gemm_error(const char *type, const product *p) {
  bool integer = strcmp(type, "int8") == 0;
  double worst = 0;
  for (size_t i = 0; i < p->m; i++)
    for (size_t j = 0; j < p->n; j++) {
      double exact = 0, size = 0;
      for (size_t l = 0; l < p->k; l++) {
        double term = element(type, p->a, i * p->k + l) * element(type, p->b, j * p->k + l);
        exact += term;
        size += fabs(term);
      }
      size_t at = i * p->n + j;
      double value = integer ? ((int32_t *)p->c)[at] : (double)((float *)p->c)[at];
      worst = worse(worst, value, exact, integer ? 0 : gamma_of(2 * (double)p->k) * size);
    }
  return worst;
}

static void gemm_shape(const zh_gemm *gemm, size_t m, size_t n, size_t k) {
  product p = {
      m, n, k, gemm_operand(gemm->type, m * k), gemm_operand(gemm->type, n * k), zeroed(m * n * 4)};
  gemm->run(p.c, p.a, p.b, m, n, k, 0, m);
  double worst = gemm_error(gemm->type, &p);
  void *divided = zeroed(m * n * 4);
  gemm->run(divided, p.a, p.b, m, n, k, 0, m / 2);
  gemm->run(divided, p.a, p.b, m, n, k, m / 2, m);
  worst = unless_equal(worst, divided, p.c, m * n * 4);
  char shape[64];
  snprintf(shape, sizeof shape, "%s %zux%zux%zu", gemm->type, m, n, k);
  check_report("gemm", gemm->variant, shape, worst);
  free(p.a);
  free(p.b);
  free(p.c);
  free(divided);
}

void check_gemm(void) {
  static const size_t shapes[][3] = {{1, 1, 1},   {3, 5, 7},     {12, 32, 64},   {13, 33, 65},
                                     {31, 47, 3}, {64, 64, 513}, {50, 70, 1030}, {40, 96, 256}};
  for (const zh_gemm *gemm = zh_gemm_all(); gemm->type; gemm++)
    for (size_t s = 0; s < 8; s++) gemm_shape(gemm, shapes[s][0], shapes[s][1], shapes[s][2]);
}
