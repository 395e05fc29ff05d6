/* zhiheng COMMAND …: finds the command and hands over. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/files.h"
#include "core/text.h"
#include "kernels/kernels.h"

/* In the order of the work. */
static const zh_command *const commands[] = {
    &zh_command_doctor,        &zh_command_list,   &zh_command_run,       &zh_command_show,
    &zh_command_audit,         &zh_command_model,  &zh_command_data,      &zh_command_eval,
    &zh_command_contamination, &zh_command_stats,  &zh_command_rank,      &zh_command_compare,
    &zh_command_registry,      &zh_command_policy, &zh_command_checklist, &zh_command_evaluate,
    &zh_command_report,        &zh_command_verify,
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

const char *argp_program_version = "zhiheng " ZH_VERSION;

/* The list of commands, below the options of --help. */
static char *help_filter(int key, const char *text, void *input) {
  (void)input;
  if (key != ARGP_KEY_HELP_EXTRA) return (char *)text;
  zh_text list = {0};
  zh_text_puts(&list, "Commands:\n");
  for (int i = 0; i < COMMANDS; i++) {
    zh_text_printf(&list, "  %-9s  %s\n", commands[i]->name, commands[i]->summary);
  }
  zh_text_puts(&list,
               "\n'zhiheng COMMAND --help' explains a command and shows an example.\n"
               "Exit status: 0 done; 1 a check failed; 2 bad usage or input; 3 this machine lacks "
               "something.");
  return list.data;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
  int *command = state->input;
  (void)arg;
  if (key != ARGP_KEY_ARG) return ARGP_ERR_UNKNOWN;
  *command = state->next - 1;
  state->next = state->argc; /* what follows belongs to the command */
  return 0;
}

static const struct argp top = {
    .parser = parse,
    .args_doc = "COMMAND [ARGUMENT...]",
    .doc =
        "zhiheng (智衡) measures a machine and the models that run on it, evaluates them against "
        "a policy, and writes the report.\v",
    .help_filter = help_filter,
};

/* A result that did not reach its reader is a failure, also where argp prints and exits by itself.
 */
static void close_stdout(void) {
  if (zh_cli_flush() != 0) _exit(zh_status_exit_code(ZH_ERR_IO));
}

static void on_failed_write(int signal_number) {
  (void)signal_number;
}

/* A closed pipe and a file beyond the limit of sizes become write errors instead of a silent death.
 * A handler, unlike SIG_IGN, is not inherited by the programs that `run` starts. */
static void catch_failed_writes(void) {
  struct sigaction action = {.sa_handler = on_failed_write, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaction(SIGPIPE, &action, NULL);
  sigaction(SIGXFSZ, &action, NULL);
}

static const zh_command *find(const char *name) {
  for (int i = 0; i < COMMANDS; i++) {
    if (strcmp(name, commands[i]->name) == 0) return commands[i];
  }
  return NULL;
}

static int unknown(const char *name) {
  const char *words[COMMANDS + 2];
  for (int i = 0; i < COMMANDS; i++) words[i] = commands[i]->name;
  words[COMMANDS] = "help";
  words[COMMANDS + 1] = NULL;
  char guess[ZH_GUESS_BYTES];
  fprintf(zh_cli_usage_stream(),
          "zhiheng: unknown command '%s'%s\n'zhiheng help' lists the commands.\n", name,
          zh_did_you_mean(guess, name, words));
  return zh_status_exit_code(ZH_ERR_USAGE);
}

/* Also where the command is unknown or its options cannot be read. */
static bool wants_json(char *const *argv) {
  for (; *argv != NULL && strcmp(*argv, "--") != 0; argv++) {
    if (strcmp(*argv, "--json") == 0 || strcmp(*argv, "-j") == 0) return true;
  }
  return false;
}

static int start(const zh_command *command, int argc, char **argv) {
  char name[64];
  snprintf(name, sizeof name, "zhiheng %s", command->name);
  argv[0] = name;
  int code = command->run(argc, argv);
  int flushed = zh_cli_flush();
  return code != 0 ? code : flushed;
}

/* zhiheng help [COMMAND]: the same as --help. */
static int help(int argc, char **argv) {
  char program[] = "zhiheng", option[] = "--help";
  char *help_argv[] = {program, option, NULL};
  if (argc > 1 && strcmp(argv[1], option) != 0) {
    const zh_command *command = find(argv[1]);
    return command != NULL ? start(command, 2, help_argv) : unknown(argv[1]);
  }
  argp_parse(&top, 2, help_argv, ARGP_IN_ORDER, NULL, NULL); /* prints and exits */
  return 0;
}

int main(int argc, char **argv) {
  argp_err_exit_status = zh_status_exit_code(ZH_ERR_USAGE);
  setenv("ARGP_HELP_FMT", "rmargin=100,no-dup-args-note", 0); /* examples stay on one line */
  catch_failed_writes();
  zh_end_on_lost_mapping(
      "zhiheng: a file became shorter while it was in use, or its disk failed\n");
  atexit(close_stdout);
  static bool json;
  json = wants_json(argv);
  on_exit(zh_cli_usage_at_exit, &json); /* runs before close_stdout */
  char program[] = "zhiheng";
  argv[0] = program;
  int at = 0;
  argp_parse(&top, argc, argv, ARGP_IN_ORDER, NULL, &at);
  if (at == 0) {
    argp_help(&top, stderr, ARGP_HELP_SHORT_USAGE | ARGP_HELP_DOC | ARGP_HELP_LONG, program);
    return zh_status_exit_code(ZH_ERR_USAGE);
  }
  if (strcmp(argv[at], "help") == 0) return help(argc - at, argv + at);
  const zh_command *command = find(argv[at]);
  if (command == NULL) return unknown(argv[at]);
  zh_error err = ZH_ERROR_INIT;
  const char *missing;
  if (zh_kernels_asked(&missing, &err) != ZH_OK) return zh_cli_fail(&err, json);
  return start(command, argc - at, argv + at);
}
