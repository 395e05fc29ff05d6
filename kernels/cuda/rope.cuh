/* Heads turned by their position; rope.cu and persist_steps.cu launch it. */
#ifndef ZH_KERNELS_CUDA_ROPE_CUH
#define ZH_KERNELS_CUDA_ROPE_CUH

#include "device.cuh"

namespace zh_ropes {

enum { PAIRS_MAX = 256 };

struct view {
  zh_global<float> x;
  zh_global<const double> frequency;
  zh_global<const uint32_t> position;
  size_t x_stride;
  uint32_t heads, head_dim, pairs, offset;
  bool interleaved;
  double factor;
};

/* Some heads of a token: its angles in fp64 first, rounded, then the heads by them. cosine, sine: PAIRS_MAX. */
ZH_DEVICE void turn_heads(const view &v, uint32_t token, uint32_t first_head, uint32_t heads, zh_shared<float> cosine,
                          zh_shared<float> sine) {
  for (uint32_t i = threadIdx.x; i < v.pairs; i += blockDim.x) {
    double angle = v.position[token] * v.frequency[i];
    cosine[i] = (float)(v.factor * cos(angle));
    sine[i] = (float)(v.factor * sin(angle));
  }
  __syncthreads();
  for (uint32_t k = threadIdx.x; k < heads * v.pairs; k += blockDim.x) {
    uint32_t i = k % v.pairs;
    size_t head = token * v.x_stride + (size_t)(first_head + k / v.pairs) * v.head_dim + v.offset;
    size_t first = head + (v.interleaved ? 2 * i : i), second = v.interleaved ? first + 1 : first + v.pairs;
    float a = v.x[first], b = v.x[second], c = cosine[i], s = sine[i];
    v.x[first] = fmaf(a, c, -(b * s));
    v.x[second] = fmaf(a, s, b * c);
  }
}

} // namespace zh_ropes

#endif
