#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "model/tokenizer/text_table.h"

bool zh_text_table_create(zh_text_table *out, const zh_slice *texts, uint32_t count) {
  uint64_t size = 16;
  while (size < 2 * (uint64_t)count) size *= 2;
  *out = (zh_text_table){.texts = texts, .mask = size - 1, .seed = (uint64_t)zh_now_ns()};
  out->slots = calloc(size, sizeof *out->slots);
  if (out->slots == NULL) return false;
  for (uint32_t id = 0; id < count; id++) {
    if (texts[id].bytes == NULL ||
        zh_text_find(out, texts[id].bytes, texts[id].length) != ZH_NO_TOKEN)
      continue;
    uint64_t at = XXH3_64bits_withSeed(texts[id].bytes, texts[id].length, out->seed);
    while (out->slots[at & out->mask] != 0) at++;
    out->slots[at & out->mask] = id + 1;
  }
  return true;
}

void zh_text_table_free(zh_text_table *table) {
  free(table->slots);
  table->slots = NULL;
}

uint32_t zh_text_find(const zh_text_table *table, const char *bytes, size_t length) {
  uint64_t at = XXH3_64bits_withSeed(bytes, length, table->seed);
  for (;; at++) {
    uint32_t slot = table->slots[at & table->mask];
    if (slot == 0) return ZH_NO_TOKEN;
    const zh_slice *text = &table->texts[slot - 1];
    if (text->length == length && memcmp(text->bytes, bytes, length) == 0) return slot - 1;
  }
}

/* --- matcher --- */

static int compare(const zh_slice *a, const zh_slice *b) {
  int order = memcmp(a->bytes, b->bytes, a->length < b->length ? a->length : b->length);
  return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

/* Equal texts keep the order of the list, which stands in `id` while sorting. */
static int by_text(const void *x, const void *y) {
  const zh_matcher_text *a = x, *b = y;
  int order = compare(&a->text, &b->text);
  return order != 0 ? order : (a->id > b->id) - (a->id < b->id);
}

static void set(uint64_t *bits, unsigned i) {
  bits[i / 64] |= UINT64_C(1) << i % 64;
}
static bool has(const uint64_t *bits, unsigned i) {
  return bits[i / 64] >> i % 64 & 1;
}

static unsigned hash_of_four(const char *bytes) {
  uint32_t word;
  memcpy(&word, bytes, sizeof word);
  return word * 2654435761u >> 16;
}

static void note_beginning(zh_matcher *m, const zh_slice *text) {
  const unsigned char *bytes = (const unsigned char *)text->bytes;
  m->first[bytes[0]] = 1;
  if (text->length >= 4)
    set(m->fours, hash_of_four(text->bytes));
  else if (text->length > 1)
    set(m->pairs, bytes[0] * 256u + bytes[1]);
  else
    for (unsigned next = 0; next < 256; next++) set(m->pairs, bytes[0] * 256u + next);
}

/* Whether a text may stand here: nearly all places are passed over by this. */
static inline bool may_match(const zh_matcher *m, const char *text, size_t left) {
  if (!m->first[(unsigned char)text[0]]) return false;
  if (left < 4) return true;
  return has(m->pairs, (unsigned char)text[0] * 256u + (unsigned char)text[1]) ||
         has(m->fours, hash_of_four(text));
}

bool zh_matcher_create(zh_matcher **out, const zh_matcher_text *texts, size_t count) {
  *out = NULL;
  zh_matcher *m = calloc(1, sizeof *m);
  if (m == NULL || (m->texts = calloc(count + 1, sizeof *m->texts)) == NULL) {
    free(m);
    return false;
  }
  for (size_t i = 0; i < count; i++)
    if (texts[i].text.length > 0)
      m->texts[m->count++] = (zh_matcher_text){texts[i].text, (uint32_t)i};
  if (m->count > 1) qsort(m->texts, m->count, sizeof *m->texts, by_text);
  size_t kept = 0;
  for (size_t i = 0; i < m->count; i++) {
    if (kept > 0 && compare(&m->texts[kept - 1].text, &m->texts[i].text) == 0) continue;
    m->texts[kept++] = m->texts[i];
  }
  m->count = kept;
  for (size_t i = 0; i < kept; i++) {
    m->texts[i].id = texts[m->texts[i].id].id;
    note_beginning(m, &m->texts[i].text);
  }
  *out = m;
  return true;
}

void zh_matcher_free(zh_matcher *matcher) {
  if (matcher == NULL) return;
  free(matcher->texts);
  free(matcher);
}

/* First text in [low, high) whose byte at `depth` is >= wanted; all are longer than depth. */
static size_t lower_bound(const zh_matcher *m, size_t low, size_t high, size_t depth,
                          unsigned wanted) {
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if ((unsigned char)m->texts[middle].text.bytes[depth] < wanted)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Narrows the sorted texts byte after byte. */
bool zh_match_at(zh_match *out, const zh_matcher *m, const char *text, size_t length, size_t at) {
  if (m == NULL || at >= length || !may_match(m, text + at, length - at)) return false;
  size_t low = 0, high = m->count;
  bool found = false;
  for (size_t depth = 0; at + depth < length && low < high; depth++) {
    unsigned wanted = (unsigned char)text[at + depth];
    low = lower_bound(m, low, high, depth, wanted);
    high = lower_bound(m, low, high, depth, wanted + 1);
    if (low < high && m->texts[low].text.length == depth + 1) {
      *out = (zh_match){at, depth + 1, m->texts[low].id};
      found = true;
      low++;
    }
  }
  return found;
}

bool zh_match_next(zh_match *out, const zh_matcher *m, const char *text, size_t length,
                   size_t from) {
  if (m == NULL || m->count == 0) return false;
  for (size_t at = from; at < length; at++)
    if (may_match(m, text + at, length - at) && zh_match_at(out, m, text, length, at)) return true;
  return false;
}
