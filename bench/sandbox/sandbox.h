/* A program that nobody trusts, run between walls: namespaces of its own (users, processes, mounts,
 * network, IPC, host name), a root that holds the system's programs read-only and one private
 * folder, a filter of system calls, limits, no privileges, no descriptors, nothing of our
 * environment. Where the kernel gives one of these not, nothing is run: ZH_ERR_LACKING says which.
 *
 * zh_sandbox_run ─► the child puts the walls up (walls.c, filter.c) ─► execve ─► outcome
 *
 * The program is a single process: fork and its kin are refused, threads are allowed. Definitions
 * and what the walls do not hold: docs/eval.md, "Answers that are programs". */
#ifndef ZH_BENCH_SANDBOX_SANDBOX_H
#define ZH_BENCH_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "core/text.h"

#define ZH_SANDBOX_FOLDER "/box" /* where the program starts, the one place it may write to */

typedef struct zh_sandbox_limits {
  uint64_t memory;  /* bytes of addresses */
  uint64_t scratch; /* bytes in its folder, which are memory too */
  uint64_t file;    /* bytes of one file */
  uint64_t output;  /* bytes printed; a program that prints more is ended */
  uint64_t cpu_seconds;
  double wall_seconds;
  uint64_t threads, files;
} zh_sandbox_limits;
zh_sandbox_limits zh_sandbox_usual(void);

typedef struct zh_sandbox_file {
  const char *name; /* in its folder */
  const char *bytes;
  size_t length;
} zh_sandbox_file;

typedef struct zh_sandbox_job {
  const char *const *words; /* NULL-terminated; the first an absolute path below /usr */
  const zh_sandbox_file *files;
  size_t file_count;
  zh_sandbox_limits limits;
} zh_sandbox_job;

typedef enum zh_sandbox_end {
  ZH_SANDBOX_EXITED,    /* code: exit status */
  ZH_SANDBOX_SIGNALLED, /* code: signal */
  ZH_SANDBOX_LATE,      /* more time than it had */
  ZH_SANDBOX_TALKATIVE  /* printed more than it may */
} zh_sandbox_end;

typedef struct zh_sandbox_outcome {
  zh_sandbox_end end;
  int code;
  double seconds, cpu_seconds;
  uint64_t peak_bytes; /* most memory held at once */
  zh_text output;      /* what it printed, to both streams */
} zh_sandbox_outcome;

ZH_MUST_CHECK zh_status zh_sandbox_run(zh_sandbox_outcome *out, const zh_sandbox_job *job,
                                       zh_error *err);
void zh_sandbox_outcome_free(zh_sandbox_outcome *outcome);

/* Whether this machine can do all that, by doing it: ZH_OK or ZH_ERR_LACKING. */
ZH_MUST_CHECK zh_status zh_sandbox_probe(zh_error *err);
/* The system's Python; ZH_ERR_LACKING where there is none. */
ZH_MUST_CHECK zh_status zh_sandbox_python(const char **out, zh_error *err);

/* --- inside --- */

/* All that the child needs, made before it begins: it must not allocate. */
typedef struct zh_sandbox_entry {
  const zh_sandbox_job *job;
  const char *const *environment;
  char root_options[96], box_options[96]; /* of the two tmpfs */
  bool drop_groups;                       /* the caller may: it is root */
  int go, report, output, nothing;        /* descriptors, all above 3 */
} zh_sandbox_entry;

/* What the child writes where a wall does not stand. */
typedef struct zh_sandbox_report {
  int32_t step, error;
} zh_sandbox_report;
const char *zh_sandbox_step(int32_t step);

_Noreturn void zh_sandbox_enter(const zh_sandbox_entry *entry);
/* Allows what an interpreter needs, answers EPERM to the rest. false: not put up, errno says why.
 */
bool zh_sandbox_filter(void);

enum { ZH_SANDBOX_ID = 1000, ZH_SANDBOX_NOBODY = 65534 };

#endif
