/* Pre-tokenizers by the name in `tokenizer.ggml.pre`. Sources: the makers' tokenizer.json; the
 * names, and "default" for files that name none, are those that llama.cpp's converter writes. */
#include <stdio.h>
#include <string.h>

#include "model/tokenizer/pretokenizer.h"
#include "model/tokenizer/published.h"

static const struct {
  const char *names; /* the first is the one that people are told */
  zh_pretokenizer_facts facts;
  const char *patterns[ZH_PRETOKENIZER_PATTERNS];
} table[] = {
    {" gpt-2 phi-2 olmo jais mpt exaone4 jina-es jina-de jina-v2-es jina-v2-de gigachat ",
     {false, false},
     {ZH_GPT2_WORDS}},
    {" smollm starcoder refact command-r codeshell exaone minerva-7b ",
     {false, false},
     {"\\p{N}", ZH_GPT2_WORDS}},
    {" llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral lfm2 ",
     {true, true},
     {ZH_GPT4_WORDS("\\p{N}{1,3}")}},
    {" chatglm-bpe glm4 ", {false, false}, {ZH_GPT4_WORDS("\\p{N}{1,3}")}},
    {" dbrx smaug-bpe ", {false, false}, {ZH_GPT4_WORDS("\\p{N}{1,3}")}},
    {" qwen2 deepseek-r1-qwen stablelm2 hunyuan megrez solar-open grok-2 ",
     {false, false},
     {ZH_GPT4_WORDS("\\p{N}")}},
    {" qwen35 ", {false, false}, {ZH_QWEN35_WORDS}},
    {" deepseek-llm ",
     {false, false},
     {"[\\r\\n]", "\\s?[" ZH_CASED_LETTERS "]+", "\\s?" ZH_DEEPSEEK_SIGNS, "\\s+$", ZH_CJK_WIDE,
      "\\p{N}"}},
    {" deepseek-coder ",
     {false, false},
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", ZH_CJK_WIDE, "\\p{N}"}},
    {" deepseek-v3 hunyuan-dense joyai-llm ",
     {false, false},
     {"\\p{N}{1,3}", ZH_CJK_KANA, ZH_DEEPSEEK3_WORDS}},
    {" gpt-4o minimax-m2 ", {false, false}, {ZH_O200K_WORDS}},
    {" llama4 ", {true, false}, {ZH_O200K_WORDS}},
    {" tekken ", {true, true}, {ZH_TEKKEN_WORDS}},
    {" minicpm5 ", {false, false}, {"\\p{N}{1,3}", ZH_GPT4_WORDS("\\p{N}+")}},
    {" default ",
     {false, false},
     {"[\\p{P}$+<=>^~|]+", ZH_GPT2_WORDS, "\\p{N}+", "[0-9][0-9][0-9]"}},
};
enum { TABLE_ROWS = sizeof table / sizeof table[0] };

static size_t row_of(const char *name) {
  char wanted[72];
  size_t row = 0;
  if (strchr(name, ' ') != NULL ||
      snprintf(wanted, sizeof wanted, " %s ", name) >= (int)sizeof wanted)
    return TABLE_ROWS;
  while (row < TABLE_ROWS && strstr(table[row].names, wanted) == NULL) row++;
  return row;
}

static zh_status unknown(const char *name, zh_error *err) {
  char known[256] = "";
  for (size_t i = 0, length = 0; i < TABLE_ROWS; i++) {
    const char *first = table[i].names + 1;
    length += (size_t)snprintf(known + length, sizeof known - length, "%s%.*s", i == 0 ? "" : ", ",
                               (int)strcspn(first, " "), first);
  }
  return zh_fail(err, ZH_ERR_INPUT,
                 "the pre-tokenizer '%s' is not supported yet; this version has %s", name, known);
}

bool zh_pretokenizer_known(zh_pretokenizer_facts *facts, const char *name) {
  size_t row = row_of(name);
  if (row < TABLE_ROWS) *facts = table[row].facts;
  return row < TABLE_ROWS;
}

const char *const *zh_pretokenizer_patterns(const char *name) {
  size_t row = row_of(name);
  return row < TABLE_ROWS ? table[row].patterns : NULL;
}

static bool has_patterns(size_t row, const char *const *patterns, int count) {
  for (int i = 0; i < count; i++)
    if (table[row].patterns[i] == NULL || strcmp(table[row].patterns[i], patterns[i]) != 0)
      return false;
  return count == ZH_PRETOKENIZER_PATTERNS || table[row].patterns[count] == NULL;
}

const char *zh_pretokenizer_called(size_t *length, const char *const *patterns, int count,
                                   bool whole_pieces) {
  for (size_t row = 0; row < TABLE_ROWS; row++)
    if (table[row].facts.whole_pieces == whole_pieces && has_patterns(row, patterns, count)) {
      *length = strcspn(table[row].names + 1, " ");
      return table[row].names + 1;
    }
  return NULL;
}

zh_status zh_pretokenizer_by_name(zh_pretokenizer *out, zh_pretokenizer_facts *facts,
                                  const char *name, zh_error *err) {
  size_t row = row_of(name);
  if (row == TABLE_ROWS) return unknown(name, err);
  *facts = table[row].facts;
  for (int i = 0; i < ZH_PRETOKENIZER_PATTERNS && table[row].patterns[i] != NULL; i++)
    ZH_TRY(zh_pretokenizer_add(out, table[row].patterns[i], err));
  return ZH_OK;
}
