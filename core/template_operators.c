/* Arithmetic and slices as Python's; whole numbers have 64 bits, and what is beyond them is
 * refused. */
#include <math.h>
#include <string.h>

#include "core/template_parts.h"

static bool is_whole(tpl_value v) {
  return v.kind == TPL_INT || v.kind == TPL_BOOL;
}
static int64_t whole_of(tpl_value v) {
  return v.kind == TPL_BOOL ? v.as.truth : v.as.integer;
}
static double real_of(tpl_value v) {
  return v.kind == TPL_FLOAT ? v.as.real : (double)whole_of(v);
}

static zh_status beyond(tpl_run *run, const char *sign) {
  return tpl_fail(run, "the result of '%s' is beyond 64 bits", sign);
}

static zh_status by_zero(tpl_run *run, const char *sign) {
  return tpl_fail(run, "'%s' by zero", sign);
}

static zh_status whole_power(tpl_value *out, tpl_run *run, int64_t base, int64_t exponent) {
  int64_t result = 1;
  if (exponent < 0) {
    if (base == 0) return by_zero(run, "**");
    *out = tpl_float(pow((double)base, (double)exponent));
    return ZH_OK;
  }
  if (base == 0 || base == 1 || base == -1) {
    *out = tpl_int(exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base);
    return ZH_OK;
  }
  for (; exponent > 0; exponent--)
    if (__builtin_mul_overflow(result, base, &result)) return beyond(run, "**");
  *out = tpl_int(result);
  return ZH_OK;
}

static zh_status whole(tpl_value *out, tpl_run *run, const char *sign, int64_t a, int64_t b) {
  int64_t result = 0;
  bool over = false, doubled = sign[1] != 0;
  if (sign[0] == '/' || sign[0] == '%') {
    if (b == 0) return by_zero(run, sign);
    if (sign[0] == '/' && !doubled) {
      const int64_t exact = INT64_C(1) << 53; /* up to it every whole number is a double */
      bool small = a <= exact && a >= -exact && b <= exact && b >= -exact;
      *out = tpl_float(small ? (double)a / (double)b : (double)((long double)a / (long double)b));
      return ZH_OK;
    }
    if (b == -1) {
      over = sign[0] == '/' && __builtin_sub_overflow((int64_t)0, a, &result);
    } else {
      /* C cuts towards zero, Python rounds down. */
      int64_t rest = a % b;
      bool down = rest != 0 && (rest < 0) != (b < 0);
      result = sign[0] == '/' ? a / b - down : rest + (down ? b : 0);
    }
  } else if (doubled) {
    return whole_power(out, run, a, b);
  } else {
    over = sign[0] == '+'   ? __builtin_add_overflow(a, b, &result)
           : sign[0] == '-' ? __builtin_sub_overflow(a, b, &result)
                            : __builtin_mul_overflow(a, b, &result);
  }
  if (over) return beyond(run, sign);
  *out = tpl_int(result);
  return ZH_OK;
}

static double real_rest(double a, double b) {
  double rest = fmod(a, b);
  if (rest == 0) return copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

/* As CPython: from the exact rest, then to the nearest whole number. */
static double real_floor(double a, double b) {
  double rest = fmod(a, b), quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return copysign(0.0, a / b);
  double down = floor(quotient);
  return quotient - down > 0.5 ? down + 1 : down;
}

static zh_status real(tpl_value *out, tpl_run *run, const char *sign, double a, double b) {
  bool doubled = sign[1] != 0;
  if ((sign[0] == '/' || sign[0] == '%') && b == 0) return by_zero(run, sign);
  double result = sign[0] == '+'   ? a + b
                  : sign[0] == '-' ? a - b
                  : sign[0] == '%' ? real_rest(a, b)
                  : sign[0] == '/' ? (doubled ? real_floor(a, b) : a / b)
                  : doubled        ? pow(a, b)
                                   : a * b;
  if (doubled && sign[0] == '*') {
    if (a == 0 && b < 0) return by_zero(run, sign);
    if (isnan(result) && !isnan(a) && !isnan(b))
      return tpl_fail(run, "%s",
                      "a negative number to a broken power is not known to this version");
    if (isinf(result) && isfinite(a) && isfinite(b))
      return tpl_fail(run, "%s", "the result of '**' is too large");
  }
  *out = tpl_float(result);
  return ZH_OK;
}

/* --- text and lists --- */

/* Plain text that meets text marked as HTML is escaped. */
static zh_status make_safe(tpl_value *value, tpl_run *run) {
  zh_text text = {0};
  if (value->safe) return ZH_OK;
  ZH_TRY(tpl_charge(run, value->as.string->length * 2));
  tpl_escape(&text, value->as.string->bytes, value->as.string->length, false);
  ZH_TRY(tpl_take_text(value, run, &text));
  value->safe = true;
  return ZH_OK;
}

static zh_status add_strings(tpl_value *out, tpl_run *run, tpl_value a, tpl_value b) {
  char *joined;
  if (a.safe || b.safe) {
    ZH_TRY(make_safe(&a, run));
    ZH_TRY(make_safe(&b, run));
  }
  const tpl_string *x = a.as.string, *y = b.as.string;
  ZH_TRY(tpl_alloc(&joined, run, x->length + y->length, 1));
  if (x->length > 0) memcpy(joined, x->bytes, x->length);
  if (y->length > 0) memcpy(joined + x->length, y->bytes, y->length);
  ZH_TRY(tpl_borrow_string(out, run, joined, x->length + y->length));
  out->safe = a.safe;
  return ZH_OK;
}

static zh_status add_lists(tpl_value *out, tpl_run *run, tpl_value a, tpl_value b) {
  tpl_value *x, *y;
  size_t m, n;
  ZH_TRY(tpl_items(&x, &m, run, a));
  ZH_TRY(tpl_items(&y, &n, run, b));
  ZH_TRY(tpl_new_list(out, run, m + n, a.as.list->form));
  if (m > 0) memcpy(out->as.list->items, x, m * sizeof *x);
  if (n > 0) memcpy(out->as.list->items + m, y, n * sizeof *y);
  return ZH_OK;
}

static zh_status repeat(tpl_value *out, tpl_run *run, tpl_value what, int64_t times) {
  size_t count = times > 0 ? (size_t)times : 0, all;
  if (what.kind == TPL_STRING) {
    const tpl_string *s = what.as.string;
    char *bytes;
    if (__builtin_mul_overflow(s->length, count, &all)) all = SIZE_MAX / 4;
    ZH_TRY(tpl_alloc(&bytes, run, all, 1));
    for (size_t i = 0; s->length > 0 && i < count; i++)
      memcpy(bytes + i * s->length, s->bytes, s->length);
    ZH_TRY(tpl_borrow_string(out, run, bytes, all));
    out->safe = what.safe;
    return ZH_OK;
  }
  tpl_value *items;
  size_t size;
  ZH_TRY(tpl_items(&items, &size, run, what));
  if (__builtin_mul_overflow(size, count, &all)) all = SIZE_MAX / 64;
  ZH_TRY(tpl_new_list(out, run, all, what.as.list->form));
  for (size_t i = 0; size > 0 && i < count; i++)
    memcpy(out->as.list->items + i * size, items, size * sizeof *items);
  return ZH_OK;
}

/* Lists and tuples, which have + and *; the other forms have neither. */
static bool is_sum_list(tpl_value v) {
  return v.kind == TPL_LIST && v.as.list->form <= TPL_TUPLE;
}

zh_status tpl_arithmetic(tpl_value *out, tpl_run *run, const char *sign, tpl_value a, tpl_value b) {
  ZH_TRY(tpl_need_defined(run, a));
  if (a.kind == TPL_STRING && strcmp(sign, "%") == 0) return tpl_percent(out, run, a.as.string, b);
  ZH_TRY(tpl_need_defined(run, b));
  bool a_number = is_whole(a) || a.kind == TPL_FLOAT, b_number = is_whole(b) || b.kind == TPL_FLOAT;
  if (is_whole(a) && is_whole(b)) return whole(out, run, sign, whole_of(a), whole_of(b));
  if (a_number && b_number) return real(out, run, sign, real_of(a), real_of(b));
  if (strcmp(sign, "+") == 0) {
    if (a.kind == TPL_STRING && b.kind == TPL_STRING) return add_strings(out, run, a, b);
    if (is_sum_list(a) && is_sum_list(b) && a.as.list->form == b.as.list->form)
      return add_lists(out, run, a, b);
  }
  if (strcmp(sign, "*") == 0) {
    if ((a.kind == TPL_STRING || is_sum_list(a)) && is_whole(b))
      return repeat(out, run, a, whole_of(b));
    if (is_whole(a) && (b.kind == TPL_STRING || is_sum_list(b)))
      return repeat(out, run, b, whole_of(a));
  }
  return tpl_fail(run, "'%s' does not work on values of types '%s' and '%s'", sign,
                  tpl_type_name(a), tpl_type_name(b));
}

zh_status tpl_negative(tpl_value *out, tpl_run *run, tpl_value value, bool negate) {
  int64_t result;
  ZH_TRY(tpl_need_defined(run, value));
  if (value.kind == TPL_FLOAT) {
    *out = tpl_float(negate ? -value.as.real : value.as.real);
    return ZH_OK;
  }
  if (!is_whole(value))
    return tpl_fail(run, "a sign before a value of type '%s' has no meaning", tpl_type_name(value));
  if (__builtin_sub_overflow((int64_t)0, whole_of(value), &result)) return beyond(run, "-");
  *out = tpl_int(negate ? result : whole_of(value));
  return ZH_OK;
}

/* --- slices --- */

typedef struct slice {
  int64_t from, step;
  size_t count;
} slice;

static zh_status bound_of(int64_t *out, tpl_run *run, tpl_value bound, int64_t fallback,
                          int64_t count, int64_t least, int64_t most) {
  *out = fallback;
  if (bound.kind == TPL_NONE) return ZH_OK;
  ZH_TRY(tpl_need_defined(run, bound));
  if (!is_whole(bound)) return tpl_fail(run, "%s", "the bounds of a slice are whole numbers");
  *out = whole_of(bound);
  if (*out < 0) *out += count;
  if (*out < least) *out = least;
  if (*out > most) *out = most;
  return ZH_OK;
}

static zh_status plan_slice(slice *out, tpl_run *run, const tpl_value bounds[3], size_t length) {
  int64_t count = (int64_t)length, to;
  out->step = 1;
  if (bounds[2].kind != TPL_NONE) {
    ZH_TRY(tpl_need_defined(run, bounds[2]));
    if (!is_whole(bounds[2])) return tpl_fail(run, "%s", "the step of a slice is a whole number");
    out->step = whole_of(bounds[2]);
  }
  if (out->step == 0) return tpl_fail(run, "%s", "the step of a slice is not zero");
  bool back = out->step < 0;
  int64_t least = back ? -1 : 0, most = back ? count - 1 : count;
  if (out->step > count + 1) out->step = count + 1;
  if (out->step < -count - 1) out->step = -count - 1;
  ZH_TRY(bound_of(&out->from, run, bounds[0], back ? most : 0, count, least, most));
  ZH_TRY(bound_of(&to, run, bounds[1], back ? -1 : count, count, least, most));
  int64_t span = back ? out->from - to : to - out->from, step = back ? -out->step : out->step;
  out->count = span > 0 ? (size_t)((span + step - 1) / step) : 0;
  return ZH_OK;
}

static zh_status slice_string(tpl_value *out, tpl_run *run, tpl_string *s, const slice *how) {
  zh_text text = {0};
  ZH_TRY(tpl_charge(run, s->length));
  if (how->step == 1) {
    size_t from = tpl_byte_of(s, (size_t)how->from);
    size_t to = tpl_byte_of(s, (size_t)how->from + how->count);
    return tpl_borrow_string(out, run, s->bytes + from, how->count > 0 ? to - from : 0);
  }
  size_t at = how->count > 0 ? tpl_byte_of(s, (size_t)how->from) : 0;
  for (size_t i = 0; i < how->count; i++) {
    uint32_t point;
    int size = zh_utf8_decode(&point, s->bytes + at, s->length - at);
    zh_text_append(&text, s->bytes + at, (size_t)size);
    if (i + 1 == how->count) break;
    for (int64_t k = how->step; k != 0; k += k < 0 ? 1 : -1) {
      do at += how->step < 0 ? (size_t)-1 : 1;
      while (at < s->length && (s->bytes[at] & 0xC0) == 0x80);
    }
  }
  return tpl_take_text(out, run, &text);
}

zh_status tpl_slice(tpl_value *out, tpl_run *run, tpl_value object, const tpl_value bounds[3]) {
  slice how;
  size_t length;
  ZH_TRY(tpl_need_defined(run, object));
  bool list = object.kind == TPL_LIST && object.as.list->form <= TPL_RANGE;
  if (!list && object.kind != TPL_STRING)
    return tpl_fail(run, "a value of type '%s' has no slices", tpl_type_name(object));
  ZH_TRY(tpl_length(&length, run, object));
  ZH_TRY(plan_slice(&how, run, bounds, length));
  if (!list) {
    ZH_TRY(slice_string(out, run, object.as.string, &how));
    out->safe = object.safe;
    return ZH_OK;
  }
  tpl_value *items;
  ZH_TRY(tpl_items(&items, &length, run, object));
  ZH_TRY(tpl_new_list(out, run, how.count, object.as.list->form));
  for (size_t i = 0; i < how.count; i++)
    out->as.list->items[i] = items[how.from + (int64_t)i * how.step];
  return ZH_OK;
}
