/* Quotes against the text they come from. Published pages differ in punctuation and line breaks,
 * never in characters, so only letters, digits and CJK characters are compared. */
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/policy/policy.h"

/* Punctuation, symbols and white space of the blocks that Chinese official texts use. '%' counts:
 * 50% is a figure. */
static bool is_compared(uint32_t c) {
  if (c == '%') return true;
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  if (c < 0xC0) return false;                   /* Latin-1 punctuation, no-break space */
  if (c >= 0x2000 && c <= 0x206F) return false; /* general punctuation: quotation marks, dashes */
  if (c >= 0x3000 && c <= 0x3020) return false; /* CJK punctuation */
  if (c >= 0xFF5F && c <= 0xFF65) return false; /* white parentheses, half-width CJK marks */
  return true;
}

static void append_compared(zh_text *out, const char *line, size_t length) {
  while (length > 0) {
    uint32_t c = 0;
    int used = zh_utf8_decode(&c, line, length);
    if (used == 0) {
      used = 1; /* an invalid byte is kept, so that it cannot match by vanishing */
      c = 0xFFFD;
    }
    if (c >= 0xFF01 && c <= 0xFF5E) c -= 0xFF01 - '!'; /* full-width forms of ASCII */
    char encoded[4];
    int size = zh_utf8_encode(encoded, c);
    if (is_compared(c)) zh_text_append(out, encoded, (size_t)size);
    line += used;
    length -= (size_t)used;
  }
}

static void normalise(zh_text *out, const char *text) {
  while (*text != '\0') {
    size_t length = strcspn(text, "\n");
    if (text[0] != '#') append_compared(out, text, length);
    text += length + (text[length] == '\n');
  }
}

bool zh_quote_occurs(const char *quote, const char *text) {
  zh_text needle = {0}, hay = {0};
  normalise(&needle, quote);
  normalise(&hay, text);
  bool found = !needle.failed && !hay.failed && needle.length > 0 &&
               strstr(zh_text_string(&hay), zh_text_string(&needle)) != NULL;
  zh_text_free(&needle);
  zh_text_free(&hay);
  return found;
}

zh_status zh_policy_check_quotes(const zh_policy *policy, const char *source_text, zh_error *err) {
  for (size_t i = 0; i < policy->clause_count; i++) {
    const zh_clause *clause = &policy->clauses[i];
    if (zh_quote_occurs(clause->text, source_text)) continue;
    return zh_fail(err, ZH_ERR_CHECK,
                   "policy %s: the text of clause %s does not occur in the source text",
                   policy->name, clause->id);
  }
  return ZH_OK;
}
