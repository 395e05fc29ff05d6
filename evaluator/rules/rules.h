/* Kinds of leaves: how each is read from a policy file, and how it is judged. One file a kind, one
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
} zh_case;

/* What a leaf comes to under one assignment of readings. */
typedef struct zh_judgement {
  zh_verdict verdict;
  json_t *value;                     /* NULL: none */
  json_t *value_text;                /* the value in both languages; NULL: it has none of its own */
  json_t *reason, *would, *evidence; /* phrases and a list; would NULL: nothing is wanted */
} zh_judgement;

typedef struct zh_rule_kind {
  const char *name;
  const char *const *keys; /* of this kind, beside the common ones; NULL-terminated */
  zh_status (*read)(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map, zh_error *err);
  /* The verdict alone; cheap, called for every assignment. */
  zh_verdict (*decide)(const zh_case *c, const zh_rule *rule, const zh_assignment *readings);
  /* The same with its words. New references, released by zh_judgement_clear. */
  void (*explain)(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                  const zh_assignment *readings);
  /* Whether the leaf depends on the reading. NULL: on none. */
  bool (*depends)(const zh_rule *rule, const zh_reading *reading);
  /* Findings of its own shape (one for each count of a model); NULL: the common one. */
  zh_status (*findings)(zh_case *c, const zh_rule *rule, zh_error *err);
} zh_rule_kind;

extern const zh_rule_kind zh_rule_parameter_threshold, zh_rule_leadership, zh_rule_document,
    zh_rule_judgement, zh_rule_exclusion, zh_rule_member, zh_rule_flag, zh_rule_number,
    zh_rule_date;
extern const zh_rule_kind *const zh_rule_kinds[]; /* NULL-terminated */

/* --- what the kinds share (finding.c) --- */

typedef struct zh_finding {
  const char *id;     /* NULL: the rule's */
  const char *model;  /* NULL where the finding is not about one model */
  json_t *statement;  /* NULL: the rule's; stolen */
  json_t *value;      /* NULL: none; stolen */
  json_t *value_text; /* NULL: none; stolen */
  const char *unit;
  json_t *criterion; /* NULL: the rule's words alone; stolen */
  json_t *reading;   /* NULL: none; stolen */
  zh_verdict verdict;
  json_t *reason, *evidence; /* stolen; evidence NULL: none */
  json_t *would;             /* what it would take; NULL: nothing; stolen */
} zh_finding;

ZH_MUST_CHECK zh_status zh_finding_add(zh_case *c, const zh_rule *rule, zh_finding *finding,
                                       zh_error *err);
void zh_judgement_clear(zh_judgement *judgement);
/* Evidence in a bundle (its index) or among the applicant's papers (-1). line 0: a paper, which has
 * no lines. New references. */
json_t *zh_evidence(int bundle, const char *file, int line, const char *sm3, json_t *what);
json_t *zh_clause_json(const zh_clause *clause, const char *quote);
json_t *zh_plain_phrase(const zh_phrase *phrase); /* no slots */
/* The paper of a claim, or the line of the applicant's file where nothing else was handed in; empty
 * where there is no claim. */
json_t *zh_claim_evidence(const zh_case *c, const zh_claim *claim, const zh_phrase *what);
zh_verdict zh_not(zh_verdict verdict);

#ifdef __cplusplus
}
#endif
#endif
