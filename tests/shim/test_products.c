/* Variants of products of many tokens: which there are, which is taken, and that the library's
 * (here tests/fakes/cublaslt.c) computes what ours do. What ours compute is kernelcheck's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/halves.h"
#include "kernels/device.h"
#include "kernels/device_limits.h"

static const char HOPPER_SHARED[] = "232448";

static const zh_device_api *module(void) {
  const zh_device_api *api = NULL;
  zh_error err = ZH_ERROR_INIT;
  if (zh_device_open_module(&api, &err) != ZH_OK) fail_msg("%s", err.message);
  return api;
}

static int begin(void **state) {
  (void)state;
  unsetenv("ZH_SHIM_SHARED");
  unsetenv("ZH_SHIM_CAPABILITY");
  unsetenv("ZH_GPU_PRODUCT");
  unsetenv("ZH_FAKE_CUBLASLT");
  return 0;
}

static zh_device *opened(const zh_device_api *api) {
  zh_device *device = NULL;
  zh_error err = ZH_ERROR_INIT;
  if (api->open(&device, 0, &err) != ZH_OK) fail_msg("%s", err.message);
  return device;
}

static void the_best_that_there_is_comes_first(void **state) {
  (void)state;
  const zh_device_api *api = module();
  zh_device *device = opened(api);
  const char *const *names = api->product_variants(device);
  assert_string_equal(names[0],
                      "mma"); /* a block's shared memory is too small for tiles of wgmma */
  assert_string_equal(names[1], "cublaslt");
  assert_string_equal(names[2], "mma-e4m3");
  assert_null(names[3]);
  assert_string_equal(api->product_variant(device), "mma");
  assert_int_equal(api->product_room(device, 100, 65), 0);
  api->close(device);
  setenv("ZH_SHIM_SHARED", HOPPER_SHARED, 1);
  device = opened(api);
  names = api->product_variants(device);
  assert_string_equal(names[0], "wgmma");
  assert_string_equal(names[1], "mma");
  assert_string_equal(names[3], "wgmma-e4m3");
  assert_string_equal(api->product_variant(device), "wgmma");
  assert_int_equal(api->product_room(device, 100, 65),
                   100 * 128 * 2); /* bf16, steps of 64 columns */
  api->close(device);
}

/* Inputs of weights of E4M3 are rounded otherwise then, and only they; the room holds either. */
static void what_is_rounded_is_the_variants(void **state) {
  (void)state;
  const zh_device_api *api = module();
  setenv("ZH_SHIM_SHARED", HOPPER_SHARED, 1);
  zh_device *device = opened(api);
  zh_device_matrix even = {.form = ZH_FORM_E4M3,
                           .columns = 300,
                           .scale_rows = 1,
                           .scale_columns = 128},
                   halves = even, bf16 = {.form = ZH_FORM_BF16, .columns = 300};
  halves.scale_columns = 64;
  zh_roundings table = zh_device_rounds(api, device);
  assert_int_equal(zh_device_matrix_rounding(&table, &even, ZH_MANY), ZH_ROUND_BF16);
  assert_int_equal(api->choose_product(device, "e4m3", NULL), ZH_OK);
  assert_string_equal(api->product_variant(device), "wgmma-e4m3");
  table = zh_device_rounds(api, device);
  assert_int_equal(zh_device_matrix_rounding(&table, &even, ZH_MANY), ZH_ROUND_E4M3_INPUTS);
  assert_int_equal(zh_device_matrix_rounding(&table, &even, ZH_FEW), ZH_ROUND_BF16_INPUTS);
  assert_int_equal(zh_device_matrix_rounding(&table, &halves, ZH_MANY), ZH_ROUND_BF16);
  assert_int_equal(zh_device_matrix_rounding(&table, &bf16, ZH_MANY), ZH_ROUND_BF16);
  assert_int_equal(api->product_room(device, 100, 300), 100 * 320 * 2); /* bf16 */
  assert_int_equal(api->product_room(device, 100, 10),
                   100 * 128 + 100 * 4); /* a group, its scale */
  api->close(device);
}

static void a_variant_can_be_asked_for(void **state) {
  (void)state;
  const zh_device_api *api = module();
  zh_error err = ZH_ERROR_INIT;
  zh_device *device = opened(api), *none = NULL;
  assert_int_equal(api->choose_product(device, "cublaslt", &err), ZH_OK);
  assert_string_equal(api->product_variant(device), "cublaslt");
  assert_int_equal(api->choose_product(device, "wgmma", &err), ZH_ERR_LACKING);
  assert_non_null(strstr(err.message, "'wgmma'"));
  err = (zh_error)ZH_ERROR_INIT;
  assert_int_equal(api->choose_product(device, "magic", &err), ZH_ERR_USAGE);
  assert_non_null(strstr(err.message, "'magic'"));
  assert_int_equal(api->choose_product(device, NULL, &err), ZH_OK);
  assert_string_equal(api->product_variant(device), "mma");
  api->close(device);
  setenv("ZH_GPU_PRODUCT", "cublaslt", 1);
  device = opened(api);
  assert_string_equal(api->product_variant(device), "cublaslt");
  api->close(device);
  setenv("ZH_GPU_PRODUCT", "magic", 1);
  assert_int_equal(api->open(&none, 0, &err), ZH_ERR_USAGE);
  assert_null(none);
}

static bool has_loop(const zh_device_api *api, const zh_device *device, const char *metric) {
  for (const zh_device_peak *const *p = api->limits->peaks(device); *p; p++)
    if (strcmp((*p)->metric, metric) == 0) return true;
  return false;
}

/* Hopper's and data-centre Blackwells' units for E4M3 are not mma.sync's: what the compiler makes
 * of that is no peak, and never the better one of two; by its own name it can be had. */
static void units_that_are_not_reached_are_not_pretended(void **state) {
  static const struct {
    const char *capability;
    bool variant, units;
  } known[] = {{"80", false, false}, {"89", true, true},   {"90", true, false},
               {"100", true, false}, {"103", true, false}, {"120", true, true}};
  (void)state;
  const zh_device_api *api = module();
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    zh_error err = ZH_ERROR_INIT;
    setenv("ZH_SHIM_CAPABILITY", known[i].capability, 1);
    zh_device *device = opened(api);
    assert_true(has_loop(api, device, "bf16_tensor"));
    assert_int_equal(has_loop(api, device, "fp8_tensor"), known[i].units);
    zh_status named = api->choose_product(device, "mma-e4m3", NULL);
    assert_int_equal(named, known[i].variant ? ZH_OK : ZH_ERR_LACKING);
    zh_status better = api->choose_product(device, "e4m3", &err);
    assert_int_equal(better, known[i].units ? ZH_OK : ZH_ERR_LACKING);
    if (known[i].variant && !known[i].units) assert_non_null(strstr(err.message, "tcgen05"));
    assert_string_equal(api->product_variant(device), known[i].units ? "mma-e4m3" : "mma");
    api->close(device);
  }
  setenv("ZH_SHIM_CAPABILITY", "90", 1);
  setenv("ZH_SHIM_SHARED", HOPPER_SHARED, 1);
  zh_device *hopper = opened(api);
  assert_int_equal(api->choose_product(hopper, "e4m3", NULL), ZH_OK);
  assert_string_equal(api->product_variant(hopper), "wgmma-e4m3");
  api->close(hopper);
}

/* --- one product, by the variant that is taken --- */

enum { ROWS = 21, MORE = 8, COLUMNS = 100, TOKENS = 37, STRIDE = ROWS + MORE + 2 };

typedef struct example {
  zh_device *device;
  zh_device_matrix matrix[2];
  const float *bias[2];
  float *x, *y, before[TOKENS * STRIDE];
} example;

static float number_of(size_t n) {
  return (float)(n * 7919 % 1009) / 1009.0f - 0.5f;
}

static void *sent(const zh_device_api *api, zh_device *device, const void *from, size_t bytes) {
  void *at = NULL;
  assert_int_equal(api->alloc(device, &at, bytes, "an example", NULL), ZH_OK);
  assert_int_equal(api->upload(device, at, from, bytes, NULL), ZH_OK);
  assert_int_equal(api->wait(device, NULL), ZH_OK);
  return at;
}

static void example_open(example *e, const zh_device_api *api) {
  static uint16_t weights[ROWS][128]; /* rows are 64 bytes, or several, apart */
  static float x[TOKENS * COLUMNS];
  e->device = opened(api);
  assert_int_equal(zh_device_number_bytes(ZH_FORM_BF16, 1, COLUMNS), sizeof weights[0]);
  for (size_t r = 0; r < ROWS; r++)
    for (size_t c = 0; c < COLUMNS; c++) weights[r][c] = zh_f32_to_bf16(number_of(r * COLUMNS + c));
  for (size_t i = 0; i < TOKENS * COLUMNS; i++) x[i] = number_of(3 * i + 1);
  for (size_t i = 0; i < TOKENS * STRIDE; i++) e->before[i] = number_of(5 * i + 2);
  void *numbers = sent(api, e->device, weights, sizeof weights);
  for (int i = 0; i < 2; i++)
    e->matrix[i] = (zh_device_matrix){
        .form = ZH_FORM_BF16, .rows = i ? MORE : ROWS, .columns = COLUMNS, .numbers = numbers};
  e->x = sent(api, e->device, x, sizeof x);
  e->y = sent(api, e->device, e->before, sizeof e->before);
  e->bias[0] = e->x, e->bias[1] = NULL;
}

static void example_close(example *e, const zh_device_api *api) {
  api->release(e->device, e->matrix[0].numbers);
  api->release(e->device, e->x);
  api->release(e->device, e->y);
  api->close(e->device);
}

static zh_status compute(float *out, const example *e, const zh_device_api *api,
                         const char *variant, bool adds, bool biased, zh_error *err) {
  zh_device_product work = {.y = e->y,
                            .y_stride = STRIDE,
                            .matrices = e->matrix,
                            .biases = biased ? e->bias : NULL,
                            .count = 2,
                            .x = e->x,
                            .x_stride = COLUMNS,
                            .tokens = TOKENS,
                            .adds = adds,
                            .factor = adds ? 0.25f : 1,
                            .way = ZH_MANY};
  ZH_TRY(api->choose_product(e->device, variant, err));
  ZH_TRY(api->upload(e->device, e->y, e->before, sizeof e->before, err));
  ZH_TRY(api->product(e->device, &work, err));
  ZH_TRY(api->download(e->device, out, e->y, sizeof e->before, err));
  return api->wait(e->device, err);
}

static double difference(const float *a, const float *b) {
  double most = 0;
  for (size_t i = 0; i < TOKENS * STRIDE; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
  return most;
}

static void the_library_computes_what_ours_do(void **state) {
  (void)state;
  static float ours[TOKENS * STRIDE], theirs[TOKENS * STRIDE];
  const zh_device_api *api = module();
  zh_error err = ZH_ERROR_INIT;
  example e;
  example_open(&e, api);
  for (int adds = 1; adds >= 0; adds--)
    for (int again = 0; again < 2; again++) { /* the second time the shape is known */
      assert_int_equal(compute(ours, &e, api, "mma", adds, false, &err), ZH_OK);
      if (compute(theirs, &e, api, "cublaslt", adds, false, &err) != ZH_OK)
        fail_msg("%s", err.message);
      assert_true(difference(ours, theirs) < 1e-5);
      assert_true(difference(ours, e.before) > 0.1);
    }
  setenv("ZH_FAKE_CUBLASLT", "wrong", 1);
  assert_int_equal(compute(theirs, &e, api, "cublaslt", false, false, &err), ZH_OK);
  assert_true(difference(ours, theirs) > 900); /* it was the library */
  assert_int_equal(compute(ours, &e, api, "mma", false, true, &err), ZH_OK);
  assert_int_equal(compute(theirs, &e, api, "cublaslt", false, true, &err), ZH_OK);
  assert_memory_equal(ours, theirs, sizeof ours); /* biases are not asked of it */
  example_close(&e, api);
}

static void a_library_without_an_algorithm_is_named(void **state) {
  (void)state;
  static float out[TOKENS * STRIDE];
  const zh_device_api *api = module();
  zh_error err = ZH_ERROR_INIT;
  example e;
  example_open(&e, api);
  setenv("ZH_FAKE_CUBLASLT", "none", 1);
  assert_int_equal(compute(out, &e, api, "cublaslt", false, false, &err), ZH_ERR_LACKING);
  assert_non_null(strstr(err.message, "bf16 37x21x128"));
  setenv("ZH_FAKE_CUBLASLT", "broken", 1); /* but for the last */
  assert_int_equal(compute(out, &e, api, "cublaslt", false, false, &err), ZH_OK);
  example_close(&e, api);
}

static void compute_by_graph(float *out, const example *e, const zh_device_api *api,
                             const zh_device_product *work) {
  zh_error err = ZH_ERROR_INIT;
  zh_device_graph *graph = NULL;
  assert_int_equal(api->upload(e->device, e->y, e->before, sizeof e->before, NULL), ZH_OK);
  assert_int_equal(api->wait(e->device, NULL), ZH_OK);
  assert_int_equal(api->begin_graph(e->device, NULL), ZH_OK);
  if (api->product(e->device, work, &err) != ZH_OK) fail_msg("%s", err.message);
  assert_int_equal(api->end_graph(e->device, &graph, &err), ZH_OK);
  assert_int_equal(api->launch(e->device, graph, NULL), ZH_OK);
  assert_int_equal(api->download(e->device, out, e->y, sizeof e->before, NULL), ZH_OK);
  assert_int_equal(api->wait(e->device, &err), ZH_OK);
  api->release_graph(e->device, graph);
}

/* A first product of many tokens gets its room while a graph is made of it; lent room is used
 * instead. */
static void room_is_got_or_lent(void **state) {
  (void)state;
  static float ours[TOKENS * STRIDE], again[TOKENS * STRIDE];
  const zh_device_api *api = module();
  zh_error err = ZH_ERROR_INIT;
  example e;
  setenv("ZH_SHIM_SHARED", HOPPER_SHARED, 1);
  example_open(&e, api);
  zh_device_product work = {.y = e.y,
                            .y_stride = STRIDE,
                            .matrices = e.matrix,
                            .count = 2,
                            .x = e.x,
                            .x_stride = COLUMNS,
                            .tokens = TOKENS,
                            .factor = 1,
                            .way = ZH_MANY};
  compute_by_graph(ours, &e, api, &work);
  size_t bytes = api->product_room(e.device, TOKENS, COLUMNS), used = 0;
  void *room = NULL;
  uint8_t *held = malloc(bytes);
  assert_int_equal(api->alloc(e.device, &room, bytes, "room", NULL), ZH_OK);
  assert_int_equal(api->fill(e.device, room, 0, bytes, NULL), ZH_OK);
  api->lend_product_room(e.device, room, bytes);
  compute_by_graph(again, &e, api, &work);
  assert_memory_equal(ours, again, sizeof ours);
  assert_int_equal(api->download(e.device, held, room, bytes, NULL), ZH_OK);
  assert_int_equal(api->wait(e.device, NULL), ZH_OK);
  for (size_t i = 0; i < bytes; i++) used += held[i] != 0;
  assert_true(used > TOKENS * COLUMNS);
  assert_int_equal(compute(again, &e, api, "mma", false, false, &err), ZH_OK);
  assert_true(difference(ours, again) < 1e-5);
  free(held);
  api->release(e.device, room);
  example_close(&e, api);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(the_best_that_there_is_comes_first, begin),
      cmocka_unit_test_setup(what_is_rounded_is_the_variants, begin),
      cmocka_unit_test_setup(a_variant_can_be_asked_for, begin),
      cmocka_unit_test_setup(units_that_are_not_reached_are_not_pretended, begin),
      cmocka_unit_test_setup(the_library_computes_what_ours_do, begin),
      cmocka_unit_test_setup(a_library_without_an_algorithm_is_named, begin),
      cmocka_unit_test_setup(room_is_got_or_lent, begin),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
