/* The evaluation of what has been read already; zh_evaluate reads and calls it. */
#ifndef ZH_EVALUATOR_EVALUATION_H
#define ZH_EVALUATOR_EVALUATION_H

#include "evaluator/engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which models: every submitted (not standard) model of the bundles; where there is none, the first
 * standard one. */
ZH_MUST_CHECK zh_status zh_evaluate_read(json_t **out, const zh_bundle *bundles,
                                         size_t bundle_count, const zh_policy *policy,
                                         const zh_applicant *applicant, const zh_words *words,
                                         zh_error *err);

/* --- subjects.c --- */

bool zh_is_standard(const zh_audited *model);
/* Every distinct model, in the order of bundles. The caller frees. */
ZH_MUST_CHECK zh_status zh_models_collect(const zh_audited ***out, size_t *count,
                                          const zh_bundle *bundles, size_t bundle_count,
                                          zh_error *err);
/* Keeps the submitted models; where there are only standard ones, the first of them. */
ZH_MUST_CHECK zh_status zh_subjects_choose(const zh_audited **models, size_t *count,
                                           size_t bundle_count, zh_error *err);

/* --- decides.c --- */

/* Ids of the amounts that come out otherwise under another choice of the reading, alone or in the
 * combination. New reference. */
json_t *zh_decided_by(const zh_case *c, const zh_reading *reading, const zh_outcome *outcomes,
                      size_t count, const json_t *combination);

/* --- checklist.c --- */

/* The application papers, each with what is there of it. New reference. */
json_t *zh_papers_json(const zh_policy *policy, const zh_applicant *applicant,
                       const zh_words *words);

/* --- marks.c --- */

ZH_MUST_CHECK zh_status zh_marks_add(json_t *marks, const zh_case *c, zh_error *err);
ZH_MUST_CHECK zh_status zh_not_tested_add(json_t *list, const zh_case *c, zh_error *err);

/* --- summary.c --- */

void zh_count_verdicts(size_t counts[ZH_VERDICTS], const json_t *findings);
json_t *zh_summary_json(const zh_case *c, const zh_outcome *outcomes, size_t count,
                        const zh_sums *sums, const size_t counts[ZH_VERDICTS]);
/* The grant that a report shows: the one looked at, or the highest of those that can be given. */
size_t zh_principal_grant(const zh_outcome *outcomes, size_t count);

#ifdef __cplusplus
}
#endif
#endif
