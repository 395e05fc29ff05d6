/* Freivalds' check of whole products (R. Freivalds, IFIP 1977): y = W x is wrong where, with drawn
 * signs s, s·y differs from (sW)·x by more than its roundings can make. Of W every row is read
 * once, whatever the number of tokens; sums go over ZH_WHOLE_BLOCK rows, so that a block of threads
 * that did not run stands out of what the others round.
 *
 * With signs drawn after y was computed, |Σ s_r e_r| <= 8 sqrt(Σ e_r²) but for a chance of
 * 2 exp(-32) (Hoeffding 1963); e_r is a row's own bound (check_inside.h), in which |W_r||x| is at most
 * ‖W_r‖‖x‖. */
#ifndef ZH_BENCH_ENGINE_CHECK_WHOLE_H
#define ZH_BENCH_ENGINE_CHECK_WHOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum { ZH_WHOLE_BLOCK = 64, ZH_WHOLE_TOKENS = 8 };

typedef struct zh_whole zh_whole;
/* longest: columns of a matrix; elements: of all matrices together. */
ZH_MUST_CHECK zh_status zh_whole_create(zh_whole **out, size_t longest, uint64_t elements,
                                        uint64_t seed, zh_error *err);
void zh_whole_free(zh_whole *whole); /* NULL is safe */

/* Whether to check this product: the first of each kind - a name, which must last - and way, and
 * drawn ones, as long as there are weights left to be read: 2^26 of a way. */
bool zh_whole_takes(zh_whole *whole, const char *kind, int way, uint64_t elements);

typedef struct zh_whole_product {
  size_t rows, columns, tokens; /* tokens: at most ZH_WHOLE_TOKENS */
  double relative;              /* a row's error, of ‖W_r‖‖x‖ … */
  double rounding;              /* … and of |y| and of the bias */
  double factor;                /* y is so many times the product with its bias */
  void *user;
  void (*biases)(void *user, double *out, size_t first, size_t count);
  const float *(*row)(void *user, size_t r); /* as it is multiplied, until the next call */
  void (*input)(void *user, float *out, size_t t);
  const float *(*output)(void *user, size_t t); /* [rows] */
  /* Of a row and an input, what it may lose besides; NULL: nothing. */
  double (*loss)(void *user, const float *row, const float *x);
  void (*judge)(void *user, size_t t, size_t row, double computed, double expected, double bound);
} zh_whole_product;
/* Of more than 2^24 weights drawn blocks of rows, and the last one. */
void zh_whole_check(zh_whole *whole, const zh_whole_product *product);

#endif
