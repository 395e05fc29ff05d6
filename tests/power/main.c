/* selfcheck_power [--trials N] [--honest N] [--seed S] [--json]: how often the self-check catches
 * each injected fault, and how often it cries wolf. Small models of random shape, types and
 * weights; random prompts, batches, depths, threads, precisions; every table of kernels that this
 * CPU has, a process each. Prints a table (or JSON) and every trial that was missed, with its
 * number; a trial follows from the seed and its number alone. Exit status 0: each fault was caught
 * in 99 of 100 trials, and no honest run was refused. */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/engine/inside.h"
#include "bench/engine/trial.h"
#include "bench/measure.h"
#include "core/clock.h"
#include "tests/power/random_model.h"
#include "tests/unit/folder.h"

enum {
  TABLES_MAX = 8,
  WORDS_MAX = 8,
  MISSES_MAX = 64,
  THREADS_MAX = 3,
  STEPS = 6,
  ROUNDING = ZH_FAULTS,
  KINDS
};

/* Any bit of the residual stream, told apart by whether any output changed by a bit. */
static const char ROUNDING_NAME[] = "activation, any bit";

typedef struct tally {
  uint32_t trials, caught, missed, absorbed; /* absorbed: no logit, key or value changed */
  struct {
    char word[24]; /* the check that caught it: the first word of its message */
    uint32_t count;
  } by[WORDS_MAX];
} tally;

typedef struct miss {
  uint32_t trial;
  int kind;
  char table[16], what[260], message[240];
} miss;

/* Shared by the processes, of which each writes only its own. */
typedef struct findings {
  tally of[KINDS];
  miss misses[MISSES_MAX];
  size_t miss_count;
} findings;

typedef struct options {
  uint32_t trials, honest;
  uint64_t seed;
  bool json;
} options;

typedef struct driver {
  const options *options;
  findings *found;
  const char *table;
  zh_threads *threads[THREADS_MAX + 1];
  char path[600];
} driver;

/* --- one trial --- */

typedef struct attempt {
  const char *workload;
  char parameters[240], what[240];
  int threads;
  uint64_t seed;
} attempt;

static zh_status draw_trial(attempt *out, driver *d, int kind, uint32_t number, zh_error *err) {
  dice throw = {d->options->seed ^ ((uint64_t)kind << 40) ^ number, 0};
  bool layers = kind == ZH_FAULT_LAYERS || kind == ZH_FAULT_SWAP;
  bool experts = kind == ZH_FAULT_EXPERT || kind == ZH_FAULT_EXPERTS;
  random_shape shape = random_shape_draw(&throw, layers ? 2 : 1, experts);
  static const char *const workloads[] = {"decode", "prefill", "decode", "prefill", "perplexity"};
  /* Of perplexity, bits of the cache are not compared, and the clock times nothing. */
  bool timed = kind == ZH_FAULT_CACHE || kind == ZH_FAULT_CLOCK;
  out->workload = workloads[dice_below(&throw, timed ? 4 : 5)];
  const char *precision = dice_below(&throw, 4) == 0 ? "exact" : "fast";
  const char *kv = zh_kv_names[dice_below(&throw, 3)];
  uint32_t batch = dice_below(&throw, 3) == 0 ? dice_from(&throw, 2, 12) : dice_from(&throw, 1, 3);
  uint32_t prompt = dice_from(&throw, 2, 20), depth = dice_below(&throw, 12),
           tokens = dice_from(&throw, 2, 12);
  out->seed = ((uint64_t)dice_below(&throw, UINT32_MAX) << 32) | dice_below(&throw, UINT32_MAX);
  out->threads = dice_below(&throw, 8) == 0 ? THREADS_MAX : (int)dice_from(&throw, 1, 2);
  if (strcmp(out->workload, "perplexity") == 0)
    snprintf(
        out->parameters, sizeof out->parameters,
        "{\"text\": \"\", \"tokens\": %u, \"window\": %u, \"precision\": \"%s\", \"kv\": \"%s\"}",
        8 + 4 * tokens, 6 + prompt, precision, kv);
  else
    snprintf(out->parameters, sizeof out->parameters,
             "{\"prompt\": %u, \"depth\": %u, \"batch\": %u, \"tokens\": %u, \"precision\": "
             "\"%s\", \"kv\": \"%s\"}",
             prompt, depth, batch, tokens, precision, kv);
  char shape_words[160];
  random_shape_say(shape_words, sizeof shape_words, &shape);
  snprintf(out->what, sizeof out->what, "%s %s kv %s", shape_words, precision, kv);
  return random_model_write(d->path, &shape, out->seed, err);
}

static zh_status measure(driver *d, const attempt *t, zh_fault fault, zh_error *err) {
  zh_comm *comm = NULL;
  json_t *out = NULL;
  ZH_TRY(zh_comm_solo(&comm, err));
  zh_job job = {.parameters = json_loads(t->parameters, 0, NULL),
                .model = d->path,
                .seed = t->seed,
                .threads = d->threads[t->threads],
                .comm = comm,
                .fault = fault,
                .facts = json_object(),
                .checks = json_array(),
                .series = json_array()};
  zh_measure_rules rules = {.warmup = 1, .repeats = {2, 2, 0}};
  zh_status status = zh_measure(&out, &rules, zh_workload_find(t->workload), &job, err);
  zh_clock_inject_rate(1.0);
  json_decref(out);
  json_decref(job.parameters);
  json_decref(job.facts);
  json_decref(job.checks);
  json_decref(job.series);
  zh_comm_finish(comm);
  return status;
}

static void remember(driver *d, int kind, uint32_t number, const attempt *t, const zh_error *err) {
  findings *f = d->found;
  if (f->miss_count == MISSES_MAX) return;
  miss *m = &f->misses[f->miss_count++];
  *m = (miss){.trial = number, .kind = kind};
  snprintf(m->table, sizeof m->table, "%s", d->table);
  snprintf(m->what, sizeof m->what, "%s: %.230s", t->workload, t->what);
  snprintf(m->message, sizeof m->message, "%.230s", err->status == ZH_OK ? "passed" : err->message);
}

static void count_word(tally *of, const char *message) {
  size_t length = strcspn(message, " :");
  for (int i = 0; i < WORDS_MAX; ++i) {
    if (of->by[i].count > 0 && strncmp(of->by[i].word, message, length) != 0) continue;
    snprintf(of->by[i].word, sizeof of->by[i].word, "%.*s", (int)length, message);
    ++of->by[i].count;
    return;
  }
}

static void try_one(driver *d, int kind, uint32_t number) {
  zh_error err = ZH_ERROR_INIT;
  tally *of = &d->found->of[kind];
  attempt t = {0};
  zh_status status = draw_trial(&t, d, kind, number, &err);
  if (status == ZH_OK) status = measure(d, &t, (zh_fault)kind, &err);
  ++of->trials;
  if (status == (kind == ZH_FAULT_NONE ? ZH_OK : ZH_ERR_CHECK)) {
    ++of->caught;
    if (kind != ZH_FAULT_NONE) count_word(of, err.message);
    return;
  }
  ++of->missed;
  remember(d, kind, number, &t, &err);
}

/* --- any bit of an activation: outputs with and without it, told apart without the self-check's
 * sums --- */

typedef struct outputs {
  float *logits;        /* [STEPS][vocab] */
  unsigned char *cache; /* keys, then values, as they are held */
  uint64_t sums;        /* as the self-check makes them */
} outputs;

static zh_status compute(outputs *out, zh_engine *engine, const zh_tamper *tamper, uint32_t step,
                         zh_error *err) {
  uint32_t vocab = engine->architecture.vocab, fed = 1, sequence = 0;
  zh_engine_poison(engine, 0, 0);
  out->sums = 0;
  for (uint32_t i = 0; i < STEPS; ++i) {
    float *logits = out->logits + (size_t)i * vocab;
    if (tamper && i == step) engine->tamper = *tamper;
    ZH_TRY(zh_engine_forward(engine, &fed, &i, &sequence, 1, NULL, logits, err));
    out->sums = out->sums * 31 + zh_sum_of_bits(logits, vocab);
    fed = (fed * 7 + 5) % vocab; /* given, so that a change shows as such and not as other tokens */
  }
  size_t bytes = engine->kv_layer * engine->architecture.layers;
  memcpy(out->cache, engine->kv.keys, bytes);
  if (!engine->kv.shared) memcpy(out->cache + bytes, engine->kv.values, bytes);
  zh_trial alone = {.engine = engine};
  uint64_t cache = 0;
  ZH_TRY(zh_trial_cache_sum(&cache, &alone, STEPS, err));
  out->sums = out->sums * 31 + cache;
  return ZH_OK;
}

static zh_status compare_outputs(driver *d, zh_engine *engine, uint64_t seed, zh_error *err) {
  dice throw = {seed, 1000};
  tally *of = &d->found->of[ROUNDING];
  size_t logits = (size_t)STEPS * engine->architecture.vocab * sizeof(float),
         cache = zh_engine_cost_of(engine).memory_kv, all = logits + cache;
  unsigned char *room = malloc(2 * all);
  if (!room) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  outputs clean = {.logits = (float *)(void *)room, .cache = room + logits},
          struck = {.logits = (float *)(void *)(room + all), .cache = room + all + logits};
  zh_tamper tamper = {.kind = ZH_TAMPER_RESIDUAL,
                      .layer = dice_below(&throw, engine->architecture.layers),
                      .element = dice_below(&throw, engine->architecture.hidden),
                      .bit = dice_below(&throw, 32)};
  zh_status status = compute(&clean, engine, NULL, 0, err);
  if (status == ZH_OK) status = compute(&struck, engine, &tamper, dice_below(&throw, STEPS), err);
  bool changed = status == ZH_OK && memcmp(room, room + all, all) != 0;
  free(room);
  ZH_TRY(status);
  ++of->trials;
  if (!changed)
    ++of->absorbed;
  else if (clean.sums != struck.sums)
    ++of->caught;
  else
    ++of->missed;
  return ZH_OK;
}

static zh_status try_rounding(driver *d, uint32_t number, zh_error *err) {
  attempt t = {0};
  zh_model *model = NULL;
  zh_engine *engine = NULL;
  ZH_TRY(draw_trial(&t, d, ROUNDING, number, err));
  ZH_TRY(zh_model_open(&model, d->path, err));
  zh_engine_options wanted = {.precision = ZH_PRECISION_FAST, .sequences = 1, .context = STEPS};
  zh_status status = zh_engine_create(&engine, model, d->threads[t.threads], &wanted, err);
  if (status == ZH_OK) status = compare_outputs(d, engine, t.seed, err);
  zh_engine_free(engine);
  zh_model_free(model);
  return status;
}

/* --- a process for each table of kernels --- */

static zh_status start(driver *d, zh_error *err) {
  for (int i = 1; i <= THREADS_MAX; ++i) ZH_TRY(zh_threads_create(&d->threads[i], i, NULL, err));
  snprintf(d->path, sizeof d->path, "%s/%s.gguf", test_folder(), d->table);
  return ZH_OK;
}

static int run_table(const options *o, findings *found, const char *table, uint32_t index,
                     uint32_t tables) {
  driver d = {.options = o, .found = found, .table = table};
  zh_error err = ZH_ERROR_INIT;
  setenv("ZH_CPU", table, 1);
  setenv("ZHIHENG_ISA", table, 1);
  if (start(&d, &err) != ZH_OK) return 2;
  for (uint32_t i = index; i < o->honest; i += tables) try_one(&d, ZH_FAULT_NONE, i);
  for (int kind = ZH_FAULT_NONE + 1; kind < ZH_FAULTS; ++kind)
    for (uint32_t i = index; i < o->trials; i += tables) try_one(&d, kind, i);
  for (uint32_t i = index; i < o->trials; i += tables)
    if (try_rounding(&d, i, &err) != ZH_OK) return fprintf(stderr, "%s\n", err.message), 2;
  for (int i = 1; i <= THREADS_MAX; ++i) zh_threads_free(d.threads[i]);
  return 0;
}

/* In a process of its own, because tables are chosen once. */
static size_t list_tables(char (*names)[16]) {
  pid_t child = fork();
  if (child == 0) {
    size_t n = 0;
    for (const zh_kernels *const *k = zh_kernels_all(); *k && n < TABLES_MAX; ++k)
      snprintf(names[n++], sizeof names[0], "%s", (*k)->name);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  size_t count = 0;
  while (count < TABLES_MAX && names[count][0]) ++count;
  return count;
}

/* --- what was found --- */

static void add(tally *all, const tally *one) {
  all->trials += one->trials;
  all->caught += one->caught;
  all->missed += one->missed;
  all->absorbed += one->absorbed;
  for (int i = 0; i < WORDS_MAX && one->by[i].count; ++i) {
    int at = 0;
    while (at < WORDS_MAX - 1 && all->by[at].count &&
           strcmp(all->by[at].word, one->by[i].word) != 0)
      ++at;
    memcpy(all->by[at].word, one->by[i].word, sizeof all->by[at].word);
    all->by[at].count += one->by[i].count;
  }
}

static const char *name_of(int kind) {
  return kind == ROUNDING        ? ROUNDING_NAME
         : kind == ZH_FAULT_NONE ? "none (honest)"
                                 : zh_fault_names[kind];
}

static void print_row(int kind, const tally *t) {
  printf("%-20s %6u %9u %7u", name_of(kind), t->trials, t->caught, t->missed);
  if (t->absorbed) printf("   %u changed no bit of any logit, key or value", t->absorbed);
  for (int i = 0; i < WORDS_MAX && t->by[i].count; ++i)
    printf("%s%s %u", i ? ", " : "   ", t->by[i].word, t->by[i].count);
  printf("\n");
}

static json_t *row_json(int kind, const tally *t) {
  json_t *by = json_object();
  for (int i = 0; i < WORDS_MAX && t->by[i].count; ++i)
    json_object_set_new(by, t->by[i].word, json_integer(t->by[i].count));
  return json_pack("{s:s,s:i,s:i,s:i,s:i,s:o}", "fault", name_of(kind), "trials", (int)t->trials,
                   kind == ZH_FAULT_NONE ? "passed" : "caught", (int)t->caught,
                   kind == ZH_FAULT_NONE ? "false_alarms" : "missed", (int)t->missed, "absorbed",
                   (int)t->absorbed, "by", by);
}

static bool is_enough(int kind, const tally *t) {
  return kind == ZH_FAULT_NONE ? t->missed == 0 : 100 * t->missed <= t->caught + t->missed;
}

static int report(const options *o, const findings *found, size_t count, char (*names)[16]) {
  bool enough = true;
  json_t *rows = json_array(), *tables = json_array();
  if (!o->json) printf("%-20s %6s %9s %7s   caught by\n", "fault", "trials", "caught", "missed");
  for (int kind = 0; kind < KINDS; ++kind) {
    tally all = {0};
    for (size_t i = 0; i < count; ++i) add(&all, &found[i].of[kind]);
    enough = enough && is_enough(kind, &all);
    if (!o->json) print_row(kind, &all);
    json_array_append_new(rows, row_json(kind, &all));
  }
  for (size_t i = 0; i < count; ++i) {
    json_array_append_new(tables, json_string(names[i]));
    for (size_t m = 0; m < found[i].miss_count; ++m) {
      const miss *is = &found[i].misses[m];
      fprintf(stderr, "%s, trial %u, %s: %s: %s\n", name_of(is->kind), is->trial, is->table,
              is->what, is->message);
    }
  }
  json_t *whole = json_pack("{s:s,s:I,s:o,s:o}", "schema", "zhiheng.selfcheck-power/1", "seed",
                            (json_int_t)o->seed, "kernels", tables, "rows", rows);
  if (o->json) json_dumpf(whole, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)), printf("\n");
  json_decref(whole);
  return enough ? 0 : 1;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
  options *o = state->input;
  switch (key) {
  case 't':
    o->trials = (uint32_t)strtoul(arg, NULL, 10);
    return 0;
  case 'h':
    o->honest = (uint32_t)strtoul(arg, NULL, 10);
    return 0;
  case 's':
    o->seed = strtoull(arg, NULL, 0);
    return 0;
  case 'j':
    o->json = true;
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

int main(int argc, char **argv) {
  static const struct argp_option known[] = {{"trials", 't', "N", 0, "of each fault (100)", 0},
                                             {"honest", 'h', "N", 0, "runs without one (1000)", 0},
                                             {"seed", 's', "S", 0, "of all that is drawn (1)", 0},
                                             {"json", 'j', NULL, 0, "JSON instead of a table", 0},
                                             {0}};
  static const struct argp argp = {known, parse, NULL, "how often the self-check catches faults",
                                   NULL,  NULL,  NULL};
  options o = {.trials = 100, .honest = 1000, .seed = 1};
  if (argp_parse(&argp, argc, argv, 0, NULL, &o) != 0) return 2;
  size_t bytes = TABLES_MAX * (sizeof(findings) + 16);
  findings *found = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (found == MAP_FAILED) return 2;
  char(*names)[16] = (char(*)[16])(void *)(found + TABLES_MAX);
  (void)test_folder(); /* for all tables; this process removes it */
  size_t count = list_tables(names);
  int outcome = 0;
  for (size_t i = 0; i < count; ++i) {
    pid_t child = fork();
    if (child == 0) _exit(run_table(&o, &found[i], names[i], (uint32_t)i, (uint32_t)count));
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    fprintf(stderr, "the process of table %s ended early (%d), after %u honest runs\n", names[i],
            status, found[i].of[ZH_FAULT_NONE].trials);
    outcome = 2;
  }
  int judged = report(&o, found, count, names);
  return outcome ? outcome : judged;
}
