#include "model/chat.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/template.h"
#include "core/text.h"
#include "model/room.h"

enum { CONFIG_BYTES = 64 << 20, TEMPLATE_BYTES = 1 << 20 };

struct zh_chat {
  zh_template *template;
  json_t *tokens; /* {"bos_token": "<s>", …} */
  char *where;    /* for messages */
};

static zh_status parse(zh_chat *chat, const char *source, size_t length, zh_error *err) {
  zh_status status = zh_template_parse(&chat->template, source, length, &zh_template_chat, err);
  if (status != ZH_OK) zh_error_prefix(err, "the chat template of %s", chat->where);
  return status;
}

/* --- GGUF --- */

static const struct {
  const char *variable, *gguf_key;
} special[] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
               {"eos_token", "tokenizer.ggml.eos_token_id"},
               {"unk_token", "tokenizer.ggml.unknown_token_id"},
               {"pad_token", "tokenizer.ggml.padding_token_id"}};
enum { SPECIAL = sizeof special / sizeof *special };

/* The text of a token; false where the file has none of that id. */
static bool token_text(const char **out, size_t *length, const zh_model *model, uint64_t id) {
  const zh_gguf_value *tokens = zh_gguf_find(model, "tokenizer.ggml.tokens");
  if (!tokens || tokens->type != ZH_GGUF_ARRAY || tokens->item_type != ZH_GGUF_STRING) return false;
  if (id >= tokens->count) return false;
  const unsigned char *at = tokens->data;
  for (uint64_t i = 0; i <= id; i++) zh_gguf_next_string(out, length, &at);
  return true;
}

static void read_gguf_tokens(zh_chat *chat, const zh_model *model) {
  for (size_t i = 0; i < SPECIAL; i++) {
    uint64_t id;
    const char *text;
    size_t length;
    if (zh_gguf_uint(&id, zh_gguf_find(model, special[i].gguf_key)) &&
        token_text(&text, &length, model, id))
      json_object_set_new(chat->tokens, special[i].variable, json_stringn(text, length));
  }
}

static zh_status read_gguf(zh_chat *chat, const zh_model *model, bool tools, zh_error *err) {
  const char *source, *key = "tokenizer.chat_template.tool_use";
  size_t length;
  const zh_gguf_value *value = tools ? zh_gguf_find(model, key) : NULL;
  if (!value) value = zh_gguf_find(model, key = "tokenizer.chat_template");
  if (!value)
    return zh_fail(err, ZH_ERR_INPUT, "%s has no chat template (tokenizer.chat_template)",
                   zh_model_name(model));
  if (!zh_gguf_string(&source, &length, value))
    return zh_fail(err, ZH_ERR_INPUT, "%s: %s must be text", zh_model_name(model), key);
  read_gguf_tokens(chat, model);
  return parse(chat, source, length, err);
}

/* --- beside safetensors --- */

/* "<s>", or {"content": "<s>", …}; what is null is not there. */
static void read_config_tokens(zh_chat *chat, const json_t *config) {
  for (size_t i = 0; i < SPECIAL; i++) {
    json_t *token = json_object_get(config, special[i].variable);
    if (json_is_object(token)) token = json_object_get(token, "content");
    if (json_is_string(token)) json_object_set(chat->tokens, special[i].variable, token);
  }
}

/* One text, or a list of {"name", "template"}. */
static const json_t *choose_template(const json_t *config, bool tools) {
  const json_t *found = json_object_get(config, "chat_template"), *usual = NULL;
  if (!json_is_array(found)) return found;
  for (size_t i = 0; i < json_array_size(found); i++) {
    const json_t *item = json_array_get(found, i);
    const char *name = json_string_value(json_object_get(item, "name"));
    const json_t *source = json_object_get(item, "template");
    if (name && tools && strcmp(name, "tool_use") == 0) return source;
    if (name && strcmp(name, "default") == 0) usual = source;
  }
  return usual;
}

/* Of a folder or of one .safetensors file in it. */
static void path_beside(char out[PATH_MAX], const zh_model *model, const char *name) {
  const char *path = zh_model_path(model), *slash = strrchr(path, '/');
  bool file = zh_ends_in(path, ".safetensors");
  int folder = file ? (slash ? (int)(slash - path) : 1) : (int)strlen(path);
  snprintf(out, PATH_MAX, "%.*s/%s", folder, file && !slash ? "." : path, name);
}

static zh_status read_folder(zh_chat *chat, const zh_model *model, bool tools, zh_error *err) {
  char path[PATH_MAX], *source = NULL;
  json_t *config = NULL;
  size_t length = 0;
  zh_status status = ZH_OK;
  path_beside(path, model, "tokenizer_config.json");
  if (access(path, R_OK) == 0) status = zh_json_load_file(&config, path, CONFIG_BYTES, err);
  if (status == ZH_OK) read_config_tokens(chat, config);
  path_beside(path, model, "chat_template.jinja");
  const json_t *inside = choose_template(config, tools);
  if (status == ZH_OK && access(path, R_OK) == 0) {
    status = zh_read_file(&source, &length, path, TEMPLATE_BYTES, err);
    if (status == ZH_OK) status = parse(chat, source, length, err);
  } else if (status == ZH_OK && json_is_string(inside)) {
    status = parse(chat, json_string_value(inside), json_string_length(inside), err);
  } else if (status == ZH_OK) {
    status = zh_fail(err, ZH_ERR_INPUT,
                     "%s has no chat template: neither chat_template.jinja nor chat_template in "
                     "tokenizer_config.json is there",
                     zh_model_name(model));
  }
  free(source);
  json_decref(config);
  return status;
}

/* --- the whole --- */

zh_status zh_chat_open(zh_chat **out, const zh_model *model, bool tools, zh_error *err) {
  zh_chat *chat = calloc(1, sizeof *chat);
  zh_status status = ZH_OK;
  *out = NULL;
  if (chat) chat->tokens = json_object();
  if (chat) chat->where = strdup(zh_model_name(model));
  if (!chat || !chat->tokens || !chat->where) {
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (chat template)");
  } else if (strcmp(zh_model_format(model), "gguf") == 0) {
    status = read_gguf(chat, model, tools, err);
  } else if (strcmp(zh_model_format(model), "safetensors") == 0) {
    status = read_folder(chat, model, tools, err);
  } else {
    status = zh_fail(err, ZH_ERR_INPUT, "%s has no chat template: its tokens are numbers",
                     zh_model_name(model));
  }
  if (status == ZH_OK) {
    *out = chat;
  } else {
    zh_chat_free(chat);
  }
  return status;
}

void zh_chat_free(zh_chat *chat) {
  if (chat == NULL) return;
  zh_template_free(chat->template);
  json_decref(chat->tokens);
  free(chat->where);
  free(chat);
}

zh_status zh_chat_render(char **text, size_t *length, const zh_chat *chat, const json_t *variables,
                         zh_error *err) {
  json_t *all = json_pack("{s:b, s:n, s:n}", "add_generation_prompt", 1, "tools", "documents");
  *text = NULL;
  *length = 0;
  if (!all || json_object_update(all, chat->tokens) != 0 ||
      json_object_update(all, (json_t *)(uintptr_t)variables) != 0) {
    json_decref(all);
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (chat template)");
  }
  zh_status status = zh_template_render(text, length, chat->template, all, NULL, err);
  json_decref(all);
  if (status != ZH_OK) zh_error_prefix(err, "the chat template of %s", chat->where);
  return status;
}
