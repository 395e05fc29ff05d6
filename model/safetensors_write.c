/* A conversion as a folder with model.safetensors and what stands beside it. Layout:
 * model/safetensors.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/conversion_room.h"

enum { HEADER_ALIGNMENT = 8 };

static json_t *shape_of(const zh_tensor *t) {
  json_t *shape = json_array();
  for (int i = 0; i < t->dims; i++)
    json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
  return shape;
}

/* Tensors in order without holes, as the format wants them. */
static json_t *header_of(const zh_conversion *c) {
  json_t *header = json_object();
  uint64_t offset = 0;
  json_object_set_new(header, "__metadata__", json_pack("{s:s}", "format", "pt"));
  for (size_t i = 0; i < c->count; i++) {
    const zh_tensor *t = &c->tensors[i].as;
    json_t *record =
        json_pack("{s:s, s:o, s:[I, I]}", "dtype", zh_dtype_find((uint32_t)t->type)->name, "shape",
                  shape_of(t), "data_offsets", (json_int_t)offset, (json_int_t)(offset + t->bytes));
    if (record == NULL || json_object_set_new(header, t->name, record) != 0) {
      json_decref(header);
      return NULL;
    }
    offset += t->bytes;
  }
  return header;
}

/* Filled up with spaces, so that the tensors' bytes are aligned. */
zh_status zh_safetensors_head(zh_text *head, const zh_conversion *c, zh_error *err) {
  json_t *header = header_of(c);
  char *text = NULL;
  zh_status status = header == NULL ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (header)")
                                    : zh_json_dump_line(&text, header, err);
  json_decref(header);
  if (status != ZH_OK) return status;
  size_t length = strlen(text);
  uint64_t whole = (length + HEADER_ALIGNMENT - 1) / HEADER_ALIGNMENT * HEADER_ALIGNMENT;
  zh_text_append(head, (const char *)&whole, sizeof whole);
  zh_text_append(head, text, length);
  zh_text_append(head, "        ", (size_t)whole - length);
  free(text);
  return head->failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (header)") : ZH_OK;
}

static zh_status write_side_files(const zh_conversion *c, const char *folder, zh_error *err) {
  char path[4096];
  for (size_t i = 0; i < c->side_count; i++) {
    const zh_side_file *side = &c->side[i];
    if (side->bytes.failed) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", side->name);
    snprintf(path, sizeof path, "%s/%s", folder, side->name);
    ZH_TRY(zh_write_file(path, zh_text_string(&side->bytes), side->bytes.length, err));
  }
  return ZH_OK;
}

zh_status zh_safetensors_write(const zh_conversion *c, const char *folder, zh_rows_maker rows,
                               zh_write_progress progress, void *user, zh_error *err) {
  char path[4096];
  zh_writer *writer = NULL;
  ZH_TRY(zh_make_dirs(folder, err));
  if (zh_safetensors_in_folder(folder))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s holds .safetensors files already; name a folder that does not", folder);
  ZH_TRY(write_side_files(c, folder, err));
  snprintf(path, sizeof path, "%s/model.safetensors", folder);
  ZH_TRY(zh_writer_open(&writer, path, err));
  zh_text head = {0};
  zh_status status = zh_safetensors_head(&head, c, err);
  if (status == ZH_OK) status = zh_writer_put(writer, head.data, head.length, err);
  zh_text_free(&head);
  if (status == ZH_OK) status = zh_conversion_put_tensors(c, writer, 1, rows, progress, user, err);
  if (status == ZH_OK) return zh_writer_commit(writer, err);
  zh_writer_abandon(writer);
  return status;
}
