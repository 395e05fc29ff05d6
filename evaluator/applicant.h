/* The applicant's file: who applies, what for, and which papers show it. Format:
 * docs/adding-a-policy.md, "The applicant's file". */
#ifndef ZH_EVALUATOR_APPLICANT_H
#define ZH_EVALUATOR_APPLICANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/digest.h"
#include "evaluator/policy/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A paper beside the applicant's file. */
typedef struct zh_paper {
  const char *file; /* as written, relative to the applicant's file; NULL where none is named */
  char sm3[ZH_DIGEST_HEX];
} zh_paper;

/* One entry of a section; which members count depends on the section. */
typedef struct zh_claim {
  const char *id;
  int line;           /* in the applicant's file */
  bool yes;           /* exclusions: applies; decisions: granted; flags: the value */
  int64_t number;     /* costs: the sum in 分; facts: 分, count, day */
  const char *text;   /* facts of type text */
  const char **words; /* facts of type words */
  size_t word_count;
  zh_paper *papers; /* one; costs: one for each line of the account */
  size_t paper_count;
  zh_date issued, valid_until; /* materials; ZH_NO_DATE: not said */
  int year;                    /* materials: of which year; 0: not said */
  const struct zh_comparison *comparison; /* decisions on leadership; NULL: none was handed in */
} zh_claim;

typedef struct zh_claims {
  zh_claim *items;
  size_t count;
} zh_claims;

typedef enum zh_same { ZH_SAME_UNKNOWN, ZH_SAME_PROJECT, ZH_OTHER_PROJECT } zh_same;

/* Money received before. */
typedef struct zh_grant_received {
  const char *policy;      /* "" where it is this policy's */
  const zh_clause *clause; /* NULL: another policy's */
  int level;
  zh_same project;
  bool kind_said;           /* it is known which award it stands beside (同类) */
  const zh_clause *same_as; /* that award; NULL with kind_said: none */
  int64_t fen;
  zh_date date;               /* ZH_NO_DATE: not said */
  bool matched, matched_said; /* false, false: not known */
  int line;
  zh_paper paper;
} zh_grant_received;

typedef struct zh_applicant {
  zh_arena *arena;
  const char *name, *registration, *project; /* the last two "" where none is given */
  const char *file;                          /* name of the applicant's file, without folders */
  const char *folder;                        /* where the papers lie; NULL: not opened */
  char sm3[ZH_DIGEST_HEX];
  zh_date application, policy_issued; /* ZH_NO_DATE: not said */
  bool claims_all;
  const zh_clause **claimed; /* amounts; none: the policy's default */
  size_t claimed_count;
  zh_claims facts, documents, decisions, exclusions, costs, materials;
  zh_grant_received *received;
  size_t received_count;
} zh_applicant;

/* Reads the file and every paper it names. A missing paper is ZH_ERR_INPUT, one whose digest
 * differs from the declared one ZH_ERR_CHECK; ids must be the policy's. */
ZH_MUST_CHECK zh_status zh_applicant_load(zh_applicant **out, const char *path,
                                          const zh_policy *policy, zh_error *err);
/* The same from memory, without opening the papers. */
ZH_MUST_CHECK zh_status zh_applicant_load_text(zh_applicant **out, const char *text, size_t length,
                                               const char *name, const zh_policy *policy,
                                               zh_error *err);
void zh_applicant_free(zh_applicant *applicant); /* NULL is safe */

const zh_claim *zh_claim_find(const zh_claims *claims, const char *id); /* NULL when absent */
bool zh_claim_has_paper(const zh_claim *claim);                         /* NULL is safe */

#ifdef __cplusplus
}
#endif
#endif
