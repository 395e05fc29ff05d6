/* Attention of few tokens: held by how fast keys and values come from memory, nothing rounded.
 *
 * What a token sees is cut into parts, at most 128 and of at least 64 positions; its own length alone decides how, so
 * that other tokens change no bit of it. A block has a part, a token, and four or eight of the query heads of one
 * key head, which all use what it reads once. Tiles of positions come into shared memory by asynchronous copies; each
 * thread compares one position with some of the heads, then has two dimensions of the values for four heads. Parts meet
 * in a second kernel, in order. */
#include "attention_few.cuh"
#include "persist.cuh"

using namespace zh_attention_few;

namespace {

enum { THREADS = 128 };

/* Grid: parts, query heads by HEADS (`shares` of a key head), tokens. */
template <int TYPE, int TILE, int HEADS> ZH_KERNEL void attend(view of) {
  ZH_SHARED_DYNAMIC(all);
  attend_part<THREADS, TYPE, TILE, HEADS>(of, blockIdx.y, blockIdx.z, blockIdx.x, all);
}

/* Grid: heads, tokens. */
ZH_KERNEL void merge(zh_attention_view v) {
  merge_parts<THREADS>(v, blockIdx.x, blockIdx.y);
}

room room_of(const zh_attention_view *v, uint32_t tile) {
  room r = {};
  r.tile = tile;
  r.heads = v->group <= QUAD ? QUAD : MOST_HEADS;
  r.key_pitch = (uint32_t)v->keys.row_bytes + GAP;
  r.value_pitch = v->latent ? r.key_pitch : (uint32_t)v->values.row_bytes + GAP;
  r.keys = (r.heads * v->keys.dim * 4 + 15) / 16 * 16;
  r.values = v->latent ? r.keys : r.keys + tile * r.key_pitch;
  r.scores = r.values + tile * r.value_pitch;
  r.state = r.scores + r.heads * tile * 4;
  r.all = r.state + 3 * r.heads * 4;
  return r;
}

template <int TYPE, int TILE, int HEADS> zh_status launch(zh_device *device, const view &of, zh_error *err) {
  const zh_attention_view &v = of.v;
  auto kernel = attend<TYPE, TILE, HEADS>;
  if (of.r.all > 48 * 1024)
    ZH_CUDA(device, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)of.r.all),
            "asking for shared memory");
  ZH_LAUNCH(kernel, dim3(v.most_parts, v.keys.kv_heads * of.shares, v.tokens), THREADS, of.r.all, device->stream, of);
  return zh_cuda_launched(device, "attention of few tokens", err);
}

template <int TYPE, int TILE> zh_status launch_tile(zh_device *device, const view &of, zh_error *err) {
  return of.r.heads == QUAD ? launch<TYPE, TILE, QUAD>(device, of, err)
                            : launch<TYPE, TILE, MOST_HEADS>(device, of, err);
}

template <int TYPE> zh_status launch_type(zh_device *device, const view &of, zh_error *err) {
  return of.r.tile == 64   ? launch_tile<TYPE, 64>(device, of, err)
         : of.r.tile == 32 ? launch_tile<TYPE, 32>(device, of, err)
                           : launch_tile<TYPE, 16>(device, of, err);
}

/* The longest tile that leaves room for several blocks. */
view view_of(const zh_attention_view *v) {
  enum { ROOM = 48 * 1024 };
  view of = {*v, room_of(v, 64), 0};
  if (of.r.all > ROOM) of.r = room_of(v, 32);
  if (of.r.all > ROOM) of.r = room_of(v, 16);
  of.shares = (v->group + of.r.heads - 1) / of.r.heads;
  return of;
}

/* Parts come last in the order of tasks, so that those that there are for a context lie in a row. */
zh_status record(zh_device *device, const zh_device_attention *w, const view &of, zh_error *err) {
  const zh_attention_view &v = of.v;
  size_t words = w->tokens * sizeof(uint32_t);
  zh_touched scratch = zh_touch(w->scratch, zh_cuda_few_scratch(w)), position = zh_touch(w->position, words),
             values = {};
  if (w->kv.values) values = zh_touch(w->kv.values, zh_device_kv_bytes(&w->kv, true));
  size_t q = w->heads * w->kv.key_dim, out = w->heads * w->kv.value_dim;
  zh_status status =
      zh_record(device, ZH_STEP_PARTS, variant_of(w->kv.type, of.r.tile, of.r.heads),
                dim3(v.keys.kv_heads * of.shares, v.tokens, v.most_parts), of, of.r.all, {scratch},
                {zh_touch_rows(w->q, w->tokens, q, q), zh_touch(w->kv.keys, zh_device_kv_bytes(&w->kv, false)), values,
                 position, zh_touch(w->sequence, words)},
                err);
  if (status != ZH_OK) return status;
  return zh_record(device, ZH_STEP_MERGE, 0, dim3(v.heads, v.tokens), v, 0,
                   {zh_touch_rows(w->out, w->tokens, out, out)}, {scratch, position}, err);
}

} // namespace

size_t zh_cuda_few_scratch(const zh_device_attention *most) {
  return most->tokens * most->heads * most_parts_of(most->longest, most->window) * (most->kv.value_dim + 2) *
         sizeof(float);
}

zh_status zh_cuda_attend_few(zh_device *device, const zh_device_attention *w, zh_attention_view *v, zh_error *err) {
  if (w->kv.value_dim > VALUES_MAX)
    return zh_fail(err, ZH_ERR_ARG, "values of %u dimensions are more than this GPU's kernel takes: %d",
                   w->kv.value_dim, VALUES_MAX);
  v->most_parts = most_parts_of(w->longest, w->window);
  view of = view_of(v);
  if (device->recording) return record(device, w, of, err);
  zh_status status = w->kv.type == ZH_DEVICE_KV_F32    ? launch_type<ZH_DEVICE_KV_F32>(device, of, err)
                     : w->kv.type == ZH_DEVICE_KV_BF16 ? launch_type<ZH_DEVICE_KV_BF16>(device, of, err)
                                                       : launch_type<ZH_DEVICE_KV_E4M3>(device, of, err);
  if (status != ZH_OK) return status;
  ZH_LAUNCH(merge, dim3(v->heads, v->tokens), THREADS, 0, device->stream, *v);
  return zh_cuda_launched(device, "merging attention", err);
}
