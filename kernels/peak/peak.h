/* Inside kernels/: the loops that find the machine's arithmetic limits.
 *
 * Operands are random normal, held in registers, drawn from the seed. Each loop must be exact, so
 * that plain code can say what it must give to the last bit, and its values must stay alive for
 * billions of rounds:
 *
 * fp32 FMA. Pairs (x, y) turn: x = x + h y, then y = y - h x, each one FMA. Both steps are shears,
 * of determinant 1 whatever the rounding of h, so with |h| < 2 the orbit is an ellipse: it neither
 * grows nor fades nor stands still. Only rounding moves its size, by at most (1 + 4u) a round, u =
 * 2^-24; after 2^22 rounds, by at most a factor e, the state is drawn anew. h = 0.5 + 0.2 |z| lies
 * in [0.5, 1.76], so |x| stays below 4 e 6.3 and no orbit is flat. An FMA rounds once, in hardware
 * as in fmaf: the same bits.
 *
 * Of a pair each step waits for the one before. Where registers are few, one number alone is
 * mirrored there and back: x = far - there x, then x = near - back x, with there = h as above, back
 * = 1 / there and near = far / there, rounded. It comes back to where it was but for rounding, at
 * most (1 + 4u) a round and 2u |near|, so within 2^22 rounds |x| stays below e (|x| + |near|).
 *
 * bf16 dot. Operands are round(64 z) / 64 with at most 8 significant bits: normal numbers on a grid
 * of 2^-6, whose products lie on 2^-12. The second half of a round's left operands are the
 * negatives of the first, plus one grid step: the sum swings far within a round and creeps by 2^-6
 * times the right operands over it. It is folded away every 4096 rounds, below 2^12, so all sums
 * fit 24 bits and are exact in any order.
 *
 * int8 dot. Left operands 0 … 127 where the instruction wants unsigned ones (127 keeps maddubs from
 * saturating), right operands -127 … 127; 32-bit sums wrap around, as the instructions define, so
 * they are exact for ever.
 *
 * Checksums weigh lane i by i + 1, so that exchanged lanes show; they are taken modulo 2^53 to be
 * doubles. */
#ifndef ZH_KERNELS_PEAK_PEAK_H
#define ZH_KERNELS_PEAK_PEAK_H

#include "kernels/kernels.h"

enum {
  ZH_FMA_BLOCK = 1 << 22,    /* rounds between new states */
  ZH_BF16_BLOCK = 4096,      /* rounds between foldings */
  ZH_FMA_STATE_MAX = 12 * 16 /* pairs x lanes, largest variant */
};

/* x, y, h of `count` lanes, for one block of rounds. */
void zh_fma_state(float *x, float *y, float *h, size_t count, uint64_t seed, uint64_t block);
typedef struct zh_fma_mirrors {
  /* read by every step: no vector may lie in two lines of the cache */
  _Alignas(64) float far[ZH_FMA_STATE_MAX];
  _Alignas(64) float near[ZH_FMA_STATE_MAX];
  float x[ZH_FMA_STATE_MAX], there[ZH_FMA_STATE_MAX], back[ZH_FMA_STATE_MAX]; /* [turns] */
} zh_fma_mirrors;
/* Lane i is mirrored by `there` and `back` of lane i % turns. */
void zh_fma_mirrors_state(zh_fma_mirrors *m, size_t count, size_t turns, uint64_t seed,
                          uint64_t block);
double zh_fma_fold(const float *x, const float *y, size_t count);
/* By plain code with fmaf: the orbits of `count` lanes, where lane i turns by h of lane i % turns;
 * mirrors; and the dot products of `sums` vectors of `elements` operands, pairs or fours of them to
 * a lane.
 */
double zh_fma_reference(uint64_t rounds, uint64_t seed, size_t count, size_t turns);
double zh_fma_mirrors_reference(uint64_t rounds, uint64_t seed, size_t count, size_t turns);
double zh_bf16_dot_reference(uint64_t rounds, uint64_t seed, size_t steps, size_t sums,
                             size_t elements);
double zh_int8_dot_reference(uint64_t rounds, uint64_t seed, size_t steps, size_t sums,
                             size_t elements);

/* left: [steps][count], right: [count] in grid steps (value * 64); steps is even. */
void zh_bf16_operands(int16_t *left, size_t steps, size_t left_count, int16_t *right,
                      size_t right_count, uint64_t seed);
uint16_t zh_bf16_of_grid(int16_t steps);
/* count sums in units of 2^-12. */
void zh_bf16_fold(uint64_t *checksum, const float *sums, size_t count);

void zh_int8_operands(int8_t *out, size_t count, uint64_t seed, uint64_t stream, bool non_negative);
void zh_int8_fold(uint64_t *checksum, const int32_t *sums, size_t count);
double zh_checksum_value(uint64_t checksum);

extern const zh_peak_loop zh_peak_fp32_portable, zh_peak_bf16_portable, zh_peak_int8_portable;
extern const zh_peak_loop zh_peak_fp32_avx2, zh_peak_int8_avx2, zh_peak_int8_avx_vnni;
extern const zh_peak_loop zh_peak_fp32_avx512, zh_peak_bf16_avx512, zh_peak_int8_avx512;
extern const zh_peak_loop zh_peak_bf16_amx, zh_peak_int8_amx;

#endif
