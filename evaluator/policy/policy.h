/* A policy in memory: every clause with its quote, conditions as trees, amounts as figures.
 * Language: docs/adding-a-policy.md. */
#ifndef ZH_EVALUATOR_POLICY_POLICY_H
#define ZH_EVALUATOR_POLICY_POLICY_H

#include <stdbool.h>

#include "core/digest.h"
#include "evaluator/calendar.h"
#include "evaluator/evaluator.h"
#include "evaluator/words.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ZH_MAX_CHOICES = 4, ZH_MAX_READINGS = 16 };

/* --- readings: where the text admits more than one --- */

typedef struct zh_choice {
  const char *id;
  zh_phrase name, ground;
} zh_choice;

typedef struct zh_reading {
  const char *id;
  size_t index; /* in the policy */
  bool used;    /* something depends on it */
  zh_phrase question;
  zh_choice choices[ZH_MAX_CHOICES];
  size_t choice_count;
} zh_reading;

/* One choice for every reading of the policy. */
typedef struct zh_assignment {
  unsigned char choice[ZH_MAX_READINGS];
} zh_assignment;

/* The place of what this reading chooses; 0 where nothing depends on a reading (NULL). */
size_t zh_choice_of(const zh_reading *reading, const zh_assignment *readings);

/* --- facts and bases --- */

typedef enum zh_fact_type {
  ZH_FACT_MONEY,
  ZH_FACT_COUNT,
  ZH_FACT_DATE,
  ZH_FACT_FLAG,
  ZH_FACT_WORDS,
  ZH_FACT_TEXT
} zh_fact_type;

typedef struct zh_name {
  const char *id;
  zh_phrase phrase;
} zh_name;

typedef struct zh_fact {
  const char *id;
  zh_fact_type type;
  zh_phrase name;
  const char *unit; /* counts */
  zh_name *words;   /* the closed list of ZH_FACT_WORDS */
  size_t word_count;
} zh_fact;

/* --- conditions --- */

/* How a boundary word compares: 超过 >, 不低于 >=, 不超过 <= … (policy/boundary.c). Where a reading
 * decides how strict it is, `by_choice` has an operator for each of its choices. */
typedef struct zh_boundary {
  const char *word, *op;
  const zh_reading *reading;
  const char *by_choice[ZH_MAX_CHOICES];
} zh_boundary;

/* Which count of a model a threshold is held against. */
typedef enum zh_count_kind {
  ZH_COUNT_STORED,
  ZH_COUNT_UNIQUE,
  ZH_COUNT_ACTIVE,
  ZH_COUNT_EFFECTIVE,
  ZH_COUNTS
} zh_count_kind;
extern const char *const
    zh_count_names[]; /* "stored", "unique", "active", "effective", NULL: the keys of audit.json */

enum { ZH_LEVEL_STATE = 1, ZH_LEVEL_CITY = 2, ZH_LEVEL_DISTRICT = 4, ZH_LEVEL_ANY = 7 };
extern const char *const zh_level_words[]; /* "state", "city", "district", NULL */

/* Which grants received make an exclusion apply. */
typedef struct zh_received_match {
  bool given, same_project, matched, other_policies;
  int levels;
} zh_received_match;

struct zh_rule_kind; /* evaluator/rules/rules.h */
struct zh_clause;

/* A leaf: one statement that is decided by itself. */
typedef struct zh_rule {
  const char *id, *quote;
  const struct zh_rule_kind *kind;
  const struct zh_clause *clause;
  zh_phrase statement, criterion;
  zh_phrase papers, undetermined; /* zh NULL: none */
  const zh_fact *fact, *earlier;
  zh_boundary boundary;
  int64_t threshold; /* 分, parameters, the fact's unit */
  const char *unit;  /* of the threshold */
  zh_date on;
  zh_span within;
  const char **words; /* member: one_of, or none_of */
  size_t word_count, at_least;
  bool none_of, is;
  zh_received_match received;
  const zh_reading *reading; /* parameter_threshold: which count */
  zh_count_kind counts[ZH_MAX_CHOICES];
} zh_rule;

typedef enum zh_node_kind {
  ZH_NODE_ALL,
  ZH_NODE_ANY,
  ZH_NODE_NOT,
  ZH_NODE_READING,
  ZH_NODE_CLAUSE,
  ZH_NODE_HOLDS,
  ZH_NODE_LEAF
} zh_node_kind;

typedef struct zh_node {
  zh_node_kind kind;
  struct zh_node **children; /* one for each choice of a reading */
  size_t count;
  const zh_reading *reading;
  const struct zh_clause *clause;
  zh_rule *leaf;
  bool holds;
} zh_node;

/* --- amounts --- */

typedef enum zh_rate_kind {
  ZH_RATE_NONE,
  ZH_RATE_AT_MOST,
  ZH_RATE_EXACTLY,
  ZH_RATE_UNSTATED
} zh_rate_kind;
typedef enum zh_cap_per {
  ZH_PER_AWARD,
  ZH_PER_PROJECT,
  ZH_PER_YEAR,
  ZH_PER_LIFETIME,
  ZH_PER_PERSON,
  ZH_PER_ENTERPRISE
} zh_cap_per;
extern const char *const zh_cap_per_words[];

/* How often a limit can be used; [0] alone where there is no reading. */
typedef struct zh_per {
  const zh_reading *reading;
  zh_cap_per of[ZH_MAX_CHOICES];
} zh_per;

typedef struct zh_cap {
  int64_t fen;
  const char *word; /* NULL where the text has none */
  zh_per per;
  const struct zh_clause
      *shared; /* the sentence of its own that several awards share; NULL: this one */
  const struct zh_clause *unless; /* the condition that lifts it; NULL: none */
} zh_cap;

typedef struct zh_period {
  zh_span from, to; /* count 0: not stated */
} zh_period;

enum { ZH_MAX_CAPS = 4 };

typedef struct zh_amount {
  zh_phrase criterion;
  bool has_base;
  const zh_reading *base_reading;
  const zh_name *bases[ZH_MAX_CHOICES]; /* [0] alone where there is no reading; NULL: unstated */
  zh_rate_kind rate_kind;
  int64_t rate_millionths;
  zh_per rate_per;        /* lifetime: less what was received under this clause */
  const char *rate_words; /* the boundary word, or those that stand instead of a rate */
  zh_cap caps[ZH_MAX_CAPS];
  size_t cap_count;
  const char *ladder, *difference; /* NULL: none */
  const zh_reading *difference_reading;
  bool less_steps[ZH_MAX_CHOICES]; /* less the value of lower steps reached, not what was paid */
  bool one_off, yearly;
  zh_period period;
  int64_t rounding_fen; /* 1, 100 or 1000000 */
  const struct zh_clause **requires;
  size_t require_count;
} zh_amount;

/* A technical figure that is no condition on an applicant (≥ 100 Gb/s of a network). */
typedef struct zh_technical {
  const char *id, *unit;
  zh_phrase name;
  zh_boundary boundary;
  int64_t number;
} zh_technical;

typedef enum zh_clause_kind {
  ZH_CLAUSE_CONDITION,
  ZH_CLAUSE_AMOUNT,
  ZH_CLAUSE_ENCOURAGEMENT,
  ZH_CLAUSE_PROCEDURE
} zh_clause_kind;
extern const char *const zh_clause_kind_words[];

typedef struct zh_clause {
  const char *number, *id, *quote;
  zh_clause_kind kind;
  zh_phrase heading, who; /* who.zh NULL: not said */
  zh_phrase *people;
  size_t people_count;
  int64_t pool_fen; /* -1: none */
  zh_technical *figures;
  size_t figure_count;
  zh_node *test;     /* NULL: none */
  zh_amount *amount; /* NULL unless kind is amount */
  size_t index;
} zh_clause;

/* --- stacking, papers, validity --- */

typedef enum zh_stacking_kind {
  ZH_STACK_HIGHER_OF,
  ZH_STACK_JOINT_LIMIT,
  ZH_STACK_ON_TOP,
  ZH_STACK_EXCLUSIVE,
  ZH_STACK_SAME_BILL,
  ZH_STACK_YIELDS_TO
} zh_stacking_kind;
extern const char *const zh_stacking_words[];

typedef struct zh_stacking {
  zh_stacking_kind kind;
  const zh_clause *clause; /* NULL where the text is silent */
  const zh_reading *levels_reading;
  int levels[ZH_MAX_CHOICES]; /* [0] alone where there is no reading */
  const char **policies;      /* whose money counts; none: that of every other policy */
  size_t policy_count;
  zh_phrase question; /* yields_to */
  bool *among;        /* one for each clause of the policy */
  size_t among_count;
  int64_t rate_millionths;
  const zh_reading *reading; /* same_bill */
  bool once[ZH_MAX_CHOICES];
} zh_stacking;

typedef struct zh_material {
  const char *id;
  const zh_clause *clause;
  zh_phrase name, filled_by;
  zh_span within;
  const char *of_year; /* words of the quote that ask for the year before the application's */
  bool optional;
} zh_material;

typedef enum zh_last_day { ZH_LAST_DAY_EVE, ZH_LAST_DAY_ANNIVERSARY } zh_last_day;

typedef struct zh_valid {
  bool given, from_issue;
  zh_date from;
  const zh_clause *clause;
  zh_span term; /* count 0: none */
  const zh_reading *until_reading, *last_day_reading;
  zh_date until[ZH_MAX_CHOICES];     /* [0] alone where there is no reading; ZH_NO_DATE: unstated */
  zh_phrase outside[ZH_MAX_CHOICES]; /* the rule outside the text that a day rests on; zh NULL */
  zh_last_day last_day[ZH_MAX_CHOICES];
} zh_valid;

typedef struct zh_replacement {
  const char *from, *to;
} zh_replacement;

typedef struct zh_normalisation {
  bool traditional, pinyin;
  zh_replacement *replace;
  size_t replace_count;
  const char *ends_at; /* NULL: the file's end */
} zh_normalisation;

struct zh_policy {
  zh_arena *arena;
  const char *name, *status, *number, *date, *source, *source_file; /* number, date "" where none */
  int level;
  zh_phrase title, issuer, validity;
  zh_valid valid;
  zh_normalisation normalisation;
  char sm3[ZH_DIGEST_HEX]; /* of the policy file */
  zh_fact *facts;
  size_t fact_count;
  zh_name *bases;
  size_t base_count;
  zh_reading *readings;
  size_t reading_count;
  zh_clause *clauses;
  size_t clause_count;
  zh_rule **rules; /* every leaf, in the file's order */
  size_t rule_count;
  const zh_clause **always, **default_claims;
  size_t always_count, default_claim_count;
  zh_stacking *stacking;
  size_t stacking_count;
  zh_material *materials;
  size_t material_count;
  zh_phrase *not_tested;
  size_t not_tested_count;
};

/* name stands where the path would in messages. */
ZH_MUST_CHECK zh_status zh_policy_load_text(zh_policy **out, const char *text, size_t length,
                                            const char *name, zh_error *err);

/* Where the file of a policy lies, by name or path. */
ZH_MUST_CHECK zh_status zh_policy_path(char *out, size_t capacity, const char *name_or_path,
                                       zh_error *err);

const zh_clause *zh_policy_clause(const zh_policy *policy, const char *id); /* NULL when absent */
const zh_fact *zh_policy_fact(const zh_policy *policy, const char *id);
const zh_name *zh_policy_base(const zh_policy *policy, const char *id);

/* --- boundaries (boundary.c) --- */

bool zh_op_holds(const char *op, int64_t value, int64_t threshold);
const char *zh_boundary_op(const zh_boundary *boundary, const zh_assignment *readings);
/* Whether the word stands in the quote as itself: 超过 does not stand in 不超过. */
bool zh_word_stands_in(const char *word, const char *quote);

/* --- figures (figures.c) --- */

/* 千亿 → 10^11, 三 → 3, 两 → 2, 1000 → 1000; followed by anything: where it ends. False where it is
 * no number. */
bool zh_chinese_number(int64_t *out, const char **end, const char *text);

/* --- quotes (quotes.c) --- */

typedef struct zh_simplifier zh_simplifier; /* common/normalisation.yaml */
ZH_MUST_CHECK zh_status zh_simplifier_load(zh_simplifier **out, zh_error *err);
void zh_simplifier_free(zh_simplifier *simplifier);

/* Whether `quote` occurs in `text` once punctuation and white space are left out of both. */
bool zh_quote_occurs(const char *quote, const char *text);
/* One answer for each clause: whether its quote occurs in the published text after what the policy
 * says of it. found has clause_count members; *missing counts those that do not occur. */
ZH_MUST_CHECK zh_status zh_policy_check_quotes(bool *found, size_t *missing,
                                               const zh_policy *policy, const char *source_text,
                                               zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
