/* kernelcheck --bench attention [KV [THREADS]]: how near attention comes to the machine's limits,
 * for every variant, type of cache and depth, on one core or more.
 *
 * Decode: one token of each of LAYERS caches in turn, which together are far larger than the
 * last-level cache (as the layers of a model are); its limit is a plain read of as many bytes.
 * Prefill: the last TOKENS tokens of the depth, in one cache; its limit is the two products at the
 * peak of the arithmetic that computes them: fp32, or bf16 where there are tiles. Exponentials are
 * not counted. Each repeat times all of them one after the other, so that they meet the same clock
 * and the same neighbours. */
#include "tests/kernelcheck/check.h"
#include "tests/kernelcheck/timing.h"

#include "core/clock.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 512, REPEATS = 15, MOST_LAYERS = 256 };
/* Heads as in zh-1b; or, with ZH_BENCH_LATENT=HEADS, so many over the latents of DeepSeek-V3. */
static struct { size_t heads, kv_heads, dim, shared; } shape = {32, 8, 64, 0};
static const size_t COLD_BYTES = (size_t)600 << 20;

typedef struct bed {
  const zh_kernels *kernels;
  zh_threads *threads;
  zh_kv kv[MOST_LAYERS];
  size_t layers, layer_bytes;
  zh_attention work;
  float *q, *out, *parts;
  char *memory, *scratch; /* scratch: [threads][scratch_bytes] */
  size_t scratch_bytes;
  uint32_t position[TOKENS], sequence[TOKENS];
  atomic_size_t next;
} bed;

typedef struct times {
  double attention[REPEATS], read[REPEATS], peak[REPEATS]; /* ns; peak: of one operation */
} times;

static double timed(bed *b, zh_task task) {
  int64_t start = zh_now_ns();
  zh_threads_run(b->threads, task, b);
  return (double)(zh_now_ns() - start);
}

static void attend_task(void *user, int thread, int threads) {
  bed *b = user;
  char *scratch = b->scratch + (size_t)thread * b->scratch_bytes;
  size_t items = zh_attention_items(&b->work), begin, end;
  size_t shares = shape.shared && b->work.parts ? 2 : 8; /* as the engine takes them */
  size_t some = (items + shares * (size_t)threads - 1) / (shares * (size_t)threads);
  while ((begin = atomic_fetch_add(&b->next, some)) < items) {
    end = begin + some < items ? begin + some : items;
    b->kernels->attention(&b->work, begin, end, scratch);
  }
  if (!b->work.parts) return;
  zh_threads_barrier(b->threads);
  zh_share(&begin, &end, b->work.tokens * shape.heads, 1, thread, threads);
  b->kernels->attention_merge(&b->work, begin, end, scratch);
}

static double time_attention(bed *b, size_t layer) {
  b->work.kv = &b->kv[layer];
  atomic_store(&b->next, 0);
  return timed(b, attend_task);
}

static double read_sum;
static void read_task(void *user, int thread, int threads) {
  bed *b = user;
  size_t begin, end, bytes = (size_t)(b->work.position[0] + 1) * zh_kv_position_bytes(b->work.kv);
  zh_share(&begin, &end, bytes / sizeof(double), 512, thread, threads);
  double sum = zh_memory_read((const double *)(const void *)b->work.kv->keys, begin, end);
  if (thread == 0) read_sum += sum;
}

static void print_times(const bed *b, times *t, const zh_peak_loop *loop, double pairs,
                        size_t tokens, double bytes) {
  timing_report(&(timing){.operator= "attention",
                          .kernels = b->kernels->name,
                          .type = zh_kv_names[b->work.kv->type],
                          .state = "cold",
                          .tokens = tokens,
                          .depth = (size_t)b->work.position[tokens - 1] + 1,
                          .threads = zh_threads_count(b->threads),
                          .bytes = bytes,
                          .operations = 2 * pairs * (double)shape.heads *
                                        (double)(shape.dim + zh_kv_value_dim(b->work.kv)),
                          .loop = loop,
                          .pass = t->attention,
                          .read = t->read,
                          .one = t->peak,
                          .count = REPEATS});
}

static void bench_depth(bed *b, uint32_t depth, size_t tokens) {
  times t;
  size_t threads = (size_t)zh_threads_count(b->threads);
  zh_way way = tokens == 1 && !shape.shared ? ZH_FEW : ZH_MANY;
  bool tiles = zh_attention_rounds(&b->kernels->rounds, b->kv[0].type, shape.dim,
                                   zh_kv_value_dim(&b->kv[0]), way);
  const zh_peak_loop *loop = timing_loop(tiles ? "bf16_dot" : "fp32_fma");
  double pairs = 0;
  for (size_t i = 0; i < tokens; i++) {
    b->position[i] = depth - (uint32_t)(tokens - i);
    pairs += b->position[i] + 1;
  }
  b->work.tokens = tokens;
  b->work.way = way;
  b->work.run = tokens == 1 ? 1 : ZH_ATTENTION_ROWS / (shape.heads / shape.kv_heads);
  b->work.blocks = (depth - 1) / ZH_ATTENTION_BLOCK + 1;
  b->work.parts = tokens == 1 && threads > 1 ? b->parts : NULL;
  for (size_t i = 0; i < REPEATS; i++) {
    size_t layer = tokens == 1 ? i * 7 % b->layers : 0;
    t.attention[i] = time_attention(b, layer);
    b->work.kv = &b->kv[(layer + b->layers / 2) % b->layers];
    t.read[i] = tokens == 1 ? timed(b, read_task) : 0;
    t.peak[i] = timing_peak(loop, b->threads);
  }
  double bytes = (double)depth * (double)zh_kv_position_bytes(&b->kv[0]);
  print_times(b, &t, loop, pairs, tokens, bytes);
}

static void fill(bed *b, zh_kv_type type, uint32_t depth) {
  zh_kv *first = &b->kv[0];
  *first = (zh_kv){.type = type,
                   .sequences = 1,
                   .kv_heads = shape.kv_heads,
                   .head_dim = shape.dim,
                   .capacity = depth,
                   .shared = shape.shared};
  b->layer_bytes = zh_kv_bytes(first);
  size_t each = (shape.shared ? 1 : 2) * b->layer_bytes;
  b->layers = COLD_BYTES / each;
  if (b->layers > MOST_LAYERS) b->layers = MOST_LAYERS;
  for (size_t i = 0; i < b->layers; i++) {
    b->kv[i] = *first;
    b->kv[i].keys = (unsigned char *)b->memory + i * each;
    b->kv[i].values = b->kv[i].keys + b->layer_bytes;
    if (i > 0) memcpy(b->kv[i].keys, b->memory, each);
    for (uint32_t p = 0; i == 0 && p < depth; p++)
      zh_kv_store(&b->kv[0], 0, p, 0, shape.kv_heads, b->q + p % TOKENS * shape.heads * shape.dim,
                  b->q + p % TOKENS * shape.heads * shape.dim + 512);
  }
}

static void bench_type(bed *b, zh_kv_type type) {
  static const uint32_t depths[] = {512, 2048, 8192};
  for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
    fill(b, type, depths[d]);
    bench_depth(b, depths[d], 1);
    bench_depth(b, depths[d], TOKENS);
  }
}

static void choose_shape(void) {
  const char *heads = getenv("ZH_BENCH_LATENT");
  long count = heads ? strtol(heads, NULL, 10) : 0;
  if (count < 1 || count > ZH_ATTENTION_ROWS) return;
  shape.heads = (size_t)count;
  shape.kv_heads = 1;
  shape.dim = 576;
  shape.shared = 512;
}

void bench_attention(const char *only_type, int thread_count) {
  static bed b;
  zh_error err = ZH_ERROR_INIT;
  choose_shape();
  if (zh_threads_create(&b.threads, thread_count, NULL, &err) != ZH_OK) exit(3);
  b.memory = zh_big_alloc(COLD_BYTES);
  if (!b.memory) exit(3);
  b.scratch_bytes = zh_attention_scratch_bytes(shape.dim);
  b.scratch = zeroed(b.scratch_bytes * (size_t)thread_count);
  b.q = normal_floats(TOKENS * shape.heads * shape.dim, 1);
  b.out = zeroed(TOKENS * shape.heads * shape.dim * sizeof(float));
  b.parts = zeroed(zh_attention_part_floats(1, shape.heads, shape.dim, 32) * sizeof(float));
  b.work = (zh_attention){.out = b.out,
                          .q = b.q,
                          .heads = shape.heads,
                          .position = b.position,
                          .sequence = b.sequence,
                          .scale = 1 / sqrtf((float)shape.dim)};
  if (!timing_is_json())
    printf("threads: %d, %zu query and %zu key heads of %zu, prefill of the last %d tokens, %d "
           "repeats\n",
           thread_count, shape.heads, shape.kv_heads, shape.dim, TOKENS, REPEATS);
  for (const zh_kernels *const *k = zh_kernels_all(); *k; k++) {
    if ((*k)->fp64_sums) continue; /* the reference is for its results */
    if (getenv("ZH_CPU") && *k != zh_kernels_best()) continue;
    b.kernels = *k;
    for (int type = 0; type < ZH_KV_CPU_TYPES; type++)
      if (!only_type || strcmp(only_type, zh_kv_names[type]) == 0) bench_type(&b, (zh_kv_type)type);
  }
  zh_threads_free(b.threads);
  zh_big_free(b.memory, COLD_BYTES);
  free(b.scratch);
  free(b.q);
  free(b.out);
  free(b.parts);
}
