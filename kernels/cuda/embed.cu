/* Rows of a matrix of any form as values: what tokens begin as. */
#include "forms.cuh"

namespace {

/* Grid: eights of columns, tokens. */
template <int FORM>
ZH_KERNEL void embed_rows(zh_global<float> out, zh_weights_view w, uint32_t first, uint32_t rows,
                         zh_global<const uint32_t> id, float factor) {
  uint32_t column = (uint32_t)(zh_block_begin() + threadIdx.x) * 8,
           row = id[blockIdx.y] - first; /* of another part: too large */
  if (column >= w.columns) return;
  float value[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  if (row < rows) zh_eight_values<FORM>(value, w, row, column);
  for (uint32_t i = 0; i < 8 && column + i < w.columns; ++i)
    out[(size_t)blockIdx.y * w.columns + column + i] = value[i] * factor;
}

template <int FORM>
void launch(zh_device *device, float *out, const zh_device_matrix *m, const uint32_t *id, size_t tokens, float factor) {
  enum { THREADS = 128 };
  auto kernel = embed_rows<FORM>;
  ZH_LAUNCH(kernel, dim3(zh_blocks((m->columns + 7) / 8, THREADS), (unsigned)tokens), THREADS, 0, device->stream,
            zh_at<float>(out), zh_view_of(m), m->first_row, m->rows, zh_at<const uint32_t>(id), factor);
}

typedef void (*launcher)(zh_device *, float *, const zh_device_matrix *, const uint32_t *, size_t, float);

} // namespace

zh_status zh_cuda_embed(zh_device *device, float *out, const zh_device_matrix *m, const uint32_t *id, size_t tokens,
                        float factor, zh_error *err) {
  static const launcher launchers[ZH_FORMS] = {launch<ZH_FORM_F32>,  launch<ZH_FORM_F16>, launch<ZH_FORM_BF16>,
                                               launch<ZH_FORM_E4M3>, launch<ZH_FORM_Q8>,  launch<ZH_FORM_Q4>,
                                               launch<ZH_FORM_Q4_1>, launch<ZH_FORM_Q4_K>};
  if (tokens == 0) return ZH_OK;
  launchers[m->form](device, out, m, id, tokens, factor);
  return zh_cuda_launched(device, "looking up tokens", err);
}
