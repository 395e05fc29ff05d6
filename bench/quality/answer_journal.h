/* Answers on disk while an examination goes on: the first line says of which, each other holds one.
 */
#ifndef ZH_BENCH_QUALITY_ANSWER_JOURNAL_H
#define ZH_BENCH_QUALITY_ANSWER_JOURNAL_H

#include "bench/quality/quality.h"

typedef struct zh_answer_journal zh_answer_journal;

/* Fills in what the file has of lists[task]; done[task][request] says which. A file of another plan
 * is refused; a last line that was cut off is dropped. */
ZH_MUST_CHECK zh_status zh_answer_journal_open(zh_answer_journal **out, const char *path,
                                               const char *plan, uint64_t seed, zh_requests *lists,
                                               bool **done, size_t tasks, zh_error *err);
ZH_MUST_CHECK zh_status zh_answer_journal_add(zh_answer_journal *journal, size_t task,
                                              size_t number, const zh_request *request,
                                              zh_error *err);
ZH_MUST_CHECK zh_status zh_answer_journal_flush(zh_answer_journal *journal, zh_error *err);
/* The seed of made items that an unfinished evaluation took; false: there is none. */
bool zh_answer_journal_seed(uint64_t *out, const char *path);
void zh_answer_journal_close(zh_answer_journal *journal); /* NULL is safe */

#endif
