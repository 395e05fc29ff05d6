/* Pre-tokenizers by the name in `tokenizer.ggml.pre`. Each is a chain of patterns: a pattern cuts
 * every piece into its matches and what lies between them, and the next one goes over those. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/room.h"

enum { PATTERNS_MAX = 4 };

/* White space is Unicode's property: PCRE2's \s would count U+180E too, which published tokenizers
 * do not. */
#define SPACE "\\p{White_Space}"
#define NOT_SPACE "\\P{White_Space}"
#define TAIL SPACE "+(?!" NOT_SPACE ")|" SPACE "+"

#define GPT2_WORDS "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|" TAIL
/* The four of GPT-4's kind differ in how many digits stay together. */
#define GPT4_WORDS(digits)                                                                         \
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^" SPACE               \
  "\\p{L}\\p{N}]+[\\r\\n]*|" SPACE "*[\\r\\n]+|" TAIL

/* Sources: the tokenizer.json of GPT-2, SmolLM2, Llama 3 and Qwen2; "default" as llama.cpp's
 * llama-vocab.cpp has it for files that name no pre-tokenizer. */
static const struct {
  const char *name;
  bool whole_words;
  const char *patterns[PATTERNS_MAX];
} table[] = {
    {"gpt-2", false, {GPT2_WORDS}},
    {"smollm", false, {"\\p{N}", GPT2_WORDS}},
    {"llama-bpe", true, {GPT4_WORDS("\\p{N}{1,3}")}},
    {"qwen2", false, {GPT4_WORDS("\\p{N}")}},
    {"default", false, {"[\\p{P}$+<=>^~|]+", GPT2_WORDS, "\\p{N}+", "[0-9][0-9][0-9]"}},
};
enum { TABLE_ROWS = sizeof table / sizeof table[0] };

struct zh_pretokenizer {
  pcre2_code *patterns[PATTERNS_MAX];
  int count;
};

static zh_status compile(pcre2_code **out, const char *pattern, zh_error *err) {
  int code;
  PCRE2_SIZE at;
  *out = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code,
                       &at, NULL);
  if (*out == NULL) {
    char words[128];
    pcre2_get_error_message(code, (PCRE2_UCHAR *)words, sizeof words);
    return zh_fail(err, ZH_ERR_LACKING, "PCRE2 cannot compile a pre-tokenizer (%s)", words);
  }
  /* Where the system forbids code made at run time, PCRE2 interprets instead. */
  (void)pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE);
  return ZH_OK;
}

static zh_status unknown(const char *name, zh_error *err) {
  char known[128] = "";
  for (size_t i = 0, length = 0; i < TABLE_ROWS; i++)
    length += (size_t)snprintf(known + length, sizeof known - length, "%s%s", i == 0 ? "" : ", ",
                               table[i].name);
  return zh_fail(err, ZH_ERR_INPUT,
                 "the pre-tokenizer '%s' is not supported yet; this version has %s", name, known);
}

zh_status zh_pretokenizer_create(zh_pretokenizer **out, bool *whole_words, const char *name,
                                 zh_error *err) {
  size_t row = 0;
  while (row < TABLE_ROWS && strcmp(table[row].name, name) != 0) row++;
  if (row == TABLE_ROWS) return unknown(name, err);
  *whole_words = table[row].whole_words;
  zh_pretokenizer *made = calloc(1, sizeof *made);
  if (made == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (pre-tokenizer)");
  zh_status status = ZH_OK;
  for (int i = 0; status == ZH_OK && i < PATTERNS_MAX && table[row].patterns[i] != NULL; i++) {
    status = compile(&made->patterns[i], table[row].patterns[i], err);
    made->count = i + 1;
  }
  if (status != ZH_OK) {
    zh_pretokenizer_free(made);
    return status;
  }
  *out = made;
  return ZH_OK;
}

void zh_pretokenizer_free(zh_pretokenizer *pretokenizer) {
  if (pretokenizer == NULL) return;
  for (int i = 0; i < pretokenizer->count; i++) pcre2_code_free(pretokenizer->patterns[i]);
  free(pretokenizer);
}

typedef struct splitter {
  const zh_pretokenizer *chain;
  pcre2_match_data *match;
  zh_piece_visit visit;
  void *user;
} splitter;

/* Each piece is a text of its own: a pattern sees neither the character before it nor the one
 * after. */
static zh_status split(const splitter *s, int level, const char *text, size_t length,
                       zh_error *err) {
  if (length == 0) return ZH_OK;
  if (level == s->chain->count) return s->visit(s->user, text, length, err);
  size_t done = 0;
  while (done < length) {
    int found = pcre2_match(s->chain->patterns[level], (PCRE2_SPTR)text, length, done,
                            PCRE2_NO_UTF_CHECK, s->match, NULL);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0)
      return zh_fail(err, ZH_ERR_INPUT, "the text cannot be split into words (PCRE2 error %d)",
                     found);
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(s->match);
    size_t begin = span[0], end = span[1]; /* the next level writes over the vector */
    ZH_TRY(split(s, level + 1, text + done, begin - done, err));
    ZH_TRY(split(s, level + 1, text + begin, end - begin, err));
    done = end;
  }
  return split(s, level + 1, text + done, length - done, err);
}

zh_status zh_pretokenize(const zh_pretokenizer *pretokenizer, const char *text, size_t length,
                         zh_piece_visit visit, void *user, zh_error *err) {
  splitter s = {pretokenizer, pcre2_match_data_create(1, NULL), visit, user};
  if (s.match == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (pre-tokenizer)");
  zh_status status = split(&s, 0, text, length, err);
  pcre2_match_data_free(s.match);
  return status;
}
