/* The verdict: the first line of the table in docs/leading.md that holds, from the top. */
#ifndef ZH_EVALUATOR_LEADING_DECIDE_H
#define ZH_EVALUATOR_LEADING_DECIDE_H

#include "evaluator/leading/unit.h"
#include "evaluator/stats/proportions.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum zh_standing {
  ZH_NOT_ENOUGH,
  ZH_NOT_LEADING,
  ZH_LEADING,
  ZH_TIED,
  ZH_STANDINGS
} zh_standing;
extern const char *const zh_standing_names[ZH_STANDINGS];
extern const zh_word zh_standing_words[ZH_STANDINGS];

/* Whether a published score can be held against the claimant's. */
typedef enum zh_held { ZH_HELD, ZH_NOT_SCORED, ZH_NOT_SHARES } zh_held;

/* The claimant on one task against a published score: independent samples, another protocol. */
typedef struct zh_unmatched {
  const char *peer;
  const zh_published *published;
  zh_held held;
  size_t task;  /* of the table; none where it was not scored */
  size_t model; /* of the table, where the peer has one as well; else 0 */
  double own;   /* the claimant's mean */
  double items; /* of the claimant: as many independent ones as its items are worth */
  double difference;
  zh_interval interval; /* 95 % */
} zh_unmatched;

/* All that a comparison found. */
typedef struct zh_matter {
  const zh_words *words;
  const zh_protocol *protocol;
  const zh_table *table;
  zh_unit *endpoints, *tasks; /* modalities; single tasks of the table */
  size_t endpoint_count;
  double *losses; /* [tasks][models]: Holm's p that the claimant is worse; NAN: none */
  zh_unmatched *unmatched;
  size_t unmatched_count;
} zh_matter;

/* Fills matter->unmatched from the protocol's published scores. */
ZH_MUST_CHECK zh_status zh_look_at_published(zh_matter *matter, zh_error *err);

typedef struct zh_decision {
  zh_standing verdict;
  const char *rule;
  json_t *decided_by, *would_change; /* lists of {"rule", figures, "zh","en"} */
} zh_decision;

/* whole: over all endpoints, with what the protocol requires; else over these units alone. */
ZH_MUST_CHECK zh_status zh_decide(zh_decision *out, const zh_matter *matter, const zh_unit *units,
                                  size_t count, bool whole, zh_error *err);
void zh_decision_clear(zh_decision *decision);

/* A sentence with figures, for either list. pairs: slot, value, …, NULL. */
json_t *zh_say(const zh_words *words, const char *rule, zh_word word, ...);
/* The same with {unit} behind its figures: points where they are shares, else nothing. */
json_t *zh_say_in(const zh_words *words, bool shares, const char *rule, zh_word word, ...);
/* A figure as sentences show it: shares in points with two decimals; a p value. */
typedef struct zh_figure {
  char text[32];
} zh_figure;
zh_figure zh_points(bool shares, double difference);
zh_figure zh_p_text(double p);
zh_figure zh_count_text(size_t count);

#ifdef __cplusplus
}
#endif
#endif
