#include "tests/kernelcheck/device.h"

#include "core/philox.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double u = 0x1p-24;

#define ENQUEUE(name, type, member)                                                                \
  static zh_status name(void *user, zh_error *err) {                                               \
    return on.api->member(on.device, (const type *)user, err);                                     \
  }

/* --- looking up --- */

typedef struct embed_case {
  zh_device_matrix matrix;
  float *out;
  const uint32_t *id;
  size_t tokens;
} embed_case;
static zh_status enqueue_embed(void *user, zh_error *err) {
  const embed_case *c = user;
  return on.api->embed(on.device, c->out, &c->matrix, c->id, c->tokens, 1.5f, err);
}

/* One product beyond the value, which rounds; E4M3's value is one. */
void check_device_embed(void) {
  static const uint32_t id[] = {4, 0, 12, 99};
  enum { TOKENS = 4, ROWS = 13 };
  for (int form = 0; form < ZH_FORMS; form++) {
    uint32_t columns = form == ZH_FORM_Q4_K ? 768 : form > ZH_FORM_E4M3 ? 608 : 331;
    device_weights w = device_weights_of((zh_device_form)form, ROWS, columns, 4, 64);
    size_t bytes = TOKENS * columns * sizeof(float);
    float *out = zeroed(bytes), *row = zeroed(columns * sizeof *row);
    embed_case c = {w.device, device_copy(NULL, bytes), device_copy(id, sizeof id), TOKENS};
    uint32_t first = form % 2 ? 3 : 0; /* as of a part of a matrix */
    c.matrix.first_row = first;
    device_run run = {enqueue_embed, &c, c.out, NULL, bytes, false};
    double worst = device_result(out, &run);
    for (size_t t = 0; t < TOKENS; t++)
      for (size_t i = 0; i < columns; i++) {
        if (i == 0 && id[t] - first < ROWS)
          zh_device_row_values(row, &w.host, w.host.numbers, w.host.scales, id[t] - first);
        if (id[t] - first >= ROWS) row[i] = 0;
        worst = worse(worst, out[t * columns + i], 1.5 * (double)row[i],
                      1.001 * u * fabs(1.5 * (double)row[i]));
      }
    check_report("embed", on.api->backend, zh_device_form_names[form], worst);
    device_weights_free(&w);
    free(out);
    free(row);
    device_drop();
  }
}

/* --- norms --- */

ENQUEUE(enqueue_norm, zh_device_norm, norm)

/* As check_small.c's for RMS. LayerNorm: the mean is off by gamma of a row's largest sum of
 * magnitudes, and so is each difference. */
static void check_norm(size_t columns, size_t heads, bool layer, bool in_place) {
  enum { TOKENS = 3 };
  size_t stride = heads * columns + 3, bytes = TOKENS * stride * sizeof(float);
  float *x = normal_floats(TOKENS * stride, 2), *gain = normal_floats(columns, 1),
        *bias = normal_floats(columns, 1), *y = zeroed(bytes);
  const float eps = 1e-5f;
  void *from = device_copy(x, bytes);
  zh_device_norm work = {.y = in_place ? from : device_copy(NULL, bytes),
                         .x = from,
                         .gain = device_copy(gain, columns * 4),
                         .bias = layer ? device_copy(bias, columns * 4) : NULL,
                         .y_stride = stride,
                         .x_stride = stride,
                         .columns = columns,
                         .heads = heads,
                         .tokens = TOKENS,
                         .eps = eps};
  device_run run = {enqueue_norm, &work, work.y, in_place ? x : NULL, bytes, false};
  double worst = device_result(y, &run);
  for (size_t part = 0; part < TOKENS * heads; part++) {
    size_t at = part / heads * stride + part % heads * columns;
    double mean = 0, squares = 0, size = 0;
    for (size_t i = 0; i < columns; i++) mean += layer ? (double)x[at + i] / (double)columns : 0;
    for (size_t i = 0; i < columns; i++) {
      squares += (x[at + i] - mean) * (x[at + i] - mean);
      size = fmax(size, fabs((double)x[at + i]));
    }
    double scale = 1 / sqrt(squares / (double)columns + (double)eps),
           apart = layer ? gamma_of((double)columns + 3) * size : 0,
           roundings = gamma_of(0.5 * ((double)columns + 2) + 8);
    for (size_t i = 0; i < columns; i++) {
      double difference = x[at + i] - mean, exact = gain[i] * scale * difference,
             grown = fabs(gain[i] * scale) * apart * (2 + difference * difference * scale * scale);
      worst = worse(worst, y[at + i], layer ? exact + bias[i] : exact,
                    1.01 * (roundings * fabs(exact) + grown) +
                        (layer ? 2 * u * (fabs((double)bias[i]) + fabs(exact)) : 0));
    }
  }
  char words[80];
  snprintf(words, sizeof words, "%zu parts of %zu%s%s", heads, columns, layer ? ", LayerNorm" : "",
           in_place ? ", in place" : "");
  check_report("norm", on.api->backend, words, worst);
  free(x), free(gain), free(bias), free(y);
  device_drop();
}

void check_device_norms(void) {
  static const size_t columns[] = {1, 5, 64, 128, 257, 1031};
  for (size_t i = 0; i < 6; i++)
    for (int layer = 0; layer < 2; layer++) {
      check_norm(columns[i], 1, layer && columns[i] > 1, false);
      check_norm(columns[i], i < 4 ? 3 : 1, layer && columns[i] > 1, true);
    }
}

/* --- RoPE --- */

ENQUEUE(enqueue_rope, zh_device_rope, rope)

/* check_small.c's bound, one more rounding for the product that is not fused. */
static void check_rope(size_t head_dim, size_t dims, size_t offset, bool interleaved) {
  enum { HEADS = 3, TOKENS = 4 };
  static const uint32_t position[TOKENS] = {0, 1, 4095, 131071};
  size_t stride = HEADS * head_dim + 2, pairs = dims / 2, bytes = TOKENS * stride * sizeof(float);
  float *before = normal_floats(TOKENS * stride, 1), *x = zeroed(bytes);
  double *frequency = zeroed(pairs * sizeof *frequency), worst;
  for (size_t i = 0; i < pairs; i++) frequency[i] = pow(10000.0, -2.0 * (double)i / (double)dims);
  zh_device_rope work = {.x = device_copy(before, bytes),
                         .x_stride = stride,
                         .heads = HEADS,
                         .head_dim = head_dim,
                         .dims = dims,
                         .tokens = TOKENS,
                         .offset = offset,
                         .interleaved = interleaved,
                         .frequency = device_copy(frequency, pairs * sizeof *frequency),
                         .factor = 1.25,
                         .position = device_copy(position, sizeof position)};
  device_run run = {enqueue_rope, &work, work.x, before, bytes, false};
  worst = device_result(x, &run);
  for (size_t k = 0; k < TOKENS * HEADS * pairs; k++) {
    size_t i = k % pairs, t = k / pairs / HEADS,
           at = t * stride + k / pairs % HEADS * head_dim + offset,
           first = at + (interleaved ? 2 * i : i), second = interleaved ? first + 1 : first + pairs;
    double angle = position[t] * frequency[i], c = 1.25 * cos(angle), s = 1.25 * sin(angle),
           a = before[first], b = before[second],
           bound = 1.25 * (fabs(a) + fabs(b)) * (4 * u + position[t] * 0x1p-51);
    worst = worse(worst, x[first], a * c - b * s, bound);
    worst = worse(worst, x[second], a * s + b * c, bound);
    before[first] = x[first];
    before[second] = x[second];
  }
  worst = unless_equal(worst, before, x, bytes); /* nothing else was touched */
  char words[80];
  snprintf(words, sizeof words, "head %zu, %zu turned from %zu on, %s", head_dim, dims, offset,
           interleaved ? "interleaved" : "halves");
  check_report("rope", on.api->backend, words, worst);
  free(before), free(x), free(frequency);
  device_drop();
}

void check_device_ropes(void) {
  for (int interleaved = 0; interleaved < 2; interleaved++) {
    check_rope(64, 64, 0, interleaved);
    check_rope(80, 20, 0, interleaved);
    check_rope(96, 32, 64, interleaved);
  }
}

/* --- activations --- */

ENQUEUE(enqueue_activate, zh_device_activate, activate)

static double activated(zh_device_activation kind, double g, double up, double limit) {
  double z = sqrt(2 / acos(-1)) * (g + 0.044715 * g * g * g), low = g > limit ? limit : g;
  switch (kind) {
  case ZH_DEVICE_GELU:
    return 0.5 * g * erfc(-g / sqrt(2)) * up;
  case ZH_DEVICE_GELU_TANH:
    return g / (1 + exp(-2 * z)) * up;
  case ZH_DEVICE_CLAMPED:
    return low / (1 + exp(-(double)1.702f * low)) * (fmax(fmin(up, limit), -limit) + 1);
  default:
    return g / (1 + exp(-g)) * up;
  }
}

/* check_small.c's bounds for vectors, which CUDA's exp (2 ulp) and erfc (4 ulp; its argument
 * rounds, and erfc falls by 2 z dz of itself) keep: of the clamp one addition more, next to -1 too.
 */
static double activation_bound(zh_device_activation kind, double g, double up, double exact) {
  double z = sqrt(2 / acos(-1)) * (g + 0.044715 * g * g * g), tiny = 0x1p-100 * (fabs(up) + 1);
  switch (kind) {
  case ZH_DEVICE_GELU:
    return (16 + 4 * g * g) * u * fabs(exact) + tiny;
  case ZH_DEVICE_GELU_TANH:
    return (10 + 12 * fabs(z)) * u * fabs(exact) + tiny;
  case ZH_DEVICE_CLAMPED:
    return (12 + 4 * fabs(g)) * u * (fabs(exact) + fabs(g)) + tiny;
  default:
    return 10 * u * fabs(exact) + tiny;
  }
}

static void check_activation(zh_device_activation kind, const char *name) {
  enum { TOKENS = 3, COLUMNS = 341, GATE = 350, UP = 343 };
  const float span = kind == ZH_DEVICE_SILU ? 100 : 12, limit = 7;
  float *gate = zeroed(TOKENS * GATE * 4), *up = normal_floats(TOKENS * UP, 4),
        *y = zeroed(TOKENS * COLUMNS * 4);
  for (size_t i = 0; i < TOKENS * GATE; i++)
    gate[i] = span * (2 * ((float)i + 0.5f) / (float)(TOKENS * GATE) - 1);
  zh_device_activate work = {.y = device_copy(NULL, TOKENS * COLUMNS * 4),
                             .gate = device_copy(gate, TOKENS * GATE * 4),
                             .up = device_copy(up, TOKENS * UP * 4),
                             .columns = COLUMNS,
                             .tokens = TOKENS,
                             .gate_stride = GATE,
                             .up_stride = UP,
                             .kind = kind,
                             .limit = limit};
  device_run run = {enqueue_activate, &work, work.y, NULL, TOKENS * COLUMNS * 4, false};
  double worst = device_result(y, &run);
  for (size_t i = 0; i < TOKENS * COLUMNS; i++) {
    double g = gate[i / COLUMNS * GATE + i % COLUMNS], z = up[i / COLUMNS * UP + i % COLUMNS],
           exact = activated(kind, g, z, (double)limit);
    worst = worse(worst, y[i], exact, activation_bound(kind, g, z, exact));
  }
  check_report("activate", on.api->backend, name, worst);
  free(gate), free(up), free(y);
  device_drop();
}

/* Of the rows that lists of choices have: the others stay as they were. */
static void check_activation_of_choices(void) {
  enum { EXPERTS = 3, CHOICES = 7, COLUMNS = 300 };
  /* Two experts have choices: the first 4 and 0, the last 5. */
  static const uint32_t lists[] = {2, 0, 2, 0, 0, 2, 2, 3, 0, 4, 5, 0, 0, 0, 0};
  float *gate = normal_floats(CHOICES * COLUMNS, 2), *up = normal_floats(CHOICES * COLUMNS, 2),
        *y = zeroed(CHOICES * COLUMNS * 4), *before = normal_floats(CHOICES * COLUMNS, 1);
  zh_device_activate work = {.y = device_copy(before, CHOICES * COLUMNS * 4),
                             .gate = device_copy(gate, CHOICES * COLUMNS * 4),
                             .up = device_copy(up, CHOICES * COLUMNS * 4),
                             .columns = COLUMNS,
                             .tokens = CHOICES,
                             .gate_stride = COLUMNS,
                             .up_stride = COLUMNS,
                             .kind = ZH_DEVICE_SILU,
                             .lists = device_copy(lists, sizeof lists),
                             .experts = EXPERTS};
  device_run run = {enqueue_activate, &work, work.y, before, CHOICES * COLUMNS * 4, false};
  double worst = device_result(y, &run);
  for (size_t i = 0; i < CHOICES * COLUMNS; i++) {
    size_t row = i / COLUMNS;
    double exact = activated(ZH_DEVICE_SILU, gate[i], up[i], 0);
    if (row == 0 || row == 4 || row == 5)
      worst = worse(worst, y[i], exact, activation_bound(ZH_DEVICE_SILU, gate[i], up[i], exact));
    else
      worst = unless_equal(worst, y + i, before + i, 4);
  }
  check_report("activate", on.api->backend, "choices of a rank", worst);
  free(gate), free(up), free(y), free(before);
  device_drop();
}

void check_device_activations(void) {
  check_activation(ZH_DEVICE_SILU, "silu");
  check_activation(ZH_DEVICE_GELU, "gelu");
  check_activation(ZH_DEVICE_GELU_TANH, "gelu, tanh form");
  check_activation(ZH_DEVICE_CLAMPED, "clamped");
  check_activation_of_choices();
}

/* --- rows --- */

enum { COUNT = 1003, WIDTH = 59, USED = 3 };
typedef struct rows_case {
  float *y;
  const float *x;
  uint32_t *index;
  uint64_t *sum;
} rows_case;

static zh_status enqueue_add(void *user, zh_error *err) {
  const rows_case *c = user;
  return on.api->add(on.device, c->y, c->x, -0.75f, COUNT, err);
}
static zh_status enqueue_gather(void *user, zh_error *err) {
  const rows_case *c = user;
  return on.api->gather(on.device, c->y, c->x, c->index, 5, WIDTH, err);
}
static zh_status enqueue_advance(void *user, zh_error *err) {
  const rows_case *c = user;
  return on.api->advance(on.device, c->index, 5, err);
}
static zh_status enqueue_sum(void *user, zh_error *err) {
  const rows_case *c = user;
  return on.api->sum_of_bits(on.device, c->sum, c->x, COUNT, err);
}
static zh_status enqueue_fewer(void *user, zh_error *err) {
  const rows_case *c = user;
  return on.api->sum_of_bits(on.device, c->sum, c->x, COUNT - 1, err);
}

static void check_exact_rows(void) {
  static const uint32_t index[5] = {7, 0, 7, 16, 3};
  float *x = normal_floats(COUNT, 1), *y = normal_floats(COUNT, 3), *z = zeroed(COUNT * 4);
  rows_case c = {device_copy(y, COUNT * 4), device_copy(x, COUNT * 4),
                 device_copy(index, sizeof index), device_copy(NULL, sizeof(uint64_t))};
  device_run add = {enqueue_add, &c, c.y, y, COUNT * 4, false},
             gather = {enqueue_gather, &c, c.y, NULL, 5 * WIDTH * 4, false};
  double worst = device_result(z, &add);
  for (size_t i = 0; i < COUNT; i++)
    worst =
        worse(worst, z[i], fma(-0.75, (double)x[i], (double)y[i]), u * fabs((double)z[i]) * 1.001);
  check_report("add", on.api->backend, "1003 values", worst);
  worst = device_result(z, &gather);
  for (size_t r = 0; r < 5; r++)
    worst = unless_equal(worst, z + r * WIDTH, x + index[r] * WIDTH, WIDTH * 4);
  check_report("gather", on.api->backend, "5 rows of 59", worst);
  uint32_t next[5];
  device_run advance = {enqueue_advance, &c, c.index, index, sizeof index, false};
  worst = device_result(next, &advance);
  for (size_t i = 0; i < 5; i++) worst = next[i] == index[i] + 1 ? worst : INFINITY;
  check_report("advance", on.api->backend, "5 positions", worst);
  uint64_t sum, expected = 0;
  device_run sums = {enqueue_sum, &c, c.sum, NULL, sizeof sum, true},
             unaligned = {enqueue_fewer, &c, c.sum, NULL, sizeof sum, true};
  worst = device_result(&sum, &sums);
  for (uint64_t i = 0; i < COUNT; i++) {
    uint32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    expected += bits * (2 * i + 1);
  }
  check_report("sum_of_bits", on.api->backend, "1003 words", sum == expected ? worst : INFINITY);
  c.x += 1;
  worst = device_result(&sum, &unaligned);
  expected = 0;
  for (uint64_t i = 0; i + 1 < COUNT; i++) {
    uint32_t bits;
    memcpy(&bits, &x[i + 1], sizeof bits);
    expected += bits * (2 * i + 1);
  }
  check_report("sum_of_bits", on.api->backend, "1002 words, unaligned",
               sum == expected ? worst : INFINITY);
  free(x), free(y), free(z);
  device_drop();
}

ENQUEUE(enqueue_slices, zh_device_slices, slices)
ENQUEUE(enqueue_combine, zh_device_combine, combine)

static void check_slices(void) {
  enum { ROWS = 13, FROM = 19, TO = 23, PART = 11 };
  float *x = normal_floats(ROWS * FROM, 1), *y = normal_floats(ROWS * TO, 1),
        *z = zeroed(ROWS * TO * 4);
  zh_device_slices work = {
      device_copy(y, ROWS * TO * 4), device_copy(x, ROWS * FROM * 4), TO, FROM, PART, ROWS};
  device_run run = {enqueue_slices, &work, work.to, y, ROWS * TO * 4, false};
  double worst = device_result(z, &run);
  for (size_t r = 0; r < ROWS; r++) memcpy(y + r * TO, x + r * FROM, PART * 4);
  check_report("slices", on.api->backend, "13 of 11", unless_equal(worst, z, y, ROWS * TO * 4));
  free(x), free(y), free(z);
  device_drop();
}

/* some: of experts 2 and 3 alone; what stands for other choices is no number. */
static void check_combine(bool shared, bool scored, bool some) {
  enum { TOKENS = 4, COLUMNS = 67 };
  static const uint32_t choice[TOKENS * USED] = {0, 2, 1, 3, 2, 4, 0, 1, 4, 3, 0, 5};
  float *x = normal_floats(TOKENS * USED * COLUMNS, 1), *weight = normal_floats(TOKENS * USED, 1),
        *common = normal_floats(TOKENS * COLUMNS, 1), *score = normal_floats(TOKENS, 2),
        *y = zeroed(TOKENS * COLUMNS * 4);
  for (size_t i = 0; some && i < TOKENS * USED * COLUMNS; i++)
    if (choice[i / COLUMNS] - 2 >= 2) x[i] = NAN;
  zh_device_combine work = {.y = device_copy(NULL, TOKENS * COLUMNS * 4),
                            .x = device_copy(x, TOKENS * USED * COLUMNS * 4),
                            .weight = device_copy(weight, TOKENS * USED * 4),
                            .shared = shared ? device_copy(common, TOKENS * COLUMNS * 4) : NULL,
                            .score = scored ? device_copy(score, TOKENS * 4) : NULL,
                            .columns = COLUMNS,
                            .tokens = TOKENS,
                            .used = USED};
  if (some) {
    work.choice = device_copy(choice, sizeof choice);
    work.first = work.here = 2;
  }
  device_run run = {enqueue_combine, &work, work.y, NULL, TOKENS * COLUMNS * 4, false};
  double worst = device_result(y, &run);
  for (size_t i = 0; i < TOKENS * COLUMNS; i++) {
    size_t t = i / COLUMNS;
    double share = scored ? 1 / (1 + exp(-(double)score[t])) : 1,
           sum = shared ? share * common[i] : 0, size = fabs(sum);
    for (size_t k = 0; k < USED; k++) {
      if (some && choice[t * USED + k] - 2 >= 2) continue;
      double term = (double)weight[t * USED + k] * x[(t * USED + k) * COLUMNS + i % COLUMNS];
      sum += term;
      size += fabs(term);
    }
    worst = worse(worst, y[i], sum, gamma_of(USED + 8) * size);
  }
  check_report("combine", on.api->backend,
               some     ? "shared, choices of a rank"
               : scored ? "shared, scored"
               : shared ? "shared"
                        : "3 of a token",
               worst);
  free(x), free(weight), free(common), free(score), free(y);
  device_drop();
}

void check_device_rows(void) {
  check_exact_rows();
  check_slices();
  check_combine(false, false, false);
  check_combine(true, false, false);
  check_combine(true, true, false);
  check_combine(true, false, true);
}

/* --- logits --- */

typedef struct logits_case {
  zh_device_answer *answer;
  float *z, cap;
  uint32_t *best;
  size_t tokens, vocab;
} logits_case;
static zh_status enqueue_shape(void *user, zh_error *err) {
  const logits_case *c = user;
  return on.api->shape_logits(on.device, c->z, c->tokens, c->vocab, 0.7f, c->cap, err);
}
static zh_status enqueue_argmax(void *user, zh_error *err) {
  const logits_case *c = user;
  return on.api->argmax(on.device, c->best, c->z, c->tokens, c->vocab, err);
}

static zh_status enqueue_answer(void *user, zh_error *err) {
  const logits_case *c = user;
  return on.api->answer(on.device, c->answer, c->best, c->z, c->tokens, c->vocab, err);
}

/* The same of argmax, the bits of what it found, and the sum of all. */
static double wrong_answers(logits_case *c, const float *z, const uint32_t *expected) {
  size_t bytes = c->tokens * sizeof(zh_device_answer);
  zh_device_answer *answers = zeroed(bytes);
  uint32_t *chosen = zeroed(c->tokens * 4);
  c->answer = device_copy(NULL, bytes);
  device_run run = {enqueue_answer, c, c->answer, NULL, bytes, false};
  double worst = device_result(answers, &run);
  device_read(chosen, c->best, c->tokens * 4);
  worst = unless_equal(worst, chosen, expected, c->tokens * 4);
  for (size_t t = 0; t < c->tokens; t++) {
    uint32_t bits;
    uint64_t sum = 0;
    for (size_t i = 0; i < c->vocab; i++) {
      memcpy(&bits, &z[t * c->vocab + i], sizeof bits);
      sum += bits;
      if (i == expected[t]) worst = unless_equal(worst, &answers[t].logit_bits, &bits, 4);
    }
    worst = unless_equal(worst, &answers[t].chosen, &expected[t], 4);
    worst = unless_equal(worst, &answers[t].bits_sum, &sum, sizeof sum);
  }
  free(answers), free(chosen);
  return worst;
}

static void check_best(size_t vocab) {
  enum { TOKENS = 7 };
  float *z = normal_floats(TOKENS * vocab, 5);
  uint32_t best[TOKENS], expected[TOKENS];
  z[vocab + vocab / 2] = NAN;
  for (size_t i = 0; i < vocab; i++) z[2 * vocab + i] = -INFINITY;
  z[3 * vocab + vocab - 1] = z[3 * vocab + vocab / 3] = 99; /* a tie: the lower index */
  z[4 * vocab + vocab - 1] = INFINITY;
  for (size_t i = 0; i < vocab; i++) z[5 * vocab + i] = i ? 0.0f : -0.0f; /* equal */
  for (size_t t = 0; t < TOKENS; t++) {
    size_t at = zh_kernels_reference()->argmax(z + t * vocab, vocab);
    expected[t] = at == SIZE_MAX ? UINT32_MAX : (uint32_t)at;
  }
  logits_case c = {.z = device_copy(z, TOKENS * vocab * 4),
                   .best = device_copy(NULL, sizeof best),
                   .tokens = TOKENS,
                   .vocab = vocab};
  device_run run = {enqueue_argmax, &c, c.best, NULL, sizeof best, true};
  double worst = device_result(best, &run);
  char words[40];
  snprintf(words, sizeof words, "%zu logits", vocab);
  check_report("argmax", on.api->backend, words, unless_equal(worst, best, expected, sizeof best));
  check_report("answer", on.api->backend, words, wrong_answers(&c, z, expected));
  free(z);
  device_drop();
}

static void check_shaped(float cap) {
  enum { TOKENS = 2, VOCAB = 301 };
  float *z = normal_floats(TOKENS * VOCAB, 30), *y = zeroed(TOKENS * VOCAB * 4);
  logits_case c = {
      .z = device_copy(z, TOKENS * VOCAB * 4), .cap = cap, .tokens = TOKENS, .vocab = VOCAB};
  device_run run = {enqueue_shape, &c, c.z, z, TOKENS * VOCAB * 4, false};
  double worst = device_result(y, &run);
  for (size_t i = 0; i < TOKENS * VOCAB; i++) {
    double x = (double)z[i] * (double)0.7f,
           exact = cap != 0 ? (double)cap * tanh(x / (double)cap) : x;
    worst = worse(worst, y[i], exact, 8 * u * fabs(exact) + 1e-30);
  }
  check_report("shape_logits", on.api->backend, cap != 0 ? "scaled, capped" : "scaled", worst);
  free(z), free(y);
  device_drop();
}

/* --- tokens drawn --- */

typedef struct draw_case {
  zh_device_draw work;
} draw_case;
static zh_status enqueue_draw(void *user, zh_error *err) {
  const zh_device_draw *w = &((const draw_case *)user)->work;
  ZH_TRY(on.api->answer(on.device, w->out, w->chosen, w->z, w->tokens, w->vocab, err));
  return on.api->draw(on.device, w, err);
}

typedef struct drawn {
  zh_draw_rule how;
  zh_device_answer answer;
} drawn;

static drawn expected_draw(const zh_draw_rule *how, const float *z, size_t vocab) {
  drawn d = {.how = *how};
  size_t at = zh_kernels_reference()->argmax(z, vocab);
  d.how.index += 1;
  d.answer.chosen = UINT32_MAX;
  if (at == SIZE_MAX) return d;
  d.answer.chosen = (uint32_t)zh_draw_token(z, vocab, at, how);
  memcpy(&d.answer.logit_bits, &z[d.answer.chosen], sizeof(float));
  return d;
}

static void check_draws(size_t vocab) {
  static const zh_draw_rule rules[] = {
      {.rate = 0, .top_k = 3},
      {.rate = 1.44},
      {.rate = 0.3},
      {.rate = 14},
      {.rate = 0.2, .top_k = 1},
      {.rate = 0.2, .top_k = 7},
      {.rate = 0.2, .top_k = 40},
      {.rate = 0.2, .top_p = 0x40000000u},
      {.rate = 0.2, .top_p = 0xF0000000u},
      {.rate = 0.2, .top_p = 1},
      {.rate = 0.2, .min_p = (uint64_t)1 << 38},
      {.rate = 0.1, .top_k = 50, .top_p = 0xE0000000u, .min_p = (uint64_t)1 << 34},
      {.rate = 1e300},
      {.rate = 0.2}, /* what is no number */
      {.rate = 0.2}  /* one that is -inf, one +inf */
  };
  enum { ROWS = sizeof rules / sizeof *rules };
  float *z = normal_floats(ROWS * vocab, 5);
  struct {
    zh_draw_rule how[ROWS];
    zh_device_answer answer[ROWS];
  } before, after;
  memset(&before, 0, sizeof before);
  for (size_t r = 0; r < ROWS; r++) {
    before.how[r] = rules[r];
    before.how[r].seed = 0x123456789abcull + r;
    before.how[r].index = (uint64_t)r << 33 | r;
  }
  for (size_t i = 0; i < vocab; i += 3) z[6 * vocab + i] = 1.25f; /* ties at the cut */
  for (size_t i = 0; i < vocab; i += 2) z[8 * vocab + i] = i % 4 ? 0.0f : -0.0f;
  z[13 * vocab + vocab / 2] = NAN;
  z[14 * vocab] = -INFINITY;
  z[14 * vocab + vocab - 1] = INFINITY;
  void *out = device_copy(NULL, sizeof before);
  draw_case c = {{.how = out,
                  .out = (zh_device_answer *)(void *)((uint8_t *)out + sizeof before.how),
                  .chosen = device_copy(NULL, ROWS * 4),
                  .z = device_copy(z, ROWS * vocab * 4),
                  .weights = device_copy(NULL, ROWS * vocab * 8),
                  .tokens = ROWS,
                  .vocab = vocab}};
  device_run run = {enqueue_draw, &c, out, &before, sizeof before, true};
  double worst = device_result(&after, &run);
  for (size_t r = 0; r < ROWS; r++) {
    drawn expected = expected_draw(&before.how[r], z + r * vocab, vocab);
    bool none = expected.answer.chosen == UINT32_MAX;
    if (memcmp(&expected.how, &after.how[r], sizeof expected.how) != 0 ||
        expected.answer.chosen != after.answer[r].chosen ||
        (!none && expected.answer.logit_bits != after.answer[r].logit_bits)) {
      printf("draw, rule %zu of %zu logits: token %u, expected %u\n", r, vocab,
             after.answer[r].chosen, expected.answer.chosen);
      worst = INFINITY;
    }
  }
  char words[40];
  snprintf(words, sizeof words, "%zu logits", vocab);
  check_report("draw", on.api->backend, words, worst);
  free(z);
  device_drop();
}

void check_device_logits(void) {
  check_best(1);
  check_best(79);
  check_best(on.slow ? 3001 : 151936);
  check_shaped(0);
  check_shaped(30);
  check_draws(2);
  check_draws(79);
  check_draws(on.slow ? 3001 : 151936);
}

/* --- weights made in place --- */

typedef struct generate_case {
  zh_device_matrix matrix;
  uint64_t row, column, whole;
} generate_case;
static const uint64_t SEED = 0x123456789abcdef0u, STREAM = 0x300000007u;
static zh_status enqueue_generate(void *user, zh_error *err) {
  const generate_case *c = user;
  return on.api->generate(on.device, &c->matrix, SEED, STREAM, c->row, c->column, c->whole, 0.02f,
                          err);
}

static void expect_row(uint8_t *to, const zh_device_matrix *m, const generate_case *c, size_t r) {
  float *values = zeroed(m->columns * sizeof *values);
  const float *scales = m->scales;
  zh_normal_fill(values, m->columns, SEED, STREAM, (c->row + r) * c->whole + c->column, 0.02f);
  for (size_t i = 0; i < m->columns; i++) {
    uint16_t half = m->form == ZH_FORM_F16 ? zh_f32_to_f16(values[i]) : zh_f32_to_bf16(values[i]);
    if (m->form == ZH_FORM_F32)
      memcpy(to + 4 * i, &values[i], 4);
    else if (m->form == ZH_FORM_E4M3)
      to[i] = zh_f32_to_e4m3(
          values[i] /
          scales[r / m->scale_rows * ((m->columns + m->scale_columns - 1) / m->scale_columns) +
                 i / m->scale_columns]);
    else
      memcpy(to + 2 * i, &half, 2);
  }
  free(values);
}

static void check_generated(zh_device_form form, uint64_t column, uint64_t whole) {
  enum { ROWS = 9, COLUMNS = 203 };
  zh_device_matrix m = {
      .form = form, .rows = ROWS, .columns = COLUMNS, .scale_rows = 4, .scale_columns = 64};
  size_t bytes = zh_device_number_bytes(form, ROWS, COLUMNS),
         scale_bytes = zh_device_scale_bytes(&m);
  float *scales = zeroed(scale_bytes + 4);
  for (size_t i = 0; i < scale_bytes / 4; i++) scales[i] = 0x1p-12f * (float)(1 + i);
  m.scales = scales;
  generate_case c = {m, 5, column, whole};
  c.matrix.numbers = device_copy(NULL, bytes);
  c.matrix.scales = scale_bytes ? device_copy(scales, scale_bytes) : NULL;
  uint8_t *made = zeroed(bytes), *expected = zeroed(bytes);
  device_run run = {enqueue_generate, &c, c.matrix.numbers, NULL, bytes, true};
  double worst = device_result(made, &run);
  for (size_t r = 0; r < ROWS; r++)
    expect_row(expected + zh_device_number_bytes(form, r, COLUMNS), &m, &c, r);
  char words[64];
  snprintf(words, sizeof words, "%s, columns %llu … of %llu", zh_device_form_names[form],
           (unsigned long long)column, (unsigned long long)whole);
  check_report("generate", on.api->backend, words, unless_equal(worst, made, expected, bytes));
  free(made), free(expected), free(scales);
  device_drop();
}

/* Numbers and scales as the CPU's quantiser and zh_device_lay make them. */
static void check_generated_blocks(zh_device_form form, zh_dtype type, uint64_t column,
                                   uint32_t columns) {
  enum { ROWS = 5, WHOLE = 1001 };
  zh_device_matrix m = {.form = form, .rows = ROWS, .columns = columns};
  size_t bytes = zh_device_number_bytes(form, ROWS, columns),
         scale_bytes = zh_device_scale_bytes(&m), all = bytes + scale_bytes;
  uint64_t row_bytes;
  if (!zh_dtype_bytes(&row_bytes, type, columns)) exit(3);
  uint8_t *made = zeroed(all), *expected = zeroed(all), *file = zeroed(ROWS * row_bytes);
  float *values = zeroed(columns * sizeof *values);
  double worst = 0;
  for (size_t r = 0; r < ROWS; r++) {
    zh_normal_fill(values, columns, SEED, STREAM, (5 + r) * WHOLE + column, 0.02f);
    if (!zh_quantize_row(file + r * row_bytes, values, type, columns)) worst = INFINITY;
  }
  zh_device_lay(form, expected, expected + bytes, type, file, ROWS, row_bytes, columns);
  generate_case c = {m, 5, column, WHOLE};
  c.matrix.numbers = device_copy(NULL, all); /* both planes beside each other */
  c.matrix.scales = (uint8_t *)c.matrix.numbers + bytes;
  device_run run = {enqueue_generate, &c, c.matrix.numbers, NULL, all, true};
  worst = fmax(worst, device_result(made, &run));
  char words[64];
  snprintf(words, sizeof words, "%s, %u columns from %llu on", zh_device_form_names[form], columns,
           (unsigned long long)column);
  check_report("generate", on.api->backend, words, unless_equal(worst, made, expected, all));
  free(made), free(expected), free(file), free(values);
  device_drop();
}

void check_device_generate(void) {
  static const struct {
    zh_device_form form;
    zh_dtype type;
  } in_blocks[] = {{ZH_FORM_Q8, ZH_Q8_0}, {ZH_FORM_Q4, ZH_Q4_0}, {ZH_FORM_Q4_1, ZH_Q4_1}};
  for (int form = 0; form <= ZH_FORM_E4M3; form++) {
    check_generated((zh_device_form)form, 0, 203);
    check_generated((zh_device_form)form, 6, 1001);
    check_generated((zh_device_form)form, 0, (uint64_t)1 << 33);
  }
  for (size_t i = 0; i < 3; i++) {
    check_generated_blocks(in_blocks[i].form, in_blocks[i].type, 0, 256);
    check_generated_blocks(in_blocks[i].form, in_blocks[i].type, 3, 32 * 19);
  }
}
