/* A GPU and its stream: memory, copies, timing, graphs, by the CUDA runtime. */
#include <algorithm>
#include <new>
#include <stdio.h>
#include <string.h>

#include "device.cuh"

enum { RECORDED_MAX = 4096 };

static bool is_absent(cudaError_t status) {
  return status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver ||
         status == cudaErrorInitializationError || status == cudaErrorStubLibrary;
}

/* No machine code for the device, and none can be made of PTX: it, or who would compile it, is older than the other. */
static bool is_without_code(cudaError_t status) {
  return status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction ||
         status == cudaErrorUnsupportedPtxVersion || status == cudaErrorJitCompilerNotFound ||
         status == cudaErrorJitCompilationDisabled;
}

/* What this machine has not, in contrast to what went wrong in the middle: the former skips a step, the latter stops
 * the run, to be mended and resumed. */
static bool is_lacking(cudaError_t status) {
  if (is_without_code(status) || status == cudaErrorDevicesUnavailable || status == cudaErrorSystemDriverMismatch ||
      status == cudaErrorCompatNotSupportedOnDevice || status == cudaErrorSystemNotReady ||
      status == cudaErrorMpsConnectionFailed)
    return true;
  return is_absent(status) || status == cudaErrorInvalidDevice || status == cudaErrorNotSupported ||
         status == cudaErrorPeerAccessUnsupported;
}

zh_status zh_cuda_status(const zh_device *device, cudaError_t status, const char *what, zh_error *err) {
  if (status == cudaSuccess) return ZH_OK;
  cudaGetLastError(); /* what is not lost for good is forgotten */
  zh_status kind = status == cudaErrorMemoryAllocation ? ZH_ERR_MEMORY : is_lacking(status) ? ZH_ERR_LACKING : ZH_ERR_IO;
  if (device && device->marked)
    return zh_fail(err, kind, "GPU %d: %s failed in '%s' of layer %d: %s (%s)", device->index, what, device->marked,
                   device->layer, cudaGetErrorString(status), cudaGetErrorName(status));
  return zh_fail(err, kind, "GPU: %s failed: %s (%s)", what, cudaGetErrorString(status), cudaGetErrorName(status));
}

zh_status zh_cuda_launched(const zh_device *device, const char *kernel, zh_error *err) {
  if (device->recording)
    return zh_fail(err, ZH_ERR_LACKING, "GPU %d: '%s' of layer %d has no place in one kernel: %s", device->index,
                   device->marked ? device->marked : "", device->layer, kernel);
  return zh_cuda_status(device, cudaGetLastError(), kernel, err);
}

/* The first driver that runs what a toolkit of this major version built. */
enum { RUNTIME_MAJOR = CUDART_VERSION / 1000, DRIVER_NEEDED = RUNTIME_MAJOR >= 13 ? 580 : 525 };

static zh_status refuse_driver(zh_error *err) {
  int driver = 0;
  if (!zh_cuda_succeeds(cudaDriverGetVersion(&driver)) || driver == 0)
    return zh_fail(err, ZH_ERR_LACKING, "no GPU is used: there is no NVIDIA driver; this build needs R%d or newer",
                   DRIVER_NEEDED);
  return zh_fail(err, ZH_ERR_LACKING,
                 "no GPU is used: its driver is of CUDA %d.%d, and this build needs one of %d.0 (R%d or newer)",
                 driver / 1000, driver % 1000 / 10, RUNTIME_MAJOR, DRIVER_NEEDED);
}

zh_status zh_cuda_count(int *out, zh_error *err) {
  *out = 0;
  cudaError_t status = cudaGetDeviceCount(out);
  if (status == cudaErrorInsufficientDriver) {
    cudaGetLastError();
    return refuse_driver(err);
  }
  if (is_absent(status) || (status == cudaSuccess && *out == 0))
    return zh_fail(err, ZH_ERR_LACKING, "no GPU is used: the driver shows none to this process (%s)",
                   cudaGetErrorString(status));
  return zh_cuda_status(nullptr, status, "counting devices", err);
}

static void copy_uuid(char *out, size_t capacity, const cudaDeviceProp &p, bool is_slice) {
  const unsigned char *b = reinterpret_cast<const unsigned char *>(p.uuid.bytes);
  size_t at = (size_t)snprintf(out, capacity, is_slice ? "MIG-" : "GPU-");
  for (int i = 0; i < 16 && at + 4 < capacity; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out[at++] = '-';
    at += (size_t)snprintf(out + at, capacity - at, "%02x", b[i]);
  }
}

static int attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  return zh_cuda_succeeds(cudaDeviceGetAttribute(&value, which, index)) ? value : 0;
}

/* The device whose free memory facts tell: asking for another one would open it. */
static int opened = -1;

zh_status zh_cuda_facts(zh_device_facts *out, int index, zh_error *err) {
  cudaDeviceProp p;
  int driver = 0, runtime = 0;
  memset(out, 0, sizeof *out);
  ZH_CUDA(nullptr, cudaGetDeviceProperties(&p, index), "asking for a device's properties");
  snprintf(out->name, sizeof out->name, "%.127s", p.name);
  out->mig = strstr(p.name, " MIG ") != nullptr;
  copy_uuid(out->uuid, sizeof out->uuid, p, out->mig);
  snprintf(out->bus, sizeof out->bus, "%04x:%02x:%02x.0", p.pciDomainID, p.pciBusID, p.pciDeviceID);
  out->major = p.major;
  out->minor = p.minor;
  out->memory_bytes = p.totalGlobalMem;
  out->l2_bytes = (uint64_t)p.l2CacheSize;
  out->shared_bytes = p.sharedMemPerBlockOptin;
  out->multiprocessors = (uint32_t)p.multiProcessorCount;
  out->bus_bits = (uint32_t)p.memoryBusWidth;
  out->ecc = p.ECCEnabled != 0;
  out->clock_khz = (uint32_t)attribute(cudaDevAttrClockRate, index);
  out->memory_clock_khz = (uint32_t)attribute(cudaDevAttrMemoryClockRate, index);
  if (zh_cuda_succeeds(cudaDriverGetVersion(&driver)))
    snprintf(out->driver, sizeof out->driver, "%d.%d", driver / 1000, driver % 1000 / 10);
  if (zh_cuda_succeeds(cudaRuntimeGetVersion(&runtime)))
    snprintf(out->runtime, sizeof out->runtime, "%d.%d", runtime / 1000, runtime % 1000 / 10);
  size_t available = 0, all = 0;
  if (index == opened && zh_cuda_succeeds(cudaMemGetInfo(&available, &all))) out->free_bytes = available;
  return ZH_OK;
}

/* Where this build has no code for the device, or another process holds it alone, opening says so: the latter is found
 * out by the first call that needs the device. */
static zh_status take_device(const zh_device_facts *facts, int index, zh_error *err) {
  const char *what = "opening the device";
  cudaError_t status = cudaSetDevice(index);
  if (status == cudaSuccess) {
    what = "asking for the kernels' code";
    status = zh_cuda_code_status();
  }
  if (is_without_code(status))
    return zh_fail(err, ZH_ERR_LACKING,
                   "GPU %d (%s) is of architecture sm_%d%d, for which this module has no code; it was built for %s (%s)",
                   index, facts->name, facts->major, facts->minor, ZH_CUDA_ARCHITECTURES, cudaGetErrorName(status));
  if (status == cudaErrorMpsConnectionFailed)
    return zh_fail(err, ZH_ERR_LACKING,
                   "GPU %d (%s) is shared by MPS, whose server does not answer: start nvidia-cuda-mps-control, or unset "
                   "CUDA_MPS_PIPE_DIRECTORY",
                   index, facts->name);
  if (status == cudaErrorDevicesUnavailable)
    return zh_fail(err, ZH_ERR_LACKING, "GPU %d (%s) is busy: another process holds it alone, or it is being reset",
                   index, facts->name);
  return zh_cuda_status(nullptr, status, what, err);
}

zh_status zh_cuda_open(zh_device **out, int index, zh_error *err) {
  size_t available = 0, all = 0;
  *out = nullptr;
  zh_device *device = new (std::nothrow) zh_device();
  if (!device) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory to open a GPU");
  device->index = index;
  device->recorded.reserve(RECORDED_MAX);
  zh_status status = zh_cuda_facts(&device->facts, index, err);
  if (status == ZH_OK) status = take_device(&device->facts, index, err);
  if (status == ZH_OK) status = zh_cuda_status(nullptr, cudaMemGetInfo(&available, &all), "asking for free memory", err);
  if (status == ZH_OK)
    status = zh_cuda_status(nullptr, cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking),
                            "making a stream", err);
  if (status == ZH_OK) status = zh_cuda_choose_product(device, nullptr, err);
  if (status != ZH_OK) {
    zh_cuda_close(device);
    return status;
  }
  device->facts.free_bytes = available;
  opened = index;
  *out = device;
  return ZH_OK;
}

void zh_cuda_close(zh_device *device) {
  if (!device) return;
  zh_cuda_release_library(device);
  for (void *room : device->rooms) (void)zh_cuda_succeeds(cudaFree(room));
  if (device->stream) (void)zh_cuda_succeeds(cudaStreamDestroy(device->stream));
  delete device;
}

zh_status zh_cuda_alloc(zh_device *device, void **out, size_t bytes, const char *what, zh_error *err) {
  size_t available = 0, all = 0;
  int current = device->index;
  *out = nullptr;
  /* A second device's memory, where copies between two are measured. */
  if (cudaGetDevice(&current) == cudaSuccess && current != device->index) cudaSetDevice(device->index);
  cudaError_t status = cudaMalloc(out, bytes ? bytes : 1);
  if (current != device->index) cudaSetDevice(current);
  if (status != cudaErrorMemoryAllocation) return zh_cuda_status(device, status, what, err);
  cudaGetLastError();
  if (!zh_cuda_succeeds(cudaMemGetInfo(&available, &all))) available = all = 0;
  return zh_fail(err, ZH_ERR_MEMORY, "GPU %d has no room for %s: %.2f GB asked for, %.2f GB of %.2f GB free",
                 device->index, what, (double)bytes / 1e9, (double)available / 1e9, (double)all / 1e9);
}

void zh_cuda_release(zh_device *, void *address) {
  if (address) (void)zh_cuda_succeeds(cudaFree(address));
}

zh_status zh_cuda_alloc_host(zh_device *device, void **out, size_t bytes, zh_error *err) {
  *out = nullptr;
  ZH_CUDA(device, cudaMallocHost(out, bytes ? bytes : 1), "getting host memory");
  return ZH_OK;
}

void zh_cuda_release_host(zh_device *, void *address) {
  if (address) (void)zh_cuda_succeeds(cudaFreeHost(address));
}

zh_status zh_cuda_upload(zh_device *device, void *to, const void *from, size_t bytes, zh_error *err) {
  ZH_CUDA(device, cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, device->stream), "copying to the device");
  return ZH_OK;
}

zh_status zh_cuda_download(zh_device *device, void *to, const void *from, size_t bytes, zh_error *err) {
  ZH_CUDA(device, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, device->stream), "copying from the device");
  return ZH_OK;
}

zh_status zh_cuda_copy(zh_device *device, void *to, const void *from, size_t bytes, zh_error *err) {
  ZH_CUDA(device, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, device->stream), "copying");
  return ZH_OK;
}

zh_status zh_cuda_fill(zh_device *device, void *to, uint8_t byte, size_t bytes, zh_error *err) {
  ZH_CUDA(device, cudaMemsetAsync(to, byte, bytes, device->stream), "filling memory");
  return ZH_OK;
}

/* What failed was enqueued before: the last mark is where it was found. */
zh_status zh_cuda_wait(zh_device *device, zh_error *err) {
  cudaError_t status = cudaStreamSynchronize(device->stream);
  device->recorded.clear();
  if (status == cudaSuccess || !device->marked) return zh_cuda_status(device, status, "computing", err);
  zh_status kind = zh_cuda_status(device, status, "computing", nullptr);
  return zh_fail(err, kind,
                 "GPU %d: computing failed, in '%s' of layer %d or before it: %s (%s); CUDA_LAUNCH_BLOCKING=1 in the "
                 "environment says where",
                 device->index, device->marked, device->layer, cudaGetErrorString(status), cudaGetErrorName(status));
}

void zh_cuda_mark(zh_device *device, const char *name, int layer) {
  device->marked = name;
  device->layer = layer;
}

/* --- timing --- */

static cudaEvent_t event_of(zh_device_event *event) { return reinterpret_cast<cudaEvent_t>(event); }

zh_status zh_cuda_event(zh_device *device, zh_device_event **out, zh_error *err) {
  cudaEvent_t event = nullptr;
  *out = nullptr;
  ZH_CUDA(device, cudaEventCreate(&event), "making an event");
  *out = reinterpret_cast<zh_device_event *>(event);
  return ZH_OK;
}

static void forget_event(zh_device *device, zh_device_event *event) {
  std::vector<cudaEvent_t> &list = device->recorded;
  list.erase(std::remove(list.begin(), list.end(), event_of(event)), list.end());
}

void zh_cuda_release_event(zh_device *device, zh_device_event *event) {
  if (!event) return;
  forget_event(device, event);
  (void)zh_cuda_succeeds(cudaEventDestroy(event_of(event)));
}

/* Of very many the later half is kept: what comes before them has come when the first of them does. */
zh_status zh_cuda_record(zh_device *device, zh_device_event *event, zh_error *err) {
  std::vector<cudaEvent_t> &list = device->recorded;
  ZH_CUDA(device, cudaEventRecord(event_of(event), device->stream), "recording an event");
  if (list.size() == RECORDED_MAX) list.erase(list.begin(), list.begin() + RECORDED_MAX / 2);
  list.push_back(event_of(event));
  return ZH_OK;
}

bool zh_cuda_goes_on(zh_device *device) {
  std::vector<cudaEvent_t> &list = device->recorded;
  size_t come = 0;
  while (come < list.size() && cudaEventQuery(list[come]) != cudaErrorNotReady) ++come;
  cudaGetLastError();
  list.erase(list.begin(), list.begin() + (ptrdiff_t)come);
  return come > 0;
}

zh_status zh_cuda_elapsed_s(zh_device *device, double *out, zh_device_event *first, zh_device_event *second,
                            zh_error *err) {
  float ms = 0;
  ZH_CUDA(device, cudaEventSynchronize(event_of(second)), "computing");
  ZH_CUDA(device, cudaEventElapsedTime(&ms, event_of(first), event_of(second)), "reading events");
  *out = (double)ms * 1e-3;
  return ZH_OK;
}

/* --- graphs --- */

/* Relaxed: what a graph's work needs for the first time (a room, a library's workspace, a kernel's code) may be got
 * while it is being made. */
zh_status zh_cuda_begin_graph(zh_device *device, zh_error *err) {
  ZH_CUDA(device, cudaStreamBeginCapture(device->stream, cudaStreamCaptureModeRelaxed), "beginning a graph");
  return ZH_OK;
}

zh_status zh_cuda_end_graph(zh_device *device, zh_device_graph **out, zh_error *err) {
  cudaGraph_t graph = nullptr;
  *out = nullptr;
  /* First: a stream that goes on recording is of no more use. */
  zh_status status = zh_cuda_status(device, cudaStreamEndCapture(device->stream, &graph), "ending a graph", err);
  zh_device_graph *made = new (std::nothrow) zh_device_graph();
  if (!made) {
    if (graph) cudaGraphDestroy(graph);
    return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a graph");
  }
  made->graph = graph;
  if (status == ZH_OK)
    status = zh_cuda_status(device, cudaGraphInstantiate(&made->executable, made->graph, 0), "making a graph", err);
  if (status != ZH_OK) {
    zh_cuda_release_graph(device, made);
    return status;
  }
  *out = made;
  return ZH_OK;
}

zh_status zh_cuda_launch_graph(zh_device *device, zh_device_graph *graph, zh_error *err) {
  if (graph->program) return zh_program_launch(device, graph->program, err);
  ZH_CUDA(device, cudaGraphLaunch(graph->executable, device->stream), "launching a graph");
  return ZH_OK;
}

void zh_cuda_release_graph(zh_device *, zh_device_graph *graph) {
  if (!graph) return;
  if (graph->executable) cudaGraphExecDestroy(graph->executable);
  if (graph->graph) cudaGraphDestroy(graph->graph);
  zh_program_free(graph->program);
  delete graph;
}
