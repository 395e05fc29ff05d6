/* The first families of made items, and the table of all. Each takes all of its numbers from the
 * draw, and knows its own answer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/procedural.h"

/* Level: digits of each number; products from both of half as many. */
static zh_status arithmetic(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                            const zh_made_words *words, zh_error *err) {
  (void)words;
  uint32_t kind = zh_draw_below(draw, 3);
  int digits = kind == 2 ? (level + 1) / 2 : level;
  int64_t a = zh_draw_digits(draw, digits), b = zh_draw_digits(draw, digits);
  int64_t result = kind == 0 ? a + b : kind == 1 ? a - b : a * b;
  ZH_TRY(zh_made_set(variables, "a", json_integer(a), err));
  ZH_TRY(zh_made_set(variables, "b", json_integer(b), err));
  ZH_TRY(zh_made_set(variables, "sign", json_string(kind == 0 ? "+" : kind == 1 ? "-" : "×"), err));
  zh_text_printf(answer, "%" PRId64, result);
  return ZH_OK;
}

static int ascending(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

enum { SORTED_MAX = 64 };

static void write_list(zh_text *out, const int64_t *numbers, size_t count) {
  for (size_t i = 0; i < count; i++)
    zh_text_printf(out, "%s%" PRId64, i > 0 ? ", " : "", numbers[i]);
}

/* Level: two numbers more each. */
static zh_status sorting(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                         const zh_made_words *words, zh_error *err) {
  (void)words;
  int64_t numbers[SORTED_MAX];
  size_t count = 1 + 2 * (size_t)level;
  zh_text list = {0};
  if (count > SORTED_MAX) count = SORTED_MAX;
  zh_draw_different(numbers, count, 1000, draw);
  write_list(&list, numbers, count);
  zh_status status = list.failed ? zh_made_no_memory(err)
                                 : zh_made_set(variables, "list", json_string(list.data), err);
  zh_text_free(&list);
  qsort(numbers, count, sizeof *numbers, ascending);
  write_list(answer, numbers, count);
  return status;
}

/* Level: rows double. Two columns of numbers; one cell is asked for. */
static zh_status look_up(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                         const zh_made_words *words, zh_error *err) {
  size_t count = (size_t)2 << level;
  json_t *rows = json_array();
  int64_t codes[512];
  if (count > 512) count = 512;
  zh_draw_different(codes, count, 1000, draw);
  uint32_t wanted = zh_draw_below(draw, (uint32_t)count), column = zh_draw_below(draw, 2);
  for (size_t i = 0; rows && i < count; i++) {
    int64_t first = zh_draw_below(draw, 10000), second = zh_draw_below(draw, 10000);
    json_array_append_new(rows, json_pack("{s:I, s:s, s:I, s:I}", "code", (json_int_t)codes[i],
                                          "place", zh_draw_word(draw, words, "places"), "first",
                                          (json_int_t)first, "second", (json_int_t)second));
    if (i == wanted) zh_text_printf(answer, "%" PRId64, column == 0 ? first : second);
  }
  if (!rows) return zh_made_no_memory(err);
  ZH_TRY(zh_made_set(variables, "rows", rows, err));
  ZH_TRY(zh_made_set(variables, "code", json_integer(codes[wanted]), err));
  return zh_made_set(variables, "column", json_integer(column), err);
}

/* Days since 1970-01-01 and back, in the Gregorian calendar (H. Hinnant, 2013). */
static int64_t days_of(int64_t year, int month, int day) {
  year -= month <= 2;
  int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
  int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(char out[24], int64_t days) {
  days += 719468;
  int64_t era = (days >= 0 ? days : days - 146096) / 146097, day = days - era * 146097;
  int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
  int64_t of_year = day - (365 * year + year / 4 - year / 100), m = (5 * of_year + 2) / 153;
  int64_t month = m < 10 ? m + 3 : m - 9;
  snprintf(out, 24, "%04d-%02d-%02d", (int)(year + era * 400 + (month <= 2)) % 10000, (int)month,
           (int)(of_year - (153 * m + 2) / 5 + 1));
}

/* Level: ten times as many days each. */
static zh_status calendar(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                          const zh_made_words *words, zh_error *err) {
  (void)words;
  uint32_t most = 7;
  for (int i = 1; i < level && most < 100000; i++) most *= 5;
  int64_t start = days_of(1950, 1, 1) + zh_draw_below(draw, 36524);
  int64_t further = 1 + zh_draw_below(draw, most);
  bool back = zh_draw_below(draw, 2) == 1;
  char from[24], to[24];
  date_of(from, start);
  date_of(to, back ? start - further : start + further);
  ZH_TRY(zh_made_set(variables, "date", json_string(from), err));
  ZH_TRY(zh_made_set(variables, "days", json_integer(further), err));
  ZH_TRY(zh_made_set(variables, "back", json_boolean(back), err));
  zh_text_puts(answer, to);
  return ZH_OK;
}

enum { NEEDLES = 4 };

/* Level: four times as many sentences; among them four that state a number, one of which is asked
 * for. */
static zh_status needle(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                        const zh_made_words *words, zh_error *err) {
  size_t count = (size_t)2 << (2 * level), places[NEEDLES];
  json_t *lines = json_array();
  int64_t names[NEEDLES], codes[NEEDLES];
  if (count > 32768) count = 32768;
  zh_draw_different(names, NEEDLES, 1000, draw);
  for (size_t i = 0; i < NEEDLES; i++) {
    codes[i] = zh_draw_digits(draw, 5);
    places[i] = zh_draw_below(draw, (uint32_t)count);
  }
  uint32_t wanted = zh_draw_below(draw, NEEDLES);
  for (size_t i = 0; lines && i < count; i++) {
    for (size_t k = 0; k < NEEDLES; k++)
      if (places[k] == i)
        json_array_append_new(lines, json_pack("{s:I, s:I}", "box", (json_int_t)names[k], "code",
                                               (json_int_t)codes[k]));
    const char *who = zh_draw_word(draw, words, "people"),
               *did = zh_draw_word(draw, words, "deeds"),
               *where = zh_draw_word(draw, words, "places");
    json_array_append_new(lines,
                          json_pack("{s:s, s:s, s:s}", "who", who, "did", did, "where", where));
  }
  if (!lines) return zh_made_no_memory(err);
  ZH_TRY(zh_made_set(variables, "lines", lines, err));
  ZH_TRY(zh_made_set(variables, "box", json_integer(names[wanted]), err));
  zh_text_printf(answer, "%" PRId64, codes[wanted]);
  return ZH_OK;
}

zh_made_family *zh_made_family_named(const char *name) {
  static const struct {
    const char *name;
    zh_made_family *make;
  } families[] = {{"arithmetic", arithmetic},
                  {"sorting", sorting},
                  {"lookup", look_up},
                  {"calendar", calendar},
                  {"needle", needle},
                  {"units", zh_made_units},
                  {"strings", zh_made_strings},
                  {"tracking", zh_made_tracking},
                  {"logic", zh_made_logic},
                  {"traces", zh_made_traces},
                  {"extraction", zh_made_extraction},
                  {"instructions", zh_made_instructions}};
  for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
    if (strcmp(name, families[i].name) == 0) return families[i].make;
  return NULL;
}
