/* Attention of few tokens: held by how fast keys and values come from memory, nothing rounded.
 *
 * What a token sees is cut into parts, at most 128 and of at least 64 positions; its own length alone decides how, so
 * that other tokens change no bit of it. A block has a part, a token, and four or eight of the query heads of one
 * key head, which all use what it reads once. Tiles of positions come into shared memory by asynchronous copies; each
 * thread compares one position with some of the heads, then has two dimensions of the values for four heads. Parts meet
 * in a second kernel, in order. */
#include "attention_few.cuh"
#include "attention_record.cuh"

using namespace zh_attention_few;

namespace {

enum { THREADS = 128 };

/* Grid: parts, query heads by HEADS (`shares` of a key head), tokens. */
template <int TYPE, int TILE, int HEADS> ZH_KERNEL void attend(view of) {
  ZH_SHARED_DYNAMIC(all);
  attend_part<THREADS, TYPE, TILE, HEADS>(of, blockIdx.y, blockIdx.z, blockIdx.x, all);
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
  if (of.r.all > 48 * 1024) ZH_CUDA(device, zh_cuda_allow_shared(device, kernel), "asking for shared memory");
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

} // namespace

zh_status zh_cuda_attend_few(zh_device *device, const zh_device_attention *w, zh_attention_view *v, zh_error *err) {
  if (w->kv.value_dim > VALUES_MAX)
    return zh_fail(err, ZH_ERR_ARG, "values of %u dimensions are more than this GPU's kernel takes: %d",
                   w->kv.value_dim, VALUES_MAX);
  view of = view_of(v);
  if (device->recording) {
    if (w->kv.type != ZH_DEVICE_KV_F32) return zh_cuda_launched(device, "attention of latents, or of dimensions in no sixteens", err);
    unsigned variant = variant_of(w->kv.type, of.r.tile, of.r.heads);
    zh_status kept = zh_record_parts(device, w, of.v, variant, of.shares, of, of.r.all, err);
    return kept == ZH_OK ? zh_cuda_merge_parts(device, v, err) : kept;
  }
  zh_status status = w->kv.type == ZH_DEVICE_KV_F32    ? launch_type<ZH_DEVICE_KV_F32>(device, of, err)
                     : w->kv.type == ZH_DEVICE_KV_BF16 ? launch_type<ZH_DEVICE_KV_BF16>(device, of, err)
                                                       : launch_type<ZH_DEVICE_KV_E4M3>(device, of, err);
  if (status != ZH_OK) return status;
  return zh_cuda_merge_parts(device, v, err);
}
