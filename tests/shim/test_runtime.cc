/* The pretended device: work waits until it is waited for, graphs, limits, and losing it. */
#include "try.h"

ZH_KERNEL void add_one(zh_global<int> y) {
  y[threadIdx.x] += 1;
}
ZH_KERNEL void copy_ints(zh_global<int> y, zh_global<const int> x) {
  y[threadIdx.x] = x[threadIdx.x];
}

static void work_is_done_when_it_is_waited_for(void **) {
  cudaStream_t stream = nullptr;
  buffer<int> y(4);
  int before[4] = {1, 2, 3, 4}, after[4] = {0, 0, 0, 0};
  zh_shim_forget(1);
  assert_int_equal(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  assert_int_equal(cudaMemcpyAsync(y.at, before, sizeof before, cudaMemcpyHostToDevice, stream), 0);
  ZH_LAUNCH(add_one, 1, 4, 0, stream, y.to());
  assert_int_equal(cudaMemcpyAsync(after, y.at, sizeof after, cudaMemcpyDeviceToHost, stream), 0);
  assert_int_equal(cudaStreamQuery(stream), cudaErrorNotReady);
  assert_int_equal(after[0], 0);
  before[2] = 70; /* too soon: nobody has waited for the upload */
  assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
  assert_int_equal(after[0], 2);
  assert_int_equal(after[2], 71);
  assert_int_equal(cudaStreamQuery(stream), cudaSuccess);
  assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
}

static void streams_wait_for_events(void **) {
  cudaStream_t a = nullptr, b = nullptr;
  cudaEvent_t done = nullptr, late = nullptr;
  buffer<int> x(8), y(8);
  float ms = -1;
  zh_shim_forget(1);
  assert_int_equal(cudaStreamCreate(&a), cudaSuccess);
  assert_int_equal(cudaStreamCreate(&b), cudaSuccess);
  assert_int_equal(cudaEventCreate(&done), cudaSuccess);
  assert_int_equal(cudaEventCreate(&late), cudaSuccess);
  assert_int_equal(cudaEventElapsedTime(&ms, done, late), cudaErrorInvalidResourceHandle);
  ZH_LAUNCH(add_one, 1, 8, 0, a, x.to());
  assert_int_equal(cudaEventRecord(done, a), cudaSuccess);
  assert_int_equal(cudaStreamWaitEvent(b, done), cudaSuccess);
  ZH_LAUNCH(copy_ints, 1, 8, 0, b, y.to(), x.from());
  assert_int_equal(cudaEventRecord(late, b), cudaSuccess);
  assert_int_equal(cudaEventQuery(done), cudaErrorNotReady);
  assert_int_equal(cudaEventSynchronize(late), cudaSuccess); /* which needs `done` */
  assert_int_equal(cudaEventQuery(done), cudaSuccess);
  assert_int_equal(cudaEventElapsedTime(&ms, done, late), cudaSuccess);
  assert_true(ms > 0 && ms < 1e4);
  assert_int_equal(y.get()[7], 1);
  assert_int_equal(cudaEventDestroy(done), cudaSuccess);
  assert_int_equal(cudaEventDestroy(late), cudaSuccess);
  assert_int_equal(cudaStreamDestroy(a), cudaSuccess);
  assert_int_equal(cudaStreamDestroy(b), cudaSuccess);
}

static void a_graph_keeps_work_instead_of_doing_it(void **) {
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t made = nullptr;
  buffer<int> x(8), y(8);
  zh_shim_forget(1);
  assert_int_equal(cudaStreamCreate(&stream), cudaSuccess);
  assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  ZH_LAUNCH(add_one, 1, 8, 0, stream, x.to());
  assert_int_equal(cudaMemcpyAsync(y.at, x.at, 32, cudaMemcpyDeviceToDevice, stream), cudaSuccess);
  assert_int_equal(cudaMemsetAsync((char *)y.at + 28, 0, 4, stream), cudaSuccess);
  assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  assert_int_equal(cudaGraphInstantiate(&made, graph), cudaSuccess);
  assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
  assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
  assert_int_equal(x.get()[0], 0);
  for (int i = 0; i < 3; i++) assert_int_equal(cudaGraphLaunch(made, stream), cudaSuccess);
  assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
  assert_int_equal(x.get()[7], 3);
  assert_int_equal(y.get()[6], 3);
  assert_int_equal(y.get()[7], 0);
  assert_int_equal(cudaGraphExecDestroy(made), cudaSuccess);
  assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
}

static void a_graph_is_spoiled_by_what_waits(void **) {
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  void *more = nullptr;
  zh_shim_forget(1);
  assert_int_equal(cudaStreamCreate(&stream), cudaSuccess);
  for (int way = 0; way < 3; way++) {
    assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    cudaError_t status = way == 0   ? cudaStreamSynchronize(stream)
                         : way == 1 ? cudaMalloc(&more, 16)
                                    : cudaDeviceSynchronize();
    assert_int_equal(status, cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    assert_null(graph);
  }
  assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  assert_int_equal(cudaMalloc(&more, 16), cudaSuccess);
  assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
  assert_int_equal(cudaFree(more), cudaSuccess);
  assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  assert_int_equal(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
  assert_int_equal(cudaGetLastError(), cudaErrorIllegalState);
  assert_int_equal(cudaGetLastError(), cudaSuccess);
  assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
}

static void a_graph_may_outlive_memory_and_is_found_out(void **) {
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t made = nullptr;
  int *x = nullptr;
  zh_shim_forget(1);
  assert_int_equal(cudaMalloc(&x, 32), cudaSuccess);
  assert_int_equal(cudaStreamCreate(&stream), cudaSuccess);
  assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  ZH_LAUNCH(add_one, 1, 8, 0, stream, zh_at<int>(x));
  assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  assert_int_equal(cudaGraphInstantiate(&made, graph), cudaSuccess);
  assert_int_equal(cudaFree(x), cudaSuccess);
  assert_int_equal(cudaGraphLaunch(made, stream), cudaSuccess);
  assert_int_equal(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
  assert_non_null(strstr(zh_shim_report(), "has been freed"));
  assert_int_equal(cudaGraphExecDestroy(made), cudaSuccess);
  assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
  assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
  zh_shim_forget(1);
}

static void memory_is_as_large_as_was_asked(void **) {
  size_t available = 0, all = 0;
  void *first = nullptr, *second = nullptr;
  zh_shim_forget(1);
  setenv("ZH_SHIM_MEMORY", "1000000", 1);
  assert_int_equal(cudaMalloc(&first, 700000), cudaSuccess);
  assert_int_equal(cudaMemGetInfo(&available, &all), cudaSuccess);
  assert_int_equal(all, 1000000);
  assert_true(available <= 300000 && available > 299000);
  assert_int_equal(cudaMalloc(&second, 300001), cudaErrorMemoryAllocation);
  assert_null(second);
  assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
  assert_int_equal(cudaFree(first), cudaSuccess);
  assert_int_equal(cudaMalloc(&second, 900000), cudaSuccess);
  assert_int_equal(cudaFree(second), cudaSuccess);
  assert_int_equal(cudaFree(second), cudaErrorInvalidValue);
  assert_int_equal(cudaFree(nullptr), cudaSuccess);
  unsetenv("ZH_SHIM_MEMORY");
}

static void fresh_memory_holds_no_numbers(void **) {
  float *x = nullptr, y[4] = {0, 0, 0, 0};
  zh_shim_forget(1);
  assert_int_equal(cudaMalloc(&x, sizeof y), cudaSuccess);
  assert_int_equal((uintptr_t)x % 256, 0);
  assert_int_equal(cudaMemcpy(y, x, sizeof y, cudaMemcpyDeviceToHost), cudaSuccess);
  for (float v : y) assert_true(v != v);
  assert_int_equal(cudaFree(x), cudaSuccess);
}

static void copies_stay_within_their_ends(void **) {
  buffer<int> x(16);
  int host[32] = {0};
  zh_shim_forget(1);
  assert_int_equal(cudaMemcpy(host, x.at, 68, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  assert_non_null(strstr(cudaGetErrorString(cudaErrorInvalidValue), "68 bytes at byte 0"));
  assert_int_equal(cudaMemcpy(x.at, host, 64, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  assert_int_equal(cudaMemcpy(x.at, host, 64, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  assert_int_equal(cudaMemset((char *)x.at + 60, 0, 8), cudaErrorInvalidValue);
  assert_int_equal(cudaMemset((char *)x.at + 60, 0, 4), cudaSuccess);
}

/* What is copied out of a vector, or cleared, by a call without a stream. */
static void streams_of_ones_own_do_not_wait_for_the_default_one(void **) {
  buffer<int> x(4), y(std::vector<int>(4, 1));
  cudaStream_t stream = nullptr;
  int fives[4] = {5, 5, 5, 5};
  zh_shim_forget(1);
  assert_int_equal(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  assert_int_equal(cudaMemcpy(y.at, fives, sizeof fives, cudaMemcpyHostToDevice), cudaSuccess);
  fives[0] = 6; /* it has left the host */
  ZH_LAUNCH(copy_ints, 1, 4, 0, stream, x.to(), y.from());
  assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
  assert_int_equal(x.get()[0], 1);
  assert_int_equal(y.get()[0], 5);
  assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
}

static void who_looks_again_and_again_sees_a_stream_go_on(void **) {
  buffer<int> y(4);
  cudaStream_t stream = nullptr;
  cudaEvent_t first = nullptr;
  int looks = 0;
  zh_shim_forget(1);
  assert_int_equal(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  assert_int_equal(cudaEventCreate(&first), cudaSuccess);
  assert_int_equal(cudaEventRecord(first, stream), cudaSuccess);
  for (int i = 0; i < 3; i++) ZH_LAUNCH(add_one, 1, 4, 0, stream, y.to());
  while (cudaStreamQuery(stream) == cudaErrorNotReady && looks < 100)
    assert_int_equal(cudaEventQuery(first), looks++ > 0 ? cudaSuccess : cudaErrorNotReady);
  assert_int_equal(looks, 5);
  assert_int_equal(cudaGetLastError(), cudaErrorNotReady); /* as CUDA keeps it, too */
  assert_int_equal(y.get()[3], 3);
  assert_int_equal(cudaEventDestroy(first), cudaSuccess);
  assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
}

static void kernels_reach_pinned_memory(void **) {
  buffer<int> x(std::vector<int>(8, 3));
  int *host = nullptr;
  zh_shim_forget(1);
  assert_int_equal(cudaMallocHost((void **)&host, 32), cudaSuccess);
  ZH_LAUNCH(copy_ints, 1, 8, 0, nullptr, zh_at<int>(host), x.from());
  assert_int_equal(cudaStreamSynchronize(nullptr), cudaSuccess);
  assert_int_equal(host[7], 3);
  must_report("copy_ints", "writes 4 bytes at byte 32",
              [&] { ZH_LAUNCH(copy_ints, 1, 8, 0, nullptr, zh_at<int>(host + 1), x.from()); });
  assert_int_equal(cudaFreeHost(host), cudaSuccess);
}

static void a_device_is_lost_in_its_nth_launch(void **) {
  cudaStream_t stream = nullptr;
  buffer<int> y(8);
  zh_shim_forget(1);
  assert_int_equal(cudaStreamCreate(&stream), cudaSuccess);
  setenv("ZH_SHIM_FAIL", "3", 1);
  for (int i = 0; i < 4; i++) ZH_LAUNCH(add_one, 1, 8, 0, stream, y.to());
  assert_int_equal(cudaStreamSynchronize(stream), cudaErrorECCUncorrectable);
  void *more = nullptr;
  assert_int_equal(cudaMalloc(&more, 16), cudaErrorECCUncorrectable);
  assert_int_equal(cudaGetLastError(), cudaErrorECCUncorrectable);
  assert_int_equal(cudaGetLastError(), cudaErrorECCUncorrectable); /* it stays lost */
  unsetenv("ZH_SHIM_FAIL");
  assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
  assert_int_equal(y.get()[0], 2); /* opened anew */
}

static void a_failed_launch_stops_what_follows(void **) {
  cudaStream_t stream = nullptr;
  buffer<int> y(8);
  zh_shim_forget(1);
  assert_int_equal(cudaStreamCreate(&stream), cudaSuccess);
  ZH_LAUNCH(add_one, 1, 9, 0, stream, y.to());
  ZH_LAUNCH(add_one, 1, 8, 0, stream, y.to());
  assert_int_equal(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
  ZH_LAUNCH(add_one, 1, 8, 0, stream, y.to());
  assert_int_equal(cudaGetLastError(), cudaErrorLaunchFailure);
  assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
  zh_shim_forget(1);
  for (int v : y.get()) assert_in_range(v, 0, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(work_is_done_when_it_is_waited_for),
      cmocka_unit_test(streams_wait_for_events),
      cmocka_unit_test(a_graph_keeps_work_instead_of_doing_it),
      cmocka_unit_test(a_graph_is_spoiled_by_what_waits),
      cmocka_unit_test(a_graph_may_outlive_memory_and_is_found_out),
      cmocka_unit_test(memory_is_as_large_as_was_asked),
      cmocka_unit_test(fresh_memory_holds_no_numbers),
      cmocka_unit_test(copies_stay_within_their_ends),
      cmocka_unit_test(streams_of_ones_own_do_not_wait_for_the_default_one),
      cmocka_unit_test(who_looks_again_and_again_sees_a_stream_go_on),
      cmocka_unit_test(kernels_reach_pinned_memory),
      cmocka_unit_test(a_device_is_lost_in_its_nth_launch),
      cmocka_unit_test(a_failed_launch_stops_what_follows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
