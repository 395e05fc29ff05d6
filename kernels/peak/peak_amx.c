/* Tiles: 16 rows of 64 bytes. tdpbf16ps adds a 16 x 32 by 32 x 16 product to 16 x 16 sums, tdpbssd
 * a 16 x 64 by 64 x 16 one; each keeps the unit busy for 16 cycles. Four tiles of sums, two of left
 * and two of right operands. */
#include "kernels/peak/peak.h"

#include <immintrin.h>
#include <string.h>

enum { ROWS = 16, ROW_BYTES = 64, TILE = ROWS * ROW_BYTES, SUMS = 4, SUM_COUNT = ROWS * 16 };

typedef struct tile_config {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_config;

static void tiles_begin(void) {
  _Alignas(64) tile_config config = {.palette = 1};
  for (int t = 0; t < 8; t++) {
    config.row_bytes[t] = ROW_BYTES;
    config.rows[t] = ROWS;
  }
  __asm__ volatile("" ::: "memory"); /* compilers do not see that the next instruction reads it */
  _tile_loadconfig(&config);
}

static void zero_sums(void) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

static void store_sums(void *sums) {
  char *p = sums;
  _tile_stored(0, p, ROW_BYTES);
  _tile_stored(1, p + TILE, ROW_BYTES);
  _tile_stored(2, p + 2 * TILE, ROW_BYTES);
  _tile_stored(3, p + 3 * TILE, ROW_BYTES);
}

/* left: tiles 4 and 5, right: 6 and 7. */
static void load_operands(const void *left, const void *right) {
  _tile_loadd(4, left, ROW_BYTES);
  _tile_loadd(5, (const char *)left + TILE, ROW_BYTES);
  _tile_loadd(6, right, ROW_BYTES);
  _tile_loadd(7, (const char *)right + TILE, ROW_BYTES);
}

/* A round is left[0] and left[1] times both right tiles, with the sums of each kept twice: tile 0
 * and 1 see left[0] first, 2 and 3 left[1] first. */
#define ROUND(product)                                                                             \
  do {                                                                                             \
    product(0, 4, 6);                                                                              \
    product(1, 4, 7);                                                                              \
    product(2, 5, 6);                                                                              \
    product(3, 5, 7);                                                                              \
    product(0, 5, 6);                                                                              \
    product(1, 5, 7);                                                                              \
    product(2, 4, 6);                                                                              \
    product(3, 4, 7);                                                                              \
  } while (0)

/* Of each 32 products of a sum only the first element's creep (peak.h): the block's bound holds
 * with 32 terms too. */
static void bf16_grid(int16_t *left, int16_t *right, uint64_t seed) {
  const int half = TILE / 2; /* elements a tile */
  zh_bf16_operands(left, 2, half, right, 2 * half, seed);
  for (int i = 0; i < half; i++)
    if (i % 32 != 0) left[half + i] = (int16_t)-left[i];
}

static double bf16_run(uint64_t rounds, uint64_t seed, double *checksum) {
  int16_t left[TILE], right[TILE];
  bf16_grid(left, right, seed);
  uint16_t a[TILE], b[TILE];
  for (int i = 0; i < TILE; i++) {
    a[i] = zh_bf16_of_grid(left[i]);
    b[i] = zh_bf16_of_grid(right[i]);
  }
  float sums[SUMS * SUM_COUNT];
  uint64_t folded = 0;
  tiles_begin();
  load_operands(a, b);
  for (uint64_t done = 0; done < rounds;) {
    uint64_t now = rounds - done < ZH_BF16_BLOCK ? rounds - done : ZH_BF16_BLOCK;
    zero_sums();
    for (uint64_t r = 0; r < now; r++) ROUND(_tile_dpbf16ps);
    store_sums(sums);
    __asm__ volatile("" ::: "memory");
    zh_bf16_fold(&folded, sums, SUMS * SUM_COUNT);
    done += now;
  }
  _tile_release();
  *checksum = zh_checksum_value(folded);
  return (double)rounds * 8 * SUM_COUNT * 32 * 2;
}

/* A right tile's row k holds elements 2k and 2k + 1 of each of its 16 columns. */
static double bf16_reference(uint64_t rounds, uint64_t seed) {
  int16_t left[TILE], right[TILE];
  bf16_grid(left, right, seed);
  uint64_t folded = 0;
  for (int i = 0; i < SUMS * SUM_COUNT; i++) {
    int m = i % SUM_COUNT / 16, n = i % 16, which = i / SUM_COUNT % 2;
    int64_t sum = 0;
    for (int k = 0; k < 32; k++) {
      int a = left[32 * m + k] + left[TILE / 2 + 32 * m + k];
      sum += a * right[which * TILE / 2 + 32 * (k / 2) + 2 * n + k % 2];
    }
    folded += (uint64_t)(i + 1) * (uint64_t)sum * rounds;
  }
  return zh_checksum_value(folded);
}

static double int8_run(uint64_t rounds, uint64_t seed, double *checksum) {
  int8_t left[2 * TILE], right[2 * TILE];
  zh_int8_operands(left, sizeof left, seed, 0, false);
  zh_int8_operands(right, sizeof right, seed, 1, false);
  int32_t sums[SUMS * SUM_COUNT];
  __asm__ volatile("" ::: "memory");
  tiles_begin();
  load_operands(left, right);
  zero_sums();
  for (uint64_t r = 0; r < rounds; r++) ROUND(_tile_dpbssd);
  store_sums(sums);
  _tile_release();
  __asm__ volatile("" ::: "memory");
  uint64_t folded = 0;
  zh_int8_fold(&folded, sums, SUMS * SUM_COUNT);
  *checksum = zh_checksum_value(folded);
  return (double)rounds * 8 * SUM_COUNT * 64 * 2;
}

static double int8_reference(uint64_t rounds, uint64_t seed) {
  int8_t left[2 * TILE], right[2 * TILE];
  zh_int8_operands(left, sizeof left, seed, 0, false);
  zh_int8_operands(right, sizeof right, seed, 1, false);
  uint64_t folded = 0;
  for (int i = 0; i < SUMS * SUM_COUNT; i++) {
    int m = i % SUM_COUNT / 16, n = i % 16, which = i / SUM_COUNT % 2;
    int64_t sum = 0;
    for (int k = 0; k < 64; k++)
      sum += (left[64 * m + k] + left[TILE + 64 * m + k]) *
             right[which * TILE + 64 * (k / 4) + 4 * n + k % 4];
    folded += (uint64_t)(i + 1) * (uint32_t)((uint64_t)sum * rounds);
  }
  return zh_checksum_value(folded);
}

const zh_peak_loop zh_peak_bf16_amx = {"bf16_dot", "amx", "FLOP/s", bf16_run, bf16_reference, 0};
const zh_peak_loop zh_peak_int8_amx = {"int8_dot", "amx", "OP/s", int8_run, int8_reference, 0};
