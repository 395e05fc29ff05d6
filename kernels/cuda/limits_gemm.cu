/* Matrix products by cuBLASLt, as the workload gpu-gemm measures them: matrices without gaps. */
#include <new>
#include <stdio.h>

#include "cublaslt.cuh"
#include "limits.cuh"

zh_status zh_cuda_gemm_library(char *out, size_t capacity, zh_error *err) {
  ZH_TRY(zh_lt_need(err));
  size_t v = zh_lt_library()->version();
  size_t unit = v >= 100000 ? 10000 : 1000; /* 13.1.0.3 is 130100; 11.x counted in thousands */
  snprintf(out, capacity, "cuBLASLt %zu.%zu.%zu", v / unit, v % unit / 100, v % 100);
  return ZH_OK;
}

struct gemm_form {
  int in, out, compute, scale;
};
static gemm_form form_of(zh_device_gemm_type type) {
  switch (type) {
  case ZH_GEMM_FP64: return {LT_R_64F, LT_R_64F, LT_COMPUTE_64F, LT_R_64F};
  case ZH_GEMM_FP32: return {LT_R_32F, LT_R_32F, LT_COMPUTE_32F, LT_R_32F};
  case ZH_GEMM_TF32: return {LT_R_32F, LT_R_32F, LT_COMPUTE_32F_FAST_TF32, LT_R_32F};
  case ZH_GEMM_BF16: return {LT_R_16BF, LT_R_16BF, LT_COMPUTE_32F, LT_R_32F};
  case ZH_GEMM_FP16: return {LT_R_16F, LT_R_16F, LT_COMPUTE_32F, LT_R_32F};
  case ZH_GEMM_FP8:
  case ZH_GEMM_FP8_FAST: return {LT_R_8F_E4M3, LT_R_16BF, LT_COMPUTE_32F, LT_R_32F};
  default: return {LT_R_8I, LT_R_32I, LT_COMPUTE_32I, LT_R_32I};
  }
}

struct zh_device_gemm {
  lt_product product;
};

static lt_product product_of(const zh_device_gemm_work *w) {
  gemm_form form = form_of(w->type);
  lt_product p = {};
  p.name = zh_device_gemm_name(w->type);
  p.m = w->m, p.n = w->n, p.k = w->k;
  p.in = form.in, p.out = form.out, p.compute = form.compute, p.scale = form.scale;
  p.a = {w->a, (int64_t)w->k};
  p.b = {w->b, (int64_t)w->k};
  p.d = {w->d, (int64_t)w->n};
  if (form.scale == LT_R_64F) p.alpha.f64 = 1;
  if (form.scale == LT_R_32F) p.alpha.f32 = 1;
  if (form.scale == LT_R_32I) p.alpha.i32 = 1;
  p.workspace = w->workspace;
  p.workspace_bytes = w->workspace_bytes;
  return p;
}

static zh_status describe_scales(const lt_product *p, const zh_device_gemm_work *w, zh_error *err) {
  const lt_library *lib = zh_lt_library();
  /* cuBLAS's A is our b. */
  const float *scale_a = w->scales + 1, *scale_b = w->scales;
  int8_t fast = w->type == ZH_GEMM_FP8_FAST;
  int status = lib->product_set(p->product, LT_A_SCALE_POINTER, &scale_a, sizeof scale_a);
  if (status == 0) status = lib->product_set(p->product, LT_B_SCALE_POINTER, &scale_b, sizeof scale_b);
  if (status == 0) status = lib->product_set(p->product, LT_FAST_ACCUMULATION, &fast, sizeof fast);
  return zh_lt_status(status, "setting scales", p, err);
}

zh_status zh_cuda_gemm_choose(zh_device *device, zh_device_gemm **out, const zh_device_gemm_work *work, int proposals,
                              zh_device_gemm_facts *facts, zh_error *err) {
  *out = nullptr;
  *facts = {};
  ZH_TRY(zh_lt_need(err));
  zh_device_gemm *g = new (std::nothrow) zh_device_gemm();
  if (!g) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a matrix product");
  g->product = product_of(work);
  zh_status status = zh_lt_describe(device, &g->product, err);
  if (status == ZH_OK && g->product.in == LT_R_8F_E4M3) status = describe_scales(&g->product, work, err);
  if (status == ZH_OK) status = zh_lt_choose(device, &g->product, proposals, facts, err);
  if (status != ZH_OK) {
    zh_cuda_release_gemm(g);
    return status;
  }
  *out = g;
  return ZH_OK;
}

zh_status zh_cuda_gemm(zh_device *device, zh_device_gemm *g, zh_error *err) {
  return zh_lt_multiply(device, &g->product, err);
}

void zh_cuda_release_gemm(zh_device_gemm *g) {
  if (!g) return;
  zh_lt_release(&g->product);
  delete g;
}
