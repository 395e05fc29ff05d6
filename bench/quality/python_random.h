/* Numbers as CPython's `random.Random(seed)` gives them, so that few-shot examples are those that
 * other harnesses draw: MT19937 seeded by array, _randbelow by rejection, sample by pool or set. */
#ifndef ZH_BENCH_QUALITY_PYTHON_RANDOM_H
#define ZH_BENCH_QUALITY_PYTHON_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct zh_python_random {
  uint32_t state[624];
  size_t at;
} zh_python_random;

void zh_python_seed(zh_python_random *r, uint64_t seed);
uint32_t zh_python_bits(zh_python_random *r, unsigned bits); /* getrandbits, 1 to 32 */
double zh_python_real(zh_python_random *r);                  /* random(): [0, 1) */
uint32_t zh_python_below(zh_python_random *r, uint32_t n);   /* _randbelow, n > 0 */
/* Places of `sample(range(count), wanted)` into out[wanted]; wanted <= count. */
ZH_MUST_CHECK zh_status zh_python_sample(uint32_t *out, zh_python_random *r, uint32_t count,
                                         uint32_t wanted, zh_error *err);

#endif
