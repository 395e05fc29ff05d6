# How often the self-check catches faults: a short run here, the whole one by scripts/bench-selfcheck.
add_executable(selfcheck_power power/main.c power/random_model.c)
target_link_libraries(selfcheck_power PRIVATE zh_bench)
set_target_properties(selfcheck_power PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME bench.selfcheck_power COMMAND selfcheck_power --trials 20 --honest 100 --seed 7)
set_tests_properties(bench.selfcheck_power PROPERTIES LABELS system TIMEOUT 900
  ENVIRONMENT_MODIFICATION TMPDIR=set:${ZH_TEST_TEMPORARY})
