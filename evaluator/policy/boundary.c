/* Boundary words of Chinese regulations. 超过 is strict; 以上 and 不低于 include the number itself.
 */
#include <stdio.h>
#include <string.h>

#include "evaluator/policy/policy.h"

static const zh_boundary boundaries[] = {
    {"不超过", "<="}, {"最高", "<="}, {"不低于", ">="}, {"不少于", ">="},
    {"以上", ">="},   {"超过", ">"},  {"突破", ">"},
};
enum { BOUNDARIES = sizeof boundaries / sizeof boundaries[0] };

const char *const zh_count_names[] = {"stored", "unique", "active", NULL};

/* 超过 does not stand in 不超过: the longer word means the opposite. */
static bool stands_in(const char *word, const char *quote) {
  static const char not_word[] = "不";
  size_t prefix = sizeof not_word - 1;
  for (const char *at = strstr(quote, word); at != NULL; at = strstr(at + 1, word)) {
    bool negated = (size_t)(at - quote) >= prefix && memcmp(at - prefix, not_word, prefix) == 0;
    if (!negated) return true;
  }
  return false;
}

zh_status zh_boundary_read(const zh_boundary **out, const zh_yaml_node *node, const char *quote,
                           zh_error *err) {
  const char *words[BOUNDARIES + 1] = {0};
  size_t which;
  for (size_t i = 0; i < BOUNDARIES; i++) words[i] = boundaries[i].word;
  ZH_TRY(zh_yaml_word(&which, node, words, err));
  *out = &boundaries[which];
  if (!stands_in(words[which], quote)) {
    return zh_yaml_fail(err, node, "the boundary word '%s' does not stand in the quote '%s'",
                        words[which], quote);
  }
  return ZH_OK;
}

bool zh_boundary_holds(const zh_boundary *boundary, int64_t value, int64_t threshold) {
  bool equal = value == threshold;
  if (boundary->op[0] == '>') return value > threshold || (equal && boundary->op[1] == '=');
  return value < threshold || (equal && boundary->op[1] == '=');
}
