/* zhiheng contamination: which items a corpus contains, or a model has seen. */
#include <argp.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/device_word.h"
#include "bench/quality/contamination/overlap.h"
#include "bench/quality/contamination/reading.h"
#include "cli/cli.h"
#include "core/clock.h"
#include "core/files.h"
#include "core/progress.h"
#include "core/text.h"
#include "evaluator/leading/contamination.h"

enum { FOLDERS = 16, CORPORA = 256, CPUS = 1024 };
enum {
  KEY_INCLUDE = 256,
  KEY_DATA,
  KEY_LIMIT,
  KEY_SEED,
  KEY_CORPUS,
  KEY_FIELD,
  KEY_RUN,
  KEY_SHARE,
  KEY_REFERENCE,
  KEY_SIGNS,
  KEY_ORDERS,
  KEY_WINDOW,
  KEY_ALPHA,
  KEY_THREADS,
  KEY_DEVICE
};

typedef struct arguments {
  const char *model, *tasks, *reference, *folders[FOLDERS], *corpora[CORPORA];
  const char *field, *signs, *device, *out;
  size_t folder_count, corpus_count;
  zh_task_options task;
  uint64_t run, orders, window, threads;
  double share, alpha;
  bool json;
} arguments;

static const struct argp_option options[] = {
    {"tasks", 't', "NAME,NAME", 0, "tasks, groups, tags, or paths of task files", 0},
    {"include", KEY_INCLUDE, "DIR", 0, "folder of task files, searched first; may be repeated", 0},
    {"data", KEY_DATA, "DIR", 0, "folder of the data sets that task files name", 0},
    {"limit", KEY_LIMIT, "N", 0, "the first N items of each task", 0},
    {"seed", KEY_SEED, "N", 0, "seed of orders, draws and made items (1)", 0},
    {"corpus", KEY_CORPUS, "PATH", 0,
     "text, JSONL, or a folder of such, in which items are looked for; may be repeated", 0},
    {"field", KEY_FIELD, "NAME", 0, "member of a JSONL line that is the text (text)", 0},
    {"run", KEY_RUN, "N", 0, "words in a row that must agree (11)", 0},
    {"share", KEY_SHARE, "PART", 0, "an item is listed from this share of its words on (0.2)", 0},
    {"reference", KEY_REFERENCE, "NAME,NAME", 0,
     "tasks of the same kind that the model cannot have seen, for Min-K %", 0},
    {"signs", KEY_SIGNS, "WORD,WORD", 0,
     "of the model: order, options, least (all of them unless given)", 0},
    {"orders", KEY_ORDERS, "N", 0, "orders beside the published one (23)", 0},
    {"window", KEY_WINDOW, "N", 0, "tokens of a row of items whose order is tested (1024)", 0},
    {"alpha", KEY_ALPHA, "P", 0, "level of the tests, and false discovery rate of items (0.05)", 0},
    {"threads", KEY_THREADS, "N", 0, "threads (one for each core that this process may use)", 0},
    {"device", KEY_DEVICE, "WORD", 0,
     "where it is computed: " ZH_DEVICE_WORD_HELP " (default: cpu)", 0},
    {"out", 'o', "FILE", 0, "write the listed items as a table, for a protocol's `contaminated`",
     0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};

static double part_of(const char *name, const char *text, struct argp_state *state) {
  char *end = NULL;
  double value = strtod(text, &end);
  if (end == text || *end != 0 || !(value > 0 && value < 1))
    argp_error(state, "--%s %s: expected a number between 0 and 1", name, text);
  return value;
}

static const char *add_path(const char **list, size_t *count, size_t most, const char *name,
                            const char *path, struct argp_state *state) {
  if (*count == most) argp_error(state, "--%s: at most %zu of them", name, most);
  return list[(*count)++] = path;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  switch (key) {
  case 't':
    given->tasks = arg;
    return 0;
  case 'o':
    given->out = arg;
    return 0;
  case 'j':
    given->json = true;
    return 0;
  case KEY_INCLUDE:
    add_path(given->folders, &given->folder_count, FOLDERS, "include", arg, state);
    return 0;
  case KEY_DATA:
    given->task.data = arg;
    return 0;
  case KEY_LIMIT:
    given->task.limit = (double)zh_cli_whole("limit", arg, 1, INT32_MAX, state);
    return 0;
  case KEY_SEED:
    given->task.seed = zh_cli_whole("seed", arg, 0, INT64_MAX, state);
    return 0;
  case KEY_CORPUS:
    add_path(given->corpora, &given->corpus_count, CORPORA, "corpus", arg, state);
    return 0;
  case KEY_FIELD:
    given->field = arg;
    return 0;
  case KEY_RUN:
    given->run = zh_cli_whole("run", arg, 2, ZH_OVERLAP_RUN_MAX, state);
    return 0;
  case KEY_SHARE:
    given->share = part_of("share", arg, state);
    return 0;
  case KEY_REFERENCE:
    given->reference = arg;
    return 0;
  case KEY_SIGNS:
    given->signs = arg;
    return 0;
  case KEY_ORDERS:
    given->orders = zh_cli_whole("orders", arg, 1, 1000, state);
    return 0;
  case KEY_WINDOW:
    given->window = zh_cli_whole("window", arg, 32, 1 << 20, state);
    return 0;
  case KEY_ALPHA:
    given->alpha = part_of("alpha", arg, state);
    return 0;
  case KEY_THREADS:
    given->threads = zh_cli_whole("threads", arg, 1, CPUS, state);
    return 0;
  case KEY_DEVICE:
    given->device = arg;
    return 0;
  case ARGP_KEY_ARG:
    if (given->model) argp_error(state, "one model at a time, but got '%s' as well", arg);
    given->model = arg;
    return 0;
  case ARGP_KEY_END:
    if (!given->tasks) argp_error(state, "name the tasks: --tasks NAME,NAME");
    if (!given->model && given->corpus_count == 0)
      argp_error(state, "name a model, or a corpus: --corpus PATH, or both");
    if (given->reference && !given->model)
      argp_error(state, "--reference is read by a model, and none is named");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp parser = {
    .options = options,
    .parser = parse,
    .args_doc = "[MODEL] --tasks NAME,NAME",
    .doc =
        "Looks for signs that items were seen before the comparison: runs of words that a corpus "
        "has as well; a published order of items or options that the model likes better than "
        "others; items whose least likely tokens are likelier than those of unseen items "
        "(Min-K %).\v"
        "Examples:\n"
        "  zhiheng contamination --tasks ceval-valid --data data --corpus crawl/ --out seen.csv\n"
        "  zhiheng contamination model.gguf --tasks ceval-valid --data data\n"
        "  zhiheng contamination model.gguf --tasks my-task.yaml --signs least --reference "
        "made_en\n\n"
        "The table of --out is what a protocol names as `contaminated`: 'zhiheng rank' then "
        "repeats its decision without those items. No sign proves that items were not seen. "
        "Exit status 1 where items are listed. docs/leading.md, docs/metrics.md."};

/* ---- what is measured ---- */

typedef struct search {
  const arguments *given;
  zh_model *model;
  zh_threads *threads;
  zh_exam *exam, *reference;
  json_t *measured, *measured_reference, *result;
  zh_overlap_corpus corpus;
} search;

static zh_status name_items(json_t *task, const zh_exam_task *t, zh_error *err) {
  json_t *names = json_array();
  zh_status status = ZH_OK;
  json_object_set_new(task, "task", json_string(t->name));
  json_object_set_new(task, "items", names);
  for (size_t i = 0; status == ZH_OK && i < t->taken; i++) {
    char name[ZH_ITEM_NAME];
    status = zh_item_name(name, t, i, err);
    if (status == ZH_OK) json_array_append_new(names, json_string(name));
  }
  return status;
}

static zh_status begin_measured(json_t **out, const zh_exam *exam, zh_error *err) {
  json_t *tasks = json_array();
  *out = json_pack("{s:o}", "tasks", tasks);
  if (!*out) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  for (size_t i = 0; i < exam->task_count; i++) {
    json_t *task = json_object();
    json_array_append_new(tasks, task);
    ZH_TRY(name_items(task, exam->tasks[i], err));
  }
  return ZH_OK;
}

static json_t *measured_task(const json_t *measured, size_t i) {
  return json_array_get(json_object_get(measured, "tasks"), i);
}

static void tell_of_file(void *user, const char *path, uint64_t bytes) {
  char size[32];
  (void)user;
  zh_progress_detail("%s, %s", path, zh_human_bytes(size, sizeof size, (double)bytes));
}

static zh_status add_items(zh_overlap *overlap, const zh_exam *exam, zh_error *err) {
  for (size_t t = 0; t < exam->task_count; t++) {
    for (size_t i = 0; i < exam->tasks[t]->taken; i++) {
      zh_text text = {0};
      zh_status status = zh_item_text(&text, exam->tasks[t], i, err);
      if (status == ZH_OK)
        status = zh_overlap_add(overlap, zh_text_string(&text), text.length, err);
      zh_text_free(&text);
      if (status != ZH_OK) zh_error_prefix(err, "task %s", exam->tasks[t]->name);
      ZH_TRY(status);
    }
  }
  return ZH_OK;
}

static void keep_overlap(search *s, const zh_overlap *overlap) {
  size_t number = 0;
  for (size_t t = 0; t < s->exam->task_count; t++) {
    json_t *words = json_array(), *covered = json_array();
    for (size_t i = 0; i < s->exam->tasks[t]->taken; i++) {
      zh_overlap_item item = zh_overlap_of(overlap, number++);
      json_array_append_new(words, json_integer((json_int_t)item.words));
      json_array_append_new(covered, json_integer((json_int_t)item.covered));
    }
    json_object_set_new(measured_task(s->measured, t), "overlap",
                        json_pack("{s:I, s:o, s:o}", "run", (json_int_t)s->given->run, "words",
                                  words, "covered", covered));
  }
  s->corpus = zh_overlap_seen(overlap);
}

static zh_status search_corpora(search *s, zh_error *err) {
  zh_overlap *overlap;
  if (s->given->corpus_count == 0) return ZH_OK;
  ZH_TRY(zh_overlap_create(&overlap, (unsigned)s->given->run, err));
  zh_status status = add_items(overlap, s->exam, err);
  for (size_t i = 0; status == ZH_OK && i < s->given->corpus_count; i++) {
    zh_progress_step((int)i + 1, (int)s->given->corpus_count, "%s", s->given->corpora[i]);
    status =
        zh_overlap_read(overlap, s->given->corpora[i], s->given->field, tell_of_file, NULL, err);
    if (status == ZH_OK) zh_progress_done("read");
  }
  if (status == ZH_OK) keep_overlap(s, overlap);
  zh_overlap_free(overlap);
  return status;
}

/* ---- what the model makes of it ---- */

static const char *const kind_names[ZH_READ_KINDS] = {"order", "options", "least"};

static zh_status choose_kinds(bool kinds[ZH_READ_KINDS], const char *signs, zh_error *err) {
  for (int k = 0; k < ZH_READ_KINDS; k++) kinds[k] = signs == NULL;
  while (signs && *signs) {
    size_t length = strcspn(signs, ",");
    bool known = false;
    for (int k = 0; k < ZH_READ_KINDS; k++) {
      if (strlen(kind_names[k]) != length || strncmp(signs, kind_names[k], length) != 0) continue;
      kinds[k] = known = true;
    }
    if (!known)
      return zh_fail(err, ZH_ERR_USAGE, "--signs %.*s: expected order, options or least",
                     (int)length, signs);
    signs += length + (signs[length] == ',');
  }
  return ZH_OK;
}

typedef struct telling {
  int64_t began;
  size_t step;
} telling;

static void tell(void *user, const zh_reading_news *news) {
  telling *t = user;
  if (t->step != news->step + 1) {
    t->step = news->step + 1;
    zh_progress_step((int)t->step, (int)news->steps, "%s: %s", news->task->name,
                     kind_names[news->kind]);
  }
  double part = news->tokens_all > 0 ? (double)news->tokens / (double)news->tokens_all : 1,
         seconds = (double)(zh_now_ns() - t->began) * 1e-9;
  zh_progress_detail("%.0f %% of the tokens, about %.0f s left", 100 * part,
                     part > 0 ? seconds * (1 - part) / part : 0);
}

static json_t *values_json(const double *values, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(list, zh_json_number(values[i]));
  return list;
}

static void keep_reading(json_t *task, zh_reading_kind kind, const zh_reading *r) {
  json_t *items = json_array(), *rows = json_array();
  for (size_t i = 0; i < r->rows; i++) {
    json_array_append_new(items, json_integer((json_int_t)r->item[i]));
    json_array_append_new(rows,
                          values_json(r->values + r->first[i], r->first[i + 1] - r->first[i]));
  }
  json_t *part = json_pack("{s:I, s:o}", "left_out", (json_int_t)r->left_out, "item", items);
  if (kind == ZH_READ_LEAST) {
    json_object_set_new(part, "values", values_json(r->values, r->rows));
    json_decref(rows);
  } else {
    json_object_set_new(part, "rows", rows);
  }
  json_object_set_new(task, kind_names[kind], part);
}

static zh_status read_exam(search *s, json_t *measured, const zh_exam *exam,
                           const zh_reading_options *how, zh_error *err) {
  telling t = {.began = zh_now_ns()};
  zh_reading(*readings)[ZH_READ_KINDS] = calloc(exam->task_count, sizeof *readings);
  if (!readings) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (readings)");
  zh_status status = zh_readings_take(readings, exam, s->model, s->threads, how, tell, &t, err);
  if (status == ZH_OK) zh_progress_done("read");
  for (size_t i = 0; i < exam->task_count; i++) {
    for (int k = 0; k < ZH_READ_KINDS; k++) {
      if (status == ZH_OK && readings[i][k].asked)
        keep_reading(measured_task(measured, i), (zh_reading_kind)k, &readings[i][k]);
      zh_reading_free(&readings[i][k]);
    }
  }
  free(readings);
  return status;
}

static zh_status start_threads(zh_threads **out, uint64_t asked, zh_error *err) {
  int cpus[CPUS], found = zh_machine_allowed_cpus(cpus, CPUS), cores = zh_machine_allowed_cores();
  int count = asked > 0 ? (int)asked : cores > 0 ? cores : 1;
  return zh_threads_create(out, count, count <= found ? cpus : NULL, err);
}

static zh_status ask_model(search *s, zh_error *err) {
  const arguments *given = s->given;
  zh_reading_options how = {.item_orders = given->orders,
                            .option_orders = given->orders,
                            .window = given->window,
                            .least = 0.2,
                            .seed = given->task.seed};
  if (!given->model) return ZH_OK;
  ZH_TRY(choose_kinds(how.kinds, given->signs, err));
  ZH_TRY(zh_device_word(&how.device, given->device, err));
  ZH_TRY(zh_model_open(&s->model, given->model, err));
  ZH_TRY(start_threads(&s->threads, given->threads, err));
  ZH_TRY(read_exam(s, s->measured, s->exam, &how, err));
  if (!given->reference || !how.kinds[ZH_READ_LEAST]) return ZH_OK;
  ZH_TRY(zh_exam_open(&s->reference, given->reference, given->folders, given->folder_count,
                      &given->task, err));
  ZH_TRY(begin_measured(&s->measured_reference, s->reference, err));
  how.kinds[ZH_READ_ORDER] = how.kinds[ZH_READ_OPTIONS] = false;
  return read_exam(s, s->measured_reference, s->reference, &how, err);
}

/* ---- what is said ---- */

static void print_p(const json_t *part) {
  const json_t *p = json_object_get(part, "p_holm");
  if (json_is_number(p))
    printf("p = %.2g", json_number_value(p));
  else
    printf("nothing can be said");
}

static long long whole(const json_t *part, const char *key) {
  return (long long)json_integer_value(json_object_get(part, key));
}

static void print_task(const json_t *task) {
  const json_t *overlap = json_object_get(task, "overlap"), *order = json_object_get(task, "order"),
               *options_ = json_object_get(task, "options"),
               *least = json_object_get(task, "least");
  printf("%s: %lld items\n", json_string_value(json_object_get(task, "task")),
         whole(task, "items"));
  if (overlap)
    printf("  corpus    %lld not clean, of which %lld by 80 %% or more; %lld too short to be "
           "found\n",
           whole(overlap, "not_clean"), whole(overlap, "dirty"), whole(overlap, "too_short"));
  if (order) {
    printf("  order     %lld rows, the published order %+.2f nats: ", whole(order, "rows"),
           json_number_value(json_object_get(order, "difference")));
    print_p(order);
    printf("\n");
  }
  if (options_) {
    printf("  options   %lld of %lld items likeliest as published, %.1f by chance: ",
           whole(options_, "first"), whole(options_, "items"),
           json_number_value(json_object_get(options_, "expected")));
    print_p(options_);
    printf("\n");
  }
  if (least) {
    printf("  Min-K %%   mean %.3f", json_number_value(json_object_get(least, "mean")));
    if (whole(least, "reference_items") > 0) {
      printf(", unseen items %.3f, AUC %.3f: ",
             json_number_value(json_object_get(least, "reference_mean")),
             json_number_value(json_object_get(least, "auc")));
      print_p(least);
      printf(", %lld items stand out\n", whole(least, "flagged"));
    } else {
      printf("; without --reference nothing follows\n");
    }
  }
  printf("  listed    %zu%s\n", json_array_size(json_object_get(task, "listed")),
         json_is_true(json_object_get(task, "listed_whole")) ? ": the task as a whole" : "");
}

static zh_status write_table(const json_t *result, const char *path, zh_error *err) {
  zh_text out = {0};
  zh_text_puts(&out, "task,item\n");
  const json_t *tasks = json_object_get(result, "tasks");
  for (size_t t = 0; t < json_array_size(tasks); t++) {
    const json_t *task = json_array_get(tasks, t), *listed = json_object_get(task, "listed");
    for (size_t i = 0; i < json_array_size(listed); i++)
      zh_text_printf(&out, "%s,%s\n", json_string_value(json_object_get(task, "task")),
                     json_string_value(json_object_get(json_array_get(listed, i), "item")));
  }
  zh_status status = out.failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (table)")
                                : zh_write_file(path, zh_text_string(&out), out.length, err);
  zh_text_free(&out);
  return status;
}

static zh_status look(search *s, zh_error *err) {
  const arguments *given = s->given;
  ZH_TRY(
      zh_exam_open(&s->exam, given->tasks, given->folders, given->folder_count, &given->task, err));
  ZH_TRY(begin_measured(&s->measured, s->exam, err));
  ZH_TRY(search_corpora(s, err));
  ZH_TRY(ask_model(s, err));
  const zh_contamination_options how = {.alpha = given->alpha,
                                        .not_clean = given->share,
                                        .replicates = 9999,
                                        .seed = given->task.seed};
  ZH_TRY(zh_contamination_decide(&s->result, s->measured, s->measured_reference, &how, err));
  if (s->model) json_object_set_new(s->result, "model", json_string(zh_model_name(s->model)));
  if (given->corpus_count > 0)
    json_object_set_new(s->result, "corpus",
                        json_pack("{s:I, s:I, s:I}", "documents", (json_int_t)s->corpus.documents,
                                  "words", (json_int_t)s->corpus.words, "bytes",
                                  (json_int_t)s->corpus.bytes));
  return given->out ? write_table(s->result, given->out, err) : ZH_OK;
}

static int say(search *s) {
  const json_t *tasks = json_object_get(s->result, "tasks");
  bool listed = whole(s->result, "listed") > 0;
  if (s->given->json) {
    int code = zh_cli_print_json(json_incref(s->result));
    return code != 0 ? code : listed ? zh_status_exit_code(ZH_ERR_CHECK) : 0;
  }
  for (size_t i = 0; i < json_array_size(tasks); i++) print_task(json_array_get(tasks, i));
  if (s->given->out) printf("\n%s\n", s->given->out);
  int code = zh_cli_flush();
  return code != 0 ? code : listed ? zh_status_exit_code(ZH_ERR_CHECK) : 0;
}

static int run(int argc, char **argv) {
  arguments given = {.task = {.shots = -1, .seed = 1},
                     .field = "text",
                     .run = ZH_OVERLAP_RUN,
                     .orders = 23,
                     .share = 0.2,
                     .alpha = 0.05};
  zh_error err = ZH_ERROR_INIT;
  zh_cli_parse(&parser, argc, argv, &given);
  search s = {.given = &given};
  int code = look(&s, &err) == ZH_OK ? say(&s) : zh_cli_fail(&err, given.json);
  json_decref(s.result);
  json_decref(s.measured);
  json_decref(s.measured_reference);
  zh_exam_free(s.exam);
  zh_exam_free(s.reference);
  zh_threads_free(s.threads);
  zh_model_free(s.model);
  return code;
}

const zh_command zh_command_contamination = {"contamination",
                                             "which items a corpus has, or a model has seen", run};
