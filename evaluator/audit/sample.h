/* Looks at some rows of each matrix, and what a sample allows to say. */
#ifndef ZH_EVALUATOR_AUDIT_SAMPLE_H
#define ZH_EVALUATOR_AUDIT_SAMPLE_H

#include "evaluator/audit/audit.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Before the scan: how many rows of each matrix. */
void zh_sample_plan(zh_auditor *a);
/* How many rows of the matrix are looked at: all of them without --sample. */
uint64_t zh_sample_rows(const zh_auditor *a, const zh_grid *u);
/* A simple random sample without replacement, row by row in order: whether `row` belongs to it,
 * where `taken` of `wanted` were taken before. Matrices of one height have the same sample. */
bool zh_sample_takes(uint64_t *state, uint64_t row, uint64_t rows, uint64_t taken, uint64_t wanted);
uint64_t zh_sample_begin(const zh_auditor *a, uint64_t rows);
/* The most rows of such a kind that a matrix of `rows` can have, where a sample of `seen` rows held
 * `hits`, with 95 % confidence: Clopper and Pearson's bound of the hypergeometric distribution. */
uint64_t zh_sample_most(uint64_t hits, uint64_t seen, uint64_t rows);
ZH_MUST_CHECK zh_status zh_find_sampled(zh_auditor *a, zh_error *err);
/* {"rows","of_rows","bytes","of_bytes","seed","confidence","unseen":{"parameters","share"}} */
json_t *zh_sample_json(const zh_auditor *a);

#ifdef __cplusplus
}
#endif
#endif
