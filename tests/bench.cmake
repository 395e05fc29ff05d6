# The harness: its parts alone, then whole runs that are killed, starved and lied to.
foreach(part suite plan measure journal bundle)
  zh_unit_test(bench test_${part}.c zh_bench)
endforeach()
zh_python_test(bench.resume system/bench_resume.py)
zh_python_test(bench.faults system/bench_faults.py)
foreach(name bench.resume bench.faults)
  set_tests_properties(${name} PROPERTIES LABELS system TIMEOUT 1200)
endforeach()
