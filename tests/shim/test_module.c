/* The module that g++ makes of kernels/cuda, opened as the program opens one. */
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/device.h"

enum { COUNT = 1000 };

static const zh_device_api *module(void) {
  const zh_device_api *api = NULL;
  zh_error err = ZH_ERROR_INIT;
  if (zh_device_open_module(&api, &err) != ZH_OK) fail_msg("%s", err.message);
  return api;
}

static void what_it_says_of_itself(void **state) {
  (void)state;
  const zh_device_api *api = module();
  zh_device_facts facts;
  int count = 0;
  assert_string_equal(api->backend, "shim");
  assert_int_equal(api->count(&count, NULL), ZH_OK);
  assert_int_equal(count, 1);
  assert_int_equal(api->facts(&facts, 0, NULL), ZH_OK);
  assert_non_null(strstr(facts.name, "no GPU"));
  assert_true(facts.shared_bytes >= 48 << 10);
  assert_int_equal(api->facts(&facts, 1, NULL), ZH_ERR_LACKING);
}

typedef struct rows {
  zh_device *device;
  void *x, *y;
  float of_x[COUNT], of_y[COUNT], out[COUNT];
} rows;

static void rows_open(rows *r, const zh_device_api *api) {
  assert_int_equal(api->open(&r->device, 0, NULL), ZH_OK);
  assert_int_equal(api->alloc(r->device, &r->x, sizeof r->of_x, "x", NULL), ZH_OK);
  assert_int_equal(api->alloc(r->device, &r->y, sizeof r->of_y, "y", NULL), ZH_OK);
  for (int i = 0; i < COUNT; i++) {
    r->of_x[i] = (float)i * 0.37f;
    r->of_y[i] = 5.0f - (float)i;
  }
  assert_int_equal(api->upload(r->device, r->x, r->of_x, sizeof r->of_x, NULL), ZH_OK);
  assert_int_equal(api->upload(r->device, r->y, r->of_y, sizeof r->of_y, NULL), ZH_OK);
}

static void rows_close(rows *r, const zh_device_api *api) {
  api->release(r->device, r->x);
  api->release(r->device, r->y);
  api->close(r->device);
}

static void rows_are_added(void **state) {
  (void)state;
  const zh_device_api *api = module();
  rows r;
  rows_open(&r, api);
  assert_int_equal(api->add(r.device, r.y, r.x, 0.25f, COUNT - 1, NULL), ZH_OK);
  assert_int_equal(api->download(r.device, r.out, r.y, sizeof r.out, NULL), ZH_OK);
  assert_int_equal(api->wait(r.device, NULL), ZH_OK);
  for (int i = 0; i < COUNT - 1; i++) assert_true(r.out[i] == fmaf(0.25f, r.of_x[i], r.of_y[i]));
  assert_true(r.out[COUNT - 1] == r.of_y[COUNT - 1]);
  rows_close(&r, api);
}

static void a_graph_adds_as_often_as_it_is_launched(void **state) {
  (void)state;
  const zh_device_api *api = module();
  zh_device_graph *graph = NULL;
  rows r;
  rows_open(&r, api);
  assert_int_equal(api->begin_graph(r.device, NULL), ZH_OK);
  assert_int_equal(api->add(r.device, r.y, r.x, 1.0f, COUNT, NULL), ZH_OK);
  assert_int_equal(api->end_graph(r.device, &graph, NULL), ZH_OK);
  for (int i = 0; i < 3; i++) assert_int_equal(api->launch(r.device, graph, NULL), ZH_OK);
  assert_int_equal(api->download(r.device, r.out, r.y, sizeof r.out, NULL), ZH_OK);
  assert_int_equal(api->wait(r.device, NULL), ZH_OK);
  for (int i = 0; i < COUNT; i++) {
    float sum = r.of_y[i];
    for (int k = 0; k < 3; k++) sum = r.of_x[i] + sum;
    assert_true(r.out[i] == sum);
  }
  api->release_graph(r.device, graph);
  rows_close(&r, api);
}

static void a_kernel_that_goes_too_far_names_itself(void **state) {
  (void)state;
  const zh_device_api *api = module();
  zh_error err = ZH_ERROR_INIT;
  rows r;
  rows_open(&r, api);
  api->mark(r.device, "residual", 17);
  assert_int_equal(api->add(r.device, r.y, r.x, 1.0f, COUNT + 1, &err), ZH_OK);
  assert_int_equal(api->wait(r.device, &err), ZH_ERR_IO);
  assert_non_null(strstr(err.message, "'residual' of layer 17"));
  assert_non_null(strstr(err.message, "kernel 'add_rows'"));
  assert_non_null(strstr(err.message, "index 1000"));
  const char *(*report)(void) = NULL;
  *(void **)&report = dlsym(dlopen(getenv("ZH_DEVICE_MODULE"), RTLD_NOW), "zh_shim_report");
  assert_non_null(report);
  assert_non_null(strstr(report(), "rows.cuh:"));
  rows_close(&r, api);
  rows_are_added(state); /* opened anew, the device works */
}

/* Attention of one token to itself, by heads of `dim`: v is what it must give. */
enum { DIM_MOST = 128 };
typedef struct alone {
  zh_device_attention work;
  void *memory;
} alone;

static void alone_open(alone *a, const zh_device_api *api, zh_device *device, uint32_t dim) {
  enum { ROOM = 4096 };
  size_t scratch = 0;
  *a = (alone){.work = {.heads = 1, .tokens = 1, .longest = 1, .scale = 1, .way = ZH_FEW}};
  a->work.kv = (zh_device_kv){.type = ZH_DEVICE_KV_BF16,
                              .sequences = 1,
                              .kv_heads = 1,
                              .capacity = 1,
                              .key_dim = dim,
                              .value_dim = dim};
  scratch = api->attention_scratch(device, &a->work);
  assert_int_equal(api->alloc(device, &a->memory, 6 * ROOM + scratch, "attention", NULL), ZH_OK);
  assert_int_equal(api->fill(device, a->memory, 0, 6 * ROOM + scratch, NULL), ZH_OK);
  unsigned char *at = a->memory;
  a->work.out = (float *)(void *)at;
  a->work.q = (float *)(void *)(at + ROOM);
  a->work.kv.keys = at + 2 * ROOM;
  a->work.kv.values = at + 3 * ROOM;
  a->work.position = (uint32_t *)(void *)(at + 4 * ROOM);
  a->work.sequence = (uint32_t *)(void *)(at + 5 * ROOM);
  a->work.scratch = at + 6 * ROOM;
  assert_int_equal(api->fill(device, a->work.kv.values, 0x3F, 2 * dim, NULL), ZH_OK);
}

static zh_device_graph *program_of(alone *a, const zh_device_api *api, zh_device *device) {
  zh_device_graph *program = NULL;
  zh_error err = ZH_ERROR_INIT;
  assert_int_equal(api->begin_program(device, &err), ZH_OK);
  assert_int_equal(api->attention(device, &a->work, &err), ZH_OK);
  if (api->end_program(device, &program, &err) != ZH_OK) fail_msg("%s", err.message);
  return program;
}

/* Programs and launches of one kernel need more shared memory, or less; none takes another's. */
static void what_needs_less_takes_no_room_from_what_needs_more(void **state) {
  (void)state;
  static const uint32_t dims[] = {128, 64};
  const zh_device_api *api = module();
  zh_device *device = NULL;
  zh_error err = ZH_ERROR_INIT;
  alone made[2];
  zh_device_graph *program[2];
  assert_int_equal(api->open(&device, 0, NULL), ZH_OK);
  for (int i = 0; i < 2; i++) {
    alone_open(&made[i], api, device, dims[i]);
    program[i] = program_of(&made[i], api, device);
  }
  for (int i = 0; i < 2; i++) {
    float out[DIM_MOST] = {0};
    if (api->launch(device, program[i], &err) != ZH_OK) fail_msg("%s", err.message);
    assert_int_equal(api->download(device, out, made[i].work.out, dims[i] * sizeof *out, NULL),
                     ZH_OK);
    if (api->wait(device, &err) != ZH_OK) fail_msg("%s", err.message);
    for (uint32_t d = 0; d < dims[i]; d++)
      assert_true(out[d] > 0.74f && out[d] < 0.75f); /* 0x3F3F */
  }
  for (int i = 0; i < 2; i++) {
    api->release_graph(device, program[i]);
    api->release(device, made[i].memory);
  }
  api->close(device);
}

static void more_tokens_than_a_grid_takes_are_refused(void **state) {
  (void)state;
  const zh_device_api *api = module();
  zh_error err = ZH_ERROR_INIT;
  rows r;
  rows_open(&r, api);
  zh_device_norm norm = {.y = r.y,
                         .x = r.x,
                         .gain = r.x,
                         .y_stride = 1,
                         .x_stride = 1,
                         .columns = 1,
                         .heads = 1,
                         .tokens = 65536};
  assert_int_equal(api->norm(r.device, &norm, &err), ZH_ERR_ARG);
  assert_non_null(strstr(err.message, "65536 tokens"));
  rows_close(&r, api);
}

static void memory_ends(void **state) {
  (void)state;
  const zh_device_api *api = module();
  zh_error err = ZH_ERROR_INIT;
  rows r;
  void *more = NULL;
  rows_open(&r, api);
  assert_int_equal(api->alloc(r.device, &more, (size_t)1 << 40, "weights", &err), ZH_ERR_MEMORY);
  assert_non_null(strstr(err.message, "weights"));
  assert_null(more);
  rows_close(&r, api);
}

static void a_copy_beyond_an_allocation_is_refused(void **state) {
  (void)state;
  const zh_device_api *api = module();
  zh_error err = ZH_ERROR_INIT;
  rows r;
  rows_open(&r, api);
  assert_int_equal(api->download(r.device, r.out, (char *)r.y + 4, sizeof r.out, &err), ZH_ERR_IO);
  assert_non_null(strstr(err.message, "4000 bytes at byte 4"));
  rows_close(&r, api);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_it_says_of_itself),
      cmocka_unit_test(rows_are_added),
      cmocka_unit_test(a_graph_adds_as_often_as_it_is_launched),
      cmocka_unit_test(a_kernel_that_goes_too_far_names_itself),
      cmocka_unit_test(what_needs_less_takes_no_room_from_what_needs_more),
      cmocka_unit_test(more_tokens_than_a_grid_takes_are_refused),
      cmocka_unit_test(memory_ends),
      cmocka_unit_test(a_copy_beyond_an_allocation_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
