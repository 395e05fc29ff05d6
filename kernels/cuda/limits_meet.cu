/* What it takes that all blocks of a kernel wait for each other, as those of a program do (persist.cuh). */
#include "limits.cuh"
#include "meeting.cuh"

namespace {

enum { THREADS = 256, BLOCKS_OF_ONE = 2 };

ZH_KERNEL void __launch_bounds__(THREADS, BLOCKS_OF_ONE) meet_often(zh_global<uint32_t> word, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) zh_meet(word, zh_arrive(word));
}

} // namespace

zh_status zh_cuda_meetings(zh_device *device, void *word, uint32_t count, zh_error *err) {
  ZH_LAUNCH_TOGETHER(meet_often, BLOCKS_OF_ONE * device->facts.multiprocessors, THREADS, 0, device->stream,
                     zh_at<uint32_t>(word), count);
  return zh_cuda_launched(device, "meetings of blocks", err);
}
