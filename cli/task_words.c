#include "cli/task_words.h"

#include "cli/cli.h"

enum { KEY_INCLUDE = 512, KEY_DATA, KEY_LIMIT, KEY_SEED };

static const struct argp_option options[] = {
    {"tasks", 't', "NAME,NAME", 0, "tasks, groups, tags, or paths of task files", 0},
    {"include", KEY_INCLUDE, "DIR", 0, "folder of task files, searched first; may be repeated", 0},
    {"data", KEY_DATA, "DIR", 0, "folder of the data sets that task files name", 0},
    {"limit", KEY_LIMIT, "N", 0, "the first N items of each task", 0},
    {"seed", KEY_SEED, "N", 0, "seed of made items, and of all that is drawn (1)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
  zh_task_words *given = state->input;
  switch (key) {
  case 't':
    given->tasks = arg;
    return 0;
  case KEY_INCLUDE:
    if (given->folder_count == ZH_TASK_FOLDERS)
      argp_error(state, "--include: at most %d folders", ZH_TASK_FOLDERS);
    given->folders[given->folder_count++] = arg;
    return 0;
  case KEY_DATA:
    given->options.data = arg;
    return 0;
  case KEY_LIMIT:
    given->options.limit = (double)zh_cli_whole("limit", arg, 1, UINT32_MAX, state);
    return 0;
  case KEY_SEED:
    given->options.seed = zh_cli_whole("seed", arg, 0, INT64_MAX, state);
    return 0;
  case ARGP_KEY_INIT:
    given->options = (zh_task_options){.shots = -1, .seed = 1};
    return 0;
  case ARGP_KEY_END:
    if (!given->tasks) argp_error(state, "name the tasks: --tasks NAME,NAME");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

const struct argp zh_task_argp = {.options = options, .parser = parse};

zh_status zh_task_words_open(zh_exam **out, const zh_task_words *words, const char *tasks,
                             zh_error *err) {
  return zh_exam_open(out, tasks, words->folders, words->folder_count, &words->options, err);
}
