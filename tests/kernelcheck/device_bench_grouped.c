/* Products by experts: weights of those that have choices are read once. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/kernelcheck/device_bench.h"

typedef struct grouped_work {
  zh_device_route route;
  zh_device_grouped work;
  zh_device_matrix matrix[MOST_COPIES];
} grouped_work;

static zh_status enqueue_grouped(void *user, size_t copy, zh_error *err) {
  grouped_work *g = user;
  g->work.matrices = &g->matrix[copy];
  return on.api->grouped(on.device, &g->work, err);
}

/* Choices by random logits; the experts that have some. */
static uint32_t route(grouped_work *g, size_t tokens, uint32_t experts, uint32_t used) {
  zh_error err = ZH_ERROR_INIT;
  uint32_t busy = 0;
  float *logits = normal_floats(tokens * experts, 1);
  g->route =
      (zh_device_route){.choice = device_copy(NULL, tokens * used * 4),
                        .weight = device_copy(NULL, tokens * used * 4),
                        .lists = device_copy(NULL, zh_device_list_words(tokens, experts, used) * 4),
                        .logits = device_copy(logits, tokens * experts * 4),
                        .tokens = tokens,
                        .experts = experts,
                        .used = used};
  device_must(on.api->route(on.device, &g->route, &err), &err);
  device_read(&busy, g->route.lists, sizeof busy);
  free(logits);
  return busy;
}

/* rows: of an expert. */
static void bench_grouped(zh_device_form form, uint32_t rows, uint32_t columns, uint32_t experts,
                          uint32_t used, size_t tokens, const device_peaks *peaks) {
  grouped_work g = {.work = {.count = 1,
                             .x_stride = columns,
                             .y_stride = rows,
                             .spread = true,
                             .tokens = tokens,
                             .experts = experts,
                             .used = used,
                             .way = tokens <= on.api->few_tokens ? ZH_FEW : ZH_MANY}};
  zh_device_matrix m = {.form = form,
                        .rows = rows * experts,
                        .columns = columns,
                        .scale_rows = 128,
                        .scale_columns = 128};
  double each = (double)zh_device_number_bytes(form, rows, columns) +
                (double)zh_device_scale_bytes(&m) / experts;
  uint32_t busy = route(&g, tokens, experts, used);
  double choices = (double)tokens * used;
  device_timing t = {enqueue_grouped,
                     &g,
                     device_copies_of(each * busy),
                     each * busy,
                     2.0 * rows * columns * choices,
                     0};
  if (t.copies > 2) t.copies = 2; /* each has all experts */
  for (size_t i = 0; i < t.copies; i++) {
    g.matrix[i] = m;
    device_fill_weights(&g.matrix[i]);
  }
  float *x = normal_floats(tokens * columns, 1);
  g.work.x = device_copy(x, tokens * columns * 4);
  g.work.y = device_copy(NULL, tokens * used * rows * 4);
  g.work.lists = g.route.lists;
  free(x);
  char words[80];
  snprintf(words, sizeof words, "grouped %s %u of %u, %ux%u, %zu tokens",
           zh_device_form_names[form], used, experts, rows, columns, tokens);
  device_time_variants(words, sizeof words, &t, form, g.work.way, false, peaks);
  device_drop();
}

/* Experts of zh-moe-3b's shape, and of DeepSeek-V3's with a quarter of its experts. */
void bench_device_grouped(const device_peaks *peaks) {
  static const size_t tokens[] = {1, 8, 32, 512, 4096};
  static const zh_device_form forms[] = {ZH_FORM_BF16, ZH_FORM_E4M3, ZH_FORM_Q4, ZH_FORM_Q4_K};
  for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
    if (on.slow) {
      bench_grouped(forms[f], 128, 256, 4, 2, 9, peaks);
      bench_grouped(forms[f], 128, 256, 4, 2, 40, peaks);
      continue;
    }
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
      bench_grouped(forms[f], 768, 2048, 64, 8, tokens[i], peaks);
      bench_grouped(forms[f], 2048, 7168, 64, 8, tokens[i], peaks);
    }
  }
}
