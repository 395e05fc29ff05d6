/* Thrift's compact protocol:
 * github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md */
#include "bench/quality/parquet_parts.h"

enum { STOP, YES, NO, I8, I16, I32, I64, REAL, BYTES, LIST, SET, MAP, STRUCT };

static unsigned take_byte(zh_thrift *t) {
  if (t->failed || t->at == t->end) {
    t->failed = true;
    return 0;
  }
  return *t->at++;
}

static uint64_t take_varint(zh_thrift *t) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    unsigned byte = take_byte(t);
    value |= (uint64_t)(byte & 0x7F) << shift;
    if (byte < 0x80) return t->failed ? 0 : value;
  }
  t->failed = true;
  return 0;
}

static int64_t take_zigzag(zh_thrift *t) {
  uint64_t value = take_varint(t);
  return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* Bytes that are there, or none. */
static const char *take(zh_thrift *t, uint64_t length) {
  const char *at = (const char *)t->at;
  if (t->failed || length > (uint64_t)(t->end - t->at)) {
    t->failed = true;
    return "";
  }
  t->at += length;
  return at;
}

bool zh_thrift_next(zh_thrift *t, zh_thrift_field *field) {
  unsigned head = take_byte(t);
  if (t->failed || head == STOP) return false;
  field->type = (int)(head & 15);
  int64_t id = head >> 4 ? field->id + (int64_t)(head >> 4) : take_zigzag(t);
  if (id < 1 || id > INT16_MAX) t->failed = true;
  field->id = (int)id;
  return !t->failed;
}

int64_t zh_thrift_whole(zh_thrift *t, const zh_thrift_field *field) {
  if (field->type == I8) return (int8_t)take_byte(t);
  if (field->type >= I16 && field->type <= I64) return take_zigzag(t);
  t->failed = true;
  return 0;
}

bool zh_thrift_truth(zh_thrift *t, const zh_thrift_field *field) {
  if (field->type != YES && field->type != NO) t->failed = true;
  return field->type == YES;
}

const char *zh_thrift_bytes(zh_thrift *t, const zh_thrift_field *field, size_t *length) {
  uint64_t size = field->type == BYTES ? take_varint(t) : 0;
  if (field->type != BYTES) t->failed = true;
  const char *bytes = take(t, size);
  *length = t->failed ? 0 : (size_t)size;
  return bytes;
}

/* Elements take a byte at least, so that no list is longer than what is left. */
static size_t take_count(zh_thrift *t, uint64_t count) {
  if (count > (uint64_t)(t->end - t->at)) t->failed = true;
  return t->failed ? 0 : (size_t)count;
}

size_t zh_thrift_list(zh_thrift *t, const zh_thrift_field *field, zh_thrift_field *element) {
  *element = (zh_thrift_field){0, STOP};
  if (field->type != LIST && field->type != SET) t->failed = true;
  unsigned head = take_byte(t);
  element->type = (int)(head & 15);
  return take_count(t, head >> 4 == 15 ? take_varint(t) : head >> 4);
}

bool zh_thrift_enter(zh_thrift *t, const zh_thrift_field *field) {
  if (field->type != STRUCT || t->depth >= ZH_PARQUET_DEPTH) t->failed = true;
  t->depth++;
  return !t->failed;
}

void zh_thrift_leave(zh_thrift *t) {
  t->depth--;
}

static void skip_elements(zh_thrift *t, size_t count, int type) {
  zh_thrift_field element = {0, type};
  for (size_t i = 0; i < count && !t->failed; i++) {
    if (type == YES || type == NO) /* in a list a truth value is a byte */
      (void)take_byte(t);
    else
      zh_thrift_skip(t, &element);
  }
}

static void skip_map(zh_thrift *t) {
  size_t count = take_count(t, take_varint(t));
  unsigned types = count > 0 ? take_byte(t) : 0;
  for (size_t i = 0; i < count && !t->failed; i++) {
    skip_elements(t, 1, (int)(types >> 4));
    skip_elements(t, 1, (int)(types & 15));
  }
}

void zh_thrift_skip(zh_thrift *t, const zh_thrift_field *field) {
  zh_thrift_field inner = {0, STOP};
  if (t->depth++ >= ZH_PARQUET_DEPTH) t->failed = true;
  switch (t->failed ? STOP : field->type) {
  case YES:
  case NO:
    break;
  case I8:
    (void)take_byte(t);
    break;
  case I16:
  case I32:
  case I64:
    (void)take_varint(t);
    break;
  case REAL:
    (void)take(t, 8);
    break;
  case BYTES:
    (void)take(t, take_varint(t));
    break;
  case LIST:
  case SET: {
    size_t count = zh_thrift_list(t, field, &inner);
    skip_elements(t, count, inner.type);
    break;
  }
  case MAP:
    skip_map(t);
    break;
  case STRUCT:
    while (zh_thrift_next(t, &inner)) zh_thrift_skip(t, &inner);
    break;
  default:
    t->failed = true;
  }
  t->depth--;
}
