zh_fuzz_target(evaluation evaluation.c zh_reports)
