/* The activation of an FFN, element by element; activate.cu and persist_steps.cu launch it. */
#ifndef ZH_KERNELS_CUDA_ACTIVATE_CUH
#define ZH_KERNELS_CUDA_ACTIVATE_CUH

#include "device.cuh"

namespace zh_activations {

enum { THREADS = 256 };

/* Of gpt-oss. */
const float SLOPE = 1.702f;

ZH_DEVICE float silu(float x) {
  return x / (1.0f + expf(-x));
}

template <int KIND> ZH_DEVICE float activated(float g, float u, float limit) {
  if constexpr (KIND == ZH_DEVICE_SILU) {
    return silu(g) * u;
  } else if constexpr (KIND == ZH_DEVICE_GELU) {
    return 0.5f * g * erfcf(-0.70710678118654752f * g) * u;
  } else if constexpr (KIND == ZH_DEVICE_GELU_TANH) { /* (1 + tanh z) / 2 = 1 / (1 + exp(-2 z)) */
    float z = 0.79788456080286536f * (g + 0.044715f * g * g * g);
    return g / (1.0f + expf(-2.0f * z)) * u;
  } else { /* NaN stays one */
    float low = g > limit ? limit : g, part = u > limit ? limit : u < -limit ? -limit : u;
    return low / (1.0f + expf(-SLOPE * low)) * (part + 1.0f);
  }
}

struct view {
  zh_global<float> y;
  zh_global<const float> gate, up;
  size_t columns, gate_stride, up_stride;
  float limit;
  zh_global<const uint32_t> lists; /* null: all rows */
  uint32_t experts;
};

/* THREADS columns of a row, the index-th of such. */
template <int KIND> ZH_DEVICE void activate(const view &v, uint32_t index, uint32_t t) {
  size_t i = (size_t)index * THREADS + threadIdx.x;
  if (v.lists) {
    if (t >= v.lists[1 + 2 * v.experts]) return;
    t = v.lists[2 + 2 * v.experts + t];
  }
  if (i < v.columns)
    v.y[t * v.columns + i] = activated<KIND>(v.gate[t * v.gate_stride + i], v.up[t * v.up_stride + i], v.limit);
}

} // namespace zh_activations

#endif
