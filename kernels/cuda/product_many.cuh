/* Products of many tokens come in variants behind one interface: product_variants.cu chooses. All round both operands
 * to bf16 and add in fp32, but those that are named e4m3: of weights of E4M3 they round inputs to E4M3
 * (ZH_ROUND_E4M3_INPUTS), multiply numbers by numbers, and add up in fp32 what groups of 128 columns give. */
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
  bool e4m3;          /* those of weights of E4M3 to E4M3 */
};

/* product_many.cu, product_wgmma.cu, product_e4m3.cu, product_wgmma_e4m3.cu, product_library.cu */
zh_status zh_cuda_product_mma(zh_device *device, zh_product_view *view, const zh_product_matrices *matrices,
                              zh_error *err);
bool zh_cuda_has_wgmma(const zh_device *device);
zh_status zh_cuda_product_wgmma(zh_device *device, zh_product_view *view, const zh_product_matrices *matrices,
                                zh_error *err);
bool zh_cuda_e4m3_takes(const zh_product_view *view, zh_device_form form);
zh_status zh_cuda_product_mma_e4m3(zh_device *device, zh_product_view *view, const zh_product_matrices *matrices,
                                   zh_error *err);
zh_status zh_cuda_product_wgmma_e4m3(zh_device *device, zh_product_view *view, const zh_product_matrices *matrices,
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

struct zh_e4m3_inputs {
  void *numbers; /* [count][columns] */
  void *scales;  /* f32 [columns / ZH_E4M3_GROUP][count] */
  size_t count, columns;
};
size_t zh_cuda_e4m3_bytes(size_t count, size_t columns);
zh_status zh_cuda_round_to_e4m3(zh_device *device, const zh_product_view *view, zh_e4m3_inputs *out, zh_error *err);

/* product_variants.cu */
zh_status zh_cuda_product_many(zh_device *device, zh_product_view *view, const zh_product_matrices *matrices,
                               zh_error *err);

#endif
