/* Small models of random shape and random weights, as GGUF files: families of all kinds, uneven
 * heads, odd sizes, every weight type that the engine reads, mixed in one file. */
#ifndef ZH_TESTS_POWER_RANDOM_MODEL_H
#define ZH_TESTS_POWER_RANDOM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/dtype.h"
#include "core/status.h"

enum { RANDOM_MATRICES = 7 }; /* of a layer: q, k, v, output, gate, up, down */

typedef struct random_family random_family; /* a published one's operators */

typedef struct random_shape {
  const random_family *family;
  uint32_t layers, hidden, heads, kv_heads, head_dim, ffn, vocab, context;
  uint32_t experts, experts_used, expert_ffn, shared_ffn; /* of families that have them */
  uint32_t window, latent_rank, latent_turned;
  bool tied, half_norms;
  zh_dtype of_layer[RANDOM_MATRICES], embedding, head;
} random_shape;

/* Numbers that follow from a seed, one after the other. */
typedef struct dice {
  uint64_t seed, drawn;
} dice;
uint32_t dice_below(dice *d, uint32_t below);
uint32_t dice_from(dice *d, uint32_t low, uint32_t high); /* inclusive */

/* experts: of a family that has them. */
random_shape random_shape_draw(dice *d, uint32_t layers_min, bool experts);
/* "qwen3, 3 layers, 96 = 6/2 x 16, ffn 160, vocabulary 131, Q8_0 F16" */
void random_shape_say(char *out, size_t capacity, const random_shape *shape);
ZH_MUST_CHECK zh_status random_model_write(const char *path, const random_shape *shape,
                                           uint64_t seed, zh_error *err);

#endif
