#include "bench/engine/expert_shares.h"

#include <math.h>

const char *const zh_expert_words[] = {"auto", "columns", "whole", NULL};

zh_expert_share zh_expert_share_of(uint32_t experts, int index, int parts) {
  size_t begin, end;
  zh_share(&begin, &end, experts, 1, index, parts);
  return (zh_expert_share){(uint32_t)begin, (uint32_t)(end - begin)};
}

/* --- what is possible --- */

/* Whether a part of so many rows of an expert's gate, and columns of what leads out of it, is whole
 * blocks: of its type, and on a device of what has one scale there. */
static bool is_whole_blocks(const zh_weights *weights, const zh_weight *w, bool out,
                            uint64_t each) {
  const zh_dtype_info *type = zh_dtype_find((uint32_t)w->tensor->type);
  uint64_t block = out ? w->fp8.columns : w->fp8.rows;
  if (out && each % type->block_elements != 0) return false;
  if (!weights->elsewhere || w->fp8.rows == 0) return true;
  if (w->source->stored->data == NULL) return each % ZH_STANDARD_BLOCK == 0;
  return each % block == 0 || (out && block >= w->matrix.columns);
}

static bool divides_columns(const zh_weights *weights, int parts) {
  const zh_architecture *a = &weights->architecture;
  uint64_t each = a->expert_ffn / (uint32_t)parts;
  bool whole = each * (uint64_t)parts == a->expert_ffn;
  for (uint32_t layer = 0; whole && layer < a->layers; ++layer)
    for (uint32_t e = 0; zh_layer_is(a, layer, ZH_LAYER_EXPERTS) && e < a->experts; ++e) {
      const zh_weight *w = zh_weights_expert(weights, layer, e);
      for (int slot = ZH_EXPERT_GATE; slot <= ZH_EXPERT_DOWN; ++slot)
        whole = whole && is_whole_blocks(weights, &w[slot], slot == ZH_EXPERT_DOWN, each);
    }
  return whole;
}

/* --- which takes less --- */

double zh_experts_busy(uint32_t experts, uint32_t used, double tokens) {
  return experts * (1 - pow(1 - (double)used / experts, tokens));
}

/* The mean, and what the largest of `parts` numbers that spread like a binomial's lies above it. */
double zh_experts_busiest(uint32_t experts, int parts, double busy) {
  double mean = busy / parts, spread = sqrt(2 * mean * (1 - busy / experts) * log(parts));
  return fmin(mean + spread, ceil((double)experts / parts));
}

static double bytes_of_expert(const zh_weights *weights) {
  const zh_architecture *a = &weights->architecture;
  const zh_weights_total *total = &weights->total;
  uint64_t bytes = total->expert_bytes - (weights->elsewhere ? total->expert_fp8_less : 0);
  uint32_t layers = 0;
  for (uint32_t l = 0; l < total->layers; ++l)
    layers += zh_layer_is(&total->architecture, l, ZH_LAYER_EXPERTS);
  return (double)bytes / layers / a->experts;
}

/* Weights, and the row of fp32 that each choice writes for the sum and that is read again: of all
 * choices where every rank has columns, of its own where it has whole experts. */
static bool takes_less_whole(const zh_weights *weights, zh_part part) {
  const zh_architecture *a = &weights->architecture;
  double tokens = part.tokens > 0 ? (double)part.tokens : 1, each = bytes_of_expert(weights),
         rows = tokens * a->experts_used * a->hidden * 2 * sizeof(float),
         busy = zh_experts_busy(a->experts, a->experts_used, tokens),
         busiest = zh_experts_busiest(a->experts, part.parts, busy);
  return busiest * each + busiest / busy * rows < busy / part.parts * each + rows;
}

bool zh_experts_lie_whole(const zh_weights *weights, zh_part part) {
  if (!weights->expert || part.parts <= 1 || part.experts == ZH_EXPERTS_COLUMNS) return false;
  if (part.experts == ZH_EXPERTS_WHOLE) return true;
  if (weights->architecture.experts < (uint32_t)part.parts) return false;
  return !divides_columns(weights, part.parts) || takes_less_whole(weights, part);
}
