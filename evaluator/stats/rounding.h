/* Decimal rounding of a number as it is written, never of its nearest binary fraction. */
#ifndef ZH_EVALUATOR_STATS_ROUNDING_H
#define ZH_EVALUATOR_STATS_ROUNDING_H

#include "core/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum zh_round_rule {
  ZH_HALF_EVEN, /* GB/T 8170-2008, 3.2: a lone half goes to the even digit (四舍六入五成双) */
  ZH_HALF_UP    /* a half goes away from zero (四舍五入) */
} zh_round_rule;

enum { ZH_ROUND_DIGITS_MAX = 300 };

/* "0.35", 1 -> "0.4". value: digits with a sign, a point, an exponent. digits: decimals to keep;
 * negative: tens, hundreds. */
ZH_MUST_CHECK zh_status zh_round_decimal(zh_text *out, const char *value, int digits,
                                         zh_round_rule rule, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
