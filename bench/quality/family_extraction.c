/* Made items: orders told in sentences, to be written as JSON of a given shape. */
#include <stdlib.h>

#include "bench/quality/procedural.h"

enum { ORDERS_MAX = 3, FORMS = 3 };

/* What an order has. */
typedef enum part { NAME, CITY, ITEM, COUNT, PRICE, DATE, PARTS } part;
static const char *const keys[PARTS] = {"name", "city", "item", "count", "price", "date"};

typedef struct order {
  json_t *values[PARTS];
  json_t *told; /* what the sentence says, with the date in the language's own way */
} order;

static void drop(order *o) {
  for (int i = 0; i < PARTS; i++) json_decref(o->values[i]);
  json_decref(o->told);
}

static zh_status draw_order(order *out, json_t *name, zh_draw *draw, const zh_made_words *words,
                            zh_error *err) {
  int year = 2015 + (int)zh_draw_below(draw, 15), month = 1 + (int)zh_draw_below(draw, 12),
      day = 1 + (int)zh_draw_below(draw, 28);
  int64_t count = 2 + zh_draw_below(draw, 98), price = 10 + zh_draw_below(draw, 990);
  json_t *city = zh_draw_entry(draw, words, "places"), *item = zh_draw_entry(draw, words, "goods"),
         *month_name = zh_made_entry(words, "months", (size_t)month - 1);
  *out = (order){.values = {[NAME] = json_incref(name),
                            [CITY] = json_incref(city),
                            [ITEM] = json_incref(item),
                            [COUNT] = json_integer(count),
                            [PRICE] = json_integer(price),
                            [DATE] = json_sprintf("%04d-%02d-%02d", year, month, day)}};
  out->told =
      json_pack("{s:O, s:O, s:O, s:I, s:I, s:i, s:O, s:i, s:i}", "name", name, "city", city, "item",
                item, "count", (json_int_t)count, "price", (json_int_t)price, "year", year, "month",
                month_name, "day", day, "form", (int)zh_draw_below(draw, FORMS));
  return out->told && out->values[DATE] ? ZH_OK : zh_made_no_memory(err);
}

/* ---- what is wanted of an order ---- */

/* What the shape shows in a value's place: text, a number, a date. */
static json_t *sign_of(part what) {
  if (what == DATE) return json_string("2020-01-31");
  return what == COUNT || what == PRICE ? json_integer(0) : json_string("…");
}

static const char *key_word(const zh_made_words *words, const char *key) {
  const char *word = json_string_value(json_object_get(json_object_get(words->lists, "keys"), key));
  return word ? word : key;
}

/* Adds a part's value, or of no order its sign. */
static void put(json_t *object, part what, const order *o, const zh_made_words *words) {
  json_object_set_new(object, key_word(words, keys[what]),
                      o ? json_incref(o->values[what]) : sign_of(what));
}

static json_t *flat(const order *o, const part *parts, int count, const zh_made_words *words) {
  json_t *object = json_object();
  for (int i = 0; object && i < count; i++) put(object, parts[i], o, words);
  return object;
}

static json_t *nested(const order *o, const zh_made_words *words) {
  static const part who[] = {NAME, CITY}, what[] = {ITEM, COUNT, PRICE};
  json_t *object = json_object();
  if (!object) return NULL;
  put(object, DATE, o, words);
  json_object_set_new(object, key_word(words, "buyer"), flat(o, who, 2, words));
  json_object_set_new(object, key_word(words, "goods"), flat(o, what, 3, words));
  return object;
}

/* orders NULL: the shape. */
static json_t *wanted_json(const order *orders, int count, int level, const zh_made_words *words) {
  static const part few[] = {NAME, CITY}, more[] = {NAME, CITY, ITEM, COUNT},
                    all[] = {NAME, CITY, ITEM, COUNT, PRICE, DATE}, listed[] = {NAME, ITEM, COUNT};
  if (level == 1) return flat(orders, few, 2, words);
  if (level == 2) return flat(orders, more, 4, words);
  if (level == 3) return flat(orders, all, 6, words);
  if (level == 4) return nested(orders, words);
  json_t *list = json_array();
  for (int i = 0; list && i < (orders ? count : 1); i++)
    json_array_append_new(list, flat(orders ? &orders[i] : NULL, listed, 3, words));
  return list;
}

static zh_status dump(char **out, json_t *value, zh_error *err) {
  *out = NULL;
  zh_status status = value ? zh_json_dump_line(out, value, err) : zh_made_no_memory(err);
  json_decref(value);
  return status;
}

/* ---- the text ---- */

static json_t *remark(zh_draw *draw, const zh_made_words *words) {
  const char *who = zh_draw_word(draw, words, "people"), *did = zh_draw_word(draw, words, "deeds"),
             *where = zh_draw_word(draw, words, "places");
  return json_pack("{s:s, s:s, s:s}", "who", who, "did", did, "where", where);
}

/* Orders in their turn, with remarks between them that say nothing of orders. */
static json_t *lines_json(const order *orders, int count, int remarks, zh_draw *draw,
                          const zh_made_words *words) {
  json_t *lines = json_array();
  for (int i = 0; lines && i < count; i++) {
    for (int k = 0; k < remarks; k++) json_array_append_new(lines, remark(draw, words));
    json_array_append_new(lines, json_pack("{s:O}", "order", orders[i].told));
  }
  if (remarks > 0) json_array_append_new(lines, remark(draw, words));
  return lines;
}

static zh_status say(json_t *variables, zh_text *answer, const order *orders, int count, int asked,
                     int level, const zh_made_words *words, zh_error *err) {
  char *shape = NULL, *right = NULL;
  const order *first = level == 4 ? &orders[asked] : orders;
  zh_status status = dump(&shape, wanted_json(NULL, 0, level, words), err);
  if (status == ZH_OK) status = dump(&right, wanted_json(first, count, level, words), err);
  if (status == ZH_OK) status = zh_made_set(variables, "shape", json_string(shape), err);
  if (status == ZH_OK)
    status = zh_made_set(variables, "whose",
                         level == 4 ? json_incref(first->values[NAME]) : json_null(), err);
  if (status == ZH_OK) zh_text_puts(answer, right);
  free(shape);
  free(right);
  return status;
}

/* Level 1: two values of one order; 2: four; 3: six, among other sentences; 4: one of two orders,
 * nested; from 5 on: a list of three. */
zh_status zh_made_extraction(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                             const zh_made_words *words, zh_error *err) {
  static const int sizes[][2] = {{1, 0}, {1, 0}, {1, 2}, {2, 1}, {3, 1}}; /* orders, remarks */
  int row = level < 5 ? level - 1 : 4, count = sizes[row][0], made = 0;
  order orders[ORDERS_MAX] = {0};
  int64_t who[ORDERS_MAX];
  size_t buyers = zh_made_count(words, "buyers");
  zh_status status = ZH_OK;
  if (buyers < ORDERS_MAX) return zh_made_short_list("buyers", err);
  if (zh_made_count(words, "months") != 12) return zh_made_short_list("months", err);
  zh_draw_different(who, (size_t)count, (uint32_t)buyers, draw);
  while (status == ZH_OK && made < count) {
    json_t *name = zh_made_entry(words, "buyers", (size_t)who[made]);
    status = draw_order(&orders[made++], name, draw, words, err);
  }
  int asked = (int)zh_draw_below(draw, (uint32_t)count);
  if (status == ZH_OK)
    status =
        zh_made_set(variables, "lines", lines_json(orders, count, sizes[row][1], draw, words), err);
  if (status == ZH_OK) status = say(variables, answer, orders, count, asked, row + 1, words, err);
  for (int i = 0; i < made; i++) drop(&orders[i]);
  return status;
}
