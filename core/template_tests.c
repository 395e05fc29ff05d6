/* Tests: what may stand after "is". */
#include <math.h>
#include <string.h>

#include "core/template_parts.h"

#define TEST(name)                                                                                 \
  static zh_status name(tpl_value *out, tpl_run *run, tpl_value v, const tpl_value *given,         \
                        const tpl_arguments *args)
#define UNUSED (void)run, (void)given, (void)args, (void)v

static zh_status answer(tpl_value *out, bool truth) {
  *out = tpl_bool(truth);
  return ZH_OK;
}

TEST(is_defined) {
  UNUSED;
  return answer(out, v.kind != TPL_UNDEFINED);
}
TEST(is_undefined) {
  UNUSED;
  return answer(out, v.kind == TPL_UNDEFINED);
}
TEST(is_none) {
  UNUSED;
  return answer(out, v.kind == TPL_NONE);
}
TEST(is_boolean) {
  UNUSED;
  return answer(out, v.kind == TPL_BOOL);
}
TEST(is_true) {
  UNUSED;
  return answer(out, v.kind == TPL_BOOL && v.as.truth);
}
TEST(is_false) {
  UNUSED;
  return answer(out, v.kind == TPL_BOOL && !v.as.truth);
}
TEST(is_integer) {
  UNUSED;
  return answer(out, v.kind == TPL_INT);
}
TEST(is_float) {
  UNUSED;
  return answer(out, v.kind == TPL_FLOAT);
}
TEST(is_number) {
  UNUSED;
  return answer(out, v.kind == TPL_INT || v.kind == TPL_FLOAT || v.kind == TPL_BOOL);
}
TEST(is_string) {
  UNUSED;
  return answer(out, v.kind == TPL_STRING);
}
TEST(is_mapping) {
  UNUSED;
  return answer(out, v.kind == TPL_DICT);
}
TEST(is_callable) {
  UNUSED;
  return answer(out, v.kind == TPL_UNDEFINED || v.kind == TPL_MACRO || v.kind == TPL_BUILTIN ||
                         v.kind == TPL_METHOD || v.kind == TPL_JOINER || v.kind == TPL_LOOP);
}

/* Undefined values can be gone over, and have a length, where the style is not strict. */
TEST(is_iterable) {
  UNUSED;
  bool undefined = v.kind == TPL_UNDEFINED;
  if (undefined) ZH_TRY(tpl_strict(run, v));
  return answer(out, undefined || v.kind == TPL_STRING || v.kind == TPL_LIST ||
                         v.kind == TPL_DICT || v.kind == TPL_LOOP);
}
TEST(is_sequence) {
  UNUSED;
  bool undefined = v.kind == TPL_UNDEFINED && (v.safe || !run->tpl->style.strict_undefined);
  bool list = v.kind == TPL_LIST && v.as.list->form <= TPL_RANGE;
  return answer(out, undefined || list || v.kind == TPL_STRING || v.kind == TPL_DICT);
}

/* Of a value's text, as Jinja looks at it. */
static zh_status text_is(tpl_value *out, tpl_run *run, tpl_value v, tpl_class what) {
  tpl_string *text;
  bool truth;
  ZH_TRY(tpl_text_of(&text, run, v));
  ZH_TRY(tpl_all_of(&truth, run, text, what));
  return answer(out, truth);
}
TEST(is_upper) {
  UNUSED;
  return text_is(out, run, v, TPL_ALL_UPPER);
}
TEST(is_lower) {
  UNUSED;
  return text_is(out, run, v, TPL_ALL_LOWER);
}

/* The rest of a division, as arithmetic computes it. */
static zh_status rest_is(tpl_value *out, tpl_run *run, tpl_value v, tpl_value by, int64_t wanted) {
  tpl_value rest;
  bool same;
  if (v.kind == TPL_STRING) return tpl_fail(run, "%s", "text cannot be divided");
  ZH_TRY(tpl_arithmetic(&rest, run, "%", v, by));
  ZH_TRY(tpl_equal(&same, run, rest, tpl_int(wanted)));
  return answer(out, same);
}
TEST(is_divisible) {
  UNUSED;
  return rest_is(out, run, v, given[0], 0);
}
TEST(is_even) {
  UNUSED;
  return rest_is(out, run, v, tpl_int(2), 0);
}
TEST(is_odd) {
  UNUSED;
  return rest_is(out, run, v, tpl_int(2), 1);
}

#define COMPARISON(name, sign)                                                                     \
  TEST(name) {                                                                                     \
    bool truth;                                                                                    \
    UNUSED;                                                                                        \
    ZH_TRY(tpl_compare(&truth, run, sign, v, given[0]));                                           \
    return answer(out, truth);                                                                     \
  }
COMPARISON(is_equal, "==")
COMPARISON(is_unequal, "!=")
COMPARISON(is_greater, ">")
COMPARISON(is_at_least, ">=")
COMPARISON(is_less, "<")
COMPARISON(is_at_most, "<=")
COMPARISON(is_in, "in")

/* Identity is told only where Python has one object: none, true, false. */
TEST(is_same) {
  UNUSED;
  tpl_value other = given[0];
  bool simple =
      v.kind == TPL_NONE || v.kind == TPL_BOOL || other.kind == TPL_NONE || other.kind == TPL_BOOL;
  if (!simple)
    return tpl_fail(run, "%s", "'sameas' is known to this version for none, true and false alone");
  bool same = v.kind == other.kind && (v.kind == TPL_NONE || v.as.truth == other.as.truth);
  return answer(out, same);
}

static zh_status known(tpl_value *out, tpl_run *run, tpl_value v, bool test) {
  tpl_string *name;
  ZH_TRY(tpl_want_string(&name, run, v, "the name"));
  char copy[64] = {0};
  if (name->length < sizeof copy) memcpy(copy, name->bytes, name->length);
  return answer(out, (test ? tpl_find_test(copy) : tpl_find_filter(copy)) != NULL);
}
TEST(is_filter) {
  UNUSED;
  return known(out, run, v, false);
}
TEST(is_test) {
  UNUSED;
  return known(out, run, v, true);
}

static const tpl_builtin tests[] = {{"defined", is_defined, ""},
                                    {"undefined", is_undefined, ""},
                                    {"none", is_none, ""},
                                    {"boolean", is_boolean, ""},
                                    {"true", is_true, ""},
                                    {"false", is_false, ""},
                                    {"integer", is_integer, ""},
                                    {"float", is_float, ""},
                                    {"number", is_number, ""},
                                    {"string", is_string, ""},
                                    {"mapping", is_mapping, ""},
                                    {"iterable", is_iterable, ""},
                                    {"sequence", is_sequence, ""},
                                    {"callable", is_callable, ""},
                                    {"upper", is_upper, ""},
                                    {"lower", is_lower, ""},
                                    {"even", is_even, ""},
                                    {"odd", is_odd, ""},
                                    {"divisibleby", is_divisible, "num"},
                                    {"sameas", is_same, "other"},
                                    {"in", is_in, "seq"},
                                    {"filter", is_filter, ""},
                                    {"test", is_test, ""},
                                    {"eq", is_equal, "other"},
                                    {"equalto", is_equal, "other"},
                                    {"==", is_equal, "other"},
                                    {"ne", is_unequal, "other"},
                                    {"!=", is_unequal, "other"},
                                    {"gt", is_greater, "other"},
                                    {"greaterthan", is_greater, "other"},
                                    {">", is_greater, "other"},
                                    {"ge", is_at_least, "other"},
                                    {">=", is_at_least, "other"},
                                    {"lt", is_less, "other"},
                                    {"lessthan", is_less, "other"},
                                    {"<", is_less, "other"},
                                    {"le", is_at_most, "other"},
                                    {"<=", is_at_most, "other"},
                                    {NULL, NULL, NULL}};

const tpl_builtin *tpl_find_test(const char *name) {
  return tpl_find_in(tests, name);
}
