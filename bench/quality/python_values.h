/* What Python makes of values, where task files and their results are Python's: literals, str(),
 * json.dumps(), str.isspace(). Values are JSON; tuples are lists. */
#ifndef ZH_BENCH_QUALITY_PYTHON_VALUES_H
#define ZH_BENCH_QUALITY_PYTHON_VALUES_H

#include <stdbool.h>
#include <stddef.h>

#include "core/json.h"
#include "core/text.h"

/* ast.literal_eval: texts, numbers, True, False, None, lists, tuples, dictionaries with texts as
 * keys. NULL where the text is none of these (or a whole number beyond 64 bits). New reference. */
json_t *zh_python_literal(const char *text, size_t length);
/* str(value); the caller frees. */
ZH_MUST_CHECK zh_status zh_python_str(char **out, size_t *length, const json_t *value,
                                      zh_error *err);
/* json.dumps(value, ensure_ascii=False), on one line or indented by two; the caller frees. */
ZH_MUST_CHECK zh_status zh_python_dumps(char **out, size_t *length, const json_t *value,
                                        bool indented, zh_error *err);
/* text.lower(), text.upper(): letters whose other case is several letters stay. New reference. */
ZH_MUST_CHECK zh_status zh_python_case(json_t **out, const json_t *text, bool upper, zh_error *err);
/* text.capitalize(); text.isupper(), text.islower(). */
ZH_MUST_CHECK zh_status zh_python_capitalize(json_t **out, const json_t *text, zh_error *err);
ZH_MUST_CHECK zh_status zh_python_is_case(bool *out, const json_t *text, bool upper, zh_error *err);
/* text.isdigit(), for ASCII. */
bool zh_python_isdigit(const char *text, size_t length);
/* Whether the text begins, ends with a character of str.isspace(). */
bool zh_python_space_first(const char *text, size_t length);
bool zh_python_space_last(const char *text, size_t length);
/* Bytes that are left by rstrip(), and those that lstrip() takes. */
size_t zh_python_rstrip(const char *text, size_t length);
size_t zh_python_lstrip(const char *text, size_t length);
/* text.strip(): moves both ends. */
void zh_python_strip(const char **text, size_t *length);
/* len(re.split(r"\s+", text)) */
size_t zh_python_pieces(const char *text, size_t length);
/* The next of text.split(), and the text behind it; false: there is none. */
bool zh_python_word(const char **word, size_t *size, const char **text, size_t *length);
size_t zh_code_points(const char *text, size_t length);

#endif
