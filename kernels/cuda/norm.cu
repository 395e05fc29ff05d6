/* RMS norm and LayerNorm of rows, or of each head of a row by itself. Sums are fp32's, in an order that the columns
 * alone decide. */
#include "device.cuh"

namespace {

enum { WARP = 32, SOME = 256, MOST = 1024 };

struct norm_view {
  zh_global<float> y;
  zh_global<const float> x, gain, bias;
  size_t y_stride, x_stride, columns, heads;
  float eps;
};

/* The sum over a block, in every thread. */
ZH_DEVICE float block_sum(float x, zh_shared<float> sums) {
  x = zh_warp_sum(x);
  if (blockDim.x == WARP) return x;
  __syncthreads();
  if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = x;
  __syncthreads();
  float all = 0.0f;
  for (uint32_t i = 0; i < blockDim.x / WARP; ++i) all += sums[i];
  return all;
}

/* Grid: heads, tokens. y may be x: a thread reads what it writes. */
template <bool LAYER> ZH_KERNEL void __launch_bounds__(MOST) norm_rows(norm_view v) {
  ZH_SHARED(float, sums, MOST / WARP);
  size_t from = blockIdx.y * v.x_stride + blockIdx.x * v.columns, to = blockIdx.y * v.y_stride + blockIdx.x * v.columns;
  float mean = 0.0f, part = 0.0f;
  if constexpr (LAYER) {
    for (size_t i = threadIdx.x; i < v.columns; i += blockDim.x) part += v.x[from + i];
    mean = block_sum(part, sums) / (float)v.columns;
    part = 0.0f;
  }
  for (size_t i = threadIdx.x; i < v.columns; i += blockDim.x) {
    float x = v.x[from + i] - mean;
    part = fmaf(x, x, part);
  }
  float scale = 1.0f / sqrtf(block_sum(part, sums) / (float)v.columns + v.eps);
  for (size_t i = threadIdx.x; i < v.columns; i += blockDim.x) {
    float normed = v.gain[i] * ((v.x[from + i] - mean) * scale);
    if constexpr (LAYER) normed += v.bias[i];
    v.y[to + i] = normed;
  }
}

} // namespace

zh_status zh_cuda_norm(zh_device *device, const zh_device_norm *w, zh_error *err) {
  if (w->tokens == 0 || w->heads == 0 || w->columns == 0) return ZH_OK;
  norm_view v = {zh_at<float>(w->y),
                 zh_at<const float>(w->x),
                 zh_at<const float>(w->gain),
                 zh_at<const float>(w->bias),
                 w->y_stride,
                 w->x_stride,
                 w->columns,
                 w->heads,
                 w->eps};
  dim3 grid((unsigned)w->heads, (unsigned)w->tokens);
  unsigned threads = w->columns <= SOME ? WARP : w->columns <= 4 * SOME ? SOME : MOST;
  if (w->bias)
    ZH_LAUNCH(norm_rows<true>, grid, threads, 0, device->stream, v);
  else
    ZH_LAUNCH(norm_rows<false>, grid, threads, 0, device->stream, v);
  return zh_cuda_launched(device, "a norm", err);
}
