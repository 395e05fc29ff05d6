/* Products with F32 and F16 weights, which nothing rounds: a warp has a row and up to eight tokens, both ways alike. */
#include "product_plain.cuh"
#include "persist.cuh"

using namespace zh_plain;

namespace {

/* Grid: rows (tiles of one), parts. */
template <int FORM> ZH_KERNEL void plain_rows(zh_product_view v) {
  multiply_rows<FORM>(v, blockIdx.x, blockIdx.y);
}

} // namespace

zh_status zh_cuda_product_plain(zh_device *device, zh_product_view *v, zh_device_form form, zh_error *err) {
  zh_count_tiles(v, 1);
  dim3 grid((v->tiles + WARPS - 1) / WARPS, v->parts);
  if (device->recording)
    return zh_record(device, ZH_STEP_PLAIN, form, grid, *v, 0, {zh_product_writes(*v)},
                     {zh_product_reads(*v), zh_product_lists(*v)}, err);
  auto kernel = form == ZH_FORM_F16 ? plain_rows<ZH_FORM_F16> : plain_rows<ZH_FORM_F32>;
  ZH_LAUNCH(kernel, grid, 32 * WARPS, 0, device->stream, *v);
  return zh_cuda_launched(device, "a product with unrounded weights", err);
}
