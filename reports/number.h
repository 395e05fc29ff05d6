/* Numbers as people read them: rounded once, from the evidence's decimal digits, ties to even (GB/T
 * 8170). */
#ifndef ZH_REPORTS_NUMBER_H
#define ZH_REPORTS_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

enum { ZH_NUMBER_CAPACITY = 352 }; /* the longest double without exponent, grouped, fits */

/* value * 10^shift with `decimals` digits after the point and thousands separators: "1,234.50". The
 * digits that are rounded are the shortest that read back as `value`, so that 0.35 is the tie a
 * person sees. */
char *zh_number_fixed(char out[ZH_NUMBER_CAPACITY], double value, int shift, int decimals);

/* Decimals that show `significant` digits of value * 10^shift after rounding; integers keep all
 * theirs. */
int zh_number_decimals(double value, int shift, int significant);

/* A unit a person reads and the power of ten that leads to it: 2.1e10 B/s is shift -9, "GB/s".
 * Units without a customary prefix keep shift 0 and their own name; "1" has none. */
typedef struct zh_number_scale {
  int shift;
  char unit[32];
} zh_number_scale;
zh_number_scale zh_number_scale_for(double value, const char *unit);

#endif
