#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
  free(text);
  return zh_cli_flush();
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

const char *zh_cli_language(void) {
  static const char *const variables[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
  for (int i = 0; i < 3; i++) {
    const char *value = getenv(variables[i]);
    if (value != NULL && value[0] != '\0') return strncmp(value, "zh", 2) == 0 ? "zh" : "en";
  }
  return "en";
}
