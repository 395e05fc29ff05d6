/* One model over several ranks, as its trial sees it: who holds what, and that all agree. */
#include <stdlib.h>
#include <string.h>

#include "bench/content.h"
#include "bench/engine/device_engine.h"
#include "bench/engine/inside.h"
#include "bench/engine/trial.h"

const char *const zh_parallels[] = {"none", "tensor", "pipeline", "nodes", NULL};

static const char *parallel_word(const zh_job *job) {
  const char *word = json_string_value(json_object_get(job->parameters, "parallel"));
  return word ? word : zh_parallels[0];
}

bool zh_job_is_parallel(const zh_job *job) {
  return strcmp(parallel_word(job), "none") != 0 && job->comm && job->comm->size > 1;
}

zh_split zh_job_split(const zh_job *job) {
  const char *word = parallel_word(job);
  if (strcmp(word, "pipeline") == 0) return ZH_SPLIT_PIPELINE;
  return strcmp(word, "nodes") == 0 ? ZH_SPLIT_NODES : ZH_SPLIT_TENSOR;
}

zh_group_choice zh_job_group(const zh_job *job) {
  const char *word = json_string_value(json_object_get(job->parameters, "group"));
  int choice = ZH_GROUP_AUTO;
  for (int i = 0; word && zh_group_words[i]; ++i)
    if (strcmp(word, zh_group_words[i]) == 0) choice = i;
  return (zh_group_choice)choice;
}

zh_status zh_trial_agree(const zh_job *job, zh_status mine, zh_error *err) {
  return zh_job_is_parallel(job) ? zh_comm_agree(job->comm, mine, err) : mine;
}

static bool overlap(const unsigned char *a, uint64_t a_bytes, const unsigned char *b,
                    uint64_t b_bytes) {
  return a && (uintptr_t)a < (uintptr_t)b + b_bytes && (uintptr_t)b < (uintptr_t)a + a_bytes;
}

/* Rows that are put together may come from anywhere in their tensors. */
static bool is_read(const void *user, const unsigned char *data, size_t bytes) {
  const zh_weights *weights = user;
  for (size_t i = 0; i < zh_weights_count(weights); ++i) {
    const zh_weight *w = zh_weights_at(weights, i);
    const zh_tensor *part;
    if (!zh_weight_is_made(w)) {
      uint64_t begin = zh_weight_offset(w, 0),
               end = zh_weight_offset(w, w->matrix.rows - 1) + zh_weight_row_bytes(w);
      if (overlap((const unsigned char *)w->tensor->data + begin, end - begin, data, bytes))
        return true;
      continue;
    }
    for (int k = 0; (part = zh_source_part(w->source, k)) != NULL; ++k)
      if (overlap(part->data, part->bytes, data, bytes)) return true;
  }
  return false;
}

zh_status zh_trial_digest_parts(char out[ZH_DIGEST_HEX], zh_trial *trial, zh_error *err) {
  return zh_content_digest_together(out, trial->model, trial->job->threads, trial->job->comm,
                                    is_read, &trial->engine->weights, err);
}

/* What a rank holds. */
typedef struct holding {
  zh_part part;
  uint32_t first_layer, layers;
  uint64_t weights, kv, activations; /* bytes */
  char weights_sm3[ZH_DIGEST_HEX];
  int gpu; /* -1: the CPU */
  char gpu_name[128], gpu_bus[32];
} holding;

static json_t *gpu_json(const holding *h) {
  if (h->gpu < 0) return NULL;
  return json_pack("{s:i, s:s, s:s}", "index", h->gpu, "name", h->gpu_name, "bus", h->gpu_bus);
}

static json_t *holding_json(const holding *h, int rank) {
  return json_pack("{s:i, s:i, s:i, s:i, s:i, s:s, s:I, s:I, s:I, s:o*}", "rank", rank,
                   "first_layer", (int)h->first_layer, "layers", (int)h->layers, "part",
                   h->part.index, "parts", h->part.parts, "weights_sm3", h->weights_sm3,
                   "memory_weights_bytes", (json_int_t)h->weights, "memory_kv_bytes",
                   (json_int_t)h->kv, "memory_activations_bytes", (json_int_t)h->activations, "gpu",
                   gpu_json(h));
}

zh_status zh_trial_say_ranks(zh_trial *trial, zh_error *err) {
  const zh_comm *comm = trial->job->comm;
  const zh_engine *e = trial->engine;
  if (!zh_job_is_parallel(trial->job)) return ZH_OK;
  zh_engine_cost cost = zh_engine_cost_of(e);
  holding mine = {.part = e->stages.part,
                  .first_layer = e->weights.first_layer,
                  .layers = e->architecture.layers,
                  .weights = cost.memory_weights,
                  .kv = cost.memory_kv,
                  .activations = cost.memory_activations,
                  .gpu = -1};
  if (e->device) {
    mine.gpu = e->device->index;
    memcpy(mine.gpu_name, e->device->facts.name, sizeof mine.gpu_name);
    memcpy(mine.gpu_bus, e->device->facts.bus, sizeof mine.gpu_bus);
  }
  memcpy(mine.weights_sm3, trial->weights_sm3, sizeof mine.weights_sm3);
  holding *all = calloc((size_t)comm->size, sizeof *all);
  zh_status status =
      all ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for what the ranks hold");
  json_t *list = json_array();
  status = zh_comm_agree(comm, status, err);
  if (status == ZH_OK) status = comm->gather(comm, &mine, sizeof mine, all, 0, err);
  for (int i = 0; status == ZH_OK && comm->rank == 0 && i < comm->size; ++i)
    json_array_append_new(list, holding_json(&all[i], i));
  free(all);
  if (status != ZH_OK) json_decref(list);
  ZH_TRY(status);
  ZH_TRY(zh_trial_fact(trial, "ranks_of_one_model", json_integer(comm->size), err));
  ZH_TRY(zh_trial_fact(trial, "nodes_of_one_model", json_integer(e->stages.nodes), err));
  return zh_trial_fact(trial, "parts", list, err);
}

zh_status zh_trial_report_check(zh_trial *trial, zh_error *err) {
  const zh_job *job = trial->job;
  if (zh_job_is_parallel(job)) ZH_TRY(zh_check_join(trial->check, job->comm, err));
  return zh_trial_agree(job, zh_check_report(trial->check, job->checks, err), err);
}

zh_status zh_trial_same_chain(zh_trial *trial, const char chain[65], zh_error *err) {
  const zh_comm *comm = trial->job->comm;
  char first[65];
  if (!zh_job_is_parallel(trial->job)) return ZH_OK;
  memcpy(first, chain, sizeof first);
  ZH_TRY(comm->broadcast(comm, first, sizeof first, 0, err));
  double differs = strcmp(first, chain) == 0 ? 0 : comm->rank;
  ZH_TRY(comm->max_f64(comm, &differs, 1, err));
  ZH_TRY(zh_trial_record(trial, "ranks", "the chain of every rank against rank 0's", 0, differs,
                         differs == 0, err));
  if (differs == 0) return ZH_OK;
  return zh_fail(
      err, ZH_ERR_CHECK,
      "ranks: the chain of rank %.0f is not that of rank 0; ranks that compute one model "
      "together must have the same bits in all logits",
      differs);
}
