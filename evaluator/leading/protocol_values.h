/* Private to evaluator/leading/: single values of a protocol, each mistake named where it stands.
 */
#ifndef ZH_EVALUATOR_LEADING_PROTOCOL_VALUES_H
#define ZH_EVALUATOR_LEADING_PROTOCOL_VALUES_H

#include "core/arena.h"
#include "core/yaml.h"
#include "evaluator/calendar.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A line of text; control characters, which would act on terminals, are refused. */
ZH_MUST_CHECK zh_status zh_protocol_string(const char **out, const zh_yaml_node *node,
                                           zh_arena *arena, zh_error *err);
/* Each: below `key` of `map`; what is out stays as it is where the key is absent. */
ZH_MUST_CHECK zh_status zh_protocol_text(const char **out, const zh_yaml_node *map, const char *key,
                                         zh_arena *arena, zh_error *err);
ZH_MUST_CHECK zh_status zh_protocol_flag(bool *out, const zh_yaml_node *map, const char *key,
                                         zh_error *err);
ZH_MUST_CHECK zh_status zh_protocol_whole(int64_t *out, const zh_yaml_node *map, const char *key,
                                          int64_t min, int64_t max, zh_error *err);
ZH_MUST_CHECK zh_status zh_protocol_real(double *out, const zh_yaml_node *map, const char *key,
                                         double min, double max, zh_error *err);
/* Begins with a letter and has no blanks, such as acc_norm or pass@1. */
ZH_MUST_CHECK zh_status zh_protocol_word(const char **out, const zh_yaml_node *map, const char *key,
                                         zh_arena *arena, zh_error *err);
/* 64 hexadecimal digits; in small letters. */
ZH_MUST_CHECK zh_status zh_protocol_digest(const char **out, const zh_yaml_node *map,
                                           const char *key, zh_arena *arena, zh_error *err);
/* A day that exists, as it is written and counted. */
ZH_MUST_CHECK zh_status zh_protocol_day(const char **out, zh_date *day, const zh_yaml_node *map,
                                        const char *key, zh_arena *arena, zh_error *err);
/* "1 %", "1%", "1 point" or 0.01; *bare: a number without a unit. like: what messages show. */
ZH_MUST_CHECK zh_status zh_protocol_share(double *out, bool *bare, const zh_yaml_node *map,
                                          const char *key, const char *like, double min, double max,
                                          zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
