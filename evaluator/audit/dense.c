#include "evaluator/audit/dense.h"

const zh_dense *zh_dense_choose(void) {
#ifdef ZH_AUDIT_X86
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return &zh_dense_avx512;
  if (__builtin_cpu_supports("avx2")) return &zh_dense_avx2;
#endif
  return &zh_dense_portable;
}
