#include "cli/cli.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "core/text.h"

static bool json_printed;

int zh_cli_fail(const zh_error *err, bool json) {
  const char *message = err->message[0] != '\0' ? err->message : zh_status_text(err->status);
  fprintf(stderr, "zhiheng: %s\n", message);
  int code = zh_status_exit_code(err->status);
  if (json) {
    json_t *document = json_pack("{s:{s:s, s:s}}", "error", "status", zh_status_name(err->status),
                                 "message", message);
    int printed = zh_cli_print_json(document);
    if (printed != 0) return printed;
  }
  return code;
}

int zh_cli_print_json(json_t *value) {
  zh_error err = ZH_ERROR_INIT;
  char *text = NULL;
  zh_status status = value == NULL ? zh_fail(&err, ZH_ERR_MEMORY, "out of memory for the JSON text")
                                   : zh_json_dump(&text, value, &err);
  json_decref(value);
  if (status != ZH_OK) return zh_cli_fail(&err, false);
  fputs(text, stdout);
  json_printed = true;
  free(text);
  return zh_cli_flush();
}

void zh_cli_put(const char *text) {
  size_t length = strlen(text);
  for (size_t at = 0; at < length;) {
    uint32_t point = 0;
    int size = zh_utf8_decode(&point, text + at, length - at);
    bool plain = size > 0 && point >= 0x20 && (point < 0x7F || point >= 0xA0);
    if (plain)
      fwrite(text + at, 1, (size_t)size, stdout);
    else
      fputc('?', stdout);
    at += size > 0 ? (size_t)size : 1;
  }
}

void zh_cli_put_padded(const char *text, int columns) {
  int used = zh_utf8_columns(text, strlen(text));
  zh_cli_put(text);
  printf("%*s", used < columns ? columns - used : 0, "");
}

int zh_cli_flush(void) {
  static bool said; /* a command and the program's end both flush; one sentence is enough */
  if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
  if (said) return zh_status_exit_code(ZH_ERR_IO);
  said = true;
  fprintf(stderr,
          "zhiheng: standard output could not be written (%s); the result is incomplete, free the "
          "disk or keep the pipe open and run again\n",
          strerror(errno));
  return zh_status_exit_code(ZH_ERR_IO);
}

/* --- bad usage --- */

/* argp says what is wrong and exits, here through a stream of ours: the sentence is for people, and
 * for the document of a program that asked for JSON. */
static char *usage_text;
static size_t usage_bytes;
static FILE *usage;

FILE *zh_cli_usage_stream(void) {
  if (usage == NULL) usage = open_memstream(&usage_text, &usage_bytes);
  return usage != NULL ? usage : stderr;
}

/* "zhiheng run: SENTENCE\nTry …": the sentence; NULL where getopt said it by itself. */
static char *usage_sentence(void) {
  static const char program[] = "zhiheng";
  if (usage_text == NULL || strncmp(usage_text, program, sizeof program - 1) != 0) return NULL;
  size_t line = strcspn(usage_text, "\n");
  const char *colon = strstr(usage_text, ": "), *begin = colon != NULL ? colon + 2 : usage_text;
  return begin < usage_text + line ? strndup(begin, line - (size_t)(begin - usage_text)) : NULL;
}

void zh_cli_usage_at_exit(int code, void *wanted) {
  const bool *json = wanted;
  if (usage != NULL) fflush(usage);
  if (usage_text != NULL) fputs(usage_text, stderr);
  if (code != zh_status_exit_code(ZH_ERR_USAGE) || !*json || json_printed) return;
  char *sentence = usage_sentence();
  const char *message =
      sentence != NULL ? sentence : "the command line is wrong; standard error says how";
  zh_cli_print_json(json_pack("{s:{s:s, s:s}}", "error", "status", zh_status_name(ZH_ERR_USAGE),
                              "message", message));
  free(sentence);
}

enum { OPTIONS_MAX = 32 };

/* The option of a long word such as "--mod" or "--model=x", as getopt finds it: by any beginning.
 */
static const struct argp_option *find_long(const struct argp_option *options, const char *word) {
  size_t length = strcspn(word, "=");
  const struct argp_option *found = NULL;
  for (; options->name != NULL; options++) {
    if (strncmp(options->name, word, length) != 0) continue;
    if (options->name[length] == '\0') return options;
    if (found == NULL) found = options;
  }
  return found;
}

static bool is_everywhere(const char *word) {
  static const char *const names[] = {"help", "usage", "version"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strncmp(names[i], word, strcspn(word, "=")) == 0) return true;
  }
  return false;
}

static bool needs_value(const struct argp_option *option) {
  return option->arg != NULL && (option->flags & OPTION_ARG_OPTIONAL) == 0;
}

/* Whether the last letter of "-jo" takes the next word as its value. */
static bool short_takes_next(const struct argp_option *options, const char *letters) {
  for (; *letters != '\0'; letters++) {
    const struct argp_option *at = options;
    while (at->name != NULL && at->key != *letters) at++;
    if (at->name != NULL && needs_value(at)) return letters[1] == '\0';
  }
  return false;
}

/* A command's options, and those of its children. */
static void gather(struct argp_option *all, size_t *count, const struct argp *parser) {
  for (const struct argp_option *at = parser->options; at && at->name && *count < OPTIONS_MAX; at++)
    all[(*count)++] = *at;
  for (const struct argp_child *at = parser->children; at && at->argp; at++)
    gather(all, count, at->argp);
}

static void refuse(const char *program, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

static void refuse(const char *program, const char *format, ...) {
  FILE *out = zh_cli_usage_stream();
  va_list arguments;
  fprintf(out, "%s: ", program);
  va_start(arguments, format);
  vfprintf(out, format, arguments);
  va_end(arguments);
  fprintf(out, "\nTry '%s --help'.\n", program);
  exit(zh_status_exit_code(ZH_ERR_USAGE));
}

/* What getopt would say on standard error alone: an unknown option, with the one that was meant; a
 * value too many or too few. */
static void check_options(const struct argp_option *options, char *const *argv) {
  const char *words[OPTIONS_MAX + 1] = {NULL};
  for (size_t i = 0; options[i].name != NULL && i < OPTIONS_MAX; i++) words[i] = options[i].name;
  for (char *const *at = argv + 1; *at != NULL && strcmp(*at, "--") != 0; at++) {
    if ((*at)[0] != '-' || (*at)[1] == '\0') continue;
    bool is_long = (*at)[1] == '-';
    const struct argp_option *option = is_long ? find_long(options, *at + 2) : NULL;
    if (is_long && option == NULL && !is_everywhere(*at + 2)) {
      char name[64];
      snprintf(name, sizeof name, "%.*s", (int)strcspn(*at + 2, "="), *at + 2);
      const char *near = zh_nearest_word(name, words);
      refuse(argv[0], "unknown option '--%s'%s%s%s", name, near ? "; did you mean '--" : "",
             near ? near : "", near ? "'?" : "");
    }
    bool takes = is_long ? option != NULL && needs_value(option) && strchr(*at, '=') == NULL
                         : short_takes_next(options, *at + 1);
    if (is_long && option != NULL && option->arg == NULL && strchr(*at, '=') != NULL)
      refuse(argv[0], "option '--%s' takes no value", option->name);
    if (takes && at[1] == NULL) refuse(argv[0], "option '%s' needs a value", *at);
    if (takes) at++;
  }
}

static error_t take_stream(int key, char *arg, struct argp_state *state) {
  (void)arg;
  if (key != ARGP_KEY_INIT) return ARGP_ERR_UNKNOWN;
  state->err_stream = zh_cli_usage_stream();
  state->child_inputs[0] = state->input;
  return 0;
}

void zh_cli_parse(const struct argp *parser, int argc, char **argv, void *given) {
  struct argp_option all[OPTIONS_MAX + 1] = {{0}};
  size_t count = 0;
  gather(all, &count, parser);
  check_options(all, argv);
  const struct argp_child children[] = {{parser, 0, NULL, 0}, {0}};
  const struct argp outer = {.parser = take_stream, .children = children};
  argp_parse(&outer, argc, argv, 0, NULL, given);
}

bool zh_cli_is_whole(uint64_t *out, const char *text, uint64_t least, uint64_t most) {
  char *end = NULL;
  errno = 0;
  bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  *out = strtoull(text, &end, hexadecimal ? 16 : 10);
  return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *out >= least &&
         *out <= most;
}

uint64_t zh_cli_whole(const char *option, const char *text, uint64_t least, uint64_t most,
                      struct argp_state *state) {
  uint64_t number;
  if (!zh_cli_is_whole(&number, text, least, most))
    argp_error(state, "--%s %s: expected a whole number from %" PRIu64 " to %" PRIu64, option, text,
               least, most);
  return number;
}

zh_status zh_cli_threads(zh_threads **out, uint64_t count, zh_error *err) {
  int cpus[ZH_CLI_CPUS], found = zh_machine_allowed_cpus(cpus, ZH_CLI_CPUS),
                         cores = zh_machine_allowed_cores();
  int threads = count > 0 ? (int)count : cores > 0 ? cores : 1;
  return zh_threads_create(out, threads, threads <= found ? cpus : NULL, err);
}

static error_t parse_word(int key, char *arg, struct argp_state *state) {
  zh_cli_word *given = state->input;
  switch (key) {
  case 'j':
    given->json = true;
    return 0;
  case ARGP_KEY_ARG:
    if (given->word != NULL) argp_error(state, "%s, but got '%s' as well", given->many, arg);
    given->word = arg;
    return 0;
  case ARGP_KEY_NO_ARGS:
    argp_error(state, "%s", given->missing);
    return EINVAL;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

void zh_cli_parse_word(zh_cli_word *given, const char *args_doc, const char *doc, int argc,
                       char **argv) {
  static const struct argp_option options[] = {
      {"json", 'j', NULL, 0, "one JSON document on standard output", 0}, {0}};
  const struct argp parser = {
      .options = options, .parser = parse_word, .args_doc = args_doc, .doc = doc};
  zh_cli_parse(&parser, argc, argv, given);
}

const char *zh_cli_language(void) {
  static const char *const variables[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
  for (int i = 0; i < 3; i++) {
    const char *value = getenv(variables[i]);
    if (value != NULL && value[0] != '\0') return strncmp(value, "zh", 2) == 0 ? "zh" : "en";
  }
  return "en";
}
