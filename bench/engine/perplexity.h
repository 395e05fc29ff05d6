/* Perplexity of a token list, as docs/metrics.md ("Perplexity") defines it. */
#ifndef ZH_BENCH_ENGINE_PERPLEXITY_H
#define ZH_BENCH_ENGINE_PERPLEXITY_H

#include "bench/engine/engine.h"

/* What the model said of one token of the text. */
typedef struct zh_prediction {
  uint32_t token;
  uint32_t likeliest; /* the token of the largest logit */
  float logit;        /* of that token */
  double logsumexp;   /* of all logits; -ln p = logsumexp - logit */
  uint64_t bits_sum;  /* of the bits of all logits, modulo 2^64 */
} zh_prediction;

typedef struct zh_perplexity_result {
  size_t predicted;
  double nll; /* mean of -ln p, in nats */
  double perplexity;
} zh_perplexity_result;

/* Windows of at most `window` positions, each computed in sequence 0 of an empty cache. bos >= 0:
 * every window begins with it, and all of its text is predicted; else a window's first token is
 * not. way: of products with packed weights, the same however many tokens a window's last part has.
 * predictions: room for `count`, or NULL. ZH_ERR_INPUT when nothing can be predicted. */
ZH_MUST_CHECK zh_status zh_perplexity(zh_perplexity_result *out, zh_engine *engine,
                                      const uint32_t *tokens, size_t count, int64_t bos,
                                      uint32_t window, zh_way way, zh_prediction *predictions,
                                      zh_error *err);

#endif
