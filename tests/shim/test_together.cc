/* Blocks that live at once: they wait for each other, what is not ordered is reported, and so is
 * who waits for ever. */
#include "try.h"

#include "kernels/cuda/meeting.cuh"

enum { BLOCKS = 6, THREADS = 64, ROUNDS = 3 };

enum meeting_fault {
  RIGHT,
  NO_MEETING,
  NO_FENCE,
  LATE_FENCE, /* in front of the block's last writes */
  NO_BARRIER  /* behind the meeting: threads go on before their block has met */
};

/* As zh_arrive and zh_meet, with a fault. */
ZH_DEVICE void meet_wrongly(zh_global<uint32_t> word, int wrong) {
  uint32_t before = 0;
  if (wrong == NO_MEETING) return;
  __syncthreads();
  if (threadIdx.x == 0) {
    if (wrong != NO_FENCE && wrong != LATE_FENCE) __threadfence();
    before = atomicAdd(&word[0], blockIdx.x == 0 ? 0x80000000u - (gridDim.x - 1u) : 1u);
    while (((zh_load_acquire(word) ^ before) & 0x80000000u) == 0u) continue;
  }
  if (wrong != NO_BARRIER) __syncthreads();
}

/* Each block adds up what all threads of the block before it wrote a round earlier. */
ZH_KERNEL void rounds(zh_global<uint32_t> y, zh_global<uint32_t> word, int wrong) {
  uint32_t mine = blockIdx.x * blockDim.x, other = (blockIdx.x + 1u) % gridDim.x * blockDim.x;
  uint32_t all = gridDim.x * blockDim.x;
  if (wrong == LATE_FENCE) __threadfence();
  y[mine + threadIdx.x] = mine + threadIdx.x;
  for (uint32_t k = 0; k < ROUNDS; k++) {
    uint32_t sum = 0;
    if (wrong == RIGHT)
      zh_meet(word, zh_arrive(word));
    else
      meet_wrongly(word, wrong);
    for (uint32_t i = 0; i < blockDim.x; i++) sum += y[k % 2 * all + other + i];
    y[(k + 1) % 2 * all + mine + threadIdx.x] = sum + threadIdx.x;
  }
}

static void run(buffer<uint32_t> &y, buffer<uint32_t> &word, int wrong) {
  ZH_LAUNCH_TOGETHER(rounds, BLOCKS, THREADS, 0, nullptr, y.to(), word.to(), wrong);
}

static void blocks_meet(void **) {
  buffer<uint32_t> y(2 * BLOCKS * THREADS), word(1);
  uint32_t expected[2][BLOCKS * THREADS];
  for (uint32_t i = 0; i < BLOCKS * THREADS; i++) expected[0][i] = i;
  for (uint32_t k = 0; k < ROUNDS; k++)
    for (uint32_t b = 0; b < BLOCKS; b++) {
      uint32_t sum = 0, other = (b + 1) % BLOCKS * THREADS;
      for (uint32_t i = 0; i < THREADS; i++) sum += expected[k % 2][other + i];
      for (uint32_t i = 0; i < THREADS; i++) expected[(k + 1) % 2][b * THREADS + i] = sum + i;
    }
  must_pass([&] { /* one word for all launches */
                  run(y, word, RIGHT);
                  assert_int_equal(cudaStreamSynchronize(nullptr), cudaSuccess);
                  assert_memory_equal(&y.get()[ROUNDS % 2 * BLOCKS * THREADS], expected[ROUNDS % 2],
                                      sizeof expected[0]);
  });
}

static void what_no_meeting_orders_is_reported(void **) {
  static const int wrong[] = {NO_MEETING, NO_FENCE, LATE_FENCE, NO_BARRIER};
  for (int fault : wrong) {
    buffer<uint32_t> y(2 * BLOCKS * THREADS), word(1);
    must_report("rounds", "with nothing to order them", [&] {
      word.put({0}); /* a launch that was broken off leaves it anywhere */
      y.put(std::vector<uint32_t>(y.count));
      run(y, word, fault);
    });
  }
}

ZH_KERNEL void waits(zh_global<uint32_t> word, zh_global<uint32_t> y) {
  if (blockIdx.x == 2) return;
  zh_meet(word, zh_arrive(word));
  y[blockIdx.x] = 1;
}

static void a_block_that_never_comes_is_named(void **) {
  buffer<uint32_t> y(BLOCKS), word(1);
  for (uint64_t seed = 1; seed <= 3; seed++) {
    zh_shim_forget(seed);
    word.put({0});
    ZH_LAUNCH_TOGETHER(waits, BLOCKS, THREADS, 0, nullptr, word.to(), y.to());
    assert_int_equal(cudaStreamSynchronize(nullptr), cudaErrorLaunchFailure);
    const char *report = zh_shim_report();
    if (!strstr(report, "no thread of the launch changes anything any more") ||
        !strstr(report, "meeting.cuh:") || !strstr(report, "block (2,0,0) has ended"))
      fail_msg("got: %s", report);
  }
  zh_shim_forget(1);
}

ZH_KERNEL void waits_a_while(zh_global<uint32_t> word) {
  if (blockIdx.x != 2) zh_meet(word, zh_arrive(word), 100);
}

static void nobody_waits_for_ever(void **) {
  buffer<uint32_t> word(1);
  must_report("waits_a_while", "what it waits for does not come", [&] {
    word.put({0});
    ZH_LAUNCH_TOGETHER(waits_a_while, BLOCKS, THREADS, 0, nullptr, word.to());
  });
}

/* --- shared memory is each block's own, and so are barriers --- */

ZH_KERNEL void own_memory(zh_global<uint32_t> y, zh_global<uint32_t> word) {
  ZH_SHARED(uint32_t, mine, THREADS);
  mine[threadIdx.x] = blockIdx.x * 1000 + threadIdx.x;
  __syncthreads();
  zh_meet(word, zh_arrive(word));
  uint32_t value = mine[blockDim.x - 1 - threadIdx.x];
  uint32_t sum = value + __shfl_xor_sync(0xFFFFFFFFu, value, 1);
  zh_meet(word, zh_arrive(word));
  y[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

static void blocks_keep_what_is_theirs(void **) {
  buffer<uint32_t> y(BLOCKS * THREADS), word(1);
  must_pass(
      [&] { ZH_LAUNCH_TOGETHER(own_memory, BLOCKS, THREADS, 0, nullptr, y.to(), word.to()); });
  std::vector<uint32_t> out = y.get();
  for (uint32_t b = 0; b < BLOCKS; b++)
    for (uint32_t i = 0; i < THREADS; i++) {
      uint32_t from = THREADS - 1 - i;
      assert_int_equal(out[b * THREADS + i], 2 * b * 1000 + from + (from ^ 1u));
    }
}

static void more_blocks_than_fit_are_refused(void **) {
  buffer<uint32_t> y(1), word(1);
  int of_one = 0;
  zh_shim_forget(1);
  assert_int_equal(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&of_one, waits, 256, 0),
                   cudaSuccess);
  ZH_LAUNCH_TOGETHER(waits, 4 * (unsigned)of_one + 1, 256, 0, nullptr, word.to(), y.to());
  assert_int_equal(cudaGetLastError(), cudaErrorCooperativeLaunchTooLarge);
  zh_shim_forget(1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_meet),
      cmocka_unit_test(what_no_meeting_orders_is_reported),
      cmocka_unit_test(a_block_that_never_comes_is_named),
      cmocka_unit_test(nobody_waits_for_ever),
      cmocka_unit_test(blocks_keep_what_is_theirs),
      cmocka_unit_test(more_blocks_than_fit_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
