/* How the shim's tests launch kernels that are wrong on purpose: in several orders, each of which
 * must find the fault, or find nothing in the kernel that is right. */
#ifndef ZH_TESTS_SHIM_TRY_H
#define ZH_TESTS_SHIM_TRY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <vector>

extern "C" {
#include <cmocka.h>
}

#include "kernels/cuda/dialect.cuh"

enum { SEEDS = 12 };

/* Device memory, with what it holds. */
template <class T> struct buffer {
  T *at = nullptr;
  size_t count;
  explicit buffer(size_t n) : count(n) {
    assert_int_equal(cudaMalloc(&at, n * sizeof(T)), cudaSuccess);
    put(std::vector<T>(n));
  }
  explicit buffer(const std::vector<T> &values) : count(values.size()) {
    assert_int_equal(cudaMalloc(&at, count * sizeof(T)), cudaSuccess);
    put(values);
  }
  buffer(const buffer &) = delete;
  ~buffer() { cudaFree(at); }
  void put(const std::vector<T> &values) {
    assert_int_equal(cudaMemcpy(at, values.data(), count * sizeof(T), cudaMemcpyHostToDevice),
                     cudaSuccess);
    assert_int_equal(cudaStreamSynchronize(nullptr), cudaSuccess);
  }
  std::vector<T> get() const {
    std::vector<T> values(count);
    assert_int_equal(cudaMemcpy(values.data(), at, count * sizeof(T), cudaMemcpyDeviceToHost),
                     cudaSuccess);
    return values;
  }
  zh_global<T> to() const { return zh_at<T>(at); }
  zh_global<const T> from() const { return zh_at<const T>(at); }
};

template <class Launch> void must_report(const char *kernel, const char *text, Launch launch) {
  for (uint64_t seed = 1; seed <= SEEDS; seed++) {
    zh_shim_forget(seed);
    launch();
    assert_int_equal(cudaStreamSynchronize(nullptr), cudaErrorLaunchFailure);
    const char *report = zh_shim_report();
    if (!strstr(report, kernel) || !strstr(report, text))
      fail_msg("wanted '%s' of '%s', got: %s", text, kernel, report);
    assert_non_null(strstr(cudaGetErrorString(cudaErrorLaunchFailure), "block ("));
  }
  zh_shim_forget(1);
}

template <class Launch> void must_pass(Launch launch) {
  for (uint64_t seed = 1; seed <= SEEDS; seed++) {
    zh_shim_forget(seed);
    launch();
    cudaError_t status = cudaStreamSynchronize(nullptr);
    if (status != cudaSuccess || *zh_shim_report())
      fail_msg("%s: %s", cudaGetErrorString(status), zh_shim_report());
    assert_int_equal(cudaGetLastError(), cudaSuccess);
  }
  zh_shim_forget(1);
}

#endif
