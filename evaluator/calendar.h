/* Days and spans of the calendar, as regulations count them. */
#ifndef ZH_EVALUATOR_CALENDAR_H
#define ZH_EVALUATOR_CALENDAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "core/yaml.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t zh_date; /* days since 1970-01-01 */
enum { ZH_NO_DATE = INT32_MIN, ZH_DATE_BYTES = 11 };

typedef enum zh_span_unit { ZH_SPAN_YEARS, ZH_SPAN_MONTHS, ZH_SPAN_DAYS } zh_span_unit;
typedef struct zh_span {
  int count; /* 0: none */
  zh_span_unit unit;
} zh_span;

/* "2025-03-05", a day that exists. */
bool zh_date_parse(zh_date *out, const char *text);
ZH_MUST_CHECK zh_status zh_date_read(zh_date *out, const zh_yaml_node *node, zh_error *err);
/* "3 年", "6 个月", "30 日". */
ZH_MUST_CHECK zh_status zh_span_read(zh_span *out, const zh_yaml_node *node, zh_error *err);

/* The same day of the month later (or earlier: negative), the month's last where there is none. */
zh_date zh_date_shift(zh_date day, zh_span span, int sign);
int zh_date_year(zh_date day);
char *zh_date_text(char out[ZH_DATE_BYTES], zh_date day);
const char *zh_span_unit_zh(zh_span_unit unit);

#ifdef __cplusplus
}
#endif
#endif
