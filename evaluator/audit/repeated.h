/* Tensors that hold the same weights again. */
#ifndef ZH_EVALUATOR_AUDIT_REPEATED_H
#define ZH_EVALUATOR_AUDIT_REPEATED_H

#include <stdbool.h>

#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* repeated[i] becomes true where tensor i has the type, shape and bytes of an earlier one (the same
 * place in the file or a copy). Vectors of at most ZH_SMALL_VECTOR elements are left alone: norm
 * gains are often one constant, which is not sharing. repeated holds zh_model_tensor_count flags.
 */
enum { ZH_SMALL_VECTOR = 1 << 20 };
ZH_MUST_CHECK zh_status zh_find_repeated(bool *repeated, const zh_model *model, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
