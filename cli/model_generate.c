/* zhiheng model generate */
#include "cli/model_session.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/engine/sampling.h"
#include "core/progress.h"

static zh_status temperature_of(double *out, const zh_session_arguments *given, zh_error *err) {
  const char *text = given->value[ZH_KEY_TEMPERATURE];
  *out = 0;
  if (!text) return ZH_OK;
  char *end = NULL;
  *out = strtod(text, &end);
  if (end != text && *end == '\0' && isfinite(*out) && *out >= 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "--temperature %s: expected a number of 0 or more", text);
}

typedef struct drawing {
  double temperature;
  uint64_t seed, most;
  int64_t stop; /* end-of-text token; -1: never */
} drawing;

static zh_status read_drawing(drawing *out, const zh_session *s, zh_error *err) {
  ZH_TRY(temperature_of(&out->temperature, s->given, err));
  ZH_TRY(zh_session_whole(&out->seed, s->given, ZH_KEY_SEED, "seed", 0, 0, UINT64_MAX, err));
  ZH_TRY(zh_session_whole(&out->most, s->given, ZH_KEY_MAX_NEW, "max-new", 32, 1, UINT32_MAX, err));
  out->stop =
      s->given->value[ZH_KEY_STOP] && s->tokenizer ? zh_tokenizer_special(s->tokenizer).eos : -1;
  return ZH_OK;
}

static zh_status draw_tokens(uint32_t *made, size_t *count, zh_session *s, const drawing *how,
                             float *values, zh_error *err) {
  zh_status status = zh_session_feed(s, s->tokens, 0, s->count, false, values, err);
  const zh_kernels *kernels = zh_kernels_reference();
  for (*count = 0; status == ZH_OK && *count < how->most;) {
    size_t next = zh_sample_token(kernels, values, s->architecture.vocab, how->temperature,
                                  how->seed, *count);
    if (next >= s->architecture.vocab)
      return zh_fail(err, ZH_ERR_CHECK, "the logits at position %zu are not numbers",
                     s->count + *count - 1);
    made[(*count)++] = (uint32_t)next;
    if (*count == how->most || (int64_t)next == how->stop) break;
    status = zh_session_feed(s, &made[*count - 1], s->count + *count - 1, 1, false, values, err);
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
