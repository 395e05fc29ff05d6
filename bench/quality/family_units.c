/* Made items: units turned into others. made.yaml has chains of units, each with how many of the
 * next it holds: [hours, 60, minutes, 60, seconds]. */
#include <inttypes.h>

#include "bench/quality/procedural.h"

enum { MIXED_FROM = 3, UPWARDS = 4, SUMS_FROM = 5 };

typedef struct chain {
  const json_t *words;
  size_t units;
} chain;

static const char *unit_of(const chain *c, size_t i) {
  const char *name = json_string_value(json_array_get(c->words, 2 * i));
  return name ? name : "";
}

static int64_t holds(const chain *c, size_t i) {
  return json_integer_value(json_array_get(c->words, 2 * i + 1));
}

/* At least two of each, so that no language needs a singular. */
static json_t *amount(int64_t count, const chain *c, size_t unit) {
  return json_pack("{s:I, s:s}", "count", (json_int_t)count, "unit", unit_of(c, unit));
}

/* Units `first` and, where mixed, the next: appended to *list, worth *out of the unit behind. */
static zh_status draw_amounts(json_t *list, int64_t *out, const chain *c, size_t first, bool mixed,
                              uint32_t most, zh_draw *draw, zh_error *err) {
  int64_t count = 2 + zh_draw_below(draw, most - 1);
  *out = count * holds(c, first);
  if (json_array_append_new(list, amount(count, c, first)) != 0) return zh_made_no_memory(err);
  if (!mixed) return ZH_OK;
  int64_t room = holds(c, first) - 2,
          more = 2 + (room > 0 ? zh_draw_below(draw, (uint32_t)room) : 0);
  *out = (*out + more) * holds(c, first + 1);
  return json_array_append_new(list, amount(more, c, first + 1)) == 0 ? ZH_OK
                                                                      : zh_made_no_memory(err);
}

/* Two mixed quantities added, or the smaller taken from the larger. */
static zh_status sum(json_t *variables, int64_t *out, const chain *c, size_t first, zh_draw *draw,
                     zh_error *err) {
  json_t *one = json_array(), *other = json_array();
  int64_t a = 0, b = 0;
  bool minus = zh_draw_below(draw, 2) == 1;
  zh_status status =
      one && other ? draw_amounts(one, &a, c, first, true, 20, draw, err) : zh_made_no_memory(err);
  if (status == ZH_OK) status = draw_amounts(other, &b, c, first, true, 20, draw, err);
  bool turned = minus && b > a;
  *out = !minus ? a + b : turned ? b - a : a - b;
  if (status == ZH_OK) status = zh_made_set(variables, "minus", json_boolean(minus), err);
  if (status == ZH_OK)
    status = zh_made_set(variables, "amounts", json_incref(turned ? other : one), err);
  if (status == ZH_OK)
    status = zh_made_set(variables, "more", json_incref(turned ? one : other), err);
  json_decref(one);
  json_decref(other);
  return status;
}

/* One quantity, down the chain: `steps` of it. */
static zh_status down(json_t *variables, int64_t *out, const chain *c, size_t first, size_t steps,
                      bool mixed, zh_draw *draw, zh_error *err) {
  json_t *list = json_array();
  zh_status status = list
                         ? draw_amounts(list, out, c, first, mixed, steps == 1 ? 20 : 50, draw, err)
                         : zh_made_no_memory(err);
  if (steps == 2 && !mixed) *out *= holds(c, first + 1);
  if (status == ZH_OK) return zh_made_set(variables, "amounts", list, err);
  json_decref(list);
  return status;
}

/* Up the chain: so many of a small unit are a whole number of a larger. */
static zh_status up(json_t *variables, int64_t *out, const chain *c, size_t first, zh_draw *draw,
                    zh_error *err) {
  *out = 2 + zh_draw_below(draw, 98);
  json_t *only = amount(*out * holds(c, first) * holds(c, first + 1), c, first + 2);
  return zh_made_set(variables, "amounts", json_pack("[o]", only), err);
}

/* Level 1: to the next unit; 2: to the one behind it; 3: of two units; 4: back up; from 5 on: two
 * such quantities added or subtracted. */
zh_status zh_made_units(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                        const zh_made_words *words, zh_error *err) {
  chain c = {.words = zh_draw_entry(draw, words, "units")};
  size_t steps = level == 1 ? 1 : 2;
  c.units = (json_array_size(c.words) + 1) / 2;
  if (c.units < 3) return zh_made_short_list("units", err);
  size_t first = zh_draw_below(draw, (uint32_t)(c.units - steps));
  const char *wanted = unit_of(&c, level == UPWARDS ? first : first + steps);
  int64_t result = 0;
  ZH_TRY(zh_made_set(variables, "wanted", json_string(wanted), err));
  ZH_TRY(zh_made_set(variables, "more", json_array(), err));
  if (level >= SUMS_FROM)
    ZH_TRY(sum(variables, &result, &c, first, draw, err));
  else if (level == UPWARDS)
    ZH_TRY(up(variables, &result, &c, first, draw, err));
  else
    ZH_TRY(down(variables, &result, &c, first, steps, level >= MIXED_FROM, draw, err));
  zh_text_printf(answer, "%" PRId64, result);
  return ZH_OK;
}
