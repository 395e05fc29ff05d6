/* What the checks of operators share: draws of the seed, the growth of roundings, rows as their
 * source has them, and the judgement of an element. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/engine/check_inside.h"
#include "core/philox.h"

double zh_check_growth(const zh_check *check, double n) {
  double r = check->arithmetic.fp64_sums ? V : U;
  return fmin(n * r / (1 - n * r), LAMBDA * sqrt(n) * r);
}

size_t zh_check_draw(zh_check *check, size_t below) {
  uint32_t bits;
  zh_random_fill(&bits, 1, check->seed, UINT64_C(0x636865636b), check->drawn++);
  return bits % below;
}

zh_check_kind *zh_check_kind_of(zh_check *check, const char *name) {
  for (size_t i = 0; i < check->kind_count; ++i)
    if (strcmp(check->kinds[i].name, name) == 0) return &check->kinds[i];
  if (check->kind_count == ZH_CHECK_KINDS) return &check->kinds[ZH_CHECK_KINDS - 1];
  check->kinds[check->kind_count] = (zh_check_kind){.name = name, .ratio = -1};
  return &check->kinds[check->kind_count++];
}

/* A NaN fails: the first comparison is then false. */
void zh_check_judge(zh_check *check, const zh_operation *o, size_t t, size_t row, double computed,
                    double expected, double bound) {
  zh_check_kind *k = zh_check_kind_of(check, o->name);
  double error = fabs(computed - expected);
  bool passed = error <= bound;
  double ratio = passed ? (bound > 0 ? error / bound : 0) : INFINITY;
  ++k->samples;
  ++check->samples;
  if (ratio <= k->ratio || (check->failed && !passed)) return;
  const char *where = o->weight ? o->weight->tensor->name : o->name;
  if (o->layer >= 0 && !o->weight)
    snprintf(k->what, sizeof k->what, "%s of layer %d, row %zu, token %zu", where, o->layer, row,
             t);
  else
    snprintf(k->what, sizeof k->what, "%s, row %zu, token %zu", where, row, t);
  k->bound = bound;
  k->error = error;
  k->ratio = ratio;
  if (passed) return;
  check->failed = true;
  snprintf(check->failure, sizeof check->failure,
           "operator '%s' (%s): computed %.9g where %.9g was expected; the error %.3g is over the "
           "bound %.3g",
           o->name, k->what, computed, expected, error, bound);
}

float *zh_check_source_row(zh_check *check, const zh_weight *w, size_t r) {
  if (w->matrix.type == ZH_F8_E4M3) {
    zh_weight_fp8_values(check->row, w, r);
    return check->row;
  }
  const void *bytes = zh_weight_source_row(w, r, check->source);
  zh_dequantize_row(check->row, bytes, w->tensor->type, w->matrix.columns);
  return check->row;
}

size_t zh_check_draw_token(zh_check *check, const zh_operation *o) {
  size_t first = zh_check_draw(check, o->tokens);
  for (size_t i = 0; i < o->tokens; ++i)
    if (zh_operation_has(o, (first + i) % o->tokens)) return (first + i) % o->tokens;
  return o->tokens;
}
