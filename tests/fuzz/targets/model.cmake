foreach(reader gguf safetensors tokenizer architecture)
  zh_fuzz_target(${reader} ${reader}.c zh_model)
endforeach()
