/* Attention: which kernels do it. */
#include "attention.cuh"

const zh_roundings zh_cuda_rounds = {ZH_ROUND_BF16, ZH_ROUND_BF16_INPUTS, ZH_ROUND_BF16, ZH_ROUND_BF16_INPUTS,
                                     ZH_ROUND_BF16};

size_t zh_cuda_attention_scratch(const zh_device *, const zh_device_attention *most) {
  return zh_cuda_few_scratch(most);
}

zh_status zh_cuda_attention(zh_device *device, const zh_device_attention *w, zh_error *err) {
  if (w->tokens == 0) return ZH_OK;
  if (w->kv.kv_heads == 0 || w->heads % w->kv.kv_heads != 0)
    return zh_fail(err, ZH_ERR_ARG, "%zu query heads cannot share %u key heads", w->heads, w->kv.kv_heads);
  zh_attention_view v = {};
  v.keys = zh_kv_view_of(&w->kv, false);
  v.values = zh_kv_view_of(&w->kv, true);
  v.out = zh_at<float>(w->out);
  v.scratch = zh_at<float>(w->scratch);
  v.q = zh_at<const float>(w->q);
  v.sinks = zh_at<const float>(w->sinks);
  v.position = zh_at<const uint32_t>(w->position);
  v.sequence = zh_at<const uint32_t>(w->sequence);
  v.heads = (uint32_t)w->heads;
  v.group = v.heads / w->kv.kv_heads;
  v.tokens = (uint32_t)w->tokens;
  v.window = (uint32_t)w->window;
  v.scale = w->scale;
  v.softcap = w->softcap;
  v.latent = w->kv.values == nullptr;
  return zh_device_attention_rounds(&zh_cuda_rounds, w) ? zh_cuda_attend_many(device, w, &v, err)
                                                        : zh_cuda_attend_few(device, w, &v, err);
}
