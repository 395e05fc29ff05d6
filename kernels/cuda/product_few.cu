/* Products of few tokens: held by how fast weights come from memory.
 *
 * A warp has 16 rows of a matrix, or twice as many where several tokens would else be read too often. Four of its
 * threads read 64 bytes of a row together, sixteen each, for two rows; so a warp reads 16 times 64 bytes. The same
 * sixteen bytes are the fragments of mma.m16n8k16, if the columns are counted in the order in which the threads have
 * them; the activations are taken in that order too. The tokens are the eight columns of the tile, so that up to eight
 * cost what one does, and weights pass once for up to 32. Quantised weights are exact integers in bf16, and their
 * scales meet the sum of each block in fp32.
 *
 * The columns of a row are divided over up to eight warps, as many as have work; their sums are added in order. All
 * this depends on the matrix alone, so that a token's bits do not depend on the others. */
#include "product_few.cuh"
#include "persist.cuh"

using namespace zh_few;

namespace {

/* Grid: tiles of rows (WARPS / shares of them a block), parts. */
template <int FORM, int NT, int RT>
ZH_KERNEL void __launch_bounds__(32 * WARPS, RT == 2 ? 1 : NT == 1 ? 3 : 2) few_tokens(view v) {
  ZH_SHARED(float, sums, WARPS *ROWS *RT * 8 * NT);
  multiply_tiles<FORM, NT, RT>(v, blockIdx.x, blockIdx.y, v.v.x, sums);
}

dim3 grid_of(const view &v) {
  uint32_t at_once = WARPS / v.shares;
  return dim3((v.v.tiles + at_once - 1) / at_once, v.v.parts);
}

/* What blocks of a persistent kernel ask for before they may read activations. */
zh_ahead ahead_of(const view &v) {
  enum { BYTES_OF_BLOCK = 32 * 1024 };
  zh_ahead ahead = {};
  const zh_product_view &p = v.v;
  uint32_t row_bytes = p.side[0].w.row_bytes, tiles = WARPS / v.shares, bytes = BYTES_OF_BLOCK / (tiles * ROWS);
  static_assert((int)ZH_AHEAD_SIDES >= (int)ZH_SIDES, "all of a product's matrices");
  if (p.kind != ZH_PRODUCT_WHOLE) return ahead;
  for (uint32_t i = 0; i < p.sides; ++i) {
    ahead.numbers[i] = p.side[i].w.numbers;
    ahead.rows[i] = p.side[i].rows;
    ahead.first_tile[i] = p.side[i].first_tile;
  }
  ahead.sides = p.sides;
  ahead.tiles = p.tiles;
  ahead.rows_of_tile = ROWS;
  ahead.tiles_of_task = tiles;
  ahead.row_bytes = row_bytes;
  ahead.bytes = bytes < row_bytes ? bytes : row_bytes;
  return ahead;
}

/* Where x is what a norm gives, of few numbers, each block makes it for itself, and nobody waits for the norm. */
bool takes_norm(zh_device *device, zh_product_norm *out, const zh_product_view &p, zh_touched *reads) {
  enum { BYTES_MAX = 32 * 1024 };
  zh_recorded_norm found;
  size_t bytes = (size_t)p.tokens * p.columns * sizeof(float);
  if (p.kind != ZH_PRODUCT_WHOLE || p.x_stride != p.columns || bytes > BYTES_MAX) return false;
  if (!zh_find_norm(device, &found, zh_product_reads(p))) return false;
  memcpy(&out->norm, found.view, sizeof out->norm);
  if (out->norm.columns != p.columns || out->norm.y_stride != p.columns) return false;
  out->is = true;
  out->layer = found.variant != 0;
  *reads = found.reads;
  return true;
}

zh_status record(zh_device *device, zh_device_form form, const view &v, zh_error *err) {
  step_view s = {v, {}};
  zh_touched reads = zh_product_reads(v.v);
  size_t shared = SUMS_BYTES;
  if (takes_norm(device, &s.before, v.v, &reads)) shared += (size_t)v.v.tokens * v.v.columns * sizeof(float);
  zh_status status = zh_record(device, ZH_STEP_FEW, form, grid_of(v), s, shared, {zh_product_writes(v.v)},
                               {reads, zh_product_lists(v.v)}, err);
  if (status == ZH_OK) zh_record_ahead(device, ahead_of(v));
  return status;
}

template <int FORM, int NT, int RT> zh_status launch(zh_device *device, zh_product_view *p, zh_error *err) {
  zh_count_tiles(p, ROWS * RT);
  view v = {*p, shares_of<FORM>(p->columns)};
  auto kernel = few_tokens<FORM, NT, RT>;
  ZH_LAUNCH(kernel, grid_of(v), 32 * WARPS, 0, device->stream, v);
  return zh_cuda_launched(device, "a product of few tokens", err);
}

/* Twice as many rows where that leaves work for everyone. Sums of a row and a token are the same in all of these. */
template <int FORM> zh_status launch_form(zh_device *device, zh_product_view *p, zh_error *err) {
  if (device->recording) {
    zh_count_tiles(p, ROWS);
    return record(device, (zh_device_form)FORM, {*p, shares_of<FORM>(p->columns)}, err);
  }
  zh_count_tiles(p, 2 * ROWS);
  bool twice = p->tokens > SOME_TOKENS && (size_t)p->tiles * p->parts >= 2 * (size_t)device->facts.multiprocessors;
  if (p->tokens <= 8) return twice ? launch<FORM, 1, 2>(device, p, err) : launch<FORM, 1, 1>(device, p, err);
  return twice ? launch<FORM, 4, 2>(device, p, err) : launch<FORM, 4, 1>(device, p, err);
}

} // namespace

zh_status zh_cuda_product_few(zh_device *device, zh_product_view *v, zh_device_form form, zh_error *err) {
  switch (form) {
  case ZH_FORM_BF16:
    return launch_form<ZH_FORM_BF16>(device, v, err);
  case ZH_FORM_E4M3:
    return launch_form<ZH_FORM_E4M3>(device, v, err);
  case ZH_FORM_Q8:
    return launch_form<ZH_FORM_Q8>(device, v, err);
  case ZH_FORM_Q4:
    return launch_form<ZH_FORM_Q4>(device, v, err);
  case ZH_FORM_Q4_1:
    return launch_form<ZH_FORM_Q4_1>(device, v, err);
  default:
    return launch_form<ZH_FORM_Q4_K>(device, v, err);
  }
}
