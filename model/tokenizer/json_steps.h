/* The steps that a tokenizer.json names, one function each for what comes before and after the
 * model. What this version cannot do is refused by its name. */
#ifndef ZH_MODEL_TOKENIZER_JSON_STEPS_H
#define ZH_MODEL_TOKENIZER_JSON_STEPS_H

#include "model/tokenizer/tokenizer.h"

ZH_MUST_CHECK zh_status zh_json_read_normalizer(zh_tokenizer *t, const json_t *step, zh_error *err);
/* *byte_level: pieces become bytes at the end. */
ZH_MUST_CHECK zh_status zh_json_read_pretokenizer(zh_tokenizer *t, bool *byte_level,
                                                  const json_t *step, zh_error *err);
ZH_MUST_CHECK zh_status zh_json_read_decoder(zh_tokenizer *t, const json_t *step, zh_error *err);
/* What is put around a text. */
ZH_MUST_CHECK zh_status zh_json_read_processor(zh_tokenizer *t, const json_t *step, zh_error *err);

#endif
