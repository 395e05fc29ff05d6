foreach(source test_base64.c test_csv.c test_digest.c test_files.c test_json.c test_philox.c test_progress.c test_statistics.c
    test_status.c test_template.c test_text.c test_yaml.c)
  zh_unit_test(core ${source} zh_core)
endforeach()

# Renders templates for the oracle that compares with `jinja2`.
add_executable(template_tool oracle/template_tool.c)
target_link_libraries(template_tool PRIVATE zh_core)
set_target_properties(template_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
zh_python_test(oracle.template oracle/test_template.py)
