/* Two passes, so that a model of many gigabytes is not read whole: samples of every tensor first,
 * then the full bytes of those whose samples agree. */
#include "evaluator/audit/repeated.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE_BYTES = 4096 };

typedef struct entry {
  const zh_tensor *tensor;
  size_t index;
  char key[ZH_DIGEST_HEX]; /* digest of type, shape and samples; later of all bytes */
} entry;

static int by_key_then_place(const void *a, const void *b) {
  const entry *x = a, *y = b;
  int order = memcmp(x->key, y->key, sizeof x->key);
  return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static zh_status feed_shape(zh_digest *digest, const zh_tensor *t, zh_error *err) {
  ZH_TRY(zh_digest_update(digest, &t->type, sizeof t->type, err));
  ZH_TRY(zh_digest_update(digest, &t->dims, sizeof t->dims, err));
  return zh_digest_update(digest, t->shape, (size_t)t->dims * sizeof t->shape[0], err);
}

/* Standard weights are what their stream says; constant ones (scale < 0) are the same in every
 * stream. */
static zh_status feed_rule(zh_digest *digest, const zh_tensor *t, zh_error *err) {
  uint64_t stream = t->scale < 0 ? 0 : t->stream;
  ZH_TRY(zh_digest_update(digest, &stream, sizeof stream, err));
  return zh_digest_update(digest, &t->scale, sizeof t->scale, err);
}

static zh_status feed_samples(zh_digest *digest, const zh_tensor *t, zh_error *err) {
  const unsigned char *data = t->data;
  if (t->bytes <= 3 * SAMPLE_BYTES) return zh_digest_update(digest, data, (size_t)t->bytes, err);
  const uint64_t places[] = {0, t->bytes / 2, t->bytes - SAMPLE_BYTES};
  for (int i = 0; i < 3; i++) ZH_TRY(zh_digest_update(digest, data + places[i], SAMPLE_BYTES, err));
  return ZH_OK;
}

static zh_status make_key(entry *e, bool whole, zh_error *err) {
  zh_digest *digest = NULL;
  const zh_tensor *t = e->tensor;
  ZH_TRY(zh_digest_create(&digest, ZH_SM3, err));
  zh_status status = feed_shape(digest, t, err);
  if (status == ZH_OK) {
    status = t->data == NULL ? feed_rule(digest, t, err)
             : whole         ? zh_digest_update(digest, t->data, (size_t)t->bytes, err)
                             : feed_samples(digest, t, err);
  }
  if (status == ZH_OK) status = zh_digest_final(e->key, digest, err);
  zh_digest_free(digest);
  return status;
}

/* Entries first … last (exclusive) have equal samples: decides by all bytes. */
static zh_status settle(bool *repeated, entry *first, size_t count, zh_error *err) {
  if (count < 2) return ZH_OK;
  for (size_t i = 0; i < count; i++) ZH_TRY(make_key(&first[i], true, err));
  qsort(first, count, sizeof *first, by_key_then_place);
  for (size_t i = 1; i < count; i++) {
    if (memcmp(first[i].key, first[i - 1].key, sizeof first[i].key) == 0)
      repeated[first[i].index] = true;
  }
  return ZH_OK;
}

static bool is_compared(const zh_tensor *t) {
  bool weights = zh_tensor_role_of(t) != ZH_ROLE_BUFFER && t->bytes > 0;
  return weights && (t->dims > 1 || t->elements > ZH_SMALL_VECTOR);
}

static zh_status collect(entry *entries, size_t *count, const zh_model *model, zh_error *err) {
  for (size_t i = 0; i < zh_model_tensor_count(model); i++) {
    const zh_tensor *t = zh_model_tensor(model, i);
    if (!is_compared(t)) continue;
    entries[*count] = (entry){.tensor = t, .index = i};
    ZH_TRY(make_key(&entries[(*count)++], false, err));
  }
  return ZH_OK;
}

zh_status zh_find_repeated(bool *repeated, const zh_model *model, zh_error *err) {
  size_t total = zh_model_tensor_count(model), count = 0;
  entry *entries = calloc(total + 1, sizeof *entries);
  if (entries == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for a list of %zu tensors", total);
  memset(repeated, 0, total * sizeof *repeated);
  zh_status status = collect(entries, &count, model, err);
  qsort(entries, count, sizeof *entries, by_key_then_place);
  for (size_t first = 0, i = 1; status == ZH_OK && i <= count; i++) {
    bool same = i < count && memcmp(entries[i].key, entries[first].key, sizeof entries[i].key) == 0;
    if (same) continue;
    status = settle(repeated, &entries[first], i - first, err);
    first = i;
  }
  free(entries);
  return status;
}
