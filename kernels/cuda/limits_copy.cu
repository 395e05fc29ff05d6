/* Copies as nvbandwidth times them, and a kernel that does nothing. A kernel that spins on a word of the host holds
 * the stream back until every copy is enqueued; under the shim, whose streams run at once, nothing is held back. */
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

#ifdef __CUDACC__

__global__ void hold(const volatile unsigned *released) {
  while (*released == 0) __nanosleep(1000);
}

/* What one measurement owns. */
struct copying {
  zh_device *device;
  unsigned *gate; /* in host memory that the device sees; nonzero: go */
  unsigned *gate_on_device;
  cudaStream_t main, against;
  cudaEvent_t begin, end, held;
};

/* What goes against a copy between GPUs is the other GPU's work. */
static zh_status prepare(copying *c, const zh_device *other, zh_error *err) {
  const zh_device *device = c->device;
  ZH_CUDA(device, cudaHostAlloc(reinterpret_cast<void **>(&c->gate), sizeof *c->gate, cudaHostAllocMapped), "a gate");
  *c->gate = 0;
  ZH_CUDA(device, cudaHostGetDevicePointer(reinterpret_cast<void **>(&c->gate_on_device), c->gate, 0), "a gate");
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
  if (c->gate) *reinterpret_cast<volatile unsigned *>(c->gate) = 1;
  if (c->main) cudaStreamSynchronize(c->main);
  if (c->against) cudaStreamSynchronize(c->against);
  if (c->begin) cudaEventDestroy(c->begin);
  if (c->end) cudaEventDestroy(c->end);
  if (c->held) cudaEventDestroy(c->held);
  if (c->main) cudaStreamDestroy(c->main);
  if (c->against) cudaStreamDestroy(c->against);
  if (c->gate) cudaFreeHost(c->gate);
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
  hold<<<1, 1, 0, c->main>>>(c->gate_on_device);
  ZH_CUDA(device, cudaGetLastError(), "holding a stream");
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
  *reinterpret_cast<volatile unsigned *>(c->gate) = 1;
  ZH_CUDA(c->device, cudaStreamSynchronize(c->main), "copying");
  ZH_CUDA(c->device, cudaStreamSynchronize(c->against), "copying");
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

#else

zh_status zh_cuda_copies(zh_device *device, zh_device *, const zh_device_copies *w, double *seconds, zh_error *err) {
  zh_device_event *begin = nullptr, *end = nullptr;
  auto copy = w->kind == ZH_COPY_TO_DEVICE     ? zh_cuda_upload
              : w->kind == ZH_COPY_FROM_DEVICE ? zh_cuda_download
                                               : zh_cuda_copy;
  auto back = w->kind == ZH_COPY_TO_DEVICE ? zh_cuda_download : w->kind == ZH_COPY_FROM_DEVICE ? zh_cuda_upload : copy;
  zh_status status = zh_cuda_event(device, &begin, err);
  if (status == ZH_OK) status = zh_cuda_event(device, &end, err);
  for (int i = 0; status == ZH_OK && i < w->warmups; ++i) status = copy(device, w->to, w->from, w->bytes, err);
  if (status == ZH_OK) status = zh_cuda_record(device, begin, err);
  for (int i = 0; status == ZH_OK && i < w->count; ++i) {
    status = copy(device, w->to, w->from, w->bytes, err);
    if (status == ZH_OK && w->against_to) status = back(device, w->against_to, w->against_from, w->bytes, err);
  }
  if (status == ZH_OK) status = zh_cuda_record(device, end, err);
  if (status == ZH_OK) status = zh_cuda_elapsed_s(device, seconds, begin, end, err);
  zh_cuda_release_event(device, begin);
  zh_cuda_release_event(device, end);
  return status;
}

#endif

/* Leaves `device` the current one. */
bool zh_cuda_peers(zh_device *device, zh_device *other) {
  zh_device *both[2] = {other, device};
  int able = 1;
  for (int i = 0; i < 2; ++i) {
    int can = 0;
    if (cudaDeviceCanAccessPeer(&can, both[i]->index, both[1 - i]->index) != cudaSuccess) can = 0;
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
