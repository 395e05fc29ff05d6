/* From when until when a policy is in force. */
#include <string.h>

#include "evaluator/policy/read.h"

/* A day that a rule outside the text gives: {date, outside: phrase}. */
static zh_status read_outside_day(zh_valid *valid, size_t choice, const zh_policy *policy,
                                  const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"date", "outside", NULL};
  const zh_yaml_node *day;
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(zh_yaml_require(&day, map, "date", err));
  ZH_TRY(zh_date_read(&valid->until[choice], day, err));
  return zh_phrase_require(&valid->outside[choice], map, "outside", policy->arena, err);
}

/* A day, or 'unstated'. */
static zh_status read_until_day(zh_date *out, const zh_valid *valid, const zh_yaml_node *node,
                                zh_error *err) {
  const char *text;
  ZH_TRY(zh_yaml_string(&text, node, err));
  *out = ZH_NO_DATE;
  if (strcmp(text, "unstated") == 0) return ZH_OK;
  ZH_TRY(zh_date_read(out, node, err));
  return zh_check_date(node, valid->clause->quote, *out, err);
}

static zh_status read_until(zh_valid *valid, const zh_policy *policy, const zh_yaml_node *node,
                            zh_error *err) {
  static const char *const keys[] = {"reading", "choices", NULL};
  const zh_yaml_node *of[ZH_MAX_CHOICES];
  valid->until[0] = ZH_NO_DATE;
  if (node == NULL) return ZH_OK;
  if (zh_yaml_node_kind(node) != ZH_YAML_MAP)
    return read_until_day(&valid->until[0], valid, node, err);
  ZH_TRY(zh_yaml_expect_keys(node, keys, err));
  ZH_TRY(zh_read_choices(&valid->until_reading, of, policy, node, err));
  for (size_t i = 0; i < valid->until_reading->choice_count; i++) {
    bool outside = zh_yaml_node_kind(of[i]) == ZH_YAML_MAP;
    ZH_TRY(outside ? read_outside_day(valid, i, policy, of[i], err)
                   : read_until_day(&valid->until[i], valid, of[i], err));
  }
  return ZH_OK;
}

/* The last day of a term that begins on 5 March is 4 March (eve) or 5 March (anniversary). */
static zh_status read_last_day(zh_valid *valid, const zh_policy *policy, const zh_yaml_node *node,
                               zh_error *err) {
  static const char *const keys[] = {"reading", "choices", NULL}, *const words[] = {
                                                                      "eve", "anniversary", NULL};
  const zh_yaml_node *of[ZH_MAX_CHOICES];
  size_t which;
  if (zh_yaml_node_kind(node) != ZH_YAML_MAP) {
    ZH_TRY(zh_yaml_word(&which, node, words, err));
    valid->last_day[0] = (zh_last_day)which;
    return ZH_OK;
  }
  ZH_TRY(zh_yaml_expect_keys(node, keys, err));
  ZH_TRY(zh_read_choices(&valid->last_day_reading, of, policy, node, err));
  for (size_t i = 0; i < valid->last_day_reading->choice_count; i++) {
    ZH_TRY(zh_yaml_word(&which, of[i], words, err));
    valid->last_day[i] = (zh_last_day)which;
  }
  return ZH_OK;
}

static zh_status read_term(zh_valid *valid, const zh_policy *policy, const zh_yaml_node *map,
                           zh_error *err) {
  const zh_yaml_node *term = zh_yaml_get(map, "term"), *last = zh_yaml_get(map, "last_day");
  if (term == NULL)
    return last == NULL ? ZH_OK : zh_yaml_fail(err, last, "'last_day' belongs to a 'term'");
  if (zh_yaml_get(map, "until") != NULL)
    return zh_yaml_fail(err, term, "expected 'until' or 'term', not both");
  ZH_TRY(zh_span_read(&valid->term, term, err));
  ZH_TRY(zh_check_span(term, map, "written", valid->clause->quote, valid->term, err));
  ZH_TRY(zh_yaml_require(&last, map, "last_day", err));
  return read_last_day(valid, policy, last, err);
}

zh_status zh_read_valid(zh_policy *policy, const zh_yaml_node *root, zh_error *err) {
  static const char *const keys[] = {"from",    "clause",   "until", "term",
                                     "written", "last_day", NULL};
  const zh_yaml_node *map = zh_yaml_get(root, "valid"), *node;
  zh_valid *valid = &policy->valid;
  const char *from;
  if (map == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "the time of validity", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  valid->given = true;
  ZH_TRY(zh_yaml_require(&node, map, "clause", err));
  ZH_TRY(zh_require_clause(&valid->clause, policy, node, err));
  ZH_TRY(zh_yaml_require(&node, map, "from", err));
  ZH_TRY(zh_yaml_string(&from, node, err));
  valid->from = ZH_NO_DATE;
  valid->from_issue = strcmp(from, "issue") == 0;
  if (!valid->from_issue) {
    ZH_TRY(zh_date_read(&valid->from, node, err));
    ZH_TRY(zh_check_date(node, valid->clause->quote, valid->from, err));
  }
  ZH_TRY(read_until(valid, policy, zh_yaml_get(map, "until"), err));
  return read_term(valid, policy, map, err);
}
