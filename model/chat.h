/* Conversations as a model's own chat template writes them: GGUF's tokenizer.chat_template, or
 * chat_template.jinja or tokenizer_config.json beside safetensors. docs/chat-templates.md */
#ifndef ZH_MODEL_CHAT_H
#define ZH_MODEL_CHAT_H

#include "core/json.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_chat zh_chat;

/* tools: whether tools will be offered, for which some models have a template of its own. A model
 * without a template is ZH_ERR_INPUT. */
ZH_MUST_CHECK zh_status zh_chat_open(zh_chat **out, const zh_model *model, bool tools,
                                     zh_error *err);
void zh_chat_free(zh_chat *chat); /* NULL is safe */

/* variables: {"messages": [...]} and what else the template asks for; bos_token, eos_token and the
 * like, add_generation_prompt (true) and tools (null) are there unless given. *text is the caller's
 * (free). Special tokens in it are to be parsed, and none is to be put before it. */
ZH_MUST_CHECK zh_status zh_chat_render(char **text, size_t *length, const zh_chat *chat,
                                       const json_t *variables, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
