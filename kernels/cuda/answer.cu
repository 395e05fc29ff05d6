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

/* Several blocks a row, which is long. */
zh_status record(zh_device *device, const view &v, const zh_device_answer *out, const uint32_t *chosen, const float *z,
                 size_t tokens, zh_error *err) {
  enum { SLICE = 256, SLICES_MAX = 128, SHARED = ZH_STEP_THREADS * 20 };
  sliced_view s = {v, {}, 0, 0};
  size_t count = (v.vocab + SLICE - 1) / SLICE, bytes;
  void *scratch = zh_record_scratch(device, &bytes);
  s.count = (uint32_t)(count < SLICES_MAX ? count : SLICES_MAX);
  s.length = (v.vocab + s.count - 1) / s.count;
  s.slices = zh_at<found>(scratch);
  if (tokens * s.count * sizeof(found) > bytes)
    return zh_fail(err, ZH_ERR_LACKING, "a program's answers are of fewer than %zu rows", tokens);
  zh_touched slices = zh_touch(scratch, tokens * s.count * sizeof(found));
  zh_status status = zh_record(device, ZH_STEP_SLICE, 0, dim3(s.count, (unsigned)tokens), s, SHARED, {slices},
                               {zh_touch_rows(z, tokens, v.vocab, v.vocab)}, err);
  if (status != ZH_OK) return status;
  return zh_record(device, ZH_STEP_ANSWER, 0, dim3((unsigned)tokens), s, SHARED,
                   {zh_touch(out, tokens * sizeof *out), zh_touch(chosen, tokens * sizeof *chosen)}, {slices}, err);
}

} // namespace

zh_status zh_cuda_answer(zh_device *device, zh_device_answer *out, uint32_t *chosen, const float *z, size_t tokens,
                         size_t vocab, zh_error *err) {
  if (tokens == 0) return ZH_OK;
  view v = {zh_at<zh_device_answer>(out), zh_at<uint32_t>(chosen), zh_at<const float>(z), vocab};
  if (device->recording) return record(device, v, out, chosen, z, tokens, err);
  ZH_LAUNCH(answer_rows, (unsigned)tokens, THREADS, 0, device->stream, v);
  return zh_cuda_launched(device, "choosing tokens", err);
}
