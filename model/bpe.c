/* Byte-pair merging with a linked list of tokens and a heap of possible merges: O(n log n) for a
 * piece of n bytes, so that a megabyte without a space is no trap. */
#include <stdlib.h>
#include <string.h>

#include "model/room.h"

#define NONE UINT32_MAX

typedef struct link {
  uint32_t token, previous, next; /* token NONE: merged into the one before */
} link;

typedef struct candidate {
  uint32_t rank, at;    /* place of the left token */
  uint32_t left, right; /* as they were when it was found; stale if they changed */
  uint32_t merged;
} candidate;

struct zh_bpe_room {
  link *links;
  candidate *heap;
  size_t capacity, heap_count;
};

zh_bpe_room *zh_bpe_room_create(void) {
  return calloc(1, sizeof(zh_bpe_room));
}

void zh_bpe_room_free(zh_bpe_room *room) {
  if (room == NULL) return;
  free(room->links);
  free(room->heap);
  free(room);
}

static bool make_room(zh_bpe_room *room, size_t count) {
  if (count <= room->capacity) return true;
  size_t capacity = count < 256 ? 256 : count + count / 2;
  link *links = realloc(room->links, capacity * sizeof *links);
  if (links != NULL) room->links = links;
  /* each pair once at the beginning, and each of fewer than `count` merges makes at most two new
   * ones */
  candidate *heap = realloc(room->heap, 3 * capacity * sizeof *heap);
  if (heap != NULL) room->heap = heap;
  if (links == NULL || heap == NULL) return false;
  room->capacity = capacity;
  return true;
}

static bool before(const candidate *a, const candidate *b) {
  return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(zh_bpe_room *room, candidate added) {
  size_t i = room->heap_count++;
  for (; i > 0 && before(&added, &room->heap[(i - 1) / 2]); i = (i - 1) / 2)
    room->heap[i] = room->heap[(i - 1) / 2];
  room->heap[i] = added;
}

static candidate pop(zh_bpe_room *room) {
  candidate top = room->heap[0], last = room->heap[--room->heap_count];
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

static const zh_merge *find_merge(const zh_merges *merges, uint32_t left, uint32_t right) {
  uint32_t low = merges->first[left], high = merges->first[left + 1];
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (merges->pairs[middle].right < right)
      low = middle + 1;
    else
      high = middle;
  }
  return low < merges->first[left + 1] && merges->pairs[low].right == right ? &merges->pairs[low]
                                                                            : NULL;
}

static void consider(zh_bpe_room *room, const zh_merges *merges, uint32_t at) {
  if (at == NONE || room->links[at].next == NONE) return;
  uint32_t left = room->links[at].token, right = room->links[room->links[at].next].token;
  const zh_merge *merge = find_merge(merges, left, right);
  if (merge != NULL) push(room, (candidate){merge->rank, at, left, right, merge->merged});
}

static void apply(zh_bpe_room *room, const zh_merges *merges, const candidate *c) {
  link *left = &room->links[c->at];
  if (left->token != c->left || left->next == NONE || room->links[left->next].token != c->right)
    return;
  link *right = &room->links[left->next];
  left->token = c->merged;
  left->next = right->next;
  right->token = NONE;
  if (left->next != NONE) room->links[left->next].previous = c->at;
  consider(room, merges, left->previous);
  consider(room, merges, c->at);
}

size_t zh_bpe_merge(uint32_t *tokens, size_t count, const zh_merges *merges, zh_bpe_room *room) {
  if (count < 2) return count;
  if (count >= NONE || !make_room(room, count)) return SIZE_MAX;
  for (uint32_t i = 0; i < count; i++)
    room->links[i] = (link){tokens[i], i == 0 ? NONE : i - 1, i + 1 == count ? NONE : i + 1};
  room->heap_count = 0;
  for (uint32_t i = 0; i + 1 < count; i++) consider(room, merges, i);
  while (room->heap_count > 0) {
    candidate c = pop(room);
    apply(room, merges, &c);
  }
  size_t kept = 0;
  for (uint32_t i = 0; i != NONE; i = room->links[i].next) tokens[kept++] = room->links[i].token;
  return kept;
}
