/* Sampling: definitions and the bound's derivation stand in docs/metrics.md, "Parameters". */
#include "evaluator/audit/sample.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { ROWS_LEAST = 64, ROWS_MOST = 1024 };
static const double bytes_to_look_at = 16e9, doubt = 0.05;

uint64_t zh_sample_rows(const zh_auditor *a, const zh_grid *u) {
  if (!a->options->sample) return u->rows;
  uint64_t wanted = a->options->sample_rows > 0 ? a->options->sample_rows : a->sample_rows;
  return wanted < u->rows ? wanted : u->rows;
}

static bool is_scanned(const zh_grid *u) {
  return u->weights && u->data != NULL && u->rows > 0;
}

/* As many rows of each matrix as some gigabytes of them are, 64 to 1024. */
static uint64_t usual_rows(const zh_auditor *a) {
  double row_bytes = 1;
  for (size_t i = 0; i < a->unit_count; i++)
    if (is_scanned(&a->units[i])) row_bytes += (double)a->units[i].row_bytes;
  double rows = bytes_to_look_at / row_bytes;
  return rows < ROWS_LEAST ? ROWS_LEAST : rows > ROWS_MOST ? ROWS_MOST : (uint64_t)rows;
}

void zh_sample_plan(zh_auditor *a) {
  a->sample_rows = usual_rows(a);
}

/* --- which rows --- */

static uint64_t next(uint64_t *state) { /* splitmix64 */
  uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

uint64_t zh_sample_begin(const zh_auditor *a, uint64_t rows) {
  uint64_t state = a->options->seed ^ (rows * UINT64_C(0xd6e8feb86659fd93));
  (void)next(&state);
  return state;
}

/* Knuth, The Art of Computer Programming, volume 2, 3.4.2, algorithm S. */
bool zh_sample_takes(uint64_t *state, uint64_t row, uint64_t rows, uint64_t taken,
                     uint64_t wanted) {
  if (taken == wanted) return false;
  unsigned __int128 scaled = (unsigned __int128)next(state) * (rows - row);
  return (uint64_t)(scaled >> 64) < wanted - taken;
}

/* --- bounds --- */

static double log_choose(double n, double k) {
  return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1);
}

/* P(at most `hits` in a sample of `seen`) where `bad` of `rows` are of the kind. */
static double at_most(uint64_t hits, uint64_t seen, uint64_t bad, uint64_t rows) {
  double sum = 0, all = log_choose((double)rows, (double)seen);
  for (uint64_t k = 0; k <= hits && k <= bad; k++) {
    if (seen - k > rows - bad) continue;
    sum += exp(log_choose((double)bad, (double)k) +
               log_choose((double)(rows - bad), (double)(seen - k)) - all);
  }
  return sum;
}

uint64_t zh_sample_most(uint64_t hits, uint64_t seen, uint64_t rows) {
  uint64_t low = hits, high = rows - (seen - hits); /* at_most falls as bad rows grow */
  while (low < high) {
    uint64_t middle = low + (high - low + 1) / 2;
    if (at_most(hits, seen, middle, rows) > doubt)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

/* --- what follows --- */

static uint64_t share_of(uint64_t elements, uint64_t part, uint64_t all) {
  return (uint64_t)((unsigned __int128)elements * part / all);
}

/* All rows of the sample hold one number, which is not zero. */
static zh_status report_constant(zh_auditor *a, zh_grid *u, zh_error *err) {
  zh_audit_finding *f = zh_found(a, ZH_FOUND_constant_tensor, zh_grid_name(a, u),
                                 zh_cover_unit(u, ZH_MEASURED), 0.97);
  if (f == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for findings");
  f->variant = "nearly";
  zh_found_slot(f, "value", zh_arena_printf(a->arena, "%.6g", u->value));
  zh_found_slot(f, "spread", "0");
  return ZH_OK;
}

/* Rows that are zero: those seen are proved, the estimate is measured, the bound is presumed. Of
 * matrices without one, the bound for all together is -ln 0.05 times the largest weight of a row
 * that was looked at: the chance to see none falls by at least exp(-1 / that weight) with each
 * parameter in such rows, wherever they are. */
zh_status zh_find_sampled(zh_auditor *a, zh_error *err) {
  double weight = 0;
  if (!a->options->sample) return ZH_OK;
  for (size_t i = 0; i < a->unit_count; i++) {
    zh_grid *u = &a->units[i];
    if (!is_scanned(u)) continue;
    a->sampled_rows += u->rows_seen;
    a->sampled_bytes += u->rows_seen * u->row_bytes;
    a->all_rows += u->rows;
    a->all_bytes += u->rows * u->row_bytes;
    if (u->rows_seen == u->rows || u->rows_seen == 0 || zh_is_small_vector(u)) continue;
    if (u->constant_in_sample && u->zero_rows == 0) ZH_TRY(report_constant(a, u, err));
    if (u->zero_rows == 0) weight = fmax(weight, (double)u->parameters / (double)u->rows_seen);
    if (u->zero_rows == 0) continue;
    uint64_t most = zh_sample_most(u->zero_rows, u->rows_seen, u->rows);
    zh_cover_estimate(u, share_of(u->elements, u->zero_rows, u->rows_seen), ZH_MEASURED);
    zh_cover_estimate(u, share_of(u->elements, most, u->rows), ZH_PRESUMED);
  }
  a->unseen = (uint64_t)ceil(-log(doubt) * weight);
  return ZH_OK;
}

static uint64_t stored_of(const zh_auditor *a) {
  uint64_t sum = 0;
  for (size_t i = 0; i < a->unit_count; i++)
    if (a->units[i].weights) sum += a->units[i].parameters;
  return sum > 0 ? sum : 1;
}

json_t *zh_sample_json(const zh_auditor *a) {
  char seed[24];
  snprintf(seed, sizeof seed, "0x%016" PRIx64, a->options->seed);
  return json_pack("{s:I, s:I, s:I, s:I, s:s, s:f, s:{s:I, s:f}}", "rows",
                   (json_int_t)a->sampled_rows, "of_rows", (json_int_t)a->all_rows, "bytes",
                   (json_int_t)a->sampled_bytes, "of_bytes", (json_int_t)a->all_bytes, "seed", seed,
                   "confidence", 1 - doubt, "unseen", "parameters", (json_int_t)a->unseen, "share",
                   (double)a->unseen / (double)stored_of(a));
}
