/* zhiheng model generate */
#include "cli/model_session.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/engine/sampling.h"
#include "core/progress.h"

enum { AT_ONCE = 16 }; /* tokens drawn on a device from one call */

/* A number of at most `most`, or `fallback` where it is not given. */
static zh_status number_of(double *out, const zh_session_arguments *given, int key,
                           const char *name, double fallback, double most, zh_error *err) {
  const char *text = given->value[key];
  *out = fallback;
  if (!text) return ZH_OK;
  char *end = NULL;
  *out = strtod(text, &end);
  if (end != text && *end == '\0' && isfinite(*out) && *out >= 0 && *out <= most) return ZH_OK;
  if (most == 1)
    return zh_fail(err, ZH_ERR_USAGE, "--%s %s: expected a number from 0 to 1", name, text);
  return zh_fail(err, ZH_ERR_USAGE, "--%s %s: expected a number of 0 or more", name, text);
}

typedef struct drawing {
  zh_sampling sampling;
  uint64_t most;
  int64_t stop; /* end-of-text token; -1: never */
} drawing;

static zh_status read_drawing(drawing *out, const zh_session *s, zh_error *err) {
  zh_sampling *how = &out->sampling;
  uint64_t top_k = 0;
  ZH_TRY(
      number_of(&how->temperature, s->given, ZH_KEY_TEMPERATURE, "temperature", 0, HUGE_VAL, err));
  ZH_TRY(number_of(&how->top_p, s->given, ZH_KEY_TOP_P, "top-p", 1, 1, err));
  ZH_TRY(number_of(&how->min_p, s->given, ZH_KEY_MIN_P, "min-p", 0, 1, err));
  ZH_TRY(zh_session_whole(&top_k, s->given, ZH_KEY_TOP_K, "top-k", 0, 0, UINT32_MAX, err));
  how->top_k = (uint32_t)top_k;
  ZH_TRY(zh_session_whole(&how->seed, s->given, ZH_KEY_SEED, "seed", 0, 0, UINT64_MAX, err));
  ZH_TRY(zh_session_whole(&out->most, s->given, ZH_KEY_MAX_NEW, "max-new", 32, 1, UINT32_MAX, err));
  out->stop =
      s->given->value[ZH_KEY_STOP] && s->tokenizer ? zh_tokenizer_special(s->tokenizer).eos : -1;
  return ZH_OK;
}

static zh_status refuse_logits(const zh_session *s, size_t count, zh_error *err) {
  return zh_fail(err, ZH_ERR_CHECK, "the logits at position %zu are not numbers",
                 s->count + count - 1);
}

/* --- what was made, on standard output as it comes --- */

typedef struct made_tokens {
  zh_session *s;
  const drawing *how;
  uint32_t *token; /* [how->most] */
  size_t count;
  bool ended;     /* the end-of-text token was drawn */
  size_t written; /* bytes of text, or ids, that were written */
} made_tokens;

/* Ids beyond the tokenizer's, which models may have, stand for no text. */
static zh_status text_of(char **text, size_t *length, const made_tokens *made, size_t *unknown,
                         zh_error *err) {
  const zh_tokenizer *tokenizer = made->s->tokenizer;
  uint32_t *known = malloc((made->count + 1) * sizeof *known);
  size_t kept = 0;
  if (!known) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu tokens", made->count);
  for (size_t i = 0; i < made->count; ++i)
    if (made->token[i] < zh_tokenizer_vocab(tokenizer)) known[kept++] = made->token[i];
  *unknown = made->count - kept;
  zh_status status = zh_detokenize(text, length, tokenizer, known, kept, err);
  free(known);
  return status;
}

/* Without the beginning of a character whose other bytes are still to come. */
static size_t whole_characters(const char *text, size_t length) {
  for (size_t back = 1; back <= 3 && back <= length; ++back) {
    unsigned char byte = (unsigned char)text[length - back];
    size_t wanted = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    if (wanted > back) return length - back;
    if (byte < 0x80 || byte >= 0xC0) break;
  }
  return length;
}

static zh_status write_text(made_tokens *made, bool whole, zh_error *err) {
  char *text = NULL;
  size_t length = 0, unknown;
  ZH_TRY(text_of(&text, &length, made, &unknown, err));
  if (!whole) length = whole_characters(text, length);
  if (length > made->written) fwrite(text + made->written, 1, length - made->written, stdout);
  if (length > made->written) made->written = length;
  free(text);
  return ZH_OK;
}

static zh_status write_so_far(made_tokens *made, bool whole, zh_error *err) {
  if (made->s->given->json) return ZH_OK;
  if (made->s->tokenizer) ZH_TRY(write_text(made, whole, err));
  for (; !made->s->tokenizer && made->written < made->count; ++made->written)
    printf(made->written ? ",%" PRIu32 : "%" PRIu32, made->token[made->written]);
  fflush(stdout);
  return ZH_OK;
}

/* What is drawn behind an end is left. */
static zh_status keep_token(void *user, uint32_t token, zh_error *err) {
  made_tokens *made = user;
  if (made->ended || made->count == made->how->most) return ZH_OK;
  if (token >= made->s->architecture.vocab) return refuse_logits(made->s, made->count, err);
  made->token[made->count++] = token;
  made->ended = (int64_t)token == made->how->stop;
  return write_so_far(made, false, err);
}

/* --- drawing --- */

/* Some more tokens behind the last one, by the device alone. */
static zh_status draw_apart(made_tokens *made, uint32_t *room, zh_error *err) {
  zh_session *s = made->s;
  size_t at = made->count;
  uint64_t left = made->how->most - at;
  zh_draw_rule rule = zh_sampling_rule(&made->how->sampling, at);
  return zh_engine_draw(s->engine, &rule, made->token[at - 1], (uint32_t)(s->count + at - 1),
                        left < AT_ONCE ? (size_t)left : AT_ONCE, room, keep_token, made, err);
}

static zh_status draw_here(made_tokens *made, float *values, zh_error *err) {
  zh_session *s = made->s;
  size_t at = made->count, next = 0;
  if (at > 0)
    ZH_TRY(zh_session_feed(s, &made->token[at - 1], s->count + at - 1, 1, false, values, err));
  ZH_TRY(zh_sample_next(&next, s->engine, values, &made->how->sampling, at, err));
  if (next >= s->architecture.vocab) return refuse_logits(s, at, err);
  return keep_token(made, (uint32_t)next, err);
}

static zh_status draw_tokens(made_tokens *made, float *values, zh_error *err) {
  zh_session *s = made->s;
  uint32_t room[AT_ONCE];
  ZH_TRY(zh_session_feed(s, s->tokens, 0, s->count, false, values, err));
  while (made->count < made->how->most && !made->ended) {
    bool apart = made->count > 0 && zh_engine_draws(s->engine);
    ZH_TRY(apart ? draw_apart(made, room, err) : draw_here(made, values, err));
  }
  return ZH_OK;
}

static zh_status show_generated(made_tokens *made, zh_error *err) {
  zh_session *s = made->s;
  char *text = NULL;
  size_t length = 0, unknown = 0;
  ZH_TRY(write_so_far(made, true, err));
  if (!s->given->json) putchar('\n');
  if (s->tokenizer) ZH_TRY(text_of(&text, &length, made, &unknown, err));
  if (unknown > 0)
    zh_warn("%zu of the tokens are not among the tokenizer's %" PRIu32 " and have no text", unknown,
            zh_tokenizer_vocab(s->tokenizer));
  if (s->given->json)
    s->document = json_pack("{s:o, s:o, s:o}", "prompt_tokens", zh_id_list(s->tokens, s->count),
                            "tokens", zh_id_list(made->token, made->count), "text",
                            text ? zh_valid_text(text, length) : json_null());
  free(text);
  return ZH_OK;
}

zh_status zh_action_generate(zh_session *s, zh_error *err) {
  drawing how;
  ZH_TRY(read_drawing(&how, s, err));
  ZH_TRY(zh_session_read_tokens(s, err));
  ZH_TRY(zh_session_start_engine(s, s->count + (size_t)how.most, 0, err));
  made_tokens made = {.s = s, .how = &how, .token = malloc((size_t)how.most * sizeof *made.token)};
  float *values = malloc(s->architecture.vocab * sizeof *values);
  zh_status status = made.token && values
                         ? ZH_OK
                         : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the tokens");
  if (status == ZH_OK) status = draw_tokens(&made, values, err);
  if (status == ZH_OK)
    status = show_generated(&made, err);
  else if (made.written > 0)
    putchar('\n'); /* the sentence that follows has a line of its own */
  free(made.token);
  free(values);
  return status;
}
