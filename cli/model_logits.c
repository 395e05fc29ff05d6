/* zhiheng model logits */
#include "cli/model_session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_LOGITS = 16, TOP = 5 };

/* The TOP largest, ties by the lower id first. */
static size_t find_top(size_t top[TOP], const float *logits, size_t count) {
  size_t held = 0;
  for (size_t i = 0; i < count; ++i) {
    size_t at = held;
    while (at > 0 && logits[i] > logits[top[at - 1]]) --at;
    if (at >= TOP) continue;
    if (held < TOP) ++held;
    memmove(top + at + 1, top + at, (held - 1 - at) * sizeof *top);
    top[at] = i;
  }
  return held;
}

static zh_status show_position(zh_session *s, json_t *positions, size_t position,
                               const float *logits, zh_error *err) {
  const zh_kernels *kernels = zh_kernels_reference();
  size_t vocab = s->architecture.vocab, best = kernels->argmax(logits, vocab), top[TOP];
  if (best >= vocab)
    return zh_fail(err, ZH_ERR_CHECK, "the logits at position %zu are not numbers", position);
  double logsumexp = kernels->logsumexp(logits, vocab);
  size_t held = find_top(top, logits, vocab);
  if (!s->given->json) {
    printf("position %zu  argmax %zu  log-sum-exp %.6f\n", position, best, logsumexp);
    for (size_t i = 0; i < held; ++i) {
      double logit = logits[top[i]];
      printf("  token %-8zu logit %12.6f  probability %.6f\n", top[i], logit,
             exp(logit - logsumexp));
    }
    return ZH_OK;
  }
  json_t *shown = json_array(), *pairs = json_array();
  for (size_t i = 0; i < SHOWN_LOGITS && i < vocab; ++i)
    json_array_append_new(shown, zh_json_number(logits[i]));
  for (size_t i = 0; i < held; ++i)
    json_array_append_new(pairs,
                          json_pack("[I, o]", (json_int_t)top[i], zh_json_number(logits[top[i]])));
  json_array_append_new(positions,
                        json_pack("{s:I, s:o, s:I, s:o, s:o}", "position", (json_int_t)position,
                                  "logits", shown, "argmax", (json_int_t)best, "logsumexp",
                                  zh_json_number(logsumexp), "top", pairs));
  return ZH_OK;
}

zh_status zh_action_logits(zh_session *s, zh_error *err) {
  bool all = s->given->value[ZH_KEY_ALL] != NULL;
  ZH_TRY(zh_session_read_tokens(s, err));
  ZH_TRY(zh_session_start_engine(s, s->count, all ? ZH_CHUNK : 0, err));
  size_t step = all ? ZH_CHUNK : s->count, vocab = s->architecture.vocab;
  float *values = malloc((all ? ZH_CHUNK : 1) * vocab * sizeof *values);
  json_t *positions = json_array();
  zh_status status =
      values && positions ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the logits");
  for (size_t at = 0; at < s->count && status == ZH_OK; at += step) {
    size_t count = s->count - at < step ? s->count - at : step, rows = all ? count : 1;
    status = zh_session_feed(s, s->tokens + at, at, count, all, values, err);
    for (size_t i = 0; i < rows && status == ZH_OK; ++i)
      status = show_position(s, positions, at + count - rows + i, values + i * vocab, err);
  }
  free(values);
  if (status == ZH_OK && s->given->json) {
    s->document = json_pack("{s:o}", "positions", positions);
  } else {
    json_decref(positions);
  }
  return status;
}
