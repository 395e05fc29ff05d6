/* Who is compared: models with the speeds and the answers that bundles, folders of evaluations and
 * tables say of them. */
#ifndef ZH_EVALUATOR_COMPARE_ENTRANTS_H
#define ZH_EVALUATOR_COMPARE_ENTRANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/json.h"
#include "evaluator/leading/scales.h"
#include "evaluator/words.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ZH_ENTRANTS_MAX = 50 };

/* A figure of speed, as a run measured it. */
typedef struct zh_speed {
  const char *figure, *unit; /* figure: "decode/decode_rate", step without model, and metric */
  const char *step;          /* "decode": its parameters are the fact "parameters decode" */
  double value;              /* the median of the repeats */
  double low, high;          /* its interval; NAN of a figure that was measured once */
  int64_t n;
  bool more_is_better, valid;
} zh_speed;

/* A model's answer to one item; after zh_sheet_settle the mean over its runs. */
typedef struct zh_answer {
  const char *item, *prompt, *cluster, *run; /* "" where nothing is said */
  double score;
  double likely; /* log-likelihood of the right answer, in nats; NAN where it is not known */
  double bytes;  /* of a text that was scored whole, else 0 */
} zh_answer;

/* A model's answers to one task. */
typedef struct zh_sheet {
  const char *task, *metric, *modality; /* metric "" where nothing is said */
  bool fewer_is_better;
  bool texts;         /* scores are nats of whole texts, each over its own bytes: bits a byte */
  zh_answer *answers; /* by item */
  size_t count, room;
  zh_reach reach; /* of the scores of runs */
  size_t runs;
  double run_variance; /* of the mean, from three runs on; else 0 */
  json_t *faults;      /* what is wrong with it by itself: [{"kind","zh","en"}] */
} zh_sheet;

typedef struct zh_entrant {
  const char *label, *model, *sm3; /* sm3 "" where it is not known */
  const char *folder;              /* the last part of its first path */
  const char *scores_sm3;          /* of what its scores were read from, "" where there are none */
  bool named;                      /* the label was given */
  bool doubtful;                   /* a run that measured it was invalid, or not stable */
  int64_t parameters, bytes;       /* -1: not known */
  zh_speed *speeds;
  size_t speed_count;
  zh_sheet *sheets;
  size_t sheet_count;
  json_t *facts;   /* {"machine": "…", "threads": "2", …}: what must be equal, as text */
  json_t *sources; /* [{"path","kind","sm3"}] */
  json_t *notes;   /* sentences: [{"kind","zh","en"}] */
} zh_entrant;

typedef struct zh_entrants {
  zh_arena *arena;
  const zh_words *words;
  const char *metric; /* asked for; NULL: each task's own */
  json_t *metrics;    /* {name: true} of those that inputs name */
  zh_entrant *at;     /* ZH_ENTRANTS_MAX */
  size_t count;
} zh_entrants;

/* words: "PATH" or "LABEL=PATH[,PATH…]". */
ZH_MUST_CHECK zh_status zh_entrants_open(zh_entrants *out, const char *const *words, size_t count,
                                         zh_error *err);
void zh_entrants_clear(zh_entrants *entrants);

/* --- for readers --- */

/* A new entrant, or the one that lacks just this part: the same label, else the same digest. */
typedef struct zh_part {
  const char *label; /* NULL: not given */
  const char *model, *sm3, *path;
  bool speeds, scores; /* what it brings */
} zh_part;
ZH_MUST_CHECK zh_status zh_entrants_take(zh_entrant **out, zh_entrants *e, const zh_part *part,
                                         zh_error *err);
/* Copies; never NULL, "" where memory is short (which the next allocation tells). */
const char *zh_entrants_text(zh_entrants *e, const char *text);
void zh_entrant_fact(zh_entrant *entrant, const char *key, const char *text);
/* The fact "NAME OF" of a task or a step, however long its name is. */
void zh_entrant_fact_of(zh_entrants *e, zh_entrant *entrant, const char *name, const char *of,
                        const char *text);
/* A sentence into a list; slots: name, value, …, NULL. */
void zh_compare_say(json_t *list, const zh_words *words, const char *kind, zh_word word, ...);

ZH_MUST_CHECK zh_status zh_sheet_new(zh_sheet **out, zh_entrants *e, zh_entrant *entrant,
                                     const char *task, zh_error *err);
zh_sheet *zh_sheet_named(const zh_entrant *entrant, const char *task); /* NULL where none is */
ZH_MUST_CHECK zh_status zh_sheet_add(zh_sheet *sheet, const zh_answer *answer, zh_error *err);
/* Sorts, averages over runs, names what is wrong. */
ZH_MUST_CHECK zh_status zh_sheet_settle(zh_sheet *sheet, const zh_entrants *e, const char *model,
                                        zh_error *err);

/* --- readers --- */

ZH_MUST_CHECK zh_status zh_read_run(zh_entrants *e, const char *label, const char *path,
                                    zh_error *err);
/* path: a folder with results_*.json; label as of zh_part. */
ZH_MUST_CHECK zh_status zh_read_evaluation(zh_entrants *e, const char *label, const char *path,
                                           zh_error *err);
ZH_MUST_CHECK zh_status zh_read_table(zh_entrants *e, const char *label, const char *path,
                                      zh_error *err);
/* Rows of a table, added to the sheets of its tasks. */
ZH_MUST_CHECK zh_status zh_read_rows(zh_entrants *e, zh_entrant *entrant, const char *path,
                                     zh_error *err);
/* results: path of a results_*.json, with samples_*.jsonl beside it; step: of the run, or NULL. */
ZH_MUST_CHECK zh_status zh_read_results(zh_entrants *e, zh_entrant *entrant, const char *results,
                                        const char *step, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
