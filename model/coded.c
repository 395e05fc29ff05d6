/* All coded weights of a model: which packing config.json states, which tensors are packed so, and
 * whether every part of them is there and nothing is left over. */
#include "model/coded.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/coded_forms.h"

struct zh_coded_table {
  zh_coded *weights; /* sorted by tensor.name */
  size_t count, capacity;
  bool *
      part; /* of each of the model's tensors: scales, zero points and the like of a coded weight */
  float e4m3[256], e5m2[256];
};

void zh_coded_free(zh_coded_table *table) {
  if (table == NULL) return;
  free(table->weights);
  free(table->part);
  free(table);
}

/* OCP 8-bit floats: of E5M2 the highest exponent is infinity and NaN as in IEEE 754, of E4M3 only
 * 0x7f and 0xff are NaN (OFP8 1.0, section 5). */
static float float_of_byte(unsigned byte, unsigned mantissa_bits) {
  unsigned mantissa = byte & ((1u << mantissa_bits) - 1), exponent = (byte & 127) >> mantissa_bits;
  int bias = mantissa_bits == 3 ? 7 : 15;
  float sign = byte & 128 ? -1.0f : 1.0f;
  if (mantissa_bits == 3 && (byte & 127) == 127) return NAN;
  if (mantissa_bits == 2 && exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
  if (exponent > 0) mantissa |= 1u << mantissa_bits;
  return sign *
         ldexpf((float)mantissa, (exponent > 0 ? (int)exponent : 1) - bias - (int)mantissa_bits);
}

/* --- what config.json states --- */

/* What it holds of each kind must be such: a list where an object belongs would say nothing. */
static zh_status misstated(const zh_model *model, const char *key, const char *wanted,
                           zh_error *err) {
  return zh_fail(err, ZH_ERR_INPUT, "%s: config.json's quantization_config: '%s' should be %s",
                 model->path, key, wanted);
}

/* 0 where it is absent or null. */
static zh_status read_positive(uint64_t *out, const zh_model *model, const json_t *object,
                               const char *key, zh_error *err) {
  const json_t *value = json_object_get(object, key);
  *out = 0;
  if (value == NULL || json_is_null(value)) return ZH_OK;
  if (!json_is_integer(value) || json_integer_value(value) <= 0)
    return misstated(model, key, "a whole number over 0", err);
  *out = (uint64_t)json_integer_value(value);
  return ZH_OK;
}

static zh_status read_group_size(zh_declared *d, const zh_model *model, const json_t *object,
                                 const char *key, zh_error *err) {
  const json_t *size = json_object_get(object, key);
  d->whole_rows = json_is_integer(size) && json_integer_value(size) == -1;
  return d->whole_rows ? ZH_OK : read_positive(&d->group_columns, model, object, key, err);
}

static zh_status read_block_size(zh_declared *d, const zh_model *model, const json_t *object,
                                 const char *key, zh_error *err) {
  const json_t *size = json_object_get(object, key);
  if (size == NULL || json_is_null(size)) return ZH_OK;
  long long rows = json_integer_value(json_array_get(size, 0)),
            columns = json_integer_value(json_array_get(size, 1));
  bool two = json_is_string(size)
                 ? sscanf(json_string_value(size), "%lldx%lld", &rows, &columns) == 2
                 : json_array_size(size) == 2; /* "128x128", too */
  if (!two || rows <= 0 || columns <= 0)
    return misstated(model, key, "two whole numbers over 0, rows and columns", err);
  d->block_rows = (uint64_t)rows;
  d->block_columns = (uint64_t)columns;
  return ZH_OK;
}

/* Groups of layers may differ; what they do not agree upon is not stated. */
static void agree(zh_declared *d, const zh_declared *one, bool first) {
  if (first || one->bits != d->bits) d->bits = first ? one->bits : 0;
  if (first || one->group_columns != d->group_columns)
    d->group_columns = first ? one->group_columns : 0;
  if (first || one->whole_rows != d->whole_rows) d->whole_rows = first && one->whole_rows;
  if (one->block_rows == 0) return;
  d->block_rows = one->block_rows;
  d->block_columns = one->block_columns;
}

static zh_status read_groups(zh_declared *d, const zh_model *model, const json_t *groups,
                             zh_error *err) {
  const char *name;
  const json_t *group;
  bool first = true;
  if (groups == NULL || json_is_null(groups)) return ZH_OK;
  if (!json_is_object(groups)) return misstated(model, "config_groups", "an object", err);
  json_object_foreach((json_t *)groups, name, group) {
    const json_t *weights = json_object_get(group, "weights");
    zh_declared one = {0};
    ZH_TRY(read_positive(&one.bits, model, weights, "num_bits", err));
    ZH_TRY(read_group_size(&one, model, weights, "group_size", err));
    ZH_TRY(read_block_size(&one, model, weights, "block_structure", err));
    agree(d, &one, first);
    first = false;
  }
  return ZH_OK;
}

static zh_status read_method(zh_declared *d, const zh_model *model, zh_error *err) {
  const json_t *q = json_object_get(model->config, "quantization_config");
  if (q == NULL || json_is_null(q)) q = json_object_get(model->config, "compression_config");
  d->method = "";
  if (q == NULL || json_is_null(q)) return ZH_OK;
  if (!json_is_object(q))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: config.json's quantization_config should be an object, which says how "
                   "weights are packed",
                   model->path);
  const json_t *method = json_object_get(q, "quant_method");
  d->root = q;
  if (method != NULL && !json_is_null(method) && !json_is_string(method))
    return misstated(model, "quant_method", "a word", err);
  if (json_is_string(method)) d->method = json_string_value(method);
  return ZH_OK;
}

static zh_status read_numbers(zh_declared *d, const zh_model *model, zh_error *err) {
  const json_t *q = d->root;
  const char *format = json_string_value(json_object_get(q, "checkpoint_format"));
  ZH_TRY(read_positive(&d->bits, model, q, "bits", err));
  if (d->bits == 0) ZH_TRY(read_positive(&d->bits, model, q, "w_bit", err));
  ZH_TRY(read_group_size(d, model, q,
                         json_object_get(q, "group_size") ? "group_size" : "q_group_size", err));
  ZH_TRY(read_block_size(d, model, q, "weight_block_size", err));
  ZH_TRY(read_groups(d, model, json_object_get(q, "config_groups"), err));
  d->zeros_as_they_are = format != NULL && strcmp(format, "gptq_v2") == 0;
  if (json_object_size(json_object_get(q, "dynamic")) > 0 ||
      json_object_size(json_object_get(q, "extra_config")) > 0) { /* of each layer its own */
    d->bits = d->group_columns = 0;
    d->whole_rows = false;
  }
  return ZH_OK;
}

/* --- what is refused by name --- */

typedef struct packer {
  const char *sign, *name;
} packer;

static zh_status refuse_packer(const zh_model *model, const char *name, zh_error *err) {
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: its weights are packed by %s, which this version does not read; GPTQ, AWQ, "
                 "compressed-tensors, FP8 with scales and MXFP4 are read",
                 model->path, name);
}

static bool one_of(const char *word, const char *const *words) {
  while (*words != NULL && strcmp(word, *words) != 0) words++;
  return *words != NULL;
}

static const char *text_at(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static zh_status check_method(const zh_coding *c, zh_error *err) {
  static const char *const known[] = {
      "", "gptq", "awq", "compressed-tensors", "fp8", "fbgemm_fp8", "mxfp4", "modelopt", NULL};
  static const packer refused[] = {{"bitsandbytes", "bitsandbytes"},
                                   {"hqq", "HQQ"},
                                   {"exl2", "EXL2"},
                                   {"exl3", "EXL3"},
                                   {"aqlm", "AQLM"},
                                   {"quip", "QuIP#"},
                                   {"quip-sharp", "QuIP#"},
                                   {"fp_quant", "FP-Quant"},
                                   {"torchao", "TorchAO"},
                                   {"auto-round", "AutoRound's own form"}};
  const json_t *q = c->declared.root;
  const char *method = c->declared.method, *packing = text_at(q, "packing_format"), *name = NULL;
  if (one_of(method, known)) {
    const char *sparse = text_at(json_object_get(q, "sparsity_config"), "format");
    if (sparse[0] != '\0' && strcmp(sparse, "dense") != 0) name = "compressed-tensors' sparse form";
    if (strcmp(text_at(q, "checkpoint_format"), "marlin") == 0 ||
        strcmp(text_at(q, "format"), "marlin-24") == 0)
      name = "Marlin";
    if (strcmp(method, "awq") == 0 && strncmp(text_at(q, "version"), "gemv", 4) == 0)
      name = "AWQ's gemv form";
    return name != NULL ? refuse_packer(c->model, name, err) : ZH_OK;
  }
  if (strcmp(method, "auto-round") == 0 && (strstr(packing, "gptq") || strstr(packing, "awq")))
    return ZH_OK;
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
    if (strcmp(method, refused[i].sign) == 0) name = refused[i].name;
  if (name != NULL) return refuse_packer(c->model, name, err);
  return zh_fail(
      err, ZH_ERR_INPUT,
      "%s: config.json says that the weights are packed by '%.64s' (quant_method), which "
      "this version does not know",
      c->model->path, zh_name_is_clean(method, strlen(method)) ? method : "?");
}

/* Names that only one packer gives. */
static zh_status check_name(const zh_model *model, const char *name, zh_error *err) {
  static const packer signs[] = {{".absmax", "bitsandbytes"},
                                 {".quant_map", "bitsandbytes"},
                                 {".SCB", "bitsandbytes"},
                                 {".W_q", "HQQ"},
                                 {".q_weight", "EXL2"},
                                 {".q_invperm", "EXL2"},
                                 {".trellis", "EXL3"},
                                 {".codebooks", "AQLM"},
                                 {".Qidxs", "QuIP#"},
                                 {".dqweight", "FP-Quant"},
                                 {".forward_hadamard_matrix", "FP-Quant"},
                                 {".bitmask", "compressed-tensors' sparse form"},
                                 {".weight_packed.meta", "Marlin"}};
  for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
    if (zh_ends_in(name, signs[i].sign)) return refuse_packer(model, signs[i].name, err);
  return strstr(name, ".quant_state.bitsandbytes__") != NULL
             ? refuse_packer(model, "bitsandbytes", err)
             : ZH_OK;
}

/* --- config.json's word on single layers --- */

/* Whether a layer's name is `entry`, or has it for a whole part, "model.layers.0.[mlp].up_proj". */
static bool names_layer(const char *entry, const char *name) {
  size_t length = strlen(entry);
  if (length == 0 || strpbrk(entry, ":*?[(") != NULL) return false; /* patterns are not read */
  for (const char *at = strstr(name, entry); at != NULL; at = strstr(at + 1, entry))
    if ((at == name || at[-1] == '.') && at[length] == '.') return true;
  return false;
}

static zh_status check_kept(const zh_coding *c, const zh_coded *w, zh_error *err) {
  static const char *const keys[] = {"modules_to_not_convert", "ignore", "ignored_layers"};
  for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
    const json_t *list = json_object_get(c->declared.root, keys[k]);
    for (size_t i = 0; i < json_array_size(list); i++) {
      const char *entry = json_string_value(json_array_get(list, i));
      if (w->layout != ZH_CODE_F64 && entry != NULL && names_layer(entry, w->tensor.name))
        return zh_fail(err, ZH_ERR_INPUT,
                       "%s: tensor '%s' is packed, and config.json lists its layer among those "
                       "that are not (%s)",
                       c->model->path, w->codes->name, keys[k]);
    }
  }
  return ZH_OK;
}

/* --- the table --- */

static int by_name(const void *a, const void *b) {
  return strcmp(((const zh_coded *)a)->tensor.name, ((const zh_coded *)b)->tensor.name);
}

static void mark_parts(const zh_coding *c, const zh_coded *w) {
  static const char *const ends[][2] = {{"qweight", "scales"},
                                        {"qweight", "qzeros"},
                                        {"qweight", "g_idx"},
                                        {"_packed", "_scale"},
                                        {"_packed", "_zero_point"},
                                        {"_packed", "_shape"},
                                        {"_packed", "_g_idx"},
                                        {"_blocks", "_scales"},
                                        {".weight", ".weight_scale"},
                                        {".weight", ".weight_scale_inv"},
                                        {".weight", ".weight_zero_point"}};
  if (w->layout == ZH_CODE_F64) return;
  if (w->scales != NULL) c->part[w->scales - c->model->tensors] = true;
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
    if (!zh_ends_in(w->codes->name, ends[i][0])) continue;
    const zh_tensor *t = zh_model_sibling(c->model, w->codes->name, ends[i][0], ends[i][1]);
    if (t != NULL) c->part[t - c->model->tensors] = true;
  }
}

static zh_status add(zh_coded_table *table, const zh_coded *w, zh_error *err) {
  if (table->count == table->capacity) {
    size_t capacity = table->capacity == 0 ? 64 : 2 * table->capacity;
    zh_coded *grown = realloc(table->weights, capacity * sizeof *grown);
    if (grown == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (packed weights)");
    table->weights = grown;
    table->capacity = capacity;
  }
  table->weights[table->count++] = *w;
  return ZH_OK;
}

static zh_status check_orphans(const zh_coding *c, zh_error *err) {
  static const char *const ends[] = {".qzeros",       ".scales",           ".weight_scale",
                                     ".weight_shape", ".weight_g_idx",     ".weight_scale_inv",
                                     ".g_idx",        ".weight_zero_point"};
  for (size_t i = 0; i < c->model->tensor_count; i++)
    for (size_t k = 0; !c->part[i] && k < sizeof ends / sizeof ends[0]; k++)
      if (zh_ends_in(c->model->tensors[i].name, ends[k]))
        return zh_fail(err, ZH_ERR_INPUT,
                       "%s: the tensor '%s' is there, but no packed weight that it belongs to",
                       c->model->path, c->model->tensors[i].name);
  return ZH_OK;
}

/* Two packed tensors, or a packed and a plain one, may not stand for the same weight. */
static zh_status check_names(const zh_coding *c, const zh_coded_table *table, zh_error *err) {
  for (size_t i = 0; i < table->count; i++) {
    const zh_coded *w = &table->weights[i];
    const zh_tensor *plain = zh_model_find(c->model, w->tensor.name);
    bool again = i > 0 && by_name(w, w - 1) == 0;
    if (again || (plain != NULL && plain != w->codes))
      return zh_fail(err, ZH_ERR_INPUT, "%s: the weight '%s' is there twice, packed as '%s' too",
                     c->model->path, w->tensor.name, w->codes->name);
  }
  return ZH_OK;
}

static zh_status fill(zh_coded_table *table, const zh_model *model, zh_error *err) {
  zh_coding c = {model, {0}, table->e4m3, table->e5m2, table->part};
  zh_coded w;
  bool is, packed = false;
  ZH_TRY(read_method(&c.declared, model, err));
  ZH_TRY(check_method(&c, err));
  ZH_TRY(read_numbers(&c.declared, model, err));
  for (size_t i = 0; i < model->tensor_count; i++) {
    ZH_TRY(check_name(model, model->tensors[i].name, err));
    ZH_TRY(zh_coded_describe(&w, &is, &c, &model->tensors[i], err));
    if (!is) continue;
    packed |= w.layout != ZH_CODE_F64;
    mark_parts(&c, &w);
    ZH_TRY(check_kept(&c, &w, err));
    ZH_TRY(add(table, &w, err));
  }
  if (table->count > 0) qsort(table->weights, table->count, sizeof w, by_name);
  ZH_TRY(check_orphans(&c, err));
  ZH_TRY(check_names(&c, table, err));
  if (packed || c.declared.method[0] == '\0' ||
      strcmp(text_at(c.declared.root, "format"), "dense") == 0)
    return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: config.json says that weights are packed (%s), and no tensor is", model->path,
                 c.declared.method);
}

static zh_status create(zh_coded_table **out, const zh_model *model, zh_error *err) {
  zh_coded_table *table = calloc(1, sizeof *table);
  zh_status status = ZH_OK;
  if (table == NULL || (table->part = calloc(model->tensor_count + 1, sizeof(bool))) == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (packed weights)");
  for (unsigned i = 0; status == ZH_OK && i < 256; i++) {
    table->e4m3[i] = float_of_byte(i, 3);
    table->e5m2[i] = float_of_byte(i, 2);
  }
  if (status == ZH_OK) status = fill(table, model, err);
  if (status == ZH_OK) {
    *out = table;
  } else {
    zh_coded_free(table);
  }
  return status;
}

static zh_status table_of(const zh_coded_table **out, const zh_model *model, zh_error *err) {
  zh_status status = ZH_OK;
  *out = NULL;
  if (strcmp(model->format, "safetensors") != 0) return ZH_OK;
  pthread_mutex_lock(&model->cache->lock);
  if (model->cache->coded == NULL) status = create(&model->cache->coded, model, err);
  *out = model->cache->coded;
  pthread_mutex_unlock(&model->cache->lock);
  return status;
}

zh_status zh_coded_find(const zh_coded **out, const zh_model *model, const char *name,
                        zh_error *err) {
  const zh_coded_table *table;
  zh_coded key = {.tensor = {.name = name}};
  *out = NULL;
  ZH_TRY(table_of(&table, model, err));
  if (table != NULL && table->count > 0)
    *out = bsearch(&key, table->weights, table->count, sizeof key, by_name);
  return ZH_OK;
}

zh_status zh_coded_item(const zh_coded **out, const zh_model *model, size_t i, zh_error *err) {
  const zh_coded_table *table;
  ZH_TRY(table_of(&table, model, err));
  *out = table != NULL && i < table->count ? &table->weights[i] : NULL;
  return ZH_OK;
}

bool zh_coded_is_part(const zh_model *model, const zh_tensor *t) {
  const zh_coded_table *table = model->cache->coded;
  return table != NULL && table->part[t - model->tensors];
}
