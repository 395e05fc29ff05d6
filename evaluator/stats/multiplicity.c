#include "evaluator/stats/multiplicity.h"

#include <math.h>
#include <stdlib.h>

typedef struct ranked {
  double p;
  size_t index;
} ranked;

static int by_p(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->p != y->p) return x->p < y->p ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

static zh_status rank_all(ranked **out, const double *p, size_t count, zh_error *err) {
  ranked *order = calloc(count > 0 ? count : 1, sizeof *order);
  if (order == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for %zu tests", count);
  for (size_t i = 0; i < count; i++) order[i] = (ranked){p[i], i};
  qsort(order, count, sizeof *order, by_p);
  *out = order;
  return ZH_OK;
}

zh_status zh_holm(double *adjusted, const double *p, size_t count, zh_error *err) {
  ranked *order;
  ZH_TRY(rank_all(&order, p, count, err));
  double largest = 0;
  for (size_t i = 0; i < count; i++) {
    largest = fmax(largest, fmin(1, order[i].p * (double)(count - i)));
    adjusted[order[i].index] = largest;
  }
  free(order);
  return ZH_OK;
}

zh_status zh_benjamini_hochberg(double *adjusted, const double *p, size_t count, zh_error *err) {
  ranked *order;
  ZH_TRY(rank_all(&order, p, count, err));
  double smallest = 1;
  for (size_t i = count; i-- > 0;) {
    smallest = fmin(smallest, order[i].p * (double)count / (double)(i + 1));
    adjusted[order[i].index] = smallest;
  }
  free(order);
  return ZH_OK;
}

double zh_intersection_union(const double *p, size_t count) {
  double largest = count > 0 ? 0 : 1;
  for (size_t i = 0; i < count; i++) largest = fmax(largest, p[i]);
  return largest;
}

double zh_welch_satterthwaite(const double *variances, const double *df, const double *weights,
                              size_t count) {
  double sum = 0, below = 0;
  for (size_t i = 0; i < count; i++) {
    double part = weights[i] * weights[i] * variances[i];
    sum += part;
    if (part > 0) below += part * part / df[i];
  }
  return below > 0 ? sum * sum / below : INFINITY;
}
