/* Rows and columns that another line of the model explains: the same but for a factor, a sign,
 * noise, another place. Prints of 64 bits propose pairs of lines; a matrix whose lines keep pairing
 * with those of one other is compared with it value by value.
 *
 * Two lines of correlation r differ in about 64 acos(r) / pi bits of their prints, negated ones in
 * all others. Pairs are sought among prints that agree in a band of bits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/audit/portrait.h"

enum {
  BITS_APART = 14, /* of 64: r = 0.77 */
  LINES_MIN = 4,   /* fewer pairs are chance */
  BUCKET_MAX = 96, /* neighbours looked at in a band: lines of one direction are many alike */
};
static const double share_min = 0.05;     /* of the lines of a matrix */
static const double similarity_min = 0.8; /* of two lines, by all their values */

/* Some rows of one trained matrix, or of queries and keys of a layer, may be as alike as 0.9
 * (docs/audit.md): where less than half of a matrix is alike, only this counts. */
static const double similarity_of_some = 0.98;

static zh_status memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory for the search for similar weights");
}

/* --- lines of one length, of all matrices --- */

typedef struct line {
  uint64_t print, length;
  uint32_t unit, number; /* number: of the row or column */
  uint32_t best_unit, best_number;
  unsigned char apart; /* bits from the best; 255: none yet */
  bool column;
} line;

typedef struct line_list {
  line *items;
  size_t count;
} line_list;

/* Tables of tokens have rows that are alike for good reasons: near ones are no finding there. */
static bool is_compared(const zh_auditor *a, size_t i) {
  zh_tensor_role role = a->units[i].place.role;
  return a->portraits[i].looked && a->units[i].covered == 0 && a->portraits[i].rank == 0 &&
         role != ZH_ROLE_EMBEDDING && role != ZH_ROLE_HEAD && role != ZH_ROLE_ROUTER;
}

static bool line_is_free(const zh_grid *u, bool column, uint32_t number) {
  const unsigned char *marks = column ? u->column_covered : u->row_covered;
  bool same = u->value_rows == u->rows && u->value_columns == u->columns;
  return !same || marks == NULL || marks[number] == 0;
}

static size_t add_lines(line *out, const zh_grid *u, uint32_t unit, const zh_lines *lines,
                        bool column) {
  size_t count = 0;
  uint64_t length = column ? u->value_rows : u->value_columns;
  for (size_t i = 0; length >= ZH_BLOCK_MIN && i < lines->count; i++) {
    uint32_t number = lines->numbers != NULL ? lines->numbers[i] : (uint32_t)i;
    if (lines->prints[i] == 0 || !line_is_free(u, column, number)) continue;
    if (out != NULL)
      out[count] = (line){.print = lines->prints[i],
                          .length = length,
                          .unit = unit,
                          .number = number,
                          .apart = 255,
                          .column = column};
    count++;
  }
  return count;
}

static size_t add_all(line *out, const zh_auditor *a, bool columns) {
  size_t count = 0;
  for (size_t i = 0; i < a->unit_count; i++) {
    if (!is_compared(a, i)) continue;
    const zh_lines *lines = columns ? &a->portraits[i].columns : &a->portraits[i].rows;
    count += add_lines(out == NULL ? NULL : out + count, &a->units[i], (uint32_t)i, lines, columns);
  }
  return count;
}

/* --- pairs --- */

typedef struct key {
  uint64_t band; /* bits of the band, mixed with the length */
  uint32_t line;
  bool negated;
} key;

static int by_band(const void *x, const void *y) {
  const key *a = x, *b = y;
  if (a->band != b->band) return a->band < b->band ? -1 : 1;
  return (a->line > b->line) - (a->line < b->line);
}

/* Earlier lines are originals. */
static void pair(line *lines, uint32_t early, uint32_t late) {
  line *x = &lines[early], *y = &lines[late];
  if (x->length != y->length) return;
  int apart = __builtin_popcountll(x->print ^ y->print);
  if (apart > 32) apart = 64 - apart;
  if (apart > BITS_APART || apart >= y->apart) return;
  y->apart = (unsigned char)apart;
  y->best_unit = x->unit;
  y->best_number = x->number;
}

/* Bands narrow enough that a few hundred lines still fall together by chance alone now and then. */
static int band_bits(size_t count) {
  int bits = 6;
  while (bits < 16 && count >> bits > 16) bits++;
  return bits;
}

static void pair_band(line *lines, key *keys, size_t count, int shift, int bits) {
  uint64_t mask = (UINT64_C(1) << bits) - 1;
  for (size_t i = 0; i < count; i++) {
    uint64_t band = lines[i].print >> shift & mask;
    bool negated = band >> (bits - 1) != 0; /* a line and its negative share a key */
    keys[i].band = (negated ? ~band & mask : band) | lines[i].length << 20;
    keys[i].line = (uint32_t)i;
  }
  qsort(keys, count, sizeof *keys, by_band);
  for (size_t i = 1; i < count; i++)
    for (size_t k = i; k > 0 && i - k < BUCKET_MAX && keys[k - 1].band == keys[i].band; k--)
      pair(lines, keys[k - 1].line, keys[i].line);
}

static zh_status find_pairs(line_list *list, zh_error *err) {
  key *keys = malloc((list->count + 1) * sizeof *keys);
  if (keys == NULL) return memory(err);
  int bits = band_bits(list->count);
  for (int shift = 0; shift + bits <= 64; shift += bits)
    pair_band(list->items, keys, list->count, shift, bits);
  free(keys);
  return ZH_OK;
}

/* --- a matrix against the one its lines pair with --- */

typedef struct match {  /* of lines of `later` with lines of `early`, both along one axis */
  const line *lines;    /* sorted; [count] */
  size_t count, looked; /* looked: lines of `later` that were looked at */
} match;

typedef struct comparison {
  size_t alike, aligned, negative;
  double similarity;     /* mean of |r| over those alike */
  double factor, spread; /* median of the factor, and the half width of its middle half over it */
} comparison;

typedef struct products {
  double xy, xx, yy;
} products;

/* Rows: both decoded, one pair at a time. */
static void multiply_rows(products *out, const zh_auditor *a, const match *m, float *x, float *y) {
  const zh_grid *u = &a->units[m->lines[0].unit], *v = &a->units[m->lines[0].best_unit];
  for (size_t i = 0; i < m->count; i++) {
    zh_values_row(y, u, m->lines[i].number);
    zh_values_row(x, v, m->lines[i].best_number);
    products p = {0};
    for (uint64_t c = 0; c < u->value_columns; c++) {
      p.xy += (double)x[c] * (double)y[c];
      p.xx += (double)x[c] * (double)x[c];
      p.yy += (double)y[c] * (double)y[c];
    }
    out[i] = p;
  }
}

/* Columns: all pairs at once, row by row. */
static void multiply_columns(products *out, const zh_auditor *a, const match *m, float *x,
                             float *y) {
  const zh_grid *u = &a->units[m->lines[0].unit], *v = &a->units[m->lines[0].best_unit];
  memset(out, 0, m->count * sizeof *out);
  for (uint64_t r = 0; r < u->value_rows; r++) {
    zh_values_row(y, u, r);
    zh_values_row(x, v, r);
    for (size_t i = 0; i < m->count; i++) {
      double p = (double)x[m->lines[i].best_number], q = (double)y[m->lines[i].number];
      out[i].xy += p * q;
      out[i].xx += p * p;
      out[i].yy += q * q;
    }
  }
}

static int ascending(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return (a > b) - (a < b);
}

static void sum_up(comparison *c, const products *p, const match *m, double least, double *factors,
                   unsigned char *alike) {
  *c = (comparison){0};
  for (size_t i = 0; i < m->count; i++) {
    double norm = sqrt(p[i].xx * p[i].yy), r = norm > 0 ? p[i].xy / norm : 0;
    alike[i] = fabs(r) >= least;
    if (!alike[i]) continue;
    factors[c->alike++] = sqrt(p[i].yy / p[i].xx);
    c->similarity += fabs(r);
    c->negative += r < 0;
    c->aligned += m->lines[i].number == m->lines[i].best_number;
  }
  if (c->alike == 0) return;
  c->similarity /= (double)c->alike;
  qsort(factors, c->alike, sizeof *factors, ascending);
  c->factor = factors[c->alike / 2];
  c->spread = (factors[c->alike * 3 / 4] - factors[c->alike / 4]) / 2 / c->factor;
}

/* A factor differs from 1 where it does so by more than noise of the size found makes it. */
static zh_finding_kind kind_of(const comparison *c, bool same_matrix) {
  double noise = sqrt(fmax(0, 1 / (c->similarity * c->similarity) - 1));
  bool scaled = fabs(c->factor - sqrt(1 + noise * noise)) > 0.02 + 0.1 * noise ||
                c->spread > 0.02 + 0.1 * noise || c->negative > c->alike / 20;
  if (same_matrix) return ZH_FOUND_near_duplicate;
  if (c->aligned < c->alike * 9 / 10) return ZH_FOUND_permuted_duplicate;
  return scaled ? ZH_FOUND_scaled_duplicate : ZH_FOUND_near_duplicate;
}

static uint64_t cover_lines(zh_grid *u, const match *m, const unsigned char *alike, size_t count) {
  bool whole = (double)count >= 0.9 * (double)m->looked;
  bool placed = u->value_rows == u->rows && u->value_columns == u->columns;
  uint64_t before = zh_covered(u, ZH_PRESUMED), sum = 0;
  if (whole && m->lines[0].best_unit != m->lines[0].unit) return zh_cover_unit(u, ZH_MEASURED);
  if (!placed || m->looked < (m->lines[0].column ? u->value_columns : u->value_rows)) {
    zh_cover_estimate(u, (uint64_t)((double)u->elements * (double)count / (double)m->looked),
                      ZH_MEASURED);
    return zh_covered(u, ZH_PRESUMED) - before;
  }
  for (size_t i = 0; i < m->count; i++) {
    if (!alike[i]) continue;
    sum += m->lines[i].column ? zh_cover_column(u, m->lines[i].number, ZH_MEASURED)
                              : zh_cover_row(u, m->lines[i].number, ZH_MEASURED);
  }
  return sum;
}

static zh_status report(zh_auditor *a, const match *m, const comparison *c,
                        const unsigned char *alike, zh_error *err) {
  zh_grid *u = &a->units[m->lines[0].unit], *v = &a->units[m->lines[0].best_unit];
  zh_finding_kind kind = kind_of(c, u == v);
  uint64_t parameters = cover_lines(u, m, alike, c->alike);
  if (parameters == 0) return ZH_OK;
  zh_audit_finding *f =
      zh_found(a, kind, zh_grid_name(a, u), parameters, c->similarity >= 0.9 ? 0.99 : 0.96);
  if (f == NULL) return memory(err);
  bool all = (double)c->alike >= 0.9 * (double)m->looked;
  f->of = zh_grid_name(a, v);
  f->variant = m->lines[0].column ? "columns" : "rows";
  zh_found_number(a, f, "count", c->alike);
  zh_found_number(a, f, "total", all ? c->alike : m->looked);
  zh_found_real(a, f, "similarity", 4, c->similarity);
  zh_found_real(a, f, "factor", 3, c->negative > c->alike / 2 ? -c->factor : c->factor);
  return ZH_OK;
}

static zh_status compare(zh_auditor *a, const match *m, zh_error *err) {
  const zh_grid *u = &a->units[m->lines[0].unit], *v = &a->units[m->lines[0].best_unit];
  uint64_t columns = u->value_columns > v->value_columns ? u->value_columns : v->value_columns;
  comparison c;
  zh_status status = ZH_OK;
  products *p = malloc(m->count * sizeof *p);
  double *factors = malloc(m->count * sizeof *factors);
  unsigned char *alike = malloc(m->count);
  float *rows = malloc(2 * columns * sizeof *rows);
  if (p == NULL || factors == NULL || alike == NULL || rows == NULL) {
    status = memory(err);
    goto done;
  }
  (m->lines[0].column ? multiply_columns : multiply_rows)(p, a, m, rows, rows + columns);
  sum_up(&c, p, m, similarity_min, factors, alike);
  if (u == v || 2 * c.alike < m->looked) sum_up(&c, p, m, similarity_of_some, factors, alike);
  if (c.alike >= LINES_MIN && (double)c.alike >= share_min * (double)m->looked)
    status = report(a, m, &c, alike, err);
done:
  free(p);
  free(factors);
  free(alike);
  free(rows);
  return status;
}

static int by_pair(const void *x, const void *y) {
  const line *a = x, *b = y;
  if (a->unit != b->unit) return a->unit < b->unit ? -1 : 1;
  if (a->best_unit != b->best_unit) return a->best_unit < b->best_unit ? -1 : 1;
  return (a->number > b->number) - (a->number < b->number);
}

/* Pairs of matrices in the order of the later ones; lines without a pair are dropped first. */
static zh_status compare_all(zh_auditor *a, line_list *list, bool columns, zh_error *err) {
  size_t paired = 0;
  for (size_t i = 0; i < list->count; i++)
    if (list->items[i].apart != 255) list->items[paired++] = list->items[i];
  qsort(list->items, paired, sizeof *list->items, by_pair);
  for (size_t i = 0, end; i < paired; i = end) {
    const line *first = &list->items[i];
    for (end = i; end < paired && list->items[end].unit == first->unit &&
                  list->items[end].best_unit == first->best_unit;)
      end++;
    const zh_portrait *p = &a->portraits[first->unit];
    match m = {first, end - i, columns ? p->columns.count : p->rows.count};
    if (m.count < LINES_MIN || (double)m.count < share_min * (double)m.looked) continue;
    if (a->units[first->unit].covered == 0) ZH_TRY(compare(a, &m, err));
  }
  return ZH_OK;
}

zh_status zh_find_likeness(zh_auditor *a, zh_error *err) {
  for (int columns = 0; columns < 2; columns++) {
    line_list list = {.count = add_all(NULL, a, columns)};
    if (list.count < 2 || list.count > UINT32_MAX) continue;
    list.items = malloc(list.count * sizeof *list.items);
    if (list.items == NULL) return memory(err);
    (void)add_all(list.items, a, columns);
    zh_status status = find_pairs(&list, err);
    if (status == ZH_OK) status = compare_all(a, &list, columns, err);
    free(list.items);
    ZH_TRY(status);
  }
  return ZH_OK;
}
