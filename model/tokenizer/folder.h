/* What stands beside a tokenizer file and says more of it: tokenizer_config.json. */
#ifndef ZH_MODEL_TOKENIZER_FOLDER_H
#define ZH_MODEL_TOKENIZER_FOLDER_H

#include "model/tokenizer/tokenizer.h"

/* Ids that "added_tokens_decoder" names beyond `vocab`: the vocabulary with them. */
ZH_MUST_CHECK zh_status zh_folder_vocab(uint32_t *out, uint32_t vocab, const json_t *config,
                                        zh_error *err);
/* Its tokens take their places in the vocabulary. */
ZH_MUST_CHECK zh_status zh_folder_put_added(zh_tokenizer *t, const json_t *config, zh_error *err);
/* Control tokens, and those of "added_tokens_decoder", are found before anything else. */
ZH_MUST_CHECK zh_status zh_folder_find_added(zh_tokenizer *t, const json_t *config, zh_error *err);

#endif
