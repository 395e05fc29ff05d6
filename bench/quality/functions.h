/* Functions that task files name with `!function MODULE.NAME`. Other harnesses run the Python
 * module that lies beside the task file; here nothing of Python is run: the functions of known
 * families are written in C and found by name. A function is taken only where what it stands for is
 * certain:
 *
 *   MODULE.py lies beside the file   its SHA-256 must be one that the family was written from;
 *                                    another text of the same name is refused, not guessed at
 *   no MODULE.py there               the task's dataset_path must be the family's own
 *   zhiheng.FAMILY.NAME              always the product's own
 *
 * Results tell which were used (`functions`). docs/eval.md lists the families.
 *
 * To add a family: write functions_FAMILY.c with a zh_function_family, name it in the list of
 * functions.c. */
#ifndef ZH_BENCH_QUALITY_FUNCTIONS_H
#define ZH_BENCH_QUALITY_FUNCTIONS_H

#include "bench/quality/quality.h"
#include "core/text.h"

typedef enum zh_function_kind {
  ZH_FUNCTION_DOCS,        /* process_docs */
  ZH_FUNCTION_FIELD,       /* doc_to_text, doc_to_target, doc_to_choice */
  ZH_FUNCTION_RESULTS,     /* process_results */
  ZH_FUNCTION_METRIC,      /* metric_list: metric */
  ZH_FUNCTION_AGGREGATION, /* metric_list: aggregation */
  ZH_FUNCTION_FILTER,      /* filter_list: function, or filter_fn of `custom` */
  ZH_FUNCTION_SAMPLES      /* fewshot_config: samples */
} zh_function_kind;

/* What a function knows of where it is called. */
typedef struct zh_function_call {
  const zh_function *function;
  const zh_exam_task *task; /* NULL where the task is still being read (process_docs, samples) */
  const json_t *options;    /* the entry of metric_list or of a filter; NULL: none */
} zh_function_call;

/* All: *out a new reference; what they are given is borrowed and not changed. Failures are
 * ZH_ERR_INPUT with a sentence; the caller says which task and item. */
typedef union zh_function_body {
  /* The rows that there are to be: those of `rows` that stay, with the columns that are added. */
  zh_status (*docs)(json_t **out, const zh_function_call *call, const json_t *rows, zh_error *err);
  /* What a template would give: text, a number, or a list. */
  zh_status (*field)(json_t **out, const zh_function_call *call, const json_t *doc, zh_error *err);
  /* results: as lm-evaluation-harness hands them over, one for each request of the item: a text (a
   * list of texts, where no filter took one), [log-likelihood, greedy], or a number of rolling
   * ones. *out: {metric: value}; values that are no numbers are for an aggregation to read. */
  zh_status (*results)(json_t **out, const zh_function_call *call, const json_t *doc,
                       const json_t *results, zh_error *err);
  /* references: [right answer]; predictions: [what the filters made of the answers]. A number, or
   * {name: number}, names not in metric_list taking the aggregation of the metric. */
  zh_status (*metric)(json_t **out, const zh_function_call *call, const json_t *references,
                      const json_t *predictions, zh_error *err);
  zh_status (*aggregation)(double *out, const zh_function_call *call, const json_t *values,
                           zh_error *err);
  /* answers: of one request, a list (one, or `repeats`); *out: a list again. */
  zh_status (*filter)(json_t **out, const zh_function_call *call, const json_t *answers,
                      const json_t *doc, zh_error *err);
  zh_status (*samples)(json_t **out, const zh_function_call *call, zh_error *err);
} zh_function_body;

struct zh_function {
  const char *name; /* "process_docs" */
  zh_function_kind kind;
  zh_function_body body;
  const char *argument; /* what tells apart functions that share a body; NULL */
};

/* A module that is known: "utils" of IFEval. */
typedef struct zh_function_family {
  const char *name;            /* "ifeval" */
  const char *module;          /* "utils" */
  const char *const *datasets; /* dataset_path of its tasks, NULL-terminated */
  const char *const *digests;  /* SHA-256 of MODULE.py, NULL-terminated */
  const char *source;          /* "lm-evaluation-harness 0.4.13" */
  const zh_function *functions;
  size_t count;
} zh_function_family;

/* "utils.f" where a value of a task file is a function, else NULL. Borrowed. */
const char *zh_function_word(const json_t *value);
/* The function of the file that `word` names; it must be of the kind. config: the task's. Fails at
 * the line where it stands. */
ZH_MUST_CHECK zh_status zh_function_find(const zh_function **out, const zh_task_file *file,
                                         const json_t *config, const char *word,
                                         zh_function_kind kind, zh_error *err);
/* Of a family of our own list; NULL: none. */
const zh_function *zh_function_named(const char *family, const char *name);
/* "ifeval.process_results (lm-evaluation-harness 0.4.13)"; the caller frees. NULL: no memory. */
char *zh_function_told(const zh_function *function);

/* --- families (functions_*.c) --- */

extern const zh_function_family zh_functions_ifeval, zh_functions_wikitext, zh_functions_mmlu_pro,
    zh_functions_bbh, zh_functions_truthfulqa, zh_functions_hellaswag, zh_functions_winogrande,
    zh_functions_drop, zh_functions_hendrycks_math;
extern const zh_function_family zh_functions_humaneval, zh_functions_mbpp; /* functions_code.c */

/* Copies of the rows with the columns that `change` puts into each; as datasets.Dataset.map. */
ZH_MUST_CHECK zh_status zh_function_map_rows(json_t **out, const json_t *rows,
                                             zh_status (*change)(json_t *row, zh_error *err),
                                             zh_error *err);
/* A text of the item; fails where it has none. */
ZH_MUST_CHECK zh_status zh_function_text(const char **out, const json_t *doc, const char *key,
                                         zh_error *err);

/* Steps of rewriting, in order: text.replace(from, to), or re.sub(from, to, text). */
typedef struct zh_rewrite {
  const char *from, *to;
  bool pattern;
} zh_rewrite;
ZH_MUST_CHECK zh_status zh_rewrite_text(zh_text *text, const zh_rewrite *steps, size_t count,
                                        zh_error *err);
/* New reference to the text; it is freed. NULL is no memory. */
json_t *zh_rewritten(zh_text *text);

#endif
