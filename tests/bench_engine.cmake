zh_unit_test(bench test_engine.c zh_bench)
zh_unit_test(bench test_engine_check.c zh_bench)
zh_python_test(oracle.engine_types oracle/test_engine_types.py)
zh_python_test(oracle.engine_smollm2 oracle/test_engine_smollm2.py)
