/* One model over several ranks, which are processes here, on their CPUs: whole experts shared out
 * among them, evenly or not, answer as one rank does, with the same bits on all ranks and every
 * operator under the self-check; and tokens are drawn alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/comm_exchange.h"
#include "bench/engine/check.h"
#include "bench/engine/experts.h"
#include "bench/engine/inside.h"
#include "bench/engine/sampling.h"
#include "core/files.h"
#include "tests/unit/bench/processes.h"

enum { PROMPT = 23, STEPS = 8, SEQUENCES = 2, CONTEXT = PROMPT + STEPS };
static char data[64];

static int start(void **state) {
  char folder[] = "/tmp/zh-experts-XXXXXX", command[1024];
  (void)state;
  if (!mkdtemp(folder)) return 1;
  snprintf(data, sizeof data, "%s", folder);
  snprintf(command, sizeof command,
           "mkdir '%s/model' && cp -r '%s/model/families' '%s/model/' && "
           "cp '%s/tests/golden/classes/classes.yaml' '%s/model/'",
           folder, ZH_SOURCE_DIR, folder, ZH_SOURCE_DIR, folder);
  return system(command) != 0;
}

static int stop(void **state) {
  (void)state;
  return zh_remove_tree(data, NULL) != ZH_OK;
}

typedef struct kind {
  const char *model;
  zh_precision precision;
  zh_split split;
  int ranks, nodes, threads;
  double part; /* of the largest logit, that one rank's may be off */
} kind;

typedef struct rig {
  const zh_comm *comm;
  const kind *kind;
  zh_threads *threads;
  zh_model *model;
  zh_engine *engine;
  uint32_t token[SEQUENCES * PROMPT], position[SEQUENCES * PROMPT], sequence[SEQUENCES * PROMPT];
  float *logits; /* [SEQUENCES PROMPT][vocab] */
  uint32_t vocab;
} rig;

static zh_status open_engine(zh_engine **out, const rig *r, const zh_ranks *ranks, zh_error *err) {
  zh_engine_options options = {.precision = r->kind->precision,
                               .sequences = SEQUENCES,
                               .context = CONTEXT,
                               .micro_batch = 40, /* the prompts take two */
                               .kv = ZH_KV_F32,
                               .ranks = ranks};
  return zh_engine_create(out, r->model, r->threads, &options, err);
}

static zh_status open_rig(rig *r, const zh_comm *comm, const kind *k, zh_error *err) {
  char path[512], node[16];
  zh_ranks ranks = {.comm = comm, .split = k->split, .experts = ZH_EXPERTS_WHOLE};
  *r = (rig){.comm = comm, .kind = k};
  snprintf(node, sizeof node, "%d", comm->rank * k->nodes / comm->size);
  setenv("ZHIHENG_NODE", node, 1);
  if (strncmp(k->model, "zh-tiny", 7) == 0) setenv("ZHIHENG_DATA", data, 1);
  snprintf(path, sizeof path, "%s/tests/golden/families/%s", ZH_SOURCE_DIR, k->model);
  ZH_TRY(zh_threads_create_crowded(&r->threads, k->threads, err));
  ZH_TRY(zh_model_open(&r->model, strncmp(k->model, "zh-", 3) == 0 ? k->model : path, err));
  ZH_TRY(open_engine(&r->engine, r, &ranks, err));
  r->vocab = r->engine->architecture.vocab;
  for (uint32_t i = 0; i < SEQUENCES * PROMPT; ++i) {
    r->token[i] = (i * 37 + i * i) % r->vocab;
    r->position[i] = i % PROMPT;
    r->sequence[i] = i / PROMPT;
  }
  r->logits = calloc((size_t)SEQUENCES * PROMPT * r->vocab, sizeof(float));
  return ZH_OK;
}

static void close_rig(rig *r) {
  zh_engine_free(r->engine);
  zh_model_free(r->model);
  zh_threads_free(r->threads);
  free(r->logits);
}

static zh_status feed(const rig *r, zh_engine *engine, float *logits, zh_error *err) {
  bool all[SEQUENCES * PROMPT];
  size_t count = SEQUENCES * PROMPT;
  for (size_t i = 0; i < count; ++i) all[i] = true;
  ZH_TRY(zh_engine_forward(engine, r->token, r->position, r->sequence, count, all, logits, err));
  return zh_engine_share(engine, logits, count * r->vocab * sizeof *logits, err);
}

static zh_status under_check(rig *r, zh_error *err) {
  zh_check *check = NULL;
  ZH_TRY(zh_check_create(&check, r->engine, 17, err));
  zh_status status = zh_check_attach(check, err);
  if (status == ZH_OK) status = feed(r, r->engine, r->logits, err);
  zh_check_detach(check);
  if (status == ZH_OK) status = zh_check_report(check, NULL, err);
  zh_check_free(check);
  return status;
}

static zh_status same_on_all_ranks(const rig *r, const void *mine, size_t bytes, const char *what,
                                   zh_error *err) {
  unsigned char *all = calloc((size_t)r->comm->size, bytes);
  zh_exchange exchange = zh_comm_exchange(r->comm);
  zh_status status = exchange.gather(exchange.context, all, mine, bytes, err);
  for (int i = 1; status == ZH_OK && i < r->comm->size; ++i)
    if (memcmp(all + (size_t)i * bytes, all, bytes) != 0)
      status = zh_fail(err, ZH_ERR_CHECK, "rank %d has other %s than rank 0", i, what);
  free(all);
  return status;
}

static zh_status compare(const rig *r, const float *expected, zh_error *err) {
  double largest = 0, worst = 0;
  for (size_t i = 0; i < (size_t)SEQUENCES * PROMPT * r->vocab; ++i) {
    largest = fmax(largest, fabs((double)expected[i]));
    worst = fmax(worst, fabs((double)expected[i] - (double)r->logits[i]));
  }
  if (worst <= r->kind->part * largest) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK, "a logit is %g off one rank's, of %g", worst, largest);
}

/* Rank 0, alone. */
static zh_status against_one_rank(const rig *r, zh_error *err) {
  zh_engine *engine = NULL;
  float *logits = calloc((size_t)SEQUENCES * PROMPT * r->vocab, sizeof *logits);
  zh_status status = open_engine(&engine, r, NULL, err);
  if (status == ZH_OK) status = feed(r, engine, logits, err);
  if (status == ZH_OK) status = compare(r, logits, err);
  zh_engine_free(engine);
  free(logits);
  return status;
}

/* Each rank has its choices, all together every one; all know how many the fullest had. */
static zh_status choices_are_counted(const rig *r, zh_error *err) {
  const zh_engine *e = r->engine;
  uint64_t own = 0, most = 0, all = 0, here = 0, each[RANKS_MAX], fullest = 0;
  zh_exchange exchange = zh_comm_exchange(r->comm);
  for (uint32_t l = 0; l < e->architecture.layers; ++l) {
    const uint64_t *counted = e->experts->counted[l];
    own += counted[ZH_COUNT_HERE];
    most += counted[ZH_COUNT_MOST];
    all += counted[ZH_COUNT_CHOICES];
    if (counted[ZH_COUNT_MOST] * (uint64_t)e->stages.part.parts < counted[ZH_COUNT_CHOICES])
      return zh_fail(err, ZH_ERR_CHECK, "the fullest rank of layer %u has less than the mean", l);
  }
  ZH_TRY(exchange.gather(exchange.context, each, &own, sizeof own, err));
  for (int i = 0; i < r->comm->size; ++i) {
    here += each[i];
    if (each[i] > fullest) fullest = each[i];
  }
  if (here == all && most >= fullest && own > 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK, "%llu choices of %llu were counted, %llu here",
                 (unsigned long long)here, (unsigned long long)all, (unsigned long long)own);
}

/* A step with one token alone takes another way than a prompt. */
static zh_status one_token(rig *r, zh_error *err) {
  uint32_t token = 5, position = PROMPT, sequence = 1;
  ZH_TRY(zh_engine_forward(r->engine, &token, &position, &sequence, 1, NULL, r->logits, err));
  ZH_TRY(zh_engine_share(r->engine, r->logits, r->vocab * sizeof(float), err));
  return same_on_all_ranks(r, r->logits, r->vocab * sizeof(float), "logits of a step", err);
}

static zh_status compute(rig *r, const zh_comm *comm, const kind *k, zh_error *err) {
  ZH_TRY(open_rig(r, comm, k, err));
  char sm3[ZH_DIGEST_HEX];
  ZH_TRY(zh_engine_digest_weights(sm3, r->engine, err));
  if (!r->engine->weights.whole_experts)
    return zh_fail(err, ZH_ERR_CHECK, "the experts are not whole");
  ZH_TRY(under_check(r, err));
  size_t bytes = (size_t)SEQUENCES * PROMPT * r->vocab * sizeof(float);
  ZH_TRY(same_on_all_ranks(r, r->logits, bytes, "logits", err));
  zh_status status = comm->rank == 0 ? against_one_rank(r, err) : ZH_OK;
  ZH_TRY(zh_comm_agree(comm, status, err));
  zh_engine_poison(r->engine, 0, 0);
  zh_engine_poison(r->engine, 1, 0);
  zh_engine_restart_count(r->engine);
  ZH_TRY(feed(r, r->engine, r->logits, err)); /* nobody observes */
  ZH_TRY(same_on_all_ranks(r, r->logits, bytes, "logits", err));
  if (k->split == ZH_SPLIT_TENSOR) ZH_TRY(choices_are_counted(r, err));
  ZH_TRY(one_token(r, err));
  return zh_engine_verify_weights(r->engine, 3, err);
}

static bool computes(const zh_comm *comm, void *user) {
  const kind *k = user;
  zh_error err = ZH_ERROR_INIT;
  rig r = {0};
  zh_status status = compute(&r, comm, k, &err);
  if (status != ZH_OK)
    print_error("%s, rank %d of %d: %s\n", k->model, comm->rank, comm->size, err.message);
  close_rig(&r);
  return status == ZH_OK;
}

#define EXACT ZH_PRECISION_EXACT
#define FAST ZH_PRECISION_FAST

/* 7, 4, 8, 8 and 11 experts; biases, shared experts, latents, dense layers first. Fast kernels that
 * round activations may round them otherwise after another order of a sum. */
static void whole_experts_are_shared_out(void **state) {
  (void)state;
  static const kind kinds[] = {{"qwen3-moe", EXACT, ZH_SPLIT_TENSOR, 2, 1, 1, 1e-6},
                               {"qwen3-moe", FAST, ZH_SPLIT_TENSOR, 4, 1, 2, 0.05},
                               {"gpt-oss", EXACT, ZH_SPLIT_TENSOR, 2, 1, 2, 1e-6},
                               {"qwen2-moe", EXACT, ZH_SPLIT_TENSOR, 2, 1, 1, 1e-6},
                               {"deepseek-v3", EXACT, ZH_SPLIT_TENSOR, 2, 1, 1, 1e-6},
                               {"zh-tiny-shares", EXACT, ZH_SPLIT_TENSOR, 3, 1, 2, 1e-6},
                               {"zh-tiny-shares", FAST, ZH_SPLIT_TENSOR, 4, 2, 1, 0.05}};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i)
    assert_true(on_ranks(kinds[i].ranks, computes, (void *)&kinds[i]));
}

static void stages_of_nodes_share_them_out(void **state) {
  (void)state;
  kind k = {"qwen3-moe", EXACT, ZH_SPLIT_NODES, 4, 2, 1, 1e-6};
  assert_true(on_ranks(k.ranks, computes, &k));
}

/* --- drawing --- */

static const zh_sampling rules[] = {{.temperature = 1.4, .seed = 3, .top_p = 1},
                                    {.temperature = 2, .seed = 8, .top_k = 30, .top_p = 1},
                                    {.temperature = 1.1, .seed = 5, .top_p = 0.8},
                                    {.temperature = 3, .seed = 6, .top_p = 1, .min_p = 0.2},
                                    {.temperature = 0, .top_p = 1}};
enum { RULES = sizeof rules / sizeof rules[0] };

static zh_status draw(uint32_t out[STEPS], const rig *r, zh_engine *engine, const zh_sampling *how,
                      zh_error *err) {
  uint32_t token = r->token[PROMPT - 1], sequence = 0;
  zh_engine_poison(engine, 0, PROMPT);
  for (uint32_t i = 0; i < STEPS; ++i) {
    uint32_t position = PROMPT + i;
    size_t next = 0;
    ZH_TRY(zh_engine_forward(engine, &token, &position, &sequence, 1, NULL, r->logits, err));
    ZH_TRY(zh_sample_next(&next, engine, r->logits, how, i, err));
    out[i] = token = (uint32_t)next;
  }
  return ZH_OK;
}

static zh_status draw_alone(const rig *r, uint32_t drawn[RULES][STEPS], zh_error *err) {
  zh_engine *engine = NULL;
  uint32_t alone[STEPS];
  zh_status status = open_engine(&engine, r, NULL, err);
  if (status == ZH_OK) status = feed(r, engine, r->logits, err);
  for (int i = 0; i < RULES && status == ZH_OK; ++i) {
    status = draw(alone, r, engine, &rules[i], err);
    if (status == ZH_OK && memcmp(alone, drawn[i], sizeof alone) != 0)
      status = zh_fail(err, ZH_ERR_CHECK, "one rank draws other tokens by rule %d", i);
  }
  zh_engine_free(engine);
  return status;
}

static zh_status draw_all(rig *r, const zh_comm *comm, const kind *k, zh_error *err) {
  uint32_t out[RULES][STEPS];
  ZH_TRY(open_rig(r, comm, k, err));
  ZH_TRY(feed(r, r->engine, r->logits, err));
  for (int i = 0; i < RULES; ++i) ZH_TRY(draw(out[i], r, r->engine, &rules[i], err));
  ZH_TRY(same_on_all_ranks(r, out, sizeof out, "tokens", err));
  return comm->rank == 0 ? draw_alone(r, out, err) : ZH_OK;
}

static bool draws(const zh_comm *comm, void *user) {
  const kind *k = user;
  zh_error err = ZH_ERROR_INIT;
  rig r = {0};
  zh_status status = zh_comm_agree(comm, draw_all(&r, comm, k, &err), &err);
  if (status != ZH_OK) print_error("%s, rank %d: %s\n", k->model, comm->rank, err.message);
  close_rig(&r);
  return status == ZH_OK;
}

static void tokens_are_drawn_over_ranks(void **state) {
  (void)state;
  static const kind kinds[] = {{"qwen3-moe", EXACT, ZH_SPLIT_TENSOR, 2, 1, 1, 0},
                               {"zh-tiny-shares", EXACT, ZH_SPLIT_TENSOR, 3, 1, 1, 0},
                               {"qwen3", EXACT, ZH_SPLIT_PIPELINE, 2, 1, 1, 0},
                               {"qwen3-moe", EXACT, ZH_SPLIT_NODES, 4, 2, 1, 0}};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i)
    assert_true(on_ranks(kinds[i].ranks, draws, (void *)&kinds[i]));
}

/* --- faults --- */

/* A rank takes nothing of each token's last choice, or computes with another expert's weights: it
 * notices. */
static bool notices(const zh_comm *comm, void *user) {
  static const kind k = {"qwen3-moe", EXACT, ZH_SPLIT_TENSOR, 2, 1, 1, 0};
  const bool *swapped = user;
  zh_error err = ZH_ERROR_INIT;
  rig r = {0};
  zh_status status = open_rig(&r, comm, &k, &err);
  if (status == ZH_OK && comm->rank == 1) {
    zh_weight *first = zh_weights_own_experts(&r.engine->weights, 0);
    if (*swapped)
      for (uint32_t e = 1; e < r.engine->weights.experts_here; ++e)
        first[ZH_EXPERT_UP + (size_t)e * ZH_EXPERT_SLOTS].matrix = first[ZH_EXPERT_UP].matrix;
    else
      r.engine->tamper = (zh_tamper){.kind = ZH_TAMPER_EXPERT};
  }
  if (status == ZH_OK) status = under_check(&r, &err);
  bool good = r.engine && status == (comm->rank == 1 ? ZH_ERR_CHECK : ZH_OK);
  if (!good) print_error("rank %d: %s\n", comm->rank, err.message);
  close_rig(&r);
  return good;
}

static void faults_on_one_rank_are_noticed_there(void **state) {
  (void)state;
  for (int i = 0; i < 2; ++i) {
    bool swapped = i;
    assert_true(on_ranks(2, notices, &swapped));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whole_experts_are_shared_out),
      cmocka_unit_test(stages_of_nodes_share_them_out),
      cmocka_unit_test(tokens_are_drawn_over_ranks),
      cmocka_unit_test(faults_on_one_rank_are_noticed_there),
  };
  return cmocka_run_group_tests(tests, start, stop);
}
