/* What variants of attention share: a query head's row of a run, and the softmax of a block of keys
 * as a part: sums of weighted values [padded], then the largest score, then the sum of weights.
 * Inside kernels/. */
#ifndef ZH_KERNELS_ATTENTION_PARTS_H
#define ZH_KERNELS_ATTENTION_PARTS_H

#include "kernels/attention/kv.h"

/* Where no key was seen: a number, so that differences are. */
#define NO_SCORE (-1e30f)

/* Rows that the tiles' way takes at once. */
enum { ATTENTION_STEP_ROWS = 32 };

static inline size_t padded_dims(size_t head_dim) {
  return (head_dim + 15) & ~(size_t)15;
}
/* Floats of a part. */
static inline size_t part_floats(size_t value_dim) {
  return padded_dims(value_dim) + 16;
}

/* Tokens [begin, end) of one sequence that one pass over their keys serves. */
typedef struct run_of {
  const zh_attention *a;
  size_t kv_head, group; /* group: query heads of it */
  size_t begin, end;
  size_t first_block, last_block; /* blocks that any of them attends to */
} run_of;

static inline size_t first_position(const zh_attention *a, size_t t) {
  size_t position = a->position[t];
  return a->window && a->window <= position ? position + 1 - a->window : 0;
}

/* The tokens from `begin` on, before `end`, that share a sequence. */
static inline run_of run_from(const zh_attention *a, size_t kv_head, size_t begin, size_t end) {
  run_of r = {a, kv_head, a->heads / a->kv->kv_heads, begin, begin, SIZE_MAX, 0};
  for (; r.end < end && a->sequence[r.end] == a->sequence[begin]; r.end++) {
    size_t first = first_position(a, r.end) / ZH_ATTENTION_BLOCK,
           last = a->position[r.end] / ZH_ATTENTION_BLOCK;
    r.first_block = first < r.first_block ? first : r.first_block;
    r.last_block = last > r.last_block ? last : r.last_block;
  }
  return r;
}

/* Row i of a run: which number it has in [tokens][heads]. */
static inline size_t row_at(const run_of *r, size_t i) {
  return (r->begin + i / r->group) * r->a->heads + r->kv_head * r->group + i % r->group;
}
static inline float sink_of(const run_of *r, size_t i) {
  return r->a->sinks[r->kv_head * r->group + i % r->group];
}
static inline float slope_of(const run_of *r, size_t i) {
  return r->a->slopes[r->kv_head * r->group + i % r->group];
}
/* How far the first key of a block lies behind the token of row i; negative: so far before it. */
static inline float distance_of(const run_of *r, size_t i, size_t block) {
  size_t at = block * ZH_ATTENTION_BLOCK, position = r->a->position[r->begin + i / r->group];
  return (float)at - (float)position;
}
static inline size_t rows_of(const run_of *r) {
  return (r->end - r->begin) * r->group;
}

static inline float *part_at(const zh_attention *a, size_t row, size_t block) {
  return a->parts + (row * a->blocks + block) * part_floats(zh_kv_value_dim(a->kv));
}

/* Keys of a block, counted from its first, that row i attends to; end 0: none. */
static inline void keys_of(size_t *begin, size_t *end, const run_of *r, size_t i, size_t block) {
  size_t t = r->begin + i / r->group, from = first_position(r->a, t),
         to = (size_t)r->a->position[t] + 1, at = block * ZH_ATTENTION_BLOCK;
  *begin = from > at ? from - at : 0;
  *end = to > at ? to - at : 0;
  if (*end > ZH_ATTENTION_BLOCK) *end = ZH_ATTENTION_BLOCK;
  if (*begin >= *end) *begin = *end = 0;
}

/* A state is a part to which others are added, in order. Functions, so that they round alike
 * wherever a part comes from. */
#define DECLARE_PARTS(isa)                                                                         \
  void zh_attention_begin_state_##isa(float *state, size_t padded);                                \
  void zh_attention_add_part_##isa(float *state, const float *part, size_t padded);                \
  /* A score without a value. */                                                                   \
  void zh_attention_add_sink_##isa(float *state, float sink, size_t padded);                       \
  void zh_attention_finish_##isa(float *out, const float *state, size_t head_dim);
DECLARE_PARTS(portable)
DECLARE_PARTS(avx2)
DECLARE_PARTS(avx512)

#endif
