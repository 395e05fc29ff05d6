/* Where a thread stands, barriers, and what the 32 threads of a warp do together. */
#ifndef ZH_TESTS_SHIM_BLOCK_H
#define ZH_TESTS_SHIM_BLOCK_H

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
enum { warpSize = 32 };

namespace zh_shim {

enum meeting_kind { SYNCWARP, SHUFFLE, BALLOT, ANY, ALL, MATCH, LOAD_MATRICES, MMA };

/* What one thread brings to a meeting of its warp. */
struct offer {
  meeting_kind kind;
  unsigned mask;
  site where;
  uint64_t value;
  int from;          /* SHUFFLE: the lane to read; its own where CUDA says so */
  const void *in[2]; /* of matrices: a, b; or the row */
  void *out;
  void (*together)(offer *const lanes[32]); /* of matrices: done once for the warp */
};

void meet_block(const site &where);
/* When all of the mask are there: the value of the lane that was asked for, or the votes. */
uint64_t meet_warp(offer &mine);
unsigned lanes_alive();
void note_fence();
void give_way(); /* other threads of the block go on first */
void give_up(const site &where);

template <class T> uint64_t bits_of(T value) {
  static_assert(sizeof(T) <= 8, "a shuffle moves 8 bytes at most");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class T> T shuffle(unsigned mask, T value, int from, const site &where) {
  offer mine = {SHUFFLE, mask, where, bits_of(value), from, {nullptr, nullptr}, nullptr, nullptr};
  uint64_t bits = meet_warp(mine);
  memcpy(&value, &bits, sizeof value);
  return value;
}
static inline uint64_t vote(meeting_kind kind, unsigned mask, uint64_t value, const site &where) {
  offer mine = {kind, mask, where, value, 0, {nullptr, nullptr}, nullptr, nullptr};
  return meet_warp(mine);
}
static inline int lane() {
  return (int)(now.thread & 31);
}

} // namespace zh_shim

#define ZH_SHIM_WHERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define ZH_SHIM_HERE                                                                               \
  zh_shim::site {                                                                                  \
    file, line                                                                                     \
  }

static inline void __syncthreads(ZH_SHIM_WHERE) {
  zh_shim::meet_block(ZH_SHIM_HERE);
}
static inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, ZH_SHIM_WHERE) {
  zh_shim::vote(zh_shim::SYNCWARP, mask, 0, ZH_SHIM_HERE);
}
static inline void __nanosleep(unsigned) {
  zh_shim::give_way();
}
static inline void zh_give_up(ZH_SHIM_WHERE) {
  zh_shim::give_up(ZH_SHIM_HERE);
}
static inline void __threadfence() {
  zh_shim::note_fence();
}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {
  zh_shim::note_fence();
}

static inline unsigned __ballot_sync(unsigned mask, int predicate, ZH_SHIM_WHERE) {
  return (unsigned)zh_shim::vote(zh_shim::BALLOT, mask, predicate != 0, ZH_SHIM_HERE);
}
static inline int __any_sync(unsigned mask, int predicate, ZH_SHIM_WHERE) {
  return (int)zh_shim::vote(zh_shim::ANY, mask, predicate != 0, ZH_SHIM_HERE);
}
static inline int __all_sync(unsigned mask, int predicate, ZH_SHIM_WHERE) {
  return (int)zh_shim::vote(zh_shim::ALL, mask, predicate != 0, ZH_SHIM_HERE);
}
template <class T>
static inline unsigned __match_any_sync(unsigned mask, const T &value, ZH_SHIM_WHERE) {
  const zh_shim::value_t<T> own = value;
  return (unsigned)zh_shim::vote(zh_shim::MATCH, mask, zh_shim::bits_of(own), ZH_SHIM_HERE);
}
/* Threads of the warp that have not returned: the most that CUDA may say. */
static inline unsigned __activemask() {
  return zh_shim::lanes_alive();
}

/* Lanes outside the part of `width` that a lane belongs to give it its own value, as in CUDA. */
template <class T>
static inline zh_shim::value_t<T> __shfl_sync(unsigned mask, const T &value, int from,
                                              int width = 32, ZH_SHIM_WHERE) {
  const zh_shim::value_t<T> own = value;
  int begin = zh_shim::lane() & ~(width - 1);
  return zh_shim::shuffle(mask, own, begin + (from & (width - 1)), ZH_SHIM_HERE);
}
template <class T>
static inline zh_shim::value_t<T> __shfl_xor_sync(unsigned mask, const T &value, int bits,
                                                  int width = 32, ZH_SHIM_WHERE) {
  const zh_shim::value_t<T> own = value;
  int from = zh_shim::lane() ^ bits, end = (zh_shim::lane() & ~(width - 1)) + width;
  return zh_shim::shuffle(mask, own, from < end ? from : zh_shim::lane(), ZH_SHIM_HERE);
}
template <class T>
static inline zh_shim::value_t<T> __shfl_down_sync(unsigned mask, const T &value, unsigned by,
                                                   int width = 32, ZH_SHIM_WHERE) {
  const zh_shim::value_t<T> own = value;
  int from = zh_shim::lane() + (int)by, end = (zh_shim::lane() & ~(width - 1)) + width;
  return zh_shim::shuffle(mask, own, from < end ? from : zh_shim::lane(), ZH_SHIM_HERE);
}
template <class T>
static inline zh_shim::value_t<T> __shfl_up_sync(unsigned mask, const T &value, unsigned by,
                                                 int width = 32, ZH_SHIM_WHERE) {
  const zh_shim::value_t<T> own = value;
  int from = zh_shim::lane() - (int)by, begin = zh_shim::lane() & ~(width - 1);
  return zh_shim::shuffle(mask, own, from >= begin ? from : zh_shim::lane(), ZH_SHIM_HERE);
}

#endif
