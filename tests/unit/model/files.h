/* Files made by hand: bytes into a folder of the test's own, opened as a model, refused in the
 * right words. */
#ifndef ZH_TESTS_MODEL_FILES_H
#define ZH_TESTS_MODEL_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/model.h"
#include "tests/unit/folder.h"

/* Valid until the next call with the same name. */
static inline const char *put_file(const char *name, const void *bytes, size_t length) {
  static char path[1024];
  snprintf(path, sizeof path, "%s/%s", test_folder(), name);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, length, file), length);
  assert_int_equal(fclose(file), 0);
  return path;
}

static inline zh_model *open_good(const char *path) {
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = NULL;
  if (zh_model_open(&model, path, &err) != ZH_OK) fail_msg("%s", err.message);
  return model;
}

/* ZH_ERR_INPUT, one sentence that holds `words`, and no model. */
static inline void open_bad(const char *path, const char *words) {
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = (zh_model *)&err;
  zh_status status = zh_model_open(&model, path, &err);
  if (status != ZH_ERR_INPUT)
    fail_msg("%s: status %d where '%s' was expected", path, status, words);
  assert_null(model);
  if (strstr(err.message, words) == NULL) fail_msg("'%s' does not say '%s'", err.message, words);
}

/* --- GGUF, piece by piece --- */

static inline void put_u8(zh_text *b, unsigned value) {
  zh_text_append(b, &(char){(char)value}, 1);
}
static inline void put_u32(zh_text *b, uint32_t value) {
  zh_text_append(b, (const char *)&value, sizeof value);
}
static inline void put_u64(zh_text *b, uint64_t value) {
  zh_text_append(b, (const char *)&value, sizeof value);
}
static inline void put_string(zh_text *b, const char *text) {
  put_u64(b, strlen(text));
  zh_text_puts(b, text);
}
static inline void put_header(zh_text *b, uint32_t version, uint64_t tensors, uint64_t values) {
  zh_text_puts(b, "GGUF");
  put_u32(b, version);
  put_u64(b, tensors);
  put_u64(b, values);
}
static inline void put_key(zh_text *b, const char *key, uint32_t type) {
  put_string(b, key);
  put_u32(b, type);
}
static inline void put_key_u32(zh_text *b, const char *key, uint32_t value) {
  put_key(b, key, 4);
  put_u32(b, value);
}
static inline void put_key_f32(zh_text *b, const char *key, float value) {
  put_key(b, key, 6);
  zh_text_append(b, (const char *)&value, sizeof value);
}
static inline void put_key_string(zh_text *b, const char *key, const char *value) {
  put_key(b, key, 8);
  put_string(b, value);
}
static inline void put_key_strings(zh_text *b, const char *key, const char *const *values,
                                   size_t count) {
  put_key(b, key, 9);
  put_u32(b, 8);
  put_u64(b, count);
  for (size_t i = 0; i < count; i++) put_string(b, values[i]);
}
/* rows 0: one dimension. */
static inline void put_tensor(zh_text *b, const char *name, uint64_t rows, uint64_t columns,
                              uint32_t type, uint64_t offset) {
  put_string(b, name);
  put_u32(b, rows == 0 ? 1 : 2);
  put_u64(b, columns);
  if (rows != 0) put_u64(b, rows);
  put_u32(b, type);
  put_u64(b, offset);
}
static inline void put_padding(zh_text *b, size_t alignment) {
  while (b->length % alignment != 0) put_u8(b, 0);
}
static inline void put_data(zh_text *b, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) put_u8(b, (unsigned)(i * 7 + 1));
}

#endif
