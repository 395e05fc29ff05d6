/* Hopper's words (kernels/cuda/hopper.cuh), played as a GPU may do them: a copied tile comes at
 * once or when somebody looks for it at its barrier (that is drawn), a product is made when it is
 * waited for, from what then lies in shared memory. So who reads too soon, or gives a stage back
 * too soon, gets wrong numbers; what threads wrote there and did not fence is reported. Addresses,
 * descriptors and swizzle are decoded by the formulas of the PTX ISA ("Strides", "Matrix
 * descriptor", "Swizzling modes"), not by kernels/cuda/hopper_layout.h. */
#ifndef ZH_TESTS_SHIM_HOPPER_H
#define ZH_TESTS_SHIM_HOPPER_H

#define ZH_GRID_CONSTANT

struct zh_tensor_map {
  zh_global<const unsigned char> base;
  uint64_t rows, columns, row_bytes;
  uint32_t box_rows, column_bytes = 2;
};

namespace zh_shim {

uint32_t shared_address(const unsigned char *at);
void barrier_init(const zh_shared<uint64_t> &at, uint32_t arrivals, const site &where);
void barrier_arrive(const zh_shared<uint64_t> &at, uint32_t bytes, const site &where);
void barrier_wait(const zh_shared<uint64_t> &at, uint32_t parity, const site &where);
void tensor_load(const zh_shared<unsigned char> &to, const zh_tensor_map &map, uint32_t column,
                 uint32_t row, const zh_shared<uint64_t> &barrier, const site &where);
void fence_for_matrices();
/* in: a's and b's descriptors; value: whether the sums are joined; out: the sums */
void begin_wgmma_bf16(offer *const lanes[32]);
void begin_wgmma_e4m3(offer *const lanes[32]);
void commit_wgmmas();
void wait_for_wgmmas(unsigned pending, const site &where);

} // namespace zh_shim

template <class T> static inline uint32_t zh_shared_address(const zh_shared<T> &p) {
  return zh_shim::shared_address(p.at);
}

static inline void zh_barrier_init(const zh_shared<uint64_t> &barriers, uint32_t i,
                                   uint32_t arrivals, ZH_SHIM_WHERE) {
  zh_shim::barrier_init(barriers + i, arrivals, ZH_SHIM_HERE);
}
static inline void zh_barriers_made() {}
static inline void zh_barrier_arrive(const zh_shared<uint64_t> &barriers, uint32_t i,
                                     ZH_SHIM_WHERE) {
  zh_shim::barrier_arrive(barriers + i, 0, ZH_SHIM_HERE);
}
static inline void zh_barrier_expect(const zh_shared<uint64_t> &barriers, uint32_t i,
                                     uint32_t bytes, ZH_SHIM_WHERE) {
  zh_shim::barrier_arrive(barriers + i, bytes, ZH_SHIM_HERE);
}
static inline void zh_barrier_wait(const zh_shared<uint64_t> &barriers, uint32_t i, uint32_t parity,
                                   ZH_SHIM_WHERE) {
  zh_shim::barrier_wait(barriers + i, parity, ZH_SHIM_HERE);
}
static inline void zh_async_fence() {
  zh_shim::fence_for_matrices();
}
static inline void zh_tensor_load(const zh_shared<unsigned char> &to, const zh_tensor_map &map,
                                  uint32_t column, uint32_t row,
                                  const zh_shared<uint64_t> &barriers, uint32_t i, ZH_SHIM_WHERE) {
  zh_shim::tensor_load(to, map, column, row, barriers + i, ZH_SHIM_HERE);
}

template <size_t SUMS>
static inline void zh_wgmma_bf16(float (&d)[SUMS], uint64_t a, uint64_t b, ZH_SHIM_WHERE) {
  static_assert(SUMS == 64, "m64n128");
  zh_shim::offer mine = {
      zh_shim::MMA, 0xFFFFFFFFu, ZH_SHIM_HERE, 1, 0, {&a, &b}, d, zh_shim::begin_wgmma_bf16};
  zh_shim::meet_warp(mine);
}
template <size_t SUMS>
static inline void zh_wgmma_e4m3(float (&d)[SUMS], uint64_t a, uint64_t b, bool joins,
                                 ZH_SHIM_WHERE) {
  static_assert(SUMS == 64, "m64n128");
  zh_shim::offer mine = {
      zh_shim::MMA, 0xFFFFFFFFu, ZH_SHIM_HERE, joins, 0, {&a, &b}, d, zh_shim::begin_wgmma_e4m3};
  zh_shim::meet_warp(mine);
}
static inline void zh_wgmma_fence() {}
static inline void zh_wgmma_commit() {
  zh_shim::commit_wgmmas();
}
template <int PENDING> static inline void zh_wgmma_wait(ZH_SHIM_WHERE) {
  zh_shim::wait_for_wgmmas(PENDING, ZH_SHIM_HERE);
}
template <size_t SUMS> static inline void zh_wgmma_settle(float (&)[SUMS]) {}
template <int COUNT> static inline void zh_registers_more() {}
template <int COUNT> static inline void zh_registers_fewer() {}

#endif
