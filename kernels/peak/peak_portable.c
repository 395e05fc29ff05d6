/* The loops in plain C, for CPUs without the instructions. The empty asm statements keep a compiler
 * from computing the products of unchanging operands once for all rounds. */
#include "kernels/peak/peak.h"

#include <math.h>
#include <string.h>

enum { FMA_LANES = 32, DOT_LANES = 32, STEPS = 4 };

#define OPAQUE(array) __asm__ volatile("" : "+m"(array))

/* Where the target has no fused instruction, multiply and add apart: fmaf in software would measure
 * the library. */
static inline float multiply_add(float a, float b, float c) {
#ifdef FP_FAST_FMAF
  return fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

static double fp32_run(uint64_t rounds, uint64_t seed, double *checksum) {
  float x[FMA_LANES], y[FMA_LANES], h[FMA_LANES];
  *checksum = 0;
  for (uint64_t done = 0, block = 0; done < rounds; block++) {
    uint64_t now = rounds - done < ZH_FMA_BLOCK ? rounds - done : ZH_FMA_BLOCK;
    zh_fma_state(x, y, h, FMA_LANES, seed, block);
    for (uint64_t r = 0; r < now; r++) {
      for (int i = 0; i < FMA_LANES; i++) x[i] = multiply_add(h[i], y[i], x[i]);
      for (int i = 0; i < FMA_LANES; i++) y[i] = multiply_add(-h[i], x[i], y[i]);
    }
    *checksum += zh_fma_fold(x, y, FMA_LANES);
    done += now;
  }
  return (double)rounds * FMA_LANES * 4;
}

/* One lane through all its rounds before the next. */
static double fp32_reference(uint64_t rounds, uint64_t seed) {
  float x[FMA_LANES], y[FMA_LANES], h[FMA_LANES];
  double checksum = 0;
  for (uint64_t done = 0, block = 0; done < rounds; block++) {
    uint64_t now = rounds - done < ZH_FMA_BLOCK ? rounds - done : ZH_FMA_BLOCK;
    zh_fma_state(x, y, h, FMA_LANES, seed, block);
    for (int i = 0; i < FMA_LANES; i++)
      for (uint64_t r = 0; r < now; r++) {
        x[i] = multiply_add(h[i], y[i], x[i]);
        y[i] = multiply_add(-h[i], x[i], y[i]);
      }
    checksum += zh_fma_fold(x, y, FMA_LANES);
    done += now;
  }
  return checksum;
}

static float float_of_bf16(uint16_t bits) {
  uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

static double bf16_run(uint64_t rounds, uint64_t seed, double *checksum) {
  int16_t left_steps[STEPS * DOT_LANES], right_steps[DOT_LANES];
  zh_bf16_operands(left_steps, STEPS, DOT_LANES, right_steps, DOT_LANES, seed);
  uint16_t left[STEPS][DOT_LANES], right[DOT_LANES];
  for (int i = 0; i < STEPS * DOT_LANES; i++)
    left[i / DOT_LANES][i % DOT_LANES] = zh_bf16_of_grid(left_steps[i]);
  for (int i = 0; i < DOT_LANES; i++) right[i] = zh_bf16_of_grid(right_steps[i]);
  uint64_t folded = 0;
  for (uint64_t done = 0; done < rounds;) {
    uint64_t now = rounds - done < ZH_BF16_BLOCK ? rounds - done : ZH_BF16_BLOCK;
    float sums[DOT_LANES] = {0};
    for (uint64_t r = 0; r < now; r++) {
      OPAQUE(left);
      for (int s = 0; s < STEPS; s++)
        for (int i = 0; i < DOT_LANES; i++)
          sums[i] += float_of_bf16(left[s][i]) * float_of_bf16(right[i]);
    }
    zh_bf16_fold(&folded, sums, DOT_LANES);
    done += now;
  }
  *checksum = zh_checksum_value(folded);
  return (double)rounds * STEPS * DOT_LANES * 2;
}

static double bf16_reference(uint64_t rounds, uint64_t seed) {
  int16_t left[STEPS * DOT_LANES], right[DOT_LANES];
  zh_bf16_operands(left, STEPS, DOT_LANES, right, DOT_LANES, seed);
  uint64_t folded = 0;
  for (int i = 0; i < DOT_LANES; i++) {
    int64_t round_sum = 0;
    for (int s = 0; s < STEPS; s++) round_sum += left[s * DOT_LANES + i] * right[i];
    folded += (uint64_t)(i + 1) * (uint64_t)round_sum * rounds;
  }
  return zh_checksum_value(folded);
}

static double int8_run(uint64_t rounds, uint64_t seed, double *checksum) {
  int8_t left[STEPS][DOT_LANES], right[DOT_LANES];
  zh_int8_operands(&left[0][0], STEPS * DOT_LANES, seed, 0, false);
  zh_int8_operands(right, DOT_LANES, seed, 1, false);
  uint32_t sums[DOT_LANES] = {0}; /* unsigned: they wrap around */
  for (uint64_t r = 0; r < rounds; r++) {
    OPAQUE(left);
    for (int s = 0; s < STEPS; s++)
      for (int i = 0; i < DOT_LANES; i++) sums[i] += (uint32_t)(left[s][i] * right[i]);
  }
  uint64_t folded = 0;
  for (int i = 0; i < DOT_LANES; i++) folded += (uint64_t)(i + 1) * sums[i];
  *checksum = zh_checksum_value(folded);
  return (double)rounds * STEPS * DOT_LANES * 2;
}

static double int8_reference(uint64_t rounds, uint64_t seed) {
  int8_t left[STEPS * DOT_LANES], right[DOT_LANES];
  zh_int8_operands(left, STEPS * DOT_LANES, seed, 0, false);
  zh_int8_operands(right, DOT_LANES, seed, 1, false);
  uint64_t folded = 0;
  for (int i = 0; i < DOT_LANES; i++) {
    int64_t round_sum = 0;
    for (int s = 0; s < STEPS; s++) round_sum += left[s * DOT_LANES + i] * right[i];
    folded += (uint64_t)(i + 1) * (uint32_t)((uint64_t)round_sum * rounds);
  }
  return zh_checksum_value(folded);
}

const zh_peak_loop zh_peak_fp32_portable = {"fp32_fma", "portable",     "FLOP/s",
                                            fp32_run,   fp32_reference, 0};
const zh_peak_loop zh_peak_bf16_portable = {"bf16_dot", "portable",     "FLOP/s",
                                            bf16_run,   bf16_reference, 0};
const zh_peak_loop zh_peak_int8_portable = {"int8_dot", "portable",     "OP/s",
                                            int8_run,   int8_reference, 0};
