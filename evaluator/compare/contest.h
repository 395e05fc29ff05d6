/* Answers side by side: every two models that answered the same items of a task under the same
 * protocol are tested as pairs; where they did not, what differs is named and no figure is made. */
#ifndef ZH_EVALUATOR_COMPARE_CONTEST_H
#define ZH_EVALUATOR_COMPARE_CONTEST_H

#include "evaluator/compare/entrants.h"
#include "evaluator/stats/pairs.h"
#include "evaluator/stats/proportions.h"
#include "evaluator/stats/rank_sets.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ZH_NO_SIDE = -1 };

/* Models whose answers stand side by side: the same items, asked alike. */
typedef struct zh_side {
  size_t members, tasks;
  size_t member[ZH_ENTRANTS_MAX]; /* entrants */
  zh_groups *groups;
  double *scores;   /* [members][items], more is better */
  double *share_of; /* [items] of texts: bytes over their mean; NULL: no texts */
  double *likely;   /* [members][items]: log-likelihood of the right answer; NAN: not known */
  double *extra, *extra_df;
  zh_rank_set *ranks; /* [members], jointly of all its models */
  size_t untested;    /* pairs of its models without variance */
} zh_side;

/* One model on one task. */
typedef struct zh_standing_of {
  const zh_sheet *sheet;   /* NULL: missing, or all tasks together */
  int side;                /* of the event, or ZH_NO_SIDE */
  size_t row;              /* in it */
  double score, low, high; /* 95 %; NAN: not known */
} zh_standing_of;

/* A task, or all tasks together. */
typedef struct zh_event {
  const char *name, *metric;
  bool overall, texts, fewer_is_better, shares; /* shares: all scores lie in 0 to 1 */
  zh_standing_of *of;                           /* [entrants] */
  zh_side *sides;
  size_t side_count;
} zh_event;

typedef enum zh_bout_verdict {
  ZH_BOUT_INSUFFICIENT,
  ZH_BOUT_ABOVE, /* the first is better */
  ZH_BOUT_BELOW,
  ZH_BOUT_OPEN /* no difference is shown */
} zh_bout_verdict;
extern const char *const zh_bout_verdicts[]; /* as results show them */

/* Two models on one event; the pair is oriented, more is better. */
typedef struct zh_bout {
  size_t event, first, second;
  zh_pair pair;
  double adjusted; /* NAN: no p */
  zh_bout_verdict verdict;
  bool missing;    /* one of them has no answers to it */
  json_t *reasons; /* why it is insufficient: [{"kind","zh","en"}] */
} zh_bout;

typedef struct zh_contest_options {
  double alpha;
  bool exploratory; /* Benjamini and Hochberg instead of Holm */
  int against;      /* an entrant: pairs with it alone; -1: all pairs */
  size_t replicates;
  uint64_t seed;
  zh_threads *threads;
} zh_contest_options;

typedef struct zh_contest {
  const zh_entrants *entrants;
  zh_contest_options options;
  zh_event *events; /* tasks in the order they come up, all together last */
  size_t event_count;
  bool overall; /* the last event is all tasks together */
  zh_bout *bouts;
  size_t bout_count, tests; /* tests: bouts with a p, the family that is adjusted */
} zh_contest;

ZH_MUST_CHECK zh_status zh_contest_hold(zh_contest *out, const zh_entrants *entrants,
                                        const zh_contest_options *options, zh_error *err);
void zh_contest_clear(zh_contest *contest);
/* NULL where these two were not paired on it; *turned: it is of second and first. */
const zh_bout *zh_contest_bout(const zh_contest *contest, size_t event, size_t first, size_t second,
                               bool *turned);

/* --- private to the room --- */

/* Why two with answers to a task stand on different sides: what differs between them, else between
 * one and who stands with the other. */
void zh_tell_apart(json_t *reasons, const zh_contest *contest, size_t event, size_t first,
                   size_t second);
/* Why two of one side have no error: one item, one cluster, or differences that do not vary. */
void zh_tell_untested(json_t *reasons, const zh_contest *contest, size_t event, size_t first,
                      size_t second);

/* Whether two sheets may be paired; what speaks against it goes into reasons (NULL: nowhere). */
bool zh_sheets_match(json_t *reasons, const zh_entrants *e, size_t first, const zh_sheet *a,
                     size_t second, const zh_sheet *b);
/* sheets: [members][tasks], which match. */
ZH_MUST_CHECK zh_status zh_side_create(zh_side *out, const zh_sheet *const *sheets,
                                       const size_t *member, size_t members, size_t tasks,
                                       const zh_contest_options *options, zh_error *err);
void zh_side_clear(zh_side *side);
/* The mean of a row with its 95 % interval, Wilson's where all is 0 or 1; NAN where none is known.
 */
ZH_MUST_CHECK zh_status zh_side_mean(double *mean, zh_interval *interval, const zh_side *side,
                                     size_t row, zh_error *err);
/* The first less the second, both rows of the side. */
ZH_MUST_CHECK zh_status zh_side_pair(zh_pair *out, const zh_side *side, size_t first, size_t second,
                                     const zh_contest_options *options, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
