#include "bench/quality/chat_form.h"

#include <stdlib.h>
#include <string.h>

#include "bench/quality/python_values.h"
#include "model/chat.h"

/* Stands where an answer that was begun goes on; the template shows where that is. */
#define GOES_ON "ZH_THE_ANSWER_GOES_ON_HERE"

struct zh_conversation {
  zh_chat *chat;
  bool lost_system;
};

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (conversation)");
}

/* The messages, the last one with the mark behind it. New reference. */
static json_t *marked(const json_t *messages) {
  json_t *copy = json_deep_copy(messages);
  json_t *last = json_array_get(copy, json_array_size(copy) - 1);
  const char *content = json_string_value(json_object_get(last, "content"));
  if (content && json_object_set_new(last, "content", json_sprintf("%s" GOES_ON " ", content)) == 0)
    return copy;
  json_decref(copy);
  return NULL;
}

/* Bytes of what stands before the mark; a template that cuts blanks off the message cuts off those
 * before the mark as well. SIZE_MAX: the mark is not there. */
static size_t before_mark(const char *text) {
  const char *found = NULL;
  for (const char *at = text; (at = strstr(at, GOES_ON)) != NULL; at++) found = at;
  if (!found) return SIZE_MAX;
  size_t length = (size_t)(found - text);
  return found[strlen(GOES_ON)] == ' ' ? length : zh_python_rstrip(text, length);
}

static zh_status render_messages(json_t **out, const zh_conversation *c, const json_t *messages,
                                 bool continued, zh_error *err) {
  char *text = NULL;
  size_t length;
  json_t *given = continued ? marked(messages) : json_incref((json_t *)(uintptr_t)messages),
         *variables =
             given ? json_pack("{s:O, s:b}", "messages", given, "add_generation_prompt", !continued)
                   : NULL;
  *out = NULL;
  zh_status status =
      variables ? zh_chat_render(&text, &length, c->chat, variables, err) : no_memory(err);
  json_decref(given);
  json_decref(variables);
  if (status != ZH_OK) return status;
  if (continued) length = before_mark(text);
  if (length == SIZE_MAX)
    status = zh_fail(err, ZH_ERR_INPUT,
                     "the chat template leaves out the beginning of the answer (gen_prefix)");
  else if (!(*out = json_stringn(text, length)))
    status = no_memory(err);
  free(text);
  return status;
}

static json_t *without_system(const json_t *messages) {
  json_t *others = json_array();
  for (size_t i = 0; i < json_array_size(messages); i++) {
    json_t *message = json_array_get(messages, i);
    if (strcmp(json_string_value(json_object_get(message, "role")), "system") != 0)
      json_array_append(others, message);
  }
  return others;
}

static zh_status render(json_t **out, void *user, const json_t *messages, bool continued,
                        zh_error *err) {
  zh_conversation *c = user;
  zh_error first = ZH_ERROR_INIT;
  if (render_messages(out, c, messages, continued, &first) == ZH_OK) return ZH_OK;
  json_t *others = without_system(messages);
  if (json_array_size(others) == json_array_size(messages)) {
    json_decref(others);
    return zh_fail(err, first.status, "%s", first.message);
  }
  zh_status status = render_messages(out, c, others, continued, err);
  json_decref(others);
  c->lost_system |= status == ZH_OK;
  return status;
}

zh_status zh_conversation_open(zh_conversation **out, zh_chat_form *form, const zh_model *model,
                               zh_error *err) {
  zh_conversation *c = calloc(1, sizeof *c);
  *out = c;
  zh_status status = c ? zh_chat_open(&c->chat, model, false, err) : no_memory(err);
  if (status == ZH_OK) {
    form->render = render;
    form->user = c;
    form->system_refused = &c->lost_system;
    return ZH_OK;
  }
  zh_conversation_free(c);
  *out = NULL;
  return status;
}

void zh_conversation_free(zh_conversation *c) {
  if (!c) return;
  zh_chat_free(c->chat);
  free(c);
}
