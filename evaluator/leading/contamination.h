/* Which items a model, or a corpus, has seen before the comparison: what was measured (counts of
 * words, log-likelihoods) becomes p values and a list of items. Formulas and sources:
 * docs/metrics.md, "Contamination"; the list is what a protocol's `contaminated` names. */
#ifndef ZH_EVALUATOR_LEADING_CONTAMINATION_H
#define ZH_EVALUATOR_LEADING_CONTAMINATION_H

#include "core/json.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_contamination_options {
  double alpha;      /* of tests of a whole task, Holm over the tasks; of Min-K's items the false
                        discovery rate */
  double not_clean;  /* share of an item's words from which on it is listed, 0.2 */
  size_t replicates; /* of the test of order */
  uint64_t seed;
} zh_contamination_options;

/* measured: {"tasks": [{"task", "items": [name],
 *   "overlap": {"run", "words": [n], "covered": [n]},
 *   "order": {"left_out", "rows": [[ln p, published order first]]},
 *   "options": {"left_out", "item": [number], "rows": [[ln p]]},
 *   "least": {"left_out", "item": [number], "values": [mean ln p]}}]}, each part where it was
 * measured. reference: the same of items that nobody can have seen, or NULL; their "least" alone is
 * used. Out: {"tasks": [{"task", "items", parts with p and p_holm, "listed": [{"item", "signs"}],
 * "listed_whole"}], "listed"}; p null where nothing can be said. New reference. */
ZH_MUST_CHECK zh_status zh_contamination_decide(json_t **out, const json_t *measured,
                                                const json_t *reference,
                                                const zh_contamination_options *options,
                                                zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
