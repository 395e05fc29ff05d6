/* The loops of dense_loops.h for any CPU. */
#define ZH_DENSE_TABLE zh_dense_portable
#include "evaluator/audit/dense_loops.h"
