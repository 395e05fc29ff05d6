#!/usr/bin/env python3
"""Writes tests/unit/core/statistics_vectors.inc: samples with numpy's percentiles, means and standard
deviations, and scipy's exact binomial ranks of the 95 % interval of the median.

    .venv/bin/python scripts/make-statistics-vectors.py > tests/unit/core/statistics_vectors.inc
"""
import numpy
from scipy.stats import binom

PERCENTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1)

rng = numpy.random.default_rng(20261121)
series = [[3.5], [1, 2], [2, 1, 3], [7] * 5, list(rng.normal(100, 1, 6)), list(rng.exponential(1e-3, 17)),
          list(rng.normal(2.1e10, 1e8, 30)), list(1e9 + rng.random(9))]

print("/* Made by scripts/make-statistics-vectors.py; do not edit. */")
print("static const double percentiles_of[] = {" + ", ".join(map(repr, PERCENTILES)) + "};")
print("static const struct {\n  size_t count;\n  double values[30], percentiles[10], mean, stdev;\n} series[] = {")
for values in series:
    values = [float(v) for v in values]
    stdev = float(numpy.std(values, ddof=1)) if len(values) > 1 else 0.0
    rows = [", ".join(map(repr, map(float, row))) for row in (values, numpy.percentile(values, [100 * p for p in PERCENTILES]))]
    print(f"    {{{len(values)},\n     {{{rows[0]}}},\n     {{{rows[1]}}},\n     {float(numpy.mean(values))!r}, {stdev!r}}},")
print("};")
# Rank k (from 1) of the lower end: the largest with P(B(n, 1/2) < k) <= 2.5 %, at least 1.
ranks = [max(1, int(max(k for k in range(0, n + 1) if binom.cdf(k - 1, n, 0.5) <= 0.025))) for n in range(1, 201)]
print("/* For 1 … 200 samples. */\nstatic const int lower_ranks[] = {")
for at in range(0, len(ranks), 20):
    print("    " + ", ".join(map(str, ranks[at:at + 20])) + ",")
print("};")
