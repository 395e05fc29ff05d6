/* Where a family's files keep each weight: alone, in a tensor with others, one tensor for all
 * experts, or turned round. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "model/coded.h"
#include "model/family.h"

enum { HOLDS_MAX = 4 };

/* What one name in a family's list stands for. */
typedef struct pattern {
  const char *name; /* "model.layers.{layer}.mlp.gate_proj.weight" */
  const char *holds[HOLDS_MAX];
  int count;
  bool every_expert;   /* one after the other: [experts][rows][columns] */
  bool alternating;    /* rows of the weights held take turns */
  const char *grouped; /* "kv_heads", "heads": of each group the rows of all weights held */
  bool turned[HOLDS_MAX];
} pattern;

/* --- reading a pattern; its node has been checked --- */

static zh_status read_slots(const char *out[HOLDS_MAX], int *count, const zh_yaml_node *node,
                            zh_error *err) {
  bool list = zh_yaml_node_kind(node) == ZH_YAML_LIST;
  size_t length = list ? zh_yaml_count(node) : 1;
  if (length == 0 || length > HOLDS_MAX)
    return zh_yaml_fail(err, node, "a tensor holds one to %d weights", HOLDS_MAX);
  for (size_t i = 0; i < length; i++) {
    const zh_yaml_node *item = list ? zh_yaml_item(node, i) : node;
    ZH_TRY(zh_yaml_string(&out[i], item, err));
    if (!zh_slot_is_known(out[i]))
      return zh_yaml_fail(err, item, "'%s' is no weight of an architecture", out[i]);
  }
  *count = (int)length;
  return ZH_OK;
}

static zh_status read_map(pattern *out, const zh_yaml_node *map, zh_error *err) {
  static const char *const keys[] = {"holds", "every", "rows", "groups", "turned", NULL};
  static const char *const every[] = {"expert", NULL},
                           *const rows[] = {"stacked", "alternating", NULL},
                           *const groups[] = {"kv_heads", "heads", NULL};
  const zh_yaml_node *node;
  const char *turned[HOLDS_MAX];
  size_t word;
  int count = 0;
  ZH_TRY(zh_yaml_expect_keys(map, keys, err));
  ZH_TRY(zh_yaml_require(&node, map, "holds", err));
  ZH_TRY(read_slots(out->holds, &out->count, node, err));
  if ((node = zh_yaml_get(map, "every")) != NULL) {
    ZH_TRY(zh_yaml_word(&word, node, every, err));
    out->every_expert = true;
  }
  if ((node = zh_yaml_get(map, "rows")) != NULL) {
    ZH_TRY(zh_yaml_word(&word, node, rows, err));
    out->alternating = word == 1;
  }
  if ((node = zh_yaml_get(map, "groups")) != NULL) {
    ZH_TRY(zh_yaml_word(&word, node, groups, err));
    out->grouped = groups[word];
  }
  if ((node = zh_yaml_get(map, "turned")) != NULL) ZH_TRY(read_slots(turned, &count, node, err));
  for (int i = 0; i < count; i++)
    for (int k = 0; k < out->count; k++) out->turned[k] |= strcmp(turned[i], out->holds[k]) == 0;
  return ZH_OK;
}

static zh_status read_pattern(pattern *out, const char *name, const zh_yaml_node *node,
                              zh_error *err) {
  *out = (pattern){.name = name};
  if (zh_yaml_node_kind(node) == ZH_YAML_MAP) return read_map(out, node, err);
  return read_slots(out->holds, &out->count, node, err);
}

zh_status zh_tensors_check(const zh_yaml_node *map, zh_error *err) {
  pattern p;
  ZH_TRY(zh_yaml_expect(map, ZH_YAML_MAP, "names of tensors", err));
  for (size_t i = 0; i < zh_yaml_count(map); i++)
    ZH_TRY(read_pattern(&p, zh_yaml_key(map, i), zh_yaml_item(map, i), err));
  return ZH_OK;
}

/* The slot of that name among those of a kind. */
static int slot_named(const char *name, bool layer, bool expert) {
  static const zh_architecture any;
  int count = expert ? ZH_EXPERT_SLOTS : layer ? ZH_LAYER_SLOTS : ZH_MODEL_SLOTS;
  for (int slot = 0; slot < count; slot++) {
    zh_weight_place place = {layer ? 0 : -1, expert ? 0 : -1, slot};
    if (strcmp(zh_weight_shape_of(&any, place).name, name) == 0) return slot;
  }
  return -1;
}

bool zh_slot_is_known(const char *name) {
  return slot_named(name, false, false) >= 0 || slot_named(name, true, false) >= 0 ||
         slot_named(name, true, true) >= 0;
}

/* --- from a pattern and a place to rows of a tensor --- */

/* The name with its numbers; false where it is too long. */
static bool spell(char *out, size_t capacity, const char *name, zh_weight_place place) {
  size_t used = 0;
  while (*name != '\0') {
    bool layer = strncmp(name, "{layer}", 7) == 0, expert = strncmp(name, "{expert}", 8) == 0;
    int length = layer || expert ? snprintf(out + used, capacity - used, "%d",
                                            layer ? place.layer : place.expert)
                                 : snprintf(out + used, capacity - used, "%c", *name);
    if (length < 0 || (size_t)length >= capacity - used) return false;
    used += (size_t)length;
    name += layer ? 7 : expert ? 8 : 1;
  }
  return true;
}

/* Rows that a weight takes of the tensor, of all groups; of vectors, elements. */
static uint64_t rows_taken(const zh_weight_shape *shape, bool turned, uint64_t groups) {
  if (turned) return shape->columns * groups;
  return shape->is_vector ? shape->columns : shape->rows;
}

typedef struct finding {
  const zh_model *model;
  const zh_architecture *a;
  zh_weight_place place;
  zh_weight_shape shape;
} finding;

static uint64_t groups_of(const finding *f, const pattern *p) {
  if (p->grouped == NULL) return 1;
  return strcmp(p->grouped, "heads") == 0 ? f->a->heads : f->a->kv_heads;
}

static zh_status wrong_shape(const finding *f, const zh_tensor *t, uint64_t rows, uint64_t columns,
                             zh_error *err) {
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: tensor '%s' should have the shape [%" PRIu64 ", %" PRIu64
                 "] that the metadata implies, not [%" PRIu64 ", %" PRIu64 "]%s",
                 f->model->path, t->name, rows, columns, t->dims > 1 ? t->shape[0] : 1,
                 t->dims > 0 ? t->shape[t->dims - 1] : 1, t->dims > 2 ? " and more" : "");
}

/* rows x columns as one matrix, or with the experts or groups for a first dimension. */
static zh_status check_shape(const finding *f, const pattern *p, const zh_tensor *t, uint64_t rows,
                             uint64_t columns, zh_error *err) {
  bool folded = p->every_expert || p->grouped != NULL;
  uint64_t elements;
  if (!__builtin_mul_overflow(rows, columns, &elements) && t->elements == elements && t->dims > 0) {
    bool vector = columns == 1 && f->shape.is_vector;
    if (vector && (t->dims == 1 || (t->dims == 2 && (t->shape[0] == 1 || folded)))) return ZH_OK;
    if (!vector && t->shape[t->dims - 1] == columns && (t->dims == 2 || (t->dims == 3 && folded)))
      return ZH_OK;
  }
  return f->shape.is_vector ? wrong_shape(f, t, 1, rows, err)
                            : wrong_shape(f, t, rows, columns, err);
}

static zh_status check_type(const finding *f, const zh_source *s, zh_error *err) {
  const zh_tensor *t = s->stored;
  bool fp8 = t->data == NULL && t->type == ZH_F8_E4M3; /* a standard one, given as BF16 */
  if (!fp8 && !zh_dtype_is_weight(t->type))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the tensor '%s' has the type %s, which this version does not compute",
                   f->model->path, t->name, zh_dtype_find((uint32_t)t->type)->name);
  size_t alignment = t->type == ZH_F32 ? 4 : 2; /* every block of the others begins with 16 bits */
  if (t->data != NULL && (uintptr_t)t->data % alignment != 0)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' starts at byte %" PRIu64 ", not a multiple of %zu",
                   f->model->path, t->name, t->file_offset, alignment);
  bool apart = s->turned || (f->shape.is_vector && t->elements != f->shape.columns),
       by_values = s->turned && s->coded == NULL && s->step == 1;
  bool single = s->coded == NULL ? zh_dtype_find((uint32_t)t->type)->block_elements == 1
                                 : s->turned && s->coded->layout == ZH_CODE_FLOATS;
  if (apart && !by_values && !single)
    return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%s' of type %s cannot be taken apart",
                   f->model->path, t->name, zh_dtype_find((uint32_t)t->type)->name);
  return ZH_OK;
}

/* The weight by itself: a tensor of its own, in the file's bytes where its rows follow each other
 * there. */
static zh_status make_tensor(const finding *f, zh_source *s, zh_error *err) {
  zh_tensor *t = &s->tensor;
  uint64_t rows = f->shape.is_vector ? f->shape.columns : f->shape.rows;
  *t = *s->stored;
  if (t->data == NULL && t->type == ZH_F8_E4M3) t->type = ZH_BF16; /* the rows of a standard one */
  s->valued =
      s->turned && s->coded == NULL && zh_dtype_find((uint32_t)t->type)->block_elements != 1;
  if (s->valued) t->type = ZH_F32;
  t->dims = f->shape.is_vector ? 1 : 2;
  t->shape[0] = f->shape.is_vector ? f->shape.columns : f->shape.rows;
  t->shape[1] = f->shape.is_vector ? 0 : f->shape.columns;
  if (!zh_tensor_measure(t))
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: tensor '%s' has type %s, in which rows of %" PRIu64 " cannot be computed",
                   f->model->path, t->name, zh_dtype_find((uint32_t)t->type)->name,
                   f->shape.columns);
  if (s->stored->data == NULL) return ZH_OK;
  bool in_place = !s->turned && s->step == 1 && (s->run >= rows || s->stride == s->run);
  uint64_t at = s->first * (t->bytes / rows);
  t->data = in_place ? (const unsigned char *)s->stored->data + at : NULL;
  t->file_offset = in_place ? s->stored->file_offset + at : 0;
  return ZH_OK;
}

/* What the files have by a name: a tensor, or one that codes stand for. */
typedef struct stored_as {
  const zh_tensor *tensor;
  const zh_coded *coded;
} stored_as;

static zh_status take(zh_source *out, const finding *f, const pattern *p, int which,
                      const stored_as *as, zh_error *err) {
  const zh_tensor *stored = as->tensor;
  uint64_t groups = groups_of(f, p), total = 0, before = 0, mine = 0;
  bool sparse = f->place.expert >= 0, turned = p->turned[which];
  for (int i = 0; i < p->count; i++) {
    zh_weight_place place = f->place;
    place.slot = slot_named(p->holds[i], place.layer >= 0, sparse);
    if (place.slot < 0)
      return zh_fail(err, ZH_ERR_INPUT, "%s: '%s' and '%s' cannot stand in one tensor",
                     f->model->path, p->holds[i], p->holds[which]);
    zh_weight_shape shape = zh_weight_shape_of(f->a, place);
    uint64_t rows = rows_taken(&shape, p->turned[i], groups);
    if (i == which) mine = rows;
    if (i < which) before += rows;
    total += rows;
  }
  uint64_t experts = p->every_expert ? f->a->experts : 1,
           expert = p->every_expert ? (uint64_t)f->place.expert : 0,
           rows = f->shape.is_vector ? f->shape.columns : f->shape.rows,
           columns = f->shape.is_vector ? 1 : f->shape.columns;
  *out = (zh_source){
      .stored = stored, .coded = as->coded, .turned = turned, .step = 1, .run = rows / groups};
  uint64_t first = expert * total + before / groups;
  if (turned) columns = rows / groups;
  if (p->alternating && turned) {
    out->from = (uint64_t)which;
    out->step = (uint64_t)p->count;
    columns *= out->step;
    total = mine;
    first = expert * mine;
  } else if (p->alternating) {
    out->step = (uint64_t)p->count;
    first = expert * total + (uint64_t)which;
  }
  out->first = first;
  out->stride = total / groups;
  ZH_TRY(check_shape(f, p, stored, total * experts, columns, err));
  ZH_TRY(check_type(f, out, err));
  ZH_TRY(make_tensor(f, out, err));
  if (as->coded != NULL) out->stored = as->coded->codes;
  return ZH_OK;
}

/* --- finding the pattern --- */

static bool fits_place(const pattern *p, zh_weight_place place) {
  bool layer = strstr(p->name, "{layer}") != NULL, expert = strstr(p->name, "{expert}") != NULL;
  return layer == (place.layer >= 0) && (expert || p->every_expert) == (place.expert >= 0);
}

static int held_at(const pattern *p, const char *slot) {
  for (int i = 0; i < p->count; i++)
    if (strcmp(p->holds[i], slot) == 0) return i;
  return -1;
}

/* Standard models have the names of GGUF. */
static const char *list_of(const zh_model *model) {
  return strcmp(model->format, "safetensors") == 0 ? "config_tensors" : "gguf_tensors";
}

static zh_status find_exactly(stored_as *out, const finding *f, const char *name, zh_error *err) {
  out->tensor = zh_model_find(f->model, name);
  ZH_TRY(zh_coded_find(&out->coded, f->model, name, err));
  if (out->coded != NULL) out->tensor = &out->coded->tensor;
  return ZH_OK;
}

/* In safetensors with any of the family's beginnings for "model.". tensor NULL: not there. */
static zh_status find_named(stored_as *out, const finding *f, const zh_family *family,
                            const char *name, zh_error *err) {
  const zh_yaml_node *list = NULL;
  const char *begin;
  char other[512];
  ZH_TRY(find_exactly(out, f, name, err));
  for (; out->tensor == NULL && list == NULL && family != NULL; family = family->like)
    list = zh_yaml_get(family->root, "config_prefixes");
  if (list == NULL || strncmp(name, "model.", 6) != 0) return ZH_OK;
  for (size_t i = 0; out->tensor == NULL && i < zh_yaml_count(list); i++) {
    if (zh_yaml_string(&begin, zh_yaml_item(list, i), NULL) != ZH_OK) continue;
    snprintf(other, sizeof other, "%s%s", begin, name + 6);
    ZH_TRY(find_exactly(out, f, other, err));
  }
  return ZH_OK;
}

/* The first tensor that is there, by the family's own names, then by those it is like. missing:
 * the first name that was looked for. */
static zh_status search(zh_source *out, char missing[256], const finding *f,
                        const zh_family *family, zh_error *err) {
  char name[256];
  const char *section = list_of(f->model);
  missing[0] = '\0';
  for (const zh_family *at = family; at != NULL; at = at->like) {
    const zh_yaml_node *map = zh_yaml_get(at->root, section);
    for (size_t i = 0; map != NULL && i < zh_yaml_count(map); i++) {
      pattern p;
      ZH_TRY(read_pattern(&p, zh_yaml_key(map, i), zh_yaml_item(map, i), err));
      int which = held_at(&p, f->shape.name);
      if (which < 0 || !fits_place(&p, f->place) || !spell(name, sizeof name, p.name, f->place) ||
          zh_family_overrides(family, at, section, p.name))
        continue;
      stored_as stored;
      ZH_TRY(find_named(&stored, f, family, name, err));
      if (stored.tensor != NULL) return take(out, f, &p, which, &stored, err);
      if (missing[0] == '\0') memcpy(missing, name, sizeof name);
    }
  }
  out->stored = NULL;
  return ZH_OK;
}

zh_status zh_model_source_or_values(zh_source *out, const zh_model *model, const zh_architecture *a,
                                    zh_weight_place place, zh_error *err) {
  const zh_family *family;
  char missing[256];
  finding f = {model, a, place, zh_weight_shape_of(a, place)};
  ZH_TRY(zh_family_named(&family, a->family, err));
  ZH_TRY(search(out, missing, &f, family, err));
  if (out->stored != NULL) return ZH_OK;
  if (missing[0] != '\0')
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tensor '%s' is missing", model->path, missing);
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: the family '%s' does not say which tensor holds '%s' in files of this form",
                 model->path, a->family, f.shape.name);
}

zh_status zh_model_source(zh_source *out, const zh_model *model, const zh_architecture *a,
                          zh_weight_place place, zh_error *err) {
  ZH_TRY(zh_model_source_or_values(out, model, a, place, err));
  if (!out->valued) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: tensor '%s' of type %s cannot be taken apart", model->path,
                 out->stored->name, zh_dtype_find((uint32_t)out->stored->type)->name);
}

/* --- rows --- */

static void turn_row(unsigned char *out, const zh_source *s, uint64_t r) {
  uint64_t size = s->tensor.bytes / s->tensor.elements, columns = s->tensor.shape[1],
           width = s->stored->shape[s->stored->dims - 1];
  uint64_t first = s->first + r / s->run * s->stride, column = s->from + r % s->run * s->step;
  if (s->coded != NULL) {
    zh_coded_column(out, s->coded, column, first, columns);
    return;
  }
  uint64_t at = first * width + column;
  const unsigned char *from = (const unsigned char *)s->stored->data + at * size;
  for (uint64_t c = 0; c < columns; c++) memcpy(out + c * size, from + c * width * size, size);
}

/* A row; of vectors one element. */
static void copy_row(unsigned char *out, const zh_source *s, uint64_t r, uint64_t bytes) {
  uint64_t row = s->first + r / s->run * s->stride + r % s->run * s->step;
  memcpy(out, (const unsigned char *)s->stored->data + row * bytes, bytes);
}

/* Rows of the file's tensor that follow each other are made together. */
static void make_rows(unsigned char *out, const zh_source *s, uint64_t first, uint64_t count,
                      uint64_t bytes) {
  for (uint64_t done = 0, run; done < count; done += run) {
    uint64_t r = first + done, left = s->run - r % s->run;
    run = s->step > 1 ? 1 : left < count - done ? left : count - done;
    zh_coded_rows(out + done * bytes, s->coded,
                  s->first + r / s->run * s->stride + r % s->run * s->step, run);
  }
}

void zh_source_rows(void *out, const zh_source *s, uint64_t first, uint64_t count) {
  const zh_tensor *t = &s->tensor;
  if (s->valued) return;
  bool vector = t->dims == 1;
  uint64_t rows = vector ? t->elements : t->shape[0], bytes = t->bytes / rows;
  unsigned char *to = out;
  if (s->coded != NULL && !s->turned) {
    make_rows(out, s, first, vector ? rows : count, bytes);
  } else if (s->coded == NULL && s->stored->data == NULL) {
    zh_standard_rows(out, s->stored, s->first + first, count);
  } else if (t->data != NULL) {
    memcpy(out, (const unsigned char *)t->data + first * (vector ? t->bytes : bytes),
           count * (vector ? t->bytes : bytes));
  } else {
    if (vector) count = rows; /* of which there is one */
    for (uint64_t r = 0; r < count; r++) {
      if (s->turned)
        turn_row(to + r * bytes, s, first + r);
      else
        copy_row(to + r * bytes, s, first + r, bytes);
    }
  }
}

const zh_tensor *zh_source_part(const zh_source *s, int i) {
  const zh_tensor *parts[4] = {s->stored};
  int count = 1;
  if (s->coded != NULL) {
    if (s->coded->scales != NULL) parts[count++] = s->coded->scales;
    if (s->coded->zeros != NULL) parts[count++] = s->coded->zeros;
    if (s->coded->order != NULL) parts[count++] = s->coded->order;
  }
  return i < count ? parts[i] : NULL;
}

void zh_source_leave(const zh_source *s) {
  if (s->coded != NULL) zh_coded_leave(s->coded);
}

/* --- all of them --- */

typedef struct tally {
  const zh_model *model;
  const zh_architecture *a;
  bool *used; /* of each tensor */
} tally;

static zh_status note(const tally *t, zh_weight_place place, zh_error *err) {
  zh_source source;
  if (!zh_weight_shape_of(t->a, place).needed) return ZH_OK;
  ZH_TRY(zh_model_source_or_values(&source, t->model, t->a, place, err));
  t->used[source.stored - t->model->tensors] = true;
  return ZH_OK;
}

static zh_status note_layer(const tally *t, int layer, zh_error *err) {
  for (int slot = 0; slot < ZH_LAYER_SLOTS; slot++)
    ZH_TRY(note(t, (zh_weight_place){layer, -1, slot}, err));
  if (!zh_layer_is(t->a, (uint32_t)layer, ZH_LAYER_EXPERTS)) return ZH_OK;
  for (int expert = 0; expert < (int)t->a->experts; expert++)
    for (int slot = 0; slot < ZH_EXPERT_SLOTS; slot++)
      ZH_TRY(note(t, (zh_weight_place){layer, expert, slot}, err));
  return ZH_OK;
}

/* A head that the model does not use, because it is tied, is checked if it is there. */
static zh_status note_idle_head(const tally *t, zh_error *err) {
  zh_architecture untied = *t->a;
  zh_source source;
  char missing[256];
  const zh_family *family;
  if (!t->a->tied_head) return ZH_OK;
  untied.tied_head = false;
  finding f = {t->model, &untied, {-1, -1, ZH_HEAD}, {0}};
  f.shape = zh_weight_shape_of(&untied, f.place);
  ZH_TRY(zh_family_named(&family, untied.family, err));
  ZH_TRY(search(&source, missing, &f, family, err));
  if (source.stored != NULL) t->used[source.stored - t->model->tensors] = true;
  return ZH_OK;
}

/* "{layers}" stands for the number of layers. */
static bool spell_beginning(char out[256], const char *text, const zh_architecture *a) {
  const char *number = strstr(text, "{layers}");
  int length = number == NULL ? snprintf(out, 256, "%s", text)
                              : snprintf(out, 256, "%.*s%u%s", (int)(number - text), text,
                                         a->layers, number + strlen("{layers}"));
  return length < 256;
}

/* Names that begin so are no part of the text model; where the family says what else must be there,
 * only beside that: a layer too many is no layer that predicts. */
static bool begins_as(const zh_yaml_node *item, const tally *t, const char *name) {
  bool map = zh_yaml_node_kind(item) == ZH_YAML_MAP;
  const char *text, *end;
  char begin[256], beside[512];
  if (zh_yaml_string(&text, map ? zh_yaml_get(item, "begin") : item, NULL) != ZH_OK ||
      !spell_beginning(begin, text, t->a) || strncmp(name, begin, strlen(begin)) != 0)
    return false;
  if (!map) return true;
  if (zh_yaml_string(&end, zh_yaml_get(item, "with"), NULL) != ZH_OK) return false;
  snprintf(beside, sizeof beside, "%s%s", begin, end);
  return zh_model_find(t->model, beside) != NULL;
}

static bool is_ignored(const zh_family *family, const tally *t, const char *name) {
  for (; family != NULL; family = family->like) {
    const zh_yaml_node *list = zh_yaml_get(family->root, "ignored");
    for (size_t i = 0; list != NULL && i < zh_yaml_count(list); i++)
      if (begins_as(zh_yaml_item(list, i), t, name)) return true;
  }
  return false;
}

bool zh_tensor_is_idle_bias(const zh_model *model, const zh_tensor *t) {
  const unsigned char *bytes = t->data;
  if (!zh_ends_in(t->name, ".bias") || zh_model_sibling(model, t->name, "bias", "qweight") == NULL)
    return false;
  for (uint64_t i = 0; i < t->bytes; i++)
    if (bytes[i] != 0) return false;
  return true;
}

static zh_status check_extra(const tally *t, zh_error *err) {
  const zh_family *family;
  ZH_TRY(zh_family_named(&family, t->a->family, err));
  for (size_t i = 0; i < t->model->tensor_count; i++) {
    const zh_tensor *tensor = &t->model->tensors[i];
    if (t->used[i] || zh_coded_is_part(t->model, tensor) ||
        zh_tensor_role_of(tensor) == ZH_ROLE_BUFFER || zh_tensor_is_idle_bias(t->model, tensor) ||
        is_ignored(family, t, tensor->name))
      continue;
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the tensor '%s' is no part of a %s model as this version computes it",
                   t->model->path, tensor->name, t->a->family);
  }
  return ZH_OK;
}

static zh_status note_all(const tally *t, zh_error *err) {
  for (int slot = 0; slot < ZH_MODEL_SLOTS; slot++)
    ZH_TRY(note(t, (zh_weight_place){-1, -1, slot}, err));
  ZH_TRY(note_idle_head(t, err));
  for (uint32_t layer = 0; layer < t->a->layers; layer++) ZH_TRY(note_layer(t, (int)layer, err));
  return ZH_OK;
}

zh_status zh_sources_mark(bool *used, const zh_model *model, const zh_architecture *a,
                          zh_error *err) {
  tally t = {model, a, used};
  return note_all(&t, err);
}

zh_status zh_sources_check(const zh_model *model, const zh_architecture *a, zh_error *err) {
  tally t = {model, a, calloc(model->tensor_count + 1, sizeof(bool))};
  if (t.used == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (architecture)");
  zh_status status = note_all(&t, err);
  if (status == ZH_OK) status = check_extra(&t, err);
  free(t.used);
  return status;
}

/* --- where another file would keep it --- */

/* MXFP4 as its maker publishes it: codes under this name, scales beside them. */
static bool is_packed(const pattern *p) {
  const char *end = strstr(p->name, "_blocks");
  return end != NULL && strcmp(end, "_blocks") == 0;
}

/* Fills in what the pattern holds; false where it holds what the architecture does not have. */
static bool settle(zh_home *out, const zh_architecture *a, const pattern *p,
                   zh_weight_place place) {
  finding f = {NULL, a, place, zh_weight_shape_of(a, place)};
  *out = (zh_home){.count = p->count,
                   .every_expert = p->every_expert,
                   .alternating = p->alternating,
                   .groups = groups_of(&f, p)};
  for (int i = 0; i < p->count; i++) {
    zh_weight_place held = place;
    held.slot = slot_named(p->holds[i], place.layer >= 0, place.expert >= 0);
    if (held.slot < 0 || !zh_weight_shape_of(a, held).needed) return false;
    out->holds[i] = held;
    out->turned |= (unsigned)p->turned[i] << i;
  }
  return spell(out->name, sizeof out->name, p->name, place);
}

zh_status zh_weight_home(zh_home *out, const zh_architecture *a, zh_weight_place place,
                         zh_form form, bool packed, zh_error *err) {
  const zh_family *family;
  const char *list = form == ZH_FORM_GGUF ? "gguf_tensors" : "config_tensors";
  const char *slot = zh_weight_shape_of(a, place).name;
  ZH_TRY(zh_family_named(&family, a->family, err));
  for (; family != NULL; family = family->like) {
    const zh_yaml_node *map = zh_yaml_get(family->root, list);
    for (size_t i = 0; map != NULL && i < zh_yaml_count(map); i++) {
      pattern p;
      ZH_TRY(read_pattern(&p, zh_yaml_key(map, i), zh_yaml_item(map, i), err));
      if (held_at(&p, slot) >= 0 && is_packed(&p) == packed && fits_place(&p, place) &&
          settle(out, a, &p, place))
        return ZH_OK;
    }
  }
  *out = (zh_home){0};
  return ZH_OK;
}
