/* tiktoken's rank files: a token's bytes in base64 and its rank, which is its id, on each line.
 * Pairs merge where their bytes together have a rank, the lowest first. */
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "model/tokenizer/folder.h"
#include "model/tokenizer/tokenizer.h"

enum { TOKEN_MOST = 1024 };

typedef struct line {
  size_t number, bytes; /* bytes: of the token */
  const char *base64;
  size_t length;
  uint64_t rank;
} line;

/* The next line, from *at. False at the end. */
static bool next_line(line *out, bool *broken, const char **at, const char *end) {
  while (*at < end && (**at == '\n' || **at == '\r')) (*at)++;
  if (*at == end) return false;
  const char *stop = memchr(*at, '\n', (size_t)(end - *at));
  if (stop == NULL) stop = end;
  const char *space = memchr(*at, ' ', (size_t)(stop - *at));
  out->number++;
  out->base64 = *at;
  out->length = space != NULL ? (size_t)(space - *at) : 0;
  out->rank = 0;
  size_t padding = 0, digits = 0;
  while (padding < 2 && padding < out->length && out->base64[out->length - 1 - padding] == '=')
    padding++;
  out->bytes = out->length / 4 * 3 - padding;
  for (const char *c = space != NULL ? space + 1 : stop; c < stop && *c != '\r'; c++, digits++) {
    if (*c < '0' || *c > '9' || digits > 9) *broken = true;
    out->rank = 10 * out->rank + (uint64_t)(*c - '0');
  }
  if (digits == 0 || out->length == 0 || out->length % 4 != 0 || out->bytes > TOKEN_MOST)
    *broken = true;
  *at = stop;
  return !*broken;
}

static zh_status no_ranks(size_t number, zh_error *err) {
  return zh_fail(err, ZH_ERR_INPUT,
                 "line %zu is not a token's bytes (at most %d) in base64, a space and its rank",
                 number, TOKEN_MOST);
}

static zh_status count_ranks(uint32_t *out, const char *text, size_t length, zh_error *err) {
  line l = {0};
  bool broken = false;
  uint64_t count = 0;
  for (const char *at = text; next_line(&l, &broken, &at, text + length);)
    if (l.rank >= count) count = l.rank + 1;
  if (broken || l.number == 0) return no_ranks(l.number, err);
  if (count > 4 * l.number + 65536)
    return zh_fail(err, ZH_ERR_INPUT, "a rank is %llu, though the file has %zu lines",
                   (unsigned long long)count - 1, l.number);
  *out = (uint32_t)count;
  return ZH_OK;
}

/* Base64 by a text of its own: the decoder wants its end. */
static zh_status read_ranks(zh_tokenizer *t, const char *text, size_t length, zh_error *err) {
  char base64[TOKEN_MOST / 3 * 4 + 16], bytes[TOKEN_MOST + 8];
  line l = {0};
  bool broken = false;
  for (const char *at = text; next_line(&l, &broken, &at, text + length);) {
    if (l.length >= sizeof base64) return no_ranks(l.number, err);
    memcpy(base64, l.base64, l.length);
    base64[l.length] = '\0';
    if (!zh_base64_decode(bytes, l.bytes, base64)) return no_ranks(l.number, err);
    if (t->texts[l.rank].bytes != NULL)
      return zh_fail(err, ZH_ERR_INPUT, "line %zu: rank %llu stands twice", l.number,
                     (unsigned long long)l.rank);
    t->texts[l.rank] = t->pieces[l.rank] = zh_tokenizer_keep(t, bytes, l.bytes);
    if (t->texts[l.rank].bytes == NULL) return zh_tokenizer_no_memory(err);
    t->kinds[l.rank] = ZH_TOKEN_NORMAL;
  }
  return ZH_OK;
}

static zh_status make_merges(zh_tokenizer *t, zh_error *err) {
  zh_bpe_symbols symbols;
  uint32_t *ranks = malloc((t->vocab + 1u) * sizeof *ranks);
  if (ranks == NULL) return zh_tokenizer_no_memory(err);
  for (uint32_t id = 0; id < t->vocab; id++) ranks[id] = id;
  zh_tokenizer_symbols(&symbols, t);
  symbols.whole_pieces = true;
  zh_status status = zh_bpe_create_ranked(&t->bpe, &symbols, ranks, err);
  free(ranks);
  return status;
}

zh_status zh_tokenizer_from_ranks(zh_tokenizer *t, const char *text, size_t length,
                                  const char *regex, const json_t *config, zh_error *err) {
  uint32_t count, vocab;
  ZH_TRY(count_ranks(&count, text, length, err));
  ZH_TRY(zh_folder_vocab(&vocab, count, config, err));
  ZH_TRY(zh_tokenizer_expect(t, vocab, err));
  ZH_TRY(zh_pretokenizer_add(&t->pretokenizer, regex, err));
  t->regex = zh_tokenizer_keep(t, regex, strlen(regex));
  if (t->regex.bytes == NULL) return zh_tokenizer_no_memory(err);
  ZH_TRY(read_ranks(t, text, length, err));
  t->byte_level = true;
  ZH_TRY(make_merges(t, err));
  ZH_TRY(zh_folder_put_added(t, config, err));
  ZH_TRY(zh_tokenizer_index(t, err));
  return zh_folder_find_added(t, config, err);
}
