/* Prompts by the chat template that a model brings. */
#ifndef ZH_BENCH_QUALITY_CHAT_FORM_H
#define ZH_BENCH_QUALITY_CHAT_FORM_H

#include "bench/quality/quality.h"
#include "model/model.h"

typedef struct zh_conversation zh_conversation;

/* out->render is filled in; a model without a template is ZH_ERR_INPUT. The form is good as long as
 * the conversation lives; *system_refused tells whether the template refused a message of the
 * system and was given the others alone, as lm-evaluation-harness does it. */
ZH_MUST_CHECK zh_status zh_conversation_open(zh_conversation **out, zh_chat_form *form,
                                             const zh_model *model, zh_error *err);
void zh_conversation_free(zh_conversation *conversation); /* NULL is safe */

#endif
