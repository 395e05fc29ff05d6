foreach(part gguf safetensors architecture contradictions family tokenizer tokenizer_files pattern standard chat)
  zh_unit_test(model test_${part}.c zh_model)
endforeach()

# Small programs whose answers the Python oracles compare with `tokenizers`, `gguf` and `safetensors`.
foreach(tool tokenize_tool tensor_tool)
  add_executable(${tool} oracle/${tool}.c)
  target_link_libraries(${tool} PRIVATE zh_model)
  set_target_properties(${tool} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endforeach()
zh_python_test(oracle.model_tokenizer oracle/test_model_tokenizer.py)
zh_python_test(oracle.model_tokenizers oracle/test_model_tokenizers.py)

# Rows of weights as makers pack them, against formulas in numpy.
add_executable(coded_tool oracle/coded_tool.c)
target_link_libraries(coded_tool PRIVATE zh_model zh_kernels)
set_target_properties(coded_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
zh_python_test(oracle.packed_weights oracle/test_packed_weights.py)
zh_python_test(oracle.model_gguf oracle/test_model_gguf.py)
zh_python_test(oracle.model_convert oracle/test_model_convert.py)
zh_python_test(oracle.convert_tokenizers oracle/test_convert_tokenizers.py)
zh_python_test(oracle.convert_packed oracle/test_convert_packed.py)
zh_python_test(oracle.model_chat oracle/test_model_chat.py)
