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

enum { WGMMA, MMA, LIBRARY, VARIANTS };
/* The best first; the last is taken only where it is asked for: its sums may depend on how many tokens there are. */
static const zh_product_variant variants[VARIANTS] = {
    {"wgmma", zh_cuda_has_wgmma, everything, zh_cuda_product_wgmma, true},
    {"mma", always, everything, zh_cuda_product_mma, false},
    {"cublaslt", zh_cuda_has_library, zh_cuda_library_takes, zh_cuda_product_library, true}};

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

zh_status zh_cuda_choose_product(zh_device *device, const char *name, zh_error *err) {
  const char *asked = name ? name : getenv("ZH_GPU_PRODUCT");
  device->product = nullptr;
  if (!asked || !*asked) return ZH_OK;
  for (const zh_product_variant &variant : variants) {
    if (strcmp(variant.name, asked) != 0) continue;
    if (!variant.has(device))
      return zh_fail(err, ZH_ERR_LACKING,
                     "GPU %d (%s) cannot run products of many tokens by '%s'; leave ZH_GPU_PRODUCT away for its best",
                     device->index, device->facts.name, asked);
    device->product = &variant;
    return ZH_OK;
  }
  return zh_fail(err, ZH_ERR_USAGE, "products of many tokens have no variant '%s'; there are wgmma, mma and cublaslt",
                 asked);
}

size_t zh_cuda_product_room_bytes(const zh_device *device, size_t inputs, size_t columns) {
  return chosen(device)->rounds_inputs ? zh_cuda_input_bytes(inputs, columns) : 0;
}

zh_status zh_cuda_product_many(zh_device *device, zh_product_view *view, const zh_product_matrices *matrices,
                               zh_error *err) {
  const zh_product_variant *variant = chosen(device);
  if (!variant->takes(view, matrices->form)) variant = preferred(device);
  return variant->enqueue(device, view, matrices, err);
}
