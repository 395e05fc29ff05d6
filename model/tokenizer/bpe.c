#include "model/tokenizer/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/text.h"
#include "model/tokenizer/bpe_parts.h"
#include "model/tokenizer/characters.h"

#define NONE ZH_NO_TOKEN
static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokenizer)");
}

static bool grow(void **items, size_t *capacity, size_t wanted, size_t size) {
  if (wanted <= *capacity) return true;
  size_t larger = wanted + wanted / 2 + 64;
  void *grown = realloc(*items, larger * size);
  if (grown == NULL) return false;
  *items = grown;
  *capacity = larger;
  return true;
}

const struct zh_pair_slot *zh_bpe_pair(const zh_bpe *b, uint32_t left, uint32_t right) {
  return zh_pair_find(&b->pairs, left, right);
}

bool zh_merges_add(zh_merges *m, zh_merge merge) {
  if (!grow((void **)&m->items, &m->capacity, m->count + 1, sizeof *m->items)) return false;
  m->items[m->count++] = merge;
  return true;
}

bool zh_ids_reserve(zh_ids *ids, size_t more) {
  return grow((void **)&ids->ids, &ids->capacity, ids->count + more, sizeof *ids->ids);
}

/* --- making one --- */

static bool fill_pairs(zh_pair_table *t, const zh_merges *merges) {
  t->size = merges->count + merges->count / 2 + 16;
  t->seed = (uint64_t)zh_now_ns() ^ (uint64_t)(uintptr_t)t;
  t->slots = malloc(t->size * sizeof *t->slots);
  if (t->slots == NULL) return false;
  memset(t->slots, 0xff, t->size * sizeof *t->slots);
  for (size_t i = 0; i < merges->count; i++) {
    const zh_merge *m = &merges->items[i];
    struct zh_pair_slot *slot =
        (struct zh_pair_slot *)(uintptr_t)zh_pair_find(t, m->left, m->right);
    if (slot == NULL) {
      uint64_t pair = (uint64_t)m->left << 32 | m->right;
      uint64_t hash = (pair ^ t->seed) * UINT64_C(0x9e3779b97f4a7c15);
      hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
      uint64_t at = (uint64_t)((unsigned __int128)hash * t->size >> 64);
      while (t->slots[at].pair != UINT64_MAX) at = at + 1 == t->size ? 0 : at + 1;
      slot = &t->slots[at];
      slot->pair = pair;
    }
    slot->rank = m->rank;
    slot->merged = m->merged;
  }
  return true;
}

/* The tokens that merges make, each once. */
static zh_status find_joints(zh_bpe *b, const zh_merges *merges, zh_error *err) {
  uint32_t *made = malloc((b->symbols.vocab + 1u) * sizeof *made);
  uint8_t *seen = calloc(b->symbols.vocab + 1u, 1);
  size_t count = 0;
  zh_status status = made != NULL && seen != NULL ? ZH_OK : no_memory(err);
  for (size_t i = 0; status == ZH_OK && i < merges->count; i++) {
    uint32_t token = merges->items[i].merged;
    if (seen[token] || b->symbols.texts[token].bytes == NULL) continue;
    seen[token] = 1;
    made[count++] = token;
  }
  if (status == ZH_OK) status = zh_joints_create(&b->joints, b->symbols.texts, made, count, err);
  free(made);
  free(seen);
  return status;
}

static bool may_leave_out(const zh_bpe_symbols *s) {
  if (s->unknown != NONE) return false;
  if (!s->by_bytes) return !s->byte_fallback;
  for (int byte = 0; byte < 256; byte++)
    if (s->of_byte[byte] == NONE) return true;
  return false;
}

static zh_status create(zh_bpe **out, const zh_bpe_symbols *symbols, zh_error *err) {
  *out = NULL;
  zh_bpe *b = calloc(1, sizeof *b);
  if (b == NULL) return no_memory(err);
  b->symbols = *symbols;
  b->leaves_out = may_leave_out(symbols);
  bool enough = symbols->by_bytes || zh_bpe_find_characters(b);
  if (enough && symbols->whole_pieces)
    enough = zh_text_table_create(&b->whole, symbols->texts, symbols->vocab);
  if (enough && symbols->unused != NULL) {
    b->taken_apart = malloc((symbols->vocab + 1u) * sizeof *b->taken_apart);
    enough = b->taken_apart != NULL;
    if (enough) memset(b->taken_apart, 0xff, (symbols->vocab + 1u) * sizeof *b->taken_apart);
  }
  *out = b;
  if (enough) return ZH_OK;
  zh_bpe_free(b);
  *out = NULL;
  return no_memory(err);
}

static void note_unused(zh_bpe *b, const zh_merges *merges) {
  for (size_t i = 0; b->taken_apart != NULL && i < merges->count; i++) {
    const zh_merge *m = &merges->items[i];
    if (!b->symbols.unused[m->merged]) continue;
    b->taken_apart[m->merged][0] = m->left;
    b->taken_apart[m->merged][1] = m->right;
  }
}

static zh_status finish(zh_bpe **out, zh_bpe *b, const zh_merges *merges, zh_error *err) {
  zh_status status = fill_pairs(&b->pairs, merges) ? ZH_OK : no_memory(err);
  if (status == ZH_OK) status = find_joints(b, merges, err);
  if (status == ZH_OK && b->symbols.by_bytes)
    status = zh_bpe_find_whole_characters(b, merges) ? ZH_OK : no_memory(err);
  note_unused(b, merges);
  if (status == ZH_OK) {
    *out = b;
    return ZH_OK;
  }
  zh_bpe_free(b);
  return status;
}

zh_status zh_bpe_create(zh_bpe **out, const zh_bpe_symbols *symbols, const zh_merges *merges,
                        zh_error *err) {
  zh_bpe *b = NULL;
  *out = NULL;
  ZH_TRY(create(&b, symbols, err));
  return finish(out, b, merges, err);
}

/* --- merges from the texts themselves --- */

/* The symbol of a part of a token: a token, a byte or a character of its own. */
static bool part(uint32_t *out, zh_bpe *b, const zh_text_table *by_text, const char *bytes,
                 uint32_t length) {
  uint32_t character;
  *out = zh_text_find(by_text, bytes, length);
  if (*out != NONE || b->symbols.by_bytes || zh_character_at(&character, bytes) != length)
    return true;
  uint32_t *place = zh_bpe_place(b, character);
  size_t capacity = b->lone_capacity;
  if (place == NULL || !grow((void **)&b->lone, &capacity, b->lone_count + 1u, sizeof *b->lone))
    return false;
  b->lone_capacity = (uint32_t)capacity;
  if (*place == NONE) {
    *place = b->symbols.vocab + b->lone_count;
    b->lone[b->lone_count++] = character;
  }
  *out = *place;
  return true;
}

static bool add_parts(zh_merges *merges, zh_bpe *b, const zh_text_table *by_text, uint32_t id,
                      uint32_t rank) {
  const zh_slice *text = &b->symbols.texts[id];
  if (zh_text_find(by_text, text->bytes, text->length) != id) return true; /* stands twice */
  for (uint32_t at = 1; at < text->length; at++) {
    uint32_t left, right;
    if (!b->symbols.by_bytes && zh_is_continuation(text->bytes[at])) continue;
    if (!part(&left, b, by_text, text->bytes, at)) return false;
    if (left == NONE) continue;
    if (!part(&right, b, by_text, text->bytes + at, text->length - at)) return false;
    if (right != NONE && !zh_merges_add(merges, (zh_merge){left, right, rank, id})) return false;
  }
  return true;
}

zh_status zh_bpe_create_ranked(zh_bpe **out, const zh_bpe_symbols *symbols, const uint32_t *ranks,
                               zh_error *err) {
  zh_bpe *b = NULL;
  zh_merges merges = {0};
  zh_text_table by_text = {0};
  *out = NULL;
  ZH_TRY(create(&b, symbols, err));
  bool enough = zh_text_table_create(&by_text, symbols->texts, symbols->vocab);
  for (uint32_t id = 0; enough && id < symbols->vocab; id++)
    if (symbols->texts[id].bytes != NULL) enough = add_parts(&merges, b, &by_text, id, ranks[id]);
  zh_status status = ZH_OK;
  if (enough) {
    status = finish(out, b, &merges, err);
  } else {
    zh_bpe_free(b);
    status = no_memory(err);
  }
  zh_text_table_free(&by_text);
  free(merges.items);
  return status;
}

void zh_bpe_free(zh_bpe *b) {
  if (b == NULL) return;
  for (size_t i = 0; i < ZH_BPE_PAGES; i++) free(b->pages[i]);
  free(b->pairs.slots);
  free(b->lone);
  free(b->taken_apart);
  zh_joints_free(&b->joints);
  zh_text_table_free(&b->whole);
  free(b);
}
