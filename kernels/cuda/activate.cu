/* The activation of an FFN: of its gate, times what goes up. */
#include "activate.cuh"
#include "persist.cuh"

using namespace zh_activations;

namespace {

/* Grid: columns, tokens. */
template <int KIND> ZH_KERNEL void activate_rows(view v) {
  activate<KIND>(v, blockIdx.x, blockIdx.y);
}

} // namespace

zh_status zh_cuda_activate(zh_device *device, const zh_device_activate *w, zh_error *err) {
  if (w->tokens == 0 || w->columns == 0) return ZH_OK;
  ZH_TRY(zh_cuda_fits(device, w->tokens, err));
  view v = {zh_at<float>(w->y),
            zh_at<const float>(w->gate),
            zh_at<const float>(w->up),
            w->columns,
            w->gate_stride,
            w->up_stride,
            w->limit,
            zh_at<const uint32_t>(w->lists),
            w->experts};
  size_t words = w->lists ? 2 + 2 * (size_t)w->experts + w->tokens : 0;
  dim3 grid(zh_blocks(w->columns, THREADS), (unsigned)w->tokens);
  if (device->recording)
    return zh_record(device, ZH_STEP_ACTIVATE, w->kind, grid, v, 0,
                     {zh_touch_rows(w->y, w->tokens, w->columns, w->columns)},
                     {zh_touch_rows(w->gate, w->tokens, w->gate_stride, w->columns),
                      zh_touch_rows(w->up, w->tokens, w->up_stride, w->columns),
                      zh_touch(w->lists, words * sizeof *w->lists)},
                     err);
  auto kernel = w->kind == ZH_DEVICE_GELU        ? activate_rows<ZH_DEVICE_GELU>
                : w->kind == ZH_DEVICE_GELU_TANH ? activate_rows<ZH_DEVICE_GELU_TANH>
                : w->kind == ZH_DEVICE_CLAMPED   ? activate_rows<ZH_DEVICE_CLAMPED>
                                                 : activate_rows<ZH_DEVICE_SILU>;
  ZH_LAUNCH(kernel, grid, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "an activation", err);
}
