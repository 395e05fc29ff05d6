/* Answers as lines of JSON: on disk while an examination goes on, a file for each rank, and between
 * ranks. The first line of a file says of which examination; each other holds one answer. */
#ifndef ZH_BENCH_QUALITY_ANSWER_JOURNAL_H
#define ZH_BENCH_QUALITY_ANSWER_JOURNAL_H

#include "bench/quality/quality.h"
#include "core/text.h"

/* What their names begin with: "answers-0.jsonl". */
#define ZH_ANSWERS_PREFIX "answers-"

/* What answers are read into. */
typedef struct zh_answer_sheet {
  zh_requests *lists; /* [tasks] */
  bool **done;        /* [tasks][requests]: which are answered */
  size_t tasks;
} zh_answer_sheet;

ZH_MUST_CHECK zh_status zh_answer_line(zh_text *out, size_t task, size_t number,
                                       const zh_request *request, zh_error *err);
/* where: stands in messages. */
ZH_MUST_CHECK zh_status zh_answer_lines_read(const zh_answer_sheet *into, const char *lines,
                                             size_t length, const char *where, zh_error *err);

/* The answers of all files of the folder, whoever wrote them; a file of another plan is refused, a
 * last line that was cut off is left out. */
ZH_MUST_CHECK zh_status zh_answer_journals_read(zh_text *lines, const char *folder,
                                                const char *plan, zh_error *err);

typedef struct zh_answer_journal zh_answer_journal;
/* Goes on behind the last whole line of the rank's file. */
ZH_MUST_CHECK zh_status zh_answer_journal_open(zh_answer_journal **out, const char *folder,
                                               int rank, const char *plan, zh_error *err);
ZH_MUST_CHECK zh_status zh_answer_journal_add(zh_answer_journal *journal, size_t task,
                                              size_t number, const zh_request *request,
                                              zh_error *err);
void zh_answer_journal_close(zh_answer_journal *journal); /* NULL is safe */

#endif
