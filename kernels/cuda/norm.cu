/* RMS norm and LayerNorm of rows, or of each head of a row by itself. Sums are fp32's, in an order that the columns
 * alone decide. */
#include "norm.cuh"
#include "persist.cuh"

using namespace zh_norms;

namespace {

/* Grid: heads, tokens. */
template <bool LAYER> ZH_KERNEL void __launch_bounds__(MOST) norm_rows(view v) {
  ZH_SHARED(float, sums, SUMS);
  norm_in_place<LAYER>(v, blockIdx.x, blockIdx.y, sums);
}

} // namespace

zh_status zh_cuda_norm(zh_device *device, const zh_device_norm *w, zh_error *err) {
  if (w->tokens == 0 || w->heads == 0 || w->columns == 0) return ZH_OK;
  ZH_TRY(zh_cuda_fits(device, w->tokens, err));
  view v = {zh_at<float>(w->y),
            zh_at<const float>(w->x),
            zh_at<const float>(w->gain),
            zh_at<const float>(w->bias),
            w->y_stride,
            w->x_stride,
            w->columns,
            w->heads,
            w->eps,
            (uint32_t)(w->columns <= SOME       ? WARP
                       : w->columns <= 4 * SOME ? SOME
                                                : MOST)};
  dim3 grid((unsigned)w->heads, (unsigned)w->tokens);
  if (device->recording)
    return zh_record(device, ZH_STEP_NORM, w->bias != nullptr, grid, v, SUMS * sizeof(float),
                     {zh_touch_rows(w->y, w->tokens, w->y_stride, w->heads * w->columns, w->columns)},
                     {zh_touch_rows(w->x, w->tokens, w->x_stride, w->heads * w->columns, w->columns)}, err);
  if (w->bias)
    ZH_LAUNCH(norm_rows<true>, grid, v.lanes, 0, device->stream, v);
  else
    ZH_LAUNCH(norm_rows<false>, grid, v.lanes, 0, device->stream, v);
  return zh_cuda_launched(device, "a norm", err);
}
