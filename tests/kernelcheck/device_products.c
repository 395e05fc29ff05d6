#include "tests/kernelcheck/device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PADDING = 3, SIDES = 3 };

static const char *way_name(zh_way way) {
  return way == ZH_FEW ? "few" : on.api->product_variant(on.device);
}

/* A token's sums are the same whatever the others: not promised of the vendor's library. */
static bool sums_alike(zh_way way) {
  return way == ZH_FEW || strcmp(on.api->product_variant(on.device), "cublaslt") != 0;
}

/* --- several matrices of one input --- */

typedef struct product_case {
  device_weights w[SIDES];
  zh_device_matrix matrices[SIDES];
  float *bias[SIDES], *before;
  const float *biases[SIDES];
  zh_device_product work;
  float *x; /* of the host */
  size_t rows;
} product_case;

static zh_status enqueue_product(void *user, zh_error *err) {
  return on.api->product(on.device, user, err);
}

typedef struct product_shape {
  zh_device_form form, last; /* of the last matrix */
  uint32_t rows, columns, scale_rows, scale_columns;
  size_t tokens, sides;
  bool biased, adds;
} product_shape;

static product_case prepare_product(const product_shape *s, zh_way way) {
  product_case c = {.rows = 0};
  for (size_t i = 0; i < s->sides; i++) {
    zh_device_form form = i + 1 == s->sides ? s->last : s->form;
    c.w[i] = device_weights_of(form, s->rows + (uint32_t)(5 * i), s->columns,
                               form == ZH_FORM_E4M3 ? s->scale_rows : 0,
                               form == ZH_FORM_E4M3 ? s->scale_columns : 0);
    c.matrices[i] = c.w[i].device;
    c.bias[i] = normal_floats(c.matrices[i].rows, 3);
    c.biases[i] = s->biased && i != 1 ? device_copy(c.bias[i], c.matrices[i].rows * 4) : NULL;
    c.rows += c.matrices[i].rows;
  }
  size_t x_stride = s->columns % 8 == 4 ? s->columns : s->columns + PADDING,
         y_stride = c.rows + PADDING;
  c.x = normal_floats(s->tokens * x_stride, 1);
  c.before = normal_floats(s->tokens * y_stride, 2);
  c.work = (zh_device_product){.y = device_copy(NULL, s->tokens * y_stride * 4),
                               .y_stride = y_stride,
                               .biases = s->biased ? c.biases : NULL,
                               .count = s->sides,
                               .x = device_copy(c.x, s->tokens * x_stride * 4),
                               .x_stride = x_stride,
                               .tokens = s->tokens,
                               .adds = s->adds,
                               .factor = s->adds ? 0.5f : 1,
                               .way = way};
  return c;
}

/* Of one matrix, whose rows begin at `first` of y's. */
static double side_errors(const product_case *c, const product_shape *s, size_t i, size_t first,
                          const float *y) {
  const device_weights *w = &c->w[i];
  zh_way way = c->work.way;
  float *inputs = device_inputs(w, c->x, c->work.x_stride, s->tokens, way),
        *row = zeroed(s->columns * sizeof *row);
  double worst = 0;
  for (size_t r = 0; r < w->host.rows; r++) {
    double bias = c->biases[i] ? c->bias[i][r] : 0;
    device_row(row, w, r, way);
    for (size_t t = 0; t < s->tokens; t++) {
      size_t at = t * c->work.y_stride + first + r;
      double bound, sum = device_sum(&bound, w, row, inputs + t * s->columns, way) + bias;
      bound += 2 * 0x1p-24 * (fabs(sum) + fabs(bias));
      if (s->adds) {
        sum = 0.5 * sum + c->before[at];
        bound = bound + 2 * 0x1p-24 * (fabs(sum) + fabs((double)c->before[at]));
      }
      worst = worse(worst, y[at], sum, bound);
    }
  }
  free(inputs);
  free(row);
  return worst;
}

static double product_errors(const product_case *c, const product_shape *s, const float *y) {
  double worst = 0;
  size_t first = 0;
  for (size_t i = 0; i < s->sides; first += c->w[i++].host.rows)
    worst = fmax(worst, side_errors(c, s, i, first, y));
  for (size_t t = 0; t < s->tokens; t++)
    worst = unless_equal(worst, y + t * c->work.y_stride + first,
                         s->adds ? c->before + t * c->work.y_stride + first : y + first,
                         PADDING * 4); /* all NaN, or what stood there */
  return worst;
}

/* Tiles on tensor cores. */
static bool is_apart(zh_device_form form, zh_way way) {
  return way == ZH_MANY && form != ZH_FORM_F32 && form != ZH_FORM_F16;
}

/* Each token alone equals itself among the others. */
static double alone(product_case *c, const product_shape *s, const float *y) {
  size_t stride = c->work.y_stride;
  float *one = zeroed(stride * sizeof *one);
  const float *x = c->work.x;
  double worst = 0;
  for (size_t t = 0; t<s->tokens; t += s->tokens> 2 ? s->tokens - 1 : 1) {
    device_run run = {enqueue_product,
                      &c->work,
                      c->work.y,
                      s->adds ? c->before + t * stride : NULL,
                      stride * sizeof *one,
                      is_apart(s->form, c->work.way)};
    c->work.tokens = 1;
    c->work.x = x + t * c->work.x_stride;
    worst = fmax(worst, device_result(one, &run));
    worst = unless_equal(worst, one, y + t * stride, c->rows * sizeof *one);
  }
  free(one);
  return worst;
}

static void check_product(const product_shape *s, zh_way way) {
  product_case c = prepare_product(s, way);
  c.work.matrices = c.matrices;
  size_t bytes = s->tokens * c.work.y_stride * sizeof(float);
  float *y = zeroed(bytes);
  device_run run = {enqueue_product,           &c.work, c.work.y,
                    s->adds ? c.before : NULL, bytes,   is_apart(s->form, way)};
  double worst = device_result(y, &run);
  worst = fmax(worst, product_errors(&c, s, y));
  if (sums_alike(way)) worst = fmax(worst, alone(&c, s, y));
  char words[96];
  snprintf(words, sizeof words, "%s %ux%u x%zu, %zu tokens, %s%s%s", zh_device_form_names[s->form],
           s->rows, s->columns, s->sides, s->tokens, way_name(way), s->biased ? ", bias" : "",
           s->adds ? ", adds" : "");
  check_report("product", on.api->backend, words, worst);
  for (size_t i = 0; i < s->sides; i++) {
    device_weights_free(&c.w[i]);
    free(c.bias[i]);
  }
  free(c.x);
  free(c.before);
  free(y);
  device_drop();
}

static bool any_columns(zh_device_form form) {
  return form <= ZH_FORM_E4M3;
}

static void check_form(zh_device_form form, zh_way way) {
  static const uint32_t odd[] = {1, 7, 100, 331}, blocks[] = {256, 256, 768, 1280},
                        halves[] = {32, 96, 608, 1056};
  static const size_t tokens[] = {1, 5, 9, 18};
  for (size_t i = 0; i < 4; i++) {
    uint32_t columns = any_columns(form) ? odd[i] : form == ZH_FORM_Q4_K ? blocks[i] : halves[i];
    product_shape s = {.form = form,
                       .last = i == 2 ? ZH_FORM_F32 : form,
                       .rows = i == 0 ? 1 : 21,
                       .columns = columns,
                       .scale_rows = i % 2 ? 16 : 1,
                       .scale_columns = i > 1 ? 64 : columns,
                       .tokens = tokens[i],
                       .sides = i == 0   ? 1
                                : i == 1 ? 2
                                         : 3,
                       .biased = i % 2 == 0,
                       .adds = i == 3};
    check_product(&s, way);
  }
  product_shape wide = {.form = form,
                        .last = form,
                        .rows = on.slow ? 40 : 515,
                        .columns = on.slow ? 1280 : 4096 + 256,
                        .scale_rows = 128,
                        .scale_columns = 128,
                        .tokens = on.slow ? (way == ZH_FEW ? 2 : 17) : 300,
                        .sides = 1};
  check_product(&wide, way);
  if (way == ZH_FEW &&
      (form == ZH_FORM_BF16 || form == ZH_FORM_Q4_K)) { /* more than pass at once */
    product_shape more = {.form = form,
                          .last = form,
                          .rows = 19,
                          .columns = 256,
                          .tokens = 35,
                          .sides = 1},
                  tall = more;
    check_product(&more, way);
    tall.rows = on.slow ? 300 : 9001; /* twice as many rows a warp */
    tall.tokens = 6;
    check_product(&tall, way);
  }
  if (way == ZH_MANY && form == ZH_FORM_BF16) { /* more than a tile both ways */
    product_shape tall = {
        .form = form, .last = form, .rows = 130, .columns = 48, .tokens = 131, .sides = 1};
    check_product(&tall, way);
    product_shape taller = {
        .form = form, .last = form, .rows = 133, .columns = 200, .tokens = 270, .sides = 1};
    check_product(&taller, way);
  }
}

void check_device_products(void) {
  for (int form = 0; form < ZH_FORMS; form++) check_form((zh_device_form)form, ZH_FEW);
  for (const char *const *variant = device_variants(); *variant; variant++) {
    device_take_variant(*variant);
    for (int form = 0; form < ZH_FORMS; form++)
      if (device_variant_differs((zh_device_form)form)) check_form((zh_device_form)form, ZH_MANY);
  }
  device_take_variant(NULL);
  check_device_e4m3();
}

/* --- each head its own rows --- */

static zh_status enqueue_heads(void *user, zh_error *err) {
  return on.api->head_product(on.device, user, err);
}

static void check_heads(zh_device_form form, uint32_t each, uint32_t columns, size_t heads,
                        size_t tokens, zh_way way) {
  device_weights w = device_weights_of(form, each * (uint32_t)heads, columns, each, columns);
  size_t x_head = columns + 12, y_head = each + 2, x_stride = heads * x_head,
         y_stride = heads * y_head, bytes = tokens * y_stride * 4;
  float *x = normal_floats(tokens * x_stride, 1), *y = zeroed(bytes);
  zh_device_head_product work = {.y = device_copy(NULL, bytes),
                                 .y_stride = y_stride,
                                 .y_head = y_head,
                                 .matrix = w.device,
                                 .x = device_copy(x, tokens * x_stride * 4),
                                 .x_stride = x_stride,
                                 .x_head = x_head,
                                 .heads = heads,
                                 .tokens = tokens,
                                 .way = way};
  device_run run = {enqueue_heads, &work, work.y, NULL, bytes, is_apart(w.host.form, way)};
  double worst = device_result(y, &run);
  for (size_t t = 0; t < tokens; t++)
    for (size_t h = 0; h < heads; h++)
      for (size_t r = 0; r < each; r++) {
        double bound,
            sum = device_dot(&bound, &w, h * each + r, x + t * x_stride + h * x_head, way);
        worst = worse(worst, y[t * y_stride + h * y_head + r], sum, bound);
      }
  char words[96];
  snprintf(words, sizeof words, "%s %zu heads of %ux%u, %zu tokens, %s", zh_device_form_names[form],
           heads, each, columns, tokens, way_name(way));
  check_report("head_product", on.api->backend, words, worst);
  device_weights_free(&w);
  free(x);
  free(y);
  device_drop();
}

static void check_heads_way(zh_way way) {
  static const zh_device_form forms[] = {ZH_FORM_F32, ZH_FORM_BF16, ZH_FORM_E4M3, ZH_FORM_Q8};
  for (size_t i = 0; i < 4; i++) {
    if (!device_variant_differs(forms[i])) continue;
    check_heads(forms[i], 24, 128, 3, 2, way);
    check_heads(forms[i], 33, 64, 2, 9, way);
  }
  if (way == ZH_MANY && device_variant_differs(ZH_FORM_BF16))
    check_heads(ZH_FORM_BF16, 130, 72, 3, 70, way);
}

void check_device_head_products(void) {
  check_heads_way(ZH_FEW);
  device_each_own_variant(check_heads_way);
}

/* --- each choice by its expert's --- */

typedef struct grouped_case {
  zh_device_route route;
  zh_device_grouped work;
} grouped_case;

static zh_status enqueue_grouped(void *user, zh_error *err) {
  const grouped_case *c = user;
  ZH_TRY(on.api->route(on.device, &c->route, err));
  return on.api->grouped(on.device, &c->work, err);
}

/* Of a rank that has `here` of the experts, from `first` on. */
typedef struct own_experts {
  uint32_t first, here;
} own_experts;

static void check_own_experts(zh_device_form form, uint32_t columns, uint32_t experts,
                              uint32_t used, size_t tokens, bool spread, own_experts own,
                              zh_way way) {
  enum { EACH = 18, SECOND = 7 };
  device_weights w[2] = {device_weights_of(form, EACH * own.here, columns, EACH, 64),
                         device_weights_of(form, SECOND * own.here, columns, 1, columns)};
  zh_device_matrix matrices[2] = {w[0].device, w[1].device};
  size_t choices = tokens * used, inputs = spread ? tokens : choices, x_stride = columns + 4,
         y_stride = EACH + SECOND + 1, bytes = choices * y_stride * 4;
  float *x = normal_floats(inputs * x_stride, 1), *y = zeroed(bytes),
        *logits = normal_floats(tokens * experts, 1),
        *bias = normal_floats((size_t)EACH * own.here, 1), *before = normal_floats(bytes / 4, 1);
  uint32_t *choice = zeroed(choices * 4);
  const float *biases[2] = {device_copy(bias, (size_t)EACH * own.here * 4), NULL};
  grouped_case c = {
      .route = {.choice = device_copy(NULL, choices * 4),
                .weight = device_copy(NULL, choices * 4),
                .lists = device_copy(NULL, zh_device_list_words(tokens, experts, used) * 4),
                .logits = device_copy(logits, tokens * experts * 4),
                .tokens = tokens,
                .experts = experts,
                .used = used,
                .first = own.first,
                .here = own.here}};
  c.work = (zh_device_grouped){.y = device_copy(before, bytes),
                               .y_stride = y_stride,
                               .matrices = matrices,
                               .biases = biases,
                               .count = 2,
                               .x = device_copy(x, inputs * x_stride * 4),
                               .x_stride = x_stride,
                               .spread = spread,
                               .tokens = tokens,
                               .experts = own.here,
                               .used = used,
                               .lists = c.route.lists,
                               .way = way};
  device_run run = {enqueue_grouped, &c, c.work.y, before, bytes, is_apart(form, way)};
  double worst = device_result(y, &run);
  device_read(choice, c.route.choice, choices * 4);
  for (size_t i = 0; i < choices && worst <= 1; i++)
    for (size_t r = 0; r < EACH + SECOND; r++) {
      bool second = r >= EACH;
      uint32_t expert = choice[i] - own.first;
      if (expert >= own.here) { /* another rank's */
        worst = unless_equal(worst, y + i * y_stride + r, before + i * y_stride + r, 4);
        continue;
      }
      size_t row = second ? expert * SECOND + r - EACH : expert * EACH + r;
      double bound,
          sum = device_dot(&bound, &w[second], row, x + (spread ? i / used : i) * x_stride, way);
      if (!second) sum += bias[row];
      worst = worse(worst, y[i * y_stride + r], sum, bound + 0x1p-22 * (1 + fabs(sum)));
    }
  char words[96];
  snprintf(words, sizeof words, "%s %u of %u experts, %u here, %zu tokens, %s%s",
           zh_device_form_names[form], used, experts, own.here, tokens, way_name(way),
           spread ? ", spread" : "");
  check_report("grouped", on.api->backend, words, worst);
  device_weights_free(&w[0]);
  device_weights_free(&w[1]);
  free(x);
  free(y);
  free(logits);
  free(bias);
  free(before);
  free(choice);
  device_drop();
}

static void check_experts(zh_device_form form, uint32_t columns, uint32_t experts, uint32_t used,
                          size_t tokens, bool spread, zh_way way) {
  own_experts all = {0, experts};
  check_own_experts(form, columns, experts, used, tokens, spread, all, way);
}

/* Of a rank that has some of the experts; and one alone, which may have no choice. */
static void check_shares(zh_way way) {
  static const own_experts last = {5, 4}, none = {8, 1};
  check_own_experts(ZH_FORM_BF16, 192, 9, 2, 11, true, last, way);
  check_own_experts(ZH_FORM_BF16, 192, 9, 2, 1, true, none, way);
  check_own_experts(ZH_FORM_E4M3, 192, 9, 3, 7, false, last, way);
  check_own_experts(ZH_FORM_F32, 64, 9, 3, 7, false, last, way);
  if (way == ZH_MANY) check_own_experts(ZH_FORM_BF16, 160, 9, 2, 150, true, last, way);
}

static void check_experts_way(zh_way way) {
  static const zh_device_form forms[] = {ZH_FORM_F32, ZH_FORM_BF16, ZH_FORM_E4M3, ZH_FORM_Q4_K};
  for (size_t i = 0; i < 4; i++) {
    uint32_t columns = forms[i] == ZH_FORM_Q4_K ? 512 : 192;
    if (!device_variant_differs(forms[i])) continue;
    check_experts(forms[i], columns, 9, 2, 1, true, way);
    check_experts(forms[i], columns, 5, 3, 11, i % 2 == 0, way);
  }
  check_shares(way);
  /* Experts with more tokens than a block takes at once; steps of an odd number. */
  if (way == ZH_FEW) {
    check_experts(ZH_FORM_BF16, 192, 3, 2, 70, true, way);
  } else if (device_variant_differs(ZH_FORM_BF16)) {
    check_experts(ZH_FORM_BF16, 160, 2, 2, 270, true, way);
    check_experts(ZH_FORM_Q8, 192, 3, 1, 150, true, way);
  }
}

void check_device_grouped(void) {
  check_experts_way(ZH_FEW);
  device_each_own_variant(check_experts_way);
}
