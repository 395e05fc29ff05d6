/* Which variant of products of many tokens a device takes. */
#include <stdlib.h>
#include <string.h>

#include "product_many.cuh"

static bool always(const zh_device *) {
  return true;
}
static bool everything(const zh_product_view *, zh_device_form) {
  return true;
}

enum { WGMMA, MMA, LIBRARY, WGMMA_E4M3, MMA_E4M3, VARIANTS };
/* The best first. Behind them those that are taken only where they are asked for: the sums of the library may depend on
 * how many tokens there are, and E4M3 rounds activations more than `fast` promises (docs/metrics.md). */
static const zh_product_variant variants[VARIANTS] = {
    {"wgmma", zh_cuda_has_wgmma, everything, zh_cuda_product_wgmma, true, false},
    {"mma", always, everything, zh_cuda_product_mma, false, false},
    {"cublaslt", zh_cuda_has_library, zh_cuda_library_takes, zh_cuda_product_library, true, false},
    {"wgmma-e4m3", zh_cuda_has_wgmma, zh_cuda_e4m3_takes, zh_cuda_product_wgmma_e4m3, true, true},
    {"mma-e4m3", zh_cuda_has_mma_e4m3, zh_cuda_e4m3_takes, zh_cuda_product_mma_e4m3, true, true}};

static const zh_product_variant *preferred(const zh_device *device) {
  return &variants[zh_cuda_has_wgmma(device) ? WGMMA : MMA];
}

static const zh_product_variant *chosen(const zh_device *device) {
  return device->product ? device->product : preferred(device);
}

const char *const *zh_cuda_product_variants(const zh_device *device) {
  static thread_local const char *list[VARIANTS + 1];
  size_t count = 0;
  for (const zh_product_variant &variant : variants)
    if (variant.has(device)) list[count++] = variant.name;
  list[count] = nullptr;
  return list;
}

const char *zh_cuda_product_variant(const zh_device *device) {
  return chosen(device)->name;
}

/* "e4m3" is the better one of those. */
static bool asks_for_better(const char *asked) {
  return strcmp(asked, "e4m3") == 0;
}
static bool is_meant(const zh_product_variant &variant, const char *asked) {
  return strcmp(variant.name, asked) == 0 || (variant.e4m3 && asks_for_better(asked));
}

/* By name a device takes what it can run at all; for the better one of E4M3 it must have units for these numbers. */
static bool can_take(const zh_device *device, const zh_product_variant &variant, const char *asked) {
  bool units = &variant == &variants[WGMMA_E4M3] || zh_cuda_has_e4m3_units(device);
  return variant.has(device) && (units || !asks_for_better(asked));
}

static zh_status refuse(const zh_device *device, const char *asked, zh_error *err) {
  if (asks_for_better(asked) && zh_cuda_has_mma_e4m3(device))
    return zh_fail(err, ZH_ERR_LACKING,
                   "the FP8 units of GPU %d (%s) need wgmma (a build for sm_90a) or tcgen05, which this build has not; "
                   "'mma-e4m3' computes the same out of FP16, by more instructions than BF16 takes",
                   device->index, device->facts.name);
  return zh_fail(err, ZH_ERR_LACKING,
                 "GPU %d (%s) cannot run products of many tokens by '%s'; leave ZH_GPU_PRODUCT away for its best",
                 device->index, device->facts.name, asked);
}

zh_status zh_cuda_choose_product(zh_device *device, const char *name, zh_error *err) {
  const char *asked = name ? name : getenv("ZH_GPU_PRODUCT");
  device->product = nullptr;
  if (!asked || !*asked) return ZH_OK;
  bool known = false;
  for (const zh_product_variant &variant : variants) {
    if (!is_meant(variant, asked)) continue;
    known = true;
    if (!can_take(device, variant, asked)) continue;
    device->product = &variant;
    return ZH_OK;
  }
  if (known) return refuse(device, asked, err);
  return zh_fail(err, ZH_ERR_USAGE,
                 "products of many tokens have no variant '%s'; there are wgmma, mma, cublaslt, e4m3, wgmma-e4m3 and "
                 "mma-e4m3",
                 asked);
}

/* What a variant does not take the preferred one does, in the same room. */
size_t zh_cuda_product_room_bytes(const zh_device *device, size_t inputs, size_t columns) {
  bool plain = chosen(device)->e4m3 ? preferred(device)->rounds_inputs : chosen(device)->rounds_inputs;
  size_t bytes = plain ? zh_cuda_input_bytes(inputs, columns) : 0,
         e4m3 = chosen(device)->e4m3 ? zh_cuda_e4m3_bytes(inputs, columns) : 0;
  return bytes > e4m3 ? bytes : e4m3;
}

zh_roundings zh_cuda_device_rounds(const zh_device *device) {
  zh_roundings rounds = zh_cuda_rounds;
  if (chosen(device)->e4m3) rounds.e4m3 = ZH_ROUND_E4M3_INPUTS;
  return rounds;
}

zh_status zh_cuda_product_many(zh_device *device, zh_product_view *view, const zh_product_matrices *matrices,
                               zh_error *err) {
  const zh_product_variant *variant = chosen(device);
  if (!variant->takes(view, matrices->form)) variant = preferred(device);
  return variant->enqueue(device, view, matrices, err);
}
