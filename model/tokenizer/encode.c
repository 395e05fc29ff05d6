/* Text to tokens: added tokens are found first, what lies between is normalized, cut into pieces
 * and encoded piece by piece. */
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/characters.h"
#include "model/tokenizer/tokenizer.h"

/* --- rooms --- */

struct zh_rooms {
  pthread_mutex_t lock;
  zh_room *free;
};

zh_rooms *zh_rooms_create(void) {
  zh_rooms *rooms = calloc(1, sizeof *rooms);
  if (rooms != NULL) pthread_mutex_init(&rooms->lock, NULL);
  return rooms;
}

static void free_room(zh_room *room) {
  zh_bpe_room_free(room->bpe);
  zh_text_free(&room->texts[0]);
  zh_text_free(&room->texts[1]);
  free(room);
}

void zh_rooms_free(zh_rooms *rooms) {
  if (rooms == NULL) return;
  while (rooms->free != NULL) {
    zh_room *room = rooms->free;
    rooms->free = room->next;
    free_room(room);
  }
  pthread_mutex_destroy(&rooms->lock);
  free(rooms);
}

zh_room *zh_room_take(zh_rooms *rooms) {
  pthread_mutex_lock(&rooms->lock);
  zh_room *room = rooms->free;
  if (room != NULL) rooms->free = room->next;
  pthread_mutex_unlock(&rooms->lock);
  if (room != NULL) return room;
  room = calloc(1, sizeof *room);
  if (room == NULL) return NULL;
  room->bpe = zh_bpe_room_create();
  if (room->bpe != NULL) return room;
  free(room);
  return NULL;
}

void zh_room_give(zh_rooms *rooms, zh_room *room) {
  pthread_mutex_lock(&rooms->lock);
  room->next = rooms->free;
  rooms->free = room;
  pthread_mutex_unlock(&rooms->lock);
}

/* --- pieces --- */

typedef struct encoder {
  const zh_tokenizer *t;
  zh_room *room;
  zh_ids ids;
  bool special; /* special tokens are found in the text */
} encoder;

static zh_status put(encoder *e, uint32_t id, zh_error *err) {
  if (!zh_ids_reserve(&e->ids, 1)) return zh_tokenizer_no_memory(err);
  e->ids.ids[e->ids.count++] = id;
  return ZH_OK;
}

static zh_status merge_piece(encoder *e, const char *piece, size_t length, zh_error *err) {
  return zh_bpe_encode(&e->ids, e->t->bpe, e->room->bpe, piece, length)
             ? ZH_OK
             : zh_tokenizer_no_memory(err);
}

/* User-defined pieces of a sentencepiece model stand for themselves. */
static zh_status merge_between(encoder *e, const char *piece, size_t length, zh_error *err) {
  zh_match match;
  size_t done = 0;
  while (zh_match_next(&match, e->t->user_defined, piece, length, done)) {
    ZH_TRY(merge_piece(e, piece + done, match.begin - done, err));
    ZH_TRY(put(e, match.id, err));
    done = match.begin + match.length;
  }
  return merge_piece(e, piece + done, length - done, err);
}

static zh_status add_piece(void *user, const char *piece, size_t length, zh_error *err) {
  encoder *e = user;
  if (e->t->unigram != NULL) return zh_unigram_encode(&e->ids, e->t->unigram, piece, length, err);
  if (e->t->user_defined != NULL) return merge_between(e, piece, length, err);
  return merge_piece(e, piece, length, err);
}

/* --- added tokens --- */

static bool is_wordy(uint32_t character) {
  return character == '_' ||
         (zh_bits_of(zh_characters(), character) & (ZH_LETTER | ZH_NUMBER | ZH_MARK)) != 0;
}

static bool ends_wordy(const char *text, size_t length) {
  uint32_t character;
  if (length == 0) return false;
  size_t last = length - 1;
  while (last > 0 && zh_is_continuation(text[last])) last--;
  zh_character_at(&character, text + last);
  return is_wordy(character);
}

static bool begins_wordy(const char *text, size_t length) {
  uint32_t character;
  if (length == 0) return false;
  zh_character_at(&character, text);
  return is_wordy(character);
}

static size_t spaces_before(const char *text, size_t end, size_t from) {
  while (end > from) {
    uint32_t character;
    size_t last = end - 1;
    while (last > from && zh_is_continuation(text[last])) last--;
    zh_character_at(&character, text + last);
    if (!(zh_bits_of(zh_characters(), character) & ZH_SPACE)) break;
    end = last;
  }
  return end;
}

static size_t spaces_after(const char *text, size_t length, size_t at) {
  while (at < length) {
    uint32_t character;
    unsigned step = zh_character_at(&character, text + at);
    if (!(zh_bits_of(zh_characters(), character) & ZH_SPACE)) break;
    at += step;
  }
  return at;
}

/* The next added token at or after *from; [begin, end) is what it takes of the text. Of one that
 * must stand alone and does not, the place is passed over. */
static bool next_added(uint32_t *id, zh_span *span, const zh_added_set *set, const char *text,
                       size_t length, size_t done) {
  zh_match match;
  size_t from = done;
  while (zh_match_next(&match, set->matcher, text, length, from)) {
    const zh_added_token *a = &set->tokens[match.id];
    size_t end = match.begin + match.length;
    from = end;
    if (a->single_word && (ends_wordy(text, match.begin) || begins_wordy(text + end, length - end)))
      continue;
    *id = a->id;
    span->begin = a->left ? spaces_before(text, match.begin, done) : match.begin;
    span->end = a->right ? spaces_after(text, length, end) : end;
    return true;
  }
  return false;
}

static zh_status cut_text(encoder *e, const char *text, size_t length, bool at_start,
                          zh_error *err) {
  return zh_pretokenize(&e->t->pretokenizer, text, length, at_start, add_piece, e, err);
}

/* Tokens that are looked for after normalizing. */
static zh_status encode_normalized(encoder *e, const char *text, size_t length, bool at_start,
                                   zh_error *err) {
  const zh_added_set *set = &e->t->sets[1][e->special];
  uint32_t id;
  zh_span span;
  size_t done = 0;
  while (set->matcher != NULL && next_added(&id, &span, set, text, length, done)) {
    ZH_TRY(cut_text(e, text + done, span.begin - done, at_start && done == 0, err));
    ZH_TRY(put(e, id, err));
    done = span.end;
  }
  return cut_text(e, text + done, length - done, at_start && done == 0, err);
}

static zh_status encode_plain(encoder *e, const char *text, size_t length, bool at_start,
                              zh_error *err) {
  if (length == 0) return ZH_OK;
  ZH_TRY(zh_normalize(&text, &length, &e->t->normalizer, e->room->texts, err));
  return encode_normalized(e, text, length, at_start, err);
}

static zh_status encode_text(encoder *e, const char *text, size_t length, zh_error *err) {
  const zh_added_set *set = &e->t->sets[0][e->special];
  uint32_t id;
  zh_span span;
  size_t done = 0;
  while (set->matcher != NULL && next_added(&id, &span, set, text, length, done)) {
    ZH_TRY(encode_plain(e, text + done, span.begin - done, done == 0, err));
    ZH_TRY(put(e, id, err));
    done = span.end;
  }
  return encode_plain(e, text + done, length - done, done == 0, err);
}

static zh_status encode_all(encoder *e, const char *text, size_t length, bool around,
                            zh_error *err) {
  for (size_t i = 0; around && i < e->t->before_count; i++) ZH_TRY(put(e, e->t->before[i], err));
  ZH_TRY(encode_text(e, text, length, err));
  for (size_t i = 0; around && i < e->t->after_count; i++) ZH_TRY(put(e, e->t->after[i], err));
  return zh_ids_reserve(&e->ids, 1) ? ZH_OK : zh_tokenizer_no_memory(err);
}

zh_status zh_tokenize(uint32_t **tokens, size_t *count, const zh_tokenizer *t, const char *text,
                      size_t length, bool add_bos, bool parse_special, zh_error *err) {
  size_t valid = zh_utf8_valid_prefix(text, length);
  if (valid != length)
    return zh_fail(err, ZH_ERR_INPUT, "the text is not valid UTF-8 at byte %zu", valid);
  if (length >= UINT32_MAX / 4)
    return zh_fail(err, ZH_ERR_INPUT,
                   "a text of %zu bytes is too long; at most 1 GiB is tokenized at once", length);
  encoder e = {.t = t, .room = zh_room_take(t->rooms), .special = parse_special};
  if (e.room == NULL) return zh_tokenizer_no_memory(err);
  zh_status status = zh_ids_reserve(&e.ids, length / 4 + 16) ? ZH_OK : zh_tokenizer_no_memory(err);
  if (status == ZH_OK) status = encode_all(&e, text, length, add_bos, err);
  zh_room_give(t->rooms, e.room);
  if (status != ZH_OK) {
    free(e.ids.ids);
    return status;
  }
  *tokens = e.ids.ids;
  *count = e.ids.count;
  return ZH_OK;
}
