/* Products of a warp against plain loops, and where each element lies against the formulas of the
 * PTX ISA ("Matrix Fragments for mma.m16n8k16 with floating point type", "… mma.m16n8k32",
 * "ldmatrix"), which are written here as they stand there: by lane and number, not by element. */
#include <math.h>

#include "try.h"

/* Of one lane: the numbers of a fragment in the order a0, a1 … */
struct place {
  int row, column;
};
static place a_of_k16(int lane, int i) {
  int group = lane >> 2, in_group = lane % 4;
  int row = (0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8;
  return place{row, in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
}
static place b_of_k16(int lane, int i) {
  return place{lane % 4 * 2 + (i & 1) + (i >= 2 ? 8 : 0), lane >> 2};
}
static place a_of_k32(int lane, int i) {
  int group = lane >> 2, in_group = lane % 4;
  int row = (0 <= i && i < 4) || (8 <= i && i < 12) ? group : group + 8;
  return place{row, in_group * 4 + (i & 3) + (i >= 8 ? 16 : 0)};
}
static place b_of_k32(int lane, int i) {
  return place{lane % 4 * 4 + (i & 3) + (i >= 4 ? 16 : 0), lane >> 2};
}
static place d_of_n8(int lane, int i) {
  return place{i < 2 ? lane >> 2 : (lane >> 2) + 8, lane % 4 * 2 + (i & 1)};
}

ZH_KERNEL void one_product(zh_global<float> d, zh_global<const uint32_t> a,
                           zh_global<const uint32_t> b, bool f16) {
  uint32_t mine_a[4], mine_b[2];
  float mine_d[4];
  for (int i = 0; i < 4; i++) mine_a[i] = a[threadIdx.x * 4 + i];
  for (int i = 0; i < 2; i++) mine_b[i] = b[threadIdx.x * 2 + i];
  for (int i = 0; i < 4; i++) mine_d[i] = d[threadIdx.x * 4 + i];
  if (f16)
    zh_mma_f16(mine_d, mine_a, mine_b);
  else
    zh_mma_bf16(mine_d, mine_a, mine_b);
  for (int i = 0; i < 4; i++) d[threadIdx.x * 4 + i] = mine_d[i];
}
ZH_KERNEL void one_product_of_bytes(zh_global<int32_t> d, zh_global<const uint32_t> a,
                                    zh_global<const uint32_t> b) {
  uint32_t mine_a[4], mine_b[2];
  int32_t mine_d[4];
  for (int i = 0; i < 4; i++) mine_a[i] = a[threadIdx.x * 4 + i];
  for (int i = 0; i < 2; i++) mine_b[i] = b[threadIdx.x * 2 + i];
  for (int i = 0; i < 4; i++) mine_d[i] = d[threadIdx.x * 4 + i];
  zh_mma_int8(mine_d, mine_a, mine_b);
  for (int i = 0; i < 4; i++) d[threadIdx.x * 4 + i] = mine_d[i];
}

/* Small numbers that bf16 and f16 hold, and whose sums fp32 holds: (n - 8) / 4. */
static float number_of(int n) {
  return (float)(n * 7 % 17 - 8) * 0.25f;
}
static uint32_t bits16(float x, bool f16) {
  uint32_t bits = zh_bits(x);
  if (!f16) return bits >> 16;
  if (x == 0) return 0;
  return (bits >> 16 & 0x8000u) | ((bits >> 23 & 255u) - 112u) << 10 | (bits >> 13 & 1023u);
}

static void products_of_halves(bool f16) {
  float a[16][16], b[16][8], d[16][8];
  std::vector<uint32_t> of_a(128), of_b(64);
  std::vector<float> of_d(128);
  for (int r = 0; r < 16; r++)
    for (int k = 0; k < 16; k++) a[r][k] = number_of(r * 16 + k);
  for (int k = 0; k < 16; k++)
    for (int c = 0; c < 8; c++) b[k][c] = number_of(3 + 5 * k + c);
  for (int r = 0; r < 16; r++)
    for (int c = 0; c < 8; c++) d[r][c] = (float)(r - c);
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < 8; i++) {
      place p = a_of_k16(lane, i);
      of_a[(size_t)(lane * 4 + i / 2)] |= bits16(a[p.row][p.column], f16) << i % 2 * 16;
    }
    for (int i = 0; i < 4; i++) {
      place p = b_of_k16(lane, i), q = d_of_n8(lane, i);
      of_b[(size_t)(lane * 2 + i / 2)] |= bits16(b[p.row][p.column], f16) << i % 2 * 16;
      of_d[(size_t)(lane * 4 + i)] = d[q.row][q.column];
    }
  }
  buffer<uint32_t> on_a(of_a), on_b(of_b);
  buffer<float> on_d(of_d.size());
  must_pass([&] {
    on_d.put(of_d);
    ZH_LAUNCH(one_product, 1, 32, 0, nullptr, on_d.to(), on_a.from(), on_b.from(), f16);
  });
  std::vector<float> out = on_d.get();
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) {
      place q = d_of_n8(lane, i);
      double sum = d[q.row][q.column];
      for (int k = 0; k < 16; k++) sum += (double)a[q.row][k] * b[k][q.column];
      assert_true((double)out[(size_t)(lane * 4 + i)] == sum);
    }
}

static void products_of_bf16(void **) {
  products_of_halves(false);
}
static void products_of_f16(void **) {
  products_of_halves(true);
}

static void products_of_bytes(void **) {
  std::vector<uint32_t> of_a(128), of_b(64);
  std::vector<int32_t> of_d(128);
  int a[16][32], b[32][8];
  for (int r = 0; r < 16; r++)
    for (int k = 0; k < 32; k++) a[r][k] = (r * 37 + k * 11) % 256 - 128;
  for (int k = 0; k < 32; k++)
    for (int c = 0; c < 8; c++) b[k][c] = (c * 53 + k * 29) % 256 - 128;
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < 16; i++) {
      place p = a_of_k32(lane, i);
      of_a[(size_t)(lane * 4 + i / 4)] |= (uint32_t)(uint8_t)a[p.row][p.column] << i % 4 * 8;
    }
    for (int i = 0; i < 8; i++) {
      place p = b_of_k32(lane, i);
      of_b[(size_t)(lane * 2 + i / 4)] |= (uint32_t)(uint8_t)b[p.row][p.column] << i % 4 * 8;
    }
  }
  for (size_t i = 0; i < 128; i++) of_d[i] = (int32_t)i * 1000;
  buffer<uint32_t> on_a(of_a), on_b(of_b);
  buffer<int32_t> on_d(of_d);
  must_pass([&] {
    on_d.put(of_d);
    ZH_LAUNCH(one_product_of_bytes, 1, 32, 0, nullptr, on_d.to(), on_a.from(), on_b.from());
  });
  std::vector<int32_t> out = on_d.get();
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) {
      place q = d_of_n8(lane, i);
      int sum = of_d[(size_t)(lane * 4 + i)];
      for (int k = 0; k < 32; k++) sum += a[q.row][k] * b[k][q.column];
      assert_int_equal(out[(size_t)(lane * 4 + i)], sum);
    }
}

ZH_KERNEL void one_product_of_e4m3(zh_global<float> d, zh_global<const uint32_t> a,
                                   zh_global<const uint32_t> b) {
  uint32_t mine_a[4], mine_b[2];
  float mine_d[4];
  for (int i = 0; i < 4; i++) mine_a[i] = a[threadIdx.x * 4 + i];
  for (int i = 0; i < 2; i++) mine_b[i] = b[threadIdx.x * 2 + i];
  for (int i = 0; i < 4; i++) mine_d[i] = d[threadIdx.x * 4 + i];
  zh_mma_e4m3(mine_d, mine_a, mine_b);
  for (int i = 0; i < 4; i++) d[threadIdx.x * 4 + i] = mine_d[i];
}

/* Whole numbers from -8 to 8 in E4M3, and subnormal ones: 2^-9 of them. */
static uint32_t bits_of_e4m3(int n, bool tiny) {
  uint32_t sign = n < 0 ? 128u : 0u, size = (uint32_t)abs(n), exponent = 7;
  if (tiny) return sign | (size & 7u);
  if (size == 0) return 0;
  while (size >> 1 >= 1u << (exponent - 7)) exponent++;
  return sign | exponent << 3 | ((size << 3 >> (exponent - 7)) & 7u);
}
static float value_of_e4m3(int n, bool tiny) {
  return tiny ? (float)(n % 8) / 512 : (float)n;
}

static void products_of_e4m3_with(bool tiny) {
  std::vector<uint32_t> of_a(128), of_b(64);
  std::vector<float> of_d(128);
  int a[16][32], b[32][8];
  for (int r = 0; r < 16; r++)
    for (int k = 0; k < 32; k++) a[r][k] = (r * 5 + k * 3) % 17 - 8;
  for (int k = 0; k < 32; k++)
    for (int c = 0; c < 8; c++) b[k][c] = (c * 7 + k * 11) % 15 - 7;
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < 16; i++) {
      place p = a_of_k32(lane, i);
      of_a[(size_t)(lane * 4 + i / 4)] |= bits_of_e4m3(a[p.row][p.column], tiny) << i % 4 * 8;
    }
    for (int i = 0; i < 8; i++) {
      place p = b_of_k32(lane, i);
      of_b[(size_t)(lane * 2 + i / 4)] |= bits_of_e4m3(b[p.row][p.column], false) << i % 4 * 8;
    }
  }
  for (size_t i = 0; i < 128; i++) of_d[i] = value_of_e4m3((int)i % 5, tiny);
  buffer<uint32_t> on_a(of_a), on_b(of_b);
  buffer<float> on_d(of_d);
  must_pass([&] {
    on_d.put(of_d);
    ZH_LAUNCH(one_product_of_e4m3, 1, 32, 0, nullptr, on_d.to(), on_a.from(), on_b.from());
  });
  std::vector<float> out = on_d.get();
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) {
      place q = d_of_n8(lane, i);
      float sum = of_d[(size_t)(lane * 4 + i)]; /* exact: whole numbers of at most 11 bits */
      for (int k = 0; k < 32; k++) sum += value_of_e4m3(a[q.row][k], tiny) * (float)b[k][q.column];
      assert_true(out[(size_t)(lane * 4 + i)] == sum);
    }
}
static void products_of_e4m3(void **) {
  products_of_e4m3_with(false);
  products_of_e4m3_with(true);
}

/* 448 448 and thirty-one times 4 6: what is below 2^(17 - 13) of it is cut, and of a sum below 13
 * bits. */
static void sums_of_e4m3_keep_13_bits(void **) {
  float a[32], b[32];
  for (int k = 0; k < 32; k++) a[k] = k ? 4 : 448, b[k] = k ? 6 : 448;
  assert_true(zh_shim::add_e4m3(0, a, b) == 200704 + 31 * 16);
  b[0] = -448;
  assert_true(zh_shim::add_e4m3(0, a, b) == -200704 + 31 * 16);
  assert_true(zh_shim::add_e4m3(262144 + 48, a, b) == 262144 + 32 - 200704 + 31 * 0);
  for (int k = 0; k < 32; k++) a[k] = 1, b[k] = 0;
  assert_true(zh_shim::add_e4m3(16384 + 1, a, b) == 16384);
  a[3] = NAN;
  assert_true(isnan(zh_shim::add_e4m3(1, a, b)));
}

/* Each product rounds its sum once, k ascending. */
static void sums_are_rounded_as_is_stated(void **) {
  std::vector<uint32_t> of_a(128), of_b(64, 0x3F803F80u); /* b: ones */
  std::vector<float> of_d(128, 16777216.0f);              /* 2^24: 1 is half a step */
  for (int lane = 0; lane < 32; lane++) of_a[(size_t)lane * 4] = 0x3F803F80u;
  buffer<uint32_t> on_a(of_a), on_b(of_b);
  buffer<float> on_d(of_d);
  ZH_LAUNCH(one_product, 1, 32, 0, nullptr, on_d.to(), on_a.from(), on_b.from(), false);
  assert_int_equal(cudaStreamSynchronize(nullptr), cudaSuccess);
  assert_true(on_d.get()[0] == 16777216.0f); /* eight ones, each lost */
}

ZH_KERNEL void load_four(zh_global<uint32_t> y, zh_global<const uint16_t> x, bool transposed,
                         size_t shift) {
  ZH_SHARED(uint16_t, s, 8 * 32 + 8);
  uint32_t r[4];
  for (unsigned i = threadIdx.x; i < 256; i += 32) s[i] = x[i];
  __syncthreads();
  if (transposed)
    zh_load_matrices_transposed(r, s, 8 * threadIdx.x + shift);
  else
    zh_load_matrices(r, s, 8 * threadIdx.x + shift);
  for (int m = 0; m < 4; m++) y[threadIdx.x * 4 + m] = r[m];
}
/* A thread of the warp stays away. */
ZH_KERNEL void load_with_31(zh_global<uint32_t> y) {
  ZH_SHARED(uint16_t, s, 256);
  uint32_t r[4] = {0, 0, 0, 0};
  zh_store(s, 8 * threadIdx.x, make_uint4(1, 2, 3, 4));
  if (threadIdx.x != 30) zh_load_matrices(r, s, 8 * threadIdx.x);
  y[threadIdx.x] = r[0];
}

static void matrices_are_loaded(void **) {
  std::vector<uint16_t> of_x(256);
  for (size_t i = 0; i < 256; i++) of_x[i] = (uint16_t)(i * 257);
  buffer<uint16_t> x(of_x);
  buffer<uint32_t> y(128);
  for (bool transposed : {false, true}) {
    must_pass(
        [&] { ZH_LAUNCH(load_four, 1, 32, 0, nullptr, y.to(), x.from(), transposed, (size_t)0); });
    std::vector<uint32_t> out = y.get();
    for (size_t lane = 0; lane < 32; lane++)
      for (size_t m = 0; m < 4; m++)
        for (size_t half = 0; half < 2; half++) {
          size_t row = lane / 4, column = lane % 4 * 2 + half;
          size_t at = transposed ? column * 8 + row : row * 8 + column;
          assert_int_equal(out[lane * 4 + m] >> half * 16 & 0xFFFFu, of_x[m * 64 + at]);
        }
  }
  must_report("load_four", "no multiple of 16",
              [&] { ZH_LAUNCH(load_four, 1, 32, 0, nullptr, y.to(), x.from(), false, (size_t)2); });
  must_report("load_with_31", "zh_load_matrices takes all 32 threads",
              [&] { ZH_LAUNCH(load_with_31, 1, 32, 0, nullptr, y.to()); });
}

static void small_functions_are_cudas(void **) {
  assert_int_equal(__dp4a(0x01FF7F80, 0x02030405, 10), 10 + 2 - 3 + 127 * 4 - 128 * 5);
  assert_int_equal(__dp4a(0x01FF7F80u, 0x02030405u, 10u), 10 + 2 + 255 * 3 + 127 * 4 + 128 * 5);
  assert_int_equal(__byte_perm(0x33221100u, 0x77665544u, 0x7250u), 0x77225500u);
  assert_int_equal(__byte_perm(0x00008000u, 0, 0x9991u), 0xFFFFFF80u);
  assert_int_equal(__brev(0x80000001u), 0x80000001u);
  assert_int_equal(__brev(1u << 5), 1u << 26);
  assert_int_equal(__clz(1), 31);
  assert_int_equal(__clz(0), 32);
  assert_int_equal(__umulhi(0xFFFFFFFFu, 0xFFFFFFFFu), 0xFFFFFFFEu);
  assert_true(__umul64hi(~0ull, ~0ull) == ~0ull - 1);
  assert_int_equal(__float2int_rn(2.5f), 2);
  assert_int_equal(__float2int_rn(-3.5f), -4);
  assert_int_equal(__float2int_rn(1e20f), 2147483647);
  assert_int_equal(__float2int_rn(NAN), 0);
  assert_true(rsqrtf(4.0f) == 0.5f && __saturatef(NAN) == 0.0f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(products_of_bf16),    cmocka_unit_test(products_of_f16),
      cmocka_unit_test(products_of_bytes),   cmocka_unit_test(sums_are_rounded_as_is_stated),
      cmocka_unit_test(products_of_e4m3),    cmocka_unit_test(sums_of_e4m3_keep_13_bits),
      cmocka_unit_test(matrices_are_loaded), cmocka_unit_test(small_functions_are_cudas),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
