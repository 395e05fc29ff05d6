/* Unigram: of all ways to cut a text into tokens, the one with the highest sum of scores. */
#ifndef ZH_MODEL_TOKENIZER_UNIGRAM_H
#define ZH_MODEL_TOKENIZER_UNIGRAM_H

#include "core/status.h"
#include "model/tokenizer/bpe.h"

typedef struct zh_unigram_symbols {
  uint32_t vocab;
  const zh_slice *texts;    /* [vocab]: bytes NULL where text cannot become the token */
  const double *scores;     /* [vocab] */
  const uint8_t *preferred; /* [vocab] or NULL: user-defined tokens, which always win */
  double lowest, highest;   /* of the scores */
  uint32_t unknown;         /* of one character; a text that needs one where there is none fails */
  uint32_t of_byte[256];
  bool byte_fallback;
  /* Sums as sentencepiece rounds them, in single precision, or as `tokenizers` does, in double:
   * near ties are decided by that. */
  bool single_precision;
} zh_unigram_symbols;

typedef struct zh_unigram zh_unigram;
/* texts and scores must outlive it. */
ZH_MUST_CHECK zh_status zh_unigram_create(zh_unigram **out, const zh_unigram_symbols *symbols,
                                          zh_error *err);
void zh_unigram_free(zh_unigram *unigram);
/* Appends the tokens of a piece; neighbouring unknown characters are one token. */
ZH_MUST_CHECK zh_status zh_unigram_encode(zh_ids *out, const zh_unigram *unigram, const char *piece,
                                          size_t length, zh_error *err);

#endif
