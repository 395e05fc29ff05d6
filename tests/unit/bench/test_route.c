/* The routers against those of the families' own code (tests/golden/routing/make.py). */
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/engine/route.h"

enum { EXPERTS = 256, USED = 8, TOKENS = 4 };

static bool is_word(const json_t *c, const char *key, const char *word) {
  const char *found = json_string_value(json_object_get(c, key));
  return found && strcmp(found, word) == 0;
}

static zh_router router_of(const json_t *c) {
  return (zh_router){.score = is_word(c, "score", "sigmoid")          ? ZH_ROUTER_SIGMOID
                              : is_word(c, "score", "softmax chosen") ? ZH_ROUTER_SOFTMAX_CHOSEN
                                                                      : ZH_ROUTER_SOFTMAX,
                     .renormalise = json_is_true(json_object_get(c, "renormalise")),
                     .groups = (uint32_t)json_integer_value(json_object_get(c, "groups")),
                     .groups_used = (uint32_t)json_integer_value(json_object_get(c, "groups_used")),
                     .group_score =
                         is_word(c, "group_score", "max") ? ZH_GROUP_MAX : ZH_GROUP_BEST_TWO,
                     .scale = json_number_value(json_object_get(c, "scale"))};
}

/* NULL where the key is absent. */
static const float *floats_of(float *out, const json_t *from, const char *key) {
  const json_t *list = json_object_get(from, key);
  for (size_t i = 0; i < json_array_size(list); i++)
    out[i] = (float)json_number_value(json_array_get(list, i));
  return list ? out : NULL;
}

static void routes_as_the_families_do(void **state) {
  (void)state;
  json_error_t why;
  json_t *golden = json_load_file(ZH_SOURCE_DIR "/tests/golden/routing/routing.json", 0, &why);
  const json_t *c, *token;
  size_t i, t;
  assert_non_null(golden);
  assert_true(json_array_size(json_object_get(golden, "cases")) >= 9);
  json_array_foreach(json_object_get(golden, "cases"), i, c) {
    float bias[EXPERTS], selection[EXPERTS], logits[EXPERTS], scratch[2 * EXPERTS], weight[USED];
    uint32_t expert[USED];
    zh_router router = router_of(c);
    zh_routing routing = {.router = &router,
                          .experts = (uint32_t)json_integer_value(json_object_get(c, "experts")),
                          .used = (uint32_t)json_integer_value(json_object_get(c, "used")),
                          .bias = floats_of(bias, c, "bias"),
                          .selection_bias = floats_of(selection, c, "selection_bias")};
    json_array_foreach(json_object_get(c, "tokens"), t, token) {
      zh_route(expert, weight, &routing, floats_of(logits, token, "logits"), scratch);
      for (uint32_t k = 0; k < routing.used; k++) {
        const json_t *experts = json_object_get(token, "experts");
        size_t at = 0;
        while (at < routing.used &&
               (uint32_t)json_integer_value(json_array_get(experts, at)) != expert[k])
          at++;
        assert_true(at < routing.used);
        double expected = json_number_value(json_array_get(json_object_get(token, "weights"), at));
        assert_true(fabs(weight[k] - expected) <= 4e-6 * fabs(expected));
      }
    }
  }
  json_decref(golden);
}

static void not_a_number_shows_and_harms_nothing(void **state) {
  (void)state;
  float logits[EXPERTS], scratch[2 * EXPERTS], weight[USED];
  uint32_t expert[USED];
  zh_router router = {.score = ZH_ROUTER_SIGMOID,
                      .groups = 8,
                      .groups_used = 4,
                      .group_score = ZH_GROUP_BEST_TWO,
                      .renormalise = true};
  zh_routing routing = {.router = &router, .experts = EXPERTS, .used = USED};
  for (size_t i = 0; i < EXPERTS; i++) logits[i] = NAN;
  zh_route(expert, weight, &routing, logits, scratch);
  for (uint32_t k = 0; k < USED; k++) {
    assert_true(isnan(weight[k]) && expert[k] < EXPERTS);
    for (uint32_t j = 0; j < k; j++) assert_int_not_equal(expert[j], expert[k]);
  }
}

static void gathers_tokens_by_expert(void **state) {
  (void)state;
  const uint32_t expert[] = {3, 0, 1, 3, 0, 3};
  const uint32_t first[] = {0, 2, 3, 3, 6, 6}, token[] = {0, 2, 1, 0, 1, 2},
                 place[] = {3, 0, 2, 4, 1, 5};
  uint32_t got_first[6], got_token[6], got_place[6];
  zh_assignment assignment = {got_first, got_token, got_place};
  zh_assign(&assignment, expert, 3, 2, 5);
  assert_memory_equal(got_first, first, sizeof first);
  assert_memory_equal(got_token, token, sizeof token);
  assert_memory_equal(got_place, place, sizeof place);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(routes_as_the_families_do),
      cmocka_unit_test(not_a_number_shows_and_harms_nothing),
      cmocka_unit_test(gathers_tokens_by_expert),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
