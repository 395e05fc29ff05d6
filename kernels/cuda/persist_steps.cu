/* The kernel that goes through a program's steps (persist.cuh). The bodies are those of the operators' own kernels, so
 * that every number is the same. */
#include "activate.cuh"
#include "attention_cores.cuh"
#include "attention_few.cuh"
#include "attention_merge.cuh"
#include "embed.cuh"
#include "logits.cuh"
#include "meeting.cuh"
#include "norm.cuh"
#include "persist.cuh"
#include "product_few.cuh"
#include "product_plain.cuh"
#include "rope.cuh"
#include "route.cuh"
#include "rows.cuh"
#include "store.cuh"

namespace {

enum { THREADS = ZH_STEP_THREADS, BLOCKS_OF_ONE = 2 };

/* What a block needs for a task, and where the task stands in the operator's grid. */
struct place {
  uint32_t x, y, z;
};

/* Shared memory of a block: two steps, the one at hand and the next, then what bodies need. */
typedef zh_shared<unsigned char> bytes;

/* A step without its view. */
struct header {
  uint32_t kind, variant, tasks, width, height, meets;
};

/* do_task(place) for each of this block's tasks. */
template <class Do> ZH_DEVICE void each_task(const header &h, Do do_task) {
  for (uint32_t task = blockIdx.x; task < h.tasks; task += gridDim.x) {
    uint32_t row = task / h.width;
    do_task(place{task % h.width, row % h.height, row / h.height});
    __syncthreads(); /* shared memory is used again */
  }
}

/* from: the product's x, or the same rows in shared memory. */
template <int FORM, class From>
ZH_DEVICE void multiply(const header &h, const zh_few::view &v, const From &from, zh_shared<float> sums) {
  each_task(h, [&](place p) { zh_few::multiply_tiles<FORM, 1, 1>(v, p.x, p.y, from, sums); });
}

template <class From>
ZH_DEVICE void multiply_form(const header &h, const zh_few::view &v, const From &from, zh_shared<float> sums) {
  switch (h.variant) {
  case ZH_FORM_BF16:
    return multiply<ZH_FORM_BF16>(h, v, from, sums);
  case ZH_FORM_E4M3:
    return multiply<ZH_FORM_E4M3>(h, v, from, sums);
  case ZH_FORM_Q8:
    return multiply<ZH_FORM_Q8>(h, v, from, sums);
  case ZH_FORM_Q4:
    return multiply<ZH_FORM_Q4>(h, v, from, sums);
  case ZH_FORM_Q4_1:
    return multiply<ZH_FORM_Q4_1>(h, v, from, sums);
  default:
    return multiply<ZH_FORM_Q4_K>(h, v, from, sums);
  }
}

ZH_DEVICE void norm_for_itself(const zh_product_norm &n, uint32_t token, zh_shared<float> to, zh_shared<float> sums) {
  size_t at = (size_t)token * n.norm.columns;
  if (n.layer)
    zh_norms::norm_row<true>(n.norm, 0, token, to, at, sums);
  else
    zh_norms::norm_row<false>(n.norm, 0, token, to, at, sums);
  __syncthreads();
}

ZH_DEVICE void multiply_any(const header &h, bytes all, size_t at, bytes room) {
  const zh_few::step_view &s = zh_struct_at<zh_few::step_view>(all, at);
  zh_shared<float> sums = zh_part<float>(room, 0, zh_few::SUMS_BYTES / 4);
  if (!s.before.is) return multiply_form(h, s.product, s.product.v.x, sums);
  if (blockIdx.x >= h.tasks) return;
  uint32_t tokens = s.product.v.tokens;
  zh_shared<float> x = zh_part<float>(room, zh_few::SUMS_BYTES, (size_t)tokens * s.product.v.columns);
  for (uint32_t t = 0; t < tokens; ++t) norm_for_itself(s.before, t, x, sums);
  multiply_form(h, s.product, x, sums);
}

template <int FORM> ZH_DEVICE void embed(const header &h, bytes all, size_t at) {
  const zh_embeds::view &v = zh_struct_at<zh_embeds::view>(all, at);
  each_task(h, [&](place p) { zh_embeds::look_up<FORM>(v, p.x, p.y); });
}

ZH_DEVICE void embed_any(const header &h, bytes all, size_t at) {
  switch (h.variant) {
  case ZH_FORM_F32:
    return embed<ZH_FORM_F32>(h, all, at);
  case ZH_FORM_F16:
    return embed<ZH_FORM_F16>(h, all, at);
  case ZH_FORM_BF16:
    return embed<ZH_FORM_BF16>(h, all, at);
  case ZH_FORM_E4M3:
    return embed<ZH_FORM_E4M3>(h, all, at);
  case ZH_FORM_Q8:
    return embed<ZH_FORM_Q8>(h, all, at);
  case ZH_FORM_Q4:
    return embed<ZH_FORM_Q4>(h, all, at);
  case ZH_FORM_Q4_1:
    return embed<ZH_FORM_Q4_1>(h, all, at);
  default:
    return embed<ZH_FORM_Q4_K>(h, all, at);
  }
}

template <int FORM> ZH_DEVICE void multiply_plain(const header &h, bytes all, size_t at) {
  const zh_product_view &v = zh_struct_at<zh_product_view>(all, at);
  each_task(h, [&](place p) { zh_plain::multiply_rows<FORM>(v, p.x, p.y); });
}

template <bool LAYER> ZH_DEVICE void norm(const header &h, bytes all, size_t at, bytes room) {
  const zh_norms::view &v = zh_struct_at<zh_norms::view>(all, at);
  zh_shared<float> sums = zh_part<float>(room, 0, zh_norms::SUMS);
  each_task(h, [&](place p) { zh_norms::norm_in_place<LAYER>(v, p.x, p.y, sums); });
}

ZH_DEVICE void turn(const header &h, bytes all, size_t at, bytes room) {
  enum { MOST = zh_ropes::PAIRS_MAX };
  const zh_ropes::view &v = zh_struct_at<zh_ropes::view>(all, at);
  zh_shared<float> cosine = zh_part<float>(room, 0, MOST), sine = zh_part<float>(room, MOST * sizeof(float), MOST);
  each_task(h, [&](place p) { zh_ropes::turn_heads(v, p.y, p.x, 1, cosine, sine); });
}

template <int TYPE> ZH_DEVICE void store(const header &h, bytes all, size_t at, bytes room) {
  const zh_stores::view &v = zh_struct_at<zh_stores::view>(all, at);
  zh_shared<uint32_t> most = zh_part<uint32_t>(room, 0, zh_stores::WARPS_MAX);
  each_task(h, [&](place p) { zh_stores::store_row<TYPE>(v, p.x, p.y, p.z, most); });
}

ZH_DEVICE void store_any(const header &h, bytes all, size_t at, bytes room) {
  switch (h.variant) {
  case ZH_DEVICE_KV_F32:
    return store<ZH_DEVICE_KV_F32>(h, all, at, room);
  case ZH_DEVICE_KV_BF16:
    return store<ZH_DEVICE_KV_BF16>(h, all, at, room);
  default:
    return store<ZH_DEVICE_KV_E4M3>(h, all, at, room);
  }
}

template <int TYPE, int TILE, int HEADS> ZH_DEVICE void attend(const header &h, bytes all, size_t at, bytes room) {
  const zh_attention_few::view &v = zh_struct_at<zh_attention_few::view>(all, at);
  each_task(h, [&](place p) { zh_attention_few::attend_part<THREADS, TYPE, TILE, HEADS>(v, p.x, p.y, p.z, room); });
}

/* Over f32, where nothing else computes. */
ZH_DEVICE void attend_f32(const header &h, bytes all, size_t at, bytes room) {
  using zh_attention_few::variant_of;
  enum { F32 = ZH_DEVICE_KV_F32, FEW = zh_attention_few::QUAD, MOST = zh_attention_few::MOST_HEADS };
  switch (h.variant) {
  case variant_of(F32, 64, FEW):
    return attend<F32, 64, FEW>(h, all, at, room);
  case variant_of(F32, 64, MOST):
    return attend<F32, 64, MOST>(h, all, at, room);
  case variant_of(F32, 32, FEW):
    return attend<F32, 32, FEW>(h, all, at, room);
  case variant_of(F32, 32, MOST):
    return attend<F32, 32, MOST>(h, all, at, room);
  case variant_of(F32, 16, FEW):
    return attend<F32, 16, FEW>(h, all, at, room);
  default:
    return attend<F32, 16, MOST>(h, all, at, room);
  }
}

template <int TYPE, int SIXTEENS> ZH_DEVICE void attend_cores(const header &h, bytes all, size_t at, bytes room) {
  const zh_attention_cores::view &v = zh_struct_at<zh_attention_cores::view>(all, at);
  each_task(h, [&](place p) { zh_attention_cores::attend_part<TYPE, SIXTEENS>(v, p.x, p.y, p.z, room); });
}

template <int TYPE> ZH_DEVICE bool attend_cores_type(const header &h, bytes all, size_t at, bytes room) {
  using zh_attention_cores::variant_of;
  switch (h.variant) {
  case variant_of(TYPE, 4):
    return attend_cores<TYPE, 4>(h, all, at, room), true;
  case variant_of(TYPE, 8):
    return attend_cores<TYPE, 8>(h, all, at, room), true;
  default:
    return false;
  }
}

ZH_DEVICE void attend_any(const header &h, bytes all, size_t at, bytes room) {
  if (attend_cores_type<ZH_DEVICE_KV_BF16>(h, all, at, room)) return;
  if (attend_cores_type<ZH_DEVICE_KV_E4M3>(h, all, at, room)) return;
  attend_f32(h, all, at, room);
}

ZH_DEVICE void merge(const header &h, bytes all, size_t at, bytes room) {
  const zh_attention_view &v = zh_struct_at<zh_attention_view>(all, at);
  zh_shared<float> factors = zh_part<float>(room, 0, zh_attention_merge::ROOM);
  each_task(h, [&](place p) { zh_attention_merge::merge_parts<THREADS>(v, p.x, p.y, factors); });
}

template <int KIND> ZH_DEVICE void activate(const header &h, bytes all, size_t at) {
  const zh_activations::view &v = zh_struct_at<zh_activations::view>(all, at);
  each_task(h, [&](place p) { zh_activations::activate<KIND>(v, p.x, p.y); });
}

ZH_DEVICE void activate_any(const header &h, bytes all, size_t at) {
  switch (h.variant) {
  case ZH_DEVICE_GELU:
    return activate<ZH_DEVICE_GELU>(h, all, at);
  case ZH_DEVICE_GELU_TANH:
    return activate<ZH_DEVICE_GELU_TANH>(h, all, at);
  case ZH_DEVICE_CLAMPED:
    return activate<ZH_DEVICE_CLAMPED>(h, all, at);
  default:
    return activate<ZH_DEVICE_SILU>(h, all, at);
  }
}

ZH_DEVICE void route(const header &h, bytes all, size_t at, bytes room) {
  const zh_routes::view &v = zh_struct_at<zh_routes::view>(all, at);
  const zh_routes::room r = zh_routes::cut(room);
  each_task(h, [&](place p) {
    if (threadIdx.x < zh_routes::WARP) zh_routes::choose(v, p.x, r);
  });
}

ZH_DEVICE void list(const header &h, bytes all, size_t at, bytes room) {
  const zh_routes::view &v = zh_struct_at<zh_routes::view>(all, at);
  zh_shared<uint32_t> count = zh_part<uint32_t>(room, 0, ZH_DEVICE_EXPERTS_MAX);
  each_task(h, [&](place) { zh_routes::list(v, count); });
}

ZH_DEVICE void answer(const header &h, bytes all, size_t at, bytes room) {
  const zh_answers::sliced_view &v = zh_struct_at<zh_answers::sliced_view>(all, at);
  const zh_answers::room r = {zh_part<uint64_t>(room, 0, THREADS), zh_part<float>(room, THREADS * 8, THREADS),
                              zh_part<uint32_t>(room, THREADS * 12, THREADS),
                              zh_part<uint32_t>(room, THREADS * 16, THREADS)};
  if (h.kind == ZH_STEP_SLICE) return each_task(h, [&](place p) { zh_answers::find_slice<THREADS>(v, p.x, p.y, r); });
  each_task(h, [&](place p) {
    zh_answers::found found = zh_answers::join_slices<THREADS>(v, p.x, r);
    if (threadIdx.x == 0) zh_answers::put_answer(v.of, p.x, found);
  });
}

ZH_DEVICE void change_rows(const header &h, bytes all, size_t at) {
  switch (h.kind) {
  case ZH_STEP_ADD: {
    const zh_rows::sum_view &v = zh_struct_at<zh_rows::sum_view>(all, at);
    return each_task(h, [&](place p) { zh_rows::add(v, p.x); });
  }
  case ZH_STEP_GATHER: {
    const zh_rows::gather_view &v = zh_struct_at<zh_rows::gather_view>(all, at);
    return each_task(h, [&](place p) { zh_rows::gather(v, p.x, p.y); });
  }
  case ZH_STEP_SLICES: {
    const zh_rows::slices_view &v = zh_struct_at<zh_rows::slices_view>(all, at);
    return each_task(h, [&](place p) { zh_rows::copy_slices(v, p.x); });
  }
  case ZH_STEP_COMBINE: {
    const zh_rows::combine_view &v = zh_struct_at<zh_rows::combine_view>(all, at);
    return each_task(h, [&](place p) { zh_rows::combine(v, p.x, p.y); });
  }
  case ZH_STEP_SHAPE: {
    const zh_logits::shape_view &v = zh_struct_at<zh_logits::shape_view>(all, at);
    return each_task(h, [&](place p) { zh_logits::shape(v, p.x); });
  }
  default: { /* ZH_STEP_ADVANCE */
    const zh_rows::positions_view &v = zh_struct_at<zh_rows::positions_view>(all, at);
    return each_task(h, [&](place p) { zh_rows::advance(v, p.x); });
  }
  }
}

/* at: of the step's view in `all`. */
ZH_DEVICE void do_step(const header &h, bytes all, size_t at, bytes room) {
  switch (h.kind) {
  case ZH_STEP_FEW:
    return multiply_any(h, all, at, room);
  case ZH_STEP_PLAIN:
    return h.variant == ZH_FORM_F16 ? multiply_plain<ZH_FORM_F16>(h, all, at) : multiply_plain<ZH_FORM_F32>(h, all, at);
  case ZH_STEP_EMBED:
    return embed_any(h, all, at);
  case ZH_STEP_NORM:
    return h.variant ? norm<true>(h, all, at, room) : norm<false>(h, all, at, room);
  case ZH_STEP_ROPE:
    return turn(h, all, at, room);
  case ZH_STEP_STORE:
    return store_any(h, all, at, room);
  case ZH_STEP_PARTS:
    return attend_any(h, all, at, room);
  case ZH_STEP_MERGE:
    return merge(h, all, at, room);
  case ZH_STEP_ACTIVATE:
    return activate_any(h, all, at);
  case ZH_STEP_ROUTE:
    return route(h, all, at, room);
  case ZH_STEP_LIST:
    return list(h, all, at, room);
  case ZH_STEP_SLICE:
  case ZH_STEP_ANSWER:
    return answer(h, all, at, room);
  default:
    return change_rows(h, all, at);
  }
}

/* --- what goes on meanwhile --- */

/* The next step, into the half of shared memory that is not in use. */
ZH_DEVICE void ask_for_step(bytes all, zh_global<const uint8_t> steps, uint32_t index) {
  for (uint32_t i = threadIdx.x; i < sizeof(zh_step) / 16; i += THREADS)
    zh_copy_async(all, index % 2 * sizeof(zh_step) + 16 * i, steps, index * sizeof(zh_step) + 16 * i, true);
  zh_copies_commit();
}

/* The begin of each row of the first task that this block will have of the next product, by the warps that do not wait:
 * memory has work while blocks meet. */
ZH_DEVICE void ask_for_weights(const zh_ahead &a) {
  if (a.sides == 0 || threadIdx.x < 32) return;
  for (uint32_t i = threadIdx.x - 32; i < a.tiles_of_task * a.rows_of_tile; i += THREADS - 32) {
    uint32_t tile = blockIdx.x * a.tiles_of_task + i / a.rows_of_tile, side = 0;
    if (tile >= a.tiles) break;
    for (uint32_t k = 1; k < a.sides; ++k)
      if (tile >= a.first_tile[k]) side = k;
    uint32_t row = (tile - a.first_tile[side]) * a.rows_of_tile + i % a.rows_of_tile;
    if (row < a.rows[side]) zh_prefetch(a.numbers[side], (size_t)row * a.row_bytes, a.bytes);
  }
}

ZH_KERNEL void __launch_bounds__(THREADS, BLOCKS_OF_ONE)
    go_through(zh_global<const uint8_t> steps, uint32_t count, zh_global<uint32_t> word, uint32_t room_bytes) {
  ZH_SHARED_DYNAMIC(all);
  bytes room = zh_part<unsigned char>(all, 2 * sizeof(zh_step), room_bytes);
  ask_for_step(all, steps, 0);
  zh_copies_wait<0>();
  __syncthreads();
  for (uint32_t i = 0; i < count; ++i) {
    size_t at = i % 2 * sizeof(zh_step);
    const header h = zh_struct_at<header>(all, at);
    if (i + 1 < count) ask_for_step(all, steps, i + 1);
    do_step(h, all, at + offsetof(zh_step, view), room);
    zh_copies_wait<0>();
    if (h.meets) {
      uint32_t before = zh_arrive(word);
      ask_for_weights(zh_struct_at<zh_ahead>(all, at + offsetof(zh_step, ahead)));
      zh_meet(word, before);
    } else {
      __syncthreads();
    }
  }
}

} // namespace

cudaError_t zh_steps_blocks(unsigned *out, const zh_device *device, size_t shared_bytes) {
  int of_one = 0;
  *out = 0;
  cudaError_t status = zh_cuda_allow_shared(device, go_through);
  if (status == cudaSuccess)
    status = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&of_one, go_through, THREADS, shared_bytes);
  if (of_one > BLOCKS_OF_ONE) of_one = BLOCKS_OF_ONE;
  if (status == cudaSuccess) *out = (unsigned)of_one * device->facts.multiprocessors;
  return status;
}

void zh_steps_launch(zh_device *device, const void *steps, size_t count, void *word, unsigned blocks,
                     size_t shared_bytes) {
  ZH_LAUNCH_TOGETHER(go_through, blocks, THREADS, shared_bytes, device->stream, zh_at<const uint8_t>(steps),
                     (uint32_t)count, zh_at<uint32_t>(word), (uint32_t)(shared_bytes - 2 * sizeof(zh_step)));
}
