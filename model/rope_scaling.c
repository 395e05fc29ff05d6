/* How a file scales its positions. config.json says it as rope_scaling beside rope_theta, or since
 * transformers 5 as rope_parameters, one for all layers or one for each kind of layers; GGUF files
 * as rope.scaling.*, or as tensors of factors. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/family.h"

static const struct {
  const char *word;
  zh_rope_scaling scaling;
} kinds[] = {{"default", ZH_ROPE_PLAIN}, {"none", ZH_ROPE_PLAIN},
             {"linear", ZH_ROPE_LINEAR}, {"llama3", ZH_ROPE_LLAMA3},
             {"yarn", ZH_ROPE_YARN},     {"longrope", ZH_ROPE_LONGROPE},
             {"su", ZH_ROPE_LONGROPE},   {"dynamic", ZH_ROPE_DYNAMIC}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static bool find_kind(zh_rope_scaling *out, const char *word, size_t length) {
  for (size_t i = 0; i < KINDS; i++)
    if (strlen(kinds[i].word) == length && memcmp(kinds[i].word, word, length) == 0) {
      *out = kinds[i].scaling;
      return true;
    }
  return false;
}

static zh_status unknown_kind(const zh_model *model, const char *word, size_t length,
                              zh_error *err) {
  return zh_fail(
      err, ZH_ERR_INPUT,
      "%s: the model scales its positions by '%.*s', which this version does not compute",
      model->path, (int)(length < 40 ? length : 40), word);
}

static double larger_of_one(double x) {
  return x > 1 ? x : 1;
}

/* YaRN's own: arXiv:2309.00071, 3.4; mscale is DeepSeek's. */
static double yarn_attention(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

/* arXiv:2402.13753, 3.3 */
static double longrope_attention(double factor, double original) {
  return factor <= 1 ? 1 : sqrt(1 + log(factor) / log(original));
}

/* --- config.json --- */

static double real_at(const json_t *object, const char *key, double absent) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : absent;
}

static zh_status read_factors(float *out, uint32_t *count, const json_t *list,
                              const zh_model *model, zh_error *err) {
  size_t length = json_array_size(list);
  if (length == 0 || length > ZH_ROPE_PAIRS_MAX || (*count != 0 && *count != length))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: rope_scaling: short_factor and long_factor must be lists of one length, 1 "
                   "to %d",
                   model->path, ZH_ROPE_PAIRS_MAX);
  for (size_t i = 0; i < length; i++) out[i] = (float)json_number_value(json_array_get(list, i));
  *count = (uint32_t)length;
  return ZH_OK;
}

/* DeepSeek's mscale is 1 where the two are alike; else YaRN's factor of the first over the second.
 */
static double yarn_attention_stated(const json_t *object, double factor) {
  double mscale = real_at(object, "mscale", 0), all = real_at(object, "mscale_all_dim", 0);
  if (mscale != 0 && all != 0) return yarn_attention(factor, mscale) / yarn_attention(factor, all);
  return yarn_attention(factor, 1);
}

/* 0: none that a model can have. */
static uint32_t whole_context(double positions) {
  return positions >= 1 && positions <= INT32_MAX ? (uint32_t)positions : 0;
}

static float finite_float(double x) {
  return x >= 0 && x <= (double)FLT_MAX ? (float)x : INFINITY;
}

/* DeepSeek's attention is sharper by the square of YaRN's factor. */
static void sharpen(zh_architecture *a, double by) {
  if (a->attention == ZH_ATTENTION_LATENT && a->rope[0].scaling == ZH_ROPE_YARN)
    a->attention_scale = finite_float((double)a->attention_scale * by * by);
}

/* What a kind of scaling must state. */
static zh_status check_stated(const zh_rope *rope, const json_t *object, const zh_model *model,
                              zh_error *err) {
  static const struct {
    zh_rope_scaling scaling;
    const char *key;
  } needed[] = {{ZH_ROPE_LINEAR, "factor"},
                {ZH_ROPE_LLAMA3, "factor"},
                {ZH_ROPE_YARN, "factor"},
                {ZH_ROPE_DYNAMIC, "factor"},
                {ZH_ROPE_LLAMA3, "low_freq_factor"},
                {ZH_ROPE_LLAMA3, "high_freq_factor"}};
  for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
    if (needed[i].scaling == rope->scaling && !(real_at(object, needed[i].key, 0) > 0))
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s: the model scales its positions, but gives no '%s' for it", model->path,
                     needed[i].key);
  double low = real_at(object, "low_freq_factor", 0), high = real_at(object, "high_freq_factor", 0);
  if (rope->scaling == ZH_ROPE_LLAMA3 && low >= high)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the ramp of scaled positions leads from 'low_freq_factor' %g to "
                   "'high_freq_factor' %g, which should be the larger one",
                   model->path, low, high);
  if (real_at(object, "attention_factor", 1) <= 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: 'attention_factor' is %g; a number over 0 was expected",
                   model->path, real_at(object, "attention_factor", 1));
  return ZH_OK;
}

static zh_status read_object(zh_rope *rope, const zh_architecture *a, const json_t *object,
                             const zh_model *model, zh_error *err) {
  const json_t *config = zh_text_config(model), *type = json_object_get(object, "rope_type");
  if (type == NULL) type = json_object_get(object, "type");
  const char *word = json_string_value(type);
  if (!json_is_object(object) || (type != NULL && word == NULL))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: how positions are scaled should be an object whose 'rope_type' is a word",
                   model->path);
  if (word == NULL) return ZH_OK;
  if (!find_kind(&rope->scaling, word, strlen(word)))
    return unknown_kind(model, word, strlen(word), err);
  ZH_TRY(check_stated(rope, object, model, err));
  double original = real_at(object, "original_max_position_embeddings",
                            real_at(config, "original_max_position_embeddings", a->context));
  rope->original_context = whole_context(original);
  if (rope->original_context == 0)
    return zh_fail(
        err, ZH_ERR_INPUT,
        "%s: 'original_max_position_embeddings' is %g; a whole number from 1 was expected",
        model->path, original);
  rope->factor = real_at(object, "factor", rope->original_context > 0 ? a->context / original : 1);
  rope->low_frequency = real_at(object, "low_freq_factor", 1);
  rope->high_frequency = real_at(object, "high_freq_factor", 4);
  rope->beta_fast = real_at(object, "beta_fast", 32);
  rope->beta_slow = real_at(object, "beta_slow", 1);
  if (json_object_get(object, "truncate") != NULL)
    rope->beta_exact = json_is_false(json_object_get(object, "truncate"));
  rope->alpha = real_at(object, "alpha", 0);
  double attention = 1;
  if (rope->scaling == ZH_ROPE_YARN) attention = yarn_attention_stated(object, rope->factor);
  if (rope->scaling == ZH_ROPE_LONGROPE)
    attention = longrope_attention(real_at(object, "factor", a->context / larger_of_one(original)),
                                   original);
  if (rope->scaling == ZH_ROPE_YARN || rope->scaling == ZH_ROPE_LONGROPE)
    rope->attention_factor = real_at(object, "attention_factor", attention);
  if (rope->scaling == ZH_ROPE_DYNAMIC && rope->alpha > 0) rope->scaling = ZH_ROPE_ALPHA;
  if (rope->scaling != ZH_ROPE_LONGROPE) return ZH_OK;
  ZH_TRY(read_factors(rope->short_factor, &rope->factors, json_object_get(object, "short_factor"),
                      model, err));
  return read_factors(rope->long_factor, &rope->factors, json_object_get(object, "long_factor"),
                      model, err);
}

static zh_status read_config(zh_architecture *a, const zh_model *model, zh_error *err) {
  const json_t *config = zh_text_config(model);
  const json_t *all = zh_config_at(config, "rope_parameters"),
               *full = zh_config_at(config, "rope_parameters.full_attention"),
               *sliding = zh_config_at(config, "rope_parameters.sliding_attention"),
               *older = zh_config_at(config, "rope_scaling");
  const json_t *first = full != NULL ? full : all != NULL ? all : older;
  double base = a->rope[1].base;
  if (first != NULL) ZH_TRY(read_object(&a->rope[0], a, first, model, err));
  sharpen(a, yarn_attention(a->rope[0].factor, real_at(first, "mscale_all_dim", 0)));
  zh_rope other = a->rope[0];
  if (base > 0 || sliding != NULL) {
    other = (zh_rope){.kind = a->rope[0].kind, .dims = a->rope[0].dims, .base = base};
    if (base == 0) other.base = real_at(sliding, "rope_theta", a->rope[0].base);
    if (sliding != NULL) ZH_TRY(read_object(&other, a, sliding, model, err));
  }
  a->rope[1] = other;
  return ZH_OK;
}

/* --- GGUF --- */

static double gguf_real(const zh_model *model, const char *key, double absent) {
  const zh_gguf_value *value = zh_gguf_family_value(model, key);
  double number;
  uint64_t whole;
  if (zh_gguf_uint(&whole, value)) return (double)whole;
  return zh_gguf_real(&number, value) ? number : absent;
}

/* A tensor of factors by which frequencies are divided: what the converter made of llama3's ramp
 * (rope_freqs), or longrope's two lists. */
static zh_status read_factor_tensor(float *out, uint32_t *count, const zh_model *model,
                                    const char *name, bool *there, zh_error *err) {
  const zh_tensor *t = zh_model_find(model, name);
  *there = t != NULL;
  if (t == NULL) return ZH_OK;
  if (t->type != ZH_F32 || t->dims != 1 || t->elements == 0 || t->elements > ZH_ROPE_PAIRS_MAX ||
      (*count != 0 && *count != t->elements))
    return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%s' should be a list of 1 to %d factors in F32",
                   model->path, name, ZH_ROPE_PAIRS_MAX);
  memcpy(out, t->data, t->elements * sizeof *out);
  *count = (uint32_t)t->elements;
  return ZH_OK;
}

static zh_status read_gguf(zh_architecture *a, const zh_model *model, zh_error *err) {
  zh_rope *rope = &a->rope[0];
  const zh_gguf_value *type = zh_gguf_family_value(model, "rope.scaling.type");
  const char *word;
  size_t length;
  bool there, second;
  if (type != NULL) {
    if (!zh_gguf_string(&word, &length, type)) return unknown_kind(model, "?", 1, err);
    if (!find_kind(&rope->scaling, word, length)) return unknown_kind(model, word, length, err);
  }
  rope->original_context =
      whole_context(gguf_real(model, "rope.scaling.original_context_length", a->context));
  rope->factor = gguf_real(model, "rope.scaling.factor", 1);
  bool scales = rope->scaling == ZH_ROPE_LINEAR || rope->scaling == ZH_ROPE_YARN;
  if (scales && !(gguf_real(model, "rope.scaling.factor", 0) > 0))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the model scales its positions, but gives no 'rope.scaling.factor' for it",
                   model->path);
  rope->beta_fast = gguf_real(model, "rope.scaling.yarn_beta_fast", 32);
  rope->beta_slow = gguf_real(model, "rope.scaling.yarn_beta_slow", 1);
  if (rope->scaling == ZH_ROPE_YARN) rope->attention_factor = yarn_attention(rope->factor, 1);
  /* A tenth of mscale_all_dim, to which mscale is taken to be equal. */
  double tenth = gguf_real(model, "rope.scaling.yarn_log_multiplier", 0);
  if (a->attention == ZH_ATTENTION_LATENT && tenth != 0) rope->attention_factor = 1;
  sharpen(a, yarn_attention(rope->factor, 10 * tenth));
  ZH_TRY(read_factor_tensor(rope->short_factor, &rope->factors, model, "rope_freqs.weight", &there,
                            err));
  if (there) memcpy(rope->long_factor, rope->short_factor, sizeof rope->long_factor);
  if (!there) {
    ZH_TRY(read_factor_tensor(rope->short_factor, &rope->factors, model,
                              "rope_factors_short.weight", &there, err));
    ZH_TRY(read_factor_tensor(rope->long_factor, &rope->factors, model, "rope_factors_long.weight",
                              &second, err));
    if (there != second)
      return zh_fail(err, ZH_ERR_INPUT, "%s has one list of RoPE's factors, not both", model->path);
    if (there)
      rope->attention_factor =
          gguf_real(model, "rope.scaling.attn_factor",
                    longrope_attention(a->context / larger_of_one(rope->original_context),
                                       rope->original_context));
  }
  if (there) rope->scaling = ZH_ROPE_LONGROPE;
  double base = a->rope[1].base;
  a->rope[1] = base > 0 ? (zh_rope){.kind = rope->kind, .dims = rope->dims, .base = base} : *rope;
  return ZH_OK;
}

/* --- both --- */

/* Nothing that a file states may make a frequency infinite or not a number. */
static zh_status check(const zh_rope *rope, const zh_model *model, zh_error *err) {
  double frequency[ZH_ROPE_PAIRS_MAX];
  if (rope->kind == ZH_ROPE_NONE) return ZH_OK;
  if (rope->scaling == ZH_ROPE_LONGROPE && rope->factors != rope->dims / 2)
    return zh_fail(err, ZH_ERR_INPUT, "%s: %u factors of RoPE for %u pairs of a head", model->path,
                   rope->factors, rope->dims / 2);
  const uint32_t contexts[] = {1, INT32_MAX};
  for (int c = 0; c < 2; c++) {
    zh_rope_frequencies(frequency, rope, contexts[c]);
    for (uint32_t i = 0; i < rope->dims / 2; i++)
      if (!isfinite(frequency[i]) || !(frequency[i] > 0))
        return zh_fail(err, ZH_ERR_INPUT,
                       "%s: the scaling of positions gives pair %u of a head the frequency %g",
                       model->path, i, frequency[i]);
  }
  if (!isfinite(rope->attention_factor) || rope->attention_factor < 0)
    return zh_fail(err, ZH_ERR_INPUT, "%s: RoPE's attention factor is %g", model->path,
                   rope->attention_factor);
  return ZH_OK;
}

zh_status zh_rope_read(zh_architecture *a, const zh_model *model, zh_error *err) {
  ZH_TRY(strcmp(model->format, "gguf") == 0 ? read_gguf(a, model, err)
                                            : read_config(a, model, err));
  if (!isfinite(a->attention_scale))
    return zh_fail(err, ZH_ERR_INPUT, "%s: YaRN's mscale makes the attention scale infinite",
                   model->path);
  ZH_TRY(check(&a->rope[0], model, err));
  return check(&a->rope[1], model, err);
}
