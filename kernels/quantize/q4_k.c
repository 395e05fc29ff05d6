/* 256 weights as Q4_K, by least squares: weight ≈ d s q - e m, with quanta q of 4 bits, a scale s
 * and a minimum m of 6 bits for each run of 32, and d, e in f16.
 *
 * First each run by itself with real scale and minimum: quanta from ranges a little wider and
 * narrower than the run's own, then scale and minimum that fit these quanta best, then quanta
 * again, as long as it helps. Then scales and minima become multiples of d and e: for every run the
 * pair of neighbours that errs least is looked for, and d and e are fitted to all quanta. */
#include "kernels/quantize/quantize.h"

#include <math.h>
#include <string.h>

enum { RUN = 32, RUNS = 8, MOST = 15, SIX_BITS = 63, WIDTHS = 21, ROUNDS = 4, REFITS = 3 };

typedef struct run {
  float scale, minimum; /* a weight is scale * q - minimum */
  float error;          /* sum of squares */
  uint8_t q[RUN];
} run;

static int nearest(float value) {
  float low = value < 0 ? 0 : value;
  return (int)((low > MOST ? MOST : low) + 0.5f);
}

/* Quanta for a scale and a minimum, and how much they err; four sums, so that vectors can. */
static void quantise(run *r, const float *x) {
  float inverse = r->scale > 0 ? 1 / r->scale : 0, error[4] = {0};
  int q[RUN];
  for (int i = 0; i < RUN; i++) q[i] = nearest((x[i] + r->minimum) * inverse);
  for (int i = 0; i < RUN; i += 4)
    for (int k = 0; k < 4; k++) {
      float off = r->scale * (float)q[i + k] - r->minimum - x[i + k];
      error[k] += off * off;
    }
  for (int i = 0; i < RUN; i++) r->q[i] = (uint8_t)q[i];
  r->error = (error[0] + error[1]) + (error[2] + error[3]);
}

/* Scale and minimum that err least with these quanta; neither may be negative. */
static void fit(run *r, const float *x) {
  int whole = 0, squares = 0;
  float part[4] = {0}, total[4] = {0};
  for (int i = 0; i < RUN; i++) whole += r->q[i];
  for (int i = 0; i < RUN; i++) squares += r->q[i] * r->q[i];
  for (int i = 0; i < RUN; i += 4)
    for (int k = 0; k < 4; k++) {
      part[k] += (float)r->q[i + k] * x[i + k];
      total[k] += x[i + k];
    }
  float q = (float)whole, qq = (float)squares;
  float qx = (part[0] + part[1]) + (part[2] + part[3]);
  float sum = (total[0] + total[1]) + (total[2] + total[3]);
  float determinant = RUN * qq - q * q;
  if (determinant > 0) r->scale = (RUN * qx - q * sum) / determinant;
  r->minimum = (r->scale * q - sum) / RUN;
  if (determinant <= 0 || r->minimum < 0) {
    r->minimum = determinant <= 0 && sum < 0 ? -sum / RUN : 0;
    r->scale = qq > 0 && r->minimum == 0 ? qx / qq : 0;
  }
  if (r->scale < 0) r->scale = 0;
}

static run best_of_run(const float *x) {
  float low = 0, high = x[0];
  for (int i = 0; i < RUN; i++) {
    low = fminf(low, x[i]);
    high = fmaxf(high, x[i]);
  }
  run best = {.scale = 0, .minimum = -low};
  quantise(&best, x);
  if (!(high > low)) return best;
  for (int width = 0; width < WIDTHS; width++) {
    run r = {.scale = (high - low) / (MOST - 1 + 0.1f * (float)width), .minimum = -low};
    quantise(&r, x);
    for (int round = 0; round < ROUNDS; round++) {
      run next = r;
      fit(&next, x);
      quantise(&next, x);
      if (!(next.error < r.error)) break;
      r = next;
    }
    if (r.error < best.error) best = r;
  }
  return best;
}

/* --- all runs together --- */

typedef struct block {
  float d, e; /* as f16 has them */
  uint8_t scale[RUNS], minimum[RUNS];
  run runs[RUNS];
  float error;
} block;

static float as_half(float value) {
  return zh_f16_to_f32(zh_f32_to_f16(value));
}

/* The integer and its neighbours, within six bits. */
static int clipped(float value) {
  return value > 0 ? (value < SIX_BITS ? (int)(value + 0.5f) : SIX_BITS) : 0;
}

static void choose_pair(block *b, int j, const float *x, const run *wanted) {
  int scale = b->d > 0 ? clipped(wanted->scale / b->d) : 0,
      minimum = b->e > 0 ? clipped(wanted->minimum / b->e) : 0;
  b->runs[j].error = INFINITY;
  for (int s = scale - 1; s <= scale + 1; s++)
    for (int m = minimum - 1; m <= minimum + 1; m++) {
      if (s < 0 || s > SIX_BITS || m < 0 || m > SIX_BITS) continue;
      run r = {.scale = b->d * (float)s, .minimum = b->e * (float)m};
      quantise(&r, x);
      if (!(r.error < b->runs[j].error)) continue;
      b->runs[j] = r;
      b->scale[j] = (uint8_t)s;
      b->minimum[j] = (uint8_t)m;
    }
}

static void choose_pairs(block *b, const float *x, const run wanted[RUNS]) {
  b->error = 0;
  for (int j = 0; j < RUNS; j++) {
    choose_pair(b, j, x + RUN * j, &wanted[j]);
    b->error += b->runs[j].error;
  }
}

/* d and e that err least with these quanta, scales and minima: weight ≈ d a - e m, a = s q. */
static void refit(block *b, const float *x) {
  double aa = 0, am = 0, mm = 0, ax = 0, mx = 0;
  for (int j = 0; j < RUNS; j++)
    for (int i = 0; i < RUN; i++) {
      double a = (double)b->scale[j] * b->runs[j].q[i], m = b->minimum[j], v = x[RUN * j + i];
      aa += a * a;
      am += a * m;
      mm += m * m;
      ax += a * v;
      mx += m * v;
    }
  double determinant = aa * mm - am * am;
  double d = determinant > 0 ? (ax * mm - am * mx) / determinant : aa > 0 ? ax / aa : b->d;
  double e = determinant > 0 ? (am * ax - aa * mx) / determinant : b->e;
  b->d = as_half((float)fmax(d, 0));
  b->e = as_half((float)fmax(e, 0));
}

/* zh_k_scale_minimum the other way. */
static void put_pairs(uint8_t *p, const block *b) {
  memset(p, 0, 12);
  for (int j = 0; j < 4; j++) {
    const uint8_t upper_scale = b->scale[j + 4], upper_minimum = b->minimum[j + 4];
    p[j] = (uint8_t)(b->scale[j] | upper_scale >> 4 << 6);
    p[j + 4] = (uint8_t)(b->minimum[j] | upper_minimum >> 4 << 6);
    p[j + 8] = (uint8_t)((upper_scale & 15) | upper_minimum << 4);
  }
}

static void put_block(uint8_t *p, const block *b) {
  uint16_t halves[2] = {zh_f32_to_f16(b->d), zh_f32_to_f16(b->e)};
  memcpy(p, halves, sizeof halves);
  put_pairs(p + 4, b);
  for (int pair = 0; pair < RUNS / 2; pair++)
    for (int i = 0; i < RUN; i++)
      p[16 + RUN * pair + i] = (uint8_t)(b->runs[2 * pair].q[i] | b->runs[2 * pair + 1].q[i] << 4);
}

bool zh_quantize_q4_k(uint8_t *out, const float *x) {
  run wanted[RUNS];
  float most_scale = 0, most_minimum = 0;
  for (int j = 0; j < RUNS; j++) {
    wanted[j] = best_of_run(x + RUN * j);
    most_scale = fmaxf(most_scale, wanted[j].scale);
    most_minimum = fmaxf(most_minimum, wanted[j].minimum);
  }
  block best = {.d = as_half(most_scale / SIX_BITS), .e = as_half(most_minimum / SIX_BITS)};
  choose_pairs(&best, x, wanted);
  for (int i = 0; i < REFITS; i++) {
    block next = best;
    refit(&next, x);
    choose_pairs(&next, x, wanted);
    if (!(next.error < best.error)) break;
    best = next;
  }
  put_block(out, &best);
  return isfinite(best.d) && isfinite(best.e);
}
