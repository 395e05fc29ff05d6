"""Writes tests/golden/statistics/statsmodels.json: answers of statsmodels, which the tests need not have installed.

    pip install numpy==2.4.6 scipy==1.17.1 statsmodels==0.15.0
    python tests/oracle/make_statsmodels_answers.py > tests/golden/statistics/statsmodels.json
"""
import json
import math

import numpy
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import (confint_proportions_2indep, proportion_confint,
                                          samplesize_proportions_2indep_onetail)

cases = []


def case(name, method, given, want, bound=1e-10):
    given = {key: value if isinstance(value, str) else repr(value) for key, value in given.items()}
    cases.append({"name": name, "method": method, "given": given, "want": want, "bound": bound})


def row(values):
    return ",".join(repr(float(value)) for value in values)


for k, n in ((1, 30), (40, 50), (11582 - 3000, 11582)):
    low, high = proportion_confint(k, n, method="wilson")
    case(f"wilson {k}/{n}", "wilson", {"k": k, "n": n}, {"low": float(low), "high": float(high)})

for k1, n1, k2, n2 in ((56, 70, 48, 80), (1100, 1346, 1000, 1319), (3, 164, 9, 164)):
    low, high = confint_proportions_2indep(k1, n1, k2, n2, method="newcomb", compare="diff")
    case(f"newcombe {k1}/{n1} {k2}/{n2}", "newcombe", {"k1": k1, "n1": n1, "k2": k2, "n2": n2},
         {"low": float(low), "high": float(high)}, 1e-7)

for b, c in ((3, 11), (120, 95)):
    case(f"mcnemar {b} {c}", "mcnemar", {"b": b, "c": c}, {"p_exact": float(mcnemar([[10, b], [c, 10]], exact=True).pvalue)})

rng = numpy.random.default_rng(20261122)
p = rng.random(12) ** 3
for method, name in (("holm", "holm"), ("fdr_bh", "bh")):
    reject, adjusted = multipletests(p, 0.05, method)[:2]
    case(name, name, {"p": row(p)}, {"adjusted": adjusted.tolist(), "rejected": reject.tolist()})

clusters = numpy.repeat(numpy.arange(14), 5)
a = rng.random(70) < 0.7 + 0.2 * rng.standard_normal(14)[clusters]
b = rng.random(70) < 0.6
fit = OLS(a.astype(float) - b, numpy.ones(70)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
case("paired with clusters", "paired", {"a": row(a), "b": row(b), "cluster": row(clusters)},
     {"difference": float(fit.params[0]), "se": float(fit.bse[0]), "t": float(fit.tvalues[0]), "p_two_sided": float(fit.pvalues[0])})

for p1, p2 in ((0.85, 0.84), (0.6, 0.5), (0.3, 0.1)):
    items = samplesize_proportions_2indep_onetail(p1 - p2, p2, 0.8, ratio=1, alpha=0.05)
    case(f"items {p1} {p2}", "items-two", {"p1": p1, "p2": p2, "sides": 2}, {"items": math.ceil(items)})

print(json.dumps(cases, indent=1))
