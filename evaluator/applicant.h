/* The applicant's file: who applies, which papers show which condition, what the project cost.
 * Format: docs/adding-a-policy.md, "The applicant's file". */
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

typedef struct zh_claim {
  const char *id; /* of the rule, or of the grant's base */
  int line;       /* in the applicant's file */
  bool applies;   /* exclusions */
  int64_t fen;    /* costs */
  zh_paper paper;
} zh_claim;

typedef struct zh_claims {
  zh_claim *items;
  size_t count;
} zh_claims;

typedef struct zh_applicant {
  zh_arena *arena;
  const char *name, *registration; /* registration "" where none is given */
  const char *file;                /* name of the applicant's file, without folders */
  char sm3[ZH_DIGEST_HEX];
  zh_claims documents, exclusions, costs;
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

#ifdef __cplusplus
}
#endif
#endif
