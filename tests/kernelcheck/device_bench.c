/* How near an accelerator's operators come to what its memory, or its matrix units, give. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device_limits.h"
#include "tests/kernelcheck/device_bench.h"

enum { CALLS = 20, ROUNDS = 7 };

typedef struct read_work {
  uint64_t *sum;
  uint8_t *words;
  size_t bytes;
} read_work;

void device_must(zh_status status, const zh_error *err) {
  if (status == ZH_OK) return;
  fprintf(stderr, "zhiheng-kernelcheck: %s\n", err->message);
  exit(3);
}

size_t device_copies_of(double bytes) {
  zh_device_facts facts;
  zh_error err = ZH_ERROR_INIT;
  device_must(on.api->facts(&facts, 0, &err), &err);
  double wanted = 4 * (double)facts.l2_bytes / bytes + 2;
  return wanted > MOST_COPIES ? MOST_COPIES : on.slow ? 2 : (size_t)wanted;
}

static zh_status enqueue_read(void *user, size_t copy, zh_error *err) {
  const read_work *r = user;
  return on.api->sum_of_bits(on.device, r->sum, r->words + copy * r->bytes, r->bytes / 4, err);
}

/* Seconds of a call. */
static double time_calls(const device_timing *t, zh_device_event *first, zh_device_event *second) {
  zh_error err = ZH_ERROR_INIT;
  size_t calls = on.slow ? 2 : CALLS;
  double seconds = 0;
  device_must(on.api->record(on.device, first, &err), &err);
  for (size_t i = 0; i < calls; i++) device_must(t->enqueue(t->user, i % t->copies, &err), &err);
  device_must(on.api->record(on.device, second, &err), &err);
  device_must(on.api->elapsed_s(on.device, &seconds, first, second, &err), &err);
  return seconds / (double)calls;
}

void device_report_timing(const char *what, const device_timing *t) {
  zh_error err = ZH_ERROR_INIT;
  zh_device_event *events[2] = {NULL, NULL};
  double own = INFINITY, read = INFINITY;
  size_t bytes = (size_t)t->bytes / 256 * 256 + 256;
  read_work plain = {device_copy(NULL, sizeof(uint64_t)), device_copy(NULL, bytes * t->copies),
                     bytes};
  device_timing reading = {enqueue_read, &plain, t->copies, (double)bytes, 0, 0};
  for (int i = 0; i < 2; i++) device_must(on.api->event(on.device, &events[i], &err), &err);
  time_calls(t, events[0], events[1]);
  for (int round = 0; round < (on.slow ? 1 : ROUNDS); round++) {
    own = fmin(own, time_calls(t, events[0], events[1]));
    read = fmin(read, time_calls(&reading, events[0], events[1]));
  }
  for (int i = 0; i < 2; i++) on.api->release_event(on.device, events[i]);
  printf("%-52s %10.2f us %8.1f GB/s %6.1f %% of read", what, own * 1e6, t->bytes / own / 1e9,
         100 * read * (t->bytes / (double)bytes) / own);
  if (t->operations > 0) printf(" %9.1f GFLOP/s", t->operations / own / 1e9);
  if (t->peak > 0) printf(" %6.1f %% of peak", 100 * t->operations / own / t->peak);
  printf("\n");
  fflush(stdout);
}

/* --- the peak that products of many tokens stand against --- */

enum { PEAK_ROUNDS = 20000 };
static const uint32_t SMALL_E4M3 = 0xBFBFBFBFu; /* four numbers of magnitudes below 2 */

static const zh_device_peak *peak_of(const char *metric) {
  const zh_device_peak *const *list = on.api->limits ? on.api->limits->peaks(on.device) : NULL;
  while (list && *list && strcmp((*list)->metric, metric) != 0) list++;
  return list ? *list : NULL;
}

/* Operations a second; 0 where there is no such loop, which is said, or no accelerator. */
static double measure_peak(const char *metric) {
  const zh_device_peak *p = peak_of(metric);
  zh_device_facts facts;
  zh_error err = ZH_ERROR_INIT;
  zh_device_event *events[2] = {NULL, NULL};
  double best = INFINITY;
  if (!p && !on.slow) printf("%-52s has no loop for this GPU: nothing stands against it\n", metric);
  if (!p || on.slow) return 0;
  device_must(on.api->facts(&facts, 0, &err), &err);
  uint32_t blocks = facts.multiprocessors * p->blocks_per_multiprocessor;
  size_t bytes = (size_t)p->steps * (p->rows + p->columns) * ZH_PEAK_ROW_BYTES;
  uint32_t *operands = random_bytes(bytes);
  if (p->number == ZH_NUMBER_BF16) random_weights(operands, ZH_BF16, bytes / 2);
  for (size_t i = 0; p->number == ZH_NUMBER_E4M3 && i < bytes / 4; i++) operands[i] &= SMALL_E4M3;
  zh_device_peak_run run = {.operands = device_copy(operands, bytes),
                            .sums = device_copy(NULL, (size_t)blocks * p->block_threads * 4),
                            .blocks = blocks,
                            .rounds = PEAK_ROUNDS};
  for (int i = 0; i < 2; i++) device_must(on.api->event(on.device, &events[i], &err), &err);
  for (int round = 0; round < ROUNDS; round++) {
    double seconds = 0;
    device_must(on.api->record(on.device, events[0], &err), &err);
    device_must(on.api->limits->peak(on.device, p, &run, &err), &err);
    device_must(on.api->record(on.device, events[1], &err), &err);
    device_must(on.api->elapsed_s(on.device, &seconds, events[0], events[1], &err), &err);
    best = fmin(best, seconds);
  }
  for (int i = 0; i < 2; i++) on.api->release_event(on.device, events[i]);
  double of_one = 2.0 * p->rows * p->columns * p->depth * p->steps * p->copies * ZH_PEAK_REPEATS;
  double peak = of_one * PEAK_ROUNDS * blocks * (p->block_threads / p->threads) / best;
  printf("%-52s %10.2f us %50.1f GFLOP/s\n", p->variant, best * 1e6, peak / 1e9);
  free(operands);
  device_drop();
  return peak;
}

/* --- products --- */

typedef struct product_work {
  zh_device_product work;
  zh_device_matrix matrix[MOST_COPIES];
} product_work;

static zh_status enqueue_product(void *user, size_t copy, zh_error *err) {
  product_work *p = user;
  p->work.matrices = &p->matrix[copy];
  return on.api->product(on.device, &p->work, err);
}

/* Numbers that a product may meet: normal ones of bf16 (the same million again and again: what
 * matrix units switch costs power), e4m3's without those that are none, small scales. */
void device_fill_weights(zh_device_matrix *m) {
  enum { POOL = 1 << 20 };
  size_t bytes = zh_device_number_bytes(m->form, m->rows, m->columns),
         scale_bytes = zh_device_scale_bytes(m);
  uint8_t *numbers;
  if (m->form == ZH_FORM_BF16) {
    uint16_t *pool = zeroed(POOL * 2);
    random_weights(pool, ZH_BF16, POOL);
    numbers = zeroed(bytes);
    for (size_t i = 0; i < bytes; i += POOL * 2)
      memcpy(numbers + i, pool, bytes - i < POOL * 2 ? bytes - i : POOL * 2);
    free(pool);
  } else {
    uint32_t *noise = random_bytes(bytes);
    for (size_t i = 0; m->form == ZH_FORM_E4M3 && i < bytes / 4; i++) noise[i] &= SMALL_E4M3;
    numbers = (uint8_t *)noise;
  }
  m->numbers = device_copy(numbers, bytes);
  free(numbers);
  uint32_t *scales = scale_bytes ? zeroed(scale_bytes) : NULL;
  for (size_t i = 0; i < scale_bytes / 4; i++)
    scales[i] = m->form == ZH_FORM_E4M3 ? 0x3C000000u : 0x20002000u;
  m->scales = scales ? device_copy(scales, scale_bytes) : NULL;
  free(scales);
}

void device_time_variants(char *words, size_t capacity, device_timing *t, zh_device_form form,
                          zh_way way, bool whole, const device_peaks *peaks) {
  size_t length = strlen(words);
  if (way == ZH_FEW) {
    device_report_timing(words, t);
    return;
  }
  for (const char *const *v = device_variants(); *v; v++) {
    bool library = strcmp(*v, "cublaslt") == 0, e4m3 = strstr(*v, "e4m3") != NULL;
    if ((library && (!whole || form != ZH_FORM_BF16)) || (e4m3 && form != ZH_FORM_E4M3)) continue;
    device_take_variant(*v);
    t->peak = e4m3 ? peaks->e4m3 : peaks->bf16;
    snprintf(words + length, capacity - length, ", %s", *v);
    device_report_timing(words, t);
  }
  device_take_variant(NULL);
}

static void bench_product(zh_device_form form, uint32_t rows, uint32_t columns, size_t tokens,
                          const device_peaks *peaks) {
  product_work p = {
      .work = {.count = 1, .factor = 1, .tokens = tokens, .x_stride = columns, .y_stride = rows}};
  zh_device_matrix m = {
      .form = form, .rows = rows, .columns = columns, .scale_rows = 128, .scale_columns = 128};
  size_t bytes = zh_device_number_bytes(form, rows, columns),
         scale_bytes = zh_device_scale_bytes(&m);
  device_timing t = {enqueue_product,
                     &p,
                     device_copies_of((double)(bytes + scale_bytes)),
                     (double)(bytes + scale_bytes),
                     2.0 * rows * columns * (double)tokens,
                     0};
  for (size_t i = 0; i < t.copies; i++) {
    p.matrix[i] = m;
    device_fill_weights(&p.matrix[i]);
  }
  float *x = normal_floats(tokens * columns, 1);
  p.work.x = device_copy(x, tokens * columns * 4);
  p.work.y = device_copy(NULL, tokens * rows * 4);
  p.work.way = tokens <= on.api->few_tokens ? ZH_FEW : ZH_MANY;
  free(x);
  char words[80];
  snprintf(words, sizeof words, "product %s %ux%u, %zu tokens", zh_device_form_names[form], rows,
           columns, tokens);
  device_time_variants(words, sizeof words, &t, form, p.work.way, true, peaks);
  device_drop();
}

static void bench_products(const device_peaks *peaks) {
  static const size_t tokens[] = {1, 8, 32, 512, 2048};
  for (int form = ZH_FORM_BF16; form < ZH_FORMS; form++)
    for (size_t i = 0; i < (on.slow ? 1 : 5); i++) {
      if (on.slow) {
        bench_product((zh_device_form)form, 64, 512, tokens[i], peaks);
        continue;
      }
      bench_product((zh_device_form)form, 4096, 4096, tokens[i], peaks);
      bench_product((zh_device_form)form, 28672, 4096, tokens[i], peaks);
      bench_product((zh_device_form)form, 4096, 14336, tokens[i], peaks);
    }
}

/* --- attention --- */

typedef struct attention_work {
  zh_device_attention work;
  void *keys[MOST_COPIES], *values[MOST_COPIES];
} attention_work;

static zh_status enqueue_attention(void *user, size_t copy, zh_error *err) {
  attention_work *a = user;
  a->work.kv.keys = a->keys[copy];
  a->work.kv.values = a->values[copy];
  return on.api->attention(on.device, &a->work, err);
}

/* tokens: each of a sequence of its own, or the last ones of one (sequences 1). latent: dimensions
 * of the values that latents begin with; 0: values lie apart. */
static void bench_attention_of(zh_device_kv_type type, uint32_t heads, uint32_t kv_heads,
                               uint32_t dim, uint32_t latent, uint32_t depth, uint32_t tokens,
                               uint32_t sequences, zh_way way) {
  uint32_t values = latent ? latent : dim, *position = zeroed(tokens * 4),
           *sequence = zeroed(tokens * 4);
  attention_work a = {.work = {.heads = heads, .tokens = tokens, .longest = depth, .way = way}};
  a.work.kv = (zh_device_kv){type, sequences, kv_heads, depth, dim, values, NULL, NULL};
  size_t bytes = zh_device_kv_bytes(&a.work.kv, false);
  double all = (latent ? 1.0 : 2.0) * (double)bytes;
  device_timing t = {enqueue_attention, &a, device_copies_of(all), all, 0, 0};
  for (uint32_t i = 0; i < tokens; i++) {
    position[i] = sequences > 1 ? depth - 1 : depth - tokens + i;
    sequence[i] = sequences > 1 ? i : 0;
    t.operations += 2.0 * heads * (dim + values) * (position[i] + 1.0);
  }
  uint32_t *zeros = zeroed(bytes);
  for (size_t i = 0; i < t.copies; i++) {
    a.keys[i] = device_copy(zeros, bytes);
    a.values[i] = latent ? NULL : device_copy(zeros, bytes);
  }
  float *q = normal_floats((size_t)tokens * heads * dim, 1);
  a.work.q = device_copy(q, (size_t)tokens * heads * dim * 4);
  a.work.out = device_copy(NULL, (size_t)tokens * heads * values * 4);
  a.work.position = device_copy(position, tokens * 4);
  a.work.sequence = device_copy(sequence, tokens * 4);
  a.work.scale = 1 / sqrtf((float)dim);
  a.work.scratch = device_copy(NULL, on.api->attention_scratch(on.device, &a.work) + 16);
  char words[80];
  snprintf(words, sizeof words, "attention %s %u/%u of %u, %u tokens at %u, %s",
           type == ZH_DEVICE_KV_BF16 ? "bf16" : "e4m3", heads, kv_heads, dim, tokens, depth,
           way == ZH_FEW ? "few" : "many");
  device_report_timing(words, &t);
  free(zeros), free(q), free(position), free(sequence);
  device_drop();
}

static void bench_attentions(void) {
  for (int type = ZH_DEVICE_KV_BF16; type <= ZH_DEVICE_KV_E4M3; type++) {
    if (on.slow) {
      bench_attention_of((zh_device_kv_type)type, 4, 1, 64, 0, 128, 1, 1, ZH_FEW);
      bench_attention_of((zh_device_kv_type)type, 16, 1, 96, 64, 128, 1, 1, ZH_MANY);
      continue;
    }
    bench_attention_of((zh_device_kv_type)type, 32, 8, 128, 0, 2048, 1, 1, ZH_FEW);
    bench_attention_of((zh_device_kv_type)type, 32, 8, 128, 0, 32768, 1, 1, ZH_FEW);
    bench_attention_of((zh_device_kv_type)type, 64, 8, 128, 0, 8192, 16, 16, ZH_FEW);
    bench_attention_of((zh_device_kv_type)type, 32, 8, 128, 0, 2048, 2048, 1, ZH_MANY);
    bench_attention_of((zh_device_kv_type)type, 32, 8, 128, 0, 8192, 2048, 1, ZH_MANY);
    bench_attention_of((zh_device_kv_type)type, 16, 1, 576, 512, 8192, 16, 16, ZH_MANY);
    bench_attention_of((zh_device_kv_type)type, 128, 1, 576, 512, 8192, 16, 16, ZH_MANY);
    bench_attention_of((zh_device_kv_type)type, 128, 1, 576, 512, 4096, 1024, 1, ZH_MANY);
  }
}

/* --- rows of a token: what a kernel's beginning and end cost --- */

static zh_status enqueue_add(void *user, size_t copy, zh_error *err) {
  float *const *rows = user;
  return on.api->add(on.device, rows[0] + copy * 4096, rows[1] + copy * 4096, 1, 4096, err);
}
static zh_status enqueue_norm(void *user, size_t copy, zh_error *err) {
  float *const *rows = user;
  zh_device_norm work = {.y = rows[0] + copy * 4096,
                         .x = rows[1] + copy * 4096,
                         .gain = rows[1],
                         .y_stride = 4096,
                         .x_stride = 4096,
                         .columns = 4096,
                         .heads = 1,
                         .tokens = 1,
                         .eps = 1e-5f};
  return on.api->norm(on.device, &work, err);
}

static void bench_rows(void) {
  float *x = normal_floats(MOST_COPIES * 4096, 1);
  float *rows[2] = {device_copy(x, MOST_COPIES * 4096 * 4), device_copy(x, MOST_COPIES * 4096 * 4)};
  device_timing add = {enqueue_add, rows, MOST_COPIES, 3 * 4096 * 4, 0, 0},
                norm = {enqueue_norm, rows, MOST_COPIES, 3 * 4096 * 4, 0, 0};
  device_report_timing("add, a row of 4096", &add);
  device_report_timing("norm, a row of 4096", &norm);
  free(x);
  device_drop();
}

void bench_device_cases(const char *only) {
  bool products = !only || strcmp(only, "product") == 0,
       grouped = !only || strcmp(only, "grouped") == 0;
  device_peaks peaks = {0, 0};
  if (products || grouped)
    peaks = (device_peaks){measure_peak("bf16_tensor"), measure_peak("fp8_tensor")};
  if (products) bench_products(&peaks);
  if (grouped) bench_device_grouped(&peaks);
  if (!only || strcmp(only, "attention") == 0) bench_attentions();
  if (!only || strcmp(only, "rows") == 0) bench_rows();
}
