/* SM3 and SHA-256 of the files, both in one pass over their bytes, with progress: on a large model
 * they take longer than all the looks together. */
#include <string.h>

#include "core/clock.h"
#include "core/digest.h"
#include "evaluator/audit/audit.h"

enum { CHUNK_BYTES = 8 << 20 };

typedef struct feed {
  zh_digest *digests[2]; /* ZH_SM3, ZH_SHA256 */
  const unsigned char *bytes;
  size_t length;
  zh_error errors[2];
  zh_status statuses[2];
} feed;

static void feed_both(void *user, int thread, int threads) {
  feed *f = user;
  for (int i = thread; i < 2; i += threads)
    f->statuses[i] = zh_digest_update(f->digests[i], f->bytes, f->length, &f->errors[i]);
}

static zh_status feed_chunk(feed *f, zh_auditor *a, zh_error *err) {
  if (a->threads != NULL)
    zh_threads_run(a->threads, feed_both, f);
  else
    feed_both(f, 0, 1);
  for (int i = 0; i < 2; i++)
    if (f->statuses[i] != ZH_OK) return zh_fail(err, f->statuses[i], "%s", f->errors[i].message);
  return ZH_OK;
}

/* Tells the progress ten times a second, by bytes. */
static zh_status feed_files(feed *f, zh_auditor *a, zh_error *err) {
  const unsigned char *data;
  size_t bytes;
  uint64_t done = 0, all = zh_model_file_bytes(a->model);
  int64_t said = zh_now_ns();
  zh_tell(a, "digests", 0, all, 0);
  for (size_t i = 0; zh_model_file_at(&data, &bytes, a->model, i); i++)
    for (size_t at = 0; at < bytes; at += f->length) {
      f->bytes = data + at;
      f->length = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
      ZH_TRY(feed_chunk(f, a, err));
      done += f->length;
      if (zh_now_ns() - said < 100000000) continue;
      said = zh_now_ns();
      zh_tell(a, "digests", done, all, done);
    }
  zh_tell(a, "digests", all, all, done);
  return ZH_OK;
}

zh_status zh_digest_both(char sm3[ZH_DIGEST_HEX], char sha256[ZH_DIGEST_HEX], zh_auditor *a,
                         zh_error *err) {
  feed f = {.errors = {ZH_ERROR_INIT, ZH_ERROR_INIT}};
  zh_status status = zh_digest_create(&f.digests[ZH_SM3], ZH_SM3, err);
  if (status == ZH_OK) status = zh_digest_create(&f.digests[ZH_SHA256], ZH_SHA256, err);
  if (status == ZH_OK) status = feed_files(&f, a, err);
  if (status == ZH_OK) status = zh_digest_final(sm3, f.digests[ZH_SM3], err);
  if (status == ZH_OK) status = zh_digest_final(sha256, f.digests[ZH_SHA256], err);
  zh_digest_free(f.digests[ZH_SM3]);
  zh_digest_free(f.digests[ZH_SHA256]);
  return status;
}
