/* The matrices of a model: tensors as rows and columns, tensors of all experts cut into experts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "evaluator/audit/audit.h"

static uint64_t times(uint64_t count, uint64_t over, uint64_t under) {
  return (uint64_t)((unsigned __int128)count * over / under);
}

/* Experts of one layer in one tensor, [experts][rows][columns], are looked at one by one. */
static uint64_t slices_of(const zh_tensor *t, zh_tensor_role role) {
  bool piled = role == ZH_ROLE_EXPERTS && t->dims >= 3 && t->shape[0] > 0;
  return piled ? t->shape[0] : 1;
}

/* Rows as the formats mean them, unless they are too short or too long to look at one by one:
 * vectors and kernels of convolutions are cut into rows of ROW_COLUMNS, and a tail shorter than
 * that is not looked into. */
enum { COLUMNS_MIN = 32, COLUMNS_MAX = 1 << 18, ROW_COLUMNS = 4096 };
static void shape_unit(zh_grid *u) {
  const zh_tensor *t = u->tensor;
  u->columns = t->dims == 0 ? 1 : t->shape[t->dims - 1];
  for (int i = t->dims - 2; i > 0 && u->columns < COLUMNS_MIN; i--) u->columns *= t->shape[i];
  if (u->elements > COLUMNS_MAX && (u->columns < COLUMNS_MIN || u->columns > COLUMNS_MAX))
    u->columns = ROW_COLUMNS;
  u->rows = u->columns == 0 ? 0 : u->elements / u->columns;
  if (!zh_dtype_bytes(&u->row_bytes, t->type, u->columns)) u->rows = 0;
}

static void fill_unit(zh_grid *u, const zh_model *model, const zh_place *place, size_t tensor,
                      uint64_t slice, uint64_t slices) {
  const zh_tensor *t = zh_model_tensor(model, tensor);
  uint64_t values, packed;
  (void)zh_unpacked(&values, &packed, model, t);
  *u = (zh_grid){.tensor = t, .tensor_index = tensor, .slice = slice, .whole = slices == 1};
  u->place = *place;
  if (zh_is_scale(model, t)) u->place.role = ZH_ROLE_BUFFER;
  if (slices > 1) u->place.expert = (int64_t)slice;
  u->elements = t->elements / slices;
  shape_unit(u);
  u->parameters = times(u->elements, values, packed);
  u->weights = u->place.role != ZH_ROLE_BUFFER && u->elements > 0;
  u->value_rows = u->rows;
  u->value_columns = u->columns;
  u->data = t->data == NULL ? NULL : (const unsigned char *)t->data + slice * (t->bytes / slices);
  if (u->data != NULL) zh_packing_find(u, model, slices);
}

static int by_place(const void *x, const void *y) {
  const zh_grid *a = *(zh_grid *const *)x, *b = *(zh_grid *const *)y;
  const int64_t left[] = {a->place.layer, a->place.part, a->place.expert, a->place.bias};
  const int64_t right[] = {b->place.layer, b->place.part, b->place.expert, b->place.bias};
  for (int i = 0; i < 4; i++)
    if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
  return 0;
}

static int by_group(const void *x, const void *y) {
  const zh_grid *a = *(zh_grid *const *)x, *b = *(zh_grid *const *)y;
  if (a->place.layer != b->place.layer) return a->place.layer < b->place.layer ? -1 : 1;
  if (a->place.expert != b->place.expert) return a->place.expert < b->place.expert ? -1 : 1;
  return (a > b) - (a < b);
}

/* Units that a place names; those of shared experts and prediction layers are found by no place. */
zh_status zh_grids_index(zh_auditor *a, zh_error *err) {
  a->by_place = calloc(a->unit_count + 1, sizeof *a->by_place);
  a->by_group = calloc(a->unit_count + 1, sizeof *a->by_group);
  if (a->by_place == NULL || a->by_group == NULL)
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the matrices");
  for (size_t i = 0; i < a->unit_count; i++) a->by_group[i] = &a->units[i];
  qsort(a->by_group, a->unit_count, sizeof *a->by_group, by_group);
  for (size_t i = 0; i < a->unit_count; i++) {
    const zh_place *place = &a->units[i].place;
    if (place->part != ZH_PART_OTHER && !place->shared_expert && !place->prediction)
      a->by_place[a->placed_count++] = &a->units[i];
  }
  qsort(a->by_place, a->placed_count, sizeof *a->by_place, by_place);
  return ZH_OK;
}

/* Layers that predict further tokens stand after the others, most without a name of their own.
 * GGUF counts them among its blocks, config.json beside num_hidden_layers. */
static void mark_prediction(zh_auditor *a) {
  uint64_t layers = 0, more = 0;
  int64_t last = -1;
  if (!zh_model_stated(&more, a->model, "nextn_predict_layers", "num_nextn_predict_layers") ||
      !zh_model_stated(&layers, a->model, "block_count", "num_hidden_layers") || more == 0 ||
      more > layers || layers > INT32_MAX)
    return;
  for (size_t i = 0; i < a->unit_count; i++)
    if (a->units[i].place.layer > last) last = a->units[i].place.layer;
  bool beside = last >= (int64_t)layers || strcmp(zh_model_format(a->model), "gguf") != 0;
  int64_t first = (int64_t)layers - (beside ? 0 : (int64_t)more);
  for (size_t i = 0; i < a->unit_count; i++)
    if (a->units[i].place.layer >= first) a->units[i].place.prediction = true;
}

/* Zeroed. Tens of megabytes for a large model: a page fault for each 2 MiB instead of 4 KiB. */
static zh_grid *allocate_units(size_t count) {
  const size_t huge = (size_t)1 << 21;
  size_t bytes = (count * sizeof(zh_grid) + huge - 1) / huge * huge;
  if (bytes == huge) return calloc(count, sizeof(zh_grid));
  zh_grid *units = aligned_alloc(huge, bytes);
  if (units == NULL) return NULL;
  (void)madvise(units, bytes, MADV_HUGEPAGE); /* only a wish */
  memset(units, 0, count * sizeof *units);
  return units;
}

/* Place and number of matrices of each tensor. */
static zh_status place_tensors(zh_place *places, uint32_t *slices, size_t *units,
                               const zh_model *model, zh_error *err) {
  zh_place_book *book = zh_place_book_create();
  zh_status status = book != NULL ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (places)");
  *units = 0;
  for (size_t i = 0; status == ZH_OK && i < zh_model_tensor_count(model); i++) {
    const zh_tensor *t = zh_model_tensor(model, i);
    places[i] = zh_place_by_book(book, t);
    uint64_t count = slices_of(t, places[i].role);
    if (count > 1 << 20)
      status = zh_fail(err, ZH_ERR_INPUT, "%s: %llu experts", t->name, (unsigned long long)count);
    slices[i] = (uint32_t)count;
    *units += count;
  }
  zh_place_book_free(book);
  return status;
}

zh_status zh_grids_make(zh_auditor *a, zh_error *err) {
  size_t tensors = zh_model_tensor_count(a->model), count = 0;
  zh_place *places = malloc((tensors + 1) * sizeof *places);
  uint32_t *slices = malloc((tensors + 1) * sizeof *slices);
  zh_status status = places != NULL && slices != NULL
                         ? place_tensors(places, slices, &count, a->model, err)
                         : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the matrices");
  if (status != ZH_OK) goto done;
  a->units = allocate_units(count + 1);
  a->first_unit = calloc(tensors + 1, sizeof *a->first_unit);
  if (a->units == NULL || a->first_unit == NULL || count > UINT32_MAX) {
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for a list of %zu matrices", count);
    goto done;
  }
  for (size_t i = 0; i < tensors; i++) {
    a->first_unit[i] = a->unit_count;
    for (uint64_t s = 0; s < slices[i]; s++)
      fill_unit(&a->units[a->unit_count++], a->model, &places[i], i, s, slices[i]);
  }
  a->first_unit[tensors] = a->unit_count;
  mark_prediction(a);
done:
  free(places);
  free(slices);
  return status;
}

void zh_grids_free(zh_auditor *a) {
  for (size_t i = 0; i < a->unit_count; i++) {
    free(a->units[i].row_is_zero);
    free(a->units[i].column_is_zero);
    free(a->units[i].row_covered);
    free(a->units[i].column_covered);
  }
  free(a->units);
  free(a->first_unit);
  free(a->by_place);
  free(a->by_group);
}

const char *zh_grid_name(zh_auditor *a, const zh_grid *unit) {
  if (unit->whole) return unit->tensor->name;
  const char *name =
      zh_arena_printf(a->arena, "%s[%llu]", unit->tensor->name, (unsigned long long)unit->slice);
  return name != NULL ? name : unit->tensor->name;
}

zh_grid *zh_grid_find(zh_auditor *a, int64_t layer, zh_part part, int64_t expert, bool bias) {
  zh_grid wanted = {.place = {.layer = layer, .part = part, .expert = expert, .bias = bias}};
  zh_grid *key = &wanted;
  zh_grid **found = bsearch(&key, a->by_place, a->placed_count, sizeof *a->by_place, by_place);
  return found != NULL ? *found : NULL;
}

/* The first unit of a layer and expert, or of what follows them. */
static size_t first_of(const zh_auditor *a, int64_t layer, int64_t expert) {
  size_t low = 0, high = a->unit_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    const zh_place *place = &a->by_group[middle]->place;
    if (place->layer < layer || (place->layer == layer && place->expert < expert))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

zh_grid **zh_grids_of(size_t *count, const zh_auditor *a, int64_t layer, int64_t expert) {
  size_t first = first_of(a, layer, expert < 0 ? INT64_MIN : expert);
  *count =
      (expert < 0 ? first_of(a, layer + 1, INT64_MIN) : first_of(a, layer, expert + 1)) - first;
  return a->by_group + first;
}
