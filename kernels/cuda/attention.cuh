/* What both ways of attention share. */
#ifndef ZH_KERNELS_CUDA_ATTENTION_CUH
#define ZH_KERNELS_CUDA_ATTENTION_CUH

#include "kv.cuh"

struct zh_attention_view {
  zh_kv_view keys, values;
  zh_global<float> out, scratch;
  zh_global<const float> q, sinks;
  zh_global<const uint32_t> position, sequence;
  uint32_t heads, group, tokens, window; /* group: query heads of a key head */
  float scale, softcap;
  uint32_t most_parts; /* of few tokens: places for parts of a token's head */
  bool latent;         /* values are what keys begin with */
};

/* The positions that a token sees. */
struct zh_seen {
  uint32_t begin, end;
};

ZH_DEVICE zh_seen zh_seen_of(const zh_attention_view &v, uint32_t token) {
  uint32_t end = v.position[token] + 1;
  return {v.window && v.window < end ? end - v.window : 0, end};
}

ZH_DEVICE float zh_shaped_score(const zh_attention_view &v, float dot) {
  float score = dot * v.scale;
  return v.softcap == 0.0f ? score : v.softcap * tanhf(score / v.softcap);
}

/* exp(x - of), where both may be -inf: then nothing was seen yet. */
ZH_DEVICE float zh_weight_of(float x, float of) {
  return x == -INFINITY ? 0.0f : expf(x - of);
}

size_t zh_cuda_few_scratch(const zh_device_attention *most);
zh_status zh_cuda_attend_few(zh_device *device, const zh_device_attention *work, zh_attention_view *view,
                             zh_error *err);
zh_status zh_cuda_attend_many(zh_device *device, const zh_device_attention *work, zh_attention_view *view,
                              zh_error *err);

#endif
