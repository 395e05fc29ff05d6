/* Units of thresholds: a base unit, or one with an SI prefix. Files keep base units. */
#include <stdbool.h>
#include <string.h>

#include "bench/suite.h"

static const char *const BASES[] = {"B/s", "FLOP/s",  "OP/s",   "token/s", "s", "nat",
                                    "1",   "J/token", "J/FLOP", "J/OP",    NULL};
static const struct {
  const char *text;
  double factor;
} PREFIXES[] = {{"", 1},    {"p", 1e-12}, {"n", 1e-9}, {"u", 1e-6}, {"µ", 1e-6}, {"m", 1e-3},
                {"k", 1e3}, {"M", 1e6},   {"G", 1e9},  {"T", 1e12}, {"P", 1e15}, {NULL, 0}};

bool zh_unit_find(const char **base, double *factor, const char *unit) {
  for (size_t b = 0; BASES[b]; b++)
    for (size_t p = 0; PREFIXES[p].text; p++) {
      size_t length = strlen(PREFIXES[p].text);
      if (strncmp(unit, PREFIXES[p].text, length) != 0 || strcmp(unit + length, BASES[b]) != 0)
        continue;
      *base = BASES[b];
      *factor = PREFIXES[p].factor;
      return true;
    }
  return false;
}
