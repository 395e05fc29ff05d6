/* Tokens to text, and what people ask of a vocabulary. */
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/tokenizer.h"

/* A token in bytes; one with a character outside the alphabet is taken as it is written. */
static void append_alphabet(zh_text *out, const zh_slice *token) {
  size_t start = out->length;
  for (uint32_t i = 0; i < token->length;) {
    uint32_t character = 0;
    int step = zh_utf8_decode(&character, token->bytes + i, token->length - i);
    int byte = step > 0 ? zh_byte_of_character(character) : -1;
    if (byte < 0) {
      if (!out->failed && out->data != NULL) out->length = start;
      zh_text_append(out, token->bytes, token->length);
      return;
    }
    zh_text_append(out, &(char){(char)byte}, 1);
    i += (uint32_t)step;
  }
}

static int hex(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "<0x0A>": the byte, else -1. */
static int byte_of(const zh_slice *token) {
  if (token->length != 6 || memcmp(token->bytes, "<0x", 3) != 0 || token->bytes[5] != '>')
    return -1;
  int high = hex(token->bytes[3]), low = hex(token->bytes[4]);
  return high < 0 || low < 0 ? -1 : 16 * high + low;
}

static void append_replaced(zh_text *out, const zh_decoding *d, const zh_slice *token, bool first) {
  const char *text = token->bytes, *end = text + token->length;
  while (d->wanted.length > 0) {
    const char *found = memmem(text, (size_t)(end - text), d->wanted.bytes, d->wanted.length);
    if (found == NULL) break;
    zh_text_append(out, text, (size_t)(found - text));
    if (!first || !d->first_token_only)
      zh_text_append(out, d->replacement.bytes, d->replacement.length);
    text = found + d->wanted.length;
  }
  zh_text_append(out, text, (size_t)(end - text));
}

static void append_token(zh_text *out, const zh_tokenizer *t, uint32_t id, bool first) {
  const zh_decoding *d = &t->decoding;
  const zh_slice *token = t->shown != NULL ? &t->shown[id] : &t->texts[id];
  bool literal =
      d->literal && (t->kinds[id] == ZH_TOKEN_CONTROL || t->kinds[id] == ZH_TOKEN_USER_DEFINED);
  int byte = d->byte_fallback ? byte_of(token) : -1;
  if (token->bytes == NULL) return;
  if (!first && d->spaced) zh_text_append(out, " ", 1);
  if (d->alphabet && literal)
    zh_text_append(out, token->bytes, token->length);
  else if (d->alphabet)
    append_alphabet(out, token);
  else if (byte >= 0)
    zh_text_append(out, &(char){(char)byte}, 1);
  else
    append_replaced(out, d, token, first);
}

/* What a dummy prefix put there is taken off again. */
static size_t cut_length(const zh_decoding *d, const zh_text *text) {
  size_t at = 0;
  for (unsigned i = 0; i < d->cut_most && d->cut.length > 0; i++) {
    if (text->failed || text->length - at < d->cut.length ||
        memcmp(text->data + at, d->cut.bytes, d->cut.length) != 0)
      break;
    at += d->cut.length;
  }
  return at;
}

zh_status zh_detokenize(char **text, size_t *length, const zh_tokenizer *t, const uint32_t *tokens,
                        size_t count, zh_error *err) {
  zh_text out = {0};
  for (size_t i = 0; i < count; i++) {
    if (tokens[i] >= t->vocab) {
      zh_text_free(&out);
      return zh_fail(err, ZH_ERR_INPUT, "token %u is outside the vocabulary of %u", tokens[i],
                     t->vocab);
    }
    append_token(&out, t, tokens[i], i == 0);
  }
  size_t cut = cut_length(&t->decoding, &out);
  char *copy = out.failed ? NULL : malloc(out.length - cut + 1);
  if (copy != NULL) memcpy(copy, zh_text_string(&out) + cut, out.length - cut + 1);
  *length = out.length - cut;
  *text = copy;
  zh_text_free(&out);
  return copy != NULL ? ZH_OK : zh_tokenizer_no_memory(err);
}

uint32_t zh_tokenizer_vocab(const zh_tokenizer *t) {
  return t->vocab;
}

zh_special_tokens zh_tokenizer_special(const zh_tokenizer *t) {
  return t->declared;
}

bool zh_tokenizer_token_text(const char **text, size_t *length, const zh_tokenizer *t, int64_t id) {
  if (id < 0 || id >= t->vocab || t->texts[id].bytes == NULL) return false;
  *text = t->texts[id].bytes;
  *length = t->texts[id].length;
  return true;
}

int64_t zh_tokenizer_find(const zh_tokenizer *t, const char *text, size_t length) {
  uint32_t id = zh_text_find(&t->by_text, text, length);
  return id != ZH_NO_TOKEN ? (int64_t)id : -1;
}
