/* The limits' part of the module's table. */
#include "limits.cuh"

static zh_device_limits make_limits() {
  zh_device_limits t = {};
  t.spread = zh_cuda_spread;
  t.traffic = zh_cuda_traffic;
  t.peaks = zh_cuda_peaks;
  t.peak = zh_cuda_peak;
  t.gemm_choose = zh_cuda_gemm_choose;
  t.gemm = zh_cuda_gemm;
  t.release_gemm = zh_cuda_release_gemm;
  t.gemm_library = zh_cuda_gemm_library;
  t.copies = zh_cuda_copies;
  t.peers = zh_cuda_peers;
  t.empty = zh_cuda_empty;
  t.meetings = zh_cuda_meetings;
  return t;
}

const zh_device_limits zh_cuda_limits = make_limits();
