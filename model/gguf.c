/* GGUF v2 and v3, little-endian; between the two only the byte order that a file may have differs.
 * Layout: "GGUF", u32 version, u64 tensors, u64 metadata values, the
 * values, the tensor records, padding, the tensors' data. Source: ggml-org/ggml docs/gguf.md. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/conversion_room.h"
#include "model/room.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the reader copies numbers as they lie");

enum {
  DIMS_MAX = 4,
  NESTING_MAX = 4,
  ALIGNMENT_DEFAULT = 32,
  /* the shortest records, which bound the counts: key length, one letter, type, one byte; … */
  VALUE_BYTES_MIN = 8 + 1 + 4 + 1,
  TENSOR_BYTES_MIN = 8 + 1 + 4 + 4 + 8
};
#define ALIGNMENT_MAX (UINT64_C(1) << 20)

typedef struct cursor {
  const unsigned char *begin, *at, *end;
  const char *path;
  zh_error *err;
  size_t first_tensor; /* of this file */
} cursor;

__attribute__((format(printf, 2, 3))) static zh_status fail_at(const cursor *c, const char *format,
                                                               ...) {
  char words[512];
  va_list args;
  va_start(args, format);
  vsnprintf(words, sizeof words, format, args);
  va_end(args);
  return zh_fail(c->err, ZH_ERR_INPUT, "%s: byte %zu: %s", c->path, (size_t)(c->at - c->begin),
                 words);
}

static size_t left(const cursor *c) {
  return (size_t)(c->end - c->at);
}

static zh_status take(void *out, cursor *c, size_t bytes, const char *what) {
  if (left(c) < bytes)
    return fail_at(c, "the file ends inside %s; it is cut short, copy it again", what);
  memcpy(out, c->at, bytes);
  c->at += bytes;
  return ZH_OK;
}

static zh_status take_string(const char **out, size_t *length, cursor *c, const char *what) {
  uint64_t bytes = 0;
  ZH_TRY(take(&bytes, c, sizeof bytes, what));
  if (bytes > left(c))
    return fail_at(c, "%s claims %llu bytes where %zu are left", what, (unsigned long long)bytes,
                   left(c));
  *out = (const char *)c->at;
  *length = (size_t)bytes;
  c->at += bytes;
  return ZH_OK;
}

/* A key or a tensor's name, checked and copied. */
static zh_status take_name(const char **out, zh_model *model, cursor *c, const char *what) {
  const char *bytes = NULL;
  size_t length = 0;
  ZH_TRY(take_string(&bytes, &length, c, what));
  if (!zh_name_is_clean(bytes, length))
    return fail_at(c, "%s is empty, not UTF-8, or holds control characters", what);
  *out = zh_arena_strndup(model->arena, bytes, length);
  return *out != NULL ? ZH_OK : zh_fail(c->err, ZH_ERR_MEMORY, "out of memory (%s)", c->path);
}

/* Bytes of one value of a type of fixed size, 0 for strings and arrays. */
static size_t fixed_bytes(uint32_t type) {
  static const unsigned char bytes[ZH_GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return bytes[type];
}

static zh_status check_type(const cursor *c, uint32_t type, const char *key) {
  if (type < ZH_GGUF_TYPES) return ZH_OK;
  return fail_at(c, "metadata '%s' has value type %u, which GGUF does not define", key, type);
}

static zh_status skip_fixed(cursor *c, uint32_t type, uint64_t count, const char *key) {
  size_t bytes = fixed_bytes(type);
  if (count > left(c) / bytes)
    return fail_at(c, "metadata '%s' claims %llu values of %zu bytes where %zu bytes are left", key,
                   (unsigned long long)count, bytes, left(c));
  if (type == ZH_GGUF_BOOL)
    for (uint64_t i = 0; i < count; i++)
      if (c->at[i] > 1)
        return fail_at(c, "metadata '%s' is %u where only 0 or 1 is a bool", key, c->at[i]);
  c->at += count * bytes;
  return ZH_OK;
}

static zh_status skip_array(cursor *c, uint32_t *item_type, uint64_t *count, const char *key,
                            int depth);

static zh_status skip_items(cursor *c, uint32_t type, uint64_t count, const char *key, int depth) {
  if (fixed_bytes(type) != 0) return skip_fixed(c, type, count, key);
  /* the shortest string is its length alone, the shortest array its type and count */
  size_t least = type == ZH_GGUF_STRING ? 8 : 12;
  if (count > left(c) / least)
    return fail_at(c, "metadata '%s' claims %llu items where %zu bytes are left", key,
                   (unsigned long long)count, left(c));
  for (uint64_t i = 0; i < count; i++) {
    const char *bytes = NULL;
    size_t length = 0;
    uint32_t inner_type = 0;
    uint64_t inner_count = 0;
    if (type == ZH_GGUF_STRING)
      ZH_TRY(take_string(&bytes, &length, c, key));
    else
      ZH_TRY(skip_array(c, &inner_type, &inner_count, key, depth + 1));
  }
  return ZH_OK;
}

static zh_status skip_array(cursor *c, uint32_t *item_type, uint64_t *count, const char *key,
                            int depth) {
  if (depth > NESTING_MAX)
    return fail_at(c, "metadata '%s' nests arrays deeper than %d", key, NESTING_MAX);
  ZH_TRY(take(item_type, c, sizeof *item_type, key));
  ZH_TRY(check_type(c, *item_type, key));
  ZH_TRY(take(count, c, sizeof *count, key));
  return skip_items(c, *item_type, *count, key, depth);
}

static zh_status read_value(zh_gguf_value *value, zh_model *model, cursor *c) {
  ZH_TRY(take_name(&value->key, model, c, "a metadata key"));
  ZH_TRY(take(&value->type, c, sizeof value->type, value->key));
  ZH_TRY(check_type(c, value->type, value->key));
  value->count = 1;
  if (value->type == ZH_GGUF_STRING) {
    const char *bytes = NULL;
    size_t length = 0;
    ZH_TRY(take_string(&bytes, &length, c, value->key));
    value->data = (const unsigned char *)bytes;
    value->count = length;
    return ZH_OK;
  }
  if (value->type == ZH_GGUF_ARRAY) {
    if (left(c) >= 12) value->data = c->at + 12; /* past item type and count */
    return skip_array(c, &value->item_type, &value->count, value->key, 1);
  }
  value->data = c->at;
  return skip_fixed(c, value->type, 1, value->key);
}

static int by_key(const void *a, const void *b) {
  return strcmp(((const zh_gguf_value *)a)->key, ((const zh_gguf_value *)b)->key);
}

static zh_status read_values(zh_model *model, cursor *c, uint64_t count) {
  model->values = zh_arena_alloc(model->arena, (size_t)count, sizeof *model->values);
  if (model->values == NULL)
    return zh_fail(c->err, ZH_ERR_MEMORY, "out of memory (metadata of %s)", c->path);
  for (uint64_t i = 0; i < count; i++) ZH_TRY(read_value(&model->values[i], model, c));
  model->value_count = (size_t)count;
  qsort(model->values, model->value_count, sizeof *model->values, by_key);
  for (size_t i = 1; i < model->value_count; i++)
    if (by_key(&model->values[i - 1], &model->values[i]) == 0)
      return zh_fail(c->err, ZH_ERR_INPUT, "%s: metadata key '%s' stands twice", c->path,
                     model->values[i].key);
  return ZH_OK;
}

static zh_status read_shape(zh_tensor *tensor, cursor *c) {
  uint32_t dims = 0;
  ZH_TRY(take(&dims, c, sizeof dims, tensor->name));
  if (dims > DIMS_MAX)
    return fail_at(c, "tensor '%s' has %u dimensions; at most %d are known", tensor->name, dims,
                   DIMS_MAX);
  tensor->dims = (int)dims;
  for (uint32_t i = 0; i < dims; i++) {
    uint64_t *length = &tensor->shape[dims - 1 - i]; /* the file has the fastest first */
    ZH_TRY(take(length, c, sizeof *length, tensor->name));
    if (*length == 0) return fail_at(c, "tensor '%s' has a dimension of 0", tensor->name);
  }
  return ZH_OK;
}

/* ggml's numbers that no file should have: of sums in flight, and of arrangements that were given
 * up.
 */
static zh_status refuse_type(const cursor *c, const char *tensor, uint32_t type) {
  static const char *const names[] = {
      [4] = "Q4_2",        [5] = "Q4_3",       [9] = "Q8_1",      [15] = "Q8_K",
      [31] = "Q4_0_4_4",   [32] = "Q4_0_4_8",  [33] = "Q4_0_8_8", [36] = "IQ4_NL_4_4",
      [37] = "IQ4_NL_4_8", [38] = "IQ4_NL_8_8"};
  if (type < sizeof names / sizeof names[0] && names[type] != NULL)
    return fail_at(c, "the tensor '%s' has the type %s, which this version does not compute",
                   tensor, names[type]);
  return fail_at(c, "tensor '%s' has element type %u, which this version does not know", tensor,
                 type);
}

static zh_status read_tensor(zh_tensor *tensor, zh_model *model, cursor *c) {
  ZH_TRY(take_name(&tensor->name, model, c, "a tensor's name"));
  ZH_TRY(read_shape(tensor, c));
  uint32_t type = 0;
  ZH_TRY(take(&type, c, sizeof type, tensor->name));
  const zh_dtype_info *info = type < 1000 ? zh_dtype_find(type) : NULL;
  if (info == NULL) return refuse_type(c, tensor->name, type);
  tensor->type = info->type;
  if (!zh_tensor_measure(tensor))
    return fail_at(c,
                   "the dimensions of tensor '%s' overflow, or its rows are no whole number of "
                   "blocks of %u elements (%s)",
                   tensor->name, info->block_elements, info->name);
  ZH_TRY(take(&tensor->file_offset, c, sizeof tensor->file_offset, tensor->name));
  tensor->file = c->path;
  return ZH_OK;
}

static zh_status alignment_of(uint64_t *out, const zh_model *model, const cursor *c) {
  const zh_gguf_value *value = zh_gguf_find(model, "general.alignment");
  *out = ALIGNMENT_DEFAULT;
  if (value == NULL) return ZH_OK;
  if (!zh_gguf_uint(out, value) || *out < 8 || *out > ALIGNMENT_MAX || (*out & (*out - 1)) != 0)
    return zh_fail(c->err, ZH_ERR_INPUT,
                   "%s: general.alignment must be a power of two from 8 to %llu", c->path,
                   (unsigned long long)ALIGNMENT_MAX);
  return ZH_OK;
}

/* Turns offsets within the data into offsets within the file, each inside it. */
static zh_status place_tensors(zh_model *model, const cursor *c) {
  uint64_t alignment = 0;
  ZH_TRY(alignment_of(&alignment, model, c));
  uint64_t header = (uint64_t)(c->at - c->begin), bytes = (uint64_t)(c->end - c->begin);
  uint64_t data = (header + alignment - 1) / alignment * alignment;
  for (size_t i = c->first_tensor; i < model->tensor_count; i++) {
    zh_tensor *t = &model->tensors[i];
    if (t->file_offset % alignment != 0)
      return zh_fail(c->err, ZH_ERR_INPUT,
                     "%s: tensor '%s' starts at byte %llu of the data, no multiple of the "
                     "alignment %llu",
                     c->path, t->name, (unsigned long long)t->file_offset,
                     (unsigned long long)alignment);
    if (data > bytes || t->file_offset > bytes - data || t->bytes > bytes - data - t->file_offset)
      return zh_fail(c->err, ZH_ERR_INPUT,
                     "%s: tensor '%s' (%llu bytes at byte %llu of the data) reaches past the end "
                     "of the file (%llu bytes); it is cut short or damaged",
                     c->path, t->name, (unsigned long long)t->bytes,
                     (unsigned long long)t->file_offset, (unsigned long long)bytes);
    t->file_offset += data;
    t->data = c->begin + t->file_offset;
  }
  return ZH_OK;
}

static int by_offset(const void *a, const void *b) {
  const zh_tensor *x = *(const zh_tensor *const *)a, *y = *(const zh_tensor *const *)b;
  return (x->file_offset > y->file_offset) - (x->file_offset < y->file_offset);
}

static zh_status check_overlap(const zh_model *model, const cursor *c) {
  size_t count = model->tensor_count - c->first_tensor;
  const zh_tensor **sorted = calloc(count + 1, sizeof *sorted);
  if (sorted == NULL) return zh_fail(c->err, ZH_ERR_MEMORY, "out of memory (%s)", c->path);
  for (size_t i = 0; i < count; i++) sorted[i] = &model->tensors[c->first_tensor + i];
  qsort(sorted, count, sizeof *sorted, by_offset);
  zh_status status = ZH_OK;
  for (size_t i = 1; i < count && status == ZH_OK; i++)
    if (sorted[i]->file_offset - sorted[i - 1]->file_offset < sorted[i - 1]->bytes)
      status = zh_fail(c->err, ZH_ERR_INPUT, "%s: tensors '%s' and '%s' overlap", c->path,
                       sorted[i - 1]->name, sorted[i]->name);
  free(sorted);
  return status;
}

static zh_status read_header(uint64_t *tensors, uint64_t *values, cursor *c) {
  char magic[4];
  uint32_t version = 0;
  if (left(c) < sizeof magic || memcmp(c->at, "GGUF", sizeof magic) != 0)
    return fail_at(c, "no GGUF file: it does not begin with 'GGUF'");
  ZH_TRY(take(magic, c, sizeof magic, "the magic"));
  ZH_TRY(take(&version, c, sizeof version, "the version"));
  if (version != 0 && (version & 0xffff) == 0)
    return fail_at(c, "a big-endian GGUF file; only little-endian ones are read, convert it");
  if (version == 1)
    return fail_at(c, "GGUF version 1, whose counts have 32 bits; versions 2 and 3 are read, "
                      "convert the model again");
  if (version != 2 && version != 3)
    return fail_at(c, "GGUF version %u; versions 2 and 3 are read", version);
  ZH_TRY(take(tensors, c, sizeof *tensors, "the number of tensors"));
  ZH_TRY(take(values, c, sizeof *values, "the number of metadata values"));
  if (*values > left(c) / VALUE_BYTES_MIN || *tensors > left(c) / TENSOR_BYTES_MIN)
    return fail_at(c, "%llu tensors and %llu metadata values cannot fit in the %zu bytes left",
                   (unsigned long long)*tensors, (unsigned long long)*values, left(c));
  return ZH_OK;
}

/* Metadata stand in the first part; those of others are read to be checked and passed over. */
static zh_status read_part(zh_model *model, const zh_model_file *file, bool first, zh_error *err) {
  cursor c = {file->mapping.data, file->mapping.data, NULL, file->path, err, model->tensor_count};
  if (file->mapping.bytes == 0) return zh_fail(err, ZH_ERR_INPUT, "%s is empty", file->path);
  c.end = c.begin + file->mapping.bytes;
  uint64_t tensors = 0, values = 0;
  zh_gguf_value *kept = model->values;
  size_t kept_count = model->value_count;
  ZH_TRY(read_header(&tensors, &values, &c));
  ZH_TRY(read_values(model, &c, values));
  ZH_TRY(zh_gguf_check_part(model, file->path, first, err));
  for (uint64_t i = 0; i < tensors; i++) {
    zh_tensor *tensor = zh_model_add_tensor(model);
    if (tensor == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", file->path);
    ZH_TRY(read_tensor(tensor, model, &c));
  }
  ZH_TRY(place_tensors(model, &c));
  ZH_TRY(check_overlap(model, &c));
  if (first) return ZH_OK;
  model->values = kept;
  model->value_count = kept_count;
  return ZH_OK;
}

zh_status zh_gguf_read(zh_model *model, zh_error *err) {
  for (size_t i = 0; i < model->file_count; i++)
    ZH_TRY(read_part(model, &model->files[i], i == 0, err));
  ZH_TRY(zh_gguf_check_parts(model, err));
  const char *size;
  size_t length = 0;
  if (zh_gguf_string(&size, &length, zh_gguf_find(model, "general.size_label")))
    model->declared_size = zh_model_words(model, size, length);
  return zh_model_index(model, err);
}

const zh_gguf_value *zh_gguf_find(const zh_model *model, const char *key) {
  zh_gguf_value wanted = {.key = key};
  if (model->value_count == 0) return NULL;
  return bsearch(&wanted, model->values, model->value_count, sizeof wanted, by_key);
}

static bool integer_at(int64_t *out, uint32_t type, const unsigned char *at) {
  union {
    uint8_t u8;
    int8_t i8;
    uint16_t u16;
    int16_t i16;
    uint32_t u32;
    int32_t i32;
    int64_t i64;
  } number = {0};
  size_t bytes = fixed_bytes(type);
  if (bytes == 0) return false;
  memcpy(&number, at, bytes);
  switch (type) {
  case ZH_GGUF_U8:
    *out = number.u8;
    return true;
  case ZH_GGUF_I8:
    *out = number.i8;
    return true;
  case ZH_GGUF_U16:
    *out = number.u16;
    return true;
  case ZH_GGUF_I16:
    *out = number.i16;
    return true;
  case ZH_GGUF_U32:
    *out = number.u32;
    return true;
  case ZH_GGUF_I32:
    *out = number.i32;
    return true;
  case ZH_GGUF_I64:
    *out = number.i64;
    return true;
  case ZH_GGUF_U64:
    *out = number.i64;
    return number.i64 >= 0; /* 2^63 and more mean nothing here */
  default:
    return false;
  }
}

bool zh_gguf_uint(uint64_t *out, const zh_gguf_value *value) {
  int64_t number;
  if (value == NULL || !integer_at(&number, value->type, value->data) || number < 0) return false;
  *out = (uint64_t)number;
  return true;
}

bool zh_gguf_real(double *out, const zh_gguf_value *value) {
  float single;
  if (value == NULL || (value->type != ZH_GGUF_F32 && value->type != ZH_GGUF_F64)) return false;
  if (value->type == ZH_GGUF_F64) {
    memcpy(out, value->data, sizeof *out);
    return true;
  }
  memcpy(&single, value->data, sizeof single);
  *out = single;
  return true;
}

bool zh_gguf_bool(bool *out, const zh_gguf_value *value) {
  if (value == NULL || value->type != ZH_GGUF_BOOL) return false;
  *out = value->data[0] != 0;
  return true;
}

bool zh_gguf_string(const char **out, size_t *length, const zh_gguf_value *value) {
  if (value == NULL || value->type != ZH_GGUF_STRING) return false;
  *out = (const char *)value->data;
  *length = (size_t)value->count;
  return true;
}

/* "no_vocab" is what converters write where tokens are numbers; "none" is its older word. */
bool zh_gguf_names_tokenizer(const zh_model *model) {
  const zh_gguf_value *value = zh_gguf_find(model, "tokenizer.ggml.model");
  const char *word = "";
  size_t length = 0;
  if (!zh_gguf_string(&word, &length, value)) return value != NULL;
  return !(length == 8 && memcmp(word, "no_vocab", 8) == 0) &&
         !(length == 4 && memcmp(word, "none", 4) == 0);
}

void zh_gguf_next_string(const char **out, size_t *length, const unsigned char **at) {
  uint64_t bytes;
  memcpy(&bytes, *at, sizeof bytes);
  *out = (const char *)*at + sizeof bytes;
  *length = (size_t)bytes;
  *at += sizeof bytes + bytes;
}

size_t zh_gguf_value_bytes(const zh_gguf_value *value) {
  cursor c = {value->data, value->data, value->data + PTRDIFF_MAX / 2, "", NULL, 0};
  if (value->type == ZH_GGUF_STRING) return (size_t)value->count;
  if (value->type != ZH_GGUF_ARRAY) return fixed_bytes(value->type);
  (void)skip_items(&c, value->item_type, value->count, value->key, 1); /* walked once already */
  return (size_t)(c.at - value->data);
}

bool zh_gguf_item(int64_t *out, const zh_gguf_value *value, uint64_t i) {
  if (value == NULL || value->type != ZH_GGUF_ARRAY || i >= value->count) return false;
  return integer_at(out, value->item_type, value->data + i * fixed_bytes(value->item_type));
}
