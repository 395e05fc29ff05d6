/* The inputs of a product of many tokens, rounded once for all tiles that read them, to bf16 or E4M3, and put in the
 * order in which tiles take them: the tokens of each head, or the choices of each expert, behind each other. Rows are as
 * wide as whole steps of 128 bytes, zeros at their ends. */
#include "product_many.cuh"

namespace {

enum { THREADS = 256, STEP_COLUMNS = 64, GROUP = ZH_E4M3_GROUP, GROUP_THREADS = GROUP / 8, ALIGNMENT = 256 };

size_t rounded_up(size_t n, size_t unit) {
  return (n + unit - 1) / unit * unit;
}

size_t count_of(const zh_product_view *v) {
  if (v->kind == ZH_PRODUCT_GROUPED) return (size_t)v->tokens * v->used;
  return v->kind == ZH_PRODUCT_HEADS ? (size_t)v->tokens * v->parts : v->tokens;
}

/* Where the row of x begins that row `index` is made of. */
ZH_DEVICE size_t place_of_row(const zh_product_view &v, size_t index) {
  zh_part_of p = {0, v.tokens, 0};
  if (v.kind == ZH_PRODUCT_HEADS) p.part = (uint32_t)(index / v.tokens);
  return zh_place_of_x(v, p, (uint32_t)(v.kind == ZH_PRODUCT_HEADS ? index % v.tokens : index));
}

/* Behind the lists' end are choices that other ranks have. */
ZH_DEVICE bool is_listed(const zh_product_view &v, size_t index) {
  return v.kind != ZH_PRODUCT_GROUPED || index < v.lists[1 + 2 * v.experts];
}

ZH_KERNEL void round_inputs(zh_product_view v, zh_global<uint16_t> out, uint32_t wide, size_t eights) {
  size_t i = zh_block_begin() + threadIdx.x;
  if (i >= eights) return;
  size_t row = i / (wide / 8);
  if (!is_listed(v, row)) return;
  uint32_t column = (uint32_t)(i % (wide / 8)) * 8, pair[4];
  float x[8];
  zh_eight_inputs(x, v, place_of_row(v, row), column);
  zh_pairs_of(pair, x);
  zh_store(out, row * wide + column, make_uint4(pair[0], pair[1], pair[2], pair[3]));
}

/* The bits of the largest magnitude of a group, NaN above all: sixteen threads have eight numbers each. */
ZH_DEVICE uint32_t largest_of_group(const float (&x)[8]) {
  uint32_t most = 0;
  for (uint32_t i = 0; i < 8; ++i) most = max(most, zh_bits(x[i]) & 0x7FFFFFFFu);
  for (int step = GROUP_THREADS / 2; step > 0; step /= 2) most = max(most, __shfl_xor_sync(0xFFFFFFFFu, most, step));
  return most;
}

/* scales: [groups][count], so that the tokens of a tile have theirs beside each other. */
ZH_KERNEL void round_to_e4m3(zh_product_view v, zh_global<uint8_t> out, zh_global<float> scales, uint32_t wide,
                             size_t count) {
  size_t all = count * (wide / 8), i = zh_block_begin() + threadIdx.x, mine = i < all ? i : all - 1;
  size_t row = mine / (wide / 8);
  uint32_t column = (uint32_t)(mine % (wide / 8)) * 8, word[2];
  float x[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  bool listed = is_listed(v, row);
  if (listed) zh_eight_inputs(x, v, place_of_row(v, row), column);
  float scale = zh_e4m3_scale(largest_of_group(x));
  for (uint32_t k = 0; k < 8; ++k) x[k] = scale == 0.0f ? 0.0f : x[k] / scale;
  for (uint32_t h = 0; h < 2; ++h)
    word[h] = zh_e4m3_pair_of(x[4 * h], x[4 * h + 1]) | zh_e4m3_pair_of(x[4 * h + 2], x[4 * h + 3]) << 16;
  if (i >= all || !listed) return;
  zh_store(out, row * wide + column, make_uint2(word[0], word[1]));
  if (column % GROUP == 0) scales[column / GROUP * count + row] = scale;
}

} // namespace

size_t zh_cuda_input_bytes(size_t count, size_t columns) {
  return count * rounded_up(columns, STEP_COLUMNS) * 2;
}

/* Numbers, then scales. */
size_t zh_cuda_e4m3_bytes(size_t count, size_t columns) {
  size_t wide = rounded_up(columns, GROUP);
  return rounded_up(count * wide, ALIGNMENT) + wide / GROUP * count * sizeof(float);
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
  out->count = count_of(v);
  out->columns = rounded_up(v->columns, STEP_COLUMNS);
  ZH_TRY(need_room(device, zh_cuda_input_bytes(out->count, v->columns), err));
  out->rows = device->room;
  size_t eights = out->count * (out->columns / 8);
  ZH_LAUNCH(round_inputs, zh_blocks(eights, THREADS), THREADS, 0, device->stream, *v, zh_at<uint16_t>(out->rows),
            (uint32_t)out->columns, eights);
  return zh_cuda_launched(device, "rounding a product's inputs", err);
}

zh_status zh_cuda_round_to_e4m3(zh_device *device, const zh_product_view *v, zh_e4m3_inputs *out, zh_error *err) {
  out->count = count_of(v);
  out->columns = rounded_up(v->columns, GROUP);
  ZH_TRY(need_room(device, zh_cuda_e4m3_bytes(out->count, v->columns), err));
  out->numbers = device->room;
  out->scales = static_cast<char *>(device->room) + rounded_up(out->count * out->columns, ALIGNMENT);
  ZH_LAUNCH(round_to_e4m3, zh_blocks(out->count * (out->columns / 8), THREADS), THREADS, 0, device->stream, *v,
            zh_at<uint8_t>(out->numbers), zh_at<float>(out->scales), (uint32_t)out->columns, out->count);
  return zh_cuda_launched(device, "rounding a product's inputs to E4M3", err);
}
