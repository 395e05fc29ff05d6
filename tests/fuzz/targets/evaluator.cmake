foreach(reader policy applicant bundle protocol)
  zh_fuzz_target(${reader} ${reader}.c zh_evaluator)
endforeach()
