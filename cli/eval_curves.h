/* Scores by level, as `eval` prints them. */
#ifndef ZH_CLI_EVAL_CURVES_H
#define ZH_CLI_EVAL_CURVES_H

#include "core/json.h"

/* curves: of the results, {task: {"metric,filter": curve}}; prints nothing where there are none. */
void zh_eval_curves_print(const json_t *curves);

#endif
