#include "model/plain_json.h"

#include <string.h>

static void pass_space(zh_plain *p) {
  while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t'))
    p->at++;
}

bool zh_plain_begin(zh_plain *p, const char *text, size_t length) {
  *p = (zh_plain){text, text + length};
  return memchr(text, '\\', length) == NULL;
}

bool zh_plain_take(zh_plain *p, char c) {
  if (p->at < p->end && *p->at != c) pass_space(p);
  if (p->at >= p->end || *p->at != c) return false;
  p->at++;
  return true;
}

bool zh_plain_string(zh_plain_text *out, zh_plain *p) {
  if (!zh_plain_take(p, '"')) return false;
  const char *end = memchr(p->at, '"', (size_t)(p->end - p->at));
  if (end == NULL) return false;
  *out = (zh_plain_text){p->at, (size_t)(end - p->at)};
  p->at = end + 1;
  return true;
}

bool zh_plain_key(zh_plain_text *out, zh_plain *p) {
  return zh_plain_string(out, p) && zh_plain_take(p, ':');
}

bool zh_plain_integer(uint64_t *out, zh_plain *p) {
  pass_space(p);
  const char *begin = p->at;
  uint64_t number = 0;
  for (; p->at < p->end && *p->at >= '0' && *p->at <= '9' && p->at - begin < 18; p->at++)
    number = 10 * number + (uint64_t)(*p->at - '0');
  bool leading_zero = p->at - begin > 1 && *begin == '0';
  *out = number;
  return p->at > begin && p->at < p->end && !leading_zero && strchr(",] }\n", *p->at) != NULL;
}

bool zh_plain_integers(uint64_t *out, int *count, int most, zh_plain *p) {
  *count = 0;
  if (!zh_plain_take(p, '[')) return false;
  if (zh_plain_take(p, ']')) return true;
  do {
    if (*count == most || !zh_plain_integer(&out[(*count)++], p)) return false;
  } while (zh_plain_take(p, ','));
  return zh_plain_take(p, ']');
}

bool zh_plain_object(zh_plain_text *out, zh_plain *p) {
  int depth = 0;
  zh_plain_text text;
  pass_space(p);
  out->bytes = p->at;
  while (p->at < p->end) {
    if (*p->at == '"') {
      if (!zh_plain_string(&text, p)) return false;
      continue;
    }
    char c = *p->at++;
    if (c == '{') depth++;
    if (c == '}' && --depth == 0) {
      out->length = (size_t)(p->at - out->bytes);
      return *out->bytes == '{';
    }
  }
  return false;
}

bool zh_plain_ends(zh_plain *p) {
  pass_space(p);
  return p->at == p->end;
}

bool zh_plain_is(const zh_plain_text *text, const char *word) {
  return strlen(word) == text->length && memcmp(text->bytes, word, text->length) == 0;
}
