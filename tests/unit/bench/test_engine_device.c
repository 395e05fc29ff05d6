/* The engine on a device, through the module that ZH_DEVICE_MODULE names (without a GPU the kernels
 * compiled for the host, tests/shim): families against the exact engine of the CPU, every operator
 * under the self-check, generations against steps, faults, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/check.h"
#include "bench/engine/device_engine.h"
#include "bench/engine/sampling.h"
#include "core/files.h"

enum { PROMPT = 11, STEPS = 3, CONTEXT = PROMPT + STEPS };
static zh_threads *threads;
static char data[64];

/* Families as they are, and standard classes small enough for tests. */
static int start(void **state) {
  char folder[] = "/tmp/zh-device-XXXXXX", command[1024];
  (void)state;
  if (!mkdtemp(folder)) return 1;
  snprintf(data, sizeof data, "%s", folder);
  snprintf(command, sizeof command,
           "mkdir '%s/model' && cp -r '%s/model/families' '%s/model/' && "
           "cp '%s/tests/golden/classes/classes.yaml' '%s/model/'",
           folder, ZH_SOURCE_DIR, folder, ZH_SOURCE_DIR, folder);
  if (system(command) != 0 || setenv("ZHIHENG_DATA", folder, 1) != 0) return 1;
  return zh_threads_create(&threads, 2, NULL, NULL) != ZH_OK;
}

static int stop(void **state) {
  (void)state;
  zh_threads_free(threads);
  return zh_remove_tree(data, NULL) != ZH_OK;
}

typedef struct pair {
  zh_model *model;
  zh_engine *host, *device; /* the exact one, and the one under test */
  uint32_t token[CONTEXT], position[CONTEXT], sequence[CONTEXT];
  float *logits[2]; /* [PROMPT][vocab] of each */
  uint32_t vocab;
} pair;

static zh_status open_on_device(zh_engine **out, const zh_model *model, zh_kv_type kv,
                                zh_error *err) {
  zh_engine_options options = {.precision = ZH_PRECISION_FAST,
                               .sequences = 2,
                               .context = CONTEXT,
                               .micro_batch = 8, /* so that the prompt takes two */
                               .kv = kv,
                               .device = 1};
  return zh_engine_create(out, model, threads, &options, err);
}

static pair open_pair_with(const char *family, zh_kv_type kv) {
  zh_error err = ZH_ERROR_INIT;
  pair p = {0};
  char path[512];
  zh_engine_options exact = {.precision = ZH_PRECISION_EXACT, .sequences = 1, .context = CONTEXT};
  if (strncmp(family, "zh-", 3) == 0)
    snprintf(path, sizeof path, "%s", family);
  else
    snprintf(path, sizeof path, "%s/tests/golden/families/%s", ZH_SOURCE_DIR, family);
  if (zh_model_open(&p.model, path, &err) != ZH_OK ||
      zh_engine_create(&p.host, p.model, threads, &exact, &err) != ZH_OK ||
      open_on_device(&p.device, p.model, kv, &err) != ZH_OK)
    fail_msg("%s: %s", family, err.message);
  p.vocab = p.host->architecture.vocab;
  for (uint32_t i = 0; i < CONTEXT; ++i) p.token[i] = i * 7 % p.vocab, p.position[i] = i;
  for (int i = 0; i < 2; ++i) p.logits[i] = calloc((size_t)PROMPT * p.vocab, sizeof(float));
  return p;
}

static pair open_pair(const char *family) {
  return open_pair_with(family, ZH_KV_BF16);
}

static void close_pair(pair *p) {
  zh_engine_free(p->host);
  zh_engine_free(p->device);
  zh_model_free(p->model);
  free(p->logits[0]);
  free(p->logits[1]);
}

static zh_status read_prompt(pair *p, zh_engine *engine, float *logits, zh_error *err) {
  static const bool all[PROMPT] = {true, true, true, true, true, true,
                                   true, true, true, true, true};
  return zh_engine_forward(engine, p->token, p->position, p->sequence, PROMPT, all, logits, err);
}

/* Operands of bf16 move a logit by a few of its 2^-8 parts; the largest stays the largest unless
 * another comes as near as that. Experts: what is rounded may send a token to another one. */
static void compare_logits(const pair *p, const char *family, double part) {
  const zh_kernels *kernels = zh_kernels_reference();
  for (size_t t = 0; t < PROMPT; ++t) {
    const float *expected = p->logits[0] + t * p->vocab, *got = p->logits[1] + t * p->vocab;
    double largest = 0, worst = 0;
    for (uint32_t i = 0; i < p->vocab; ++i) {
      largest = fmax(largest, fabs((double)expected[i]));
      worst = fmax(worst, fabs((double)expected[i] - (double)got[i]));
    }
    if (!(worst <= part * largest))
      fail_msg("%s: a logit of token %zu is %g off, of %g", family, t, worst, largest);
    size_t best = kernels->argmax(expected, p->vocab), chosen = kernels->argmax(got, p->vocab);
    assert_true(chosen < p->vocab);
    assert_true((double)(expected[best] - expected[chosen]) <= 2 * worst);
  }
}

static void family_is_computed_with(const char *family, zh_kv_type kv, double part) {
  zh_error err = ZH_ERROR_INIT;
  pair p = open_pair_with(family, kv);
  zh_check *check = NULL;
  assert_int_equal(read_prompt(&p, p.host, p.logits[0], &err), ZH_OK);
  assert_int_equal(zh_check_create(&check, p.device, 17, &err), ZH_OK);
  assert_int_equal(zh_check_attach(check, &err), ZH_OK);
  if (read_prompt(&p, p.device, p.logits[1], &err) != ZH_OK)
    fail_msg("%s: %s", family, err.message);
  zh_check_detach(check);
  if (zh_check_report(check, NULL, &err) != ZH_OK) fail_msg("%s: %s", family, err.message);
  zh_check_free(check);
  compare_logits(&p, family, part);
  if (zh_engine_verify_weights(p.device, 3, &err) != ZH_OK) fail_msg("%s: %s", family, err.message);
  close_pair(&p);
}

static void family_is_computed(const char *family, double part) {
  family_is_computed_with(family, ZH_KV_BF16, part);
}

static void dense_families_are_computed(void **state) {
  (void)state;
  family_is_computed("llama3", 0.04);
  family_is_computed("qwen3", 0.04);
  family_is_computed("gemma3", 0.04);
  family_is_computed("baichuan2", 0.04); /* its head is normalised */
}

static void experts_are_computed(void **state) {
  (void)state;
  family_is_computed("qwen3-moe", 0.1);
  family_is_computed("gpt-oss", 0.1);
}

static void latent_attention_is_computed(void **state) {
  (void)state;
  family_is_computed("deepseek-v3", 0.1);
}

/* Four significant bits a number instead of eight; the order of operators knows them, too. */
static void keys_and_values_in_eight_bits(void **state) {
  (void)state;
  family_is_computed_with("llama3", ZH_KV_E4M3, 0.15);
  family_is_computed_with("gemma3", ZH_KV_E4M3, 0.3);
  family_is_computed_with("deepseek-v3", ZH_KV_E4M3, 0.3);
}

static void standard_models_are_generated_in_place(void **state) {
  (void)state;
  family_is_computed("zh-tiny", 0.04);
  family_is_computed("zh-tiny-experts", 0.1);
}

/* Nobody looks, and instructions are joined: the same logits and keys, bit for bit. */
static void unobserved_passes_are_the_same(const char *family) {
  zh_error err = ZH_ERROR_INIT;
  pair p = open_pair(family);
  zh_check *check = NULL;
  size_t floats = (size_t)PROMPT * p.vocab;
  uint32_t position = PROMPT, sequence = 0, token = 3;
  assert_int_equal(zh_check_create(&check, p.device, 17, &err), ZH_OK);
  for (int observed = 0; observed < 2; ++observed) {
    zh_engine_poison(p.device, 0, 0);
    if (observed) assert_int_equal(zh_check_attach(check, &err), ZH_OK);
    assert_int_equal(read_prompt(&p, p.device, p.logits[observed], &err), ZH_OK);
    assert_int_equal(zh_engine_forward(p.device, &token, &position, &sequence, 1, NULL,
                                       p.logits[observed], &err),
                     ZH_OK); /* one token is joined otherwise; over the first row */
  }
  zh_check_detach(check);
  if (zh_check_report(check, NULL, &err) != ZH_OK) fail_msg("%s: %s", family, err.message);
  for (size_t i = 0; i < floats; ++i)
    if (memcmp(&p.logits[0][i], &p.logits[1][i], sizeof(float)) != 0)
      fail_msg("%s: logit %zu of token %zu is %g, observed %g", family, i % p.vocab, i / p.vocab,
               (double)p.logits[0][i], (double)p.logits[1][i]);
  zh_check_free(check);
  close_pair(&p);
}

static void joined_instructions_give_the_same_bits(void **state) {
  static const char *const families[] = {"llama3",  "qwen2",       "gemma3",          "minicpm",
                                         "gpt-oss", "deepseek-v3", "zh-tiny-experts", "qwen2-moe"};
  (void)state;
  for (size_t i = 0; i < sizeof families / sizeof families[0]; ++i)
    unobserved_passes_are_the_same(families[i]);
}

/* Products of weights of E4M3 whose inputs become E4M3: within what the self-check allows, joined
 * or not, and other logits than those of inputs in bf16. */
static void inputs_in_e4m3_are_computed(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  setenv("ZH_GPU_PRODUCT", "e4m3", 1);
  pair e4m3 = open_pair("zh-tiny");
  assert_int_equal(e4m3.device->kernels->rounds.e4m3, ZH_ROUND_E4M3_INPUTS);
  assert_int_equal(zh_engine_rounding(e4m3.device, PROMPT), ZH_ROUND_E4M3_INPUTS);
  assert_string_equal(zh_engine_peak(e4m3.device, PROMPT), "gpu-compute/fp8_tensor");
  assert_string_not_equal(zh_engine_peak(e4m3.device, 1), "gpu-compute/fp8_tensor");
  assert_int_equal(read_prompt(&e4m3, e4m3.device, e4m3.logits[0], &err), ZH_OK);
  family_is_computed("zh-tiny", 0.15);
  family_is_computed("zh-tiny-experts", 0.45); /* other experts, here and there */
  unobserved_passes_are_the_same("zh-tiny-experts");
  unsetenv("ZH_GPU_PRODUCT");
  pair bf16 = open_pair("zh-tiny");
  assert_int_equal(bf16.device->kernels->rounds.e4m3, ZH_ROUND_NONE);
  assert_int_equal(read_prompt(&bf16, bf16.device, bf16.logits[0], &err), ZH_OK);
  assert_memory_not_equal(bf16.logits[0], e4m3.logits[0],
                          (size_t)PROMPT * bf16.vocab * sizeof(float));
  close_pair(&e4m3);
  close_pair(&bf16);
}

/* --- generations --- */

/* What single steps from the host give after the prompt. */
static void step_by_step(zh_generated *out, pair *p, uint32_t first) {
  zh_error err = ZH_ERROR_INIT;
  float *logits = calloc(p->vocab, sizeof *logits);
  for (uint32_t i = 0, token = first; i < STEPS; ++i) {
    uint32_t position = PROMPT + i, sequence = 0;
    assert_int_equal(
        zh_engine_forward(p->device, &token, &position, &sequence, 1, NULL, logits, &err), ZH_OK);
    token = (uint32_t)zh_kernels_reference()->argmax(logits, p->vocab);
    out[i] = (zh_generated){.chosen = token, .bits_sum = zh_sum_of_bits(logits, p->vocab)};
    memcpy(&out[i].logit_bits, &logits[token], sizeof(float));
  }
  free(logits);
}

static void generations_are_steps_bit_for_bit(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  pair p = open_pair("llama3");
  zh_generated steps[STEPS], made[STEPS];
  double ns[STEPS] = {0};
  assert_int_equal(read_prompt(&p, p.device, p.logits[1], &err), ZH_OK);
  uint32_t first = (uint32_t)zh_kernels_reference()->argmax(
      p.logits[1] + (size_t)(PROMPT - 1) * p.vocab, p.vocab);
  step_by_step(steps, &p, first);
  zh_engine_poison(p.device, 0, PROMPT);
  assert_true(zh_engine_generates(p.device));
  if (zh_engine_generate(p.device, &first, PROMPT, 1, STEPS, made, ns, &err) != ZH_OK)
    fail_msg("%s", err.message);
  for (int i = 0; i < STEPS; ++i) {
    assert_int_equal(made[i].chosen, steps[i].chosen);
    assert_int_equal(made[i].logit_bits, steps[i].logit_bits);
    assert_true(made[i].bits_sum == steps[i].bits_sum);
  }
  assert_int_equal(zh_engine_generate(p.device, &first, PROMPT, 1, STEPS, made, ns, &err),
                   ZH_ERR_ARG); /* those positions are taken */
  close_pair(&p);
}

/* Tokens that came one by one. */
typedef struct kept_tokens {
  uint32_t token[STEPS];
  size_t count;
} kept_tokens;

static zh_status keep_token(void *user, uint32_t token, zh_error *err) {
  kept_tokens *kept = user;
  if (kept->count == STEPS) return zh_fail(err, ZH_ERR_ARG, "too many tokens");
  kept->token[kept->count++] = token;
  return ZH_OK;
}

/* Drawn on the device from the logits there: the tokens that the host draws of the same ones. */
static void draws_are_the_hosts(void **state) {
  (void)state;
  static const zh_sampling rules[] = {{.top_p = 1},
                                      {.temperature = 1, .top_p = 1},
                                      {.temperature = 3, .top_k = 9, .top_p = 0.9, .min_p = 0.01}};
  zh_error err = ZH_ERROR_INIT;
  pair p = open_pair("llama3");
  float *logits = calloc(p.vocab, sizeof *logits);
  assert_int_equal(read_prompt(&p, p.device, p.logits[1], &err), ZH_OK);
  assert_true(zh_engine_draws(p.device) && !zh_engine_draws(p.host));
  for (size_t r = 0; r < sizeof rules / sizeof *rules; ++r) {
    uint32_t made[STEPS], token = 3;
    kept_tokens kept = {.count = 0};
    zh_draw_rule rule = zh_sampling_rule(&rules[r], 5);
    zh_engine_poison(p.device, 0, PROMPT);
    if (zh_engine_draw(p.device, &rule, token, PROMPT, STEPS, made, keep_token, &kept, &err) !=
        ZH_OK)
      fail_msg("%s", err.message);
    assert_int_equal(kept.count, STEPS);
    assert_memory_equal(kept.token, made, sizeof made);
    assert_int_equal(zh_engine_draw(p.device, &rule, token, PROMPT, 1, made, NULL, NULL, NULL),
                     ZH_ERR_ARG);
    zh_engine_poison(p.device, 0, PROMPT);
    if (zh_engine_draw(p.device, &rule, token, PROMPT, STEPS, made, NULL, NULL, &err) != ZH_OK)
      fail_msg("%s", err.message);
    assert_memory_equal(kept.token, made, sizeof made);
    zh_engine_poison(p.device, 0, PROMPT);
    for (uint32_t i = 0; i < STEPS; ++i) {
      uint32_t position = PROMPT + i, sequence = 0;
      assert_int_equal(
          zh_engine_forward(p.device, &token, &position, &sequence, 1, NULL, logits, &err), ZH_OK);
      token = (uint32_t)zh_sample_token(zh_kernels_reference(), logits, p.vocab, &rules[r], 5 + i);
      assert_int_equal(made[i], token);
    }
  }
  free(logits);
  close_pair(&p);
}

/* Of experts those are counted that tokens went to: one step reads those of one token in each
 * layer. */
static void experts_that_were_read_are_counted(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  pair p = open_pair("qwen3-moe");
  const zh_weights_total *total = &p.device->weights.total;
  const zh_architecture *a = zh_engine_architecture(p.device);
  uint64_t of_a_token = total->step_bytes + total->expert_bytes * a->experts_used / a->experts;
  assert_int_equal(zh_engine_cost_of(p.device).weight_bytes, of_a_token); /* before any pass */
  assert_int_equal(read_prompt(&p, p.device, p.logits[1], &err), ZH_OK);
  uint64_t of_prompt = zh_engine_cost_of(p.device).weight_bytes;
  assert_true(of_prompt > of_a_token && of_prompt <= total->step_bytes + total->expert_bytes);
  zh_engine_restart_count(p.device);
  uint32_t position = PROMPT, sequence = 0, token = 3;
  assert_int_equal(
      zh_engine_forward(p.device, &token, &position, &sequence, 1, NULL, p.logits[1], &err), ZH_OK);
  assert_int_equal(zh_engine_cost_of(p.device).weight_bytes, of_a_token);
  zh_generated made[2];
  zh_engine_restart_count(p.device); /* in a graph, too */
  assert_int_equal(zh_engine_generate(p.device, &token, PROMPT + 1, 1, 2, made, NULL, &err), ZH_OK);
  assert_int_equal(zh_engine_cost_of(p.device).weight_bytes, of_a_token);
  close_pair(&p);
}

/* --- one kernel for a step --- */

enum { BOTH = 2 };

/* Both sequences, by a graph or by one kernel. */
static zh_status generate_as(zh_generated *out, pair *p, const char *form, size_t sequences,
                             zh_error *err) {
  uint32_t first[BOTH] = {3, 5};
  setenv("ZH_GPU_DECODE", form, 1);
  p->device->device->graph_sequences = 0; /* made anew */
  for (uint32_t s = 0; s < BOTH; ++s) zh_engine_poison(p->device, s, PROMPT);
  zh_status status = zh_engine_generate(p->device, first, PROMPT, sequences, STEPS, out, NULL, err);
  unsetenv("ZH_GPU_DECODE");
  return status;
}

static void read_both(pair *p, zh_error *err) {
  uint32_t token[BOTH * PROMPT], position[BOTH * PROMPT], sequence[BOTH * PROMPT];
  for (uint32_t i = 0; i < BOTH * PROMPT; ++i) {
    sequence[i] = i / PROMPT;
    position[i] = i % PROMPT;
    token[i] = (i * 7 + sequence[i]) % p->vocab;
  }
  if (zh_engine_forward(p->device, token, position, sequence, BOTH * PROMPT, NULL, p->logits[1],
                        err) != ZH_OK)
    fail_msg("%s", err->message);
}

/* Of odd dimensions only keys and values in f32 have a place in one kernel. */
static void one_kernel_is_the_graph(const char *family, zh_kv_type kv) {
  zh_error err = ZH_ERROR_INIT;
  pair p = open_pair_with(family, kv);
  read_both(&p, &err);
  for (size_t sequences = 1; sequences <= BOTH; ++sequences) {
    zh_generated made[2][BOTH * STEPS];
    memset(made, 0, sizeof made);
    if (generate_as(made[0], &p, "graph", sequences, &err) != ZH_OK ||
        generate_as(made[1], &p, "persistent", sequences, &err) != ZH_OK)
      fail_msg("%s: %s", family, err.message);
    assert_true(p.device->device->persists);
    for (size_t i = 0; i < STEPS * sequences; ++i)
      if (memcmp(&made[0][i], &made[1][i], sizeof made[0][i]) != 0)
        fail_msg("%s: answer %zu of %zu sequences is token %u, in a graph %u", family, i, sequences,
                 made[1][i].chosen, made[0][i].chosen);
  }
  close_pair(&p);
}

static void one_kernel_gives_the_bits_of_a_graph(void **state) {
  static const char *const families[] = {"llama3",      "qwen3",   "gemma2",    "gemma3-nested",
                                         "glm4",        "minicpm", "qwen2",     "phi3-window",
                                         "deepseek-v3", "gpt-oss", "qwen2-moe", "zh-tiny"};
  (void)state;
  for (size_t i = 0; i < sizeof families / sizeof families[0]; ++i)
    one_kernel_is_the_graph(families[i], ZH_KV_F32);
  one_kernel_is_the_graph("zh-tiny", ZH_KV_BF16);
  one_kernel_is_the_graph("zh-tiny", ZH_KV_E4M3);
}

static zh_status generate_many(zh_engine *engine, const char *form, zh_error *err) {
  uint32_t first[ZH_FEW_TOKENS + 1] = {0};
  zh_generated made[ZH_FEW_TOKENS + 1];
  setenv("ZH_GPU_DECODE", form, 1);
  engine->device->graph_sequences = 0;
  for (uint32_t s = 0; s <= ZH_FEW_TOKENS; ++s) zh_engine_poison(engine, s, 0);
  zh_status status = zh_engine_generate(engine, first, 0, ZH_FEW_TOKENS + 1, 1, made, NULL, err);
  unsetenv("ZH_GPU_DECODE");
  return status;
}

/* Products of many tokens have no place in one kernel: asked for, that is said; else it is a graph.
 */
static void where_one_kernel_cannot_a_graph_does(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT, asked = ZH_ERROR_INIT, unknown = ZH_ERROR_INIT;
  zh_model *model = NULL;
  zh_engine *engine = NULL;
  zh_engine_options options = {.precision = ZH_PRECISION_FAST,
                               .sequences = ZH_FEW_TOKENS + 1,
                               .context = 2,
                               .micro_batch = ZH_FEW_TOKENS + 1,
                               .kv = ZH_KV_BF16,
                               .device = 1};
  assert_int_equal(zh_model_open(&model, "zh-tiny", &err), ZH_OK);
  if (zh_engine_create(&engine, model, threads, &options, &err) != ZH_OK)
    fail_msg("%s", err.message);
  assert_int_equal(generate_many(engine, "persistent", &asked), ZH_ERR_LACKING);
  if (!strstr(asked.message, "has no place in one kernel")) fail_msg("%s", asked.message);
  assert_int_equal(generate_many(engine, "both", &unknown), ZH_ERR_ARG);
  assert_non_null(strstr(unknown.message, "ZH_GPU_DECODE"));
  if (generate_many(engine, "", &err) != ZH_OK) fail_msg("%s", err.message);
  assert_string_equal(zh_device_decode_form(engine->device), "graph");
  zh_engine_free(engine);
  zh_model_free(model);
}

/* --- faults --- */

static zh_status check_with(zh_tamper tamper, zh_kv_type kv, zh_error *err) {
  pair p = open_pair_with("llama3", kv);
  zh_check *check = NULL;
  assert_int_equal(zh_check_create(&check, p.device, 17, err), ZH_OK);
  assert_int_equal(zh_check_attach(check, err), ZH_OK);
  p.device->tamper = tamper;
  assert_int_equal(read_prompt(&p, p.device, p.logits[1], err), ZH_OK);
  zh_check_detach(check);
  zh_status status = zh_check_report(check, NULL, err);
  zh_check_free(check);
  close_pair(&p);
  return status;
}

static void faults_are_noticed(void **state) {
  (void)state;
  static const zh_tamper tampers[] = {{ZH_TAMPER_RESIDUAL, 0, 5, 30},
                                      {ZH_TAMPER_CACHE, 0, 12, 14},
                                      {ZH_TAMPER_STALE, 0, 3, 0},
                                      {ZH_TAMPER_LAYER, 1, 0, 0},
                                      {ZH_TAMPER_TILE, 0, 5, 0}};
  for (size_t i = 0; i < sizeof tampers / sizeof tampers[0]; ++i) {
    zh_error err = ZH_ERROR_INIT;
    if (check_with(tampers[i], ZH_KV_BF16, &err) != ZH_ERR_CHECK)
      fail_msg("fault %zu was not noticed", i);
  }
  for (size_t i = 1; i < 3; ++i) { /* of keys and values */
    zh_error err = ZH_ERROR_INIT;
    if (check_with(tampers[i], ZH_KV_E4M3, &err) != ZH_ERR_CHECK)
      fail_msg("fault %zu was not noticed in eight bits", i);
  }
}

static void weights_are_held_against_the_model(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    pair p = open_pair("llama3");
    char what[160], before[ZH_DIGEST_HEX];
    assert_int_equal(zh_engine_digest_weights(before, p.device, &err), ZH_OK);
    assert_int_equal(zh_device_flip_weight(p.device, seed, what, sizeof what, &err), ZH_OK);
    if (zh_engine_verify_weights(p.device, 3, &err) != ZH_ERR_CHECK)
      fail_msg("%s was not noticed", what);
    close_pair(&p);
  }
}

/* --- refusals --- */

static void what_cannot_be_done_is_named(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  pair p = open_pair("llama3");
  zh_engine *engine = NULL;
  assert_int_equal(open_on_device(&engine, p.model, ZH_KV_Q8, &err), ZH_ERR_LACKING);
  assert_non_null(strstr(err.message, "q8"));
  zh_engine_options options = {
      .precision = ZH_PRECISION_FAST, .sequences = 1, .context = CONTEXT, .device = 99};
  zh_error other = ZH_ERROR_INIT;
  assert_int_equal(zh_engine_create(&engine, p.model, threads, &options, &other), ZH_ERR_LACKING);
  assert_non_null(strstr(other.message, "GPU 98"));
  close_pair(&p);
}

/* Tests' device has a few GB; what would fit is said in numbers that do. */
static void too_large_a_cache_names_what_fits(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = NULL;
  zh_engine *engine = NULL;
  unsigned context = 0, sequences = 0;
  zh_engine_options options = {.precision = ZH_PRECISION_FAST,
                               .sequences = 20000,
                               .context = 4096,
                               .micro_batch = 8,
                               .kv = ZH_KV_BF16,
                               .device = 1};
  assert_int_equal(zh_model_open(&model, "zh-tiny", &err), ZH_OK);
  assert_int_equal(zh_engine_create(&engine, model, threads, &options, &err), ZH_ERR_LACKING);
  const char *advice = strstr(err.message, "a context of ");
  assert_non_null(advice);
  assert_int_equal(
      sscanf(advice, "a context of %u positions would fit, or %u sequences", &context, &sequences),
      2);
  assert_true(context > 0 && context < 4096 && sequences > 0 && sequences < 20000);
  zh_model_free(model);
}

/* What is laid is not all that will be needed: code, graphs, a library's workspace. */
static void not_all_memory_is_given_away(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = NULL;
  zh_engine *engine = NULL;
  char memory[32];
  zh_engine_options options = {.precision = ZH_PRECISION_FAST,
                               .sequences = 64,
                               .context = 512,
                               .micro_batch = 8,
                               .kv = ZH_KV_BF16,
                               .device = 1};
  assert_int_equal(zh_model_open(&model, "zh-tiny", &err), ZH_OK);
  assert_int_equal(zh_engine_create(&engine, model, threads, &options, &err), ZH_OK);
  zh_engine_cost cost = zh_engine_cost_of(engine);
  uint64_t need = cost.memory_weights + cost.memory_kv + cost.memory_activations;
  zh_engine_free(engine);
  for (uint64_t percent = 102; percent <= 120; percent += 18) {
    snprintf(memory, sizeof memory, "%llu", (unsigned long long)(need * percent / 100));
    setenv("ZH_SHIM_MEMORY", memory, 1);
    zh_status status = zh_engine_create(&engine, model, threads, &options, &err);
    unsetenv("ZH_SHIM_MEMORY");
    assert_int_equal(status, percent == 102 ? ZH_ERR_LACKING : ZH_OK);
    if (percent == 102) assert_non_null(strstr(err.message, "free beside a reserve"));
  }
  zh_engine_free(engine);
  zh_model_free(model);
}

/* Weights alone that do not fit: a model that does is named. */
static void too_large_a_model_names_one_that_fits(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = NULL;
  zh_engine *engine = NULL;
  const zh_standard_class *classes;
  size_t count;
  char memory[32];
  uint64_t small = UINT64_MAX, large = 0;
  assert_int_equal(zh_standard_classes(&classes, &count, &err), ZH_OK);
  for (size_t i = 0; i < count; ++i) {
    if (classes[i].bytes < small) small = classes[i].bytes;
    if (classes[i].bytes > large) large = classes[i].bytes;
  }
  const zh_standard_class *least = classes, *most = classes;
  for (size_t i = 0; i < count; ++i) {
    if (classes[i].bytes == small) least = &classes[i];
    if (classes[i].bytes == large) most = &classes[i];
  }
  assert_true(small < large / 2);
  zh_engine_options options = {
      .precision = ZH_PRECISION_FAST, .sequences = 1, .context = CONTEXT, .device = 1};
  snprintf(memory, sizeof memory, "%llu", (unsigned long long)(small + small / 5));
  assert_int_equal(zh_model_open(&model, most->name, &err), ZH_OK);
  setenv("ZH_SHIM_MEMORY", memory, 1);
  zh_status status = zh_engine_create(&engine, model, threads, &options, &err);
  unsetenv("ZH_SHIM_MEMORY");
  assert_int_equal(status, ZH_ERR_LACKING);
  if (!strstr(err.message, "leave no room") || !strstr(err.message, least->name))
    fail_msg("%s", err.message);
  zh_model_free(model);
}

/* Layers with and without a window need different room: the larger one counts. */
static void long_contexts_of_windows_and_others_are_computed(void **state) {
  enum { LONG = 100 };
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  pair p = open_pair("gemma3");
  zh_engine *engine = NULL;
  zh_engine_options options = {.precision = ZH_PRECISION_FAST,
                               .sequences = 1,
                               .context = LONG,
                               .micro_batch = LONG,
                               .kv = ZH_KV_F32,
                               .device = 1};
  uint32_t token[LONG], position[LONG], sequence[LONG] = {0};
  for (uint32_t i = 0; i < LONG; ++i) token[i] = i * 7 % p.vocab, position[i] = i;
  if (zh_engine_create(&engine, p.model, threads, &options, &err) != ZH_OK)
    fail_msg("%s", err.message);
  if (zh_engine_forward(engine, token, position, sequence, LONG, NULL, p.logits[0], &err) != ZH_OK)
    fail_msg("%s", err.message);
  zh_engine_free(engine);
  close_pair(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(dense_families_are_computed),
      cmocka_unit_test(experts_are_computed),
      cmocka_unit_test(latent_attention_is_computed),
      cmocka_unit_test(keys_and_values_in_eight_bits),
      cmocka_unit_test(standard_models_are_generated_in_place),
      cmocka_unit_test(inputs_in_e4m3_are_computed),
      cmocka_unit_test(joined_instructions_give_the_same_bits),
      cmocka_unit_test(generations_are_steps_bit_for_bit),
      cmocka_unit_test(draws_are_the_hosts),
      cmocka_unit_test(experts_that_were_read_are_counted),
      cmocka_unit_test(one_kernel_gives_the_bits_of_a_graph),
      cmocka_unit_test(where_one_kernel_cannot_a_graph_does),
      cmocka_unit_test(faults_are_noticed),
      cmocka_unit_test(weights_are_held_against_the_model),
      cmocka_unit_test(what_cannot_be_done_is_named),
      cmocka_unit_test(too_large_a_cache_names_what_fits),
      cmocka_unit_test(not_all_memory_is_given_away),
      cmocka_unit_test(too_large_a_model_names_one_that_fits),
      cmocka_unit_test(long_contexts_of_windows_and_others_are_computed),
  };
  return cmocka_run_group_tests(tests, start, stop);
}
