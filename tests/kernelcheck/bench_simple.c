/* Times of the operators that have no bench of their own.
 *
 * Cold: a pass takes the next part of memory twice the size of large last-level caches. Warm: the
 * same part of a second-level cache's size again and again. Operations are counted as fused steps
 * of two; an exponential counts as lanes.h computes it, 22. */
#include "tests/kernelcheck/check.h"
#include "tests/kernelcheck/timing.h"

#include "core/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS = 21, COLUMNS = 2048, HEAD = 64, COLD_FLOATS = 1 << 20, WARM_FLOATS = 1 << 15 };
enum { EXP = 22 };
static const size_t MEMORY = (size_t)600 << 20;

/* What a pass works on. */
typedef struct subject {
  const zh_kernels *k;
  zh_dtype type;
  float *a, *b, *c; /* of this pass */
  const float *gain, *angles;
} subject;

typedef void pass_function(subject *s, size_t begin, size_t end, int thread);

static void rmsnorm_pass(subject *s, size_t begin, size_t end, int thread) {
  (void)thread;
  s->k->rmsnorm(s->b, s->a, s->gain, COLUMNS, 1e-5f, begin / COLUMNS, end / COLUMNS);
}
static void rope_pass(subject *s, size_t begin, size_t end, int thread) {
  (void)thread;
  s->k->rope(s->a, COLUMNS, COLUMNS / HEAD, HEAD, HEAD, false, s->angles, begin / COLUMNS,
             end / COLUMNS);
}
static void silu_pass(subject *s, size_t begin, size_t end, int thread) {
  (void)thread;
  s->k->silu_multiply(s->c, s->a, s->b, begin, end);
}
static void gelu_pass(subject *s, size_t begin, size_t end, int thread) {
  (void)thread;
  s->k->gelu_multiply(s->c, s->a, s->b, begin, end);
}
static void gelu_tanh_pass(subject *s, size_t begin, size_t end, int thread) {
  (void)thread;
  s->k->gelu_tanh_multiply(s->c, s->a, s->b, begin, end);
}
static void add_pass(subject *s, size_t begin, size_t end, int thread) {
  (void)thread;
  s->k->add(s->a, s->b, begin, end);
}
static size_t chosen;
static void argmax_pass(subject *s, size_t begin, size_t end, int thread) {
  size_t best = s->k->argmax(s->a + begin, end - begin);
  if (thread == 0) chosen += best;
}
static double summed;
static void logsumexp_pass(subject *s, size_t begin, size_t end, int thread) {
  double sum = s->k->logsumexp(s->a + begin, end - begin);
  if (thread == 0) summed += sum;
}
static void dequantize_pass(subject *s, size_t begin, size_t end, int thread) {
  (void)thread;
  uint64_t from, bytes;
  if (!zh_dtype_bytes(&from, s->type, begin) || !zh_dtype_bytes(&bytes, s->type, end - begin))
    exit(3);
  zh_dequantize_row_fast(s->c + begin, (const char *)s->a + from, s->type, end - begin);
}

/* Arrays a, b, c that a pass reads or writes, as bytes a number; and operations a number. */
typedef struct simple_case {
  const char *name;
  pass_function *pass;
  size_t grain;
  int arrays;
  double traffic, operations;
} simple_case;
static const simple_case simple_cases[] = {
    {"rmsnorm", rmsnorm_pass, COLUMNS, 2, 8, 4},
    {"rope", rope_pass, COLUMNS, 1, 8, 3},
    {"silu", silu_pass, 16, 3, 12, EXP + 4},
    {"gelu", gelu_pass, 16, 3, 12, EXP + 20},
    {"gelu_tanh", gelu_tanh_pass, 16, 3, 12, EXP + 10},
    {"add", add_pass, 16, 2, 12, 1},
    {"argmax", argmax_pass, 16, 1, 4, 1},
    {"logsumexp", logsumexp_pass, 16, 1, 4, EXP + 2},
};

/* --- one measurement --- */

typedef struct measurement {
  subject *s;
  pass_function *pass;
  zh_threads *threads;
  size_t items, grain;
  char *other; /* to be read: at least bytes */
  size_t other_bytes;
  double operations;
} measurement;

static void pass_task(void *user, int thread, int threads) {
  const measurement *m = user;
  size_t begin, end;
  zh_share(&begin, &end, m->items, m->grain, thread, threads);
  if (begin < end) m->pass(m->s, begin, end, thread);
}
static double read_sum;
static void read_task(void *user, int thread, int threads) {
  const measurement *m = user;
  size_t begin, end;
  zh_share(&begin, &end, m->other_bytes / sizeof(double), 512, thread, threads);
  double sum = zh_memory_read((const double *)(const void *)m->other, begin, end);
  if (thread == 0) read_sum += sum;
}
static double time_task(const measurement *m, zh_task task) {
  int64_t start = zh_now_ns();
  zh_threads_run(m->threads, task, (void *)(uintptr_t)m);
  return (double)(zh_now_ns() - start);
}

/* place(s, i) gives pass i its memory and returns what is to be read beside it. */
static void measure(timing t, measurement *m, char *(*place)(subject *s, size_t i)) {
  double pass[REPEATS], read[REPEATS], one[REPEATS];
  bool warm = strcmp(t.state, "warm") == 0;
  for (size_t i = 0; i < REPEATS; i++) {
    m->other = place(m->s, warm ? 0 : i);
    m->other_bytes = (size_t)t.bytes & ~(size_t)4095;
    if (warm) (void)time_task(m, pass_task);
    pass[i] = time_task(m, pass_task);
    if (warm) (void)time_task(m, read_task);
    read[i] = time_task(m, read_task);
    one[i] = timing_peak(timing_loop("fp32_fma"), m->threads);
  }
  t.pass = pass, t.read = read, t.one = one, t.count = REPEATS;
  t.loop = timing_loop("fp32_fma");
  t.threads = zh_threads_count(m->threads);
  timing_report(&t);
}

/* --- operators over arrays --- */

static struct {
  float *memory;
  size_t floats, arrays; /* of a part */
} parts;

static char *place_arrays(subject *s, size_t i) {
  size_t whole = parts.floats * parts.arrays, all = MEMORY / sizeof(float) / whole;
  float *part = parts.memory + i % all * whole;
  s->a = part;
  s->b = part + (parts.arrays > 1 ? parts.floats : 0);
  s->c = part + (parts.arrays > 2 ? 2 * parts.floats : 0);
  return (char *)(parts.memory + (i + all / 2) % all * whole);
}

static void time_arrays(const simple_case *c, const zh_kernels *k, zh_threads *threads) {
  for (int warm = 0; warm < 2; warm++) {
    parts.floats = warm ? WARM_FLOATS * (size_t)zh_threads_count(threads) : COLD_FLOATS;
    parts.arrays = (size_t)c->arrays;
    size_t tokens = parts.floats / COLUMNS;
    float *gain = normal_floats(COLUMNS, 1), *angles = zeroed(tokens * HEAD * sizeof *angles);
    uint32_t *position = zeroed(tokens * sizeof *position);
    for (size_t t = 0; t < tokens; t++) position[t] = (uint32_t)t;
    double frequency[HEAD / 2];
    for (size_t i = 0; i < HEAD / 2; i++) frequency[i] = pow(10000, -2.0 * (double)i / HEAD);
    zh_rope_angles(angles, frequency, HEAD / 2, 1, position, 0, tokens);
    subject s = {.k = k, .gain = gain, .angles = angles};
    measurement m = {&s, c->pass, threads, parts.floats, c->grain, NULL, 0, 0};
    measure((timing){.operator= c->name,
                     .kernels = k->name,
                     .type = "F32",
                     .state = warm ? "warm" : "cold",
                     .bytes = c->traffic * (double)parts.floats,
                     .operations = c->operations * (double)parts.floats},
            &m, place_arrays);
    free(gain);
    free(angles);
    free(position);
  }
}

/* --- weights to fp32 --- */

static void time_dequantize(zh_dtype type, zh_threads *threads) {
  for (int warm = 0; warm < 2; warm++) {
    parts.floats = warm ? WARM_FLOATS * (size_t)zh_threads_count(threads) : COLD_FLOATS;
    parts.arrays = 3;
    uint64_t bytes;
    if (!zh_dtype_bytes(&bytes, type, parts.floats)) continue;
    subject s = {.k = zh_kernels_best(), .type = type};
    measurement m = {&s, dequantize_pass, threads, parts.floats, 256, NULL, 0, 0};
    measure((timing){.operator= "dequantize",
                     .kernels = s.k->name,
                     .type = zh_dtype_find((uint32_t)type)->name,
                     .state = warm ? "warm" : "cold",
                     .bytes = (double)bytes + 4.0 * (double)parts.floats,
                     .operations = 2 * (double)parts.floats},
            &m, place_arrays);
  }
}

/* --- which of them --- */

static bool wanted(const char *only, const char *type) {
  return !only || strcmp(only, type) == 0;
}

static void time_table(const char *name, const zh_kernels *k, zh_threads *threads) {
  for (size_t i = 0; i < sizeof simple_cases / sizeof *simple_cases; i++)
    if (strcmp(simple_cases[i].name, name) == 0) time_arrays(&simple_cases[i], k, threads);
}

void time_simple(const char *name, const char *only_type, int thread_count) {
  zh_error err = ZH_ERROR_INIT;
  zh_threads *threads = NULL;
  if (zh_threads_create(&threads, thread_count, NULL, &err) != ZH_OK) exit(3);
  if (!(parts.memory = zh_big_alloc(MEMORY))) exit(3);
  for (size_t i = 0; i < MEMORY / sizeof(float); i++)
    parts.memory[i] = (float)(i * 2654435761u % 4096) / 1024 - 2;
  if (strcmp(name, "dequantize") == 0) {
    for (size_t n = 0; n < weight_type_count; n++)
      if (wanted(only_type, zh_dtype_find((uint32_t)weight_types[n])->name))
        time_dequantize(weight_types[n], threads);
  } else {
    for (const zh_kernels *const *k = zh_kernels_all(); *k; k++)
      if (!getenv("ZH_CPU") || *k == zh_kernels_best()) time_table(name, *k, threads);
  }
  zh_big_free(parts.memory, MEMORY);
  zh_threads_free(threads);
}
