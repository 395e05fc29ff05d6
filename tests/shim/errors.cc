/* Errors of calls: the last, those that stay because the device is lost, and their words. */
#include <stdarg.h>

#include "engine.h"

namespace zh_shim {

std::recursive_mutex gate;
typedef std::lock_guard<std::recursive_mutex> locked;

static cudaError_t last, lost_to;
static std::string complained;

cudaError_t failed(cudaError_t status) {
  if (status != cudaSuccess) last = status;
  return status;
}

cudaError_t complain(cudaError_t status, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  complained = text;
  return failed(status);
}

std::string complaint() {
  return complained;
}

cudaError_t lost() {
  return lost_to;
}

void lose(cudaError_t status) {
  lost_to = status;
}

void forget_loss() {
  lost_to = last = cudaSuccess;
  complained.clear();
}

} // namespace zh_shim

using namespace zh_shim;

const char *cudaGetErrorString(cudaError_t status) {
  static std::string text;
  locked lock(gate);
  switch (status) {
  case cudaSuccess:
    return "no error";
  case cudaErrorMemoryAllocation:
    return "out of memory";
  case cudaErrorInvalidDevice:
    return "invalid device ordinal";
  case cudaErrorNotReady:
    return "device not ready";
  case cudaErrorECCUncorrectable:
    return "uncorrectable ECC error encountered";
  case cudaErrorLaunchFailure:
    text = "unspecified launch failure: " + first_fault();
    if (faults() > 1) text += " (and " + std::to_string(faults() - 1) + " more)";
    return text.c_str();
  default:
    text = complained.empty() ? "an error" : complained;
    return text.c_str();
  }
}

const char *cudaGetErrorName(cudaError_t status) {
  switch (status) {
#define NAME(name)                                                                                 \
  case name:                                                                                       \
    return #name;
    NAME(cudaSuccess)
    NAME(cudaErrorInvalidValue)
    NAME(cudaErrorMemoryAllocation)
    NAME(cudaErrorInvalidConfiguration)
    NAME(cudaErrorInvalidDevice)
    NAME(cudaErrorMapBufferObjectFailed)
    NAME(cudaErrorPeerAccessUnsupported)
    NAME(cudaErrorECCUncorrectable)
    NAME(cudaErrorInvalidResourceHandle)
    NAME(cudaErrorNotReady)
    NAME(cudaErrorLaunchFailure)
    NAME(cudaErrorCooperativeLaunchTooLarge)
    NAME(cudaErrorNotSupported)
    NAME(cudaErrorNoKernelImageForDevice)
    NAME(cudaErrorUnsupportedPtxVersion)
    NAME(cudaErrorMpsConnectionFailed)
    NAME(cudaErrorStreamCaptureUnsupported)
    NAME(cudaErrorStreamCaptureInvalidated)
    NAME(cudaErrorIllegalState)
    NAME(cudaErrorCapturedEvent)
#undef NAME
  default:
    return "cudaErrorUnknown";
  }
}

cudaError_t cudaPeekAtLastError() {
  locked lock(gate);
  return lost_to != cudaSuccess ? lost_to : last;
}

cudaError_t cudaGetLastError() {
  locked lock(gate);
  cudaError_t status = cudaPeekAtLastError();
  last = cudaSuccess;
  return status;
}
