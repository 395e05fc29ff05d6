/* Which parameters findings speak of, so that one under two findings counts once.
 *
 * A finding covers a matrix, rows of it or columns of it; covered parameters are the union of them.
 * A finding that knows only how many (a rank, an estimate from a sample) is compared with that
 * union, and the larger counts: the two may be the same parameters. */
#include <stdlib.h>

#include "evaluator/audit/audit.h"

enum zh_level zh_level_of(double confidence) {
  return confidence >= 1 ? ZH_PROVED : confidence >= 0.95 ? ZH_MEASURED : ZH_PRESUMED;
}

static uint64_t marked(const unsigned char *marks, uint64_t count, enum zh_level level) {
  uint64_t sum = 0;
  for (uint64_t i = 0; marks != NULL && i < count; i++) sum += marks[i] != 0 && marks[i] <= level;
  return sum;
}

static uint64_t covered_elements(const zh_grid *u, enum zh_level level) {
  if (u->covered != 0 && u->covered <= level) return u->elements;
  uint64_t rows = marked(u->row_covered, u->rows, level);
  uint64_t columns = marked(u->column_covered, u->columns, level);
  uint64_t sum = u->rows * u->columns - (u->rows - rows) * (u->columns - columns);
  uint64_t estimated = 0;
  for (int i = ZH_PROVED; i <= (int)level; i++)
    if (u->estimated[i] > estimated) estimated = u->estimated[i];
  return sum > estimated ? sum : estimated;
}

/* Packed elements stand for several values each. */
static uint64_t as_parameters(const zh_grid *u, uint64_t elements) {
  if (u->parameters == u->elements || u->elements == 0) return elements;
  return (uint64_t)((unsigned __int128)elements * u->parameters / u->elements);
}

uint64_t zh_covered(const zh_grid *unit, enum zh_level level) {
  return as_parameters(unit, covered_elements(unit, level));
}

static void mark(unsigned char *mark, enum zh_level level) {
  if (*mark == 0 || *mark > level) *mark = (unsigned char)level;
}

uint64_t zh_cover_unit(zh_grid *unit, enum zh_level level) {
  uint64_t before = zh_covered(unit, ZH_PRESUMED);
  mark(&unit->covered, level);
  return zh_covered(unit, ZH_PRESUMED) - before;
}

/* Memory that cannot be had leaves the mark out: the effective count is then too high, never too
 * low. */
static bool cover(unsigned char **marks, uint64_t count, uint64_t i, enum zh_level level) {
  if (*marks == NULL) *marks = calloc(count, 1);
  if (*marks == NULL) return false;
  bool fresh = (*marks)[i] == 0;
  mark(&(*marks)[i], level);
  return fresh;
}

uint64_t zh_cover_row(zh_grid *unit, uint64_t row, enum zh_level level) {
  bool fresh = cover(&unit->row_covered, unit->rows, row, level) && unit->covered == 0;
  return fresh ? as_parameters(unit, unit->columns) : 0;
}

uint64_t zh_cover_column(zh_grid *unit, uint64_t column, enum zh_level level) {
  bool fresh = cover(&unit->column_covered, unit->columns, column, level) && unit->covered == 0;
  return fresh ? as_parameters(unit, unit->rows) : 0;
}

void zh_cover_estimate(zh_grid *unit, uint64_t parameters, enum zh_level level) {
  if (parameters > unit->estimated[level]) unit->estimated[level] = parameters;
}
