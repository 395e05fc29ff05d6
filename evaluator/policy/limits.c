/* What bounds an amount: its rate and its caps, each figure held against the quote. */
#include <string.h>

#include "evaluator/exact.h"
#include "evaluator/policy/read.h"

const char *const zh_cap_per_words[] = {"award",  "project",    "year", "lifetime",
                                        "person", "enterprise", NULL};
/* Of a rate: each award by itself, or all awards of a time together. In the order of zh_cap_per. */
static const char *const rate_per_words[] = {"award", "project", "year", "lifetime", NULL};

/* --- how often a limit can be used --- */

static zh_status read_per(zh_per *out, const zh_policy *policy, const zh_yaml_node *map,
                          const char *const *words, zh_error *err) {
  const zh_yaml_node *per = zh_yaml_get(map, "per");
  size_t of[ZH_MAX_CHOICES] = {0};
  if (per == NULL) return ZH_OK; /* award */
  ZH_TRY(zh_read_words_by_choice(&out->reading, of, policy, per, words, err));
  for (size_t i = 0; i < ZH_MAX_CHOICES; i++) out->of[i] = (zh_cap_per)of[i];
  return ZH_OK;
}

/* --- rate --- */

zh_status zh_require_in_quote(const char **out, const zh_policy *policy, const zh_clause *clause,
                              const zh_yaml_node *map, const char *key, zh_error *err) {
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

zh_status zh_read_rate(zh_amount *amount, const zh_policy *policy, const zh_clause *clause,
                       const zh_yaml_node *map, zh_error *err) {
  static const char *const at_most[] = {"at_most", "word", "per", NULL},
                           *const exactly[] = {"exactly", NULL},
                           *const unstated[] = {"unstated", NULL};
  const zh_yaml_node *rate = zh_yaml_get(map, "rate"), *figure, *word;
  if (rate == NULL) return ZH_OK;
  ZH_TRY(
      zh_yaml_expect(rate, ZH_YAML_MAP, "a rate: {at_most, word}, {exactly} or {unstated}", err));
  if (zh_yaml_get(rate, "unstated") != NULL) {
    ZH_TRY(zh_yaml_expect_keys(rate, unstated, err));
    amount->rate_kind = ZH_RATE_UNSTATED;
    return zh_require_in_quote(&amount->rate_words, policy, clause, rate, "unstated", err);
  }
  bool bound = zh_yaml_get(rate, "at_most") != NULL;
  ZH_TRY(zh_yaml_expect_keys(rate, bound ? at_most : exactly, err));
  ZH_TRY(zh_yaml_require(&figure, rate, bound ? "at_most" : "exactly", err));
  ZH_TRY(zh_rate_read(&amount->rate_millionths, figure, err));
  ZH_TRY(zh_check_figure(figure, NULL, clause->quote, amount->rate_millionths, err));
  amount->rate_kind = bound ? ZH_RATE_AT_MOST : ZH_RATE_EXACTLY;
  if (!amount->has_base) return zh_yaml_fail(err, rate, "a rate needs a 'base'");
  if (!bound) return ZH_OK;
  ZH_TRY(read_per(&amount->rate_per, policy, rate, rate_per_words, err));
  ZH_TRY(zh_yaml_require(&word, rate, "word", err));
  return read_upper_word(&amount->rate_words, policy, clause, word, err);
}

/* --- caps --- */

/* The condition that lifts the cap. */
static zh_status read_unless(zh_cap *cap, const zh_policy *policy, const zh_yaml_node *map,
                             zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(map, "unless");
  if (node == NULL) return ZH_OK;
  ZH_TRY(zh_require_clause(&cap->unless, policy, node, err));
  if (cap->unless->kind == ZH_CLAUSE_CONDITION) return ZH_OK;
  return zh_yaml_fail(err, node, "expected a clause of kind 'condition': what lifts the cap");
}

static zh_status read_cap(zh_cap *cap, const zh_policy *policy, const zh_clause *clause,
                          const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"amount", "word", "per", "written", "clause", "unless", NULL};
  const zh_yaml_node *node, *word, *elsewhere;
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
  ZH_TRY(read_unless(cap, policy, map, err));
  return read_per(&cap->per, policy, map, zh_cap_per_words, err);
}

/* The best combination is found for one common cap an amount (engine/limits.c). */
static zh_status expect_one_shared(const zh_amount *amount, const zh_yaml_node *list,
                                   zh_error *err) {
  size_t shared = 0;
  for (size_t i = 0; i < amount->cap_count; i++) shared += amount->caps[i].shared != NULL;
  if (shared < 2) return ZH_OK;
  return zh_yaml_fail(err, list,
                      "at most one cap of an amount may stand in a clause of its own ('clause')");
}

zh_status zh_read_caps(zh_amount *amount, const zh_policy *policy, const zh_clause *clause,
                       const zh_yaml_node *map, zh_error *err) {
  const zh_yaml_node *list;
  size_t count;
  if (zh_yaml_get(map, "caps") == NULL) return ZH_OK;
  ZH_TRY(zh_read_list(&list, &count, map, "caps", "a list of caps", err));
  if (count > ZH_MAX_CAPS) return zh_yaml_fail(err, list, "expected at most %d caps", ZH_MAX_CAPS);
  for (size_t i = 0; i < count; i++)
    ZH_TRY(read_cap(&amount->caps[i], policy, clause, zh_yaml_item(list, i), err));
  amount->cap_count = count;
  return expect_one_shared(amount, list, err);
}
