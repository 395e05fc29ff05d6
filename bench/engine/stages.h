/* Where a rank stands among those that hold one model, and hidden states on their way from the
 * ranks of one stage to those of the next. Calls that are collective say so. */
#ifndef ZH_BENCH_ENGINE_STAGES_H
#define ZH_BENCH_ENGINE_STAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/comm.h"
#include "bench/engine/engine.h"
#include "bench/engine/weights.h"

typedef struct zh_stages {
  const zh_comm *comm; /* of the job */
  zh_part part;        /* this rank's */
  zh_comm *tied;       /* the ranks of this stage, where they are not all; NULL else */
  int before, after;   /* the rank that gives hidden states to this one, and takes them; -1: none */
  int nodes;           /* of the job */
  int head;            /* the first rank that has logits */
  float *on_their_way; /* [ZH_COMM_SENDS][floats] */
  size_t floats;
  int turn;
  bool sending[ZH_COMM_SENDS];
} zh_stages;

/* Collective. Closed also after a failure. */
ZH_MUST_CHECK zh_status zh_stages_find(zh_stages *out, const zh_ranks *ranks, zh_error *err);
/* floats: of the most hidden states that are given at once. */
ZH_MUST_CHECK zh_status zh_stages_reserve(zh_stages *stages, size_t floats, zh_error *err);
void zh_stages_close(zh_stages *stages);

/* The communicator of the ranks that share this stage's layers; NULL where one has them alone. */
const zh_comm *zh_stages_tied(const zh_stages *stages);
/* From the stage before, if there is one; waits. */
ZH_MUST_CHECK zh_status zh_stages_take(zh_stages *stages, float *x, size_t floats, zh_error *err);
/* To the stage after, if there is one; x may be changed at once. */
ZH_MUST_CHECK zh_status zh_stages_give(zh_stages *stages, const float *x, size_t floats,
                                       zh_error *err);
/* Until all that was given has gone. */
ZH_MUST_CHECK zh_status zh_stages_settle(zh_stages *stages, zh_error *err);

#endif
