/* Boundary words of Chinese regulations. 超过 is strict; 以上 and 不低于 include the number itself.
 */
#include <stdio.h>
#include <string.h>

#include "evaluator/policy/read.h"

typedef struct word {
  const char *word, *op;
  bool dates;
} word;

static const word words[] = {
    {"不超过", "<=", false}, {"最高", "<=", false},   {"最长", "<=", false},
    {"最多", "<=", false},   {"至多", "<=", false},   {"以下", "<=", false},
    {"以内", "<=", false},   {"不高于", "<=", false}, {"不大于", "<=", false},
    {"不低于", ">=", false}, {"不少于", ">=", false}, {"不小于", ">=", false},
    {"以上", ">=", false},   {"至少", ">=", false},   {"达到", ">=", false},
    {"超过", ">", false},    {"突破", ">", false},    {"高于", ">", false},
    {"大于", ">", false},    {"多于", ">", false},    {"低于", "<", false},
    {"少于", "<", false},    {"小于", "<", false},    {"不足", "<", false},
    {"不满", "<", false},    {"年底前", "<=", true},  {"截至", "<=", true},
    {"之前", "<", true},     {"之日起", ">=", true},  {"以后", ">=", true},
    {"起", ">=", true},      {"之后", ">", true},
};
enum { WORDS = sizeof words / sizeof words[0] };

const char *const zh_count_names[] = {"stored", "unique", "active", "effective", NULL};

bool zh_word_stands_in(const char *wanted, const char *quote) {
  static const char not_word[] = "不", not_yet[] = "未";
  size_t prefix = sizeof not_word - 1;
  for (const char *at = strstr(quote, wanted); at != NULL; at = strstr(at + 1, wanted)) {
    bool negated = (size_t)(at - quote) >= prefix && (memcmp(at - prefix, not_word, prefix) == 0 ||
                                                      memcmp(at - prefix, not_yet, prefix) == 0);
    if (!negated) return true;
  }
  return false;
}

static zh_status fail_not_there(const zh_yaml_node *node, const char *written, const char *quote,
                                zh_error *err) {
  return zh_yaml_fail(err, node, "the boundary word '%s' does not stand in the quote '%s'", written,
                      quote);
}

static zh_status find_word(const word **out, const zh_yaml_node *node, const char *quote,
                           bool dates, zh_error *err) {
  const char *known[WORDS + 1] = {0};
  const word *of[WORDS];
  size_t count = 0, which;
  for (size_t i = 0; i < WORDS; i++) {
    if (words[i].dates != dates) continue;
    of[count] = &words[i];
    known[count++] = words[i].word;
  }
  ZH_TRY(zh_yaml_word(&which, node, known, err));
  *out = of[which];
  if (zh_word_stands_in(known[which], quote)) return ZH_OK;
  return fail_not_there(node, known[which], quote, err);
}

/* {word, reading, choices: {choice: '>'}}: any word of the quote, for the choices say what it
 * means. */
static zh_status read_by_choice(zh_boundary *out, const zh_policy *policy, const zh_yaml_node *map,
                                const char *quote, zh_error *err) {
  static const char *const keys[] = {"word", "reading", "choices", NULL};
  static const char *const ops[] = {">", ">=", "<=", "<", NULL};
  const zh_yaml_node *of[ZH_MAX_CHOICES], *node;
  const char *written;
  size_t which;
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(zh_yaml_require(&node, map, "word", err));
  ZH_TRY(zh_yaml_string(&written, node, err));
  if (!zh_word_stands_in(written, quote)) return fail_not_there(node, written, quote, err);
  ZH_TRY(zh_read_choices(&out->reading, of, policy, map, err));
  for (size_t i = 0; i < out->reading->choice_count; i++) {
    ZH_TRY(zh_yaml_word(&which, of[i], ops, err));
    out->by_choice[i] = ops[which];
  }
  out->word = zh_arena_strdup(policy->arena, written);
  out->op = out->by_choice[0];
  return out->word != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the policy");
}

zh_status zh_read_boundary(zh_boundary *out, const zh_policy *policy, const zh_yaml_node *node,
                           const char *quote, bool dates, zh_error *err) {
  const word *found;
  if (zh_yaml_node_kind(node) == ZH_YAML_MAP) return read_by_choice(out, policy, node, quote, err);
  ZH_TRY(find_word(&found, node, quote, dates, err));
  out->word = found->word;
  out->op = found->op;
  return ZH_OK;
}

bool zh_op_holds(const char *op, int64_t value, int64_t threshold) {
  if (value == threshold) return op[1] == '=';
  return op[0] == '>' ? value > threshold : value < threshold;
}

const char *zh_boundary_op(const zh_boundary *boundary, const zh_assignment *readings) {
  if (boundary->reading == NULL) return boundary->op;
  return boundary->by_choice[readings->choice[boundary->reading->index]];
}
