/* zhiheng data score: answers that were made elsewhere, scored. */
#ifndef ZH_CLI_DATA_SCORE_H
#define ZH_CLI_DATA_SCORE_H

#include "bench/quality/quality.h"

typedef struct zh_data_score {
  const char *tasks, *answers, *out; /* out: folder, NULL: nothing is written */
  const char *const *folders;
  size_t folder_count;
  const zh_task_options *options;
  bool json;
} zh_data_score;

/* Prints the figures; returns the exit status. */
int zh_cli_data_score(const zh_data_score *given);

#endif
