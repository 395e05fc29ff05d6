zh_unit_test(bench test_engine.c zh_bench)
zh_unit_test(bench test_engine_check.c zh_bench)
# A sanitizer makes them many times slower.
set_tests_properties(bench.test_engine bench.test_engine_check PROPERTIES TIMEOUT 900)
zh_python_test(oracle.engine_types oracle/test_engine_types.py)
zh_python_test(oracle.engine_smollm2 oracle/test_engine_smollm2.py)
