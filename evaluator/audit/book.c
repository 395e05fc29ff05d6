/* Places by the pattern of a name: "model.layers.#.mlp.experts.#.up_proj.weight". A model of a
 * hundred thousand tensors has some dozen patterns, and the rules are asked once for each. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

#include "evaluator/audit/audit.h"

enum { PATTERNS = 1024, PATTERN_BYTES = 224 };

typedef struct entry {
  char pattern[PATTERN_BYTES]; /* empty: free */
  zh_place place;
  /* where the numbers of layer and expert stand among the numbers of the name; -1: nowhere */
  int layer, expert;
} entry;

struct zh_place_book {
  entry entries[PATTERNS];
};

zh_place_book *zh_place_book_create(void) {
  return calloc(1, sizeof(zh_place_book));
}

void zh_place_book_free(zh_place_book *book) {
  free(book);
}

enum { NUMBERS_MAX = 8 };
typedef struct numbers {
  int64_t value[NUMBERS_MAX];
  int count;
} numbers;

/* Numbers that stand alone between dots become '#', each at most 9 digits. False: too long, or a
 * '#' of its own. */
static bool make_pattern(char *pattern, numbers *n, const char *name) {
  size_t length = 0;
  n->count = 0;
  for (const char *at = name; *at != '\0';) {
    if (length + 2 >= PATTERN_BYTES || *at == '#') return false;
    int64_t value = 0;
    const char *end = at;
    bool begins = at > name && at[-1] == '.';
    while (begins && *end >= '0' && *end <= '9' && end - at < 10)
      value = 10 * value + (*end++ - '0');
    if (end == at || *end != '.') {
      pattern[length++] = *at++;
      continue;
    }
    if (end - at > 9 || n->count == NUMBERS_MAX) return false;
    n->value[n->count++] = value;
    pattern[length++] = '#';
    at = end;
  }
  pattern[length] = '\0';
  return length > 0;
}

/* Which number of the name a place's number is, found by asking with all numbers apart. */
static int which(const char *pattern, int64_t (*ask)(const char *name)) {
  char probe[PATTERN_BYTES + NUMBERS_MAX];
  size_t length = 0;
  int count = 0;
  for (const char *at = pattern; *at != '\0'; at++)
    probe[length++] = *at == '#' ? (char)('1' + count++) : *at;
  probe[length] = '\0';
  int64_t number = ask(probe);
  return number < 0 ? -1 : (int)number - 1;
}

static int64_t expert_of(const char *name) {
  return zh_number_after(name, "experts.");
}

static bool fill(entry *e, const char *pattern, const numbers *n, const zh_tensor *tensor) {
  memcpy(e->pattern, pattern, strlen(pattern) + 1);
  e->place = zh_place_of(tensor);
  e->layer = which(pattern, zh_layer_of);
  e->expert = e->place.expert >= 0 ? which(pattern, expert_of) : -1;
  /* names that are asked otherwise than by whole numbers are never remembered */
  bool same = e->layer < n->count && e->expert < n->count &&
              e->place.layer == (e->layer >= 0 ? n->value[e->layer] : -1) &&
              e->place.expert == (e->expert >= 0 ? n->value[e->expert] : -1);
  if (!same) e->pattern[0] = '\0';
  return same;
}

zh_place zh_place_by_book(zh_place_book *book, const zh_tensor *tensor) {
  char pattern[PATTERN_BYTES];
  numbers n;
  if (!make_pattern(pattern, &n, tensor->name)) return zh_place_of(tensor);
  uint64_t hash = XXH3_64bits(pattern, strlen(pattern));
  for (uint64_t probe = 0; probe < 8; probe++) {
    entry *e = &book->entries[(hash + probe) % PATTERNS];
    if (e->pattern[0] == '\0' && !fill(e, pattern, &n, tensor)) break;
    if (strcmp(e->pattern, pattern) != 0) continue;
    zh_place place = e->place;
    place.layer = e->layer >= 0 ? n.value[e->layer] : -1;
    place.expert = e->expert >= 0 ? n.value[e->expert] : -1;
    return place;
  }
  return zh_place_of(tensor);
}
