/* What is done to rows of activations, element by element. */
#include "device.cuh"

namespace {

enum { THREADS = 256 };

ZH_KERNEL void add_rows(zh_global<float> y, zh_global<const float> x, float factor, size_t count) {
  size_t i = zh_block_begin() + threadIdx.x;
  if (i < count) y[i] = fmaf(factor, x[i], y[i]);
}

/* Grid: columns, rows. */
ZH_KERNEL void gather_rows(zh_global<float> out, zh_global<const float> x, zh_global<const uint32_t> row,
                           size_t width) {
  size_t i = zh_block_begin() + threadIdx.x;
  if (i < width) out[blockIdx.y * width + i] = x[row[blockIdx.y] * width + i];
}

ZH_KERNEL void copy_slices(zh_global<float> to, zh_global<const float> from, size_t to_stride, size_t from_stride,
                           size_t width, size_t count) {
  size_t i = zh_block_begin() + threadIdx.x;
  if (i < count) to[i / width * to_stride + i % width] = from[i / width * from_stride + i % width];
}

ZH_KERNEL void next_positions(zh_global<uint32_t> position, size_t count) {
  size_t i = zh_block_begin() + threadIdx.x;
  if (i < count) position[i] += 1;
}

/* Grid: columns, tokens. A token's sum is in the order of its choices. */
ZH_KERNEL void combine_choices(zh_global<float> y, zh_global<const float> x, zh_global<const float> weight,
                               zh_global<const float> shared, zh_global<const float> score, size_t columns,
                               uint32_t used) {
  size_t i = zh_block_begin() + threadIdx.x, t = blockIdx.y;
  if (i >= columns) return;
  float sum = 0.0f;
  if (shared) {
    float share = 1.0f;
    if (score) share = 1.0f / (1.0f + expf(-score[t]));
    sum = share * shared[t * columns + i];
  }
  for (uint32_t k = 0; k < used; ++k) sum = fmaf(weight[t * used + k], x[(t * used + k) * columns + i], sum);
  y[t * columns + i] = sum;
}

} // namespace

zh_status zh_cuda_add(zh_device *device, float *y, const float *x, float factor, size_t count, zh_error *err) {
  if (count == 0) return ZH_OK;
  ZH_LAUNCH(add_rows, zh_blocks(count, THREADS), THREADS, 0, device->stream, zh_at<float>(y), zh_at<const float>(x),
            factor, count);
  return zh_cuda_launched(device, "adding rows", err);
}

zh_status zh_cuda_gather(zh_device *device, float *out, const float *x, const uint32_t *row, size_t rows, size_t width,
                         zh_error *err) {
  if (rows == 0 || width == 0) return ZH_OK;
  ZH_LAUNCH(gather_rows, dim3(zh_blocks(width, THREADS), (unsigned)rows), THREADS, 0, device->stream, zh_at<float>(out),
            zh_at<const float>(x), zh_at<const uint32_t>(row), width);
  return zh_cuda_launched(device, "gathering rows", err);
}

zh_status zh_cuda_slices(zh_device *device, const zh_device_slices *w, zh_error *err) {
  size_t count = w->width * w->rows;
  if (count == 0) return ZH_OK;
  ZH_LAUNCH(copy_slices, zh_blocks(count, THREADS), THREADS, 0, device->stream, zh_at<float>(w->to),
            zh_at<const float>(w->from), w->to_stride, w->from_stride, w->width, count);
  return zh_cuda_launched(device, "copying parts of rows", err);
}

zh_status zh_cuda_advance(zh_device *device, uint32_t *position, size_t count, zh_error *err) {
  if (count == 0) return ZH_OK;
  ZH_LAUNCH(next_positions, zh_blocks(count, THREADS), THREADS, 0, device->stream, zh_at<uint32_t>(position), count);
  return zh_cuda_launched(device, "going to the next positions", err);
}

zh_status zh_cuda_combine(zh_device *device, const zh_device_combine *w, zh_error *err) {
  if (w->tokens == 0 || w->columns == 0) return ZH_OK;
  ZH_LAUNCH(combine_choices, dim3(zh_blocks(w->columns, THREADS), (unsigned)w->tokens), THREADS, 0, device->stream,
            zh_at<float>(w->y), zh_at<const float>(w->x), zh_at<const float>(w->weight), zh_at<const float>(w->shared),
            zh_at<const float>(w->score), w->columns, w->used);
  return zh_cuda_launched(device, "adding up what experts made", err);
}
