/* quality: how well a model answers the items of tasks. Ranks share out the items, each with the
 * whole model, or hold one together. The first answers are computed once with every operator
 * checked, and must come out again, bit for bit, when all are timed. */
#include "bench/workloads/quality.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/faults.h"
#include "bench/engine/inside.h"
#include "bench/quality/answer_journal.h"
#include "bench/quality/decision.h"
#include "bench/step_progress.h"
#include "bench/workloads/table.h"
#include "core/clock.h"

enum { STREAM_LIMIT = 1, FOLDERS = 16, LIMIT_REPEATS = 5, TELL_NS = 200 * 1000 * 1000 };

static const char *const precisions[] = {"fast", "unrounded", "exact", NULL};
static const char *const no_yes[] = {"no", "yes", NULL};
static const char *const definitions[] = {"lm-eval", "opencompass", NULL};
static const char *const parallels[] = {"none", "tensor", NULL};
static const zh_parameter parameters[] = {
    {"tasks", ZH_PARAMETER_WORDS, "[made_zh, made_en]", 0, 0, NULL,
     "tasks, groups, tags, or paths of task files"},
    {"include", ZH_PARAMETER_FILE, "", 0, 0, NULL,
     "folders of task files, searched first; ':' between several"},
    {"data", ZH_PARAMETER_FILE, "", 0, 0, NULL,
     "folder of the data sets that task files name by their names on a hub"},
    {"limit", ZH_PARAMETER_WORD, "0", 0, 0, NULL,
     "asks the first so many items of each task, or that part (0.1); 0: all"},
    {"num_fewshot", ZH_PARAMETER_INT, "-1", -1, 10000, NULL,
     "examples before each item, where the task allows it; -1: as the task says"},
    {"definitions", ZH_PARAMETER_WORD, "lm-eval", 0, 0, definitions,
     "whose definitions score the answers: lm-evaluation-harness's, or OpenCompass's ppl and gen"},
    {"apply_chat_template", ZH_PARAMETER_WORD, "no", 0, 0, no_yes,
     "yes: prompts as conversations, by the chat template of the model"},
    {"system_instruction", ZH_PARAMETER_WORD, "", 0, 0, NULL,
     "stands before the description of each task; as the system's message of a conversation"},
    {"fewshot_as_multiturn", ZH_PARAMETER_WORD, "yes", 0, 0, no_yes,
     "of conversations: examples as turns of their own, or all in one message"},
    {"seed", ZH_PARAMETER_INT, "-1", -1, INT64_MAX, NULL,
     "seed of made items; -1: the run's, the same for all its models"},
    {"batch", ZH_PARAMETER_INT, "0", 0, 1024, NULL,
     "items computed beside each other; 0: as memory allows. Changes no bit"},
    {"context", ZH_PARAMETER_INT, "0", 0, UINT32_MAX, NULL,
     "tokens of a question and its answer; 0: the model's context"},
    {"precision", ZH_PARAMETER_WORD, "fast", 0, 0, precisions,
     "fast: the timed path, which may round activations; unrounded: fp32 values; exact: reference "
     "kernels"},
    {"kv", ZH_PARAMETER_WORD, "bf16", 0, 0, zh_kv_names,
     "how keys and values are kept; f32 always where precision is not fast"},
    {"parallel", ZH_PARAMETER_WORD, "none", 0, 0, parallels,
     "none: ranks share out the items, each with the whole model; tensor: they hold one model "
     "together, heads and columns divided"},
    {"group", ZH_PARAMETER_WORD, "auto", 0, 0, zh_group_words, ZH_GROUP_HELP},
    {"experts", ZH_PARAMETER_WORD, "auto", 0, 0, zh_expert_words, ZH_EXPERTS_HELP},
    {"protocol", ZH_PARAMETER_FILE, "", 0, 0, NULL,
     "protocol of a comparison (docs/leading.md): its digest goes into the bundle, its metrics "
     "decide"},
    {0},
};

/* ---- tasks ---- */

uint64_t zh_quality_seed(const zh_job *job) {
  int64_t given = zh_job_int(job, "seed");
  return given >= 0 ? (uint64_t)given : job->run_seed >> 1;
}

static zh_status read_limit(double *out, const zh_job *job, zh_error *err) {
  const char *text = zh_job_word(job, "limit");
  char *end = NULL;
  *out = strtod(text, &end);
  if (end > text && *end == '\0' && *out >= 0 && isfinite(*out) &&
      (*out < 1 || *out == floor(*out)))
    return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "limit %.40s: expected a whole number, or a part below 1",
                 text);
}

/* "a:b" into folders; the text is changed. */
static size_t split_folders(const char *folders[FOLDERS], char *text) {
  size_t count = 0;
  for (char *at = strtok(text, ":"); at && count < FOLDERS; at = strtok(NULL, ":"))
    folders[count++] = at;
  return count;
}

static bool says_yes(const zh_job *job, const char *parameter) {
  return strcmp(zh_job_word(job, parameter), "yes") == 0;
}

/* How prompts are put; the template only where there is a model. */
static zh_status open_chat(zh_conversation **out, zh_chat_form *form, const zh_job *job,
                           const zh_model *model, zh_error *err) {
  const char *system = zh_job_word(job, "system_instruction");
  *form = (zh_chat_form){.system = system[0] ? system : NULL,
                         .multiturn = says_yes(job, "fewshot_as_multiturn")};
  *out = NULL;
  if (!model || !says_yes(job, "apply_chat_template")) return ZH_OK;
  return zh_conversation_open(out, form, model, err);
}

zh_status zh_quality_open_exam(zh_exam **out, const zh_job *job, uint64_t seed,
                               const zh_chat_form *chat, zh_error *err) {
  const char *folders[FOLDERS], *data = zh_job_word(job, "data");
  zh_task_options options = {.data = data[0] ? data : NULL,
                             .shots = zh_job_int(job, "num_fewshot"),
                             .seed = seed,
                             .opencompass =
                                 strcmp(zh_job_word(job, "definitions"), "opencompass") == 0};
  if (chat) options.chat = *chat;
  zh_text names = {0};
  size_t i;
  json_t *name;
  *out = NULL;
  ZH_TRY(read_limit(&options.limit, job, err));
  json_array_foreach(json_object_get(job->parameters, "tasks"), i, name) {
    zh_text_printf(&names, "%s%s", i ? "," : "", json_string_value(name));
  }
  char *include = strdup(zh_job_word(job, "include"));
  zh_status status =
      include && !names.failed ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (tasks)");
  if (status == ZH_OK)
    status = zh_exam_open(out, zh_text_string(&names), folders, split_folders(folders, include),
                          &options, err);
  free(include);
  zh_text_free(&names);
  return status;
}

/* What can be said without the model: the tasks are there, their first items can be asked. */
static zh_status check(const zh_job *job, zh_error *err) {
  zh_exam *exam;
  char sm3[ZH_DIGEST_HEX];
  ZH_TRY(zh_quality_open_exam(&exam, job, zh_quality_seed(job), NULL, err));
  zh_status status = zh_decision_choose(sm3, exam, zh_job_word(job, "protocol"), err);
  for (size_t t = 0; status == ZH_OK && t < exam->task_count; t++) {
    zh_requests first = {0};
    zh_exam_task *task = exam->tasks[t];
    if (task->taken > 1) task->taken = 1;
    status = zh_task_requests(&first, task, err);
    zh_requests_free(&first);
  }
  zh_exam_free(exam);
  return status;
}

static int64_t positions(const zh_job *job) {
  return zh_job_int(job, "context");
}

/* ---- before ---- */

static void release(void *state) {
  zh_quality *q = state;
  if (!q) return;
  zh_examinee_free(q->examinee);
  zh_trial_close(&q->trial);
  zh_sitting_free(q->sitting);
  zh_exam_free(q->exam);
  zh_conversation_free(q->conversation);
  zh_model_free(q->model);
  free(q->counts);
  free(q->reference);
  free(q->again);
  free(q->tokens);
  free(q);
}

/* What changes an answer besides the texts. */
static zh_status describe_how(zh_quality *q, zh_error *err) {
  char sm3[ZH_DIGEST_HEX];
  const zh_job *job = q->job;
  if (job->model_sm3)
    snprintf(sm3, sizeof sm3, "%s", job->model_sm3);
  else
    ZH_TRY(zh_model_digest(sm3, q->model, ZH_SM3, err));
  snprintf(q->how, sizeof q->how, "%s %s %s %s %s", sm3, zh_job_word(job, "precision"),
           zh_job_word(job, "kv"), zh_job_word(job, "parallel"), job->device > 0 ? "gpu" : "cpu");
  return ZH_OK;
}

static zh_status open_sitting(zh_quality *q, zh_error *err) {
  zh_job *job = q->job;
  ZH_TRY(zh_model_open(&q->model, job->model, err));
  ZH_TRY(open_chat(&q->conversation, &q->chat, job, q->model, err));
  ZH_TRY(zh_quality_open_exam(&q->exam, job, q->seed, &q->chat, err));
  ZH_TRY(zh_decision_choose(q->protocol_sm3, q->exam, zh_job_word(job, "protocol"), err));
  q->counts = calloc(q->exam->task_count, sizeof *q->counts);
  if (!q->counts) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tasks)");
  ZH_TRY(describe_how(q, err));
  q->sitting_options = (zh_sitting_options){.how = q->how,
                                            .folder = job->folder,
                                            .comm = job->comm,
                                            .together = q->together,
                                            .longest = (uint32_t)zh_job_int(job, "context")};
  return zh_sitting_open(&q->sitting, q->exam, q->model, &q->sitting_options, err);
}

static zh_status open_engine(zh_quality *q, zh_error *err) {
  zh_architecture a;
  size_t held = zh_sitting_positions(q->sitting);
  ZH_TRY(zh_model_architecture(&a, q->model, err));
  uint32_t sequences = zh_examinee_sequences(&a, held, (uint32_t)zh_job_int(q->job, "batch"));
  bool unrounded = strcmp(zh_job_word(q->job, "precision"), "unrounded") == 0;
  zh_trial_plan plan = {
      .sequences = sequences, .context = (uint32_t)held, .tokens = held, .unpacked = unrounded};
  ZH_TRY(zh_trial_open(&q->trial, q->job, &plan, err));
  return zh_examinee_create(&q->examinee, q->trial.engine, zh_sitting_speech(q->sitting), err);
}

/* A pass as full as the engine takes it, of texts that begin where the questions do and are as long
 * as the longest that is asked. */
static zh_status make_limit(zh_quality *q, zh_error *err) {
  size_t positions = q->examinee->positions, full = q->examinee->pass_tokens;
  q->depth = zh_sitting_depth(q->sitting);
  if (q->depth >= positions) q->depth = positions - 1;
  size_t room = (positions - q->depth) * q->examinee->sequences;
  q->token_count = room < full ? room : full;
  q->tokens = malloc(q->token_count * sizeof *q->tokens);
  if (!q->tokens) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokens)");
  zh_trial_tokens(&q->trial, q->tokens, q->token_count, STREAM_LIMIT);
  return ZH_OK;
}

/* The first group of this rank with every operator checked. */
static zh_status make_reference(zh_quality *q, zh_error *err) {
  ZH_TRY(zh_check_attach(q->trial.check, err));
  zh_status status =
      zh_sitting_probe(&q->reference, &q->reference_count, q->sitting, q->examinee, err);
  zh_check_detach(q->trial.check);
  return status;
}

static zh_status prepare(void **state, size_t *cases, zh_job *job, zh_error *err) {
  zh_quality *q = calloc(1, sizeof *q);
  if (!q) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for quality");
  *state = q;
  *q = (zh_quality){.job = job, .seed = zh_quality_seed(job), .together = zh_job_is_parallel(job)};
  ZH_TRY(zh_comm_agree(job->comm, open_sitting(q, err), err));
  ZH_TRY(zh_sitting_share(q->sitting, err));
  ZH_TRY(zh_comm_agree(job->comm, open_engine(q, err), err));
  ZH_TRY(make_limit(q, err));
  ZH_TRY(zh_comm_agree(job->comm, make_reference(q, err), err));
  *cases = 2;
  return zh_trial_report_check(&q->trial, err);
}

static void describe(const void *state, size_t index, zh_case *out) {
  const zh_quality *q = state;
  if (index == 0) {
    *out = (zh_case){.metric = "answer_rate",
                     .unit = "token/s",
                     .kind = ZH_SAMPLE_VALUE,
                     .work = 1,
                     .peak = "quality/prefill_limit",
                     .peak_per_unit = 1,
                     .more_is_better = true,
                     .repeats = 1};
    return;
  }
  double copies = q->together ? 1 : q->job->comm->size;
  *out = (zh_case){.metric = "prefill_limit",
                   .unit = "token/s",
                   .kind = ZH_SAMPLE_RATE,
                   .work = (double)q->token_count * copies,
                   .more_is_better = true,
                   .repeats = LIMIT_REPEATS};
}

/* ---- answering ---- */

static void tell(void *user, const zh_sitting_news *news) {
  zh_quality *q = user;
  int64_t now = zh_now_ns();
  if (now - q->told_ns < TELL_NS && news->items < news->items_all) return;
  if (q->together && q->job->comm->rank > 0) return;
  q->told_ns = now;
  zh_step_progress p = {.done = news->cost,
                        .all = news->cost_all,
                        .sum = news->sum,
                        .count = news->metric ? (double)news->scored : 0};
  snprintf(p.what, sizeof p.what, "%.60s", news->of->name);
  snprintf(p.score, sizeof p.score, "%.30s", news->metric ? news->metric : "");
  zh_step_progress_write(q->job->folder, q->job->comm->rank, &p);
}

/* The answers that the checked pass gave must come again; of generated ones those to their prompt.
 */
static zh_status answer_again(zh_quality *q, zh_error *err) {
  size_t count = q->reference_count;
  if (zh_sitting_first_generates(q->sitting)) {
    zh_fault_strike(&q->trial, 1, false);
    return zh_sitting_probe(&q->again, &count, q->sitting, q->examinee, err);
  }
  q->again = calloc(count + 1, sizeof *q->again);
  if (!q->again) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (answers)");
  zh_sitting_probed(q->again, count, q->sitting);
  return ZH_OK;
}

static zh_status answer_all(zh_quality *q, zh_error *err) {
  uint32_t *altered = NULL, kept = 0;
  if (q->job->fault == ZH_FAULT_TOKEN) altered = zh_sitting_first_token(q->sitting);
  if (altered) {
    kept = *altered;
    *altered = kept > 0 ? kept - 1 : 1;
  }
  /* At position 0 of what is checked. */
  if (!zh_sitting_first_generates(q->sitting)) zh_fault_strike(&q->trial, 1, false);
  zh_status status = zh_sitting_hold(q->sitting, q->examinee, tell, q, err);
  if (status == ZH_OK) status = answer_again(q, err);
  if (altered) *altered = kept;
  return status;
}

/* Collective: tokens of all ranks, seconds of the slowest. */
static zh_status add_up(zh_quality *q, zh_error *err) {
  size_t tasks = q->exam->task_count, bytes = tasks * sizeof *q->counts;
  const zh_comm *comm = q->job->comm;
  zh_sitting_count *mine = calloc(tasks, sizeof *mine),
                   *all = calloc(tasks * (size_t)comm->size, sizeof *all);
  zh_status status = mine && all ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (counts)");
  status = zh_comm_agree(comm, status, err);
  for (size_t t = 0; status == ZH_OK && t < tasks; t++) {
    mine[t] = zh_sitting_counted(q->sitting, t);
    q->seconds += mine[t].seconds;
  }
  if (status == ZH_OK) status = comm->gather(comm, mine, bytes, all, 0, err);
  if (status == ZH_OK) status = comm->max_f64(comm, &q->seconds, 1, err);
  for (size_t i = 0; status == ZH_OK && comm->rank == 0 && i < tasks * (size_t)comm->size; i++) {
    zh_sitting_count *sum = &q->counts[i % tasks];
    if (all[i].seconds > sum->seconds) sum->seconds = all[i].seconds;
    if (q->together && i >= tasks) continue; /* each computed all */
    sum->asked += all[i].asked;
    sum->needed += all[i].needed;
    sum->computed += all[i].computed;
    sum->generated += all[i].generated;
  }
  free(mine);
  free(all);
  return status;
}

static zh_status run_answers(zh_quality *q, double *sample, zh_error *err) {
  uint64_t computed = 0;
  ZH_TRY(zh_comm_agree(q->job->comm, answer_all(q, err), err));
  ZH_TRY(zh_sitting_collect(q->sitting, err));
  ZH_TRY(add_up(q, err));
  for (size_t t = 0; t < q->exam->task_count; t++) computed += q->counts[t].computed;
  *sample = q->seconds > 0 ? (double)computed / q->seconds : 0;
  return ZH_OK;
}

/* The sequence has something at each position before the limit's texts. */
static zh_status fill_before(zh_quality *q, uint32_t sequence, zh_error *err) {
  zh_examinee *e = q->examinee;
  zh_slot_keep(e, sequence, q->depth);
  for (size_t i = e->slots[sequence].count; i < q->depth; i++) {
    zh_examinee_gather(e, sequence, q->tokens[i % q->token_count], false);
    if (e->pass.count == e->pass_tokens) ZH_TRY(zh_examinee_feed(e, ZH_MANY, err));
  }
  return zh_examinee_feed(e, ZH_MANY, err);
}

static zh_status run_limit(zh_quality *q, double *sample, zh_error *err) {
  zh_examinee *e = q->examinee;
  size_t each = e->positions - q->depth;
  for (size_t i = 0; i < q->token_count; i += each)
    ZH_TRY(fill_before(q, (uint32_t)(i / each), err));
  for (size_t i = 0; i < q->token_count; i++)
    zh_examinee_gather(e, (uint32_t)(i / each), q->tokens[i], i + 1 == q->token_count);
  int64_t began = zh_now_ns();
  ZH_TRY(zh_examinee_feed(e, ZH_MANY, err));
  *sample = (double)(zh_now_ns() - began);
  return ZH_OK;
}

static zh_status run(void *state, size_t index, bool warmup, double *sample, zh_error *err) {
  (void)warmup;
  return index == 0 ? run_answers(state, sample, err) : run_limit(state, sample, err);
}

static zh_status verify(void *state, size_t index, zh_error *err) {
  const zh_quality *q = state;
  for (size_t i = 0; index == 0 && i < q->reference_count; i++)
    if (memcmp(&q->again[i], &q->reference[i], sizeof *q->again) != 0)
      return zh_fail(err, ZH_ERR_CHECK,
                     "chain: the first question's answer %zu has log-likelihood %.17g, where the "
                     "checked pass gave %.17g; the same computation must give the same bits",
                     i, q->again[i], q->reference[i]);
  return ZH_OK;
}

static zh_status finish(void *state, zh_error *err) {
  zh_quality *q = state;
  zh_status status = q->job->comm->rank == 0 ? zh_quality_record(q, err) : ZH_OK;
  ZH_TRY(zh_comm_agree(q->job->comm, status, err));
  return zh_trial_finish(&q->trial, err);
}

static const zh_metric METRICS[] = {
    {"answer_rate", "token/s"}, {"prefill_limit", "token/s"}, {"*.*", "1"}, {0}};

const zh_workload zh_workload_quality = {
    .name = "quality",
    .summary_zh = "模型回答各项任务的质量（准确率等）",
    .summary_en = "how well a model answers the items of tasks",
    .parameters = parameters,
    .needs_model = true,
    .ranks_min = 1,
    .keeps = ZH_ANSWERS_PREFIX,
    .check = check,
    .prepare = prepare,
    .describe = describe,
    .run = run,
    .verify = verify,
    .finish = finish,
    .release = release,
    .positions = positions,
    .metrics = METRICS,
};
