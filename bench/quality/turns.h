/* A prompt as turns of a conversation: the task's description, examples asked and answered, the
 * question. They become one text, or what a model's chat template makes of them. */
#ifndef ZH_BENCH_QUALITY_TURNS_H
#define ZH_BENCH_QUALITY_TURNS_H

#include "bench/quality/quality.h"

/* [{"role", "content", "delimiter"}]: what stands before the question. random: of the task, which
 * draws examples for each item in order. New reference. */
ZH_MUST_CHECK zh_status zh_turns_before(json_t **out, const zh_exam_task *task, const json_t *doc,
                                        zh_python_random *random, zh_error *err);
/* Adds the question, and the beginning of its answer where there is a prefix (NULL: none). */
ZH_MUST_CHECK zh_status zh_turns_ask(json_t *turns, const zh_exam_task *task,
                                     const json_t *question, const json_t *prefix,
                                     const char *delimiter, zh_error *err);
/* What is said in them, without any template; NULL where memory is short. New reference. */
json_t *zh_turns_plain(const json_t *turns);
/* New reference. */
ZH_MUST_CHECK zh_status zh_turns_text(json_t **out, const json_t *turns, const zh_exam_task *task,
                                      zh_error *err);

/* prompt.c: what a field gives; *rendered: a template made it, else it is a column or stands in
 * the file. New reference. */
ZH_MUST_CHECK zh_status zh_field_value(json_t **out, bool *rendered, const zh_exam_task *task,
                                       const zh_field *field, const json_t *doc, zh_error *err);

#endif
