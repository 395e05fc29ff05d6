/* Turns heads by their positions, in place. */
#include "rope.cuh"
#include "persist.cuh"

using namespace zh_ropes;

namespace {

/* A block has a token. */
ZH_KERNEL void turn_tokens(view v) {
  ZH_SHARED(float, cosine, PAIRS_MAX);
  ZH_SHARED(float, sine, PAIRS_MAX);
  turn_heads(v, blockIdx.x, 0, v.heads, cosine, sine);
}

} // namespace

zh_status zh_cuda_rope(zh_device *device, const zh_device_rope *w, zh_error *err) {
  enum { THREADS = 256 };
  if (w->tokens == 0 || w->dims == 0 || w->heads == 0) return ZH_OK;
  if (w->dims / 2 > PAIRS_MAX)
    return zh_fail(err, ZH_ERR_ARG, "RoPE turns %zu numbers of a head; this GPU's kernel takes %d at most", w->dims,
                   2 * PAIRS_MAX);
  view v = {zh_at<float>(w->x),
            zh_at<const double>(w->frequency),
            zh_at<const uint32_t>(w->position),
            w->x_stride,
            (uint32_t)w->heads,
            (uint32_t)w->head_dim,
            (uint32_t)w->dims / 2,
            (uint32_t)w->offset,
            w->interleaved,
            w->factor};
  if (device->recording) {
    return zh_record(device, ZH_STEP_ROPE, 0, dim3(v.heads, (unsigned)w->tokens), v, 2 * PAIRS_MAX * sizeof(float),
                     {zh_touch_rows(w->x, w->tokens, w->x_stride, w->heads * w->head_dim, w->head_dim)},
                     {zh_touch(w->position, w->tokens * sizeof(uint32_t))}, err);
  }
  ZH_LAUNCH(turn_tokens, (unsigned)w->tokens, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "RoPE", err);
}
