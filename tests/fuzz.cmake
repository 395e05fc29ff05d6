# Fuzz targets: one program a reader, tests/fuzz/<name>.c, with its seeds in tests/fuzz/corpus/<name>/.
#
# With ZH_FUZZ=ON each is a libFuzzer program (scripts/fuzz runs them). In every other build it is a replay program
# that ctest feeds all seeds and all their beginnings: fuzz.<name>.

# zh_fuzz_target(name source.c library...): source lies in tests/fuzz/.
function(zh_fuzz_target name source)
  set(target fuzz_${name})
  add_executable(${target} fuzz/${source})
  target_link_libraries(${target} PRIVATE ${ARGN})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  if(ZH_FUZZ)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${target} PRIVATE fuzz/replay_main.c)
    add_test(NAME fuzz.${name} COMMAND ${target} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${name})
    set_tests_properties(fuzz.${name} PROPERTIES TIMEOUT 120 LABELS fuzz
      ENVIRONMENT_MODIFICATION TMPDIR=set:${ZH_TEST_TEMPORARY})
  endif()
endfunction()

zh_fuzz_target(yaml yaml.c zh_core)
zh_fuzz_target(json json.c zh_core)
zh_fuzz_target(manifest manifest.c zh_core)
zh_fuzz_target(template template.c zh_core)
zh_fuzz_target(csv csv.c zh_core)

# Other rooms' targets: tests/fuzz/targets/<anything>.cmake, each calling zh_fuzz_target.
file(GLOB fuzz_snippets CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/targets/*.cmake)
foreach(snippet ${fuzz_snippets})
  include(${snippet})
endforeach()
