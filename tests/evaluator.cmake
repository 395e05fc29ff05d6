foreach(source test_exact.c test_policy.c)
  zh_unit_test(evaluator ${source} zh_evaluator)
endforeach()
