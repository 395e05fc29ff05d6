foreach(reader policy applicant bundle protocol scores results)
  zh_fuzz_target(${reader} ${reader}.c zh_evaluator)
endforeach()
