/* Tasks whose answers are programs: which pass their tests, run in a sandbox. */
#ifndef ZH_BENCH_QUALITY_FUNCTIONS_CODE_H
#define ZH_BENCH_QUALITY_FUNCTIONS_CODE_H

#include "bench/quality/quality.h"

/* That at least one of k answers passes, where c of n did: 1 − C(n−c, k) / C(n, k), without bias
 * (Chen et al. 2021, arXiv:2107.03374, equation 1). k ≤ n, c ≤ n. */
double zh_pass_at_k(uint64_t n, uint64_t c, uint64_t k);

/* Where a task of the exam runs generated code (`unsafe_code: true`): ZH_ERR_LACKING unless this
 * machine can, before anything is asked. */
ZH_MUST_CHECK zh_status zh_code_ready(const zh_exam *exam, zh_error *err);

/* Whether answers to the task are programs that are run. */
bool zh_code_task(const zh_exam_task *task);
/* Runs those of all answers, many at once: scores are then at hand. requests: answered. Nothing
 * where the task's answers are no programs. */
ZH_MUST_CHECK zh_status zh_code_run_all(const zh_exam_task *task, const zh_requests *requests,
                                        zh_error *err);

#endif
