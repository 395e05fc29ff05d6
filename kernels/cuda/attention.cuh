/* What the ways of attention share. Where work is cut into parts of positions (few tokens, latents), each leaves the
 * largest score of its head, the sum of weights and that of weighted values in the scratch, and they are merged in
 * order. A token's own length decides where it is cut, and what does not change from pass to pass. */
#ifndef ZH_KERNELS_CUDA_ATTENTION_CUH
#define ZH_KERNELS_CUDA_ATTENTION_CUH

#include "kv.cuh"

enum { ZH_MOST_PARTS = 128, ZH_LEAST_PART = 64 };

struct zh_attention_view {
  zh_kv_view keys, values;
  zh_global<float> out, scratch;
  zh_global<const float> q, sinks, slopes;
  zh_global<const uint32_t> position, sequence;
  uint32_t heads, group, tokens, window; /* group: query heads of a key head */
  float scale, softcap;
  uint32_t wanted_parts; /* of a token at most */
  uint32_t most_parts;   /* places for parts of a token's head */
  bool latent;           /* values are what keys begin with */
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

/* ALiBi: of a head's key so many positions before the token's own. */
ZH_DEVICE float zh_slanted_score(const zh_attention_view &v, float score, uint32_t head, uint32_t back) {
  return fmaf(-v.slopes[head], (float)back, score);
}

/* exp(x - of), where both may be -inf: then nothing was seen yet. */
ZH_DEVICE float zh_weight_of(float x, float of) {
  return x == -INFINITY ? 0.0f : expf(x - of);
}

/* Positions of a part of so many. */
ZH_DEVICE uint32_t zh_part_length(const zh_attention_view &v, uint32_t positions) {
  uint32_t least = (positions + v.wanted_parts - 1) / v.wanted_parts;
  return (least + ZH_LEAST_PART - 1) / ZH_LEAST_PART * ZH_LEAST_PART;
}
/* A part's place in the scratch: largest score, sum of weights, then the values' sum. */
ZH_DEVICE size_t zh_part_place(const zh_attention_view &v, uint32_t token, uint32_t head, uint32_t part) {
  return (((size_t)token * v.heads + head) * v.most_parts + part) * (v.values.dim + 2);
}

/* Of few tokens: nothing is rounded, by tensor cores where dimensions allow. Of latents, and by tiles: as
 * zh_device_attention_rounds. */
bool zh_cuda_cores_can(const zh_device_attention *work);
bool zh_cuda_latent_can(const zh_device_attention *work);
zh_status zh_cuda_attend_few(zh_device *device, const zh_device_attention *work, zh_attention_view *view,
                             zh_error *err);
zh_status zh_cuda_attend_cores(zh_device *device, const zh_device_attention *work, zh_attention_view *view,
                               zh_error *err);
zh_status zh_cuda_attend_latent(zh_device *device, const zh_device_attention *work, zh_attention_view *view,
                                zh_error *err);
zh_status zh_cuda_attend_many(zh_device *device, const zh_device_attention *work, zh_attention_view *view,
                              zh_error *err);
/* Blocks that each part of a token takes. */
uint32_t zh_cuda_cores_blocks(const zh_device_attention *work);
uint32_t zh_cuda_latent_blocks(const zh_device_attention *work);
zh_status zh_cuda_merge_parts(zh_device *device, const zh_attention_view *view, zh_error *err);

#endif
