/* What rows of logits answer: the largest of each, its bits, and a sum over the bits of all, so that a generation
 * needs nothing of the host between its tokens, and every logit of it can be held against another run's. */
#include "logits.cuh"
#include "persist.cuh"

using namespace zh_answers;

namespace {

enum { THREADS = 512 };

/* A block has a row; halves are joined until one thread has all. */
ZH_KERNEL void answer_rows(view v) {
  ZH_SHARED(uint64_t, sums, THREADS);
  ZH_SHARED(float, values, THREADS);
  ZH_SHARED(uint32_t, indices, THREADS);
  ZH_SHARED(uint32_t, nans, THREADS);
  found all = find<THREADS>(v, blockIdx.x, 0, v.vocab, {sums, values, indices, nans});
  if (threadIdx.x == 0) put_answer(v, blockIdx.x, all);
}

} // namespace

zh_status zh_cuda_answer(zh_device *device, zh_device_answer *out, uint32_t *chosen, const float *z, size_t tokens,
                         size_t vocab, zh_error *err) {
  if (tokens == 0) return ZH_OK;
  view v = {zh_at<zh_device_answer>(out), zh_at<uint32_t>(chosen), zh_at<const float>(z), vocab};
  if (device->recording)
    return zh_record(device, ZH_STEP_ANSWER, 0, dim3((unsigned)tokens), v,
                     ZH_STEP_THREADS * (sizeof(uint64_t) + 3 * sizeof(uint32_t)),
                     {zh_touch(out, tokens * sizeof *out), zh_touch(chosen, tokens * sizeof *chosen)},
                     {zh_touch_rows(z, tokens, vocab, vocab)}, err);
  ZH_LAUNCH(answer_rows, (unsigned)tokens, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "choosing tokens", err);
}
