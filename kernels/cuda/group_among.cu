/* Collectives over peer memory: group_peer.cuh says how blocks of several GPUs meet. What is summed is summed in the
 * order of the ranks, by whoever does it, so that all get the same bits in one stage and in two. */
#include "group_peer.cuh"

/* --- meeting --- */

ZH_DEVICE size_t flag_at(int kind, int from) {
  return ((size_t)kind * GROUP_BLOCKS + blockIdx.x) * ZH_GROUP_RANKS_MAX + (size_t)from;
}

/* Until a flag has come to an epoch; false: too late. */
ZH_DEVICE bool wait_for_flag(const zh_peers &p, zh_global<uint32_t> flag, uint32_t epoch) {
  uint64_t begin = zh_clock_ns();
  while ((int32_t)(zh_load_acquire_system(flag) - epoch) < 0)
    if (zh_clock_ns() - begin > p.patience_ns) return false;
  return true;
}

/* The verdict of the first warp, to all of the block; `late`: the ranks that did not come, a bit each. */
ZH_DEVICE bool all_came(const zh_peers &p, uint32_t late, zh_shared<uint32_t> came) {
  if (threadIdx.x == 0) {
    came[0] = late == 0;
    if (late) p.missing[blockIdx.x] = (uint32_t)__ffs((int)late);
    if (late) p.counters[blockIdx.x] = (uint32_t)COUNTER_LOST;
  }
  __syncthreads();
  return came[0] != 0;
}

/* What the block has written, the blocks of this number of all ranks see behind it, and the other way round. */
ZH_DEVICE bool meet(const zh_peers &p, int kind, uint32_t epoch, zh_shared<uint32_t> came) {
  uint32_t late = 0;
  __syncthreads();
  if (threadIdx.x < 32) {
    int r = (int)threadIdx.x;
    bool ok = true;
    if (r < p.ranks) {
      zh_store_release_system(p.flags[r] + flag_at(kind, p.rank), epoch);
      ok = wait_for_flag(p, p.flags[p.rank] + flag_at(kind, r), epoch);
    }
    late = __ballot_sync(0xFFFFFFFFu, !ok);
  }
  return all_came(p, late, came);
}

/* The same with one other rank: a flag of ours at theirs, and one of theirs at ours. */
ZH_DEVICE void tell(const zh_peers &p, int kind, int to, uint32_t epoch) {
  __syncthreads();
  if (threadIdx.x == 0) zh_store_release_system(p.flags[to] + flag_at(kind, p.rank), epoch);
}
ZH_DEVICE bool await(const zh_peers &p, int kind, int from, uint32_t epoch, zh_shared<uint32_t> came) {
  bool ok = true;
  __syncthreads(); /* the last verdict has been read */
  if (threadIdx.x == 0) ok = wait_for_flag(p, p.flags[p.rank] + flag_at(kind, from), epoch);
  return all_came(p, ok ? 0u : 1u << from, came);
}

/* --- moving words, by all threads of a block; WIDE: 16 bytes at once --- */

struct source {
  zh_global<const uint32_t> of;
  ZH_DEVICE zh_global<const uint32_t> at(size_t) const { return of; }
};

/* to[i] = from(i)[i]; four loads are under way before the first store. */
template <bool WIDE, class From> ZH_DEVICE void copy_words(zh_global<uint32_t> to, From from, size_t count) {
  size_t step = (size_t)blockDim.x * 4, i = (size_t)threadIdx.x * 4, wide = WIDE ? count / 4 * 4 : 0;
  for (; i + 3 * step < wide; i += 4 * step) {
    uint4 v[4];
    for (int k = 0; k < 4; ++k) v[k] = zh_load<uint4>(from.at(i + k * step), i + k * step);
    for (int k = 0; k < 4; ++k) zh_store(to, i + k * step, v[k]);
  }
  for (; i < wide; i += step) zh_store(to, i, zh_load<uint4>(from.at(i), i));
  for (i = wide + threadIdx.x; i < count; i += blockDim.x) to[i] = from.at(i)[i];
}

/* Word i of all ranks' slices, from `offset` on, to(rank)[i]. */
template <bool WIDE> ZH_DEVICE void spread_ranks(const zh_peers &p, zh_global<uint32_t> to, size_t stride, size_t offset,
                                                 size_t count) {
  size_t wide = WIDE ? count / 4 * 4 : 0;
  for (size_t i = (size_t)threadIdx.x * 4; i < wide; i += (size_t)blockDim.x * 4) {
    uint4 v[ZH_GROUP_RANKS_MAX];
#pragma unroll
    for (int r = 0; r < ZH_GROUP_RANKS_MAX; ++r)
      if (r < p.ranks) v[r] = zh_load<uint4>(p.stage[r], offset + i);
#pragma unroll
    for (int r = 0; r < ZH_GROUP_RANKS_MAX; ++r)
      if (r < p.ranks) zh_store(to + (size_t)r * stride, i, v[r]);
  }
  for (size_t i = wide + threadIdx.x; i < count; i += blockDim.x)
    for (int r = 0; r < p.ranks; ++r) to[(size_t)r * stride + i] = p.stage[r][offset + i];
}

ZH_DEVICE float4 sum_of(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }

/* to[i] = sum over the ranks of word i of their slices, from `offset` on. */
template <bool WIDE> ZH_DEVICE void sum_ranks(const zh_peers &p, zh_global<uint32_t> to, size_t offset, size_t count) {
  size_t wide = WIDE ? count / 4 * 4 : 0;
  for (size_t i = (size_t)threadIdx.x * 4; i < wide; i += (size_t)blockDim.x * 4) {
    float4 v[ZH_GROUP_RANKS_MAX];
#pragma unroll
    for (int r = 0; r < ZH_GROUP_RANKS_MAX; ++r)
      if (r < p.ranks) v[r] = zh_load<float4>(p.stage[r], offset + i);
#pragma unroll
    for (int r = 1; r < ZH_GROUP_RANKS_MAX; ++r)
      if (r < p.ranks) v[0] = sum_of(v[0], v[r]);
    zh_store(to, i, v[0]);
  }
  for (size_t i = wide + threadIdx.x; i < count; i += blockDim.x) {
    float sum = zh_float(p.stage[0][offset + i]);
    for (int r = 1; r < p.ranks; ++r) sum += zh_float(p.stage[r][offset + i]);
    to[i] = zh_bits(sum);
  }
}

/* --- what is staged, and what is taken of it --- */

/* Words [first, first + count) of a message, of which a block's slice at `at` takes part. */
struct piece {
  size_t first, count, at, per; /* per: of one rank's part where a slice has parts */
  uint32_t epoch;
};

/* In two stages rank r makes the r-th part of each slice in its own, where nobody else reads that part before. */
ZH_DEVICE size_t words_of_part(const zh_peers &p, const piece &c) {
  return (c.count + (size_t)p.ranks * 4 - 1) / ((size_t)p.ranks * 4) * 4;
}
ZH_DEVICE size_t words_of_mine(const zh_peers &p, const piece &c, size_t part) {
  size_t begin = (size_t)p.rank * part;
  return begin >= c.count ? 0 : c.count - begin < part ? c.count - begin : part;
}
struct parts_source {
  const zh_peers &p;
  size_t slice, part;
  ZH_DEVICE zh_global<const uint32_t> at(size_t i) const { return p.stage[i / part] + slice; }
};

template <bool WIDE, bool TWO_STAGES> struct reduce_all {
  zh_global<uint32_t> values;
  ZH_DEVICE void stage(const zh_peers &p, const piece &c) const {
    copy_words<WIDE>(p.stage[p.rank] + c.at, source{values + c.first}, c.count);
  }
  ZH_DEVICE bool take(const zh_peers &p, const piece &c, zh_shared<uint32_t> came) const {
    if (!TWO_STAGES) {
      sum_ranks<WIDE>(p, values + c.first, c.at, c.count);
      return true;
    }
    size_t part = words_of_part(p, c), at = c.at + (size_t)p.rank * part;
    sum_ranks<true>(p, p.stage[p.rank] + at, at, words_of_mine(p, c, part));
    if (!meet(p, FLAG_PARTS, c.epoch, came)) return false;
    copy_words<WIDE>(values + c.first, parts_source{p, c.at, part}, c.count);
    return true;
  }
};

/* Part r of a slice is what rank r gets. */
template <bool WIDE> ZH_DEVICE void stage_for_all(const zh_peers &p, const piece &c, zh_global<const uint32_t> from,
                                                  size_t stride) {
  for (int r = 0; r < p.ranks; ++r)
    copy_words<WIDE>(p.stage[p.rank] + c.at + (size_t)r * c.per, source{from + ((size_t)r * stride + c.first)}, c.count);
}

template <bool WIDE> struct reduce_parts {
  zh_global<uint32_t> out;
  zh_global<const uint32_t> in;
  size_t stride;
  ZH_DEVICE void stage(const zh_peers &p, const piece &c) const { stage_for_all<WIDE>(p, c, in, stride); }
  ZH_DEVICE bool take(const zh_peers &p, const piece &c, zh_shared<uint32_t>) const {
    sum_ranks<WIDE>(p, out + c.first, c.at + (size_t)p.rank * c.per, c.count);
    return true;
  }
};

template <bool WIDE> struct exchange_parts {
  zh_global<uint32_t> in;
  zh_global<const uint32_t> out;
  size_t stride;
  ZH_DEVICE void stage(const zh_peers &p, const piece &c) const { stage_for_all<WIDE>(p, c, out, stride); }
  ZH_DEVICE bool take(const zh_peers &p, const piece &c, zh_shared<uint32_t>) const {
    spread_ranks<WIDE>(p, in + c.first, stride, c.at + (size_t)p.rank * c.per, c.count);
    return true;
  }
};

template <bool WIDE> struct gather_all {
  zh_global<uint32_t> all;
  zh_global<const uint32_t> mine;
  size_t stride;
  ZH_DEVICE void stage(const zh_peers &p, const piece &c) const {
    copy_words<WIDE>(p.stage[p.rank] + c.at, source{mine + c.first}, c.count);
  }
  ZH_DEVICE bool take(const zh_peers &p, const piece &c, zh_shared<uint32_t>) const {
    spread_ranks<WIDE>(p, all + c.first, stride, c.at, c.count);
    return true;
  }
};

/* In two stages the root gives each part once, and all pass theirs on. */
template <bool WIDE, bool TWO_STAGES> struct copy_of_root {
  zh_global<uint32_t> data;
  int root;
  ZH_DEVICE void stage(const zh_peers &p, const piece &c) const {
    if (p.rank == root) copy_words<WIDE>(p.stage[root] + c.at, source{data + c.first}, c.count);
  }
  ZH_DEVICE bool take(const zh_peers &p, const piece &c, zh_shared<uint32_t> came) const {
    size_t part = TWO_STAGES ? words_of_part(p, c) : c.count, at = c.at + (size_t)p.rank * part;
    if (TWO_STAGES) {
      if (p.rank != root)
        copy_words<true>(p.stage[p.rank] + at, source{p.stage[root] + at}, words_of_mine(p, c, part));
      if (!meet(p, FLAG_PARTS, c.epoch, came)) return false;
    }
    if (p.rank == root) return true;
    if (TWO_STAGES)
      copy_words<WIDE>(data + c.first, parts_source{p, c.at, part}, c.count);
    else
      copy_words<WIDE>(data + c.first, source{p.stage[root] + c.at}, c.count);
    return true;
  }
};

/* A message of `count` words in pieces of `per`, a block each. */
template <class Work>
ZH_KERNEL void __launch_bounds__(GROUP_THREADS) among_all(zh_peers p, Work work, size_t count, size_t per) {
  ZH_SHARED(uint32_t, came, 1);
  uint32_t epoch = p.counters[blockIdx.x];
  if (epoch == (uint32_t)COUNTER_LOST) return;
  for (size_t first = blockIdx.x * per; first < count; first += gridDim.x * per) {
    ++epoch;
    size_t at = ((epoch & 1u) * (size_t)GROUP_BLOCKS + blockIdx.x) * p.slice;
    piece c = {first, count - first < per ? count - first : per, at, per, epoch};
    work.stage(p, c);
    if (!meet(p, FLAG_STAGED, epoch, came) || !work.take(p, c, came)) return;
  }
  __syncthreads();
  if (threadIdx.x == 0) p.counters[blockIdx.x] = epoch;
}

/* --- from one rank to another --- */

struct mover {
  zh_global<uint32_t> in;
  zh_global<const uint32_t> out;
  int to, from;
};

ZH_DEVICE size_t box_at(const zh_peers &p, int to, uint32_t epoch) {
  return (((size_t)to * 2 + (epoch & 1u)) * GROUP_BLOCKS + blockIdx.x) * p.box_slice;
}
ZH_DEVICE size_t counter_at(int which) { return (size_t)which * GROUP_BLOCKS + blockIdx.x; }

template <bool WIDE>
ZH_KERNEL void __launch_bounds__(GROUP_THREADS) move_words(zh_peers p, mover m, size_t count, size_t per) {
  ZH_SHARED(uint32_t, came, 1);
  int sender = 1 + m.to, taker = 1 + ZH_GROUP_RANKS_MAX + m.from;
  uint32_t sent = m.to >= 0 ? (uint32_t)p.counters[counter_at(sender)] : 0u;
  uint32_t taken = m.from >= 0 ? (uint32_t)p.counters[counter_at(taker)] : 0u;
  if (p.counters[blockIdx.x] == (uint32_t)COUNTER_LOST) return;
  for (size_t first = blockIdx.x * per; first < count; first += gridDim.x * per) {
    size_t n = count - first < per ? count - first : per;
    if (m.to >= 0) {
      ++sent;
      if (!await(p, FLAG_TAKEN, m.to, sent - 2, came)) return;
      copy_words<WIDE>(p.box[p.rank] + box_at(p, m.to, sent), source{m.out + first}, n);
      tell(p, FLAG_SENT, m.to, sent);
    }
    if (m.from >= 0) {
      ++taken;
      if (!await(p, FLAG_SENT, m.from, taken, came)) return;
      copy_words<WIDE>(m.in + first, source{p.box[m.from] + box_at(p, p.rank, taken)}, n);
      tell(p, FLAG_TAKEN, m.from, taken);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0 && m.to >= 0) p.counters[counter_at(sender)] = sent;
  if (threadIdx.x == 0 && m.from >= 0) p.counters[counter_at(taker)] = taken;
}


/* --- launching --- */

struct shape {
  unsigned blocks, threads;
  size_t per; /* words of a piece */
};

/* So many blocks that each has work, so few that all run at once; every rank finds the same. */
static shape shape_of(const zh_device_group *g, size_t words, size_t slice) {
  size_t threads = (words + 3) / 4, blocks = (threads + GROUP_THREADS - 1) / GROUP_THREADS;
  if (blocks > (size_t)g->peer->blocks) blocks = (size_t)g->peer->blocks;
  size_t per = ((words + blocks - 1) / blocks + 3) / 4 * 4;
  threads = (threads + 31) / 32 * 32;
  return shape{(unsigned)blocks, (unsigned)(threads < GROUP_THREADS ? threads : (size_t)GROUP_THREADS),
               per < slice ? per : slice};
}

template <class Work>
static zh_status launch_among(zh_device_group *g, const Work &work, size_t words, size_t slice, const char *what,
                              zh_error *err) {
  shape s = shape_of(g, words, slice);
  ZH_LAUNCH_AMONG((among_all<Work>), s.blocks, s.threads, 0, g->device->stream, g->peer->peers, work, words, s.per);
  return zh_cuda_launched(g->device, what, err);
}

static bool is_wide(const void *a, const void *b, size_t words_apart) {
  return (((uintptr_t)a | (uintptr_t)b) % 16 | words_apart % 4) == 0;
}
static size_t slice_of(const zh_device_group *g) { return g->peer->peers.slice; }
/* Of a slice that holds a part for every rank. */
static size_t part_of(const zh_device_group *g) { return slice_of(g) / (size_t)g->ranks / 4 * 4; }

/* One stage reads everything of everybody, two read each part twice; where two begin to pay is not known yet, measured
 * on no GPU. */
static bool takes_two_stages(const zh_device_group *g, size_t bytes) {
  return g->ranks > 2 && bytes * (size_t)(g->ranks - 2) > (size_t)1 << 20;
}

template <bool WIDE> static zh_status reduce(zh_device_group *g, float *values, size_t count, zh_error *err) {
  zh_global<uint32_t> v = zh_at<uint32_t>(values);
  if (takes_two_stages(g, count * 4))
    return launch_among(g, reduce_all<WIDE, true>{v}, count, slice_of(g), "an all-reduce in two stages", err);
  return launch_among(g, reduce_all<WIDE, false>{v}, count, slice_of(g), "an all-reduce", err);
}
zh_status zh_peer_all_reduce(zh_device_group *g, float *values, size_t count, zh_error *err) {
  return is_wide(values, nullptr, 0) ? reduce<true>(g, values, count, err) : reduce<false>(g, values, count, err);
}

zh_status zh_peer_reduce_scatter(zh_device_group *g, float *out, const float *in, size_t count, zh_error *err) {
  zh_global<uint32_t> o = zh_at<uint32_t>(out);
  zh_global<const uint32_t> i = zh_at<const uint32_t>(in);
  if (is_wide(out, in, count))
    return launch_among(g, reduce_parts<true>{o, i, count}, count, part_of(g), "a reduce-scatter", err);
  return launch_among(g, reduce_parts<false>{o, i, count}, count, part_of(g), "a reduce-scatter", err);
}

zh_status zh_peer_all_gather(zh_device_group *g, void *all, const void *mine, size_t bytes, zh_error *err) {
  zh_global<uint32_t> a = zh_at<uint32_t>(all);
  zh_global<const uint32_t> m = zh_at<const uint32_t>(mine);
  size_t words = bytes / 4;
  if (is_wide(all, mine, words))
    return launch_among(g, gather_all<true>{a, m, words}, words, slice_of(g), "an all-gather", err);
  return launch_among(g, gather_all<false>{a, m, words}, words, slice_of(g), "an all-gather", err);
}

zh_status zh_peer_all_to_all(zh_device_group *g, void *in, const void *out, size_t bytes, zh_error *err) {
  zh_global<uint32_t> i = zh_at<uint32_t>(in);
  zh_global<const uint32_t> o = zh_at<const uint32_t>(out);
  size_t words = bytes / 4;
  if (is_wide(in, out, words))
    return launch_among(g, exchange_parts<true>{i, o, words}, words, part_of(g), "an all-to-all", err);
  return launch_among(g, exchange_parts<false>{i, o, words}, words, part_of(g), "an all-to-all", err);
}

template <bool WIDE> static zh_status copy_root(zh_device_group *g, void *data, size_t bytes, int root, zh_error *err) {
  zh_global<uint32_t> d = zh_at<uint32_t>(data);
  if (takes_two_stages(g, bytes))
    return launch_among(g, copy_of_root<WIDE, true>{d, root}, bytes / 4, slice_of(g), "a broadcast in two stages", err);
  return launch_among(g, copy_of_root<WIDE, false>{d, root}, bytes / 4, slice_of(g), "a broadcast", err);
}
zh_status zh_peer_broadcast(zh_device_group *g, void *data, size_t bytes, int root, zh_error *err) {
  return is_wide(data, nullptr, 0) ? copy_root<true>(g, data, bytes, root, err)
                                   : copy_root<false>(g, data, bytes, root, err);
}

zh_status zh_peer_move(zh_device_group *g, const zh_device_move *w, zh_error *err) {
  mover m = {zh_at<uint32_t>(w->from < 0 ? nullptr : w->in), zh_at<const uint32_t>(w->to < 0 ? nullptr : w->out), w->to,
             w->from};
  shape s = shape_of(g, w->bytes / 4, g->peer->peers.box_slice);
  if (is_wide(w->from < 0 ? nullptr : w->in, w->to < 0 ? nullptr : w->out, 0))
    ZH_LAUNCH_AMONG(move_words<true>, s.blocks, s.threads, 0, g->device->stream, g->peer->peers, m, w->bytes / 4, s.per);
  else
    ZH_LAUNCH_AMONG(move_words<false>, s.blocks, s.threads, 0, g->device->stream, g->peer->peers, m, w->bytes / 4,
                    s.per);
  return zh_cuda_launched(g->device, "a move", err);
}

