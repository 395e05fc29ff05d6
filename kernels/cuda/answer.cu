/* What rows of logits answer: the largest of each, its bits, and a sum over the bits of all, so that a generation
 * needs nothing of the host between its tokens, and every logit of it can be held against another run's. */
#include "device.cuh"

namespace {

enum { THREADS = 512 };

struct answer_call {
  zh_global<zh_device_answer> out;
  zh_global<uint32_t> chosen;
  zh_global<const float> z;
  size_t vocab;
};

/* Of two candidates the larger; of equal ones the lower index. UINT32_MAX: none yet. */
ZH_DEVICE bool is_better(float value, uint32_t index, float than_value, uint32_t than_index) {
  if (index == UINT32_MAX) return false;
  if (than_index == UINT32_MAX) return true;
  return value > than_value || (value == than_value && index < than_index);
}

/* A block has a row; halves are joined until one thread has all. */
ZH_KERNEL void answer_rows(answer_call c) {
  ZH_SHARED(uint64_t, sums, THREADS);
  ZH_SHARED(float, values, THREADS);
  ZH_SHARED(uint32_t, indices, THREADS);
  ZH_SHARED(uint32_t, nans, THREADS);
  const uint32_t me = threadIdx.x;
  uint64_t sum = 0;
  float value = 0.0f;
  uint32_t index = UINT32_MAX, nan = 0;
  for (size_t i = me; i < c.vocab; i += THREADS) {
    float x = c.z[blockIdx.x * c.vocab + i];
    sum += zh_bits(x);
    if (x != x) nan = 1;
    if (!is_better(x, (uint32_t)i, value, index)) continue;
    value = x;
    index = (uint32_t)i;
  }
  sums[me] = sum;
  values[me] = value;
  indices[me] = index;
  nans[me] = nan;
  for (uint32_t half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (me >= half) continue;
    sums[me] += sums[me + half];
    nans[me] |= nans[me + half];
    if (!is_better(values[me + half], indices[me + half], values[me], indices[me])) continue;
    values[me] = values[me + half];
    indices[me] = indices[me + half];
  }
  if (me != 0) return;
  uint32_t chosen = nans[0] ? UINT32_MAX : indices[0];
  zh_device_answer answer;
  answer.chosen = chosen;
  answer.logit_bits = zh_bits(values[0]);
  answer.bits_sum = sums[0];
  c.out[blockIdx.x] = answer;
  c.chosen[blockIdx.x] = chosen;
}

} // namespace

zh_status zh_cuda_answer(zh_device *device, zh_device_answer *out, uint32_t *chosen, const float *z, size_t tokens,
                         size_t vocab, zh_error *err) {
  if (tokens == 0) return ZH_OK;
  answer_call call = {zh_at<zh_device_answer>(out), zh_at<uint32_t>(chosen), zh_at<const float>(z), vocab};
  ZH_LAUNCH(answer_rows, (unsigned)tokens, THREADS, 0, device->stream, call);
  return zh_cuda_launched(device, "choosing tokens", err);
}
