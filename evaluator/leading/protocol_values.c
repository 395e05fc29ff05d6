#include "evaluator/leading/protocol_values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/digest.h"

static zh_status keep(const char **out, const char *text, zh_arena *arena, zh_error *err) {
  *out = zh_arena_strdup(arena, text);
  return *out != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the protocol");
}

zh_status zh_protocol_string(const char **out, const zh_yaml_node *node, zh_arena *arena,
                             zh_error *err) {
  const char *text;
  ZH_TRY(zh_yaml_string(&text, node, err));
  for (const char *at = text; *at != '\0'; at++)
    if ((unsigned char)*at < ' ' || *at == 0x7f)
      return zh_yaml_fail(err, node, "expected a line of text, found a control character in it");
  return keep(out, text, arena, err);
}

zh_status zh_protocol_text(const char **out, const zh_yaml_node *map, const char *key,
                           zh_arena *arena, zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(map, key);
  return node == NULL ? ZH_OK : zh_protocol_string(out, node, arena, err);
}

zh_status zh_protocol_flag(bool *out, const zh_yaml_node *map, const char *key, zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(map, key);
  return node == NULL ? ZH_OK : zh_yaml_bool(out, node, err);
}

zh_status zh_protocol_whole(int64_t *out, const zh_yaml_node *map, const char *key, int64_t min,
                            int64_t max, zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(map, key);
  return node == NULL ? ZH_OK : zh_yaml_int(out, node, min, max, err);
}

zh_status zh_protocol_real(double *out, const zh_yaml_node *map, const char *key, double min,
                           double max, zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(map, key);
  return node == NULL ? ZH_OK : zh_yaml_real(out, node, min, max, err);
}

/* Of any script: bytes past ASCII count as letters. */
static bool is_word(const char *text) {
  unsigned char first = (unsigned char)text[0];
  bool letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') || first >= 0x80;
  for (const char *at = text; letter && *at != '\0'; at++)
    if ((unsigned char)*at <= ' ' || *at == 0x7f) return false;
  return letter;
}

zh_status zh_protocol_word(const char **out, const zh_yaml_node *map, const char *key,
                           zh_arena *arena, zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(map, key);
  const char *text;
  if (node == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_string(&text, node, err));
  if (is_word(text)) return keep(out, text, arena, err);
  return zh_yaml_fail(err, node, "expected the name of a %s such as acc_norm, found '%.80s'", key,
                      text);
}

zh_status zh_protocol_digest(const char **out, const zh_yaml_node *map, const char *key,
                             zh_arena *arena, zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(map, key);
  const char *text;
  char small[ZH_DIGEST_HEX];
  if (node == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_string(&text, node, err));
  size_t length = strlen(text);
  if (length != 64 || strspn(text, "0123456789abcdefABCDEF") != length)
    return zh_yaml_fail(
        err, node, "expected an SM3 digest, 64 hexadecimal digits, found '%.80s' (%zu characters)",
        text, length);
  for (size_t i = 0; i <= length; i++)
    small[i] = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
  return keep(out, small, arena, err);
}

zh_status zh_protocol_day(const char **out, zh_date *day, const zh_yaml_node *map, const char *key,
                          zh_arena *arena, zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(map, key);
  if (node == NULL) return ZH_OK;
  ZH_TRY(zh_date_read(day, node, err));
  return zh_protocol_text(out, map, key, arena, err);
}

/* The decimal number at the start of text; returns what follows it, NULL where there is none. */
static const char *leading_number(double *out, const char *text) {
  size_t length = strspn(text, "+-0123456789.eE");
  char *end;
  if (strcspn(text, "0123456789") >= length) return NULL;
  *out = strtod(text, &end);
  return end > text && (size_t)(end - text) <= length && isfinite(*out) ? end : NULL;
}

zh_status zh_protocol_share(double *out, bool *bare, const zh_yaml_node *map, const char *key,
                            const char *like, double min, double max, zh_error *err) {
  const zh_yaml_node *node = zh_yaml_get(map, key);
  const char *text;
  double value = 0;
  if (node == NULL) return ZH_OK;
  ZH_TRY(zh_yaml_string(&text, node, err));
  const char *unit = leading_number(&value, text);
  bool of_hundred = unit != NULL && (strcmp(unit, "%") == 0 || strcmp(unit, " %") == 0 ||
                                     strcmp(unit, " point") == 0 || strcmp(unit, " points") == 0);
  if (unit == NULL || (unit[0] != '\0' && !of_hundred))
    return zh_yaml_fail(err, node, "expected a number such as %s, found '%.80s'", like, text);
  if (of_hundred) value /= 100;
  if (value < min || value > max)
    return zh_yaml_fail(err, node, "expected a value from %g to %g (such as %s), found '%.80s'",
                        min, max, like, text);
  *out = value;
  *bare = unit[0] == '\0';
  return ZH_OK;
}
