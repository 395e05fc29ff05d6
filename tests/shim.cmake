# The accelerators' module compiled for the host (tests/shim): libzhiheng-shim.so, which ZH_DEVICE_MODULE names where
# tests run without a GPU. Always optimised, else its fibres take a test's time.
include(${CMAKE_SOURCE_DIR}/kernels/cuda/sources.cmake)
# What nvcc does not warn of is no error here either; and as there, nothing is fused that is not written so.
set(SHIM_KERNEL_FLAGS -O2 -ffp-contract=off -Wno-unknown-pragmas -Wno-conversion -Wno-extra -Wno-unused-function
  $<$<CXX_COMPILER_ID:GNU>:-Wno-format-truncation>)

add_library(zh_shim STATIC shim/block.cc shim/blocks.cc shim/device.cc shim/errors.cc shim/fibre.cc shim/harm.cc shim/hopper.cc
  shim/launch.cc shim/matrix.cc shim/memory.cc shim/processes.cc shim/random.cc shim/report.cc shim/stream.cc shim/warp.cc shim/watch.cc)
target_link_libraries(zh_shim PUBLIC zh_flags)
target_include_directories(zh_shim BEFORE PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/shim)
target_compile_options(zh_shim PRIVATE -O3 PUBLIC -fvisibility=hidden)

add_library(zhiheng-shim MODULE ${CUDA_SOURCES})
set(SHIM_KERNELS ${CUDA_SOURCES})
list(FILTER SHIM_KERNELS INCLUDE REGEX "\\.cu$")
set_source_files_properties(${SHIM_KERNELS} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${SHIM_KERNEL_FLAGS}")
target_link_libraries(zhiheng-shim PRIVATE zh_shim zh_kernels zh_core)
target_compile_definitions(zhiheng-shim PRIVATE ZH_CUDA_BACKEND="shim")
target_link_options(zhiheng-shim PRIVATE -Wl,--exclude-libs,libzh_core.a:libzh_kernels.a -Wl,-z,now)
set(ZH_SHIM_MODULE ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/libzhiheng-shim.so)

# zh_shim_test(file library…): tests/shim/<file>, named shim.<what> in ctest.
function(zh_shim_test source)
  get_filename_component(stem ${source} NAME_WE)
  string(REPLACE "test_" "" what ${stem})
  add_executable(shim_${stem} shim/${source})
  target_link_libraries(shim_${stem} PRIVATE ${ARGN} PkgConfig::CMOCKA)
  set_target_properties(shim_${stem} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME shim.${what} COMMAND shim_${stem})
  set_tests_properties(shim.${what} PROPERTIES TIMEOUT 120 LABELS unit)
endfunction()

set(SHIM_TESTS test_e4m3.cc test_hopper.cc test_matrix.cc test_memory.cc test_processes.cc test_runtime.cc test_threads.cc
  test_together.cc)
list(TRANSFORM SHIM_TESTS PREPEND shim/ OUTPUT_VARIABLE SHIM_TEST_FILES)
set_source_files_properties(${SHIM_TEST_FILES} PROPERTIES COMPILE_OPTIONS "${SHIM_KERNEL_FLAGS}")
foreach(source ${SHIM_TESTS})
  zh_shim_test(${source} zh_shim zh_kernels zh_core m)
endforeach()
zh_shim_test(test_module.c zh_kernels zh_core m)
add_dependencies(shim_test_module zhiheng-shim)
set_tests_properties(shim.module PROPERTIES ENVIRONMENT ZH_DEVICE_MODULE=${ZH_SHIM_MODULE})
zh_shim_test(test_products.c zh_kernels zh_core m)
add_dependencies(shim_test_products zhiheng-shim fake_cublaslt)
set_tests_properties(shim.products PROPERTIES ENVIRONMENT
  "ZH_DEVICE_MODULE=${ZH_SHIM_MODULE};ZH_CUBLASLT=${CMAKE_BINARY_DIR}/tests/fake_cublaslt.so")

# What a launch takes under the shim (docs/adding-a-gpu-kernel.md).
add_executable(shim_launch_time shim/launch_time.cc)
set_source_files_properties(shim/launch_time.cc PROPERTIES COMPILE_OPTIONS "${SHIM_KERNEL_FLAGS}")
target_link_libraries(shim_launch_time PRIVATE zh_shim)
set_target_properties(shim_launch_time PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

# Groups of GPUs: ranks under mpirun, each with the shim's device (system/shim_groups.py).
if(ZH_ENABLE_MPI)
  add_executable(group_ranks shim/group_ranks.c)
  target_link_libraries(group_ranks PRIVATE zh_bench ${CMAKE_DL_LIBS})
  set_target_properties(group_ranks PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  zh_python_test(shim.groups system/shim_groups.py)
  set_tests_properties(shim.groups PROPERTIES LABELS system TIMEOUT 300)
endif()
