/* Parts of attention as a step of a program (persist.cuh). */
#ifndef ZH_KERNELS_CUDA_ATTENTION_RECORD_CUH
#define ZH_KERNELS_CUDA_ATTENTION_RECORD_CUH

#include "attention.cuh"
#include "persist.cuh"

static inline zh_touched zh_touch_scratch(const zh_attention_view &v) {
  return {zh_place(v.scratch),
          (size_t)v.tokens * v.heads * v.most_parts * (v.values.dim + 2) * sizeof(float), 0};
}

/* Parts come last in the order of tasks, so that those that there are for a context lie in a row. */
template <class View>
zh_status zh_record_parts(zh_device *device, const zh_device_attention *w, const zh_attention_view &v, unsigned variant,
                          uint32_t shares, const View &of, size_t shared_bytes, zh_error *err) {
  size_t words = w->tokens * sizeof(uint32_t), q = w->heads * w->kv.key_dim;
  zh_touched values = {};
  if (w->kv.values) values = zh_touch(w->kv.values, zh_device_kv_bytes(&w->kv, true));
  return zh_record(device, ZH_STEP_PARTS, variant, dim3(v.keys.kv_heads * shares, v.tokens, v.most_parts), of,
                   shared_bytes, {zh_touch_scratch(v)},
                   {zh_touch_rows(w->q, w->tokens, q, q), zh_touch(w->kv.keys, zh_device_kv_bytes(&w->kv, false)),
                    values, zh_touch(w->position, words), zh_touch(w->sequence, words)},
                   err);
}

#endif
