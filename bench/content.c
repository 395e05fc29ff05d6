#include "bench/content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 16 << 20 };

typedef struct block {
  const unsigned char *data;
  size_t bytes, file;
  char digest[ZH_DIGEST_HEX];
} block;

typedef struct work {
  block *blocks;
  size_t count;
  zh_error *error; /* [threads] */
} work;

static size_t count_blocks(const zh_model *model) {
  const unsigned char *data;
  size_t bytes, count = 0;
  for (size_t i = 0; zh_model_file_at(&data, &bytes, model, i); i++)
    count += bytes / BLOCK_BYTES + (bytes % BLOCK_BYTES != 0);
  return count;
}

static void cut(block *blocks, const zh_model *model) {
  const unsigned char *data;
  size_t bytes, next = 0;
  for (size_t i = 0; zh_model_file_at(&data, &bytes, model, i); i++)
    for (size_t at = 0; at < bytes; at += BLOCK_BYTES)
      blocks[next++] = (block){.data = data + at,
                               .bytes = bytes - at < BLOCK_BYTES ? bytes - at : BLOCK_BYTES,
                               .file = i};
}

static void digest_share(void *user, int thread, int threads) {
  work *w = user;
  for (size_t i = (size_t)thread; i < w->count; i += (size_t)threads) {
    block *b = &w->blocks[i];
    if (zh_digest_bytes(b->digest, ZH_SM3, b->data, b->bytes, &w->error[thread]) != ZH_OK) return;
  }
}

static zh_status digest_list(char out[ZH_DIGEST_HEX], const zh_model *model, const work *w,
                             zh_error *err) {
  const unsigned char *data;
  size_t bytes, next = 0;
  char line[ZH_DIGEST_HEX + 32];
  zh_digest *list = NULL;
  zh_status status = zh_digest_create(&list, ZH_SM3, err);
  for (size_t i = 0; status == ZH_OK && zh_model_file_at(&data, &bytes, model, i); i++) {
    int length = snprintf(line, sizeof line, "file %zu\n", bytes);
    status = zh_digest_update(list, line, (size_t)length, err);
    for (; status == ZH_OK && next < w->count && w->blocks[next].file == i; next++) {
      length = snprintf(line, sizeof line, "%s\n", w->blocks[next].digest);
      status = zh_digest_update(list, line, (size_t)length, err);
    }
  }
  if (status == ZH_OK) status = zh_digest_final(out, list, err);
  zh_digest_free(list);
  return status;
}

zh_status zh_content_digest(char out[ZH_DIGEST_HEX], zh_model *model, zh_threads *threads,
                            zh_error *err) {
  work w = {.count = count_blocks(model)};
  int count = zh_threads_count(threads);
  if (w.count == 0) return zh_model_digest(out, model, ZH_SM3, err);
  w.blocks = calloc(w.count, sizeof *w.blocks);
  w.error = calloc((size_t)count, sizeof *w.error);
  zh_status status = w.blocks && w.error
                         ? ZH_OK
                         : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the file's digest");
  if (status == ZH_OK) {
    cut(w.blocks, model);
    zh_threads_run(threads, digest_share, &w);
    for (int i = 0; i < count && status == ZH_OK; i++)
      if (w.error[i].status != ZH_OK)
        status = zh_fail(err, w.error[i].status, "%s", w.error[i].message);
  }
  if (status == ZH_OK) status = digest_list(out, model, &w, err);
  free(w.blocks);
  free(w.error);
  return status;
}
