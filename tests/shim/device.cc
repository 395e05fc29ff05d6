/* The pretended device: its properties, its memory, and copies to and from it. */
#include <chrono>
#include <stdlib.h>

#include "engine.h"

using namespace zh_shim;
typedef std::lock_guard<std::recursive_mutex> locked;

enum { CAPABILITY = 89, L2_BYTES = 2 << 20 };

/* What it says of itself, by which the module chooses; it can do everything. */
static int capability() {
  const char *text = getenv("ZH_SHIM_CAPABILITY");
  return text && *text ? atoi(text) : (int)CAPABILITY;
}

static int number_of(const char *name, int otherwise) {
  const char *text = getenv(name);
  return text && *text ? atoi(text) : otherwise;
}
/* As launchers do that give each rank a GPU and hide the others. */
static bool is_own_shown() {
  const char *text = getenv("ZH_SHIM_SHOWN");
  return text && strcmp(text, "own") == 0;
}
/* They differ in their numbers alone: addresses are the process's. */
static int device_count() {
  int count = is_own_shown() ? 1 : number_of("ZH_SHIM_DEVICES", 1);
  return count < 0 ? 0 : count;
}
/* On the node, of those that this process sees. */
static int node_number(int index) {
  return is_own_shown() ? number_of("OMPI_COMM_WORLD_LOCAL_RANK", 0) : index;
}
/* What is the matter with it, or its driver. */
static bool is_in_state(const char *word) {
  const char *text = getenv("ZH_SHIM_STATE");
  return text && strcmp(text, word) == 0;
}

cudaError_t zh_shim::code_status() {
  if (is_in_state("ptx")) return failed(cudaErrorUnsupportedPtxVersion);
  return is_in_state("code") ? failed(cudaErrorNoKernelImageForDevice) : cudaSuccess;
}

static int current_device;

cudaError_t cudaGetDeviceCount(int *out) {
  if (is_in_state("driver") || is_in_state("old")) return failed(cudaErrorInsufficientDriver);
  *out = device_count();
  return *out ? cudaSuccess : failed(cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int *out) {
  *out = current_device;
  return cudaSuccess;
}

static bool is_none(int index) {
  if (index >= 0 && index < device_count()) return false;
  failed(cudaErrorInvalidDevice);
  return true;
}

cudaError_t cudaSetDevice(int index) {
  locked lock(gate);
  if (is_none(index)) return cudaErrorInvalidDevice;
  if (is_in_state("busy")) return failed(cudaErrorDevicesUnavailable);
  if (is_in_state("mps")) return failed(cudaErrorMpsConnectionFailed);
  current_device = index;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int index) {
  locked lock(gate);
  if (is_none(index)) return cudaErrorInvalidDevice;
  *out = cudaDeviceProp();
  snprintf(out->name, sizeof out->name, "no GPU: tests' shim on the CPU%s",
           is_in_state("mig") ? " MIG 1g.10gb" : "");
  memcpy(out->uuid.bytes, "zhiheng-shim-000", sizeof out->uuid.bytes);
  out->uuid.bytes[sizeof out->uuid.bytes - 1] = (char)('0' + node_number(index));
  out->pciBusID = node_number(index);
  out->totalGlobalMem = memory_limit();
  out->sharedMemPerBlock = STATIC_SHARED_MAX;
  out->sharedMemPerBlockOptin = shared_limit();
  out->sharedMemPerMultiprocessor = shared_limit() + 1024;
  out->regsPerBlock = 65536;
  out->warpSize = WARP;
  out->maxThreadsPerBlock = out->maxThreadsDim[0] = out->maxThreadsDim[1] = THREADS_MAX;
  out->maxThreadsDim[2] = 64;
  out->maxGridSize[0] = 0x7FFFFFFF;
  out->maxGridSize[1] = out->maxGridSize[2] = 65535;
  out->maxThreadsPerMultiProcessor = THREADS_OF_ONE;
  out->major = capability() / 10;
  out->minor = capability() % 10;
  out->multiProcessorCount = MULTIPROCESSORS;
  out->l2CacheSize = L2_BYTES;
  out->memoryBusWidth = 64;
  out->concurrentKernels = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *out, cudaDeviceAttr which, int index) {
  locked lock(gate);
  if (is_none(index)) return cudaErrorInvalidDevice;
  switch (which) {
  case cudaDevAttrMaxThreadsPerBlock:
    *out = THREADS_MAX;
    break;
  case cudaDevAttrMaxSharedMemoryPerBlock:
    *out = STATIC_SHARED_MAX;
    break;
  case cudaDevAttrWarpSize:
    *out = WARP;
    break;
  case cudaDevAttrMultiProcessorCount:
    *out = MULTIPROCESSORS;
    break;
  case cudaDevAttrGlobalMemoryBusWidth:
    *out = 64;
    break;
  case cudaDevAttrL2CacheSize:
    *out = L2_BYTES;
    break;
  case cudaDevAttrComputeCapabilityMajor:
    *out = capability() / 10;
    break;
  case cudaDevAttrComputeCapabilityMinor:
    *out = capability() % 10;
    break;
  case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
    *out = (int)shared_limit() + 1024;
    break;
  case cudaDevAttrCooperativeLaunch:
    *out = 1;
    break;
  case cudaDevAttrMaxSharedMemoryPerBlockOptin:
    *out = (int)shared_limit();
    break;
  default:
    *out = 0;
    break; /* clocks are not said */
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int *out, int index, int peer) {
  const char *text = getenv("ZH_SHIM_PEERS");
  *out = index != peer && !(text && strcmp(text, "0") == 0);
  return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) {
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *out) {
  *out = is_in_state("driver") ? 0 : is_in_state("old") ? 12040 : CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *out) {
  *out = CUDART_VERSION;
  return cudaSuccess;
}

long long clock64() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

uint64_t zh_clock_ns() {
  return (uint64_t)clock64();
}

/* --- memory --- */

cudaError_t cudaMemGetInfo(size_t *available, size_t *all) {
  locked lock(gate);
  *all = memory_limit();
  *available = memory_used() < *all ? *all - memory_used() : 0;
  return failed(lost());
}

static cudaError_t allocate(void **out, size_t bytes, bool pinned) {
  locked lock(gate);
  *out = nullptr;
  if (lost() != cudaSuccess) return failed(lost());
  if (allocation_forbidden_by_capture()) return cudaErrorStreamCaptureUnsupported;
  memory *m = memory_new(bytes, pinned);
  if (!m) return failed(cudaErrorMemoryAllocation);
  *out = reinterpret_cast<void *>(m->address);
  return cudaSuccess;
}

/* Waits for everything first, as CUDA does. */
static cudaError_t release_address(void *address, bool pinned) {
  locked lock(gate);
  if (!address) return cudaSuccess;
  if (forbidden_by_capture()) return cudaErrorStreamCaptureUnsupported;
  drain_all();
  memory *m = memory_exact(reinterpret_cast<uintptr_t>(address));
  if (!m || m->pinned != pinned || is_of_others(m))
    return complain(cudaErrorInvalidValue, "an address given back that is none of an allocation's "
                                           "begin, or was given back before");
  memory_free(m);
  return failed(lost());
}

cudaError_t cudaMalloc(void **out, size_t bytes) {
  return allocate(out, bytes, false);
}
cudaError_t cudaFree(void *address) {
  return release_address(address, false);
}
cudaError_t cudaMallocHost(void **out, size_t bytes) {
  return allocate(out, bytes, true);
}
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned) {
  return allocate(out, bytes, true);
}
cudaError_t cudaHostGetDevicePointer(void **out, void *address, unsigned) {
  *out = address;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void *address) {
  return release_address(address, true);
}

/* --- copies --- */

/* One end of a copy: the host's address, or an allocation and where in it. */
struct copy_end {
  unsigned char *host;
  const memory *of;
  size_t offset;
};

static cudaError_t end_of(copy_end *out, const void *address, size_t bytes, bool on_device) {
  *out = copy_end{static_cast<unsigned char *>(const_cast<void *>(address)), nullptr, 0};
  if (on_device != is_device_address(address)) {
    unsigned char *at = nullptr;
    const memory *pinned = memory_at(address, &at); /* a kernel may reach it: so may a copy */
    if (on_device && pinned) return cudaSuccess;
    return complain(cudaErrorInvalidValue, "a copy of %zu bytes whose %s address is the %s's",
                    bytes, on_device ? "device" : "host", on_device ? "host" : "device");
  }
  if (!on_device) return cudaSuccess;
  unsigned char *at = nullptr;
  const memory *of = memory_at(address, &at);
  if (!of || !of->bytes)
    return complain(cudaErrorInvalidValue,
                    "a copy of %zu bytes of memory that is not allocated (any "
                    "more)",
                    bytes);
  size_t offset = (size_t)(at - of->bytes);
  if (offset > of->size || bytes > of->size - offset)
    return complain(cudaErrorInvalidValue,
                    "a copy of %zu bytes at byte %zu of allocation %u, which has %zu", bytes,
                    offset, of->serial, of->size);
  *out = copy_end{nullptr, of, offset};
  return cudaSuccess;
}

/* NULL where it was freed meanwhile, and the device is then lost. */
static unsigned char *place_of(const copy_end &end) {
  if (!end.of) return end.host;
  if (end.of->bytes) return end.of->bytes + end.offset;
  complain(cudaErrorLaunchFailure, "a copy of allocation %u, which has been freed", end.of->serial);
  lose(cudaErrorIllegalState);
  return nullptr;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  locked lock(gate);
  copy_end target, source;
  bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault)
    to_device = is_device_address(to), from_device = is_device_address(from);
  if (bytes == 0) return failed(lost());
  cudaError_t status = end_of(&target, to, bytes, to_device);
  if (status == cudaSuccess) status = end_of(&source, from, bytes, from_device);
  if (status != cudaSuccess) return status;
  return enqueue(stream, [target, source, bytes] {
    unsigned char *a = place_of(target), *b = place_of(source);
    if (a && b) memmove(a, b, bytes);
  });
}

cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device,
                                size_t bytes, cudaStream_t stream) {
  if (is_none(to_device) || is_none(from_device)) return cudaErrorInvalidDevice;
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}

cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream) {
  locked lock(gate);
  copy_end target;
  if (bytes == 0) return failed(lost());
  cudaError_t status = end_of(&target, to, bytes, true);
  if (status != cudaSuccess) return status;
  return enqueue(stream, [target, byte, bytes] {
    if (unsigned char *a = place_of(target)) memset(a, byte, bytes);
  });
}

/* Out of memory that is not pinned it may return when the bytes have left that memory, before they
 * have come to the device's; a stream of one's own that does not wait for the default one may not
 * find them there. */
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
  locked lock(gate);
  unsigned char *at = nullptr;
  copy_end target;
  bool waits = kind != cudaMemcpyHostToDevice || memory_at(from, &at) || bytes == 0;
  if (!waits && end_of(&target, to, bytes, true) == cudaSuccess && target.of) {
    const unsigned char *begin = static_cast<const unsigned char *>(from);
    auto staged = std::make_shared<std::vector<unsigned char>>(begin, begin + bytes);
    return enqueue(nullptr, [target, staged] {
      if (unsigned char *a = place_of(target)) memcpy(a, staged->data(), staged->size());
    });
  }
  cudaError_t status = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return status == cudaSuccess ? cudaStreamSynchronize(nullptr) : status;
}

/* Does not wait at all. */
cudaError_t cudaMemset(void *to, int byte, size_t bytes) {
  return cudaMemsetAsync(to, byte, bytes, nullptr);
}
