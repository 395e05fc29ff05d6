/* Many works in one kernel that stays on the device (kernels/device.h, begin_program). While a program is recorded,
 * the functions that enqueue operators hand their views to zh_record instead of launching a kernel of their own; the
 * same bodies are then called by one kernel, whose blocks all live at once and go through the steps together
 * (persist_steps.cu). A step's tasks are what the blocks of the operator's own kernel would be, in the order of its
 * grid; task t is block t's, modulo the blocks there are.
 *
 * Blocks wait for each other only where a step touches what an earlier one since the last waiting has written, or
 * writes what one has touched. Where both have the same unit of it for each task, the block that does the task has
 * done the earlier one, too, and goes on. */
#ifndef ZH_KERNELS_CUDA_PERSIST_CUH
#define ZH_KERNELS_CUDA_PERSIST_CUH

#include <initializer_list>
#include <string.h>

#include "device.cuh"

enum zh_step_kind {
  ZH_STEP_EMBED,
  ZH_STEP_NORM,
  ZH_STEP_FEW,
  ZH_STEP_PLAIN,
  ZH_STEP_ROPE,
  ZH_STEP_STORE,
  ZH_STEP_PARTS, /* of attention */
  ZH_STEP_MERGE,
  ZH_STEP_ACTIVATE,
  ZH_STEP_ADD,
  ZH_STEP_GATHER,
  ZH_STEP_SLICES,
  ZH_STEP_COMBINE,
  ZH_STEP_ROUTE,
  ZH_STEP_LIST,
  ZH_STEP_SHAPE,
  ZH_STEP_SLICE, /* of logits */
  ZH_STEP_ANSWER,
  ZH_STEP_ADVANCE
};

enum { ZH_STEP_THREADS = 256, ZH_STEP_VIEW = 768, ZH_AHEAD_SIDES = 4 };

/* Weights of a product to come, of which each block asks for the begin of what it will read first. */
struct zh_ahead {
  zh_global<const uint8_t> numbers[ZH_AHEAD_SIDES];
  uint32_t rows[ZH_AHEAD_SIDES], first_tile[ZH_AHEAD_SIDES];
  uint32_t sides, tiles, rows_of_tile, tiles_of_task; /* sides 0: none */
  uint32_t row_bytes, bytes;                          /* bytes: of each row, a multiple of 16 */
};

struct alignas(16) zh_step {
  uint32_t kind, variant;        /* which instance of the body */
  uint32_t tasks, width, height; /* task t is block (t % width, t / width % height, …) of the operator's grid */
  uint32_t meets;                /* whether all blocks wait for each other behind it */
  zh_ahead ahead;                /* what is asked for meanwhile */
  alignas(16) unsigned char view[ZH_STEP_VIEW];
};

/* Memory that a step reads or writes. unit: bytes that task t alone touches, the t-th of them, where there are so many
 * units, and later tasks none; 0: any task may touch all. */
struct zh_touched {
  uintptr_t at;
  size_t bytes, unit;
};

/* Where memory lies, of addresses that the host has and of those that kernels are given alike. */
template <class T> static inline uintptr_t zh_place(const zh_global<T> &p) {
#ifdef __CUDACC__
  return reinterpret_cast<uintptr_t>(p);
#else
  return reinterpret_cast<uintptr_t>(p.at);
#endif
}
static inline zh_touched zh_touch(const void *address, size_t bytes, size_t unit = 0) {
  return {address ? zh_place(zh_at<const uint8_t>(address)) : 0, bytes, unit};
}

static inline zh_touched zh_touch_everything() {
  return {1, UINTPTR_MAX - 1, 0};
}

/* `tokens` rows of `width` floats; a task has `unit` of them, token by token. */
static inline size_t zh_row_bytes(size_t tokens, size_t stride, size_t width) {
  return tokens ? ((tokens - 1) * stride + width) * sizeof(float) : 0;
}
static inline zh_touched zh_touch_rows(const void *address, size_t tokens, size_t stride, size_t width,
                                       size_t unit = 0) {
  bool dense = tokens == 1 || stride == width;
  return zh_touch(address, zh_row_bytes(tokens, stride, width), dense ? unit * sizeof(float) : 0);
}

typedef std::initializer_list<zh_touched> zh_touches;
zh_status zh_record_bytes(zh_device *device, const zh_step &step, size_t shared_bytes, zh_touches writes,
                          zh_touches reads, zh_error *err);
/* A norm of whole rows whose output nothing has changed since, nor its input, where it is exactly what is given. */
struct zh_recorded_norm {
  const unsigned char *view;
  uint32_t variant;
  zh_touched reads;
};
bool zh_find_norm(zh_device *device, zh_recorded_norm *out, const zh_touched &output);
/* Memory of the program for what one step leaves to another. */
void *zh_record_scratch(zh_device *device, size_t *bytes);
/* The last step is a product, and these are its weights. */
void zh_record_ahead(zh_device *device, const zh_ahead &ahead);

/* What a step writes need not stand among what it reads. */
template <class View>
zh_status zh_record(zh_device *device, zh_step_kind kind, unsigned variant, dim3 grid, const View &view,
                    size_t shared_bytes, zh_touches writes, zh_touches reads, zh_error *err) {
  static_assert(sizeof(View) <= ZH_STEP_VIEW && std::is_trivially_copyable_v<View>, "a step's view");
  zh_step step = {};
  step.kind = kind;
  step.variant = variant;
  step.width = grid.x;
  step.height = grid.y;
  step.tasks = grid.x * grid.y * grid.z;
  memcpy(step.view, &view, sizeof view);
  return zh_record_bytes(device, step, shared_bytes, writes, reads, err);
}

/* persist_steps.cu: so many blocks for the steps, which all live at once; 0: none fits. */
cudaError_t zh_steps_blocks(unsigned *out, const zh_device *device, size_t shared_bytes);
void zh_steps_launch(zh_device *device, const void *steps, size_t count, void *word, unsigned blocks,
                     size_t shared_bytes);
/* Of a block: the steps at hand and what bodies need. */
static inline size_t zh_steps_shared(size_t of_bodies) {
  return 2 * sizeof(zh_step) + (of_bodies + 15) / 16 * 16;
}

#endif
