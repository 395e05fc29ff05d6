/* Standard models: shapes from model/classes.yaml, weights from Philox by (tensor, row, column).
 * The rule, and why its scales are what they are: docs/metrics.md, "Standard models". */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "core/yaml.h"
#include "model/family.h"

/* "zhiheng1" in ASCII: one seed for all classes and for ever. */
#define SEED UINT64_C(0x7a686968656e6731)
#define LOGIT_STDEV 3.0
enum { RULE = 1, CLASSES_MAX = 64, ALIGNMENT = 64, CHUNK = 1024 };

typedef struct model_class {
  zh_standard_class about;
  zh_architecture shape;
  zh_dtype dtype; /* of the matrices of layers */
  uint32_t stream;
} model_class;

/* Read once, kept for the life of the process. */
static struct {
  pthread_mutex_t lock;
  bool loaded;
  size_t count;
  model_class classes[CLASSES_MAX];
  zh_standard_class about[CLASSES_MAX + 1];
} catalogue = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- the tensors of a class --- */

/* place.expert 0: all experts of the layer, one after the other. scale < 0: all elements -scale. */
typedef void (*tensor_visit)(void *user, zh_weight_place place, const zh_weight_shape *shape,
                             uint64_t experts, float scale);

static float inverse_root(uint64_t fan_in, double gain) {
  return (float)(gain / sqrt((double)fan_in));
}

static void visit_slot(const zh_architecture *a, zh_weight_place place, float scale,
                       tensor_visit visit, void *user) {
  zh_weight_shape shape = zh_weight_shape_of(a, place);
  if (!shape.needed) return;
  if (shape.is_norm) scale = -1.0f;
  if (scale == 0) scale = inverse_root(shape.columns, 1.0);
  visit(user, place, &shape, place.expert < 0 ? 1 : a->experts, scale);
}

/* 0: what keeps variances. A query goes to the latents by a turned matrix, whose fan-in is that of
 * keys; biases differ by less than scores do. */
static float scale_of(const zh_architecture *a, int slot) {
  if (slot == ZH_LATENT_K_UP) return inverse_root(a->latent.kv_rank, 1.0);
  return slot == ZH_ROUTER_SELECTION_BIAS ? 0.1f : 0;
}

/* The order gives each tensor its stream. */
static void visit_layer(const zh_architecture *a, uint32_t layer, tensor_visit visit, void *user) {
  static const int slots[] =
      {ZH_ATTN_NORM,      ZH_ATTN_Q,        ZH_ATTN_K,      ZH_ATTN_V,
       ZH_LATENT_Q_DOWN,  ZH_LATENT_Q_NORM, ZH_LATENT_Q_UP, ZH_LATENT_KV_DOWN,
       ZH_LATENT_KV_NORM, ZH_LATENT_K_UP,   ZH_LATENT_V_UP, ZH_ATTN_Q_NORM,
       ZH_ATTN_K_NORM,    ZH_ATTN_OUTPUT,   ZH_FFN_NORM,    ZH_FFN_GATE,
       ZH_FFN_UP,         ZH_FFN_DOWN,      ZH_ROUTER,      ZH_ROUTER_SELECTION_BIAS,
       ZH_SHARED_GATE,    ZH_SHARED_UP,     ZH_SHARED_DOWN},
                   of_experts[] = {ZH_EXPERT_GATE, ZH_EXPERT_UP, ZH_EXPERT_DOWN};
  for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++)
    visit_slot(a, (zh_weight_place){(int)layer, -1, slots[i]}, scale_of(a, slots[i]), visit, user);
  for (size_t i = 0; i < sizeof of_experts / sizeof of_experts[0]; i++)
    visit_slot(a, (zh_weight_place){(int)layer, 0, of_experts[i]}, 0, visit, user);
}

static void visit_tensors(const zh_architecture *a, tensor_visit visit, void *user) {
  float head = inverse_root(a->hidden, LOGIT_STDEV);
  const zh_weight_place embedding = {-1, -1, ZH_EMBEDDING}, norm = {-1, -1, ZH_OUTPUT_NORM},
                        output = {-1, -1, ZH_HEAD};
  visit_slot(a, embedding, a->tied_head ? head : 1.0f, visit, user);
  for (uint32_t layer = 0; layer < a->layers; layer++) visit_layer(a, layer, visit, user);
  visit_slot(a, norm, 0, visit, user);
  visit_slot(a, output, head, visit, user);
}

/* Gains, and routers, whose rounding would send tokens elsewhere, are F32; embedding and head BF16,
 * as published models in fp8 have them. */
static zh_dtype dtype_of(const model_class *c, zh_weight_place place,
                         const zh_weight_shape *shape) {
  bool router = place.layer >= 0 && place.expert < 0 && place.slot == ZH_ROUTER;
  if (shape->is_vector || router) return ZH_F32;
  return place.layer < 0 ? ZH_BF16 : c->dtype;
}

static void add_size(void *user, zh_weight_place place, const zh_weight_shape *shape,
                     uint64_t experts, float scale) {
  model_class *c = user;
  uint64_t elements = shape->rows * shape->columns, all = experts * elements;
  (void)scale;
  c->about.parameters += all;
  c->about.active += place.expert < 0 ? elements : elements * c->shape.experts_used;
  zh_dtype type = dtype_of(c, place, shape);
  c->about.bytes += all * zh_dtype_find((uint32_t)type)->block_bytes;
}

/* --- model/classes.yaml --- */

static zh_status read_multiple(uint32_t *out, const zh_yaml_node *map, const char *key,
                               int64_t step, int64_t max, zh_error *err) {
  const zh_yaml_node *node;
  int64_t number;
  ZH_TRY(zh_yaml_require(&node, map, key, err));
  ZH_TRY(zh_yaml_int(&number, node, 1, max, err));
  if (number % step != 0)
    return zh_yaml_fail(err, node, "'%s' must be a multiple of %lld", key, (long long)step);
  *out = (uint32_t)number;
  return ZH_OK;
}

static zh_status read_positive(float *out, const zh_yaml_node *map, const char *key, double max,
                               zh_error *err) {
  const zh_yaml_node *node;
  double number;
  ZH_TRY(zh_yaml_require(&node, map, key, err));
  ZH_TRY(zh_yaml_real(&number, node, 1e-12, max, err));
  *out = (float)number;
  return ZH_OK;
}

static zh_status read_text(const char **out, const zh_yaml_node *map, const char *key,
                           zh_error *err) {
  const zh_yaml_node *node;
  const char *text;
  ZH_TRY(zh_yaml_require(&node, map, key, err));
  ZH_TRY(zh_yaml_string(&text, node, err));
  *out = strdup(text);
  return *out != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (model classes)");
}

/* What a family is beyond its sizes, as its GGUF files have it; conversion proves that it is. */
static zh_status read_family(zh_architecture *a, const zh_yaml_node *map, zh_error *err) {
  static const char *const families[] = {"llama", "qwen3", "qwen3moe", "deepseek2", NULL};
  const zh_yaml_node *node;
  size_t word;
  ZH_TRY(zh_yaml_require(&node, map, "family", err));
  ZH_TRY(zh_yaml_word(&word, node, families, err));
  snprintf(a->family, sizeof a->family, "%s", families[word]);
  bool qwen = word == 1 || word == 2, experts = word >= 2;
  a->rope[0].kind = qwen ? ZH_ROPE_HALVES : ZH_ROPE_PAIRS;
  a->head_norm = qwen ? ZH_HEAD_NORM_BEFORE_ROPE : ZH_HEAD_NORM_NONE;
  a->router.renormalise = experts;
  if (word == 3) {
    a->attention = ZH_ATTENTION_LATENT;
    a->router.score = ZH_ROUTER_SIGMOID;
    a->router.selection_bias = true;
    a->router.group_score = ZH_GROUP_BEST_TWO;
  }
  if (experts != (zh_yaml_get(map, "experts") != NULL))
    return zh_yaml_fail(err, node, "the family %s has %s", families[word],
                        experts ? "experts: say how many" : "no experts");
  return ZH_OK;
}

/* Of the matrices of layers. */
static zh_status read_dtype(zh_dtype *out, const zh_yaml_node *map, zh_error *err) {
  static const char *const dtypes[] = {"BF16", "F8_E4M3", NULL};
  const zh_yaml_node *node;
  size_t word;
  ZH_TRY(zh_yaml_require(&node, map, "dtype", err));
  ZH_TRY(zh_yaml_word(&word, node, dtypes, err));
  *out = word == 0 ? ZH_BF16 : ZH_F8_E4M3;
  return ZH_OK;
}

static zh_status read_experts(zh_architecture *a, const zh_yaml_node *map, zh_error *err) {
  if (zh_yaml_get(map, "experts") == NULL) return ZH_OK;
  ZH_TRY(read_multiple(&a->experts, map, "experts", 1, 1 << 12, err));
  ZH_TRY(read_multiple(&a->experts_used, map, "experts_used", 1, a->experts, err));
  ZH_TRY(read_multiple(&a->expert_ffn, map, "expert_ffn", ALIGNMENT, 1 << 20, err));
  memset(a->layer, ZH_LAYER_EXPERTS, a->layers);
  return ZH_OK;
}

/* What only latent attention and the router that comes with it have. */
static zh_status read_latent(zh_architecture *a, const zh_yaml_node *map, zh_error *err) {
  uint32_t dense;
  ZH_TRY(read_multiple(&a->latent.q_rank, map, "q_rank", ALIGNMENT, 1 << 16, err));
  ZH_TRY(read_multiple(&a->latent.kv_rank, map, "kv_rank", ALIGNMENT, 1 << 16, err));
  ZH_TRY(read_multiple(&a->rope[0].dims, map, "rope_dims", ALIGNMENT, a->head_dim - 1, err));
  ZH_TRY(read_multiple(&a->value_dim, map, "value_dim", ALIGNMENT, 1 << 12, err));
  ZH_TRY(read_multiple(&a->shared_ffn, map, "shared_ffn", ALIGNMENT, 1 << 20, err));
  ZH_TRY(read_multiple(&dense, map, "dense_layers", 1, a->layers - 1, err));
  ZH_TRY(read_multiple(&a->router.groups, map, "groups", 1, a->experts, err));
  ZH_TRY(read_multiple(&a->router.groups_used, map, "groups_used", 1, a->router.groups, err));
  float scale;
  ZH_TRY(read_positive(&scale, map, "router_scale", 1e3, err));
  a->router.scale = (double)scale;
  a->latent.nope_dims = a->head_dim - a->rope[0].dims;
  memset(a->layer, 0, dense);
  return ZH_OK;
}

static zh_status read_shape(zh_architecture *a, const zh_yaml_node *map, zh_error *err) {
  const zh_yaml_node *node;
  float base;
  ZH_TRY(read_multiple(&a->layers, map, "layers", 1, ZH_MAX_LAYERS, err));
  ZH_TRY(read_multiple(&a->hidden, map, "hidden", ALIGNMENT, 1 << 20, err));
  ZH_TRY(read_multiple(&a->heads, map, "heads", 1, 1 << 12, err));
  ZH_TRY(read_multiple(&a->kv_heads, map, "kv_heads", 1, a->heads, err));
  ZH_TRY(read_multiple(&a->head_dim, map, "head_dim", ALIGNMENT, 1 << 12, err));
  ZH_TRY(read_multiple(&a->ffn, map, "ffn", ALIGNMENT, 1 << 20, err));
  ZH_TRY(read_multiple(&a->vocab, map, "vocab", ALIGNMENT, 1 << 24, err));
  ZH_TRY(read_multiple(&a->context, map, "context", 1, 1 << 24, err));
  ZH_TRY(read_positive(&base, map, "rope_theta", 1e12, err));
  ZH_TRY(read_positive(&a->norm_eps, map, "norm_eps", 1.0, err));
  ZH_TRY(zh_yaml_require(&node, map, "tied_head", err));
  ZH_TRY(zh_yaml_bool(&a->tied_head, node, err));
  if (a->heads % a->kv_heads != 0)
    return zh_yaml_fail(err, map, "%u heads cannot share %u key-value heads", a->heads,
                        a->kv_heads);
  a->value_dim = a->head_dim;
  a->norm_before = (zh_norm_places){true, true};
  a->attention_scale = (float)(1 / sqrt((double)a->head_dim));
  a->rope[0].dims = a->head_dim;
  a->rope[0].base = (double)base;
  ZH_TRY(read_experts(a, map, err));
  if (a->attention == ZH_ATTENTION_LATENT) ZH_TRY(read_latent(a, map, err));
  a->rope[1] = a->rope[0];
  return ZH_OK;
}

static zh_status read_class(model_class *c, const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {
      "class",        "summary",  "stream",      "family",       "layers",    "hidden",
      "heads",        "kv_heads", "head_dim",    "ffn",          "vocab",     "context",
      "rope_theta",   "norm_eps", "tied_head",   "dtype",        "experts",   "experts_used",
      "expert_ffn",   "q_rank",   "kv_rank",     "rope_dims",    "value_dim", "shared_ffn",
      "dense_layers", "groups",   "groups_used", "router_scale", NULL};
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a model class", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(read_text(&c->about.name, map, "class", err));
  ZH_TRY(read_text(&c->about.summary, map, "summary", err));
  ZH_TRY(read_multiple(&c->stream, map, "stream", 1, 1 << 20, err));
  ZH_TRY(read_dtype(&c->dtype, map, err));
  ZH_TRY(read_family(&c->shape, map, err));
  ZH_TRY(read_shape(&c->shape, map, err));
  snprintf(c->shape.name, sizeof c->shape.name, "%s", c->about.name);
  visit_tensors(&c->shape, add_size, c);
  return ZH_OK;
}

static zh_status read_classes(const zh_yaml_node *root, zh_error *err) {
  static const char *const keys[] = {"rule", "classes", NULL};
  const zh_yaml_node *node;
  int64_t rule;
  ZH_TRY(zh_yaml_expect(root, ZH_YAML_MAP, "a table of model classes", err));
  ZH_TRY(zh_yaml_expect_keys(root, keys, err));
  ZH_TRY(zh_yaml_require(&node, root, "rule", err));
  ZH_TRY(zh_yaml_int(&rule, node, RULE, RULE, err));
  ZH_TRY(zh_yaml_require(&node, root, "classes", err));
  ZH_TRY(zh_yaml_expect(node, ZH_YAML_LIST, "a list of model classes", err));
  if (zh_yaml_count(node) > CLASSES_MAX)
    return zh_yaml_fail(err, node, "at most %d classes are allowed", CLASSES_MAX);
  for (size_t i = 0; i < zh_yaml_count(node); i++) {
    model_class *c = &catalogue.classes[i];
    ZH_TRY(read_class(c, zh_yaml_item(node, i), err));
    for (size_t j = 0; j < i; j++)
      if (catalogue.classes[j].stream == c->stream ||
          strcmp(catalogue.classes[j].about.name, c->about.name) == 0)
        return zh_yaml_fail(err, zh_yaml_item(node, i),
                            "its name or stream is another class's too");
    catalogue.about[i] = c->about;
    catalogue.count = i + 1;
  }
  return ZH_OK;
}

static void forget_classes(void) {
  for (size_t i = 0; i < CLASSES_MAX; i++) {
    free((char *)catalogue.classes[i].about.name);
    free((char *)catalogue.classes[i].about.summary);
  }
  memset(catalogue.classes, 0, sizeof catalogue.classes);
  catalogue.count = 0;
}

static zh_status load_classes(zh_error *err) {
  zh_yaml_doc *doc = NULL;
  char path[4096];
  ZH_TRY(zh_data_path(path, sizeof path, "model/classes.yaml", err));
  zh_status status = zh_yaml_load_file(&doc, path, err);
  if (status == ZH_OK) status = read_classes(zh_yaml_root(doc), err);
  zh_yaml_free(doc);
  if (status != ZH_OK) forget_classes();
  return status;
}

zh_status zh_standard_classes(const zh_standard_class **out, size_t *count, zh_error *err) {
  zh_status status = ZH_OK;
  pthread_mutex_lock(&catalogue.lock);
  if (!catalogue.loaded) status = load_classes(err);
  catalogue.loaded = status == ZH_OK;
  pthread_mutex_unlock(&catalogue.lock);
  *out = catalogue.about;
  *count = status == ZH_OK ? catalogue.count : 0;
  return status;
}

/* --- a class as a model --- */

typedef struct builder {
  zh_model *model;
  const model_class *of;
  uint32_t class_stream;
  zh_status status;
  zh_error *err;
} builder;

static void add_tensor(void *user, zh_weight_place place, const zh_weight_shape *shape,
                       uint64_t experts, float scale) {
  builder *b = user;
  zh_home home;
  uint64_t at = b->model->tensor_count;
  if (b->status == ZH_OK)
    b->status = zh_weight_home(&home, &b->of->shape, place, ZH_FORM_GGUF, false, b->err);
  if (b->status != ZH_OK) return;
  zh_tensor *t = zh_model_add_tensor(b->model);
  if (t == NULL || (t->name = zh_arena_strdup(b->model->arena, home.name)) == NULL) {
    b->status = zh_fail(b->err, ZH_ERR_MEMORY, "out of memory (model %s)", b->of->shape.name);
    return;
  }
  t->type = dtype_of(b->of, place, shape);
  if (home.every_expert) t->shape[t->dims++] = experts;
  if (!shape->is_vector) t->shape[t->dims++] = shape->rows;
  t->shape[t->dims++] = shape->columns;
  t->stream = (uint64_t)b->class_stream << 32 | at;
  t->scale = scale;
  t->file = "";
  if (!zh_tensor_measure(t))
    b->status = zh_fail(b->err, ZH_ERR_INPUT, "%s is too large", b->of->shape.name);
}

static uint32_t dense_layers(const zh_architecture *a) {
  uint32_t first = 0;
  while (first < a->layers && !zh_layer_is(a, first, ZH_LAYER_EXPERTS)) first++;
  return first;
}

/* Everything that decides a weight, in words: what the digest of a standard model covers. */
static char *describe(const zh_model *model, const model_class *c) {
  const zh_architecture *a = &c->shape;
  char experts[96] = "", latent[256] = "";
  if (a->experts != 0)
    snprintf(experts, sizeof experts, "experts %u\nexperts_used %u\nexpert_ffn %u\n", a->experts,
             a->experts_used, a->expert_ffn);
  if (a->attention == ZH_ATTENTION_LATENT)
    snprintf(latent, sizeof latent,
             "q_rank %u\nkv_rank %u\nrope_dims %u\nvalue_dim %u\nshared_ffn %u\ndense_layers %u\n"
             "groups %u\ngroups_used %u\nrouter_scale %.9g\n",
             a->latent.q_rank, a->latent.kv_rank, a->rope[0].dims, a->value_dim, a->shared_ffn,
             dense_layers(a), a->router.groups, a->router.groups_used, a->router.scale);
  return zh_arena_printf(
      model->arena,
      "zhiheng standard model rule %d\nclass %s\nseed %#llx\nstream %u\nfamily %s\nlayers %u\n"
      "hidden %u\nheads %u\nkv_heads %u\nhead_dim %u\nffn %u\nvocab %u\ncontext %u\n"
      "rope_theta %.9g\nnorm_eps %.9g\ntied_head %d\ndtype %s\n%s%s",
      RULE, c->about.name, (unsigned long long)SEED, c->stream, a->family, a->layers, a->hidden,
      a->heads, a->kv_heads, a->head_dim, a->ffn, a->vocab, a->context, a->rope[0].base,
      (double)a->norm_eps, a->tied_head, zh_dtype_find((uint32_t)c->dtype)->name, experts, latent);
}

zh_status zh_standard_read(zh_model *model, const char *name, bool *known, zh_error *err) {
  const zh_standard_class *classes;
  size_t count, i = 0;
  ZH_TRY(zh_standard_classes(&classes, &count, err));
  while (i < count && strcmp(classes[i].name, name) != 0) i++;
  *known = i < count;
  if (!*known) return ZH_OK;
  const model_class *c = &catalogue.classes[i];
  builder b = {model, c, c->stream, ZH_OK, err};
  visit_tensors(&c->shape, add_tensor, &b);
  model->description = describe(model, c);
  model->standard = c->shape;
  ZH_TRY(b.status);
  if (model->description == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (model %s)", name);
  return zh_model_index(model, err);
}

/* --- weights --- */

/* To nearest, ties to even; the values are finite. */
static uint16_t bf16_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void fill_chunk(float *out, size_t count, const zh_tensor *t, uint64_t index) {
  if (t->scale >= 0) {
    zh_normal_fill(out, count, SEED, t->stream, index, t->scale);
    return;
  }
  for (size_t i = 0; i < count; i++) out[i] = -t->scale;
}

void zh_standard_rows(void *out, const zh_tensor *t, uint64_t first, uint64_t rows) {
  const uint64_t columns = t->shape[t->dims - 1], elements = rows * columns;
  const uint64_t index = first * columns;
  if (t->type == ZH_F32) {
    fill_chunk(out, (size_t)elements, t, index);
    return;
  }
  uint16_t *bf16 = out;
  float chunk[CHUNK];
  for (uint64_t done = 0; done < elements; done += CHUNK) {
    size_t count = elements - done < CHUNK ? (size_t)(elements - done) : CHUNK;
    fill_chunk(chunk, count, t, index + done);
    if (t->type == ZH_F8_E4M3) zh_standard_round(chunk, count, t, index + done);
    for (size_t i = 0; i < count; i++) bf16[done + i] = bf16_of(chunk[i]);
  }
}

uint64_t zh_standard_seed(void) {
  return SEED;
}
