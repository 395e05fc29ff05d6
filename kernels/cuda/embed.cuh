/* Looked-up rows as values; embed.cu and persist_steps.cu launch it. */
#ifndef ZH_KERNELS_CUDA_EMBED_CUH
#define ZH_KERNELS_CUDA_EMBED_CUH

#include "forms.cuh"

namespace zh_embeds {

enum { THREADS = 128 };

struct view {
  zh_global<float> out;
  zh_weights_view w;
  uint32_t first, rows; /* of the whole matrix, and how many are here */
  zh_global<const uint32_t> id;
  float factor;
};

/* THREADS eights of columns of a token, the index-th of such. */
template <int FORM> ZH_DEVICE void look_up(const view &v, uint32_t index, uint32_t token) {
  uint32_t column = (index * THREADS + threadIdx.x) * 8,
           row = v.id[token] - v.first; /* of another part: too large */
  if (threadIdx.x >= THREADS || column >= v.w.columns) return;
  float value[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  if (row < v.rows) zh_eight_values<FORM>(value, v.w, row, column);
  for (uint32_t i = 0; i < 8 && column + i < v.w.columns; ++i)
    v.out[(size_t)token * v.w.columns + column + i] = value[i] * v.factor;
}

} // namespace zh_embeds

#endif
