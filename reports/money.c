#include "reports/money.h"

#include <stdio.h>
#include <string.h>

enum { DIGITS_MAX = 24, WAN_PLACES = 4 };

bool zh_money_is_valid(const char *text) {
  size_t whole = strspn(text, "0123456789");
  return whole > 0 && whole <= DIGITS_MAX && text[whole] == '.' &&
         strspn(text + whole + 1, "0123456789") == 2 && text[whole + 3] == '\0';
}

static const char *without_noughts(const char *text) {
  while (*text == '0' && text[1] != '.') text++;
  return text;
}

int zh_money_compare(const char *a, const char *b) {
  a = without_noughts(a);
  b = without_noughts(b);
  size_t of_a = strlen(a), of_b = strlen(b); /* both end in a point and two digits */
  if (of_a != of_b) return of_a < of_b ? -1 : 1;
  return strcmp(a, b);
}

bool zh_money_is_zero(const char *text) {
  return strspn(text, "0.") == strlen(text);
}

/* "1234567" → "1,234,567" */
static size_t group(char *out, const char *digits, size_t count) {
  size_t length = 0;
  for (size_t i = 0; i < count; i++) {
    out[length++] = digits[i];
    if ((count - 1 - i) % 3 == 0 && i + 1 < count) out[length++] = ',';
  }
  return length;
}

char *zh_money_yuan(char out[ZH_MONEY_CAPACITY], const char *text) {
  text = without_noughts(text);
  size_t whole = strcspn(text, ".");
  size_t length = group(out, text, whole);
  snprintf(out + length, ZH_MONEY_CAPACITY - length, "%s",
           strcmp(text + whole, ".00") == 0 ? "" : text + whole);
  return out;
}

char *zh_money_wan(char out[ZH_MONEY_CAPACITY], const char *text) {
  char digits[DIGITS_MAX + WAN_PLACES + 4], fraction[WAN_PLACES + 4];
  text = without_noughts(text);
  size_t whole = strcspn(text, ".");
  size_t lacking = whole <= WAN_PLACES ? WAN_PLACES + 1 - whole : 0; /* "300" → "00300" */
  memset(digits, '0', lacking);
  snprintf(digits + lacking, sizeof digits - lacking, "%s", text);
  size_t split = lacking + whole - WAN_PLACES;
  snprintf(fraction, sizeof fraction, "%.*s%s", WAN_PLACES, digits + split,
           digits + split + WAN_PLACES + 1);
  size_t kept = strlen(fraction);
  while (kept > 0 && fraction[kept - 1] == '0') kept--;
  size_t length = group(out, digits, split);
  snprintf(out + length, ZH_MONEY_CAPACITY - length, "%s%.*s", kept > 0 ? "." : "", (int)kept,
           fraction);
  return out;
}
