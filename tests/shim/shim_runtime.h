/* The part of the CUDA runtime that kernels/cuda calls, on a pretended device. Work of a stream is
 * done when somebody waits for it, as late as a GPU may: who reads a result too soon, or changes
 * what is still to be copied, is found out. A device's addresses are those of pages that the host
 * cannot touch. The environment: ZH_SHIM_SEED (of all orders), ZH_SHIM_MEMORY (bytes of the
 * device), ZH_SHIM_SHARED (bytes of a block, at most), ZH_SHIM_CAPABILITY (89: it says that it is
 * sm_89), ZH_SHIM_FAIL (the device is lost in its n-th launch), ZH_SHIM_DEVICES (how many there
 * are), ZH_SHIM_PEERS (0: none reaches another's memory), ZH_SHIM_STATE (what is the matter with
 * the device: driver, old, busy, mps, code, ptx, mig), ZH_SHIM_SHOWN (own: a rank of a launcher
 * sees one device, its own), ZH_SHIM_SKIP and ZH_SHIM_SUMS (harm.cc).
 */
#ifndef ZH_TESTS_SHIM_RUNTIME_H
#define ZH_TESTS_SHIM_RUNTIME_H

#include <functional>
#include <stdio.h>
#include <tuple>
#include <type_traits>
#include <utility>

#define CUDART_VERSION 13000

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidMemcpyDirection = 21,
  cudaErrorStubLibrary = 34,
  cudaErrorInsufficientDriver = 35,
  cudaErrorDevicesUnavailable = 46,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorMapBufferObjectFailed = 205,
  cudaErrorECCUncorrectable = 214,
  cudaErrorJitCompilerNotFound = 221,
  cudaErrorUnsupportedPtxVersion = 222,
  cudaErrorJitCompilationDisabled = 223,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorLaunchOutOfResources = 701,
  cudaErrorPeerAccessUnsupported = 217,
  cudaErrorPeerAccessAlreadyEnabled = 704,
  cudaErrorLaunchFailure = 719,
  cudaErrorCooperativeLaunchTooLarge = 720,
  cudaErrorNotSupported = 801,
  cudaErrorSystemNotReady = 802,
  cudaErrorSystemDriverMismatch = 803,
  cudaErrorCompatNotSupportedOnDevice = 804,
  cudaErrorMpsConnectionFailed = 805,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorIllegalState = 401,
  cudaErrorCapturedEvent = 907,
  cudaErrorUnknown = 999
};

struct cudaUUID_t {
  char bytes[16];
};
struct cudaDeviceProp {
  char name[256];
  cudaUUID_t uuid;
  size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin, sharedMemPerMultiprocessor;
  int regsPerBlock, warpSize, maxThreadsPerBlock, maxThreadsPerMultiProcessor;
  int maxThreadsDim[3], maxGridSize[3];
  int major, minor, multiProcessorCount, l2CacheSize, memoryBusWidth;
  int pciBusID, pciDeviceID, pciDomainID, ECCEnabled, integrated, concurrentKernels;
};
enum cudaDeviceAttr {
  cudaDevAttrMaxThreadsPerBlock = 1,
  cudaDevAttrMaxSharedMemoryPerBlock = 8,
  cudaDevAttrWarpSize = 10,
  cudaDevAttrClockRate = 13,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrMemoryClockRate = 36,
  cudaDevAttrGlobalMemoryBusWidth = 37,
  cudaDevAttrL2CacheSize = 38,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
  cudaDevAttrCooperativeLaunch = 95,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};
enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone,
  cudaStreamCaptureStatusActive,
  cudaStreamCaptureStatusInvalidated
};
struct cudaFuncAttributes {
  size_t sharedSizeBytes;
};
enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributePreferredSharedMemoryCarveout = 9
};
struct cudaIpcMemHandle_t {
  char reserved[64];
};
enum {
  cudaStreamDefault = 0,
  cudaStreamNonBlocking = 1,
  cudaEventDefault = 0,
  cudaEventDisableTiming = 2,
  cudaHostAllocDefault = 0,
  cudaHostAllocPortable = 1,
  cudaHostAllocMapped = 2,
  cudaIpcMemLazyEnablePeerAccess = 1
};

struct CUstream_st;
struct CUevent_st;
struct CUgraph_st;
struct CUgraphExec_st;
typedef CUstream_st *cudaStream_t;
typedef CUevent_st *cudaEvent_t;
typedef CUgraph_st *cudaGraph_t;
typedef CUgraphExec_st *cudaGraphExec_t;

const char *cudaGetErrorString(cudaError_t status); /* of a failed launch: what was reported */
const char *cudaGetErrorName(cudaError_t status);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

cudaError_t cudaGetDeviceCount(int *out);
cudaError_t cudaGetDevice(int *out);
cudaError_t cudaSetDevice(int index);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int index);
cudaError_t cudaDeviceGetAttribute(int *out, cudaDeviceAttr which, int index);
cudaError_t cudaDeviceCanAccessPeer(int *out, int index, int peer);
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags);
cudaError_t cudaDriverGetVersion(int *out);
cudaError_t cudaRuntimeGetVersion(int *out);
cudaError_t cudaDeviceSynchronize();

cudaError_t cudaMemGetInfo(size_t *available, size_t *all);
cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *address);
cudaError_t cudaMallocHost(void **out, size_t bytes);
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags);
cudaError_t cudaHostGetDevicePointer(void **out, void *address, unsigned flags);
cudaError_t cudaFreeHost(void *address);
cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t *out, void *address);
cudaError_t cudaIpcOpenMemHandle(void **out, cudaIpcMemHandle_t handle, unsigned flags);
cudaError_t cudaIpcCloseMemHandle(void *address);
template <class T> static inline cudaError_t cudaMalloc(T **out, size_t bytes) {
  void *address = nullptr;
  cudaError_t status = cudaMalloc(&address, bytes);
  *out = static_cast<T *>(address);
  return status;
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device,
                                size_t bytes, cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void *to, int byte, size_t bytes);
cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream = nullptr);

cudaError_t cudaStreamCreate(cudaStream_t *out);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);

cudaError_t cudaEventCreate(cudaEvent_t *out);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t first, cudaEvent_t second);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *out);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, void *nodes, size_t *count);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

/* What was reported since the last zh_shim_forget, a line each, "" where nothing was. */
extern "C" const char *zh_shim_report(void);
/* Clears it and makes a device that failed or was lost usable again; orders begin anew from
 * `seed`. */
extern "C" void zh_shim_forget(uint64_t seed);
/* For libraries that tests play: `work` in the order of a stream or of the graph that is being made
 * of it (1; `dropped` is then called when that graph, and what was made of it, is gone), 0 or -1;
 * and where the bytes of an address lie, NULL where they are not all an allocation's. */
extern "C" int zh_shim_enqueue(void *stream, void (*work)(void *context), void *context,
                               void (*dropped)(void *context));
extern "C" void *zh_shim_contents(const void *address, size_t bytes);

namespace zh_shim {

typedef void (*any_function)();

struct launch_shape {
  const char *name;
  dim3 grid, block;
  size_t shared_bytes;
  any_function function;
  bool together; /* all blocks live at once, and may wait for each other */
};

void enqueue_launch(const launch_shape &shape, cudaStream_t stream, std::function<void()> thread);
cudaError_t set_attribute(any_function function, cudaFuncAttribute which, int value);
cudaError_t code_status();
cudaError_t blocks_that_fit(int *out, any_function function, int threads, size_t shared_bytes);

/* Arguments travel by value, converted to the parameters' types, as to a GPU. */
template <bool TOGETHER = false, class... Parameters, class... Arguments>
void launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            void (*kernel)(Parameters...), Arguments &&...arguments) {
  std::tuple<std::decay_t<Parameters>...> kept(
      static_cast<std::decay_t<Parameters>>(std::forward<Arguments>(arguments))...);
  static_assert(sizeof kept <= 4096, "a kernel's parameters take 4096 bytes at most");
  launch_shape shape = {name,    grid, block, shared_bytes, reinterpret_cast<any_function>(kernel),
                        TOGETHER};
  enqueue_launch(shape, stream, [kernel, kept] { std::apply(kernel, kept); });
}

} // namespace zh_shim

template <class... Parameters>
static inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *out, void (*)(Parameters...)) {
  *out = cudaFuncAttributes();
  return zh_shim::code_status();
}
template <class... Parameters>
static inline cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...),
                                               cudaFuncAttribute which, int value) {
  return zh_shim::set_attribute(reinterpret_cast<zh_shim::any_function>(kernel), which, value);
}
template <class... Parameters>
static inline cudaError_t
cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *out, void (*kernel)(Parameters...), int threads,
                                              size_t shared_bytes) {
  return zh_shim::blocks_that_fit(out, reinterpret_cast<zh_shim::any_function>(kernel), threads,
                                  shared_bytes);
}

#endif
