#include "tests/kernelcheck/device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

checked_device on;

enum { MOST_PIECES = 256 };
static void *pieces[MOST_PIECES];
static size_t piece_count;

static void must(zh_status status, const zh_error *err) {
  if (status == ZH_OK) return;
  fprintf(stderr, "zhiheng-kernelcheck: %s\n", err->message);
  exit(3);
}

void *device_copy(const void *from, size_t bytes) {
  zh_error err = ZH_ERROR_INIT;
  void *at = NULL;
  if (piece_count == MOST_PIECES) exit(3);
  must(on.api->alloc(on.device, &at, bytes, "a check", &err), &err);
  pieces[piece_count++] = at;
  must(from ? on.api->upload(on.device, at, from, bytes, &err)
            : on.api->fill(on.device, at, 0xFF, bytes, &err),
       &err);
  must(on.api->wait(on.device, &err), &err);
  return at;
}

void device_drop(void) {
  while (piece_count > 0) on.api->release(on.device, pieces[--piece_count]);
}

void device_read(void *to, const void *from, size_t bytes) {
  zh_error err = ZH_ERROR_INIT;
  must(on.api->download(on.device, to, from, bytes, &err), &err);
  must(on.api->wait(on.device, &err), &err);
}

static zh_status run_once(void *result, const device_run *run, zh_device_graph *graph,
                          zh_error *err) {
  const zh_device_api *api = on.api;
  ZH_TRY(run->before ? api->upload(on.device, run->out, run->before, run->bytes, err)
                     : api->fill(on.device, run->out, 0xFF, run->bytes, err));
  ZH_TRY(graph ? api->launch(on.device, graph, err) : run->enqueue(run->user, err));
  ZH_TRY(api->download(on.device, result, run->out, run->bytes, err));
  return api->wait(on.device, err);
}

typedef zh_status (*begins)(zh_device *device, zh_error *err);
typedef zh_status (*ends)(zh_device *device, zh_device_graph **out, zh_error *err);

static zh_status run_kept(void *again, const device_run *run, begins begin, ends end,
                          zh_error *err) {
  zh_device_graph *graph = NULL;
  ZH_TRY(begin(on.device, err));
  zh_status status = run->enqueue(run->user, err);
  zh_status ended = end(on.device, &graph, status == ZH_OK ? err : NULL);
  if (status == ZH_OK) status = ended;
  if (status == ZH_OK) status = run_once(again, run, graph, err);
  on.api->release_graph(on.device, graph);
  return status;
}

static zh_status run_in_program(void *again, const device_run *run, zh_error *err) {
  zh_status status = run_kept(again, run, on.api->begin_program, on.api->end_program, err);
  if (!run->apart) return status;
  if (status != ZH_ERR_LACKING)
    return zh_fail(err, ZH_ERR_CHECK, "a program took what has no place there");
  if (err) *err = (zh_error)ZH_ERROR_INIT;
  return ZH_OK;
}

double device_result(void *result, const device_run *run) {
  zh_error err = ZH_ERROR_INIT;
  void *again = zeroed(run->bytes);
  double worst = 0;
  zh_status status = run_once(result, run, NULL, &err);
  if (status == ZH_OK) status = run_kept(again, run, on.api->begin_graph, on.api->end_graph, &err);
  if (status == ZH_OK) worst = unless_equal(worst, result, again, run->bytes);
  if (status == ZH_OK) status = run_in_program(again, run, &err);
  if (status == ZH_OK && !run->apart) worst = unless_equal(worst, result, again, run->bytes);
  if (status != ZH_OK) fprintf(stderr, "zhiheng-kernelcheck: %s\n", err.message);
  free(again);
  return status == ZH_OK ? worst : (double)INFINITY;
}

/* --- variants --- */

/* The shim computes at once, cuBLASLt in the order of its stream. */
static size_t add_variant(const char **list, size_t count, const char *name) {
  if (on.slow && strcmp(name, "cublaslt") == 0) return count;
  list[count] = name;
  return count + 1;
}

const char *const *device_variants(void) {
  static const char *list[8];
  const char *asked = getenv("ZH_GPU_PRODUCT");
  size_t count = 0;
  if (asked && *asked) {
    device_take_variant(NULL);
    count = add_variant(list, count, on.api->product_variant(on.device));
  } else {
    for (const char *const *v = on.api->product_variants(on.device); *v && count < 7; v++)
      count = add_variant(list, count, *v);
  }
  list[count] = NULL;
  return list;
}

void device_take_variant(const char *name) {
  zh_error err = ZH_ERROR_INIT;
  must(on.api->choose_product(on.device, name, &err), &err);
}

bool device_variant_differs(zh_device_form form) {
  return form == ZH_FORM_E4M3 || !strstr(on.api->product_variant(on.device), "e4m3");
}

void device_each_own_variant(void (*check)(zh_way way)) {
  for (const char *const *variant = device_variants(); *variant; variant++) {
    if (strcmp(*variant, "cublaslt") == 0) continue;
    device_take_variant(*variant);
    check(ZH_MANY);
  }
  device_take_variant(NULL);
}

/* --- weights --- */

static zh_dtype type_of(zh_device_form form) {
  static const zh_dtype types[ZH_FORMS] = {ZH_F32,  ZH_F16,  ZH_BF16, ZH_F32,
                                           ZH_Q8_0, ZH_Q4_0, ZH_Q4_1, ZH_Q4_K};
  return types[form];
}

static void random_e4m3(device_weights *w) {
  zh_device_matrix *m = &w->host;
  size_t row_bytes = zh_device_number_bytes(m->form, 1, m->columns),
         scales = zh_device_scale_bytes(m) / sizeof(float);
  uint8_t *numbers = m->numbers, *noise = random_bytes(m->rows * row_bytes);
  for (size_t r = 0; r < m->rows; r++)
    for (size_t i = 0; i < m->columns; i++) {
      uint8_t byte = noise[r * row_bytes + i];
      numbers[r * row_bytes + i] = (byte & 0x7F) == 0x7F ? 0x38 : byte;
    }
  float *values = normal_floats(scales, 0.01f);
  for (size_t i = 0; i < scales; i++) ((float *)m->scales)[i] = fabsf(values[i]) + 1e-4f;
  free(noise);
  free(values);
}

device_weights device_weights_of(zh_device_form form, uint32_t rows, uint32_t columns,
                                 uint32_t scale_rows, uint32_t scale_columns) {
  device_weights w = {.host = {.form = form,
                               .rows = rows,
                               .columns = columns,
                               .scale_rows = scale_rows,
                               .scale_columns = scale_columns},
                      .minimum = form == ZH_FORM_Q4_1 || form == ZH_FORM_Q4_K};
  size_t bytes = zh_device_number_bytes(form, rows, columns),
         scale_bytes = zh_device_scale_bytes(&w.host);
  w.host.numbers = zeroed(bytes);
  w.host.scales = scale_bytes ? zeroed(scale_bytes) : NULL;
  if (form == ZH_FORM_E4M3) {
    random_e4m3(&w);
  } else {
    uint64_t row_bytes;
    if (!zh_dtype_bytes(&row_bytes, type_of(form), columns)) exit(3);
    uint8_t *rows_of_file = zeroed(rows * row_bytes);
    random_weights(rows_of_file, type_of(form), (size_t)rows * columns);
    zh_device_lay(form, w.host.numbers, w.host.scales, type_of(form), rows_of_file, rows, row_bytes,
                  columns);
    free(rows_of_file);
  }
  w.device = w.host;
  w.device.numbers = device_copy(w.host.numbers, bytes);
  w.device.scales = scale_bytes ? device_copy(w.host.scales, scale_bytes) : NULL;
  return w;
}

void device_weights_free(device_weights *w) {
  free(w->host.numbers);
  free(w->host.scales);
}

static zh_rounding rounding_of(const device_weights *w, zh_way way) {
  zh_roundings table = zh_device_rounds(on.api, on.device);
  return zh_device_matrix_rounding(&table, &w->host, way);
}

void device_row(float *out, const device_weights *w, size_t row, zh_way way) {
  zh_device_row_values(out, &w->host, w->host.numbers, w->host.scales, row);
  zh_rounded_weights(out, rounding_of(w, way), w->host.columns);
}

float *device_inputs(const device_weights *w, const float *x, size_t x_stride, size_t tokens,
                     zh_way way) {
  size_t columns = w->host.columns;
  float *inputs = zeroed(tokens * columns * sizeof *inputs);
  for (size_t t = 0; t < tokens; t++)
    zh_rounded(inputs + t * columns, rounding_of(w, way), x + t * x_stride, columns);
  return inputs;
}

double device_sum(double *bound, const device_weights *w, const float *row, const float *inputs,
                  zh_way way) {
  double size, sum = exact_dot(&size, row, inputs, w->host.columns), columns = w->host.columns;
  *bound = gamma_of(2 * (columns + columns / 16 + 12)) * size * (w->minimum ? 4 : 1) + 0x1p-120 +
           2 * zh_rounding_loss(rounding_of(w, way), row, inputs, w->host.columns);
  return sum;
}

double device_dot(double *bound, const device_weights *w, size_t row, const float *x, zh_way way) {
  float *values = zeroed(w->host.columns * sizeof *values),
        *inputs = device_inputs(w, x, w->host.columns, 1, way);
  device_row(values, w, row, way);
  double sum = device_sum(bound, w, values, inputs, way);
  free(values);
  free(inputs);
  return sum;
}

/* --- what there is --- */

const device_case device_cases[] = {
    {"embed", check_device_embed},         {"norm", check_device_norms},
    {"product", check_device_products},    {"head_product", check_device_head_products},
    {"route", check_device_route},         {"grouped", check_device_grouped},
    {"rope", check_device_ropes},          {"store", check_device_store},
    {"attention", check_device_attention}, {"activate", check_device_activations},
    {"rows", check_device_rows},           {"logits", check_device_logits},
    {"generate", check_device_generate},
};
const size_t device_case_count = sizeof device_cases / sizeof *device_cases;

static zh_status open_first(zh_error *err) {
  int count = 0;
  ZH_TRY(zh_device_open_module(&on.api, err));
  ZH_TRY(on.api->count(&count, err));
  ZH_TRY(on.api->open(&on.device, 0, err));
  on.slow = strcmp(on.api->backend, "shim") == 0;
  return ZH_OK;
}

static int open_or_refuse(void) {
  zh_error err = ZH_ERROR_INIT;
  if (open_first(&err) == ZH_OK) return 0;
  fprintf(stderr, "zhiheng-kernelcheck: %s\n", err.message);
  return 1;
}

static void begin_device(void) {
  zh_device_facts facts;
  zh_error err = ZH_ERROR_INIT;
  must(on.api->facts(&facts, 0, &err), &err);
  printf("%s: %s, compute capability %d.%d, %s\n", on.api->backend, facts.name, facts.major,
         facts.minor, on.api->build);
}

int check_device(const char *only) {
  if (open_or_refuse()) return 1;
  begin_device();
  for (size_t i = 0; i < device_case_count; i++) {
    if (only && strcmp(only, device_cases[i].name) != 0) continue;
    device_cases[i].check();
    device_drop();
  }
  on.api->close(on.device);
  printf("%d failed\n", check_failures());
  return check_failures() ? 1 : 0;
}

int bench_device(const char *only) {
  if (open_or_refuse()) return 1;
  begin_device();
  if (on.slow) printf("This is no accelerator: its times say nothing of any.\n");
  bench_device_cases(only);
  on.api->close(on.device);
  return 0;
}
