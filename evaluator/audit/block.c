/* Two questions to a block of a matrix: could its values be independent draws of one distribution,
 * as initialisation leaves them, and does its spectrum end before its size does. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/audit/portrait.h"

/* Heavy tails are cut at three deviations: independence stays, and the tests' variances exist. */
static void centre_and_clip(float *y, size_t count) {
  double sum = 0, squares = 0;
  for (size_t i = 0; i < count; i++) sum += (double)y[i];
  double mean = sum / (double)count;
  for (size_t i = 0; i < count; i++) {
    y[i] = (float)((double)y[i] - mean);
    squares += (double)y[i] * (double)y[i];
  }
  for (int pass = 0; pass < 3; pass++) {
    float edge = (float)(3 * sqrt(squares / (double)count));
    squares = sum = 0;
    for (size_t i = 0; i < count; i++) {
      y[i] = y[i] > edge ? edge : y[i] < -edge ? -edge : y[i];
      squares += (double)y[i] * (double)y[i];
      sum += (double)y[i];
    }
  }
  mean = sum / (double)count;
  for (size_t i = 0; i < count; i++) y[i] = (float)((double)y[i] - mean);
}

/* How far the variance of the lines' means is from what independence gives, in its own deviations.
 */
static double spread_of_means(const double *sums, size_t lines, size_t length, double variance) {
  double mean = 0, squares = 0;
  for (size_t i = 0; i < lines; i++) mean += sums[i] / (double)length;
  mean /= (double)lines;
  for (size_t i = 0; i < lines; i++) {
    double apart = sums[i] / (double)length - mean;
    squares += apart * apart;
  }
  double ratio = squares / (double)(lines - 1) / (variance / (double)length);
  return (ratio - 1) / sqrt(2.0 / (double)(lines - 1));
}

/* z-scores of rows and columns, for values (power 1) or their squares (power 2). */
static void spread(double z[2], const float *y, size_t rows, size_t columns, int power,
                   double *sums) {
  double *down = sums, *across = sums + rows, total = 0, squares = 0;
  memset(sums, 0, (rows + columns) * sizeof *sums);
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) {
      double value = (double)y[r * columns + c];
      if (power == 2) value *= value;
      down[r] += value;
      across[c] += value;
      total += value;
      squares += value * value;
    }
  double count = (double)(rows * columns), mean = total / count;
  double variance = squares / count - mean * mean;
  z[0] = z[1] = INFINITY;
  if (!(variance > 0)) return;
  z[0] = spread_of_means(down, rows, columns, variance);
  z[1] = spread_of_means(across, columns, rows, variance);
}

/* The largest singular value against Marchenko and Pastur's edge, in units of the fluctuation that
 * Tracy and Widom give (Johnstone 2001; mean and deviation of their law for real matrices). */
static double edge(double largest, double variance, size_t rows, size_t columns) {
  double r = sqrt((double)rows - 0.5), c = sqrt((double)columns - 0.5);
  double centre = (r + c) * (r + c), scale = (r + c) * cbrt(1 / r + 1 / c);
  return ((largest * largest / variance - centre) / scale + 1.2065) / 1.268;
}

/* y: the block, turned where it was higher than wide. */
static void depart(zh_portrait *p, const float *y, bool turned, const double *singular, size_t rows,
                   size_t columns, double *sums) {
  static const int of_turned[] = {ZH_SCORE_EDGE, ZH_SCORE_COLUMN_MEANS, ZH_SCORE_ROW_MEANS,
                                  ZH_SCORE_COLUMN_SIZES, ZH_SCORE_ROW_SIZES};
  double squares = 0, z[ZH_SCORES];
  for (size_t i = 0; i < rows * columns; i++) squares += (double)y[i] * (double)y[i];
  double variance = squares / (double)(rows * columns);
  p->departure = INFINITY;
  if (!(variance > 0)) return;
  z[0] = edge(singular[0], variance, rows, columns);
  spread(z + 1, y, rows, columns, 1, sums);
  spread(z + 3, y, rows, columns, 2, sums);
  p->departure = z[0];
  for (int i = 0; i < ZH_SCORES; i++) {
    p->scores[turned ? of_turned[i] : i] = z[i];
    if (z[i] > p->departure) p->departure = z[i];
    p->departures += z[i] < 50 ? z[i] : 50;
  }
}

/* Where the spectrum ends. Trained matrices run out slowly; thresholds and what trained ones reach:
 * docs/audit.md. */
static void find_rank(zh_portrait *p, const double *s, size_t n) {
  static const double rest_max = 0.03, fall_min = 3;
  double total = 0, kept = 0, best = 0;
  for (size_t i = 0; i < n; i++) total += s[i] * s[i];
  if (!(total > 0)) return;
  for (size_t r = 1; r <= n * 3 / 5; r++) {
    kept += s[r - 1] * s[r - 1];
    double rest = 1 - kept / total, fall = s[r] > 0 ? s[r - 1] / s[r] : INFINITY;
    if (rest < 0) rest = 0;
    if (rest >= rest_max) continue;
    if (r <= n / 8 && p->rank == 0) {
      p->rank = r;
      p->rest = rest;
    }
    if (fall < fall_min || fall <= best) continue;
    best = fall;
    p->cliff = true;
    p->rank = r;
    p->rest = rest;
    if (rest < 1e-9) return; /* nothing is left whose end could be told from rounding */
  }
}

static void transpose(float *out, const float *in, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) out[c * rows + r] = in[r * columns + c];
}

bool zh_block_test(zh_portrait *p, float *block, size_t rows, size_t columns) {
  size_t count = rows * columns, n = rows < columns ? rows : columns;
  size_t most = rows > columns ? rows : columns;
  float *wide = calloc(count, sizeof *wide);
  double *numbers = malloc((rows + columns + n) * sizeof *numbers), *sums = numbers + n;
  bool done = wide != NULL && numbers != NULL;
  if (done && rows <= columns) memcpy(wide, block, count * sizeof *wide);
  if (done && rows > columns) transpose(wide, block, rows, columns);
  done = done && zh_singular_values(numbers, n, wide, n, most);
  if (done) find_rank(p, numbers, n);
  if (done) {
    centre_and_clip(wide, count);
    done = zh_singular_values(numbers, 1, wide, n, most); /* its edge alone is asked for */
  }
  if (done) depart(p, wide, rows > columns, numbers, n, most, sums);
  p->block_rows = rows;
  p->block_columns = columns;
  free(wide);
  free(numbers);
  return done;
}
