/* The loops of dense_loops.h for CPUs with AVX2. */
#define ZH_DENSE_TABLE zh_dense_avx2
#include "evaluator/audit/dense_loops.h"
