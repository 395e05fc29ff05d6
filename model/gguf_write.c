/* A model as a GGUF v3 file. Layout: model/gguf.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/room.h"

enum { ALIGNMENT = 32, PIECE_BYTES = 4 << 20 };

static void put_number(zh_text *out, const void *number, size_t bytes) {
  zh_text_append(out, number, bytes);
}

static void put_words(zh_text *out, const char *words) {
  uint64_t length = strlen(words);
  put_number(out, &length, sizeof length);
  zh_text_append(out, words, (size_t)length);
}

/* --- metadata; each counts itself --- */

typedef struct header {
  zh_text values, tensors;
  uint64_t count;
} header;

static void start_value(header *h, const char *key, uint32_t type) {
  put_words(&h->values, key);
  put_number(&h->values, &type, sizeof type);
  h->count++;
}

static void add_words(header *h, const char *key, const char *words) {
  start_value(h, key, ZH_GGUF_STRING);
  put_words(&h->values, words);
}

static void add_count(header *h, const char *key, uint32_t number) {
  start_value(h, key, ZH_GGUF_U32);
  put_number(&h->values, &number, sizeof number);
}

static void add_real(header *h, const char *key, float number) {
  start_value(h, key, ZH_GGUF_F32);
  put_number(&h->values, &number, sizeof number);
}

/* Keys of ggml's docs/gguf.md. A standard model's tokens are numbers: "no_vocab". */
static void add_architecture(header *h, const zh_architecture *a) {
  add_words(h, "general.architecture", a->family);
  add_words(h, "general.name", a->name);
  add_count(h, "general.alignment", ALIGNMENT);
  add_count(h, "llama.block_count", a->layers);
  add_count(h, "llama.context_length", a->context);
  add_count(h, "llama.embedding_length", a->hidden);
  add_count(h, "llama.feed_forward_length", a->ffn);
  add_count(h, "llama.attention.head_count", a->heads);
  add_count(h, "llama.attention.head_count_kv", a->kv_heads);
  add_count(h, "llama.attention.key_length", a->head_dim);
  add_count(h, "llama.attention.value_length", a->head_dim);
  add_real(h, "llama.attention.layer_norm_rms_epsilon", a->norm_eps);
  add_count(h, "llama.rope.dimension_count", a->rope[0].dims);
  add_real(h, "llama.rope.freq_base", (float)a->rope[0].base);
  add_count(h, "llama.vocab_size", a->vocab);
  add_words(h, "tokenizer.ggml.model", "no_vocab");
}

static uint64_t aligned(uint64_t bytes) {
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void add_tensors(header *h, const zh_model *model) {
  uint64_t offset = 0;
  for (size_t i = 0; i < model->tensor_count; i++) {
    const zh_tensor *t = &model->tensors[i];
    uint32_t dims = (uint32_t)t->dims, type = (uint32_t)t->type;
    put_words(&h->tensors, t->name);
    put_number(&h->tensors, &dims, sizeof dims);
    for (int d = t->dims - 1; d >= 0; d--)
      put_number(&h->tensors, &t->shape[d], sizeof t->shape[d]);
    put_number(&h->tensors, &type, sizeof type);
    put_number(&h->tensors, &offset, sizeof offset);
    offset += aligned(t->bytes);
  }
}

/* --- the file --- */

static zh_status put_padding(zh_writer *writer, uint64_t written, zh_error *err) {
  static const unsigned char zeros[ALIGNMENT];
  return zh_writer_put(writer, zeros, (size_t)(aligned(written) - written), err);
}

static zh_status put_header(zh_writer *writer, const zh_model *model, zh_error *err) {
  header h = {0};
  zh_text start = {0};
  const uint32_t version = 3;
  const uint64_t tensors = model->tensor_count;
  add_architecture(&h, &model->standard);
  add_tensors(&h, model);
  zh_text_append(&start, "GGUF", 4);
  put_number(&start, &version, sizeof version);
  put_number(&start, &tensors, sizeof tensors);
  put_number(&start, &h.count, sizeof h.count);
  zh_text_append(&start, h.values.data, h.values.length);
  zh_text_append(&start, h.tensors.data, h.tensors.length);
  zh_status status = start.failed || h.values.failed || h.tensors.failed
                         ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", model->name)
                         : zh_writer_put(writer, start.data, start.length, err);
  if (status == ZH_OK) status = put_padding(writer, start.length, err);
  zh_text_free(&start);
  zh_text_free(&h.values);
  zh_text_free(&h.tensors);
  return status;
}

static zh_status put_tensor(zh_writer *writer, const zh_tensor *t, void *piece, zh_error *err) {
  uint64_t columns = t->shape[t->dims - 1], rows = t->elements / columns;
  uint64_t row_bytes = t->bytes / rows, step = PIECE_BYTES / row_bytes;
  for (uint64_t row = 0; row < rows; row += step) {
    uint64_t count = rows - row < step ? rows - row : step;
    zh_standard_rows(piece, t, row, count);
    ZH_TRY(zh_writer_put(writer, piece, (size_t)(count * row_bytes), err));
  }
  return put_padding(writer, t->bytes, err);
}

static zh_status put_model(zh_writer *writer, const zh_model *model, zh_write_progress progress,
                           void *user, zh_error *err) {
  uint64_t done = 0, all = 0;
  for (size_t i = 0; i < model->tensor_count; i++) all += model->tensors[i].bytes;
  void *piece = malloc(PIECE_BYTES);
  zh_status status = piece == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", model->name)
                                   : put_header(writer, model, err);
  for (size_t i = 0; i < model->tensor_count && status == ZH_OK; i++) {
    if (progress != NULL) progress(user, done, all);
    status = put_tensor(writer, &model->tensors[i], piece, err);
    done += model->tensors[i].bytes;
  }
  free(piece);
  return status;
}

zh_status zh_model_write_gguf(const char *path, const zh_model *model, zh_write_progress progress,
                              void *user, zh_error *err) {
  if (strcmp(model->format, "standard") != 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s is a %s model; this version writes standard models alone as GGUF",
                   model->name, model->format);
  zh_writer *writer = NULL;
  ZH_TRY(zh_writer_open(&writer, path, err));
  zh_status status = put_model(writer, model, progress, user, err);
  if (status == ZH_OK) return zh_writer_commit(writer, err);
  zh_writer_abandon(writer);
  return status;
}
