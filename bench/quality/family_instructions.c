/* Made items: a short text that must keep conditions which a program can check (checked.h). The
 * answer is one of those that keep them, which shows that it can be done, and stands in examples.
 */
#include <stdlib.h>

#include "bench/quality/checked.h"
#include "bench/quality/procedural.h"

enum { SENTENCES_MAX = 4 };
typedef enum condition { SENTENCES, INCLUDE, EXCLUDE, START, END, AT_MOST, CONDITIONS } condition;

static const char *entry_text(const json_t *list, size_t i) {
  const char *text = json_string_value(json_array_get(list, i));
  return text ? text : "";
}

static const char *mark_of(const zh_made_words *words, const char *name) {
  const char *mark =
      json_string_value(json_object_get(json_object_get(words->lists, "marks"), name));
  return mark ? mark : "";
}

static zh_status add_text(json_t *checks, const char *kind, const char *text, zh_error *err) {
  json_t *check = json_pack("{s:s, s:s}", "kind", kind, "text", text);
  return json_array_append_new(checks, check) == 0 ? ZH_OK : zh_made_no_memory(err);
}

static zh_status add_count(json_t *checks, const char *kind, size_t count, zh_error *err) {
  json_t *check = json_pack("{s:s, s:I}", "kind", kind, "count", (json_int_t)count);
  return json_array_append_new(checks, check) == 0 ? ZH_OK : zh_made_no_memory(err);
}

/* ---- a paragraph ---- */

/* What the answer is made of. */
typedef struct paragraph {
  const char *opening; /* NULL: none */
  const char *sentences[SENTENCES_MAX];
  size_t count;
  const char *word, *avoided;
  char end[256];
} paragraph;

static zh_status draw_paragraph(paragraph *p, const bool *wanted, const json_t *topic,
                                zh_draw *draw, const zh_made_words *words, zh_error *err) {
  const json_t *remarks = json_object_get(topic, "remarks"),
               *pairs = json_object_get(topic, "words");
  uint32_t order[16], known = (uint32_t)json_array_size(remarks);
  p->count = 2 + zh_draw_below(draw, SENTENCES_MAX - 1);
  if (known < SENTENCES_MAX || known > 16 || json_array_size(pairs) == 0)
    return zh_made_short_list("topics", err);
  zh_draw_order(order, known, draw);
  for (size_t i = 0; i < p->count; i++) p->sentences[i] = entry_text(remarks, order[i]);
  const json_t *pair = json_array_get(pairs, zh_draw_below(draw, (uint32_t)json_array_size(pairs)));
  const char *opening = zh_draw_word(draw, words, "openings"),
             *closing = zh_draw_word(draw, words, "closings");
  uint32_t place = zh_draw_below(draw, (uint32_t)p->count - 1);
  p->avoided = zh_draw_word(draw, words, "avoided");
  p->word = entry_text(pair, 0);
  if (wanted[INCLUDE]) p->sentences[place] = entry_text(pair, 1);
  if (wanted[END]) p->sentences[p->count - 1] = closing;
  p->opening = wanted[START] ? opening : NULL;
  snprintf(p->end, sizeof p->end, "%s%s", closing, mark_of(words, "stop"));
  return ZH_OK;
}

/* Sentences begin with a capital letter where the script has them. */
static void write_sentence(zh_text *out, const char *sentence, bool first) {
  char letter = sentence[0];
  if (first && letter >= 'a' && letter <= 'z') {
    letter = (char)(letter - 'a' + 'A');
    zh_text_append(out, &letter, 1);
    sentence++;
  }
  zh_text_puts(out, sentence);
}

static void write_paragraph(zh_text *out, const paragraph *p, const zh_made_words *words) {
  for (size_t i = 0; i < p->count; i++) {
    bool opened = i == 0 && p->opening;
    if (i > 0) zh_text_puts(out, mark_of(words, "gap"));
    if (opened) zh_text_printf(out, "%s%s", p->opening, mark_of(words, "comma"));
    write_sentence(out, p->sentences[i], !opened);
    zh_text_puts(out, mark_of(words, "stop"));
  }
}

/* Not so few that the answer at hand would be the only one. */
static zh_status add_limit(json_t *checks, const zh_text *answer, zh_error *err) {
  size_t words = zh_words_and_characters(zh_text_string(answer), answer->length);
  return add_count(checks, "at_most", (words / 10 + 2) * 10, err);
}

static zh_status add_condition(json_t *checks, condition kind, const paragraph *p,
                               const zh_text *answer, zh_error *err) {
  switch (kind) {
  case SENTENCES:
    return add_count(checks, "sentences", p->count, err);
  case INCLUDE:
    return add_text(checks, "include", p->word, err);
  case EXCLUDE:
    return add_text(checks, "exclude", p->avoided, err);
  case START:
    return add_text(checks, "start", p->opening, err);
  case END:
    return add_text(checks, "end", p->end, err);
  default:
    return add_limit(checks, answer, err);
  }
}

static zh_status make_paragraph(json_t *checks, zh_text *answer, const json_t *topic, size_t count,
                                zh_draw *draw, const zh_made_words *words, zh_error *err) {
  uint32_t order[CONDITIONS];
  bool wanted[CONDITIONS] = {false};
  paragraph p = {0};
  zh_draw_order(order, CONDITIONS, draw);
  if (count > CONDITIONS) count = CONDITIONS;
  for (size_t i = 0; i < count; i++) wanted[order[i]] = true;
  ZH_TRY(draw_paragraph(&p, wanted, topic, draw, words, err));
  write_paragraph(answer, &p, words);
  for (size_t i = 0; i < count; i++)
    ZH_TRY(add_condition(checks, (condition)order[i], &p, answer, err));
  return ZH_OK;
}

/* ---- a list ---- */

/* Up to three conditions: how many, one that must be among them, one that must not. */
static zh_status make_list(json_t *checks, zh_text *answer, const json_t *topic, size_t count,
                           zh_draw *draw, zh_error *err) {
  const json_t *things = json_object_get(topic, "things");
  uint32_t order[16], known = (uint32_t)json_array_size(things), items = 3 + zh_draw_below(draw, 3);
  char *text = NULL;
  if (known <= items || known > 16) return zh_made_short_list("topics", err);
  zh_draw_order(order, known, draw);
  ZH_TRY(add_count(checks, "list", items, err));
  if (count > 1)
    ZH_TRY(add_text(checks, "include", entry_text(things, order[zh_draw_below(draw, items)]), err));
  if (count > 2) ZH_TRY(add_text(checks, "exclude", entry_text(things, order[items]), err));
  json_t *list = json_array();
  for (uint32_t i = 0; list && i < items; i++)
    json_array_append(list, json_array_get(things, order[i]));
  zh_status status = list ? zh_json_dump_line(&text, list, err) : zh_made_no_memory(err);
  if (status == ZH_OK) zh_text_puts(answer, text);
  free(text);
  json_decref(list);
  return status;
}

/* Level: how many conditions; of lists three at most. */
zh_status zh_made_instructions(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                               const zh_made_words *words, zh_error *err) {
  const json_t *topic = zh_draw_entry(draw, words, "topics");
  bool list = zh_draw_below(draw, 3) == 0 && level <= 3;
  char *text = NULL;
  json_t *checks = json_array();
  zh_status status = checks ? ZH_OK : zh_made_no_memory(err);
  if (status == ZH_OK)
    status = list ? make_list(checks, answer, topic, (size_t)level, draw, err)
                  : make_paragraph(checks, answer, topic, (size_t)level, draw, words, err);
  if (status == ZH_OK) status = zh_json_dump_line(&text, checks, err);
  if (status == ZH_OK) status = zh_made_set(variables, "checks", json_string(text), err);
  free(text);
  if (status == ZH_OK) status = zh_made_set(variables, "conditions", json_incref(checks), err);
  json_decref(checks);
  if (status == ZH_OK) status = zh_made_set(variables, "list", json_boolean(list), err);
  if (status != ZH_OK) return status;
  return zh_made_set(variables, "topic", json_incref(json_object_get(topic, "name")), err);
}
