#include "bench/engine/perplexity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/inside.h"

enum { CHUNK = 64 }; /* positions whose logits are held at once */

typedef struct scorer {
  zh_engine *engine;
  float *logits; /* [CHUNK][vocab] */
  zh_prediction *predictions;
  size_t predicted;
  double sum; /* of -ln p */
} scorer;

/* Feeds positions [first, first + fed) of a window and scores the tokens that follow them, up to
 * window[length - 1]. */
static zh_status score_chunk(scorer *s, const uint32_t *window, size_t length, size_t first,
                             size_t fed, zh_error *err) {
  uint32_t position[CHUNK] = {0}, sequence[CHUNK] = {0};
  bool want[CHUNK] = {false};
  size_t vocab = s->engine->architecture.vocab;
  for (size_t i = 0; i < fed; ++i) {
    position[i] = (uint32_t)(first + i);
    want[i] = first + i + 1 < length;
  }
  ZH_TRY(
      zh_engine_forward(s->engine, window + first, position, sequence, fed, want, s->logits, err));
  ZH_TRY(zh_engine_share(s->engine, s->logits, fed * vocab * sizeof *s->logits, err));
  for (size_t i = 0; i < fed && want[i]; ++i) {
    const float *logits = s->logits + i * vocab;
    uint32_t next = window[first + i + 1];
    const zh_kernels *k = s->engine->kernels;
    zh_prediction p = {next, (uint32_t)k->argmax(logits, vocab), logits[next],
                       k->logsumexp(logits, vocab), zh_sum_of_bits(logits, vocab)};
    if (!isfinite(p.logit) || !isfinite(p.logsumexp))
      return zh_fail(err, ZH_ERR_CHECK, "the logits after position %zu are not finite", first + i);
    s->sum += p.logsumexp - (double)p.logit;
    if (s->predictions) s->predictions[s->predicted] = p;
    ++s->predicted;
  }
  return ZH_OK;
}

static zh_status score_window(scorer *s, const uint32_t *window, size_t length, zh_error *err) {
  zh_engine_poison(s->engine, 0, 0);
  for (size_t first = 0; first + 1 < length;
       first += CHUNK) { /* the last token predicts nothing: it is not fed alone */
    size_t fed = length - 1 - first < CHUNK ? length - 1 - first : CHUNK;
    ZH_TRY(score_chunk(s, window, length, first, fed, err));
  }
  return ZH_OK;
}

/* A token that is scored is not always fed, where the engine would look at it. */
static zh_status check_tokens(const zh_engine *engine, const uint32_t *tokens, size_t count,
                              zh_error *err) {
  uint32_t vocab = engine->architecture.vocab;
  for (size_t i = 0; i < count; ++i)
    if (tokens[i] >= vocab)
      return zh_fail(err, ZH_ERR_INPUT, "token %u of the text is none of the model's %u", tokens[i],
                     vocab);
  return ZH_OK;
}

zh_status zh_perplexity(zh_perplexity_result *out, zh_engine *engine, const uint32_t *tokens,
                        size_t count, int64_t bos, uint32_t window, zh_way way,
                        zh_prediction *predictions, zh_error *err) {
  size_t lead = bos >= 0;
  if (window < 2 || window > engine->context)
    return zh_fail(err, ZH_ERR_ARG, "a window has 2 to %u positions, not %u", engine->context,
                   window);
  if (count + lead < 2)
    return zh_fail(err, ZH_ERR_INPUT,
                   "a text of %zu tokens predicts nothing; it needs at least %zu", count, 2 - lead);
  ZH_TRY(check_tokens(engine, tokens, count, err));
  scorer s = {.engine = engine, .predictions = predictions};
  uint32_t *held = malloc(window * sizeof *held);
  s.logits = malloc(CHUNK * (size_t)engine->architecture.vocab * sizeof *s.logits);
  zh_status status = held && s.logits
                         ? ZH_OK
                         : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a window's logits");
  size_t step = window - lead;
  engine->way_is_set = true;
  engine->way = engine->expert_way = way;
  for (size_t at = 0; at < count && status == ZH_OK; at += step) {
    size_t taken = count - at < step ? count - at : step;
    if (lead) held[0] = (uint32_t)bos;
    memcpy(held + lead, tokens + at, taken * sizeof *held);
    status = score_window(&s, held, taken + lead, err);
  }
  engine->way_is_set = false;
  free(held);
  free(s.logits);
  if (status != ZH_OK) return status;
  out->predicted = s.predicted;
  out->nll = s.sum / (double)s.predicted;
  out->perplexity = exp(out->nll);
  return ZH_OK;
}
