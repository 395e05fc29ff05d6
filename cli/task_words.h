/* The options by which commands name tasks: --tasks, --include, --data, --limit, --seed. */
#ifndef ZH_CLI_TASK_WORDS_H
#define ZH_CLI_TASK_WORDS_H

#include <argp.h>

#include "bench/quality/quality.h"

enum { ZH_TASK_FOLDERS = 16 };

typedef struct zh_task_words {
  const char *tasks, *folders[ZH_TASK_FOLDERS];
  size_t folder_count;
  zh_task_options options;
} zh_task_words;

/* A child of a command's parser; its input is a zh_task_words. */
extern const struct argp zh_task_argp;
/* The exam of such words; `tasks` may be others than words->tasks. */
ZH_MUST_CHECK zh_status zh_task_words_open(zh_exam **out, const zh_task_words *words,
                                           const char *tasks, zh_error *err);

#endif
