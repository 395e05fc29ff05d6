#include "cli/model_session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/device_word.h"
#include "cli/cli.h"

/* The reference's precision is the CPU's alone. */
static zh_status precision_of(zh_precision *out, const zh_session_arguments *given, int device,
                              zh_error *err) {
  const char *word = given->value[ZH_KEY_PRECISION];
  *out = (word ? strcmp(word, "fast") == 0 : device > 0) ? ZH_PRECISION_FAST : ZH_PRECISION_EXACT;
  if (!word || *out == ZH_PRECISION_FAST || strcmp(word, "exact") == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "--precision %s: expected exact or fast", word);
}

static zh_status kv_of(zh_kv_type *out, const zh_session_arguments *given, zh_error *err) {
  const char *word = given->value[ZH_KEY_KV];
  *out = ZH_KV_BF16;
  if (!word || zh_kv_find(out, word)) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "--kv %s: expected bf16, f32, q8 or e4m3", word);
}

/* A tokenizer may know more tokens than the embedding has rows. */
static zh_status check_tokens(const zh_session *s, zh_error *err) {
  size_t at = 0;
  while (at < s->count && s->tokens[at] < s->architecture.vocab) ++at;
  if (at == s->count) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: the tokenizer makes the token %" PRIu32 " of the text, and the embedding has "
                 "only %" PRIu32 " rows",
                 zh_model_path(s->model), s->tokens[at], s->architecture.vocab);
}

zh_status zh_session_start_engine(zh_session *s, size_t positions, uint32_t micro_batch,
                                  zh_error *err) {
  uint64_t count = 0, context = 0;
  zh_engine_options chosen = {
      .sequences = 1, .micro_batch = micro_batch, .packed_cache = s->given->value[ZH_KEY_CACHE]};
  ZH_TRY(check_tokens(s, err));
  ZH_TRY(zh_device_word(&chosen.device, s->given->value[ZH_KEY_DEVICE], err));
  ZH_TRY(precision_of(&chosen.precision, s->given, chosen.device, err));
  ZH_TRY(kv_of(&chosen.kv, s->given, err));
  ZH_TRY(zh_session_whole(&count, s->given, ZH_KEY_THREADS, "threads", 0, 1, ZH_CLI_CPUS, err));
  ZH_TRY(zh_session_whole(&context, s->given, ZH_KEY_CONTEXT, "context", s->architecture.context, 1,
                          UINT32_MAX, err));
  if (positions > context) {
    return zh_fail(err, ZH_ERR_ARG, "%zu positions are needed, but the context holds %" PRIu64 "%s",
                   positions, context,
                   s->given->value[ZH_KEY_CONTEXT]
                       ? " (--context)"
                       : "; shorten the prompt or ask for fewer tokens");
  }
  if (context > s->architecture.context) {
    return zh_fail(err, ZH_ERR_ARG, "--context %" PRIu64 ": %s holds at most %" PRIu32 " positions",
                   context, zh_model_name(s->model), s->architecture.context);
  }
  chosen.context = (uint32_t)positions;
  ZH_TRY(zh_cli_threads(&s->threads, count, err));
  return zh_engine_create(&s->engine, s->model, s->threads, &chosen, err);
}

zh_status zh_session_feed(zh_session *s, const uint32_t *tokens, size_t first, size_t count,
                          bool all, float *logits, zh_error *err) {
  uint32_t *position = malloc(count * sizeof *position),
           *sequence = calloc(count, sizeof *sequence);
  bool *want = malloc(count * sizeof *want);
  zh_status status = position && sequence && want
                         ? ZH_OK
                         : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu tokens", count);
  for (size_t i = 0; i < count && status == ZH_OK; ++i) {
    position[i] = (uint32_t)(first + i);
    want[i] = all || i + 1 == count;
  }
  if (status == ZH_OK)
    status = zh_engine_forward(s->engine, tokens, position, sequence, count, want, logits, err);
  free(position);
  free(sequence);
  free(want);
  return status;
}
