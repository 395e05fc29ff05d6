/* Bodies of zh_dense; the including file sets the instruction set and names the table. */
#ifndef ZH_DENSE_TABLE
#error "define ZH_DENSE_TABLE as the name of the table"
#endif

#include <math.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "evaluator/audit/dense.h"

enum { LANES = 16, AHEAD = 16 << 10 /* bytes prefetched into the second-level cache */ };

static double sum_of(const double lanes[LANES]) {
  double sum = 0;
  for (int l = 0; l < LANES; l++) sum += lanes[l];
  return sum;
}

#if defined(__AVX512BW__) || defined(__AVX2__)
#include <immintrin.h>
#endif

/* Sums modulo 2^32, so in any order. */
static void add_moments(uint32_t moments[2], const unsigned char *bytes, size_t length) {
  uint32_t sum = 0, squares = 0;
#if defined(__AVX512BW__)
  __m512i sums = _mm512_setzero_si512(), products = sums, ones = _mm512_set1_epi16(1);
  for (; length >= 64; bytes += 64, length -= 64) {
    __builtin_prefetch(bytes + AHEAD, 0, 2);
    __m512i x = _mm512_loadu_si512(bytes);
    sums = _mm512_add_epi32(sums, _mm512_madd_epi16(x, ones));
    products = _mm512_add_epi32(products, _mm512_madd_epi16(x, x));
  }
  sum = (uint32_t)_mm512_reduce_add_epi32(sums);
  squares = (uint32_t)_mm512_reduce_add_epi32(products);
#elif defined(__AVX2__)
  __m256i sums = _mm256_setzero_si256(), products = sums, ones = _mm256_set1_epi16(1);
  uint32_t lanes[2][8];
  for (; length >= 32; bytes += 32, length -= 32) {
    __builtin_prefetch(bytes + AHEAD, 0, 2);
    __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)bytes);
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(x, ones));
    products = _mm256_add_epi32(products, _mm256_madd_epi16(x, x));
  }
  _mm256_storeu_si256((__m256i *)(void *)lanes[0], sums);
  _mm256_storeu_si256((__m256i *)(void *)lanes[1], products);
  for (int l = 0; l < 8; l++) {
    sum += lanes[0][l];
    squares += lanes[1][l];
  }
#endif
  const int16_t *halves = (const int16_t *)(const void *)bytes;
  for (size_t i = 0; i < length / 2; i++) {
    int value = halves[i];
    sum += (uint32_t)value;
    squares += (uint32_t)(value * value);
  }
  moments[0] += sum;
  moments[1] += squares;
}

/* What lies ahead is asked for while something is computed: in the moments' loop, else row by row.
 */
static void hash_rows(uint64_t *hashes, uint32_t moments[2], const unsigned char *bytes,
                      size_t row_bytes, size_t rows, bool halves) {
  for (size_t i = 0; i < rows; i++, bytes += row_bytes) {
    if (halves)
      add_moments(moments, bytes, row_bytes);
    else
      for (size_t k = 0; k < row_bytes; k += 64) __builtin_prefetch(bytes + AHEAD + k, 0, 2);
    hashes[i] = XXH3_64bits(bytes, row_bytes);
  }
}

static uint64_t read_all(const unsigned char *bytes, size_t length) {
  uint64_t lanes[32] = {0}, words[32], sum = 0;
  for (size_t i = 0; i + sizeof words <= length; i += sizeof words) {
    memcpy(words, bytes + i, sizeof words);
    for (size_t l = 0; l < 32; l++) lanes[l] += words[l];
  }
  for (size_t l = 0; l < 32; l++) sum += lanes[l];
  return sum;
}

static void look(float bins[ZH_PRINT_BINS], double sums[2], const float *row, const float *signs,
                 size_t columns) {
  double total[LANES] = {0}, squares[LANES] = {0};
  float sum[ZH_PRINT_BINS];
  size_t c = 0;
  memcpy(sum, bins, sizeof sum);
  for (; c + ZH_PRINT_BINS <= columns; c += ZH_PRINT_BINS) {
    for (size_t l = 0; l < ZH_PRINT_BINS; l++) sum[l] += signs[c + l] * row[c + l];
    for (size_t k = 0; k < ZH_PRINT_BINS; k += LANES)
      for (size_t l = 0; l < LANES; l++) {
        double value = (double)row[c + k + l];
        total[l] += value;
        squares[l] += value * value;
      }
  }
  for (; c < columns; c++) {
    double value = (double)row[c];
    sum[c % ZH_PRINT_BINS] += signs[c] * row[c];
    total[c % LANES] += value;
    squares[c % LANES] += value * value;
  }
  memcpy(bins, sum, sizeof sum);
  sums[0] = sum_of(total);
  sums[1] = sum_of(squares);
}

static void add_columns(float *bin, const float *row, float sign, size_t columns) {
  for (size_t c = 0; c < columns; c++) bin[c] += sign * row[c];
}

static double squares_of(const float *row, size_t columns) {
  double lanes[LANES] = {0};
  size_t c = 0;
  for (; c + LANES <= columns; c += LANES)
    for (size_t l = 0; l < LANES; l++) lanes[l] += (double)row[c + l] * (double)row[c + l];
  for (; c < columns; c++) lanes[c % LANES] += (double)row[c] * (double)row[c];
  return sum_of(lanes);
}

static void bf16(float *out, const unsigned char *in, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    uint32_t word;
    memcpy(&half, in + 2 * i, sizeof half);
    word = (uint32_t)half << 16;
    memcpy(out + i, &word, sizeof word);
  }
}

static double dot(const double *x, const double *y, size_t count) {
  double lanes[LANES] = {0};
  size_t i = 0;
  for (; i + LANES <= count; i += LANES)
    for (size_t l = 0; l < LANES; l++) lanes[l] += x[i + l] * y[i + l];
  for (; i < count; i++) lanes[i % LANES] += x[i] * y[i];
  return sum_of(lanes);
}

static void gram(double *g, const double *a, size_t rows, size_t columns) {
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j <= i; j++)
      g[i * rows + j] = g[j * rows + i] = dot(a + i * columns, a + j * columns, columns);
}

/* Householder (Golub and Van Loan, 8.3). */
static void tridiagonal(double *d, double *e, double *g, double *p, size_t n) {
  for (size_t k = 0; k + 2 < n; k++) {
    double *v = g + k * n; /* row k right of the diagonal is the column below it */
    size_t first = k + 1, count = n - first;
    double norm = sqrt(dot(v + first, v + first, count)), along = 0;
    d[k] = v[k];
    e[k] = v[first] > 0 ? -norm : norm;
    if (norm == 0) continue;
    v[first] -= e[k];
    double scale = dot(v + first, v + first, count);
    if (scale == 0) continue;
    for (size_t i = first; i < n; i++) {
      p[i] = 2 * dot(g + i * n + first, v + first, count) / scale;
      along += p[i] * v[i];
    }
    for (size_t i = first; i < n; i++) p[i] -= along / scale * v[i];
    for (size_t i = first; i < n; i++) {
      double *row = g + i * n, vi = v[i], pi = p[i];
      for (size_t j = first; j < n; j++) row[j] -= vi * p[j] + pi * v[j];
    }
  }
  if (n >= 2) {
    d[n - 2] = g[(n - 2) * n + n - 2];
    e[n - 2] = g[(n - 2) * n + n - 1];
  }
  d[n - 1] = g[n * n - 1];
}

static void sturm(int64_t below[ZH_STURM_LANES], const double *x, const double *d,
                  const double *squares, size_t n, double tiny) {
  double q[ZH_STURM_LANES];
  int64_t count[ZH_STURM_LANES] = {0};
  for (size_t l = 0; l < ZH_STURM_LANES; l++) q[l] = d[0] - x[l];
  for (size_t i = 0;; i++) {
    for (size_t l = 0; l < ZH_STURM_LANES; l++) count[l] += q[l] < 0;
    if (i + 1 == n) break;
    for (size_t l = 0; l < ZH_STURM_LANES; l++) {
      double least = q[l] < 0 ? -tiny : tiny;
      double divisor = fabs(q[l]) < tiny ? least : q[l];
      q[l] = d[i + 1] - x[l] - squares[i] / divisor;
    }
  }
  memcpy(below, count, sizeof count);
}

const zh_dense ZH_DENSE_TABLE = {hash_rows, read_all, look,        add_columns, squares_of,
                                 bf16,      gram,     tridiagonal, sturm};
