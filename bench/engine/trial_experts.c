/* How the experts of a model lay over the ranks that held it together, and how evenly what was
 * timed fell on them. */
#include <stdlib.h>
#include <string.h>

#include "bench/engine/device_engine.h"
#include "bench/engine/experts.h"
#include "bench/engine/trial.h"

zh_expert_split zh_job_experts(const zh_job *job) {
  const char *word = json_string_value(json_object_get(job->parameters, "experts"));
  int choice = ZH_EXPERTS_AUTO;
  for (int i = 0; word && zh_expert_words[i]; ++i)
    if (strcmp(word, zh_expert_words[i]) == 0) choice = i;
  return (zh_expert_split)choice;
}

/* What a rank says: its share, and the choices of tokens since the count began. */
typedef struct saying {
  uint32_t first, here;
  int index, parts;
  uint64_t choices, most,
      all;              /* its own; over its layers those of the fullest rank; of all ranks */
  uint32_t worst_layer; /* of the model */
  double worst;         /* there: the fullest rank's over the mean; 0: nothing was counted */
} saying;

static const uint64_t *counts_of(const zh_engine *e) {
  if (e->device) return zh_device_expert_counts(e);
  return e->experts ? e->experts->counted[0] : NULL;
}

static saying say(const zh_engine *e) {
  const uint64_t *counted = counts_of(e);
  saying s = {.first = e->weights.first_expert,
              .here = e->weights.experts_here,
              .index = e->stages.part.index,
              .parts = e->stages.part.parts};
  for (uint32_t l = 0; counted && l < e->architecture.layers; ++l, counted += ZH_COUNTS) {
    double mean = (double)counted[ZH_COUNT_CHOICES] / s.parts,
           ratio = mean > 0 ? (double)counted[ZH_COUNT_MOST] / mean : 0;
    s.choices += counted[ZH_COUNT_HERE];
    s.most += counted[ZH_COUNT_MOST];
    s.all += counted[ZH_COUNT_CHOICES];
    if (ratio <= s.worst) continue;
    s.worst = ratio;
    s.worst_layer = e->weights.first_layer + l;
  }
  return s;
}

/* Of each stage one rank's word: all of them saw the same choices. */
static void add_imbalance(json_t *fact, const saying *all, int ranks) {
  double most = 0, mean = 0;
  const saying *worst = &all[0];
  json_t *list = json_array();
  for (int i = 0; i < ranks; ++i) {
    const saying *s = &all[i];
    json_array_append_new(list,
                          json_pack("{s:i,s:i,s:i,s:I}", "rank", i, "first", (int)s->first, "count",
                                    (int)s->here, "choices", (json_int_t)s->choices));
    if (s->worst > worst->worst) worst = s;
    if (s->index > 0) continue;
    most += (double)s->most;
    mean += (double)s->all / s->parts;
  }
  json_object_set_new(fact, "ranks", list);
  if (!(mean > 0)) return;
  json_object_set_new(fact, "imbalance", json_real(most / mean));
  json_object_set_new(fact, "imbalance_most", json_real(worst->worst));
  json_object_set_new(fact, "imbalance_most_layer", json_integer((json_int_t)worst->worst_layer));
}

static json_t *fact_of(const zh_trial *trial, const saying *all, int ranks) {
  const zh_engine *e = trial->engine;
  const char *held = e->stages.part.parts == 1  ? "undivided"
                     : e->weights.whole_experts ? "whole"
                                                : "columns";
  json_t *fact =
      json_pack("{s:s,s:s}", "held", held, "asked", zh_expert_words[zh_job_experts(trial->job)]);
  if (fact && e->weights.whole_experts) add_imbalance(fact, all, ranks);
  return fact;
}

zh_status zh_trial_say_experts(zh_trial *trial, zh_error *err) {
  const zh_comm *comm = trial->job->comm;
  trial->step_bytes = zh_engine_cost_of(trial->engine).weight_bytes;
  if (!zh_job_is_parallel(trial->job) || trial->engine->weights.total.expert_bytes == 0)
    return ZH_OK;
  saying mine = say(trial->engine), *all = calloc((size_t)comm->size, sizeof *all);
  zh_status status =
      all ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for what the ranks hold");
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = comm->gather(comm, &mine, sizeof mine, all, 0, err);
  if (status == ZH_OK)
    status = zh_trial_fact(trial, "experts", fact_of(trial, all, comm->size), err);
  free(all);
  return status;
}
