/* Processes that share an audit: started here by mpirun or srun, joined by the MPI module. */
#ifndef ZH_CLI_AUDIT_RANKS_H
#define ZH_CLI_AUDIT_RANKS_H

#include "evaluator/evaluator.h"

/* ranks > 1 outside a job: replaces this process by the launcher and does not return. Inside a job
 * of several processes: joins it. Else out->size is 1. seed: rank 0's, on all. */
ZH_MUST_CHECK zh_status zh_audit_ranks_join(zh_audit_ranks *out, int ranks, const char *launcher,
                                            int argc, char **argv, uint64_t *seed, zh_error *err);
void zh_audit_ranks_leave(zh_audit_ranks *ranks);

#endif
