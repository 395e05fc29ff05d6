/* Merging one piece. Short ones, nearly all: the pairs' ranks in a row, of which the lowest is
 * sought again after each merge. Long ones: a linked list of tokens and a heap of possible merges,
 * O(n log n), so that a megabyte without a space is no trap. */
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/bpe_parts.h"

#define NONE ZH_NO_TOKEN

/* Of zeros, in cache lines of its own. */
static char *make_memory(size_t bytes) {
  char *memory = aligned_alloc(ZH_REMEMBERED_LINE, bytes);
  if (memory != NULL) memset(memory, 0, bytes);
  return memory;
}

zh_bpe_room *zh_bpe_room_create(void) {
  zh_bpe_room *room = calloc(1, sizeof *room);
  if (room == NULL) return NULL;
  room->remembered = make_memory((size_t)ZH_REMEMBERED_LINE << ZH_REMEMBERED_LOG);
  room->longer = make_memory((size_t)ZH_REMEMBERED_LINES << ZH_REMEMBERED_LONGER_LOG);
  if (room->remembered != NULL && room->longer != NULL) return room;
  zh_bpe_room_free(room);
  return NULL;
}

void zh_bpe_room_free(zh_bpe_room *room) {
  if (room == NULL) return;
  free(room->links);
  free(room->heap);
  free(room->remembered);
  free(room->longer);
  free(room);
}

/* --- short pieces --- */

enum { SHORT_MOST = 48 };

typedef struct row {
  uint32_t tokens[SHORT_MOST], ranks[SHORT_MOST], merged[SHORT_MOST];
} row;

static inline void rank_pair(row *r, size_t i, const zh_pair_table *pairs) {
  const struct zh_pair_slot *slot = zh_pair_find(pairs, r->tokens[i], r->tokens[i + 1]);
  r->ranks[i] = slot != NULL ? slot->rank : NONE;
  r->merged[i] = slot != NULL ? slot->merged : NONE;
}

static size_t merge_short(uint32_t *tokens, size_t count, const zh_pair_table *pairs) {
  row r;
  memcpy(r.tokens, tokens, count * sizeof *tokens);
  for (size_t i = 0; i + 1 < count; i++) rank_pair(&r, i, pairs);
  for (;;) {
    size_t best = 0;
    uint32_t lowest = NONE;
    for (size_t i = 0; i + 1 < count; i++)
      if (r.ranks[i] < lowest) {
        lowest = r.ranks[i];
        best = i;
      }
    if (lowest == NONE) break;
    r.tokens[best] = r.merged[best];
    count--;
    for (size_t i = best + 1; i < count; i++) {
      r.tokens[i] = r.tokens[i + 1];
      r.ranks[i] = r.ranks[i + 1];
      r.merged[i] = r.merged[i + 1];
    }
    if (best > 0) rank_pair(&r, best - 1, pairs);
    if (best + 1 < count) rank_pair(&r, best, pairs);
  }
  memcpy(tokens, r.tokens, count * sizeof *tokens);
  return count;
}

/* --- long pieces --- */

static bool make_room(zh_bpe_room *room, size_t count) {
  if (count <= room->capacity) return true;
  size_t capacity = count < 256 ? 256 : count + count / 2;
  zh_link *links = realloc(room->links, capacity * sizeof *links);
  if (links != NULL) room->links = links;
  /* each pair once at the beginning, and each of fewer than `count` merges makes at most two new
   * ones */
  zh_candidate *heap = realloc(room->heap, 3 * capacity * sizeof *heap);
  if (heap != NULL) room->heap = heap;
  if (links == NULL || heap == NULL) return false;
  room->capacity = capacity;
  return true;
}

static bool before(const zh_candidate *a, const zh_candidate *b) {
  return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(zh_bpe_room *room, zh_candidate added) {
  size_t i = room->heap_count++;
  for (; i > 0 && before(&added, &room->heap[(i - 1) / 2]); i = (i - 1) / 2)
    room->heap[i] = room->heap[(i - 1) / 2];
  room->heap[i] = added;
}

static zh_candidate pop(zh_bpe_room *room) {
  zh_candidate top = room->heap[0], last = room->heap[--room->heap_count];
  size_t i = 0, child;
  while ((child = 2 * i + 1) < room->heap_count) {
    if (child + 1 < room->heap_count && before(&room->heap[child + 1], &room->heap[child])) child++;
    if (!before(&room->heap[child], &last)) break;
    room->heap[i] = room->heap[child];
    i = child;
  }
  room->heap[i] = last;
  return top;
}

static void consider(zh_bpe_room *room, const zh_pair_table *pairs, uint32_t at) {
  if (at == NONE || room->links[at].next == NONE) return;
  uint32_t left = room->links[at].token, right = room->links[room->links[at].next].token;
  const struct zh_pair_slot *slot = zh_pair_find(pairs, left, right);
  if (slot != NULL) push(room, (zh_candidate){slot->rank, at, left, right, slot->merged});
}

static void apply(zh_bpe_room *room, const zh_pair_table *pairs, const zh_candidate *c) {
  zh_link *left = &room->links[c->at];
  if (left->token != c->left || left->next == NONE || room->links[left->next].token != c->right)
    return;
  zh_link *right = &room->links[left->next];
  left->token = c->merged;
  left->next = right->next;
  right->token = NONE;
  if (left->next != NONE) room->links[left->next].previous = c->at;
  consider(room, pairs, left->previous);
  consider(room, pairs, c->at);
}

size_t zh_bpe_merge(uint32_t *tokens, size_t count, const zh_pair_table *pairs, zh_bpe_room *room) {
  if (count < 2) return count;
  if (count <= SHORT_MOST) return merge_short(tokens, count, pairs);
  if (count >= NONE || !make_room(room, count)) return SIZE_MAX;
  for (uint32_t i = 0; i < count; i++)
    room->links[i] = (zh_link){tokens[i], i == 0 ? NONE : i - 1, i + 1 == count ? NONE : i + 1};
  room->heap_count = 0;
  for (uint32_t i = 0; i + 1 < count; i++) consider(room, pairs, i);
  while (room->heap_count > 0) {
    zh_candidate c = pop(room);
    apply(room, pairs, &c);
  }
  size_t kept = 0;
  for (uint32_t i = 0; i != NONE; i = room->links[i].next) tokens[kept++] = room->links[i].token;
  return kept;
}
