/* Turns heads by their positions, in place. */
#include "device.cuh"

namespace {

enum { THREADS = 256, PAIRS_MAX = 256 };

struct rope_view {
  zh_global<float> x;
  zh_global<const double> frequency;
  zh_global<const uint32_t> position;
  size_t x_stride;
  uint32_t heads, head_dim, pairs, offset;
  bool interleaved;
  double factor;
};

/* A block has a token: its angles in fp64 first, rounded, then all heads by them. */
ZH_KERNEL void turn_heads(rope_view v) {
  ZH_SHARED(float, cosine, PAIRS_MAX);
  ZH_SHARED(float, sine, PAIRS_MAX);
  for (uint32_t i = threadIdx.x; i < v.pairs; i += blockDim.x) {
    double angle = v.position[blockIdx.x] * v.frequency[i];
    cosine[i] = (float)(v.factor * cos(angle));
    sine[i] = (float)(v.factor * sin(angle));
  }
  __syncthreads();
  for (uint32_t k = threadIdx.x; k < v.heads * v.pairs; k += blockDim.x) {
    uint32_t i = k % v.pairs;
    size_t head = blockIdx.x * v.x_stride + (size_t)(k / v.pairs) * v.head_dim + v.offset;
    size_t first = head + (v.interleaved ? 2 * i : i), second = v.interleaved ? first + 1 : first + v.pairs;
    float a = v.x[first], b = v.x[second], c = cosine[i], s = sine[i];
    v.x[first] = fmaf(a, c, -(b * s));
    v.x[second] = fmaf(a, s, b * c);
  }
}

} // namespace

zh_status zh_cuda_rope(zh_device *device, const zh_device_rope *w, zh_error *err) {
  if (w->tokens == 0 || w->dims == 0 || w->heads == 0) return ZH_OK;
  if (w->dims / 2 > PAIRS_MAX)
    return zh_fail(err, ZH_ERR_ARG, "RoPE turns %zu numbers of a head; this GPU's kernel takes %d at most", w->dims,
                   2 * PAIRS_MAX);
  rope_view v = {zh_at<float>(w->x),
                 zh_at<const double>(w->frequency),
                 zh_at<const uint32_t>(w->position),
                 w->x_stride,
                 (uint32_t)w->heads,
                 (uint32_t)w->head_dim,
                 (uint32_t)w->dims / 2,
                 (uint32_t)w->offset,
                 w->interleaved,
                 w->factor};
  ZH_LAUNCH(turn_heads, (unsigned)w->tokens, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "RoPE", err);
}
