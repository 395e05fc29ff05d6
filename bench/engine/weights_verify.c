/* What the engine reads, held against its source. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/engine/weights.h"
#include "core/philox.h"

enum { VERIFIED_ROWS = 4 };

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
