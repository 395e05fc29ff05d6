/* The audit's inner loops, built once for each instruction set (dense_*.c) and chosen at run time.
 * Sums are kept in lanes of fixed number, so that every set gives the same bits. */
#ifndef ZH_EVALUATOR_AUDIT_DENSE_H
#define ZH_EVALUATOR_AUDIT_DENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ZH_PRINT_BINS = 64, ZH_STURM_LANES = 16 };

typedef struct zh_dense {
  /* XXH3 of each row; of halves, where asked, sums of the 16-bit halves and of their squares are
   * added to moments: the same however elements lie. */
  void (*hash_rows)(uint64_t *hashes, uint32_t moments[2], const unsigned char *bytes,
                    size_t row_bytes, size_t rows, bool halves);
  /* The sum of all words: every byte is read, for comparison. */
  uint64_t (*read)(const unsigned char *bytes, size_t length);
  /* bins[c % 64] += signs[c] * row[c]; sums: of the values and of their squares. */
  void (*look)(float bins[ZH_PRINT_BINS], double sums[2], const float *row, const float *signs,
               size_t columns);
  void (*add_columns)(float *bin, const float *row, float sign, size_t columns);
  double (*squares)(const float *row, size_t columns);
  void (*bf16)(float *out, const unsigned char *in, size_t count);
  /* g = a a^T of a[rows][columns], both halves. */
  void (*gram)(double *g, const double *a, size_t rows, size_t columns);
  /* Symmetric g[n][n] to diagonal d[n] and subdiagonal e[n - 1]; g is spent, p: n numbers. */
  void (*tridiagonal)(double *d, double *e, double *g, double *p, size_t n);
  /* How many eigenvalues lie below each x; squares: of e. */
  void (*sturm)(int64_t below[ZH_STURM_LANES], const double *x, const double *d,
                const double *squares, size_t n, double tiny);
} zh_dense;

const zh_dense *zh_dense_choose(void);
extern const zh_dense zh_dense_portable;
#ifdef ZH_AUDIT_X86
extern const zh_dense zh_dense_avx2, zh_dense_avx512;
#endif

#ifdef __cplusplus
}
#endif
#endif
