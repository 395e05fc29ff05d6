# One file an operator or an idea, compiled by nvcc into libzhiheng-cuda.so and by g++ into tests' libzhiheng-shim.so.
# Files for one instruction set of the GPU alone (wgmma, TMA) stand in CUDA_HOPPER_SOURCES: the shim leaves them out.
set(CUDA_SOURCES table.cu device.cu rows.cu embed.cu norm.cu rope.cu activate.cu logits.cu answer.cu draw.cu sums.cu generate.cu store.cu
  product.cu product_few.cu product_variants.cu product_many.cu product_e4m3.cu product_inputs.cu product_wgmma.cu product_wgmma_e4m3.cu hopper.cu
  product_library.cu cublaslt.cu product_plain.cu route.cu attention.cu attention_few.cu attention_cores.cu
  attention_latent.cu attention_many.cu group.cu group_peer.cu group_among.cu group_nccl.cu persist.cu persist_steps.cu
  limits_table.cu limits_memory.cu limits_peak.cu limits_gemm.cu limits_copy.cu limits_meet.cu ../device_sizes.c)
set(CUDA_HOPPER_SOURCES limits_wgmma.cu)
list(TRANSFORM CUDA_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
list(TRANSFORM CUDA_HOPPER_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
