/* Scores of several models on the same items, joined item by item; what cannot be joined is named,
 * and no number is made of it. */
#ifndef ZH_EVALUATOR_LEADING_SCORES_H
#define ZH_EVALUATOR_LEADING_SCORES_H

#include "core/csv.h"
#include "evaluator/leading/protocol.h"
#include "evaluator/words.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One row of a model's table. Strings are its table's. */
typedef struct zh_scored {
  const char *item, *cluster, *modality, *prompt, *run; /* "" where nothing stands */
  uint32_t task;                                        /* of the protocol */
  double score;                                         /* by the task's scale, where it has one */
  size_t line;
} zh_scored;

typedef struct zh_scorer { /* a model with a table */
  const char *name, *file; /* name: the table's remark "# model: …", else the file's name */
  char sm3[ZH_DIGEST_HEX];
  char *protocol_sm3, *model_sm3; /* what its remarks say; NULL: nothing */
  json_t *not_read;               /* names of columns */
  zh_csv *csv;
  zh_scored *rows; /* sorted by task, item, run */
  size_t row_count;
  size_t runs; /* rows of each item */
} zh_scorer;

/* Why the input cannot be compared: a list of {"kind","model",…,"zh","en"}. */
typedef struct zh_refusals {
  const zh_words *words;
  json_t *list;
} zh_refusals;
/* slots: name, value, …, NULL; what is very long is cut. */
void zh_refuse(zh_refusals *refusals, const char *kind, const char *model, zh_word word, ...);

/* Items of all models side by side, those of a modality together, within it by task, cluster, item;
 * model 0 is the claimant. */
typedef struct zh_table {
  size_t models, items, tasks;
  const char **names;                 /* [models] */
  size_t *runs;                       /* [models] */
  const char **items_named;           /* [items] */
  uint32_t *task_of;                  /* [items], of `task` */
  uint32_t *cluster_of;               /* [items], numbered through all tasks */
  double *scores;                     /* [models][items], means over runs */
  double **run_scores;                /* [models]: [runs][items]; NULL where there is one run */
  const zh_asked **task;              /* [tasks] */
  const char **modality;              /* [tasks] */
  char (*items_sm3)[ZH_DIGEST_HEX];   /* [tasks]; "" where items were left out */
  char (*prompts_sm3)[ZH_DIGEST_HEX]; /* [tasks]; "" where there are none, too */
  size_t *first_item;                 /* [tasks + 1] */
} zh_table;

/* Files of tables: a folder stands for those of the bundle in it (scores/<model>.csv), which is
 * held against its manifest. */
typedef struct zh_table_paths {
  char **at;
  size_t count;
} zh_table_paths;
ZH_MUST_CHECK zh_status zh_table_paths_find(zh_table_paths *out, const char *const *given,
                                            size_t count, zh_error *err);
void zh_table_paths_free(zh_table_paths *paths);
/* Of the remarks before a table's header: what stands behind "# key: ", in whatever case the key is
 * written; NULL where nothing does. free(). */
char *zh_scores_remark(const char *remarks, const char *key);
/* The model that a table is of where it does not say: its file's name. free(). */
char *zh_scores_name(const char *path);

/* Reads one table; what is wrong with single rows (NaN, duplicates …) goes into refusals. */
ZH_MUST_CHECK zh_status zh_scorer_read(zh_scorer *out, const char *path,
                                       const zh_protocol *protocol, zh_refusals *refusals,
                                       zh_error *err);
void zh_scorer_clear(zh_scorer *scorer);

/* Joins them; the first is the claimant. Where anything was refused, *out is NULL. */
ZH_MUST_CHECK zh_status zh_table_join(zh_table **out, const zh_scorer *scorers, size_t count,
                                      const zh_protocol *protocol, zh_refusals *refusals,
                                      zh_error *err);
/* The same without some items. */
ZH_MUST_CHECK zh_status zh_table_without(zh_table **out, const zh_table *table, const bool *gone,
                                         zh_error *err);
/* Whether all scores of a task lie in 0 to 1, so that they are shares. *outside: one that does not.
 */
bool zh_table_in_shares(const zh_table *table, size_t task, double *outside);
/* All arrays zeroed; tasks: the most there may be. NULL where memory is short. */
zh_table *zh_table_allocate(size_t models, size_t items, size_t tasks);
void zh_table_free(zh_table *table); /* NULL is safe */

#ifdef __cplusplus
}
#endif
#endif
