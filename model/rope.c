/* Frequencies of RoPE, slopes of ALiBi. Sources: the papers named in architecture.h, and for
 * constants that only code states transformers:src/transformers/modeling_rope_utils.py. */
#include <math.h>

#include "model/architecture.h"

static const double PI = 3.14159265358979323846;

static double plain(const zh_rope *rope, double base, size_t i) {
  return pow(base, -2.0 * (double)i / (double)rope->dims);
}

/* Whole turns within the original context below low_frequency: stretched; above high_frequency:
 * kept; between them a mixture. */
static double llama3(const zh_rope *rope, double f) {
  double turns = rope->original_context * f / (2 * PI);
  if (turns < rope->low_frequency) return f / rope->factor;
  if (turns > rope->high_frequency) return f;
  double kept = (turns - rope->low_frequency) / (rope->high_frequency - rope->low_frequency);
  return (1 - kept) * f / rope->factor + kept * f;
}

/* The pair that makes so many turns within the original context, as a real number. */
static double pair_of_turns(const zh_rope *rope, double turns) {
  return rope->dims * log(rope->original_context / (turns * 2 * PI)) / (2 * log(rope->base));
}

static double yarn(const zh_rope *rope, size_t i) {
  double first = pair_of_turns(rope, rope->beta_fast), last = pair_of_turns(rope, rope->beta_slow);
  if (!rope->beta_exact) {
    first = floor(first);
    last = ceil(last);
  }
  first = fmax(first, 0);
  last = fmin(last, rope->dims - 1);
  if (first == last) last += 0.001;
  double stretched = fmin(fmax(((double)i - first) / (last - first), 0), 1),
         f = plain(rope, rope->base, i);
  return stretched * f / rope->factor + (1 - stretched) * f;
}

/* The base that a context beyond the original one asks for. */
static double dynamic_base(const zh_rope *rope, uint32_t context) {
  if (context <= rope->original_context) return rope->base;
  double longer = rope->factor * context / rope->original_context - (rope->factor - 1);
  return rope->base * pow(longer, (double)rope->dims / (rope->dims - 2.0));
}

static double frequency_of(const zh_rope *rope, uint32_t context, size_t i) {
  const float *factors = context > rope->original_context ? rope->long_factor : rope->short_factor;
  switch (rope->scaling) {
  case ZH_ROPE_LINEAR:
    return plain(rope, rope->base, i) / rope->factor;
  case ZH_ROPE_LLAMA3:
    return llama3(rope, plain(rope, rope->base, i));
  case ZH_ROPE_YARN:
    return yarn(rope, i);
  case ZH_ROPE_LONGROPE:
    return plain(rope, rope->base, i) / (double)factors[i];
  case ZH_ROPE_DYNAMIC:
    return plain(rope, dynamic_base(rope, context), i);
  case ZH_ROPE_ALPHA:
    return plain(rope, rope->base * pow(rope->alpha, (double)rope->dims / (rope->dims - 2.0)), i);
  default:
    return plain(rope, rope->base, i);
  }
}

void zh_rope_frequencies(double *frequency, const zh_rope *rope, uint32_t context) {
  for (size_t i = 0; i < rope->dims / 2; i++) frequency[i] = frequency_of(rope, context, i);
}

void zh_alibi_slopes(float *slope, uint32_t heads) {
  uint32_t power = 1;
  while (power <= heads / 2) power *= 2;
  for (uint32_t i = 0; i < heads; i++) {
    double step = i < power ? (i + 1.0) / power : (2 * (i - power) + 1.0) / (2.0 * power);
    slope[i] = (float)exp2(-8 * step);
  }
}
