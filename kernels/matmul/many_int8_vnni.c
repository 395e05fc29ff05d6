/* Products of packed quanta by activations rounded to bytes, for many tokens: what
 * multiply_int8_vnni.c computes, with weights unpacked to bytes and fp32 scales once for all
 * tokens.
 *
 * Three groups of sixteen rows by four tokens keep 12 sums of integers and 12 of fp32 in registers:
 * seven loads serve 12 vpdpbusd. So many weights pass the registers for each token that they have
 * to come from the first-level cache: a panel is three groups by some blocks of 32 columns. Tokens
 * pass by it from the second level, and sums wait for the next panel of the same rows. */
#include "kernels/matmul/quanta_avx512.h"
#include "kernels/variants.h"

enum {
  GROUP = ZH_PACKED_ROWS,
  GROUPS = 3,
  TILE = ZH_LINE_TOKENS,
  TOKENS = 4,
  MOST_BLOCKS = 16,   /* of a panel: 30 KB */
  SMALL_BLOCKS = 10,  /* 19 KB */
  MOST_TOKENS = 1024, /* whose sums wait */
};

static size_t blocks_of_panel = SMALL_BLOCKS;

void zh_many_int8_vnni_cache(size_t first_level_bytes) {
  blocks_of_panel = first_level_bytes >= 48 << 10 ? MOST_BLOCKS : SMALL_BLOCKS;
}

/* A block of sixteen rows. */
typedef struct unpacked {
  _Alignas(64) uint8_t quanta[8][64];
  float scale[16], other[16]; /* minima, or the scales of the second half */
} unpacked;

/* How the integer sums of a block become fp32 ones. */
typedef enum kind {
  BIASED,  /* sums start with the bias taken off */
  MINIMUM, /* rows have minima */
  HALVES   /* biased, with scales for 16 columns */
} kind;

typedef struct product {
  float *y;
  size_t y_stride, rows, tokens, blocks, group_bytes;
  const uint8_t *weights;
  const zh_token_line *x;
  unpacked *panel;            /* [MOST_BLOCKS][GROUPS] */
  float (*sums)[GROUPS * 16]; /* [tokens] */
  size_t start;               /* where a line has what its sum starts from, in words */
} product;

/* Blocks [at, at + count) of groups from `group` on, tokens from `first` on. */
typedef struct part {
  size_t group, groups, at, count, first, tokens;
} part;

/* --- unpacking --- */

ALWAYS_INLINE void unpack_block(unpacked *out, const uint8_t *group, zh_dtype type, size_t b) {
  quanta_block q = block_at(group, type, b);
  row_factors f = factors_of(group, type, b, 0);
  for (int j = 0; j < 8; j++) _mm512_store_si512(out->quanta[j], quanta_of(&q, type, j));
  _mm512_store_ps(out->scale, f.scale);
  if (has_minimum(type)) _mm512_store_ps(out->other, f.minimum);
  if (type == ZH_Q6_K) _mm512_store_ps(out->other, factors_of(group, type, b, 1).scale);
}

ALWAYS_INLINE void unpack_part(const product *p, zh_dtype type, const part *a) {
  for (size_t g = 0; g < a->groups; g++) {
    const uint8_t *group = p->weights + (a->group + g) * p->group_bytes;
    for (size_t b = 0; b < a->count; b++)
      unpack_block(p->panel + b * GROUPS + g, group, type, a->at + b);
  }
}

/* --- a panel by up to four tokens --- */

typedef struct lines {
  const zh_token_line *x;
  size_t apart; /* lines from a block to the next */
  size_t next;  /* lines to those of the next tokens */
} lines;

ALWAYS_INLINE int word_at(const void *p) {
  int word;
  memcpy(&word, p, sizeof word);
  return word;
}

/* Words [from, from + count) of a block by lines of tokens, then to fp32. */
ALWAYS_INLINE void multiply_words(__m512 y[TOKENS][GROUPS], const unpacked *w,
                                  const zh_token_line *x, size_t start, const kind how,
                                  const int from, const int count, const int groups,
                                  const int tokens) {
  __m512i sum[TOKENS][GROUPS];
  for (int t = 0; t < tokens; t++)
    for (int g = 0; g < groups; g++)
      sum[t][g] = how == MINIMUM
                      ? _mm512_setzero_si512()
                      : _mm512_set1_epi32(word_at((const int32_t *)(const void *)(x + t) + start));
  for (int j = from; j < from + count; j++) {
    __m512i quanta[GROUPS];
    for (int g = 0; g < groups; g++) quanta[g] = _mm512_load_si512(w[g].quanta[j]);
    for (int t = 0; t < tokens; t++) {
      __m512i word = _mm512_set1_epi32(word_at(x[t].bytes + 4 * j));
      for (int g = 0; g < groups; g++) sum[t][g] = _mm512_dpbusd_epi32(sum[t][g], quanta[g], word);
    }
  }
  for (int t = 0; t < tokens; t++) {
    __m512 scale = _mm512_set1_ps(x[t].scale), bytes = _mm512_set1_ps(x[t].scaled_sum);
    for (int g = 0; g < groups; g++) {
      const float *scales = how == HALVES && from ? w[g].other : w[g].scale;
      __m512 factor = _mm512_mul_ps(scale, _mm512_load_ps(scales));
      y[t][g] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t][g]), factor, y[t][g]);
      if (how == MINIMUM) y[t][g] = _mm512_fmadd_ps(_mm512_load_ps(w[g].other), bytes, y[t][g]);
    }
  }
}

ALWAYS_INLINE void multiply_lines(const product *p, const part *a, const lines *l, size_t first,
                                  const kind how, const int groups, const int tokens) {
  float(*kept)[GROUPS * 16] = p->sums + (first - a->first);
  const zh_token_line *x = l->x;
  const unpacked *w = p->panel;
  __m512 y[TOKENS][GROUPS];
  for (int t = 0; t < tokens; t++)
    for (int g = 0; g < groups; g++)
      y[t][g] = a->at ? _mm512_load_ps(kept[t] + 16 * g) : _mm512_setzero_ps();
  for (size_t b = 0; b < a->count; b++, x += l->apart, w += GROUPS) {
    for (int t = 0; t < tokens; t++) _mm_prefetch((const char *)(x + l->next + t), _MM_HINT_T0);
    if (how == HALVES) {
      multiply_words(y, w, x, p->start, how, 0, 4, groups, tokens);
      multiply_words(y, w, x, p->start + 1, how, 4, 4, groups, tokens);
    } else {
      multiply_words(y, w, x, p->start, how, 0, 8, groups, tokens);
    }
  }
  if (a->at + a->count < p->blocks) {
    for (int t = 0; t < tokens; t++)
      for (int g = 0; g < groups; g++) _mm512_store_ps(kept[t] + 16 * g, y[t][g]);
    return;
  }
  float *out = p->y + first * p->y_stride + a->group * GROUP;
  for (int g = 0; g < groups; g++) {
    __mmask16 there = lanes16(p->rows - (a->group + (size_t)g) * GROUP);
    for (int t = 0; t < tokens; t++)
      _mm512_mask_storeu_ps(out + (size_t)t * p->y_stride + g * GROUP, there, y[t][g]);
  }
}

#define WITH_TOKENS(groups, tokens)                                                                \
  case 4 * (groups - 1) + tokens:                                                                  \
    multiply_lines(p, a, l, first, how, groups, tokens);                                           \
    break;

ALWAYS_INLINE void multiply_few_lines(const product *p, const part *a, const lines *l, size_t first,
                                      size_t tokens, const kind how) {
  switch (4 * (a->groups - 1) + tokens) {
    WITH_TOKENS(1, 1)
    WITH_TOKENS(1, 2)
    WITH_TOKENS(1, 3)
    WITH_TOKENS(1, 4)
    WITH_TOKENS(2, 1)
    WITH_TOKENS(2, 2)
    WITH_TOKENS(2, 3)
    WITH_TOKENS(2, 4)
    WITH_TOKENS(3, 1)
    WITH_TOKENS(3, 2)
    WITH_TOKENS(3, 3)
    WITH_TOKENS(3, 4)
  }
}

/* --- all of it --- */

/* What comes next is fetched while tokens pass, some lines for every four of them. */
typedef struct coming {
  const uint8_t *weights;
  size_t lines, each; /* of a group; for four tokens */
  size_t done;
} coming;

ALWAYS_INLINE coming coming_after(const product *p, const part *a) {
  size_t block = p->group_bytes / p->blocks, at = a->at + a->count, group = a->group,
         count = p->blocks - at < blocks_of_panel ? p->blocks - at : blocks_of_panel;
  if (at == p->blocks) {
    group += GROUPS;
    at = 0;
    count = p->blocks < blocks_of_panel ? p->blocks : blocks_of_panel;
  }
  coming c = {p->weights + group * p->group_bytes + at * block, (count * block + 63) / 64, 0, 0};
  size_t passes = (a->tokens + TOKENS - 1) / TOKENS;
  c.each = (c.lines + passes - 1) / passes;
  return c;
}

ALWAYS_INLINE void fetch(const product *p, coming *c) {
  size_t end = c->done + c->each < c->lines ? c->done + c->each : c->lines;
  for (; c->done < end; c->done++)
    for (size_t g = 0; g < GROUPS; g++)
      _mm_prefetch((const char *)c->weights + g * p->group_bytes + 64 * c->done, _MM_HINT_T1);
}

ALWAYS_INLINE void multiply_part(const product *p, const part *a, const kind how) {
  coming c = coming_after(p, a);
  for (size_t t = a->first; t < a->first + a->tokens; t += TOKENS) {
    size_t tile = t - t % TILE, in_tile = p->tokens - tile < TILE ? p->tokens - tile : TILE,
           left = tile + in_tile - t;
    lines l = {p->x + tile * p->blocks + a->at * in_tile + t % TILE, in_tile,
               t % TILE ? TILE * p->blocks - TOKENS : TOKENS};
    fetch(p, &c);
    multiply_few_lines(p, a, &l, t, left < TOKENS ? left : TOKENS, how);
  }
}

ALWAYS_INLINE kind kind_of(zh_dtype type) {
  return has_minimum(type) ? MINIMUM : type == ZH_Q6_K ? HALVES : BIASED;
}

ALWAYS_INLINE void multiply_rows(const product *p, zh_dtype type, size_t begin, size_t end) {
  part a;
  for (a.first = 0; a.first < p->tokens; a.first += a.tokens) {
    a.tokens = p->tokens - a.first < MOST_TOKENS ? p->tokens - a.first : MOST_TOKENS;
    for (a.group = begin; a.group < end; a.group += GROUPS) {
      a.groups = end - a.group < GROUPS ? end - a.group : GROUPS;
      for (a.at = 0; a.at < p->blocks; a.at += a.count) {
        a.count = p->blocks - a.at < blocks_of_panel ? p->blocks - a.at : blocks_of_panel;
        unpack_part(p, type, &a);
        multiply_part(p, &a, kind_of(type));
      }
    }
  }
}

/* A function of its own for each type. */
#define BY_TYPE(type)                                                                              \
  static void multiply_##type(const product *p, size_t begin, size_t end) {                        \
    multiply_rows(p, ZH_##type, begin, end);                                                       \
  }
EACH_QUANTISED(BY_TYPE)

#define OF_TYPE(type)                                                                              \
  case ZH_##type:                                                                                  \
    return multiply_##type;
static void (*multiply_of(zh_dtype type))(const product *, size_t, size_t) {
  switch (type) {
    EACH_QUANTISED(OF_TYPE)
  default:
    return NULL;
  }
}

static size_t start_of(zh_dtype type) {
  size_t bytes = bias_bits(type) == 3   ? offsetof(zh_token_line, start_3)
                 : bias_bits(type) == 4 ? offsetof(zh_token_line, start_4)
                 : bias_bits(type) == 5 ? offsetof(zh_token_line, start_5)
                                        : offsetof(zh_token_line, start_7);
  return bytes / sizeof(int32_t);
}

void zh_multiply_many_int8_vnni(float *y, size_t y_stride, const zh_packed *w, const void *prepared,
                                size_t tokens, size_t begin, size_t end, void *scratch) {
  product p = {.y = y,
               .y_stride = y_stride,
               .rows = w->rows,
               .tokens = tokens,
               .blocks = w->columns / 32,
               .group_bytes = zh_packed_group_bytes(w->type, w->columns),
               .weights = w->data,
               .x = prepared,
               .panel = scratch,
               .start = start_of(w->type)};
  p.sums = (float(*)[GROUPS * 16])(void *)(p.panel + MOST_BLOCKS * GROUPS);
  multiply_of(w->type)(&p, begin / GROUP, (end + GROUP - 1) / GROUP);
}
