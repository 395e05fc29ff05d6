/* Tokenizers that are no tokenizer.json of byte-level BPE, as GGUF's arrays: sentencepiece's from
 * scores, merges of characters as scores, ranks as merges. Taken from the tokenizer as it is read
 * here, so that both ways of reading agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/conversion_room.h"
#include "model/tokenizer/tokenizer.h"

/* As llama.cpp's converter scores tokens that no text is merged into. */
#define SCORE_ADDED (-1000.0f)

/* --- tokens --- */

static zh_status too_many(const zh_conversion *c, const zh_tokenizer *t, zh_error *err) {
  return zh_fail(
      err, ZH_ERR_INPUT,
      "%s: the tokenizer has %u tokens, and the model's vocabulary holds up to %u tokens",
      c->model->path, t->vocab, c->described.a.vocab);
}

/* [vocabulary of the model]; the caller's. */
static zh_status take_tokens(zh_converted_token **out, const zh_conversion *c,
                             const zh_tokenizer *t, zh_error *err) {
  if (t->vocab > c->described.a.vocab) return too_many(c, t, err);
  zh_converted_token *tokens = *out = calloc(c->described.a.vocab + 1u, sizeof *tokens);
  if (tokens == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokens)");
  for (uint32_t id = 0; id < t->vocab; id++)
    if (t->texts[id].bytes != NULL)
      tokens[id] = (zh_converted_token){t->texts[id].bytes, t->texts[id].length,
                                        t->scores != NULL ? (float)t->scores[id] : 0, t->kinds[id]};
  for (size_t i = 0; i < t->added_count; i++) {
    const zh_added_token *a = &t->added[i];
    zh_converted_token *token = &tokens[a->id];
    if (token->type == ZH_TOKEN_UNKNOWN || token->type == ZH_TOKEN_BYTE) continue;
    if (token->type != ZH_TOKEN_CONTROL && !a->special) token->type = ZH_TOKEN_USER_DEFINED;
    if (token->score == 0 && t->kinds[a->id] != ZH_TOKEN_CONTROL) token->score = SCORE_ADDED;
  }
  return ZH_OK;
}

static void put_kind(zh_conversion *c, const char *model, const char *pre, size_t length) {
  zh_put_words(c, "tokenizer.ggml.model", model, strlen(model));
  zh_put_words(c, "tokenizer.ggml.pre", pre, length);
}

/* --- sentencepiece's --- */

static void put_charsmap(zh_conversion *c, const zh_charsmap *map) {
  if (map->units == 0) return;
  size_t bytes = sizeof(uint32_t) + sizeof(uint32_t) * map->units + map->bytes; /* as one block */
  zh_put_array(c, "tokenizer.ggml.precompiled_charsmap", ZH_GGUF_U8, bytes);
  zh_text_append(&c->values, map->trie - sizeof(uint32_t), bytes);
}

static zh_status put_sentencepiece(zh_conversion *c, const zh_tokenizer *t, zh_error *err) {
  const zh_sentencepiece_rules *rules = &t->normalizer.steps[0].rules;
  zh_converted_token *tokens;
  if (!rules->escape_whitespaces || rules->whitespace_as_suffix) {
    zh_conversion_without_tokenizer(c, "its sentencepiece model keeps spaces as they are, or puts "
                                       "them behind words, which GGUF cannot say");
    return ZH_OK;
  }
  zh_status status = take_tokens(&tokens, c, t, err);
  if (status == ZH_OK) {
    put_kind(c, t->unigram != NULL ? "t5" : "llama", "default", 7);
    zh_conversion_put_tokens(c, tokens, true);
    zh_put_bool(c, "tokenizer.ggml.add_space_prefix", rules->dummy_prefix);
    zh_put_bool(c, "tokenizer.ggml.remove_extra_whitespaces", rules->remove_extra_whitespaces);
    put_charsmap(c, &rules->charsmap);
  }
  free(tokens);
  return status;
}

zh_status zh_sentencepiece_to_gguf(zh_conversion *c, const char *path, const json_t *about,
                                   zh_error *err) {
  zh_mapping file = {0};
  zh_tokenizer *t = NULL;
  ZH_TRY(zh_map_file(&file, path, err));
  zh_status status = zh_tokenizer_begin(&t, err);
  if (status == ZH_OK) {
    status = zh_tokenizer_from_sentencepiece(t, file.data, file.bytes, about, err);
    if (status != ZH_OK && err != NULL) zh_error_prefix(err, "%s", path);
  }
  if (status == ZH_OK) status = put_sentencepiece(c, t, err);
  zh_tokenizer_free(t);
  zh_unmap(&file);
  return status;
}

/* --- merges of characters, as sentencepiece's BPE scores them --- */

/* The ranks of the merges that make a token. */
typedef struct rank_range {
  uint32_t id, first, last;
} rank_range;

static int by_first(const void *a, const void *b) {
  const rank_range *x = a, *y = b;
  return (x->first > y->first) - (x->first < y->first);
}

/* Sentencepiece merges every pair that makes a token: false where one of them is not listed. */
static bool find_range(rank_range *out, const zh_converted_token *tokens, const zh_tokenizer *t,
                       uint32_t id) {
  const zh_slice *text = &t->pieces[id];
  *out = (rank_range){id, UINT32_MAX, 0};
  for (uint32_t at = 1; at < text->length; at++) {
    uint32_t left = zh_text_find(&t->by_text, text->bytes, at),
             right = zh_text_find(&t->by_text, text->bytes + at, text->length - at);
    if (left == ZH_NO_TOKEN || right == ZH_NO_TOKEN || tokens[left].type != ZH_TOKEN_NORMAL ||
        tokens[right].type != ZH_TOKEN_NORMAL)
      continue;
    const struct zh_pair_slot *slot = zh_bpe_pair(t->bpe, left, right);
    if (slot == NULL || slot->merged != id) return false;
    if (slot->rank < out->first) out->first = slot->rank;
    if (slot->rank > out->last) out->last = slot->rank;
  }
  return true;
}

/* Scores that put tokens in the order of their merges; false where merges of two tokens alternate.
 */
static bool score_by_merges(zh_converted_token *tokens, rank_range *ranges, const zh_tokenizer *t) {
  size_t count = 0;
  for (uint32_t id = 0; id < t->vocab; id++) {
    if (t->pieces[id].bytes == NULL || tokens[id].type != ZH_TOKEN_NORMAL) continue;
    if (!find_range(&ranges[count], tokens, t, id)) return false;
    if (ranges[count].first != UINT32_MAX) count++;
  }
  if (count > 1) qsort(ranges, count, sizeof *ranges, by_first);
  for (size_t i = 0; i < count; i++) {
    if (i > 0 && ranges[i - 1].last > ranges[i].first) return false;
    tokens[ranges[i].id].score = -(float)(i + 1);
  }
  return count < 1u << 24; /* whole numbers of fp32 */
}

static void mark_bytes(zh_converted_token *tokens, const zh_tokenizer *t) {
  uint32_t of_byte[256];
  (void)zh_tokenizer_byte_tokens(of_byte, t, true);
  for (int i = 0; i < 256; i++)
    if (of_byte[i] != ZH_NO_TOKEN) tokens[of_byte[i]].type = ZH_TOKEN_BYTE;
  if (t->declared.unknown >= 0) tokens[t->declared.unknown].type = ZH_TOKEN_UNKNOWN;
}

zh_status zh_merges_to_gguf(bool *done, zh_conversion *c, const zh_tokenizer *t, bool prefix,
                            zh_error *err) {
  zh_converted_token *tokens;
  *done = false;
  zh_status status = take_tokens(&tokens, c, t, err);
  rank_range *ranges = calloc(t->vocab + 1u, sizeof *ranges);
  if (status == ZH_OK && ranges == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokens)");
  if (status == ZH_OK) mark_bytes(tokens, t);
  if (status == ZH_OK && score_by_merges(tokens, ranges, t)) {
    put_kind(c, "llama", "default", 7);
    zh_conversion_put_tokens(c, tokens, true);
    zh_put_bool(c, "tokenizer.ggml.add_space_prefix", prefix);
    zh_put_bool(c, "tokenizer.ggml.remove_extra_whitespaces", false);
    *done = true;
  }
  free(ranges);
  free(tokens);
  return status;
}

/* --- ranks --- */

/* Each byte's character in GPT-2's alphabet, of two bytes at most. */
typedef struct alphabet {
  uint32_t character[256];
} alphabet;

static alphabet make_alphabet(void) {
  alphabet a = {{0}};
  for (uint32_t at = 0; at <= 0x143; at++)
    if (zh_byte_of_character(at) >= 0) a.character[zh_byte_of_character(at)] = at;
  return a;
}

static void put_bytes(zh_text *out, const alphabet *a, const char *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    uint32_t c = a->character[(unsigned char)bytes[i]];
    if (c < 0x80)
      zh_text_append(out, &(char){(char)c}, 1);
    else
      zh_text_append(out, (char[]){(char)(0xc0 | c >> 6), (char)(0x80 | (c & 63))}, 2);
  }
}

/* The rank of these bytes, UINT32_MAX where they have none. */
static uint32_t rank_of(const zh_tokenizer *t, const char *bytes, uint32_t length) {
  uint32_t id = zh_text_find(&t->by_text, bytes, length);
  return id != ZH_NO_TOKEN && t->kinds[id] == ZH_TOKEN_NORMAL ? id : UINT32_MAX;
}

/* Merges a token's bytes by the ranks below its own; true where two parts are left, of which the
 * first ends at *cut. ends: room for one more than the token has bytes. */
static bool cut_token(uint32_t *cut, uint32_t *ends, const zh_tokenizer *t, uint32_t id) {
  const zh_slice *text = &t->texts[id];
  uint32_t count = text->length;
  for (uint32_t i = 0; i <= count; i++) ends[i] = i;
  while (count > 2) {
    uint32_t best = id, at = 0;
    for (uint32_t i = 0; i + 2 <= count; i++) {
      uint32_t rank = rank_of(t, text->bytes + ends[i], ends[i + 2] - ends[i]);
      if (rank < best) {
        best = rank;
        at = i + 1;
      }
    }
    if (at == 0) return false;
    memmove(&ends[at], &ends[at + 1], (count - at) * sizeof *ends);
    count--;
  }
  *cut = ends[1];
  return count == 2;
}

/* The merges, one for each token that is no single byte; *lost: tokens that none makes. */
static uint64_t put_merges(zh_text *out, uint64_t *lost, const zh_tokenizer *t, const alphabet *a,
                           uint32_t *ends) {
  uint64_t count = 0;
  for (uint32_t id = 0; id < t->vocab; id++) {
    const zh_slice *text = &t->texts[id];
    zh_text merge = {0};
    uint32_t cut;
    if (text->bytes == NULL || t->kinds[id] != ZH_TOKEN_NORMAL || text->length < 2) continue;
    if (!cut_token(&cut, ends, t, id)) {
      ++*lost;
      continue;
    }
    put_bytes(&merge, a, text->bytes, cut);
    zh_text_puts(&merge, " ");
    put_bytes(&merge, a, text->bytes + cut, text->length - cut);
    uint64_t length = merge.length;
    zh_text_append(out, (const char *)&length, sizeof length);
    zh_text_append(out, zh_text_string(&merge), merge.length);
    out->failed |= merge.failed;
    zh_text_free(&merge);
    count++;
  }
  return count;
}

/* Texts of ranks in the alphabet; they live in `words`, whose bytes move no more. */
static void spell_tokens(zh_converted_token *tokens, zh_text *words, const zh_tokenizer *t,
                         const alphabet *a) {
  for (uint32_t id = 0; id < t->vocab; id++) {
    size_t begin = words->length;
    if (tokens[id].type != ZH_TOKEN_NORMAL) continue;
    put_bytes(words, a, t->texts[id].bytes, t->texts[id].length);
    tokens[id].length = words->length - begin;
  }
  const char *at = zh_text_string(words);
  for (uint32_t id = 0; id < t->vocab && !words->failed; id++) {
    if (tokens[id].type != ZH_TOKEN_NORMAL) continue;
    tokens[id].text = at;
    at += tokens[id].length;
  }
}

static zh_status note_lost(zh_conversion *c, uint64_t lost, zh_error *err) {
  if (lost == 0) return ZH_OK;
  const char *sentence = zh_arena_printf(
      c->arena,
      "%llu tokens of the rank file are not made by merging two others: the GGUF file takes other "
      "tokens where a text is one of these",
      (unsigned long long)lost);
  if (sentence == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokens)");
  zh_conversion_add_note(c, sentence);
  return ZH_OK;
}

zh_status zh_ranks_to_gguf(zh_conversion *c, const zh_tokenizer *t, zh_error *err) {
  size_t length = 0;
  const char *pre = zh_pretokenizer_called(&length, &t->regex.bytes, 1, true);
  if (pre == NULL) pre = zh_pretokenizer_called(&length, &t->regex.bytes, 1, false);
  if (pre == NULL) {
    zh_conversion_without_tokenizer(c, "GGUF has no name for the pattern that cuts text for its "
                                       "rank file");
    return ZH_OK;
  }
  zh_converted_token *tokens = NULL;
  zh_text words = {0}, merges = {0};
  uint64_t lost = 0, count = 0;
  const alphabet letters = make_alphabet();
  uint32_t *ends = malloc((ZH_TOKEN_BYTES + 2) * sizeof *ends);
  zh_status status = ends != NULL ? take_tokens(&tokens, c, t, err)
                                  : zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokens)");
  if (status == ZH_OK) {
    spell_tokens(tokens, &words, t, &letters);
    count = put_merges(&merges, &lost, t, &letters, ends);
    c->values.failed |= words.failed || merges.failed;
    put_kind(c, "gpt2", pre, length);
    zh_conversion_put_tokens(c, tokens, false);
    zh_put_array(c, "tokenizer.ggml.merges", ZH_GGUF_STRING, count);
    zh_text_append(&c->values, zh_text_string(&merges), merges.length);
    if (t->normalizer.count > 0) zh_conversion_add_note(c, ZH_NOTE_NFC);
    status = note_lost(c, lost, err);
  }
  zh_text_free(&words);
  zh_text_free(&merges);
  free(tokens);
  free(ends);
  return status;
}
