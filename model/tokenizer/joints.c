/* Where a text can be cut before merging. A merge makes a token; so a boundary that stands inside
 * no token of the vocabulary is never merged over, and both sides can be merged by themselves. */
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/bpe.h"
#include "model/tokenizer/characters.h"

/* A character as its bytes in one word; half of one is marked so that it equals no character. */
enum { HALF_BEFORE = 1u << 8, HALF_AFTER = 1u << 9 };
#define HALF(mark, byte) (0xff000000u | (mark) | (byte))

static inline uint64_t hash_of(uint32_t before, uint32_t after) {
  uint64_t h = (before + UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
  h = (h ^ h >> 29 ^ after) * UINT64_C(0x94d049bb133111eb);
  return h;
}

static inline bool is_set(const zh_joints *j, uint32_t before, uint32_t after) {
  uint64_t bit = hash_of(before, after) >> j->shift;
  return j->bits[bit / 64] >> bit % 64 & 1;
}

static void set(zh_joints *j, uint32_t before, uint32_t after) {
  if (before < 0x80 && after < 0x80) {
    unsigned bit = before * 128 + after;
    j->ascii[bit / 64] |= UINT64_C(1) << bit % 64;
    return;
  }
  uint64_t bit = hash_of(before, after) >> j->shift;
  j->bits[bit / 64] |= UINT64_C(1) << bit % 64;
}

static unsigned length_of_lead(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

static uint32_t packed(const char *text, unsigned length) {
  uint32_t word = 0;
  memcpy(&word, text, length);
  return word;
}

static uint32_t before_of(zh_joints *j, const zh_slice *t, uint32_t at) {
  uint32_t start = at - 1;
  while (start > 0 && at - start < 4 && zh_is_continuation(t->bytes[start])) start--;
  unsigned char lead = (unsigned char)t->bytes[start];
  if (!zh_is_continuation((char)lead) && length_of_lead(lead) == at - start)
    return packed(t->bytes + start, at - start);
  j->half_before = true;
  return HALF(HALF_BEFORE, (unsigned char)t->bytes[at - 1]);
}

static uint32_t after_of(zh_joints *j, const zh_slice *t, uint32_t at) {
  unsigned length = length_of_lead((unsigned char)t->bytes[at]);
  if (length <= t->length - at) return packed(t->bytes + at, length);
  j->half_after = true;
  return HALF(HALF_AFTER, (unsigned char)t->bytes[at]);
}

static void add_boundary(zh_joints *j, const zh_slice *t, uint32_t at) {
  uint32_t before = before_of(j, t, at), after = after_of(j, t, at);
  set(j, before, after);
  if (before < HALF(0, 0) && after < HALF(0, 0)) return;
  unsigned bytes = (unsigned char)t->bytes[at - 1] * 256u + (unsigned char)t->bytes[at];
  j->half[bytes / 64] |= UINT64_C(1) << bytes % 64;
}

static void add_token(zh_joints *j, const zh_slice *t) {
  for (uint32_t at = 1; at < t->length; at++)
    if (!zh_is_continuation(t->bytes[at])) add_boundary(j, t, at);
}

zh_status zh_joints_create(zh_joints *out, const zh_slice *texts, const uint32_t *tokens,
                           size_t count, zh_error *err) {
  uint64_t boundaries = 0;
  unsigned log = 16;
  for (size_t i = 0; i < count; i++) {
    const zh_slice *t = &texts[tokens[i]];
    for (uint32_t at = 1; at < t->length; at++) boundaries += (t->bytes[at] & 0x80) != 0;
  }
  while (log < 22 && (UINT64_C(1) << log) < 32 * boundaries) log++;
  *out = (zh_joints){.shift = 64 - log, .bits = calloc((UINT64_C(1) << log) / 64, 8)};
  if (out->bits == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokenizer)");
  for (size_t i = 0; i < count; i++) add_token(out, &texts[tokens[i]]);
  return ZH_OK;
}

void zh_joints_free(zh_joints *joints) {
  free(joints->bits);
  joints->bits = NULL;
}

/* A token stands across the boundary at `place` that holds only a part of a character there. */
static inline bool is_half_joined(const zh_joints *j, uint32_t before, const char *place,
                                  uint32_t after) {
  unsigned bytes = (unsigned char)place[-1] * 256u + (unsigned char)place[0];
  if (!(j->half[bytes / 64] >> bytes % 64 & 1)) return false;
  uint32_t last = HALF(HALF_BEFORE, (unsigned char)place[-1]);
  uint32_t lead = HALF(HALF_AFTER, (unsigned char)place[0]);
  return (j->half_after && is_set(j, before, lead)) || (j->half_before && is_set(j, last, after)) ||
         (j->half_before && j->half_after && is_set(j, last, lead));
}

/* The character at text, where four bytes may be read or the text ends. */
static inline uint32_t word_at(const char *text, const char *end, unsigned length) {
  static const uint32_t mask[] = {0, 0xff, 0xffff, 0xffffff, 0xffffffff};
  if (end - text < 4) return packed(text, length);
  uint32_t word;
  memcpy(&word, text, 4);
  return word & mask[length];
}

const char *zh_joints_next(const zh_joints *j, const char *text, const char *end) {
  unsigned length = length_of_lead((unsigned char)*text);
  uint32_t before = word_at(text, end, length);
  for (text += length; text < end; text += length) {
    unsigned char lead = (unsigned char)*text;
    if (lead < 0x80 && before < 0x80) {
      unsigned bit = before * 128 + lead;
      if (!(j->ascii[bit / 64] >> bit % 64 & 1)) return text;
      before = lead;
      length = 1;
      continue;
    }
    length = length_of_lead(lead);
    uint32_t after = word_at(text, end, length);
    if (!is_set(j, before, after) && !is_half_joined(j, before, text, after)) return text;
    before = after;
  }
  return end;
}

bool zh_joints_half(const zh_joints *j, const char *text, size_t at, size_t length) {
  size_t start = at;
  if (at == 0 || at >= length) return false;
  unsigned bytes = (unsigned char)text[at - 1] * 256u + (unsigned char)text[at];
  if (!(j->half[bytes / 64] >> bytes % 64 & 1)) return false;
  do start--;
  while (start > 0 && zh_is_continuation(text[start]));
  unsigned after = length_of_lead((unsigned char)text[at]);
  return is_half_joined(j, packed(text + start, (unsigned)(at - start)), text + at,
                        packed(text + at, after));
}
