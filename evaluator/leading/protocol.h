/* The protocol of a comparison, locked before it: what is asked, of whom, and what counts as
 * better. Language: docs/leading.md. */
#ifndef ZH_EVALUATOR_LEADING_PROTOCOL_H
#define ZH_EVALUATOR_LEADING_PROTOCOL_H

#include <stdbool.h>

#include "core/arena.h"
#include "core/digest.h"
#include "core/yaml.h"
#include "evaluator/calendar.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A published score, which has no answers to pair with. */
typedef struct zh_published {
  const char *task, *source; /* a task of the protocol; source NULL: not stated */
  double score;              /* 0 to 1 */
  double items;
} zh_published;

typedef struct zh_peer {
  const char *model, *sm3, *declared; /* NULL: not stated */
  bool top;                           /* the comparison is not whole without it */
  zh_published *published;
  size_t published_count;
} zh_peer;

typedef struct zh_asked {                                         /* a task */
  const char *task, *modality, *metric, *items_sm3, *prompts_sm3; /* NULL: not stated */
  double weight;
  double scale; /* the score of a perfect answer; 0: not stated */
  bool primary, required;
  int64_t items; /* 0: not stated */
} zh_asked;

typedef struct zh_protocol {
  zh_arena *arena;
  const char *path, *name, *locked;
  zh_date locked_day; /* ZH_NO_DATE: not stated */
  char sm3[ZH_DIGEST_HEX];
  const char *claimant, *claimant_sm3;
  zh_peer *peers;
  size_t peer_count;
  zh_asked *tasks;
  size_t task_count;
  const char **modalities; /* required ones */
  size_t modality_count;
  double alpha, margin;       /* margin: in units of the score, once it is divided by its scale */
  bool margin_is_bare;        /* a number without a unit, which is taken as it stands */
  const char *margin_written; /* NULL: not stated */
  int64_t replicates, seed;
  const char *contaminated; /* path of a table task,item; NULL: none */
} zh_protocol;

ZH_MUST_CHECK zh_status zh_protocol_load(zh_protocol **out, const char *path, zh_error *err);
void zh_protocol_free(zh_protocol *protocol); /* NULL is safe */
/* What the protocol says that a model's files are; NULL: nothing. */
const char *zh_protocol_model_sm3(const zh_protocol *protocol, const char *model);

#ifdef __cplusplus
}
#endif
#endif
