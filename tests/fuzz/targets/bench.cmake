zh_fuzz_target(suite suite.c zh_bench)
