foreach(reader gguf safetensors tokenizer)
  zh_fuzz_target(${reader} ${reader}.c zh_model)
endforeach()
