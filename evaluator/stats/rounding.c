#include "evaluator/stats/rounding.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_MAX = 400, EXPONENT_MAX = 300 };

/* 0.d1 d2 d3 … × 10^point */
typedef struct decimal {
  bool negative;
  char digits[LENGTH_MAX + 2]; /* '0' to '9' */
  int count, point;
} decimal;

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* False where the text is no number. */
static bool read_decimal(decimal *out, const char *text) {
  const char *at = text;
  bool seen = false, behind_point = false;
  *out = (decimal){.negative = *at == '-'};
  if (*at == '-' || *at == '+') at++;
  for (; is_digit(*at) || (*at == '.' && !behind_point); at++) {
    if (*at == '.') {
      behind_point = true;
      continue;
    }
    seen = true;
    if (out->count == LENGTH_MAX) return false;
    if (out->count > 0 || *at != '0') out->digits[out->count++] = *at;
    /* Leading zeros before the point count nothing, those behind it move the first digit. */
    if (!behind_point)
      out->point = out->count;
    else if (out->count == 0)
      out->point--;
  }
  if (!seen) return false;
  if (*at == 'e' || *at == 'E') {
    char *end;
    if (!is_digit(at[1]) && !((at[1] == '-' || at[1] == '+') && is_digit(at[2]))) return false;
    errno = 0;
    long exponent = strtol(at + 1, &end, 10);
    if (errno != 0 || exponent < -EXPONENT_MAX || exponent > EXPONENT_MAX) return false;
    out->point += (int)exponent;
    at = end;
  }
  return *at == '\0';
}

/* Whether what stands behind the first `kept` digits carries one into them. */
static bool rounds_up(const decimal *d, int kept, zh_round_rule rule) {
  if (kept < 0 || kept >= d->count) return false;
  char next = d->digits[kept];
  if (next != '5') return next > '5';
  for (int i = kept + 1; i < d->count; i++) {
    if (d->digits[i] != '0') return true;
  }
  bool odd = kept > 0 && (d->digits[kept - 1] - '0') % 2 == 1;
  return rule == ZH_HALF_UP || odd;
}

static void cut(decimal *d, int kept, zh_round_rule rule) {
  bool up = rounds_up(d, kept, rule);
  if (kept >= d->count) return;
  d->count = kept < 0 ? 0 : kept;
  if (!up) return;
  int at = d->count - 1;
  for (; at >= 0 && d->digits[at] == '9'; at--) d->digits[at] = '0';
  if (at >= 0) {
    d->digits[at]++;
    return;
  }
  memmove(d->digits + 1, d->digits, (size_t)d->count);
  d->digits[0] = '1';
  d->count++;
  d->point++;
}

static void print(zh_text *out, const decimal *d, int digits) {
  bool zero = true;
  for (int i = 0; i < d->count; i++) zero &= d->digits[i] == '0';
  if (d->negative && !zero) zh_text_puts(out, "-");
  int places = d->point > 1 ? d->point : 1;
  for (int i = d->point - places; i < d->point; i++)
    zh_text_append(out, i >= 0 && i < d->count ? &d->digits[i] : "0", 1);
  if (digits > 0) zh_text_puts(out, ".");
  for (int i = d->point; i < d->point + digits; i++)
    zh_text_append(out, i >= 0 && i < d->count ? &d->digits[i] : "0", 1);
}

zh_status zh_round_decimal(zh_text *out, const char *value, int digits, zh_round_rule rule,
                           zh_error *err) {
  decimal d;
  if (!read_decimal(&d, value))
    return zh_fail(err, ZH_ERR_INPUT,
                   "'%.60s' is not a decimal number of at most %d digits, such as 0.35", value,
                   (int)LENGTH_MAX);
  if (digits < -ZH_ROUND_DIGITS_MAX || digits > ZH_ROUND_DIGITS_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "digits must lie between -%d and %d", ZH_ROUND_DIGITS_MAX,
                   ZH_ROUND_DIGITS_MAX);
  cut(&d, d.point + digits, rule);
  if (d.count == 0) d.point = 0;
  print(out, &d, digits);
  return out->failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for a number") : ZH_OK;
}
