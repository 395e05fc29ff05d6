/* What the readers of a policy file share. */
#ifndef ZH_EVALUATOR_POLICY_READ_H
#define ZH_EVALUATOR_POLICY_READ_H

#include "evaluator/policy/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Copies a string scalar below `key` into the arena. */
ZH_MUST_CHECK zh_status zh_policy_string(const char **out, const zh_yaml_node *map, const char *key,
                                         zh_arena *arena, zh_error *err);
/* The same for an id: Latin letters, digits and '_'. */
ZH_MUST_CHECK zh_status zh_read_id(const char **out, const zh_yaml_node *map, const char *key,
                                   zh_arena *arena, zh_error *err);
/* A non-empty list below `key`; *items is its node. */
ZH_MUST_CHECK zh_status zh_read_list(const zh_yaml_node **items, size_t *count,
                                     const zh_yaml_node *map, const char *key, const char *what,
                                     zh_error *err);
/* The list of phrases below `key`; none where the key is absent. */
ZH_MUST_CHECK zh_status zh_read_phrases(zh_phrase **out, size_t *count, const zh_yaml_node *map,
                                        const char *key, zh_arena *arena, zh_error *err);
/* true or false below `key`; left alone where the key is absent. */
ZH_MUST_CHECK zh_status zh_read_flag(bool *out, const zh_yaml_node *map, const char *key,
                                     zh_error *err);

/* --- readings (readings.c) --- */
ZH_MUST_CHECK zh_status zh_read_readings(zh_policy *policy, const zh_yaml_node *root,
                                         zh_error *err);
/* 'reading' and 'choices' of a map: one node for each choice of the reading, in its order. */
ZH_MUST_CHECK zh_status zh_read_choices(const zh_reading **out,
                                        const zh_yaml_node *of[ZH_MAX_CHOICES],
                                        const zh_policy *policy, const zh_yaml_node *map,
                                        zh_error *err);
/* The same where the map of choices stands below another key than 'choices'. */
ZH_MUST_CHECK zh_status zh_read_choices_at(const zh_reading **out,
                                           const zh_yaml_node *of[ZH_MAX_CHOICES],
                                           const zh_policy *policy, const zh_yaml_node *map,
                                           const char *key, zh_error *err);

/* The word of a scalar, or a word for each choice of a reading: out[0] alone without one. */
ZH_MUST_CHECK zh_status zh_read_words_by_choice(const zh_reading **reading,
                                                size_t out[ZH_MAX_CHOICES], const zh_policy *policy,
                                                const zh_yaml_node *node, const char *const *words,
                                                zh_error *err);

/* --- facts and bases (facts.c) --- */
ZH_MUST_CHECK zh_status zh_read_facts(zh_policy *policy, const zh_yaml_node *root, zh_error *err);
ZH_MUST_CHECK zh_status zh_read_bases(zh_policy *policy, const zh_yaml_node *root, zh_error *err);
/* The fact that `key` names. */
ZH_MUST_CHECK zh_status zh_require_fact(const zh_fact **out, const zh_policy *policy,
                                        const zh_yaml_node *map, const char *key, zh_error *err);

/* --- clauses --- */
ZH_MUST_CHECK zh_status zh_read_clauses(zh_policy *policy, const zh_yaml_node *root, zh_error *err);
/* The clause that a scalar names. */
ZH_MUST_CHECK zh_status zh_require_clause(const zh_clause **out, const zh_policy *policy,
                                          const zh_yaml_node *node, zh_error *err);
ZH_MUST_CHECK zh_status zh_read_clause_list(const zh_clause ***out, size_t *count, zh_arena *arena,
                                            const zh_policy *policy, const zh_yaml_node *map,
                                            const char *key, zh_clause_kind kind, zh_error *err);
ZH_MUST_CHECK zh_status zh_read_node(zh_node **out, zh_policy *policy, const zh_clause *clause,
                                     const zh_yaml_node *yaml, bool whole, zh_error *err);
ZH_MUST_CHECK zh_status zh_read_amount(zh_amount **out, const zh_policy *policy,
                                       const zh_clause *clause, const zh_yaml_node *map,
                                       zh_error *err);
ZH_MUST_CHECK zh_status zh_read_boundary(zh_boundary *out, const zh_policy *policy,
                                         const zh_yaml_node *node, const char *quote, bool dates,
                                         zh_error *err);

/* --- the rest (stacking.c, validity.c) --- */
/* {at_most, word}, {exactly} or {unstated}, caps (limits.c). */
ZH_MUST_CHECK zh_status zh_read_rate(zh_amount *amount, const zh_policy *policy,
                                     const zh_clause *clause, const zh_yaml_node *map,
                                     zh_error *err);
ZH_MUST_CHECK zh_status zh_read_caps(zh_amount *amount, const zh_policy *policy,
                                     const zh_clause *clause, const zh_yaml_node *map,
                                     zh_error *err);
/* The words below `key` of `map`, which must stand in the clause's quote. */
ZH_MUST_CHECK zh_status zh_require_in_quote(const char **out, const zh_policy *policy,
                                            const zh_clause *clause, const zh_yaml_node *map,
                                            const char *key, zh_error *err);
ZH_MUST_CHECK zh_status zh_read_levels(int *out, const zh_yaml_node *map, const char *key,
                                       zh_error *err);
ZH_MUST_CHECK zh_status zh_read_stacking(zh_policy *policy, const zh_yaml_node *root,
                                         zh_error *err);
ZH_MUST_CHECK zh_status zh_read_materials(zh_policy *policy, const zh_yaml_node *root,
                                          zh_error *err);
ZH_MUST_CHECK zh_status zh_read_valid(zh_policy *policy, const zh_yaml_node *root, zh_error *err);
/* Every condition serves some amount (unused.c). */
ZH_MUST_CHECK zh_status zh_expect_conditions_needed(const zh_policy *policy,
                                                    const zh_yaml_node *root, zh_error *err);
/* Every reading decides something; once all else has been read. */
ZH_MUST_CHECK zh_status zh_expect_readings_used(const zh_policy *policy, const zh_yaml_node *root,
                                                zh_error *err);

/* --- figures: whether the quote says what the file says (figures.c) --- */

/* "2000 万元" of `node` as 2000万元 or 2000万; or `written` (of `map`, in Chinese numerals), which
 * must be `value` in the smallest unit. */
ZH_MUST_CHECK zh_status zh_check_figure(const zh_yaml_node *node, const zh_yaml_node *map,
                                        const char *quote, int64_t value, zh_error *err);
/* The same for a span, under the name of its key for the written form. */
ZH_MUST_CHECK zh_status zh_check_span(const zh_yaml_node *node, const zh_yaml_node *map,
                                      const char *written_key, const char *quote, zh_span span,
                                      zh_error *err);
/* Year, month and day stand in the quote, or the year alone where a boundary word gives the day
 * (年底前, 标题期). */
ZH_MUST_CHECK zh_status zh_check_date(const zh_yaml_node *node, const char *quote, zh_date date,
                                      zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
