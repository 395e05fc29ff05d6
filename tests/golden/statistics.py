"""`zhiheng stats` against scipy, statsmodels' recorded answers, and worked examples of the papers that it names."""
import json
import os
import re
import subprocess
import sys
from fractions import Fraction
from math import comb
from pathlib import Path

import numpy
import pytest
from scipy import stats as scipy_stats

sys.path.append(str(Path(__file__).parent))
from score_interval import tango  # noqa: E402

ZHIHENG = os.path.join(os.environ["ZH_BINARY_DIR"], "bin", "zhiheng")
SOURCE = Path(os.environ["ZH_SOURCE_DIR"])
GOLDEN = json.loads((Path(__file__).parent / "statistics" / "statsmodels.json").read_text())


def ask(name, **given):
    words = [f"{key}={value}" for key, value in given.items()]
    done = subprocess.run([ZHIHENG, "stats", name, *words, "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def row(values):
    return ",".join(repr(float(value)) for value in values)


def near(got, want, bound=1e-12):
    assert got == pytest.approx(want, rel=bound, abs=1e-300), f"{got!r} is not {want!r}"


# --- distribution functions: 1e-12 of scipy; the tails are compared as tails ---

@pytest.mark.parametrize("t, df", [(-0.5, 1), (-2.5, 3.5), (-12, 9), (-1.96, 1e6), (-40, 29), (-3, 0.7), (-1e-9, 5), (-250, 4)])
def test_t_cdf(t, df):
    near(ask("t-cdf", t=t, df=df)["value"], scipy_stats.t.cdf(t, df))


@pytest.mark.parametrize("p, df", [(0.025, 1), (0.05, 9), (0.001, 3.5), (0.975, 29), (0.5, 7), (1e-12, 12), (0.4999, 1e5), (0.05, 0.6)])
def test_t_quantile(p, df):
    near(ask("t-quantile", p=p, df=df)["value"], scipy_stats.t.ppf(p, df), 2e-12)


@pytest.mark.parametrize("p", [1e-300, 1e-12, 0.02425, 0.05, 0.4, 0.975, 1 - 1e-12])
def test_normal(p):
    x = scipy_stats.norm.ppf(p)
    near(ask("normal-quantile", p=repr(p))["value"], x)
    near(ask("normal-cdf", x=repr(float(x)))["value"], scipy_stats.norm.cdf(x))


@pytest.mark.parametrize("k, n", [(0, 5), (3, 10), (480, 1000), (4_900, 10_000), (10, 1_000_000), (123_456, 250_000)])
def test_binomial_against_exact_sums(k, n):
    if n <= 10_000:
        want = float(Fraction(sum(comb(n, i) for i in range(k + 1)), 2**n))
        near(ask("binomial-cdf", k=k, n=n, p=0.5)["value"], want)
        near(ask("binomial-pmf", k=k, n=n, p=0.5)["value"], float(Fraction(comb(n, k), 2**n)))
    p = 0.7 * k / n + 1e-5
    near(ask("binomial-pmf", k=k, n=n, p=p)["value"], scipy_stats.binom.pmf(k, n, p), 1e-10)
    near(ask("binomial-cdf", k=k, n=n, p=p)["value"], scipy_stats.binom.cdf(k, n, p), 1e-10)


@pytest.mark.parametrize("x, a, b", [(0.3, 2, 5), (0.5, 0.5, 0.5), (1e-8, 3, 4), (0.999, 40, 0.3), (0.2, 1e4, 5e4), (0.9, 1e-3, 2)])
def test_beta(x, a, b):
    near(ask("beta-cdf", x=x, a=a, b=b)["value"], scipy_stats.beta.cdf(x, a, b), 5e-12)


# --- shares ---

@pytest.mark.parametrize("b, c", [(1, 7), (5, 12), (0, 9), (6, 6), (40, 25), (900, 1000)])
def test_mcnemar(b, c):
    got, n = ask("mcnemar", b=b, c=c), b + c
    below = Fraction(sum(comb(n, i) for i in range(min(b, c) + 1)), 2**n)
    at = Fraction(comb(n, b), 2**n)
    near(got["p_exact"], scipy_stats.binomtest(b, n).pvalue)
    near(got["p_mid"], float(1 - at / 2 if b == c else 2 * below - at))
    greater = Fraction(sum(comb(n, i) for i in range(b, n + 1)), 2**n)
    near(got["p_exact_greater"], float(greater))
    near(got["p_mid_greater"], float(greater - at / 2))


def test_the_example_of_fagerland():
    """Fagerland et al. 2013, airway hyper-responsiveness: 1 and 7 discordant pairs."""
    got = ask("mcnemar", b=1, c=7)
    assert (round(got["p_exact"], 3), round(got["p_mid"], 3)) == (0.070, 0.039)


@pytest.mark.parametrize("k, n", [(40, 50), (0, 10), (10, 10), (1, 1), (7_000, 14_042)])
@pytest.mark.parametrize("confidence", [0.95, 0.9])
def test_wilson(k, n, confidence):
    got = ask("wilson", k=k, n=n, confidence=confidence)
    want = scipy_stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert got["low"] == pytest.approx(want.low, abs=1e-13) and got["high"] == pytest.approx(want.high, abs=1e-13)


# Newcombe 1998 (Statistics in Medicine 17, 873-890), table II, method 10.
@pytest.mark.parametrize("k1, n1, k2, n2, low, high", [
    (56, 70, 48, 80, 0.0524, 0.3339), (9, 10, 3, 10, 0.1705, 0.8090), (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926), (0, 10, 0, 20, -0.1611, 0.2775), (0, 10, 0, 10, -0.2775, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0), (10, 10, 0, 10, 0.6075, 1.0)])
def test_the_examples_of_newcombe(k1, n1, k2, n2, low, high):
    got = ask("newcombe", k1=k1, n1=n1, k2=k2, n2=n2)
    assert (round(got["low"], 4), round(got["high"], 4)) == (low, high)


def test_paired_newcombe():
    """Newcombe 1998 (Statistics in Medicine 17, 2635-2650): 36, 12, 2, 0 of 50; method 10 gives 0.0569 to 0.3404."""
    got = ask("newcombe-paired", a=36, b=12, c=2, d=0)
    assert (round(got["low"], 4), round(got["high"], 4)) == (0.0569, 0.3404)


@pytest.mark.parametrize("b, c, n", [(0, 1, 300), (0, 0, 300), (3, 0, 1000), (1, 4, 500), (12, 25, 1346), (30, 9, 60), (5, 5, 10), (2.5, 0.25, 40)])
@pytest.mark.parametrize("confidence", [0.95, 0.9])
def test_tango_by_root_finding(b, c, n, confidence):
    got = ask("tango", b=b, c=c, n=n, confidence=confidence)
    assert [got["low"], got["high"]] == pytest.approx(tango(b, c, n, confidence), abs=1e-9)
    assert got["difference"] == pytest.approx((b - c) / n)


@pytest.mark.parametrize("b, c, n, low, high", [(1, 7, 21, -0.517, -0.026), (6, 16, 161, -0.1240, -0.0054)])
def test_the_examples_of_tangos_interval(b, c, n, low, high):
    """Fagerland, Lydersen, Laake 2017 (Statistical Analysis of Contingency Tables, chapter 8): airway
    hyper-responsiveness, and complete response before and after consolidation."""
    got = ask("tango", b=b, c=c, n=n)
    digits = len(str(low).split(".")[1]) if low == -0.517 else 4
    assert (round(got["low"], digits), round(got["high"], digits)) == (low, high)


def test_items_of_a_one_point_lead():
    assert ask("items-paired", difference=0.01, discordance=0.1)["items"] == 7847
    assert ask("items-paired", difference=0.01, discordance=0.1, sides=1)["items"] == 6181
    assert ask("power-paired", difference=0.01, discordance=0.1, items=7847)["power"] == pytest.approx(0.8, abs=1e-4)
    needed = ask("items-two", p1=0.85, p2=0.84)["items"]
    assert ask("power-two", p1=0.85, p2=0.84, items=needed)["power"] == pytest.approx(0.8, abs=1e-5)


# --- rounding: of what is written ---

@pytest.mark.parametrize("value, digits, even, up", [
    ("0.35", 1, "0.4", "0.4"), ("0.25", 1, "0.2", "0.3"), ("0.45", 1, "0.4", "0.5"), ("2.675", 2, "2.68", "2.68"),
    ("-0.05", 1, "0.0", "-0.1"), ("9.96", 1, "10.0", "10.0"), ("1250", -2, "1200", "1300"), ("0.25001", 1, "0.3", "0.3"),
    ("3.5e-1", 1, "0.4", "0.4"), ("1e3", 2, "1000.00", "1000.00"), ("0.5", 0, "0", "1"), ("1.5", 0, "2", "2"), ("55", -2, "100", "100"),
    ("0.004", 1, "0.0", "0.0"), ("5", -1, "0", "10"), ("60.5", 0, "60", "61"), ("+.5", 0, "0", "1")])
def test_rounding(value, digits, even, up):
    assert ask("round", value=value, digits=digits)["text"] == even
    assert ask("round", value=value, digits=digits, rule="half-up")["text"] == up


def test_rounding_equals_decimal():
    from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
    rng = numpy.random.default_rng(7)
    for _ in range(30):
        value = f"{int(rng.integers(-10**6, 10**6))}e-{int(rng.integers(0, 7))}"
        digits = int(rng.integers(-2, 6))
        for rule, decimal_rule in (("half-even", ROUND_HALF_EVEN), ("half-up", ROUND_HALF_UP)):
            want = Decimal(value).quantize(Decimal((0, (1,), -digits)), rounding=decimal_rule)
            assert Decimal(ask("round", value=value, digits=digits, rule=rule)["text"]) == want


# --- means ---

def clustered(values, labels):
    """Mean and clustered standard error, as Miller 2024 has it with C / (C - 1)."""
    values, labels = numpy.asarray(values, float), numpy.asarray(labels)
    centred = values - values.mean()
    sums = numpy.array([centred[labels == label].sum() for label in numpy.unique(labels)])
    count = len(sums)
    return values.mean(), numpy.sqrt(count / (count - 1) * (sums**2).sum()) / len(values), count - 1


def test_clustered_mean():
    rng = numpy.random.default_rng(3)
    values, labels = rng.normal(size=60), rng.integers(0, 11, 60)
    mean, se, df = clustered(values, labels)
    got = ask("mean", values=row(values), cluster=row(labels))
    near(got["mean"], mean), near(got["se"], se)
    assert got["df"] == df and got["clusters"] == len(set(labels))
    half = scipy_stats.t.ppf(0.975, df) * se
    near(got["low"], mean - half, 1e-11), near(got["high"], mean + half, 1e-11)


def test_paired_without_clusters_is_the_t_test():
    rng = numpy.random.default_rng(4)
    a, b = rng.normal(size=40), rng.normal(size=40)
    want = scipy_stats.ttest_rel(a, b)
    got = ask("paired", a=row(a), b=row(b))
    near(got["t"], want.statistic, 1e-11), near(got["p_two_sided"], want.pvalue, 1e-10)
    near(got["p_greater"], scipy_stats.ttest_rel(a, b, alternative="greater").pvalue, 1e-10)


def test_no_variance_is_no_error_of_zero():
    got = ask("paired", a="1,1,1,1,1", b="0,0,0,0,0")
    assert got["difference"] == 1 and got["se"] is None and got["low"] is None and got["p_two_sided"] is None


CONSTANT = [("87.31,92.45,88.17,90.02", "87.30,92.44,88.16,90.01"), ("0.9371,0.9512,0.9133,0.9222", "0.9370,0.9511,0.9132,0.9221"),
            ("1000000.3,1000002.7,1000001.1", "1000000.2,1000002.6,1000001.0")]


@pytest.mark.parametrize("a, b", CONSTANT)
def test_rounding_of_scores_is_no_variance(a, b):
    """Every score of a is the same step above that of b; what their binary fractions make of it is no evidence."""
    got = ask("paired", a=a, b=b)
    assert got["difference"] > 0 and got["se"] is None and got["low"] is None and got["p_greater"] is None and "note" in got
    sets = ask("rank-sets", scores=f"{a};{b}")
    assert [(s["L"], s["U"]) for s in sets["sets"]] == [(1, 2), (1, 2)] and sets["untested_pairs"] == 1


def test_small_differences_of_large_scores_are_seen():
    got = ask("paired", a="1000000.3,1000002.7,1000001.2", b="1000000.2,1000002.6,1000001.0")
    assert got["p_greater"] == pytest.approx(scipy_stats.ttest_1samp([0.1, 0.1, 0.2], 0, alternative="greater").pvalue, rel=1e-6)


def test_items_that_do_not_differ_change_no_flip():
    got = ask("sign-flip", differences="1,0,0,1,0,1" + 40 * ",0")
    assert got == {"p_greater": 1 / 8, "p_two_sided": 2 / 8, "flips": 8, "exact": True}


def test_all_sign_flips():
    """Five differences of 1: the exact two-sided p is 2 / 32, not 0."""
    got = ask("sign-flip", differences="1,1,1,1,1")
    assert got == {"p_greater": 1 / 32, "p_two_sided": 2 / 32, "flips": 32, "exact": True}


def test_sign_flips_equal_scipys_permutations():
    values = numpy.random.default_rng(5).normal(0.4, 1, 12)
    want = scipy_stats.permutation_test((values,), numpy.sum, permutation_type="samples", n_resamples=5000, alternative="greater")
    got = ask("sign-flip", differences=row(values))
    assert got["exact"] and got["p_greater"] == pytest.approx(want.pvalue, abs=1e-12)


def test_drawn_sign_flips_come_near_the_exact_p():
    """5 standard errors of 10,000 draws."""
    values = numpy.random.default_rng(6).normal(0.3, 1, 18)
    exact = ask("sign-flip", differences=row(values), replicates=300_000)
    drawn = ask("sign-flip", differences=row(values), seed=9)
    assert exact["exact"] and not drawn["exact"]
    p = exact["p_greater"]
    assert abs(drawn["p_greater"] - p) < 5 * (p * (1 - p) / 10_000) ** 0.5 + 1e-4


# --- several tests ---

def test_adjusted_p_values():
    p = [0.01, 0.04, 0.03, 0.005, 0.5, 0.03]
    order = numpy.argsort(p, kind="stable")
    holm = numpy.maximum.accumulate([min(1, p[i] * (len(p) - k)) for k, i in enumerate(order)])
    got = ask("holm", p=row(p))["adjusted"]
    for k, i in enumerate(order):
        near(got[i], holm[k])
    for a, b in zip(ask("bh", p=row(p))["adjusted"], scipy_stats.false_discovery_control(p)):
        near(a, b)
    assert ask("intersection-union", p="0.01,0.04,0.06") == {"p": 0.06, "rejected": False, "alpha": 0.05}


def test_welch_satterthwaite_is_that_of_welchs_t_test():
    rng = numpy.random.default_rng(8)
    a, b = rng.normal(size=12), rng.normal(size=30) * 3
    want = scipy_stats.ttest_ind(a, b, equal_var=False)
    got = ask("welch-satterthwaite", variances=row([a.var(ddof=1) / 12, b.var(ddof=1) / 30]), df="11,29")
    near(got["df"], want.df, 1e-11)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_statsmodels(case):
    got = ask(case["method"], **case["given"])
    for key, want in case["want"].items():
        value = got[key]
        for x, y in zip(value if isinstance(value, list) else [value], want if isinstance(want, list) else [want]):
            assert x == pytest.approx(y, rel=case["bound"]), (key, value, want)


# --- several models ---

def test_rank_sets_tell_clear_differences_and_no_others():
    rng = numpy.random.default_rng(11)
    items = rng.random(400)
    shares = (0.9, 0.6, 0.6, 0.3)
    table = ";".join(row((rng.random(400) < share).astype(float)) for share in shares)
    sets = ask("rank-sets", scores=table, replicates=2000)["sets"]
    assert [(s["L"], s["U"]) for s in sets] == [(1, 1), (2, 3), (2, 3), (4, 4)] and len(items) == 400


def test_graded_and_binary_scores_take_the_same_way():
    """Scores of 0 and 1 are packed into bits, those of 0 and 2 are not; the sets must be the same."""
    rng = numpy.random.default_rng(12)
    scores = (rng.random((6, 150)) < numpy.linspace(0.4, 0.7, 6)[:, None]).astype(float)
    packed, dense = (ask("rank-sets", scores=";".join(row(line) for line in factor * scores), replicates=3000)["sets"]
                     for factor in (1, 2))
    assert [(s["L"], s["U"]) for s in packed] == [(s["L"], s["U"]) for s in dense]


def test_bootstrap_has_the_variance_of_the_binomial():
    rng = numpy.random.default_rng(13)
    scores = (rng.random((2, 500)) < 0.7).astype(float)
    for factor in (1, 3):
        got = ask("bootstrap", scores=";".join(row(line) for line in factor * scores), replicates=4000)["models"]
        for line, model in zip(scores, got):
            p = line.mean()
            near(model["mean"], factor * p)  # of the data, not of what was drawn from them
            assert model["se"] == pytest.approx(factor * (p * (1 - p) / 500) ** 0.5, rel=5 / (2 * 4000) ** 0.5)


@pytest.mark.parametrize("words, said", [(dict(scores="1,1,1;1,0,1"), "no variance"), (dict(scores="0.1,0.3,0.2;0,1,1", cluster="1,1,2"), "no variance"),
                                         (dict(scores="1,0,1", cluster="1,1,1"), "one cluster")])
def test_a_bootstrap_of_what_does_not_vary_has_no_interval(words, said):
    first, *others = ask("bootstrap", **words)["models"]
    assert (first["model"], first["se"], first["low"], first["high"]) == (1, None, None, None) and said in first["note"]
    near(first["mean"], numpy.mean([float(score) for score in words["scores"].split(";")[0].split(",")]))
    assert all(model["se"] > 0 and model["low"] < model["high"] and "note" not in model for model in others)


def test_bradley_terry(tmp_path):
    """Two models: the strength is half the logit of the share; three: the likelihood's gradient vanishes."""
    table = tmp_path / "two.csv"
    table.write_text("a,b,won,prompt\n" + "".join(f"x,y,{int(i % 4 != 0)},p{i}\n" for i in range(40)))
    got = {m["model"]: m for m in ask("bradley-terry", file=table)["models"]}
    near(got["x"]["strength"] - got["y"]["strength"], numpy.log(3), 1e-10)
    assert got["x"]["low"] < got["x"]["strength"] < got["x"]["high"]
    wins = {("x", "y"): 14, ("y", "x"): 6, ("y", "z"): 11, ("z", "y"): 9, ("x", "z"): 17, ("z", "x"): 3}
    table.write_text("a,b,won\n" + "".join(f"{a},{b},1\n" * n for (a, b), n in wins.items()))
    s = {m["model"]: m["strength"] for m in ask("bradley-terry", file=table, replicates=50)["models"]}
    assert abs(sum(s.values())) < 1e-10
    for model in s:
        expected = sum(n / (1 + numpy.exp(s[b] - s[a])) + wins[b, a] / (1 + numpy.exp(s[b] - s[a]))
                       for (a, b), n in wins.items() if a == model)
        assert expected == pytest.approx(sum(n for (a, _), n in wins.items() if a == model), abs=1e-8)


def test_bradley_terry_refuses_what_has_no_estimate(tmp_path):
    table = tmp_path / "one-sided.csv"
    table.write_text("a,b,won\nx,y,1\nx,y,1\n")
    done = subprocess.run([ZHIHENG, "stats", "bradley-terry", f"file={table}"], capture_output=True, text=True)
    assert done.returncode == 2 and "not finite" in done.stderr


@pytest.mark.parametrize("rows, said", [
    ("x,y,1\nx,x,1\n", "arena.csv:3: 'x' is compared with itself"), ("x,y,1\ny,x,1\nu,v,1\nv,u,1\n", "joins 'x' and 'u'"),
    ("x,y,2\n", "arena.csv:2: won is '2'"), ("x,y,1\nx,y,1\n", "arena.csv: some models won every"), ("", "arena.csv: comparisons of 2 to")])
def test_comparisons_that_rate_nobody_are_named(tmp_path, rows, said):
    (tmp_path / "arena.csv").write_text("a,b,won\n" + rows)
    done = subprocess.run([ZHIHENG, "stats", "bradley-terry", f"file={tmp_path / 'arena.csv'}"], capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stderr


def test_strengths_without_interval_say_why(tmp_path):
    (tmp_path / "arena.csv").write_text("a,b,won\nx,y,1\ny,x,1\n")
    got = ask("bradley-terry", file=tmp_path / "arena.csv")
    assert got["models"][0]["low"] is None and "more comparisons" in got["note"]


# --- the command line ---

@pytest.mark.parametrize("words, said", [
    (["mcnemar", "b=5"], "c=… is missing"), (["mcnemer", "b=5", "c=1"], "did you mean 'mcnemar'?"),
    (["mcnemar", "b=5", "d=1"], "unknown key 'd'"), (["wilson", "k=60", "n=50"], "a number from 0 to 50"),
    (["mcnemar", "b=5", "b=6", "c=1"], "given twice"), (["mean", "values=1,nan"], "finite number"),
    (["round", "value=abc", "digits=1"], "not a decimal number"), (["paired", "a=1,2", "b=1"], "a has 2 numbers, b 1"),
    (["mean", "values=1,2", "cluster=1"], "cluster has 1 numbers for 2 items"), (["holm", "p=0.5,1.5"], "number 2 of p is 1.5; a p value lies between 0 and 1"),
    (["paired", "a=1,,0,1", "b=1,0,,1"], "number 2 of a is empty"), (["mean", "values=1,2,"], "number 3 of values is empty"),
    (["mean", "values=,1"], "number 1 of values is empty"), (["mean", "values=1, ,2"], "number 2 of values is empty"),
    (["rank-sets", "scores=1,0;1,,0"], "number 2 of row 2 of scores is empty"), (["rank-sets", "scores=1,0;;1,0"], "number 1 of row 2"),
    (["mean", "values=1;2"], "expected"), (["mean", "values="], "no numbers"), (["help", "mcnemer"], "did you mean 'mcnemar'?")])
def test_bad_words_are_named(words, said):
    done = subprocess.run([ZHIHENG, "stats", *words], capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stderr and done.stdout == ""


def test_lists_may_have_blanks_and_tables_lines(tmp_path):
    assert ask("mean", values="1, 2 3 ,4")["mean"] == 2.5
    (tmp_path / "table.csv").write_text("1, 0, 1\r\n\n0,0,1;\n1,1,1\n")
    assert len(ask("rank-sets", scores=f"@{tmp_path / 'table.csv'}")["sets"]) == 3


def test_rank_sets_say_how_many_flips_there_were():
    few, many = ask("rank-sets", scores="1,0,1;0,0,1"), ask("rank-sets", scores="1" + 30 * ",0" + ";0" + 30 * ",1", replicates=500)
    assert (few["replicates"], few["exact"], many["replicates"], many["exact"]) == (8, True, 500, False)


def test_help_of_one_test():
    done = subprocess.run([ZHIHENG, "stats", "help", "mcnemar", "--json"], capture_output=True, text=True, check=True)
    assert [entry["name"] for entry in json.loads(done.stdout)] == ["mcnemar"]


def test_help_lists_every_test_with_its_source():
    done = subprocess.run([ZHIHENG, "stats", "help", "--json"], capture_output=True, text=True, check=True)
    listed = json.loads(done.stdout)
    assert all(re.search(r"doi:10\.|arXiv:|DLMF|\d{4}", entry["source"]) for entry in listed)
    assert {entry["name"] for entry in listed} >= {"mcnemar", "wilson", "newcombe", "paired", "sign-flip", "holm", "bh",
                                                   "rank-sets", "bradley-terry", "bootstrap", "round", "items-paired"}
