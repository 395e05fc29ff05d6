foreach(reader policy applicant bundle)
  zh_fuzz_target(${reader} ${reader}.c zh_evaluator)
endforeach()
