/* Figures of a policy file against the quote they come from, so that a slip of the pen in an amount
 * is found by whoever loads the file. */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/exact.h"
#include "evaluator/policy/read.h"

typedef struct numeral {
  const char *word;
  int64_t value;
} numeral;

static const numeral digits[] = {{"零", 0}, {"〇", 0}, {"一", 1}, {"二", 2}, {"两", 2}, {"三", 3},
                                 {"四", 4}, {"五", 5}, {"六", 6}, {"七", 7}, {"八", 8}, {"九", 9}};
static const numeral powers[] = {{"十", 10}, {"百", 100}, {"千", 1000}};
static const numeral myriads[] = {{"万", 10000}, {"亿", 100000000}};

static const numeral *starts_with(const char *text, const numeral *of, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (strncmp(text, of[i].word, strlen(of[i].word)) == 0) return &of[i];
  }
  return NULL;
}

/* 1000 or 三; -1: neither. */
static int64_t leading_digits(const char **at) {
  int64_t value = -1;
  for (; **at >= '0' && **at <= '9' && value < INT64_C(100000000000000); (*at)++)
    value = (value < 0 ? 0 : value) * 10 + (**at - '0');
  if (value >= 0) return value;
  const numeral *digit = starts_with(*at, digits, sizeof digits / sizeof digits[0]);
  if (digit == NULL) return -1;
  *at += strlen(digit->word);
  return digit->value;
}

bool zh_chinese_number(int64_t *out, const char **end, const char *text) {
  int64_t total = 0, section = 0;
  const char *at = text;
  for (;;) {
    int64_t digit = leading_digits(&at);
    const numeral *power = starts_with(at, powers, sizeof powers / sizeof powers[0]);
    if (power != NULL) {
      section += (digit < 0 ? 1 : digit) * power->value; /* 千亿: one thousand of them */
      at += strlen(power->word);
      continue;
    }
    if (digit > 0) section += digit;
    if (digit == 0) continue; /* 三百零五: nothing at this place */
    const numeral *myriad = starts_with(at, myriads, sizeof myriads / sizeof myriads[0]);
    if (myriad == NULL) break;
    if (__builtin_mul_overflow(total + section, myriad->value, &total)) return false;
    section = 0;
    at += strlen(myriad->word);
  }
  *out = total + section;
  *end = at;
  return at > text;
}

/* The quote as figures are looked for: no spaces, full-width forms as half-width ones. */
static void condense(zh_text *out, const char *text) {
  size_t length = strlen(text);
  while (length > 0) {
    uint32_t c = 0;
    char encoded[4];
    int used = zh_utf8_decode(&c, text, length);
    if (used == 0) break;
    if (c >= 0xFF01 && c <= 0xFF5E) c -= 0xFF01 - '!';
    if (c != ' ') zh_text_append(out, encoded, (size_t)zh_utf8_encode(encoded, c));
    text += used;
    length -= (size_t)used;
  }
}

static bool is_figure(char c) {
  return (c >= '0' && c <= '9') || c == '.';
}

/* `wanted` stands in the quote and does not begin or end within a longer number. */
static bool stands_alone(const char *wanted, const char *quote) {
  size_t length = strlen(wanted);
  for (const char *at = strstr(quote, wanted); length > 0 && at != NULL;
       at = strstr(at + 1, wanted)) {
    bool within = at > quote && is_figure(at[-1]) && is_figure(wanted[0]);
    bool cut = is_figure(wanted[length - 1]) && is_figure(at[length]);
    if (!within && !cut) return true;
  }
  return false;
}

/* "3 年" as the 3 of 3-5年: the range ends in the figure's own unit. */
static bool begins_range(const char *figure, const char *quote) {
  static const char *const joints[] = {"-", "—", "至", "~"};
  static const char digits_of[] = "0123456789.";
  size_t number = strspn(figure, digits_of), length = strlen(quote);
  for (size_t at = 0; number > 0 && at < length; at++) {
    bool within = at > 0 && is_figure(quote[at - 1]);
    if (within || strncmp(quote + at, figure, number) != 0) continue;
    for (size_t i = 0; i < sizeof joints / sizeof joints[0]; i++) {
      const char *rest = quote + at + number;
      if (strncmp(rest, joints[i], strlen(joints[i])) != 0) continue;
      rest += strlen(joints[i]);
      size_t other = strspn(rest, digits_of);
      if (other > 0 && strncmp(rest + other, figure + number, strlen(figure + number)) == 0)
        return true;
    }
  }
  return false;
}

/* "2000 万元" as 2000万元 or 2000万; "3 年" also as the 3 of 3-5年. */
static bool quote_has(const char *figure, const char *quote) {
  zh_text bare = {0}, hay = {0};
  condense(&bare, figure);
  condense(&hay, quote);
  const char *text = zh_text_string(&bare), *in = zh_text_string(&hay);
  bool found = stands_alone(text, in);
  size_t tail = strlen("元"), length = strlen(text);
  char shorter[128];
  if (!found && length > tail && length < sizeof shorter &&
      strcmp(text + length - tail, "元") == 0) {
    snprintf(shorter, sizeof shorter, "%.*s", (int)(length - tail), text);
    found = stands_alone(shorter, in);
  }
  found = found || begins_range(text, in);
  zh_text_free(&bare);
  zh_text_free(&hay);
  return found;
}

/* The written form's value, with 元 in 分 where it is money. */
static bool written_value(int64_t *out, const char *written) {
  const char *end;
  if (!zh_chinese_number(out, &end, written)) return false;
  if (strncmp(end, "元", strlen("元")) != 0) return true;
  return !__builtin_mul_overflow(*out, 100, out);
}

static zh_status check_written(const zh_yaml_node *node, const char *quote, int64_t value,
                               zh_error *err) {
  const char *written;
  int64_t read;
  ZH_TRY(zh_yaml_string(&written, node, err));
  if (strstr(quote, written) == NULL)
    return zh_yaml_fail(err, node, "'%s' does not stand in the quote '%s'", written, quote);
  if (written_value(&read, written) && read == value) return ZH_OK;
  return zh_yaml_fail(err, node, "'%s' is not the figure that the file computes with", written);
}

zh_status zh_check_figure(const zh_yaml_node *node, const zh_yaml_node *map, const char *quote,
                          int64_t value, zh_error *err) {
  const zh_yaml_node *written = map == NULL ? NULL : zh_yaml_get(map, "written");
  const char *figure;
  if (written != NULL) return check_written(written, quote, value, err);
  ZH_TRY(zh_yaml_string(&figure, node, err));
  if (quote_has(figure, quote)) return ZH_OK;
  return zh_yaml_fail(err, node,
                      "the figure '%s' does not stand in the quote '%s'; where the text writes it "
                      "in words, add 'written'",
                      figure, quote);
}

zh_status zh_check_span(const zh_yaml_node *node, const zh_yaml_node *map, const char *written_key,
                        const char *quote, zh_span span, zh_error *err) {
  const zh_yaml_node *written = zh_yaml_get(map, written_key);
  if (written != NULL) return check_written(written, quote, span.count, err);
  return zh_check_figure(node, NULL, quote, 0, err);
}

zh_status zh_check_date(const zh_yaml_node *node, const char *quote, zh_date date, zh_error *err) {
  char text[ZH_DATE_BYTES], whole[48], year[48];
  int y, m, d;
  zh_text hay = {0};
  zh_date_text(text, date);
  if (sscanf(text, "%d-%d-%d", &y, &m, &d) != 3)
    return zh_yaml_fail(err, node, "expected a day such as 2025-03-05");
  snprintf(whole, sizeof whole, "%d年%d月%d日", y, m, d);
  snprintf(year, sizeof year, "%d年", y);
  condense(&hay, quote);
  const char *in = zh_text_string(&hay);
  bool year_end = m == 12 && d == 31 && stands_alone(year, in);
  bool fine = stands_alone(whole, in) || year_end;
  zh_text_free(&hay);
  if (fine) return ZH_OK;
  return zh_yaml_fail(err, node, "neither %s nor the end of %s stands in the quote '%s'", whole,
                      year, quote);
}
