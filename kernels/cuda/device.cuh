/* What the module's files share: the device as they see it, and how a failed call becomes a sentence. */
#ifndef ZH_KERNELS_CUDA_DEVICE_CUH
#define ZH_KERNELS_CUDA_DEVICE_CUH

#include <vector>

#include "dialect.cuh"
#include "kernels/device.h"

struct zh_product_variant;  /* product_many.cuh */
struct zh_library_products; /* product_library.cu */

struct zh_device {
  int index;
  cudaStream_t stream;
  zh_device_facts facts;
  const char *marked; /* what is being enqueued: zh_device_api.mark */
  int layer;
  const zh_product_variant *product; /* that was asked for; null: the preferred one */
  void *room; /* of products of many tokens, lent or the last of rooms: product_inputs.cu */
  size_t room_bytes;
  std::vector<void *> rooms;
  zh_library_products *library;
  struct zh_recording *recording; /* between begin_program and end_program: persist.cuh */
  std::vector<cudaEvent_t> recorded; /* that nobody has seen come, in their order; the last so many */
};

/* Either a graph of CUDA's, or a program that one kernel goes through. */
struct zh_device_graph {
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  struct zh_program *program;
};

/* ZH_OK, or a sentence that names the call's purpose, the operator and the layer. */
zh_status zh_cuda_status(const zh_device *device, cudaError_t status, const char *what, zh_error *err);
/* An error of a call whose failure is no news must not be found by the next launch. */
static inline bool zh_cuda_succeeds(cudaError_t status) {
  if (status != cudaSuccess) cudaGetLastError();
  return status == cudaSuccess;
}
/* After a launch. */
zh_status zh_cuda_launched(const zh_device *device, const char *kernel, zh_error *err);

#define ZH_CUDA(device, call, what)                                                                                    \
  do {                                                                                                                 \
    zh_status zh_cuda_failed = zh_cuda_status((device), (call), (what), err);                                          \
    if (zh_cuda_failed != ZH_OK) return zh_cuda_failed;                                                                \
  } while (0)

/* A kernel that declares no shared memory may have as much dynamic one as a block of this device can. The limit is the
 * kernel's, whoever launches it: what one launch needs may be too little for an older program, which needs more. */
template <class... Parameters>
static inline cudaError_t zh_cuda_allow_shared(const zh_device *device, void (*kernel)(Parameters...)) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)device->facts.shared_bytes);
}

/* Tokens, or rows, of one call: grids have them in y or z. */
enum { ZH_MOST_TOKENS = 65535 };
static inline zh_status zh_cuda_fits(const zh_device *device, size_t tokens, zh_error *err) {
  if (tokens <= ZH_MOST_TOKENS) return ZH_OK;
  return zh_fail(err, ZH_ERR_ARG, "GPU %d: a call has %zu tokens, and a grid takes %d of them", device->index, tokens,
                 (int)ZH_MOST_TOKENS);
}

/* Blocks of `threads` for `count` elements. */
static inline unsigned zh_blocks(size_t count, size_t threads) {
  return (unsigned)((count + threads - 1) / threads);
}

/* device.cu */
zh_status zh_cuda_count(int *out, zh_error *err);
zh_status zh_cuda_facts(zh_device_facts *out, int index, zh_error *err);
zh_status zh_cuda_open(zh_device **out, int index, zh_error *err);
void zh_cuda_close(zh_device *device);
zh_status zh_cuda_alloc(zh_device *device, void **out, size_t bytes, const char *what, zh_error *err);
void zh_cuda_release(zh_device *device, void *address);
zh_status zh_cuda_alloc_host(zh_device *device, void **out, size_t bytes, zh_error *err);
void zh_cuda_release_host(zh_device *device, void *address);
zh_status zh_cuda_upload(zh_device *device, void *to, const void *from, size_t bytes, zh_error *err);
zh_status zh_cuda_download(zh_device *device, void *to, const void *from, size_t bytes, zh_error *err);
zh_status zh_cuda_copy(zh_device *device, void *to, const void *from, size_t bytes, zh_error *err);
zh_status zh_cuda_fill(zh_device *device, void *to, uint8_t byte, size_t bytes, zh_error *err);
zh_status zh_cuda_wait(zh_device *device, zh_error *err);
void zh_cuda_mark(zh_device *device, const char *name, int layer);
zh_status zh_cuda_event(zh_device *device, zh_device_event **out, zh_error *err);
void zh_cuda_release_event(zh_device *device, zh_device_event *event);
zh_status zh_cuda_record(zh_device *device, zh_device_event *event, zh_error *err);
/* Whether an event that was recorded has come since the last call. */
bool zh_cuda_goes_on(zh_device *device);
zh_status zh_cuda_elapsed_s(zh_device *device, double *out, zh_device_event *first, zh_device_event *second,
                            zh_error *err);
zh_status zh_cuda_begin_graph(zh_device *device, zh_error *err);
zh_status zh_cuda_end_graph(zh_device *device, zh_device_graph **out, zh_error *err);
zh_status zh_cuda_launch_graph(zh_device *device, zh_device_graph *graph, zh_error *err);
void zh_cuda_release_graph(zh_device *device, zh_device_graph *graph);

/* persist.cu */
zh_status zh_cuda_begin_program(zh_device *device, zh_error *err);
zh_status zh_cuda_end_program(zh_device *device, zh_device_graph **out, zh_error *err);
zh_status zh_program_launch(zh_device *device, const zh_program *program, zh_error *err);
void zh_program_free(zh_program *program);

#ifndef ZH_CUDA_ARCHITECTURES
#define ZH_CUDA_ARCHITECTURES "host"
#endif
/* Whether mma.sync of E4M3 is an instruction of the device: of Ada's, and of consumer Blackwells. Hopper and data-centre
 * Blackwells have units for these numbers that wgmma and tcgen05 alone reach: of mma.sync the compiler makes products
 * of f16 there, added in fp32, by more instructions than bf16 takes. */
static inline bool zh_cuda_has_e4m3_units(const zh_device *device) {
  return (device->facts.major == 8 && device->facts.minor == 9) || device->facts.major >= 12;
}

/* Whether this build has code for the current device (limits_copy.cu, which has the smallest kernel). */
cudaError_t zh_cuda_code_status(void);

/* Operators: each file one; kernels/device.h. */
extern const zh_roundings zh_cuda_rounds;
zh_status zh_cuda_embed(zh_device *device, float *out, const zh_device_matrix *matrix, const uint32_t *id,
                        size_t tokens, float factor, zh_error *err);
zh_status zh_cuda_norm(zh_device *device, const zh_device_norm *work, zh_error *err);
zh_status zh_cuda_product(zh_device *device, const zh_device_product *work, zh_error *err);
zh_status zh_cuda_head_product(zh_device *device, const zh_device_head_product *work, zh_error *err);
zh_status zh_cuda_grouped(zh_device *device, const zh_device_grouped *work, zh_error *err);
/* product_variants.cu */
const char *const *zh_cuda_product_variants(const zh_device *device);
const char *zh_cuda_product_variant(const zh_device *device);
zh_status zh_cuda_choose_product(zh_device *device, const char *name, zh_error *err);
size_t zh_cuda_product_room_bytes(const zh_device *device, size_t inputs, size_t columns);
void zh_cuda_lend_product_room(zh_device *device, void *at, size_t bytes);
zh_roundings zh_cuda_device_rounds(const zh_device *device);
/* product_e4m3.cu: whether the device, and the code for it, multiply E4M3 by mma.sync at all */
bool zh_cuda_has_mma_e4m3(const zh_device *device);
/* product_library.cu */
void zh_cuda_release_library(zh_device *device);
zh_status zh_cuda_rope(zh_device *device, const zh_device_rope *work, zh_error *err);
zh_status zh_cuda_store(zh_device *device, const zh_device_store *work, zh_error *err);
size_t zh_cuda_attention_scratch(const zh_device *device, const zh_device_attention *most);
zh_status zh_cuda_attention(zh_device *device, const zh_device_attention *work, zh_error *err);
zh_status zh_cuda_activate(zh_device *device, const zh_device_activate *work, zh_error *err);
zh_status zh_cuda_add(zh_device *device, float *y, const float *x, float factor, size_t count, zh_error *err);
zh_status zh_cuda_gather(zh_device *device, float *out, const float *x, const uint32_t *row, size_t rows, size_t width,
                         zh_error *err);
zh_status zh_cuda_slices(zh_device *device, const zh_device_slices *work, zh_error *err);
zh_status zh_cuda_shape_logits(zh_device *device, float *z, size_t tokens, size_t vocab, float scale, float cap,
                               zh_error *err);
/* answer.cu */
zh_status zh_cuda_answer(zh_device *device, zh_device_answer *out, uint32_t *chosen, const float *z, size_t tokens,
                         size_t vocab, zh_error *err);
zh_status zh_cuda_scale_columns(zh_device *device, float *z, const float *factor, size_t rows, size_t columns,
                                zh_error *err);
/* draw.cu */
zh_status zh_cuda_draw(zh_device *device, const zh_device_draw *work, zh_error *err);
/* logits.cu */
zh_status zh_cuda_argmax(zh_device *device, uint32_t *out, const float *z, size_t tokens, size_t vocab, zh_error *err);
zh_status zh_cuda_advance(zh_device *device, uint32_t *position, size_t count, zh_error *err);
zh_status zh_cuda_sum_of_bits(zh_device *device, uint64_t *out, const void *words, size_t count, zh_error *err);
zh_status zh_cuda_generate(zh_device *device, const zh_device_matrix *out, uint64_t seed, uint64_t stream,
                           uint64_t first_row, uint64_t first_column, uint64_t whole_columns, float scale,
                           zh_error *err);
zh_status zh_cuda_route(zh_device *device, const zh_device_route *work, zh_error *err);
zh_status zh_cuda_combine(zh_device *device, const zh_device_combine *work, zh_error *err);

#endif
