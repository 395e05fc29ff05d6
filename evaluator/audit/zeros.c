/* Zeros and constants: matrices, rows and columns. Small vectors (norm gains, biases) are often one
 * constant in honest models; they are left alone. */
#include "evaluator/audit/audit.h"

bool zh_is_small_vector(const zh_grid *u) {
  bool vector = u->tensor->dims <= 1 || u->place.bias || u->place.role == ZH_ROLE_NORM;
  return vector && u->elements <= ZH_SMALL_VECTOR;
}

/* "3-17, 20, 22-24 …": at most a dozen runs. */
void zh_runs_text(zh_text *out, const unsigned char *flags, uint64_t count) {
  enum { RUNS = 12 };
  int runs = 0;
  for (uint64_t i = 0; i < count; i++) {
    if (!flags[i]) continue;
    uint64_t last = i;
    while (last + 1 < count && flags[last + 1]) last++;
    if (runs == RUNS) {
      zh_text_puts(out, " …");
      return;
    }
    zh_text_printf(out, last > i ? "%s%llu-%llu" : "%s%llu", runs++ > 0 ? ", " : "",
                   (unsigned long long)i, (unsigned long long)last);
    i = last;
  }
}

static zh_status memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for findings");
}

static zh_status whole(zh_auditor *a, zh_grid *u, zh_error *err) {
  zh_finding_kind kind = u->zero ? ZH_FOUND_zero_tensor : ZH_FOUND_constant_tensor;
  zh_audit_finding *f = zh_found(a, kind, zh_grid_name(a, u), zh_cover_unit(u, ZH_PROVED), 1);
  if (f == NULL) return memory(err);
  if (u->zero && u->sparse) f->variant = "hole";
  zh_found_slot(f, "value", zh_arena_printf(a->arena, "%.6g", u->value));
  return ZH_OK;
}

static zh_status lines(zh_auditor *a, zh_grid *u, zh_finding_kind kind, zh_error *err) {
  bool rows = kind == ZH_FOUND_zero_rows;
  const unsigned char *flags = rows ? u->row_is_zero : u->column_is_zero;
  uint64_t count = rows ? u->zero_rows : u->zero_columns, all = rows ? u->rows : u->columns;
  uint64_t parameters = 0;
  zh_text where = {0};
  zh_text_printf(&where, "%s %s ", zh_grid_name(a, u), rows ? "rows" : "columns");
  for (uint64_t i = 0; flags != NULL && i < all; i++) {
    if (!flags[i]) continue;
    parameters += rows ? zh_cover_row(u, i, ZH_PROVED) : zh_cover_column(u, i, ZH_PROVED);
  }
  if (flags != NULL)
    zh_runs_text(&where, flags, all);
  else
    zh_cover_estimate(u, parameters = count * u->columns, ZH_PROVED);
  zh_audit_finding *f = zh_found(a, kind, zh_text_string(&where), parameters, 1);
  zh_text_free(&where);
  if (f == NULL) return memory(err);
  zh_found_number(a, f, "count", count);
  zh_found_number(a, f, "total", all);
  return ZH_OK;
}

zh_status zh_find_zeros(zh_auditor *a, zh_error *err) {
  for (size_t i = 0; i < a->unit_count; i++) {
    zh_grid *u = &a->units[i];
    if (!u->weights || u->data == NULL || u->rows == 0 || zh_is_small_vector(u)) continue;
    if (u->zero || (u->constant && u->rows * u->columns > 1)) {
      ZH_TRY(whole(a, u, err));
      continue;
    }
    if (u->zero_rows > 0) ZH_TRY(lines(a, u, ZH_FOUND_zero_rows, err));
    if (u->zero_columns > 0) ZH_TRY(lines(a, u, ZH_FOUND_zero_columns, err));
  }
  return ZH_OK;
}
