#include "model/tokenizer/pretokenizer.h"

#include <string.h>

#include "core/text.h"
#include "model/tokenizer/characters.h"

void zh_pretokenizer_clear(zh_pretokenizer *p) {
  for (int i = 0; i < p->count; i++) zh_pattern_free(p->steps[i].pattern);
  p->count = 0;
}

zh_status zh_pretokenizer_add(zh_pretokenizer *p, const char *regex, zh_error *err) {
  if (p->count == ZH_SPLIT_STEPS)
    return zh_fail(err, ZH_ERR_INPUT, "a tokenizer has more than %d steps of splitting",
                   ZH_SPLIT_STEPS);
  zh_split_step *step = &p->steps[p->count];
  *step = (zh_split_step){.kind = ZH_SPLIT_PATTERN, .behaviour = ZH_ISOLATED};
  ZH_TRY(zh_pattern_create(&step->pattern, regex, strlen(regex), true, err));
  p->count++;
  return ZH_OK;
}

typedef struct splitter {
  const zh_pretokenizer *chain;
  zh_piece_visit visit;
  void *user;
} splitter;

/* One level's walk over one piece. What is not given to the next level yet stands at [from, to). */
typedef struct level {
  const splitter *s;
  const char *text;
  size_t length, from, to;
  bool at_start, after_match; /* after_match: of MERGED_WITH_NEXT and CONTIGUOUS, what came last */
  int step;
} level;

static zh_status split(const splitter *s, int step, const char *text, size_t length, bool at_start,
                       zh_error *err);

static zh_status give(const level *l, size_t begin, size_t end, zh_error *err) {
  if (begin == end) return ZH_OK;
  return split(l->s, l->step + 1, l->text + begin, end - begin, l->at_start && begin == 0, err);
}

/* Whether a part belongs to what is open. */
static bool joins(const level *l, zh_split_behaviour behaviour, bool match) {
  switch (behaviour) {
  case ZH_MERGED_WITH_PREVIOUS: /* a match ends what was open */
    return match && !l->after_match;
  case ZH_MERGED_WITH_NEXT: /* what follows a match belongs to it, unless it is a match too */
    return l->after_match && !match;
  default: /* ZH_CONTIGUOUS: like and like */
    return l->to > l->from && l->after_match == match;
  }
}

/* A part of the text, in order, which did or did not match. */
static zh_status take(level *l, size_t begin, size_t end, bool match, zh_error *err) {
  zh_split_behaviour behaviour = l->s->chain->steps[l->step].behaviour;
  if (begin == end || (behaviour == ZH_REMOVED && match)) return ZH_OK;
  if (behaviour == ZH_REMOVED || behaviour == ZH_ISOLATED) return give(l, begin, end, err);
  if (!joins(l, behaviour, match)) {
    ZH_TRY(give(l, l->from, l->to, err));
    l->from = begin;
  }
  l->to = end;
  l->after_match = match;
  return ZH_OK;
}

/* --- what matches --- */

static bool is_sign(const uint16_t *table, uint32_t c) {
  return (zh_bits_of(table, c) & ZH_PUNCTUATION) ||
         (c < 0x80 && (zh_bits_of(table, c) & ZH_SYMBOL));
}

static bool next_character(zh_span *out, const level *l, size_t from) {
  const uint16_t *table = zh_characters();
  bool signs = l->s->chain->steps[l->step].kind == ZH_SPLIT_PUNCTUATION;
  while (from < l->length) {
    uint32_t c;
    unsigned size = zh_character_at(&c, l->text + from);
    if (signs ? is_sign(table, c) : (zh_bits_of(table, c) & ZH_SPACE) != 0) {
      *out = (zh_span){from, from + size};
      return true;
    }
    from += size;
  }
  return false;
}

static bool next_text(zh_span *out, const level *l, size_t from) {
  const zh_slice *wanted = &l->s->chain->steps[l->step].text;
  if (wanted->length == 0) return false;
  const char *found = memmem(l->text + from, l->length - from, wanted->bytes, wanted->length);
  if (found == NULL) return false;
  *out = (zh_span){(size_t)(found - l->text), (size_t)(found - l->text) + wanted->length};
  return true;
}

static zh_status next_match(zh_span *out, bool *more, level *l, zh_pattern_walk *walk, size_t from,
                            zh_error *err) {
  switch (l->s->chain->steps[l->step].kind) {
  case ZH_SPLIT_PATTERN:
    return zh_pattern_next(out, more, walk, err);
  case ZH_SPLIT_PUNCTUATION:
  case ZH_SPLIT_WHITE_SPACE:
    *more = next_character(out, l, from);
    return ZH_OK;
  case ZH_SPLIT_TEXT:
  case ZH_SPLIT_METASPACE:
    *more = next_text(out, l, from);
    return ZH_OK;
  }
  return ZH_OK;
}

static zh_status walk_over(level *l, zh_pattern_walk *walk, zh_error *err) {
  const zh_split_step *step = &l->s->chain->steps[l->step];
  size_t done = 0;
  while (done < l->length) {
    zh_span span;
    bool more = false;
    ZH_TRY(next_match(&span, &more, l, walk, done, err));
    if (!more) break;
    ZH_TRY(take(l, done, span.begin, step->invert, err));
    ZH_TRY(take(l, span.begin, span.end, !step->invert, err));
    done = span.end;
  }
  ZH_TRY(take(l, done, l->length, step->invert, err));
  return give(l, l->from, l->to, err);
}

/* A splitter written by hand, whose matches are pieces: the way nearly all text goes. */
static zh_status split_by_hand(level *l, zh_find_word find, zh_error *err) {
  size_t done = 0;
  zh_span span;
  bool last = l->step + 1 == l->s->chain->count;
  while (done < l->length && find(&span, l->text, l->length, done)) {
    if (span.begin > done) ZH_TRY(give(l, done, span.begin, err));
    if (last)
      ZH_TRY(l->s->visit(l->s->user, l->text + span.begin, span.end - span.begin, err));
    else
      ZH_TRY(give(l, span.begin, span.end, err));
    done = span.end;
  }
  return give(l, done, l->length, err);
}

/* Spaces become the replacement, and one stands before the text where the step asks. */
static zh_status metaspace(const splitter *s, int number, const char *text, size_t length,
                           bool at_start, zh_error *err) {
  const zh_split_step *step = &s->chain->steps[number];
  zh_text made = {0};
  bool begins =
      length >= step->text.length && memcmp(text, step->text.bytes, step->text.length) == 0;
  bool wants = step->prefix == ZH_PREFIX_ALWAYS || (step->prefix == ZH_PREFIX_FIRST && at_start);
  if (wants && !begins && text[0] != ' ')
    zh_text_append(&made, step->text.bytes, step->text.length);
  for (const char *end = text + length; text < end;) {
    const char *space = memchr(text, ' ', (size_t)(end - text));
    const char *stop = space != NULL ? space : end;
    zh_text_append(&made, text, (size_t)(stop - text));
    if (space != NULL) zh_text_append(&made, step->text.bytes, step->text.length);
    text = space != NULL ? space + 1 : end;
  }
  zh_status status =
      made.failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (pre-tokenizer)") : ZH_OK;
  level l = {.s = s,
             .text = zh_text_string(&made),
             .length = made.length,
             .at_start = at_start,
             .step = number};
  if (status == ZH_OK) status = step->whole ? give(&l, 0, l.length, err) : walk_over(&l, NULL, err);
  zh_text_free(&made);
  return status;
}

static zh_status split_pattern(level *l, zh_error *err) {
  const zh_split_step *step = &l->s->chain->steps[l->step];
  zh_find_word find = zh_pattern_by_hand(step->pattern);
  zh_pattern_walk walk;
  if (find != NULL && step->behaviour == ZH_ISOLATED) return split_by_hand(l, find, err);
  ZH_TRY(zh_pattern_begin(&walk, step->pattern, l->text, l->length, err));
  zh_status status = walk_over(l, &walk, err);
  zh_pattern_end(&walk);
  return status;
}

/* A space before the piece, for patterns that ask for one (ByteLevel's add_prefix_space). */
static zh_status split_with_space(level *l, zh_error *err) {
  zh_text made = {0};
  zh_text_puts(&made, " ");
  zh_text_append(&made, l->text, l->length);
  zh_status status =
      made.failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (pre-tokenizer)") : ZH_OK;
  l->text = zh_text_string(&made);
  l->length = made.length;
  if (status == ZH_OK)
    status = l->s->chain->steps[l->step].pattern != NULL ? split_pattern(l, err)
                                                         : give(l, 0, l->length, err);
  zh_text_free(&made);
  return status;
}

static zh_status split(const splitter *s, int number, const char *text, size_t length,
                       bool at_start, zh_error *err) {
  if (length == 0) return ZH_OK;
  if (number == s->chain->count) return s->visit(s->user, text, length, err);
  const zh_split_step *step = &s->chain->steps[number];
  if (step->kind == ZH_SPLIT_METASPACE) return metaspace(s, number, text, length, at_start, err);
  level l = {.s = s, .text = text, .length = length, .at_start = at_start, .step = number};
  if (step->kind != ZH_SPLIT_PATTERN) return walk_over(&l, NULL, err);
  if (step->prefix == ZH_PREFIX_ALWAYS && text[0] != ' ') return split_with_space(&l, err);
  if (step->pattern == NULL) return give(&l, 0, length, err);
  return split_pattern(&l, err);
}

zh_status zh_pretokenize(const zh_pretokenizer *p, const char *text, size_t length, bool at_start,
                         zh_piece_visit visit, void *user, zh_error *err) {
  splitter s = {p, visit, user};
  return split(&s, 0, text, length, at_start, err);
}
