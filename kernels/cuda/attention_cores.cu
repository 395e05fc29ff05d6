/* Attention of few tokens by tensor cores, nothing rounded: what a product takes is bf16, and a query, or a weight of a
 * value, is the sum of three of them (8 bits of it each), keys and values are one. Held by how fast these come from
 * memory: for bf16 the products are, by count, a fifth of what mma.sync could do meanwhile.
 *
 * A block has a part of the positions that a token sees, and up to eight query heads of a key head. Of each 64
 * positions a warp has sixteen, which it alone copies to shared memory, while it computes with earlier ones: warps meet
 * at the end only. Positions are the rows of the products of queries, dimensions those of the products of weights, heads
 * the columns of both: scores and sums of a head stand in the same threads, and what is kept of a warp's sums is small.
 * Weights go to other threads once, between the two.
 *
 * Under way at 128 dimensions of bf16: three blocks on a multiprocessor, each with a stage of 32 KiB or two, 96 KiB and
 * more, where 4.8 TB/s at 800 ns over 132 of them want 29. */
#include "attention_cores.cuh"
#include "attention_record.cuh"

using namespace zh_attention_cores;

namespace {

/* Grid: parts, query heads by HEADS (`shares` of a key head), tokens. */
template <int TYPE, int SIXTEENS> ZH_KERNEL void __launch_bounds__(THREADS) attend(view of) {
  ZH_SHARED_DYNAMIC(all);
  attend_part<TYPE, SIXTEENS>(of, blockIdx.y, blockIdx.z, blockIdx.x, all);
}

room room_of(const zh_attention_view *v, uint32_t stages) {
  room r = {};
  r.stages = stages;
  r.key_pitch = zh_kv_pitch(v->keys);
  r.value_pitch = zh_kv_pitch(v->values);
  r.key_reciprocal = zh_reciprocal(v->keys);
  r.value_reciprocal = zh_reciprocal(v->values);
  r.values = ROWS * r.key_pitch;
  r.stage = r.values + ROWS * r.value_pitch;
  r.sum_pitch = v->values.dim + GAP;
  r.first_stage = v->keys.dim / 16 * STEP_WORDS * 4;
  uint32_t sums = WARPS * HEADS * r.sum_pitch * 4, stages_bytes = WARPS * r.stages * r.stage;
  r.state = r.first_stage + (stages_bytes > sums ? stages_bytes : sums);
  r.all = r.state + 2 * WARPS * HEADS * 4;
  return r;
}

/* Two stages where there is room at all, and more where several blocks still have it. */
room room_for(const zh_device *device, const zh_attention_view *v) {
  room r = room_of(v, 1), more = room_of(v, 2);
  if (more.all > device->facts.shared_bytes) return r;
  for (uint32_t stages = 3; stages <= MOST_STAGES + 1; ++stages) {
    r = more;
    more = room_of(v, stages);
    if (more.all > ROOM || more.all > device->facts.shared_bytes) break;
  }
  return r;
}

uint32_t shares_of(const zh_device_attention *w) {
  return (uint32_t)((w->heads / w->kv.kv_heads + HEADS - 1) / HEADS);
}

template <int TYPE, int SIXTEENS> zh_status launch(zh_device *device, const view &of, zh_error *err) {
  const zh_attention_view &v = of.v;
  auto kernel = attend<TYPE, SIXTEENS>;
  if (of.r.all > 48 * 1024) ZH_CUDA(device, zh_cuda_allow_shared(device, kernel), "asking for shared memory");
  ZH_LAUNCH(kernel, dim3(v.most_parts, v.keys.kv_heads * of.shares, v.tokens), THREADS, of.r.all, device->stream, of);
  return zh_cuda_launched(device, "attention of few tokens by tensor cores", err);
}

template <int TYPE> zh_status launch_dims(zh_device *device, const view &of, zh_error *err) {
  unsigned sixteens = sixteens_of(of.v.values.dim);
  if (sixteens == 4) return launch<TYPE, 4>(device, of, err);
  if (sixteens == 8) return launch<TYPE, 8>(device, of, err);
  return launch<TYPE, DIMS_MAX / 16>(device, of, err);
}

/* More dimensions than PROGRAM_DIMS want more registers than a program's blocks have: a graph does those. */
zh_status record(zh_device *device, const zh_device_attention *w, const view &of, zh_error *err) {
  if (of.v.values.dim > PROGRAM_DIMS) return zh_cuda_launched(device, "attention of so many dimensions", err);
  return zh_record_parts(device, w, of.v, variant_of(w->kv.type, sixteens_of(of.v.values.dim)), of.shares, of, of.r.all,
                         err);
}

zh_status attend_all(zh_device *device, const zh_device_attention *w, const view &of, zh_error *err) {
  if (device->recording) return record(device, w, of, err);
  return w->kv.type == ZH_DEVICE_KV_BF16 ? launch_dims<ZH_DEVICE_KV_BF16>(device, of, err)
                                         : launch_dims<ZH_DEVICE_KV_E4M3>(device, of, err);
}

} // namespace

bool zh_cuda_cores_can(const zh_device_attention *w) {
  const zh_device_kv *kv = &w->kv;
  return kv->type != ZH_DEVICE_KV_F32 && kv->values && kv->key_dim % 16 == 0 && kv->value_dim % 16 == 0 &&
         kv->key_dim > 0 && kv->value_dim > 0 && kv->key_dim <= DIMS_MAX && kv->value_dim <= DIMS_MAX;
}

uint32_t zh_cuda_cores_blocks(const zh_device_attention *w) {
  return w->kv.kv_heads * shares_of(w);
}

zh_status zh_cuda_attend_cores(zh_device *device, const zh_device_attention *w, zh_attention_view *v, zh_error *err) {
  view of = {*v, room_for(device, v), shares_of(w)};
  zh_status status = attend_all(device, w, of, err);
  return status == ZH_OK ? zh_cuda_merge_parts(device, v, err) : status;
}
