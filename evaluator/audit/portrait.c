/* Takes the portraits: rows are decoded one by one, all of them or a stated share, and summed into
 * what is kept. */
#include "evaluator/audit/portrait.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "evaluator/audit/dense.h"
#include "evaluator/audit/ranks.h"
#include "evaluator/audit/sample.h"

enum {
  BINS = ZH_PRINT_BINS,
  LINES_MAX = 1 << 16,
  ROWS_MIN = 128,
  PARTIAL_COLUMNS = 256,
  FEW_COLUMNS = 64,
  AHEAD = 16 /* rows */
};
#define LARGE_BYTES (UINT64_C(1) << 30)
static const double elements_looked_at = 2e8; /* or a sixteenth of all, where that is more */
static const double bytes_worth_a_full_block = 192e6;

/* --- signs for the random sums: a fixed stream, so that the same matrix has the same prints --- */

static uint64_t mix(uint64_t x) { /* splitmix64's finaliser */
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static float sign_of(uint64_t i) {
  return mix(i * UINT64_C(0x9e3779b97f4a7c15) + 1) >> 63 ? -1.0f : 1.0f;
}

/* 1 where nothing but the print of zeros would come out, which means a line of zeros. */
static uint64_t print_of(const float sums[BINS]) {
  uint64_t print = 0;
  bool zero = true;
  for (int i = 0; i < BINS; i++) {
    print |= (uint64_t)(sums[i] > 0) << i;
    zero &= sums[i] == 0;
  }
  return zero ? 0 : print != 0 ? print : 1;
}

/* Rows known to be zero are not read: they may be holes. */
static void value_row(float *out, const zh_grid *u, uint64_t row) {
  bool zero =
      u->sparse && u->packing == ZH_PACK_NONE && u->row_is_zero != NULL && u->row_is_zero[row];
  if (zero)
    memset(out, 0, (size_t)u->columns * sizeof *out);
  else
    zh_values_row(out, u, row);
}

/* --- which rows --- */

typedef struct look {
  double share; /* of each matrix's rows */
  size_t columns_max, block_max;
  uint64_t partial_columns; /* by which the largest rows are chosen */
  const float *signs;       /* [columns_max] */
  const zh_dense *dense;
  unsigned char *looked_at; /* flags of the units */
  uint64_t sample;          /* rows of each matrix, evenly spread; 0: by share */
} look;

static bool is_looked_at(const zh_grid *u) {
  if (!u->weights || u->data == NULL || u->value_rows < 2 || u->value_columns < ZH_BLOCK_MIN)
    return false;
  return !zh_is_small_vector(u) && (u->covered == 0 || u->rearranged) && !u->zero && !u->constant;
}

typedef struct chosen {
  double norm;
  uint32_t row;
} chosen;

static int by_norm(const void *x, const void *y) {
  const chosen *a = x, *b = y;
  if (a->norm != b->norm) return a->norm > b->norm ? -1 : 1;
  return (a->row > b->row) - (a->row < b->row);
}

static int by_number(const void *x, const void *y) {
  uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
  return (a > b) - (a < b);
}

static void swap_chosen(chosen *x, chosen *y) {
  chosen kept = *x;
  *x = *y;
  *y = kept;
}

/* Brings the `count` first in order to the front, in any order among themselves (quickselect, its
 * pivots drawn so that no file can make it slow on purpose). */
static void select_first(chosen *all, size_t total, size_t count) {
  size_t low = 0, high = total;
  while (high - low > 1) {
    size_t store = low;
    swap_chosen(&all[low + mix(low * 31 + high) % (high - low)], &all[high - 1]);
    for (size_t i = low; i + 1 < high; i++)
      if (by_norm(&all[i], &all[high - 1]) < 0) swap_chosen(&all[i], &all[store++]);
    swap_chosen(&all[store], &all[high - 1]);
    if (store == count) return;
    if (store > count)
      high = store;
    else
      low = store + 1;
  }
}

/* The largest rows by their first columns: the same ones however the rows are ordered. */
static bool choose_largest(uint32_t *out, size_t count, const zh_grid *u, const look *l,
                           float *row) {
  zh_grid part = *u;
  chosen *all = malloc((size_t)u->value_rows * sizeof *all);
  if (all == NULL) return false;
  uint64_t some = l->partial_columns;
  uint64_t block = zh_dtype_find((uint32_t)u->tensor->type)->block_elements;
  if (some < block) some = block;
  bool narrow = u->packing == ZH_PACK_NONE && u->columns > some && some % block == 0;
  if (narrow) part.columns = some;
  for (uint64_t r = 0; r < u->value_rows; r++) {
    if (narrow && r + AHEAD < u->rows) /* too far apart for the CPU to guess */
      __builtin_prefetch(u->data + (r + AHEAD) * u->row_bytes);
    value_row(row, &part, r);
    uint64_t columns = narrow ? some : u->value_columns;
    all[r] = (chosen){l->dense->squares(row, (size_t)columns), (uint32_t)r};
  }
  select_first(all, (size_t)u->value_rows, count);
  for (size_t i = 0; i < count; i++) out[i] = all[i].row;
  free(all);
  return true;
}

static bool spread_rows(zh_lines *lines, size_t count, uint64_t rows) {
  lines->numbers = malloc(count * sizeof *lines->numbers);
  if (lines->numbers == NULL) return false;
  for (size_t i = 0; i < count; i++) lines->numbers[i] = (uint32_t)(i * rows / count);
  lines->count = count;
  return true;
}

/* NULL numbers mean all rows. */
static bool choose_rows(zh_lines *lines, const zh_grid *u, const look *l, float *row) {
  uint64_t wanted = (uint64_t)(l->share * (double)u->value_rows);
  if (wanted < ROWS_MIN || l->sample > 0) wanted = ROWS_MIN;
  if (wanted > LINES_MAX) wanted = LINES_MAX;
  lines->count = (size_t)u->value_rows;
  if (wanted >= u->value_rows) return true;
  if (l->sample > 0) return spread_rows(lines, (size_t)wanted, u->value_rows);
  size_t half = (size_t)wanted / 2, kept = 0;
  lines->numbers = malloc(2 * half * sizeof *lines->numbers);
  if (lines->numbers == NULL || !choose_largest(lines->numbers, half, u, l, row)) return false;
  for (size_t i = 0; i < half; i++) lines->numbers[half + i] = (uint32_t)(i * u->value_rows / half);
  qsort(lines->numbers, 2 * half, sizeof *lines->numbers, by_number);
  for (size_t i = 0; i < 2 * half; i++)
    if (i == 0 || lines->numbers[i] != lines->numbers[kept - 1])
      lines->numbers[kept++] = lines->numbers[i];
  lines->count = kept;
  return true;
}

/* --- one matrix --- */

typedef struct sums {
  double total, squares;
  uint64_t values;
  float *column_sums; /* [BINS][columns], or NULL */
} sums;

static void add_row(zh_portrait *p, sums *s, const look *l, const float *row, uint64_t columns,
                    uint64_t number, size_t at) {
  float bins[BINS] = {0};
  double found[2];
  l->dense->look(bins, found, row, l->signs, (size_t)columns);
  double total = found[0], squares = found[1];
  p->rows.prints[at] = print_of(bins);
  double mean = total / (double)columns, variance = squares / (double)columns - mean * mean;
  bool constant = squares > 0 && variance < 1e-6 * mean * mean;
  p->value_zero_rows += squares == 0;
  p->constant_rows += constant;
  if (constant && p->row_is_constant != NULL) p->row_is_constant[number] = 1;
  s->total += total;
  s->squares += squares;
  s->values += columns;
  if (s->column_sums == NULL) return;
  float sign = sign_of(number + (UINT64_C(1) << 40)),
        *bin = s->column_sums + number % BINS * columns;
  l->dense->add_columns(bin, row, sign, (size_t)columns);
}

static bool print_columns(zh_portrait *p, const sums *s, uint64_t columns) {
  p->columns.prints = malloc((size_t)columns * sizeof *p->columns.prints);
  if (p->columns.prints == NULL) return false;
  p->columns.count = (size_t)columns;
  for (uint64_t c = 0; c < columns; c++) {
    float bins[BINS];
    for (size_t i = 0; i < BINS; i++) bins[i] = s->column_sums[i * columns + c];
    p->columns.prints[c] = print_of(bins);
    p->value_zero_columns += p->columns.prints[c] == 0;
  }
  return true;
}

/* Gate and up, or queries, keys and values in one matrix: each has a size of its own, so that rows
 * are brought to one size first. */
static bool is_fused(const zh_grid *u) {
  static const char *const names[] = {"gate_up", "qkv", "query_key_value", "c_attn", "in_proj"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strstr(u->tensor->name, names[i]) != NULL) return true;
  return false;
}

static void level_rows(float *block, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r++) {
    float *row = block + r * columns;
    double squares = 0;
    for (size_t c = 0; c < columns; c++) squares += (double)row[c] * (double)row[c];
    float scale = squares > 0 ? (float)sqrt((double)columns / squares) : 1;
    for (size_t c = 0; c < columns; c++) row[c] *= scale;
  }
}

static bool take_block(zh_portrait *p, const zh_grid *u, const look *l, float *row) {
  size_t rows = u->value_rows < l->block_max ? (size_t)u->value_rows : l->block_max;
  size_t columns = u->value_columns < l->block_max ? (size_t)u->value_columns : l->block_max;
  if (rows < ZH_BLOCK_MIN || columns < ZH_BLOCK_MIN) return true;
  float *block = malloc(rows * columns * sizeof *block);
  if (block == NULL) return false;
  uint32_t at[ZH_BLOCK_MAX];
  for (size_t c = 0; c < columns; c++) at[c] = (uint32_t)(c * u->value_columns / columns);
  for (size_t r = 0; r < rows; r++) {
    value_row(row, u, r * u->value_rows / rows);
    for (size_t c = 0; c < columns; c++) block[r * columns + c] = row[at[c]];
  }
  if (is_fused(u)) level_rows(block, rows, columns);
  bool done = zh_block_test(p, block, rows, columns);
  free(block);
  return done;
}

static bool take(zh_portrait *p, zh_grid *u, const look *l, float *row) {
  sums s = {0};
  uint64_t columns = u->value_columns;
  zh_packing_settle(u, row);
  if (!choose_rows(&p->rows, u, l, row)) return false;
  p->all_rows = p->rows.numbers == NULL;
  p->rows.prints = malloc(p->rows.count * sizeof *p->rows.prints);
  if (p->rows.prints == NULL) return false;
  if (p->all_rows && columns <= LINES_MAX) {
    s.column_sums = calloc(BINS * columns, sizeof(float));
    if (s.column_sums == NULL) return false;
  }
  if (p->all_rows) p->row_is_constant = calloc(p->rows.count, 1);
  for (size_t i = 0; i < p->rows.count; i++) {
    uint64_t number = p->all_rows ? i : p->rows.numbers[i];
    value_row(row, u, number);
    add_row(p, &s, l, row, columns, number, i);
  }
  bool done = s.column_sums == NULL || print_columns(p, &s, columns);
  free(s.column_sums);
  double mean = s.total / (double)s.values, square = s.squares / (double)s.values;
  p->mean = mean;
  p->rms = sqrt(square);
  p->deviation = square > mean * mean ? sqrt(square - mean * mean) : 0;
  p->looked = isfinite(square);
  return done && (!p->looked || take_block(p, u, l, row));
}

static zh_status take_one(zh_auditor *a, size_t i, zh_scratch *scratch, void *user) {
  zh_grid *u = &a->units[i];
  const look *l = user;
  if (!l->looked_at[i] || !zh_rank_owns(a, i)) return ZH_OK;
  scratch->bytes = a->options->sample ? 0 : u->rows * u->row_bytes;
  return take(&a->portraits[i], u, l, scratch->floats) ? ZH_OK : ZH_ERR_MEMORY;
}

/* Half the block, an eighth of the work; the more matrices, the smaller their blocks. Of large
 * models a block's work stands in proportion to the bytes of a matrix, so that the looks take no
 * more than twice the scan's time (docs/audit.md, "Speed"). */
static size_t block_size(size_t matrices, uint64_t bytes) {
  size_t size = ZH_BLOCK_MAX;
  if (bytes < LARGE_BYTES) {
    for (size_t many = 1024; size > 96 && matrices > many; many *= 4) size -= 64;
    return size;
  }
  double share = (double)bytes / (double)matrices / bytes_worth_a_full_block;
  size = share < 1 ? (size_t)(ZH_BLOCK_MAX * cbrt(share)) / 16 * 16 : ZH_BLOCK_MAX;
  return size < 64 ? 64 : size;
}

static double elements_to_look_at(double elements, uint64_t bytes) {
  if (bytes < LARGE_BYTES) return fmax(elements_looked_at, elements / 16);
  return fmin(elements / 32, (double)bytes / 64); /* packed ones cost as much by the number */
}

/* Which matrices, and how much of each: the same on every rank. */
static size_t plan(look *l, const zh_auditor *a) {
  double elements = 0;
  uint64_t bytes = 0;
  size_t matrices = 0;
  for (size_t i = 0; i < a->unit_count; i++) {
    const zh_grid *u = &a->units[i];
    if (!l->looked_at[i]) continue;
    matrices++;
    bytes += u->rows * u->row_bytes;
    elements += (double)u->value_rows * (double)u->value_columns;
    if (u->value_columns > l->columns_max) l->columns_max = (size_t)u->value_columns;
  }
  l->share = elements > 0 ? elements_to_look_at(elements, bytes) / elements : 1;
  l->block_max = matrices > 0 ? block_size(matrices, bytes) : ZH_BLOCK_MAX;
  l->partial_columns = bytes < LARGE_BYTES ? PARTIAL_COLUMNS : FEW_COLUMNS;
  l->sample = a->options->sample ? ROWS_MIN : 0;
  if (l->sample > 0 && l->block_max > ROWS_MIN) l->block_max = ROWS_MIN;
  return matrices;
}

zh_status zh_portraits_take(zh_auditor *a, zh_error *err) {
  look l = {.dense = zh_dense_choose()};
  float *signs = NULL;
  l.looked_at = calloc(a->unit_count + 1, 1);
  a->portraits = calloc(a->unit_count + 1, sizeof *a->portraits);
  zh_status status = l.looked_at != NULL && a->portraits != NULL
                         ? ZH_OK
                         : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the look at the values");
  if (status != ZH_OK) goto done;
  for (size_t i = 0; i < a->unit_count; i++) l.looked_at[i] = is_looked_at(&a->units[i]);
  status = zh_ranks_share_flags(a, l.looked_at, a->unit_count, err);
  if (status != ZH_OK) goto done;
  size_t matrices = plan(&l, a);
  l.signs = signs = malloc((l.columns_max + 1) * sizeof *signs);
  if (signs == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for the look at the values");
  for (size_t c = 0; signs != NULL && c < l.columns_max; c++) signs[c] = sign_of(c);
  int64_t begin = zh_now_ns();
  if (status == ZH_OK && matrices > 0)
    status = zh_each(a, "values", a->unit_count, l.columns_max, take_one, &l, err);
  a->times.values_s = (double)(zh_now_ns() - begin) / 1e9;
  if (status == ZH_OK) status = zh_ranks_share_portraits(a, l.looked_at, l.columns_max, err);
done:
  free(l.looked_at);
  free(signs);
  return status;
}

zh_looked zh_portraits_looked(const zh_auditor *a) {
  zh_looked sum = {0};
  for (size_t i = 0; a->portraits != NULL && i < a->unit_count; i++) {
    const zh_portrait *p = &a->portraits[i];
    if (!p->looked) continue;
    sum.matrices++;
    sum.rows += p->rows.count;
    sum.of_rows += a->units[i].value_rows;
    if (p->block_rows > sum.block) sum.block = p->block_rows;
  }
  return sum;
}

void zh_portraits_free(zh_auditor *a) {
  for (size_t i = 0; a->portraits != NULL && i < a->unit_count; i++) {
    zh_portrait *p = &a->portraits[i];
    free(p->rows.prints);
    free(p->rows.numbers);
    free(p->columns.prints);
    free(p->row_is_constant);
  }
  free(a->portraits);
}
