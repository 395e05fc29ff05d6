/* Splitters written by hand for the patterns that published tokenizers use; patterns.c says which
 * belongs to which. Each finds the first match at or after `from` of a valid text. */
#ifndef ZH_MODEL_TOKENIZER_WORDS_H
#define ZH_MODEL_TOKENIZER_WORDS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct zh_span {
  size_t begin, end;
} zh_span;
typedef bool (*zh_find_word)(zh_span *out, const char *text, size_t length, size_t from);

/* These match everywhere, so that their matches cover the text. */
bool zh_find_gpt2(zh_span *out, const char *text, size_t length, size_t from);
bool zh_find_gpt4_digit(zh_span *out, const char *text, size_t length, size_t from);  /* \p{N} */
bool zh_find_gpt4_three(zh_span *out, const char *text, size_t length, size_t from);  /* {1,3} */
bool zh_find_gpt4_digits(zh_span *out, const char *text, size_t length, size_t from); /* + */
bool zh_find_qwen35(zh_span *out, const char *text, size_t length, size_t from);
bool zh_find_o200k(zh_span *out, const char *text, size_t length, size_t from);
bool zh_find_tekken(zh_span *out, const char *text, size_t length, size_t from);

bool zh_find_deepseek3(zh_span *out, const char *text, size_t length, size_t from);
bool zh_find_digit(zh_span *out, const char *text, size_t length, size_t from);
bool zh_find_three_digits(zh_span *out, const char *text, size_t length, size_t from);
bool zh_find_digits(zh_span *out, const char *text, size_t length, size_t from);
bool zh_find_cjk_kana(zh_span *out, const char *text, size_t length, size_t from);
bool zh_find_cjk_wide(zh_span *out, const char *text, size_t length, size_t from);
bool zh_find_newline(zh_span *out, const char *text, size_t length, size_t from);
bool zh_find_space_letters(zh_span *out, const char *text, size_t length, size_t from);
bool zh_find_space_punctuation(zh_span *out, const char *text, size_t length, size_t from);
bool zh_find_no_space(zh_span *out, const char *text, size_t length, size_t from); /* \S+ */

#endif
