/* The words for identifiers that evaluation.json carries (metrics, verdicts, roles):
 * templates/glossary.yaml. */
#ifndef ZH_REPORTS_GLOSSARY_H
#define ZH_REPORTS_GLOSSARY_H

#include "core/json.h"
#include "core/status.h"

/* {"metrics":{"decode_rate":"…"},…} of one language. Every entry must have both languages. */
ZH_MUST_CHECK zh_status zh_glossary_load(json_t **out, const char *language, zh_error *err);

/* The word for `key`: exact, else by the longest entry "prefix*" whose "{}" takes the rest, else
 * key itself. New reference to a string; NULL when memory is short. */
json_t *zh_glossary_word(const json_t *words, const char *section, const char *key);

#endif
