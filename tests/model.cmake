# Reads texts, writes tokens: what test_model_tokenizer.py compares with `tokenizers`.
add_executable(tokenize_tool oracle/tokenize_tool.c)
target_link_libraries(tokenize_tool PRIVATE zh_model)
set_target_properties(tokenize_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
zh_python_test(oracle.model_tokenizer oracle/test_model_tokenizer.py)
foreach(part gguf standard)
  zh_unit_test(model test_${part}.c zh_model)
  target_include_directories(model_test_${part} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/model)
endforeach()
