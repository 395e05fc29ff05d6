/* Weights whose rows no file holds as the engine wants them, made once by all threads: standard
 * models' are computed, others put together from where they stand. */
#include <stdlib.h>
#include <string.h>

#include "bench/engine/weights.h"

enum { ALIGNMENT = 64 };

static bool is_made_here(const zh_weights *weights, const zh_weight *w) {
  return zh_weight_is_made(w) && (!weights->elsewhere || w->tensor->dims == 1);
}

typedef struct generation {
  const zh_weights *weights;
  unsigned char *row; /* [threads][row_bytes]: a tensor's whole row, of which a part is kept */
  size_t row_bytes;
} generation;

static void generate_rows(const zh_weight *w, unsigned char *out, size_t begin, size_t end,
                          unsigned char *whole) {
  size_t bytes = zh_weight_row_bytes(w);
  if (bytes == zh_weight_whole_row_bytes(w)) {
    zh_weight_make_rows(out + begin * bytes, w->source, w->first_row + begin, end - begin);
    return;
  }
  for (size_t r = begin; r < end; ++r)
    memcpy(out + r * bytes, zh_weight_source_row(w, r, whole), bytes);
}

static void generate_share(void *user, int thread, int threads) {
  const generation *g = user;
  const zh_weights *weights = g->weights;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    size_t begin, end;
    if (!is_made_here(weights, w)) continue;
    zh_share(&begin, &end, w->matrix.rows, ZH_PACKED_ROWS, thread, threads); /* as they are read */
    unsigned char *base =
        weights->generated + ((const unsigned char *)w->matrix.data - weights->generated);
    if (begin < end) generate_rows(w, base, begin, end, g->row + (size_t)thread * g->row_bytes);
    zh_source_leave(w->source); /* who is not done yet reads again what he still needs */
  }
}

static size_t aligned(size_t bytes) {
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static zh_status generate_all(zh_weights *weights, zh_threads *threads, zh_error *err) {
  generation g = {.weights = weights};
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    size_t bytes = aligned(zh_weight_whole_row_bytes(zh_weights_at(weights, i)));
    if (bytes > g.row_bytes) g.row_bytes = bytes;
  }
  g.row = malloc(g.row_bytes * (size_t)zh_threads_count(threads));
  if (!g.row) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for rows of weights");
  zh_threads_run(threads, generate_share, &g);
  free(g.row);
  return ZH_OK;
}

zh_status zh_weights_generate(zh_weights *weights, zh_threads *threads, zh_error *err) {
  size_t total = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i)
    if (is_made_here(weights, zh_weights_at(weights, i)))
      total += aligned(zh_weight_bytes(zh_weights_at(weights, i)));
  if (total == 0) return ZH_OK;
  weights->generated = zh_big_alloc(total);
  if (!weights->generated) {
    return zh_fail(err, ZH_ERR_LACKING,
                   "%s needs %.1f GB of memory for its weights, and this machine has not that much",
                   zh_model_name(weights->model), (double)total / 1e9);
  }
  weights->generated_bytes = total;
  size_t offset = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    zh_weight *w = zh_weights_at(weights, i);
    if (!is_made_here(weights, w)) continue;
    w->matrix.data = weights->generated + offset;
    w->matrix.row_bytes = zh_weight_row_bytes(w);
    offset += aligned(zh_weight_bytes(w));
  }
  zh_weights_tie_head(weights);
  return generate_all(weights, threads, err);
}
