/* How sure a count of samples makes one of a share. */
#ifndef ZH_BENCH_LIVENESS_BOUND_H
#define ZH_BENCH_LIVENESS_BOUND_H

#include <stdint.h>

/* Clopper and Pearson's exact lower bound, one-sided: the least share p for which `hits` or more of
 * `draws` still happen with probability 1 - confidence. 0 where hits is 0. */
double zh_lower_bound(uint64_t hits, uint64_t draws, double confidence);

#endif
