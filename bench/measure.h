/* One step on one rank: warm-up, repeats, stopping rule, checks, statistics. */
#ifndef ZH_BENCH_MEASURE_H
#define ZH_BENCH_MEASURE_H

#include "bench/suite.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_measure_rules {
  int warmup;
  zh_repeats repeats;
  double deadline_s; /* once 80 % of it is gone, no more than the least number of repeats is made */
} zh_measure_rules;

/* Two clocks must agree on every repeat and on the whole step to 1 % + 50 us (docs/metrics.md, "Clocks"). */
#define ZH_CLOCK_RELATIVE 0.01
#define ZH_CLOCK_SLACK_NS 50000.0
bool zh_clocks_agree(double elapsed_ns, double reference_ns);

/* Whether enough repeats were made. values: `count` so far. */
bool zh_measure_enough(const zh_repeats *rule, const double *values, size_t count);

/* Array of {"metric","unit","kind","work","peak","per_unit","other_peak","other_per_unit","more_is_better","value","ci95","n","samples","warmup"};
 * the same on every rank, to be kept by rank 0. Any rank's failure is every rank's failure. */
ZH_MUST_CHECK zh_status zh_measure(json_t **out, const zh_measure_rules *rules, const zh_workload *workload,
                                   zh_job *job, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
