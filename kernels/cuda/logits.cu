/* What becomes of logits: their shape, and the best of each row. */
#include "logits.cuh"
#include "persist.cuh"

using namespace zh_logits;

namespace {

enum { SEARCHERS = 1024, WARP = 32 };

ZH_KERNEL void shape_values(shape_view v) {
  shape(v, blockIdx.x);
}

ZH_KERNEL void scale_values(zh_global<float> z, zh_global<const float> factor, size_t count, size_t columns) {
  size_t i = zh_block_begin() + threadIdx.x;
  if (i < count) z[i] = (float)z[i] * (float)factor[i % columns];
}

struct best {
  float value;
  uint32_t index; /* UINT32_MAX: none yet */
};

ZH_DEVICE best better(const best &a, const best &b) {
  if (b.index == UINT32_MAX) return a;
  if (a.index == UINT32_MAX || b.value > a.value) return b;
  return b.value == a.value && b.index < a.index ? b : a;
}

/* A block has a row. */
ZH_KERNEL void __launch_bounds__(SEARCHERS)
    find_largest(zh_global<uint32_t> out, zh_global<const float> z, size_t vocab) {
  ZH_SHARED(float, values, SEARCHERS / WARP);
  ZH_SHARED(uint32_t, indices, SEARCHERS / WARP);
  ZH_SHARED(uint32_t, nans, SEARCHERS / WARP);
  best mine = {0.0f, UINT32_MAX};
  bool nan = false;
#pragma unroll 8
  for (size_t i = threadIdx.x; i < vocab; i += blockDim.x) {
    float x = z[blockIdx.x * vocab + i];
    nan = nan || x != x;
    mine = better(mine, {x, (uint32_t)i});
  }
  for (int step = WARP / 2; step > 0; step /= 2) {
    best other = {__shfl_xor_sync(0xFFFFFFFFu, mine.value, step), __shfl_xor_sync(0xFFFFFFFFu, mine.index, step)};
    mine = better(mine, other);
  }
  nan = __any_sync(0xFFFFFFFFu, nan) != 0;
  if (threadIdx.x % WARP == 0) {
    nans[threadIdx.x / WARP] = nan;
    values[threadIdx.x / WARP] = mine.value;
    indices[threadIdx.x / WARP] = mine.index;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (uint32_t i = 1; i < blockDim.x / WARP; ++i) {
    mine = better(mine, {values[i], indices[i]});
    nan = nan || nans[i] != 0;
  }
  out[blockIdx.x] = nan ? UINT32_MAX : mine.index;
}

} // namespace

zh_status zh_cuda_shape_logits(zh_device *device, float *z, size_t tokens, size_t vocab, float scale, float cap,
                               zh_error *err) {
  size_t count = tokens * vocab;
  if (count == 0 || (scale == 1.0f && cap == 0.0f)) return ZH_OK;
  shape_view v = {zh_at<float>(z), count, scale, cap};
  dim3 grid(zh_blocks(count, THREADS));
  if (device->recording) {
    zh_touched all = zh_touch(z, count * sizeof *z);
    return zh_record(device, ZH_STEP_SHAPE, 0, grid, v, 0, {all}, {}, err);
  }
  ZH_LAUNCH(shape_values, grid, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "shaping logits", err);
}

zh_status zh_cuda_scale_columns(zh_device *device, float *z, const float *factor, size_t rows, size_t columns,
                                zh_error *err) {
  size_t count = rows * columns;
  if (count == 0) return ZH_OK;
  ZH_LAUNCH(scale_values, zh_blocks(count, THREADS), THREADS, 0, device->stream, zh_at<float>(z),
            zh_at<const float>(factor), count, columns);
  return zh_cuda_launched(device, "scaling columns", err);
}

zh_status zh_cuda_argmax(zh_device *device, uint32_t *out, const float *z, size_t tokens, size_t vocab, zh_error *err) {
  if (tokens == 0) return ZH_OK;
  ZH_LAUNCH(find_largest, (unsigned)tokens, SEARCHERS, 0, device->stream, zh_at<uint32_t>(out), zh_at<const float>(z),
            vocab);
  return zh_cuda_launched(device, "finding the largest logit", err);
}
