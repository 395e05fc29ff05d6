/* Keys and values of a head into the cache; store.cu and persist_steps.cu launch it. */
#ifndef ZH_KERNELS_CUDA_STORE_CUH
#define ZH_KERNELS_CUDA_STORE_CUH

#include "kv.cuh"

namespace zh_stores {

enum { WARP = 32, WARPS_MAX = 32 };

/* Keys, or values. */
struct side {
  zh_kv_view kv;
  zh_global<const float> x;
  size_t x_stride;
};
struct view {
  side sides[2];
  zh_global<const uint32_t> position, sequence;
};

/* The bits of the largest magnitude of a row over a block, NaN above all. */
ZH_DEVICE uint32_t largest_bits(zh_global<const float> x, size_t from, uint32_t dim, zh_shared<uint32_t> most) {
  uint32_t mine = 0;
  for (uint32_t i = threadIdx.x; i < dim; i += blockDim.x) mine = max(mine, zh_bits(x[from + i]) & 0x7FFFFFFFu);
  for (int step = WARP / 2; step > 0; step /= 2) mine = max(mine, __shfl_xor_sync(0xFFFFFFFFu, mine, step));
  if (threadIdx.x % WARP == 0) most[threadIdx.x / WARP] = mine;
  __syncthreads();
  for (uint32_t i = 0; i < blockDim.x / WARP; ++i) mine = max(mine, (uint32_t)most[i]);
  return mine;
}

/* which: 0 keys, 1 values. most: WARPS_MAX. */
template <int TYPE>
ZH_DEVICE void store_row(const view &v, uint32_t head, uint32_t token, uint32_t which, zh_shared<uint32_t> most) {
  const side s = which ? v.sides[1] : v.sides[0];
  size_t from = token * s.x_stride + (size_t)head * s.kv.dim;
  size_t to = zh_kv_row(s.kv, v.sequence[token], head, v.position[token]);
  float scale = 0.0f;
  if constexpr (TYPE == ZH_DEVICE_KV_E4M3) {
    scale = zh_e4m3_scale(largest_bits(s.x, from, s.kv.dim, most));
    if (threadIdx.x == 0) zh_store(s.kv.rows, to, scale);
    to += ZH_KV_SCALE_BYTES;
  }
  for (uint32_t i = threadIdx.x; i < s.kv.dim; i += blockDim.x) {
    float value = s.x[from + i];
    if constexpr (TYPE == ZH_DEVICE_KV_F32)
      zh_store(s.kv.rows, to + 4 * i, value);
    else if constexpr (TYPE == ZH_DEVICE_KV_BF16)
      zh_store(s.kv.rows, to + 2 * i, zh_bf16_of(value));
    else
      s.kv.rows[to + i] = scale == 0.0f ? (uint8_t)0 : zh_e4m3_of(value / scale);
  }
}

} // namespace zh_stores

#endif
