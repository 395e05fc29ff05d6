/* The activation of an FFN: of its gate, times what goes up. */
#include "device.cuh"

namespace {

/* Of gpt-oss. */
const float SLOPE = 1.702f;

ZH_DEVICE float silu(float x) {
  return x / (1.0f + expf(-x));
}

template <int KIND> ZH_DEVICE float activated(float g, float u, float limit) {
  if constexpr (KIND == ZH_DEVICE_SILU) {
    return silu(g) * u;
  } else if constexpr (KIND == ZH_DEVICE_GELU) {
    return 0.5f * g * erfcf(-0.70710678118654752f * g) * u;
  } else if constexpr (KIND == ZH_DEVICE_GELU_TANH) { /* (1 + tanh z) / 2 = 1 / (1 + exp(-2 z)) */
    float z = 0.79788456080286536f * (g + 0.044715f * g * g * g);
    return g / (1.0f + expf(-2.0f * z)) * u;
  } else { /* NaN stays one */
    float low = g > limit ? limit : g, part = u > limit ? limit : u < -limit ? -limit : u;
    return low / (1.0f + expf(-SLOPE * low)) * (part + 1.0f);
  }
}

/* Grid: columns, tokens. */
template <int KIND>
ZH_KERNEL void activate_rows(zh_global<float> y, zh_global<const float> gate, zh_global<const float> up, size_t columns,
                             size_t gate_stride, size_t up_stride, float limit) {
  size_t i = zh_block_begin() + threadIdx.x, t = blockIdx.y;
  if (i < columns) y[t * columns + i] = activated<KIND>(gate[t * gate_stride + i], up[t * up_stride + i], limit);
}

template <int KIND> void launch(zh_device *device, const zh_device_activate *w) {
  enum { THREADS = 256 };
  auto kernel = activate_rows<KIND>;
  ZH_LAUNCH(kernel, dim3(zh_blocks(w->columns, THREADS), (unsigned)w->tokens), THREADS, 0, device->stream,
            zh_at<float>(w->y), zh_at<const float>(w->gate), zh_at<const float>(w->up), w->columns, w->gate_stride,
            w->up_stride, w->limit);
}

} // namespace

zh_status zh_cuda_activate(zh_device *device, const zh_device_activate *work, zh_error *err) {
  if (work->tokens == 0 || work->columns == 0) return ZH_OK;
  switch (work->kind) {
  case ZH_DEVICE_GELU:
    launch<ZH_DEVICE_GELU>(device, work);
    break;
  case ZH_DEVICE_GELU_TANH:
    launch<ZH_DEVICE_GELU_TANH>(device, work);
    break;
  case ZH_DEVICE_CLAMPED:
    launch<ZH_DEVICE_CLAMPED>(device, work);
    break;
  default:
    launch<ZH_DEVICE_SILU>(device, work);
  }
  return zh_cuda_launched(device, "an activation", err);
}
