zh_unit_test(kernels test_convert.c zh_kernels)
zh_unit_test(kernels test_dispatch.c zh_kernels)
zh_unit_test(kernels test_threads.c zh_kernels)
zh_unit_test(kernels test_big_alloc.c zh_kernels)
zh_unit_test(kernels test_device_forms.c zh_kernels zh_core m)

# Each instruction set by itself, as a machine without the better ones would run.
foreach(isa ref portable avx2 avx512 vnni amx none)
  add_test(NAME kernels.dispatch_${isa} COMMAND kernels_test_dispatch)
  set_tests_properties(kernels.dispatch_${isa} PROPERTIES TIMEOUT 120 LABELS unit ENVIRONMENT ZH_CPU=${isa})
endforeach()

add_executable(kernelcheck kernelcheck/main.c kernelcheck/cases.c kernelcheck/check_matmul.c kernelcheck/check_multiply.c
  kernelcheck/check_pack.c kernelcheck/check_small.c kernelcheck/check_attention.c kernelcheck/check_limits.c
  kernelcheck/timing.c kernelcheck/bench_limits.c kernelcheck/bench_matmul.c kernelcheck/bench_attention.c
  kernelcheck/bench_packing.c kernelcheck/bench_simple.c kernelcheck/bench_threads.c kernelcheck/support.c
  kernelcheck/device.c kernelcheck/device_products.c kernelcheck/device_attention.c kernelcheck/device_route.c
  kernelcheck/device_rows.c kernelcheck/device_e4m3.c kernelcheck/device_bench.c
  kernelcheck/device_bench_grouped.c)
target_link_libraries(kernelcheck PRIVATE zh_kernels zh_core)
set_target_properties(kernelcheck PROPERTIES OUTPUT_NAME zhiheng-kernelcheck RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME kernels.kernelcheck COMMAND kernelcheck)
set_tests_properties(kernels.kernelcheck PROPERTIES TIMEOUT 600)

# Operators of accelerators, on the module that is compiled for the host.
add_dependencies(kernelcheck zhiheng-shim)
add_test(NAME kernels.kernelcheck_device COMMAND kernelcheck --device)
# With as much shared memory as Hopper has: its own kernels are played, too.
set_tests_properties(kernels.kernelcheck_device PROPERTIES TIMEOUT 600 ENVIRONMENT
  "ZH_DEVICE_MODULE=${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/libzhiheng-shim.so;ZH_SHIM_SHARED=232448")

# The module for GPUs opens, and says in a sentence where there is none.
if(ZH_CUDA_IS_BUILT)
  add_dependencies(kernelcheck zhiheng-cuda)
  add_test(NAME kernels.cuda_module COMMAND kernelcheck --device --module $<TARGET_FILE:zhiheng-cuda> rows)
  set_tests_properties(kernels.cuda_module PROPERTIES TIMEOUT 120 PASS_REGULAR_EXPRESSION "no GPU is used|[^0-9]0 failed")
  # What the module's code is made of.
  zh_python_test(kernels.cuda_code system/cuda_code.py)
endif()

# Reads weights from stdin; tests/oracle/test_kernels_dequantize.py compares what it writes with PyPI gguf.
add_executable(dequantize_stdin kernelcheck/dequantize_stdin.c)
target_link_libraries(dequantize_stdin PRIVATE zh_kernels zh_core)
set_target_properties(dequantize_stdin PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_executable(quantize_stdin kernelcheck/quantize_stdin.c)
target_link_libraries(quantize_stdin PRIVATE zh_kernels zh_core)
set_target_properties(quantize_stdin PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
zh_python_test(kernels.quantize_oracle oracle/test_kernels_quantize.py)
add_executable(round_stdin kernelcheck/round_stdin.c)
target_link_libraries(round_stdin PRIVATE zh_kernels zh_core)
set_target_properties(round_stdin PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
zh_python_test(oracle.inputs_e4m3 oracle/test_inputs_e4m3.py)
zh_python_test(kernels.dequantize_oracle oracle/test_kernels_dequantize.py)
zh_python_test(kernels.kernelcheck_words oracle/test_kernelcheck.py)

# How soon the unit that multiplies tiles falls asleep (docs/performance.md).
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_executable(tile_sleep_tool oracle/tile_sleep_tool.c)
  target_compile_options(tile_sleep_tool PRIVATE -mamx-tile -mamx-bf16)
  target_link_libraries(tile_sleep_tool PRIVATE zh_kernels zh_core m)
  set_target_properties(tile_sleep_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endif()
