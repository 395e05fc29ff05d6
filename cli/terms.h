/* Where the items of an evaluation come from, and under which terms, for people. */
#ifndef ZH_CLI_TERMS_H
#define ZH_CLI_TERMS_H

#include "core/json.h"

/* datasets: {task: terms} of results (bench/quality/dataset_terms.h). A line for each data set, its
 * warning below it. */
void zh_cli_print_terms(const json_t *datasets);

#endif
