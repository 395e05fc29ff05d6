/* tile_sleep_tool: how long sixteen tile products take after time without any, in ticks of the
 * processor's counter: medians of many. docs/performance.md, "What was found". */
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/kernels.h"

enum { REPEATS = 501, PRODUCTS = 16 };

static int by_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Work of the given ticks that leaves tiles alone. */
static void pause_for(uint64_t ticks) {
  for (uint64_t begin = __rdtsc(); __rdtsc() - begin < ticks;) _mm_lfence();
}

static uint64_t time_products(char *sums) {
  _mm_lfence();
  uint64_t begin = __rdtsc();
  _mm_lfence();
  for (int i = 0; i < PRODUCTS / 4; i++) {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_stored(3, sums, 64);
  _mm_lfence();
  return __rdtsc() - begin;
}

int main(void) {
  static _Alignas(64) char operand[1024], sums[1024];
  static _Alignas(64) uint8_t config[64] = {1};
  static uint64_t ticks[REPEATS];
  if (!zh_cpu_detect().amx_bf16) {
    puts("this processor has no tiles");
    return 0;
  }
  for (int tile = 0; tile < 8; tile++) config[16 + 2 * tile] = 64, config[48 + tile] = 16;
  __asm__ volatile("" ::: "memory"); /* compilers do not see that the next instruction reads it */
  _tile_loadconfig(config);
  _tile_loadd(4, operand, 64);
  _tile_loadd(5, operand, 64);
  for (uint64_t idle = 64; idle <= 16384; idle *= 2) {
    for (int i = 0; i < REPEATS; i++) {
      pause_for(idle);
      ticks[i] = time_products(sums);
    }
    qsort(ticks, REPEATS, sizeof *ticks, by_size);
    printf("after %5llu ticks without: %llu ticks\n", (unsigned long long)idle,
           (unsigned long long)ticks[REPEATS / 2]);
  }
  _tile_release();
  return 0;
}
