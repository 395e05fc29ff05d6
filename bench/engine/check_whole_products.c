/* What check_whole.c asks of a product: its rows, inputs and outputs. */
#include <math.h>

#include "bench/engine/check_inside.h"

typedef struct whole_of {
  zh_check *check;
  const zh_operation *o;
  zh_rounding rounding;
  size_t token[ZH_WHOLE_TOKENS]; /* of the operation */
} whole_of;

static void whole_biases(void *user, double *out, size_t first, size_t count) {
  const whole_of *w = user;
  const float *bias = w->o->bias ? zh_check_source_row(w->check, w->o->bias, 0) : NULL;
  for (size_t i = 0; i < count; ++i) out[i] = bias ? (double)bias[first + i] : 0;
}

static const float *whole_row(void *user, size_t r) {
  const whole_of *w = user;
  float *row = zh_check_source_row(w->check, w->o->weight, r);
  zh_rounded_weights(row, w->rounding, w->o->in_width);
  return row;
}

static void whole_input(void *user, float *out, size_t t) {
  const whole_of *w = user;
  zh_rounded(out, w->rounding, zh_operation_input(w->o, w->token[t]), w->o->in_width);
}

static const float *whole_output(void *user, size_t t) {
  const whole_of *w = user;
  return zh_operation_output(w->o, w->token[t]);
}

static double whole_loss(void *user, const float *row, const float *x) {
  const whole_of *w = user;
  return TAU * zh_rounding_loss(w->rounding, row, x, w->o->in_width);
}

static void judge_whole(void *user, size_t t, size_t row, double computed, double expected,
                        double bound) {
  const whole_of *w = user;
  zh_operation named = *w->o;
  named.name = "whole product";
  zh_check_judge(w->check, &named, w->token[t], row, computed, expected, bound);
}

/* All tokens, or a reservoir of them, each as likely; of choices those that have the same weight.
 */
static size_t draw_tokens(whole_of *w) {
  const zh_operation *o = w->o;
  size_t seen = 0;
  for (size_t i = 0; i < o->tokens; ++i) {
    if (!zh_operation_has(o, i) || (o->each && o->each[i] != o->weight)) continue;
    size_t place = seen < ZH_WHOLE_TOKENS ? seen : zh_check_draw(w->check, seen + 1);
    if (place < ZH_WHOLE_TOKENS) w->token[place] = i;
    ++seen;
  }
  return seen < ZH_WHOLE_TOKENS ? seen : ZH_WHOLE_TOKENS;
}

void zh_check_whole_product(zh_check *check, const zh_operation *o) {
  const zh_architecture *a = &check->architecture;
  bool head = o->layer < 0, shaped = head && (a->normalised_head || a->logit_softcap != 0);
  if (!check->whole || o->op != ZH_OP_MATMUL || o->addends > 1 || o->tokens == 0 || shaped) return;
  zh_operation one = *o;
  if (o->each) {
    size_t choice = zh_check_draw_token(check, o);
    if (choice == o->tokens) return;
    one.weight = o->each[choice];
    one.bias = o->each_bias ? o->each_bias[choice] : NULL;
  }
  const zh_matrix *m = &one.weight->matrix;
  if (!zh_whole_takes(check->whole, o->name, (int)o->way, (uint64_t)m->rows * m->columns)) return;
  whole_of user = {.check = check, .o = &one, .rounding = zh_check_rounding(check, &one)};
  zh_whole_product product = {.rows = one.out_width,
                              .columns = one.in_width,
                              .tokens = draw_tokens(&user),
                              .relative = TAU * zh_check_growth(check, (double)one.in_width + 4),
                              .rounding = TAU * U,
                              .factor = head ? (double)zh_factor(a->logit_scale) : 1,
                              .user = &user,
                              .biases = whole_biases,
                              .row = whole_row,
                              .input = whole_input,
                              .output = whole_output,
                              .loss = user.rounding == ZH_ROUND_E4M3_INPUTS ? whole_loss : NULL,
                              .judge = judge_whole};
  zh_whole_check(check->whole, &product);
}
