/* A conversion's tensors, piece by piece into a file. */
#include <stdlib.h>

#include "model/conversion_room.h"

enum { PIECE_BYTES = 4 << 20 };

static zh_status put_padding(zh_writer *writer, uint64_t written, size_t pad, zh_error *err) {
  static const unsigned char zeros[ZH_GGUF_ALIGNMENT];
  return zh_writer_put(writer, zeros, (size_t)((pad - written % pad) % pad), err);
}

typedef struct telling {
  zh_write_progress tell; /* NULL: nobody listens */
  void *user;
  uint64_t done, all;
} telling;

static zh_status put_tensor(zh_writer *writer, const zh_converted *t, void *piece,
                            zh_rows_maker rows, telling *progress, zh_error *err) {
  uint64_t row_bytes = t->as.bytes / t->rows, step = PIECE_BYTES / row_bytes;
  if (step == 0) step = 1;
  for (uint64_t row = 0; row < t->rows; row += step) {
    uint64_t count = t->rows - row < step ? t->rows - row : step;
    if (progress->tell != NULL) progress->tell(progress->user, progress->done, progress->all);
    ZH_TRY(rows(progress->user, piece, t, row, count, err));
    ZH_TRY(zh_writer_put(writer, piece, (size_t)(count * row_bytes), err));
    progress->done += count * row_bytes;
  }
  return ZH_OK;
}

zh_status zh_conversion_put_tensors(const zh_conversion *c, zh_writer *writer, size_t pad,
                                    zh_rows_maker rows, zh_write_progress tell, void *user,
                                    zh_error *err) {
  telling progress = {tell, user, 0, 0};
  uint64_t most = PIECE_BYTES;
  for (size_t i = 0; i < c->count; i++) {
    uint64_t row_bytes = c->tensors[i].as.bytes / c->tensors[i].rows;
    progress.all += c->tensors[i].as.bytes;
    if (row_bytes > most) most = row_bytes;
  }
  void *piece = malloc((size_t)most);
  zh_status status =
      piece == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (a row of a tensor)") : ZH_OK;
  for (size_t i = 0; i < c->count && status == ZH_OK; i++) {
    status = put_tensor(writer, &c->tensors[i], piece, rows, &progress, err);
    if (status == ZH_OK) status = put_padding(writer, c->tensors[i].as.bytes, pad, err);
  }
  free(piece);
  return status;
}

zh_status zh_conversion_write(const zh_conversion *c, const char *path, zh_rows_maker rows,
                              zh_write_progress progress, void *user, zh_error *err) {
  return c->container == ZH_CONTAINER_GGUF
             ? zh_gguf_write(c, path, rows, progress, user, err)
             : zh_safetensors_write(c, path, rows, progress, user, err);
}
