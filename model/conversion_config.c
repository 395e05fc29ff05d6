/* What a converted model says of itself in config.json. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/conversion_room.h"

/* The shortest decimal that is this fp32 number, as people wrote it. */
static json_t *short_real(double value) {
  char text[32];
  for (int digits = 1; digits <= 9; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtof(text, NULL) == (float)value) break;
  }
  return json_real(strtod(text, NULL));
}

/* A key may lead into objects. */
static void set_field(void *user, const char *path, const zh_field_value *value) {
  json_t *object = user, *made = NULL;
  const char *dot;
  char key[96];
  while ((dot = strchr(path, '.')) != NULL && (size_t)(dot - path) < sizeof key) {
    snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
    if (!json_is_object(json_object_get(object, key)))
      json_object_set_new(object, key, json_object());
    object = json_object_get(object, key);
    path = dot + 1;
  }
  if (value->kind == ZH_FIELD_COUNT) made = json_integer((json_int_t)value->number);
  if (value->kind == ZH_FIELD_REAL) made = short_real(value->number);
  if (value->kind == ZH_FIELD_FLAG) made = json_boolean(value->number != 0);
  if (value->kind == ZH_FIELD_WORD) made = json_string(value->word);
  json_object_set_new(object, path, made);
}

/* --- positions --- */

static json_t *list_of(const float *values, uint32_t count) {
  json_t *list = json_array();
  for (uint32_t i = 0; i < count; i++) json_array_append_new(list, short_real((double)values[i]));
  return list;
}

/* DeepSeek's words for how much sharper its attention is; both alike where nothing else follows. */
static void set_sharpness(json_t *object, const zh_architecture *a) {
  const zh_rope *rope = &a->rope[0];
  double tenth = zh_conversion_yarn_tenth(a);
  if (tenth == 0) return;
  json_object_set_new(object, "mscale_all_dim", short_real(10 * tenth));
  if (rope->attention_factor == 1) json_object_set_new(object, "mscale", short_real(10 * tenth));
}

static void set_yarn(json_t *object, const zh_architecture *a) {
  const zh_rope *rope = &a->rope[0];
  json_object_set_new(object, "beta_fast", short_real(rope->beta_fast));
  json_object_set_new(object, "beta_slow", short_real(rope->beta_slow));
  if (rope->beta_exact) json_object_set_new(object, "truncate", json_false());
  set_sharpness(object, a);
}

/* What is understood where no attention_factor is stated (arXiv:2309.00071, 3.4). */
static double yarn_factor(const zh_architecture *a) {
  const zh_rope *rope = &a->rope[0];
  if (zh_conversion_yarn_tenth(a) != 0 && rope->attention_factor == 1) return 1;
  return rope->factor <= 1 ? 1 : 0.1 * log(rope->factor) + 1;
}

static void set_rope(json_t *config, const zh_architecture *a) {
  static const char *const words[ZH_ROPE_SCALINGS] = {[ZH_ROPE_LINEAR] = "linear",
                                                      [ZH_ROPE_LLAMA3] = "llama3",
                                                      [ZH_ROPE_YARN] = "yarn",
                                                      [ZH_ROPE_LONGROPE] = "longrope"};
  const zh_rope *rope = &a->rope[0];
  if (rope->kind == ZH_ROPE_NONE || words[rope->scaling] == NULL) return;
  json_t *object = json_pack("{s:s, s:I, s:o}", "rope_type", words[rope->scaling],
                             "original_max_position_embeddings", (json_int_t)rope->original_context,
                             "factor", short_real(rope->factor));
  if (rope->scaling == ZH_ROPE_LLAMA3) {
    json_object_set_new(object, "low_freq_factor", short_real(rope->low_frequency));
    json_object_set_new(object, "high_freq_factor", short_real(rope->high_frequency));
  }
  if (rope->scaling == ZH_ROPE_YARN) set_yarn(object, a);
  if (rope->scaling == ZH_ROPE_LONGROPE) {
    json_object_set_new(object, "short_factor", list_of(rope->short_factor, rope->factors));
    json_object_set_new(object, "long_factor", list_of(rope->long_factor, rope->factors));
  }
  double factor = rope->attention_factor == 0 ? 1 : rope->attention_factor;
  if (rope->scaling == ZH_ROPE_LONGROPE ||
      (rope->scaling == ZH_ROPE_YARN && factor != yarn_factor(a)))
    json_object_set_new(object, "attention_factor", short_real(factor));
  json_object_set_new(config, "rope_scaling", object);
}

/* --- what no field of ours says --- */

/* Ids of special tokens, as GGUF states them. */
static void set_token(json_t *config, const zh_model *model, const char *key, const char *from) {
  uint64_t id;
  if (zh_gguf_uint(&id, zh_gguf_find(model, from)))
    json_object_set_new(config, key, json_integer((json_int_t)id));
}

/* The class of transformers that reads the folder. */
static void set_class(json_t *config, const zh_family *family) {
  const zh_yaml_node *node = zh_yaml_get(family->root, "class");
  const char *name;
  if (node != NULL && zh_yaml_string(&name, node, NULL) == ZH_OK)
    json_object_set_new(config, "architectures", json_pack("[s]", name));
}

/* A query that is not compressed must be said to be so; experts are chosen by a method's name. */
static void set_latent(json_t *config, const zh_architecture *a) {
  if (a->attention != ZH_ATTENTION_LATENT) return;
  json_object_set_new(config, "num_key_value_heads", json_integer(a->heads));
  if (a->latent.q_rank == 0) json_object_set_new(config, "q_lora_rank", json_null());
  if (a->experts == 0) return;
  const char *method = a->router.score == ZH_ROUTER_SIGMOID ? "noaux_tc"
                       : a->router.groups > 1               ? "group_limited_greedy"
                                                            : "greedy";
  json_object_set_new(config, "topk_method", json_string(method));
}

static void set_packing(json_t *config, const zh_conversion *c) {
  if (!c->keeps_packed) return;
  json_object_set_new(config, "quantization_config",
                      json_pack("{s:s, s:[s, s, s, s]}", "quant_method", "mxfp4",
                                "modules_to_not_convert", "model.layers.*.self_attn",
                                "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"));
}

static zh_status config_of(json_t **out, zh_conversion *c, zh_error *err) {
  const zh_architecture *a = &c->described.a;
  const char *word = zh_conversion_family_word(c->family, ZH_FORM_CONFIG),
             *type = zh_conversion_torch_type(c);
  if (word == NULL)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the family '%s' is not known in safetensors",
                   c->model->path, c->family->name);
  json_t *config = *out = json_object();
  set_class(config, c->family);
  json_object_set_new(config, "model_type", json_string(word));
  if (type != NULL) json_object_set_new(config, "torch_dtype", json_string(type));
  set_token(config, c->model, "bos_token_id", "tokenizer.ggml.bos_token_id");
  set_token(config, c->model, "eos_token_id", "tokenizer.ggml.eos_token_id");
  set_rope(config, a);
  set_latent(config, a);
  set_packing(config, c);
  return zh_fields_write(&c->described, c->model, c->family, ZH_FORM_CONFIG, set_field, config,
                         err);
}

/* The folder's own, but for the type that it states, and for packing that is no more. */
static json_t *config_copied(const zh_conversion *c) {
  static const char *const types[] = {"torch_dtype", "dtype"}, *const packings[] = {
                                                                   "quantization_config",
                                                                   "compression_config"};
  json_t *config = json_copy(c->model->config);
  const char *type = zh_conversion_torch_type(c);
  for (size_t i = 0; i < 2 && c->wanted != NULL; i++)
    if (json_object_get(config, types[i]) != NULL && type != NULL)
      json_object_set_new(config, types[i], json_string(type));
  for (size_t i = 0; i < 2 && c->unpacked && !c->keeps_packed; i++)
    json_object_del(config, packings[i]);
  return config;
}

zh_status zh_conversion_describe_config(zh_conversion *c, zh_error *err) {
  json_t *config = NULL;
  char *text = NULL;
  zh_status status = ZH_OK;
  if (!c->anew && c->model->config == NULL) return ZH_OK;
  if (c->anew)
    status = config_of(&config, c, err);
  else
    config = config_copied(c);
  if (status == ZH_OK && config == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (config.json)");
  if (status == ZH_OK) status = zh_json_dump(&text, config, err);
  json_decref(config);
  if (status == ZH_OK) zh_text_puts(zh_conversion_add_side(c, "config.json"), text);
  free(text);
  return status;
}
