#include "kernels/drawing_rule.h"

#include "core/philox.h"

enum { BINS = 256 };

typedef struct row {
  const float *z;
  size_t count;
  float largest;
  double rate;
} row;

/* Tokens with larger keys than this one stay, and of those that have it the first `ties`, of weight
 * `each`. All zero: every token stays. */
typedef struct cut {
  uint32_t key;
  uint64_t ties, each;
} cut;

static uint64_t weight_of(const row *r, size_t i) {
  return zh_draw_weight(r->z[i], r->largest, r->rate);
}

/* Of what `before` leaves, the shortest beginning of the order whose weights, or number, are
 * `limit` at least; digit by digit of the key. */
static cut find_cut(const row *r, cut before, uint64_t limit, int weighs) {
  uint64_t above = 0; /* of all that are larger than the digits so far */
  cut c = {0, 0, 0};
  for (int shift = 24; shift >= 0; shift -= 8) {
    uint64_t bin[BINS] = {0}, others = ~UINT64_C(0) << shift << 8;
    for (size_t i = 0; i < r->count; ++i) {
      uint32_t key = zh_draw_key(r->z[i]);
      if (key <= before.key || ((key ^ c.key) & others) != 0) continue;
      bin[key >> shift & (BINS - 1)] += weighs ? weight_of(r, i) : 1;
    }
    if (((before.key ^ c.key) & others) == 0)
      bin[before.key >> shift & (BINS - 1)] += before.ties * (weighs ? before.each : 1);
    uint32_t digit = BINS - 1;
    while (digit > 0 && above + bin[digit] < limit) above += bin[digit--];
    c.key |= digit << shift;
  }
  for (size_t i = 0; i < r->count && c.each == 0; ++i)
    if (zh_draw_key(r->z[i]) == c.key) c.each = weight_of(r, i);
  c.ties = limit > above ? limit - above : 0;
  if (weighs && c.each > 0) c.ties = (c.ties + c.each - 1) / c.each;
  return c;
}

static uint64_t sum_of(const row *r, cut c) {
  uint64_t sum = c.ties * c.each;
  for (size_t i = 0; i < r->count; ++i)
    if (zh_draw_key(r->z[i]) > c.key) sum += weight_of(r, i);
  return sum;
}

/* The weight of token i, if it stays; ties: of its key that have stayed so far. */
static uint64_t kept(const row *r, cut c, uint64_t least, size_t i, uint64_t *ties) {
  uint32_t key = zh_draw_key(r->z[i]);
  if (key < c.key || (key == c.key && (*ties)++ >= c.ties)) return 0;
  uint64_t weight = weight_of(r, i);
  return weight < least ? 0 : weight;
}

size_t zh_draw_token(const float *logits, size_t count, size_t largest, const zh_draw_rule *how) {
  row r = {logits, count, logits[largest], how->rate};
  cut c = {0, 0, 0};
  uint64_t total = 0, below = 0, ties = 0;
  uint32_t bits;
  if (!(how->rate > 0)) return largest;
  if (how->top_k > 0 && how->top_k < count) c = find_cut(&r, c, how->top_k, 0);
  if (how->top_p > 0) {
    uint64_t limit = zh_draw_share(sum_of(&r, c), how->top_p);
    c = find_cut(&r, c, limit > 0 ? limit : 1, 1);
  }
  for (size_t i = 0; i < count; ++i) total += kept(&r, c, how->min_p, i, &ties);
  zh_random_fill(&bits, 1, how->seed, ZH_DRAW_STREAM, how->index);
  uint64_t target = zh_draw_share(total, bits);
  ties = 0;
  for (size_t i = 0; i < count; ++i) {
    below += kept(&r, c, how->min_p, i, &ties);
    if (below > target) return i;
  }
  return largest; /* never: the largest itself has a weight */
}
