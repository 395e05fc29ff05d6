zh_fuzz_target(gguf gguf.c zh_model zh_kernels)
foreach(reader safetensors packed tokenizer tokenizer_json tokenizer_model architecture)
  zh_fuzz_target(${reader} ${reader}.c zh_model)
endforeach()
