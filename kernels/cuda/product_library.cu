/* Products of many tokens by cuBLASLt, for weights of bf16: the vendor's own answer, to stand beside ours. Inputs are
 * rounded as for our own kernels; sums of parts are excluded, but which order a sum goes through may depend on the
 * number of tokens. The algorithm for a shape is chosen when it is first met, by time where no graph is being made. */
#include <new>

#include "cublaslt.cuh"
#include "product_many.cuh"

enum { WORKSPACE_BYTES = 32 << 20, PROPOSALS = 12, ALIGNMENT_MOST = 256 };

struct zh_library_products {
  void *workspace;
  std::vector<lt_product> known;
};

bool zh_cuda_has_library(const zh_device *device) {
  return !zh_lt_library()->missing && zh_lt_start(device->index) == 0;
}

bool zh_cuda_library_takes(const zh_product_view *v, zh_device_form form) {
  bool biased = false;
  for (uint32_t i = 0; i < v->sides; ++i) biased = biased || v->side[i].bias;
  return form == ZH_FORM_BF16 && v->kind == ZH_PRODUCT_WHOLE && !biased;
}

void zh_cuda_release_library(zh_device *device) {
  zh_library_products *all = device->library;
  if (!all) return;
  for (lt_product &p : all->known) zh_lt_release(&p);
  zh_cuda_release(device, all->workspace);
  delete all;
  device->library = nullptr;
}

static zh_status need_products(zh_device *device, zh_error *err) {
  if (device->library) return ZH_OK;
  zh_library_products *all = new (std::nothrow) zh_library_products();
  if (!all) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for matrix products");
  zh_status status = zh_cuda_alloc(device, &all->workspace, WORKSPACE_BYTES, "the workspace of cuBLASLt", err);
  if (status == ZH_OK)
    device->library = all; /* whole or not at all */
  else
    delete all;
  return status;
}

static uint32_t alignment_of(const void *y) {
  uint32_t most = ALIGNMENT_MOST;
  while ((uintptr_t)y % most) most /= 2;
  return most;
}

static lt_product shape_of(const zh_product_view *v, const zh_rounded_inputs *inputs, const zh_product_matrices *m,
                           uint32_t side, void *workspace) {
  lt_product p = {};
  size_t pitch = v->side[side].w.row_bytes / 2; /* zeros behind the columns, here and in the inputs */
  p.name = "bf16";
  p.m = v->tokens;
  p.n = v->side[side].rows;
  p.k = pitch < inputs->columns ? pitch : inputs->columns;
  p.in = LT_R_16BF, p.out = LT_R_32F, p.compute = LT_COMPUTE_32F, p.scale = LT_R_32F;
  p.a = {inputs->rows, (int64_t)inputs->columns};
  p.b = {m->matrix[side]->numbers, (int64_t)pitch};
  p.d = {m->y + v->side[side].y, (int64_t)v->y_stride};
  p.alpha.f32 = v->adds ? v->factor : 1;
  p.beta.f32 = v->adds ? 1 : 0;
  p.workspace = workspace;
  p.workspace_bytes = WORKSPACE_BYTES;
  p.alignment = alignment_of(p.d.at);
  p.in_order = true;
  return p;
}

static bool alike(const lt_product &a, const lt_product &b) {
  return a.m == b.m && a.n == b.n && a.k == b.k && a.d.leading == b.d.leading && a.b.leading == b.b.leading &&
         a.a.leading == b.a.leading && a.alignment == b.alignment;
}

/* Trials write their products somewhere else where these are to be added to what is there. */
static zh_status choose(zh_device *device, lt_product *p, zh_error *err) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  zh_device_gemm_facts facts = {};
  lt_product trial = *p;
  void *elsewhere = nullptr;
  ZH_CUDA(device, cudaStreamIsCapturing(device->stream, &capture), "asking whether a graph is being made");
  if (capture != cudaStreamCaptureStatusNone) return zh_lt_choose(device, p, 0, &facts, err);
  if (p->beta.f32 != 0) {
    size_t bytes = p->m * (size_t)p->d.leading * 4 + ALIGNMENT_MOST;
    ZH_TRY(zh_cuda_alloc(device, &elsewhere, bytes, "trials of cuBLASLt", err));
    trial.d.at = static_cast<char *>(elsewhere) + (uintptr_t)p->d.at % ALIGNMENT_MOST;
    trial.beta.f32 = 0;
  }
  zh_status status = zh_lt_choose(device, &trial, PROPOSALS, &facts, err);
  p->algorithm = trial.algorithm;
  zh_cuda_release(device, elsewhere);
  return status;
}

/* The descriptions and the algorithm of a shape that was met before, or now. */
static zh_status know(zh_device *device, lt_product *p, zh_error *err) {
  for (const lt_product &known : device->library->known)
    if (alike(known, *p)) {
      p->product = known.product;
      p->layout_a = known.layout_a, p->layout_b = known.layout_b, p->layout_d = known.layout_d;
      p->algorithm = known.algorithm;
      return ZH_OK;
    }
  zh_status status = zh_lt_describe(device, p, err);
  if (status == ZH_OK) status = choose(device, p, err);
  if (status == ZH_OK)
    device->library->known.push_back(*p);
  else
    zh_lt_release(p);
  return status;
}

zh_status zh_cuda_product_library(zh_device *device, zh_product_view *v, const zh_product_matrices *m, zh_error *err) {
  zh_rounded_inputs inputs;
  ZH_TRY(need_products(device, err));
  ZH_TRY(zh_cuda_round_inputs(device, v, &inputs, err));
  for (uint32_t i = 0; i < v->sides; ++i) {
    lt_product p = shape_of(v, &inputs, m, i, device->library->workspace);
    ZH_TRY(know(device, &p, err));
    ZH_TRY(zh_lt_multiply(device, &p, err));
  }
  return ZH_OK;
}
