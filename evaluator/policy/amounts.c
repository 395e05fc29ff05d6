/* Amounts: base, ladder, period and rounding; rate and caps are read in limits.c. */
#include <string.h>

#include "evaluator/exact.h"
#include "evaluator/policy/read.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the policy's amounts");
}

/* --- base --- */

/* NULL where the text names none. */
static zh_status find_base(const zh_name **out, const zh_policy *policy, const zh_yaml_node *node,
                           zh_error *err) {
  const char **ids = zh_arena_alloc(policy->arena, policy->base_count + 1, sizeof *ids), *word;
  size_t which;
  if (ids == NULL) return no_memory(err);
  ZH_TRY(zh_yaml_string(&word, node, err));
  *out = NULL;
  if (strcmp(word, "unstated") == 0) return ZH_OK;
  for (size_t i = 0; i < policy->base_count; i++) ids[i] = policy->bases[i].id;
  if (policy->base_count == 0) return zh_yaml_fail(err, node, "this policy declares no 'bases'");
  ZH_TRY(zh_yaml_word(&which, node, ids, err));
  *out = &policy->bases[which];
  return ZH_OK;
}

static zh_status read_base(zh_amount *amount, const zh_policy *policy, const zh_yaml_node *map,
                           zh_error *err) {
  static const char *const keys[] = {"reading", "choices", NULL};
  const zh_yaml_node *node = zh_yaml_get(map, "base"), *of[ZH_MAX_CHOICES];
  if (node == NULL) return ZH_OK;
  amount->has_base = true;
  if (zh_yaml_node_kind(node) == ZH_YAML_MAP) {
    ZH_TRY(zh_yaml_expect_keys(node, keys, err));
    ZH_TRY(zh_read_choices(&amount->base_reading, of, policy, node, err));
    for (size_t i = 0; i < amount->base_reading->choice_count; i++)
      ZH_TRY(find_base(&amount->bases[i], policy, of[i], err));
    return ZH_OK;
  }
  return find_base(&amount->bases[0], policy, node, err);
}

/* --- the rest --- */

/* The word alone (what was paid is taken off), or {word, reading, choices: {choice: paid, choice:
 * steps}}. */
static zh_status read_difference(zh_amount *amount, const zh_policy *policy,
                                 const zh_clause *clause, const zh_yaml_node *ladder,
                                 zh_error *err) {
  static const char *const keys[] = {"word", "reading", "choices", NULL}, *const words[] = {"paid",
                                                                                            "steps",
                                                                                            NULL};
  const zh_yaml_node *node = zh_yaml_get(ladder, "difference"), *of[ZH_MAX_CHOICES];
  size_t which;
  if (zh_yaml_node_kind(node) != ZH_YAML_MAP)
    return zh_require_in_quote(&amount->difference, policy, clause, ladder, "difference", err);
  ZH_TRY(zh_yaml_expect_keys(node, keys, err));
  ZH_TRY(zh_require_in_quote(&amount->difference, policy, clause, node, "word", err));
  ZH_TRY(zh_read_choices(&amount->difference_reading, of, policy, node, err));
  for (size_t i = 0; i < amount->difference_reading->choice_count; i++) {
    ZH_TRY(zh_yaml_word(&which, of[i], words, err));
    amount->less_steps[i] = which == 1;
  }
  return ZH_OK;
}

static zh_status read_ladder(zh_amount *amount, const zh_policy *policy, const zh_clause *clause,
                             const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"name", "difference", NULL};
  const zh_yaml_node *ladder = zh_yaml_get(map, "ladder");
  if (ladder == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_expect(ladder, ZH_YAML_MAP, "a ladder with its name", err));
  ZH_TRY(zh_yaml_expect_keys(ladder, keys, err));
  ZH_TRY(zh_read_id(&amount->ladder, ladder, "name", policy->arena, err));
  return zh_yaml_get(ladder, "difference") == NULL
             ? ZH_OK
             : read_difference(amount, policy, clause, ladder, err);
}

static zh_status read_period(zh_amount *amount, const zh_clause *clause, const zh_yaml_node *map,
                             zh_error *err) {
  static const char *const keys[] = {"from", "to", "written", NULL};
  const zh_yaml_node *period = zh_yaml_get(map, "period"), *from, *to;
  if (period == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_expect(period, ZH_YAML_MAP, "a period: {from: 6 个月, to: 3 年}", err));
  ZH_TRY(zh_yaml_expect_keys(period, keys, err));
  from = zh_yaml_get(period, "from");
  to = zh_yaml_get(period, "to");
  if (from != NULL) {
    ZH_TRY(zh_span_read(&amount->period.from, from, err));
    ZH_TRY(zh_check_span(from, period, "", clause->quote, amount->period.from, err));
  }
  if (to == NULL) return ZH_OK;
  ZH_TRY(zh_span_read(&amount->period.to, to, err));
  return zh_check_span(to, period, "written", clause->quote, amount->period.to, err);
}

static zh_status read_rounding(zh_amount *amount, const zh_yaml_node *map, zh_error *err) {
  static const char *const words[] = {"fen", "yuan", "wan_yuan", NULL};
  static const int64_t units[] = {1, 100, ZH_FEN_PER_WAN_YUAN};
  const zh_yaml_node *node = zh_yaml_get(map, "rounding");
  size_t which = 0;
  if (node != NULL) ZH_TRY(zh_yaml_word(&which, node, words, err));
  amount->rounding_fen = units[which];
  return ZH_OK;
}

zh_status zh_read_amount(zh_amount **out, const zh_policy *policy, const zh_clause *clause,
                         const zh_yaml_node *map, zh_error *err) {
  zh_amount *amount = zh_arena_alloc(policy->arena, 1, sizeof *amount);
  *out = amount;
  if (amount == NULL) return no_memory(err);
  ZH_TRY(zh_phrase_require(&amount->criterion, map, "criterion", policy->arena, err));
  ZH_TRY(read_base(amount, policy, map, err));
  ZH_TRY(zh_read_rate(amount, policy, clause, map, err));
  ZH_TRY(zh_read_caps(amount, policy, clause, map, err));
  ZH_TRY(read_ladder(amount, policy, clause, map, err));
  ZH_TRY(read_period(amount, clause, map, err));
  ZH_TRY(read_rounding(amount, map, err));
  ZH_TRY(zh_read_flag(&amount->one_off, map, "one_off", err));
  ZH_TRY(zh_read_flag(&amount->yearly, map, "yearly", err));
  return zh_read_clause_list(&amount->requires, &amount->require_count, policy->arena, policy, map,
                             "requires", ZH_CLAUSE_CONDITION, err);
}
