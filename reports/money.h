/* Money as evaluation.json has it, "20000000.00" in yuan: kept as decimal text, so that no figure
 * is rounded on its way to a page. */
#ifndef ZH_REPORTS_MONEY_H
#define ZH_REPORTS_MONEY_H

#include <stdbool.h>

enum { ZH_MONEY_CAPACITY = 64 }; /* 24 digits, grouped, with decimals */

/* Up to 24 digits, a point, two digits. */
bool zh_money_is_valid(const char *text);
/* Below, at or above 0, as a is less than, equal to or more than b; both valid. */
int zh_money_compare(const char *a, const char *b);
bool zh_money_is_zero(const char *text);
/* "16400050.00" → "16,400,050"; "35499999.60" → "35,499,999.60" */
char *zh_money_yuan(char out[ZH_MONEY_CAPACITY], const char *text);
/* In ten thousands: "16400050.00" → "1,640.005" */
char *zh_money_wan(char out[ZH_MONEY_CAPACITY], const char *text);

#endif
