/* One model over the devices of several ranks, which are processes here, each with a device of
 * tests' shim: the same answers as on one, within what adding in another order makes, the same bits
 * on all ranks, every operator under the self-check; faults and lost devices; and what the largest
 * models take of each GPU, by formula. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/comm_exchange.h"
#include "bench/device_place.h"
#include "bench/engine/check.h"
#include "bench/engine/device_engine.h"
#include "core/files.h"
#include "tests/unit/bench/processes.h"

enum { PROMPT = 11, STEPS = 3, CONTEXT = PROMPT + STEPS };
static char data[64];

/* Families as they are, and standard classes small enough for tests. Nothing that a fork would not
 * carry over. */
static int start(void **state) {
  char folder[] = "/tmp/zh-ranks-XXXXXX", command[1024];
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

/* What one rank has of a case. */
typedef struct rig {
  const zh_comm *comm;
  zh_threads *threads;
  zh_model *model;
  zh_engine *engine; /* on this rank's device */
  uint32_t token[CONTEXT], position[CONTEXT], sequence[CONTEXT];
  float *logits; /* [PROMPT][vocab] */
  uint32_t vocab;
} rig;

typedef struct kind {
  const char *model;
  zh_split split;
  int nodes;   /* that the ranks play */
  double part; /* of the largest logit: how far others may be off the exact ones */
  zh_expert_split experts;
} kind;

static void open_model(rig *r, const char *name, zh_error *err) {
  char path[512];
  if (strncmp(name, "zh-", 3) == 0)
    snprintf(path, sizeof path, "%s", name);
  else
    snprintf(path, sizeof path, "%s/tests/golden/families/%s", ZH_SOURCE_DIR, name);
  (void)!zh_model_open(&r->model, path, err);
}

static zh_status open_engine(zh_engine **out, const rig *r, const zh_ranks *ranks, int device,
                             zh_error *err) {
  zh_engine_options options = {.precision = device ? ZH_PRECISION_FAST : ZH_PRECISION_EXACT,
                               .sequences = 1,
                               .context = CONTEXT,
                               .micro_batch = 8, /* so that the prompt takes two */
                               .kv = device ? ZH_KV_BF16 : ZH_KV_F32,
                               .device = device,
                               .ranks = ranks};
  return zh_engine_create(out, r->model, r->threads, &options, err);
}

static zh_status open_rig(rig *r, const zh_comm *comm, const kind *k, zh_error *err) {
  int device = 0;
  char node[16];
  *r = (rig){.comm = comm};
  zh_ranks ranks = {.comm = comm, .split = k->split, .patience_s = 20, .experts = k->experts};
  snprintf(node, sizeof node, "%d", comm->rank * k->nodes / comm->size);
  setenv("ZHIHENG_NODE", node, 1);
  if (strncmp(k->model, "zh-tiny", 7) == 0) setenv("ZHIHENG_DATA", data, 1);
  if (k->nodes > 1) { /* what ranks take of a node's devices would be the same on each */
    device = comm->rank + 1;
  } else {
    ZH_TRY(zh_device_place(&device, 1, comm, err));
    if (device != comm->rank + 1)
      return zh_fail(err, ZH_ERR_CHECK, "rank %d took GPU %d", comm->rank, device - 1);
  }
  ZH_TRY(zh_threads_create_crowded(&r->threads, 1, err));
  open_model(r, k->model, err);
  if (!r->model) return ZH_ERR_INPUT;
  ZH_TRY(open_engine(&r->engine, r, &ranks, device, err));
  r->vocab = r->engine->architecture.vocab;
  for (uint32_t i = 0; i < CONTEXT; ++i) r->token[i] = i * 7 % r->vocab, r->position[i] = i;
  r->logits = calloc((size_t)PROMPT * r->vocab, sizeof(float));
  return ZH_OK;
}

static void close_rig(rig *r) {
  zh_engine_free(r->engine);
  zh_model_free(r->model);
  zh_threads_free(r->threads);
  free(r->logits);
}

static zh_status read_prompt(const rig *r, zh_engine *engine, float *logits, zh_error *err) {
  static const bool all[PROMPT] = {true, true, true, true, true, true,
                                   true, true, true, true, true};
  ZH_TRY(zh_engine_forward(engine, r->token, r->position, r->sequence, PROMPT, all, logits, err));
  return zh_engine_share(engine, logits, (size_t)PROMPT * r->vocab * sizeof *logits, err);
}

static zh_status under_check(rig *r, zh_error *err) {
  zh_check *check = NULL;
  ZH_TRY(zh_check_create(&check, r->engine, 17, err));
  zh_status status = zh_check_attach(check, err);
  if (status == ZH_OK) status = read_prompt(r, r->engine, r->logits, err);
  zh_check_detach(check);
  if (status == ZH_OK) status = zh_check_report(check, NULL, err);
  zh_check_free(check);
  return status;
}

/* --- the same answers --- */

static zh_status same_on_all_ranks(const rig *r, zh_error *err) {
  uint64_t mine = zh_sum_of_bits(r->logits, (size_t)PROMPT * r->vocab), all[RANKS_MAX];
  zh_exchange exchange = zh_comm_exchange(r->comm);
  ZH_TRY(exchange.gather(exchange.context, all, &mine, sizeof mine, err));
  for (int i = 1; i < r->comm->size; ++i)
    if (all[i] != all[0])
      return zh_fail(err, ZH_ERR_CHECK, "rank %d has other logits than rank 0", i);
  return ZH_OK;
}

/* `part` of the largest logit; the largest stays the largest unless another comes as near as that.
 */
static zh_status compare(const rig *r, const float *expected, double part, const char *with,
                         zh_error *err) {
  const zh_kernels *kernels = zh_kernels_reference();
  for (size_t t = 0; t < PROMPT; ++t) {
    const float *want = expected + t * r->vocab, *got = r->logits + t * r->vocab;
    double largest = 0, worst = 0;
    for (uint32_t i = 0; i < r->vocab; ++i) {
      largest = fmax(largest, fabs((double)want[i]));
      worst = fmax(worst, fabs((double)want[i] - (double)got[i]));
    }
    if (!(worst <= part * largest))
      return zh_fail(err, ZH_ERR_CHECK, "a logit of token %zu is %g off %s, of %g", t, worst, with,
                     largest);
    size_t best = kernels->argmax(want, r->vocab), chosen = kernels->argmax(got, r->vocab);
    if (chosen >= r->vocab || (double)(want[best] - want[chosen]) > 2 * worst)
      return zh_fail(err, ZH_ERR_CHECK, "token %zu answers %zu, and %zu %s", t, chosen, best, with);
  }
  return ZH_OK;
}

/* Rank 0, alone. device 0: exactly. */
static zh_status against_one_rank(const rig *r, int device, double part, const char *with,
                                  zh_error *err) {
  zh_engine *engine = NULL;
  float *logits = calloc((size_t)PROMPT * r->vocab, sizeof *logits);
  zh_status status = open_engine(&engine, r, NULL, device, err);
  if (status == ZH_OK) status = read_prompt(r, engine, logits, err);
  if (status == ZH_OK) status = compare(r, logits, part, with, err);
  zh_engine_free(engine);
  free(logits);
  return status;
}

/* A generation by itself is what the host's single steps give, bit for bit. */
static zh_status generations_are_steps(rig *r, zh_error *err) {
  const zh_kernels *kernels = zh_kernels_reference();
  zh_generated made[STEPS];
  uint32_t first = (uint32_t)kernels->argmax(r->logits + (size_t)(PROMPT - 1) * r->vocab, r->vocab);
  if (!zh_engine_generates(r->engine))
    return zh_fail(err, ZH_ERR_CHECK, "the engine does not generate");
  ZH_TRY(zh_engine_generate(r->engine, &first, PROMPT, 1, STEPS, made, NULL, err));
  zh_engine_poison(r->engine, 0, PROMPT);
  for (uint32_t i = 0, token = first; i < STEPS; ++i) {
    uint32_t position = PROMPT + i, sequence = 0;
    ZH_TRY(zh_engine_forward(r->engine, &token, &position, &sequence, 1, NULL, r->logits, err));
    ZH_TRY(zh_engine_share(r->engine, r->logits, r->vocab * sizeof(float), err));
    token = (uint32_t)kernels->argmax(r->logits, r->vocab);
    if (made[i].chosen != token || made[i].bits_sum != zh_sum_of_bits(r->logits, r->vocab))
      return zh_fail(err, ZH_ERR_CHECK, "step %u chose %u by itself and %u from the host", i,
                     made[i].chosen, token);
  }
  return ZH_OK;
}

/* Every choice fell on one rank, and each counted the same of all. */
static zh_status choices_are_counted(const rig *r, size_t tokens, zh_error *err) {
  const zh_engine *e = r->engine;
  const uint64_t *counted = zh_device_expert_counts(e);
  uint64_t mine[2 * ZH_COUNTS] = {0}, all[RANKS_MAX][2 * ZH_COUNTS], here = 0, most = 0;
  zh_exchange exchange = zh_comm_exchange(r->comm);
  if (!e->weights.expert || !counted) return ZH_OK;
  for (uint32_t l = 0; l < e->architecture.layers; ++l, counted += ZH_COUNTS)
    for (int i = 0; i < ZH_COUNTS; ++i) {
      mine[i] += counted[i];
      if (i != ZH_COUNT_HERE) mine[ZH_COUNTS + i] += counted[i];
    }
  ZH_TRY(exchange.gather(exchange.context, all, mine, sizeof mine, err));
  for (int i = 0; i < r->comm->size; ++i) {
    here += all[i][ZH_COUNT_HERE];
    if (all[i][ZH_COUNT_HERE] > most) most = all[i][ZH_COUNT_HERE];
  }
  uint32_t sparse = 0;
  for (uint32_t l = 0; l < e->architecture.layers; ++l)
    sparse += zh_layer_is(&e->architecture, l, ZH_LAYER_EXPERTS);
  uint64_t choices = (uint64_t)sparse * tokens * e->architecture.experts_used;
  bool same = memcmp(all[0] + ZH_COUNTS, mine + ZH_COUNTS, sizeof mine / 2) == 0;
  bool divided = e->weights.whole_experts;
  if (same && mine[ZH_COUNT_CHOICES] == choices &&
      mine[ZH_COUNT_MOST] >= (divided ? most : choices) &&
      here == (divided ? choices : choices * (uint64_t)r->comm->size))
    return ZH_OK;
  return zh_fail(err, ZH_ERR_CHECK, "%llu choices were counted here, %llu in all, of %llu",
                 (unsigned long long)mine[ZH_COUNT_HERE], (unsigned long long)here,
                 (unsigned long long)choices);
}

static zh_status compute(rig *r, const zh_comm *comm, const kind *k, zh_error *err) {
  ZH_TRY(open_rig(r, comm, k, err));
  if ((k->experts == ZH_EXPERTS_WHOLE) != r->engine->weights.whole_experts)
    return zh_fail(err, ZH_ERR_CHECK, "experts do not lie as they were to");
  ZH_TRY(under_check(r, err));
  ZH_TRY(same_on_all_ranks(r, err));
  zh_status status = ZH_OK;
  if (comm->rank == 0) {
    /* Where nothing is added in another order nothing changes. */
    double other = k->split == ZH_SPLIT_PIPELINE ? 0 : k->part;
    status = against_one_rank(r, 0, k->part, "the exact engine", err);
    if (status == ZH_OK) status = against_one_rank(r, 1, other, "one rank", err);
  }
  ZH_TRY(zh_comm_agree(comm, status, err));
  zh_engine_poison(r->engine, 0, 0);
  zh_device_restart_count(r->engine);
  ZH_TRY(read_prompt(r, r->engine, r->logits, err)); /* nobody observes */
  ZH_TRY(same_on_all_ranks(r, err));
  if (k->split == ZH_SPLIT_TENSOR) ZH_TRY(choices_are_counted(r, PROMPT, err));
  ZH_TRY(generations_are_steps(r, err));
  return zh_engine_verify_weights(r->engine, 3, err);
}

static bool computes(const zh_comm *comm, void *user) {
  const kind *k = user;
  zh_error err = ZH_ERROR_INIT;
  rig r = {0};
  zh_status status = compute(&r, comm, k, &err);
  if (status != ZH_OK) print_error("%s, rank %d: %s\n", k->model, comm->rank, err.message);
  close_rig(&r);
  return status == ZH_OK;
}

static void heads_and_columns_are_divided(void **state) {
  (void)state;
  static const kind kinds[] = {{"qwen3", ZH_SPLIT_TENSOR, 1, 0.04, ZH_EXPERTS_COLUMNS},
                               {"qwen3-moe", ZH_SPLIT_TENSOR, 1, 0.1, ZH_EXPERTS_COLUMNS},
                               {"gpt-oss", ZH_SPLIT_TENSOR, 1, 0.1, ZH_EXPERTS_COLUMNS},
                               {"baichuan2-13b", ZH_SPLIT_TENSOR, 1, 0.04, ZH_EXPERTS_COLUMNS},
                               {"deepseek-v3", ZH_SPLIT_TENSOR, 1, 0.1, ZH_EXPERTS_COLUMNS},
                               {"zh-tiny-parts", ZH_SPLIT_TENSOR, 1, 0.1, ZH_EXPERTS_COLUMNS}};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i)
    assert_true(on_ranks(2, computes, (void *)&kinds[i]));
}

/* Evenly or not: 7, 4, 8 and 11 experts; with biases, shared experts, latents, blocks with one
 * scale. */
static void whole_experts_are_shared_out(void **state) {
  (void)state;
  static const struct {
    kind kind;
    int ranks;
  } cases[] = {{{"qwen3-moe", ZH_SPLIT_TENSOR, 1, 0.1, ZH_EXPERTS_WHOLE}, 4},
               {{"gpt-oss", ZH_SPLIT_TENSOR, 1, 0.1, ZH_EXPERTS_WHOLE}, 2},
               {{"zh-tiny-parts", ZH_SPLIT_TENSOR, 1, 0.1, ZH_EXPERTS_WHOLE}, 2},
               {{"zh-tiny-shares", ZH_SPLIT_TENSOR, 1, 0.1, ZH_EXPERTS_WHOLE}, 3},
               {{"deepseek-v3", ZH_SPLIT_TENSOR, 1, 0.1, ZH_EXPERTS_WHOLE}, 2}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i)
    assert_true(on_ranks(cases[i].ranks, computes, (void *)&cases[i].kind));
}

static void layers_are_divided(void **state) {
  (void)state;
  static const kind kinds[] = {{"qwen3", ZH_SPLIT_PIPELINE, 1, 0.04, ZH_EXPERTS_AUTO},
                               {"deepseek-v3", ZH_SPLIT_PIPELINE, 1, 0.1, ZH_EXPERTS_AUTO}};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i)
    assert_true(on_ranks(2, computes, (void *)&kinds[i]));
}

static void nodes_divide_layers_and_their_ranks_columns(void **state) {
  (void)state;
  kind k = {"qwen3-moe", ZH_SPLIT_NODES, 2, 0.1, ZH_EXPERTS_COLUMNS};
  assert_true(on_ranks(4, computes, &k));
  k.experts = ZH_EXPERTS_WHOLE;
  assert_true(on_ranks(4, computes, &k));
}

/* --- drawing --- */

static const zh_draw_rule draws[] = {
    {.rate = 0.9, .seed = 4, .index = 0},
    {.rate = 0.4, .seed = 7, .index = 3, .top_k = 20, .min_p = 1 << 20},
    {.rate = 0.7, .seed = 9, .index = 5, .top_p = 0xE0000000u},
    {.rate = 0, .seed = 1}};
enum { DRAWS = sizeof draws / sizeof draws[0] };

/* Tokens behind the prompt by the device, against those that the host draws from the logits of all
 * rows, step by step. */
static zh_status draws_are_the_hosts(rig *r, const zh_draw_rule *how, uint32_t out[STEPS],
                                     zh_error *err) {
  uint32_t first = r->token[PROMPT - 1];
  if (!zh_engine_draws(r->engine)) return zh_fail(err, ZH_ERR_CHECK, "the engine does not draw");
  zh_engine_poison(r->engine, 0, PROMPT);
  ZH_TRY(zh_engine_draw(r->engine, how, first, PROMPT, STEPS, out, NULL, NULL, err));
  zh_engine_poison(r->engine, 0, PROMPT);
  for (uint32_t i = 0, token = first, sequence = 0; i < STEPS; ++i) {
    uint32_t position = PROMPT + i;
    zh_draw_rule rule = *how;
    rule.index += i;
    ZH_TRY(zh_engine_forward(r->engine, &token, &position, &sequence, 1, NULL, r->logits, err));
    ZH_TRY(zh_engine_share(r->engine, r->logits, r->vocab * sizeof(float), err));
    size_t largest = zh_kernels_reference()->argmax(r->logits, r->vocab);
    token = (uint32_t)zh_draw_token(r->logits, r->vocab, largest, &rule);
    if (token != out[i])
      return zh_fail(err, ZH_ERR_CHECK, "step %u drew %u, and %u on the host", i, out[i], token);
  }
  return ZH_OK;
}

static zh_status all_draw_alike(rig *r, const zh_comm *comm, const kind *k, zh_error *err) {
  uint32_t out[DRAWS][STEPS], all[RANKS_MAX][DRAWS][STEPS], alone[STEPS];
  zh_exchange exchange = zh_comm_exchange(comm);
  ZH_TRY(open_rig(r, comm, k, err));
  ZH_TRY(read_prompt(r, r->engine, r->logits, err));
  for (int i = 0; i < DRAWS; ++i) ZH_TRY(draws_are_the_hosts(r, &draws[i], out[i], err));
  ZH_TRY(exchange.gather(exchange.context, all, out, sizeof out, err));
  for (int rank = 1; rank < comm->size; ++rank)
    if (memcmp(all[rank], all[0], sizeof out) != 0)
      return zh_fail(err, ZH_ERR_CHECK, "rank %d drew other tokens than rank 0", rank);
  if (comm->rank > 0) return ZH_OK;
  zh_engine *shared = r->engine; /* one rank's, with the whole model */
  r->engine = NULL;
  zh_status status = open_engine(&r->engine, r, NULL, 1, err);
  if (status == ZH_OK) status = read_prompt(r, r->engine, r->logits, err);
  for (int i = 0; i < DRAWS && status == ZH_OK; ++i) {
    zh_engine_truncate(r->engine, 0, PROMPT);
    status = zh_engine_draw(r->engine, &draws[i], r->token[PROMPT - 1], PROMPT, STEPS, alone, NULL,
                            NULL, err);
    if (status == ZH_OK && memcmp(alone, out[i], sizeof alone) != 0)
      status = zh_fail(err, ZH_ERR_CHECK, "one rank draws other tokens by rule %d", i);
  }
  zh_engine_free(r->engine);
  r->engine = shared;
  return status;
}

static bool draw_alike(const zh_comm *comm, void *user) {
  const kind *k = user;
  zh_error err = ZH_ERROR_INIT;
  rig r = {0};
  zh_status status = zh_comm_agree(comm, all_draw_alike(&r, comm, k, &err), &err);
  if (status != ZH_OK) print_error("%s, rank %d: %s\n", k->model, comm->rank, err.message);
  close_rig(&r);
  return status == ZH_OK;
}

/* The head's rows lie over the ranks, or with the last stage alone. */
static void tokens_are_drawn_over_ranks(void **state) {
  (void)state;
  static const struct {
    kind kind;
    int ranks;
  } cases[] = {{{"qwen3", ZH_SPLIT_TENSOR, 1, 0, ZH_EXPERTS_AUTO}, 2},
               {{"qwen3", ZH_SPLIT_PIPELINE, 1, 0, ZH_EXPERTS_AUTO}, 2},
               {{"zh-tiny-shares", ZH_SPLIT_TENSOR, 1, 0, ZH_EXPERTS_WHOLE}, 3},
               {{"qwen3", ZH_SPLIT_NODES, 2, 0, ZH_EXPERTS_AUTO}, 4}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i)
    assert_true(on_ranks(cases[i].ranks, draw_alike, (void *)&cases[i].kind));
}

/* --- faults --- */

/* On rank 1 alone; some rank's self-check notices, or the ranks' logits differ. */
static bool notices(const zh_comm *comm, void *user) {
  const kind k = {"qwen3", ZH_SPLIT_TENSOR, 1, 0.04, ZH_EXPERTS_AUTO};
  zh_error err = ZH_ERROR_INIT;
  rig r = {0};
  zh_status status = open_rig(&r, comm, &k, &err);
  if (status == ZH_OK && comm->rank == 1) r.engine->tamper = *(const zh_tamper *)user;
  if (status == ZH_OK) status = under_check(&r, &err);
  bool opened = r.engine != NULL;
  status = zh_comm_agree(comm, status, &err);
  close_rig(&r);
  if (status != ZH_ERR_CHECK) print_error("rank %d: %s\n", comm->rank, err.message);
  return opened && status == ZH_ERR_CHECK;
}

static void a_fault_on_one_rank_is_noticed(void **state) {
  (void)state;
  static const zh_tamper tampers[] = {
      {ZH_TAMPER_RESIDUAL, 0, 5, 30}, {ZH_TAMPER_CACHE, 0, 12, 14}, {ZH_TAMPER_STALE, 0, 3, 0}};
  for (size_t i = 0; i < sizeof tampers / sizeof tampers[0]; ++i)
    assert_true(on_ranks(2, notices, (void *)&tampers[i]));
}

/* Rank 1's device is lost in the middle of a pass: both ranks stop with its sentence. user:
 * observed. */
static bool stops(const zh_comm *comm, void *user) {
  const kind k = {"qwen3", ZH_SPLIT_TENSOR, 1, 0.04, ZH_EXPERTS_AUTO};
  const bool *observed = user;
  zh_error err = ZH_ERROR_INIT;
  rig r = {0};
  void (*forget)(uint64_t) = NULL;
  zh_status status = open_rig(&r, comm, &k, &err);
  void *module = dlopen(getenv("ZH_DEVICE_MODULE"), RTLD_NOW | RTLD_NOLOAD);
  if (module) *(void **)&forget = dlsym(module, "zh_shim_forget");
  if (status == ZH_OK && forget && comm->rank == 1) {
    forget(5);
    setenv("ZH_SHIM_FAIL", "9", 1);
  }
  if (status == ZH_OK)
    status = *observed ? under_check(&r, &err) : read_prompt(&r, r.engine, r.logits, &err);
  bool good = status == ZH_ERR_IO && strstr(err.message, "in vain") == NULL && err.rank == 1;
  if (!good)
    print_error("rank %d: status %d of rank %d: %s\n", comm->rank, (int)status, err.rank,
                err.message);
  close_rig(&r);
  return good;
}

static void a_lost_device_stops_all_ranks(void **state) {
  (void)state;
  for (int observed = 0; observed < 2; ++observed) {
    bool how = observed;
    assert_true(on_ranks(2, stops, &how));
  }
}

/* --- refusals --- */

static bool refuses_to_share(const zh_comm *comm, void *user) {
  zh_error err = ZH_ERROR_INIT;
  int device = 0;
  (void)user;
  setenv("ZH_SHIM_DEVICES", "1", 1);
  zh_status status = zh_device_place(&device, 1, comm, &err);
  setenv("ZH_SHIM_DEVICES", "4", 1); /* rank 0 goes on */
  bool good = status == ZH_ERR_LACKING && strstr(err.message, "would share one GPU");
  if (!good) print_error("rank %d: %s\n", comm->rank, err.message);
  return good;
}

static bool refuses_too_few(const zh_comm *comm, void *user) {
  zh_error err = ZH_ERROR_INIT;
  int device = 0;
  (void)user;
  zh_status status = zh_device_place(&device, 4, comm, &err); /* from the last one on */
  bool good = status == ZH_ERR_LACKING && strstr(err.message, "would take GPU 4");
  if (!good) print_error("rank %d: %s\n", comm->rank, err.message);
  return good;
}

static void ranks_without_a_gpu_each_are_refused(void **state) {
  (void)state;
  assert_true(on_ranks(2, refuses_to_share, NULL));
  assert_true(on_ranks(2, refuses_too_few, NULL));
}

static bool refuses_cut_blocks(const zh_comm *comm, void *user) {
  const kind k = {"zh-tiny-experts", ZH_SPLIT_TENSOR, 1, 0.1, ZH_EXPERTS_COLUMNS};
  zh_error err = ZH_ERROR_INIT;
  rig r = {0};
  (void)user;
  zh_status status = open_rig(&r, comm, &k, &err);
  bool good = status != ZH_OK && strstr(err.message, "within a block of 128");
  if (!good) print_error("rank %d: %s\n", comm->rank, err.message);
  close_rig(&r);
  return good;
}

static void blocks_with_one_scale_stay_whole(void **state) {
  (void)state;
  assert_true(on_ranks(2, refuses_cut_blocks, NULL));
}

/* --- what each GPU would hold --- */

/* By formula, with nothing laid: bytes of a rank's part of a model with 4096 positions. */
static zh_status room_of_part(zh_device_room *out, const zh_model *model, zh_part part,
                              zh_error *err) {
  zh_engine engine = {
      .sequences = 1, .context = 4096, .micro_batch = 2048, .stages = {.part = part}};
  zh_engine_options options = {.precision = ZH_PRECISION_FAST, .kv = ZH_KV_BF16, .device = 1};
  ZH_TRY(zh_device_engine_open(&engine, &options, err));
  ZH_TRY(zh_weights_describe(&engine.weights, model, err));
  engine.weights.elsewhere = true;
  ZH_TRY(zh_weights_cut(&engine.weights, part, err));
  engine.architecture = engine.weights.architecture;
  engine.device->kv_type = ZH_DEVICE_KV_BF16;
  zh_program_of(&engine.device->program, &engine.architecture);
  ZH_TRY(zh_device_choose_forms(&engine, err));
  ZH_TRY(zh_device_check_forms(&engine, err));
  *out = zh_device_room_of(&engine);
  zh_device_engine_free(&engine);
  zh_weights_close(&engine.weights);
  return ZH_OK;
}

static uint64_t parameters_of(const char *name) {
  const zh_standard_class *classes = NULL;
  size_t count = 0;
  (void)!zh_standard_classes(&classes, &count, NULL);
  for (size_t i = 0; i < count; ++i)
    if (strcmp(classes[i].name, name) == 0) return classes[i].parameters;
  return 0;
}

static zh_status fits_as(const char *name, int ranks, zh_split split, zh_expert_split experts,
                         double gigabytes, zh_error *err) {
  zh_model *model = NULL;
  uint64_t parameters = parameters_of(name), weights = 0, most = 0;
  ZH_TRY(zh_model_open(&model, name, err));
  bool tensor = split == ZH_SPLIT_TENSOR;
  int step = tensor ? ranks - 1 : 1; /* those between are as large as the first */
  for (int i = 0; i < ranks; i += step) {
    zh_part part = tensor ? (zh_part){.index = i, .parts = ranks, .experts = experts}
                          : (zh_part){.parts = 1, .stage = i, .stages = ranks};
    zh_device_room room = {0};
    ZH_TRY(room_of_part(&room, model, part, err));
    uint64_t all = room.weights + room.cache + room.activations;
    print_message("%s, %s, experts %s, rank %d of %d: %.2f GB: weights %.2f, keys and values "
                  "%.2f, activations %.2f\n",
                  name, tensor ? "tensor" : "pipeline", zh_expert_words[experts], i, ranks,
                  (double)all / 1e9, (double)room.weights / 1e9, (double)room.cache / 1e9,
                  (double)room.activations / 1e9);
    weights += (uint64_t)(i == 0 ? step : 1) * room.weights;
    if (all > most) most = all;
  }
  zh_model_free(model);
  /* fp8: a byte a parameter, and a little for scales, norms, and what several ranks hold. */
  if (weights < parameters || (double)weights > 1.05 * (double)parameters)
    return zh_fail(err, ZH_ERR_CHECK, "%s: %.2f GB of weights", name, (double)weights / 1e9);
  if ((double)most > gigabytes * 1e9)
    return zh_fail(err, ZH_ERR_CHECK, "%s: %.2f GB on one GPU", name, (double)most / 1e9);
  return ZH_OK;
}

static zh_status fits(const char *name, int ranks, zh_split split, double gigabytes,
                      zh_error *err) {
  return fits_as(name, ranks, split, ZH_EXPERTS_COLUMNS, gigabytes, err);
}

/* By rank 1, a process of its own: other tests have other classes. */
static bool largest_fit(const zh_comm *comm, void *user) {
  zh_error err = ZH_ERROR_INIT;
  (void)user;
  if (comm->rank == 0) return true;
  zh_status status = fits("zh-70b", 2, ZH_SPLIT_TENSOR, 80, &err);
  if (status == ZH_OK) status = fits("zh-671b-a37b", 8, ZH_SPLIT_TENSOR, 141, &err);
  if (status == ZH_OK) status = fits("zh-1t-a32b", 8, ZH_SPLIT_TENSOR, 141, &err);
  if (status == ZH_OK)
    status = fits_as("zh-671b-a37b", 8, ZH_SPLIT_TENSOR, ZH_EXPERTS_WHOLE, 141, &err);
  if (status == ZH_OK)
    status = fits_as("zh-1t-a32b", 8, ZH_SPLIT_TENSOR, ZH_EXPERTS_WHOLE, 141, &err);
  if (status == ZH_OK) status = fits("zh-70b", 2, ZH_SPLIT_PIPELINE, 80, &err);
  if (status != ZH_OK) print_error("%s\n", err.message);
  return status == ZH_OK;
}

static void the_largest_models_fit(void **state) {
  (void)state;
  assert_true(on_ranks(2, largest_fit, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_largest_models_fit), /* before this process has read other classes */
      cmocka_unit_test(heads_and_columns_are_divided),
      cmocka_unit_test(whole_experts_are_shared_out),
      cmocka_unit_test(tokens_are_drawn_over_ranks),
      cmocka_unit_test(layers_are_divided),
      cmocka_unit_test(nodes_divide_layers_and_their_ranks_columns),
      cmocka_unit_test(a_fault_on_one_rank_is_noticed),
      cmocka_unit_test(a_lost_device_stops_all_ranks),
      cmocka_unit_test(ranks_without_a_gpu_each_are_refused),
      cmocka_unit_test(blocks_with_one_scale_stay_whole),
  };
  return cmocka_run_group_tests(tests, start, stop);
}
