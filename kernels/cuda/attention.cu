/* Attention: which kernels do it, and how parts of it are merged. */
#include "attention_merge.cuh"
#include "attention_record.cuh"

const zh_roundings zh_cuda_rounds = {ZH_ROUND_BF16, ZH_ROUND_BF16_INPUTS, ZH_ROUND_BF16, ZH_ROUND_BF16_INPUTS,
                                     ZH_ROUND_BF16, ZH_ROUND_NONE};

namespace {

enum { THREADS = 128, BLOCKS_AT_ONCE = 2 /* of a multiprocessor */, SCRATCH_MOST = 64 << 20 };

enum attention_kind { BY_VALUES, BY_CORES, OF_LATENTS, BY_TILES };

attention_kind kind_of(const zh_device_attention *w) {
  if (!zh_device_attention_rounds(&zh_cuda_rounds, w)) return zh_cuda_cores_can(w) ? BY_CORES : BY_VALUES;
  return zh_cuda_latent_can(w) ? OF_LATENTS : BY_TILES;
}

/* As many as give every multiprocessor work where each sequence of the cache has a token. */
uint32_t wanted_parts(const zh_device *device, const zh_device_attention *w, attention_kind kind) {
  if (kind == BY_VALUES) return ZH_MOST_PARTS;
  uint32_t each = kind == BY_CORES ? zh_cuda_cores_blocks(w) : zh_cuda_latent_blocks(w);
  uint64_t busy = (uint64_t)each * (w->kv.sequences ? w->kv.sequences : 1),
           parts = ((uint64_t)device->facts.multiprocessors * BLOCKS_AT_ONCE + busy - 1) / busy;
  return parts < 1 ? 1 : parts < ZH_MOST_PARTS ? (uint32_t)parts : (uint32_t)ZH_MOST_PARTS;
}

uint32_t most_parts(const zh_device_attention *w, uint32_t wanted) {
  size_t seen = w->window && w->window < w->longest ? w->window : w->longest,
         parts = (seen + ZH_LEAST_PART - 1) / ZH_LEAST_PART;
  return parts < 1 ? 1 : parts < wanted ? (uint32_t)parts : wanted;
}

size_t scratch_of_token(const zh_device *device, const zh_device_attention *w, attention_kind kind) {
  return w->heads * most_parts(w, wanted_parts(device, w, kind)) * (w->kv.value_dim + 2) * sizeof(float);
}

/* More tokens than these wait until the scratch is free again. */
size_t tokens_at_once(const zh_device *device, const zh_device_attention *w, attention_kind kind) {
  if (kind == BY_TILES) return w->tokens;
  size_t most = SCRATCH_MOST / scratch_of_token(device, w, kind);
  if (most > ZH_MOST_TOKENS) most = ZH_MOST_TOKENS;
  return most < 1 ? 1 : most < w->tokens ? most : w->tokens;
}

size_t scratch_of(const zh_device *device, const zh_device_attention *w, attention_kind kind) {
  if (kind == BY_TILES) return 0;
  size_t each = scratch_of_token(device, w, kind), most = each < SCRATCH_MOST ? (size_t)SCRATCH_MOST : each;
  return w->tokens * each < most ? w->tokens * each : most;
}

/* Grid: heads, tokens. */
ZH_KERNEL void __launch_bounds__(THREADS) merge(zh_attention_view v) {
  ZH_SHARED(float, room, zh_attention_merge::ROOM);
  zh_attention_merge::merge_parts<THREADS>(v, blockIdx.x, blockIdx.y, room);
}

zh_attention_view view_of(const zh_device *device, const zh_device_attention *w, attention_kind kind) {
  zh_attention_view v = {};
  v.keys = zh_kv_view_of(&w->kv, false);
  v.values = zh_kv_view_of(&w->kv, true);
  v.out = zh_at<float>(w->out);
  v.scratch = zh_at<float>(w->scratch);
  v.q = zh_at<const float>(w->q);
  v.sinks = zh_at<const float>(w->sinks);
  v.slopes = zh_at<const float>(w->slopes);
  v.position = zh_at<const uint32_t>(w->position);
  v.sequence = zh_at<const uint32_t>(w->sequence);
  v.heads = (uint32_t)w->heads;
  v.group = v.heads / w->kv.kv_heads;
  v.tokens = (uint32_t)w->tokens;
  v.window = (uint32_t)w->window;
  v.scale = w->scale;
  v.softcap = w->softcap;
  v.latent = w->kv.values == nullptr;
  if (kind != BY_TILES) {
    v.wanted_parts = wanted_parts(device, w, kind);
    v.most_parts = most_parts(w, v.wanted_parts);
  }
  return v;
}

zh_status attend(zh_device *device, const zh_device_attention *w, attention_kind kind, zh_error *err) {
  zh_attention_view v = view_of(device, w, kind);
  switch (kind) {
  case BY_CORES:
    return zh_cuda_attend_cores(device, w, &v, err);
  case OF_LATENTS:
    return zh_cuda_attend_latent(device, w, &v, err);
  case BY_TILES:
    return zh_cuda_attend_many(device, w, &v, err);
  default:
    return zh_cuda_attend_few(device, w, &v, err);
  }
}

} // namespace

/* Of all ways that these shapes may go. */
size_t zh_cuda_attention_scratch(const zh_device *device, const zh_device_attention *most) {
  zh_device_attention work = *most;
  size_t bytes = scratch_of(device, &work, kind_of(&work));
  work.way = ZH_FEW;
  size_t few = scratch_of(device, &work, kind_of(&work));
  return few > bytes ? few : bytes;
}

zh_status zh_cuda_merge_parts(zh_device *device, const zh_attention_view *v, zh_error *err) {
  size_t out = (size_t)v->heads * v->values.dim;
  if (device->recording)
    return zh_record(device, ZH_STEP_MERGE, 0, dim3(v->heads, v->tokens), *v, zh_attention_merge::ROOM * sizeof(float),
                     {{zh_place(v->out), v->tokens * out * sizeof(float), 0}},
                     {zh_touch_scratch(*v), {zh_place(v->position), v->tokens * sizeof(uint32_t), 0}}, err);
  ZH_LAUNCH(merge, dim3(v->heads, v->tokens), THREADS, 0, device->stream, *v);
  return zh_cuda_launched(device, "merging attention", err);
}

zh_status zh_cuda_attention(zh_device *device, const zh_device_attention *w, zh_error *err) {
  if (w->tokens == 0) return ZH_OK;
  if (w->kv.kv_heads == 0 || w->heads % w->kv.kv_heads != 0)
    return zh_fail(err, ZH_ERR_ARG, "%zu query heads cannot share %u key heads", w->heads, w->kv.kv_heads);
  attention_kind kind = kind_of(w);
  size_t at_once = tokens_at_once(device, w, kind);
  for (size_t first = 0; first < w->tokens; first += at_once) {
    zh_device_attention some = *w;
    some.tokens = w->tokens - first < at_once ? w->tokens - first : at_once;
    some.q += first * w->heads * w->kv.key_dim;
    some.out += first * w->heads * w->kv.value_dim;
    some.position += first;
    some.sequence += first;
    zh_status status = attend(device, &some, kind, err);
    if (status != ZH_OK) return status;
  }
  return ZH_OK;
}
