/* A comparison as CSV. */
#ifndef ZH_CLI_COMPARE_CSV_H
#define ZH_CLI_COMPARE_CSV_H

#include "core/json.h"
#include "core/status.h"

/* kind,task,model,other,unit,value,low,high,n,p,p_adjusted,verdict,reason: a row for each condition
 * that differs, speed, ratio, score, pair and test of damage. The caller frees *out. */
ZH_MUST_CHECK zh_status zh_compare_csv(char **out, const json_t *comparison, const char *language,
                                       zh_error *err);

#endif
