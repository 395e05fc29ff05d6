/* The program's face: the only place that prints and exits. One file a subcommand, each an argp parser. */
#ifndef ZH_CLI_CLI_H
#define ZH_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/json.h"
#include "core/status.h"
#include "kernels/kernels.h"

typedef struct zh_command {
  const char *name;
  const char *summary; /* one line for `zhiheng help` */
  /* argv[0] is "zhiheng NAME" (so usage messages read well). Returns the exit status. */
  int (*run)(int argc, char **argv);
} zh_command;

extern const zh_command zh_command_doctor, zh_command_list, zh_command_run, zh_command_show, zh_command_audit,
    zh_command_model, zh_command_data, zh_command_eval, zh_command_contamination, zh_command_policy, zh_command_checklist, zh_command_evaluate,
    zh_command_stats, zh_command_rank, zh_command_compare, zh_command_registry, zh_command_report, zh_command_verify;

/* Commands that take one word and --json alone. */
typedef struct zh_cli_word {
  const char *many;    /* usage error when a second word comes: "one bundle at a time" */
  const char *missing; /* usage error when none comes: "name the folder of a bundle" */
  const char *word;    /* what was given */
  bool json;
} zh_cli_word;
/* argp_parse, which answers an unknown option with the nearest; exits with status 2 on bad usage. argv ends with NULL. */
struct argp;
void zh_cli_parse(const struct argp *parser, int argc, char **argv, void *given);
/* Whether text is a whole number (decimal, 0x…) of that range, which then is in *out. */
bool zh_cli_is_whole(uint64_t *out, const char *text, uint64_t least, uint64_t most);
/* The value of --option; exits with status 2 and one sentence when it is no such number. */
struct argp_state;
uint64_t zh_cli_whole(const char *option, const char *text, uint64_t least, uint64_t most,
                      struct argp_state *state);
enum { ZH_CLI_CPUS = 1024 }; /* threads at most */
/* `count` threads, each on a CPU of its own while this process may use as many; 0: one a core. */
ZH_MUST_CHECK zh_status zh_cli_threads(zh_threads **out, uint64_t count, zh_error *err);
/* Where bad usage is told: what is written is kept until the program ends. */
FILE *zh_cli_usage_stream(void);
/* For on_exit: tells what was written, and with --json (*wanted) makes a document of its first sentence. */
void zh_cli_usage_at_exit(int code, void *wanted);

/* Parses into *given, whose sentences are set; exits with status 2 on bad usage, as argp does. */
void zh_cli_parse_word(zh_cli_word *given, const char *args_doc, const char *doc, int argc,
                       char **argv);

/* Prints "zhiheng: <message>" on stderr (with --json also {"error":{"status","message"}} on stdout) and returns the
 * exit status of the error. */
int zh_cli_fail(const zh_error *err, bool json);
/* Prints one JSON document on stdout and releases it. Returns 0, or 3 when stdout cannot be written. */
int zh_cli_print_json(json_t *value);
/* What `audit --explain` measured, for people. */
void zh_cli_print_explanation(const json_t *document);
/* Prints text of others' choosing: control characters, which would move the cursor, as '?'. */
void zh_cli_put(const char *text);
/* The same with blanks up to so many columns of the terminal. */
void zh_cli_put_padded(const char *text, int columns);
/* Flushes stdout; 0, or 3 with a sentence when the disk is full or the pipe closed. */
int zh_cli_flush(void);
/* evaluation.json as people read it (evaluation.c); `file` is where it was written. */
void zh_cli_print_evaluation(const json_t *evaluation, const char *file);
/* "zh" where the user's messages are Chinese, else "en". */
const char *zh_cli_language(void);

#endif
