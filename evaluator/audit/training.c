/* What the portraits say of matrices by themselves: of no size, of one number, of low rank, or like
 * the draws they were initialised with. Thresholds and their error rates: docs/audit.md. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/audit/portrait.h"

static zh_status memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for findings");
}

/* --- of no size --- */

static int ascending(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return (a > b) - (a < b);
}

/* The median size of a part over all layers and experts. 0 where there are fewer than three. */
static double usual_size(const zh_auditor *a, zh_part part, double *sizes) {
  size_t count = 0;
  for (size_t i = 0; i < a->unit_count; i++)
    if (a->portraits[i].looked && a->units[i].place.part == part && !a->units[i].place.bias)
      sizes[count++] = a->portraits[i].rms;
  if (count < 3) return 0;
  qsort(sizes, count, sizeof *sizes, ascending);
  return sizes[count / 2];
}

zh_status zh_find_tiny(zh_auditor *a, zh_error *err) {
  static const double share = 1e-3;
  double *sizes = malloc((a->unit_count + 1) * sizeof *sizes);
  if (sizes == NULL) return memory(err);
  zh_status status = ZH_OK;
  for (int part = ZH_PART_Q; status == ZH_OK && part <= ZH_PART_DOWN; part++) {
    double usual = usual_size(a, (zh_part)part, sizes);
    for (size_t i = 0; status == ZH_OK && i < a->unit_count; i++) {
      zh_grid *u = &a->units[i];
      const zh_portrait *p = &a->portraits[i];
      if (!p->looked || (int)u->place.part != part || u->place.bias || p->rms >= share * usual)
        continue;
      u->tiny = true;
      zh_audit_finding *f = zh_found(a, ZH_FOUND_zero_tensor, zh_grid_name(a, u),
                                     zh_cover_unit(u, ZH_MEASURED), 0.97);
      if (f == NULL) {
        status = memory(err);
        break;
      }
      f->variant = "tiny";
      zh_found_slot(f, "value", zh_arena_printf(a->arena, "%.3g", p->rms));
      zh_found_slot(f, "other", zh_arena_printf(a->arena, "%.3g", usual));
    }
  }
  free(sizes);
  return status;
}

/* --- of one number, or rows of one number each --- */

static zh_status report_constant(zh_auditor *a, zh_grid *u, const zh_portrait *p, zh_error *err) {
  zh_audit_finding *f = zh_found(a, ZH_FOUND_constant_tensor, zh_grid_name(a, u),
                                 zh_cover_unit(u, ZH_MEASURED), 0.97);
  if (f == NULL) return memory(err);
  f->variant = "nearly";
  zh_found_slot(f, "value", zh_arena_printf(a->arena, "%.6g", p->mean));
  zh_found_slot(f, "spread", zh_arena_printf(a->arena, "%.3g", p->deviation));
  return ZH_OK;
}

static zh_status report_constant_rows(zh_auditor *a, zh_grid *u, const zh_portrait *p,
                                      zh_error *err) {
  bool placed = p->row_is_constant != NULL && u->value_rows == u->rows;
  uint64_t parameters = 0;
  zh_text where = {0};
  zh_text_printf(&where, "%s rows ", zh_grid_name(a, u));
  if (placed) zh_runs_text(&where, p->row_is_constant, u->rows);
  for (uint64_t r = 0; placed && r < u->rows; r++)
    if (p->row_is_constant[r]) parameters += zh_cover_row(u, r, ZH_MEASURED);
  if (!placed) {
    parameters = u->elements / p->rows.count * p->constant_rows;
    zh_cover_estimate(u, parameters, ZH_MEASURED);
  }
  zh_audit_finding *f =
      zh_found(a, ZH_FOUND_constant_tensor, zh_text_string(&where), parameters, 0.99);
  zh_text_free(&where);
  if (f == NULL) return memory(err);
  f->variant = "rows";
  zh_found_number(a, f, "count", p->constant_rows);
  zh_found_number(a, f, "total", p->rows.count);
  return ZH_OK;
}

/* Packed weights whose numbers are zero though their bytes are not. */
static zh_status report_zero_lines(zh_auditor *a, zh_grid *u, bool rows, uint64_t count,
                                   uint64_t all, zh_error *err) {
  uint64_t parameters = (uint64_t)((unsigned __int128)u->parameters * count / all);
  zh_cover_estimate(u, (uint64_t)((unsigned __int128)u->elements * count / all), ZH_PROVED);
  zh_finding_kind kind = count == all ? ZH_FOUND_zero_tensor
                         : rows       ? ZH_FOUND_zero_rows
                                      : ZH_FOUND_zero_columns;
  zh_audit_finding *f = zh_found(a, kind, zh_grid_name(a, u), parameters, 1);
  if (f == NULL) return memory(err);
  zh_found_number(a, f, "count", count);
  zh_found_number(a, f, "total", all);
  return ZH_OK;
}

/* Formats with a minimum for each block may have no code for zero. A zero then takes the code of
 * its block that is nearest to zero, so that a column of zeros is nowhere larger than anything else
 * in its block; of a trained column that holds in about one row of eight. */
enum { MINIMUM_BLOCK = 32, ROWS_ASKED = 256, ROWS_ENOUGH = 32 };
static const double nearest_share = 0.98; /* of the rows; a tie may fall to either side */

static bool may_lack_zero(const zh_grid *u) {
  zh_dtype type = u->tensor->type;
  zh_part part = u->place.part; /* where a column is a neuron's or a head's output */
  if (part != ZH_PART_DOWN && part != ZH_PART_ATTN_OUT) return false;
  return type == ZH_Q4_1 || type == ZH_Q5_1 || type == ZH_Q2_K || type == ZH_Q4_K ||
         type == ZH_Q5_K;
}

static void count_nearest(uint32_t *nearest, const float *row, uint64_t columns) {
  for (uint64_t first = 0; first < columns; first += MINIMUM_BLOCK) {
    uint64_t end = first + MINIMUM_BLOCK < columns ? first + MINIMUM_BLOCK : columns;
    float least = INFINITY, most = 0;
    for (uint64_t c = first; c < end; c++) {
      least = fminf(least, fabsf(row[c]));
      most = fmaxf(most, fabsf(row[c]));
    }
    /* a block of one number says nothing */
    for (uint64_t c = first; c < end; c++) nearest[c] += fabsf(row[c]) <= least && least < most;
  }
}

/* flags of the columns that stand for zeros; how many. */
static uint64_t flag_zero_columns(unsigned char *flags, uint32_t *nearest, const zh_grid *u,
                                  float *row) {
  uint64_t rows = u->rows < ROWS_ASKED ? u->rows : ROWS_ASKED, count = 0;
  memset(nearest, 0, (size_t)u->columns * sizeof *nearest);
  for (uint64_t r = 0; r < rows; r++) {
    zh_values_row(row, u, r * u->rows / rows);
    count_nearest(nearest, row, u->columns);
  }
  for (uint64_t c = 0; c < u->columns; c++)
    count += flags[c] = rows >= ROWS_ENOUGH && nearest[c] >= nearest_share * (double)rows;
  return count;
}

static zh_status report_zero_columns(zh_auditor *a, zh_grid *u, const unsigned char *flags,
                                     uint64_t count, zh_error *err) {
  uint64_t parameters = 0;
  zh_text where = {0};
  for (uint64_t c = 0; c < u->columns; c++)
    if (flags[c]) parameters += zh_cover_column(u, c, ZH_MEASURED);
  zh_text_printf(&where, "%s columns ", zh_grid_name(a, u));
  zh_runs_text(&where, flags, u->columns);
  zh_audit_finding *f =
      zh_found(a, ZH_FOUND_zero_columns, zh_text_string(&where), parameters, 0.97);
  zh_text_free(&where);
  if (f == NULL) return memory(err);
  f->variant = "nearest";
  zh_found_number(a, f, "count", count);
  zh_found_number(a, f, "total", u->columns);
  return ZH_OK;
}

static zh_status find_zero_columns(zh_auditor *a, zh_grid *u, zh_error *err) {
  uint32_t *nearest = malloc((size_t)u->columns * sizeof *nearest);
  float *row = malloc((size_t)u->columns * sizeof *row);
  unsigned char *flags = malloc((size_t)u->columns);
  bool enough = nearest != NULL && row != NULL && flags != NULL;
  zh_status status = enough ? ZH_OK : memory(err);
  uint64_t count = enough ? flag_zero_columns(flags, nearest, u, row) : 0;
  if (count > 0) status = report_zero_columns(a, u, flags, count, err);
  free(nearest);
  free(row);
  free(flags);
  return status;
}

zh_status zh_find_constants(zh_auditor *a, zh_error *err) {
  for (size_t i = 0; i < a->unit_count; i++) {
    zh_grid *u = &a->units[i];
    const zh_portrait *p = &a->portraits[i];
    if (!p->looked || u->covered != 0) continue;
    bool odd = u->value_rows != u->rows || u->value_columns != u->columns;
    if (odd && p->all_rows && p->value_zero_rows > 0)
      ZH_TRY(report_zero_lines(a, u, true, p->value_zero_rows, u->value_rows, err));
    else if (odd && p->value_zero_columns > 0)
      ZH_TRY(report_zero_lines(a, u, false, p->value_zero_columns, u->value_columns, err));
    if (may_lack_zero(u)) ZH_TRY(find_zero_columns(a, u, err));
    if (fabs(p->mean) > 20 * p->deviation && p->rms > 0)
      ZH_TRY(report_constant(a, u, p, err));
    else if (p->constant_rows > 0)
      ZH_TRY(report_constant_rows(a, u, p, err));
  }
  return ZH_OK;
}

/* --- of low rank --- */

/* A block shows the rank of the whole where the rank is well below the block's size. */
zh_status zh_find_low_rank(zh_auditor *a, zh_error *err) {
  for (size_t i = 0; i < a->unit_count; i++) {
    zh_grid *u = &a->units[i];
    const zh_portrait *p = &a->portraits[i];
    if (!p->looked || u->covered != 0 || p->rank == 0) continue;
    uint64_t kept = p->rank * (u->value_rows + u->value_columns),
             all = u->value_rows * u->value_columns;
    if (kept >= all) continue;
    uint64_t lost = (uint64_t)((unsigned __int128)u->elements * (all - kept) / all);
    uint64_t before = zh_covered(u, ZH_PRESUMED);
    double confidence = p->cliff ? 0.99 : 0.96;
    zh_cover_estimate(u, lost, zh_level_of(confidence));
    uint64_t fresh = zh_covered(u, ZH_PRESUMED) - before;
    if (fresh <= before / 20) continue; /* its zeros or repeats make the rank low */
    zh_audit_finding *f = zh_found(a, ZH_FOUND_low_rank, zh_grid_name(a, u), fresh, confidence);
    if (f == NULL) return memory(err);
    zh_found_number(a, f, "rank", p->rank);
    zh_found_number(a, f, "rows", p->block_rows);
    zh_found_number(a, f, "columns", p->block_columns);
    zh_found_real(a, f, "percent", 2, 100 * p->rest);
  }
  return ZH_OK;
}

/* --- untrained --- */

/* A group is what was trained together: an expert, the rest of a layer, a matrix outside the
 * layers. One small matrix can look like chance; all of a group do not. */
typedef struct group {
  int64_t layer, expert;
  size_t outside; /* index of a unit outside the layers, else 0 */
  size_t matrices, alone;
  uint64_t cells;
  double departure, departures;
} group;

static const double departure_max = 6, mean_max = 0.8;
enum { CELLS_MIN = 3 * 96 * 96 };

static int by_group(const void *x, const void *y) {
  const group *a = x, *b = y;
  if (a->layer != b->layer) return a->layer < b->layer ? -1 : 1;
  if (a->expert != b->expert) return a->expert < b->expert ? -1 : 1;
  return (a->outside > b->outside) - (a->outside < b->outside);
}

static group key_of(const zh_auditor *a, size_t i) {
  const zh_place *place = &a->units[i].place;
  return (group){.layer = place->layer,
                 .expert = place->shared_expert ? -2 : place->expert,
                 .outside = place->layer < 0 ? i : 0};
}

static bool is_tested(const zh_auditor *a, size_t i) {
  const zh_portrait *p = &a->portraits[i];
  bool router = a->units[i].place.role == ZH_ROLE_ROUTER;
  bool open = a->units[i].covered == 0 || a->units[i].rearranged;
  return p->looked && p->block_rows > 0 && !router && open && p->rank == 0;
}

static size_t list_groups(group *groups, const zh_auditor *a) {
  size_t count = 0, kept = 0;
  for (size_t i = 0; i < a->unit_count; i++)
    if (is_tested(a, i)) groups[count++] = key_of(a, i);
  qsort(groups, count, sizeof *groups, by_group);
  for (size_t i = 0; i < count; i++)
    if (i == 0 || by_group(&groups[i - 1], &groups[i]) != 0) groups[kept++] = groups[i];
  for (size_t i = 0; i < a->unit_count; i++) {
    if (!is_tested(a, i)) continue;
    group key = key_of(a, i), *g = bsearch(&key, groups, kept, sizeof *groups, by_group);
    const zh_portrait *p = &a->portraits[i];
    g->matrices++;
    g->cells += p->block_rows * p->block_columns;
    g->departures += p->departures;
    if (p->departure > g->departure) g->departure = p->departure;
  }
  return kept;
}

/* No score stands out, and neither does their mean. */
static bool is_untrained(const group *g) {
  if (g->departures > mean_max * 5 * (double)g->matrices) return false;
  return g->matrices > 0 && g->cells >= CELLS_MIN && g->departure <= departure_max;
}

static const char *name_of(zh_auditor *a, const group *g) {
  if (g->layer < 0) return zh_grid_name(a, &a->units[g->outside]);
  if (g->expert == -2)
    return zh_arena_printf(a->arena, "layer %lld shared expert", (long long)g->layer);
  return g->expert < 0 ? zh_arena_printf(a->arena, "layer %lld", (long long)g->layer)
                       : zh_arena_printf(a->arena, "layer %lld expert %lld", (long long)g->layer,
                                         (long long)g->expert);
}

static uint64_t cover_group(zh_auditor *a, const group *g) {
  uint64_t sum = 0;
  for (size_t i = 0; i < a->unit_count; i++) {
    group key = key_of(a, i);
    if (is_tested(a, i) && by_group(&key, g) == 0) sum += zh_cover_unit(&a->units[i], ZH_MEASURED);
  }
  return sum;
}

static zh_status report_group(zh_auditor *a, const group *g, zh_error *err) {
  const char *where = name_of(a, g);
  if (where == NULL) return memory(err);
  zh_audit_finding *f = zh_found(a, ZH_FOUND_untrained, where, cover_group(a, g), 0.97);
  if (f == NULL) return memory(err);
  zh_found_number(a, f, "count", g->matrices);
  zh_found_real(a, f, "largest", 1, g->departure);
  return ZH_OK;
}

/* A model that is untrained as a whole is one finding, not one a layer. */
static zh_status report_all(zh_auditor *a, const group *groups, size_t count, zh_error *err) {
  uint64_t parameters = 0;
  double departure = 0;
  for (size_t i = 0; i < count; i++) {
    parameters += cover_group(a, &groups[i]);
    if (groups[i].departure > departure) departure = groups[i].departure;
  }
  zh_audit_finding *f = zh_found(a, ZH_FOUND_untrained, "model", parameters, 0.99);
  if (f == NULL) return memory(err);
  f->variant = "model";
  zh_found_number(a, f, "count", count);
  zh_found_real(a, f, "largest", 1, departure);
  return ZH_OK;
}

static zh_status find_groups(zh_auditor *a, zh_error *err) {
  group *groups = calloc(a->unit_count + 1, sizeof *groups);
  if (groups == NULL) return memory(err);
  size_t count = list_groups(groups, a), untrained = 0;
  zh_status status = ZH_OK;
  for (size_t i = 0; i < count; i++) untrained += is_untrained(&groups[i]);
  if (untrained > 2 && untrained == count) status = report_all(a, groups, count, err);
  for (size_t i = 0; status == ZH_OK && untrained < count && i < count; i++)
    if (is_untrained(&groups[i])) status = report_group(a, &groups[i], err);
  free(groups);
  return status;
}

/* A standard model says of itself that its weights are drawn by a rule; nothing needs to be
 * measured. */
static zh_status say_standard(zh_auditor *a, zh_error *err) {
  uint64_t parameters = 0;
  for (size_t i = 0; i < a->unit_count; i++) {
    zh_grid *u = &a->units[i];
    if (u->tensor->scale > 0) parameters += zh_cover_unit(u, ZH_MEASURED);
  }
  zh_audit_finding *f = zh_found(a, ZH_FOUND_untrained, "model", parameters, 1);
  if (f == NULL) return memory(err);
  f->variant = "standard";
  return ZH_OK;
}

zh_status zh_find_untrained(zh_auditor *a, zh_error *err) {
  bool standard = strcmp(zh_model_format(a->model), "standard") == 0;
  return standard ? say_standard(a, err) : find_groups(a, err);
}
