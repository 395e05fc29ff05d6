/* Results and samples as lm-evaluation-harness and `zhiheng eval` write them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/digest.h"
#include "core/files.h"
#include "core/text.h"
#include "evaluator/compare/entrants.h"

enum { ITEM_MAX = 64, HASH_SHOWN = 16 };

/* One samples file under way. */
typedef struct marking {
  zh_entrants *e;
  zh_entrant *entrant;
  zh_sheet *sheet;
  const json_t *results;
  const char *task, *path;
  const char *filter;  /* the first one; NULL before any line */
  const char *cluster; /* the column of items whose values are clusters; NULL: none */
  bool detail;         /* the sheet has its scores already; add what they lack */
} marking;

/* --- a line --- */

static double number_of(const json_t *value) {
  if (json_is_number(value)) return json_number_value(value);
  if (json_is_boolean(value)) return json_is_true(value) ? 1 : 0;
  const char *text = json_string_value(value);
  char *end;
  if (text == NULL || *text == '\0') return NAN;
  double number = strtod(text, &end);
  return *end == '\0' ? number : NAN;
}

/* The whole of a text's log-likelihood, with its bytes: [nats, bytes]. */
static bool is_text(const json_t *line, double *nats, double *bytes) {
  static const char *const metrics[] = {"bits_per_byte", "byte_perplexity"};
  for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
    const json_t *pair = json_object_get(line, metrics[i]);
    if (json_array_size(pair) != 2) continue;
    *nats = -number_of(json_array_get(pair, 0));
    *bytes = number_of(json_array_get(pair, 1));
    return true;
  }
  return false;
}

/* What was said with the right answer: its number, or the option that is it. */
static size_t right_answer(const json_t *line, size_t answers) {
  const char *target = json_string_value(json_object_get(line, "target"));
  const json_t *asked = json_object_get(line, "arguments");
  char *end, name[32];
  if (answers == 1) return 0;
  if (target == NULL) return SIZE_MAX;
  unsigned long number = strtoul(target, &end, 10);
  if (target[0] >= '0' && target[0] <= '9' && *end == '\0' && number < answers) return number;
  for (size_t i = 0; i < answers; i++) {
    snprintf(name, sizeof name, "gen_args_%zu", i);
    const char *option = json_string_value(json_object_get(json_object_get(asked, name), "arg_1"));
    if (option == NULL) continue;
    option += strspn(option, " ");
    if (strcmp(option, target) == 0) return i;
  }
  return SIZE_MAX;
}

/* Log-likelihood of the right answer; NAN where answers were written, not weighed. */
static double likely_of(const json_t *line) {
  const json_t *answers = json_object_get(line, "resps");
  size_t right = right_answer(line, json_array_size(answers));
  const json_t *pair = json_array_get(json_array_get(answers, right), 0);
  return json_array_size(pair) == 2 ? number_of(json_array_get(pair, 0)) : NAN;
}

static bool name_item(char out[ITEM_MAX], const json_t *line) {
  const json_t *number = json_object_get(line, "doc_id");
  const char *hash = json_string_value(json_object_get(line, "doc_hash"));
  if (!json_is_integer(number)) return false;
  snprintf(out, ITEM_MAX, "%lld%s%.*s", (long long)json_integer_value(number),
           hash != NULL ? "-" : "", HASH_SHOWN, hash != NULL ? hash : "");
  return true;
}

/* The first score of an item that is a number, log-likelihoods last; or the one that was asked for.
 */
static const char *choose_metric(const json_t *line, const char *asked) {
  const json_t *metrics = json_object_get(line, "metrics");
  const char *chosen = NULL;
  for (size_t i = 0; i < json_array_size(metrics); i++) {
    const char *name = json_string_value(json_array_get(metrics, i));
    const json_t *value = name != NULL ? json_object_get(line, name) : NULL;
    if (!json_is_number(value) && !json_is_boolean(value)) continue;
    if (asked != NULL && strcmp(name, asked) == 0) return name;
    if (chosen == NULL || strstr(chosen, "perplexity") != NULL) chosen = name;
  }
  return chosen;
}

static void note_metrics(zh_entrants *e, const json_t *line) {
  const json_t *metrics = json_object_get(line, "metrics");
  for (size_t i = 0; i < json_array_size(metrics); i++) {
    const char *name = json_string_value(json_array_get(metrics, i));
    const json_t *value = name != NULL ? json_object_get(line, name) : NULL;
    if (json_is_number(value) || json_is_boolean(value))
      json_object_set_new(e->metrics, name, json_true());
  }
}

static bool fewer_is_better(const marking *m, const char *metric) {
  const json_t *better = json_object_get(json_object_get(m->results, "higher_is_better"), m->task);
  return json_is_false(json_object_get(better, metric));
}

static zh_status begin_sheet(marking *m, const json_t *line, bool text, zh_error *err) {
  if (m->sheet == NULL) ZH_TRY(zh_sheet_new(&m->sheet, m->e, m->entrant, m->task, err));
  if (m->detail || m->sheet->metric[0] != '\0') return ZH_OK;
  note_metrics(m->e, line);
  if (text) json_object_set_new(m->e->metrics, "bits_per_byte", json_true());
  const char *metric = text ? "bits_per_byte" : choose_metric(line, m->e->metric);
  if (metric == NULL) return ZH_OK;
  m->sheet->metric = zh_entrants_text(m->e, metric);
  m->sheet->texts = text;
  m->sheet->fewer_is_better = text || fewer_is_better(m, metric);
  return ZH_OK;
}

static int by_item(const void *a, const void *b) {
  return strcmp(((const zh_answer *)a)->item, ((const zh_answer *)b)->item);
}

static void add_detail(zh_sheet *sheet, const char *item, double likely) {
  const zh_answer key = {.item = item};
  zh_answer *found = sheet->count > 0 ? bsearch(&key, sheet->answers, sheet->count,
                                                sizeof *sheet->answers, by_item)
                                      : NULL;
  if (found != NULL && found->run[0] == '\0') found->likely = likely;
}

/* `metadata: {cluster: COLUMN}` of the task file: items of the same value depend on each other. */
static const char *cluster_of(const marking *m, const json_t *line) {
  const json_t *value =
      m->cluster != NULL ? json_object_get(json_object_get(line, "doc"), m->cluster) : NULL;
  char text[32];
  if (json_is_string(value)) return zh_entrants_text(m->e, json_string_value(value));
  if (!json_is_integer(value)) return "";
  snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
  return zh_entrants_text(m->e, text);
}

static zh_status take_line(void *user, size_t number, json_t *line, zh_error *err) {
  marking *m = user;
  char item[ITEM_MAX];
  double nats = 0, bytes = 0;
  const char *filter = json_string_value(json_object_get(line, "filter"));
  if (!name_item(item, line))
    return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: no line of samples: 'doc_id' must be a whole number",
                   m->path, number);
  if (filter == NULL) filter = "none";
  if (m->filter == NULL) m->filter = zh_entrants_text(m->e, filter);
  if (strcmp(filter, m->filter) != 0) return ZH_OK;
  bool text = is_text(line, &nats, &bytes);
  if (m->detail && !text) {
    add_detail(m->sheet, item, likely_of(line));
    return ZH_OK;
  }
  ZH_TRY(begin_sheet(m, line, text, err));
  const char *prompt = json_string_value(json_object_get(line, "prompt_hash"));
  zh_answer answer = {.item = zh_entrants_text(m->e, item),
                      .prompt = zh_entrants_text(m->e, prompt),
                      .cluster = cluster_of(m, line),
                      .run = "",
                      .score = nats,
                      .likely = text ? -nats : likely_of(line),
                      .bytes = bytes};
  if (text && !(bytes > 0)) answer.score = NAN;
  if (!text) answer.score = number_of(json_object_get(line, m->sheet->metric));
  return zh_sheet_add(m->sheet, &answer, err);
}

/* --- conditions --- */

enum { NUMBER_MAX = 32 };

/* A text, or a number with all its digits: a version may be a date. */
static const char *shown(char room[NUMBER_MAX], const json_t *value) {
  snprintf(room, NUMBER_MAX, "%.15g", json_number_value(value));
  return json_is_number(value) ? room : json_string_value(value);
}

/* --- a task --- */

static void note_no_samples(marking *m, zh_error *err) {
  zh_sheet *sheet;
  if (zh_sheet_new(&sheet, m->e, m->entrant, m->task, err) != ZH_OK) return;
  zh_compare_say(sheet->faults, m->e->words, "no_samples", ZH_WORD_compare_no_samples, "model",
                 m->entrant->label, "task", m->task, "file", m->path, NULL);
}

/* The sheet that a table of the bundle made of this task, sorted, so that items are found. */
static zh_sheet *known_sheet(const marking *m, const char *step) {
  char with_step[1024];
  zh_sheet *sheet = zh_sheet_named(m->entrant, m->task);
  snprintf(with_step, sizeof with_step, "%s/%s", step != NULL ? step : "", m->task);
  if (sheet == NULL && step != NULL) sheet = zh_sheet_named(m->entrant, with_step);
  if (sheet != NULL && sheet->count > 1)
    qsort(sheet->answers, sheet->count, sizeof *sheet->answers, by_item);
  return sheet;
}

static void add_task_facts(const marking *m) {
  static const char *const keys[][2] = {{"n-shot", "shots"}, {"versions", "version"}};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const json_t *value = json_object_get(json_object_get(m->results, keys[i][0]), m->task);
    char room[NUMBER_MAX];
    zh_entrant_fact_of(m->e, m->entrant, keys[i][1], m->task, shown(room, value));
  }
}

static zh_status read_task(marking *m, const char *step, zh_error *err) {
  m->sheet = known_sheet(m, step);
  m->detail = m->sheet != NULL;
  m->filter = NULL;
  add_task_facts(m);
  if (!zh_is_file(m->path)) {
    if (!m->detail) note_no_samples(m, err);
    return ZH_OK;
  }
  ZH_TRY(zh_jsonl_read(m->path, take_line, m, err));
  /* Of a task whose scores a table of the bundle has, the metric is what run.json says. */
  if (m->sheet != NULL && !m->detail && m->sheet->metric[0] == '\0')
    zh_compare_say(m->sheet->faults, m->e->words, "no_item_scores", ZH_WORD_compare_no_item_scores,
                   "model", m->entrant->label, "task", m->task, NULL);
  return ZH_OK;
}

static void add_facts(zh_entrant *entrant, const json_t *results) {
  const json_t *config = json_object_get(results, "config"),
               *how = json_object_get(config, "model_args"),
               *seed = json_object_get(config, "made_seed");
  char room[NUMBER_MAX];
  zh_entrant_fact(entrant, "precision", json_string_value(json_object_get(how, "precision")));
  zh_entrant_fact(entrant, "kv", json_string_value(json_object_get(how, "kv")));
  zh_entrant_fact(entrant, "evaluated by",
                  json_string_value(json_object_get(results, "model_source")));
  zh_entrant_fact(entrant, "git", json_string_value(json_object_get(results, "git_hash")));
  snprintf(room, sizeof room, "%lld", (long long)json_integer_value(seed));
  if (json_is_integer(seed)) zh_entrant_fact(entrant, "item seed", room);
  zh_entrant_fact(entrant, "limit", shown(room, json_object_get(config, "limit")));
}

zh_status zh_read_results(zh_entrants *e, zh_entrant *entrant, const char *path, const char *step,
                          zh_error *err) {
  json_t *results = NULL, *config;
  const char *name = strrchr(path, '/'), *task;
  name = name != NULL ? name + 1 : path;
  size_t folder = (size_t)(name - path);
  if (strncmp(name, "results_", 8) != 0 || !zh_ends_in(name, ".json"))
    return zh_fail(err, ZH_ERR_INPUT, "%s: expected a file results_<time>.json", path);
  int time = (int)strlen(name) - 8 - 5;
  ZH_TRY(zh_json_load_file(&results, path, 0, err));
  add_facts(entrant, results);
  zh_status status = ZH_OK;
  json_object_foreach(json_object_get(results, "configs"), task, config) {
    zh_text samples = {0};
    zh_text_printf(&samples, "%.*ssamples_%s_%.*s.jsonl", (int)folder, path, task, time, name + 8);
    const json_t *metadata = json_object_get(config, "metadata");
    marking m = {.e = e,
                 .entrant = entrant,
                 .cluster = json_string_value(json_object_get(metadata, "cluster")),
                 .results = results,
                 .task = task,
                 .path = zh_text_string(&samples)};
    if (strchr(task, '/') != NULL)
      status =
          zh_fail(err, ZH_ERR_INPUT, "%s: a task's name has no '/', unlike '%.60s'", path, task);
    else
      status = samples.failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory for a path")
                              : read_task(&m, step, err);
    zh_text_free(&samples);
    if (status != ZH_OK) break;
  }
  json_decref(results);
  return status;
}

/* --- a folder --- */

/* The latest by name, which is the time of writing. */
static const char *latest(const zh_file_list *files) {
  const char *found = NULL;
  for (size_t i = 0; i < files->count; i++) {
    const char *name = files->paths[i];
    if (strncmp(name, "results_", 8) != 0 || !zh_ends_in(name, ".json")) continue;
    if (strchr(name, '/') == NULL) found = name;
  }
  return found;
}

static zh_status take_folder(zh_entrants *e, const char *label, const char *folder,
                             const char *results, zh_error *err) {
  json_t *document = NULL;
  zh_entrant *entrant;
  char sm3[ZH_DIGEST_HEX];
  ZH_TRY(zh_digest_file(sm3, ZH_SM3, results, err));
  ZH_TRY(zh_json_load_file(&document, results, 0, err));
  const char *model = json_string_value(json_object_get(document, "model_name")),
             *model_sm3 = json_string_value(json_object_get(document, "model_sm3"));
  const zh_part part = {.label = label,
                        .model = model != NULL && *model != '\0' ? model : folder,
                        .sm3 = model_sm3 != NULL ? model_sm3 : "",
                        .path = folder,
                        .scores = true};
  zh_status status = zh_entrants_take(&entrant, e, &part, err);
  json_decref(document);
  ZH_TRY(status);
  entrant->scores_sm3 = zh_entrants_text(e, sm3);
  json_array_append_new(entrant->sources, json_pack("{s:s, s:s, s:s}", "path", folder, "kind",
                                                    "evaluation", "sm3", sm3));
  return zh_read_results(e, entrant, results, NULL, err);
}

zh_status zh_read_evaluation(zh_entrants *e, const char *label, const char *path, zh_error *err) {
  zh_file_list files;
  zh_text results = {0};
  ZH_TRY(zh_list_files(&files, path, err));
  const char *name = latest(&files);
  if (name != NULL) zh_text_printf(&results, "%s/%s", path, name);
  zh_file_list_free(&files);
  zh_status status =
      results.length == 0
          ? zh_fail(err, ZH_ERR_INPUT,
                    "%s: neither a bundle of 'zhiheng run' (run.json) nor a folder of 'zhiheng "
                    "eval' (results_*.json)",
                    path)
          : take_folder(e, label, path, results.data, err);
  zh_text_free(&results);
  return status;
}
