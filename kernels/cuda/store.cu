/* Keys and values into the cache, rounded here and nowhere else. */
#include "store.cuh"
#include "persist.cuh"

using namespace zh_stores;

namespace {

/* Grid: heads, tokens, keys and values. */
template <int TYPE> ZH_KERNEL void store_rows(view v) {
  ZH_SHARED(uint32_t, most, WARPS_MAX);
  store_row<TYPE>(v, blockIdx.x, blockIdx.y, blockIdx.z, most);
}

} // namespace

static zh_status record(zh_device *device, const zh_device_store *w, const view &v, dim3 grid, zh_error *err) {
  const zh_device_kv *kv = &w->kv;
  size_t tokens = w->tokens, words = tokens * sizeof(uint32_t);
  zh_touched values = {};
  if (kv->values) values = zh_touch(kv->values, zh_device_kv_bytes(kv, true));
  return zh_record(device, ZH_STEP_STORE, kv->type, grid, v, WARPS_MAX * sizeof(uint32_t),
                   {zh_touch(kv->keys, zh_device_kv_bytes(kv, false)), values},
                   {zh_touch_rows(w->k, tokens, w->k_stride, kv->kv_heads * kv->key_dim, kv->key_dim),
                    zh_touch_rows(kv->values ? w->v : nullptr, tokens, w->v_stride, kv->kv_heads * kv->value_dim),
                    zh_touch(w->position, words), zh_touch(w->sequence, words)},
                   err);
}

zh_status zh_cuda_store(zh_device *device, const zh_device_store *w, zh_error *err) {
  enum { THREADS = 128 };
  if (w->tokens == 0) return ZH_OK;
  ZH_TRY(zh_cuda_fits(device, w->tokens, err));
  unsigned sides = w->kv.values ? 2 : 1; /* latent attention has keys alone */
  view v = {};
  v.position = zh_at<const uint32_t>(w->position);
  v.sequence = zh_at<const uint32_t>(w->sequence);
  for (unsigned i = 0; i < sides; ++i)
    v.sides[i] = {zh_kv_view_of(&w->kv, i == 1), zh_at<const float>(i ? w->v : w->k), i ? w->v_stride : w->k_stride};
  dim3 grid(w->kv.kv_heads, (unsigned)w->tokens, sides);
  if (device->recording) return record(device, w, v, grid, err);
  auto kernel = w->kv.type == ZH_DEVICE_KV_F32    ? store_rows<ZH_DEVICE_KV_F32>
                : w->kv.type == ZH_DEVICE_KV_BF16 ? store_rows<ZH_DEVICE_KV_BF16>
                                                  : store_rows<ZH_DEVICE_KV_E4M3>;
  ZH_LAUNCH(kernel, grid, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "storing keys and values", err);
}
