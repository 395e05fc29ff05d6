#include "bench/quality/contamination/overlap.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "core/text.h"

enum { PLANE = 0x10000, FILTER_BITS_A_RUN = 16 };
static const uint64_t BASE = UINT64_C(0x9e3779b97f4a7c15); /* odd: the golden ratio's digits */

/* ---- words ---- */

typedef enum kind { BETWEEN, PART, WHOLE } kind; /* between words, part of one, one by itself */

/* What each character of the first plane is, and what it is compared as. */
typedef struct alphabet {
  uint8_t kind[PLANE];
  uint16_t as[PLANE];
} alphabet;

static bool stands_alone(uint32_t c) {
  return (c >= 0x3040 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x4dbf) ||
         (c >= 0x4e00 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff) ||
         (c >= 0x20000 && c <= 0x3ffff);
}

static kind kind_of(uint32_t c) {
  utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
  if (category > UTF8PROC_CATEGORY_NO || category == UTF8PROC_CATEGORY_CN) return BETWEEN;
  return stands_alone(c) ? WHOLE : PART;
}

static uint32_t compared_as(uint32_t c) {
  if (c >= 0xff01 && c <= 0xff5e) c -= 0xff01 - 0x21; /* full width */
  return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}

static alphabet *make_alphabet(void) {
  alphabet *a = malloc(sizeof *a);
  for (uint32_t c = 0; a && c < PLANE; c++) {
    uint32_t as = compared_as(c);
    a->kind[c] = (uint8_t)(c >= 0xd800 && c <= 0xdfff ? BETWEEN : kind_of(c));
    a->as[c] = as < PLANE ? (uint16_t)as : (uint16_t)c;
  }
  return a;
}

static uint64_t mix(uint64_t h, uint32_t character) {
  h = (h ^ character) * UINT64_C(0xff51afd7ed558ccd);
  return h ^ (h >> 32);
}

/* Walks through a text word by word. */
typedef struct walk {
  const alphabet *alphabet;
  const char *at, *end;
  const char *bad; /* the first byte that is 0 or no UTF-8; NULL: none yet */
} walk;

static bool next_word(uint64_t *out, walk *w) {
  uint64_t hash = 0;
  bool begun = false;
  while (w->at < w->end) {
    uint32_t c = (unsigned char)*w->at;
    int bytes = c < 0x80 ? 1 : zh_utf8_decode(&c, w->at, (size_t)(w->end - w->at));
    kind k = bytes == 0 ? BETWEEN : c < PLANE ? (kind)w->alphabet->kind[c] : kind_of(c);
    if (begun && k != PART) break; /* a character that stands alone is looked at again */
    w->at += bytes == 0 ? 1 : bytes;
    if (k == BETWEEN) {
      if ((bytes == 0 || c == 0) && !w->bad) w->bad = w->at - 1;
      continue;
    }
    hash = mix(hash, c < PLANE ? w->alphabet->as[c] : compared_as(c));
    begun = true;
    if (k == WHOLE) break;
  }
  *out = hash * BASE | 1;
  return begun;
}

/* ---- runs of words ---- */

/* The last `run` words, and one number for them: sum of word[i] * BASE^(run - 1 - i). */
typedef struct window {
  uint64_t words[ZH_OVERLAP_RUN_MAX], hash, top; /* top: BASE^run */
  unsigned run, filled, oldest;
} window;

static void open_window(window *w, unsigned run) {
  *w = (window){.run = run, .top = 1};
  for (unsigned i = 0; i < run; i++) w->top *= BASE;
}

/* Whether the window is full. */
static bool push_word(window *w, uint64_t word) {
  uint64_t leaving = w->filled == w->run ? w->words[w->oldest] : 0;
  w->hash = w->hash * BASE + word - leaving * w->top;
  w->words[w->oldest] = word;
  w->oldest = w->oldest + 1 == w->run ? 0 : w->oldest + 1;
  if (w->filled < w->run) w->filled++;
  return w->filled == w->run;
}

/* ---- the items' runs ---- */

typedef struct entry {
  uint64_t hash;
  uint32_t word,
      next; /* first word of the run; the next run with the same hash; UINT32_MAX: none */
} entry;

struct zh_overlap {
  alphabet *alphabet;
  unsigned run;
  uint64_t *words; /* of all items, one behind the other */
  size_t word_count, word_capacity;
  size_t *first; /* [items + 1] words before each item */
  size_t items, item_capacity;
  /* Made at the first document. */
  entry *entries;
  size_t entry_count;
  uint32_t *slots; /* [slot_mask + 1], open addressing; UINT32_MAX: free */
  size_t slot_mask;
  uint64_t *filter; /* a bit for each possible run, most of them zero: fits a cache */
  size_t filter_mask;
  uint8_t *found; /* [word_count]: a run that the corpus has begins here */
  zh_overlap_corpus corpus;
};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (runs of words)");
}

zh_status zh_overlap_create(zh_overlap **out, unsigned run, zh_error *err) {
  *out = NULL;
  if (run < 2 || run > ZH_OVERLAP_RUN_MAX)
    return zh_fail(err, ZH_ERR_ARG, "a run of %u words: expected 2 to %d", run, ZH_OVERLAP_RUN_MAX);
  zh_overlap *o = calloc(1, sizeof *o);
  if (o) {
    o->run = run;
    o->alphabet = make_alphabet();
    o->first = calloc(1, sizeof *o->first);
  }
  if (!o || !o->alphabet || !o->first) {
    zh_overlap_free(o);
    return no_memory(err);
  }
  *out = o;
  return ZH_OK;
}

void zh_overlap_free(zh_overlap *o) {
  if (!o) return;
  free(o->alphabet);
  free(o->words);
  free(o->first);
  free(o->entries);
  free(o->slots);
  free(o->filter);
  free(o->found);
  free(o);
}

static bool grow(void **at, size_t *capacity, size_t count, size_t size) {
  if (count < *capacity) return true;
  size_t wanted = *capacity * 2 + 1024;
  void *grown = realloc(*at, wanted * size);
  if (!grown) return false;
  *at = grown;
  *capacity = wanted;
  return true;
}

zh_status zh_overlap_add(zh_overlap *o, const char *text, size_t length, zh_error *err) {
  walk w = {.alphabet = o->alphabet, .at = text, .end = text + length};
  uint64_t word;
  if (o->found) return zh_fail(err, ZH_ERR_ARG, "items are added before the corpus is read");
  while (next_word(&word, &w)) {
    if (o->word_count == UINT32_MAX - 1 ||
        !grow((void **)&o->words, &o->word_capacity, o->word_count, sizeof *o->words))
      return no_memory(err);
    o->words[o->word_count++] = word;
  }
  size_t capacity = o->item_capacity;
  if (!grow((void **)&o->first, &capacity, o->items + 1, sizeof *o->first)) return no_memory(err);
  o->item_capacity = capacity;
  o->first[++o->items] = o->word_count;
  return ZH_OK;
}

static bool same_run(const uint64_t *a, const uint64_t *b, unsigned run) {
  return memcmp(a, b, run * sizeof *a) == 0;
}

static size_t slot_of(const zh_overlap *o, uint64_t hash) {
  size_t slot = (size_t)(hash >> 20) & o->slot_mask;
  while (o->slots[slot] != UINT32_MAX && o->entries[o->slots[slot]].hash != hash)
    slot = (slot + 1) & o->slot_mask;
  return slot;
}

static void add_run(zh_overlap *o, uint64_t hash, size_t word) {
  size_t slot = slot_of(o, hash), bit = (size_t)hash & o->filter_mask;
  o->entries[o->entry_count] = (entry){hash, (uint32_t)word, o->slots[slot]};
  o->slots[slot] = (uint32_t)o->entry_count++;
  o->filter[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static zh_status make_table(zh_overlap *o, zh_error *err) {
  size_t slots = 1024;
  while (slots < 2 * o->word_count) slots *= 2;
  o->slot_mask = slots - 1;
  o->filter_mask = slots * FILTER_BITS_A_RUN / 2 - 1;
  o->entries = malloc((o->word_count + 1) * sizeof *o->entries);
  o->slots = malloc(slots * sizeof *o->slots);
  o->filter = calloc((o->filter_mask + 1) / 64, sizeof *o->filter);
  o->found = calloc(o->word_count + 1, 1);
  if (!o->entries || !o->slots || !o->filter || !o->found) return no_memory(err);
  memset(o->slots, 0xff, slots * sizeof *o->slots);
  for (size_t i = 0; i < o->items; i++) {
    window w;
    open_window(&w, o->run);
    for (size_t at = o->first[i]; at < o->first[i + 1]; at++)
      if (push_word(&w, o->words[at])) add_run(o, w.hash, at + 1 - o->run);
  }
  return ZH_OK;
}

/* ---- the corpus ---- */

/* The run in the window, word by word: its words are a ring. */
static void mark(zh_overlap *o, const window *w) {
  uint32_t at = o->slots[slot_of(o, w->hash)];
  for (; at != UINT32_MAX; at = o->entries[at].next) {
    const uint64_t *item = o->words + o->entries[at].word;
    unsigned tail = w->run - w->oldest;
    if (same_run(item, w->words + w->oldest, tail) && same_run(item + tail, w->words, w->oldest))
      o->found[o->entries[at].word] = 1;
  }
}

zh_status zh_overlap_look(size_t *valid, zh_overlap *o, const char *text, size_t length,
                          zh_error *err) {
  walk w = {.alphabet = o->alphabet, .at = text, .end = text + length};
  window runs;
  uint64_t word;
  if (!o->found) ZH_TRY(make_table(o, err));
  open_window(&runs, o->run);
  o->corpus.documents++;
  o->corpus.bytes += length;
  while (next_word(&word, &w)) {
    o->corpus.words++;
    if (!push_word(&runs, word)) continue;
    size_t bit = (size_t)runs.hash & o->filter_mask;
    if (o->filter[bit / 64] >> (bit % 64) & 1) mark(o, &runs);
  }
  *valid = w.bad ? (size_t)(w.bad - text) : length;
  return ZH_OK;
}

/* ---- what was found ---- */

zh_overlap_item zh_overlap_of(const zh_overlap *o, size_t item) {
  zh_overlap_item out = {.words = o->first[item + 1] - o->first[item]};
  size_t covered_to = o->first[item];
  for (size_t at = o->first[item]; o->found && at < o->first[item + 1]; at++) {
    if (o->found[at]) covered_to = at + o->run;
    out.covered += at < covered_to;
  }
  return out;
}

zh_overlap_corpus zh_overlap_seen(const zh_overlap *o) {
  return o->corpus;
}
