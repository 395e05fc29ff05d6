/* Products of weights of E4M3 by many tokens whose inputs become E4M3 too: the inputs bit for bit,
 * groups that have to be added in fp32, scales that must not be taken for each other's, and tiles
 * of all kinds of scales. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernelcheck/device.h"

enum { GROUP = ZH_E4M3_GROUP, PADDING = 3 };

static zh_status enqueue(void *user, zh_error *err) {
  return on.api->product(on.device, user, err);
}

/* y[tokens][rows] of one matrix; the worst that running it by itself and from a graph found. */
static double multiply(float *y, const device_weights *w, const float *x, size_t x_stride,
                       size_t tokens) {
  uint32_t rows = w->host.rows;
  zh_device_product work = {.y = device_copy(NULL, tokens * rows * sizeof *y),
                            .y_stride = rows,
                            .matrices = &w->device,
                            .count = 1,
                            .x = device_copy(x, tokens * x_stride * sizeof *x),
                            .x_stride = x_stride,
                            .tokens = tokens,
                            .factor = 1,
                            .way = ZH_MANY};
  device_run run = {enqueue, &work, work.y, NULL, tokens * rows * sizeof *y, true};
  return device_result(y, &run);
}

static void report(const char *what, uint32_t rows, uint32_t columns, size_t tokens, double worst) {
  char words[96];
  snprintf(words, sizeof words, "e4m3 %ux%u, %zu tokens, %s: %s", rows, columns, tokens,
           on.api->product_variant(on.device), what);
  check_report("product", on.api->backend, words, worst);
  device_drop();
}

/* The device gets what was written over the host's numbers and scales. */
static void send(device_weights *w) {
  size_t bytes = zh_device_number_bytes(w->host.form, w->host.rows, w->host.columns);
  w->device.numbers = device_copy(w->host.numbers, bytes);
  w->device.scales = device_copy(w->host.scales, zh_device_scale_bytes(&w->host));
}

static uint8_t *number_at(const device_weights *w, size_t row, size_t column) {
  uint8_t *numbers = w->host.numbers;
  return numbers + row * zh_device_number_bytes(ZH_FORM_E4M3, 1, w->host.columns) + column;
}

static void fill_numbers(const device_weights *w, uint8_t byte) {
  memset(w->host.numbers, 0, zh_device_number_bytes(ZH_FORM_E4M3, w->host.rows, w->host.columns));
  for (size_t r = 0; r < w->host.rows; r++) memset(number_at(w, r, 0), byte, w->host.columns);
}

/* --- inputs, one by one --- */

/* Of all sizes, down to where numbers over scales are subnormal or nothing, ties among them, a
 * group of zeros. */
static float *inputs_of_all_sizes(size_t tokens, size_t columns) {
  float *x = normal_floats(tokens * columns, 1);
  for (size_t t = 0; t < tokens; t++)
    for (size_t c = 0; c < columns; c++) {
      float *at = &x[t * columns + c];
      *at *= ldexpf(1, (int)(c % 19) - 14 + (int)(t % 5) * 9);
      if (c % 7 == 3)
        *at = ldexpf((float)(2 * (c % 16) + 17), (int)(c % 9) - 9); /* between two numbers */
      if (t == 1 && c / GROUP == 1) *at = 0;
      if (t == 2 && c / GROUP == 0) *at *= 0x1p-130f; /* their scale is next to nothing */
    }
  return x;
}

/* Row r has a one in column r: a token's products are its inputs as they were rounded, bit for bit.
 */
static void check_inputs(void) {
  enum { COLUMNS = 300, TOKENS = 9 };
  device_weights w = device_weights_of(ZH_FORM_E4M3, COLUMNS, COLUMNS, 128, 128);
  fill_numbers(&w, 0);
  for (size_t r = 0; r < COLUMNS; r++) *number_at(&w, r, r) = zh_f32_to_e4m3(1);
  for (size_t i = 0; i < zh_device_scale_bytes(&w.host) / sizeof(float); i++)
    ((float *)w.host.scales)[i] = 1;
  send(&w);
  float *x = inputs_of_all_sizes(TOKENS, COLUMNS), y[TOKENS * COLUMNS], expected[COLUMNS];
  double worst = multiply(y, &w, x, COLUMNS, TOKENS);
  for (size_t t = 0; t < TOKENS; t++) {
    zh_rounded(expected, ZH_ROUND_E4M3_INPUTS, x + t * COLUMNS, COLUMNS);
    for (size_t c = 0; c < COLUMNS; c++)
      if (!(y[t * COLUMNS + c] == expected[c]))
        worst = INFINITY; /* of zeros the signs may differ */
  }
  report("inputs", COLUMNS, COLUMNS, TOKENS, worst);
  device_weights_free(&w);
  free(x);
}

/* --- groups --- */

/* The first group is so large that what any other number gives lies below the 13 bits that its sum
 * keeps: only where each group's sum goes over to fp32 by itself do the others count.
 * tests/shim/test_e4m3.cc: that one is noticed where it does not. */
static void check_promotion(void) {
  enum { COLUMNS = 10 * GROUP, ROWS = 20, TOKENS = 70 };
  device_weights w = device_weights_of(ZH_FORM_E4M3, ROWS, COLUMNS, ROWS, COLUMNS);
  float *x = zeroed(TOKENS * COLUMNS * sizeof *x), *y = zeroed(TOKENS * ROWS * sizeof *y);
  fill_numbers(&w, zh_f32_to_e4m3(40));
  ((float *)w.host.scales)[0] = 1;
  for (size_t r = 0; r < ROWS; r++) {
    memset(number_at(&w, r, 0), zh_f32_to_e4m3(448), GROUP);
    for (size_t c = GROUP; c < COLUMNS; c += GROUP)
      *number_at(&w, r, c) = 0; /* beside what gives its group a scale */
  }
  send(&w);
  for (size_t i = 0; i < (size_t)TOKENS * COLUMNS; i++)
    x[i] = i % COLUMNS < GROUP || i % GROUP == 0 ? 448 : 48;
  double worst = multiply(y, &w, x, COLUMNS, TOKENS);
  for (size_t t = 0; t < TOKENS; t++)
    for (size_t r = 0; r < ROWS; r++) {
      double bound, sum = device_dot(&bound, &w, r, x + t * COLUMNS, ZH_MANY);
      worst = worse(worst, y[t * ROWS + r], sum, bound);
    }
  report("small groups behind a large one", ROWS, COLUMNS, TOKENS, worst);
  device_weights_free(&w);
  free(x);
  free(y);
}

/* --- scales --- */

/* Those of tokens, of groups and of blocks far apart, so that one taken for another shows. */
static void check_scales(uint32_t rows, uint32_t columns, uint32_t scale_rows,
                         uint32_t scale_columns, size_t tokens) {
  device_weights w = device_weights_of(ZH_FORM_E4M3, rows, columns, scale_rows, scale_columns);
  size_t x_stride = columns + PADDING, scales = zh_device_scale_bytes(&w.host) / sizeof(float);
  float *x = normal_floats(tokens * x_stride, 1), *y = zeroed(tokens * rows * sizeof *y);
  for (size_t i = 0; i < scales; i++) ((float *)w.host.scales)[i] *= (float)(1u << i % 5);
  send(&w);
  for (size_t t = 0; t < tokens; t++)
    for (size_t c = 0; c < columns; c++)
      x[t * x_stride + c] *= (float)((1u << t % 4) * (1 + c / GROUP % 3));
  double worst = multiply(y, &w, x, x_stride, tokens);
  size_t step = on.slow ? 1 : 7; /* of tokens that are held against the host's */
  float *inputs = device_inputs(&w, x, x_stride, tokens, ZH_MANY),
        *row = zeroed(columns * sizeof *row);
  for (size_t r = 0; r < rows; r++) {
    device_row(row, &w, r, ZH_MANY);
    for (size_t t = r % step; t < tokens; t += step) {
      double bound, sum = device_sum(&bound, &w, row, inputs + t * columns, ZH_MANY);
      worst = worse(worst, y[t * rows + r], sum, bound);
    }
  }
  char words[64];
  snprintf(words, sizeof words, "scales of %ux%u", scale_rows, scale_columns);
  report(words, rows, columns, tokens, worst);
  device_weights_free(&w);
  free(inputs);
  free(row);
  free(x);
  free(y);
}

void check_device_e4m3(void) {
  for (const char *const *variant = device_variants(); *variant; variant++) {
    device_take_variant(*variant);
    if (device_variant_differs(ZH_FORM_BF16)) continue;
    check_inputs();
    check_promotion();
    check_scales(140, 300, 128, 128, 70); /* more than a tile of rows, groups that end early */
    check_scales(33, 260, 33, 260, 140);  /* one scale */
    check_scales(130, 200, 1, 200, 66);   /* each row its own */
    check_scales(50, 384, 16, 256,
                 17); /* blocks within a tile: Hopper's kernel leaves it to the other */
    check_scales(21, 160, 128, 64, 5); /* groups of two scales are not rounded so */
    if (!on.slow) check_scales(2048 + 24, 4096, 128, 128, 700);
  }
  device_take_variant(NULL);
}
