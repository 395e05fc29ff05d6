# cmake --install build --prefix DIR: programs, modules, data, manual page, completion. Data keep their places below
# share/zhiheng, so zh_data_path finds them as it does in the source tree.
foreach(program zhiheng zhiheng-rank)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION bin)
  endif()
endforeach()
foreach(module zhiheng-mpi zhiheng-cuda)
  if(TARGET ${module})
    install(TARGETS ${module} LIBRARY DESTINATION lib/zhiheng)
  endif()
endforeach()

foreach(folder bench/suites bench/quality/tasks evaluator/policies reports/templates)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/${folder}/ DESTINATION share/zhiheng/${folder})
endforeach()
install(FILES evaluator/stats/methods.yaml DESTINATION share/zhiheng/evaluator/stats)
install(FILES evaluator/leading/example.yaml DESTINATION share/zhiheng/evaluator/leading)
install(FILES evaluator/registry/published-scores.csv evaluator/registry/models.csv evaluator/registry/README.md
  DESTINATION share/zhiheng/evaluator/registry)
install(FILES bench/quality/made.yaml bench/quality/languages.yaml DESTINATION share/zhiheng/bench/quality)
install(FILES bench/quality/datasets.yaml bench/quality/mbpp_examples.yaml DESTINATION share/zhiheng/bench/quality)
install(FILES model/classes.yaml DESTINATION share/zhiheng/model OPTIONAL)
install(DIRECTORY model/families/ DESTINATION share/zhiheng/model/families)
install(DIRECTORY docs/schemas/ DESTINATION share/zhiheng/schemas)
install(FILES LICENSE README.md README.zh.md CHANGELOG.md docs/metrics.md docs/leading.md docs/compare.md DESTINATION share/doc/zhiheng)
install(FILES completions/zhiheng.bash DESTINATION share/bash-completion/completions RENAME zhiheng)

find_program(SCDOC scdoc)
add_feature_info(manual SCDOC "manual page, by scdoc")
if(SCDOC)
  set(page ${CMAKE_BINARY_DIR}/zhiheng.1)
  add_custom_command(OUTPUT ${page}
    COMMAND sh -c "exec ${SCDOC} <${CMAKE_SOURCE_DIR}/docs/man/zhiheng.1.scd >${page}"
    DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/zhiheng.1.scd VERBATIM)
  add_custom_target(manual ALL DEPENDS ${page})
  install(FILES ${page} DESTINATION share/man/man1)
endif()
