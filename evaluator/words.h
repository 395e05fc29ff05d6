/* Sentences in both languages, read from evaluator/policies/, and the filling of their {slots}. No
 * sentence that a report shows stands in C. */
#ifndef ZH_EVALUATOR_WORDS_H
#define ZH_EVALUATOR_WORDS_H

#include <stdarg.h>
#include <stddef.h>

#include "core/arena.h"
#include "core/json.h"
#include "core/status.h"
#include "core/yaml.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_phrase {
  const char *zh, *en;
} zh_phrase;

/* What one {slot} becomes in each language. */
typedef struct zh_slot {
  const char *name, *zh, *en;
} zh_slot;

/* section, key: every entry of evaluator/policies/common/words.yaml. */
#define ZH_WORD_LIST(ENTRY)                                                                        \
  ENTRY(audit, counted)                                                                            \
  ENTRY(audit, not_counted)                                                                        \
  ENTRY(audit, tied_head)                                                                          \
  ENTRY(audit, repeated)                                                                           \
  ENTRY(audit, small_not_compared)                                                                 \
  ENTRY(audit, active_dense)                                                                       \
  ENTRY(audit, active_experts)                                                                     \
  ENTRY(audit, active_unknown)                                                                     \
  ENTRY(audit, integer_weights)                                                                    \
  ENTRY(audit, elements)                                                                           \
  ENTRY(audit, router_bias)                                                                        \
  ENTRY(audit, prediction)                                                                         \
  ENTRY(audit, architecture_unknown)                                                               \
  ENTRY(audit, standard)                                                                           \
  ENTRY(audit, sample)                                                                             \
  ENTRY(audit, looked)                                                                             \
  ENTRY(audit, vocabulary)                                                                         \
  ENTRY(parameter_threshold, pass)                                                                 \
  ENTRY(parameter_threshold, fail)                                                                 \
  ENTRY(parameter_threshold, differ)                                                               \
  ENTRY(parameter_threshold, bounded)                                                              \
  ENTRY(parameter_threshold, unknown)                                                              \
  ENTRY(parameter_threshold, no_model)                                                             \
  ENTRY(parameter_threshold, evidence)                                                             \
  ENTRY(parameter_threshold, of_model)                                                             \
  ENTRY(document, pass)                                                                            \
  ENTRY(document, undetermined)                                                                    \
  ENTRY(document, evidence)                                                                        \
  ENTRY(judgement, pass)                                                                           \
  ENTRY(judgement, fail)                                                                           \
  ENTRY(judgement, undetermined)                                                                   \
  ENTRY(judgement, evidence)                                                                       \
  ENTRY(exclusion, pass)                                                                           \
  ENTRY(exclusion, fail)                                                                           \
  ENTRY(exclusion, received)                                                                       \
  ENTRY(exclusion, received_unknown)                                                               \
  ENTRY(exclusion, matching_unknown)                                                               \
  ENTRY(exclusion, unproven)                                                                       \
  ENTRY(exclusion, undetermined)                                                                   \
  ENTRY(exclusion, evidence)                                                                       \
  ENTRY(fact, pass)                                                                                \
  ENTRY(fact, fail)                                                                                \
  ENTRY(fact, undetermined)                                                                        \
  ENTRY(fact, unproven)                                                                            \
  ENTRY(fact, not_first)                                                                           \
  ENTRY(fact, differ)                                                                              \
  ENTRY(fact, evidence)                                                                            \
  ENTRY(needed, one_of)                                                                            \
  ENTRY(needed, none_of)                                                                           \
  ENTRY(needed, several)                                                                           \
  ENTRY(needed, at_least)                                                                          \
  ENTRY(needed, at_most)                                                                           \
  ENTRY(needed, more_than)                                                                         \
  ENTRY(needed, less_than)                                                                         \
  ENTRY(needed, at_least_short)                                                                    \
  ENTRY(needed, at_most_over)                                                                      \
  ENTRY(needed, more_than_short)                                                                   \
  ENTRY(needed, less_than_over)                                                                    \
  ENTRY(needed, equal_more)                                                                        \
  ENTRY(needed, equal_less)                                                                        \
  ENTRY(needed, from)                                                                              \
  ENTRY(needed, until)                                                                             \
  ENTRY(needed, between)                                                                           \
  ENTRY(needed, application)                                                                       \
  ENTRY(would, paper)                                                                              \
  ENTRY(would, decision)                                                                           \
  ENTRY(would, state)                                                                              \
  ENTRY(would, prove)                                                                              \
  ENTRY(would, change)                                                                             \
  ENTRY(would, not_first)                                                                          \
  ENTRY(would, same_project)                                                                       \
  ENTRY(would, matching)                                                                           \
  ENTRY(would, kind)                                                                               \
  ENTRY(would, not_apply)                                                                          \
  ENTRY(would, parameters)                                                                         \
  ENTRY(would, audit)                                                                              \
  ENTRY(would, bundle)                                                                             \
  ENTRY(would, cost)                                                                               \
  ENTRY(would, question)                                                                           \
  ENTRY(would, issued)                                                                             \
  ENTRY(validity, statement)                                                                       \
  ENTRY(validity, criterion)                                                                       \
  ENTRY(validity, pass)                                                                            \
  ENTRY(validity, early)                                                                           \
  ENTRY(validity, late)                                                                            \
  ENTRY(validity, no_date)                                                                         \
  ENTRY(validity, draft)                                                                           \
  ENTRY(validity, unstated)                                                                        \
  ENTRY(validity, expired)                                                                         \
  ENTRY(validity, differ)                                                                          \
  ENTRY(grant, pass)                                                                               \
  ENTRY(grant, conditional)                                                                        \
  ENTRY(grant, no_base)                                                                            \
  ENTRY(grant, base_unstated)                                                                      \
  ENTRY(grant, unstated)                                                                           \
  ENTRY(grant, no_figure)                                                                          \
  ENTRY(grant, lifted)                                                                             \
  ENTRY(grant, differ)                                                                             \
  ENTRY(grant, differ_open)                                                                        \
  ENTRY(grant, fail)                                                                               \
  ENTRY(grant, evidence)                                                                           \
  ENTRY(step, share)                                                                               \
  ENTRY(step, share_received)                                                                      \
  ENTRY(step, base)                                                                                \
  ENTRY(step, cap)                                                                                 \
  ENTRY(step, year)                                                                                \
  ENTRY(step, project)                                                                             \
  ENTRY(step, lifetime)                                                                            \
  ENTRY(step, enterprise)                                                                          \
  ENTRY(step, lifted)                                                                              \
  ENTRY(step, ladder)                                                                              \
  ENTRY(step, steps)                                                                               \
  ENTRY(step, higher)                                                                              \
  ENTRY(step, newer)                                                                               \
  ENTRY(step, joint)                                                                               \
  ENTRY(step, rounding)                                                                            \
  ENTRY(step, person)                                                                              \
  ENTRY(stacking, kept_higher)                                                                     \
  ENTRY(stacking, on_top)                                                                          \
  ENTRY(stacking, joint)                                                                           \
  ENTRY(stacking, shared)                                                                          \
  ENTRY(stacking, ladder)                                                                          \
  ENTRY(stacking, exclusive)                                                                       \
  ENTRY(stacking, same_bill)                                                                       \
  ENTRY(stacking, yields_to)                                                                       \
  ENTRY(stacking, higher)                                                                          \
  ENTRY(summary, pass)                                                                             \
  ENTRY(summary, fail)                                                                             \
  ENTRY(summary, undetermined)                                                                     \
  ENTRY(summary, undecided)                                                                        \
  ENTRY(summary, several)                                                                          \
  ENTRY(summary, several_open)                                                                     \
  ENTRY(marks, draft)                                                                              \
  ENTRY(marks, expired)                                                                            \
  ENTRY(marks, standard_model)                                                                     \
  ENTRY(marks, invalid_run)                                                                        \
  ENTRY(marks, unstable_run)                                                                       \
  ENTRY(marks, doubtful_gpu)                                                                       \
  ENTRY(marks, no_bundle)                                                                          \
  ENTRY(not_tested, steps)                                                                         \
  ENTRY(not_tested, quality)                                                                       \
  ENTRY(checklist, there)                                                                          \
  ENTRY(checklist, missing)                                                                        \
  ENTRY(checklist, no_date)                                                                        \
  ENTRY(checklist, too_old)                                                                        \
  ENTRY(checklist, fresh)                                                                          \
  ENTRY(checklist, not_after)                                                                      \
  ENTRY(checklist, no_year)                                                                        \
  ENTRY(checklist, right_year)                                                                     \
  ENTRY(checklist, wrong_year)                                                                     \
  ENTRY(checklist, no_application)                                                                 \
  ENTRY(checklist, lapsed)                                                                         \
  ENTRY(checklist, in_force)                                                                       \
  ENTRY(checklist, optional)                                                                       \
  ENTRY(names, pass)                                                                               \
  ENTRY(names, fail)                                                                               \
  ENTRY(names, undetermined)                                                                       \
  ENTRY(names, not_applicable)                                                                     \
  ENTRY(names, yes)                                                                                \
  ENTRY(names, no)                                                                                 \
  ENTRY(names, none)                                                                               \
  ENTRY(example, head)                                                                             \
  ENTRY(example, dates)                                                                            \
  ENTRY(example, claims)                                                                           \
  ENTRY(example, facts)                                                                            \
  ENTRY(example, documents)                                                                        \
  ENTRY(example, decisions)                                                                        \
  ENTRY(example, exclusions)                                                                       \
  ENTRY(example, costs)                                                                            \
  ENTRY(example, received)                                                                         \
  ENTRY(example, materials)                                                                        \
  ENTRY(contamination, corpus)                                                                     \
  ENTRY(contamination, task)                                                                       \
  ENTRY(contamination, task_whole)                                                                 \
  ENTRY(contamination, overlap)                                                                    \
  ENTRY(contamination, order)                                                                      \
  ENTRY(contamination, options)                                                                    \
  ENTRY(contamination, least)                                                                      \
  ENTRY(contamination, least_alone)                                                                \
  ENTRY(contamination, open)                                                                       \
  ENTRY(compare, not_finite)                                                                       \
  ENTRY(compare, duplicate)                                                                        \
  ENTRY(compare, empty)                                                                            \
  ENTRY(compare, missing)                                                                          \
  ENTRY(compare, not_all_tasks)                                                                    \
  ENTRY(compare, no_samples)                                                                       \
  ENTRY(compare, no_item_scores)                                                                   \
  ENTRY(compare, metric_differs)                                                                   \
  ENTRY(compare, two_scales)                                                                       \
  ENTRY(compare, modality_differs)                                                                 \
  ENTRY(compare, protocol_differs)                                                                 \
  ENTRY(compare, same_model)                                                                       \
  ENTRY(compare, zero_variance)                                                                    \
  ENTRY(compare, one_item)                                                                         \
  ENTRY(compare, one_cluster)                                                                      \
  ENTRY(compare, invalid_run)                                                                      \
  ENTRY(compare, unstable_run)                                                                     \
  ENTRY(compare, scores_equal)                                                                     \
  ENTRY(compare, scores_unstated)                                                                  \
  ENTRY(compare, of_items)                                                                         \
  ENTRY(compare, of_prompts)                                                                       \
  ENTRY(compare, of_metric)                                                                        \
  ENTRY(compare, of_protocol)                                                                      \
  ENTRY(compare, scores_differ)                                                                    \
  ENTRY(compare, scores_none)                                                                      \
  ENTRY(compare, speeds_equal)                                                                     \
  ENTRY(compare, speeds_differ)                                                                    \
  ENTRY(compare, speeds_none)                                                                      \
  ENTRY(leading, leading)                                                                          \
  ENTRY(leading, tied)                                                                             \
  ENTRY(leading, not_leading)                                                                      \
  ENTRY(leading, insufficient)                                                                     \
  ENTRY(leading, points)                                                                           \
  ENTRY(leading, not_finite)                                                                       \
  ENTRY(leading, unknown_task)                                                                     \
  ENTRY(leading, out_of_scale)                                                                     \
  ENTRY(leading, duplicate)                                                                        \
  ENTRY(leading, runs_differ)                                                                      \
  ENTRY(leading, protocol_differs)                                                                 \
  ENTRY(leading, model_differs)                                                                    \
  ENTRY(leading, model_unstated)                                                                   \
  ENTRY(leading, items_missing)                                                                    \
  ENTRY(leading, prompt_differs)                                                                   \
  ENTRY(leading, prompt_unstated)                                                                  \
  ENTRY(leading, cluster_differs)                                                                  \
  ENTRY(leading, task_modality)                                                                    \
  ENTRY(leading, item_count)                                                                       \
  ENTRY(leading, item_digest)                                                                      \
  ENTRY(leading, prompts_missing)                                                                  \
  ENTRY(leading, prompt_digest)                                                                    \
  ENTRY(leading, no_modality)                                                                      \
  ENTRY(leading, seen_unmatched)                                                                   \
  ENTRY(leading, seen_elsewhere)                                                                   \
  ENTRY(leading, scale_unknown)                                                                    \
  ENTRY(leading, two_scales)                                                                       \
  ENTRY(leading, scale_of_shares)                                                                  \
  ENTRY(leading, margin_of_shares)                                                                 \
  ENTRY(leading, empty)                                                                            \
  ENTRY(leading, peer_is_claimant)                                                                 \
  ENTRY(leading, model_twice)                                                                      \
  ENTRY(leading, same_table)                                                                       \
  ENTRY(leading, claimant_missing)                                                                 \
  ENTRY(leading, own_rank)                                                                         \
  ENTRY(leading, published_above)                                                                  \
  ENTRY(leading, modality_missing)                                                                 \
  ENTRY(leading, task_missing)                                                                     \
  ENTRY(leading, peer_missing)                                                                     \
  ENTRY(leading, peer_not_compared)                                                                \
  ENTRY(leading, runs_apart)                                                                       \
  ENTRY(leading, clean_differs)                                                                    \
  ENTRY(leading, beats_all)                                                                        \
  ENTRY(leading, task_lost)                                                                        \
  ENTRY(leading, published_open)                                                                   \
  ENTRY(leading, published_conflict)                                                               \
  ENTRY(leading, published_alone)                                                                  \
  ENTRY(leading, published_beside)                                                                 \
  ENTRY(leading, published_not_scored)                                                             \
  ENTRY(leading, published_not_shares)                                                             \
  ENTRY(leading, non_inferior)                                                                     \
  ENTRY(leading, underpowered)                                                                     \
  ENTRY(leading, zero_variance)                                                                    \
  ENTRY(leading, no_pairs)                                                                         \
  ENTRY(leading, one_item)                                                                         \
  ENTRY(leading, one_cluster)                                                                      \
  ENTRY(leading, gain)                                                                             \
  ENTRY(leading, lead_gain)                                                                        \
  ENTRY(leading, fragile)                                                                          \
  ENTRY(leading, items_to_lead)                                                                    \
  ENTRY(leading, items_to_tie)                                                                     \
  ENTRY(leading, items_to_lose)                                                                    \
  ENTRY(leading, clusters_to_lead)                                                                 \
  ENTRY(leading, clusters_to_tie)                                                                  \
  ENTRY(leading, clusters_to_lose)                                                                 \
  ENTRY(leading, few_clusters)                                                                     \
  ENTRY(leading, needs_input)                                                                      \
  ENTRY(leading, needs_modality)                                                                   \
  ENTRY(leading, needs_task)                                                                       \
  ENTRY(leading, needs_peer)                                                                       \
  ENTRY(leading, needs_runs)                                                                       \
  ENTRY(leading, needs_variation)                                                                  \
  ENTRY(leading, needs_spread)                                                                     \
  ENTRY(leading, needs_clusters)                                                                   \
  ENTRY(leading, needs_explanation)                                                                \
  ENTRY(leading, needs_clean)                                                                      \
  ENTRY(leading, clean)                                                                            \
  ENTRY(leading, not_dated)                                                                        \
  ENTRY(leading, not_locked)                                                                       \
  ENTRY(leading, not_domestic)                                                                     \
  ENTRY(leading, columns_not_read)                                                                 \
  ENTRY(leading, seen_not_found)                                                                   \
  ENTRY(leading, seen_other_tasks)                                                                 \
  ENTRY(leading, two_sided_set)                                                                    \
  ENTRY(leading, compared)                                                                         \
  ENTRY(leading, tied_open)                                                                        \
  ENTRY(leading, unbound)                                                                          \
  ENTRY(leading, evidence)                                                                         \
  ENTRY(leading, would)                                                                            \
  ENTRY(leading, would_bind)

typedef enum zh_word {
#define ZH_WORD_ENTRY(section, key) ZH_WORD_##section##_##key,
  ZH_WORD_LIST(ZH_WORD_ENTRY)
#undef ZH_WORD_ENTRY
      ZH_WORD_COUNT
} zh_word;

typedef struct zh_words zh_words;
ZH_MUST_CHECK zh_status zh_words_load(zh_words **out, zh_error *err);
void zh_words_free(zh_words *words); /* NULL is safe */
const zh_phrase *zh_word_of(const zh_words *words, zh_word word);

/* {zh: …, en: …}, both needed, each known {slot} spelt right; strings go into the arena. */
ZH_MUST_CHECK zh_status zh_phrase_read(zh_phrase *out, const zh_yaml_node *node, zh_arena *arena,
                                       zh_error *err);
/* The same below `key` of `map`. */
ZH_MUST_CHECK zh_status zh_phrase_require(zh_phrase *out, const zh_yaml_node *map, const char *key,
                                          zh_arena *arena, zh_error *err);

/* New {"zh","en"} with each {name} replaced; NULL when memory is short. A slot that is not given
 * stays as it is. */
json_t *zh_phrase_json(const zh_phrase *phrase, const zh_slot *slots, size_t count);
/* The same of names and values, which both languages share, up to NULL; at most ZH_SLOTS_MAX. */
enum { ZH_SLOTS_MAX = 16 };
json_t *zh_phrase_of(const zh_phrase *phrase, va_list pairs);

#ifdef __cplusplus
}
#endif
#endif
