/* Rows of a matrix of any form as values: what tokens begin as. */
#include "embed.cuh"
#include "persist.cuh"

using namespace zh_embeds;

namespace {

/* Grid: eights of columns, tokens. */
template <int FORM> ZH_KERNEL void embed_rows(view v) {
  look_up<FORM>(v, blockIdx.x, blockIdx.y);
}

typedef void (*kernel_of)(view);

} // namespace

zh_status zh_cuda_embed(zh_device *device, float *out, const zh_device_matrix *m, const uint32_t *id, size_t tokens,
                        float factor, zh_error *err) {
  static const kernel_of kernels[ZH_FORMS] = {
      embed_rows<ZH_FORM_F32>, embed_rows<ZH_FORM_F16>, embed_rows<ZH_FORM_BF16>, embed_rows<ZH_FORM_E4M3>,
      embed_rows<ZH_FORM_Q8>,  embed_rows<ZH_FORM_Q4>,  embed_rows<ZH_FORM_Q4_1>, embed_rows<ZH_FORM_Q4_K>};
  if (tokens == 0) return ZH_OK;
  ZH_TRY(zh_cuda_fits(device, tokens, err));
  view v = {zh_at<float>(out), zh_view_of(m), m->first_row, m->rows, zh_at<const uint32_t>(id), factor};
  dim3 grid(zh_blocks((m->columns + 7) / 8, THREADS), (unsigned)tokens);
  if (device->recording)
    return zh_record(device, ZH_STEP_EMBED, m->form, grid, v, 0, {zh_touch_rows(out, tokens, m->columns, m->columns)},
                     {zh_touch(id, tokens * sizeof *id)}, err);
  ZH_LAUNCH(kernels[m->form], grid, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "looking up tokens", err);
}
