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

/* A weight's bytes that differ from `rows`, those of the model; buffer: a row. */
static zh_status name_difference(const zh_weight *w, size_t first, size_t count,
                                 const unsigned char *rows, unsigned char *buffer, zh_error *err) {
  size_t bytes = zh_weight_row_bytes(w);
  for (size_t r = 0; r < count; ++r) {
    const unsigned char *ours = zh_weight_row(w, first + r, buffer), *theirs = rows + r * bytes;
    size_t i = 0;
    while (i < bytes && ours[i] == theirs[i]) ++i;
    if (i == bytes) continue;
    return zh_fail(err, ZH_ERR_CHECK,
                   "weights: byte %" PRIu64
                   " of tensor %s is 0x%02x where the engine read it and 0x%02x in the model",
                   zh_weight_offset(w, first + r) + i, w->tensor->name, ours[i], theirs[i]);
  }
  return zh_fail(err, ZH_ERR_CHECK,
                 "weights: rows %zu to %zu of tensor %s are not rearranged as they should be",
                 w->first_row + first, w->first_row + first + count - 1, w->tensor->name);
}

/* buffer: room for them packed, and for one as it is. */
static zh_status compare_rows(const zh_weight *w, size_t first, size_t count,
                              const unsigned char *rows, unsigned char *buffer, zh_error *err) {
  size_t bytes = zh_weight_row_bytes(w);
  bool same = true;
  if (w->packed.data) {
    same = zh_weight_packed_as(w, first, count, rows, buffer);
  } else {
    for (size_t r = 0; same && r < count; ++r)
      same = memcmp(zh_weight_row(w, first + r, NULL), rows + r * bytes, bytes) == 0;
  }
  return same ? ZH_OK : name_difference(w, first, count, rows, buffer, err);
}

/* Room for the largest group of rows, packed and as they are. */
typedef struct group_room {
  unsigned char *packed, *rows; /* packed: 64-byte aligned, and at least one row */
} group_room;

static bool take_room(group_room *out, const zh_weights *weights) {
  size_t packed = 64, rows = 1;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    size_t row = zh_weight_row_bytes(w), group = 0;
    if (w->packed.data) group = zh_packed_bytes(w->packed.type, ZH_PACKED_ROWS, w->packed.columns);
    if (row > packed) packed = row;
    if (group > packed) packed = group;
    if (ZH_PACKED_ROWS * row > rows) rows = ZH_PACKED_ROWS * row;
  }
  packed = (packed + 63) / 64 * 64;
  out->packed = aligned_alloc(64, packed + (rows + 63) / 64 * 64);
  if (out->packed) out->rows = out->packed + packed;
  return out->packed != NULL;
}

static size_t rows_from(const zh_weight *w, size_t first) {
  return w->matrix.rows - first < ZH_PACKED_ROWS ? w->matrix.rows - first : ZH_PACKED_ROWS;
}

/* Reads a tensor's bytes from the disk, past any mapping, and compares them with what the engine
 * read. */
static zh_status compare_with_file(const zh_weight *w, int file, const group_room *room,
                                   zh_error *err) {
  size_t bytes = zh_weight_row_bytes(w);
  for (size_t first = 0; first < w->matrix.rows; first += ZH_PACKED_ROWS) {
    size_t count = rows_from(w, first);
    for (size_t r = 0; r < count; ++r) {
      uint64_t at = zh_weight_offset(w, first + r);
      ssize_t got =
          pread(file, room->rows + r * bytes, bytes, (off_t)(w->tensor->file_offset + at));
      if (got == (ssize_t)bytes) continue;
      /* A file that lost its end while in use is told by whoever touches its mapping there. */
      (void)*((const volatile unsigned char *)w->tensor->data + at);
      return zh_fail(err, ZH_ERR_CHECK, "weights: tensor %s cannot be read again from %s",
                     w->tensor->name, w->tensor->file);
    }
    ZH_TRY(compare_rows(w, first, count, room->rows, room->packed, err));
  }
  return ZH_OK;
}

/* Rearranged weights of a standard model are right as rows (their digests say so); and as they lie.
 */
static zh_status compare_with_own_rows(const zh_weight *w, const group_room *room, zh_error *err) {
  size_t bytes = zh_weight_row_bytes(w);
  for (size_t first = 0; w->packed.data && first < w->matrix.rows; first += ZH_PACKED_ROWS) {
    size_t count = rows_from(w, first);
    for (size_t r = 0; r < count; ++r) zh_weight_row(w, first + r, room->rows + r * bytes);
    ZH_TRY(compare_rows(w, first, count, room->rows, room->packed, err));
  }
  return ZH_OK;
}

/* Rows put together or made from a file, once more. */
static zh_status compare_with_source(const zh_weight *w, const group_room *room, zh_error *err) {
  size_t bytes = zh_weight_row_bytes(w);
  bool cut = bytes != zh_weight_whole_row_bytes(w);
  unsigned char *whole = malloc(zh_weight_whole_row_bytes(w));
  zh_status status =
      whole ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory to check the weights");
  for (size_t first = 0; status == ZH_OK && first < w->matrix.rows; first += ZH_PACKED_ROWS) {
    size_t count = rows_from(w, first);
    if (!cut) zh_weight_make_rows(room->rows, w->source, w->first_row + first, count);
    for (size_t r = 0; cut && r < count; ++r)
      memcpy(room->rows + r * bytes, zh_weight_source_row(w, first + r, whole), bytes);
    status = compare_rows(w, first, count, room->rows, room->packed, err);
  }
  free(whole);
  return status;
}

static bool is_standard(const zh_weight *w) {
  return w->source->stored->data == NULL;
}

static void compare_share(void *user, int thread, int threads) {
  tensor_work *work = user;
  zh_error *err = &work->error[thread];
  group_room room = {0};
  int file = -1;
  const char *opened = NULL;
  zh_status status = take_room(&room, work->weights)
                         ? ZH_OK
                         : zh_fail(err, ZH_ERR_MEMORY, "not enough memory to check the weights");
  for (size_t i = (size_t)thread; i < zh_weights_count(work->weights) && status == ZH_OK;
       i += (size_t)threads) {
    const zh_weight *w = zh_weights_at(work->weights, i);
    if (zh_weight_is_made(w)) {
      status = is_standard(w) ? compare_with_own_rows(w, &room, err)
                              : compare_with_source(w, &room, err);
      continue;
    }
    if (!opened || strcmp(opened, w->tensor->file) != 0) {
      if (file >= 0) close(file);
      opened = w->tensor->file;
      file = open(opened, O_RDONLY | O_CLOEXEC);
    }
    if (file < 0) {
      status = zh_fail(err, ZH_ERR_CHECK, "weights: %s cannot be opened again to be compared",
                       w->tensor->file);
    } else {
      status = compare_with_file(w, file, &room, err);
    }
  }
  if (file >= 0) close(file);
  free(room.packed);
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

/* Vectors that the engine reads as converted copies. */
static zh_status verify_gains(const zh_weights *weights, zh_error *err) {
  size_t longest = 1;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    if (w->gain && w->matrix.columns > longest) longest = w->matrix.columns;
  }
  float *values = malloc(longest * sizeof *values);
  if (!values) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a norm");
  zh_status status = ZH_OK;
  for (size_t i = 0; i < zh_weights_count(weights) && status == ZH_OK; ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    if (!w->gain) continue;
    zh_weight_vector(values, weights, w);
    if (memcmp(values, w->gain, w->matrix.columns * sizeof *values) != 0)
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
  if (is_standard(zh_weights_at(weights, 0))) {
    ZH_TRY(verify_digests(weights, threads, err));
    ZH_TRY(recompute_rows(weights, seed, err));
  }
  tensor_work work = {.weights = weights};
  return on_all_threads(threads, compare_share, &work, err);
}
