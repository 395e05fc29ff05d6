zh_unit_test(bench test_engine.c zh_bench)
zh_unit_test(bench test_engine_check.c zh_bench)
zh_unit_test(bench test_engine_families.c zh_bench)
zh_unit_test(bench test_check_whole.c zh_bench)
zh_unit_test(bench test_engine_device.c zh_bench)
zh_unit_test(bench test_engine_device_ranks.c zh_bench)
zh_unit_test(bench test_engine_ranks.c zh_bench)
zh_unit_test(bench test_device_word.c zh_bench)
foreach(part engine_device engine_device_ranks device_word)
  add_dependencies(bench_test_${part} zhiheng-shim)
  set_tests_properties(bench.test_${part} PROPERTIES TIMEOUT 600 ENVIRONMENT ZH_DEVICE_MODULE=${ZH_SHIM_MODULE})
endforeach()
set_tests_properties(bench.test_engine_device_ranks PROPERTIES ENVIRONMENT
  "ZH_DEVICE_MODULE=${ZH_SHIM_MODULE};ZH_SHIM_DEVICES=4")
# Once more with blocks that have as much shared memory as Hopper's: its products are played.
add_test(NAME bench.engine_device_hopper COMMAND bench_test_engine_device)
set_tests_properties(bench.engine_device_hopper PROPERTIES TIMEOUT 600 LABELS unit ENVIRONMENT
  "ZH_DEVICE_MODULE=${ZH_SHIM_MODULE};ZH_SHIM_SHARED=232448")
zh_unit_test(bench test_split.c zh_bench)
zh_unit_test(bench test_together.c zh_bench)
zh_unit_test(bench test_engine_batch.c zh_bench)
zh_unit_test(bench test_engine_allocations.c zh_bench)
zh_unit_test(bench test_engine_spent.c zh_bench)
zh_unit_test(bench test_footprint.c zh_bench)
zh_unit_test(bench test_route.c zh_bench)
zh_unit_test(bench test_packed_cache.c zh_bench)
# A sanitizer makes them many times slower.
set_tests_properties(bench.test_engine bench.test_engine_check bench.test_engine_batch PROPERTIES TIMEOUT 900)
zh_python_test(oracle.engine_types oracle/test_engine_types.py)
zh_python_test(oracle.engine_smollm2 oracle/test_engine_smollm2.py)
zh_python_test(oracle.engine_gemma3 oracle/test_engine_gemma3.py -rs)
set_tests_properties(oracle.engine_gemma3 PROPERTIES SKIP_REGULAR_EXPRESSION "Gemma 3 is not here")

# Each family's small model, against what its own code answered (tests/golden/families).
add_executable(families_tool oracle/families_tool.c)
target_link_libraries(families_tool PRIVATE zh_bench)
set_target_properties(families_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
zh_python_test(oracle.families oracle/test_families.py)
zh_python_test(oracle.latent oracle/test_latent.py)

# Probes, one by one, for the oracle that changes the same scalar in numpy.
add_executable(liveness_tool oracle/liveness_tool.c)
target_link_libraries(liveness_tool PRIVATE zh_bench)
set_target_properties(liveness_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
zh_unit_test(bench test_liveness.c zh_bench)
zh_python_test(oracle.liveness oracle/test_liveness.py)
set_tests_properties(oracle.liveness PROPERTIES TIMEOUT 1800)

# One model over several ranks, against the same on one.
add_executable(split_tool oracle/split_tool.c)
target_link_libraries(split_tool PRIVATE zh_bench)
set_target_properties(split_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_executable(sum_tool oracle/sum_tool.c)
target_link_libraries(sum_tool PRIVATE zh_bench)
set_target_properties(sum_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
zh_python_test(bench.tensor_parallel system/bench_tensor_parallel.py)
set_tests_properties(bench.tensor_parallel PROPERTIES LABELS system TIMEOUT 1800)
zh_python_test(bench.pipeline system/bench_pipeline.py)
set_tests_properties(bench.pipeline PROPERTIES LABELS system TIMEOUT 1800)
zh_python_test(bench.placement system/bench_placement.py)
set_tests_properties(bench.placement PROPERTIES LABELS system TIMEOUT 1200)

# What the engine's counters cost a decode step; also a tool: counter_tool MODEL THREADS ROUNDS.
add_executable(counter_tool oracle/counter_tool.c)
target_link_libraries(counter_tool PRIVATE zh_bench)
set_target_properties(counter_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
zh_python_test(bench.counters system/bench_counters.py)
set_tests_properties(bench.counters PROPERTIES LABELS system TIMEOUT 600)

# What keys and values in pages would cost (docs/performance.md): kv_layout_tool DEPTH LAYERS KEY_WIDTH ROUNDS.
add_executable(kv_layout_tool oracle/kv_layout_tool.c)
target_link_libraries(kv_layout_tool PRIVATE zh_kernels zh_core m)
set_target_properties(kv_layout_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME bench.kv_layout COMMAND kv_layout_tool 512 3 64 2)
