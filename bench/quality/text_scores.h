/* How like two texts are: BLEU and chrF over a corpus, ROUGE-L and F1 of a pair. Definitions:
 * docs/metrics.md. */
#ifndef ZH_BENCH_QUALITY_TEXT_SCORES_H
#define ZH_BENCH_QUALITY_TEXT_SCORES_H

#include "core/json.h"

enum { ZH_BLEU_ORDER = 4, ZH_CHRF_ORDER = 6 };

/* Sums over items give the corpus's score. */
typedef struct zh_bleu {
  double length, reference; /* tokens */
  double right[ZH_BLEU_ORDER], total[ZH_BLEU_ORDER];
} zh_bleu;
typedef struct zh_chrf {
  double said[ZH_CHRF_ORDER], reference[ZH_CHRF_ORDER], right[ZH_CHRF_ORDER];
} zh_chrf;

/* references: a text or a list of texts. */
ZH_MUST_CHECK zh_status zh_bleu_of(zh_bleu *out, const json_t *references, const json_t *said,
                                   zh_error *err);
double zh_bleu_score(const zh_bleu *sum);
ZH_MUST_CHECK zh_status zh_chrf_of(zh_chrf *out, const json_t *references, const json_t *said,
                                   zh_error *err);
double zh_chrf_score(const zh_chrf *sum);

/* Tokens: words between blanks, and each character of Chinese, Japanese and Korean writing by
 * itself; lower case, without ASCII punctuation. */
ZH_MUST_CHECK zh_status zh_rouge_l(double *out, const char *reference, const char *said,
                                   zh_error *err);
ZH_MUST_CHECK zh_status zh_token_f1(double *out, const char *reference, const char *said,
                                    zh_error *err);

#endif
