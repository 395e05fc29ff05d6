#include "evaluator/calendar.h"

#include <stdio.h>
#include <string.h>

static const char *const span_units[] = {"年", "个月", "日", NULL};

static bool is_leap(int year) {
  return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int month_days(int year, int month) {
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days before 1 January of the year, from year 1. */
static int days_before_year(int year) {
  int y = year - 1;
  return y * 365 + y / 4 - y / 100 + y / 400;
}

static zh_date from_civil(int year, int month, int day) {
  int days = days_before_year(year) - days_before_year(1970) + day - 1;
  for (int m = 1; m < month; m++) days += month_days(year, m);
  return days;
}

static void to_civil(int *year, int *month, int *day, zh_date date) {
  int y = 1970 + date / 366;
  while (from_civil(y + 1, 1, 1) <= date) y++;
  while (from_civil(y, 1, 1) > date) y--;
  int rest = date - from_civil(y, 1, 1), m = 1;
  for (; rest >= month_days(y, m); m++) rest -= month_days(y, m);
  *year = y;
  *month = m;
  *day = rest + 1;
}

bool zh_date_parse(zh_date *out, const char *text) {
  if (strlen(text) != 10) return false;
  for (size_t i = 0; i < 10; i++) {
    bool dash = i == 4 || i == 7;
    if (dash ? text[i] != '-' : text[i] < '0' || text[i] > '9') return false;
  }
  int year = (text[0] - '0') * 1000 + (text[1] - '0') * 100 + (text[2] - '0') * 10 + text[3] - '0';
  int month = (text[5] - '0') * 10 + text[6] - '0', day = (text[8] - '0') * 10 + text[9] - '0';
  if (year < 1900 || month < 1 || month > 12 || day < 1 || day > month_days(year, month))
    return false;
  *out = from_civil(year, month, day);
  return true;
}

zh_status zh_date_read(zh_date *out, const zh_yaml_node *node, zh_error *err) {
  const char *text;
  ZH_TRY(zh_yaml_string(&text, node, err));
  if (zh_date_parse(out, text)) return ZH_OK;
  return zh_yaml_fail(err, node, "expected a day of the calendar such as 2025-03-05");
}

zh_status zh_span_read(zh_span *out, const zh_yaml_node *node, zh_error *err) {
  double count;
  size_t unit;
  ZH_TRY(zh_yaml_quantity(&count, &unit, node, span_units, err));
  out->unit = (zh_span_unit)unit;
  out->count = count >= 1 && count <= 1000 ? (int)count : 0;
  if (out->count > 0 && (double)out->count >= count && (double)out->count <= count) return ZH_OK;
  return zh_yaml_fail(err, node, "expected a whole number from 1 to 1000 and its unit, as 3 年");
}

zh_date zh_date_shift(zh_date date, zh_span span, int sign) {
  int year, month, day;
  if (span.unit == ZH_SPAN_DAYS) return date + sign * span.count;
  to_civil(&year, &month, &day, date);
  int months = year * 12 + month - 1 + sign * span.count * (span.unit == ZH_SPAN_YEARS ? 12 : 1);
  year = months / 12;
  month = months % 12 + 1;
  int last = month_days(year, month);
  return from_civil(year, month, day < last ? day : last);
}

int zh_date_year(zh_date date) {
  int year, month, day;
  to_civil(&year, &month, &day, date);
  return year;
}

char *zh_date_text(char out[ZH_DATE_BYTES], zh_date date) {
  int year, month, day;
  char text[48];
  to_civil(&year, &month, &day, date);
  snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, day);
  snprintf(out, ZH_DATE_BYTES, "%.10s", text);
  return out;
}

const char *zh_span_unit_zh(zh_span_unit unit) {
  return span_units[unit];
}
