/* Made items: things that go from box to box, and how many are in one of them at the end. */
#include <inttypes.h>

#include "bench/quality/procedural.h"

enum { BOXES_MAX = 5 };
typedef enum move { PUT, TAKE, CARRY, POUR, SWAP, DOUBLE, MOVES } move;
static const char *const names[MOVES] = {"put", "take", "carry", "pour", "swap", "double"};

typedef struct boxes {
  int64_t held[BOXES_MAX];
  uint32_t count;
} boxes;

/* Draws a move that the boxes can take, makes it, and says it. At least two things move, so that no
 * language needs a singular. */
static json_t *make_move(boxes *b, zh_draw *draw, const zh_made_words *words) {
  int64_t pair[2];
  move kind = (move)zh_draw_below(draw, MOVES);
  zh_draw_different(pair, 2, b->count, draw);
  int64_t *from = &b->held[pair[0]], *to = &b->held[pair[1]], count = 2 + zh_draw_below(draw, 8);
  if ((kind == TAKE || kind == CARRY) && count > *from) kind = PUT;
  if (kind == POUR && *from == 0) kind = PUT;
  if (kind == DOUBLE && (*from == 0 || *from > 50)) kind = SWAP;
  switch (kind) {
  case TAKE:
    *from -= count;
    break;
  case CARRY:
    *from -= count;
    *to += count;
    break;
  case POUR:
    *to += *from;
    *from = 0;
    break;
  case SWAP: {
    int64_t held = *from;
    *from = *to;
    *to = held;
    break;
  }
  case DOUBLE:
    *from *= 2;
    break;
  default:
    *from += count;
  }
  return json_pack("{s:s, s:O, s:O, s:I}", "move", names[kind], "box",
                   zh_made_entry(words, "boxes", (size_t)pair[0]), "other",
                   zh_made_entry(words, "boxes", (size_t)pair[1]), "count", (json_int_t)count);
}

static json_t *first_contents(boxes *b, zh_draw *draw, const zh_made_words *words) {
  json_t *list = json_array();
  for (uint32_t i = 0; i < b->count; i++) {
    b->held[i] = 2 + zh_draw_below(draw, 8);
    json_array_append_new(list, json_pack("{s:O, s:I}", "name", zh_made_entry(words, "boxes", i),
                                          "count", (json_int_t)b->held[i]));
  }
  return list;
}

/* Level: two moves more each, and a box more every second, up to five. */
zh_status zh_made_tracking(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                           const zh_made_words *words, zh_error *err) {
  boxes b = {.count = 2 + (uint32_t)level / 2};
  int moves = 1 + 2 * level;
  if (b.count > BOXES_MAX) b.count = BOXES_MAX;
  if (zh_made_count(words, "boxes") < BOXES_MAX) return zh_made_short_list("boxes", err);
  ZH_TRY(zh_made_set(variables, "thing", json_string(zh_draw_word(draw, words, "things")), err));
  ZH_TRY(zh_made_set(variables, "boxes", first_contents(&b, draw, words), err));
  json_t *list = json_array();
  for (int i = 0; list && i < moves; i++) json_array_append_new(list, make_move(&b, draw, words));
  ZH_TRY(zh_made_set(variables, "moves", list, err));
  uint32_t wanted = zh_draw_below(draw, b.count);
  ZH_TRY(zh_made_set(variables, "wanted", json_incref(zh_made_entry(words, "boxes", wanted)), err));
  zh_text_printf(answer, "%" PRId64, b.held[wanted]);
  return ZH_OK;
}
