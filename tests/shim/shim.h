/* The host's half of kernels/cuda/dialect.cuh: the same .cu sources compiled by g++, for tests
 * alone. Blocks run one after another in a drawn order, their threads as fibres in a drawn order
 * between barriers, and memory is watched. What goes wrong becomes the launch's error
 * (cudaErrorLaunchFailure) with a text: zh_shim_report. docs/adding-a-gpu-kernel.md has what a
 * kernel's author sees of it. */
#ifndef ZH_TESTS_SHIM_SHIM_H
#define ZH_TESTS_SHIM_SHIM_H

#include <stddef.h>
#include <stdint.h>

/* An address with its bounds is no pointer to g++. */
#undef __restrict__
#define __restrict__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

/* Kernels of one name in two files are two kernels. What they call is inlined, so that two files'
 * functions of one name never become one. */
#define ZH_KERNEL static
#define ZH_DEVICE inline __attribute__((always_inline, unused))

#include "shim_types.h"
#include "shim_runtime.h"
#include "shim_watch.h"
#include "shim_pointers.h"
#include "shim_block.h"
#include "shim_math.h"
#include "shim_atomics.h"
#include "shim_matrix.h"

#define ZH_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
  zh_shim::launch(#kernel, (grid), (block), (shared_bytes), (stream), kernel, ##__VA_ARGS__)
#define ZH_LAUNCH_TOGETHER(kernel, grid, block, shared_bytes, stream, ...)                         \
  zh_shim::launch<true>(#kernel, (grid), (block), (shared_bytes), (stream), kernel, ##__VA_ARGS__)

/* Blocks that wait for those of the same number in other processes. */
#define ZH_LAUNCH_AMONG ZH_LAUNCH_TOGETHER

/* One store a declaration (and instance of a template) and block, as in CUDA. */
#define ZH_SHARED(T, name, count)                                                                  \
  static const char name##_key = 0;                                                                \
  zh_shared<T> name = zh_shim::shared_of<T>(&name##_key, #name, (count))
#define ZH_SHARED_DYNAMIC(name) zh_shared<unsigned char> name = zh_shim::shared_dynamic()

#endif
