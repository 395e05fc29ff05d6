/* zhiheng model perplexity */
#include "cli/model_session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/perplexity.h"

enum { WINDOW = 512 };

static zh_status way_of(zh_way *out, const zh_session_arguments *given, zh_error *err) {
  const char *word = given->value[ZH_KEY_WAY];
  *out = word && strcmp(word, "few") == 0 ? ZH_FEW : ZH_MANY;
  if (!word || *out == ZH_FEW || strcmp(word, "many") == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "--way %s: expected few or many", word);
}

/* For each predicted token -ln of its probability, and the token that was the likeliest. */
static json_t *perplexity_json(const zh_perplexity_result *result, const zh_prediction *said) {
  json_t *nll = json_array(), *likeliest = json_array();
  for (size_t i = 0; i < result->predicted; ++i) {
    json_array_append_new(nll, zh_json_number(said[i].logsumexp - (double)said[i].logit));
    json_array_append_new(likeliest, json_integer(said[i].likeliest));
  }
  return json_pack("{s:I, s:o, s:o, s:o, s:o}", "tokens", (json_int_t)result->predicted, "nll",
                   zh_json_number(result->nll), "perplexity", zh_json_number(result->perplexity),
                   "token_nll", nll, "likeliest", likeliest);
}

zh_status zh_action_perplexity(zh_session *s, zh_error *err) {
  const char *file = s->given->value[ZH_KEY_FILE], *ids = s->given->value[ZH_KEY_TOKENS];
  uint64_t window = 0;
  if ((file != NULL) == (ids != NULL))
    return zh_fail(err, ZH_ERR_USAGE,
                   "model perplexity needs either --file FILE or --tokens 1,2,3");
  uint32_t usual = s->architecture.context < WINDOW ? s->architecture.context : WINDOW;
  ZH_TRY(zh_session_whole(&window, s->given, ZH_KEY_CONTEXT, "context", usual, 2, UINT32_MAX, err));
  if (file) {
    ZH_TRY(zh_session_tokenize_file(s, file, false, err));
  } else {
    ZH_TRY(zh_session_parse_ids(s, "tokens", ids, err));
  }
  int64_t bos = zh_session_asks_for_bos(s) ? zh_tokenizer_special(s->tokenizer).bos : -1;
  zh_way way;
  ZH_TRY(way_of(&way, s->given, err));
  ZH_TRY(zh_session_start_engine(s, (size_t)window, ZH_CHUNK, err));
  zh_perplexity_result result;
  zh_prediction *said = calloc(s->count + 1, sizeof *said);
  if (!said) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu tokens", s->count);
  zh_status status =
      zh_perplexity(&result, s->engine, s->tokens, s->count, bos, (uint32_t)window, way, said, err);
  if (status == ZH_OK && s->given->json) s->document = perplexity_json(&result, said);
  free(said);
  if (status == ZH_OK && !s->given->json) {
    printf("perplexity %.6f over %zu predicted tokens (%.6f nats each), windows of %" PRIu64 "\n",
           result.perplexity, result.predicted, result.nll, window);
  }
  return status;
}
