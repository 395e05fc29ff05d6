/* The amount: min(rate × base, cap), always "up to". Unknown where the base is unknown; 0 only
 * where a required condition fails. Applied last, when every condition has been judged. */
#include <stdio.h>
#include <string.h>

#include "evaluator/exact.h"
#include "evaluator/rules/rules.h"

static const char *const keys[] = {"base", "rate", "rate_boundary", "cap", "cap_boundary", NULL};
static const char *const base_keys[] = {"id", "zh", "en", NULL};

static zh_status read_base(zh_rule *rule, const zh_yaml_node *map, zh_arena *arena, zh_error *err) {
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "the base with its id and names", err));
  ZH_TRY(zh_yaml_expect_keys(map, base_keys, err));
  ZH_TRY(zh_policy_string(&rule->base_id, map, "id", arena, err));
  ZH_TRY(zh_policy_string(&rule->base_name.zh, map, "zh", arena, err));
  return zh_policy_string(&rule->base_name.en, map, "en", arena, err);
}

/* Both figures are upper bounds in this version; the words for it must stand in the quote. */
static zh_status read_upper_bound(const zh_rule *rule, const zh_yaml_node *map, const char *key,
                                  zh_error *err) {
  const zh_yaml_node *node;
  const zh_boundary *boundary;
  ZH_TRY(zh_yaml_require(&node, map, key, err));
  ZH_TRY(zh_boundary_read(&boundary, node, rule->quote, err));
  if (strcmp(boundary->op, "<=") == 0) return ZH_OK;
  return zh_yaml_fail(err, node, "expected a word for an upper bound: 不超过 or 最高");
}

static zh_status read(zh_rule *rule, const zh_yaml_node *map, zh_arena *arena, zh_error *err) {
  const zh_yaml_node *node;
  ZH_TRY(zh_yaml_require(&node, map, "base", err));
  ZH_TRY(read_base(rule, node, arena, err));
  ZH_TRY(zh_yaml_require(&node, map, "rate", err));
  ZH_TRY(zh_rate_read(&rule->rate_millionths, node, err));
  ZH_TRY(read_upper_bound(rule, map, "rate_boundary", err));
  ZH_TRY(zh_yaml_require(&node, map, "cap", err));
  ZH_TRY(zh_money_read(&rule->cap_fen, node, err));
  return read_upper_bound(rule, map, "cap_boundary", err);
}

/* Whole 万元 as an integer, anything finer as the nearest double; exact decimals stand beside it as
 * text. */
static json_t *wan_yuan(int64_t fen) {
  if (fen < 0) return json_null();
  if (fen % ZH_FEN_PER_WAN_YUAN == 0) return json_integer(fen / ZH_FEN_PER_WAN_YUAN);
  return json_real((double)fen / ZH_FEN_PER_WAN_YUAN);
}

static json_t *yuan(int64_t fen) {
  char text[32];
  if (fen < 0) return json_null();
  snprintf(text, sizeof text, "%lld.%02d", (long long)(fen / 100), (int)(fen % 100));
  return json_string(text);
}

typedef struct award {
  zh_verdict verdict;
  zh_word word;
  int64_t up_to_fen; /* -1: unknown */
} award;

static award decide(const zh_case *c, const zh_rule *rule, const zh_claim *base) {
  if (c->any_failed) return (award){ZH_FAIL, ZH_WORD_grant_fail, 0};
  if (base == NULL) return (award){ZH_UNDETERMINED, ZH_WORD_grant_no_base, -1};
  int64_t fen = zh_award(base->fen, rule->rate_millionths, rule->cap_fen);
  if (c->any_open) return (award){ZH_UNDETERMINED, ZH_WORD_grant_conditional, fen};
  return (award){ZH_PASS, ZH_WORD_grant_pass, fen};
}

static json_t *statement(const zh_case *c, const zh_rule *rule, const zh_claim *base,
                         const award *a) {
  char rate[32], amount[2][40] = {"", ""}, cap[2][40], up_to[2][40] = {"", ""};
  zh_rate_text(rate, sizeof rate, rule->rate_millionths);
  zh_wan_yuan_text(cap[0], sizeof cap[0], rule->cap_fen);
  zh_yuan_text(cap[1], sizeof cap[1], rule->cap_fen);
  if (base != NULL) {
    zh_wan_yuan_text(amount[0], sizeof amount[0], base->fen);
    zh_yuan_text(amount[1], sizeof amount[1], base->fen);
  }
  if (a->up_to_fen >= 0) {
    zh_wan_yuan_text(up_to[0], sizeof up_to[0], a->up_to_fen);
    zh_yuan_text(up_to[1], sizeof up_to[1], a->up_to_fen);
  }
  const zh_slot slots[] = {{"base", rule->base_name.zh, rule->base_name.en},
                           {"amount", amount[0], amount[1]},
                           {"rate", rate, rate},
                           {"cap", cap[0], cap[1]},
                           {"up_to", up_to[0], up_to[1]}};
  return zh_phrase_json(zh_word_of(c->words, a->word), slots, sizeof slots / sizeof slots[0]);
}

static json_t *evidence(const zh_case *c, const zh_rule *rule, const zh_claim *base) {
  if (base == NULL) return json_array();
  const zh_slot slots[] = {{"base", rule->base_name.zh, rule->base_name.en}};
  json_t *what = zh_phrase_json(zh_word_of(c->words, ZH_WORD_grant_evidence), slots, 1);
  return json_pack("[o]", zh_evidence(-1, base->paper.file, 0, base->paper.sm3, what));
}

static zh_status apply(zh_verdict *out, zh_case *c, const zh_rule *rule, zh_error *err) {
  const zh_claim *base =
      c->applicant == NULL ? NULL : zh_claim_find(&c->applicant->costs, rule->base_id);
  award a = decide(c, rule, base);
  int64_t base_fen = base == NULL ? -1 : base->fen;
  *out = a.verdict;
  c->grant = json_pack(
      "{s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:f, s:o, s:{s:s, s:o, s:o, s:o}, s:o, s:o}", "id",
      rule->id, "clause", zh_clause_json(rule->clause, rule->quote), "title",
      zh_plain_phrase(&rule->statement), "criterion", zh_plain_phrase(&rule->criterion), "verdict",
      zh_verdict_names[a.verdict], "up_to_wan_yuan", wan_yuan(a.up_to_fen), "up_to_yuan",
      yuan(a.up_to_fen), "rate", (double)rule->rate_millionths / ZH_RATE_ONE, "cap_wan_yuan",
      wan_yuan(rule->cap_fen), "base", "id", rule->base_id, "name",
      zh_plain_phrase(&rule->base_name), "wan_yuan", wan_yuan(base_fen), "yuan", yuan(base_fen),
      "statement", statement(c, rule, base, &a), "evidence", evidence(c, rule, base));
  return c->grant != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the grant");
}

const zh_rule_kind zh_rule_grant = {"grant", keys, read, apply};
