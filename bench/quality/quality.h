/* Quality tasks: how well a model answers, by task files of lm-evaluation-harness read as they are.
 *
 * task file ─► zh_exam_task (items, templates) ─► requests (prompt.c) ─► the model (answer.c) ─►
 * filters ─► scores of items ─► aggregates (metrics.c) ─► results_*.json, samples_*.jsonl
 * (results.c)
 *
 * Definitions: docs/metrics.md, "Quality of answers"; what of task files is known: docs/eval.md. */
#ifndef ZH_BENCH_QUALITY_QUALITY_H
#define ZH_BENCH_QUALITY_QUALITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/quality/python_random.h"
#include "core/arena.h"
#include "core/json.h"
#include "core/regex.h"
#include "core/template.h"
#include "core/yaml.h"

/* --- task files (task_file.c) --- */

enum { ZH_INCLUDES = 16 };

/* A YAML file with those that it includes, its own keys before theirs. */
typedef struct zh_task_file {
  char *path;
  json_t *config;
  zh_yaml_doc *docs[ZH_INCLUDES];
  size_t doc_count;
} zh_task_file;

ZH_MUST_CHECK zh_status zh_task_file_load(zh_task_file *out, const char *path, zh_error *err);
void zh_task_file_close(zh_task_file *file);
/* Where a key stands; NULL where nowhere. */
const zh_yaml_node *zh_task_file_node(const zh_task_file *file, const char *key);

/* --- tasks (task.c) --- */

typedef struct zh_function zh_function; /* functions.h */

typedef enum zh_output {
  ZH_OUTPUT_LOGLIKELIHOOD,
  ZH_OUTPUT_CHOICE,
  ZH_OUTPUT_ROLLING,
  ZH_OUTPUT_GENERATE
} zh_output;

/* What a task file says of a text: the name of a column, a template, or a value as it stands. */
typedef struct zh_field {
  json_t *value; /* NULL: not given; borrowed from the config */
  zh_template *tpl;
  const zh_function *function; /* NULL: none */
  char *where;                 /* "FILE:LINE: KEY", for what fails in it; NULL where not given */
} zh_field;

typedef struct zh_item_metric {
  const char *name, *aggregation; /* aggregation: a name, or of the function */
  const char *figure; /* of several that a function gives, the one that decides; NULL: its name */
  const zh_function *function, *aggregate; /* functions.h; NULL: one of our own */
  bool higher_is_better;
  const json_t *options; /* the entry of metric_list; NULL: defaults */
} zh_item_metric;

typedef enum zh_filter_kind {
  ZH_FILTER_TAKE_FIRST,
  ZH_FILTER_TAKE_FIRST_K,
  ZH_FILTER_MAJORITY,
  ZH_FILTER_REGEX,
  ZH_FILTER_STRIP,
  ZH_FILTER_LOWER,
  ZH_FILTER_UPPER,
  ZH_FILTER_MAP,
  ZH_FILTER_FUNCTION
} zh_filter_kind;

typedef struct zh_filter {
  zh_filter_kind kind;
  zh_regex *regex;
  int64_t group_select, k;
  const char *fallback;
  const json_t *mapping, *otherwise;
  const zh_function *function;
  const json_t *options; /* the filter's own entry in the file */
} zh_filter;

typedef struct zh_filter_chain {
  const char *name;
  zh_filter *filters;
  size_t count;
} zh_filter_chain;

/* How tokens of a generated answer are chosen. */
typedef struct zh_draws {
  bool drawn;         /* false: the likeliest token */
  double temperature; /* above 0 */
  double top_p;       /* 1: all */
  int64_t top_k;      /* 0: all */
  uint64_t seed, stream;
} zh_draws;

/* Prompts as conversations, where `render` is given: messages ([{"role", "content"}]) become the
 * text that the model was taught. continued: the last message is the beginning of the answer. */
typedef struct zh_chat_form {
  zh_status (*render)(json_t **out, void *user, const json_t *messages, bool continued,
                      zh_error *err);
  void *user;
  const char *system;         /* stands before the task's description; NULL: none */
  bool multiturn;             /* examples as turns of their own */
  const bool *system_refused; /* set where the template took no message of the system; NULL: none */
} zh_chat_form;

typedef struct zh_exam_task {
  zh_arena *arena;
  const char *name, *alias, *path;
  json_t *config; /* as results show it */
  json_t *version;
  zh_output output;
  zh_field text, target, choice, description, gen_prefix;
  zh_field shot_text, shot_target, shot_choice, shot_gen_prefix;
  const char *target_delimiter, *fewshot_delimiter, *shot_target_delimiter, *shot_delimiter;
  int64_t shots;
  bool first_n;             /* few-shot examples in their order, not drawn */
  bool exclude_itself;      /* an item is not its own example */
  json_t *docs, *shot_docs; /* arrays of rows; shot_docs may be NULL */
  json_t *columns;          /* object with the columns of docs as keys */
  json_t *files;            /* what was read, with digests */
  json_t *until;            /* array of texts that end a generated one */
  json_t *generation;       /* generation_kwargs */
  uint64_t max_new;
  int64_t repeats; /* answers to each prompt */
  zh_draws draws;
  const zh_function *process_results; /* NULL: none */
  json_t *functions;                  /* names of those that are used */
  zh_chat_form chat;
  bool opencompass; /* scored as OpenCompass does (scores_opencompass.c) */
  bool multiple_input, multiple_target;
  zh_item_metric *metrics;
  size_t metric_count;
  const zh_item_metric *deciding; /* of a comparison of models (decision.h); NULL: none */
  zh_filter_chain *chains;
  size_t chain_count;
  size_t taken; /* items that are asked: the first so many */
} zh_exam_task;

typedef struct zh_task_options {
  const char *data; /* folder of data sets that task files name by their names on a hub; NULL */
  int64_t shots;    /* instead of the file's; -1: as the file says */
  double limit;     /* items asked: 0 all, below 1 a part, else so many */
  uint64_t seed;    /* of made items and of drawn answers */
  zh_chat_form chat;
  bool opencompass; /* scores as OpenCompass defines them (docs/eval.md) */
  const char *language;
} zh_task_options;

/* config: the task's own, borrowed; file: where it stands, for messages. */
ZH_MUST_CHECK zh_status zh_task_create(zh_exam_task **out, const zh_task_file *file, json_t *config,
                                       const char *name, const zh_task_options *options,
                                       zh_error *err);
void zh_task_free(zh_exam_task *task); /* NULL is safe */

/* --- prompts (prompt.c) --- */

/* One thing asked of the model. */
typedef struct zh_request {
  size_t doc;
  uint32_t repeat;                /* number of this answer to the same prompt, from 0 */
  uint32_t tokens;                /* of the whole text, where all of them are judged */
  json_t *context, *continuation; /* texts; of rolling and generation no continuation */
  json_t *asked;                  /* the context without a model's chat template; NULL: it has none */
  /* Answers. */
  double logprob;
  bool greedy;  /* every token of the continuation was the likeliest */
  json_t *text; /* generated */
} zh_request;

typedef struct zh_requests {
  zh_request *at;
  size_t count, capacity;
} zh_requests;

/* Of all items of a task, in order; an item's stand beside each other. */
ZH_MUST_CHECK zh_status zh_task_requests(zh_requests *out, zh_exam_task *task, zh_error *err);
void zh_requests_free(zh_requests *requests);

/* New references. doc_to_text and so on; *out NULL where the file gives none. */
ZH_MUST_CHECK zh_status zh_task_text(json_t **out, const zh_exam_task *task, const zh_field *field,
                                     const json_t *doc, zh_error *err);
ZH_MUST_CHECK zh_status zh_task_target(json_t **out, const zh_exam_task *task,
                                       const zh_field *field, const json_t *doc, zh_error *err);
ZH_MUST_CHECK zh_status zh_task_choices(json_t **out, const zh_exam_task *task,
                                        const zh_field *field, const json_t *doc, zh_error *err);
ZH_MUST_CHECK zh_status zh_field_read(zh_field *out, const zh_task_file *file, const json_t *config,
                                      const char *key, json_t *value, zh_error *err);
void zh_field_free(zh_field *field);

/* --- scores (metrics.c, filters.c) --- */

/* What the chain makes of the answers of one item: for each thing that was asked a value, for
 * generated answers one; a list of them where no filter took one. requests: of the item. New
 * reference. */
ZH_MUST_CHECK zh_status zh_filter_apply(json_t **out, const zh_filter_chain *chain,
                                        const zh_exam_task *task, const zh_request *requests,
                                        size_t count, zh_error *err);
ZH_MUST_CHECK zh_status zh_filters_read(zh_exam_task *task, const zh_task_file *file,
                                        const json_t *list, zh_error *err);

/* {metric: value} of an item; values are numbers, or pairs for what is aggregated over all. */
ZH_MUST_CHECK zh_status zh_score_item(json_t **out, const zh_exam_task *task, const json_t *doc,
                                      const zh_request *requests, size_t count,
                                      const json_t *filtered, zh_error *err);
/* values: of all items, in order. *stderr_out NaN where there is none. */
ZH_MUST_CHECK zh_status zh_aggregate(double *out, double *stderr_out, const char *aggregation,
                                     const json_t *values, zh_error *err);
/* Of the scores called `name` (not NUL-terminated): by the task's metric of that name, or by the
 * function that gave it; else their mean. */
ZH_MUST_CHECK zh_status zh_task_figure(double *out, double *stderr_out, const zh_exam_task *task,
                                       const char *name, size_t length, const json_t *values,
                                       zh_error *err);
bool zh_aggregation_known(const char *name);
/* Of a metric that names none; NULL: the metric is not known. */
const char *zh_metric_aggregation(const char *metric, bool *higher_is_better);

/* --- groups (catalogue.c) --- */

typedef struct zh_group_metric {
  const char *metric, *filter; /* filter NULL: all */
  bool weighted;               /* by the number of items */
} zh_group_metric;

/* A task or a group, in the tree that was asked for. */
typedef struct zh_entry {
  const char *name, *alias;
  zh_exam_task *task; /* NULL: a group */
  struct zh_entry **children;
  size_t child_count;
  zh_group_metric *metrics;
  size_t metric_count;
  json_t *version;
} zh_entry;

typedef struct zh_exam {
  zh_arena *arena;
  zh_entry **entries; /* as asked */
  size_t entry_count;
  zh_exam_task **tasks; /* each once, in the order of the tree */
  size_t task_count;
} zh_exam;

/* names: comma-separated tasks, groups, tags, or paths of task files. folders: of task files,
 * searched in this order, then the product's own. */
ZH_MUST_CHECK zh_status zh_exam_open(zh_exam **out, const char *names, const char *const *folders,
                                     size_t folder_count, const zh_task_options *options,
                                     zh_error *err);
/* Appends {"name","summary"} of each task and group of the product itself. */
ZH_MUST_CHECK zh_status zh_exam_list(json_t *items, zh_error *err);
void zh_exam_free(zh_exam *exam);

#endif
