/* The shape of logits and what they answer; logits.cu, answer.cu and persist_steps.cu launch it. */
#ifndef ZH_KERNELS_CUDA_LOGITS_CUH
#define ZH_KERNELS_CUDA_LOGITS_CUH

#include "device.cuh"

namespace zh_logits {

enum { THREADS = 256 };

struct shape_view {
  zh_global<float> z;
  size_t count;
  float scale, cap;
};
/* THREADS logits, the index-th of such. */
ZH_DEVICE void shape(const shape_view &v, uint32_t index) {
  size_t i = (size_t)index * THREADS + threadIdx.x;
  if (i >= v.count) return;
  float x = v.z[i] * v.scale;
  v.z[i] = v.cap == 0.0f ? x : v.cap * tanhf(x / v.cap);
}

} // namespace zh_logits

namespace zh_answers {

struct view {
  zh_global<zh_device_answer> out;
  zh_global<uint32_t> chosen;
  zh_global<const float> z;
  size_t vocab;
};

/* Of some logits. */
struct found {
  uint64_t sum;
  float value;
  uint32_t index, nan; /* index UINT32_MAX: none yet */
};

/* Of two candidates the larger; of equal ones the lower index. */
ZH_DEVICE bool is_better(float value, uint32_t index, float than_value, uint32_t than_index) {
  if (index == UINT32_MAX) return false;
  if (than_index == UINT32_MAX) return true;
  return value > than_value || (value == than_value && index < than_index);
}

/* One a thread. */
struct room {
  zh_shared<uint64_t> sums;
  zh_shared<float> values;
  zh_shared<uint32_t> indices, nans;
};

/* What all threads have found, in the first one's answer. THREADS: a power of two. */
template <int THREADS> ZH_DEVICE found join(found mine, const room &r) {
  const uint32_t me = threadIdx.x;
  r.sums[me] = mine.sum;
  r.values[me] = mine.value;
  r.indices[me] = mine.index;
  r.nans[me] = mine.nan;
  for (uint32_t half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (me >= half) continue;
    r.sums[me] += r.sums[me + half];
    r.nans[me] |= r.nans[me + half];
    if (!is_better(r.values[me + half], r.indices[me + half], r.values[me], r.indices[me])) continue;
    r.values[me] = r.values[me + half];
    r.indices[me] = r.indices[me + half];
  }
  if (me == 0) mine = {r.sums[0], r.values[0], r.indices[0], r.nans[0]};
  return mine;
}

/* Of logits [begin, end) of a row. */
template <int THREADS> ZH_DEVICE found find(const view &v, uint32_t token, size_t begin, size_t end, const room &r) {
  found mine = {0, 0.0f, UINT32_MAX, 0};
  for (size_t i = begin + threadIdx.x; i < end; i += THREADS) {
    float x = v.z[token * v.vocab + i];
    mine.sum += zh_bits(x);
    if (x != x) mine.nan = 1;
    if (!is_better(x, (uint32_t)i, mine.value, mine.index)) continue;
    mine.value = x;
    mine.index = (uint32_t)i;
  }
  return join<THREADS>(mine, r);
}

/* In a program: blocks have a slice of a row each, then one has what they found. */
struct sliced_view {
  view of;
  zh_global<found> slices; /* [tokens][count] */
  size_t length;           /* of a slice */
  uint32_t count;          /* at most as many as threads */
};
template <int THREADS> ZH_DEVICE void find_slice(const sliced_view &v, uint32_t slice, uint32_t token, const room &r) {
  size_t begin = slice * v.length, end = begin + v.length < v.of.vocab ? begin + v.length : v.of.vocab;
  found all = find<THREADS>(v.of, token, begin, end, r);
  if (threadIdx.x == 0) v.slices[(size_t)token * v.count + slice] = all;
}
template <int THREADS> ZH_DEVICE found join_slices(const sliced_view &v, uint32_t token, const room &r) {
  found mine = {0, 0.0f, UINT32_MAX, 0};
  if (threadIdx.x < v.count) mine = v.slices[(size_t)token * v.count + threadIdx.x];
  return join<THREADS>(mine, r);
}

/* By the first thread. */
ZH_DEVICE void put_answer(const view &v, uint32_t token, const found &all) {
  zh_device_answer answer;
  answer.chosen = all.nan ? UINT32_MAX : all.index;
  answer.logit_bits = zh_bits(all.value);
  answer.bits_sum = all.sum;
  v.out[token] = answer;
  v.chosen[token] = answer.chosen;
}

} // namespace zh_answers

#endif
