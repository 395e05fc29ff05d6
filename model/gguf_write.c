/* A conversion as a GGUF v3 file. Layout: model/gguf.c. */
#include <stdlib.h>
#include <string.h>

#include "model/conversion_room.h"

/* --- metadata --- */

static void put(zh_text *out, const void *number, size_t bytes) {
  zh_text_append(out, number, bytes);
}

static void put_string(zh_text *out, const char *bytes, size_t length) {
  uint64_t count = length;
  put(out, &count, sizeof count);
  zh_text_append(out, bytes, length);
}

static void start(zh_conversion *c, const char *key, uint32_t type) {
  put_string(&c->values, key, strlen(key));
  put(&c->values, &type, sizeof type);
  c->value_count++;
}

void zh_put_words(zh_conversion *c, const char *key, const char *bytes, size_t length) {
  start(c, key, ZH_GGUF_STRING);
  put_string(&c->values, bytes, length);
}

void zh_put_count(zh_conversion *c, const char *key, uint32_t number) {
  start(c, key, ZH_GGUF_U32);
  put(&c->values, &number, sizeof number);
}

void zh_put_real(zh_conversion *c, const char *key, float number) {
  start(c, key, ZH_GGUF_F32);
  put(&c->values, &number, sizeof number);
}

void zh_put_bool(zh_conversion *c, const char *key, bool yes) {
  start(c, key, ZH_GGUF_BOOL);
  put(&c->values, &(char){yes}, 1);
}

void zh_put_array(zh_conversion *c, const char *key, enum zh_gguf_type item, uint64_t count) {
  uint32_t type = item;
  start(c, key, ZH_GGUF_ARRAY);
  put(&c->values, &type, sizeof type);
  put(&c->values, &count, sizeof count);
}

void zh_put_item(zh_conversion *c, const char *bytes, size_t length) {
  put_string(&c->values, bytes, length);
}

void zh_put_value(zh_conversion *c, const zh_gguf_value *value) {
  size_t bytes = zh_gguf_value_bytes(value);
  if (value->type == ZH_GGUF_ARRAY)
    zh_put_array(c, value->key, (enum zh_gguf_type)value->item_type, value->count);
  else
    start(c, value->key, value->type);
  if (value->type == ZH_GGUF_STRING) put(&c->values, &value->count, sizeof value->count);
  zh_text_append(&c->values, (const char *)value->data, bytes);
}

/* --- tensors --- */

static uint64_t aligned(uint64_t bytes) {
  return (bytes + ZH_GGUF_ALIGNMENT - 1) / ZH_GGUF_ALIGNMENT * ZH_GGUF_ALIGNMENT;
}

static void put_records(zh_text *out, const zh_conversion *c) {
  uint64_t offset = 0;
  for (size_t i = 0; i < c->count; i++) {
    const zh_tensor *t = &c->tensors[i].as;
    uint32_t dims = (uint32_t)t->dims, type = (uint32_t)t->type;
    put_string(out, t->name, strlen(t->name));
    put(out, &dims, sizeof dims);
    for (int d = t->dims - 1; d >= 0; d--) put(out, &t->shape[d], sizeof t->shape[d]);
    put(out, &type, sizeof type);
    put(out, &offset, sizeof offset);
    offset += aligned(t->bytes);
  }
}

zh_status zh_gguf_head(zh_text *head, const zh_conversion *c, zh_error *err) {
  static const char zeros[ZH_GGUF_ALIGNMENT];
  const uint32_t version = 3;
  const uint64_t tensors = c->count;
  zh_text_append(head, "GGUF", 4);
  put(head, &version, sizeof version);
  put(head, &tensors, sizeof tensors);
  put(head, &c->value_count, sizeof c->value_count);
  zh_text_append(head, c->values.data, c->values.length);
  put_records(head, c);
  zh_text_append(head, zeros, (size_t)(aligned(head->length) - head->length));
  return head->failed || c->values.failed
             ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", c->model->name)
             : ZH_OK;
}

zh_status zh_gguf_write(const zh_conversion *c, const char *path, zh_rows_maker rows,
                        zh_write_progress progress, void *user, zh_error *err) {
  zh_writer *writer = NULL;
  ZH_TRY(zh_writer_open(&writer, path, err));
  zh_text head = {0};
  zh_status status = zh_gguf_head(&head, c, err);
  if (status == ZH_OK) status = zh_writer_put(writer, head.data, head.length, err);
  zh_text_free(&head);
  if (status == ZH_OK)
    status = zh_conversion_put_tensors(c, writer, ZH_GGUF_ALIGNMENT, rows, progress, user, err);
  if (status == ZH_OK) status = zh_conversion_check(c, zh_writer_temporary(writer), err);
  if (status == ZH_OK) return zh_writer_commit(writer, err);
  zh_writer_abandon(writer);
  return status;
}
