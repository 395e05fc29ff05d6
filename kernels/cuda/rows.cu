/* What is done to rows of activations, element by element. */
#include "rows.cuh"
#include "persist.cuh"

using namespace zh_rows;

namespace {

ZH_KERNEL void add_rows(sum_view v) {
  add(v, blockIdx.x);
}
/* Grid: columns, rows. */
ZH_KERNEL void gather_rows(gather_view v) {
  gather(v, blockIdx.x, blockIdx.y);
}
ZH_KERNEL void copy_parts(slices_view v) {
  copy_slices(v, blockIdx.x);
}
ZH_KERNEL void next_positions(positions_view v) {
  advance(v, blockIdx.x);
}
/* Grid: columns, tokens. */
ZH_KERNEL void combine_choices(combine_view v) {
  combine(v, blockIdx.x, blockIdx.y);
}

} // namespace

zh_status zh_cuda_add(zh_device *device, float *y, const float *x, float factor, size_t count, zh_error *err) {
  if (count == 0) return ZH_OK;
  sum_view v = {zh_at<float>(y), zh_at<const float>(x), factor, count};
  dim3 grid(zh_blocks(count, THREADS));
  if (device->recording)
    return zh_record(device, ZH_STEP_ADD, 0, grid, v, 0, {zh_touch(y, count * sizeof *y)},
                     {zh_touch(x, count * sizeof *x)}, err);
  ZH_LAUNCH(add_rows, grid, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "adding rows", err);
}

/* Which rows are gathered the device knows alone: a program takes all memory for read. */
zh_status zh_cuda_gather(zh_device *device, float *out, const float *x, const uint32_t *row, size_t rows, size_t width,
                         zh_error *err) {
  if (rows == 0 || width == 0) return ZH_OK;
  ZH_TRY(zh_cuda_fits(device, rows, err));
  gather_view v = {zh_at<float>(out), zh_at<const float>(x), zh_at<const uint32_t>(row), width};
  dim3 grid(zh_blocks(width, THREADS), (unsigned)rows);
  if (device->recording)
    return zh_record(device, ZH_STEP_GATHER, 0, grid, v, 0, {zh_touch_rows(out, rows, width, width)},
                     {zh_touch_everything()}, err);
  ZH_LAUNCH(gather_rows, grid, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "gathering rows", err);
}

zh_status zh_cuda_slices(zh_device *device, const zh_device_slices *w, zh_error *err) {
  size_t count = w->width * w->rows;
  if (count == 0) return ZH_OK;
  slices_view v = {zh_at<float>(w->to), zh_at<const float>(w->from), w->to_stride, w->from_stride, w->width, count};
  dim3 grid(zh_blocks(count, THREADS));
  if (device->recording)
    return zh_record(device, ZH_STEP_SLICES, 0, grid, v, 0, {zh_touch_rows(w->to, w->rows, w->to_stride, w->width)},
                     {zh_touch_rows(w->from, w->rows, w->from_stride, w->width)}, err);
  ZH_LAUNCH(copy_parts, grid, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "copying parts of rows", err);
}

zh_status zh_cuda_advance(zh_device *device, uint32_t *position, size_t count, zh_error *err) {
  if (count == 0) return ZH_OK;
  positions_view v = {zh_at<uint32_t>(position), count};
  dim3 grid(zh_blocks(count, THREADS));
  if (device->recording)
    return zh_record(device, ZH_STEP_ADVANCE, 0, grid, v, 0, {zh_touch(position, count * sizeof *position)}, {}, err);
  ZH_LAUNCH(next_positions, grid, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "going to the next positions", err);
}

zh_status zh_cuda_combine(zh_device *device, const zh_device_combine *w, zh_error *err) {
  if (w->tokens == 0 || w->columns == 0) return ZH_OK;
  ZH_TRY(zh_cuda_fits(device, w->tokens, err));
  combine_view v = {zh_at<float>(w->y),
                    zh_at<const float>(w->x),
                    zh_at<const float>(w->weight),
                    zh_at<const float>(w->shared),
                    zh_at<const float>(w->score),
                    w->columns,
                    w->used,
                    zh_at<const uint32_t>(w->choice),
                    w->first,
                    w->here};
  dim3 grid(zh_blocks(w->columns, THREADS), (unsigned)w->tokens);
  size_t choices = w->tokens * w->used, rows = w->tokens;
  if (device->recording)
    return zh_record(device, ZH_STEP_COMBINE, 0, grid, v, 0, {zh_touch_rows(w->y, rows, w->columns, w->columns)},
                     {zh_touch_rows(w->x, choices, w->columns, w->columns), zh_touch_rows(w->weight, choices, 1, 1),
                      zh_touch_rows(w->shared, rows, w->columns, w->columns), zh_touch_rows(w->score, rows, 1, 1),
                      zh_touch(w->choice, choices * sizeof *w->choice)},
                     err);
  ZH_LAUNCH(combine_choices, grid, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "adding up what experts made", err);
}
