/* Shared by check*.c alone. Notation: u = 2^-24, the unit roundoff of fp32; v = 2^-53, of fp64; r
 * is v for kernels that sum in fp64, else u. g(n) bounds the relative error of a sum of n terms in
 * any order: n r / (1 - n r) always (Higham, Accuracy and Stability of Numerical Algorithms, 3.1);
 * and 8 sqrt(n) r but for a chance below 2 n exp(-32), where roundings are independent of each
 * other (Higham and Mary, SIAM J. Sci. Comput. 41, 2019). The smaller one counts: it is tight
 * enough to notice activations that were rounded to bf16 on the way. Every bound is TAU times what
 * the comments below derive: TAU = 2 covers sums factored by block scale, d (q·x) + m (1·x), whose
 * terms are larger than |W||x|'s. */
#ifndef ZH_BENCH_ENGINE_CHECK_INSIDE_H
#define ZH_BENCH_ENGINE_CHECK_INSIDE_H

#include "bench/engine/check.h"
#include "bench/engine/check_whole.h"
#include "bench/engine/order.h"

enum { ZH_CHECK_KINDS = 48, ZH_CHECK_ELEMENTS = 16 };
static const double TAU = 2, LAMBDA = 8, U = 0x1p-24, V = 0x1p-53;

/* The sample of one operator kind that came nearest to its bound. */
typedef struct zh_check_kind {
  const char *name;
  char what[128];
  double bound, error, ratio;
  uint64_t samples;
} zh_check_kind;

struct zh_check {
  zh_engine *engine; /* NULL where operations are handed in */
  zh_order *order;
  zh_whole *whole;              /* NULL where operations are handed in */
  zh_architecture architecture; /* of this part */
  uint32_t first_layer;         /* of the model, in this part */
  const zh_weights *weights;
  zh_arithmetic arithmetic;
  size_t rows; /* of each product of each token */
  uint64_t seed, drawn, samples;
  zh_check_kind kinds[ZH_CHECK_KINDS];
  size_t kind_count;
  char name[ZH_CHECK_KINDS][32]; /* of kinds that other ranks alone saw */
  bool failed;
  char failure[512];
  float *row;            /* [longest row]: a weight row, dequantised */
  float *rounded;        /* [longest row]: activations as packed weights multiply them */
  unsigned char *source; /* a standard model's row as its type has it */
  double *weighted;      /* [2][experts used] */
  float *router;         /* [2][experts]: its biases */
  double *score;         /* [context] */
  double *frequency[2];  /* of rope[0] and rope[1] */
  float *slopes;         /* [heads] of the whole model: of ALiBi; NULL: none */
  float *keys, *values;  /* [context][head_dim]: of one head, as the cache holds them */
};

/* --- check_judge.c --- */

/* g(n). */
double zh_check_growth(const zh_check *check, double n);
/* A number below `below`, of the seed. */
size_t zh_check_draw(zh_check *check, size_t below);
/* A token, or choice, that was computed here: the first from a drawn one on; o->tokens: none was.
 */
size_t zh_check_draw_token(zh_check *check, const zh_operation *o);
/* Where samples of an operator's kind are kept: the last place is all's, once there is no other. */
zh_check_kind *zh_check_kind_of(zh_check *check, const char *name);
/* Element `row` of token `t`. A NaN on either side fails. */
void zh_check_judge(zh_check *check, const zh_operation *o, size_t t, size_t row, double computed,
                    double expected, double bound);
/* Row r of a weight by its definition, not as the engine holds it; until the next call. */
float *zh_check_source_row(zh_check *check, const zh_weight *w, size_t r);
/* What a product does to its activations, and to its weights. */
zh_rounding zh_check_rounding(const zh_check *check, const zh_operation *o);

/* The checks of operators, each of token t alone. */
typedef void zh_checker(zh_check *check, const zh_operation *o, size_t t);
/* check_rows.c */
zh_checker zh_check_embedding, zh_check_norm, zh_check_latent_norm, zh_check_head_norm,
    zh_check_activation, zh_check_addition, zh_check_sum, zh_check_route, zh_check_combination;
/* check_products.c */
zh_checker zh_check_product, zh_check_head_product;
/* check_attention.c */
zh_checker zh_check_rope, zh_check_attention;
/* check_whole_products.c: a whole product by Freivalds, where it is its turn. */
void zh_check_whole_product(zh_check *check, const zh_operation *o);

#endif
