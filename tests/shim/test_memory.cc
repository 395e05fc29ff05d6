/* Bounds, alignment, life and races of global and shared memory: each kind of fault in a small
 * kernel that has it, beside one that does the same rightly. */
#include "try.h"

/* --- global memory --- */

ZH_KERNEL void copy_from(zh_global<float> y, zh_global<const float> x, ptrdiff_t offset) {
  ptrdiff_t i = (ptrdiff_t)threadIdx.x;
  y[i] = x[i + offset];
}
ZH_KERNEL void copy_to(zh_global<float> y, zh_global<const float> x, ptrdiff_t offset) {
  ptrdiff_t i = (ptrdiff_t)threadIdx.x;
  y[i + offset] = x[i];
}

static void bounds_of_global_memory(void **) {
  buffer<float> x(64), y(64);
  must_pass([&] { ZH_LAUNCH(copy_from, 1, 64, 0, nullptr, y.to(), x.from(), 0); });
  must_report("kernel 'copy_from', block (0,0,0), thread (63,0,0), test_memory.cc:9: ",
              "reads 4 bytes at byte 256 (index 64",
              [&] { ZH_LAUNCH(copy_from, 1, 64, 0, nullptr, y.to(), x.from(), 1); });
  must_report("thread (0,0,0)", "reads 4 bytes at byte -4 (index -1",
              [&] { ZH_LAUNCH(copy_from, 1, 64, 0, nullptr, y.to(), x.from(), -1); });
  must_report("copy_to", "writes 4 bytes at byte 256",
              [&] { ZH_LAUNCH(copy_to, 1, 64, 0, nullptr, y.to(), x.from(), 1); });
  must_report("copy_from", "no allocation", [&] {
    float host[64] = {0};
    ZH_LAUNCH(copy_from, 1, 64, 0, nullptr, y.to(), zh_at<const float>(host), 0);
  });
}

static void large_memory_has_bounds_too(void **) {
  buffer<float> x((size_t)1 << 20), y(32); /* reads of it are not kept */
  ptrdiff_t end = (ptrdiff_t)x.count - 32;
  must_pass([&] { ZH_LAUNCH(copy_from, 1, 32, 0, nullptr, y.to(), x.from(), end); });
  must_report("copy_from", "reads 4 bytes",
              [&] { ZH_LAUNCH(copy_from, 1, 32, 0, nullptr, y.to(), x.from(), end + 1); });
  float *huge = nullptr; /* of this nothing is kept but its bounds */
  size_t count = (size_t)17 << 20;
  assert_int_equal(cudaMalloc(&huge, count * 4), cudaSuccess);
  auto last = [&] { return zh_at<float>(huge + count - 32); };
  must_pass([&] { ZH_LAUNCH(copy_to, 1, 32, 0, nullptr, last(), y.from(), 0); });
  must_report("copy_to", "which has 71303168 bytes",
              [&] { ZH_LAUNCH(copy_to, 1, 32, 0, nullptr, last(), y.from(), 1); });
  assert_int_equal(cudaFree(huge), cudaSuccess);
}

ZH_KERNEL void copy_wide(zh_global<uint32_t> y, zh_global<const uint32_t> x, size_t offset) {
  zh_store(y, 4 * threadIdx.x, zh_load<uint4>(x, 4 * threadIdx.x + offset));
}

static void wide_loads_must_be_aligned(void **) {
  buffer<uint32_t> x(40), y(32);
  must_pass([&] { ZH_LAUNCH(copy_wide, 1, 8, 0, nullptr, y.to(), x.from(), 4); });
  must_report("copy_wide", "no multiple of 16",
              [&] { ZH_LAUNCH(copy_wide, 1, 8, 0, nullptr, y.to(), x.from(), 2); });
  must_report("copy_wide", "reads 16 bytes at byte 160",
              [&] { ZH_LAUNCH(copy_wide, 1, 8, 0, nullptr, y.to(), x.from(), 12); });
}

static void freed_memory_is_known(void **) {
  buffer<float> y(32);
  must_report("copy_from", "has been freed", [&] {
    float *x = nullptr;
    assert_int_equal(cudaMalloc(&x, 128), cudaSuccess);
    zh_global<const float> from = zh_at<const float>(x);
    assert_int_equal(cudaFree(x), cudaSuccess);
    ZH_LAUNCH(copy_from, 1, 32, 0, nullptr, y.to(), from, 0);
  });
}

ZH_KERNEL void read_twice(zh_global<float> y, zh_global<const uint32_t> x) {
  uint4 v = zh_load_once(x, 4 * threadIdx.x);
  y[threadIdx.x] = zh_float(v.x);
}
ZH_KERNEL void write_and_read_once(zh_global<uint32_t> x, zh_global<float> y) {
  x[4 * threadIdx.x] = 7 + threadIdx.x;
  y[threadIdx.x] = zh_float(zh_load_once(x, 4 * threadIdx.x).x);
}

static void memory_that_is_read_once_must_be_constant(void **) {
  buffer<uint32_t> x(128);
  buffer<float> y(32);
  must_pass([&] { ZH_LAUNCH(read_twice, 1, 32, 0, nullptr, y.to(), x.from()); });
  must_report("write_and_read_once", "has written",
              [&] { ZH_LAUNCH(write_and_read_once, 1, 32, 0, nullptr, x.to(), y.to()); });
}

/* --- races in global memory --- */

ZH_KERNEL void write_block_number(zh_global<int> y) {
  if (threadIdx.x == 0) y[0] = (int)blockIdx.x;
}
ZH_KERNEL void write_same(zh_global<int> y) {
  y[0] = 5;
}
ZH_KERNEL void write_same_and_read(zh_global<int> y, int value) {
  y[0] = value;
  y[1 + blockIdx.x] = y[0];
}
ZH_KERNEL void count_all(zh_global<int> y) {
  atomicAdd(&y[0], 1);
}
ZH_KERNEL void add_plainly(zh_global<int> y) {
  y[0] += 1;
}
ZH_KERNEL void read_of_next_block(zh_global<int> y) {
  int next = (int)((blockIdx.x + 1) % gridDim.x);
  if (threadIdx.x == 0) y[blockIdx.x] = (int)blockIdx.x + 1;
  __syncthreads();
  if (threadIdx.x == 1) y[gridDim.x + blockIdx.x] = y[next];
}
ZH_KERNEL void read_of_next_thread(zh_global<int> y, bool waits) {
  unsigned next = (threadIdx.x + 1) % blockDim.x;
  y[threadIdx.x] = (int)threadIdx.x + 1;
  if (waits) __syncthreads();
  y[blockDim.x + threadIdx.x] = y[next];
}
/* Adds up in the block that comes last. */
ZH_KERNEL void last_block_sums(zh_global<int> part, zh_global<int> out, zh_global<unsigned> count,
                               bool fences) {
  ZH_SHARED(int, last, 1);
  if (threadIdx.x == 0) {
    part[blockIdx.x] = (int)blockIdx.x + 1;
    if (fences) __threadfence();
    last[0] = atomicAdd(count, 1u) + 1 == gridDim.x;
  }
  __syncthreads();
  if (last[0] && threadIdx.x == 1) {
    int sum = 0;
    for (unsigned b = 0; b < gridDim.x; b++) sum += part[b];
    out[0] = sum;
  }
}

static void races_between_blocks(void **) {
  buffer<int> y(64);
  must_report("write_block_number",
              "race: writes byte 0 of global memory, which thread (0,0,0) of block",
              [&] { ZH_LAUNCH(write_block_number, 4, 32, 0, nullptr, y.to()); });
  must_pass([&] { ZH_LAUNCH(write_block_number, 1, 32, 0, nullptr, y.to()); });
  must_pass([&] { ZH_LAUNCH(write_same, 4, 64, 0, nullptr, y.to()); });
  must_report("write_same_and_read", "race: reads byte 0 of global memory",
              [&] { ZH_LAUNCH(write_same_and_read, 4, 1, 0, nullptr, y.to(), 6); });
  must_pass([&] { ZH_LAUNCH(write_same_and_read, 1, 1, 0, nullptr, y.to(), 7); });
  must_pass([&] { ZH_LAUNCH(count_all, 4, 64, 0, nullptr, y.to()); });
  must_report("add_plainly", "race", [&] { ZH_LAUNCH(add_plainly, 2, 1, 0, nullptr, y.to()); });
  must_report("read_of_next_block", "race",
              [&] { ZH_LAUNCH(read_of_next_block, 8, 32, 0, nullptr, y.to()); });
  must_pass([&] { ZH_LAUNCH(read_of_next_block, 1, 32, 0, nullptr, y.to()); });
}

static void races_between_threads(void **) {
  buffer<int> y(128);
  must_report("read_of_next_thread", "race",
              [&] { ZH_LAUNCH(read_of_next_thread, 1, 64, 0, nullptr, y.to(), false); });
  must_pass([&] { ZH_LAUNCH(read_of_next_thread, 1, 64, 0, nullptr, y.to(), true); });
}

static void the_last_block_may_read_what_was_fenced(void **) {
  buffer<int> part(9), out(1);
  buffer<unsigned> count(1);
  auto run = [&](bool fences) {
    count.put({0});
    ZH_LAUNCH(last_block_sums, 9, 32, 0, nullptr, part.to(), out.to(), count.to(), fences);
  };
  must_pass([&] { run(true); });
  assert_int_equal(out.get()[0], 45);
  must_report("last_block_sums", "race", [&] { run(false); });
}

/* --- shared memory --- */

ZH_KERNEL void reverse(zh_global<int> y, int barrier, unsigned reach) {
  ZH_SHARED(int, s, 64);
  s[threadIdx.x] = (int)threadIdx.x;
  if (barrier == 1) __syncthreads();
  if (barrier == 2) __syncwarp();
  y[threadIdx.x] = s[threadIdx.x ^ reach];
}

static void a_barrier_orders_shared_memory(void **) {
  buffer<int> y(64);
  must_pass([&] { ZH_LAUNCH(reverse, 2, 64, 0, nullptr, y.to(), 1, 63u); });
  for (int i = 0; i < 64; i++) assert_int_equal(y.get()[(size_t)i], 63 - i);
  must_report("reverse", "shared memory",
              [&] { ZH_LAUNCH(reverse, 1, 64, 0, nullptr, y.to(), 0, 63u); });
  must_pass([&] { ZH_LAUNCH(reverse, 1, 64, 0, nullptr, y.to(), 2, 31u); });
  must_report("reverse", "shared memory",
              [&] { ZH_LAUNCH(reverse, 1, 64, 0, nullptr, y.to(), 2, 63u); });
}

ZH_KERNEL void lane_talks_to_next(zh_global<int> y, bool fenced_by_shuffle) {
  ZH_SHARED(int, s, 32);
  unsigned next = (threadIdx.x + 1) % 32;
  s[threadIdx.x] = (int)threadIdx.x;
  if (fenced_by_shuffle)
    __shfl_xor_sync(0xFFFFFFFFu, 0, 1);
  else
    __syncwarp();
  int seen = s[next];
  __syncwarp();
  s[threadIdx.x] = seen;
  y[threadIdx.x] = seen;
}
ZH_KERNEL void half_a_warp_waits(zh_global<int> y, unsigned reach) {
  ZH_SHARED(int, s, 32);
  s[threadIdx.x] = (int)threadIdx.x;
  __syncwarp(threadIdx.x < 16 ? 0x0000FFFFu : 0xFFFF0000u);
  y[threadIdx.x] = s[threadIdx.x ^ reach];
}
/* 0 tells 1, then 1 tells 2: what 0 wrote has reached 2. */
ZH_KERNEL void handed_on(zh_global<int> y, bool first) {
  ZH_SHARED(int, s, 1);
  if (threadIdx.x == 0) s[0] = 42;
  if (first && threadIdx.x <= 1) __syncwarp(3u);
  if (threadIdx.x == 1 || threadIdx.x == 2) __syncwarp(6u);
  if (threadIdx.x == 2) y[0] = s[0];
}

static void only_syncwarp_orders_a_warp(void **) {
  buffer<int> y(64);
  must_pass([&] { ZH_LAUNCH(lane_talks_to_next, 1, 32, 0, nullptr, y.to(), false); });
  must_report("lane_talks_to_next", "race",
              [&] { ZH_LAUNCH(lane_talks_to_next, 1, 32, 0, nullptr, y.to(), true); });
  must_pass([&] { ZH_LAUNCH(half_a_warp_waits, 1, 32, 0, nullptr, y.to(), 15u); });
  must_report("half_a_warp_waits", "shared memory",
              [&] { ZH_LAUNCH(half_a_warp_waits, 1, 32, 0, nullptr, y.to(), 31u); });
  must_pass([&] { ZH_LAUNCH(handed_on, 1, 32, 0, nullptr, y.to(), true); });
  must_report("handed_on", "shared memory",
              [&] { ZH_LAUNCH(handed_on, 1, 32, 0, nullptr, y.to(), false); });
}

ZH_KERNEL void all_write_one(zh_global<int> y, bool by_atomic) {
  ZH_SHARED(int, s, 1);
  if (threadIdx.x == 0) s[0] = 0;
  __syncthreads();
  if (by_atomic)
    atomicAdd(&s[0], 1);
  else
    s[0] = (int)threadIdx.x;
  __syncthreads();
  if (threadIdx.x == 3) y[0] = s[0];
}
ZH_KERNEL void writes_what_others_read(zh_global<int> y, bool waits) {
  ZH_SHARED(int, s, 1);
  if (threadIdx.x == 0) s[0] = 1;
  __syncthreads();
  int seen = s[0];
  if (waits) __syncthreads();
  if (threadIdx.x == 40) s[0] = 2;
  y[threadIdx.x] = seen;
}

static void races_in_shared_memory(void **) {
  buffer<int> y(64);
  must_report("all_write_one", "race: writes byte 0 of shared memory",
              [&] { ZH_LAUNCH(all_write_one, 1, 48, 0, nullptr, y.to(), false); });
  must_pass([&] { ZH_LAUNCH(all_write_one, 1, 48, 0, nullptr, y.to(), true); });
  assert_int_equal(y.get()[0], 48);
  must_report("writes_what_others_read", "race",
              [&] { ZH_LAUNCH(writes_what_others_read, 1, 64, 0, nullptr, y.to(), false); });
  must_pass([&] { ZH_LAUNCH(writes_what_others_read, 1, 64, 0, nullptr, y.to(), true); });
}

/* Neighbours of one word are no race. */
ZH_KERNEL void bytes_of_a_word(zh_global<uint8_t> y) {
  ZH_SHARED(uint8_t, s, 64);
  s[threadIdx.x] = (uint8_t)(threadIdx.x * 3);
  __syncthreads();
  y[threadIdx.x] = s[63 - threadIdx.x];
}

static void bytes_are_told_apart(void **) {
  buffer<uint8_t> y(64);
  must_pass([&] { ZH_LAUNCH(bytes_of_a_word, 2, 64, 0, nullptr, y.to()); });
  for (unsigned i = 0; i < 64; i++) assert_int_equal(y.get()[i], (63 - i) * 3);
}

ZH_KERNEL void reads_unset(zh_global<int> y, bool sets, unsigned shift) {
  ZH_SHARED(int, first, 32);
  ZH_SHARED(int, s, 32);
  first[threadIdx.x] = 1;
  if (sets || threadIdx.x != 9) s[threadIdx.x] = 2;
  __syncthreads();
  y[threadIdx.x] = first[threadIdx.x] + s[threadIdx.x + shift];
}
ZH_KERNEL void parts(zh_global<int> y, size_t offset, size_t count) {
  ZH_SHARED_DYNAMIC(bytes);
  zh_shared<uint8_t> low = zh_part<uint8_t>(bytes, 0, 32);
  zh_shared<int> high = zh_part<int>(bytes, offset, count);
  low[threadIdx.x] = 1;
  high[threadIdx.x] = (int)threadIdx.x;
  __syncthreads();
  y[threadIdx.x] = high[31 - threadIdx.x] + low[threadIdx.x];
}

static void shared_memory_has_bounds_and_begins_unset(void **) {
  buffer<int> y(32);
  must_pass([&] { ZH_LAUNCH(reads_unset, 3, 32, 0, nullptr, y.to(), true, 0u); });
  must_report("reads_unset", "nobody has written",
              [&] { ZH_LAUNCH(reads_unset, 3, 32, 0, nullptr, y.to(), false, 0u); });
  must_report("reads_unset", "index 32 of such) of shared memory of 128 bytes",
              [&] { ZH_LAUNCH(reads_unset, 1, 32, 0, nullptr, y.to(), true, 1u); });
  must_pass([&] { ZH_LAUNCH(parts, 1, 32, 160, nullptr, y.to(), (size_t)32, (size_t)32); });
  must_report("parts", "shared memory of 124 bytes",
              [&] { ZH_LAUNCH(parts, 1, 32, 160, nullptr, y.to(), (size_t)32, (size_t)31); });
  must_report("parts", "a part of 128 bytes from byte 36",
              [&] { ZH_LAUNCH(parts, 1, 32, 160, nullptr, y.to(), (size_t)36, (size_t)32); });
  must_report("parts", "aligned to 4",
              [&] { ZH_LAUNCH(parts, 1, 32, 200, nullptr, y.to(), (size_t)33, (size_t)32); });
}

ZH_KERNEL void much_shared(zh_global<int> y) {
  ZH_SHARED(int, s, 13000);
  s[threadIdx.x] = 1;
  y[threadIdx.x] = s[threadIdx.x];
}
ZH_KERNEL void wide_shared(zh_global<int> y, size_t offset) {
  ZH_SHARED(uint16_t, s, 512);
  zh_store(s, 8 * threadIdx.x + offset, make_uint4(1, 2, 3, 4));
  y[threadIdx.x] = (int)zh_load<uint4>(s, 8 * threadIdx.x + offset).w;
}

static void shared_memory_is_small_and_aligned(void **) {
  buffer<int> y(32);
  must_report("much_shared", "shared memory 's' of 52000 bytes",
              [&] { ZH_LAUNCH(much_shared, 1, 32, 0, nullptr, y.to()); });
  must_pass([&] { ZH_LAUNCH(wide_shared, 1, 32, 0, nullptr, y.to(), (size_t)8); });
  must_report("wide_shared", "no multiple of 16",
              [&] { ZH_LAUNCH(wide_shared, 1, 32, 0, nullptr, y.to(), (size_t)4); });
}

/* --- copies that go on meanwhile --- */

enum copy_fault { NO_FAULT, NO_WAIT, NO_BARRIER, TOO_FEW_WAITED, STILL_READ };
ZH_KERNEL void copies(zh_global<uint32_t> y, zh_global<const uint32_t> x, int wrong) {
  ZH_SHARED(uint32_t, s, 256);
  unsigned t = threadIdx.x, other = (t + 32) % 64;
  for (unsigned half = 0; half < 2; half++) {
    if (t < 32) zh_copy_async(s, 128 * half + 4 * t, x, 128 * half + 4 * t, t != 5);
    zh_copies_commit();
  }
  if (wrong == TOO_FEW_WAITED)
    zh_copies_wait<2>();
  else if (wrong != NO_WAIT)
    zh_copies_wait<1>();
  if (wrong != NO_BARRIER) __syncthreads();
  y[t] = s[t] + s[other];
  if (wrong != STILL_READ) __syncthreads();
  if (wrong == NO_WAIT) return;
  if (t < 32) zh_copy_async(s, 4 * t, x, 4 * t, true);
  zh_copies_commit();
  zh_copies_wait<0>();
  __syncthreads();
  y[64 + t] = s[128 + t] + s[t];
}

static void copies_arrive_when_they_are_waited_for(void **) {
  std::vector<uint32_t> values(256);
  for (uint32_t i = 0; i < 256; i++) values[i] = i * i;
  buffer<uint32_t> x(values), y(128);
  auto run = [&](int wrong) { ZH_LAUNCH(copies, 1, 64, 0, nullptr, y.to(), x.from(), wrong); };
  must_pass([&] { run(NO_FAULT); });
  std::vector<uint32_t> out = y.get();
  for (uint32_t t = 0; t < 64; t++) {
    uint32_t o = (t + 32) % 64;
    assert_int_equal(out[t], (t / 4 == 5 ? 0 : t * t) + (o / 4 == 5 ? 0 : o * o));
    assert_int_equal(out[64 + t], (t / 4 == 5 ? 0 : (128 + t) * (128 + t)) + t * t);
  }
  must_report("copies", "has not been waited for", [&] { run(NO_WAIT); });
  must_report("copies", "has not been waited for", [&] { run(TOO_FEW_WAITED); });
  must_report("copies", "shared memory", [&] { run(NO_BARRIER); });
  must_report("copies", "race", [&] { run(STILL_READ); });
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bounds_of_global_memory),
      cmocka_unit_test(large_memory_has_bounds_too),
      cmocka_unit_test(wide_loads_must_be_aligned),
      cmocka_unit_test(freed_memory_is_known),
      cmocka_unit_test(memory_that_is_read_once_must_be_constant),
      cmocka_unit_test(races_between_blocks),
      cmocka_unit_test(races_between_threads),
      cmocka_unit_test(the_last_block_may_read_what_was_fenced),
      cmocka_unit_test(a_barrier_orders_shared_memory),
      cmocka_unit_test(only_syncwarp_orders_a_warp),
      cmocka_unit_test(races_in_shared_memory),
      cmocka_unit_test(bytes_are_told_apart),
      cmocka_unit_test(shared_memory_has_bounds_and_begins_unset),
      cmocka_unit_test(shared_memory_is_small_and_aligned),
      cmocka_unit_test(copies_arrive_when_they_are_waited_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
