foreach(source test_exact.c test_policy.c test_audit.c test_evaluate.c)
  zh_unit_test(evaluator ${source} zh_evaluator)
endforeach()
zh_python_test(evaluator.golden golden/evaluations.py)
