/* What readers of all formats do alike. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/room.h"
#include "model/tokenizer/tokenizer.h"

zh_status zh_tokenizer_no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokenizer)");
}

zh_status zh_tokenizer_begin(zh_tokenizer **out, zh_error *err) {
  zh_tokenizer *t = calloc(1, sizeof *t);
  *out = t;
  if (t == NULL) return zh_tokenizer_no_memory(err);
  t->declared = (zh_special_tokens){.bos = -1, .eos = -1, .unknown = -1, .padding = -1};
  t->rooms = zh_rooms_create();
  if (t->rooms == NULL) return zh_tokenizer_no_memory(err);
  return zh_arena_create(&t->arena, 0, err);
}

void zh_tokenizer_free(zh_tokenizer *t) {
  if (t == NULL) return;
  zh_bpe_free(t->bpe);
  zh_unigram_free(t->unigram);
  zh_normalizer_clear(&t->normalizer);
  zh_pretokenizer_clear(&t->pretokenizer);
  zh_matcher_free(t->user_defined);
  for (int i = 0; i < 4; i++) zh_matcher_free(t->sets[i / 2][i % 2].matcher);
  zh_text_table_free(&t->by_text);
  zh_rooms_free(t->rooms);
  zh_arena_free(t->arena);
  free(t);
}

zh_status zh_tokenizer_expect(zh_tokenizer *t, uint32_t vocab, zh_error *err) {
  t->vocab = vocab;
  t->texts = zh_arena_alloc(t->arena, vocab + 1u, sizeof *t->texts);
  t->kinds = zh_arena_alloc(t->arena, vocab + 1u, sizeof *t->kinds);
  t->pieces = zh_arena_alloc(t->arena, vocab + 1u, sizeof *t->pieces);
  return t->texts != NULL && t->kinds != NULL && t->pieces != NULL ? ZH_OK
                                                                   : zh_tokenizer_no_memory(err);
}

zh_slice zh_tokenizer_keep(zh_tokenizer *t, const char *bytes, size_t length) {
  char *copy = zh_arena_alloc(t->arena, length + 1, 1);
  if (copy != NULL && length > 0) memcpy(copy, bytes, length);
  return (zh_slice){copy, (uint32_t)length};
}

zh_status zh_tokenizer_index(zh_tokenizer *t, zh_error *err) {
  return zh_text_table_create(&t->by_text, t->texts, t->vocab) ? ZH_OK
                                                               : zh_tokenizer_no_memory(err);
}

bool zh_tokenizer_byte_tokens(uint32_t of_byte[256], const zh_tokenizer *t, bool any_kind) {
  bool all = true;
  for (unsigned byte = 0; byte < 256; byte++) {
    char text[8];
    snprintf(text, sizeof text, "<0x%02X>", byte);
    uint32_t id = zh_text_find(&t->by_text, text, 6);
    if (id != ZH_NO_TOKEN && !any_kind && t->kinds[id] != ZH_TOKEN_BYTE) id = ZH_NO_TOKEN;
    of_byte[byte] = id;
    all = all && id != ZH_NO_TOKEN;
  }
  return all;
}

void zh_tokenizer_symbols(zh_bpe_symbols *out, const zh_tokenizer *t) {
  *out = (zh_bpe_symbols){.by_bytes = t->byte_level, .vocab = t->vocab, .texts = t->pieces};
  out->unknown = ZH_NO_TOKEN;
  memset(out->of_byte, 0xff, sizeof out->of_byte);
  for (uint32_t id = t->vocab; t->byte_level && id-- > 0;) /* the lowest id stays */
    if (t->pieces[id].bytes != NULL && t->pieces[id].length == 1)
      out->of_byte[(unsigned char)t->pieces[id].bytes[0]] = id;
}

/* --- special tokens --- */

void zh_tokenizer_put_around(zh_tokenizer *t, bool bos, bool eos) {
  t->before_count = t->after_count = 0;
  if (bos && t->declared.bos >= 0) t->before[t->before_count++] = (uint32_t)t->declared.bos;
  if (eos && t->declared.eos >= 0) t->after[t->after_count++] = (uint32_t)t->declared.eos;
  t->declared.add_bos = t->before_count > 0;
  t->declared.add_eos = t->after_count > 0;
}

/* The text that a normalized token is looked for as. */
static zh_status normalized_text(zh_slice *out, zh_tokenizer *t, const zh_slice *text,
                                 zh_error *err) {
  zh_text rooms[2] = {0};
  const char *bytes = text->bytes;
  size_t length = text->length;
  zh_status status = zh_normalize(&bytes, &length, &t->normalizer, rooms, err);
  if (status == ZH_OK) *out = zh_tokenizer_keep(t, bytes, length);
  zh_text_free(&rooms[0]);
  zh_text_free(&rooms[1]);
  return status == ZH_OK && out->bytes == NULL ? zh_tokenizer_no_memory(err) : status;
}

static zh_status make_set(zh_tokenizer *t, bool normalized, bool special, zh_error *err) {
  zh_matcher_text *texts = calloc(t->added_count + 1, sizeof *texts);
  zh_status status = texts != NULL ? ZH_OK : zh_tokenizer_no_memory(err);
  size_t count = 0;
  for (size_t i = 0; status == ZH_OK && i < t->added_count; i++) {
    const zh_added_token *a = &t->added[i];
    if (a->normalized != normalized || (a->special && !special)) continue;
    zh_slice text = a->text;
    if (normalized) status = normalized_text(&text, t, &a->text, err);
    if (normalized && t->shown != NULL) t->shown[a->id] = text;
    texts[count++] = (zh_matcher_text){text, (uint32_t)i};
  }
  zh_added_set *set = &t->sets[normalized][special];
  set->tokens = t->added;
  if (status == ZH_OK && count > 0 && !zh_matcher_create(&set->matcher, texts, count))
    status = zh_tokenizer_no_memory(err);
  free(texts);
  return status;
}

zh_status zh_tokenizer_add_tokens(zh_tokenizer *t, zh_added_token *added, size_t count,
                                  zh_error *err) {
  t->added = added;
  t->added_count = count;
  for (int i = 0; i < 4; i++) ZH_TRY(make_set(t, i / 2, i % 2, err));
  return ZH_OK;
}

zh_status zh_tokenizer_add_special(zh_tokenizer *t, bool user_defined, zh_error *err) {
  size_t count = 0;
  zh_added_token *added = zh_arena_alloc(t->arena, t->vocab + 1u, sizeof *added);
  if (added == NULL) return zh_tokenizer_no_memory(err);
  for (uint32_t id = 0; id < t->vocab; id++) {
    bool control = t->kinds[id] == ZH_TOKEN_CONTROL;
    if (!control && !(user_defined && t->kinds[id] == ZH_TOKEN_USER_DEFINED)) continue;
    added[count++] = (zh_added_token){.id = id, .text = t->texts[id], .special = control};
  }
  return zh_tokenizer_add_tokens(t, added, count, err);
}

/* --- sentencepiece's --- */

/* Equal scores are equal ranks, the highest score first. */
static int by_score(const void *a, const void *b, void *scores) {
  double x = ((const double *)scores)[*(const uint32_t *)a];
  double y = ((const double *)scores)[*(const uint32_t *)b];
  return (x < y) - (x > y);
}

static zh_status rank_by_score(uint32_t *ranks, const zh_tokenizer *t, zh_error *err) {
  uint32_t *order = malloc((t->vocab + 1u) * sizeof *order), rank = 0;
  if (order == NULL) return zh_tokenizer_no_memory(err);
  for (uint32_t id = 0; id < t->vocab; id++) order[id] = id;
  if (t->vocab > 1) qsort_r(order, t->vocab, sizeof *order, by_score, t->scores);
  for (uint32_t i = 0; i < t->vocab; i++) {
    if (i > 0 && t->scores[order[i]] != t->scores[order[i - 1]]) rank = i;
    ranks[order[i]] = rank;
  }
  free(order);
  return ZH_OK;
}

static zh_status make_merges(zh_tokenizer *t, bool byte_fallback, zh_error *err) {
  zh_bpe_symbols symbols;
  uint32_t *ranks = malloc((t->vocab + 1u) * sizeof *ranks);
  uint8_t *unused = zh_arena_alloc(t->arena, t->vocab + 1u, 1);
  zh_status status =
      ranks != NULL && unused != NULL ? rank_by_score(ranks, t, err) : zh_tokenizer_no_memory(err);
  zh_tokenizer_symbols(&symbols, t);
  if (t->declared.unknown >= 0) symbols.unknown = (uint32_t)t->declared.unknown;
  symbols.fuse_unknown = !byte_fallback;
  symbols.byte_fallback = byte_fallback && zh_tokenizer_byte_tokens(symbols.of_byte, t, false);
  for (uint32_t id = 0; status == ZH_OK && id < t->vocab; id++)
    if (t->kinds[id] == ZH_TOKEN_NEVER) {
      unused[id] = 1;
      symbols.unused = unused;
    }
  if (status == ZH_OK) status = zh_bpe_create_ranked(&t->bpe, &symbols, ranks, err);
  free(ranks);
  return status;
}

static zh_status make_unigram(zh_tokenizer *t, bool byte_fallback, zh_error *err) {
  zh_unigram_symbols symbols = {.vocab = t->vocab,
                                .texts = t->pieces,
                                .scores = t->scores,
                                .lowest = HUGE_VAL,
                                .highest = -HUGE_VAL,
                                .unknown = ZH_NO_TOKEN,
                                .single_precision = true};
  uint8_t *preferred = zh_arena_alloc(t->arena, t->vocab + 1u, 1);
  if (preferred == NULL) return zh_tokenizer_no_memory(err);
  if (t->declared.unknown >= 0) symbols.unknown = (uint32_t)t->declared.unknown;
  symbols.byte_fallback = byte_fallback && zh_tokenizer_byte_tokens(symbols.of_byte, t, false);
  symbols.preferred = preferred;
  for (uint32_t id = 0; id < t->vocab; id++) {
    preferred[id] = t->kinds[id] == ZH_TOKEN_USER_DEFINED;
    if (t->kinds[id] == ZH_TOKEN_NEVER) t->pieces[id] = (zh_slice){0};
    if (t->kinds[id] != ZH_TOKEN_NORMAL) continue;
    symbols.lowest = fmin(symbols.lowest, t->scores[id]);
    symbols.highest = fmax(symbols.highest, t->scores[id]);
  }
  return zh_unigram_create(&t->unigram, &symbols, err);
}

static zh_status find_user_defined(zh_tokenizer *t, zh_error *err) {
  zh_matcher_text *texts = calloc(t->vocab + 1u, sizeof *texts);
  size_t count = 0;
  if (texts == NULL) return zh_tokenizer_no_memory(err);
  for (uint32_t id = 0; id < t->vocab; id++)
    if (t->kinds[id] == ZH_TOKEN_USER_DEFINED) texts[count++] = (zh_matcher_text){t->texts[id], id};
  bool enough = count == 0 || zh_matcher_create(&t->user_defined, texts, count);
  free(texts);
  return enough ? ZH_OK : zh_tokenizer_no_memory(err);
}

zh_status zh_tokenizer_be_sentencepiece(zh_tokenizer *t, zh_sentencepiece_rules rules, bool unigram,
                                        bool byte_fallback, zh_error *err) {
  for (uint32_t id = 0; id < t->vocab; id++) {
    uint8_t kind = t->kinds[id];
    bool in_text = kind == ZH_TOKEN_NORMAL || kind == ZH_TOKEN_NEVER ||
                   (kind == ZH_TOKEN_USER_DEFINED && unigram);
    if (in_text && t->texts[id].length > 0) t->pieces[id] = t->texts[id];
  }
  ZH_TRY(find_user_defined(t, err));
  rules.user_defined = t->user_defined;
  t->normalizer.steps[0] = (zh_normal_step){.kind = ZH_NORMAL_SENTENCEPIECE, .rules = rules};
  t->normalizer.count = 1;
  t->decoding.wanted = (zh_slice){"\xe2\x96\x81", 3};
  t->decoding.replacement = t->decoding.cut = (zh_slice){" ", 1};
  t->decoding.byte_fallback = true;
  if (rules.dummy_prefix || rules.remove_extra_whitespaces)
    t->decoding.cut_most = rules.remove_extra_whitespaces ? ~0u : 1;
  return unigram ? make_unigram(t, byte_fallback, err) : make_merges(t, byte_fallback, err);
}
