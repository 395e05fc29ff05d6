zh_fuzz_target(suite suite.c zh_bench)
# The model: 1 layer of width 32 in Q8_0, random, by tests/oracle/test_engine_types.py.
zh_fuzz_target(certificate certificate.c zh_bench)
target_compile_definitions(fuzz_certificate PRIVATE ZH_FUZZ_MODEL="${CMAKE_CURRENT_SOURCE_DIR}/fuzz/tiny.gguf")
zh_fuzz_target(parquet parquet.c zh_bench)
zh_fuzz_target(task task.c zh_bench)
