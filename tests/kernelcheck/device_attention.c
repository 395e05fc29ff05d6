#include "tests/kernelcheck/device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEQUENCES = 2 };
static const double u = 0x1p-24;
static const char *const kv_names[] = {"f32", "bf16", "e4m3"};

typedef struct device_attention_shape {
  uint32_t heads, kv_heads, key_dim, value_dim; /* value_dim of latent attention: kv_heads is 1 */
  bool latent;
  uint32_t window, depth;
  float spread, softcap;
  bool sinks, slopes;
  uint32_t longest; /* what the host is told; 0: as long as it is */
} device_attention_shape;

typedef struct device_attention_case {
  const device_attention_shape *shape;
  zh_device_attention work;
  zh_device_store store;
  size_t stored;         /* rows */
  float *k, *v, *q;      /* of the host; k, v [sequences][kv_heads][depth + 1][dim] as held */
  float *sinks, *slopes; /* [heads] of the host, or NULL */
  uint32_t *position, *sequence; /* of the host */
  uint32_t tokens;
} device_attention_case;

static size_t row_at(const device_attention_case *c, size_t sequence, size_t position,
                     size_t head) {
  return (sequence * c->shape->kv_heads + head) * (c->shape->depth + 1) + position;
}
static const float *key_at(const device_attention_case *c, size_t row) {
  return c->k + row * c->shape->key_dim;
}
static const float *value_at(const device_attention_case *c, size_t row) {
  return c->shape->latent ? key_at(c, row) : c->v + row * c->shape->value_dim;
}

/* What a slope takes off the score of the key `back` positions before the token's own. */
static double slant(const device_attention_case *c, size_t head, size_t back) {
  return c->slopes ? (double)c->slopes[head] * (double)back : 0;
}

/* Weights of positions [*begin, *end), whose sum is 1, and the largest sum |q k| scale. */
static double *exact_weights(const device_attention_case *c, size_t t, size_t head, size_t *begin,
                             size_t *end, double *score_size) {
  const device_attention_shape *s = c->shape;
  size_t kv_head = head / (s->heads / s->kv_heads);
  const float *q = c->q + (t * s->heads + head) * s->key_dim;
  bool rounds = zh_device_attention_rounds(&on.api->rounds, &c->work);
  float *queries = zeroed(s->key_dim * sizeof *queries);
  zh_rounded(queries, rounds ? ZH_ROUND_BF16 : ZH_ROUND_NONE, q, s->key_dim);
  *end = c->position[t] + 1;
  *begin = s->window && s->window < *end ? *end - s->window : 0;
  double *p = zeroed((*end - *begin) * sizeof *p), cap = (double)s->softcap, total = 0,
         largest = c->sinks ? (double)c->sinks[head] : -INFINITY;
  *score_size = 0;
  for (size_t j = *begin; j < *end; j++) {
    const float *k = key_at(c, row_at(c, c->sequence[t], j, kv_head));
    double size, dot = exact_dot(&size, queries, k, s->key_dim);
    double score = dot * (double)c->work.scale;
    p[j - *begin] = (cap != 0 ? cap * tanh(score / cap) : score) - slant(c, head, *end - 1 - j);
    largest = fmax(largest, p[j - *begin]);
    *score_size = fmax(*score_size, size * (double)c->work.scale);
  }
  for (size_t j = 0; j < *end - *begin; j++) total += p[j] = exp(p[j] - largest);
  if (c->sinks) total += exp((double)c->sinks[head] - largest);
  for (size_t j = 0; j < *end - *begin; j++) p[j] /= total;
  free(queries);
  return p;
}

/* As check_attention.c's row_error: scores are off by s, weights by exp(+-s) and the roundings of
 * exp, 4 u; sums of weights and of values by gamma of as many as are added, twice where tensor
 * cores add; each time the largest score grows 8 u + 2 s. A cap adds 12 u of the score. What a
 * slope takes off is off by 8 u of itself, of each key by itself: the largest have no weight. Tiles
 * round each weight to bf16, by 2^-9. */
static double row_error(const device_attention_case *c, const float *out, size_t t, size_t head) {
  const device_attention_shape *s = c->shape;
  size_t begin, end, dim = s->value_dim, kv_head = head / (s->heads / s->kv_heads);
  double score_size, *p = exact_weights(c, t, head, &begin, &end, &score_size), worst = 0,
                     slanted = 0;
  bool rounds = zh_device_attention_rounds(&on.api->rounds, &c->work);
  double seen = (double)(end - begin), blocks = seen / 16 + 3;
  double off = (gamma_of(2 * (s->key_dim + 6)) + (s->softcap != 0 ? 12 : 4) * u) * score_size;
  double factor = 2 * off + 12 * u + 2 * gamma_of(2 * (fmin(seen, 4096) + 4)) +
                  blocks * (8 * u + 2 * off / fmax(1, blocks / 4)) + (rounds ? 0x1p-8 : 0);
  for (size_t j = begin; j < end; j++)
    slanted += p[j - begin] * 8 * u * slant(c, head, end - 1 - j);
  double *exact = zeroed(3 * dim * sizeof *exact), *mixed = exact + dim, *slopes = mixed + dim;
  for (size_t j = begin; j < end; j++) {
    const float *v = value_at(c, row_at(c, c->sequence[t], j, kv_head));
    double weight = p[j - begin], leans = 8 * u * slant(c, head, end - 1 - j) + slanted;
    for (size_t i = 0; i < dim; i++) {
      double part = weight * v[i];
      exact[i] += part;
      mixed[i] += fabs(part);
      slopes[i] += fabs(part) * leans;
    }
  }
  for (size_t i = 0; i < dim; i++)
    worst = worse(worst, out[(t * s->heads + head) * dim + i], exact[i],
                  1.01 * (factor * mixed[i] + slopes[i]) + 0x1p-120);
  free(exact);
  free(p);
  return worst;
}

static zh_status enqueue_attention(void *user, zh_error *err) {
  device_attention_case *c = user;
  return on.api->attention(on.device, &c->work, err);
}

/* Positions of two sequences; the second is a token or two. */
static void place_tokens(device_attention_case *c) {
  uint32_t some = c->tokens > 2 ? c->tokens - 2 : c->tokens;
  for (uint32_t t = 0; t < c->tokens; t++) {
    c->sequence[t] = t >= some;
    c->position[t] = t < some ? c->shape->depth - (some - 1 - t) : c->shape->depth / 3 + t - some;
  }
}

static void random_cache(device_attention_case *c, zh_device_kv_type type) {
  const device_attention_shape *s = c->shape;
  size_t rows = (size_t)SEQUENCES * (s->depth + 1) * s->kv_heads;
  c->k = normal_floats(rows * s->key_dim, 1);
  c->v = s->latent ? NULL : normal_floats(rows * s->value_dim, 1);
  c->work.kv = (zh_device_kv){.type = type,
                              .sequences = SEQUENCES,
                              .kv_heads = s->kv_heads,
                              .capacity = s->depth + 3,
                              .key_dim = s->key_dim,
                              .value_dim = s->value_dim};
  c->work.kv.keys = device_copy(NULL, zh_device_kv_bytes(&c->work.kv, false));
  if (!s->latent) c->work.kv.values = device_copy(NULL, zh_device_kv_bytes(&c->work.kv, true));
}

/* All positions that tokens see; the others stay NaN. */
static zh_status store_all(device_attention_case *c, zh_error *err) {
  const device_attention_shape *s = c->shape;
  size_t all = (size_t)SEQUENCES * (s->depth + 1), stored = 0, k_width = s->kv_heads * s->key_dim,
         v_width = s->kv_heads * s->value_dim;
  uint32_t longest[SEQUENCES] = {0}, *position = zeroed(all * 4), *sequence = zeroed(all * 4);
  float *k = zeroed(all * k_width * 4), *v = zeroed(all * v_width * 4);
  for (uint32_t t = 0; t < c->tokens; t++) {
    uint32_t *most = &longest[c->sequence[t]];
    *most = c->position[t] >= *most ? c->position[t] + 1 : *most;
  }
  for (uint32_t q = 0; q < SEQUENCES; q++)
    for (uint32_t p = 0; p < longest[q]; p++, stored++) {
      sequence[stored] = q;
      position[stored] = p;
      for (uint32_t h = 0; h < s->kv_heads; h++) {
        size_t row = row_at(c, q, p, h), at = stored * s->kv_heads + h;
        memcpy(k + at * s->key_dim, key_at(c, row), s->key_dim * 4);
        if (!s->latent) memcpy(v + at * s->value_dim, value_at(c, row), s->value_dim * 4);
      }
    }
  c->store = (zh_device_store){.kv = c->work.kv,
                               .k = device_copy(k, all * k_width * 4),
                               .v = s->latent ? NULL : device_copy(v, all * v_width * 4),
                               .k_stride = k_width,
                               .v_stride = v_width,
                               .tokens = stored,
                               .position = device_copy(position, all * 4),
                               .sequence = device_copy(sequence, all * 4)};
  free(k), free(v), free(position), free(sequence);
  ZH_TRY(on.api->store(on.device, &c->store, err));
  return on.api->wait(on.device, err);
}

static void round_cache(device_attention_case *c) {
  const device_attention_shape *s = c->shape;
  size_t rows = (size_t)SEQUENCES * (s->depth + 1) * s->kv_heads;
  for (size_t r = 0; r < rows; r++) {
    zh_device_kv_round(c->k + r * s->key_dim, c->work.kv.type, s->key_dim);
    if (c->v) zh_device_kv_round(c->v + r * s->value_dim, c->work.kv.type, s->value_dim);
  }
}

static double stored_rows(const device_attention_case *c, bool values) {
  const zh_device_kv *kv = &c->work.kv;
  size_t dim = values ? kv->value_dim : kv->key_dim, bytes = zh_device_kv_bytes(kv, values),
         row_bytes = zh_device_kv_row_bytes(kv->type, dim);
  uint8_t *held = zeroed(bytes);
  float *row = zeroed(dim * sizeof *row);
  double worst = 0;
  device_read(held, values ? kv->values : kv->keys, bytes);
  for (uint32_t t = 0; t < c->tokens; t++)
    for (uint32_t h = 0; h < kv->kv_heads; h++) {
      size_t at = ((size_t)c->sequence[t] * kv->kv_heads + h) * kv->capacity + c->position[t];
      const float *expected =
          (values ? value_at : key_at)(c, row_at(c, c->sequence[t], c->position[t], h));
      zh_device_kv_values(row, kv->type, held + at * row_bytes, dim);
      for (size_t i = 0; i < dim; i++) worst = worse(worst, row[i], expected[i], 1e-300);
    }
  free(held);
  free(row);
  return worst;
}

static device_attention_case prepare(const device_attention_shape *s, zh_device_kv_type type,
                                     uint32_t tokens, zh_way way) {
  device_attention_case c = {.shape = s, .tokens = tokens};
  zh_error err = ZH_ERROR_INIT;
  c.position = zeroed(tokens * 4);
  c.sequence = zeroed(tokens * 4);
  place_tokens(&c);
  random_cache(&c, type);
  if (store_all(&c, &err) != ZH_OK) fprintf(stderr, "zhiheng-kernelcheck: %s\n", err.message);
  round_cache(&c);
  size_t floats = (size_t)tokens * s->heads;
  c.q = normal_floats(floats * s->key_dim, s->spread);
  c.sinks = s->sinks ? normal_floats(s->heads, 3) : NULL;
  c.slopes = s->slopes ? zeroed(s->heads * sizeof *c.slopes) : NULL;
  for (size_t h = 0; s->slopes && h < s->heads; h++)
    c.slopes[h] = exp2f(-8 * (float)(h + 1) / (float)s->heads);
  c.work.out = device_copy(NULL, floats * s->value_dim * 4);
  c.work.q = device_copy(c.q, floats * s->key_dim * 4);
  c.work.heads = s->heads;
  c.work.tokens = tokens;
  c.work.window = s->window;
  c.work.longest = s->longest ? s->longest : s->depth + 1;
  c.work.position = device_copy(c.position, tokens * 4);
  c.work.sequence = device_copy(c.sequence, tokens * 4);
  c.work.scale = 1 / sqrtf((float)s->key_dim);
  c.work.softcap = s->softcap;
  c.work.sinks = s->sinks ? device_copy(c.sinks, s->heads * 4) : NULL;
  c.work.slopes = s->slopes ? device_copy(c.slopes, s->heads * 4) : NULL;
  c.work.way = way;
  c.work.scratch = device_copy(NULL, on.api->attention_scratch(on.device, &c.work) + 16);
  return c;
}

static void drop(device_attention_case *c) {
  free(c->k), free(c->v), free(c->q), free(c->position), free(c->sequence);
  free(c->sinks), free(c->slopes);
  device_drop();
}

/* Tiles on tensor cores; and what wants more registers than a program's blocks have, or is rare. */
static bool is_apart(const zh_device_attention *work) {
  const zh_device_kv *kv = &work->kv;
  bool rare =
      !kv->values || kv->key_dim % 16 != 0 || kv->value_dim % 16 != 0 || kv->value_dim > 128;
  return zh_device_attention_rounds(&on.api->rounds, work) ||
         (kv->type != ZH_DEVICE_KV_F32 && rare);
}

/* The last token alone gives the same bits. */
static double alone(device_attention_case *c, const float *out) {
  const device_attention_shape *s = c->shape;
  size_t width = (size_t)s->heads * s->value_dim, last = c->tokens - 1;
  float *one = zeroed(width * sizeof *one);
  device_run run = {enqueue_attention, c, c->work.out, NULL, width * sizeof *one,
                    is_apart(&c->work)};
  c->work.tokens = 1;
  c->work.q += last * s->heads * s->key_dim;
  c->work.position += last;
  c->work.sequence += last;
  c->work.longest = c->position[last] + 1;
  double worst = device_result(one, &run);
  worst = unless_equal(worst, one, out + last * width, width * sizeof *one);
  free(one);
  return worst;
}

static void check_shape(const device_attention_shape *s, zh_device_kv_type type, uint32_t tokens,
                        zh_way way) {
  device_attention_case c = prepare(s, type, tokens, way);
  size_t bytes = (size_t)tokens * s->heads * s->value_dim * sizeof(float);
  float *out = zeroed(bytes);
  device_run run = {enqueue_attention, &c, c.work.out, NULL, bytes, is_apart(&c.work)};
  double worst = device_result(out, &run);
  for (size_t t = 0; t < tokens; t++)
    for (size_t h = 0; h < s->heads; h++) worst = fmax(worst, row_error(&c, out, t, h));
  worst = fmax(worst, alone(&c, out));
  char words[128];
  snprintf(words, sizeof words, "%s %s %u/%u of %u/%u%s, depth %u, window %u, %u tokens%s%s%s",
           kv_names[type], way == ZH_MANY ? "many" : "few", s->heads, s->kv_heads, s->key_dim,
           s->value_dim, s->latent ? " latent" : "", s->depth, s->window, tokens,
           s->softcap != 0 ? ", capped" : "", s->sinks ? ", sinks" : "",
           s->slopes ? ", slopes" : "");
  check_report("attention", on.api->backend, words, worst);
  free(out);
  drop(&c);
}

static const device_attention_shape shapes[] = {
    {4, 2, 64, 64, false, 0, 130, 1, 0, false, false, 0},
    {3, 1, 5, 5, false, 0, 18, 1, 0, false, false, 0},
    {10, 1, 32, 32, false, 0, 70, 10, 0, false, false, 0},
    {2, 2, 72, 40, false, 50, 90, 1, 2.5f, false, false, 0},
    {5, 1, 96, 64, true, 0, 75, 1, 0, false, false, 0},
    {2, 1, 128, 160, false, 60, 80, 3, 0, true, false, 0},
    {5, 5, 64, 64, false, 0, 90, 2, 0, false, true, 0},
};
static const device_attention_shape large[] = {
    {32, 8, 128, 128, false, 0, 8191, 1, 0, false, false, 0},
    {32, 8, 128, 128, false, 0, 20000, 4, 0, false, false, 0},
    {16, 1, 576, 512, true, 0, 3000, 1, 0, false, false, 0},
    {128, 1, 576, 512, true, 0, 3000, 1, 0, false, false, 0},
    {16, 4, 256, 256, false, 1024, 4000, 1, 50, true, false, 0},
    {40, 40, 128, 128, false, 0, 4000, 1, 0, false, true, 0},
};

/* By tensor cores, nothing rounded: groups of one head to more than a block takes, an odd number of
 * sixteens, several parts, more tiles of a warp than are under way. */
static const device_attention_shape cores[] = {
    {7, 1, 80, 80, false, 0, 300, 2, 0, false, false, 0},
    {9, 1, 128, 128, false, 0, 70, 5, 0, true, false, 0},
    {3, 1, 96, 48, false, 40, 75, 1, 0, false, false, 0},
    {8, 2, 192, 128, false, 0, 140, 1, 0, false, true, 0},
    {2, 2, 256, 256, false, 0, 90, 1, 4, false, false, 0},
    {8, 4, 16, 32, false, 0, 517, 3, 0, false, false, 0},
};
static const device_attention_shape latents[] = {
    {16, 1, 576, 512, true, 0, 150, 2, 0, false, false, 0},
    {37, 1, 576, 512, true, 60, 75, 1, 0, false, false, 0},
    {3, 1, 96, 32, true, 0, 259, 1, 0, true, false, 0},
    {20, 1, 352, 320, true, 0, 40, 1, 0, false, false, 0},
};

/* More tokens than the scratch holds at once. */
static const device_attention_shape many_parts = {.heads = 32,
                                                  .kv_heads = 1,
                                                  .key_dim = 16,
                                                  .value_dim = 256,
                                                  .depth = 30,
                                                  .spread = 1,
                                                  .longest = 1 << 20};

/* So long that a part is more than one tile. */
static const device_attention_shape longer = {2, 1, 8, 8, false, 0, 8300, 2, 0, false, false, 0};

void check_device_attention(void) {
  check_shape(&longer, ZH_DEVICE_KV_BF16, 1, ZH_FEW);
  check_shape(&many_parts, ZH_DEVICE_KV_F32, 20, ZH_FEW);
  for (int type = ZH_DEVICE_KV_BF16; type <= ZH_DEVICE_KV_E4M3; type++) {
    for (uint32_t i = 0; i < sizeof cores / sizeof *cores; i++)
      check_shape(&cores[i], (zh_device_kv_type)type, 1 + i % 3, ZH_FEW);
    for (uint32_t i = 0; i < sizeof latents / sizeof *latents; i++)
      check_shape(&latents[i], (zh_device_kv_type)type, 1 + i % 3, ZH_MANY);
  }
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int type = 0; type <= ZH_DEVICE_KV_E4M3; type++) {
      check_shape(&shapes[i], (zh_device_kv_type)type, i == 0 ? 1 : 4, ZH_FEW);
      if (type != ZH_DEVICE_KV_F32)
        check_shape(&shapes[i], (zh_device_kv_type)type, i == 0 ? 19 : 5, ZH_MANY);
    }
  for (size_t i = 0; !on.slow && i < sizeof large / sizeof *large; i++)
    for (int type = 0; type <= ZH_DEVICE_KV_E4M3; type++) {
      check_shape(&large[i], (zh_device_kv_type)type, 3, ZH_FEW);
      if (type != ZH_DEVICE_KV_F32) check_shape(&large[i], (zh_device_kv_type)type, 20, ZH_MANY);
    }
}

void check_device_store(void) {
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int type = 0; type <= ZH_DEVICE_KV_E4M3; type++) {
      device_attention_case c = prepare(&shapes[i], (zh_device_kv_type)type, 4, ZH_FEW);
      double worst = stored_rows(&c, false);
      if (c.v) worst = fmax(worst, stored_rows(&c, true));
      char words[64];
      snprintf(words, sizeof words, "%s %u heads of %u/%u", kv_names[type], shapes[i].kv_heads,
               shapes[i].key_dim, shapes[i].value_dim);
      check_report("store", on.api->backend, words, worst);
      drop(&c);
    }
}
