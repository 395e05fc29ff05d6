/* Products of many tokens come in variants behind one interface: product_variants.cu chooses. All round both operands
 * to bf16 and add in fp32. */
#ifndef ZH_KERNELS_CUDA_PRODUCT_MANY_CUH
#define ZH_KERNELS_CUDA_PRODUCT_MANY_CUH

#include "product.cuh"

/* A view's matrices, as the host knows them. */
struct zh_product_matrices {
  zh_device_form form;
  const zh_device_matrix *matrix[ZH_SIDES];
  float *y;
};

struct zh_product_variant {
  const char *name;
  bool (*has)(const zh_device *device);
  bool (*takes)(const zh_product_view *view, zh_device_form form);
  zh_status (*enqueue)(zh_device *device, zh_product_view *view, const zh_product_matrices *matrices, zh_error *err);
  bool rounds_inputs; /* first, in room of their own: product_inputs.cu */
};

/* product_many.cu, product_wgmma.cu, product_library.cu */
zh_status zh_cuda_product_mma(zh_device *device, zh_product_view *view, const zh_product_matrices *matrices,
                              zh_error *err);
bool zh_cuda_has_wgmma(const zh_device *device);
zh_status zh_cuda_product_wgmma(zh_device *device, zh_product_view *view, const zh_product_matrices *matrices,
                                zh_error *err);
bool zh_cuda_has_library(const zh_device *device);
bool zh_cuda_library_takes(const zh_product_view *view, zh_device_form form);
zh_status zh_cuda_product_library(zh_device *device, zh_product_view *view, const zh_product_matrices *matrices,
                                  zh_error *err);

/* product_inputs.cu */
struct zh_rounded_inputs {
  void *rows; /* [count][columns] of bf16 */
  size_t count, columns;
};
size_t zh_cuda_input_bytes(size_t count, size_t columns);
zh_status zh_cuda_round_inputs(zh_device *device, const zh_product_view *view, zh_rounded_inputs *out, zh_error *err);

/* product_variants.cu */
zh_status zh_cuda_product_many(zh_device *device, zh_product_view *view, const zh_product_matrices *matrices,
                               zh_error *err);

#endif
