/* The inputs of a product of many tokens, rounded to bf16 once for all tiles that read them, and put in the order in
 * which tiles take them: the tokens of each head, or the choices of each expert, behind each other. Rows are as wide as
 * whole steps of 64 columns, zeros at their ends. */
#include "product_many.cuh"

namespace {

enum { THREADS = 256, STEP_COLUMNS = 64 };

size_t rounded_columns(size_t columns) {
  return (columns + STEP_COLUMNS - 1) / STEP_COLUMNS * STEP_COLUMNS;
}

/* Where the row of x begins that row `index` is made of. */
ZH_DEVICE size_t place_of_row(const zh_product_view &v, size_t index) {
  zh_part_of p = {0, v.tokens, 0};
  if (v.kind == ZH_PRODUCT_HEADS) p.part = (uint32_t)(index / v.tokens);
  return zh_place_of_x(v, p, (uint32_t)(v.kind == ZH_PRODUCT_HEADS ? index % v.tokens : index));
}

ZH_KERNEL void round_inputs(zh_product_view v, zh_global<uint16_t> out, uint32_t wide, size_t eights) {
  size_t i = zh_block_begin() + threadIdx.x;
  if (i >= eights) return;
  size_t row = i / (wide / 8);
  if (v.kind == ZH_PRODUCT_GROUPED && row >= v.lists[1 + 2 * v.experts]) return; /* other ranks have these choices */
  uint32_t column = (uint32_t)(i % (wide / 8)) * 8, pair[4];
  float x[8];
  zh_eight_inputs(x, v, place_of_row(v, row), column);
  zh_pairs_of(pair, x);
  zh_store(out, row * wide + column, make_uint4(pair[0], pair[1], pair[2], pair[3]));
}

} // namespace

size_t zh_cuda_input_bytes(size_t count, size_t columns) {
  return count * rounded_columns(columns) * 2;
}

/* A room is kept until the device is closed: graphs may know it. */
static zh_status need_room(zh_device *device, size_t bytes, zh_error *err) {
  void *room = nullptr;
  if (bytes <= device->room_bytes) return ZH_OK;
  ZH_TRY(zh_cuda_alloc(device, &room, bytes, "the inputs of products of many tokens", err));
  device->rooms.push_back(room);
  zh_cuda_lend_product_room(device, room, bytes);
  return ZH_OK;
}

void zh_cuda_lend_product_room(zh_device *device, void *at, size_t bytes) {
  device->room = at;
  device->room_bytes = bytes;
}

zh_status zh_cuda_round_inputs(zh_device *device, const zh_product_view *v, zh_rounded_inputs *out, zh_error *err) {
  out->count = v->kind == ZH_PRODUCT_GROUPED ? (size_t)v->tokens * v->used
               : v->kind == ZH_PRODUCT_HEADS ? (size_t)v->tokens * v->parts
                                             : v->tokens;
  out->columns = rounded_columns(v->columns);
  ZH_TRY(need_room(device, zh_cuda_input_bytes(out->count, v->columns), err));
  out->rows = device->room;
  size_t eights = out->count * (out->columns / 8);
  ZH_LAUNCH(round_inputs, zh_blocks(eights, THREADS), THREADS, 0, device->stream, *v, zh_at<uint16_t>(out->rows),
            (uint32_t)out->columns, eights);
  return zh_cuda_launched(device, "rounding a product's inputs", err);
}
