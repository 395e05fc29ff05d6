/* Hopper's words as the shim plays them, against plain loops and formulas, and the plain functions
 * by which kernels lay tiles out and order them (kernels/cuda/hopper_layout.h), against the PTX
 * ISA's: descriptors decoded bit by bit, the 128-byte swizzle as it permutes sixteen-byte chunks.
 */
#include "try.h"

#include "kernels/cuda/hopper.cuh"

/* --- layout --- */

/* PTX ISA, "Matrix-descriptor format", and "Shared Memory Matrix Layout" of K-major operands with
 * 128B swizzling: element (row, k) of bf16 stands in atom row / 8, in its line row % 8, in chunk
 * (k / 8) xor (row % 8). */
static uint32_t place_by_the_isa(uint64_t descriptor, uint32_t row, uint32_t k) {
  uint32_t start = (uint32_t)(descriptor & 0x3FFF) * 16,
           stride = (uint32_t)(descriptor >> 32 & 0x3FFF) * 16;
  uint32_t line = start % 1024 / 128, chunk = start % 128 / 16; /* where in an atom it starts */
  uint32_t atom = start / 1024 * 1024 + row / 8 * stride;
  assert_int_equal(line, 0);
  return atom + row % 8 * 128 + ((chunk + k / 8) ^ (row % 8)) * 16 + k % 8 * 2;
}

static void descriptors_lead_to_where_chunks_are_put(void **) {
  for (uint32_t tile = 0; tile < 224 << 10; tile += 8 << 10)
    for (uint32_t step = 0; step < 4; step++) {
      uint64_t d = zh_matrix_descriptor(tile) + step * 32 / 16;
      assert_int_equal(d >> 62, 1);           /* 128-byte swizzle */
      assert_int_equal(d >> 49 & 7, 0);       /* base offset */
      assert_int_equal(d >> 32 & 0x3FFF, 64); /* 1024 bytes from atom to atom */
      for (uint32_t row = 0; row < 128; row++)
        for (uint32_t k = 0; k < 16; k++)
          assert_int_equal(place_by_the_isa(d, row, k),
                           tile + zh_chunk_place(row, step * 2 + k / 8) + k % 8 * 2);
    }
}

static void tiles_are_visited_once_each(void **) {
  for (uint32_t tokens = 1; tokens < 20; tokens++)
    for (uint32_t rows = 1; rows < 12; rows++) {
      std::vector<int> seen(tokens * rows);
      for (uint32_t i = 0; i < tokens * rows; i++) {
        zh_tile_place at = zh_tile_at(i, tokens, rows);
        assert_true(at.tokens < tokens && at.rows < rows);
        assert_int_equal(seen[at.rows * tokens + at.tokens]++, 0);
        assert_int_equal(at.tokens / ZH_TOKEN_TILES_TOGETHER, i / (ZH_TOKEN_TILES_TOGETHER * rows));
      }
    }
}

static void a_ring_goes_round(void **) {
  zh_ring_place at = {0, 0};
  for (uint32_t i = 0; i < 12; i++) {
    assert_int_equal(at.stage, i % 3);
    assert_int_equal(at.parity, i / 3 % 2);
    zh_ring_next(at, 3);
  }
}

/* --- products out of copied tiles --- */

enum wrong { NOTHING, NEVER_WAITS_FOR_TILES, GIVES_BACK_EARLY, READS_EARLY, WRONG_LAYOUT, NO_ROOM };
enum { STAGES = 2, A_BYTES = 64 * 128, B_BYTES = 128 * 128, STAGE = A_BYTES + B_BYTES };

/* y[64][128] = a[64][64 steps] b[128][64 steps]; threads from 128 on copy. */
ZH_KERNEL void ring_product(const ZH_GRID_CONSTANT zh_tensor_map a,
                            const ZH_GRID_CONSTANT zh_tensor_map b, zh_global<float> y,
                            uint32_t steps, wrong how) {
  ZH_SHARED_DYNAMIC(all);
  zh_shared<unsigned char> stages = zh_part<unsigned char>(all, 0, STAGES * STAGE);
  zh_shared<uint64_t> barriers = zh_part<uint64_t>(all, STAGES * STAGE, 2 * STAGES);
  zh_ring_place at = {0, 0};
  if (threadIdx.x == 0)
    for (uint32_t i = 0; i < STAGES; i++) {
      zh_barrier_init(barriers, i, 1);
      zh_barrier_init(barriers, STAGES + i, 4);
    }
  __syncthreads();
  if (threadIdx.x >= 128) {
    for (uint32_t k = 0; k < steps && threadIdx.x == 128; k++) {
      zh_barrier_wait(barriers, STAGES + at.stage, at.parity ^ 1u);
      zh_barrier_expect(barriers, at.stage, STAGE);
      zh_tensor_load(stages + (at.stage * STAGE + (how == NO_ROOM ? 16 : 0)), a, k * 64, 0,
                     barriers, at.stage);
      zh_tensor_load(stages + (at.stage * STAGE + A_BYTES), b, k * 64, 0, barriers, at.stage);
      zh_ring_next(at, STAGES);
    }
    return;
  }
  float sum[ZH_WGMMA_SUMS] = {};
  for (uint32_t k = 0; k < steps; k++) {
    if (how != NEVER_WAITS_FOR_TILES) zh_barrier_wait(barriers, at.stage, at.parity);
    uint32_t from = zh_shared_address(stages) + at.stage * STAGE;
    uint64_t of_a = zh_matrix_descriptor(from), of_b = zh_matrix_descriptor(from + A_BYTES);
    if (how == WRONG_LAYOUT) of_a &= ~(1ull << 62);
    zh_wgmma_fence();
    for (uint32_t i = 0; i < 4; i++) zh_wgmma_bf16(sum, of_a + 2 * i, of_b + 2 * i);
    zh_wgmma_commit();
    if (how != GIVES_BACK_EARLY && how != READS_EARLY) zh_wgmma_wait<0>();
    if (threadIdx.x % 32 == 0) zh_barrier_arrive(barriers, STAGES + at.stage);
    if (how == GIVES_BACK_EARLY) {
      for (int i = 0; i < 8; i++) __nanosleep(1);
      zh_wgmma_wait<0>();
    }
    zh_ring_next(at, STAGES);
  }
  uint32_t g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
  for (uint32_t e = 0; e < ZH_WGMMA_SUMS; e++)
    y[(threadIdx.x / 32 * 16 + g + e / 2 % 2 * 8) * 128 + e / 4 * 8 + 2 * c + e % 2] = sum[e];
}

static float number_of(size_t n) {
  return (float)((int)(n * 7 % 17) - 8) * 0.25f;
}

struct operand {
  size_t rows, columns, pitch;
  buffer<uint16_t> numbers;
  operand(size_t of_rows, size_t of_columns, size_t of_pitch)
      : rows(of_rows), columns(of_columns), pitch(of_pitch), numbers(of_rows * of_pitch) {
    std::vector<uint16_t> bits(rows * pitch, 0x7FC0); /* NaN behind the columns */
    for (size_t r = 0; r < rows; r++)
      for (size_t k = 0; k < columns; k++)
        bits[r * pitch + k] = (uint16_t)(zh_bits(value(r, k)) >> 16);
    numbers.put(bits);
  }
  float value(size_t r, size_t k) const {
    return r < rows && k < columns ? number_of(r * 31 + k) : 0;
  }
  zh_tensor_map map(uint32_t box_rows) const {
    return {zh_at<const unsigned char>(numbers.at), rows, columns, pitch * 2, box_rows};
  }
};

static bool is_product(const std::vector<float> &y, const operand &a, const operand &b) {
  for (size_t r = 0; r < 64; r++)
    for (size_t n = 0; n < 128; n++) {
      float sum = 0; /* exact */
      for (size_t k = 0; k < a.columns; k++) sum += a.value(r, k) * b.value(n, k);
      if (y[r * 128 + n] != sum) return false;
    }
  return true;
}

static void products_of_copied_tiles(void **) {
  operand a(50, 300, 304), b(128, 300, 320); /* fewer rows than a box, columns that end in one */
  buffer<float> y(64 * 128);
  auto launch = [&](uint32_t steps, wrong how) {
    return [&a, &b, &y, steps, how] {
      cudaFuncSetAttribute(ring_product, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           STAGES * STAGE + 64);
      ZH_LAUNCH(ring_product, 1, 160, STAGES * STAGE + 64, nullptr, a.map(64), b.map(128), y.to(),
                steps, how);
    };
  };
  must_pass([&] {
    launch(5, NOTHING)();
    assert_true(is_product(y.get(), a, b));
  });
  must_report("ring_product", "never waited for", launch(2, READS_EARLY));
  must_report("ring_product", "not of rows with 128-byte swizzle", launch(2, WRONG_LAYOUT));
  must_report("ring_product", "no multiple of 1024", launch(2, NO_ROOM));
  for (wrong how : {NEVER_WAITS_FOR_TILES, GIVES_BACK_EARLY}) { /* found where orders are such */
    int found = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
      zh_shim_forget(seed);
      launch(5, how)();
      bool failed = cudaStreamSynchronize(nullptr) != cudaSuccess;
      found += failed || !is_product(y.get(), a, b);
    }
    assert_true(found > SEEDS / 4);
    zh_shim_forget(1);
  }
}

/* y = a b of tiles that threads wrote: thread t a chunk of each line. */
ZH_KERNEL void written_product(zh_global<float> y, zh_global<const uint16_t> of_a,
                               zh_global<const uint16_t> of_b, bool fences) {
  ZH_SHARED_DYNAMIC(all);
  zh_shared<unsigned char> tiles = zh_part<unsigned char>(all, 0, STAGE);
  zh_shared<uint64_t> barriers = zh_part<uint64_t>(all, STAGE, 1);
  if (threadIdx.x == 0) zh_barrier_init(barriers, 0, 128);
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < 192 * 8; i += 128) {
    uint32_t row = i / 8, chunk = i % 8;
    if (row < 64)
      zh_store(tiles, zh_chunk_place(row, chunk), zh_load<uint4>(of_a, row * 64 + chunk * 8));
    else
      zh_store(tiles, A_BYTES + zh_chunk_place(row - 64, chunk),
               zh_load<uint4>(of_b, (row - 64) * 64 + chunk * 8));
  }
  if (fences) zh_async_fence();
  zh_barrier_arrive(barriers, 0);
  zh_barrier_wait(barriers, 0, 0);
  float sum[ZH_WGMMA_SUMS] = {};
  uint64_t a = zh_matrix_descriptor(zh_shared_address(tiles)),
           b = zh_matrix_descriptor(zh_shared_address(tiles) + A_BYTES);
  zh_wgmma_fence();
  for (uint32_t i = 0; i < 4; i++) zh_wgmma_bf16(sum, a + 2 * i, b + 2 * i);
  zh_wgmma_commit();
  zh_wgmma_wait<0>();
  uint32_t g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
  for (uint32_t e = 0; e < ZH_WGMMA_SUMS; e++)
    y[(threadIdx.x / 32 * 16 + g + e / 2 % 2 * 8) * 128 + e / 4 * 8 + 2 * c + e % 2] = sum[e];
}

static void products_of_written_tiles(void **) {
  operand a(64, 64, 64), b(128, 64, 64);
  buffer<float> y(64 * 128);
  auto launch = [&](bool fences) {
    return [&a, &b, &y, fences] {
      cudaFuncSetAttribute(written_product, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           STAGE + 16);
      ZH_LAUNCH(written_product, 1, 128, STAGE + 16, nullptr, y.to(), a.numbers.from(),
                b.numbers.from(), fences);
    };
  };
  must_pass([&] {
    launch(true)();
    assert_true(is_product(y.get(), a, b));
  });
  must_report("written_product", "did not fence", launch(false));
}

/* y = a b of E4M3, tiles of 128 columns that are copied; sums begin as something else. */
ZH_KERNEL void product_of_e4m3(const ZH_GRID_CONSTANT zh_tensor_map a,
                               const ZH_GRID_CONSTANT zh_tensor_map b, zh_global<float> y,
                               uint32_t steps) {
  ZH_SHARED_DYNAMIC(all);
  zh_shared<unsigned char> tiles = zh_part<unsigned char>(all, 0, STAGE);
  zh_shared<uint64_t> barriers = zh_part<uint64_t>(all, STAGE, 1);
  if (threadIdx.x == 0) zh_barrier_init(barriers, 0, 1);
  __syncthreads();
  float sum[ZH_WGMMA_SUMS];
  for (float &s : sum) s = 1000;
  for (uint32_t k = 0; k < steps; k++) {
    if (threadIdx.x == 0) {
      zh_barrier_expect(barriers, 0, STAGE);
      zh_tensor_load(tiles, a, k * ZH_BOX_BYTES, 0, barriers, 0);
      zh_tensor_load(tiles + A_BYTES, b, k * ZH_BOX_BYTES, 0, barriers, 0);
    }
    zh_barrier_wait(barriers, 0, k % 2);
    uint64_t of_a = zh_matrix_descriptor(zh_shared_address(tiles)),
             of_b = zh_matrix_descriptor(zh_shared_address(tiles) + A_BYTES);
    zh_wgmma_fence();
    for (uint32_t i = 0; i < 4; i++) zh_wgmma_e4m3(sum, of_a + 2 * i, of_b + 2 * i, k + i > 0);
    zh_wgmma_commit();
    zh_wgmma_wait<0>();
    __syncthreads();
  }
  uint32_t g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
  for (uint32_t e = 0; e < ZH_WGMMA_SUMS; e++)
    y[(threadIdx.x / 32 * 16 + g + e / 2 % 2 * 8) * 128 + e / 4 * 8 + 2 * c + e % 2] = sum[e];
}

/* Rows that end within a box, whose last bytes are no numbers in memory and zeros in the tile. */
static void products_of_tiles_of_bytes(void **) {
  enum { ROWS_A = 50, COLUMNS = 200, PITCH = 208 };
  auto number = [](uint32_t n) { return (float)(n * 7 % 9) - 4; };
  std::vector<uint8_t> of_a(64 * PITCH, 0x7F), of_b(128 * PITCH, 0x7F);
  for (uint32_t r = 0; r < 128; r++)
    for (uint32_t k = 0; k < COLUMNS; k++) {
      if (r < ROWS_A) of_a[r * PITCH + k] = zh_e4m3_of(number(r * 3 + k));
      of_b[r * PITCH + k] = zh_e4m3_of(number(r + k * 5));
    }
  buffer<uint8_t> a(of_a), b(of_b);
  buffer<float> y(64 * 128);
  zh_tensor_map map_a = {zh_at<const unsigned char>(a.at), ROWS_A, COLUMNS, PITCH, 64, 1},
                map_b = {zh_at<const unsigned char>(b.at), 128, COLUMNS, PITCH, 128, 1};
  must_pass([&] {
    cudaFuncSetAttribute(product_of_e4m3, cudaFuncAttributeMaxDynamicSharedMemorySize, STAGE + 16);
    ZH_LAUNCH(product_of_e4m3, 1, 128, STAGE + 16, nullptr, map_a, map_b, y.to(), 2u);
    std::vector<float> out = y.get();
    for (uint32_t r = 0; r < 64; r++)
      for (uint32_t n = 0; n < 128; n++) {
        float sum = 0; /* exact */
        for (uint32_t k = 0; r < ROWS_A && k < COLUMNS; k++)
          sum += number(r * 3 + k) * number(n + k * 5);
        assert_true(out[r * 128 + n] == sum);
      }
  });
}

ZH_KERNEL void waits_for_nobody(zh_global<float> y) {
  ZH_SHARED(uint64_t, barriers, 1);
  if (threadIdx.x == 0) zh_barrier_init(barriers, 0, 2);
  __syncthreads();
  if (threadIdx.x == 0) zh_barrier_arrive(barriers, 0);
  zh_barrier_wait(barriers, 0, 0);
  y[threadIdx.x] = 1;
}
ZH_KERNEL void arrives_at_none(zh_global<float> y) {
  ZH_SHARED(uint64_t, barriers, 1);
  zh_barrier_arrive(barriers, 0);
  y[threadIdx.x] = 1;
}

static void barriers_are_watched(void **) {
  buffer<float> y(64);
  must_report("waits_for_nobody", "1 arrivals and 0 bytes are missing",
              [&] { ZH_LAUNCH(waits_for_nobody, 1, 32, 0, nullptr, y.to()); });
  must_report("arrives_at_none", "not initialised",
              [&] { ZH_LAUNCH(arrives_at_none, 1, 32, 0, nullptr, y.to()); });
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(descriptors_lead_to_where_chunks_are_put),
                                     cmocka_unit_test(tiles_are_visited_once_each),
                                     cmocka_unit_test(a_ring_goes_round),
                                     cmocka_unit_test(products_of_copied_tiles),
                                     cmocka_unit_test(products_of_written_tiles),
                                     cmocka_unit_test(products_of_tiles_of_bytes),
                                     cmocka_unit_test(barriers_are_watched)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
