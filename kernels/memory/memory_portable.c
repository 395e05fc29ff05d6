/* The passes that find memory's limit, in plain C. Four sums, so that one chain of additions does
 * not hold them up. */
#include "kernels/variants.h"

static double read_pass(const double *a, size_t begin, size_t end) {
  double sum[4] = {0};
  size_t i = begin;
  for (; i + 4 <= end; i += 4)
    for (int k = 0; k < 4; k++) sum[k] += a[i + (size_t)k];
  for (; i < end; i++) sum[0] += a[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void copy_pass(double *restrict b, const double *restrict a, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++) b[i] = a[i];
}

static void triad_pass(double *restrict a, const double *restrict b, const double *restrict c,
                       double s, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++) a[i] = b[i] + s * c[i];
}

const zh_memory_loops zh_memory_portable = {"portable", read_pass, copy_pass, triad_pass};
