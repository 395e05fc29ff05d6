/* Kinds of rules: how each is read from a policy file, and how it is applied. One file a kind, one
 * table (table.c). */
#ifndef ZH_EVALUATOR_RULES_RULES_H
#define ZH_EVALUATOR_RULES_RULES_H

#include "evaluator/applicant.h"
#include "evaluator/bundle.h"
#include "evaluator/policy/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum zh_verdict {
  ZH_PASS,
  ZH_FAIL,
  ZH_UNDETERMINED,
  ZH_NOT_APPLICABLE,
  ZH_VERDICTS
} zh_verdict;
extern const char *const zh_verdict_names[ZH_VERDICTS]; /* "pass" … as files show them */

/* One evaluation under way: what rules read, and the findings they append to. */
typedef struct zh_case {
  const zh_policy *policy;
  const zh_words *words;
  const zh_bundle *bundles;
  size_t bundle_count;
  const zh_applicant *applicant; /* NULL where none was given */
  const zh_audited *const *subjects;
  size_t subject_count;
  json_t *findings;
  bool any_failed, any_open; /* a condition fails; a condition is undetermined */
  json_t *grant;
} zh_case;

typedef struct zh_rule_kind {
  const char *name;
  const char *const *keys; /* of this kind, beside the common ones; NULL-terminated */
  zh_status (*read)(zh_rule *rule, const zh_yaml_node *map, zh_arena *arena, zh_error *err);
  /* Appends findings and gives the verdict of the whole condition. */
  zh_status (*apply)(zh_verdict *out, zh_case *c, const zh_rule *rule, zh_error *err);
} zh_rule_kind;

extern const zh_rule_kind zh_rule_parameter_threshold, zh_rule_leadership, zh_rule_document,
    zh_rule_exclusion, zh_rule_grant;
extern const zh_rule_kind *const zh_rule_kinds[]; /* NULL-terminated */

/* --- what the kinds share (finding.c) --- */

typedef struct zh_finding {
  const char *id;    /* NULL: the rule's */
  const char *model; /* NULL where the finding is not about one model */
  json_t *statement; /* NULL: the rule's; stolen */
  json_t *value;     /* NULL: none; stolen */
  const char *unit;
  json_t *criterion; /* NULL: the rule's words alone; stolen */
  json_t *reading;   /* NULL: none; stolen */
  zh_verdict verdict;
  json_t *reason, *evidence; /* stolen; evidence NULL: none */
} zh_finding;

ZH_MUST_CHECK zh_status zh_finding_add(zh_case *c, const zh_rule *rule, zh_finding *finding,
                                       zh_error *err);
/* Evidence in a bundle (its index) or among the applicant's papers (-1). line 0: a paper, which has
 * no lines. New references. */
json_t *zh_evidence(int bundle, const char *file, int line, const char *sm3, json_t *what);
json_t *zh_clause_json(const zh_clause *clause, const char *quote);
json_t *zh_plain_phrase(const zh_phrase *phrase); /* no slots */

#ifdef __cplusplus
}
#endif
#endif
