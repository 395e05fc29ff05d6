#include "bench/bundle_print.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/text.h"

static bool is_large(const char *base) {
  static const char *const units[] = {"B/s", "FLOP/s", "OP/s", "B", "FLOP", "OP"};
  for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
    if (strcmp(base, units[i]) == 0) return true;
  return false;
}

double zh_print_scale(char unit[32], double value, const char *base) {
  static const struct {
    const char *prefix;
    double factor;
  } large[] = {{"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3}},
    small[] = {{"", 1}, {"m", 1e-3}, {"µ", 1e-6}, {"n", 1e-9}, {"p", 1e-12}};
  double size = fabs(value);
  snprintf(unit, 32, "%s", strcmp(base, "1") == 0 ? "" : base); /* a ratio */
  if (is_large(base)) {
    for (size_t i = 0; i < 4; i++) {
      if (size < large[i].factor) continue;
      snprintf(unit, 32, "%s%s", large[i].prefix, base);
      return large[i].factor;
    }
  } else if ((strcmp(base, "s") == 0 || strncmp(base, "J/", 2) == 0) && size > 0) {
    size_t last = strcmp(base, "s") == 0 ? 3 : 4; /* times are not told in picoseconds */
    for (size_t i = 0; i <= last; i++) {
      if (size < small[i].factor && i < last) continue;
      snprintf(unit, 32, "%s%s", small[i].prefix, base);
      return small[i].factor;
    }
  }
  return 1;
}

void zh_print_number(char out[32], double value) {
  double size = fabs(value);
  if (!isfinite(value)) {
    snprintf(out, 32, "%s", isnan(value) ? "?" : value > 0 ? "inf" : "-inf");
  } else if (size >= 1e15 || (size > 0 && size < 1e-4)) {
    snprintf(out, 32, "%.3e", value);
  } else {
    int decimals = size > 0 ? 3 - (int)floor(log10(size)) : 3;
    snprintf(out, 32, "%.*f", decimals > 0 ? decimals : 0, value);
  }
}

void zh_print_quantity(char out[64], double value, const char *base) {
  char number[32], unit[32];
  double factor = zh_print_scale(unit, value, base);
  zh_print_number(number, value / factor);
  snprintf(out, 64, "%s %s", number, unit);
}

double zh_print_real(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *zh_print_text(const json_t *object, const char *key, const char *otherwise) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : otherwise;
}

void zh_print_cell(FILE *out, const char *text, int width, bool right, bool last) {
  int pad = width - zh_utf8_columns(text, strlen(text));
  if (right) fprintf(out, "%*s", pad > 0 ? pad : 0, "");
  fputs(text, out);
  if (!right && !last) fprintf(out, "%*s", pad > 0 ? pad : 0, "");
  fputs(last ? "\n" : "  ", out);
}
