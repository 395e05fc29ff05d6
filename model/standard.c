/* Standard models: shapes from model/classes.yaml, weights from Philox by (tensor, row, column).
 * The rule, and why its scales are what they are: docs/metrics.md, "Standard models". */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/philox.h"
#include "core/yaml.h"
#include "model/room.h"

/* "zhiheng1" in ASCII: one seed for all classes and for ever. */
#define SEED UINT64_C(0x7a686968656e6731)
#define LOGIT_STDEV 3.0
enum { RULE = 1, CLASSES_MAX = 64, ALIGNMENT = 64, CHUNK = 1024 };

typedef struct model_class {
  zh_standard_class about;
  zh_architecture shape;
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

typedef void (*tensor_visit)(void *user, const char *name, uint64_t rows, uint64_t columns,
                             float scale);

static float inverse_root(uint64_t fan_in, double gain) {
  return (float)(gain / sqrt((double)fan_in));
}

static void visit_layer(const zh_architecture *a, uint32_t layer, tensor_visit visit, void *user) {
  const uint64_t hidden = a->hidden, ffn = a->ffn, query = (uint64_t)a->heads * a->head_dim,
                 kv = (uint64_t)a->kv_heads * a->head_dim;
  const struct {
    const char *name;
    uint64_t rows, columns;
  } parts[] = {
      {"attn_norm", 0, hidden},  {"attn_q", query, hidden},      {"attn_k", kv, hidden},
      {"attn_v", kv, hidden},    {"attn_output", hidden, query}, {"ffn_norm", 0, hidden},
      {"ffn_gate", ffn, hidden}, {"ffn_up", ffn, hidden},        {"ffn_down", hidden, ffn}};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, parts[i].name);
    float scale = parts[i].rows == 0 ? -1.0f : inverse_root(parts[i].columns, 1.0);
    visit(user, name, parts[i].rows, parts[i].columns, scale);
  }
}

/* rows 0: a vector, all ones. */
static void visit_tensors(const zh_architecture *a, tensor_visit visit, void *user) {
  float head = inverse_root(a->hidden, LOGIT_STDEV);
  visit(user, "token_embd.weight", a->vocab, a->hidden, a->tied_head ? head : 1.0f);
  for (uint32_t layer = 0; layer < a->layers; layer++) visit_layer(a, layer, visit, user);
  visit(user, "output_norm.weight", 0, a->hidden, -1.0f);
  if (!a->tied_head) visit(user, "output.weight", a->vocab, a->hidden, head);
}

static void add_size(void *user, const char *name, uint64_t rows, uint64_t columns, float scale) {
  zh_standard_class *about = user;
  (void)name;
  (void)scale;
  about->parameters += rows == 0 ? columns : rows * columns;
  about->bytes += rows == 0 ? columns * 4 : rows * columns * 2; /* gains F32, the rest BF16 */
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

static zh_status read_words(const zh_yaml_node *map, zh_error *err) {
  static const char *const families[] = {"llama", NULL}, *const dtypes[] = {"BF16", NULL};
  const zh_yaml_node *node;
  size_t word;
  ZH_TRY(zh_yaml_require(&node, map, "family", err));
  ZH_TRY(zh_yaml_word(&word, node, families, err));
  ZH_TRY(zh_yaml_require(&node, map, "dtype", err));
  return zh_yaml_word(&word, node, dtypes, err);
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
  a->rope[0] = (zh_rope){.kind = ZH_ROPE_PAIRS, .dims = a->head_dim, .base = (double)base};
  a->rope[1] = a->rope[0];
  snprintf(a->family, sizeof a->family, "llama");
  return ZH_OK;
}

static zh_status read_class(model_class *c, const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"class",  "summary", "stream",     "family",   "layers",
                                     "hidden", "heads",   "kv_heads",   "head_dim", "ffn",
                                     "vocab",  "context", "rope_theta", "norm_eps", "tied_head",
                                     "dtype",  NULL};
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "a model class", err));
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(read_text(&c->about.name, map, "class", err));
  ZH_TRY(read_text(&c->about.summary, map, "summary", err));
  ZH_TRY(read_multiple(&c->stream, map, "stream", 1, 1 << 20, err));
  ZH_TRY(read_words(map, err));
  ZH_TRY(read_shape(&c->shape, map, err));
  snprintf(c->shape.name, sizeof c->shape.name, "%s", c->about.name);
  visit_tensors(&c->shape, add_size, &c->about);
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
  uint32_t class_stream;
  bool failed;
} builder;

static void add_tensor(void *user, const char *name, uint64_t rows, uint64_t columns, float scale) {
  builder *b = user;
  uint64_t place = b->model->tensor_count;
  zh_tensor *t = zh_model_add_tensor(b->model);
  if (t == NULL || (t->name = zh_arena_strdup(b->model->arena, name)) == NULL) {
    b->failed = true;
    return;
  }
  t->type = rows == 0 ? ZH_F32 : ZH_BF16;
  t->dims = rows == 0 ? 1 : 2;
  t->shape[0] = rows == 0 ? columns : rows;
  if (rows != 0) t->shape[1] = columns;
  t->stream = (uint64_t)b->class_stream << 32 | place;
  t->scale = scale;
  t->file = "";
  if (!zh_tensor_measure(t)) b->failed = true;
}

/* Everything that decides a weight, in words: what the digest of a standard model covers. */
static char *describe(const zh_model *model, const model_class *c) {
  const zh_architecture *a = &c->shape;
  return zh_arena_printf(
      model->arena,
      "zhiheng standard model rule %d\nclass %s\nseed %#llx\nstream %u\nfamily llama\nlayers %u\n"
      "hidden %u\nheads %u\nkv_heads %u\nhead_dim %u\nffn %u\nvocab %u\ncontext %u\n"
      "rope_theta %.9g\nnorm_eps %.9g\ntied_head %d\ndtype BF16\n",
      RULE, c->about.name, (unsigned long long)SEED, c->stream, a->layers, a->hidden, a->heads,
      a->kv_heads, a->head_dim, a->ffn, a->vocab, a->context, a->rope[0].base,
      (double)a->norm_eps, a->tied_head);
}

zh_status zh_standard_read(zh_model *model, const char *name, bool *known, zh_error *err) {
  const zh_standard_class *classes;
  size_t count, i = 0;
  ZH_TRY(zh_standard_classes(&classes, &count, err));
  while (i < count && strcmp(classes[i].name, name) != 0) i++;
  *known = i < count;
  if (!*known) return ZH_OK;
  const model_class *c = &catalogue.classes[i];
  builder b = {model, c->stream, false};
  visit_tensors(&c->shape, add_tensor, &b);
  model->description = describe(model, c);
  model->standard = c->shape;
  if (b.failed || model->description == NULL)
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
    for (size_t i = 0; i < count; i++) bf16[done + i] = bf16_of(chunk[i]);
  }
}
