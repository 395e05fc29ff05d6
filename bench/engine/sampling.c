#include "bench/engine/sampling.h"

zh_draw_rule zh_sampling_rule(const zh_sampling *how, uint64_t index) {
  const double log2_e = 1.44269504088896340736;
  zh_draw_rule rule = {.seed = how->seed, .index = index, .top_k = how->top_k};
  if (!(how->temperature > 0)) return rule;
  rule.rate = log2_e / how->temperature;
  rule.min_p = (uint64_t)(how->min_p * 0x1p40);
  if (how->top_p < 1) rule.top_p = (uint32_t)(how->top_p * 0x1p32);
  if (how->top_p < 1 && rule.top_p == 0) rule.top_p = 1;
  return rule;
}

size_t zh_sample_token(const zh_kernels *kernels, const float *logits, size_t count,
                       const zh_sampling *how, uint64_t index) {
  zh_draw_rule rule = zh_sampling_rule(how, index);
  size_t largest = kernels->argmax(logits, count);
  return largest < count ? zh_draw_token(logits, count, largest, &rule) : SIZE_MAX;
}

zh_status zh_sample_next(size_t *out, const zh_engine *engine, const float *logits,
                         const zh_sampling *how, uint64_t index, zh_error *err) {
  size_t vocab = zh_engine_architecture(engine)->vocab;
  *out = SIZE_MAX;
  if (zh_engine_has_head(engine))
    *out = zh_sample_token(zh_kernels_reference(), logits, vocab, how, index);
  return zh_engine_share(engine, out, sizeof *out, err);
}
