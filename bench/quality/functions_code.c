/* HumanEval and MBPP, as lm-evaluation-harness's own modules score them. */
#include "bench/quality/functions_code.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/sandbox/judge.h"
#include "core/digest.h"
#include "core/files.h"
#include "core/text.h"

enum { ANSWERS_MAX = 1000 };
#define FENCE "```"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (programs)");
}

double zh_pass_at_k(uint64_t n, uint64_t c, uint64_t k) {
  double none = 1;
  if (n - c < k) return 1;
  for (uint64_t i = n - c + 1; i <= n; i++) none *= 1 - (double)k / (double)i;
  return 1 - none;
}

/* ---- programs that were judged ---- */

/* An item is scored while the examination goes on, and once more for the results: a program is run
 * once. {SM3 of the program: what came of it, "" where it passed} */
static struct {
  pthread_mutex_t lock;
  json_t *known;
} judged = {.lock = PTHREAD_MUTEX_INITIALIZER};

static json_t *look_up(const char *digest) {
  pthread_mutex_lock(&judged.lock);
  json_t *found = json_incref(json_object_get(judged.known, digest));
  pthread_mutex_unlock(&judged.lock);
  return found;
}

static bool remember(const char *digest, const char *why) {
  pthread_mutex_lock(&judged.lock);
  if (!judged.known) judged.known = json_object();
  bool good = json_object_set_new(judged.known, digest, json_string(why)) == 0;
  pthread_mutex_unlock(&judged.lock);
  return good;
}

/* Answers with their tests. */
typedef struct trial {
  size_t count, room;
  char (*digests)[ZH_DIGEST_HEX]; /* [count] of answers */
  zh_sandbox_file *programs;      /* those that are to be run */
  const json_t **tests;           /* of each program; borrowed */
  const char **names;             /* its digest */
  zh_judgement *judgements;
  size_t programs_count;
  json_t *waiting; /* digests of programs, as keys */
} trial;

static void drop_trial(trial *t) {
  for (size_t i = 0; i < t->programs_count; i++) free((char *)(uintptr_t)t->programs[i].bytes);
  free(t->digests);
  free(t->programs);
  free(t->tests);
  free(t->names);
  free(t->judgements);
  json_decref(t->waiting);
}

static zh_status make_trial(trial *t, size_t room, zh_error *err) {
  *t = (trial){.room = room,
               .digests = calloc(room + 1, sizeof *t->digests),
               .programs = calloc(room + 1, sizeof *t->programs),
               .tests = calloc(room + 1, sizeof *t->tests),
               .names = calloc(room + 1, sizeof *t->names),
               .judgements = calloc(room + 1, sizeof *t->judgements),
               .waiting = json_object()};
  return t->digests && t->programs && t->tests && t->names && t->judgements && t->waiting
             ? ZH_OK
             : no_memory(err);
}

/* Whether it was run, or is going to be. */
static bool is_known(const trial *t, const char *digest) {
  json_t *found = look_up(digest);
  bool known = found != NULL || json_object_get(t->waiting, digest) != NULL;
  json_decref(found);
  return known;
}

/* The answer, its tests behind it. */
static zh_status add_answer(trial *t, const json_t *answer, const json_t *test, zh_error *err) {
  zh_text text = {0};
  if (!json_is_string(answer) || !json_is_string(test))
    return zh_fail(err, ZH_ERR_INPUT, "an answer to be run as a program is no text");
  if (t->count == t->room) return zh_fail(err, ZH_ERR_ARG, "more answers than were counted");
  char *digest = t->digests[t->count];
  zh_text_append(&text, json_string_value(answer), json_string_length(answer));
  zh_text_puts(&text, "\n");
  zh_text_append(&text, json_string_value(test), json_string_length(test));
  zh_status status =
      text.failed ? no_memory(err) : zh_digest_bytes(digest, ZH_SM3, text.data, text.length, err);
  if (status == ZH_OK) t->count++;
  if (status != ZH_OK || is_known(t, digest)) {
    zh_text_free(&text);
    return status;
  }
  size_t i = t->programs_count++;
  t->programs[i] = (zh_sandbox_file){.name = "answer", .bytes = text.data, .length = text.length};
  t->tests[i] = test;
  t->names[i] = digest;
  return json_object_set_new(t->waiting, digest, json_true()) == 0 ? ZH_OK : no_memory(err);
}

/* Tests that need more than this machine's Python has say nothing of the answer. */
static zh_status check_modules(const zh_judgement *j, const json_t *test, zh_error *err) {
  static const char mark[] = "ModuleNotFoundError: No module named '";
  const char *found = strstr(j->why, mark);
  char name[64], needed[80];
  if (!found) return ZH_OK;
  snprintf(name, sizeof name, "%.*s", (int)strcspn(found + sizeof mark - 1, "'"),
           found + sizeof mark - 1);
  snprintf(needed, sizeof needed, "import %s", name);
  if (!strstr(json_string_value(test), needed)) return ZH_OK;
  return zh_fail(err, ZH_ERR_LACKING,
                 "the tests of this item need the Python module '%s', which the system's Python "
                 "does not have (Debian: python3-%s)",
                 name, name);
}

static zh_status run_trial(trial *t, zh_error *err) {
  ZH_TRY(zh_judge_all(t->judgements, t->programs, t->programs_count, err));
  for (size_t i = 0; i < t->programs_count; i++) {
    ZH_TRY(check_modules(&t->judgements[i], t->tests[i], err));
    if (!remember(t->names[i], t->judgements[i].why)) return no_memory(err);
  }
  return ZH_OK;
}

static size_t passed_of(const trial *t) {
  size_t passed = 0;
  for (size_t i = 0; i < t->count; i++) {
    json_t *why = look_up(t->digests[i]);
    passed += json_is_string(why) && json_string_length(why) == 0;
    json_decref(why);
  }
  return passed;
}

static zh_status add_answers(trial *t, const json_t *answers, const json_t *test, zh_error *err) {
  if (json_is_string(answers)) return add_answer(t, answers, test, err);
  for (size_t i = 0; i < json_array_size(answers); i++)
    ZH_TRY(add_answer(t, json_array_get(answers, i), test, err));
  return ZH_OK;
}

/* predictions: [answer], or [[answer, …]] */
static zh_status count_passed(size_t *passed, size_t *count, const json_t *references,
                              const json_t *predictions, zh_error *err) {
  const json_t *given = json_array_get(predictions, 0),
               *answers = json_is_array(given) ? given : predictions;
  trial t;
  *count = json_array_size(answers);
  if (*count == 0 || *count > ANSWERS_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "from 1 to %d answers to an item can be run, not %zu",
                   ANSWERS_MAX, *count);
  zh_status status = make_trial(&t, *count, err);
  if (status == ZH_OK) status = add_answers(&t, answers, json_array_get(references, 0), err);
  if (status == ZH_OK) status = run_trial(&t, err);
  if (status == ZH_OK) *passed = passed_of(&t);
  drop_trial(&t);
  return status;
}

/* ---- all of a task ---- */

static zh_status pass_at_k(json_t **out, const zh_function_call *call, const json_t *references,
                           const json_t *predictions, zh_error *err);
static zh_status pass_at_1(json_t **out, const zh_function_call *call, const json_t *references,
                           const json_t *predictions, zh_error *err);

bool zh_code_task(const zh_exam_task *task) {
  if (!json_is_true(json_object_get(task->config, "unsafe_code"))) return false;
  for (size_t i = 0; i < task->metric_count; i++) {
    const zh_function *f = task->metrics[i].function;
    if (f && (f->body.metric == pass_at_k || f->body.metric == pass_at_1)) return true;
  }
  return false;
}

zh_status zh_code_ready(const zh_exam *exam, zh_error *err) {
  for (size_t i = 0; i < exam->task_count; i++) {
    const zh_exam_task *t = exam->tasks[i];
    if (!zh_code_task(t)) continue;
    zh_status status = zh_judge_ready(err);
    if (status != ZH_OK) zh_error_prefix(err, "task %s", t->name);
    return status;
  }
  return ZH_OK;
}

/* What the filters made of an item's answers, with the item's tests. kept: what must stay as long
 * as the trial. */
static zh_status add_item(trial *t, json_t *kept, const zh_exam_task *task,
                          const zh_filter_chain *chain, const zh_request *requests, size_t count,
                          zh_error *err) {
  json_t *filtered = NULL, *test = NULL;
  const json_t *doc = json_array_get(task->docs, requests[0].doc);
  ZH_TRY(zh_filter_apply(&filtered, chain, task, requests, count, err));
  zh_status status = zh_task_target(&test, task, &task->target, doc, err);
  if (status == ZH_OK && json_array_append_new(kept, test) != 0) status = no_memory(err);
  if (status == ZH_OK && json_array_size(filtered) == 1)
    status = add_answers(t, json_array_get(filtered, 0), test, err);
  json_decref(filtered);
  if (status != ZH_OK) zh_error_prefix(err, "task %s, item %zu", task->name, requests[0].doc);
  return status;
}

zh_status zh_code_run_all(const zh_exam_task *task, const zh_requests *requests, zh_error *err) {
  trial t;
  if (!zh_code_task(task)) return ZH_OK;
  json_t *kept = json_array();
  zh_status status = make_trial(&t, requests->count * task->chain_count, err);
  for (size_t c = 0; status == ZH_OK && c < task->chain_count; c++) {
    for (size_t i = 0, count; status == ZH_OK && i < requests->count; i += count) {
      const zh_request *first = &requests->at[i];
      for (count = 1; i + count < requests->count && first[count].doc == first->doc;) count++;
      status = add_item(&t, kept, task, &task->chains[c], first, count, err);
    }
  }
  if (status == ZH_OK) status = run_trial(&t, err);
  drop_trial(&t);
  json_decref(kept);
  return status;
}

/* ---- metrics ---- */

static bool put_figure(json_t *out, uint64_t n, uint64_t c, const json_t *k) {
  json_int_t value = json_integer_value(k);
  char name[32];
  if (!json_is_integer(k) || value < 1) return false;
  if ((uint64_t)value > n) return true; /* not known from so few answers */
  snprintf(name, sizeof name, "pass@%lld", (long long)value);
  return json_object_set_new(out, name, json_real(zh_pass_at_k(n, c, (uint64_t)value))) == 0;
}

/* {"pass@1": …} for each k of the metric's entry that there are answers enough for. */
static zh_status pass_at_k(json_t **out, const zh_function_call *call, const json_t *references,
                           const json_t *predictions, zh_error *err) {
  const json_t *k = json_object_get(call->options, "k");
  size_t passed, count;
  *out = NULL;
  ZH_TRY(count_passed(&passed, &count, references, predictions, err));
  json_t *figures = json_object();
  bool good = figures && (json_is_integer(k) || json_array_size(k) > 0);
  if (json_is_integer(k)) good = good && put_figure(figures, count, passed, k);
  for (size_t i = 0; good && i < json_array_size(k); i++)
    good = put_figure(figures, count, passed, json_array_get(k, i));
  if (good && json_object_size(figures) > 0) {
    *out = figures;
    return ZH_OK;
  }
  json_decref(figures);
  return zh_fail(err, ZH_ERR_INPUT,
                 "pass_at_k: 'k' must be a whole number, or a list of them, of which one at least "
                 "is not above the %zu answers of an item (repeats)",
                 count);
}

static zh_status pass_at_1(json_t **out, const zh_function_call *call, const json_t *references,
                           const json_t *predictions, zh_error *err) {
  size_t passed, count;
  (void)call;
  *out = NULL;
  ZH_TRY(count_passed(&passed, &count, references, predictions, err));
  *out = json_real(zh_pass_at_k(count, passed, 1));
  return *out ? ZH_OK : no_memory(err);
}

/* ---- filters: answers made programs ---- */

/* One answer's; appends to what stands in `program`. */
typedef zh_status (*change)(zh_text *program, const char *answer, size_t length, zh_error *err);

static zh_status change_all(json_t **out, const json_t *answers, const char *before, change make,
                            zh_error *err) {
  zh_status status = ZH_OK;
  *out = json_array();
  for (size_t i = 0; status == ZH_OK && i < json_array_size(answers); i++) {
    const json_t *answer = json_array_get(answers, i);
    zh_text program = {0};
    zh_text_puts(&program, before);
    status = json_is_string(answer)
                 ? make(&program, json_string_value(answer), json_string_length(answer), err)
                 : zh_fail(err, ZH_ERR_INPUT, "an answer that is to be a program is no text");
    if (status == ZH_OK &&
        (program.failed ||
         json_array_append_new(*out, json_stringn(zh_text_string(&program), program.length)) != 0))
      status = no_memory(err);
    zh_text_free(&program);
  }
  if (status == ZH_OK) return ZH_OK;
  json_decref(*out);
  *out = NULL;
  return status;
}

static zh_status take_whole(zh_text *program, const char *answer, size_t length, zh_error *err) {
  (void)err;
  zh_text_append(program, answer, length);
  return ZH_OK;
}

static zh_status take_to_fence(zh_text *program, const char *answer, size_t length, zh_error *err) {
  const char *fence = memmem(answer, length, FENCE, strlen(FENCE));
  return take_whole(program, answer, fence ? (size_t)(fence - answer) : length, err);
}

/* The prompt is the beginning of the program. */
static zh_status build_predictions(json_t **out, const zh_function_call *call,
                                   const json_t *answers, const json_t *doc, zh_error *err) {
  const char *prompt;
  ZH_TRY(zh_function_text(&prompt, doc, "prompt", err));
  return change_all(out, answers, prompt, call->function->argument ? take_to_fence : take_whole,
                    err);
}

static zh_status first_block(bool *found, zh_text *program, const char *text, size_t length,
                             zh_error *err) {
  static const char pattern[] = "(?s)```(?:\\w+)?\\n?(.*?)\\n?```";
  zh_regex *regex;
  zh_regex_walk walk = {0};
  zh_regex_span spans[ZH_REGEX_GROUPS];
  ZH_TRY(zh_regex_compile(&regex, pattern, sizeof pattern - 1, false, err));
  zh_status status = zh_regex_next(found, spans, &walk, regex, text, length, err);
  if (status == ZH_OK && *found)
    zh_text_append(program, text + spans[1].begin, spans[1].end - spans[1].begin);
  zh_regex_free(regex);
  return status;
}

static void without_language(zh_text *out, const char *text, size_t length) {
  static const char word[] = FENCE "python";
  const char *end = text + length, *found;
  while ((found = memmem(text, (size_t)(end - text), word, sizeof word - 1)) != NULL) {
    zh_text_append(out, text, (size_t)(found - text) + strlen(FENCE));
    text = found + sizeof word - 1;
  }
  zh_text_append(out, text, (size_t)(end - text));
}

/* What stands between fences; the answer is held to begin within one. Nothing where none ends. */
static zh_status take_block(zh_text *program, const char *answer, size_t length, zh_error *err) {
  zh_text fenced = {0}, plain = {0};
  bool found = false;
  zh_text_puts(&fenced, FENCE);
  zh_text_append(&fenced, answer, length);
  without_language(&plain, answer, length);
  zh_status status = fenced.failed || plain.failed
                         ? no_memory(err)
                         : first_block(&found, program, fenced.data, fenced.length, err);
  if (status == ZH_OK && !found)
    status = first_block(&found, program, zh_text_string(&plain), plain.length, err);
  zh_text_free(&fenced);
  zh_text_free(&plain);
  return status;
}

static zh_status extract_code(json_t **out, const zh_function_call *call, const json_t *answers,
                              const json_t *doc, zh_error *err) {
  (void)call, (void)doc;
  return change_all(out, answers, "", take_block, err);
}

/* ---- examples ---- */

static zh_status mbpp_samples(json_t **out, const zh_function_call *call, zh_error *err) {
  char path[4096];
  zh_yaml_doc *doc;
  const zh_yaml_node *list;
  (void)call;
  *out = NULL;
  ZH_TRY(zh_data_path(path, sizeof path, "bench/quality/mbpp_examples.yaml", err));
  ZH_TRY(zh_yaml_load_file(&doc, path, err));
  zh_status status = zh_yaml_require(&list, zh_yaml_root(doc), "examples", err);
  if (status == ZH_OK) status = zh_yaml_to_json(out, list, err);
  zh_yaml_free(doc);
  return status;
}

/* ---- families ---- */

static const zh_function humaneval[] = {
    {"pass_at_k", ZH_FUNCTION_METRIC, {.metric = pass_at_k}, NULL},
    {"build_predictions", ZH_FUNCTION_FILTER, {.filter = build_predictions}, NULL},
    {"build_predictions_instruct", ZH_FUNCTION_FILTER, {.filter = build_predictions}, "fence"}};
static const char *const humaneval_data[] = {"openai/openai_humaneval", "openai_humaneval",
                                             "evalplus/humanevalplus", NULL};
static const char *const humaneval_digests[] = {
    "5f77adbf75b4342a6113fea30168ea57b4e5c3877ffd3b4942cb338b3edb2c95", NULL};
const zh_function_family zh_functions_humaneval = {.name = "humaneval",
                                                   .module = "utils",
                                                   .datasets = humaneval_data,
                                                   .digests = humaneval_digests,
                                                   .source = "lm-evaluation-harness 0.4.13",
                                                   .functions = humaneval,
                                                   .count = sizeof humaneval / sizeof humaneval[0]};

static const zh_function mbpp[] = {
    {"pass_at_1", ZH_FUNCTION_METRIC, {.metric = pass_at_1}, NULL},
    {"build_predictions", ZH_FUNCTION_FILTER, {.filter = extract_code}, NULL},
    {"list_fewshot_samples", ZH_FUNCTION_SAMPLES, {.samples = mbpp_samples}, NULL}};
static const char *const mbpp_data[] = {"google-research-datasets/mbpp", "mbpp",
                                        "evalplus/mbppplus", NULL};
static const char *const mbpp_digests[] = {
    "eecfcc264a63801d4ac478fac80b0f18c3faf16a107baf641a4fd498e81de7df", NULL};
const zh_function_family zh_functions_mbpp = {.name = "mbpp",
                                              .module = "utils",
                                              .datasets = mbpp_data,
                                              .digests = mbpp_digests,
                                              .source = "lm-evaluation-harness 0.4.13",
                                              .functions = mbpp,
                                              .count = sizeof mbpp / sizeof mbpp[0]};
