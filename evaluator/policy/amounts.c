/* Amounts: base, rate, caps, ladder and period, each figure held against the quote. */
#include <string.h>

#include "evaluator/exact.h"
#include "evaluator/policy/read.h"

const char *const zh_cap_per_words[] = {"award", "project", "year", "lifetime", "person", NULL};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the policy's amounts");
}

/* --- base --- */

static zh_status find_base(const zh_name **out, const zh_policy *policy, const zh_yaml_node *node,
                           zh_error *err) {
  const char **ids = zh_arena_alloc(policy->arena, policy->base_count + 1, sizeof *ids);
  size_t which;
  if (ids == NULL) return no_memory(err);
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
  const char *word;
  if (node == NULL) return ZH_OK;
  amount->has_base = true;
  if (zh_yaml_node_kind(node) == ZH_YAML_MAP) {
    ZH_TRY(zh_yaml_expect_keys(node, keys, err));
    ZH_TRY(zh_read_choices(&amount->base_reading, of, policy, node, err));
    for (size_t i = 0; i < amount->base_reading->choice_count; i++)
      ZH_TRY(find_base(&amount->bases[i], policy, of[i], err));
    return ZH_OK;
  }
  ZH_TRY(zh_yaml_string(&word, node, err));
  amount->base_unstated = strcmp(word, "unstated") == 0;
  return amount->base_unstated ? ZH_OK : find_base(&amount->bases[0], policy, node, err);
}

/* --- rate --- */

static zh_status require_in_quote(const char **out, const zh_policy *policy,
                                  const zh_clause *clause, const zh_yaml_node *map, const char *key,
                                  zh_error *err) {
  ZH_TRY(zh_policy_string(out, map, key, policy->arena, err));
  if (strstr(clause->quote, *out) != NULL) return ZH_OK;
  return zh_yaml_fail(err, zh_yaml_get(map, key), "'%s' does not stand in the quote '%s'", *out,
                      clause->quote);
}

/* A word for an upper bound: 不超过 or 最高. */
static zh_status read_upper_word(const char **out, const zh_policy *policy, const zh_clause *clause,
                                 const zh_yaml_node *node, zh_error *err) {
  zh_boundary boundary = {0};
  ZH_TRY(zh_read_boundary(&boundary, policy, node, clause->quote, false, err));
  if (boundary.reading != NULL || strcmp(boundary.op, "<=") != 0)
    return zh_yaml_fail(err, node, "expected a word for an upper bound: 不超过 or 最高");
  *out = boundary.word;
  return ZH_OK;
}

static zh_status read_rate(zh_amount *amount, const zh_policy *policy, const zh_clause *clause,
                           const zh_yaml_node *map, zh_error *err) {
  static const char *const at_most[] = {"at_most", "word", NULL},
                           *const exactly[] = {"exactly", NULL},
                           *const unstated[] = {"unstated", NULL};
  const zh_yaml_node *rate = zh_yaml_get(map, "rate"), *figure, *word;
  if (rate == NULL) return ZH_OK;
  ZH_TRY(
      zh_yaml_expect(rate, ZH_YAML_MAP, "a rate: {at_most, word}, {exactly} or {unstated}", err));
  if (zh_yaml_get(rate, "unstated") != NULL) {
    ZH_TRY(zh_yaml_expect_keys(rate, unstated, err));
    amount->rate_kind = ZH_RATE_UNSTATED;
    return require_in_quote(&amount->rate_words, policy, clause, rate, "unstated", err);
  }
  bool bound = zh_yaml_get(rate, "at_most") != NULL;
  ZH_TRY(zh_yaml_expect_keys(rate, bound ? at_most : exactly, err));
  ZH_TRY(zh_yaml_require(&figure, rate, bound ? "at_most" : "exactly", err));
  ZH_TRY(zh_rate_read(&amount->rate_millionths, figure, err));
  ZH_TRY(zh_check_figure(figure, NULL, clause->quote, amount->rate_millionths, err));
  amount->rate_kind = bound ? ZH_RATE_AT_MOST : ZH_RATE_EXACTLY;
  if (!amount->has_base) return zh_yaml_fail(err, rate, "a rate needs a 'base'");
  if (!bound) return ZH_OK;
  ZH_TRY(zh_yaml_require(&word, rate, "word", err));
  return read_upper_word(&amount->rate_words, policy, clause, word, err);
}

/* --- caps --- */

static zh_status read_cap(zh_cap *cap, const zh_policy *policy, const zh_clause *clause,
                          const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"amount", "word", "per", "written", "clause", NULL};
  const zh_yaml_node *node, *word, *per, *elsewhere;
  size_t which = ZH_PER_AWARD;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a cap with its amount", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  elsewhere = zh_yaml_get(map, "clause"); /* a cap that stands in a sentence of its own */
  if (elsewhere != NULL) {
    ZH_TRY(zh_require_clause(&clause, policy, elsewhere, err));
    cap->shared = clause;
  }
  ZH_TRY(zh_yaml_require(&node, map, "amount", err));
  ZH_TRY(zh_money_read(&cap->fen, node, err));
  ZH_TRY(zh_check_figure(node, map, clause->quote, cap->fen, err));
  word = zh_yaml_get(map, "word");
  if (word != NULL) ZH_TRY(read_upper_word(&cap->word, policy, clause, word, err));
  per = zh_yaml_get(map, "per");
  if (per != NULL) ZH_TRY(zh_yaml_word(&which, per, zh_cap_per_words, err));
  cap->per = (zh_cap_per)which;
  return ZH_OK;
}

static zh_status read_caps(zh_amount *amount, const zh_policy *policy, const zh_clause *clause,
                           const zh_yaml_node *map, zh_error *err) {
  const zh_yaml_node *list;
  size_t count;
  if (zh_yaml_get(map, "caps") == NULL) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &count, map, "caps", "a list of caps", err));
  if (count > ZH_MAX_CAPS) return zh_yaml_fail(err, list, "expected at most %d caps", ZH_MAX_CAPS);
  for (size_t i = 0; i < count; i++)
    ZH_TRY(read_cap(&amount->caps[i], policy, clause, zh_yaml_item(list, i), err));
  amount->cap_count = count;
  return ZH_OK;
}

/* --- the rest --- */

static zh_status read_ladder(zh_amount *amount, const zh_policy *policy, const zh_clause *clause,
                             const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"name", "difference", NULL};
  const zh_yaml_node *ladder = zh_yaml_get(map, "ladder");
  if (ladder == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_expect(ladder, ZH_YAML_MAP, "a ladder with its name", err));
  ZH_TRY(zh_yaml_expect_keys(ladder, keys, err));
  ZH_TRY(zh_read_id(&amount->ladder, ladder, "name", policy->arena, err));
  if (zh_yaml_get(ladder, "difference") == NULL) return ZH_OK;
  return require_in_quote(&amount->difference, policy, clause, ladder, "difference", err);
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
  ZH_TRY(read_rate(amount, policy, clause, map, err));
  ZH_TRY(read_caps(amount, policy, clause, map, err));
  ZH_TRY(read_ladder(amount, policy, clause, map, err));
  ZH_TRY(read_period(amount, clause, map, err));
  ZH_TRY(read_rounding(amount, map, err));
  ZH_TRY(zh_read_flag(&amount->one_off, map, "one_off", err));
  ZH_TRY(zh_read_flag(&amount->yearly, map, "yearly", err));
  return zh_read_clause_list(&amount->requires, &amount->require_count, policy->arena, policy, map,
                             "requires", ZH_CLAUSE_CONDITION, err);
}
