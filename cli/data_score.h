/* zhiheng data score: answers that were made elsewhere, scored. */
#ifndef ZH_CLI_DATA_SCORE_H
#define ZH_CLI_DATA_SCORE_H

#include "cli/task_words.h"

typedef struct zh_data_score {
  const zh_task_words *words;
  const char *answers, *out; /* out: folder, NULL: nothing is written */
  bool json;
} zh_data_score;

/* Prints the figures; returns the exit status. */
int zh_cli_data_score(const zh_data_score *given);

#endif
