/* Instructions about the form of an answer: parts, marks, beginnings and ends. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/instructions.h"
#include "bench/quality/python_values.h"
#include "core/regex.h"

/* A piece of a text, without blanks around it. */
typedef struct piece {
  const char *text;
  size_t length;
} piece;

static piece stripped(const char *text, size_t length) {
  piece p = {text, length};
  zh_python_strip(&p.text, &p.length);
  return p;
}

/* What Python's strip(sign) leaves; ends: 1 the beginning, 2 the end, 3 both. */
static piece without(piece p, char sign, int ends) {
  while ((ends & 1) && p.length > 0 && *p.text == sign) p.text++, p.length--;
  while ((ends & 2) && p.length > 0 && p.text[p.length - 1] == sign) p.length--;
  return p;
}

static bool begins_with(piece p, const char *word) {
  return p.length >= strlen(word) && memcmp(p.text, word, strlen(word)) == 0;
}

static bool ends_in(piece p, const char *word) {
  size_t size = strlen(word);
  return p.length >= size && memcmp(p.text + p.length - size, word, size) == 0;
}

typedef bool (*part_test)(piece part, void *user);

/* Each part between matches of the pattern; false of the test ends it. */
static zh_status split(const zh_instruction *i, const char *pattern, part_test test, void *user) {
  zh_regex *regex;
  zh_regex_span spans[ZH_REGEX_GROUPS];
  zh_regex_walk walk = {0};
  bool found = true;
  size_t done = 0;
  ZH_TRY(zh_regex_compile(&regex, pattern, strlen(pattern), false, i->err));
  zh_status status = ZH_OK;
  while (status == ZH_OK && found) {
    status = zh_regex_next(&found, spans, &walk, regex, i->text, i->length, i->err);
    size_t end = status == ZH_OK && found ? spans[0].begin : i->length;
    if (status != ZH_OK || !test((piece){i->text + done, end - done}, user)) break;
    if (found) done = spans[0].end;
  }
  zh_regex_free(regex);
  return status;
}

/* ---- parts ---- */

typedef struct parts {
  size_t count, blank, wanted; /* wanted: from 1; 0: none */
  bool blank_within, last_blank;
  piece first, last, chosen; /* first and last: that are not blank */
} parts;

static bool note_part(piece part, void *user) {
  parts *p = user;
  piece bare = stripped(part.text, part.length);
  bool blank = bare.length == 0;
  p->blank_within |= p->last_blank && p->count > 1; /* a blank one that another follows */
  p->last_blank = blank;
  p->blank += blank;
  if (!blank && !p->first.text) p->first = bare;
  if (!blank) p->last = bare;
  if (++p->count == p->wanted) p->chosen = bare;
  return true;
}

/* Parts between "***"; blank ones count only at the beginning and the end, where they are none. */
static zh_status number_paragraphs(bool *out, const zh_instruction *i) {
  parts p = {0};
  size_t wanted;
  ZH_TRY(zh_instruction_number(&wanted, i, "num_paragraphs"));
  ZH_TRY(split(i, "\\s?\\*\\*\\*\\s?", note_part, &p));
  *out = !p.blank_within && p.count - p.blank == wanted;
  return ZH_OK;
}

static zh_status two_responses(bool *out, const zh_instruction *i) {
  parts p = {0};
  ZH_TRY(split(i, "\\*{6}", note_part, &p));
  *out =
      !p.blank_within && p.count - p.blank == 2 &&
      !(p.first.length == p.last.length && memcmp(p.first.text, p.last.text, p.first.length) == 0);
  return ZH_OK;
}

/* The first word up to a sign, without quotes before it. */
static piece first_word(piece paragraph) {
  const char *word, *at = paragraph.text;
  size_t size, left = paragraph.length, end = 0;
  if (!zh_python_word(&word, &size, &at, &left)) return (piece){0};
  piece p = without(without((piece){word, size}, '\'', 1), '"', 1);
  while (end < p.length && p.text[end] != 0 && !strchr(".,?!'\"", p.text[end])) end++;
  p.length = end;
  return p;
}

static zh_status same_letters(bool *out, piece a, const char *b, const zh_instruction *i) {
  json_t *texts[2] = {json_stringn(a.text ? a.text : "", a.length), json_string(b)},
         *lower[2] = {NULL, NULL};
  zh_status status = texts[0] && texts[1] ? ZH_OK : zh_fail(i->err, ZH_ERR_MEMORY, "out of memory");
  for (int k = 0; k < 2 && status == ZH_OK; k++)
    status = zh_python_case(&lower[k], texts[k], false, i->err);
  *out = status == ZH_OK && json_equal(lower[0], lower[1]);
  for (int k = 0; k < 2; k++) json_decref(texts[k]), json_decref(lower[k]);
  return status;
}

static zh_status nth_paragraph_first_word(bool *out, const zh_instruction *i) {
  parts p = {0};
  const char *word;
  size_t wanted;
  ZH_TRY(zh_instruction_number(&wanted, i, "num_paragraphs"));
  ZH_TRY(zh_instruction_number(&p.wanted, i, "nth_paragraph"));
  ZH_TRY(zh_instruction_word(&word, i, "first_word"));
  if (p.wanted > wanted)
    return zh_fail(i->err, ZH_ERR_INPUT, "its 'nth_paragraph' is beyond its 'num_paragraphs'");
  ZH_TRY(split(i, "\n\n", note_part, &p));
  size_t count = p.count - p.blank;
  *out = false;
  if (p.wanted > count || p.chosen.length == 0 || count != wanted) return ZH_OK;
  return same_letters(out, first_word(p.chosen), word, i);
}

static bool count_part(piece part, void *user) {
  (void)part;
  ++*(size_t *)user;
  return true;
}

static zh_status multiple_sections(bool *out, const zh_instruction *i) {
  const char *word;
  size_t wanted, count = 0;
  ZH_TRY(zh_instruction_number(&wanted, i, "num_sections"));
  ZH_TRY(zh_instruction_word(&word, i, "section_spliter"));
  piece p = stripped(word, strlen(word));
  zh_text pattern = {0};
  zh_text_printf(&pattern, "\\s?%.*s\\s?\\d+\\s?", (int)p.length, p.text);
  zh_status status = split(i, zh_text_string(&pattern), count_part, &count);
  zh_text_free(&pattern);
  *out = count > wanted;
  return status;
}

/* ---- marks ---- */

static zh_status number_placeholders(bool *out, const zh_instruction *i) {
  size_t wanted, count;
  ZH_TRY(zh_instruction_number(&wanted, i, "num_placeholders"));
  ZH_TRY(zh_instruction_matches(&count, i, "\\[.*?\\]", false));
  *out = count >= wanted;
  return ZH_OK;
}

static zh_status number_bullets(bool *out, const zh_instruction *i) {
  size_t wanted, stars, dashes;
  ZH_TRY(zh_instruction_number(&wanted, i, "num_bullets"));
  ZH_TRY(zh_instruction_matches(&stars, i, "(?m)^\\s*\\*[^\\*].*$", false));
  ZH_TRY(zh_instruction_matches(&dashes, i, "(?m)^\\s*-.*$", false));
  *out = stars + dashes == wanted;
  return ZH_OK;
}

/* How many matches are more than the signs around them. */
static zh_status count_filled(size_t *count, const zh_instruction *i, const char *pattern,
                              piece (*inner)(piece match)) {
  zh_regex *regex;
  zh_regex_span spans[ZH_REGEX_GROUPS];
  zh_regex_walk walk = {0};
  bool found = true;
  ZH_TRY(zh_regex_compile(&regex, pattern, strlen(pattern), false, i->err));
  zh_status status = ZH_OK;
  while (status == ZH_OK) {
    status = zh_regex_next(&found, spans, &walk, regex, i->text, i->length, i->err);
    if (status != ZH_OK || !found) break;
    piece p = inner((piece){i->text + spans[0].begin, spans[0].end - spans[0].begin});
    *count += stripped(p.text, p.length).length > 0;
  }
  zh_regex_free(regex);
  return status;
}

static piece between_stars(piece p) {
  return without(p, '*', 3);
}

static piece between_pairs(piece p) {
  if (begins_with(p, "**")) p.text += 2, p.length -= 2;
  if (ends_in(p, "**")) p.length -= 2;
  return p;
}

static piece between_angles(piece p) {
  return without(without(p, '<', 1), '>', 2);
}

static zh_status number_highlights(bool *out, const zh_instruction *i) {
  size_t wanted, count = 0;
  ZH_TRY(zh_instruction_number(&wanted, i, "num_highlights"));
  ZH_TRY(count_filled(&count, i, "\\*[^\\n\\*]*\\*", between_stars));
  ZH_TRY(count_filled(&count, i, "\\*\\*[^\\n\\*]*\\*\\*", between_pairs));
  *out = count >= wanted;
  return ZH_OK;
}

static zh_status has_title(bool *out, const zh_instruction *i) {
  size_t count = 0;
  ZH_TRY(count_filled(&count, i, "<<[^\\n]+>>", between_angles));
  *out = count > 0;
  return ZH_OK;
}

static zh_status no_comma(bool *out, const zh_instruction *i) {
  *out = strchr(i->text, ',') == NULL;
  return ZH_OK;
}

/* ---- beginnings and ends ---- */

/* The answer in small letters; the caller drops it. */
static zh_status lowered(zh_instruction *out, json_t **held, const zh_instruction *i) {
  ZH_TRY(zh_python_case(held, i->answer, false, i->err));
  *out = *i;
  out->answer = *held;
  out->text = json_string_value(*held);
  out->length = json_string_length(*held);
  return ZH_OK;
}

static zh_status has_postscript(bool *out, const zh_instruction *i) {
  const char *word;
  json_t *lower, *marker = NULL;
  zh_instruction small;
  zh_text pattern = {0};
  size_t count = 0;
  ZH_TRY(zh_instruction_word(&word, i, "postscript_marker"));
  piece p = stripped(word, strlen(word));
  bool twice = p.length == 5 && memcmp(p.text, "P.P.S", 5) == 0,
       once = p.length == 4 && memcmp(p.text, "P.S.", 4) == 0;
  ZH_TRY(lowered(&small, &lower, i));
  json_t *plain = json_stringn(p.text, p.length);
  zh_status status = plain ? zh_python_case(&marker, plain, false, i->err)
                           : zh_fail(i->err, ZH_ERR_MEMORY, "out of memory");
  zh_text_puts(&pattern, "(?m)\\s*");
  if (status == ZH_OK && !twice && !once) zh_text_puts(&pattern, json_string_value(marker));
  if (twice) zh_text_puts(&pattern, "p\\.\\s?p\\.\\s?s");
  if (once) zh_text_puts(&pattern, "p\\.\\s?s\\.");
  zh_text_puts(&pattern, ".*$");
  if (status == ZH_OK)
    status = zh_instruction_matches(&count, &small, zh_text_string(&pattern), false);
  *out = count > 0;
  zh_text_free(&pattern);
  json_decref(plain);
  json_decref(marker);
  json_decref(lower);
  return status;
}

/* Whether the answer, without blanks and the sign around it, has a text at one of its ends. */
static zh_status has_at_end(bool *out, const zh_instruction *i, const char *key, bool last,
                            char sign) {
  const char *word;
  json_t *lower, *wanted;
  zh_instruction small;
  ZH_TRY(zh_instruction_word(&word, i, key));
  ZH_TRY(lowered(&small, &lower, i));
  zh_status status = zh_python_case(&wanted, json_object_get(i->kwargs, key), false, i->err);
  if (status == ZH_OK) {
    piece all = stripped(small.text, small.length),
          p = stripped(json_string_value(wanted), json_string_length(wanted));
    if (sign) all = without(all, sign, 3);
    *out = p.length <= all.length &&
           memcmp(last ? all.text + all.length - p.length : all.text, p.text, p.length) == 0;
    json_decref(wanted);
  }
  json_decref(lower);
  return status;
}

static zh_status ends_in_phrase(bool *out, const zh_instruction *i) {
  return has_at_end(out, i, "end_phrase", true, '"');
}

static zh_status repeats_prompt(bool *out, const zh_instruction *i) {
  return has_at_end(out, i, "prompt_to_repeat", false, 0);
}

static zh_status is_quoted(bool *out, const zh_instruction *i) {
  piece p = stripped(i->text, i->length);
  *out = p.length > 1 && p.text[0] == '"' && p.text[p.length - 1] == '"';
  return ZH_OK;
}

static zh_status constrained_response(bool *out, const zh_instruction *i) {
  *out = strstr(i->text, "My answer is yes.") || strstr(i->text, "My answer is no.") ||
         strstr(i->text, "My answer is maybe.");
  return ZH_OK;
}

/* JSON as Python reads it, in a fence of ``` or bare. */
static zh_status is_json(bool *out, const zh_instruction *i) {
  static const char *const fences[] = {"```json", "```Json", "```JSON", "```"};
  piece p = stripped(i->text, i->length);
  for (size_t k = 0; k < sizeof fences / sizeof fences[0]; k++)
    if (begins_with(p, fences[k])) p.text += strlen(fences[k]), p.length -= strlen(fences[k]);
  if (ends_in(p, "```")) p.length -= 3;
  p = stripped(p.text, p.length);
  json_error_t ignored;
  json_t *value = json_loadb(p.text, p.length,
                             JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &ignored);
  *out = value != NULL;
  json_decref(value);
  return ZH_OK;
}

zh_instruction_check zh_instruction_form(const char *id) {
  static const struct {
    const char *id;
    zh_instruction_check check;
  } checks[] = {{"length_constraints:number_paragraphs", number_paragraphs},
                {"length_constraints:nth_paragraph_first_word", nth_paragraph_first_word},
                {"detectable_content:number_placeholders", number_placeholders},
                {"detectable_content:postscript", has_postscript},
                {"detectable_format:number_bullet_lists", number_bullets},
                {"detectable_format:constrained_response", constrained_response},
                {"detectable_format:number_highlighted_sections", number_highlights},
                {"detectable_format:multiple_sections", multiple_sections},
                {"detectable_format:json_format", is_json},
                {"detectable_format:title", has_title},
                {"combination:two_responses", two_responses},
                {"combination:repeat_prompt", repeats_prompt},
                {"startend:end_checker", ends_in_phrase},
                {"startend:quotation", is_quoted},
                {"punctuation:no_comma", no_comma}};
  for (size_t k = 0; k < sizeof checks / sizeof checks[0]; k++)
    if (strcmp(checks[k].id, id) == 0) return checks[k].check;
  return NULL;
}
