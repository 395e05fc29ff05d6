/* Keys and values of a layer as kernels see them: rows of positions. */
#ifndef ZH_KERNELS_CUDA_KV_CUH
#define ZH_KERNELS_CUDA_KV_CUH

#include "device.cuh"

enum { ZH_KV_SCALE_BYTES = 16 }; /* E4M3: in front of a row's numbers */

struct zh_kv_view {
  zh_global<uint8_t> rows;
  size_t row_bytes;
  uint32_t kv_heads, capacity, dim;
};

static inline zh_kv_view zh_kv_view_of(const zh_device_kv *kv, bool values) {
  zh_kv_view v;
  bool own = values && kv->values; /* latent: values are what keys begin with */
  v.rows = zh_at<uint8_t>(own ? kv->values : kv->keys);
  v.row_bytes = zh_device_kv_row_bytes(kv->type, own ? kv->value_dim : kv->key_dim);
  v.kv_heads = kv->kv_heads;
  v.capacity = kv->capacity;
  v.dim = values ? kv->value_dim : kv->key_dim;
  return v;
}

/* First byte of a position's row. */
ZH_DEVICE size_t zh_kv_row(const zh_kv_view &v, uint32_t sequence, uint32_t head, uint32_t position) {
  return (((size_t)sequence * v.kv_heads + head) * v.capacity + position) * v.row_bytes;
}

#endif
