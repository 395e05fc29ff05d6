#include "bench/content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 16 << 20 };

typedef struct block {
  const unsigned char *data;
  size_t bytes, file;
  bool left_out;
  char digest[ZH_DIGEST_HEX]; /* empty where it was left out */
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
    if (b->left_out) continue;
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

static zh_status begin(work *w, const zh_model *model, int threads, zh_error *err) {
  *w = (work){.count = count_blocks(model)};
  w->blocks = calloc(w->count, sizeof *w->blocks);
  w->error = calloc((size_t)threads, sizeof *w->error);
  if (!w->blocks || !w->error)
    return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the file's digest");
  cut(w->blocks, model);
  return ZH_OK;
}

static void end(work *w) {
  free(w->blocks);
  free(w->error);
}

static zh_status digest_blocks(work *w, zh_threads *threads, zh_error *err) {
  zh_threads_run(threads, digest_share, w);
  for (int i = 0; i < zh_threads_count(threads); i++)
    if (w->error[i].status != ZH_OK)
      return zh_fail(err, w->error[i].status, "%s", w->error[i].message);
  return ZH_OK;
}

zh_status zh_content_digest(char out[ZH_DIGEST_HEX], zh_model *model, zh_threads *threads,
                            zh_error *err) {
  work w;
  if (count_blocks(model) == 0) return zh_model_digest(out, model, ZH_SM3, err);
  zh_status status = begin(&w, model, zh_threads_count(threads), err);
  if (status == ZH_OK) status = digest_blocks(&w, threads, err);
  if (status == ZH_OK) status = digest_list(out, model, &w, err);
  end(&w);
  return status;
}

/* --- together --- */

static void leave_out(work *w, const zh_comm *comm, zh_content_use uses, const void *user) {
  for (size_t i = 0; i < w->count; i++) {
    block *b = &w->blocks[i];
    bool mine = i % (size_t)comm->size == (size_t)comm->rank;
    b->left_out = !mine && !uses(user, b->data, b->bytes);
  }
}

/* Rank 0: all ranks' blocks into its own. digests: [ranks][count]. */
static zh_status merge(work *w, const zh_comm *comm, char (*digests)[ZH_DIGEST_HEX],
                       zh_error *err) {
  for (size_t at = w->count; at < w->count * (size_t)comm->size; at++) {
    block *b = &w->blocks[at % w->count];
    const char *theirs = digests[at];
    if (!theirs[0]) continue;
    if (!b->digest[0]) memcpy(b->digest, theirs, ZH_DIGEST_HEX);
    if (strncmp(b->digest, theirs, ZH_DIGEST_HEX) == 0) continue;
    return zh_fail(err, ZH_ERR_CHECK,
                   "rank %zu has other bytes of the model than a rank before it, in block %zu of "
                   "16 MiB; all ranks must read the same file",
                   at / w->count, at % w->count);
  }
  return ZH_OK;
}

static zh_status join(work *w, const zh_comm *comm, zh_error *err) {
  size_t all_blocks = w->count * (comm->rank == 0 ? (size_t)comm->size : 1);
  char(*digests)[ZH_DIGEST_HEX] = calloc(all_blocks, sizeof *digests);
  zh_status status =
      digests ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the file's digest");
  for (size_t i = 0; status == ZH_OK && i < w->count; i++)
    memcpy(digests[i], w->blocks[i].digest, ZH_DIGEST_HEX);
  status = zh_comm_agree(comm, status, err);
  size_t length = w->count * sizeof *digests;
  if (status == ZH_OK && comm->rank > 0) status = comm->send(comm, digests, length, 0, err);
  for (int rank = 1; status == ZH_OK && comm->rank == 0 && rank < comm->size; rank++)
    status = comm->receive(comm, digests + (size_t)rank * w->count, length, rank, err);
  if (status == ZH_OK && comm->rank == 0) status = merge(w, comm, digests, err);
  free(digests);
  return status;
}

zh_status zh_content_digest_together(char out[ZH_DIGEST_HEX], zh_model *model, zh_threads *threads,
                                     const zh_comm *comm, zh_content_use uses, const void *user,
                                     zh_error *err) {
  work w = {0};
  if (count_blocks(model) == 0) return zh_model_digest(out, model, ZH_SM3, err);
  zh_status status = begin(&w, model, zh_threads_count(threads), err);
  if (status == ZH_OK) {
    leave_out(&w, comm, uses, user);
    status = digest_blocks(&w, threads, err);
  }
  double fewest = -(double)w.count; /* ranks with files of other lengths would send other lengths */
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = comm->max_f64(comm, &fewest, 1, err);
  if (status == ZH_OK && -fewest != (double)w.count)
    status = zh_fail(err, ZH_ERR_CHECK, "the model's file is longer on rank %d than on another",
                     comm->rank);
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = join(&w, comm, err);
  if (status == ZH_OK && comm->rank == 0) status = digest_list(out, model, &w, err);
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = comm->broadcast(comm, out, ZH_DIGEST_HEX, 0, err);
  end(&w);
  return status;
}
