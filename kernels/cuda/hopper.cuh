/* Hopper's own words of the dialect (sm_90a): barriers in shared memory that count arrivals and bytes, copies of tiles
 * by the tensor memory accelerator, products of a warpgroup (128 threads) out of shared memory. Under the shim they are
 * played (tests/shim/shim_hopper.h), as late as a GPU may do them. By nvcc they are code for sm_90a alone: kernels that
 * use them are empty elsewhere (ZH_HAS_HOPPER), and never offered.
 *
 * A producer waits for a stage to be empty, announces bytes (zh_barrier_expect), starts copies; or writes, fences
 * (zh_async_fence) and arrives. A consumer waits for it to be full, multiplies, and arrives at `empty` when its
 * products have been waited for. */
#ifndef ZH_KERNELS_CUDA_HOPPER_CUH
#define ZH_KERNELS_CUDA_HOPPER_CUH

#include "device.cuh"
#include "hopper_layout.h"

#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define ZH_HAS_HOPPER 1
#else
#define ZH_HAS_HOPPER 0
#endif

/* The sums of m64n128: thread t of the warpgroup has rows 16 (t / 32) + t % 32 / 4 + 8 (e / 2 % 2), columns
 * 8 (e / 4) + 2 (t % 4) + e % 2. */
enum { ZH_WGMMA_ROWS = 64, ZH_WGMMA_COLUMNS = 128, ZH_WGMMA_SUMS = 64, ZH_WARPGROUP = 128 };

/* An operand's rows of bf16, or of bytes, tiled in boxes of 128 bytes by box_rows; what lies outside is zeros. base:
 * 16-byte aligned, row_bytes a multiple of 16. */
struct zh_tensor_shape {
  const void *base;
  uint64_t rows, columns, row_bytes;
  uint32_t box_rows; /* 256 at most */
  bool bytes;        /* columns are bytes */
};
enum { ZH_BOX_COLUMNS = 64, ZH_BOX_BYTES = 128 };

#ifdef __CUDACC__

#include <cuda.h>

#define ZH_GRID_CONSTANT __grid_constant__
typedef CUtensorMap zh_tensor_map;

/* --- products --- */

#define ZH_EIGHT(c, d, i)                                                                                              \
  c((d)[i]), c((d)[i + 1]), c((d)[i + 2]), c((d)[i + 3]), c((d)[i + 4]), c((d)[i + 5]), c((d)[i + 6]), c((d)[i + 7])
#define ZH_SUMS(c, d)                                                                                                  \
  ZH_EIGHT(c, d, 0), ZH_EIGHT(c, d, 8), ZH_EIGHT(c, d, 16), ZH_EIGHT(c, d, 24), ZH_EIGHT(c, d, 32),                    \
      ZH_EIGHT(c, d, 40), ZH_EIGHT(c, d, 48), ZH_EIGHT(c, d, 56)
/* d (adds ? + : 0) += a b */
#define ZH_WGMMA(shape, c, rest)                                                                                       \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"                                                            \
               "wgmma.mma_async.sync.aligned." shape " {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"        \
               "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"                                      \
               "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"                                      \
               "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}, %64, %65, p" rest ";\n}"             \
               : ZH_SUMS(c, d)                                                                                         \
               : "l"(a), "l"(b), "r"(adds))
#define ZH_PLUS_F(x) "+f"(x)
#define ZH_PLUS_R(x) "+r"(x)

#if ZH_HAS_HOPPER

/* d[64][128] += a[64][16] b[128][16] of bf16, both by descriptors; done after zh_wgmma_wait. */
ZH_DEVICE void zh_wgmma_bf16(float (&d)[ZH_WGMMA_SUMS], uint64_t a, uint64_t b) {
  const int adds = 1;
  ZH_WGMMA("m64n128k16.f32.bf16.bf16", ZH_PLUS_F, ", 1, 1, 0, 0");
}
/* d[64][128] (adds ? + : 0) += a[64][32] b[128][32] of E4M3, whose units keep 13 bits below the largest term of a sum. */
ZH_DEVICE void zh_wgmma_e4m3(float (&d)[ZH_WGMMA_SUMS], uint64_t a, uint64_t b, bool joins) {
  const int adds = joins;
  ZH_WGMMA("m64n128k32.f32.e4m3.e4m3", ZH_PLUS_F, ", 1, 1");
}
/* Before the first product of a group: what other instructions did to the sums is done. */
ZH_DEVICE void zh_wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
ZH_DEVICE void zh_wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* All but the last PENDING groups are done. */
template <int PENDING> ZH_DEVICE void zh_wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}
/* The compiler may not move what uses the sums to before this point. */
ZH_DEVICE void zh_wgmma_settle(float (&d)[ZH_WGMMA_SUMS]) {
#pragma unroll
  for (int i = 0; i < ZH_WGMMA_SUMS; ++i) asm volatile("" : "+f"(d[i])::"memory");
}
ZH_DEVICE void zh_wgmma_settle(int32_t (&d)[ZH_WGMMA_SUMS]) {
#pragma unroll
  for (int i = 0; i < ZH_WGMMA_SUMS; ++i) asm volatile("" : "+r"(d[i])::"memory");
}

template <int COUNT> ZH_DEVICE void zh_registers_more() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
}
template <int COUNT> ZH_DEVICE void zh_registers_fewer() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
}

/* --- barriers --- */

template <class T> ZH_DEVICE uint32_t zh_shared_address(T *p) {
  return (uint32_t)__cvta_generic_to_shared(p);
}

/* A phase is over after so many arrivals, when all announced bytes have come. One thread; then zh_barriers_made by the
 * same, then __syncthreads. */
ZH_DEVICE void zh_barrier_init(uint64_t *barriers, uint32_t i, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(zh_shared_address(barriers + i)), "r"(arrivals)
               : "memory");
}
ZH_DEVICE void zh_barriers_made() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
ZH_DEVICE void zh_barrier_arrive(uint64_t *barriers, uint32_t i) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(zh_shared_address(barriers + i)) : "memory");
}
/* Arrives, and announces bytes. */
ZH_DEVICE void zh_barrier_expect(uint64_t *barriers, uint32_t i, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(zh_shared_address(barriers + i)),
               "r"(bytes)
               : "memory");
}
enum { ZH_BARRIER_LOOKS = 1 << 22 }; /* a look takes some tens of cycles at least */

/* Until the phase of this parity is over; the one before the first counts as such, of parity 1. What never comes is an
 * error of the launch, after a tenth of a second or more, and no silence for ever. */
ZH_DEVICE void zh_barrier_wait(uint64_t *barriers, uint32_t i, uint32_t parity) {
  uint32_t done = 0, looks = 0, at = zh_shared_address(barriers + i);
  while (!done) {
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                 : "=r"(done)
                 : "r"(at), "r"(parity)
                 : "memory");
    if (!done && ++looks == ZH_BARRIER_LOOKS) zh_give_up();
  }
}
/* What this thread wrote to shared memory is there for matrix units, too. */
ZH_DEVICE void zh_async_fence() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* --- copies of tiles --- */

/* A box whose first element is (row, column), to `to` (aligned to an atom); its bytes, 128 box_rows, count at barrier
 * i. */
ZH_DEVICE void zh_tensor_load(unsigned char *to, const zh_tensor_map &map, uint32_t column, uint32_t row,
                              uint64_t *barriers, uint32_t i) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], "
               "[%4];" ::"r"(zh_shared_address(to)),
               "l"(&map), "r"(column), "r"(row), "r"(zh_shared_address(barriers + i))
               : "memory");
}

#endif
#else
#include "shim_hopper.h"
#endif

/* hopper.cu */
zh_status zh_cuda_tensor_map(zh_device *device, zh_tensor_map *out, const zh_tensor_shape *shape, zh_error *err);

#endif
