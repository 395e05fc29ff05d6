/* What families have beyond Llama, left out or done slightly otherwise: the self-check names it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/check.h"
#include "bench/engine/inside.h"

enum { TOKENS = 40 };
static zh_threads *threads;

static int start(void **state) {
  (void)state;
  return zh_threads_create(&threads, 2, NULL, NULL) != ZH_OK;
}

static int stop(void **state) {
  (void)state;
  zh_threads_free(threads);
  return 0;
}

/* Changes what the engine computes by; the check knows the model's own description. */
typedef void (*wrongly)(zh_engine *engine);

static zh_status check_family(const char *family, wrongly change, zh_error *err) {
  zh_model *model = NULL;
  zh_engine *engine = NULL;
  zh_check *check = NULL;
  char path[512];
  zh_engine_options options = {.precision = ZH_PRECISION_EXACT, .sequences = 1, .context = TOKENS};
  uint32_t tokens[TOKENS], position[TOKENS], sequence[TOKENS] = {0};
  snprintf(path, sizeof path, "%s/tests/golden/families/%s", ZH_SOURCE_DIR, family);
  if (zh_model_open(&model, path, err) != ZH_OK ||
      zh_engine_create(&engine, model, threads, &options, err) != ZH_OK)
    fail_msg("%s", err->message);
  assert_int_equal(zh_check_create(&check, engine, 17, err), ZH_OK);
  if (change) change(engine);
  float *logits = malloc(engine->architecture.vocab * sizeof *logits);
  assert_int_equal(zh_check_attach(check, err), ZH_OK);
  for (uint32_t i = 0; i < TOKENS; ++i)
    tokens[i] = i * 7 % engine->architecture.vocab, position[i] = i;
  assert_int_equal(zh_engine_forward(engine, tokens, position, sequence, TOKENS, NULL, logits, err),
                   ZH_OK);
  zh_check_detach(check);
  zh_status status = zh_check_report(check, NULL, err);
  free(logits);
  zh_check_free(check);
  zh_engine_free(engine);
  zh_model_free(model);
  return status;
}

static void alter(zh_engine *engine, zh_layer_slot slot, float by) {
  zh_weight *w = &zh_weights_layer(&engine->weights, 0)[slot];
  for (size_t i = 0; i < w->matrix.columns; ++i) ((float *)(uintptr_t)w->gain)[i] += by;
}

static void no_cap(zh_engine *e) {
  e->architecture.attention_softcap = 0;
}
static void wider_window(zh_engine *e) {
  e->architecture.window += 1;
}
static void no_logit_cap(zh_engine *e) {
  e->architecture.logit_softcap = 0;
}
static void unscaled_embedding(zh_engine *e) {
  e->architecture.embedding_scale *= 1.0001f;
}
static void other_residuals(zh_engine *e) {
  e->architecture.residual_scale *= 1.00001f;
}
static void other_logits(zh_engine *e) {
  e->architecture.logit_scale *= 1.0001f;
}
static void other_scale(zh_engine *e) {
  e->architecture.attention_scale *= 1.001f;
}
static void erf_gelu(zh_engine *e) {
  e->architecture.activation = ZH_ACTIVATION_GELU;
}
static void no_bias(zh_engine *e) {
  alter(e, ZH_ATTN_V_BIAS, 0.001f);
}
static void gain_without_one(zh_engine *e) {
  alter(e, ZH_ATTN_POST_NORM, -1);
}
static void other_head_gain(zh_engine *e) {
  alter(e, ZH_ATTN_K_NORM, 0.001f);
}
static void norm_at_the_wrong_place(zh_engine *e) {
  e->architecture.head_norm = ZH_HEAD_NORM_BEFORE_ROPE;
}
static void local_base_everywhere(zh_engine *e) {
  e->frequency[0][1] *= 1.01;
}
static void other_lengths(zh_engine *e) {
  for (size_t r = 0; r < e->weights.whole[ZH_HEAD].matrix.rows; ++r) e->head_factor[r] *= 1.0001f;
}
static void no_factor(zh_engine *e) {
  e->architecture.rope[0].attention_factor = 1;
}

static void wrong_ways_are_named(void **state) {
  static const struct {
    const char *family;
    wrongly change;
    const char *words;
  } cases[] = {{"gemma2", no_cap, "operator 'attention'"},
               {"gemma2", wider_window, "operator 'attention'"},
               {"gemma2", no_logit_cap, "operator 'head'"},
               {"gemma2", unscaled_embedding, "operator 'embedding'"},
               {"gemma2", erf_gelu, "operator 'gelu'"},
               {"gemma2", gain_without_one, "operator 'attention post norm'"},
               {"gemma3", other_head_gain, "operator 'k norm'"},
               {"gemma3", local_base_everywhere, "operator 'rope q'"},
               {"gemma3-nested", other_scale, "operator 'attention'"},
               {"minicpm", other_residuals, "operator 'attention residual'"},
               {"minicpm", other_logits, "operator 'head'"},
               {"qwen2", no_bias, "operator 'v'"},
               {"qwen2.5-yarn", no_factor, "operator 'rope q'"},
               {"hunyuan-dense", norm_at_the_wrong_place, "order: operator 'q norm'"},
               {"baichuan2", other_lengths, "operator 'head'"}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    zh_error err = ZH_ERROR_INIT;
    if (check_family(cases[i].family, NULL, &err) != ZH_OK)
      fail_msg("%s: %s", cases[i].family, err.message);
    if (check_family(cases[i].family, cases[i].change, &err) != ZH_ERR_CHECK)
      fail_msg("%s, case %zu: nothing was noticed", cases[i].family, i);
    if (!strstr(err.message, cases[i].words))
      fail_msg("%s: '%s' does not say %s", cases[i].family, err.message, cases[i].words);
  }
}

/* Half of Gemma 2's layers see a window alone: counted token by token. */
static void windows_bound_what_is_seen(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = NULL;
  zh_engine *engine = NULL;
  zh_engine_options options = {.precision = ZH_PRECISION_EXACT, .sequences = 1, .context = TOKENS};
  assert_int_equal(zh_model_open(&model, ZH_SOURCE_DIR "/tests/golden/families/gemma2", &err),
                   ZH_OK);
  assert_int_equal(zh_engine_create(&engine, model, threads, &options, &err), ZH_OK);
  const unsigned window = engine->architecture.window;
  assert_int_equal(window, 9);
  for (unsigned first = 0; first < 20; ++first)
    for (unsigned count = 1; count < 20; ++count) {
      double sum = 0;
      for (unsigned n = first + 1; n <= first + count; ++n)
        sum += n + (double)(n < window ? n : window);
      double expected = sum / 2 / count, seen = zh_engine_seen(engine, first, count);
      assert_true(seen > expected - 1e-9 && seen < expected + 1e-9);
    }
  zh_engine_free(engine);
  zh_model_free(model);
}

enum { SENT_MAX = 64 };
typedef struct sent {
  bool to[SENT_MAX][SENT_MAX]; /* [layer][expert] */
} sent;

static void see_choices(void *user, const zh_operation *o) {
  sent *s = user;
  for (size_t i = 0; o->op == ZH_OP_ROUTE && i < o->tokens * o->mixture->used; ++i)
    s->to[o->layer][o->mixture->choice[i]] = true;
}

/* Of the tensors by their names: whether the step read them. */
static bool is_read(const char *name, const sent *s, bool tied) {
  unsigned layer, expert;
  if (strcmp(name, "model.embed_tokens.weight") == 0) return tied;
  if (sscanf(name, "model.layers.%u.mlp.experts.%u.", &layer, &expert) != 2) return true;
  return s->to[layer][expert];
}

/* A step's bytes are those of the experts that its tokens went to, counted here by the file's own
 * names; and each pass has its own. */
static void steps_read_the_experts_chosen(void **state) {
  (void)state;
  zh_error err = ZH_ERROR_INIT;
  zh_model *model = NULL;
  zh_engine *engine = NULL;
  zh_engine_options options = {.precision = ZH_PRECISION_EXACT, .sequences = 1, .context = TOKENS};
  uint32_t tokens[] = {3, 11, 5}, position[] = {0, 1, 2}, sequence[3] = {0};
  assert_int_equal(zh_model_open(&model, ZH_SOURCE_DIR "/tests/golden/families/qwen3-moe", &err),
                   ZH_OK);
  assert_int_equal(zh_engine_create(&engine, model, threads, &options, &err), ZH_OK);
  const zh_architecture *a = &engine->architecture;
  assert_true(a->layers <= SENT_MAX && a->experts <= SENT_MAX);
  uint64_t of_a_token = zh_engine_cost_of(engine).weight_bytes;
  for (size_t count = 1; count <= 3; count += 2) {
    sent seen = {0};
    uint64_t expected = 0;
    zh_engine_truncate(engine, 0, 0);
    zh_engine_restart_count(engine);
    assert_int_equal(zh_engine_observe(engine, see_choices, &seen, &err), ZH_OK);
    assert_int_equal(zh_engine_forward(engine, tokens, position, sequence, count, NULL, NULL, &err),
                     ZH_OK);
    for (size_t i = 0; i < zh_model_tensor_count(model); ++i) {
      const zh_tensor *t = zh_model_tensor(model, i);
      if (is_read(t->name, &seen, a->tied_head)) expected += t->bytes;
    }
    assert_int_equal(zh_engine_cost_of(engine).weight_bytes, expected);
    if (count == 1) assert_int_equal(expected, of_a_token);
    if (count == 3) assert_true(expected > of_a_token);
  }
  zh_engine_free(engine);
  zh_model_free(model);
}

/* Logits of all TOKENS, computed `at_once` tokens a call by so many threads. */
static float *all_logits(zh_model *model, int count, size_t at_once, size_t *floats) {
  zh_error err = ZH_ERROR_INIT;
  zh_threads *team = NULL;
  zh_engine *engine = NULL;
  zh_engine_options options = {.precision = ZH_PRECISION_FAST, .sequences = 1, .context = TOKENS};
  uint32_t tokens[TOKENS], position[TOKENS], sequence[TOKENS] = {0};
  bool want[TOKENS];
  assert_int_equal(zh_threads_create(&team, count, NULL, &err), ZH_OK);
  assert_int_equal(zh_engine_create(&engine, model, team, &options, &err), ZH_OK);
  engine->way_is_set = true; /* else calls of one token and of many differ by design */
  engine->way = ZH_FEW;
  size_t vocab = engine->architecture.vocab;
  float *logits = malloc(TOKENS * vocab * sizeof *logits);
  for (uint32_t i = 0; i < TOKENS; ++i)
    tokens[i] = i * 7 % (uint32_t)vocab, position[i] = i, want[i] = true;
  for (size_t at = 0; at < TOKENS; at += at_once)
    assert_int_equal(zh_engine_forward(engine, tokens + at, position + at, sequence, at_once, want,
                                       logits + at * vocab, &err),
                     ZH_OK);
  *floats = TOKENS * vocab;
  zh_engine_free(engine);
  zh_threads_free(team);
  return logits;
}

/* However the rows of experts are shared, no bit changes; nor by who else goes to them. */
static void experts_give_the_same_bits_on_any_threads(void **state) {
  static const char *const families[] = {"qwen3-moe", "gpt-oss", "glm4-moe", "mixtral"};
  (void)state;
  for (size_t f = 0; f < sizeof families / sizeof families[0]; ++f) {
    zh_error err = ZH_ERROR_INIT;
    zh_model *model = NULL;
    char path[512];
    size_t floats;
    snprintf(path, sizeof path, "%s/tests/golden/families/%s", ZH_SOURCE_DIR, families[f]);
    assert_int_equal(zh_model_open(&model, path, &err), ZH_OK);
    float *one = all_logits(model, 1, TOKENS, &floats);
    for (int count = 2; count <= 6; ++count) {
      float *other = all_logits(model, count, count % 2 ? 1 : TOKENS / 2, &floats);
      if (memcmp(one, other, floats * sizeof *one) != 0)
        fail_msg("%s: %d threads give other bits", families[f], count);
      free(other);
    }
    free(one);
    zh_model_free(model);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(wrong_ways_are_named),
                                     cmocka_unit_test(windows_bound_what_is_seen),
                                     cmocka_unit_test(steps_read_the_experts_chosen),
                                     cmocka_unit_test(experts_give_the_same_bits_on_any_threads)};
  return cmocka_run_group_tests(tests, start, stop);
}
