/* The loops of dense_loops.h for CPUs with AVX-512 F, BW, DQ and VL. */
#define ZH_DENSE_TABLE zh_dense_avx512
#include "evaluator/audit/dense_loops.h"
