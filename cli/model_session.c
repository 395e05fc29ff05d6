#include "cli/model_session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/files.h"
#include "core/text.h"

enum { TEXT_BYTES = 64 << 20 };

zh_status zh_session_whole(uint64_t *out, const zh_session_arguments *given, int key,
                           const char *name, uint64_t fallback, uint64_t min, uint64_t max,
                           zh_error *err) {
  const char *text = given->value[key];
  *out = fallback;
  if (!text) return ZH_OK;
  if (zh_cli_is_whole(out, text, min, max)) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "--%s %s: expected a whole number from %" PRIu64 " to %" PRIu64,
                 name, text, min, max);
}

zh_status zh_session_parse_ids(zh_session *s, const char *name, const char *list, zh_error *err) {
  const char *p = list;
  s->tokens = malloc((strlen(list) / 2 + 1) * sizeof *s->tokens);
  if (!s->tokens) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the token ids");
  for (;; ++p) {
    char *end = NULL;
    errno = 0;
    unsigned long long id = strtoull(p, &end, 10);
    if (*p < '0' || *p > '9' || (*end != ',' && *end != '\0') || errno != 0) {
      return zh_fail(err, ZH_ERR_USAGE,
                     "--%s: '%.24s' is not a token id; expected numbers between commas, like 1,2,3",
                     name, p);
    }
    if (id >= s->architecture.vocab) {
      return zh_fail(err, ZH_ERR_ARG,
                     "--%s: %llu is outside the vocabulary of %s, which has %" PRIu32 " tokens",
                     name, id, zh_model_name(s->model), s->architecture.vocab);
    }
    s->tokens[s->count++] = (uint32_t)id;
    p = end;
    if (*p == '\0') return ZH_OK;
  }
}

zh_status zh_session_need_tokenizer(const zh_session *s, const char *instead, zh_error *err) {
  if (s->tokenizer) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s has no tokenizer: its tokens are numbers%s",
                 zh_model_name(s->model), instead);
}

zh_status zh_session_tokenize_text(zh_session *s, const char *text, size_t length, bool add_bos,
                                   zh_error *err) {
  ZH_TRY(zh_session_need_tokenizer(s, "; give them as --tokens 1,2,3", err));
  return zh_tokenize(&s->tokens, &s->count, s->tokenizer, text, length, add_bos, true, err);
}

zh_status zh_session_tokenize_file(zh_session *s, const char *path, bool add_bos, zh_error *err) {
  char *text = NULL;
  size_t length = 0;
  ZH_TRY(zh_read_file(&text, &length, path, TEXT_BYTES, err));
  zh_status status = zh_session_tokenize_text(s, text, length, add_bos, err);
  free(text);
  if (status != ZH_OK) zh_error_prefix(err, "%s", path);
  return status;
}

bool zh_session_asks_for_bos(const zh_session *s) {
  return s->tokenizer && zh_tokenizer_special(s->tokenizer).add_bos;
}

/* --tokens or --prompt. */
static zh_status read_chat(zh_session *s, zh_error *err) {
  char *text;
  size_t length;
  ZH_TRY(zh_session_need_tokenizer(s, ", and no conversation can become any", err));
  ZH_TRY(zh_session_render_chat(&text, &length, s, err));
  zh_status status = zh_session_tokenize_text(s, text, length, false, err);
  free(text);
  return status;
}

zh_status zh_session_read_tokens(zh_session *s, zh_error *err) {
  const char *ids = s->given->value[ZH_KEY_TOKENS], *prompt = s->given->value[ZH_KEY_PROMPT];
  if ((ids != NULL) + (prompt != NULL) + zh_session_has_chat(s) != 1) {
    return zh_fail(err, ZH_ERR_USAGE,
                   "model %s needs one of --tokens 1,2,3, --prompt TEXT, --chat FILE or --message "
                   "TEXT",
                   s->given->action);
  }
  if (ids) {
    ZH_TRY(zh_session_parse_ids(s, "tokens", ids, err));
  } else if (prompt) {
    ZH_TRY(zh_session_tokenize_text(s, prompt, strlen(prompt), zh_session_asks_for_bos(s), err));
  } else {
    ZH_TRY(read_chat(s, err));
  }
  if (s->count > 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "the prompt is empty: there is no token to compute");
}

json_t *zh_valid_text(const char *bytes, size_t length) {
  zh_text text = {0};
  while (length > 0) {
    size_t valid = zh_utf8_valid_prefix(bytes, length);
    zh_text_append(&text, bytes, valid);
    bytes += valid;
    length -= valid;
    if (length == 0) break;
    zh_text_puts(&text, "\xef\xbf\xbd");
    ++bytes;
    --length;
  }
  json_t *value = text.failed ? NULL : json_stringn(zh_text_string(&text), text.length);
  zh_text_free(&text);
  return value;
}

json_t *zh_id_list(const uint32_t *tokens, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; list && i < count; ++i) json_array_append_new(list, json_integer(tokens[i]));
  return list;
}

void zh_print_ids(const uint32_t *tokens, size_t count) {
  for (size_t i = 0; i < count; ++i) printf(i ? ",%" PRIu32 : "%" PRIu32, tokens[i]);
  putchar('\n');
}
