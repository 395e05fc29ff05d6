#include "bench/quality/draw.h"

#include <math.h>
#include <stdlib.h>

#include "core/philox.h"

struct zh_drawing {
  uint32_t vocab;
  double *weight; /* exp((logit - largest) / temperature), [vocab] */
  uint32_t *heap; /* tokens, the heaviest first; [vocab] */
  uint32_t held;
};

zh_status zh_drawing_create(zh_drawing **out, uint32_t vocab, zh_error *err) {
  zh_drawing *d = calloc(1, sizeof *d);
  *out = d;
  if (d) {
    d->vocab = vocab;
    d->weight = malloc(vocab * sizeof *d->weight);
    d->heap = malloc(vocab * sizeof *d->heap);
    if (d->weight && d->heap) return ZH_OK;
  }
  zh_drawing_free(d);
  *out = NULL;
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (drawn answers)");
}

void zh_drawing_free(zh_drawing *d) {
  if (!d) return;
  free(d->weight);
  free(d->heap);
  free(d);
}

/* [0, 1) */
static double uniform(const zh_draws *how, const zh_request *r, size_t place) {
  uint32_t bits[4],
      counter[4] = {(uint32_t)place, r->repeat, (uint32_t)r->doc,
                    (uint32_t)how->stream ^ (uint32_t)(how->stream >> 32)},
      key[2] = {(uint32_t)how->seed, (uint32_t)(how->seed >> 32)};
  zh_philox4x32_10(bits, counter, key);
  uint64_t both = (uint64_t)bits[0] << 32 | bits[1];
  return (double)(both >> 11) * 0x1p-53;
}

/* Heavier first; of equals the smaller id. */
static bool before(const zh_drawing *d, uint32_t a, uint32_t b) {
  return d->weight[a] != d->weight[b] ? d->weight[a] > d->weight[b] : a < b;
}

static void sink(zh_drawing *d, uint32_t at) {
  uint32_t token = d->heap[at];
  for (uint32_t child; (child = 2 * at + 1) < d->held; at = child) {
    if (child + 1 < d->held && before(d, d->heap[child + 1], d->heap[child])) child++;
    if (!before(d, d->heap[child], token)) break;
    d->heap[at] = d->heap[child];
  }
  d->heap[at] = token;
}

static void make_heap(zh_drawing *d) {
  d->held = d->vocab;
  for (uint32_t i = 0; i < d->vocab; i++) d->heap[i] = i;
  for (uint32_t i = d->vocab / 2; i-- > 0;) sink(d, i);
}

/* The heaviest that is left goes behind the heap. */
static double pop(zh_drawing *d) {
  uint32_t first = d->heap[0];
  d->heap[0] = d->heap[--d->held];
  d->heap[d->held] = first;
  sink(d, 0);
  return d->weight[first];
}

/* The n-th heaviest of those that were popped. */
static uint32_t popped(const zh_drawing *d, uint32_t n) {
  return d->heap[d->vocab - 1 - n];
}

static bool fill_weights(zh_drawing *d, const zh_draws *how, const float *logits) {
  float most = -INFINITY;
  for (uint32_t i = 0; i < d->vocab; i++)
    if (logits[i] > most) most = logits[i];
  if (!isfinite(most)) return false;
  for (uint32_t i = 0; i < d->vocab; i++) {
    if (isnan(logits[i])) return false;
    d->weight[i] = exp(((double)logits[i] - (double)most) / how->temperature);
  }
  return true;
}

/* Without limits, in the order of ids. */
static size_t draw_any(const zh_drawing *d, double u) {
  double sum = 0, at = 0;
  for (uint32_t i = 0; i < d->vocab; i++) sum += d->weight[i];
  uint32_t last = 0;
  for (uint32_t i = 0; i < d->vocab; i++) {
    if (d->weight[i] == 0) continue;
    last = i;
    at += d->weight[i];
    if (u * sum < at) break;
  }
  return last;
}

/* How many of the heaviest there are to draw from, and what they weigh. */
static uint32_t keep_heaviest(zh_drawing *d, double *mass, const zh_draws *how) {
  uint32_t most = how->top_k > 0 && how->top_k < d->vocab ? (uint32_t)how->top_k : d->vocab;
  double all = 0, sum = 0;
  uint32_t count = 0;
  make_heap(d);
  if (most == d->vocab)
    for (uint32_t i = 0; i < d->vocab; i++) all += d->weight[i];
  else
    for (; count < most; count++) all += pop(d);
  uint32_t out = 0;
  while (out < most && (out == 0 || sum < how->top_p * all)) {
    if (out == count) pop(d), count++;
    sum += d->weight[popped(d, out++)];
  }
  *mass = sum;
  return out;
}

size_t zh_drawing_token(zh_drawing *d, const zh_draws *how, const zh_request *request, size_t place,
                        const float *logits) {
  if (!fill_weights(d, how, logits)) return SIZE_MAX;
  double u = uniform(how, request, place), mass, at = 0;
  if (how->top_k == 0 && how->top_p >= 1) return draw_any(d, u);
  uint32_t count = keep_heaviest(d, &mass, how), n = 0;
  for (; n + 1 < count; n++) {
    at += d->weight[popped(d, n)];
    if (u * mass < at) break;
  }
  return popped(d, n);
}
