#include "bench/quality/english_numbers.h"

#include <string.h>

#include "bench/quality/python_values.h"

/* One word; behind the stems "twen" to "nine" and behind "eight" stands what it is given. */
#define WORD(ends, eighth)                                                                         \
  "zero|one|two|three|four|five|(?:twen|thir|for|fif|six|seven|nine)(?:" ends ")|eight(?:" eighth  \
  ")|ten|eleven|twelve|fourteen|hundred|thousand|(?:m|b|tr)illion"

/* As the filter of BIG-Bench Hard looks for them: "six" to "nine" are found before another word,
 * but not as the last. */
const char zh_english_number_pattern[] = "((?:(?:" WORD("teen|ty", "|een|y") ")(?:" WORD(
    "|teen|ty", "een|y") "|[^\\S\\r\\n]|,|and|&)+)?(?:" WORD("teen|ty", "een|y") "))";

static const struct {
  const char *word;
  int64_t value;
} words[] = {{"zero", 0},      {"one", 1},         {"two", 2},           {"three", 3},
             {"four", 4},      {"five", 5},        {"six", 6},           {"seven", 7},
             {"eight", 8},     {"nine", 9},        {"ten", 10},          {"eleven", 11},
             {"twelve", 12},   {"thirteen", 13},   {"fourteen", 14},     {"fifteen", 15},
             {"sixteen", 16},  {"seventeen", 17},  {"eighteen", 18},     {"nineteen", 19},
             {"twenty", 20},   {"thirty", 30},     {"forty", 40},        {"fifty", 50},
             {"sixty", 60},    {"seventy", 70},    {"eighty", 80},       {"ninety", 90},
             {"hundred", 100}, {"thousand", 1000}, {"million", 1000000}, {"billion", 1000000000}};

enum { NUMBERS_MAX = 256 };

/* "three hundred forty five"; false where there is nothing. */
static bool below_scale(int64_t *out, const int64_t *n, size_t count) {
  if (count == 0) return false;
  *out = n[0];
  if (count == 4) *out = n[0] * n[1] + n[2] + n[3];
  if (count == 3) *out = n[0] * n[1] + n[2];
  if (count == 2) *out = n[0] == 100 || n[1] == 100 ? n[0] * n[1] : n[0] + n[1];
  return true;
}

/* Where a scale stands among the numbers, from `from` on; false: it stands there twice. */
static bool find_scale(size_t *at, const int64_t *n, size_t count, int64_t scale) {
  size_t found = 0;
  *at = SIZE_MAX;
  for (size_t i = 0; i < count; i++) {
    if (n[i] != scale) continue;
    if (found++ == 0) *at = i;
  }
  return found <= 1;
}

/* What stands behind the last scale that anything stands behind: behind "million" all of "three
 * hundred thousand" once more, as word2number has it. */
static bool add_rest(int64_t *out, const int64_t *n, size_t count, const size_t at[3]) {
  int64_t part = 0;
  size_t from = 0;
  bool any = false;
  for (size_t s = 0; s < 3; s++) {
    any |= at[s] != SIZE_MAX;
    if (at[s] != SIZE_MAX && at[s] + 1 < count) from = at[s] + 1;
  }
  if (any && from == 0) return true;
  if (!below_scale(&part, n + from, count - from)) return false;
  *out += part;
  return true;
}

static bool add_up(int64_t *out, const int64_t *n, size_t count) {
  static const int64_t scales[] = {1000000000, 1000000, 1000};
  size_t done = 0, at[3];
  int64_t part = 0;
  *out = 0;
  for (size_t s = 0; s < 3; s++) {
    if (!find_scale(&at[s], n, count, scales[s])) return false;
    if (at[s] == SIZE_MAX) continue;
    if (at[s] < done || !below_scale(&part, n + done, at[s] - done)) return false;
    *out += part * scales[s];
    done = at[s] + 1;
  }
  return add_rest(out, n, count, at);
}

bool zh_english_number(int64_t *out, const char *text, size_t length) {
  int64_t n[NUMBERS_MAX];
  size_t count = 0, size;
  const char *word;
  while (zh_python_word(&word, &size, &text, &length))
    for (size_t i = 0; i < sizeof words / sizeof words[0] && count < NUMBERS_MAX; i++)
      if (strlen(words[i].word) == size && memcmp(words[i].word, word, size) == 0)
        n[count++] = words[i].value;
  if (count == 0) return false;
  if (count > 1) return add_up(out, n, count);
  *out = n[0];
  return true;
}
