/* Parameters counted from the tensors of the model's own files, by role, type and layer.
 * Definitions: docs/metrics.md, "Parameters". */
#include <stdlib.h>
#include <string.h>

#include "evaluator/audit/audit.h"

static zh_tally *tally_of_type(zh_census *c, zh_dtype type) {
  for (int i = 0; i < c->type_count; i++) {
    if (c->type_ids[i] == type) return &c->types[i];
  }
  c->type_ids[c->type_count] = type;
  return &c->types[c->type_count++];
}

/* False where a sum would pass what JSON integers hold; only a file that lies gets there. */
static bool add(uint64_t *sum, uint64_t more) {
  return !__builtin_add_overflow(*sum, more, sum) && *sum <= INT64_MAX;
}

static bool add_tensor(zh_tally *sum, uint64_t parameters, uint64_t bytes) {
  sum->tensors++;
  return add(&sum->parameters, parameters) && add(&sum->bytes, bytes);
}

static bool count_tensor(zh_census *c, const zh_auditor *a, size_t i) {
  const zh_tensor *t = zh_model_tensor(a->model, i);
  const zh_grid *first = &a->units[a->first_unit[i]];
  bool weights = first->place.role != ZH_ROLE_BUFFER;
  uint64_t parameters = 0, values, packed;
  for (size_t u = a->first_unit[i]; weights && u < a->first_unit[i + 1]; u++)
    if (!add(&parameters, a->units[u].parameters)) return false;
  c->buffers += !weights;
  c->may_be_packed += weights && !zh_unpacked(&values, &packed, a->model, t);
  if (first->place.part == ZH_PART_ROUTER_BIAS) c->router_bias += parameters;
  if (first->place.prediction) c->prediction += parameters;
  return add_tensor(&c->roles[first->place.role], parameters, t->bytes) &&
         add_tensor(tally_of_type(c, t->type), parameters, t->bytes) &&
         add(&c->stored, parameters) && add(&c->elements, t->elements);
}

/* Shared experts serve every token; only routed ones are chosen. */
static bool is_routed(const zh_grid *u) {
  return u->place.role == ZH_ROLE_EXPERTS && !u->place.shared_expert;
}

/* stored is known not to overflow by now, and all here are parts of it. */
static void count_unit(zh_census *c, zh_layer_tally *layer, const zh_grid *u) {
  if (u->place.role == ZH_ROLE_BUFFER) return;
  uint64_t all = zh_covered(u, ZH_PRESUMED), measured = all > 0 ? zh_covered(u, ZH_MEASURED) : 0;
  if (all > 0) c->effective[ZH_PROVED] -= zh_covered(u, ZH_PROVED);
  c->effective[ZH_MEASURED] -= measured;
  c->effective[ZH_PRESUMED] -= all;
  layer->parameters += u->parameters;
  layer->bytes += u->row_bytes * u->rows;
  layer->effective += u->parameters - measured;
  c->repeated += u->repeats;
  c->repeated_parameters += u->repeats ? u->parameters : 0;
  if (u->repeats) return;
  c->unique += u->parameters;
  layer->unique += u->parameters;
  if (is_routed(u)) c->routed += u->parameters;
  if (is_routed(u)) layer->routed += u->parameters;
  if (u->place.role == ZH_ROLE_EMBEDDING) c->embedding += u->parameters;
  if (u->place.role == ZH_ROLE_HEAD) c->head += u->parameters;
}

static int by_layer(const void *x, const void *y) {
  const zh_layer_tally *a = x, *b = y;
  return (a->layer > b->layer) - (a->layer < b->layer);
}

/* Matrices of a layer mostly follow each other; what is left to sort is little. */
static void list_layers(zh_census *c, const zh_auditor *a) {
  size_t runs = 0, count = 0;
  for (size_t i = 0; i < a->unit_count; i++) {
    int64_t layer = a->units[i].place.layer;
    if (runs == 0 || c->layers[runs - 1].layer != layer)
      c->layers[runs++] = (zh_layer_tally){.layer = layer};
  }
  qsort(c->layers, runs, sizeof *c->layers, by_layer);
  for (size_t i = 0; i < runs; i++)
    if (i == 0 || c->layers[i].layer != c->layers[i - 1].layer) c->layers[count++] = c->layers[i];
  c->layer_count = count;
}

zh_status zh_census_take(zh_census *c, const zh_auditor *a, zh_error *err) {
  memset(c, 0, sizeof *c);
  c->layers = calloc(a->unit_count + 1, sizeof *c->layers);
  if (c->layers == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the counts");
  for (size_t i = 0; i < zh_model_tensor_count(a->model); i++) {
    if (count_tensor(c, a, i)) continue;
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s: the sizes of its tensors add up to more than 2^63; the header lies",
                   zh_model_name(a->model));
  }
  list_layers(c, a);
  for (int level = 0; level <= ZH_PRESUMED; level++) c->effective[level] = c->stored;
  for (size_t i = 0; i < a->unit_count; i++) {
    zh_layer_tally wanted = {.layer = a->units[i].place.layer};
    count_unit(c, bsearch(&wanted, c->layers, c->layer_count, sizeof wanted, by_layer),
               &a->units[i]);
  }
  uint64_t low = c->effective[ZH_PRESUMED];
  c->effective[ZH_PRESUMED] -= a->unseen < low ? a->unseen : low;
  return ZH_OK;
}

void zh_census_free(zh_census *c) {
  free(c->layers);
  c->layers = NULL;
}

int64_t zh_active_share(uint64_t unique, uint64_t routed, const zh_architecture *a) {
  if (routed == 0) return (int64_t)unique;
  if (a->experts == 0 || a->experts_used == 0 || a->experts_used > a->experts) return -1;
  unsigned __int128 used = (unsigned __int128)routed * a->experts_used / a->experts;
  return (int64_t)(unique - routed + (uint64_t)used);
}

static json_t *tally_json(const char *key, const char *name, const zh_tally *t) {
  return json_pack("{s:s, s:I, s:I, s:I}", key, name, "tensors", (json_int_t)t->tensors,
                   "parameters", (json_int_t)t->parameters, "bytes", (json_int_t)t->bytes);
}

json_t *zh_census_groups_json(const zh_census *c) {
  json_t *array = json_array();
  for (int role = 0; role < ZH_ROLES; role++) {
    if (c->roles[role].tensors == 0) continue;
    json_array_append_new(
        array, tally_json("role", zh_tensor_role_name((zh_tensor_role)role), &c->roles[role]));
  }
  return array;
}

json_t *zh_census_types_json(const zh_census *c) {
  json_t *array = json_array();
  for (int i = 0; i < c->type_count; i++) {
    const zh_dtype_info *info = zh_dtype_find((uint32_t)c->type_ids[i]);
    json_array_append_new(array, tally_json("type", info != NULL ? info->name : "?", &c->types[i]));
  }
  return array;
}

json_t *zh_census_layers_json(const zh_census *c, const zh_auditor *a) {
  json_t *array = json_array();
  for (size_t i = 0; i < c->layer_count; i++) {
    const zh_layer_tally *l = &c->layers[i];
    int64_t active = zh_active_share(l->unique, l->routed, &a->architecture);
    bool looked = a->options->scan;
    json_array_append_new(
        array, json_pack("{s:o, s:I, s:o, s:o, s:o}", "layer",
                         l->layer < 0 ? json_null() : json_integer(l->layer), "parameters",
                         (json_int_t)l->parameters, "unique",
                         looked ? json_integer((json_int_t)l->unique) : json_null(), "effective",
                         looked ? json_integer((json_int_t)l->effective) : json_null(), "active",
                         active < 0 ? json_null() : json_integer(active)));
  }
  return array;
}
