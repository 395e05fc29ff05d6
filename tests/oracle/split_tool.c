/* split_tool MODEL exact|fast tensor|pipeline|nodes TOKENS NODES THREADS OUT: reads a prompt and
 * generates TOKENS tokens in each of two sequences with one model over all ranks, and writes what
 * this rank found to OUT.<rank>.json. Ranks play NODES nodes. Under mpirun; alone it is one rank.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/engine/inside.h"
#include "bench/engine/reduce.h"
#include "core/json.h"
#include "core/philox.h"

enum { SEQUENCES = 2, PROMPT = 21, MICRO_BATCH = 40 };

typedef struct probe {
  zh_engine *engine;
  uint32_t vocab;
  float *logits; /* [SEQUENCES * PROMPT][vocab] */
  uint32_t fed[SEQUENCES];
  json_t *tokens, *sums, *values;
} probe;

static zh_status feed(probe *p, const uint32_t *tokens, size_t each, uint32_t first,
                      const bool *want, zh_error *err) {
  uint32_t position[SEQUENCES * PROMPT], sequence[SEQUENCES * PROMPT];
  for (size_t i = 0; i < SEQUENCES * each; ++i) {
    position[i] = first + (uint32_t)(i % each);
    sequence[i] = (uint32_t)(i / each);
  }
  size_t wanted = SEQUENCES * each;
  ZH_TRY(zh_engine_forward(p->engine, tokens, position, sequence, wanted, want, p->logits, err));
  return zh_engine_share(p->engine, p->logits, wanted * p->vocab * sizeof *p->logits, err);
}

static void answer(probe *p, const float *logits, uint32_t sequence) {
  p->fed[sequence] = (uint32_t)zh_kernels_reference()->argmax(logits, p->vocab);
  json_array_append_new(p->tokens, json_integer(p->fed[sequence]));
  json_array_append_new(p->sums, json_integer((json_int_t)zh_sum_of_bits(logits, p->vocab)));
}

static zh_status generate(probe *p, int tokens, zh_error *err) {
  uint32_t prompt[SEQUENCES * PROMPT];
  bool all[SEQUENCES * PROMPT];
  zh_random_fill(prompt, SEQUENCES * PROMPT, 11, 0, 0);
  for (int i = 0; i < SEQUENCES * PROMPT; ++i) {
    prompt[i] %= p->vocab;
    all[i] = true;
  }
  ZH_TRY(feed(p, prompt, PROMPT, 0, all, err));
  for (uint32_t s = 0; s < SEQUENCES; ++s)
    answer(p, p->logits + ((s + 1) * PROMPT - 1) * (size_t)p->vocab, s);
  for (size_t i = 0; i < SEQUENCES * PROMPT * (size_t)p->vocab; i += 7)
    json_array_append_new(p->values, json_real((double)p->logits[i]));
  for (int i = 1; i < tokens; ++i) {
    ZH_TRY(feed(p, p->fed, 1, PROMPT + (uint32_t)i - 1, all, err));
    for (uint32_t s = 0; s < SEQUENCES; ++s) answer(p, p->logits + s * (size_t)p->vocab, s);
  }
  return ZH_OK;
}

/* Each rank on CPUs of its own, as far as there are any. */
static zh_status start_threads(zh_threads **out, int rank, int count, zh_error *err) {
  int cpus[16], online = (int)sysconf(_SC_NPROCESSORS_ONLN);
  if (count < 1 || count > 16) return zh_fail(err, ZH_ERR_ARG, "1 to 16 threads, not %d", count);
  for (int i = 0; i < count; ++i) cpus[i] = (rank * count + i) % online;
  return zh_threads_create(out, count, cpus, err);
}

static zh_split split_of(const char *word) {
  if (strcmp(word, "pipeline") == 0) return ZH_SPLIT_PIPELINE;
  return strcmp(word, "nodes") == 0 ? ZH_SPLIT_NODES : ZH_SPLIT_TENSOR;
}

static zh_status run(const zh_comm *comm, char **argv, zh_error *err) {
  zh_model *model = NULL;
  zh_threads *threads = NULL;
  probe p = {.tokens = json_array(), .sums = json_array(), .values = json_array()};
  char path[4096];
  ZH_TRY(zh_model_open(&model, argv[1], err));
  ZH_TRY(start_threads(&threads, comm->rank, atoi(argv[6]), err));
  zh_ranks ranks = {.comm = comm, .split = split_of(argv[3])};
  zh_engine_options options = {.precision = strcmp(argv[2], "exact") == 0 ? ZH_PRECISION_EXACT
                                                                          : ZH_PRECISION_FAST,
                               .sequences = SEQUENCES,
                               .context = 64,
                               .micro_batch = MICRO_BATCH,
                               .ranks = &ranks};
  ZH_TRY(zh_engine_create(&p.engine, model, threads, &options, err));
  p.vocab = zh_engine_architecture(p.engine)->vocab;
  p.logits = malloc(SEQUENCES * PROMPT * (size_t)p.vocab * sizeof *p.logits);
  if (!p.logits) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for logits");
  ZH_TRY(generate(&p, atoi(argv[4]), err));
  zh_engine_cost cost = zh_engine_cost_of(p.engine);
  json_t *found = json_pack(
      "{s:i,s:i,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I}", "ranks", comm->size, "nodes",
      p.engine->stages.nodes, "tokens", p.tokens, "sums", p.sums, "values", p.values,
      "held_weights", (json_int_t)cost.memory_weights, "held_kv", (json_int_t)cost.memory_kv,
      "weights", (json_int_t)cost.weight_bytes, "flop", (json_int_t)cost.attention_flops_per_pair,
      "layers", (json_int_t)p.engine->architecture.layers);
  snprintf(path, sizeof path, "%s.%d.json", argv[7], comm->rank);
  zh_status status = zh_json_write_file(found, path, err);
  json_decref(found);
  zh_engine_free(p.engine);
  free(p.logits);
  zh_threads_free(threads);
  zh_model_free(model);
  return status;
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  zh_comm *comm = NULL;
  char node[16];
  if (argc != 8) return 2;
  zh_status status =
      getenv("OMPI_COMM_WORLD_SIZE") ? zh_comm_open_mpi(&comm, &err) : zh_comm_solo(&comm, &err);
  if (status == ZH_OK) {
    snprintf(node, sizeof node, "%d", comm->rank * atoi(argv[5]) / comm->size);
    setenv("ZHIHENG_NODE", node, 1);
    status = run(comm, argv, &err);
  }
  if (status != ZH_OK) fprintf(stderr, "split_tool: %s\n", err.message);
  zh_comm_finish(comm);
  return status == ZH_OK ? 0 : zh_status_exit_code(status);
}
