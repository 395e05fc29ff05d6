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
 * "question","answer"}, and "checks" where an answer is right that keeps conditions. */
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
int64_t zh_draw_digits(zh_draw *draw, int digits); /* a number of so many digits */
void zh_draw_order(uint32_t *places, uint32_t count, zh_draw *draw); /* 0 … count - 1, shuffled */
/* Different numbers below `below`, which is at least `count`. */
void zh_draw_different(int64_t *out, size_t count, uint32_t below, zh_draw *draw);

/* Words that families draw from, of one language. */
typedef struct zh_made_words {
  const json_t *lists; /* {"places": […], …} */
} zh_made_words;
const char *zh_draw_word(zh_draw *draw, const zh_made_words *words, const char *list);
/* Any entry of a list; NULL where there is none. Borrowed. */
json_t *zh_draw_entry(zh_draw *draw, const zh_made_words *words, const char *list);
/* Entry i of a list; NULL where there is none. Borrowed. */
json_t *zh_made_entry(const zh_made_words *words, const char *list, size_t i);
size_t zh_made_count(const zh_made_words *words, const char *list);

/* Takes the value, NULL too, which is memory that was short. */
ZH_MUST_CHECK zh_status zh_made_set(json_t *variables, const char *key, json_t *value,
                                    zh_error *err);
ZH_MUST_CHECK zh_status zh_made_no_memory(zh_error *err);
/* A list of made.yaml is shorter than a family needs. */
ZH_MUST_CHECK zh_status zh_made_short_list(const char *list, zh_error *err);

/* A family fills in the variables of the question's words and the answer. level from 1. The
 * variable "checks" becomes a column of the row. */
typedef zh_status zh_made_family(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                                 const zh_made_words *words, zh_error *err);
zh_made_family *zh_made_family_named(const char *name); /* NULL: none of that name */

zh_made_family zh_made_units, zh_made_strings, zh_made_tracking, zh_made_logic, zh_made_traces,
    zh_made_extraction, zh_made_instructions;

#endif
