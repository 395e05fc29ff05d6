/* A word, or several, among those that the clause names; and plain yes or no. */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/policy/read.h"
#include "evaluator/rules/stated.h"

static const char *const member_keys[] = {"fact", "one_of", "none_of", "at_least", NULL};
static const char *const flag_keys[] = {"fact", "is", NULL};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the policy's conditions");
}

/* --- member --- */

static zh_status read_word(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *node,
                           zh_error *err) {
  const zh_fact *fact = rule->fact;
  const char *word;
  ZH_TRY(zh_yaml_string(&word, node, err));
  const char *known[64] = {0};
  size_t which;
  if (fact->type == ZH_FACT_TEXT) {
    rule->words[rule->word_count] = zh_arena_strdup(policy->arena, word);
    if (rule->words[rule->word_count++] == NULL) return no_memory(err);
    return ZH_OK;
  }
  for (size_t i = 0; i < fact->word_count && i < 63; i++) known[i] = fact->words[i].id;
  ZH_TRY(zh_yaml_word(&which, node, known, err));
  rule->words[rule->word_count++] = fact->words[which].id;
  return ZH_OK;
}

static zh_status read_member(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                             zh_error *err) {
  const zh_yaml_node *list, *at_least = zh_yaml_get(map, "at_least");
  int64_t least = 1;
  size_t count;
  ZH_TRY(zh_require_fact(&rule->fact, policy, map, "fact", err));
  if (rule->fact->type != ZH_FACT_WORDS && rule->fact->type != ZH_FACT_TEXT)
    return zh_yaml_fail(err, zh_yaml_get(map, "fact"), "expected a fact of type words or text");
  rule->none_of = zh_yaml_get(map, "none_of") != NULL;
  if (rule->none_of && zh_yaml_get(map, "one_of") != NULL)
    return zh_yaml_fail(err, map, "expected 'one_of' or 'none_of', not both");
  ZH_TRY(zh_read_list(&list, &count, map, rule->none_of ? "none_of" : "one_of", "a list of words",
                      err));
  rule->words = zh_arena_alloc(policy->arena, count, sizeof *rule->words);
  if (rule->words == NULL) return no_memory(err);
  for (size_t i = 0; i < count; i++) ZH_TRY(read_word(rule, policy, zh_yaml_item(list, i), err));
  if (at_least != NULL) ZH_TRY(zh_yaml_int(&least, at_least, 1, (int64_t)count, err));
  rule->at_least = (size_t)least;
  return ZH_OK;
}

static bool is_wanted(const zh_rule *rule, const char *word) {
  for (size_t i = 0; i < rule->word_count; i++) {
    if (strcmp(rule->words[i], word) == 0) return true;
  }
  return false;
}

static bool member_holds(const zh_rule *rule, const zh_claim *claim) {
  size_t among = 0;
  if (claim == NULL) return false;
  if (claim->text != NULL) among = is_wanted(rule, claim->text);
  for (size_t i = 0; i < claim->word_count; i++) among += is_wanted(rule, claim->words[i]);
  return rule->none_of ? among == 0 : among >= rule->at_least;
}

static zh_verdict decide_member(const zh_case *c, const zh_rule *rule,
                                const zh_assignment *readings) {
  const zh_claim *claim = zh_stated(c, rule->fact);
  (void)readings;
  return zh_stated_verdict(claim, member_holds(rule, claim));
}

/* Names of words, "甲、乙" or "a, b". */
static void list_words(zh_text *zh, zh_text *en, const zh_fact *fact, const char *const *words,
                       size_t count) {
  for (size_t i = 0; i < count; i++) {
    const char *name_zh = words[i], *name_en = words[i];
    for (size_t k = 0; k < fact->word_count; k++) {
      if (strcmp(fact->words[k].id, words[i]) != 0) continue;
      name_zh = fact->words[k].phrase.zh;
      name_en = fact->words[k].phrase.en;
    }
    zh_text_printf(zh, "%s%s", i > 0 ? "、" : "", name_zh);
    zh_text_printf(en, "%s%s", i > 0 ? ", " : "", name_en);
  }
}

static void explain_member(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                           const zh_assignment *readings) {
  const zh_claim *claim = zh_stated(c, rule->fact);
  zh_text zh = {0}, en = {0}, want_zh = {0}, want_en = {0};
  if (claim != NULL && claim->text != NULL)
    list_words(&zh, &en, rule->fact, &claim->text, 1);
  else if (claim != NULL)
    list_words(&zh, &en, rule->fact, claim->words, claim->word_count);
  const zh_phrase *frame = zh_word_of(c->words, rule->none_of        ? ZH_WORD_needed_none_of
                                                : rule->at_least > 1 ? ZH_WORD_needed_several
                                                                     : ZH_WORD_needed_one_of);
  list_words(&want_zh, &want_en, rule->fact, rule->words, rule->word_count);
  char least[24];
  snprintf(least, sizeof least, "%zu", rule->at_least);
  const zh_slot slots[] = {{"words", zh_text_string(&want_zh), zh_text_string(&want_en)},
                           {"count", least, least}};
  json_t *needed = zh_phrase_json(frame, slots, 2);
  const zh_phrase value = {zh_text_string(&zh), zh_text_string(&en)},
                  wanted = {json_string_value(json_object_get(needed, "zh")),
                            json_string_value(json_object_get(needed, "en"))};
  out->verdict = decide_member(c, rule, readings);
  zh_stated_explain(out, c, rule, &value, &wanted);
  json_decref(needed);
  zh_text_free(&zh);
  zh_text_free(&en);
  zh_text_free(&want_zh);
  zh_text_free(&want_en);
}

const zh_rule_kind zh_rule_member = {.name = "member",
                                     .keys = member_keys,
                                     .read = read_member,
                                     .decide = decide_member,
                                     .explain = explain_member};

/* --- flag --- */

static zh_status read_flag(zh_rule *rule, const zh_policy *policy, const zh_yaml_node *map,
                           zh_error *err) {
  const zh_yaml_node *is;
  ZH_TRY(zh_require_fact(&rule->fact, policy, map, "fact", err));
  if (rule->fact->type != ZH_FACT_FLAG)
    return zh_yaml_fail(err, zh_yaml_get(map, "fact"), "expected a fact of type flag");
  ZH_TRY(zh_yaml_require(&is, map, "is", err));
  return zh_yaml_bool(&rule->is, is, err);
}

static zh_verdict decide_flag(const zh_case *c, const zh_rule *rule,
                              const zh_assignment *readings) {
  const zh_claim *claim = zh_stated(c, rule->fact);
  (void)readings;
  return zh_stated_verdict(claim, claim != NULL && claim->yes == rule->is);
}

static void explain_flag(zh_judgement *out, const zh_case *c, const zh_rule *rule,
                         const zh_assignment *readings) {
  static const zh_phrase none = {"", ""};
  const zh_claim *claim = zh_stated(c, rule->fact);
  const zh_phrase *yes = zh_word_of(c->words, ZH_WORD_names_yes),
                  *no = zh_word_of(c->words, ZH_WORD_names_no);
  out->verdict = decide_flag(c, rule, readings);
  zh_stated_explain(out, c, rule,
                    claim == NULL ? &none
                    : claim->yes  ? yes
                                  : no,
                    rule->is ? yes : no);
}

const zh_rule_kind zh_rule_flag = {.name = "flag",
                                   .keys = flag_keys,
                                   .read = read_flag,
                                   .decide = decide_flag,
                                   .explain = explain_flag};
