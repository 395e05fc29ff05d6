/* zhiheng show BUNDLE: the table of a run, again. */
#include <stdio.h>
#include <unistd.h>

#include "bench/bench.h"
#include "cli/cli.h"
#include "core/progress.h"

static const char doc[] =
    "Shows the figures of a bundle: median, 95 % interval, number of samples, unit, and the "
    "fraction of the peak that the same run measured; of each model's speed the floors and where "
    "the "
    "time went; and the memory that was held.\v"
    "Example:\n  zhiheng show out/quickstart-20261121T100812Z\n\n"
    "A run that is invalid or whose peaks drifted says so above the table.";

static int run(int argc, char **argv) {
  zh_cli_word given = {.many = "one bundle at a time", .missing = "name the folder of a bundle"};
  zh_cli_parse_word(&given, "BUNDLE", doc, argc, argv);
  zh_error err = ZH_ERROR_INIT;
  if (given.json) {
    json_t *document = NULL;
    if (zh_bundle_json(&document, given.word, &err) != ZH_OK) return zh_cli_fail(&err, true);
    return zh_cli_print_json(document);
  }
  if (zh_bundle_table(stdout, given.word, zh_colour_allowed(STDOUT_FILENO), zh_cli_language(),
                      &err) != ZH_OK) {
    return zh_cli_fail(&err, false);
  }
  return zh_cli_flush();
}

const zh_command zh_command_show = {"show", "the table of a bundle", run};
