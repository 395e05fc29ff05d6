#include "bench/engine/packed_cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The data begin on a page, so that they are aligned as memory of our own would be. */
enum { HEAD_BYTES = 4096, SAMPLE_BYTES = 64, BATCH_BYTES = 256 << 10, PIECE_BYTES = 64 << 20 };

static const char FORMAT[] = "zhiheng packed weights 1";

typedef struct head {
  char format[32], identity[72];
  uint64_t bytes; /* of the data */
} head;

/* --- which file --- */

static zh_status add_tensor(zh_digest *digest, const zh_weight *w, zh_error *err) {
  char line[256];
  const zh_matrix *m = &w->matrix;
  size_t row = zh_weight_row_bytes(w), sample = row < SAMPLE_BYTES ? row : SAMPLE_BYTES;
  const unsigned char *last = (const unsigned char *)m->data + (m->rows - 1) * m->row_bytes;
  int length = snprintf(line, sizeof line, "%.128s %d %zu %zu %zu %zu\n", w->tensor->name,
                        (int)m->type, m->rows, m->columns, w->first_row, w->first_column);
  ZH_TRY(zh_digest_update(digest, line, (size_t)length, err));
  ZH_TRY(zh_digest_update(digest, m->data, sample, err));
  return zh_digest_update(digest, last + row - sample, sample, err);
}

static zh_status identify(char out[ZH_DIGEST_HEX], const zh_weights *weights, zh_error *err) {
  zh_digest *digest = NULL;
  ZH_TRY(zh_digest_create(&digest, ZH_SM3, err));
  char line[64];
  int length = snprintf(line, sizeof line, "%s, arrangement %d\n", FORMAT, ZH_PACKED_VERSION);
  zh_status status = zh_digest_update(digest, line, (size_t)length, err);
  for (size_t i = 0; i < zh_weights_count(weights) && status == ZH_OK; ++i)
    if (zh_weight_is_packed(weights, zh_weights_at(weights, i)))
      status = add_tensor(digest, zh_weights_at(weights, i), err);
  if (status == ZH_OK) status = zh_digest_final(out, digest, err);
  zh_digest_free(digest);
  return status;
}

static zh_status make_head(head *out, const zh_weights *weights, size_t bytes, zh_error *err) {
  *out = (head){.bytes = bytes};
  memcpy(out->format, FORMAT, sizeof FORMAT);
  return identify(out->identity, weights, err);
}

zh_status zh_packed_cache_path(char out[PATH_MAX], const char *folder, const zh_weights *weights,
                               zh_error *err) {
  char identity[ZH_DIGEST_HEX];
  ZH_TRY(zh_make_dirs(folder, err));
  ZH_TRY(identify(identity, weights, err));
  int length = snprintf(out, PATH_MAX, "%s/%s.packed", folder, identity);
  if (length > 0 && length < PATH_MAX) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "%s: the path is too long for a cache of weights", folder);
}

/* --- whether it is what the model gives --- */

typedef struct comparison {
  const zh_weights *weights;
  const unsigned char *data;
  size_t batch_bytes;     /* of a buffer: a group of the widest matrix, or more of others */
  unsigned char *buffers; /* [threads][batch_bytes] */
  const char **different; /* [threads]: the tensor; NULL: none */
} comparison;

static bool same_rows(const comparison *c, const zh_weight *w, const unsigned char *data,
                      size_t begin, size_t end, unsigned char *buffer) {
  const zh_matrix *m = &w->matrix;
  size_t group = zh_packed_bytes(m->type, ZH_PACKED_ROWS, m->columns),
         step = c->batch_bytes / group * ZH_PACKED_ROWS;
  for (size_t r = begin; r < end; r += step) {
    size_t count = end - r < step ? end - r : step;
    zh_pack_rows(buffer, m->type, (const unsigned char *)m->data + r * m->row_bytes, count,
                 m->row_bytes, m->columns);
    if (memcmp(buffer, data + zh_packed_bytes(m->type, r, m->columns),
               zh_packed_bytes(m->type, count, m->columns)) != 0)
      return false;
  }
  return true;
}

static void compare_share(void *user, int thread, int threads) {
  const comparison *c = user;
  size_t offset = 0;
  for (size_t i = 0; i < zh_weights_count(c->weights); ++i) {
    const zh_weight *w = zh_weights_at(c->weights, i);
    if (!zh_weight_is_packed(c->weights, w)) continue;
    size_t begin, end;
    zh_share(&begin, &end, w->matrix.rows, ZH_PACKED_ROWS, thread, threads);
    if (!same_rows(c, w, c->data + offset, begin, end,
                   c->buffers + (size_t)thread * c->batch_bytes)) {
      c->different[thread] = w->tensor->name;
      return;
    }
    offset += zh_weight_packed_bytes(w);
  }
}

static zh_status compare(const zh_weights *weights, const unsigned char *data, const char *path,
                         zh_threads *threads, zh_error *err) {
  size_t count = (size_t)zh_threads_count(threads);
  comparison c = {.weights = weights, .data = data, .batch_bytes = BATCH_BYTES};
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    if (!zh_weight_is_packed(weights, w)) continue;
    size_t group = zh_packed_bytes(w->matrix.type, ZH_PACKED_ROWS, w->matrix.columns);
    if (group > c.batch_bytes) c.batch_bytes = (group + 63) & ~(size_t)63;
  }
  c.buffers = aligned_alloc(64, count * c.batch_bytes);
  c.different = calloc(count, sizeof *c.different);
  zh_status status = c.buffers && c.different
                         ? ZH_OK
                         : zh_fail(err, ZH_ERR_MEMORY, "not enough memory to compare %s", path);
  if (status == ZH_OK) zh_threads_run(threads, compare_share, &c);
  for (size_t t = 0; t < count && status == ZH_OK; ++t)
    if (c.different[t])
      status = zh_fail(err, ZH_ERR_INPUT, "%s is not what the model's tensor %s gives", path,
                       c.different[t]);
  free(c.buffers);
  free(c.different);
  return status;
}

static zh_status hold_to_head(const zh_mapping *file, const char *path, const zh_weights *weights,
                              size_t bytes, zh_error *err) {
  head want, have;
  ZH_TRY(make_head(&want, weights, bytes, err));
  if (file->bytes != HEAD_BYTES + bytes)
    return zh_fail(err, ZH_ERR_INPUT, "%s has %zu bytes, and should have %zu", path, file->bytes,
                   HEAD_BYTES + bytes);
  memcpy(&have, file->data, sizeof have);
  if (memcmp(&have, &want, sizeof have) == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s was made by another version, or from another model", path);
}

zh_status zh_packed_cache_take(zh_weights *weights, const char *path, size_t bytes,
                               zh_threads *threads, zh_error *err) {
  zh_mapping file = {0};
  ZH_TRY(zh_map_file(&file, path, err));
  zh_status status = hold_to_head(&file, path, weights, bytes, err);
  if (status == ZH_OK) {
    /* Large pages where the file system can give them: advice. */
    (void)madvise((void *)(uintptr_t)file.data, file.bytes, MADV_HUGEPAGE);
    status = compare(weights, file.data + HEAD_BYTES, path, threads, err);
  }
  if (status != ZH_OK) {
    zh_unmap(&file);
    return status;
  }
  weights->cached = file;
  weights->packed = (unsigned char *)(uintptr_t)file.data + HEAD_BYTES;
  weights->packed_bytes = bytes;
  return ZH_OK;
}

zh_status zh_packed_cache_keep(const zh_weights *weights, const char *path, zh_error *err) {
  unsigned char page[HEAD_BYTES] = {0};
  head top;
  zh_writer *writer = NULL;
  ZH_TRY(make_head(&top, weights, weights->packed_bytes, err));
  memcpy(page, &top, sizeof top);
  ZH_TRY(zh_writer_open(&writer, path, err));
  zh_status status = zh_writer_put(writer, page, sizeof page, err);
  for (size_t at = 0; at < weights->packed_bytes && status == ZH_OK; at += PIECE_BYTES) {
    size_t left = weights->packed_bytes - at;
    status =
        zh_writer_put(writer, weights->packed + at, left < PIECE_BYTES ? left : PIECE_BYTES, err);
  }
  if (status == ZH_OK) return zh_writer_commit(writer, err);
  zh_writer_abandon(writer);
  return status;
}
