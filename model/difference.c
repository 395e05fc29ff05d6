/* What two descriptions of one model differ in. */
#include <math.h>
#include <string.h>

#include "model/fields.h"

static bool about(double a, double b) {
  return fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

static bool turn_alike(const zh_rope *a, const zh_rope *b, uint32_t context) {
  double x[ZH_ROPE_PAIRS_MAX], y[ZH_ROPE_PAIRS_MAX];
  const uint32_t contexts[] = {1, context};
  if ((a->kind == ZH_ROPE_NONE) != (b->kind == ZH_ROPE_NONE)) return false;
  if (a->kind == ZH_ROPE_NONE) return true;
  if (a->dims != b->dims || !about(a->attention_factor == 0 ? 1 : a->attention_factor,
                                   b->attention_factor == 0 ? 1 : b->attention_factor))
    return false;
  for (int c = 0; c < 2; c++) {
    zh_rope_frequencies(x, a, contexts[c]);
    zh_rope_frequencies(y, b, contexts[c]);
    for (uint32_t i = 0; i < a->dims / 2; i++)
      if (!about(x[i], y[i])) return false;
  }
  return true;
}

static bool any_slides(const zh_architecture *a) {
  for (uint32_t i = 0; i < a->layers && i < ZH_MAX_LAYERS; i++)
    if (zh_layer_is(a, i, ZH_LAYER_SLIDING)) return true;
  return false;
}

const char *zh_architecture_difference(const zh_architecture *a, const zh_architecture *b) {
  static const char *const elsewhere[] = {"norm",
                                          "rope",
                                          "rope_dims",
                                          "rope_base",
                                          "sliding_rope_base",
                                          "sliding_every",
                                          "sliding_from",
                                          "dense_first",
                                          "sparse_every",
                                          "sparse_last",
                                          NULL};
  zh_described x = {.a = *a}, y = {.a = *b};
  const zh_field *f;
  for (size_t i = 0; (f = zh_field_at(i)) != NULL; i++) {
    int found;
    if (zh_find_word(&found, elsewhere, f->name)) continue;
    bool of_experts = strncmp(f->name, "expert_", 7) == 0 || strncmp(f->name, "router_", 7) == 0 ||
                      strncmp(f->name, "shared_", 7) == 0;
    if (of_experts && a->experts == 0 && b->experts == 0) continue;
    if (strcmp(f->name, "window") == 0 && !any_slides(a) && !any_slides(b)) continue;
    if (!about(zh_field_number(&x, f), zh_field_number(&y, f))) return f->name;
  }
  if ((a->norm == ZH_NORM_LAYER) != (b->norm == ZH_NORM_LAYER)) return "norm";
  if (memcmp(a->layer, b->layer, sizeof a->layer) != 0) return "pattern of layers";
  if (!turn_alike(&a->rope[0], &b->rope[0], a->context)) return "positions (rope)";
  if (!any_slides(a) || turn_alike(&a->rope[1], &b->rope[1], a->context)) return NULL;
  return "positions of sliding layers";
}
