/* What the readers of an applicant's file share: papers, entries by name, grants received. */
#ifndef ZH_EVALUATOR_APPLICANT_READER_H
#define ZH_EVALUATOR_APPLICANT_READER_H

#include "evaluator/applicant.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What reading needs: the policy names the ids, the folder holds the papers (NULL: papers are not
 * opened). */
typedef struct zh_reader {
  zh_applicant *applicant;
  const zh_policy *policy;
  const char *folder;
} zh_reader;

/* Zeroed memory that lives as long as the applicant; NULL when memory is short. */
void *zh_reader_take(const zh_reader *r, size_t count, size_t size);

/* "facts:" with nothing below it, as in a file that is still to be filled in. */
bool zh_section_is_blank(const zh_yaml_node *node);

/* --- papers (papers.c) --- */

/* 'file' and 'sm3' of a map; no paper where there is no 'file'. */
ZH_MUST_CHECK zh_status zh_read_paper(zh_paper *paper, const zh_reader *r, const zh_yaml_node *map,
                                      zh_error *err);
/* The one paper of an entry, where it names one. */
ZH_MUST_CHECK zh_status zh_read_own_paper(zh_claim *claim, const zh_reader *r,
                                          const zh_yaml_node *map, zh_error *err);
/* The same where an entry without its paper is only a wish. */
ZH_MUST_CHECK zh_status zh_require_paper(zh_claim *claim, const zh_reader *r,
                                         const zh_yaml_node *map, zh_error *err);
ZH_MUST_CHECK zh_status zh_expect_entry(const zh_yaml_node *node, const char *const *keys,
                                        zh_error *err);

/* --- sections --- */

/* Facts, documents, decisions, exclusions, costs and materials (claims.c). */
ZH_MUST_CHECK zh_status zh_read_sections(const zh_reader *r, const zh_yaml_node *root,
                                         zh_error *err);
/* Grants already received (received.c). */
ZH_MUST_CHECK zh_status zh_read_received(const zh_reader *r, const zh_yaml_node *root,
                                         zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
