/* --chat and --message: a conversation to text, by the model's own chat template. */
#include "cli/model_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/chat.h"

enum { CHAT_BYTES = 64 << 20 };

bool zh_session_has_chat(const zh_session *s) {
  return s->given->value[ZH_KEY_CHAT] || s->given->value[ZH_KEY_MESSAGE];
}

static zh_status read_standard_input(json_t **out, zh_error *err) {
  zh_text text = {0};
  char piece[4096];
  for (size_t got; (got = fread(piece, 1, sizeof piece, stdin)) > 0 && text.length <= CHAT_BYTES;)
    zh_text_append(&text, piece, got);
  zh_status status = ZH_OK;
  if (text.failed || text.length > CHAT_BYTES)
    status = zh_fail(err, ZH_ERR_INPUT, "the conversation on standard input has more than %d bytes",
                     CHAT_BYTES);
  if (status == ZH_OK)
    status = zh_json_load_text(out, zh_text_string(&text), text.length, "the standard input", err);
  zh_text_free(&text);
  return status;
}

/* An array of messages, or an object with them and what else the template asks for. */
static zh_status check_chat(json_t **chat, const char *where, zh_error *err) {
  if (json_is_array(*chat)) *chat = json_pack("{s:o}", "messages", *chat);
  const json_t *messages = json_object_get(*chat, "messages");
  for (size_t i = 0; i < json_array_size(messages); i++) {
    const char *role = json_string_value(json_object_get(json_array_get(messages, i), "role"));
    if (!role)
      return zh_fail(err, ZH_ERR_INPUT, "%s: message %zu has no role, such as \"user\"", where,
                     i + 1);
  }
  if (json_array_size(messages) > 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: expected messages like [{\"role\": \"user\", \"content\": \"...\"}], or an "
                 "object with them as \"messages\"",
                 where);
}

/* A new reference to the variables of the template. */
static zh_status read_chat(json_t **out, const zh_session *s, zh_error *err) {
  const char *file = s->given->value[ZH_KEY_CHAT], *message = s->given->value[ZH_KEY_MESSAGE];
  *out = NULL;
  if (file && message)
    return zh_fail(err, ZH_ERR_USAGE, "either --chat FILE or --message TEXT, not both");
  if (message) {
    *out = json_pack("{s:[{s:s, s:s}]}", "messages", "role", "user", "content", message);
    if (*out) return ZH_OK;
    return zh_fail(err, ZH_ERR_INPUT, "--message: the text is not valid UTF-8");
  }
  bool standard_input = strcmp(file, "-") == 0;
  ZH_TRY(standard_input ? read_standard_input(out, err)
                        : zh_json_load_file(out, file, CHAT_BYTES, err));
  return check_chat(out, standard_input ? "the standard input" : file, err);
}

zh_status zh_session_render_chat(char **text, size_t *length, const zh_session *s, zh_error *err) {
  json_t *variables;
  zh_chat *chat = NULL;
  zh_status status = read_chat(&variables, s, err);
  bool tools = json_array_size(json_object_get(variables, "tools")) > 0;
  if (status == ZH_OK) status = zh_chat_open(&chat, s->model, tools, err);
  if (status == ZH_OK) status = zh_chat_render(text, length, chat, variables, err);
  zh_chat_free(chat);
  json_decref(variables);
  return status;
}
