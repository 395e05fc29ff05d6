/* kernelcheck --bench matmul [TYPE [THREADS]]: how near W x comes to the machine's limits, for
 * every variant and weight type, on one core or more.
 *
 * The matrix is zh-1b's largest, or ZH_BENCH_MATRIX=ROWSxCOLUMNS. Cold: copies of it, twice the
 * last-level cache or more, take turns, as the layers of a model do. Warm: a few rows that stay in
 * the second-level cache. Each repeat times the product, a plain read of as many bytes of another
 * copy and the best peak loop whose operands round as the product's do, one after the other, so
 * that all three meet the same clock and the same neighbours. The limit is the longer of (bytes /
 * read) and (operations / peak); ratios are of minima and of medians. Activations are prepared
 * before: they serve several products. Where they become bytes, "fine" is the product by two of
 * them. ZH_CPU names one variant. */
#include "tests/kernelcheck/check.h"
#include "tests/kernelcheck/timing.h"

#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_ROWS = 128, REPEATS = 41, MOST_TOKENS = 512, COLUMN_GRAIN = 256 };
static const size_t COLD_BYTES = (size_t)600 << 20;
static struct { size_t rows, columns; } matrix = {5632, 2048};

typedef struct setting {
  const zh_kernels *kernels;
  zh_matrix w; /* of the first copy */
  size_t copies, copy_bytes, rows, tokens, scratch_bytes;
  zh_way way;
  zh_threads *threads;
  float *x, *y;
  char *scratch;  /* [threads][scratch_bytes] */
  void *prepared; /* prepared: NULL for matmul, else multiply on packed weights */
} setting;

typedef struct times {
  double product[REPEATS], read[REPEATS], peak[REPEATS]; /* ns; peak: of one operation */
} times;

static const zh_peak_loop *loop_of(const setting *s) {
  static const char *const metrics[ZH_ROUNDINGS] = {"fp32_fma", "bf16_dot", "int8_dot", "int8_dot"};
  zh_rounding rounding =
      s->prepared ? zh_rounding_of(&s->kernels->rounds, s->w.type, s->way) : ZH_ROUND_NONE;
  return timing_loop(metrics[rounding]);
}

/* What all threads do at once. */
typedef struct work {
  const setting *s;
  const char *data;    /* of a copy */
  size_t first, bytes; /* the first row; to be read from data */
} work;

static double time_task(const setting *s, zh_task task, work *w) {
  int64_t start = zh_now_ns();
  zh_threads_run(s->threads, task, w);
  return (double)(zh_now_ns() - start);
}

static double read_sum;
static void read_task(void *user, int thread, int threads) {
  const work *w = user;
  size_t begin, end;
  zh_share(&begin, &end, w->bytes / sizeof(double), 512, thread, threads);
  double sum = zh_memory_read((const double *)(const void *)w->data, begin, end);
  if (thread == 0) read_sum += sum;
}

static double time_read(const setting *s, const char *data, size_t bytes) {
  return time_task(s, read_task, &(work){.s = s, .data = data, .bytes = bytes});
}

static void product_task(void *user, int thread, int threads) {
  const work *job = user;
  const setting *s = job->s;
  char *scratch = s->scratch + (size_t)thread * s->scratch_bytes;
  zh_matrix w = s->w;
  size_t begin, end;
  w.data = job->data;
  zh_share(&begin, &end, s->rows, ZH_PACKED_ROWS, thread, threads);
  if (begin >= end) return;
  begin += job->first, end += job->first;
  if (!s->prepared) {
    s->kernels->matmul(s->y, w.rows, &w, s->x, w.columns, s->tokens, begin, end, scratch);
    return;
  }
  zh_packed packed = {w.data, w.type, w.rows, w.columns};
  s->kernels->multiply(s->y, w.rows, &packed, s->way, s->prepared, s->tokens, begin, end, scratch);
}

static double time_product(const setting *s, size_t copy, size_t first) {
  const char *data = (const char *)s->w.data + copy * s->copy_bytes;
  return time_task(s, product_task, &(work){.s = s, .data = data, .first = first});
}

static void print_times(const setting *s, const char *state, times *t) {
  timing_report(&(timing){.operator= !s->prepared ? "matmul"
                          : s->way == ZH_FINE     ? "fine"
                                                  : "multiply",
                          .kernels = s->kernels->name,
                          .type = zh_dtype_find((uint32_t)s->w.type)->name,
                          .state = state,
                          .tokens = s->tokens,
                          .threads = zh_threads_count(s->threads),
                          .bytes = (double)(s->rows * s->w.row_bytes),
                          .operations = 2.0 * (double)(s->rows * s->w.columns * s->tokens),
                          .loop = loop_of(s),
                          .pass = t->product,
                          .read = t->read,
                          .one = t->peak,
                          .count = REPEATS});
}

static void bench_cold(setting *s) {
  times t;
  /* matmul goes row by row, and slowly: a part of them tells as much. */
  s->rows = s->prepared || s->tokens < MOST_TOKENS ? matrix.rows : matrix.rows / 8;
  for (size_t i = 0; i < REPEATS; i++) {
    /* The first copy is what the others were made from: never cold. */
    size_t copy = 1 + i % (s->copies - 1), other = 1 + (i + s->copies / 2) % (s->copies - 1);
    t.product[i] = time_product(s, copy, 0);
    t.read[i] =
        time_read(s, (const char *)s->w.data + other * s->copy_bytes, s->rows * s->w.row_bytes);
    t.peak[i] = timing_peak(loop_of(s), s->threads);
  }
  print_times(s, "cold", &t);
}

static void bench_warm(setting *s) {
  times t;
  s->rows = WARM_ROWS * (size_t)zh_threads_count(s->threads);
  for (size_t i = 0; i < REPEATS; i++) {
    (void)time_product(s, 0, 0);
    t.product[i] = time_product(s, 0, 0);
    (void)time_read(s, s->w.data, s->rows * s->w.row_bytes);
    t.read[i] = time_read(s, s->w.data, s->rows * s->w.row_bytes);
    t.peak[i] = timing_peak(loop_of(s), s->threads);
  }
  print_times(s, "warm", &t);
}

/* The first copy, as the kernels read it, then the others. */
static void fill_copies(const setting *s, char *memory) {
  uint64_t row_bytes = s->w.row_bytes;
  if (!s->prepared) {
    random_weights(memory, s->w.type, matrix.rows * matrix.columns);
  } else {
    void *rows = zeroed(matrix.rows * row_bytes);
    random_weights(rows, s->w.type, matrix.rows * matrix.columns);
    zh_pack_rows(memory, s->w.type, rows, matrix.rows, row_bytes, matrix.columns);
    free(rows);
  }
  for (size_t i = 1; i < s->copies; i++) memcpy(memory + i * s->copy_bytes, memory, s->copy_bytes);
}

static void bench_way(setting *s) {
  if (s->prepared)
    s->kernels->prepare(s->prepared, s->w.type, s->way, s->x, matrix.columns, matrix.columns,
                        s->tokens, 0, s->tokens);
  bench_cold(s);
  bench_warm(s);
}

static void bench_type(const zh_kernels *k, zh_dtype type, zh_threads *threads, char *memory,
                       float *x, float *y) {
  static const size_t tokens[] = {1, 8, 16, 32, MOST_TOKENS};
  uint64_t row_bytes;
  if (!zh_dtype_bytes(&row_bytes, type, matrix.columns)) return;
  bool packed = k->multiply && zh_packs(type);
  setting s = {.kernels = k,
               .w = {memory, type, matrix.rows, matrix.columns, row_bytes},
               .threads = threads,
               .x = x,
               .y = y};
  s.copy_bytes = (matrix.rows * row_bytes + 4095) & ~(size_t)4095;
  s.copies = COLD_BYTES / s.copy_bytes;
  s.scratch_bytes = packed ? zh_multiply_scratch_bytes(matrix.columns)
                           : zh_matmul_scratch_bytes(matrix.columns, MOST_TOKENS);
  s.scratch = zeroed(s.scratch_bytes * (size_t)zh_threads_count(threads));
  size_t prepared_bytes = zh_prepared_bytes(ZH_ROUND_NONE, matrix.columns, MOST_TOKENS);
  if (packed && !(s.prepared = zh_big_alloc(prepared_bytes))) exit(3);
  fill_copies(&s, memory);
  for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
    s.tokens = tokens[i];
    s.way = zh_way_of(s.tokens);
    bench_way(&s);
    if (!packed || zh_rounding_of(&k->rounds, type, s.way) != ZH_ROUND_BYTES) continue;
    s.way = ZH_FINE;
    bench_way(&s);
  }
  free(s.scratch);
  if (s.prepared) zh_big_free(s.prepared, prepared_bytes);
}

/* Two copies of fp32 have to fit in the cold memory. */
static void read_matrix(void) {
  const char *word = getenv("ZH_BENCH_MATRIX");
  if (!word) return;
  if (sscanf(word, "%zux%zu", &matrix.rows, &matrix.columns) == 2 && matrix.rows >= COLUMN_GRAIN &&
      matrix.columns >= COLUMN_GRAIN && matrix.columns % COLUMN_GRAIN == 0 &&
      matrix.rows <= COLD_BYTES / 2 / sizeof(float) / matrix.columns)
    return;
  fprintf(stderr,
          "ZH_BENCH_MATRIX is ROWSxCOLUMNS, columns a multiple of 256, both at least 256, "
          "no more than 300 MiB of fp32; it is '%s'\n",
          word);
  exit(2);
}

void bench_matmul_limits(const char *only_type, int thread_count) {
  read_matrix();
  zh_error err = ZH_ERROR_INIT;
  zh_threads *threads = NULL;
  if (zh_threads_create(&threads, thread_count, NULL, &err) != ZH_OK) exit(3);
  char *memory = zh_big_alloc(COLD_BYTES);
  if (!memory) exit(3);
  float *x = normal_floats((size_t)MOST_TOKENS * matrix.columns, 1),
        *y = zh_big_alloc((size_t)MOST_TOKENS * matrix.rows * sizeof *y);
  if (!y) exit(3);
  memset(y, 0, (size_t)MOST_TOKENS * matrix.rows * sizeof *y);
  if (!timing_is_json())
    printf("threads: %d, W[%zu][%zu], %d interleaved repeats of product, read and peak\n",
           thread_count, matrix.rows, matrix.columns, REPEATS);
  for (const zh_kernels *const *k = zh_kernels_all(); *k; k++) {
    if ((*k)->fp64_sums) continue; /* the reference is for its results */
    if (getenv("ZH_CPU") && *k != zh_kernels_best()) continue;
    for (size_t n = 0; n < weight_type_count; n++) {
      if (only_type && strcmp(zh_dtype_find((uint32_t)weight_types[n])->name, only_type) != 0)
        continue;
      bench_type(*k, weight_types[n], threads, memory, x, y);
    }
  }
  zh_threads_free(threads);
  free(x);
  zh_big_free(y, (size_t)MOST_TOKENS * matrix.rows * sizeof *y);
  zh_big_free(memory, COLD_BYTES);
}
