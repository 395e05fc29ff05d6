/* What each layer is: which of them slide, and which have experts. */
#include <string.h>

#include "model/family.h"

/* NULL where the file has no such list. */
static const json_t *config_list(const zh_model *model, const char *key) {
  bool gguf = strcmp(model->format, "gguf") == 0;
  return gguf ? NULL : zh_config_at(zh_text_config(model), key);
}

/* A list of words, one a layer: those equal to `word` get the bit, others `otherwise`. */
static zh_status mark_by_types(zh_architecture *a, const zh_model *model, const char *key,
                               const char *word, const char *otherwise, zh_layer_bits bit,
                               bool *there, zh_error *err) {
  const json_t *list = config_list(model, key);
  *there = list != NULL;
  if (list == NULL) return ZH_OK;
  if (json_array_size(list) != a->layers)
    return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' should be a list of %u words, one for each layer",
                   model->path, key, a->layers);
  for (uint32_t i = 0; i < a->layers; i++) {
    const char *text = json_string_value(json_array_get(list, i));
    bool is = text != NULL && strcmp(text, word) == 0;
    if (!is && (text == NULL || strcmp(text, otherwise) != 0))
      return zh_fail(
          err, ZH_ERR_INPUT, "%s: layer %u is '%.40s' by '%s'; this version computes %s and %s",
          model->path, i, text != NULL && zh_name_is_clean(text, strlen(text)) ? text : "?", key,
          word, otherwise);
    if (is) a->layer[i] |= (uint8_t)bit;
  }
  return ZH_OK;
}

/* Layers that slide need a window to see. */
static zh_status no_window(const zh_model *model, const zh_family *family, bool stated,
                           const char *why, zh_error *err) {
  return zh_fail(err, ZH_ERR_INPUT, "%s: %s, and no window is given ('%s'%s)", model->path, why,
                 zh_field_key(model, family, "window"), stated ? ", 'use_sliding_window'" : "");
}

static zh_status mark_sliding(zh_described *d, const zh_model *model, const zh_family *family,
                              zh_error *err) {
  zh_architecture *a = &d->a;
  const zh_layer_pattern *p = &d->pattern;
  bool listed = false, windows = a->window > 0 && p->slides;
  ZH_TRY(mark_by_types(a, model, "layer_types", "sliding_attention", "full_attention",
                       ZH_LAYER_SLIDING, &listed, err));
  for (uint32_t i = 0; listed && !windows && i < a->layers; i++)
    if (zh_layer_is(a, i, ZH_LAYER_SLIDING))
      return no_window(model, family, a->window > 0, "layers slide by 'layer_types'", err);
  if (listed || (!windows && p->sliding_every <= 1)) return ZH_OK;
  if (!windows) return no_window(model, family, a->window > 0, "layers of this family slide", err);
  for (uint32_t i = 0; i < a->layers; i++)
    if (p->sliding_every > 0 ? (i + 1) % p->sliding_every != 0 : i >= p->sliding_from)
      a->layer[i] |= ZH_LAYER_SLIDING;
  return ZH_OK;
}

/* config.json's list of layers without experts. */
static zh_status unmark_dense(zh_architecture *a, const zh_model *model, zh_error *err) {
  const json_t *dense = config_list(model, "mlp_only_layers");
  if (dense != NULL && !json_is_array(dense))
    return zh_fail(err, ZH_ERR_INPUT, "%s: 'mlp_only_layers' should be a list of layers",
                   model->path);
  for (size_t i = 0; i < json_array_size(dense); i++) {
    const json_t *item = json_array_get(dense, i);
    json_int_t layer = json_integer_value(item);
    if (!json_is_integer(item) || layer < 0 || layer >= a->layers)
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s: 'mlp_only_layers' names a layer that is none of the %u", model->path,
                     a->layers);
    a->layer[layer] &= (uint8_t)~ZH_LAYER_EXPERTS;
  }
  return ZH_OK;
}

static zh_status mark_experts(zh_described *d, const zh_model *model, const zh_family *family,
                              zh_error *err) {
  zh_architecture *a = &d->a;
  const zh_layer_pattern *p = &d->pattern;
  bool listed = false;
  ZH_TRY(mark_by_types(a, model, "mlp_layer_types", "sparse", "dense", ZH_LAYER_EXPERTS, &listed,
                       err));
  for (uint32_t i = 0; listed && a->experts == 0 && i < a->layers; i++)
    if (zh_layer_is(a, i, ZH_LAYER_EXPERTS))
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s: layer %u has experts by 'mlp_layer_types', and the model has none ('%s')",
                     model->path, i, zh_field_key(model, family, "experts"));
  if (listed || a->experts == 0) return ZH_OK;
  for (uint32_t i = 0; i < a->layers; i++)
    if (i >= p->dense_first && i <= p->sparse_last &&
        (p->sparse_every <= 1 || (i + 1) % p->sparse_every == 0))
      a->layer[i] |= ZH_LAYER_EXPERTS;
  return unmark_dense(a, model, err);
}

zh_status zh_layers_mark(zh_described *d, const zh_model *model, const zh_family *family,
                         zh_error *err) {
  ZH_TRY(mark_sliding(d, model, family, err));
  return mark_experts(d, model, family, err);
}
