/* Private to the workload `quality`. */
#ifndef ZH_BENCH_WORKLOADS_QUALITY_H
#define ZH_BENCH_WORKLOADS_QUALITY_H

#include "bench/engine/trial.h"
#include "bench/quality/chat_form.h"
#include "bench/quality/sitting.h"

typedef struct zh_quality {
  zh_job *job;
  zh_model *model;               /* for its tokenizer; the trial opens it again under its checks */
  zh_conversation *conversation; /* NULL: prompts are plain texts */
  zh_chat_form chat;
  zh_exam *exam;
  zh_sitting *sitting;
  zh_trial trial;
  zh_examinee *examinee;
  char how[256], protocol_sm3[ZH_DIGEST_HEX];
  uint64_t seed; /* of made items */
  bool together; /* the ranks hold one model */
  zh_sitting_options sitting_options;
  zh_sitting_count *counts;  /* [tasks], of all ranks */
  double seconds;            /* of answering, the slowest rank's */
  double *reference, *again; /* log-likelihoods of the first group, checked and timed */
  size_t reference_count;
  uint32_t *tokens;          /* of the pass that shows what the engine can do */
  size_t token_count, depth; /* of each sequence, positions before them */
  int64_t told_ns;
} zh_quality;

/* The tasks that the parameters name. seed: of made items, where the parameters give none. chat:
 * how prompts are put; NULL: as plain texts. */
ZH_MUST_CHECK zh_status zh_quality_open_exam(zh_exam **out, const zh_job *job, uint64_t seed,
                                             const zh_chat_form *chat, zh_error *err);
uint64_t zh_quality_seed(const zh_job *job);

/* Rank 0: scores, files, facts, figures. */
ZH_MUST_CHECK zh_status zh_quality_record(zh_quality *q, zh_error *err);

#endif
