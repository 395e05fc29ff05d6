/* A workload is a benchmark behind one table of functions. The harness (bench/measure.c) owns warm-up, repeats, the
 * stopping rule, samples and statistics; a workload says what its cases are, does one repeat of one case, and checks
 * what that repeat computed. docs/adding-a-workload.md shows the steps. */
#ifndef ZH_BENCH_WORKLOAD_H
#define ZH_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/comm.h"
#include "bench/gpu_watch.h"
#include "core/json.h"
#include "core/status.h"
#include "kernels/kernels.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A parameter of a workload; the same table reads the suite, --set, `list workloads` and the help text. */
typedef enum zh_parameter_kind { ZH_PARAMETER_INT, ZH_PARAMETER_INTS, ZH_PARAMETER_WORD, ZH_PARAMETER_WORDS,
                                 ZH_PARAMETER_FILE } zh_parameter_kind;
typedef struct zh_parameter {
  const char *name;
  zh_parameter_kind kind;
  const char *fallback;      /* default as YAML text: "64", "[1, 8]", "exact" */
  int64_t min, max;          /* of integers */
  const char *const *words;  /* of words, NULL-terminated */
  const char *help;          /* one line, with the unit */
} zh_parameter;

/* Faults that --inject puts in, for tests and for doubters; each must be caught. */
typedef enum zh_fault {
  ZH_FAULT_NONE,
  ZH_FAULT_WEIGHT,
  ZH_FAULT_TOKEN,
  ZH_FAULT_ACTIVATION,
  ZH_FAULT_CLOCK,
  ZH_FAULT_CACHE,
  ZH_FAULT_STALE,
  ZH_FAULT_LAYER,
  ZH_FAULT_LAYERS,
  ZH_FAULT_SWAP,
  ZH_FAULT_PRECISION,
  ZH_FAULT_EXPERT,
  ZH_FAULT_EXPERTS,
  ZH_FAULT_TILE,
  ZH_FAULTS
} zh_fault;
/* "none", "weight", ..., NULL-terminated. */
extern const char *const zh_fault_names[ZH_FAULTS + 1];

/* What a step is given. Borrowed for the life of the workload's state. */
typedef struct zh_job {
  json_t *parameters;   /* object: every parameter of the table, defaults filled in, types checked */
  const char *model;    /* as zh_model_open takes it; NULL when the workload needs none */
  const char *model_sm3;   /* of the model's files, as run.json has it */
  const char *content_sm3; /* of the model, as it was counted (bench/content.h); NULL: not held against anything */
  uint64_t seed;        /* drawn after the build; the step's own */
  uint64_t run_seed;    /* of which it was made: the same for all steps and models of the run */
  zh_threads *threads;
  const zh_comm *comm;
  zh_fault fault;
  const char *step;     /* the step's name */
  const char *nonce;    /* the laboratory's; NULL: no certificate is asked for */
  const char *packed_cache; /* folder where rearranged weights are kept between starts; NULL: nowhere */
  int device;           /* zh_engine_options.device: 0, the CPU; else the N-th GPU */
  const char *folder;   /* where the step may leave files for the bundle: certificate.jsonl */
  json_t *facts;        /* object the workload may fill: things a reader wants beside the numbers (bytes, entropy) */
  json_t *checks;       /* array the workload fills: {"check","what","bound","error","passed"} */
  json_t *series;       /* array that zh_job_series fills; the harness's own */
  zh_gpu_watch *watch;  /* a workload adds the GPUs that it computes on; NULL: nobody watches */
} zh_job;

typedef enum zh_sample_kind {
  ZH_SAMPLE_RATE,  /* sample is nanoseconds; value = work / seconds */
  ZH_SAMPLE_TIME,  /* sample is nanoseconds; value = seconds / work */
  ZH_SAMPLE_VALUE  /* sample is the value itself */
} zh_sample_kind;

/* One figure that a workload measures. */
typedef struct zh_case {
  char metric[160];     /* "read_all_cores", "fp32_512x512x512"; unique within the step */
  char unit[16];        /* "B/s", "FLOP/s", "token/s", "s" */
  zh_sample_kind kind;
  double work;          /* bytes, operations, tokens … of one repeat */
  char peak[48];        /* "memory/read_all_cores": the figure it stands against; "" where there is none */
  double peak_per_unit; /* how much of the peak's unit one unit takes: bytes a token, FLOP a token; 1 for same units */
  char other_peak[48];  /* a second limit, as the first; the figure stands against the one that it comes nearer to */
  double other_per_unit;
  bool more_is_better;
  int repeats;          /* 0: the step's rule; > 0: this many (a perplexity is computed once) */
  double margin;        /* half of the 95 % interval of a value that has its own; 0: that of the samples */
} zh_case;

/* A metric a workload can give, so that a suite's criteria are checked before anything runs. */
typedef struct zh_metric {
  const char *name; /* "read_all_cores", or a pattern with '*' where the name carries a shape: "fp32_*" */
  const char *unit; /* base unit: "B/s" */
} zh_metric;

typedef struct zh_workload {
  const char *name;
  const char *summary_zh, *summary_en;
  const zh_parameter *parameters; /* ends with name == NULL */
  bool needs_model;
  zh_fault own_fault; /* what it takes of --inject where it needs no model */
  int ranks_min; /* 1; `mpi` needs 2 for point to point */
  /* What the names of files begin with that an interrupted step leaves in its folder and goes on from, with any number
   * of ranks; NULL: it begins again. */
  const char *keeps;
  /* What can be said of the parameters before anything is measured, beyond their types. May be NULL. */
  zh_status (*check)(const zh_job *job, zh_error *err);
  /* Builds the state; *cases is how many figures there are. What it has put into *state is released, on failure, too:
   * release takes a state that is half made. */
  zh_status (*prepare)(void **state, size_t *cases, zh_job *job, zh_error *err);
  void (*describe)(const void *state, size_t index, zh_case *out);
  /* One repeat of one case; every rank calls it. *sample as zh_sample_kind says; the harness takes the slowest rank's
   * time. warmup: the repeat is not kept. */
  zh_status (*run)(void *state, size_t index, bool warmup, double *sample, zh_error *err);
  /* Checks the last repeat, outside any timing. ZH_ERR_CHECK with operator, place, bound and error: the figure is then
   * not reported. Called after each repeat. */
  zh_status (*verify)(void *state, size_t index, zh_error *err);
  /* After the last repeat of all cases: whole-run checks (replay, weight digest). May be NULL. */
  zh_status (*finish)(void *state, zh_error *err);
  void (*release)(void *state);
  /* Positions of context that one sequence takes, by the step's parameters alone: a plan that asks for more than the
   * model holds is refused before anything is measured. NULL: none. */
  int64_t (*positions)(const zh_job *job);
  const zh_metric *metrics; /* ends with name == NULL; NULL: not declared, criteria are checked after the run */
} zh_workload;

const zh_workload *const *zh_workloads(void); /* NULL-terminated */
const zh_workload *zh_workload_find(const char *name);

/* Typed reading of job->parameters; they are known to be there. */
int64_t zh_job_int(const zh_job *job, const char *name);
size_t zh_job_ints(const zh_job *job, const char *name, int64_t *out, size_t capacity);
const char *zh_job_word(const zh_job *job, const char *name);

/* Times that a workload keeps of a case for such a series; zero to begin with, free(ns) at the end. */
typedef struct zh_kept_times {
  double *ns;
  size_t count, capacity;
} zh_kept_times;
ZH_MUST_CHECK zh_status zh_keep_time(zh_kept_times *times, double ns, zh_error *err);

/* A further series beside the cases (inter-token times): becomes its own measurement with its own samples. Rank 0's
 * samples are kept. */
ZH_MUST_CHECK zh_status zh_job_series(zh_job *job, const zh_case *what, const double *samples, size_t count, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
