/* A norm of a row, or of one head of it; norm.cu and persist_steps.cu launch it. */
#ifndef ZH_KERNELS_CUDA_NORM_CUH
#define ZH_KERNELS_CUDA_NORM_CUH

#include "device.cuh"

namespace zh_norms {

enum { WARP = 32, SOME = 256, MOST = 1024, SUMS = 2 * MOST / WARP };

struct view {
  zh_global<float> y;
  zh_global<const float> x, gain, bias;
  size_t y_stride, x_stride, columns, heads;
  float eps;
  uint32_t lanes; /* which decide the order of sums: places that each take every so many-th column */
};

/* The sum of what `part` says of each lane, a warp's first, in every thread. The block may have fewer threads than
 * there are lanes, or more. */
template <class Part> ZH_DEVICE float sum_of(uint32_t lanes, zh_shared<float> sums, Part part) {
  for (uint32_t lane = threadIdx.x; lane < lanes; lane += blockDim.x) {
    float x = zh_warp_sum(part(lane));
    if (lane % WARP == 0) sums[lane / WARP] = x;
  }
  __syncthreads();
  float all = 0.0f;
  for (uint32_t i = 0; i < lanes / WARP; ++i) all += sums[i];
  return all;
}

/* To out[to …]. sums: SUMS. `out` may be x: all is read before anything is written. */
template <bool LAYER, class Out>
ZH_DEVICE void norm_row(const view &v, uint32_t head, uint32_t token, const Out &out, size_t to,
                        zh_shared<float> sums) {
  size_t from = token * v.x_stride + head * v.columns;
  float mean = 0.0f;
  if constexpr (LAYER)
    mean = sum_of(v.lanes, sums + MOST / WARP,
                  [&](uint32_t lane) {
                    float part = 0.0f;
                    for (size_t i = lane; i < v.columns; i += v.lanes) part += v.x[from + i];
                    return part;
                  }) /
           (float)v.columns;
  float squares = sum_of(v.lanes, sums, [&](uint32_t lane) {
    float part = 0.0f;
    for (size_t i = lane; i < v.columns; i += v.lanes) {
      float x = v.x[from + i] - mean;
      part = fmaf(x, x, part);
    }
    return part;
  });
  float scale = 1.0f / sqrtf(squares / (float)v.columns + v.eps);
  for (size_t i = threadIdx.x; i < v.columns; i += blockDim.x) {
    float normed = v.gain[i] * ((v.x[from + i] - mean) * scale);
    if constexpr (LAYER) normed += v.bias[i];
    out[to + i] = normed;
  }
}

template <bool LAYER>
ZH_DEVICE void norm_in_place(const view &v, uint32_t head, uint32_t token, zh_shared<float> sums) {
  norm_row<LAYER>(v, head, token, v.y, token * v.y_stride + head * v.columns, sums);
}

} // namespace zh_norms

#endif
