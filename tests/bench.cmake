# The harness: its parts alone, then whole runs that are killed, starved and lied to.
foreach(part suite plan measure journal bundle placement)
  zh_unit_test(bench test_${part}.c zh_bench)
endforeach()
zh_python_test(bench.resume system/bench_resume.py)
zh_python_test(bench.faults system/bench_faults.py)
zh_python_test(bench.certificate system/bench_certificate.py)
zh_python_test(bench.chain system/bench_chain.py)
zh_python_test(bench.device system/bench_device.py)
foreach(name bench.resume bench.faults bench.certificate bench.chain bench.device)
  set_tests_properties(${name} PROPERTIES LABELS system TIMEOUT 1200)
endforeach()

# Quality tasks: against Python itself, and against what lm-evaluation-harness answered (golden/quality).
add_executable(quality_tool oracle/quality_tool.c)
target_link_libraries(quality_tool PRIVATE zh_bench)
set_target_properties(quality_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
zh_python_test(oracle.quality_parts oracle/test_quality_parts.py)
zh_python_test(oracle.quality oracle/test_quality.py)
# Made items and Parquet: against Python's own answers, and tables that other writers made.
add_executable(made_tool oracle/made_tool.c)
target_link_libraries(made_tool PRIVATE zh_bench)
set_target_properties(made_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
zh_python_test(oracle.made oracle/test_made.py)
