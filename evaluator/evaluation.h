/* The evaluation of what has been read already; zh_evaluate reads and calls it. */
#ifndef ZH_EVALUATOR_EVALUATION_H
#define ZH_EVALUATOR_EVALUATION_H

#include "evaluator/rules/rules.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which models: every submitted (not standard) model of the bundles; where there is none, the first
 * standard one. */
ZH_MUST_CHECK zh_status zh_evaluate_read(json_t **out, const zh_bundle *bundles,
                                         size_t bundle_count, const zh_policy *policy,
                                         const zh_applicant *applicant, const zh_words *words,
                                         zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
