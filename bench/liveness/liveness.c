/* Probes of one start layer share a batch: each is a sequence of its own that computes with its own
 * changed row, from the hidden states that the unchanged model had on entering that layer. */
#include "bench/liveness/liveness.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/inside.h"
#include "bench/liveness/bound.h"
#include "bench/liveness/change.h"
#include "bench/liveness/draw.h"
#include "bench/liveness/reach.h"
#include "core/clock.h"
#include "core/philox.h"

enum { LENGTH = ZH_LIVENESS_LENGTH, SEQUENCES = ZH_LIVENESS_SEQUENCES, TEXTS = ZH_LIVENESS_TEXTS };
/* What is known of the unchanged model, of so many texts at a time: the fixed ones, and one of the
 * drawn ones. */
enum { KNOWN = TEXTS + 1 };
enum { FLOOR_DRAWS = 4, SPARE_BYTES = 64, LONE_POSITION = 1 };
enum { STREAM_FLOOR = 0x6c697666 };
/* Rounding is drawn alike in every run, so that whether a scalar is live depends on the model
 * alone. */
static const uint64_t FLOOR_SEED = 1;

typedef struct pool {
  zh_engine *engine;
  zh_threads *threads;
  const zh_liveness_texts *texts;
  const zh_liveness_options *options;
  zh_reach reach;
  size_t length, hidden, layers, vocab;
  float *states;       /* [KNOWN][layers + 1][length][hidden]: what enters each layer */
  float *plain;        /* [KNOWN][length][vocab]: logits of the unchanged model */
  float *logits;       /* [SEQUENCES][length][vocab] */
  unsigned char *rows; /* [SEQUENCES][row_bytes]: changed rows */
  size_t row_bytes;    /* of the widest, with the spare ones */
  float *gains;        /* [SEQUENCES][longest row]: changed vectors */
  size_t longest;
  size_t *order;            /* of the probes, by start layer */
  uint32_t text;            /* being computed: its number */
  uint32_t token[LENGTH];   /* of it */
  float floor;              /* of it and the fixed ones */
  bool keep_states, jitter; /* what entering a layer does */
  uint64_t jitter_stream;
} pool;

/* --- memory --- */

static size_t text_floats(const pool *p) {
  return p->length * p->vocab;
}

static size_t known(const pool *p) {
  return p->text < TEXTS ? p->text : TEXTS;
}

static float *states_at(const pool *p, size_t layer) {
  return p->states + (known(p) * (p->layers + 1) + layer) * p->length * p->hidden;
}

static float *plain_of(const pool *p) {
  return p->plain + known(p) * text_floats(p);
}

static size_t widest_row(const zh_weights *weights) {
  size_t most = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    size_t bytes = zh_weights_at(weights, i)->matrix.row_bytes;
    if (bytes > most) most = bytes;
  }
  return (most + SPARE_BYTES + SPARE_BYTES - 1) / SPARE_BYTES * SPARE_BYTES;
}

static size_t longest_row(const zh_weights *weights) {
  size_t most = 1;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    if (w->matrix.columns > most) most = w->matrix.columns;
  }
  return most;
}

static zh_status allocate(pool *p, size_t probes, zh_error *err) {
  p->row_bytes = widest_row(&p->engine->weights);
  p->longest = longest_row(&p->engine->weights);
  p->states = malloc(KNOWN * (p->layers + 1) * p->length * p->hidden * sizeof *p->states);
  p->plain = malloc(KNOWN * text_floats(p) * sizeof *p->plain);
  p->logits = malloc(SEQUENCES * text_floats(p) * sizeof *p->logits);
  p->rows = calloc(SEQUENCES, p->row_bytes);
  p->gains = malloc(SEQUENCES * p->longest * sizeof *p->gains);
  p->order = malloc(probes * sizeof *p->order);
  if (p->states && p->plain && p->logits && p->rows && p->gains && p->order) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the logits of %d texts of %zu tokens",
                 SEQUENCES, p->length);
}

static void release(pool *p) {
  p->engine->patches = NULL;
  p->engine->patch_count = 0;
  p->engine->first_layer = 0;
  p->engine->enter = NULL;
  zh_reach_free(&p->reach);
  free(p->states);
  free(p->plain);
  free(p->logits);
  free(p->rows);
  free(p->gains);
  free(p->order);
}

/* --- computing --- */

/* The neighbouring float, up or down as the bits say. */
static void round_otherwise(float *x, size_t count, uint64_t stream, uint64_t at) {
  uint32_t bits[LENGTH];
  for (size_t i = 0; i < count; ++i) {
    if (i % LENGTH == 0) zh_random_fill(bits, LENGTH, FLOOR_SEED, stream, at + i);
    x[i] = nextafterf(x[i], bits[i % LENGTH] & 1 ? INFINITY : -INFINITY);
  }
}

static void enter(void *user, uint32_t layer, float *x, size_t tokens) {
  pool *p = user;
  size_t floats = p->length * p->hidden;
  if (p->keep_states) memcpy(states_at(p, layer), x, floats * sizeof *x);
  if (p->jitter) round_otherwise(x, tokens * p->hidden, p->jitter_stream, layer * floats);
  if (layer != p->engine->first_layer || layer == 0) return;
  for (size_t s = 0; s < tokens / p->length; ++s)
    memcpy(x + s * floats, states_at(p, layer), floats * sizeof *x);
}

/* `count` sequences of the text, each with its own token at LONE_POSITION unless that is NULL. */
static zh_status compute(pool *p, size_t count, const int64_t *lone, float *logits, zh_error *err) {
  uint32_t token[SEQUENCES * LENGTH], position[SEQUENCES * LENGTH], sequence[SEQUENCES * LENGTH];
  bool want[SEQUENCES * LENGTH];
  for (size_t s = 0; s < count; ++s) {
    zh_engine_truncate(p->engine, (uint32_t)s, 0);
    for (size_t i = 0; i < p->length; ++i) {
      size_t at = s * p->length + i;
      token[at] = p->token[i];
      if (lone && lone[s] >= 0 && i == LONE_POSITION) token[at] = (uint32_t)lone[s];
      position[at] = (uint32_t)i;
      sequence[at] = (uint32_t)s;
      want[at] = true;
    }
  }
  return zh_engine_forward(p->engine, token, position, sequence, count * p->length, want, logits,
                           err);
}

/* The largest difference; infinite where one is no number and the other is. */
static float largest_change(const float *a, const float *b, size_t count) {
  float most = 0;
  for (size_t i = 0; i < count; ++i) {
    float change = fabsf(a[i] - b[i]);
    if (!(change <= most)) most = isnan(change) ? INFINITY : change;
  }
  return most;
}

/* --- the unchanged model, and its rounding --- */

static void take_text(pool *p, uint32_t number) {
  p->text = number;
  zh_liveness_text(p->token, p->texts, number, (uint32_t)p->vocab);
}

static zh_status compute_plain(pool *p, zh_error *err) {
  float *logits = plain_of(p);
  p->keep_states = true;
  zh_status status = compute(p, 1, NULL, logits, err);
  p->keep_states = false;
  ZH_TRY(status);
  for (size_t i = 0; i < text_floats(p); ++i)
    if (!isfinite(logits[i]))
      return zh_fail(err, ZH_ERR_CHECK, "the model's logits are not finite numbers");
  return ZH_OK;
}

static zh_status raise_floor(pool *p, zh_error *err) {
  zh_status status = ZH_OK;
  p->jitter = true;
  for (uint64_t k = 0; k < FLOOR_DRAWS && status == ZH_OK; ++k) {
    p->jitter_stream = STREAM_FLOOR + TEXTS * k + p->text;
    status = compute(p, 1, NULL, p->logits, err);
    if (status != ZH_OK) break;
    float change = largest_change(p->logits, plain_of(p), text_floats(p));
    if (change > p->floor) p->floor = change;
  }
  p->jitter = false;
  return status;
}

static zh_status learn_fixed_texts(zh_liveness *out, pool *p, zh_error *err) {
  for (uint32_t text = 0; text < TEXTS; ++text) {
    take_text(p, text);
    ZH_TRY(compute_plain(p, err));
    ZH_TRY(raise_floor(p, err));
  }
  out->floor = p->floor;
  out->plain_bits = zh_sum_of_bits(p->plain, TEXTS * text_floats(p));
  return ZH_OK;
}

static zh_status replay(zh_liveness *out, pool *p, zh_error *err) {
  out->same_bits = true;
  for (uint32_t text = 0; text < TEXTS; ++text) {
    take_text(p, text);
    ZH_TRY(compute(p, 1, NULL, p->logits, err));
    if (memcmp(p->logits, plain_of(p), text_floats(p) * sizeof(float)) != 0) out->same_bits = false;
  }
  if (out->same_bits) return ZH_OK;
  return zh_fail(
      err, ZH_ERR_CHECK,
      "liveness: the unchanged model gave other logits at the end than at the beginning; "
      "the same computation must give the same bits");
}

/* --- a batch of probes --- */

typedef struct batch {
  pool *pool;
  zh_liveness *out;
  size_t probe[SEQUENCES]; /* indices */
  size_t count, sequences_each;
  zh_patch patch[SEQUENCES];
  float change[SEQUENCES];
} batch;

static float factor_of(const pool *p, const zh_weight *w, const void *row, float *room) {
  const zh_engine *e = p->engine;
  if (!e->head_factor || w->tensor != e->weights.whole[ZH_HEAD].tensor) return 0;
  zh_dequantize_row(room, row, w->matrix.type, w->matrix.columns);
  return zh_head_factor(room, w->matrix.columns);
}

/* Whether there is anything to compute for this probe. */
static bool prepare_patch(batch *b, size_t index) {
  pool *p = b->pool;
  zh_probe *probe = &b->out->probes[index];
  const zh_weight *w = probe->weight;
  unsigned char *row = p->rows + b->count * p->row_bytes;
  float *gain = p->gains + b->count * p->longest;
  memcpy(row, (const unsigned char *)w->matrix.data + probe->row * w->matrix.row_bytes,
         w->matrix.row_bytes);
  zh_change_result result = zh_change_scalar(row, w->matrix.type, w->matrix.columns,
                                             (size_t)probe->column, &probe->was, &probe->is);
  if (result != ZH_CHANGED) {
    probe->outcome = result == ZH_CHANGE_ALL_ZERO ? ZH_PROBE_ALL_ZERO : ZH_PROBE_STUCK;
    return false;
  }
  zh_weight changed = *w;
  changed.matrix.data = row;
  float factor = factor_of(p, w, row, gain);
  if (w->gain) zh_weight_vector(gain, &p->engine->weights, &changed);
  b->patch[b->count] =
      (zh_patch){.tensor = w->tensor,
                 .sequence = (uint32_t)(b->count * b->sequences_each + b->sequences_each - 1),
                 .row = (size_t)probe->row,
                 .bytes = row,
                 .gain = w->gain ? gain : NULL,
                 .head_factor = factor};
  b->probe[b->count++] = index;
  return true;
}

static void compare_share(void *user, int thread, int threads) {
  batch *b = user;
  const pool *p = b->pool;
  size_t floats = text_floats(p);
  for (size_t i = (size_t)thread; i < b->count; i += (size_t)threads) {
    const float *changed = p->logits + b->patch[i].sequence * floats;
    const float *plain = b->sequences_each == 2 ? changed - floats : plain_of(p);
    b->change[i] = largest_change(changed, plain, floats);
  }
}

static zh_status compute_batch(batch *b, zh_error *err) {
  pool *p = b->pool;
  int64_t lone[SEQUENCES];
  for (size_t i = 0; i < b->count; ++i)
    for (size_t k = 0; k < b->sequences_each; ++k)
      lone[i * b->sequences_each + k] =
          b->sequences_each == 2 ? (int64_t)b->out->probes[b->probe[i]].row : -1;
  p->engine->patches = b->patch;
  p->engine->patch_count = b->count;
  p->engine->first_layer = b->out->probes[b->probe[0]].first_layer;
  zh_status status = compute(p, b->count * b->sequences_each, lone, p->logits, err);
  p->engine->patch_count = 0;
  p->engine->first_layer = 0;
  ZH_TRY(status);
  zh_threads_run(p->threads, compare_share, b);
  for (size_t i = 0; i < b->count; ++i) {
    zh_probe *probe = &b->out->probes[b->probe[i]];
    if (b->change[i] > probe->change) {
      probe->change = b->change[i];
      probe->text = p->text;
    }
    if (b->change[i] > p->floor)
      probe->outcome = ZH_PROBE_LIVE;
    else if (b->change[i] > 0)
      probe->outcome = ZH_PROBE_BELOW_FLOOR;
  }
  return ZH_OK;
}

static bool open_still(const zh_probe *probe) {
  return probe->outcome == ZH_PROBE_UNCHANGED || probe->outcome == ZH_PROBE_BELOW_FLOOR;
}

/* Whether the text may show what the probe changes: a fixed one does unless no token of it goes to
 * the expert whose weight it is, a drawn one where it is the first that reaches its expert. */
static bool is_asked(const zh_probe *probe, uint32_t text) {
  if (!open_still(probe)) return false;
  if (text < TEXTS) return !probe->sent || probe->reached_by <= text;
  return probe->reached_by == text;
}

/* All probes that no earlier text has shown to be live, with this text. */
static zh_status probe_text(zh_liveness *out, pool *p, zh_error *err) {
  for (size_t next = 0; next < out->count;) {
    batch b = {.pool = p, .out = out, .sequences_each = 1};
    for (; next < out->count && b.count < SEQUENCES / b.sequences_each; ++next) {
      const zh_probe *probe = &out->probes[p->order[next]];
      size_t each = probe->lone ? 2 : 1;
      if (!is_asked(probe, p->text)) continue;
      if (b.count > 0 && each != b.sequences_each) break;
      b.sequences_each = each;
      prepare_patch(&b, p->order[next]);
    }
    if (b.count > 0) ZH_TRY(compute_batch(&b, err));
    if (p->options->progress)
      p->options->progress(p->options->progress_user, p->text == 0 ? next : out->count, out->count);
  }
  return ZH_OK;
}

static bool any_asks(const zh_liveness *out, uint32_t text) {
  for (size_t i = 0; i < out->count; ++i)
    if (is_asked(&out->probes[i], text)) return true;
  return false;
}

/* Drawn texts, each for the experts that no earlier one reaches. */
static zh_status probe_drawn_texts(zh_liveness *out, pool *p, zh_error *err) {
  for (uint32_t text = TEXTS; text < TEXTS + out->experts.drawn; ++text) {
    if (!any_asks(out, text)) continue;
    take_text(p, text);
    p->floor = out->floor;
    ZH_TRY(compute_plain(p, err));
    ZH_TRY(raise_floor(p, err));
    ZH_TRY(probe_text(out, p, err));
  }
  return ZH_OK;
}

/* What belongs to an expert that had no token, and changed nothing. */
static void settle_unreached(zh_liveness *out, pool *p) {
  for (size_t i = 0; i < out->count; ++i) {
    zh_probe *probe = &out->probes[i];
    batch alone = {.pool = p, .out = out, .sequences_each = 1};
    if (probe->reached_by != ZH_NOT_REACHED || probe->outcome != ZH_PROBE_UNCHANGED) continue;
    if (prepare_patch(&alone, i)) probe->outcome = ZH_PROBE_NOT_REACHED;
  }
}

/* Lone probes first, then by the layer from which on they must be computed; stable. */
static void sort_by_start(zh_liveness *out, pool *p) {
  size_t at = 0;
  for (size_t i = 0; i < out->count; ++i)
    if (out->probes[i].lone) p->order[at++] = i;
  for (uint32_t layer = 0; layer <= p->layers; ++layer)
    for (size_t i = 0; i < out->count; ++i)
      if (!out->probes[i].lone && out->probes[i].first_layer == layer) p->order[at++] = i;
}

/* --- all of it --- */

static zh_status check_engine(const pool *p, zh_error *err) {
  const zh_engine *e = p->engine;
  if (p->length > LONE_POSITION && p->length <= LENGTH && e->sequences >= SEQUENCES &&
      e->context >= p->length && e->micro_batch >= SEQUENCES * p->length)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_ARG,
                 "liveness needs an engine of %d sequences of 2 to %d positions in one micro-batch",
                 SEQUENCES, LENGTH);
}

static zh_status probe_all(zh_liveness *out, pool *p, zh_error *err) {
  p->engine->enter = enter;
  p->engine->enter_user = p;
  ZH_TRY(learn_fixed_texts(out, p, err));
  ZH_TRY(zh_reach_find(&p->reach, &out->experts, p->engine, p->texts, err));
  zh_liveness_draw(out, p->engine, &p->reach);
  sort_by_start(out, p);
  for (uint32_t text = 0; text < TEXTS; ++text) {
    take_text(p, text);
    ZH_TRY(probe_text(out, p, err));
  }
  ZH_TRY(probe_drawn_texts(out, p, err));
  settle_unreached(out, p);
  ZH_TRY(replay(out, p, err));
  for (size_t i = 0; i < out->count; ++i) out->live += out->probes[i].outcome == ZH_PROBE_LIVE;
  out->lower_bound_95 = zh_lower_bound(out->live, out->count, 0.95);
  return ZH_OK;
}

zh_status zh_liveness_measure(zh_liveness *out, zh_engine *engine, zh_threads *threads,
                              const zh_liveness_texts *texts, const zh_liveness_options *options,
                              zh_error *err) {
  int64_t begin = zh_now_ns();
  const zh_architecture *a = &engine->architecture;
  pool p = {.engine = engine,
            .threads = threads,
            .texts = texts,
            .options = options,
            .length = texts->length,
            .hidden = a->hidden,
            .layers = a->layers,
            .vocab = a->vocab};
  *out = (zh_liveness){.population = zh_liveness_scalars(&engine->weights),
                       .seed = options->seed,
                       .kernels = engine->kernels->name,
                       .texts = *texts};
  out->count = options->probes < out->population ? options->probes : (size_t)out->population;
  out->probes = calloc(out->count + 1, sizeof *out->probes);
  zh_status status = out->probes ? check_engine(&p, err)
                                 : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the probes");
  if (status == ZH_OK) status = allocate(&p, out->count + 1, err);
  if (status == ZH_OK) status = probe_all(out, &p, err);
  release(&p);
  out->seconds = (double)(zh_now_ns() - begin) / 1e9;
  if (status != ZH_OK) zh_liveness_free(out);
  return status;
}

void zh_liveness_free(zh_liveness *liveness) {
  free(liveness->probes);
  *liveness = (zh_liveness){0};
}
