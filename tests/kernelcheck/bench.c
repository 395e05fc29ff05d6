/* Speeds of the variants on one core: for comparing variants with each other and with the peaks
 * below them, not for reports. */
#include "tests/kernelcheck/check.h"

#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENOUGH_NS = 60000000 };

/* Best of the passes that fit into 60 ms, in nanoseconds. */
static double best_ns(void (*pass)(void *user), void *user) {
  double best = 1e300;
  pass(user);
  for (int64_t start = zh_now_ns(); zh_now_ns() - start < ENOUGH_NS;) {
    int64_t before = zh_now_ns();
    pass(user);
    double took = (double)(zh_now_ns() - before);
    best = took < best ? took : best;
  }
  return best;
}

static void print_speed(const char *op, const char *variant, const char *shape, double bytes,
                        double operations, double ns) {
  printf("%-16s %-14s %-28s %9.2f GB/s %10.1f GFLOP/s %12.1f us\n", op, variant, shape, bytes / ns,
         operations / ns, ns / 1e3);
}

typedef struct matmul_bench {
  const zh_kernels *kernels;
  zh_matrix w;
  float *x, *y;
  size_t tokens;
  void *scratch;
} matmul_bench;

static void matmul_pass(void *user) {
  matmul_bench *b = user;
  b->kernels->matmul(b->y, b->w.rows, &b->w, b->x, b->w.columns, b->tokens, 0, b->w.rows,
                     b->scratch);
}

static void bench_matmul(const zh_kernels *k, zh_dtype type, size_t tokens) {
  const size_t rows = 4096, columns = 1536;
  uint64_t row_bytes;
  if (!zh_dtype_bytes(&row_bytes, type, columns)) return;
  void *data = zeroed(rows * row_bytes);
  random_weights(data, type, rows * columns);
  matmul_bench b = {k,
                    {data, type, rows, columns, row_bytes},
                    normal_floats(tokens * columns, 1),
                    zeroed(tokens * rows * sizeof(float)),
                    tokens,
                    zeroed(zh_matmul_scratch_bytes(columns, tokens))};
  char shape[64];
  snprintf(shape, sizeof shape, "%s 4096x1536, %zu tokens", zh_dtype_find((uint32_t)type)->name,
           tokens);
  print_speed("matmul", k->name, shape, (double)(rows * row_bytes),
              2.0 * (double)(rows * columns * tokens), best_ns(matmul_pass, &b));
  free(data);
  free(b.x);
  free(b.y);
  free(b.scratch);
}

typedef struct gemm_bench {
  const zh_gemm *gemm;
  void *a, *b, *c;
} gemm_bench;
enum { GEMM_SIDE = 512 };

static void gemm_pass(void *user) {
  gemm_bench *b = user;
  b->gemm->run(b->c, b->a, b->b, GEMM_SIDE, GEMM_SIDE, GEMM_SIDE, 0, GEMM_SIDE);
}

static void bench_gemm(const zh_gemm *gemm) {
  size_t count = (size_t)GEMM_SIDE * GEMM_SIDE;
  gemm_bench b = {gemm, zeroed(count * 4), zeroed(count * 4), zeroed(count * 4)};
  zh_dtype type = strcmp(gemm->type, "fp32") == 0 ? ZH_F32 : ZH_BF16;
  random_weights(b.a, type, count); /* as int8 these bytes are as good as any */
  random_weights(b.b, type, count);
  print_speed("gemm", gemm->variant, gemm->type, 0, 2.0 * GEMM_SIDE * GEMM_SIDE * GEMM_SIDE,
              best_ns(gemm_pass, &b));
  free(b.a);
  free(b.b);
  free(b.c);
}

typedef struct peak_bench {
  const zh_peak_loop *loop;
  double operations;
} peak_bench;

static void peak_pass(void *user) {
  peak_bench *b = user;
  double checksum;
  b->operations = b->loop->run(20000, 1, &checksum);
}

typedef struct memory_bench {
  double *a, *b, *c, sum;
  size_t count;
} memory_bench;
static void read_pass(void *user) {
  memory_bench *m = user;
  m->sum += zh_memory_read(m->a, 0, m->count);
}
static void copy_pass(void *user) {
  memory_bench *m = user;
  zh_memory_copy(m->b, m->a, 0, m->count);
}
static void triad_pass(void *user) {
  memory_bench *m = user;
  zh_memory_triad(m->a, m->b, m->c, 0.5, 0, m->count);
}

static void bench_memory(void) {
  size_t bytes = (size_t)256 << 20;
  memory_bench m = {zh_big_alloc(bytes), zh_big_alloc(bytes), zh_big_alloc(bytes), 0,
                    bytes / sizeof(double)};
  if (m.a && m.b && m.c) {
    for (size_t i = 0; i < m.count; i++) m.a[i] = m.b[i] = m.c[i] = 1;
    print_speed("memory read", zh_memory_variant(), "256 MiB", (double)bytes, 0,
                best_ns(read_pass, &m));
    print_speed("memory copy", zh_memory_variant(), "256 MiB", 2 * (double)bytes, 0,
                best_ns(copy_pass, &m));
    print_speed("memory triad", zh_memory_variant(), "256 MiB", 3 * (double)bytes, 0,
                best_ns(triad_pass, &m));
  }
  zh_big_free(m.a, bytes);
  zh_big_free(m.b, bytes);
  zh_big_free(m.c, bytes);
}

void bench_all(void) {
  printf("\none core, best pass of 60 ms; int8 in GOP/s\n");
  for (const zh_peak_loop *loop = zh_peak_loops(); loop->metric; loop++) {
    peak_bench b = {loop, 0};
    double ns = best_ns(peak_pass, &b);
    print_speed("peak", loop->variant, loop->metric, 0, b.operations, ns);
  }
  bench_memory();
  for (const zh_kernels *const *k = zh_kernels_all(); *k; k++)
    for (size_t n = 0; n < weight_type_count; n++) {
      bench_matmul(*k, weight_types[n], 1);
      if (n < 6) bench_matmul(*k, weight_types[n], 96);
    }
  for (const zh_gemm *gemm = zh_gemm_all(); gemm->type; gemm++) bench_gemm(gemm);
}
