/* Philox4x32-10 (Salmon et al., SC'11, "Parallel random numbers: as easy as 1, 2, 3") and normal
 * numbers from it. Stateless: any element of any stream can be recomputed anywhere. */
#ifndef ZH_CORE_PHILOX_H
#define ZH_CORE_PHILOX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void zh_philox4x32_10(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

/* Standard normal from 32 random bits, in integer arithmetic only, so every machine and device
 * gives the same bits: the inverse normal distribution function, by linear interpolation in a table
 * of 16 cells an octave of the tail probability. Returns z * 2^16, |z| < 6.34; the error of z is
 * below 2.5e-4 (tests/unit/core/test_philox.c). */
int32_t zh_normal_q16(uint32_t bits);

/* out[i] = normal(stream, index + i) * scale, i < count. Counter {low, high of (index + i) / 4,
 * stream low, high}, lane (index + i) % 4, key from seed. One fp32 product is the only rounding. */
void zh_normal_fill(float *out, size_t count, uint64_t seed, uint64_t stream, uint64_t index,
                    float scale);
/* Uniform u32s of the same layout. */
void zh_random_fill(uint32_t *out, size_t count, uint64_t seed, uint64_t stream, uint64_t index);

#ifdef __cplusplus
}
#endif
#endif
