#include "kernels/attention/kv.h"

#include <math.h>
#include <string.h>

#include "kernels/device.h"

const char *const zh_kv_names[ZH_KV_TYPES + 1] = {"f32", "bf16", "q8", "e4m3", NULL};

bool zh_kv_find(zh_kv_type *out, const char *name) {
  for (int type = 0; type < ZH_KV_TYPES; type++)
    if (name && strcmp(name, zh_kv_names[type]) == 0) {
      *out = (zh_kv_type)type;
      return true;
    }
  return false;
}

size_t zh_kv_bytes(const zh_kv *kv) {
  size_t heads = 0, bytes = 0;
  if (__builtin_mul_overflow(kv->sequences, kv->kv_heads, &heads) ||
      kv->capacity > SIZE_MAX / 8 / (kv->head_dim + KV_SCALES) ||
      __builtin_mul_overflow(heads, kv_head_bytes(kv), &bytes) || bytes > SIZE_MAX - KV_SPARE)
    return SIZE_MAX;
  return bytes + KV_SPARE;
}

size_t zh_kv_position_bytes(const zh_kv *kv) {
  size_t copies = kv->shared ? 1 : 2;
  return copies * kv->kv_heads * kv_group_bytes(kv->type, kv->head_dim) / KV_GROUP;
}

/* Where number `dim` of a position lies in its head's keys or values. */
static size_t number_at(const zh_kv *kv, bool values, size_t position, size_t dim) {
  size_t d = kv->head_dim, group = position / KV_GROUP * kv_group_bytes(kv->type, d),
         in_group = position % KV_GROUP;
  switch (kv->type) {
  case ZH_KV_F32:
    return group + 4 * (values ? in_group * d + dim : dim * KV_GROUP + in_group);
  case ZH_KV_BF16:
    if (values) return position / 2 * d * 4 + dim * 4 + position % 2 * 2;
    return group + (dim / 2 * KV_GROUP + in_group) * 4 + dim % 2 * 2;
  default:
    return group + KV_SCALES + (values ? in_group * d + dim : dim * KV_GROUP + in_group);
  }
}

static size_t scale_at(const zh_kv *kv, size_t position) {
  return position / KV_GROUP * kv_group_bytes(kv->type, kv->head_dim) + position % KV_GROUP * 2;
}

/* Of whole groups of a head. */
static size_t groups_bytes(const zh_kv *kv, bool values, size_t groups) {
  if (values && kv->type != ZH_KV_Q8) return number_at(kv, true, groups * KV_GROUP, 0);
  return groups * kv_group_bytes(kv->type, kv->head_dim);
}

/* The scale of bytes, rounded up to bf16: the largest magnitude is then at most 127 steps. Numbers
 * that are not finite give a scale that is not. */
static uint16_t q8_scale(const float *x, size_t count) {
  float largest = 0;
  for (size_t i = 0; i < count; i++) {
    if (!isfinite(x[i])) return 0x7fc0;
    largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
  }
  float scale = largest / 127;
  uint32_t bits;
  memcpy(&bits, &scale, sizeof bits);
  return (uint16_t)((bits + 0xffff) >> 16);
}

static int8_t q8_steps(float x, float scale) {
  return scale > 0 ? (int8_t)lrintf(x / scale) : 0;
}

static uint32_t bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (isnan(x)) return bits >> 16 | 0x40;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

/* Two dimensions of a key are neighbours, of a value two positions. */
static void store_bf16(unsigned char *to, bool values, size_t d, const float *x) {
  for (size_t i = 0; values && i < d; i++) {
    uint16_t bits = (uint16_t)bf16(x[i]);
    memcpy(to + i * 4, &bits, 2);
  }
  for (size_t i = 0; !values && i < d; i += 2) {
    uint32_t bits = bf16(x[i]) | (i + 1 < d ? bf16(x[i + 1]) << 16 : 0);
    memcpy(to + i / 2 * KV_GROUP * 4, &bits, 4);
  }
}

static void store_head(const zh_kv *kv, unsigned char *head, bool values, size_t position,
                       const float *x) {
  unsigned char *to = head + number_at(kv, values, position, 0);
  if (kv->type == ZH_KV_BF16) {
    store_bf16(to, values, kv->head_dim, x);
    return;
  }
  size_t step = number_at(kv, values, position, 1) - number_at(kv, values, position, 0);
  if (kv->type == ZH_KV_F32) {
    for (size_t i = 0; i < kv->head_dim; i++) memcpy(to + i * step, &x[i], 4);
    return;
  }
  uint16_t scale = q8_scale(x, kv->head_dim);
  memcpy(head + scale_at(kv, position), &scale, 2);
  for (size_t i = 0; i < kv->head_dim; i++)
    to[i * step] = (unsigned char)q8_steps(x[i], zh_bf16_to_f32(scale));
}

void zh_kv_store(const zh_kv *kv, size_t sequence, size_t position, size_t begin, size_t end,
                 const float *k, const float *v) {
  for (size_t h = begin; h < end; h++) {
    size_t at = kv_head_at(kv, sequence, h);
    store_head(kv, kv->keys + at, false, position, k + h * kv->head_dim);
    if (!kv->shared) store_head(kv, kv->values + at, true, position, v + h * kv->head_dim);
  }
}

static size_t number_bytes(zh_kv_type type) {
  return type == ZH_KV_F32 ? 4 : type == ZH_KV_BF16 ? 2 : 1;
}

static void poison_head(const zh_kv *kv, unsigned char *head, bool values, size_t first) {
  size_t whole = (first + KV_GROUP - 1) / KV_GROUP * KV_GROUP;
  for (size_t position = first; position < whole && position < kv->capacity; position++) {
    for (size_t i = 0; i < kv->head_dim; i++)
      memset(head + number_at(kv, values, position, i), 0xff, number_bytes(kv->type));
    if (kv->type == ZH_KV_Q8) memset(head + scale_at(kv, position), 0xff, 2);
  }
  size_t at = groups_bytes(kv, values, whole / KV_GROUP), all = kv_head_bytes(kv);
  if (at < all) memset(head + at, 0xff, all - at);
}

void zh_kv_poison(const zh_kv *kv, size_t sequence, size_t first) {
  for (size_t h = 0; h < kv->kv_heads; h++) {
    size_t at = kv_head_at(kv, sequence, h);
    poison_head(kv, kv->keys + at, false, first);
    if (!kv->shared) poison_head(kv, kv->values + at, true, first);
  }
}

/* Whole groups: what lies before `begin` in its group is the same, what lies behind `end` is no
 * position of the sequence. */
void zh_kv_copy(const zh_kv *kv, size_t to, size_t from, size_t begin, size_t end) {
  size_t first = begin / KV_GROUP, last = (end + KV_GROUP - 1) / KV_GROUP;
  for (size_t h = 0; begin < end && h < kv->kv_heads; h++) {
    size_t source = kv_head_at(kv, from, h), target = kv_head_at(kv, to, h);
    for (int values = 0; values < (kv->shared ? 1 : 2); values++) {
      unsigned char *held = values ? kv->values : kv->keys;
      size_t at = groups_bytes(kv, values, first), all = groups_bytes(kv, values, last) - at;
      memcpy(held + target + at, held + source + at, all);
    }
  }
}

void zh_kv_flip(const zh_kv *kv, bool values, size_t sequence, size_t head, size_t position,
                size_t dim, unsigned bit) {
  values = values && !kv->shared;
  unsigned char *at = (values ? kv->values : kv->keys) + kv_head_at(kv, sequence, head) +
                      number_at(kv, values, position, dim);
  bit %= 8 * (unsigned)number_bytes(kv->type);
  at[bit / 8] = (unsigned char)(at[bit / 8] ^ (1u << bit % 8));
}

static float number(const zh_kv *kv, const unsigned char *head, bool values, size_t position,
                    size_t dim) {
  const unsigned char *from = head + number_at(kv, values, position, dim);
  uint16_t bits;
  float value;
  switch (kv->type) {
  case ZH_KV_F32:
    memcpy(&value, from, 4);
    return value;
  case ZH_KV_BF16:
    memcpy(&bits, from, 2);
    return zh_bf16_to_f32(bits);
  default:
    memcpy(&bits, head + scale_at(kv, position), 2);
    return (float)(int8_t)*from * zh_bf16_to_f32(bits);
  }
}

static void load(float *out, const zh_kv *kv, bool values, size_t sequence, size_t head,
                 size_t begin, size_t end) {
  size_t dims = values ? zh_kv_value_dim(kv) : kv->head_dim;
  values = values && !kv->shared;
  const unsigned char *from = (values ? kv->values : kv->keys) + kv_head_at(kv, sequence, head);
  for (size_t position = begin; position < end; position++)
    for (size_t i = 0; i < dims; i++) *out++ = number(kv, from, values, position, i);
}

void zh_kv_keys(float *out, const zh_kv *kv, size_t sequence, size_t head, size_t begin,
                size_t end) {
  load(out, kv, false, sequence, head, begin, end);
}

void zh_kv_values(float *out, const zh_kv *kv, size_t sequence, size_t head, size_t begin,
                  size_t end) {
  load(out, kv, true, sequence, head, begin, end);
}

void zh_kv_round(float *head, zh_kv_type type, size_t head_dim) {
  if (type == ZH_KV_E4M3) {
    zh_device_kv_round(head, ZH_DEVICE_KV_E4M3, head_dim);
    return;
  }
  float scale = type == ZH_KV_Q8 ? zh_bf16_to_f32(q8_scale(head, head_dim)) : 0;
  for (size_t i = 0; i < head_dim && type != ZH_KV_F32; i++)
    head[i] = type == ZH_KV_BF16 ? zh_bf16_to_f32(zh_f32_to_bf16(head[i]))
                                 : (float)q8_steps(head[i], scale) * scale;
}

/* Of [0, length) positions of a head's keys or values. Odd factors: none can stand in another's
 * place. */
static uint64_t sum_of_head(const zh_kv *kv, const unsigned char *head, bool values,
                            size_t length) {
  uint64_t sum = 0;
  size_t whole = length / KV_GROUP, words = groups_bytes(kv, values, whole) / 4;
  for (size_t i = 0; i < words; i++) {
    uint32_t bits;
    memcpy(&bits, head + 4 * i, 4);
    sum += (uint64_t)bits * (uint32_t)(2 * i + 1);
  }
  for (size_t position = whole * KV_GROUP; position < length; position++) {
    uint16_t scale = 0;
    if (kv->type == ZH_KV_Q8) memcpy(&scale, head + scale_at(kv, position), 2);
    sum += scale * (2 * (uint64_t)position + 1);
    for (size_t i = 0; i < kv->head_dim; i++) {
      uint32_t bits = 0;
      memcpy(&bits, head + number_at(kv, values, position, i), number_bytes(kv->type));
      sum += bits * (2 * (position * kv->head_dim + i) + 3);
    }
  }
  return sum;
}

uint64_t zh_kv_sum(const zh_kv *kv, size_t sequence, size_t length) {
  uint64_t sum = 0;
  for (size_t h = 0; h < kv->kv_heads; h++) {
    size_t at = kv_head_at(kv, sequence, h);
    sum += (4 * h + 1) * sum_of_head(kv, kv->keys + at, false, length);
    if (!kv->shared) sum += (4 * h + 3) * sum_of_head(kv, kv->values + at, true, length);
  }
  return sum;
}
