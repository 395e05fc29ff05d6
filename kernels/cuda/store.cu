/* Keys and values into the cache, rounded here and nowhere else. */
#include "kv.cuh"

namespace {

enum { THREADS = 128, WARP = 32 };

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

/* The largest magnitude / 448, up to the next bf16. */
ZH_DEVICE float scale_of(uint32_t largest) {
  uint32_t bits = zh_bits(zh_float(largest) / 448.0f);
  return zh_float(bits < 0x7F800000u ? (bits + 0xFFFFu) & 0xFFFF0000u : bits);
}

/* Keys, or values. */
struct stored_side {
  zh_kv_view kv;
  zh_global<const float> x;
  size_t x_stride;
};
struct store_view {
  stored_side side[2];
  zh_global<const uint32_t> position, sequence;
};

/* Grid: heads, tokens, keys and values. */
template <int TYPE> ZH_KERNEL void store_rows(store_view v) {
  ZH_SHARED(uint32_t, most, THREADS / WARP);
  const stored_side s = blockIdx.z ? v.side[1] : v.side[0];
  size_t from = blockIdx.y * s.x_stride + (size_t)blockIdx.x * s.kv.dim;
  size_t to = zh_kv_row(s.kv, v.sequence[blockIdx.y], blockIdx.x, v.position[blockIdx.y]);
  float scale = 0.0f;
  if constexpr (TYPE == ZH_DEVICE_KV_E4M3) {
    scale = scale_of(largest_bits(s.x, from, s.kv.dim, most));
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

} // namespace

zh_status zh_cuda_store(zh_device *device, const zh_device_store *w, zh_error *err) {
  if (w->tokens == 0) return ZH_OK;
  unsigned sides = w->kv.values ? 2 : 1; /* latent attention has keys alone */
  store_view v = {};
  v.position = zh_at<const uint32_t>(w->position);
  v.sequence = zh_at<const uint32_t>(w->sequence);
  for (unsigned i = 0; i < sides; ++i)
    v.side[i] = {zh_kv_view_of(&w->kv, i == 1), zh_at<const float>(i ? w->v : w->k), i ? w->v_stride : w->k_stride};
  auto kernel = w->kv.type == ZH_DEVICE_KV_F32    ? store_rows<ZH_DEVICE_KV_F32>
                : w->kv.type == ZH_DEVICE_KV_BF16 ? store_rows<ZH_DEVICE_KV_BF16>
                                                  : store_rows<ZH_DEVICE_KV_E4M3>;
  ZH_LAUNCH(kernel, dim3(w->kv.kv_heads, (unsigned)w->tokens, sides), THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "storing keys and values", err);
}
