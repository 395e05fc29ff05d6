/* zhiheng audit MODEL: what a model file holds, counted. */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cli/audit_live.h"
#include "cli/audit_ranks.h"
#include "cli/cli.h"
#include "core/clock.h"
#include "core/progress.h"
#include "core/text.h"
#include "evaluator/evaluator.h"

typedef struct arguments {
  const char *model;
  const char *explain;
  bool json, seeded;
  int ranks;
  const char *launcher;
  zh_audit_options options;
  zh_audit_times times;
  zh_audit_live live;
} arguments;

enum {
  OPTION_SAMPLE = 256,
  OPTION_NO_SCAN,
  OPTION_EXPLAIN,
  OPTION_TIME,
  OPTION_NO_DIGEST,
  OPTION_SEED,
  OPTION_LIVE,
  OPTION_PROBES
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 'j':
    given->json = true;
    return 0;
  case OPTION_NO_SCAN:
    given->options.scan = given->options.digest = false;
    return 0;
  case OPTION_NO_DIGEST:
    given->options.digest = false;
    return 0;
  case OPTION_SAMPLE:
    given->options.sample = true;
    given->options.digest = false;
    if (arg != NULL) given->options.sample_rows = zh_cli_whole("sample", arg, 1, 1 << 30, state);
    return 0;
  case OPTION_SEED:
    given->options.seed = given->live.seed = zh_cli_whole("seed", arg, 0, INT64_MAX, state);
    given->seeded = given->live.seed_given = true;
    return 0;
  case 'n':
    given->ranks = (int)zh_cli_whole("ranks", arg, 1, 4096, state);
    return 0;
  case 'l':
    given->launcher = arg;
    return 0;
  case OPTION_TIME:
    given->times.plain = true;
    return 0;
  case OPTION_EXPLAIN:
    given->explain = arg;
    return 0;
  case OPTION_LIVE:
    given->live.wanted = true;
    return 0;
  case OPTION_PROBES:
    given->live.wanted = true;
    given->live.probes = (uint32_t)zh_cli_whole("probes", arg, 1, 100000000, state);
    return 0;
  case ARGP_KEY_ARG:
    if (given->model != NULL) argp_error(state, "one model at a time, but got '%s' as well", arg);
    given->model = arg;
    return 0;
  case ARGP_KEY_NO_ARGS:
    argp_error(state, "name a model: a file, a folder or a standard model");
    return EINVAL;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option options[] = {
    {"no-scan", OPTION_NO_SCAN, NULL, 0,
     "headers alone: counts, no look at the weights, no digests", 0},
    {"no-digest", OPTION_NO_DIGEST, NULL, 0, "no SM3 and SHA-256 of the files", 0},
    {"sample", OPTION_SAMPLE, "ROWS", OPTION_ARG_OPTIONAL,
     "look at some rows of each matrix alone (64 to 1024 by the model's size, or ROWS): minutes on "
     "any size, with the confidence printed",
     0},
    {"seed", OPTION_SEED, "NUMBER", 0,
     "draws what --sample and --live look at; else drawn from the system", 0},
    {"ranks", 'n', "N", 0, "share the work among N processes by MPI", 0},
    {"launcher", 'l', "NAME", 0, "how they are started: mpirun, srun or direct", 0},
    {"explain", OPTION_EXPLAIN, "TENSOR", 0,
     "what was measured on one tensor, or on those that a pattern with * and ? fits", 0},
    {"time", OPTION_TIME, NULL, 0,
     "time the parts, and a plain read of the same bytes, on standard error", 0},
    {"live", OPTION_LIVE, NULL, 0,
     "change weights one at a time, and see which share of them changes the output", 0},
    {"probes", OPTION_PROBES, "N", 0, "with --live: how many weights are changed (3000)", 0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};
static const struct argp audit = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL",
    .doc = "Counts the parameters of a model from its own tensors: stored, unique (shared weights "
           "once) and active for "
           "each token; by group and type, with the digests of the file.\v"
           "Example:\n  zhiheng audit models/SmolLM2-135M-Instruct.Q4_1.gguf\n\n"
           "MODEL is a GGUF file, a safetensors file or folder, or the name of a standard model "
           "('zhiheng list models').",
};

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "-";
}

static uint64_t number_of(const json_t *object, const char *key) {
  return (uint64_t)json_integer_value(json_object_get(object, key));
}

static void print_count(const char *label, const json_t *value, const char *meaning) {
  char digits[32] = "unknown";
  if (json_is_integer(value))
    zh_group_digits(digits, sizeof digits, (uint64_t)json_integer_value(value));
  printf("  %-10s %20s  %s\n", label, digits, meaning);
}

static void print_architecture(const json_t *a) {
  if (!json_is_object(a)) return;
  printf("  %s: %" PRIu64 " layers, hidden %" PRIu64 ", %" PRIu64 " heads (%" PRIu64
         " for keys and values), ffn %" PRIu64 ", vocabulary %" PRIu64,
         text_of(a, "family"), number_of(a, "layers"), number_of(a, "hidden"),
         number_of(a, "heads"), number_of(a, "kv_heads"), number_of(a, "ffn"),
         number_of(a, "vocab"));
  if (number_of(a, "experts") > 0) {
    printf(", %" PRIu64 " experts, %" PRIu64 " for each token", number_of(a, "experts"),
           number_of(a, "experts_used"));
  }
  printf("\n");
}

static void print_tallies(const char *title, const char *key, const json_t *array) {
  const json_t *entry;
  size_t i;
  printf("\n%-12s %9s %20s %12s\n", title, "tensors", "parameters", "bytes");
  json_array_foreach(array, i, entry) {
    char digits[32], bytes[32];
    printf("  %-10s %9" PRIu64 " %20s %12s\n", text_of(entry, key), number_of(entry, "tensors"),
           zh_group_digits(digits, sizeof digits, number_of(entry, "parameters")),
           zh_human_bytes(bytes, sizeof bytes, (double)number_of(entry, "bytes")));
  }
}

static void print_effective(const json_t *effective) {
  char low[32], high[32], meaning[128];
  if (!json_is_object(effective)) return;
  snprintf(meaning, sizeof meaning, "less what the findings below speak of; between %s and %s",
           zh_group_digits(low, sizeof low, number_of(effective, "low")),
           zh_group_digits(high, sizeof high, number_of(effective, "high")));
  print_count("effective", json_object_get(effective, "value"), meaning);
}

static void print_threshold(const json_t *threshold) {
  char limit[32];
  printf("  more than %s (total): %s; (active): %s\n",
         zh_group_digits(limit, sizeof limit, number_of(threshold, "limit")),
         text_of(threshold, "total"), text_of(threshold, "active"));
}

static void print_findings(const json_t *findings) {
  const json_t *finding;
  size_t i;
  if (json_array_size(findings) == 0) return;
  printf("\nFindings\n");
  json_array_foreach(findings, i, finding) {
    printf("  - %s: %s (confidence %.4g)\n", text_of(finding, "kind"),
           text_of(json_object_get(finding, "text"), "en"),
           json_number_value(json_object_get(finding, "confidence")));
  }
}

static void print_people(const json_t *document) {
  const json_t *parameters = json_object_get(document, "parameters"), *note;
  char bytes[32];
  size_t i;
  printf("%s\n  %s, %s\n", text_of(document, "name"), text_of(document, "format"),
         zh_human_bytes(bytes, sizeof bytes, (double)number_of(document, "bytes")));
  print_architecture(json_object_get(document, "architecture"));
  printf("  SM3     %s\n  SHA-256 %s\n\nParameters\n", text_of(document, "sm3"),
         text_of(document, "sha256"));
  print_count("stored", json_object_get(parameters, "stored"),
              "every scalar of every weight tensor");
  print_count("unique", json_object_get(parameters, "unique"), "shared weights once");
  print_effective(json_object_get(parameters, "effective"));
  print_count("active", json_object_get(parameters, "active"), "used for each token");
  printf("  %-10s %20s  what the file says of itself; used for nothing\n", "declared",
         text_of(parameters, "declared"));
  print_threshold(json_object_get(document, "threshold"));
  print_tallies("Groups", "role", json_object_get(document, "groups"));
  print_tallies("Types", "type", json_object_get(document, "types"));
  print_findings(json_object_get(document, "findings"));
  zh_audit_live_print(document);
  printf("\nNotes\n");
  json_array_foreach(json_object_get(document, "notes"), i, note)
      printf("  - %s\n", text_of(note, "en"));
}

/* A line on a terminal: stage, share done, rate, time left. */
typedef struct stage_watch {
  char stage[32];
  int64_t began_ns;
  bool warned;
} stage_watch;

/* Digests are read in a line: hours for terabytes, while the looks took minutes. */
static void warn_of_digests(stage_watch *w, double seconds, double left) {
  if (w->warned || strcmp(w->stage, "digests") != 0 || seconds < 2 || left < 60) return;
  w->warned = true;
  zh_warn("the digests (SM3 and SHA-256) take about %.0f minutes more; --no-digest leaves them out",
          left / 60);
}

static void show_progress(void *user, const char *stage, size_t done, size_t all, uint64_t bytes) {
  stage_watch *w = user;
  char rate[32];
  if (strcmp(w->stage, stage) != 0) {
    snprintf(w->stage, sizeof w->stage, "%s", stage);
    w->began_ns = zh_now_ns();
    return;
  }
  double seconds = (double)(zh_now_ns() - w->began_ns) / 1e9;
  double share = all > 0 ? (double)done / (double)all : 0;
  if (seconds <= 0 || share <= 0) return;
  zh_human_bytes(rate, sizeof rate, (double)bytes / seconds);
  double left = seconds * (1 - share) / share;
  warn_of_digests(w, seconds, left);
  zh_progress_detail("%s %.0f %%, %s/s, %.0f s left", stage, 100 * share, rate, left);
}

/* For people, and one line of JSON for programs. */
static void print_times(const zh_audit_times *t) {
  char scan[32], plain[32];
  if (!(t->scan_s > 0)) return;
  double rate = (double)t->bytes / t->scan_s;
  double reference = t->plain_s > 0 ? (double)t->bytes / t->plain_s : rate;
  fprintf(stderr,
          "scan %s/s, plain read %s/s (%.0f %%); scan %.3f s, values %.3f s, all looks %.3f s\n",
          zh_human_bytes(scan, sizeof scan, rate), zh_human_bytes(plain, sizeof plain, reference),
          100 * rate / reference, t->scan_s, t->values_s, t->all_s);
  fprintf(stderr,
          "times {\"bytes\": %" PRIu64 ", \"plain_s\": %.6f, \"scan_s\": %.6f, \"values_s\": %.6f, "
          "\"all_s\": %.6f, \"anonymous_bytes\": %" PRIu64 "}\n",
          t->bytes, t->plain_s, t->scan_s, t->values_s, t->all_s, t->anonymous_bytes);
}

static void draw_seed(arguments *given) {
  uint64_t seed = 0;
  if (given->seeded || !given->options.sample) return;
  if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) seed = (uint64_t)zh_now_ns();
  given->options.seed = seed >> 1; /* what --seed takes */
}

static zh_status audit_model(json_t **document, const arguments *given, zh_error *err) {
  zh_model *model = NULL;
  enum { SLOW_BYTES = 1 << 29 }; /* below this it takes seconds */
  zh_audit_options looks = given->options;
  ZH_TRY(zh_model_open_for_audit(&model, given->model, err));
  bool tells = given->options.ranks == NULL || given->options.ranks->rank == 0;
  bool slow = tells && given->options.scan && zh_model_file_bytes(model) > SLOW_BYTES;
  if (!slow) looks.progress = NULL;
  if (slow) {
    char bytes[32];
    zh_human_bytes(bytes, sizeof bytes, (double)zh_model_file_bytes(model));
    zh_progress_step(1, 1, "auditing %s", bytes);
  }
  zh_status status = given->explain != NULL
                         ? zh_audit_explain(document, model, given->explain, &looks, err)
                         : zh_audit_with(document, model, &looks, err);
  if (slow && status == ZH_OK) zh_progress_done("done");
  if (status == ZH_OK && tells && given->live.wanted && given->explain == NULL)
    status = zh_audit_live_add(*document, model, &given->live, err);
  zh_model_free(model);
  return status;
}

static int run(int argc, char **argv) {
  stage_watch watch = {0};
  arguments given = {
      .options = {
          .scan = true, .digest = true, .progress = show_progress, .progress_user = &watch}};
  given.options.times = &given.times;
  zh_cli_parse(&audit, argc, argv, &given);
  zh_error err = ZH_ERROR_INIT;
  json_t *document = NULL;
  zh_audit_ranks ranks = {0};
  draw_seed(&given);
  zh_status status = ZH_OK;
  if (given.explain == NULL && given.options.scan)
    status = zh_audit_ranks_join(&ranks, given.ranks, given.launcher, argc, argv,
                                 &given.options.seed, &err);
  if (ranks.size > 1) given.options.ranks = &ranks;
  if (ranks.rank > 0) given.options.progress = NULL;
  if (status == ZH_OK) status = audit_model(&document, &given, &err);
  if (status != ZH_OK) return zh_cli_fail(&err, given.json); /* the launcher ends the others */
  zh_audit_ranks_leave(&ranks);
  if (ranks.rank > 0) return 0;
  if (given.times.plain) print_times(&given.times);
  if (given.json) return zh_cli_print_json(document);
  if (given.explain != NULL)
    zh_cli_print_explanation(document);
  else
    print_people(document);
  json_decref(document);
  return zh_cli_flush();
}

const zh_command zh_command_audit = {"audit", "a model's parameters, counted from its tensors",
                                     run};
