/* One loop compiled for several instruction sets, the best chosen when the program starts. Sums are
 * kept in lanes of fixed number, so that every set gives the same bits. */
#ifndef ZH_EVALUATOR_STATS_CLONES_H
#define ZH_EVALUATOR_STATS_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ZH_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define ZH_CLONES
#endif

#endif
