# The accelerators' module compiled for the host (tests/shim): libzhiheng-shim.so, which ZH_DEVICE_MODULE names where
# tests run without a GPU. Always optimised, else its fibres take a test's time.
include(${CMAKE_SOURCE_DIR}/kernels/cuda/sources.cmake)
set(SHIM_KERNEL_FLAGS -O2 -Wno-unknown-pragmas -Wno-conversion -Wno-unused-function -Wno-format-truncation)

add_library(zh_shim STATIC shim/block.cc shim/device.cc shim/fibre.cc shim/launch.cc shim/matrix.cc shim/memory.cc
  shim/random.cc shim/report.cc shim/stream.cc shim/warp.cc shim/watch.cc)
target_link_libraries(zh_shim PUBLIC zh_flags)
target_include_directories(zh_shim BEFORE PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/shim)
target_compile_options(zh_shim PRIVATE -O2 PUBLIC -fvisibility=hidden)

add_library(zhiheng-shim MODULE ${CUDA_SOURCES})
# What nvcc does not warn of is no error here either.
set_source_files_properties(${CUDA_SOURCES} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${SHIM_KERNEL_FLAGS}")
target_link_libraries(zhiheng-shim PRIVATE zh_shim zh_kernels zh_core)
target_compile_definitions(zhiheng-shim PRIVATE ZH_CUDA_BACKEND="shim")
target_link_options(zhiheng-shim PRIVATE -Wl,--exclude-libs,ALL -Wl,-z,now)
set(ZH_SHIM_MODULE ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/libzhiheng-shim.so)

add_executable(shim_test_module shim/test_module.c)
target_link_libraries(shim_test_module PRIVATE zh_kernels zh_core m PkgConfig::CMOCKA)
set_target_properties(shim_test_module PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_dependencies(shim_test_module zhiheng-shim)
add_test(NAME shim.module COMMAND shim_test_module)
set_tests_properties(shim.module PROPERTIES TIMEOUT 120 LABELS unit ENVIRONMENT ZH_DEVICE_MODULE=${ZH_SHIM_MODULE})
