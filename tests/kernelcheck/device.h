/* kernelcheck of accelerators: operators of a module's table against fp64, on whatever device it
 * opens (libzhiheng-cuda.so on a GPU, libzhiheng-shim.so on any machine). */
#ifndef ZH_TESTS_KERNELCHECK_DEVICE_H
#define ZH_TESTS_KERNELCHECK_DEVICE_H

#include "kernels/device.h"
#include "tests/kernelcheck/check.h"

/* The open device. */
typedef struct checked_device {
  const zh_device_api *api;
  zh_device *device;
  bool slow; /* the shim: small shapes alone */
} checked_device;
extern checked_device on;

/* Memory of the device, with what is at `from` (NULL: every byte 0xFF, NaN of all types); exits
 * where there is none. device_drop releases all of it. */
void *device_copy(const void *from, size_t bytes);
void device_drop(void);
void device_read(void *to, const void *from, size_t bytes);

/* What is enqueued, and what it writes: `bytes` at `out`, which hold `before` (NULL: 0xFF) when it
 * begins. */
typedef struct device_run {
  zh_status (*enqueue)(void *user, zh_error *err);
  void *user;
  void *out;
  const void *before;
  size_t bytes;
  bool apart; /* it has no place in a program, and must be refused there */
} device_run;
/* Runs it by itself, from a graph and from a program: 0, or infinity where two differ or one failed
 * (with a line that says why). result: [bytes]. */
double device_result(void *result, const device_run *run);

typedef struct device_case {
  const char *name;
  void (*check)(void);
} device_case;
extern const device_case device_cases[];
extern const size_t device_case_count;
/* only: NULL for all. Exit statuses. */
int check_device(const char *only);
int bench_device(const char *only); /* product, grouped, attention, rows */
void bench_device_cases(const char *only);

/* Variants of products of many tokens that the device can run, or the one that ZH_GPU_PRODUCT asks
 * for; until the next call. A pretended device only has our own: the library's is a test of its
 * own. */
const char *const *device_variants(void);
void device_take_variant(const char *name); /* NULL: as it opened */
/* Whether the variant that is taken has something of its own for weights of a form: those that are
 * named e4m3 for no others. */
bool device_variant_differs(zh_device_form form);
/* Each that multiplies by heads and by experts, too. */
void device_each_own_variant(void (*check)(zh_way way));

void check_device_products(void);
void check_device_e4m3(void); /* by each variant that multiplies E4M3 by E4M3 */
void check_device_head_products(void);
void check_device_grouped(void);
void check_device_route(void);
void check_device_attention(void);
void check_device_store(void);
void check_device_rows(void);
void check_device_norms(void);
void check_device_ropes(void);
void check_device_activations(void);
void check_device_logits(void);
void check_device_embed(void);
void check_device_generate(void);

/* A matrix on the host and on the device; its numbers are random, its scales ordinary. */
typedef struct device_weights {
  zh_device_matrix host, device;
  bool minimum; /* values are differences, whose parts count apart in bounds */
} device_weights;
device_weights device_weights_of(zh_device_form form, uint32_t rows, uint32_t columns,
                                 uint32_t scale_rows, uint32_t scale_columns);
void device_weights_free(device_weights *w); /* of the host */
/* What a row and the inputs of tokens are multiplied as. device_inputs: [tokens][columns], to be
 * freed. */
void device_row(float *out, const device_weights *w, size_t row, zh_way way);
float *device_inputs(const device_weights *w, const float *x, size_t x_stride, size_t tokens,
                     zh_way way);
/* y of these, and how far a device may be from it. Tensor cores cut where others round, so each
 * rounding counts twice. Blocks of 32 add two for their scales. */
double device_sum(double *bound, const device_weights *w, const float *row, const float *inputs,
                  zh_way way);
/* The same of one row and one token alone. x: [columns], not yet rounded. */
double device_dot(double *bound, const device_weights *w, size_t row, const float *x, zh_way way);

#endif
