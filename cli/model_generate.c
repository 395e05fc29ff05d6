/* zhiheng model generate */
#include "cli/model_session.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/engine/sampling.h"
#include "core/progress.h"

enum { AT_ONCE = 16 }; /* tokens drawn on a device before the host looks at them */

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

/* Some more tokens behind made[*count - 1], by the device alone; what it wrote behind an end is
 * left. */
static zh_status draw_apart(uint32_t *made, size_t *count, zh_session *s, const drawing *how,
                            zh_error *err) {
  zh_draw_rule rule = zh_sampling_rule(&how->sampling, *count);
  size_t at = *count, steps = how->most - at < AT_ONCE ? (size_t)how->most - at : AT_ONCE;
  ZH_TRY(zh_engine_draw(s->engine, &rule, made[at - 1], (uint32_t)(s->count + at - 1), steps,
                        made + at, err));
  for (size_t end = at + steps; at < end;) {
    if (made[at] >= s->architecture.vocab) return refuse_logits(s, at, err);
    *count = ++at;
    if ((int64_t)made[at - 1] == how->stop) break;
  }
  return ZH_OK;
}

static zh_status draw_tokens(uint32_t *made, size_t *count, zh_session *s, const drawing *how,
                             float *values, zh_error *err) {
  zh_status status = zh_session_feed(s, s->tokens, 0, s->count, false, values, err);
  for (*count = 0; status == ZH_OK && *count < how->most;) {
    if (*count > 0 && zh_engine_draws(s->engine)) {
      status = draw_apart(made, count, s, how, err);
    } else {
      if (*count > 0)
        status =
            zh_session_feed(s, &made[*count - 1], s->count + *count - 1, 1, false, values, err);
      size_t next = 0;
      if (status == ZH_OK)
        status = zh_sample_next(&next, s->engine, values, &how->sampling, *count, err);
      if (status != ZH_OK) break;
      if (next >= s->architecture.vocab) return refuse_logits(s, *count, err);
      made[(*count)++] = (uint32_t)next;
    }
    if (status == ZH_OK && (int64_t)made[*count - 1] == how->stop) break;
  }
  return status;
}

/* Ids beyond the tokenizer's, which models may have, stand for no text. */
static zh_status text_of(char **text, size_t *length, const zh_tokenizer *tokenizer,
                         const uint32_t *made, size_t count, zh_error *err) {
  uint32_t *known = malloc((count + 1) * sizeof *known);
  size_t kept = 0;
  if (!known) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu tokens", count);
  for (size_t i = 0; i < count; ++i)
    if (made[i] < zh_tokenizer_vocab(tokenizer)) known[kept++] = made[i];
  if (kept < count)
    zh_warn("%zu of the tokens are not among the tokenizer's %" PRIu32 " and have no text",
            count - kept, zh_tokenizer_vocab(tokenizer));
  zh_status status = zh_detokenize(text, length, tokenizer, known, kept, err);
  free(known);
  return status;
}

static zh_status show_generated(zh_session *s, const uint32_t *made, size_t count, zh_error *err) {
  char *text = NULL;
  size_t length = 0;
  if (s->tokenizer) ZH_TRY(text_of(&text, &length, s->tokenizer, made, count, err));
  if (s->given->json) {
    s->document = json_pack("{s:o, s:o, s:o}", "prompt_tokens", zh_id_list(s->tokens, s->count),
                            "tokens", zh_id_list(made, count), "text",
                            text ? zh_valid_text(text, length) : json_null());
  } else if (text) {
    fwrite(text, 1, length, stdout);
    putchar('\n');
  } else {
    zh_print_ids(made, count);
  }
  free(text);
  return ZH_OK;
}

zh_status zh_action_generate(zh_session *s, zh_error *err) {
  drawing how;
  size_t count = 0;
  ZH_TRY(read_drawing(&how, s, err));
  ZH_TRY(zh_session_read_tokens(s, err));
  ZH_TRY(zh_session_start_engine(s, s->count + (size_t)how.most, 0, err));
  uint32_t *made = malloc((size_t)how.most * sizeof *made);
  float *values = malloc(s->architecture.vocab * sizeof *values);
  zh_status status =
      made && values ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the tokens");
  if (status == ZH_OK) status = draw_tokens(made, &count, s, &how, values, err);
  if (status == ZH_OK) status = show_generated(s, made, count, err);
  free(made);
  free(values);
  return status;
}
