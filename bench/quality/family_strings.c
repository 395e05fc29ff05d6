/* Made items: a string edited step by step. */
#include <string.h>

#include "bench/quality/procedural.h"

enum { LENGTH_MAX = 48, SHORTEST = 3 };
typedef enum edit { REVERSE, REPLACE, REMOVE, TO_END, SWAP_ENDS, EDITS } edit;
static const char *const names[EDITS] = {"reverse", "replace", "remove", "to_end", "swap_ends"};

/* Letters by their places in the words' list. */
typedef struct string {
  uint32_t at[LENGTH_MAX];
  size_t length;
} string;

static void turn_round(string *s, size_t begin, size_t end) {
  while (begin + 1 < end) {
    uint32_t held = s->at[begin];
    s->at[begin++] = s->at[--end];
    s->at[end] = held;
  }
}

static size_t count_of(const string *s, uint32_t letter) {
  size_t count = 0;
  for (size_t i = 0; i < s->length; i++) count += s->at[i] == letter;
  return count;
}

static void leave_out(string *s, uint32_t letter) {
  size_t kept = 0;
  for (size_t i = 0; i < s->length; i++)
    if (s->at[i] != letter) s->at[kept++] = s->at[i];
  s->length = kept;
}

static const char *letter_of(const zh_made_words *words, uint32_t place) {
  const char *letter = json_string_value(zh_made_entry(words, "letters", place));
  return letter ? letter : "";
}

/* Draws an edit that the string can take, makes it, and says it. */
static json_t *make_edit(string *s, edit *last, zh_draw *draw, const zh_made_words *words) {
  edit kind = (edit)zh_draw_below(draw, EDITS);
  uint32_t letter = s->at[zh_draw_below(draw, (uint32_t)s->length)],
           other = zh_draw_below(draw, (uint32_t)zh_made_count(words, "letters"));
  size_t count = 1 + zh_draw_below(draw, (uint32_t)s->length - 1);
  if (kind == REMOVE && s->length - count_of(s, letter) < SHORTEST) kind = REVERSE;
  if (kind == REPLACE && other == letter) kind = SWAP_ENDS;
  if (kind == *last) kind = TO_END; /* no edit undoes the one before it */
  *last = kind;
  switch (kind) {
  case REPLACE:
    for (size_t i = 0; i < s->length; i++)
      if (s->at[i] == letter) s->at[i] = other;
    break;
  case REMOVE:
    leave_out(s, letter);
    break;
  case TO_END: /* turned round whole, then each part by itself */
    turn_round(s, 0, s->length);
    turn_round(s, 0, s->length - count);
    turn_round(s, s->length - count, s->length);
    break;
  case SWAP_ENDS: {
    uint32_t held = s->at[0];
    s->at[0] = s->at[s->length - 1];
    s->at[s->length - 1] = held;
    break;
  }
  default:
    turn_round(s, 0, s->length);
  }
  return json_pack("{s:s, s:s, s:s, s:I}", "edit", names[kind], "letter", letter_of(words, letter),
                   "other", letter_of(words, other), "count", (json_int_t)count);
}

static void write_string(zh_text *out, const string *s, const zh_made_words *words) {
  for (size_t i = 0; i < s->length; i++) zh_text_puts(out, letter_of(words, s->at[i]));
}

/* Few different letters, so that edits of all of a kind have something to do. */
static void draw_string(string *s, int level, zh_draw *draw, uint32_t letters) {
  int64_t few[LENGTH_MAX];
  s->length = 3 + 2 * (size_t)level;
  size_t different = s->length / 2 + 1;
  if (different > letters) different = letters;
  zh_draw_different(few, different, letters, draw);
  for (size_t i = 0; i < s->length; i++)
    s->at[i] = (uint32_t)few[zh_draw_below(draw, (uint32_t)different)];
}

/* Level: two letters more each, and an edit more every second. */
zh_status zh_made_strings(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                          const zh_made_words *words, zh_error *err) {
  uint32_t letters = (uint32_t)zh_made_count(words, "letters");
  int edits = 1 + level / 2;
  edit last = EDITS;
  string s;
  zh_text text = {0};
  if (letters < 8) return zh_made_short_list("letters", err);
  draw_string(&s, level, draw, letters);
  write_string(&text, &s, words);
  zh_status status = zh_made_set(variables, "string", json_string(zh_text_string(&text)), err);
  zh_text_free(&text);
  json_t *steps = json_array();
  for (int i = 0; steps && i < edits; i++)
    json_array_append_new(steps, make_edit(&s, &last, draw, words));
  if (status == ZH_OK && (!steps || json_array_size(steps) != (size_t)edits))
    status = zh_made_no_memory(err);
  write_string(answer, &s, words);
  if (status == ZH_OK) return zh_made_set(variables, "steps", steps, err);
  json_decref(steps);
  return status;
}
