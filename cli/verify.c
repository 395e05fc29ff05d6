/* zhiheng verify PATH: recomputes what digests promise, and with --recompute what certificates do.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cli/cli.h"
#include "cli/recompute.h"
#include "core/files.h"
#include "evaluator/evaluator.h"
#include "reports/reports.h"

enum { OPTION_RECOMPUTE = 256, OPTION_ROWS, OPTION_SEED, ROWS = 16, ROWS_MAX = 1 << 20 };

typedef struct arguments {
  const char *path;
  bool json, recompute, seeded;
  zh_recompute_options options;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 'j':
    given->json = true;
    return 0;
  case OPTION_RECOMPUTE:
    given->recompute = true;
    return 0;
  case 'm':
    given->options.model = arg;
    return 0;
  case OPTION_ROWS:
    given->options.rows = (size_t)zh_cli_whole("rows", arg, 0, ROWS_MAX, state);
    return 0;
  case OPTION_SEED:
    given->options.seed = zh_cli_whole("seed", arg, 0, UINT64_MAX, state);
    given->seeded = true;
    return 0;
  case ARGP_KEY_ARG:
    if (given->path != NULL)
      argp_error(state, "one bundle, report or evaluation at a time, but got '%s' as well", arg);
    given->path = arg;
    return 0;
  case ARGP_KEY_END:
    if (given->path == NULL) argp_error(state, "name a bundle, a report or an evaluation.json");
    if (!given->recompute && (given->options.model != NULL || given->seeded || given->options.rows))
      argp_error(state, "--model, --rows and --seed belong to --recompute");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"recompute", OPTION_RECOMPUTE, NULL, 0,
     "also compute the certificates of a bundle again, from the models alone", 0},
    {"model", 'm', "FILE", 0, "the model, where it is no longer where the run found it", 0},
    {"rows", OPTION_ROWS, "N", 0, "rows of each matrix that are computed again (16)", 0},
    {"seed", OPTION_SEED, "N", 0, "draws the rows; fresh unless given, and printed", 0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};
static const struct argp parser = {
    .options = options,
    .parser = parse,
    .args_doc = "PATH",
    .doc = "Recomputes every digest of a bundle's or report's folder. For a report or an "
           "evaluation.json it also compares what is quoted with the bundle, where that lies "
           "beside it.\v"
           "Examples:\n"
           "  zhiheng verify out/quickstart-20261121T100812Z\n"
           "  zhiheng verify out/first --recompute\n"
           "  zhiheng verify report\n\n"
           "--recompute needs no engine, no GPU and no MPI: docs/certificate.md says what it "
           "proves. Exit status 1 and the first difference, where there is one."};

static void print_results(const json_t *results) {
  size_t i;
  json_t *result;
  json_array_foreach(results, i, result) {
    printf("certificate of %s: %lld tokens through %lld operators, %lld values computed again, "
           "largest error %.3g of its bound (%s)\n",
           json_string_value(json_object_get(result, "step")),
           (long long)json_integer_value(json_object_get(result, "tokens")),
           (long long)json_integer_value(json_object_get(result, "operators")),
           (long long)json_integer_value(json_object_get(result, "samples")),
           json_number_value(json_object_get(result, "largest_error_of_bound")),
           json_string_value(json_object_get(result, "where")));
  }
}

/* What digests do not tell of a bundle: whether the models that were counted are those that ran. */
static zh_status check_models(const char *path, zh_error *err) {
  char run_json[PATH_MAX];
  if (snprintf(run_json, sizeof run_json, "%s/run.json", path) >= (int)sizeof run_json ||
      !zh_is_file(run_json))
    return ZH_OK;
  return zh_bundle_check(path, err);
}

static zh_status verify(char **what, json_t **results, arguments *given, zh_error *err) {
  zh_recompute_options *o = &given->options;
  ZH_TRY(zh_verify(what, given->path, err));
  ZH_TRY(check_models(given->path, err));
  if (!given->recompute) return ZH_OK;
  if (o->rows == 0) o->rows = ROWS;
  if (!given->seeded && getrandom(&o->seed, sizeof o->seed, 0) != (ssize_t)sizeof o->seed)
    return zh_fail(err, ZH_ERR_LACKING, "the system gives no random seed: %s", strerror(errno));
  return zh_recompute(results, given->path, o, err);
}

static int run(int argc, char **argv) {
  arguments given = {0};
  zh_error err = ZH_ERROR_INIT;
  char *what = NULL, seed[32];
  json_t *results = NULL;
  zh_cli_parse(&parser, argc, argv, &given);
  zh_status status = verify(&what, &results, &given, &err);
  snprintf(seed, sizeof seed, "0x%016" PRIx64, given.options.seed);
  int code = 0;
  if (status != ZH_OK) {
    code = zh_cli_fail(&err, given.json);
  } else if (given.json) {
    json_t *document =
        json_pack("{s:s, s:b, s:s}", "path", given.path, "verified", 1, "what", what);
    if (results != NULL) {
      json_object_set(document, "certificates", results);
      json_object_set_new(document, "seed", json_string(seed));
    }
    code = zh_cli_print_json(document);
  } else {
    fputs(what, stdout);
    print_results(results);
    if (results != NULL) printf("rows drawn by --seed %s\n", seed);
    code = zh_cli_flush();
  }
  json_decref(results);
  free(what);
  return code;
}

const zh_command zh_command_verify = {
    "verify", "recompute every digest of a bundle or report, and name the first difference", run};
