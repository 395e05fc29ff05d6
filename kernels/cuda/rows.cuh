/* What is done to rows of activations, element by element; rows.cu and persist_steps.cu launch it. A block has
 * THREADS elements, the index-th of such, of a row. */
#ifndef ZH_KERNELS_CUDA_ROWS_CUH
#define ZH_KERNELS_CUDA_ROWS_CUH

#include "device.cuh"

namespace zh_rows {

enum { THREADS = 256 };

ZH_DEVICE size_t element_of(uint32_t index) {
  return (size_t)index * THREADS + threadIdx.x;
}

struct sum_view {
  zh_global<float> y;
  zh_global<const float> x;
  float factor;
  size_t count;
};
ZH_DEVICE void add(const sum_view &v, uint32_t index) {
  size_t i = element_of(index);
  if (i < v.count) v.y[i] = fmaf(v.factor, v.x[i], v.y[i]);
}

struct gather_view {
  zh_global<float> out;
  zh_global<const float> x;
  zh_global<const uint32_t> row;
  size_t width;
};
ZH_DEVICE void gather(const gather_view &v, uint32_t index, uint32_t to) {
  size_t i = element_of(index);
  if (i < v.width) v.out[to * v.width + i] = v.x[v.row[to] * v.width + i];
}

struct slices_view {
  zh_global<float> to;
  zh_global<const float> from;
  size_t to_stride, from_stride, width, count;
};
ZH_DEVICE void copy_slices(const slices_view &v, uint32_t index) {
  size_t i = element_of(index);
  if (i < v.count) v.to[i / v.width * v.to_stride + i % v.width] = v.from[i / v.width * v.from_stride + i % v.width];
}

struct positions_view {
  zh_global<uint32_t> position;
  size_t count;
};
ZH_DEVICE void advance(const positions_view &v, uint32_t index) {
  size_t i = element_of(index);
  if (i < v.count) v.position[i] += 1;
}

struct combine_view {
  zh_global<float> y;
  zh_global<const float> x, weight, shared, score;
  size_t columns;
  uint32_t used;
  zh_global<const uint32_t> choice; /* null: all count */
  uint32_t first, here;
};
/* A token's sum is in the order of its choices. */
ZH_DEVICE void combine(const combine_view &v, uint32_t index, uint32_t t) {
  size_t i = element_of(index), at = t * v.columns + i;
  if (i >= v.columns) return;
  float sum = 0.0f;
  if (v.shared) {
    float share = 1.0f;
    if (v.score) share = 1.0f / (1.0f + expf(-v.score[t]));
    sum = share * v.shared[at];
  }
  for (uint32_t k = 0; k < v.used; ++k) {
    size_t choice = (size_t)t * v.used + k;
    if (v.choice && (uint32_t)v.choice[choice] - v.first >= v.here) continue;
    sum = fmaf(v.weight[choice], v.x[choice * v.columns + i], sum);
  }
  v.y[at] = sum;
}

} // namespace zh_rows

#endif
