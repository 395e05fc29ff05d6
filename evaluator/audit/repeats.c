/* What stands in the model again, byte for byte: matrices, and from them experts and layers; the
 * same rows or values in another order; single rows. A hash proposes, the bytes prove. */
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "evaluator/audit/audit.h"

static zh_status memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the matrices that may stand twice");
}

static uint64_t unit_bytes(const zh_grid *u) {
  return u->tensor->elements == 0 ? 0 : u->tensor->bytes / (u->tensor->elements / u->elements);
}

/* Type and shape; the hash decides within them. */
static int by_content(const void *x, const void *y) {
  const zh_grid *a = *(zh_grid *const *)x, *b = *(zh_grid *const *)y;
  const uint64_t left[] = {(uint64_t)a->tensor->type, a->elements, a->columns, a->hash};
  const uint64_t right[] = {(uint64_t)b->tensor->type, b->elements, b->columns, b->hash};
  for (int i = 0; i < 4; i++)
    if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
  return a < b ? -1 : a > b;
}

static bool may_repeat(const zh_grid *u) {
  return u->weights && u->data != NULL && u->rows > 0 && !zh_is_small_vector(u);
}

static bool same_bytes(const zh_grid *a, const zh_grid *b) {
  bool blank = a->blank_rows == a->rows && b->blank_rows == b->rows; /* equal without being read */
  return a->data == b->data || (blank && a->rows * a->row_bytes == unit_bytes(a)) ||
         memcmp(a->data, b->data, (size_t)unit_bytes(a)) == 0;
}

static bool same_hash(const zh_grid *a, const zh_grid *b) {
  return a->tensor->type == b->tensor->type && a->elements == b->elements &&
         a->columns == b->columns && a->hash == b->hash;
}

/* units: sorted by content; each that equals an earlier one of its hash is marked. */
static void prove_equal(zh_auditor *a, zh_grid **units, size_t count) {
  for (size_t first = 0, i = 1; i < count; i++) {
    if (!same_hash(units[first], units[i])) {
      first = i;
    } else if (same_bytes(units[first], units[i])) {
      units[i]->repeats = true;
      units[i]->source = (uint32_t)(units[first] - a->units);
    }
  }
}

/* --- what the repeated matrices make up: a layer, an expert, or no more than themselves --- */

/* Whether all matrices of a layer (or of one of its experts) repeat those of one other. */
typedef struct group {
  int64_t layer, expert, of_layer, of_expert;
  uint64_t matrices, repeated;
  bool one_source;
} group;

static group *group_of(group *groups, size_t count, const zh_grid *u, bool experts) {
  for (size_t lo = 0, hi = count; lo < hi;) { /* sorted by layer, expert */
    size_t middle = (lo + hi) / 2;
    group *g = &groups[middle];
    int64_t expert = experts ? u->place.expert : -1;
    if (g->layer == u->place.layer && g->expert == expert) return g;
    if (g->layer < u->place.layer || (g->layer == u->place.layer && g->expert < expert))
      lo = middle + 1;
    else
      hi = middle;
  }
  return NULL;
}

static int by_layer(const void *x, const void *y) {
  const group *a = x, *b = y;
  if (a->layer != b->layer) return a->layer < b->layer ? -1 : 1;
  return (a->expert > b->expert) - (a->expert < b->expert);
}

static size_t list_groups(group *groups, const zh_auditor *a, bool experts) {
  size_t count = 0, kept = 0;
  for (size_t i = 0; i < a->unit_count; i++) {
    const zh_place *place = &a->units[i].place;
    if (place->layer < 0 || (experts && place->expert < 0)) continue;
    groups[count++] = (group){.layer = place->layer, .expert = experts ? place->expert : -1};
  }
  qsort(groups, count, sizeof *groups, by_layer);
  for (size_t i = 0; i < count; i++)
    if (i == 0 || by_layer(&groups[i - 1], &groups[i]) != 0) groups[kept++] = groups[i];
  return kept;
}

static void tally_groups(group *groups, size_t count, const zh_auditor *a, bool experts) {
  for (size_t i = 0; i < a->unit_count; i++) {
    const zh_grid *u = &a->units[i];
    group *g = may_repeat(u) ? group_of(groups, count, u, experts) : NULL;
    if (g == NULL || u->zero || u->constant) continue;
    g->matrices++;
    if (!u->repeats) continue;
    const zh_grid *source = &a->units[u->source];
    bool first = g->repeated++ == 0;
    if (first) g->of_layer = source->place.layer;
    if (first) g->of_expert = source->place.expert;
    bool same = source->place.layer == g->of_layer && source->place.part == u->place.part &&
                (!experts || source->place.expert == g->of_expert);
    g->one_source = same && (first || g->one_source);
  }
}

static zh_status report_group(zh_auditor *a, const group *g, bool experts, zh_error *err) {
  uint64_t parameters = 0;
  size_t count;
  zh_grid **units = zh_grids_of(&count, a, g->layer, experts ? g->expert : -1);
  for (size_t i = 0; i < count; i++)
    if (units[i]->repeats && may_repeat(units[i])) parameters += zh_cover_unit(units[i], ZH_PROVED);
  zh_text where = {0}, of = {0};
  zh_text_printf(&where, "layer %lld", (long long)g->layer);
  zh_text_printf(&of, "layer %lld", (long long)g->of_layer);
  if (experts) {
    zh_text_printf(&where, " expert %lld", (long long)g->expert);
    zh_text_printf(&of, " expert %lld", (long long)g->of_expert);
  }
  zh_audit_finding *f = zh_found(a, experts ? ZH_FOUND_duplicate_expert : ZH_FOUND_duplicate_layer,
                                 zh_text_string(&where), parameters, 1);
  if (f != NULL) f->of = zh_arena_strdup(a->arena, zh_text_string(&of));
  zh_text_free(&where);
  zh_text_free(&of);
  return f != NULL && f->of != NULL ? ZH_OK : memory(err);
}

static zh_status find_groups(zh_auditor *a, bool experts, zh_error *err) {
  group *groups = calloc(a->unit_count + 1, sizeof *groups);
  if (groups == NULL) return memory(err);
  size_t count = list_groups(groups, a, experts);
  tally_groups(groups, count, a, experts);
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < count; i++) {
    const group *g = &groups[i];
    bool fresh = g->matrices > (experts ? 0 : 1) && g->repeated == g->matrices && g->one_source;
    bool elsewhere = g->of_layer != g->layer || (experts && g->of_expert != g->expert);
    if (fresh && elsewhere) status = report_group(a, g, experts, err);
  }
  free(groups);
  return status;
}

static zh_status report_matrices(zh_auditor *a, zh_error *err) {
  for (size_t i = 0; i < a->unit_count; i++) {
    zh_grid *u = &a->units[i];
    if (!u->repeats || u->covered == ZH_PROVED || u->zero || u->constant) continue;
    zh_audit_finding *f =
        zh_found(a, ZH_FOUND_duplicate_tensor, zh_grid_name(a, u), zh_cover_unit(u, ZH_PROVED), 1);
    if (f == NULL) return memory(err);
    f->of = zh_grid_name(a, &a->units[u->source]);
  }
  return ZH_OK;
}

/* --- the same rows, or the same values, in another order --- */

typedef struct row_key {
  uint64_t hash, row;
} row_key;

static int by_row_hash(const void *x, const void *y) {
  const row_key *a = x, *b = y;
  if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
  return (a->row > b->row) - (a->row < b->row);
}

static row_key *sorted_rows(const zh_grid *u) {
  row_key *keys = malloc((size_t)u->rows * sizeof *keys);
  for (uint64_t i = 0; keys != NULL && i < u->rows; i++)
    keys[i] = (row_key){zh_row_hash(u->data + i * u->row_bytes, (size_t)u->row_bytes), i};
  if (keys != NULL) qsort(keys, (size_t)u->rows, sizeof *keys, by_row_hash);
  return keys;
}

static bool same_rows_in_any_order(const zh_grid *a, const zh_grid *b) {
  row_key *x = sorted_rows(a), *y = sorted_rows(b);
  bool same = x != NULL && y != NULL;
  for (uint64_t i = 0; same && i < a->rows; i++)
    same = memcmp(a->data + x[i].row * a->row_bytes, b->data + y[i].row * b->row_bytes,
                  (size_t)a->row_bytes) == 0;
  free(x);
  free(y);
  return same;
}

/* Counts of values by hash: equal multisets have equal counts. Sixteen-bit values are their own. */
enum { VALUE_BINS = 1 << 16 };
static void count_values(int32_t *bins, const zh_grid *u, int32_t step) {
  size_t bytes = zh_dtype_find((uint32_t)u->tensor->type)->block_bytes;
  size_t length = (size_t)(u->rows * u->row_bytes);
  for (size_t i = 0; i < length; i += bytes) {
    uint64_t bits = 0;
    memcpy(&bits, u->data + i, bytes);
    size_t bin = bytes == 2 ? (size_t)bits : (size_t)(bits * UINT64_C(0x9e3779b97f4a7c15) >> 48);
    bins[bin] += step;
  }
}

/* Enough different values that equal counts cannot be chance: a ternary matrix has three. */
static bool same_values_in_any_order(const zh_grid *a, const zh_grid *b) {
  enum { DIFFERENT_MIN = 256 };
  int32_t *bins = calloc(VALUE_BINS, sizeof *bins);
  size_t different = 0;
  bool same = bins != NULL;
  if (bins != NULL) count_values(bins, a, 1);
  for (size_t i = 0; same && i < VALUE_BINS; i++) different += bins[i] != 0;
  if (bins != NULL) count_values(bins, b, -1);
  for (size_t i = 0; same && i < VALUE_BINS; i++) same = bins[i] == 0;
  free(bins);
  return same && different >= DIFFERENT_MIN;
}

static int by_set(const void *x, const void *y) {
  const zh_grid *a = *(zh_grid *const *)x, *b = *(zh_grid *const *)y;
  const uint64_t left[] = {(uint64_t)a->tensor->type, a->columns, a->rows, a->row_set};
  const uint64_t right[] = {(uint64_t)b->tensor->type, b->columns, b->rows, b->row_set};
  for (int i = 0; i < 4; i++)
    if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
  return a < b ? -1 : a > b;
}

static int by_moments(const void *x, const void *y) {
  const zh_grid *a = *(zh_grid *const *)x, *b = *(zh_grid *const *)y;
  const uint64_t left[] = {(uint64_t)a->tensor->type, a->rows * a->columns, a->moments[0],
                           a->moments[1]};
  const uint64_t right[] = {(uint64_t)b->tensor->type, b->rows * b->columns, b->moments[0],
                            b->moments[1]};
  for (int i = 0; i < 4; i++)
    if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
  return a < b ? -1 : a > b;
}

typedef struct order {
  int (*compare)(const void *, const void *);
  bool (*proves)(const zh_grid *, const zh_grid *);
  const char *variant;
} order;

static bool same_key(const order *o, const zh_grid *a, const zh_grid *b) {
  if (a->tensor->type != b->tensor->type) return false;
  if (o->compare == by_set)
    return a->columns == b->columns && a->rows == b->rows && a->row_set == b->row_set;
  return a->rows * a->columns == b->rows * b->columns && a->moments[0] == b->moments[0] &&
         a->moments[1] == b->moments[1];
}

static bool may_be_permuted(const order *o, const zh_grid *u) {
  enum { ELEMENTS_MIN = 1024 };
  if (!may_repeat(u) || u->repeats || u->covered != 0 || u->zero || u->constant) return false;
  if (u->rows * u->columns < ELEMENTS_MIN) return false;
  return o->compare == by_set ? u->rows > 1 : (u->moments[0] | u->moments[1]) != 0;
}

static zh_status find_permuted(zh_auditor *a, const order *o, zh_grid **units, zh_error *err) {
  size_t count = 0;
  for (size_t i = 0; i < a->unit_count; i++)
    if (may_be_permuted(o, &a->units[i])) units[count++] = &a->units[i];
  qsort(units, count, sizeof *units, o->compare);
  for (size_t first = 0, i = 1; i < count; i++) {
    if (!same_key(o, units[first], units[i])) {
      first = i;
      continue;
    }
    if (!o->proves(units[first], units[i])) continue;
    zh_audit_finding *f = zh_found(a, ZH_FOUND_permuted_duplicate, zh_grid_name(a, units[i]),
                                   zh_cover_unit(units[i], ZH_PROVED), 1);
    if (f == NULL) return memory(err);
    f->of = zh_grid_name(a, units[first]);
    f->variant = o->variant;
    units[i]->rearranged = o->variant != NULL;
  }
  return ZH_OK;
}

zh_status zh_find_repeats(zh_auditor *a, zh_error *err) {
  static const order orders[] = {{by_set, same_rows_in_any_order, NULL},
                                 {by_moments, same_values_in_any_order, "values"}};
  zh_grid **units = calloc(a->unit_count + 1, sizeof *units);
  if (units == NULL) return memory(err);
  size_t count = 0;
  for (size_t i = 0; i < a->unit_count; i++)
    if (may_repeat(&a->units[i])) units[count++] = &a->units[i];
  qsort(units, count, sizeof *units, by_content);
  prove_equal(a, units, count);
  zh_status status = find_groups(a, false, err);
  if (status == ZH_OK) status = find_groups(a, true, err);
  if (status == ZH_OK) status = report_matrices(a, err);
  for (int i = 0; status == ZH_OK && i < 2; i++) status = find_permuted(a, &orders[i], units, err);
  free(units);
  return status;
}

/* --- single rows --- */

/* Rows that repeat an earlier one, matrix by matrix. Where the hashes of all rows were kept they
 * are placed and proved; where only a share was, their number is an estimate. */
typedef struct repeated_rows {
  uint64_t count;
  uint32_t source, source_row;
  bool several;
  unsigned char *flags;
} repeated_rows;

static bool row_is_free(const zh_grid *u, uint32_t row) {
  if (u->covered != 0 || u->zero || u->constant) return false;
  return u->row_covered == NULL || u->row_covered[row] == 0;
}

static bool same_row(const zh_auditor *a, const zh_row_print *x, const zh_row_print *y) {
  const zh_grid *u = &a->units[x->unit], *v = &a->units[y->unit];
  return u->row_bytes == v->row_bytes && u->tensor->type == v->tensor->type &&
         memcmp(u->data + x->row * u->row_bytes, v->data + y->row * v->row_bytes,
                (size_t)u->row_bytes) == 0;
}

static zh_status note_repeat(zh_auditor *a, repeated_rows *list, const zh_row_print *first,
                             const zh_row_print *again, zh_error *err) {
  zh_grid *u = &a->units[again->unit];
  repeated_rows *r = &list[again->unit];
  if (r->flags == NULL) {
    r->source = first->unit;
    r->flags = calloc(u->rows, 1);
    if (r->flags == NULL) return memory(err);
  }
  r->several |= r->source != first->unit;
  r->flags[again->row] = 1;
  r->count++;
  return ZH_OK;
}

static zh_status collect_rows(zh_auditor *a, repeated_rows *list, zh_error *err) {
  for (size_t i = 0, end; i < a->print_count; i = end) {
    const zh_row_print *first = NULL;
    for (end = i; end < a->print_count && a->prints[end].hash == a->prints[i].hash; end++) {
      const zh_row_print *p = &a->prints[end];
      if (!row_is_free(&a->units[p->unit], p->row)) {
        if (first == NULL) first = p; /* an original is one even where it is spoken of elsewhere */
        continue;
      }
      if (first == NULL)
        first = p;
      else if (same_row(a, first, p))
        ZH_TRY(note_repeat(a, list, first, p, err));
    }
  }
  return ZH_OK;
}

/* Tokens that training never met keep one common row in honest models: of a few rows of a table of
 * tokens that is said, and no more. */
static bool is_usual(const zh_grid *u, uint64_t count) {
  enum { FEW = 64 };
  bool table = u->place.role == ZH_ROLE_EMBEDDING || u->place.role == ZH_ROLE_HEAD;
  return table && (count <= FEW || count <= u->rows / 100);
}

/* Where the hashes of all rows were kept. */
static uint64_t cover_rows(zh_grid *u, const repeated_rows *r, enum zh_level level) {
  uint64_t parameters = 0;
  for (uint64_t i = 0; i < u->rows; i++)
    if (r->flags[i]) parameters += zh_cover_row(u, i, level);
  return parameters;
}

static zh_status report_rows(zh_auditor *a, zh_grid *u, const repeated_rows *r, zh_error *err) {
  bool exact = a->print_share >= 1;
  uint64_t count = exact ? r->count : (uint64_t)((double)r->count / a->print_share);
  bool usual = is_usual(u, count);
  double confidence = usual ? 0.4 : exact ? 1 : 0.99;
  uint64_t parameters = exact ? cover_rows(u, r, zh_level_of(confidence)) : count * u->columns;
  if (!exact) zh_cover_estimate(u, parameters, zh_level_of(confidence));
  zh_text where = {0};
  zh_text_printf(&where, "%s rows ", zh_grid_name(a, u));
  zh_runs_text(&where, r->flags, u->rows);
  zh_audit_finding *f =
      zh_found(a, usual ? ZH_FOUND_unreachable_vocabulary : ZH_FOUND_duplicate_tensor,
               zh_text_string(&where), parameters, confidence);
  zh_text_free(&where);
  if (f == NULL) return memory(err);
  f->of = r->several ? NULL : zh_grid_name(a, &a->units[r->source]);
  f->variant = usual ? "alike" : r->several ? "several" : "rows";
  zh_found_number(a, f, "count", count);
  zh_found_number(a, f, "total", u->rows);
  return ZH_OK;
}

zh_status zh_find_repeated_rows(zh_auditor *a, zh_error *err) {
  repeated_rows *list = calloc(a->unit_count + 1, sizeof *list);
  if (list == NULL) return memory(err);
  zh_status status = collect_rows(a, list, err);
  for (size_t i = 0; i < a->unit_count; i++) {
    if (status == ZH_OK && list[i].count > 0) status = report_rows(a, &a->units[i], &list[i], err);
    free(list[i].flags);
  }
  free(list);
  return status;
}
