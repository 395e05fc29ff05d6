/* Quotes against the text they come from. Published pages differ in punctuation and line breaks,
 * never in characters, so only letters, digits and CJK characters are compared. What a bad copy of
 * a page needs beside that, the policy file says. */
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "core/text.h"
#include "evaluator/policy/read.h"

enum { CHARACTERS = 0x10000 }; /* the basic plane holds every character that is simplified */

struct zh_simplifier {
  uint16_t to[CHARACTERS]; /* 0: stays */
};

/* --- common/normalisation.yaml --- */

static zh_status read_pairs(zh_simplifier *simplifier, const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"traditional", "simplified", NULL};
  const zh_yaml_node *node;
  const char *from, *to;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "traditional and simplified characters", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(zh_yaml_require(&node, map, "traditional", err));
  ZH_TRY(zh_yaml_string(&from, node, err));
  ZH_TRY(zh_yaml_require(&node, map, "simplified", err));
  ZH_TRY(zh_yaml_string(&to, node, err));
  while (*from != '\0' && *to != '\0') {
    uint32_t a = 0, b = 0;
    from += zh_utf8_decode(&a, from, strlen(from));
    to += zh_utf8_decode(&b, to, strlen(to));
    if (a >= CHARACTERS || b >= CHARACTERS)
      return zh_yaml_fail(err, node, "expected characters of the basic plane");
    simplifier->to[a] = (uint16_t)b;
  }
  if (*from == '\0' && *to == '\0') return ZH_OK;
  return zh_yaml_fail(err, node, "both strings need the same number of characters");
}

zh_status zh_simplifier_load(zh_simplifier **out, zh_error *err) {
  char path[4096];
  zh_yaml_doc *doc = NULL;
  *out = NULL;
  zh_simplifier *simplifier = calloc(1, sizeof *simplifier);
  if (simplifier == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the characters");
  zh_status status =
      zh_data_path(path, sizeof path, "evaluator/policies/common/normalisation.yaml", err);
  if (status == ZH_OK) status = zh_yaml_load_file(&doc, path, err);
  if (status == ZH_OK) status = read_pairs(simplifier, zh_yaml_root(doc), err);
  zh_yaml_free(doc);
  if (status == ZH_OK)
    *out = simplifier;
  else
    free(simplifier);
  return status;
}

void zh_simplifier_free(zh_simplifier *simplifier) {
  free(simplifier);
}

/* --- characters that are compared --- */

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

static bool is_latin(uint32_t c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= 0xC0 && c <= 0x24F) ||
         (c >= 0x300 && c <= 0x36F);
}

/* One character, folded to its half-width form; an invalid byte is kept as U+FFFD, so that it
 * cannot match by vanishing. */
static size_t next_character(uint32_t *c, const char *text, size_t length) {
  int used = zh_utf8_decode(c, text, length);
  if (used == 0) {
    *c = 0xFFFD;
    return 1;
  }
  if (*c >= 0xFF01 && *c <= 0xFF5E) *c -= 0xFF01 - '!';
  return (size_t)used;
}

/* Length of "(fā)" at the start of text: Latin letters alone in round brackets; 0 where it is not.
 */
static size_t pinyin_length(const char *text, size_t length) {
  uint32_t c;
  size_t at = next_character(&c, text, length);
  if (c != '(') return 0;
  for (size_t letters = 0; at < length; letters++) {
    at += next_character(&c, text + at, length - at);
    if (c == ')') return letters > 0 ? at : 0;
    if (!is_latin(c)) return 0;
  }
  return 0;
}

static void append_character(zh_text *out, uint32_t c) {
  char encoded[4];
  zh_text_append(out, encoded, (size_t)zh_utf8_encode(encoded, c));
}

/* The text with pinyin dropped and characters simplified, punctuation still in it. */
static void clean(zh_text *out, const char *text, bool pinyin, const zh_simplifier *simplifier) {
  size_t length = strlen(text);
  while (length > 0) {
    uint32_t c;
    size_t drop = pinyin ? pinyin_length(text, length) : 0;
    size_t used = drop > 0 ? drop : next_character(&c, text, length);
    if (drop == 0) {
      bool simpler = simplifier != NULL && c < CHARACTERS && simplifier->to[c] != 0;
      append_character(out, simpler ? simplifier->to[c] : c);
    }
    text += used;
    length -= used;
  }
}

static void keep_compared(zh_text *out, const char *text) {
  size_t length = strlen(text);
  while (length > 0) {
    uint32_t c;
    size_t used = next_character(&c, text, length);
    if (is_compared(c)) append_character(out, c);
    text += used;
    length -= used;
  }
}

bool zh_quote_occurs(const char *quote, const char *text) {
  zh_text needle = {0}, hay = {0};
  keep_compared(&needle, quote);
  keep_compared(&hay, text);
  bool found = !needle.failed && !hay.failed && needle.length > 0 &&
               strstr(zh_text_string(&hay), zh_text_string(&needle)) != NULL;
  zh_text_free(&needle);
  zh_text_free(&hay);
  return found;
}

/* --- a whole published text --- */

static void replace_all(zh_text *text, const zh_replacement *replacement) {
  zh_text replaced = {0};
  const char *at = zh_text_string(text), *found;
  while ((found = strstr(at, replacement->from)) != NULL) {
    zh_text_append(&replaced, at, (size_t)(found - at));
    zh_text_puts(&replaced, replacement->to);
    at = found + strlen(replacement->from);
  }
  zh_text_puts(&replaced, at);
  zh_text_free(text);
  *text = replaced;
}

static zh_status normalise(zh_text *out, const zh_normalisation *how, const char *source,
                           zh_error *err) {
  zh_simplifier *simplifier = NULL;
  zh_text text = {0};
  if (how->traditional) ZH_TRY(zh_simplifier_load(&simplifier, err));
  clean(&text, source, how->pinyin, simplifier);
  zh_simplifier_free(simplifier);
  for (size_t i = 0; i < how->replace_count; i++) replace_all(&text, &how->replace[i]);
  char *end = how->ends_at == NULL || text.data == NULL ? NULL : strstr(text.data, how->ends_at);
  if (end != NULL) *end = '\0';
  keep_compared(out, zh_text_string(&text));
  bool failed = text.failed || out->failed;
  zh_text_free(&text);
  return failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for the published text") : ZH_OK;
}

zh_status zh_policy_check_quotes(bool *found, size_t *missing, const zh_policy *policy,
                                 const char *source_text, zh_error *err) {
  zh_text hay = {0};
  *missing = 0;
  zh_status status = normalise(&hay, &policy->normalisation, source_text, err);
  for (size_t i = 0; status == ZH_OK && i < policy->clause_count; i++) {
    zh_text needle = {0};
    keep_compared(&needle, policy->clauses[i].quote);
    found[i] = needle.length > 0 && strstr(zh_text_string(&hay), zh_text_string(&needle)) != NULL;
    *missing += !found[i];
    zh_text_free(&needle);
  }
  zh_text_free(&hay);
  return status;
}
