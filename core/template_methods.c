/* Methods of text, as Python has them. */
#include <string.h>

#include "core/template_parts.h"

#define METHOD(name)                                                                               \
  static zh_status name(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,      \
                        const tpl_arguments *args)
#define UNUSED (void)given, (void)args, (void)self

/* --- blanks --- */

static zh_status strip(tpl_value *out, tpl_run *run, tpl_value self, tpl_value chars, bool left,
                       bool right) {
  const char *bytes = self.as.string->bytes;
  size_t length = self.as.string->length;
  tpl_string *set = NULL;
  if (chars.kind != TPL_MISSING && chars.kind != TPL_NONE)
    ZH_TRY(tpl_want_string(&set, run, chars, "the characters to strip"));
  ZH_TRY(tpl_charge(run, length * (set ? set->length + 1 : 1)));
  tpl_strip(&bytes, &length, set, left, right);
  return tpl_borrow_string(out, run, bytes, length);
}
METHOD(run_strip) {
  UNUSED;
  return strip(out, run, self, given[0], true, true);
}
METHOD(run_lstrip) {
  UNUSED;
  return strip(out, run, self, given[0], true, false);
}
METHOD(run_rstrip) {
  UNUSED;
  return strip(out, run, self, given[0], false, true);
}

/* --- looking --- */

/* Bytes of self[start:end], in code points. */
typedef struct window {
  const char *bytes;
  size_t length, first; /* first: code points before it */
  bool empty_beyond;    /* start lies behind the text: nothing, not even "", is found there */
} window;

static zh_status look_at(window *out, tpl_run *run, tpl_value self, const tpl_value *given) {
  tpl_string *s = self.as.string;
  int64_t count = (int64_t)tpl_points(s), from = 0, to = count;
  ZH_TRY(tpl_charge(run, s->length));
  if (given[0].kind != TPL_MISSING && given[0].kind != TPL_NONE)
    ZH_TRY(tpl_want_int(&from, run, given[0], "the start"));
  if (given[1].kind != TPL_MISSING && given[1].kind != TPL_NONE)
    ZH_TRY(tpl_want_int(&to, run, given[1], "the end"));
  if (from < 0) from = from + count < 0 ? 0 : from + count;
  if (to < 0) to = to + count < 0 ? 0 : to + count;
  if (to > count) to = count;
  *out = (window){.empty_beyond = from > to};
  if (from > to) return ZH_OK;
  size_t begin = tpl_byte_of(s, (size_t)from), end = tpl_byte_of(s, (size_t)to);
  out->bytes = s->bytes + begin;
  out->length = end - begin;
  out->first = (size_t)from;
  return ZH_OK;
}

static bool ends_with(const window *at, const tpl_string *what, bool at_end) {
  if (at->empty_beyond || at->length < what->length) return false;
  const char *from = at_end ? at->bytes + at->length - what->length : at->bytes;
  return what->length == 0 || memcmp(from, what->bytes, what->length) == 0;
}

/* startswith and endswith: one text, or a tuple of which any may fit. */
static zh_status fits(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,
                      bool at_end) {
  window at;
  tpl_value one = given[0], *items = &one;
  size_t count = 1;
  tpl_string *what;
  ZH_TRY(look_at(&at, run, self, given + 1));
  if (one.kind == TPL_LIST && one.as.list->form == TPL_TUPLE)
    ZH_TRY(tpl_items(&items, &count, run, one));
  *out = tpl_bool(false);
  for (size_t i = 0; i < count; i++) {
    ZH_TRY(tpl_want_string(&what, run, items[i], "what a text begins or ends with"));
    if (ends_with(&at, what, at_end)) *out = tpl_bool(true);
  }
  return ZH_OK;
}
METHOD(run_startswith) {
  UNUSED;
  return fits(out, run, self, given, false);
}
METHOD(run_endswith) {
  UNUSED;
  return fits(out, run, self, given, true);
}

static size_t points_in(const char *bytes, size_t length) {
  size_t points = 0;
  for (size_t i = 0; i < length; i++) points += (bytes[i] & 0xC0) != 0x80;
  return points;
}

static zh_status find(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,
                      bool last, bool must) {
  window at;
  tpl_string *what;
  ZH_TRY(tpl_want_string(&what, run, given[0], "what to look for"));
  ZH_TRY(look_at(&at, run, self, given + 1));
  ZH_TRY(tpl_charge(run, at.length * (last ? what->length : 1)));
  size_t found = at.empty_beyond ? SIZE_MAX
                 : last          ? tpl_find_last(at.bytes, at.length, what)
                                 : tpl_find(at.bytes, at.length, what);
  if (found == SIZE_MAX && must)
    return tpl_fail(run, "'%.*s' is not in the text", (int)(what->length < 60 ? what->length : 60),
                    what->bytes);
  *out = tpl_int(found == SIZE_MAX ? -1 : (int64_t)(at.first + points_in(at.bytes, found)));
  return ZH_OK;
}
METHOD(run_find) {
  UNUSED;
  return find(out, run, self, given, false, false);
}
METHOD(run_rfind) {
  UNUSED;
  return find(out, run, self, given, true, false);
}
METHOD(run_index) {
  UNUSED;
  return find(out, run, self, given, false, true);
}
METHOD(run_rindex) {
  UNUSED;
  return find(out, run, self, given, true, true);
}

/* Places of `what` that do not overlap; an empty one stands around every character. */
static size_t count_places(const tpl_string *s, const tpl_string *what) {
  if (what->length == 0) return points_in(s->bytes, s->length) + 1;
  size_t count = 0;
  for (size_t at = 0, found; at < s->length; at += found + what->length, count++) {
    found = tpl_find(s->bytes + at, s->length - at, what);
    if (found == SIZE_MAX) break;
  }
  return count;
}

METHOD(run_count) {
  UNUSED;
  window at;
  tpl_string *what;
  ZH_TRY(tpl_want_string(&what, run, given[0], "what to count"));
  ZH_TRY(look_at(&at, run, self, given + 1));
  const tpl_string part = {.bytes = at.bytes, .length = at.length};
  *out = tpl_int(at.empty_beyond ? 0 : (int64_t)count_places(&part, what));
  return ZH_OK;
}

/* --- changed copies --- */

/* An empty `old` stands before every character and at the end. */
static void put_replaced(zh_text *out, const tpl_string *s, const tpl_string *old,
                         const tpl_string *new, uint64_t most) {
  size_t at = 0;
  for (uint64_t done = 0; done < most && at <= s->length; done++) {
    size_t found = tpl_find(s->bytes + at, s->length - at, old);
    if (found == SIZE_MAX) break;
    zh_text_append(out, s->bytes + at, found);
    zh_text_append(out, new->bytes, new->length);
    at += found + old->length;
    if (old->length > 0) continue;
    size_t size = at < s->length ? 1 : 0;
    while (at + size < s->length && (s->bytes[at + size] & 0xC0) == 0x80) size++;
    zh_text_append(out, s->bytes + at, size);
    at += size > 0 ? size : 1;
  }
  if (at < s->length) zh_text_append(out, s->bytes + at, s->length - at);
}

METHOD(run_replace) {
  UNUSED;
  const tpl_string *s = self.as.string;
  tpl_string *old, *new;
  int64_t most = -1;
  zh_text text = {0};
  ZH_TRY(tpl_want_string(&old, run, given[0], "the text to replace"));
  ZH_TRY(tpl_want_string(&new, run, given[1], "the replacement"));
  if (given[2].kind != TPL_MISSING) ZH_TRY(tpl_want_int(&most, run, given[2], "the number"));
  size_t places = count_places(s, old), bytes;
  if (__builtin_mul_overflow(places, new->length, &bytes) || bytes > run->output)
    return tpl_fail(run, "%s", "the text that 'replace' makes is too long");
  ZH_TRY(tpl_charge(run, s->length * 2));
  put_replaced(&text, s, old, new, most < 0 ? UINT64_MAX : (uint64_t)most);
  return tpl_take_text(out, run, &text);
}

METHOD(run_upper) {
  UNUSED;
  return tpl_change_case(out, run, self.as.string, TPL_UPPER);
}
METHOD(run_lower) {
  UNUSED;
  return tpl_change_case(out, run, self.as.string, TPL_LOWER);
}
METHOD(run_title) {
  UNUSED;
  return tpl_change_case(out, run, self.as.string, TPL_TITLE);
}
METHOD(run_capitalize) {
  UNUSED;
  return tpl_change_case(out, run, self.as.string, TPL_CAPITALIZE);
}

static zh_status remove_part(tpl_value *out, tpl_run *run, tpl_value self, tpl_value part,
                             bool at_end) {
  const tpl_string *s = self.as.string;
  tpl_string *what;
  ZH_TRY(tpl_want_string(&what, run, part, "the part to remove"));
  const window all = {.bytes = s->bytes, .length = s->length};
  size_t cut = ends_with(&all, what, at_end) ? what->length : 0;
  return tpl_borrow_string(out, run, s->bytes + (at_end ? 0 : cut), s->length - cut);
}
METHOD(run_removeprefix) {
  UNUSED;
  return remove_part(out, run, self, given[0], false);
}
METHOD(run_removesuffix) {
  UNUSED;
  return remove_part(out, run, self, given[0], true);
}

METHOD(run_join) {
  UNUSED;
  tpl_value *items;
  size_t count;
  zh_text text = {0};
  ZH_TRY(tpl_iterate(&items, &count, run, given[0]));
  for (size_t i = 0; i < count; i++) {
    if (items[i].kind != TPL_STRING || text.length > run->output) {
      zh_text_free(&text);
      return tpl_fail(run,
                      "'join' of text takes text alone and makes no endless one; item %zu is "
                      "of type '%s'",
                      i, tpl_type_name(items[i]));
    }
    if (i > 0) zh_text_append(&text, self.as.string->bytes, self.as.string->length);
    zh_text_append(&text, items[i].as.string->bytes, items[i].as.string->length);
  }
  return tpl_take_text(out, run, &text);
}

/* Padding on both sides, the left one first where it does not come out even, as CPython does. */
static zh_status pad(tpl_value *out, tpl_run *run, tpl_value self, const tpl_value *given,
                     char where) {
  tpl_string *s = self.as.string, *fill;
  int64_t width, points = (int64_t)tpl_points(s);
  tpl_value blank;
  ZH_TRY(tpl_borrow_string(&blank, run, " ", 1));
  ZH_TRY(tpl_want_int(&width, run, given[0], "the width"));
  ZH_TRY(
      tpl_want_string(&fill, run, given[1].kind == TPL_MISSING ? blank : given[1], "the filling"));
  if (tpl_points(fill) != 1) return tpl_fail(run, "%s", "the filling is one character");
  int64_t missing = width > points ? width - points : 0;
  if (missing > (int64_t)(run->output / 4)) return tpl_fail(run, "%s", "the width is too large");
  int64_t left = where == '>' ? missing : where == '<' ? 0 : missing / 2 + (missing & width & 1);
  zh_text text = {0};
  for (int64_t i = 0; i < left; i++) zh_text_append(&text, fill->bytes, fill->length);
  zh_text_append(&text, s->bytes, s->length);
  for (int64_t i = left; i < missing; i++) zh_text_append(&text, fill->bytes, fill->length);
  return tpl_take_text(out, run, &text);
}
METHOD(run_center) {
  UNUSED;
  return pad(out, run, self, given, '^');
}
METHOD(run_ljust) {
  UNUSED;
  return pad(out, run, self, given, '<');
}
METHOD(run_rjust) {
  UNUSED;
  return pad(out, run, self, given, '>');
}

METHOD(run_zfill) {
  UNUSED;
  tpl_value parts[2] = {given[0]}, rest, head;
  const tpl_string *s = self.as.string;
  bool sign = s->length > 0 && (s->bytes[0] == '+' || s->bytes[0] == '-');
  int64_t width;
  ZH_TRY(tpl_want_int(&width, run, given[0], "the width"));
  ZH_TRY(tpl_borrow_string(&parts[1], run, "0", 1));
  parts[0] = tpl_int(sign && width > 0 ? width - 1 : width);
  ZH_TRY(tpl_borrow_string(&head, run, s->bytes, sign));
  ZH_TRY(tpl_borrow_string(&rest, run, s->bytes + sign, s->length - sign));
  ZH_TRY(pad(&rest, run, rest, parts, '>'));
  return tpl_arithmetic(out, run, "+", head, rest);
}

METHOD(run_format) {
  UNUSED;
  return tpl_braces(out, run, self.as.string, args);
}

/* --- kinds of characters --- */

static zh_status all_of(tpl_value *out, tpl_run *run, tpl_value self, tpl_class what) {
  bool truth;
  ZH_TRY(tpl_all_of(&truth, run, self.as.string, what));
  *out = tpl_bool(truth);
  return ZH_OK;
}
METHOD(run_isdigit) {
  UNUSED;
  return all_of(out, run, self, TPL_DIGITS);
}
METHOD(run_isalpha) {
  UNUSED;
  return all_of(out, run, self, TPL_ALPHA);
}
METHOD(run_isalnum) {
  UNUSED;
  return all_of(out, run, self, TPL_ALNUM);
}
METHOD(run_isspace) {
  UNUSED;
  return all_of(out, run, self, TPL_SPACES);
}
METHOD(run_isupper) {
  UNUSED;
  return all_of(out, run, self, TPL_ALL_UPPER);
}
METHOD(run_islower) {
  UNUSED;
  return all_of(out, run, self, TPL_ALL_LOWER);
}

const tpl_builtin tpl_string_methods[] = {{"strip", run_strip, "?chars"},
                                          {"lstrip", run_lstrip, "?chars"},
                                          {"rstrip", run_rstrip, "?chars"},
                                          {"startswith", run_startswith, "prefix ?start ?end"},
                                          {"endswith", run_endswith, "suffix ?start ?end"},
                                          {"find", run_find, "sub ?start ?end"},
                                          {"rfind", run_rfind, "sub ?start ?end"},
                                          {"index", run_index, "sub ?start ?end"},
                                          {"rindex", run_rindex, "sub ?start ?end"},
                                          {"count", run_count, "sub ?start ?end"},
                                          {"replace", run_replace, "old new ?count"},
                                          {"upper", run_upper, ""},
                                          {"lower", run_lower, ""},
                                          {"title", run_title, ""},
                                          {"capitalize", run_capitalize, ""},
                                          {"removeprefix", run_removeprefix, "prefix"},
                                          {"removesuffix", run_removesuffix, "suffix"},
                                          {"join", run_join, "iterable"},
                                          {"center", run_center, "width ?fillchar"},
                                          {"ljust", run_ljust, "width ?fillchar"},
                                          {"rjust", run_rjust, "width ?fillchar"},
                                          {"zfill", run_zfill, "width"},
                                          {"format", run_format, "*"},
                                          {"isdigit", run_isdigit, ""},
                                          {"isalpha", run_isalpha, ""},
                                          {"isalnum", run_isalnum, ""},
                                          {"isspace", run_isspace, ""},
                                          {"isupper", run_isupper, ""},
                                          {"islower", run_islower, ""},
                                          {NULL, NULL, NULL}};
