#include "bench/liveness/bound.h"

#include <math.h>

enum { HALVINGS = 60 };

/* P(at least `hits` of `draws` independent events of probability p), 0 < p < 1. The terms are added
 * from the largest one outwards in their logarithms, so that none of them underflows unseen. */
static double tail(uint64_t hits, uint64_t draws, double p) {
  double n = (double)draws, odds = log(p) - log1p(-p);
  double term = lgamma(n + 1) - lgamma((double)hits + 1) - lgamma(n - (double)hits + 1) +
                (double)hits * log(p) + (n - (double)hits) * log1p(-p);
  double sum = 0;
  for (uint64_t k = hits; k <= draws; ++k) {
    sum += exp(term);
    if (k < draws) term += log((n - (double)k) / ((double)k + 1)) + odds;
  }
  return sum;
}

double zh_lower_bound(uint64_t hits, uint64_t draws, double confidence) {
  if (hits == 0 || hits > draws) return 0;
  double low = 0, high = 1, alpha = 1 - confidence;
  for (int i = 0; i < HALVINGS; ++i) {
    double middle = 0.5 * (low + high);
    if (tail(hits, draws, middle) < alpha)
      low = middle;
    else
      high = middle;
  }
  return low;
}
