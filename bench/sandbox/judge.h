/* Whether a program that a model wrote does what its tests ask: run in a sandbox, alone. */
#ifndef ZH_BENCH_SANDBOX_JUDGE_H
#define ZH_BENCH_SANDBOX_JUDGE_H

#include "bench/sandbox/sandbox.h"

typedef struct zh_judgement {
  bool passed;
  char why[256]; /* "failed: AssertionError", "timed out"; empty where it passed */
} zh_judgement;

/* Passed: the text, as a Python program, ran to its end and raised nothing; leaving early
 * (sys.exit, os._exit) is no passing. ZH_ERR_LACKING where it cannot be run here. */
ZH_MUST_CHECK zh_status zh_judge_python(zh_judgement *out, const char *program, size_t length,
                                        zh_error *err);
/* Several, many at once. */
ZH_MUST_CHECK zh_status zh_judge_all(zh_judgement *out, const zh_sandbox_file *programs,
                                     size_t count, zh_error *err);
/* Whether it could: Python and every wall. */
ZH_MUST_CHECK zh_status zh_judge_ready(zh_error *err);

#endif
