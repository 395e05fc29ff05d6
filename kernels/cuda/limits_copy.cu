/* Copies as nvbandwidth times them, and a kernel that does nothing. A kernel that spins on a word of the host holds
 * the stream back until every copy is enqueued. A stream has room for about a thousand of them: who enqueues more waits
 * for the first to end, and so for a gate that only he opens. The kernel therefore has an end of its own. */
#include "limits.cuh"

ZH_KERNEL void do_nothing() {}

zh_status zh_cuda_empty(zh_device *device, zh_error *err) {
  ZH_LAUNCH(do_nothing, 1, 1, 0, device->stream);
  return zh_cuda_launched(device, "an empty kernel", err);
}

cudaError_t zh_cuda_code_status(void) {
  cudaFuncAttributes attributes;
  cudaError_t status = cudaFuncGetAttributes(&attributes, do_nothing);
  cudaGetLastError();
  return status;
}


enum { RELEASED, GAVE_UP, GATE_WORDS };
static const uint64_t PATIENCE_NS = 5000000000u;

ZH_KERNEL void hold(zh_global<uint32_t> gate, uint64_t patience_ns) {
  uint64_t begin = zh_clock_ns();
  while (zh_load_acquire_system(gate + RELEASED) == 0u) {
    if (zh_clock_ns() - begin > patience_ns) {
      gate[GAVE_UP] = 1u;
      return;
    }
#ifdef __CUDACC__
    __nanosleep(1000);
#endif
  }
}

/* What one measurement owns. */
struct copying {
  zh_device *device;
  volatile uint32_t *gate; /* [GATE_WORDS], in host memory that the device sees */
  void *gate_memory, *gate_on_device;
  cudaStream_t main, against;
  cudaEvent_t begin, end, held;
};

/* What goes against a copy between GPUs is the other GPU's work. */
static zh_status prepare(copying *c, const zh_device *other, zh_error *err) {
  const zh_device *device = c->device;
  ZH_CUDA(device, cudaHostAlloc(&c->gate_memory, GATE_WORDS * sizeof *c->gate, cudaHostAllocMapped), "making a gate");
  c->gate = static_cast<volatile uint32_t *>(c->gate_memory);
  c->gate[RELEASED] = c->gate[GAVE_UP] = 0;
  ZH_CUDA(device, cudaHostGetDevicePointer(&c->gate_on_device, c->gate_memory, 0), "making a gate");
  ZH_CUDA(device, cudaStreamCreateWithFlags(&c->main, cudaStreamNonBlocking), "making a stream");
  if (other) ZH_CUDA(device, cudaSetDevice(other->index), "choosing the peer");
  cudaError_t made = cudaStreamCreateWithFlags(&c->against, cudaStreamNonBlocking);
  ZH_CUDA(device, cudaSetDevice(device->index), "choosing the device");
  ZH_CUDA(device, made, "making a stream");
  ZH_CUDA(device, cudaEventCreate(&c->begin), "making an event");
  ZH_CUDA(device, cudaEventCreate(&c->end), "making an event");
  ZH_CUDA(device, cudaEventCreateWithFlags(&c->held, cudaEventDisableTiming), "making an event");
  return ZH_OK;
}

static void release(copying *c) {
  if (c->gate) c->gate[RELEASED] = 1;
  if (c->main) cudaStreamSynchronize(c->main);
  if (c->against) cudaStreamSynchronize(c->against);
  if (c->begin) cudaEventDestroy(c->begin);
  if (c->end) cudaEventDestroy(c->end);
  if (c->held) cudaEventDestroy(c->held);
  if (c->main) cudaStreamDestroy(c->main);
  if (c->against) cudaStreamDestroy(c->against);
  zh_cuda_release_host(c->device, c->gate_memory);
  cudaGetLastError();
}

static zh_status enqueue(copying *c, zh_device *other, const zh_device_copies *w, zh_error *err) {
  const zh_device *device = c->device;
  auto copy = [&](void *to, const void *from, cudaStream_t stream) {
    if (w->kind == ZH_COPY_PEER_WRITE)
      return cudaMemcpyPeerAsync(to, other->index, from, device->index, w->bytes, stream);
    if (w->kind == ZH_COPY_PEER_READ)
      return cudaMemcpyPeerAsync(to, device->index, from, other->index, w->bytes, stream);
    return cudaMemcpyAsync(to, from, w->bytes, cudaMemcpyDefault, stream);
  };
  ZH_LAUNCH(hold, 1, 1, 0, c->main, zh_at<uint32_t>(c->gate_on_device), PATIENCE_NS);
  ZH_TRY(zh_cuda_launched(device, "holding a stream", err));
  ZH_CUDA(device, cudaEventRecord(c->held, c->main), "recording an event");
  ZH_CUDA(device, cudaStreamWaitEvent(c->against, c->held, 0), "ordering streams");
  for (int i = 0; w->against_to && i < 2 * (w->warmups + w->count); ++i)
    ZH_CUDA(device, cudaMemcpyAsync(w->against_to, w->against_from, w->bytes, cudaMemcpyDefault, c->against), "copying");
  for (int i = 0; i < w->warmups; ++i) ZH_CUDA(device, copy(w->to, w->from, c->main), "copying");
  ZH_CUDA(device, cudaEventRecord(c->begin, c->main), "recording an event");
  for (int i = 0; i < w->count; ++i) ZH_CUDA(device, copy(w->to, w->from, c->main), "copying");
  ZH_CUDA(device, cudaEventRecord(c->end, c->main), "recording an event");
  return ZH_OK;
}

static zh_status time_copies(copying *c, double *seconds, zh_error *err) {
  float ms = 0;
  c->gate[RELEASED] = 1;
  ZH_CUDA(c->device, cudaStreamSynchronize(c->main), "copying");
  ZH_CUDA(c->device, cudaStreamSynchronize(c->against), "copying");
  if (c->gate[GAVE_UP])
    return zh_fail(err, ZH_ERR_IO,
                   "GPU %d waited %d s for its copies to be enqueued in vain: time fewer of them together, and do not "
                   "set CUDA_LAUNCH_BLOCKING",
                   c->device->index, (int)(PATIENCE_NS / 1000000000u));
  ZH_CUDA(c->device, cudaEventElapsedTime(&ms, c->begin, c->end), "reading events");
  *seconds = (double)ms * 1e-3;
  return ZH_OK;
}

zh_status zh_cuda_copies(zh_device *device, zh_device *other, const zh_device_copies *work, double *seconds,
                         zh_error *err) {
  copying c = {};
  c.device = device;
  ZH_CUDA(device, cudaSetDevice(device->index), "choosing the device");
  zh_status status = prepare(&c, other, err);
  if (status == ZH_OK) status = enqueue(&c, other, work, err);
  if (status == ZH_OK) status = time_copies(&c, seconds, err);
  release(&c);
  return status;
}


/* Leaves `device` the current one. */
bool zh_cuda_peers(zh_device *device, zh_device *other) {
  zh_device *both[2] = {other, device};
  int able = 1;
  for (int i = 0; i < 2; ++i) {
    int can = 0;
    if (!zh_cuda_succeeds(cudaDeviceCanAccessPeer(&can, both[i]->index, both[1 - i]->index))) can = 0;
    able = able && can;
  }
  for (int i = 0; able && i < 2; ++i) {
    cudaError_t status = cudaSetDevice(both[i]->index);
    if (status == cudaSuccess) status = cudaDeviceEnablePeerAccess(both[1 - i]->index, 0);
    if (status != cudaSuccess && status != cudaErrorPeerAccessAlreadyEnabled) able = 0;
  }
  cudaGetLastError();
  cudaSetDevice(device->index);
  return able != 0;
}
