foreach(reader gguf safetensors tokenizer tokenizer_json tokenizer_model)
  zh_fuzz_target(${reader} ${reader}.c zh_model)
endforeach()
