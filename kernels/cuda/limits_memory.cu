/* Memory traffic: pure read, write, copy and triad over words that add up modulo 2^32, and numbers drawn from a pool.
 * Grids are a few blocks a multiprocessor whose threads stride over the array, four vectors of 16 bytes in flight. */
#include "limits.cuh"

enum { THREADS = 512, BLOCKS_PER_MULTIPROCESSOR = 4, IN_FLIGHT = 4 };

ZH_DEVICE uint32_t sum_of(uint4 v) { return v.x + v.y + v.z + v.w; }
ZH_DEVICE uint32_t warp_sum_of_words(uint32_t x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, step);
  return x;
}

ZH_KERNEL void read_words(zh_global<const uint32_t> b, size_t vectors, zh_global<uint32_t> sum) {
  size_t stride = (size_t)gridDim.x * blockDim.x, i = zh_block_begin() + threadIdx.x;
  uint32_t total = 0;
  for (; i + (IN_FLIGHT - 1) * stride < vectors; i += IN_FLIGHT * stride) {
    uint4 v[IN_FLIGHT];
#pragma unroll
    for (int k = 0; k < IN_FLIGHT; ++k) v[k] = zh_load_once(b, 4 * (i + (size_t)k * stride));
#pragma unroll
    for (int k = 0; k < IN_FLIGHT; ++k) total += sum_of(v[k]);
  }
  for (; i < vectors; i += stride) total += sum_of(zh_load_once(b, 4 * i));
  total = warp_sum_of_words(total);
  if (threadIdx.x % 32 == 0) atomicAdd(&sum[0], total);
}

ZH_KERNEL void write_words(zh_global<uint32_t> a, size_t vectors, uint32_t key) {
  size_t stride = (size_t)gridDim.x * blockDim.x;
  for (size_t i = zh_block_begin() + threadIdx.x; i < vectors; i += stride) {
    uint4 v;
    v.x = zh_flow_word_of(key, 4 * i);
    v.y = zh_flow_word_of(key, 4 * i + 1);
    v.z = zh_flow_word_of(key, 4 * i + 2);
    v.w = zh_flow_word_of(key, 4 * i + 3);
    zh_store(a, 4 * i, v);
  }
}

ZH_KERNEL void copy_words(zh_global<uint32_t> a, zh_global<const uint32_t> b, size_t vectors) {
  size_t stride = (size_t)gridDim.x * blockDim.x, i = zh_block_begin() + threadIdx.x;
  for (; i + (IN_FLIGHT - 1) * stride < vectors; i += IN_FLIGHT * stride) {
    uint4 v[IN_FLIGHT];
#pragma unroll
    for (int k = 0; k < IN_FLIGHT; ++k) v[k] = zh_load_once(b, 4 * (i + (size_t)k * stride));
#pragma unroll
    for (int k = 0; k < IN_FLIGHT; ++k) zh_store(a, 4 * (i + (size_t)k * stride), v[k]);
  }
  for (; i < vectors; i += stride) zh_store(a, 4 * i, zh_load_once(b, 4 * i));
}

ZH_DEVICE uint4 triad_of(uint4 b, uint4 c) {
  uint4 v;
  v.x = b.x + 3 * c.x;
  v.y = b.y + 3 * c.y;
  v.z = b.z + 3 * c.z;
  v.w = b.w + 3 * c.w;
  return v;
}

ZH_KERNEL void triad_words(zh_global<uint32_t> a, zh_global<const uint32_t> b, zh_global<const uint32_t> c,
                           size_t vectors) {
  size_t stride = (size_t)gridDim.x * blockDim.x, i = zh_block_begin() + threadIdx.x;
  for (; i + stride < vectors; i += 2 * stride) {
    uint4 b0 = zh_load_once(b, 4 * i), b1 = zh_load_once(b, 4 * (i + stride));
    uint4 c0 = zh_load_once(c, 4 * i), c1 = zh_load_once(c, 4 * (i + stride));
    zh_store(a, 4 * i, triad_of(b0, c0));
    zh_store(a, 4 * (i + stride), triad_of(b1, c1));
  }
  for (; i < vectors; i += stride) zh_store(a, 4 * i, triad_of(zh_load_once(b, 4 * i), zh_load_once(c, 4 * i)));
}

template <class T>
ZH_KERNEL void spread_elements(zh_global<T> out, zh_global<const T> pool, uint32_t mask, size_t count, uint32_t key) {
  size_t stride = (size_t)gridDim.x * blockDim.x;
  for (size_t i = zh_block_begin() + threadIdx.x; i < count; i += stride) out[i] = pool[zh_flow_word_of(key, i) & mask];
}

static unsigned grid_for(const zh_device *device, size_t items) {
  size_t most = (size_t)device->facts.multiprocessors * BLOCKS_PER_MULTIPROCESSOR, wanted = zh_blocks(items, THREADS);
  return (unsigned)(wanted < most ? wanted : most);
}

zh_status zh_cuda_traffic(zh_device *device, const zh_device_traffic *w, zh_error *err) {
  size_t vectors = w->words / 4;
  if (vectors == 0 || w->words % 4 != 0)
    return zh_fail(err, ZH_ERR_ARG, "memory traffic takes a multiple of 4 words, not %zu", w->words);
  unsigned grid = grid_for(device, vectors);
  zh_global<uint32_t> a = zh_at<uint32_t>(w->a);
  zh_global<const uint32_t> b = zh_at<const uint32_t>(w->b), c = zh_at<const uint32_t>(w->c);
  switch (w->flow) {
  case ZH_FLOW_READ:
    ZH_LAUNCH(read_words, grid, THREADS, 0, device->stream, b, vectors, zh_at<uint32_t>(w->sum));
    break;
  case ZH_FLOW_WRITE: ZH_LAUNCH(write_words, grid, THREADS, 0, device->stream, a, vectors, w->key); break;
  case ZH_FLOW_COPY: ZH_LAUNCH(copy_words, grid, THREADS, 0, device->stream, a, b, vectors); break;
  case ZH_FLOW_TRIAD: ZH_LAUNCH(triad_words, grid, THREADS, 0, device->stream, a, b, c, vectors); break;
  }
  return zh_cuda_launched(device, "memory traffic", err);
}

zh_status zh_cuda_spread(zh_device *device, void *out, const void *pool, size_t pool_count, size_t element_bytes,
                         size_t count, uint32_t key, zh_error *err) {
  uint32_t mask = (uint32_t)(pool_count - 1);
  unsigned grid = grid_for(device, count);
  if (pool_count == 0 || pool_count > (size_t)1 << 31 || (pool_count & (pool_count - 1)) != 0)
    return zh_fail(err, ZH_ERR_ARG, "a pool has a power of two of elements, not %zu", pool_count);
  if (count == 0) return ZH_OK;
#define ZH_SPREAD(T)                                                                                                   \
  ZH_LAUNCH(spread_elements<T>, grid, THREADS, 0, device->stream, zh_at<T>(out), zh_at<const T>(pool), mask, count, key)
  switch (element_bytes) {
  case 1: ZH_SPREAD(uint8_t); break;
  case 2: ZH_SPREAD(uint16_t); break;
  case 4: ZH_SPREAD(uint32_t); break;
  case 8: ZH_SPREAD(uint64_t); break;
  default: return zh_fail(err, ZH_ERR_ARG, "elements have 1, 2, 4 or 8 bytes, not %zu", element_bytes);
  }
#undef ZH_SPREAD
  return zh_cuda_launched(device, "drawing numbers", err);
}
