/* Filters that make and change numbers, as Python reads and rounds them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/template_parts.h"

#define FILTER(name)                                                                               \
  static zh_status name(tpl_value *out, tpl_run *run, tpl_value v, const tpl_value *given,         \
                        const tpl_arguments *args)
#define UNUSED (void)given, (void)args, (void)v

static bool missing(tpl_value v) {
  return v.kind == TPL_MISSING;
}

/* Digits of a text as int() and float() of Python read them: blanks around, "_" between. */
static bool digits_of(char out[64], const tpl_string *s) {
  const char *bytes = s->bytes;
  size_t length = s->length, kept = 0;
  tpl_strip(&bytes, &length, NULL, true, true);
  for (size_t i = 0; i < length; i++) {
    bool between = i > 0 && i + 1 < length && bytes[i - 1] >= '0' && bytes[i - 1] <= '9' &&
                   bytes[i + 1] >= '0' && bytes[i + 1] <= '9';
    if (bytes[i] == '_' && between) continue;
    if (kept == 63 || bytes[i] == '_' || bytes[i] <= ' ' || bytes[i] > '~') return false;
    out[kept++] = bytes[i];
  }
  out[kept] = 0;
  return kept > 0;
}

static bool read_float(double *out, const tpl_string *s) {
  char digits[64], *end;
  if (!digits_of(digits, s) || strpbrk(digits, "xXpP(")) return false;
  *out = strtod(digits, &end);
  return *end == 0;
}

typedef enum reading { READ, NO_NUMBER, TOO_LARGE } reading;

static reading read_int(int64_t *out, const tpl_string *s, int base) {
  char digits[64];
  if (!digits_of(digits, s)) return NO_NUMBER;
  size_t sign = digits[0] == '-' || digits[0] == '+';
  if (digits[sign] == 0) return NO_NUMBER;
  __int128 value = 0;
  for (const char *c = digits + sign; *c; c++) {
    int digit = *c >= '0' && *c <= '9' ? *c - '0' : (*c | 32) >= 'a' ? (*c | 32) - 'a' + 10 : 99;
    if (digit >= base) return NO_NUMBER;
    value = value * base + digit;
    if (value > (__int128)INT64_MAX) return TOO_LARGE;
  }
  *out = (int64_t)(digits[0] == '-' ? -value : value);
  return READ;
}

static zh_status int_of_real(tpl_value *out, tpl_run *run, double real) {
  if (fabs(real) >= 9223372036854775808.0)
    return tpl_fail(run, "%s", "the whole number of 'int' is beyond 64 bits");
  *out = tpl_int((int64_t)real);
  return ZH_OK;
}

/* Other scripts have digits, too, which Python would read; they are refused, not misread. */
static zh_status check_digits(tpl_run *run, const tpl_string *s) {
  bool ignored;
  return tpl_all_of(&ignored, run, s, TPL_DIGITS);
}

FILTER(run_int) {
  UNUSED;
  int64_t base = 10, whole;
  double real = NAN;
  ZH_TRY(tpl_need_defined(run, v));
  if (!missing(given[1])) ZH_TRY(tpl_want_int(&base, run, given[1], "the base of 'int'"));
  if (base < 2 || base > 36)
    return tpl_fail(run, "%s", "the base of 'int' is from 2 to 36 in this version");
  if (v.kind == TPL_STRING) ZH_TRY(check_digits(run, v.as.string));
  *out = missing(given[0]) ? tpl_int(0) : given[0];
  if (v.kind == TPL_INT || v.kind == TPL_BOOL) {
    *out = tpl_int(v.kind == TPL_INT ? v.as.integer : v.as.truth);
  } else if (v.kind == TPL_STRING) {
    reading how = read_int(&whole, v.as.string, (int)base);
    if (how == TOO_LARGE) return tpl_fail(run, "%s", "the whole number of 'int' is beyond 64 bits");
    if (how == READ) {
      *out = tpl_int(whole);
      return ZH_OK;
    }
    if (!read_float(&real, v.as.string)) real = NAN;
  } else if (v.kind == TPL_FLOAT) {
    real = v.as.real;
  }
  return isfinite(real) ? int_of_real(out, run, real) : ZH_OK;
}

FILTER(run_float) {
  UNUSED;
  double real;
  ZH_TRY(tpl_need_defined(run, v));
  *out = missing(given[0]) ? tpl_float(0) : given[0];
  if (v.kind == TPL_STRING) ZH_TRY(check_digits(run, v.as.string));
  if (v.kind == TPL_FLOAT) *out = v;
  if (v.kind == TPL_INT) *out = tpl_float((double)v.as.integer);
  if (v.kind == TPL_BOOL) *out = tpl_float(v.as.truth);
  if (v.kind == TPL_STRING && read_float(&real, v.as.string)) *out = tpl_float(real);
  return ZH_OK;
}

FILTER(run_abs) {
  UNUSED;
  ZH_TRY(tpl_need_defined(run, v));
  bool negative =
      v.kind == TPL_FLOAT ? signbit(v.as.real) != 0 : v.kind == TPL_INT && v.as.integer < 0;
  return tpl_negative(out, run, v, negative);
}

/* As Python rounds: to the nearest decimal, halves of the exact binary value to the even one. */
FILTER(run_round) {
  UNUSED;
  int64_t precision = 0;
  char digits[400];
  ZH_TRY(tpl_need_defined(run, v));
  if (!missing(given[0])) ZH_TRY(tpl_want_int(&precision, run, given[0], "the precision"));
  if (precision < 0 || precision > 15)
    return tpl_fail(run, "%s", "the precision of 'round' is from 0 to 15 in this version");
  bool common = missing(given[1]) || tpl_is_string(given[1], "common");
  bool up = !common && tpl_is_string(given[1], "ceil");
  if (!common && !up && !tpl_is_string(given[1], "floor"))
    return tpl_fail(run, "%s", "'round' knows the methods common, ceil and floor");
  if (v.kind != TPL_FLOAT && v.kind != TPL_INT && v.kind != TPL_BOOL)
    return tpl_fail(run, "a value of type '%s' cannot be rounded", tpl_type_name(v));
  if (v.kind != TPL_FLOAT && common) return tpl_negative(out, run, v, false);
  double real = v.kind == TPL_FLOAT ? v.as.real
                : v.kind == TPL_INT ? (double)v.as.integer
                                    : v.as.truth;
  if (common) {
    snprintf(digits, sizeof digits, "%.*f", (int)precision, real);
    *out = tpl_float(isfinite(real) ? strtod(digits, NULL) : real);
    return ZH_OK;
  }
  if (!isfinite(real)) return tpl_fail(run, "%s", "what is not finite has no next whole number");
  double scale = pow(10, (double)precision), scaled = real * scale;
  *out = tpl_float((up ? ceil(scaled) : floor(scaled)) / scale);
  return ZH_OK;
}

const tpl_builtin tpl_number_filters[] = {{"int", run_int, "?default ?base"},
                                          {"float", run_float, "?default"},
                                          {"abs", run_abs, ""},
                                          {"round", run_round, "?precision ?method"},
                                          {NULL, NULL, NULL}};
