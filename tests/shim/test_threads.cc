/* Barriers, what a warp does together, and the orders that threads and blocks are run in. */
#include "try.h"

/* --- barriers that not all reach --- */

ZH_KERNEL void barrier_in_a_branch(zh_global<int> y, unsigned waits_from) {
  if (threadIdx.x >= waits_from) __syncthreads();
  __shfl_xor_sync(0xFFFFFFFFu, 1, 1);
  y[threadIdx.x] = 1;
}
ZH_KERNEL void two_barriers(zh_global<int> y, unsigned limit) {
  if (threadIdx.x < limit)
    __syncthreads();
  else
    __syncthreads();
  y[threadIdx.x] = 1;
}
ZH_KERNEL void some_return_early(zh_global<int> y) {
  if (threadIdx.x >= 40) return;
  __syncthreads();
  y[threadIdx.x] = 1 + (int)__ballot_sync(0xFFFFFFFFu, 1);
  __syncthreads();
}

static void barriers_take_all_that_have_not_returned(void **) {
  buffer<int> y(64);
  must_report(
      "kernel 'barrier_in_a_branch', block (0,0,0)",
      "waits at __syncthreads of test_threads.cc:7, which not all of the block's 64 threads",
      [&] { ZH_LAUNCH(barrier_in_a_branch, 1, 64, 0, nullptr, y.to(), 16u); });
  must_pass([&] { ZH_LAUNCH(barrier_in_a_branch, 1, 64, 0, nullptr, y.to(), 0u); });
  must_report("two_barriers", "waits at one __syncthreads while others wait at that of line",
              [&] { ZH_LAUNCH(two_barriers, 1, 64, 0, nullptr, y.to(), 32u); });
  must_pass([&] { ZH_LAUNCH(two_barriers, 1, 64, 0, nullptr, y.to(), 64u); });
  must_pass([&] { ZH_LAUNCH(some_return_early, 2, 64, 0, nullptr, y.to()); });
  std::vector<int> out = y.get();
  assert_int_equal(out[3], 0);         /* all 32 lanes: -1 */
  assert_int_equal(out[39], 1 + 0xFF); /* the 8 that stayed */
}

/* --- waiting for each other --- */

ZH_KERNEL void in_turn(zh_global<unsigned> turn, zh_global<unsigned> y, unsigned first) {
  unsigned mine = blockIdx.x * blockDim.x + threadIdx.x + first;
  while (atomicAdd(turn, 0u) != mine) continue;
  y[threadIdx.x] = mine;
  atomicAdd(turn, 1u);
}

static void threads_may_wait_for_threads_but_not_for_blocks(void **) {
  buffer<unsigned> turn(1), y(40);
  must_pass([&] {
    turn.put({0});
    ZH_LAUNCH(in_turn, 1, 40, 0, nullptr, turn.to(), y.to(), 0u);
  });
  for (unsigned i = 0; i < 40; i++) assert_int_equal(y.get()[i], i);
  zh_shim_forget(1);
  ZH_LAUNCH(in_turn, 1, 2, 0, nullptr, turn.to(), y.to(), 1000u);
  assert_int_equal(cudaStreamSynchronize(nullptr), cudaErrorLaunchFailure);
  assert_non_null(strstr(zh_shim_report(), "again and again"));
  zh_shim_forget(1);
}

/* --- meetings of a warp --- */

enum warp_fault {
  NONE,
  NOT_IN_MASK,
  MASKS_DIFFER,
  KINDS_DIFFER,
  LINES_DIFFER,
  NO_SUCH_LANE,
  ONE_STAYS
};
ZH_KERNEL void warp_together(zh_global<int> y, int wrong) {
  unsigned lane = threadIdx.x;
  int got = 0;
  if (wrong == NOT_IN_MASK)
    got = __shfl_sync(0x0000FFFFu, (int)lane, 0);
  else if (wrong == MASKS_DIFFER)
    got = __any_sync(lane < 16 ? 0xFFFFFFFFu : 0xFFFF8000u, 1);
  else if (wrong == KINDS_DIFFER && lane < 4)
    got = __any_sync(0xFFFFFFFFu, 1);
  else if (wrong == LINES_DIFFER && lane < 4)
    got = __shfl_xor_sync(0xFFFFFFFFu, (int)lane, 1);
  else if (wrong == NO_SUCH_LANE && lane < 16)
    got = __shfl_sync(0x0000FFFFu, (int)lane, 20);
  else if (wrong == ONE_STAYS && lane == 9)
    __syncthreads();
  else if (wrong != NO_SUCH_LANE)
    got = __shfl_xor_sync(0xFFFFFFFFu, (int)lane, 1);
  y[lane] = got;
}

static void a_warp_meets_as_its_masks_say(void **) {
  buffer<int> y(32);
  auto run = [&](int wrong) { ZH_LAUNCH(warp_together, 1, 32, 0, nullptr, y.to(), wrong); };
  must_pass([&] { run(NONE); });
  must_report("warp_together", "is missing", [&] { run(NOT_IN_MASK); });
  must_report("warp_together", "for all of mask 0xFFFFFFFF, where thread (16,0,0) never comes",
              [&] { run(MASKS_DIFFER); });
  must_report("warp_together", "__any_sync of line", [&] { run(KINDS_DIFFER); });
  must_report("warp_together", "a shuffle meets lane", [&] { run(LINES_DIFFER); });
  must_report("warp_together", "takes its value from lane 20", [&] { run(NO_SUCH_LANE); });
  must_report("warp_together", "thread (9,0,0) never comes", [&] { run(ONE_STAYS); });
}

/* Two halves of a warp on their own ways, which meet inside each alone. */
ZH_KERNEL void halves(zh_global<int> y) {
  int value = (int)threadIdx.x, sum = value;
  if (threadIdx.x % 32 < 16)
    for (int step = 8; step; step /= 2) sum += __shfl_xor_sync(0x0000FFFFu, sum, step);
  else
    for (int step = 8; step; step /= 2) sum += __shfl_xor_sync(0xFFFF0000u, sum, step);
  y[threadIdx.x] = sum;
}
ZH_KERNEL void shuffles(zh_global<int> y) {
  int lane = (int)threadIdx.x, at = lane * 12;
  y[at + 0] = __shfl_sync(0xFFFFFFFFu, lane, 7);
  y[at + 1] = __shfl_sync(0xFFFFFFFFu, lane, 5, 8);
  y[at + 2] = __shfl_up_sync(0xFFFFFFFFu, lane, 3);
  y[at + 3] = __shfl_up_sync(0xFFFFFFFFu, lane, 3, 8);
  y[at + 4] = __shfl_down_sync(0xFFFFFFFFu, lane, 3);
  y[at + 5] = __shfl_down_sync(0xFFFFFFFFu, lane, 3, 8);
  y[at + 6] = __shfl_xor_sync(0xFFFFFFFFu, lane, 21);
  y[at + 7] = (int)__ballot_sync(0xFFFFFFFFu, lane % 3 == 0);
  y[at + 8] = __any_sync(0xFFFFFFFFu, lane == 31) + 2 * __any_sync(0xFFFFFFFFu, lane == 32);
  y[at + 9] = __all_sync(0xFFFFFFFFu, lane < 32) + 2 * __all_sync(0xFFFFFFFFu, lane < 31);
  y[at + 10] = (int)__match_any_sync(0xFFFFFFFFu, lane / 5);
  y[at + 11] = (int)(__shfl_xor_sync(0xFFFFFFFFu, (long long)lane << 40, 1) >> 40);
}

static void shuffles_and_votes(void **) {
  buffer<int> y(32 * 12), z(64);
  must_pass([&] { ZH_LAUNCH(shuffles, 1, 32, 0, nullptr, y.to()); });
  std::vector<int> out = y.get();
  unsigned thirds = 0;
  for (int i = 0; i < 32; i += 3) thirds |= 1u << i;
  for (int lane = 0; lane < 32; lane++) {
    const int *got = &out[(size_t)lane * 12];
    unsigned alike = 0;
    for (int i = 0; i < 32; i++) alike |= (unsigned)(i / 5 == lane / 5) << i;
    assert_int_equal(got[0], 7);
    assert_int_equal(got[1], lane / 8 * 8 + 5);
    assert_int_equal(got[2], lane < 3 ? lane : lane - 3);
    assert_int_equal(got[3], lane % 8 < 3 ? lane : lane - 3);
    assert_int_equal(got[4], lane > 28 ? lane : lane + 3);
    assert_int_equal(got[5], lane % 8 > 4 ? lane : lane + 3);
    assert_int_equal(got[6], lane ^ 21);
    assert_int_equal((unsigned)got[7], thirds);
    assert_int_equal(got[8], 1);
    assert_int_equal(got[9], 1);
    assert_int_equal((unsigned)got[10], alike);
    assert_int_equal(got[11], lane ^ 1);
  }
  must_pass([&] { ZH_LAUNCH(halves, 1, 64, 0, nullptr, z.to()); });
  for (int i = 0; i < 64; i++) assert_int_equal(z.get()[(size_t)i], i / 16 * 256 + 120);
}

/* --- places --- */

ZH_KERNEL void places(zh_global<unsigned> y) {
  unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  atomicAdd(y + block * blockDim.x * blockDim.y * blockDim.z + thread, 1u);
}

static void every_thread_of_every_block_runs_once(void **) {
  buffer<unsigned> y(2 * 3 * 4 * 5 * 3 * 7);
  must_pass([&] {
    y.put(std::vector<unsigned>(y.count));
    ZH_LAUNCH(places, dim3(2, 3, 4), dim3(5, 3, 7), 0, nullptr, y.to());
  });
  for (unsigned n : y.get()) assert_int_equal(n, 1);
  buffer<unsigned> most(3 * 1024);
  must_pass([&] {
    most.put(std::vector<unsigned>(most.count));
    ZH_LAUNCH(places, 3, 1024, 0, nullptr, most.to());
  });
  for (unsigned n : most.get()) assert_int_equal(n, 1);
}

static void impossible_launches_are_refused(void **) {
  buffer<unsigned> y(1);
  zh_shim_forget(1);
  ZH_LAUNCH(places, 1, 1025, 0, nullptr, y.to());
  assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
  ZH_LAUNCH(places, 0, 32, 0, nullptr, y.to());
  assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
  ZH_LAUNCH(places, 1, 32, 60000, nullptr, y.to());
  assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
  assert_int_equal(cudaFuncSetAttribute(places, cudaFuncAttributeMaxDynamicSharedMemorySize, 60000),
                   cudaSuccess);
  ZH_LAUNCH(places, 1, 1, 60000, nullptr, y.to());
  assert_int_equal(cudaGetLastError(), cudaSuccess);
  assert_int_equal(
      cudaFuncSetAttribute(places, cudaFuncAttributeMaxDynamicSharedMemorySize, 300000),
      cudaErrorInvalidValue);
  assert_int_equal(cudaStreamSynchronize(nullptr), cudaSuccess);
  assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
}

/* --- orders --- */

ZH_KERNEL void who_comes_when(zh_global<unsigned> y, zh_global<unsigned> count) {
  y[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(count, 1u);
  __syncthreads();
  y[(gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x] = atomicAdd(count, 1u);
}

static std::vector<unsigned> order_of(uint64_t seed) {
  buffer<unsigned> y(2 * 4 * 48), count(1);
  zh_shim_forget(seed);
  ZH_LAUNCH(who_comes_when, 4, 48, 0, nullptr, y.to(), count.to());
  assert_int_equal(cudaStreamSynchronize(nullptr), cudaSuccess);
  return y.get();
}

static void a_seed_draws_the_order(void **) {
  std::vector<unsigned> first = order_of(3), again = order_of(3), other = order_of(4);
  assert_true(first == again);
  assert_true(first != other);
  unsigned in_turn = 0, blocks_in_turn = 0;
  for (size_t i = 1; i < 4 * 48; i++) in_turn += first[i] == first[i - 1] + 1;
  assert_true(in_turn < 20); /* of 191: one in 48 by chance */
  /* Before the barrier all of a block, then all behind it. */
  for (size_t b = 0; b < 4; b++)
    for (size_t t = 0; t < 48; t++) {
      assert_int_equal(first[b * 48 + t] / 48 % 2, 0);
      assert_int_equal(first[(4 + b) * 48 + t] / 48, first[b * 48] / 48 + 1);
    }
  for (uint64_t seed = 1; seed <= 20; seed++) {
    std::vector<unsigned> o = order_of(seed);
    blocks_in_turn += o[0] < o[48] && o[48] < o[96] && o[96] < o[144];
  }
  assert_true(blocks_in_turn < 10); /* of 20: one in 24 by chance */
}

/* --- stacks --- */

ZH_DEVICE float deep(zh_global<const float> x, float (&kept)[1024]) {
  for (unsigned i = 0; i < 1024; i++) kept[i] = x[i] * (float)(threadIdx.x + 1);
  __syncthreads();
  float sum = 0;
  for (unsigned i = 0; i < 1024; i++) sum += kept[i];
  return sum;
}
ZH_KERNEL void much_of_its_own(zh_global<float> y, zh_global<const float> x) {
  float kept[1024];
  y[threadIdx.x] = deep(x, kept);
}

static void threads_keep_what_is_theirs_over_a_barrier(void **) {
  buffer<float> x(std::vector<float>(1024, 1.0f)), y(256);
  must_pass([&] { ZH_LAUNCH(much_of_its_own, 1, 256, 0, nullptr, y.to(), x.from()); });
  for (size_t i = 0; i < 256; i++) assert_true(y.get()[i] == 1024.0f * (float)(i + 1));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(barriers_take_all_that_have_not_returned),
      cmocka_unit_test(threads_may_wait_for_threads_but_not_for_blocks),
      cmocka_unit_test(a_warp_meets_as_its_masks_say),
      cmocka_unit_test(shuffles_and_votes),
      cmocka_unit_test(every_thread_of_every_block_runs_once),
      cmocka_unit_test(impossible_launches_are_refused),
      cmocka_unit_test(a_seed_draws_the_order),
      cmocka_unit_test(threads_keep_what_is_theirs_over_a_barrier),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
