#include "bench/engine/weights.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/philox.h"

enum { ALIGNMENT = 64, VERIFIED_ROWS = 4 };

/* Which side of a matrix has which size. */
typedef enum size_of { HIDDEN, QUERY, KEY, FFN, VOCAB, ONE } size_of;
typedef struct expected {
  const char *name;
  size_of rows, columns;
} expected;

static const expected layer_tensors[ZH_LAYER_SLOTS] = {
    [ZH_ATTN_NORM] = {"attn_norm.weight", ONE, HIDDEN},
    [ZH_ATTN_Q] = {"attn_q.weight", QUERY, HIDDEN},
    [ZH_ATTN_K] = {"attn_k.weight", KEY, HIDDEN},
    [ZH_ATTN_V] = {"attn_v.weight", KEY, HIDDEN},
    [ZH_ATTN_OUTPUT] = {"attn_output.weight", HIDDEN, QUERY},
    [ZH_FFN_NORM] = {"ffn_norm.weight", ONE, HIDDEN},
    [ZH_FFN_GATE] = {"ffn_gate.weight", FFN, HIDDEN},
    [ZH_FFN_UP] = {"ffn_up.weight", FFN, HIDDEN},
    [ZH_FFN_DOWN] = {"ffn_down.weight", HIDDEN, FFN},
};
static const expected model_tensors[ZH_MODEL_SLOTS] = {
    [ZH_EMBEDDING] = {"token_embd.weight", VOCAB, HIDDEN},
    [ZH_OUTPUT_NORM] = {"output_norm.weight", ONE, HIDDEN},
    [ZH_HEAD] = {"output.weight", VOCAB, HIDDEN},
};

static uint64_t extent(const zh_architecture *a, size_of size) {
  switch (size) {
  case HIDDEN:
    return a->hidden;
  case QUERY:
    return (uint64_t)a->heads * a->head_dim;
  case KEY:
    return (uint64_t)a->kv_heads * a->head_dim;
  case FFN:
    return a->ffn;
  case VOCAB:
    return a->vocab;
  default:
    return 1;
  }
}

static bool ties_head(const zh_weights *weights) {
  return weights->architecture.tied_head && weights->whole[ZH_EMBEDDING].tensor &&
         weights->whole[ZH_HEAD].tensor;
}

static bool is_apart(const zh_weights *weights, int slot) {
  return weights->whole[slot].tensor && !(slot == ZH_HEAD && ties_head(weights));
}

size_t zh_weights_count(const zh_weights *weights) {
  size_t count = (size_t)weights->architecture.layers * ZH_LAYER_SLOTS;
  for (int slot = 0; slot < ZH_MODEL_SLOTS; ++slot) count += is_apart(weights, slot);
  return count;
}

zh_weight *zh_weights_at(const zh_weights *weights, size_t i) {
  size_t in_layers = (size_t)weights->architecture.layers * ZH_LAYER_SLOTS;
  if (i < in_layers) return &weights->layer[i];
  int slot = 0;
  for (size_t left = i - in_layers; !is_apart(weights, slot) || left-- > 0;) ++slot;
  return (zh_weight *)&weights->whole[slot];
}

void zh_weights_tie_head(zh_weights *weights) {
  if (ties_head(weights)) weights->whole[ZH_HEAD] = weights->whole[ZH_EMBEDDING];
}

/* --- a row and its place in the whole tensor --- */

static size_t bytes_of(const zh_weight *w, uint64_t columns) {
  uint64_t bytes = 0;
  (void)zh_dtype_bytes(&bytes, w->tensor->type, columns); /* whole blocks: held when described */
  return (size_t)bytes;
}

size_t zh_weight_row_bytes(const zh_weight *w) {
  return bytes_of(w, w->matrix.columns);
}

uint64_t zh_weight_bytes(const zh_weight *w) {
  return (uint64_t)w->matrix.rows * zh_weight_row_bytes(w);
}

size_t zh_weight_whole_row_bytes(const zh_weight *w) {
  return bytes_of(w, w->tensor->shape[w->tensor->dims - 1]);
}

uint64_t zh_weight_offset(const zh_weight *w, size_t r) {
  return (uint64_t)(w->first_row + r) * zh_weight_whole_row_bytes(w) + bytes_of(w, w->first_column);
}

const void *zh_weight_source_row(const zh_weight *w, size_t r, void *buffer) {
  if (w->tensor->data) return (const unsigned char *)w->tensor->data + zh_weight_offset(w, r);
  zh_standard_rows(buffer, w->tensor, w->first_row + r, 1);
  return (unsigned char *)buffer + bytes_of(w, w->first_column);
}

/* --- from the file: names, shapes and types --- */

static zh_status describe(zh_weight *out, const zh_weights *weights, const char *name,
                          const expected *want, zh_error *err) {
  const zh_architecture *a = &weights->architecture;
  const char *model = zh_model_name(weights->model);
  const zh_tensor *t = zh_model_find(weights->model, name);
  if (!t) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' is missing; a llama model of %" PRIu32 " layers has one", model,
                   name, a->layers);
  }
  uint64_t rows = extent(a, want->rows), columns = extent(a, want->columns);
  bool vector = want->rows == ONE;
  bool fits = vector ? t->dims == 1 && t->shape[0] == columns
                     : t->dims == 2 && t->shape[0] == rows && t->shape[1] == columns;
  if (!fits && vector) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' should have %" PRIu64 " elements, as the architecture says",
                   model, name, columns);
  }
  if (!fits) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' should have %" PRIu64 " rows of %" PRIu64
                   " columns, as the architecture says",
                   model, name, rows, columns);
  }
  uint64_t row_bytes = 0;
  if (!zh_dtype_is_weight(t->type) || !zh_dtype_bytes(&row_bytes, t->type, columns)) {
    const zh_dtype_info *type = zh_dtype_find((uint32_t)t->type);
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' has type %s, in which rows of %" PRIu64 " cannot be computed",
                   model, name, type ? type->name : "unknown", columns);
  }
  out->tensor = t;
  out->matrix = (zh_matrix){t->data, t->type, (size_t)rows, (size_t)columns, (size_t)row_bytes};
  return ZH_OK;
}

static zh_status describe_all(zh_weights *weights, zh_error *err) {
  char name[64];
  for (uint32_t layer = 0; layer < weights->architecture.layers; ++layer) {
    for (int slot = 0; slot < ZH_LAYER_SLOTS; ++slot) {
      snprintf(name, sizeof name, "blk.%" PRIu32 ".%s", layer, layer_tensors[slot].name);
      zh_weight *out = &weights->layer[(size_t)layer * ZH_LAYER_SLOTS + (size_t)slot];
      ZH_TRY(describe(out, weights, name, &layer_tensors[slot], err));
    }
  }
  for (int slot = 0; slot < ZH_MODEL_SLOTS; ++slot) {
    if (slot == ZH_HEAD && weights->architecture.tied_head) {
      weights->whole[ZH_HEAD] = weights->whole[ZH_EMBEDDING];
    } else {
      ZH_TRY(describe(&weights->whole[slot], weights, model_tensors[slot].name,
                      &model_tensors[slot], err));
    }
  }
  return ZH_OK;
}

static void add_up(zh_weights *weights) {
  size_t in_layers = (size_t)weights->architecture.layers * ZH_LAYER_SLOTS;
  weights->total.layers = weights->architecture.layers;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    bool looked_up = w == &weights->whole[ZH_EMBEDDING] && !weights->architecture.tied_head;
    if (!looked_up) weights->total.step_bytes += w->tensor->bytes;
    if (i < in_layers && w->tensor->dims == 2)
      weights->total.flops_per_token += 2 * w->tensor->elements;
  }
}

/* --- standard models: computed once, by all threads --- */

typedef struct generation {
  const zh_weights *weights;
  unsigned char *row; /* [threads][row_bytes]: a tensor's whole row, of which a part is kept */
  size_t row_bytes;
} generation;

static void generate_rows(const zh_weight *w, unsigned char *out, size_t begin, size_t end,
                          unsigned char *whole) {
  size_t bytes = zh_weight_row_bytes(w);
  if (bytes == zh_weight_whole_row_bytes(w)) {
    zh_standard_rows(out + begin * bytes, w->tensor, w->first_row + begin, end - begin);
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
    zh_share(&begin, &end, w->matrix.rows, ZH_PACKED_ROWS, thread, threads); /* as they are read */
    unsigned char *base =
        weights->generated + ((const unsigned char *)w->matrix.data - weights->generated);
    if (begin < end) generate_rows(w, base, begin, end, g->row + (size_t)thread * g->row_bytes);
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

static zh_status generate(zh_weights *weights, zh_threads *threads, zh_error *err) {
  size_t total = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i)
    total += aligned(zh_weight_bytes(zh_weights_at(weights, i)));
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
    w->matrix.data = weights->generated + offset;
    w->matrix.row_bytes = zh_weight_row_bytes(w);
    offset += aligned(zh_weight_bytes(w));
  }
  zh_weights_tie_head(weights);
  return generate_all(weights, threads, err);
}

/* --- norms as fp32: in place where the file has them so --- */

static bool is_norm(const zh_weights *weights, size_t i) {
  size_t in_layers = (size_t)weights->architecture.layers * ZH_LAYER_SLOTS;
  if (i >= in_layers) return zh_weights_at(weights, i) == &weights->whole[ZH_OUTPUT_NORM];
  return i % ZH_LAYER_SLOTS == ZH_ATTN_NORM || i % ZH_LAYER_SLOTS == ZH_FFN_NORM;
}

static bool readable_as_fp32(const zh_matrix *m) {
  return m->type == ZH_F32 && (uintptr_t)m->data % _Alignof(float) == 0;
}

static zh_status set_gains(zh_weights *weights, zh_error *err) {
  size_t hidden = weights->architecture.hidden,
         norms = 2 * (size_t)weights->architecture.layers + 1, used = 0;
  if (!weights->gains) weights->gains = malloc(norms * hidden * sizeof(float));
  if (!weights->gains) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu norms", norms);
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    if (!is_norm(weights, i)) continue;
    zh_weight *w = zh_weights_at(weights, i);
    float *copy = weights->gains + used++ * hidden;
    if (readable_as_fp32(&w->matrix)) {
      w->gain = (const float *)w->matrix.data;
    } else {
      zh_dequantize_row(copy, w->matrix.data, w->matrix.type, hidden);
      w->gain = copy;
    }
  }
  return ZH_OK;
}

zh_status zh_weights_describe(zh_weights *out, const zh_model *model, zh_error *err) {
  *out = (zh_weights){.model = model};
  ZH_TRY(zh_model_architecture(&out->architecture, model, err));
  const zh_architecture *a = &out->architecture;
  if (a->layers == 0 || a->hidden == 0 || a->heads == 0 || a->kv_heads == 0 || a->head_dim == 0 ||
      a->ffn == 0 || a->vocab == 0 || a->context == 0) {
    return zh_fail(err, ZH_ERR_INPUT, "%s: its architecture has a size of 0", zh_model_name(model));
  }
  if (strcmp(a->family, "llama") != 0 || a->experts != 0) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: architecture '%s'%s is not supported yet; this version runs dense llama",
                   zh_model_name(model), a->family, a->experts ? " with experts" : "");
  }
  if (a->heads % a->kv_heads != 0 || a->rope_dims > a->head_dim || a->rope_dims % 2 != 0) {
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: %" PRIu32 " query heads over %" PRIu32 " key heads with %" PRIu32
                   " of %" PRIu32 " dimensions rotated cannot be computed",
                   zh_model_name(model), a->heads, a->kv_heads, a->rope_dims, a->head_dim);
  }
  if (a->layers >
      zh_model_tensor_count(model)) { /* bounds the table below by what the file really holds */
    return zh_fail(err, ZH_ERR_INPUT, "%s: %" PRIu32 " layers but only %zu tensors",
                   zh_model_name(model), a->layers, zh_model_tensor_count(model));
  }
  out->layer = calloc((size_t)a->layers * ZH_LAYER_SLOTS, sizeof *out->layer);
  zh_status status =
      out->layer ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the tensor table");
  if (status == ZH_OK) status = describe_all(out, err);
  if (status == ZH_OK) add_up(out);
  if (status != ZH_OK) zh_weights_close(out);
  return status;
}

zh_status zh_weights_open(zh_weights *out, const zh_model *model, zh_part part, zh_threads *threads,
                          zh_error *err) {
  ZH_TRY(zh_weights_describe(out, model, err));
  zh_status status = zh_weights_cut(out, part, err);
  if (status == ZH_OK && !out->layer[0].tensor->data) status = generate(out, threads, err);
  if (status == ZH_OK) status = set_gains(out, err);
  if (status != ZH_OK) zh_weights_close(out);
  return status;
}

void zh_weights_close(zh_weights *weights) {
  free(weights->layer);
  free(weights->gains);
  free(weights->digests);
  if (weights->generated) zh_big_free(weights->generated, weights->generated_bytes);
  if (weights->packed) zh_big_free(weights->packed, weights->packed_bytes);
  if (weights->altered) munmap(weights->altered, weights->altered_bytes);
  *weights = (zh_weights){0};
}

/* --- what the engine reads, against its source --- */

typedef struct tensor_work {
  const zh_weights *weights;
  char (*digest)[ZH_DIGEST_HEX]; /* [tensors] */
  zh_error *error;               /* [threads] */
} tensor_work;

/* Packed weights are digested row by row, as the file has them: the digest does not depend on the
 * kernels. */
static zh_status digest_rows(char *out, const zh_weight *w, zh_error *err) {
  zh_digest *digest = NULL;
  size_t bytes = zh_weight_row_bytes(w);
  unsigned char *row = malloc(bytes);
  zh_status status =
      row ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a row of weights");
  if (status == ZH_OK) status = zh_digest_create(&digest, ZH_SM3, err);
  for (size_t r = 0; r < w->matrix.rows && status == ZH_OK; ++r)
    status = zh_digest_update(digest, zh_weight_row(w, r, row), bytes, err);
  if (status == ZH_OK) status = zh_digest_final(out, digest, err);
  zh_digest_free(digest);
  free(row);
  return status;
}

static void digest_share(void *user, int thread, int threads) {
  tensor_work *work = user;
  for (size_t i = (size_t)thread; i < zh_weights_count(work->weights); i += (size_t)threads) {
    const zh_weight *w = zh_weights_at(work->weights, i);
    zh_error *err = &work->error[thread];
    bool apart = w->packed.data || w->matrix.row_bytes != zh_weight_row_bytes(w);
    zh_status status =
        apart ? digest_rows(work->digest[i], w, err)
              : zh_digest_bytes(work->digest[i], ZH_SM3, w->matrix.data, zh_weight_bytes(w), err);
    if (status != ZH_OK) return;
  }
}

static zh_status first_error(const zh_error *errors, int count, zh_error *err) {
  for (int i = 0; i < count; ++i) {
    if (errors[i].status != ZH_OK) return zh_fail(err, errors[i].status, "%s", errors[i].message);
  }
  return ZH_OK;
}

static zh_status on_all_threads(zh_threads *threads, zh_task task, tensor_work *work,
                                zh_error *err) {
  int count = zh_threads_count(threads);
  work->error = calloc((size_t)count, sizeof *work->error);
  if (!work->error) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to check the weights");
  zh_threads_run(threads, task, work);
  zh_status status = first_error(work->error, count, err);
  free(work->error);
  return status;
}

static zh_status digest_each(char (*out)[ZH_DIGEST_HEX], const zh_weights *weights,
                             zh_threads *threads, zh_error *err) {
  tensor_work work = {.weights = weights, .digest = out};
  return on_all_threads(threads, digest_share, &work, err);
}

static zh_status allocate_digests(char (**out)[ZH_DIGEST_HEX], const zh_weights *weights,
                                  zh_error *err) {
  size_t count = zh_weights_count(weights);
  *out = malloc(count * sizeof **out);
  return *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu digests", count);
}

zh_status zh_weights_digest(char out[ZH_DIGEST_HEX], zh_weights *weights, zh_threads *threads,
                            zh_error *err) {
  if (!weights->digests) ZH_TRY(allocate_digests(&weights->digests, weights, err));
  ZH_TRY(digest_each(weights->digests, weights, threads, err));
  zh_digest *whole = NULL;
  ZH_TRY(zh_digest_create(&whole, ZH_SM3, err));
  zh_status status = ZH_OK;
  for (size_t i = 0; i < zh_weights_count(weights) && status == ZH_OK; ++i)
    status = zh_digest_update(whole, weights->digests[i], ZH_DIGEST_HEX - 1, err);
  if (status == ZH_OK) status = zh_digest_final(out, whole, err);
  zh_digest_free(whole);
  return status;
}

/* Reads a tensor's bytes from the disk, past any mapping, and compares them with what the engine
 * read. buffer: two rows. */
static zh_status compare_with_file(const zh_weight *w, int file, unsigned char *buffer,
                                   zh_error *err) {
  size_t bytes = zh_weight_row_bytes(w);
  for (size_t r = 0; r < w->matrix.rows; ++r) {
    uint64_t at = zh_weight_offset(w, r);
    ssize_t got = pread(file, buffer, bytes, (off_t)(w->tensor->file_offset + at));
    if (got != (ssize_t)bytes) {
      /* A file that lost its end while in use is told by whoever touches its mapping there. */
      (void)*((const volatile unsigned char *)w->tensor->data + at);
      return zh_fail(err, ZH_ERR_CHECK, "weights: tensor %s cannot be read again from %s",
                     w->tensor->name, w->tensor->file);
    }
    const unsigned char *ours = zh_weight_row(w, r, buffer + bytes);
    if (memcmp(ours, buffer, bytes) == 0) continue;
    size_t i = 0;
    while (ours[i] == buffer[i]) ++i;
    return zh_fail(err, ZH_ERR_CHECK,
                   "weights: byte %" PRIu64
                   " of tensor %s is 0x%02x where the engine read it and 0x%02x in the file",
                   at + i, w->tensor->name, ours[i], buffer[i]);
  }
  return ZH_OK;
}

static size_t longest_row(const zh_weights *weights) {
  size_t longest = 1;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    size_t bytes = zh_weights_at(weights, i)->matrix.row_bytes;
    if (bytes > longest) longest = bytes;
  }
  return longest;
}

static void compare_share(void *user, int thread, int threads) {
  tensor_work *work = user;
  zh_error *err = &work->error[thread];
  unsigned char *buffer = malloc(2 * longest_row(work->weights));
  int file = -1;
  const char *opened = NULL;
  zh_status status =
      buffer ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory to check the weights");
  for (size_t i = (size_t)thread; i < zh_weights_count(work->weights) && status == ZH_OK;
       i += (size_t)threads) {
    const zh_weight *w = zh_weights_at(work->weights, i);
    if (!opened || strcmp(opened, w->tensor->file) != 0) {
      if (file >= 0) close(file);
      opened = w->tensor->file;
      file = open(opened, O_RDONLY | O_CLOEXEC);
    }
    if (file < 0) {
      status = zh_fail(err, ZH_ERR_CHECK, "weights: %s cannot be opened again to be compared",
                       w->tensor->file);
    } else {
      status = compare_with_file(w, file, buffer, err);
    }
  }
  if (file >= 0) close(file);
  free(buffer);
}

static zh_status recompute_rows(const zh_weights *weights, uint64_t seed, zh_error *err) {
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    size_t bytes = zh_weight_row_bytes(w), whole = zh_weight_whole_row_bytes(w);
    unsigned char *row = malloc(whole + bytes);
    if (!row)
      return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a row of %s", w->tensor->name);
    uint32_t pick[VERIFIED_ROWS];
    zh_random_fill(pick, VERIFIED_ROWS, seed, i, 0);
    for (int k = 0; k < VERIFIED_ROWS; ++k) {
      uint64_t r = pick[k] % w->matrix.rows;
      if (memcmp(zh_weight_source_row(w, r, row), zh_weight_row(w, r, row + whole), bytes) == 0)
        continue;
      free(row);
      return zh_fail(err, ZH_ERR_CHECK,
                     "weights: row %" PRIu64 " of tensor %s is not what the standard model defines",
                     w->first_row + r, w->tensor->name);
    }
    free(row);
  }
  return ZH_OK;
}

/* Norms that the engine reads as converted copies. */
static zh_status verify_gains(const zh_weights *weights, zh_error *err) {
  size_t hidden = weights->architecture.hidden;
  float *values = malloc(hidden * sizeof *values);
  if (!values) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a norm");
  zh_status status = ZH_OK;
  for (size_t i = 0; i < zh_weights_count(weights) && status == ZH_OK; ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    if (!w->gain) continue;
    zh_dequantize_row(values, w->matrix.data, w->matrix.type, hidden);
    if (memcmp(values, w->gain, hidden * sizeof *values) != 0)
      status = zh_fail(err, ZH_ERR_CHECK, "weights: the values of %s differ from the file's",
                       w->tensor->name);
  }
  free(values);
  return status;
}

static zh_status verify_digests(const zh_weights *weights, zh_threads *threads, zh_error *err) {
  char(*now)[ZH_DIGEST_HEX] = NULL;
  if (!weights->digests)
    return zh_fail(err, ZH_ERR_ARG, "weights: no digest was taken before the run");
  ZH_TRY(allocate_digests(&now, weights, err));
  zh_status status = digest_each(now, weights, threads, err);
  for (size_t i = 0; i < zh_weights_count(weights) && status == ZH_OK; ++i) {
    if (strcmp(now[i], weights->digests[i]) == 0) continue;
    status = zh_fail(err, ZH_ERR_CHECK,
                     "weights: the SM3 of tensor %s is %.16s… as the engine read it, but was "
                     "%.16s… when the standard "
                     "model was computed",
                     zh_weights_at(weights, i)->tensor->name, now[i], weights->digests[i]);
  }
  free(now);
  return status;
}

zh_status zh_weights_verify(const zh_weights *weights, zh_threads *threads, uint64_t seed,
                            zh_error *err) {
  ZH_TRY(verify_gains(weights, err));
  if (weights->generated) {
    ZH_TRY(verify_digests(weights, threads, err));
    return recompute_rows(weights, seed, err);
  }
  tensor_work work = {.weights = weights};
  return on_all_threads(threads, compare_share, &work, err);
}

/* --- a fault, for those who doubt the check --- */

static zh_status map_privately(zh_weights *weights, zh_weight *w, zh_error *err) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), inside = w->tensor->file_offset % page;
  int file = open(w->tensor->file, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return zh_fail(err, ZH_ERR_IO, "%s cannot be opened for the injected fault", w->tensor->file);
  size_t bytes = (size_t)(inside + w->tensor->bytes);
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file,
                 (off_t)(w->tensor->file_offset - inside));
  close(file);
  if (p == MAP_FAILED)
    return zh_fail(err, ZH_ERR_MEMORY, "no memory to map %s for the injected fault",
                   w->tensor->name);
  weights->altered = p;
  weights->altered_bytes = bytes;
  w->matrix.data = (unsigned char *)p + inside + zh_weight_offset(w, 0);
  return ZH_OK;
}

zh_status zh_weights_flip(zh_weights *weights, uint64_t seed, char *what, size_t capacity,
                          zh_error *err) {
  if (weights->altered) return zh_fail(err, ZH_ERR_ARG, "only one weight can be altered");
  uint64_t total = 0;
  for (size_t i = 0; i < zh_weights_count(weights); ++i)
    total += zh_weight_bytes(zh_weights_at(weights, i));
  uint32_t random[3];
  zh_random_fill(random, 3, seed, UINT64_C(0x77656967687400), 0);
  uint64_t at = (((uint64_t)random[0] << 32) | random[1]) % total;
  size_t i = 0;
  while (at >= zh_weight_bytes(zh_weights_at(weights, i)))
    at -= zh_weight_bytes(zh_weights_at(weights, i++));
  zh_weight *w = zh_weights_at(weights, i);
  size_t row_bytes = zh_weight_row_bytes(w), row = (size_t)(at / row_bytes);
  if (w->packed.data) {
    ZH_TRY(zh_weight_flip_packed(w, at, random[2] % 8, err));
  } else {
    if (!weights->generated) ZH_TRY(map_privately(weights, w, err));
    unsigned char *byte =
        (unsigned char *)(uintptr_t)w->matrix.data + row * w->matrix.row_bytes + at % row_bytes;
    *byte = (unsigned char)(*byte ^ (1u << (random[2] % 8)));
  }
  zh_weights_tie_head(weights);
  snprintf(what, capacity, "bit %u of byte %" PRIu64 " of %s", random[2] % 8,
           zh_weight_offset(w, row) + at % row_bytes, w->tensor->name);
  return set_gains(weights, err);
}
