#include "reports/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* value = 0.d1 d2 d3 … × 10^point */
typedef struct decimal {
  char digits[24];
  int count, point;
  bool negative;
} decimal;

static decimal shortest_decimal(double value) {
  char text[40];
  decimal out = {.negative = signbit(value) != 0};
  double magnitude = fabs(value);
  for (int precision = 0; precision <= 16; precision++) {
    snprintf(text, sizeof text, "%.*e", precision, magnitude);
    if (strtod(text, NULL) == magnitude) break;
  }
  const char *at = text;
  for (; *at && *at != 'e'; at++)
    if (*at != '.') out.digits[out.count++] = *at;
  out.point = (int)strtol(at + 1, NULL, 10) + 1;
  return out;
}

/* Keeps the first `keep` digits; ties go to the even last digit. */
static void round_digits(decimal *d, int keep) {
  if (keep >= d->count) return;
  if (keep < 0) {
    d->count = 0;
    return;
  }
  char first = d->digits[keep];
  bool rest = false;
  for (int i = keep + 1; i < d->count; i++) rest = rest || d->digits[i] != '0';
  bool odd = keep > 0 && (d->digits[keep - 1] - '0') % 2 == 1;
  bool up = first > '5' || (first == '5' && (rest || odd));
  d->count = keep;
  if (!up) return;
  int i = keep - 1;
  while (i >= 0 && d->digits[i] == '9') d->digits[i--] = '0';
  if (i >= 0) {
    d->digits[i]++;
    return;
  }
  d->digits[0] = '1'; /* 999 became 1000: the same digits, one place higher */
  for (int j = 1; j <= keep && j < (int)sizeof d->digits; j++) d->digits[j] = '0';
  d->count = keep + 1;
  d->point++;
}

static bool is_zero(const decimal *d) {
  for (int i = 0; i < d->count; i++)
    if (d->digits[i] != '0') return false;
  return true;
}

static char digit_at(const decimal *d, int place) { /* 0 is the first digit after d->point 0 */
  return place >= 0 && place < d->count ? d->digits[place] : '0';
}

char *zh_number_fixed(char out[ZH_NUMBER_CAPACITY], double value, int shift, int decimals) {
  if (!isfinite(value)) value = 0; /* JSON has no such number; a caller's slip must not overrun */
  if (decimals < 0) decimals = 0;
  if (decimals > 17) decimals = 17;
  decimal d = shortest_decimal(value);
  if (value != 0) d.point += shift; /* nought has no places to move */
  round_digits(&d, d.point + decimals);
  char *at = out;
  if (d.negative && !is_zero(&d)) {
    memcpy(at, "\xE2\x88\x92", 3); /* U+2212, as wide as a plus */
    at += 3;
  }
  int whole = d.point > 0 ? d.point : 1;
  if (whole > 240) whole = 240; /* unreachable for scaled values; keeps the bound of `out` plain */
  for (int i = 0; i < whole; i++) {
    *at++ = d.point > 0 ? digit_at(&d, i) : '0';
    int left = whole - 1 - i;
    if (left > 0 && left % 3 == 0) *at++ = ',';
  }
  if (decimals > 0) *at++ = '.';
  for (int i = 0; i < decimals; i++) *at++ = digit_at(&d, d.point + i);
  *at = '\0';
  return out;
}

int zh_number_decimals(double value, int shift, int significant) {
  if (value == 0 || !isfinite(value)) return 0;
  decimal d = shortest_decimal(value);
  round_digits(&d, significant);
  int decimals = significant - (d.point + shift);
  return decimals < 0 ? 0 : decimals;
}

static bool takes_prefix(const char *unit) {
  static const char *const units[] = {"B/s", "FLOP/s", "OP/s", "op/s", "B", "FLOP", "Hz", "bit/s"};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (strcmp(unit, units[i]) == 0) return true;
  return false;
}

zh_number_scale zh_number_scale_for(double value, const char *unit) {
  static const char *const up[] = {"", "k", "M", "G", "T", "P", "E"};
  static const char *const down[] = {"", "m", "\xC2\xB5", "n", "p"};
  zh_number_scale out = {0};
  int step = 0;
  double magnitude = fabs(value);
  if (takes_prefix(unit)) {
    for (; step < 6 && magnitude >= 1e3; step++) magnitude /= 1e3;
    out.shift = -3 * step;
    snprintf(out.unit, sizeof out.unit, "%s%s", up[step], unit);
  } else if ((strcmp(unit, "s") == 0 || strncmp(unit, "J/", 2) == 0) && magnitude > 0) {
    int least = strcmp(unit, "s") == 0 ? 3 : 4; /* times are not told in picoseconds */
    for (; step < least && magnitude < 1; step++) magnitude *= 1e3;
    out.shift = 3 * step;
    snprintf(out.unit, sizeof out.unit, "%s%s", down[step], unit);
  } else {
    snprintf(out.unit, sizeof out.unit, "%s", strcmp(unit, "1") == 0 ? "" : unit);
  }
  return out;
}
