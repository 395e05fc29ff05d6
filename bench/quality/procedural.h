/* Made items: questions drawn from a seed at the time of the test, answers computed by program. An
 * item depends on (seed, family, split, level, number) alone. What is asked, in words, stands in
 * bench/quality/made.yaml. */
#ifndef ZH_BENCH_QUALITY_PROCEDURAL_H
#define ZH_BENCH_QUALITY_PROCEDURAL_H

#include "bench/quality/quality.h"
#include "core/text.h"

#define ZH_PROCEDURAL_PATH "zhiheng/made"

/* dataset_name: the family; dataset_kwargs: {language: zh|en, levels: 1 … , items: of each level}.
 * Splits: test, and fewshot, whose items are others. Rows: {"number","family","language","level",
 * "question","answer"}. */
ZH_MUST_CHECK zh_status zh_procedural_rows(json_t *rows, json_t *files, const zh_task_file *file,
                                           const json_t *config, const char *split,
                                           const zh_task_options *options, zh_error *err);

/* --- inside --- */

/* Numbers of one item. */
typedef struct zh_draw {
  uint64_t seed, stream;
  uint64_t at;
} zh_draw;
uint32_t zh_draw_below(zh_draw *draw, uint32_t n); /* n > 0, without bias */

/* Words that families draw from, of one language. */
typedef struct zh_made_words {
  const json_t *lists; /* {"places": […], …} */
} zh_made_words;
const char *zh_draw_word(zh_draw *draw, const zh_made_words *words, const char *list);

/* Fills in the variables of the question's words and the answer. level from 1. */
typedef zh_status (*zh_made_family)(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                                    const zh_made_words *words, zh_error *err);
zh_made_family zh_made_family_named(const char *name); /* NULL: none of that name */

#endif
