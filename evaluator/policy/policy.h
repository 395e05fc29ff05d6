/* A policy in memory: clauses with their text, rules with their typed conditions. Language:
 * docs/adding-a-policy.md. */
#ifndef ZH_EVALUATOR_POLICY_POLICY_H
#define ZH_EVALUATOR_POLICY_POLICY_H

#include <stdbool.h>

#include "core/digest.h"
#include "evaluator/evaluator.h"
#include "evaluator/words.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_clause {
  const char *id, *text; /* "三(一)1(1)"; the clause verbatim */
  zh_phrase heading;
} zh_clause;

/* How a boundary word compares: 超过 >, 不低于 >=, 不超过 <= … (policy/boundary.c). */
typedef struct zh_boundary {
  const char *word, *op;
} zh_boundary;

/* Which count of a model a threshold is held against. */
typedef enum zh_count_kind { ZH_COUNT_STORED, ZH_COUNT_UNIQUE, ZH_COUNT_ACTIVE } zh_count_kind;
extern const char
    *const zh_count_names[]; /* "stored", "unique", "active", NULL: the keys of audit.json */

typedef struct zh_reading {
  zh_count_kind count;
  zh_phrase statement;
} zh_reading;

enum { ZH_MAX_READINGS = 3 };

struct zh_rule_kind; /* evaluator/rules/rules.h */

typedef struct zh_rule {
  const char *id, *quote;
  const struct zh_rule_kind *kind;
  const zh_clause *clause;
  zh_phrase statement, criterion;
  /* parameter_threshold */
  const zh_boundary *boundary;
  int64_t threshold;
  zh_reading readings[ZH_MAX_READINGS];
  size_t reading_count;
  zh_phrase ambiguity;
  /* leadership */
  zh_phrase undetermined;
  /* document, exclusion: which papers show it */
  zh_phrase papers;
  /* grant */
  const char *base_id;
  zh_phrase base_name;
  int64_t rate_millionths, cap_fen;
} zh_rule;

struct zh_policy {
  zh_arena *arena;
  const char *name, *status, *number, *date, *source, *text_file;
  zh_phrase title, issuer, validity;
  char sm3[ZH_DIGEST_HEX]; /* of the policy file */
  zh_clause *clauses;
  size_t clause_count;
  zh_rule *rules; /* conditions in the file's order */
  size_t rule_count;
  zh_rule *grant;
  zh_phrase *not_tested;
  size_t not_tested_count;
};

/* name stands where the path would in messages. */
ZH_MUST_CHECK zh_status zh_policy_load_text(zh_policy **out, const char *text, size_t length,
                                            const char *name, zh_error *err);

/* The word's boundary, or ZH_ERR_INPUT with the known ones; the word must stand in `quote`. */
ZH_MUST_CHECK zh_status zh_boundary_read(const zh_boundary **out, const zh_yaml_node *node,
                                         const char *quote, zh_error *err);
bool zh_boundary_holds(const zh_boundary *boundary, int64_t value, int64_t threshold);

/* Whether `quote` occurs in `text` once punctuation, white space and lines that begin with '#' are
 * left out. */
bool zh_quote_occurs(const char *quote, const char *text);
/* Every clause's text must occur in the source text; ZH_ERR_CHECK names the first that does not. */
ZH_MUST_CHECK zh_status zh_policy_check_quotes(const zh_policy *policy, const char *source_text,
                                               zh_error *err);

/* Copies a string scalar below `key` into the arena. */
ZH_MUST_CHECK zh_status zh_policy_string(const char **out, const zh_yaml_node *map, const char *key,
                                         zh_arena *arena, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
