#include "tests/kernelcheck/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEQUENCES = 2 };

typedef struct attention_case {
  zh_attention work;
  zh_kv kv;
  const zh_kernels *kernels;
  float *sinks, *slopes;
  float *out, *q, *keys, *values; /* keys, values as held: [sequences][capacity][kv_heads][dim] */
  void *scratch;
  size_t items, rows, bytes; /* of out */
} attention_case;

/* --- bounds --- */

typedef struct exact_row {
  double *p; /* weights, whose sum is 1 */
  double score_size;
  size_t begin, count;
} exact_row;

static size_t number_of(const attention_case *c, size_t sequence, size_t position, size_t head) {
  return ((sequence * c->kv.capacity + position) * c->kv.kv_heads + head) * c->kv.head_dim;
}

/* Scores with a cap or slopes never go by tiles. */
static bool goes_by_tiles(const attention_case *c) {
  return c->work.softcap == 0 && !c->slopes &&
         zh_attention_rounds(&c->kernels->rounds, c->kv.type, c->kv.head_dim,
                             zh_kv_value_dim(&c->kv), c->work.way);
}

static float as_multiplied(const attention_case *c, float q) {
  return goes_by_tiles(c) ? zh_bf16_to_f32(zh_f32_to_bf16(q)) : q;
}

/* What a slope takes off the score of key j of `count`, the last of which is the token's own. */
static double slanted_by(const attention_case *c, size_t row, size_t j, size_t count) {
  return c->slopes ? (double)c->slopes[row % c->work.heads] * (double)(count - 1 - j) : 0;
}

static exact_row exact_weights(const attention_case *c, size_t row) {
  size_t t = row / c->work.heads, h = row % c->work.heads / (c->work.heads / c->kv.kv_heads),
         d = c->kv.head_dim, end = (size_t)c->work.position[t] + 1;
  exact_row r = {.begin = c->work.window && c->work.window < end ? end - c->work.window : 0};
  r.count = end - r.begin;
  r.p = zeroed(r.count * sizeof *r.p);
  double largest = c->sinks ? (double)c->sinks[row % c->work.heads] : -INFINITY, total = 0,
         cap = (double)c->work.softcap;
  for (size_t j = 0; j < r.count; j++) {
    double dot = 0, absolute = 0;
    const float *k = c->keys + number_of(c, c->work.sequence[t], r.begin + j, h);
    for (size_t i = 0; i < d; i++) {
      double product = (double)as_multiplied(c, c->q[row * d + i]) * k[i];
      dot += product;
      absolute += fabs(product);
    }
    r.p[j] = dot * (double)c->work.scale;
    if (cap != 0) r.p[j] = cap * tanh(r.p[j] / cap);
    r.p[j] -= slanted_by(c, row, j, r.count);
    largest = fmax(largest, r.p[j]);
    r.score_size = fmax(r.score_size, absolute * (double)c->work.scale);
  }
  for (size_t j = 0; j < r.count; j++) total += r.p[j] = exp(r.p[j] - largest);
  if (c->sinks) total += exp((double)c->sinks[row % c->work.heads] - largest);
  for (size_t j = 0; j < r.count; j++) r.p[j] /= total;
  return r;
}

/* A score is off by at most s = gamma(head_dim + 3) scale sum |q k| (each fp32 sum, the scaling,
 * the cache's scale), the subtraction of the block's largest rounds a difference below twice that;
 * exp adds 4u. A weight is then off by a factor exp(+-s) (1 +- 4u), so is their sum with
 * gamma(block), and the mix of values has gamma(block) sum p |v| of its own, and one product with
 * a value's scale. Merging a block multiplies by exp of differences of largest scores (4u, and 2u
 * of the difference) and adds: 6u + s each time the largest grows, 2u else. |out - exact| <=
 * factor sum p |v| to first order; 1.01 covers the rest.
 * A cap adds 8u of the score for its division, tanh and product; a sink is one block more. What a
 * slope takes off is off by 8u of itself: in the score, in its distance from the largest, in
 * merges; of each key by itself, because the largest have no weight. By tiles: 2^x stops 2^-13
 * short, the exponent rounds three times more, and each weight rounds to bf16, by 2^-8 of itself.
 * Or the exponent rounds to steps of 2^-7, by 2^-8 ln 2, and the weight to bf16: by w = 2^-7.28 of
 * itself together, but so does the sum that divides, so that values count by how far they are from
 * their mean: w sum p |v - exact|. */
static double row_error(const attention_case *c, size_t row) {
  const double u = 0x1p-24;
  size_t t = row / c->work.heads, h = row % c->work.heads / (c->work.heads / c->kv.kv_heads),
         dims = zh_kv_value_dim(&c->kv);
  exact_row r = exact_weights(c, row);
  bool tiles = goes_by_tiles(c);
  double blocks = (double)(r.count / ZH_ATTENTION_BLOCK + 3), worst = 0;
  double s =
      gamma_of((double)c->kv.head_dim + 3) * r.score_size + (tiles ? 8 : 2) * u * r.score_size;
  if (c->work.softcap != 0) s += 8 * u * r.score_size;
  double factor = 2 * s + 10 * u + 2 * gamma_of(ZH_ATTENTION_BLOCK + 2) + blocks * (8 * u + 2 * s);
  if (c->kernels->fp64_sums) factor = 2 * u;
  if (tiles) factor += 2 * 0x1p-13;
  double slope_error = c->kernels->fp64_sums ? 0 : 8 * u, slanted = 0;
  for (size_t j = 0; j < r.count; j++)
    slanted += r.p[j] * slope_error * slanted_by(c, row, j, r.count);
  for (size_t i = 0; i < dims; i++) {
    double exact = 0, mixed = 0, apart = 0, slopes = 0;
    for (size_t j = 0; j < r.count; j++) {
      double v = c->values[number_of(c, c->work.sequence[t], r.begin + j, h) + i];
      exact += r.p[j] * v;
      mixed += r.p[j] * fabs(v);
      slopes += r.p[j] * fabs(v) * (slope_error * slanted_by(c, row, j, r.count) + slanted);
    }
    for (size_t j = 0; j < r.count; j++)
      apart +=
          r.p[j] * fabs(c->values[number_of(c, c->work.sequence[t], r.begin + j, h) + i] - exact);
    double rounded = tiles ? fmax(0x1p-8 * mixed, 0x1.a6p-8 * apart) : 0;
    worst = worse(worst, c->out[row * dims + i], exact, 1.01 * (factor * mixed + rounded + slopes));
  }
  free(r.p);
  return worst;
}

/* --- a case --- */

/* Everything is NaN but what is stored, as a cache may be. */
static void fill_cache(attention_case *c) {
  zh_kv *kv = &c->kv;
  size_t width = kv->kv_heads * kv->head_dim, rows = SEQUENCES * kv->capacity;
  float *k = normal_floats(rows * width, 1), *v = normal_floats(rows * width, 1);
  memset(kv->keys, 0xff, zh_kv_bytes(kv));
  if (!kv->shared) memset(kv->values, 0xff, zh_kv_bytes(kv));
  size_t longest[SEQUENCES] = {0};
  for (size_t t = 0; t < c->work.tokens; t++) {
    size_t *most = &longest[c->work.sequence[t]], end = (size_t)c->work.position[t] + 1;
    *most = end > *most ? end : *most;
  }
  for (size_t row = 0; row < rows; row++) {
    if (row % kv->capacity >= longest[row / kv->capacity]) continue;
    zh_kv_store(kv, row / kv->capacity, row % kv->capacity, 0, 1, k + row * width, v + row * width);
    zh_kv_store(kv, row / kv->capacity, row % kv->capacity, 1, kv->kv_heads, k + row * width,
                v + row * width);
    for (size_t h = 0; h < kv->kv_heads; h++) {
      zh_kv_round(k + row * width + h * kv->head_dim, kv->type, kv->head_dim);
      zh_kv_round(v + row * width + h * kv->head_dim, kv->type, kv->head_dim);
    }
  }
  if (kv->shared) memcpy(v, k, rows * width * sizeof *v);
  c->keys = k;
  c->values = v;
}

/* What is read back is what was rounded. */
static double read_back(const attention_case *c) {
  const zh_kv *kv = &c->kv;
  float *row = zeroed(kv->head_dim * sizeof *row);
  double worst = 0;
  for (size_t t = 0; t < c->work.tokens; t++) {
    size_t sequence = c->work.sequence[t], position = c->work.position[t];
    for (size_t h = 0; h < kv->kv_heads; h++) {
      size_t at = number_of(c, sequence, position, h), bytes = kv->head_dim * sizeof *row;
      zh_kv_keys(row, kv, sequence, h, position, position + 1);
      worst = unless_equal(worst, row, c->keys + at, bytes);
      zh_kv_values(row, kv, sequence, h, position, position + 1);
      worst = unless_equal(worst, row, c->values + at, zh_kv_value_dim(kv) * sizeof *row);
    }
  }
  free(row);
  return worst;
}

/* Every other way of dividing the work: one token an item, item by item from the last; and blocks
 * of keys apart, merged row by row. */
static double divided(const attention_case *c) {
  zh_attention work = c->work;
  size_t most = 0;
  double worst = 0;
  work.out = zeroed(c->bytes);
  work.run = 1;
  for (size_t item = zh_attention_items(&work); item-- > 0;)
    c->kernels->attention(&work, item, item + 1, c->scratch);
  worst = unless_equal(worst, work.out, c->out, c->bytes);
  memset(work.out, 0, c->bytes);
  for (size_t t = 0; t < work.tokens; t++) most = work.position[t] > most ? work.position[t] : most;
  work.blocks = most / ZH_ATTENTION_BLOCK + 1;
  work.run = c->work.run;
  work.parts = zeroed(
      4 * zh_attention_part_floats(work.tokens, work.heads, zh_kv_value_dim(&c->kv), work.blocks));
  for (size_t item = zh_attention_items(&work); item-- > 0;)
    c->kernels->attention(&work, item, item + 1, c->scratch);
  for (size_t row = 0; row < c->rows; row++)
    c->kernels->attention_merge(&work, row, row + 1, c->scratch);
  worst = unless_equal(worst, work.out, c->out, c->bytes);
  free(work.parts);
  free(work.out);
  return worst;
}

typedef struct attention_shape {
  size_t heads, kv_heads, head_dim, window;
  uint32_t depth;
  float spread; /* of q */
  float softcap;
  bool sinks;
  size_t shared;
  bool slopes;
} attention_shape;

static void check_case(const zh_kernels *kernels, const attention_shape *shape, zh_kv_type type,
                       zh_way way) {
  enum { TOKENS = 13, SOME = 9 };
  uint32_t position[TOKENS], sequence[TOKENS];
  for (uint32_t t = 0; t < TOKENS; t++) {
    uint32_t back = TOKENS - 1 - t;
    sequence[t] = t < SOME;
    position[t] = shape->depth < back || t < 2 ? t : shape->depth - (t < SOME ? back : back * 3);
  }
  size_t group = shape->heads / shape->kv_heads, items = TOKENS * shape->heads;
  attention_case c = {.kernels = kernels, .rows = items};
  c.kv = (zh_kv){.type = type,
                 .sequences = SEQUENCES,
                 .kv_heads = shape->kv_heads,
                 .head_dim = shape->head_dim,
                 .capacity = shape->depth + 1,
                 .shared = shape->shared};
  c.kv.keys = zeroed(zh_kv_bytes(&c.kv));
  if (!shape->shared) c.kv.values = zeroed(zh_kv_bytes(&c.kv));
  c.bytes = items * zh_kv_value_dim(&c.kv) * sizeof(float);
  c.q = normal_floats(items * shape->head_dim, shape->spread);
  c.out = zeroed(c.bytes);
  c.scratch = zeroed(zh_attention_scratch_bytes(shape->head_dim));
  if (shape->sinks) c.sinks = normal_floats(shape->heads, 3);
  if (shape->slopes) c.slopes = zeroed(shape->heads * sizeof *c.slopes);
  for (size_t h = 0; shape->slopes && h < shape->heads; h++)
    c.slopes[h] = exp2f(-8 * (float)(h + 1) / (float)shape->heads);
  c.work = (zh_attention){.out = c.out,
                          .q = c.q,
                          .kv = &c.kv,
                          .heads = shape->heads,
                          .tokens = TOKENS,
                          .window = shape->window,
                          .position = position,
                          .sequence = sequence,
                          .scale = 1 / sqrtf((float)shape->head_dim),
                          .softcap = shape->softcap,
                          .sinks = c.sinks,
                          .slopes = c.slopes,
                          .way = way,
                          .run = ZH_ATTENTION_ROWS / group < 11 ? ZH_ATTENTION_ROWS / group : 11};
  fill_cache(&c);
  kernels->attention(&c.work, 0, zh_attention_items(&c.work), c.scratch);
  double worst = read_back(&c);
  for (size_t row = 0; row < c.rows; row++) worst = fmax(worst, row_error(&c, row));
  worst = fmax(worst, divided(&c));
  char words[128];
  snprintf(words, sizeof words, "%s %s %zu/%zu of %zu/%zu, depth %u, window %zu%s%s%s%s",
           zh_kv_names[type], way == ZH_MANY ? "many" : "few", shape->heads, shape->kv_heads,
           shape->head_dim, zh_kv_value_dim(&c.kv), shape->depth, shape->window,
           shape->softcap != 0 ? ", capped" : "", shape->sinks ? ", sinks" : "",
           shape->shared ? ", shared" : "", shape->slopes ? ", slopes" : "");
  check_report("attention", kernels->name, words, worst);
  free(c.kv.keys);
  free(c.kv.values);
  free(c.q);
  free(c.out);
  free(c.keys);
  free(c.values);
  free(c.scratch);
  free(c.sinks);
  free(c.slopes);
}

void check_attention(const zh_kernels *kernels) {
  static const attention_shape shapes[] = {
      {9, 3, 64, 0, 700, 1, 0, false, 0, false},
      {4, 4, 128, 0, 37, 1, 0, false, 0, false},
      {2, 1, 80, 0, 515, 1, 0, false, 0, false},
      {3, 1, 5, 0, 18, 1, 0, false, 0, false},
      {4, 2, 64, 0, 200, 10, 0, false, 0, false}, /* near one-hot: most weights vanish */
      {8, 1, 32, 0, 1023, 1, 0, false, 0, false},
      {5, 1, 96, 100, 600, 1, 0, false, 0, false},
      {6, 2, 64, 256, 767, 1, 0, false, 0, false},
      {2, 2, 64, 1, 300, 1, 0, false, 0, false},
      {6, 3, 72, 0, 600, 9, 2.5f, false, 0, false},
      {8, 2, 64, 90, 520, 3, 0, true, 0, false},
      {4, 1, 40, 0, 300, 4, 50, true, 0, false},
      /* values that are the first numbers of keys */
      {16, 1, 96, 0, 700, 1, 0, false, 64, false},
      {37, 1, 64, 0, 300, 6, 0, false, 32, false},
      {17, 1, 576, 0, 45, 1, 0, false, 512, false},
      {6, 2, 37, 0, 530, 1, 0, false, 24, false},
      {3, 1, 80, 0, 260, 1, 0, false, 79, false},
      {8, 1, 160, 90, 600, 3, 0, true, 128, false},
      {4, 1, 18, 0, 18, 2, 4, false, 3, false},
      /* ALiBi */
      {5, 5, 64, 0, 1030, 1, 0, false, 0, true},
      {12, 4, 40, 0, 300, 9, 0, false, 0, true},
      {3, 1, 32, 100, 700, 2, 0, true, 0, true},
  };
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int type = 0; type < ZH_KV_CPU_TYPES; type++) {
      check_case(kernels, &shapes[i], (zh_kv_type)type, ZH_FEW);
      if (zh_attention_rounds(&kernels->rounds, (zh_kv_type)type, shapes[i].head_dim,
                              shapes[i].shared ? shapes[i].shared : shapes[i].head_dim, ZH_MANY))
        check_case(kernels, &shapes[i], (zh_kv_type)type, ZH_MANY);
    }
}
