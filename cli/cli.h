/* The program's face: the only place that prints and exits. One file a subcommand, each an argp parser. */
#ifndef ZH_CLI_CLI_H
#define ZH_CLI_CLI_H

#include <stdbool.h>

#include "core/json.h"
#include "core/status.h"

typedef struct zh_command {
  const char *name;
  const char *summary; /* one line for `zhiheng help` */
  /* argv[0] is "zhiheng NAME" (so usage messages read well). Returns the exit status. */
  int (*run)(int argc, char **argv);
} zh_command;

extern const zh_command zh_command_doctor, zh_command_list, zh_command_run, zh_command_show, zh_command_audit,
    zh_command_model, zh_command_policy, zh_command_checklist, zh_command_evaluate, zh_command_report, zh_command_verify;

/* Prints "zhiheng: <message>" on stderr (with --json also {"error":{"status","message"}} on stdout) and returns the
 * exit status of the error. */
int zh_cli_fail(const zh_error *err, bool json);
/* Prints one JSON document on stdout and releases it. Returns 0, or 3 when stdout cannot be written. */
int zh_cli_print_json(json_t *value);
/* Flushes stdout; 0, or 3 with a sentence when the disk is full or the pipe closed. */
int zh_cli_flush(void);
/* "zh" where the user's messages are Chinese, else "en". */
const char *zh_cli_language(void);

#endif
