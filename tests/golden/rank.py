"""`zhiheng rank`: figures against numpy and scipy, every line of the table of verdicts, and input that cannot be compared."""
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy
import pytest
from scipy import stats as scipy_stats

sys.path.append(str(Path(__file__).parent))
from score_interval import tango  # noqa: E402

ZHIHENG = os.path.join(os.environ["ZH_BINARY_DIR"], "bin", "zhiheng")
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(os.environ["ZH_SOURCE_DIR"]) / "docs/schemas/rank.schema.json").read_text(encoding="utf-8")))


class World:
    """Tables of scores in a folder; scores[model][task] is a list, clusters[task] one of labels."""

    def __init__(self, folder):
        self.folder, self.scores, self.clusters, self.modality = folder, {}, {}, {}
        self.lines = {"claimant": "claimant: ours", "margin": "margin: 1 point"}
        self.tasks = None

    def task(self, name, modality="text", clusters=None, **shares):
        """shares: of each model a share of right answers with its own draw, or the scores themselves."""
        self.modality[name] = modality
        for model, values in shares.items():
            self.scores.setdefault(model, {})[name] = list(values)
        self.clusters[name] = clusters
        return self

    def peers(self):
        return [model for model in self.scores if model != "ours"]

    def protocol(self):
        lines = dict(self.lines)
        lines.setdefault("peers", "peers: [" + ", ".join(self.peers()) + "]")
        tasks = self.tasks or [f"{{task: {name}, modality: {modality}}}" for name, modality in self.modality.items()]
        lines.setdefault("tasks", "tasks: [" + ", ".join(tasks) + "]")
        path = self.folder / "protocol.yaml"
        path.write_text("\n".join(["protocol: a world", *lines.values()]) + "\n")
        return path

    def rows(self, model):
        for task, values in self.scores[model].items():
            labels = self.clusters[task]
            for i, value in enumerate(values):
                cluster = "" if labels is None else f"c{labels[i]}"
                yield [f"{task}-{i}", cluster, task, self.modality[task], repr(float(value))]

    def table(self, model, rows=None, header="item,cluster,task,modality,score", first=""):
        path = self.folder / f"{model}.csv"
        rows = list(self.rows(model)) if rows is None else rows
        path.write_text(first + header + "\n" + "".join(",".join(map(str, line)) + "\n" for line in rows))
        return path

    def run(self, *words, tables=None, status=0):
        tables = [self.table(model) for model in self.scores] if tables is None else tables
        done = subprocess.run([ZHIHENG, "rank", self.protocol(), *tables, "--json", *words], capture_output=True, text=True,
                              timeout=120)
        assert done.returncode == status, done.stderr
        if status != 0:
            return done.stderr
        result = json.loads(done.stdout)
        assert [error.message for error in SCHEMA.iter_errors(result)] == []
        return result


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def answers(seed, items, *shares, shared=0.0):
    """0 and 1 for each share; `shared`: how much of the luck all have in common."""
    rng = numpy.random.default_rng(seed)
    common, own = rng.random(items), rng.random((len(shares), items))
    luck = numpy.where(rng.random((len(shares), items)) < shared, common, own)
    return [(line < share).astype(float) for line, share in zip(luck, shares)]


# --- figures ---

def clustered_variance(values, labels):
    values, labels = numpy.asarray(values), numpy.asarray(labels)
    centred = values - values.mean()
    sums = numpy.array([centred[labels == label].sum() for label in numpy.unique(labels)])
    count = len(sums)
    return count / (count - 1) * (sums**2).sum() / len(values) ** 2, count - 1


def test_macro_mean_with_clusters(world):
    rng = numpy.random.default_rng(2)
    labels = {"a": rng.permutation(numpy.repeat(numpy.arange(40), 6)), "b": numpy.arange(90)}
    scores = {model: {"a": rng.random(240), "b": rng.random(90)} for model in ("ours", "peer")}
    for task in "ab":
        world.task(task, clusters=labels[task], **{model: scores[model][task] for model in scores})
    got = world.run()["endpoints"]["text"]
    parts = [clustered_variance(scores["ours"][task] - scores["peer"][task], labels[task]) for task in "ab"]
    variances, df = numpy.array([part[0] for part in parts]) / 4, [part[1] for part in parts]
    difference = sum((scores["ours"][task] - scores["peer"][task]).mean() for task in "ab") / 2
    se, freedom = variances.sum() ** 0.5, variances.sum() ** 2 / sum(v**2 / d for v, d in zip(variances, df))
    assert got["difference"] == pytest.approx(difference, rel=1e-12)
    assert got["se"] == pytest.approx(se, rel=1e-12) and got["df"] == pytest.approx(freedom, rel=1e-12)
    assert got["p"] == pytest.approx(scipy_stats.t.sf(difference / se, freedom), rel=1e-10) and got["method"] == "t"
    half = scipy_stats.t.ppf(0.975, freedom) * se
    assert [got["low"], got["high"]] == pytest.approx([difference - half, difference + half], rel=1e-10)
    assert got["bound"] == pytest.approx(difference - scipy_stats.t.ppf(0.95, freedom) * se, rel=1e-10)


def test_binary_items_alone_take_mcnemars_mid_p(world):
    ours, peer = answers(3, 300, 0.8, 0.7)
    got = world.task("a", ours=ours, peer=peer).run()["tasks"]["a"]
    b, c = int((ours > peer).sum()), int((ours < peer).sum())
    want = scipy_stats.binom.sf(b - 1, b + c, 0.5) - 0.5 * scipy_stats.binom.pmf(b, b + c, 0.5)
    assert got["method"] == "mcnemar_mid_p" and got["discordant"] == [b, c] and got["p"] == pytest.approx(want, rel=1e-10)


def test_few_clusters_flip_signs(world):
    rng = numpy.random.default_rng(4)
    labels = numpy.repeat(numpy.arange(12), 10)
    ours, peer = rng.random(120) + 0.1 * rng.standard_normal(12)[labels], rng.random(120) - 0.05
    world.lines["margin"] = "margin: 0.01"  # these are no shares
    got = world.task("a", clusters=labels, ours=ours, peer=peer).run()["endpoints"]["text"]
    sums = numpy.array([(ours - peer)[labels == label].sum() for label in range(12)])
    flips = (numpy.array([[1 if k >> i & 1 else -1 for i in range(12)] for k in range(4096)]) * sums).sum(axis=1)
    assert got["method"] == "sign_flip" and got["p"] == pytest.approx((flips >= sums.sum() - 1e-9).mean(), abs=1e-12)


def test_order_of_rows_files_and_threads_changes_nothing(world):
    ours, one, two = answers(5, 200, 0.8, 0.75, 0.7)
    clusters = numpy.random.default_rng(0).integers(0, 50, 200)
    world.task("a", clusters=clusters, ours=ours, one=one, two=two).task("b", "vision", ours=ours, one=two, two=one)
    first = world.run("--threads", "1")
    rng = numpy.random.default_rng(1)
    tables = [world.table(model, [list(world.rows(model))[i] for i in rng.permutation(400)]) for model in ("two", "ours", "one")]
    again = world.run("--threads", "3", tables=tables)
    assert [model["model"] for model in first["models"]] == ["ours", "one", "two"]
    for result in (first, again):
        for model in result["models"]:
            model.pop("sm3")
    assert first == again


# --- verdicts, from the top of the table down ---

def rules(result, key="decided_by"):
    return [entry["rule"] for entry in result[key]]


def test_leading(world):
    ours, one, two = answers(6, 800, 0.9, 0.8, 0.75, shared=0.5)
    result = world.task("a", ours=ours, one=one, two=two).run()
    assert (result["verdict"], result["verdict_en"], rules(result)) == ("领先", "leading", ["beats_all"])
    assert result["rank_sets"]["text"]["own"] == {"L": 1, "U": 1} and result["would_change"][0]["clusters"] > 0
    assert result["endpoints"]["text"]["p"] == max(p["p"] for p in result["endpoints"]["text"]["peers"].values())


def test_not_leading(world):
    ours, one, two = answers(7, 800, 0.7, 0.8, 0.6, shared=0.5)
    result = world.task("a", ours=ours, one=one, two=two).run()
    assert (result["verdict"], rules(result)) == ("不领先", ["own_rank"]) and result["endpoints"]["text"]["L"] == 2
    assert result["decided_by"][0]["peer"] == "one" and result["would_change"][0]["gain"] > 0


def test_tied(world):
    ours, one = answers(8, 20000, 0.8, 0.8, shared=0.98)
    result = world.task("a", ours=ours, one=one).run()
    assert (result["verdict"], rules(result)) == ("并列领先", ["non_inferior"])
    assert result["decided_by"][0]["bound"] >= -0.01


def test_too_few_items(world):
    ours, one = answers(9, 60, 0.8, 0.78)
    result = world.task("a", ours=ours, one=one).run()
    assert (result["verdict"], result["rule"], rules(result)) == ("证据不足", "underpowered", ["underpowered"])
    needed = [entry["items"] for entry in result["would_change"] if entry["rule"] == "items_to_tie"]
    se, difference = result["endpoints"]["text"]["se"], result["endpoints"]["text"]["difference"]
    if difference + 0.01 > 0:
        z = scipy_stats.norm.ppf(0.95) + scipy_stats.norm.ppf(0.8)
        assert needed == [int(numpy.ceil(60 * (z * se / (difference + 0.01)) ** 2))]


def test_every_modality_must_hold(world):
    ours, one = answers(10, 800, 0.9, 0.8, shared=0.5)
    world.task("a", ours=ours, one=one).task("b", "vision", ours=one, one=ours)
    result = world.run()
    assert result["verdict"] == "不领先"
    assert {name: unit["verdict"] for name, unit in result["endpoints"].items()} == {"text": "领先", "vision": "不领先"}


def test_a_missing_modality_is_not_enough(world):
    ours, one = answers(11, 800, 0.9, 0.8, shared=0.5)
    world.lines["required"] = "required: {modalities: [text, vision]}"
    result = world.task("a", ours=ours, one=one).run()
    assert (result["verdict"], rules(result)) == ("证据不足", ["modality_missing"])


def test_a_missing_peer_is_not_enough(world):
    ours, one = answers(12, 800, 0.9, 0.8, shared=0.5)
    world.lines["peers"] = "peers: [one, absent]"
    world.task("a", ours=ours, one=one)
    assert rules(world.run()) == ["peer_missing"]
    world.lines["peers"] = "peers: [one, {model: absent, top: false}]"
    assert world.run()["verdict"] == "领先"


def test_a_loss_on_a_primary_task_bars_the_lead(world):
    """Ahead in the mean of three tasks, significantly behind on one of them."""
    better, worse = answers(13, 1500, 0.9, 0.7, shared=0.5)
    low, high = answers(14, 1500, 0.6, 0.7, shared=0.5)
    world.task("a", ours=better, one=worse).task("b", ours=better, one=worse).task("c", ours=low, one=high)
    result = world.run()
    assert result["endpoints"]["text"]["p"] < 0.001 and "task_lost" in rules(result) and result["verdict"] != "领先"
    world.tasks = ["{task: a, modality: text}", "{task: b, modality: text}", "{task: c, modality: text, primary: false}"]
    assert world.run()["verdict"] == "领先"


PUBLISHED = "peers: [one, {model: far, published: [{task: a, score: %s %%, items: 1346, source: a page}]}]"


@pytest.mark.parametrize("score, verdict, rule", [
    ("97", "不领先", "published_above"), ("89.5", None, "published_open"), ("70", "领先", "beats_all")])
def test_published_scores_defeat_and_never_establish(world, score, verdict, rule):
    ours, one = answers(15, 1000, 0.9, 0.8, shared=0.5)
    world.lines["peers"] = PUBLISHED % score
    result = world.task("a", ours=ours, one=one).run()
    assert rule in rules(result) and (result["verdict"] == verdict if verdict else result["verdict"] != "领先")
    assert ("peer_scores" in rules(result, "would_change")) == (verdict != "领先")
    assert result["published"][0]["peer"] == "far"


def test_published_scores_alone_are_not_enough(world):
    (ours,) = answers(16, 1000, 0.9)
    world.lines["peers"] = "peers: [{model: far, published: [{task: a, score: 0.5, items: 1000}]}]"
    result = world.task("a", ours=ours).run()
    assert (result["verdict"], "no_pairs" in rules(result)) == ("证据不足", True)


def runs(world, model, spread):
    """Three runs, each shifted by that much on every item."""
    return [[*line[:4], float(line[4]) + (run - 1) * spread, run] for line in world.rows(model) for run in range(3)]


def test_runs_that_lie_apart(world):
    rng = numpy.random.default_rng(17)
    ours, one = rng.random(400) * 0.2 + 0.6, rng.random(400) * 0.2 + 0.4
    world.task("a", ours=ours, one=one)
    header = "item,cluster,task,modality,score,run"
    for spread, verdict in ((0.002, "领先"), (0.02, "证据不足")):
        tables = [world.table(model, runs(world, model, spread), header) for model in ("ours", "one")]
        result = world.run(tables=tables)
        assert result["verdict"] == verdict and result["endpoints"]["text"]["run_spread"] == pytest.approx(2 * spread)
    assert rules(result) == ["runs_apart"]
    variance, _ = clustered_variance(ours - one, numpy.arange(400))
    extra = 2 * 0.02**2 / 3  # of both models' runs: the variance of -s, 0, s is s^2
    assert result["endpoints"]["text"]["se"] == pytest.approx((variance + extra) ** 0.5, rel=1e-9)


def test_the_clean_subset_must_say_the_same(world):
    ours, one = answers(18, 600, 0.8, 0.8, shared=0.9)
    ours[:200], one[:200] = 1, 0
    ours[0] = 0
    world.task("a", ours=ours, one=one)
    assert world.run()["verdict"] == "领先"
    (world.folder / "seen.csv").write_text("task,item\n" + "".join(f"a,a-{i}\n" for i in range(200)))
    world.lines["contaminated"] = "contaminated: seen.csv"
    result = world.run()
    assert (result["verdict"], rules(result)) == ("证据不足", ["clean_differs"])
    assert result["clean"]["left_out"] == 200 and result["clean"]["items"] == 400


# --- what cannot be compared: named, 证据不足, and no figure ---

@pytest.fixture
def pair(world):
    ours, one = answers(19, 50, 0.9, 0.5)
    return world.task("a", ours=ours, one=one)


def refused(world, tables, kind):
    result = world.run(tables=tables)
    assert (result["verdict"], result["refused"], result["endpoints"], result["tasks"]) == ("证据不足", True, {}, {})
    assert kind in rules(result) and all(entry["zh"] and entry["en"] for entry in result["decided_by"])
    return [entry for entry in result["decided_by"] if entry["rule"] == kind][0]


def test_missing_items(pair):
    tables = [pair.table("ours"), pair.table("one", list(pair.rows("one"))[:-3])]
    said = refused(pair, tables, "items_missing")
    assert said["model"] == "one" and "a-47" in said["en"] and "(3)" in said["en"]


def test_duplicates(pair):
    rows = list(pair.rows("one"))
    assert "line 52" in refused(pair, [pair.table("ours"), pair.table("one", [*rows, rows[7]])], "duplicate")["en"]


@pytest.mark.parametrize("score", ["nan", "inf", "-inf", "NaN", "", "NA", "N/A", "n/a", "null", "None", "<NA>"])
def test_scores_that_are_no_numbers(pair, score):
    """What spreadsheets, pandas and R write for a number that is not there is a gap, not a broken table."""
    rows = list(pair.rows("one"))
    rows[3][4] = score
    assert "line 5" in refused(pair, [pair.table("ours"), pair.table("one", rows)], "not_finite")["en"]


def test_other_prompts(pair):
    header = "item,cluster,task,modality,score,prompt"
    tables = [pair.table(model, [[*row, "p1" if model == "ours" or i else "p2"] for i, row in enumerate(pair.rows(model))], header)
              for model in ("ours", "one")]
    assert "a-0" in refused(pair, tables, "prompt_differs")["en"]


@pytest.mark.parametrize("silent, other", [("one", "ours"), ("ours", "one")])
def test_a_table_that_does_not_say_what_was_asked(pair, silent, other):
    """It is not one that asked something else."""
    header = "item,cluster,task,modality,score,prompt"
    tables = [pair.table(model, [[*row, "p1" if model == other else ""] for row in pair.rows(model)], header) for model in ("ours", "one")]
    for given in (tables, [pair.table(silent), *[table for table in tables if table.stem == other]]):
        said = refused(pair, given, "prompt_unstated")
        assert said["model"] == silent and "a-0" in said["en"] and "different" not in said["en"]
        assert silent in said["zh"] and "不同" not in said["zh"]


def test_a_peer_that_is_the_claimant(pair):
    pair.lines["peers"] = "peers: [one, ours]"
    refused(pair, None, "peer_is_claimant")


def test_the_same_table_twice(pair):
    pair.scores["one"] = pair.scores["ours"]
    refused(pair, None, "same_table")


def test_one_model_under_two_names(pair):
    """Two runs of one file are no two models, in whatever case its digest is written."""
    digest = "ab" * 32
    first = lambda text: "# model_sm3: " + text + "\n"
    tables = [pair.table("ours", first=first(digest)), pair.table("one", first=first(digest.upper()))]
    said = refused(pair, tables, "same_model")
    assert said["model"] == "one" and digest in said["en"].lower()
    assert pair.run(tables=[tables[0], pair.table("one", first=first("cd" * 32))])["refused"] is False


def test_another_protocol_and_another_model(pair):
    tables = [pair.table("ours", first="# protocol: " + 64 * "0" + "\n"), pair.table("one")]
    refused(pair, tables, "protocol_differs")
    pair.lines["claimant"] = "claimant: {model: ours, sm3: " + 64 * "1" + "}"
    refused(pair, [pair.table("ours", first="# model_sm3: " + 64 * "2" + "\n"), pair.table("one")], "model_differs")


def test_items_that_the_protocol_did_not_lock(pair):
    pair.tasks = ["{task: a, modality: text, items: 51}"]
    refused(pair, None, "items_differ")
    pair.tasks = ["{task: a, modality: text, items_sm3: " + 64 * "3" + "}"]
    refused(pair, None, "items_differ")


def test_tasks_and_clusters_that_differ(pair):
    rows = list(pair.rows("one"))
    rows[0][2] = "other"
    refused(pair, [pair.table("ours"), pair.table("one", rows)], "unknown_task")
    rows = [[row[0], "same", *row[2:]] for row in pair.rows("one")]
    refused(pair, [pair.table("ours"), pair.table("one", rows)], "cluster_differs")


def test_no_table_of_the_claimant(pair):
    refused(pair, [pair.table("one")], "claimant_missing")


def test_no_variance(world):
    """Every item one better: no ±0, no p of 0, and no lead."""
    result = world.task("a", ours=[1] * 30, one=[0] * 30).run()
    assert (result["verdict"], result["rule"], rules(result)) == ("证据不足", "zero_variance", ["zero_variance"])
    unit = result["endpoints"]["text"]
    assert (unit["difference"], unit["se"], unit["p"], unit["low"], unit["bound"]) == (1, None, None, None, None)


@pytest.mark.parametrize("scale, step, declared", [(1, 0.0001, False), (100, 0.01, False), (100, 1, False), (100, 0.01, True), (100, 1, True)])
@pytest.mark.parametrize("clusters", [None, [k // 5 for k in range(100)]])
def test_a_constant_step_between_graded_scores_is_no_evidence(world, scale, step, declared, clusters):
    """Rounding of scores to binary fractions makes differences vary in the last digits, and nothing else does."""
    digits = 6 if scale == 1 else 4
    peer = numpy.round(scale * (0.9 + 0.08 * numpy.random.default_rng(22).random(100)), digits)
    world.lines["margin"] = "margin: 0.01"
    world.tasks = ["{task: a, modality: text, scale: 100}"] if declared else None
    result = world.task("a", clusters=clusters, ours=numpy.round(peer + step, digits), peer=peer).run()
    assert (result["verdict"], result["rule"]) == ("证据不足", "zero_variance")
    unit = result["endpoints"]["text"]
    assert (unit["se"], unit["p"], unit["low"], unit["bound"], unit["L"], unit["U"]) == (None, None, None, None, 1, 2)


def sparse(world, won, lost=0, items=1000, **more):
    """All items right by both, but those that one of them alone has right."""
    ours, peer = numpy.ones(items), numpy.ones(items)
    peer[:won], ours[won:won + lost] = 0, 0
    return world.task("a", ours=ours, peer=peer, **more)


def test_what_never_differs_is_no_evidence(world):
    """Three items won of a thousand: neither another task nor a graded item that never differ make a lead of them."""
    alone = sparse(world, 3).run()
    assert (alone["verdict"], alone["endpoints"]["text"]["p"]) == ("并列领先", pytest.approx(1 / 16))
    world.task("b", ours=[1, 0] * 500, peer=[1, 0] * 500)
    both = world.run()
    assert (both["verdict"], both["endpoints"]["text"]["p"]) == ("并列领先", pytest.approx(1 / 16))
    for model in ("ours", "peer"):
        world.scores[model]["a"][999] = 0.5
        world.scores[model].pop("b")
    world.modality.pop("b")
    graded = world.run()
    assert (graded["verdict"], graded["endpoints"]["text"]["p"]) == ("并列领先", pytest.approx(1 / 16))


@pytest.mark.parametrize("won, p", [(3, 1 / 8), (5, 1 / 32), (29, None)])
def test_few_clusters_that_differ_flip_signs(world, won, p):
    """Clusters of two right answers won, of five hundred: as few as three say no more than three coins."""
    peer = numpy.ones(1000)
    peer[:2 * won] = 0
    got = world.task("a", clusters=[k // 2 for k in range(1000)], ours=numpy.ones(1000), peer=peer).run()["endpoints"]["text"]
    assert got["method"] == "sign_flip" and (p is None or got["p"] == p)


def test_few_that_differ_in_each_of_many_tasks_are_many(world):
    """Eight tasks in each of which six of a hundred graded items differ; and a task of five items that outweighs them all."""
    rng = numpy.random.default_rng(23)
    for task in "abcdefgh":
        peer = numpy.full(100, 0.5)
        peer[:6] += rng.normal(0, 0.01, 6)
        world.task(task, ours=numpy.full(100, 0.5), peer=peer)
    unit = world.run()["endpoints"]["text"]
    assert unit["method"] == "t"
    world.task("small", ours=[0.5] * 5, peer=[0.3, 0.3, 0.3, 0.3, 0.31])
    unit = world.run()["endpoints"]["text"]
    assert unit["method"] == "sign_flip" and unit["p"] > 1 / 128


def test_thirty_clusters_that_differ_take_t(world):
    peer = numpy.ones(1000)
    peer[:60] = 0
    got = world.task("a", clusters=[k // 2 for k in range(1000)], ours=numpy.ones(1000), peer=peer).run()["endpoints"]["text"]
    assert got["method"] == "t"


def test_limits_of_right_and_wrong_are_those_of_the_score(world):
    """One item lost of 300: what was seen bounds the difference at -1.5 points, not at -0.9."""
    result = sparse(world, 0, 1, 300).run()
    unit = result["endpoints"]["text"]
    want = {confidence: tango(0, 1, 300, confidence) for confidence in (0.9, 0.95)}
    assert unit["bound"] == pytest.approx(want[0.9][0], abs=1e-9) and unit["bound"] < -0.01
    assert [unit["low"], unit["high"]] == pytest.approx(want[0.95], abs=1e-9)
    assert result["verdict"] == "证据不足"


def test_limits_of_tasks_add_up_by_squares(world):
    """Two tasks of items alone, and one whose few clusters that differ bound it by the most that they could."""
    sparse(world, 4, 9, 400)
    world.task("b", ours=[1] * 250, peer=[1] * 240 + [0] * 10)
    labels = [k // 4 for k in range(800)]
    ours, peer = numpy.ones(800), numpy.ones(800)
    ours[:3], peer[8:10] = 0, 0.5
    world.task("c", clusters=labels, ours=ours, peer=peer)
    unit = world.run()["endpoints"]["text"]
    for confidence, keys in ((0.9, ("bound", None)), (0.95, ("low", "high"))):
        limits = [tango(4, 9, 400, confidence), tango(10, 0, 250, confidence), tango(1 / 4, 3 / 4, 200, confidence)]
        values = [-5 / 400, 10 / 250, -2 / 800]
        middle = sum(values) / 3
        assert unit["difference"] == pytest.approx(middle)
        for side, key in enumerate(keys):
            reach = sum((value - limit[side]) ** 2 for value, limit in zip(values, limits)) ** 0.5 / 3
            assert key is None or unit[key] == pytest.approx(middle + (2 * side - 1) * reach, abs=1e-9)


def test_limits_of_many_tasks_that_differ_are_students(world):
    """Unless a task of a few items that never differ could hide more than all the others."""
    scores = {task: answers(seed, 100, 0.8, 0.7) for seed, task in enumerate("abcdefghijkl", 30)}
    for task, (ours, peer) in scores.items():
        world.task(task, ours=ours, peer=peer)
    unit = world.run()["endpoints"]["text"]
    parts = [clustered_variance(ours - peer, numpy.arange(100)) for ours, peer in scores.values()]
    half = scipy_stats.norm.ppf(0.975) * sum(v for v, _ in parts) ** 0.5 / 12
    assert unit["high"] - unit["low"] == pytest.approx(2 * half, rel=5e-3)
    world.task("small", ours=[1] * 5, peer=[1] * 5)
    middle, hidden = unit["difference"] * 12 / 13, -tango(0, 0, 5, 0.95)[0] / 13
    unit = world.run()["endpoints"]["text"]
    assert middle - hidden - 1.1 * half < unit["low"] < middle - hidden


def test_one_cluster_says_nothing(world):
    ours, one = answers(20, 50, 0.9, 0.3)
    result = world.task("a", clusters=[0] * 50, ours=ours, one=one).run()
    assert result["verdict"] == "证据不足" and result["endpoints"]["text"]["se"] is None


FULL = "item,cluster,task,modality,score\n"


@pytest.mark.parametrize("text, said", [
    ("item,cluster,task,modality\n1,,a,\n", "no column 'score'"), ("", "no header line"),
    (FULL + "1,,a,\n", "4 fields, where the header has 5"), (FULL + "1,,a,,x\n", "one.csv:2: the score is 'x'"),
    (FULL + "1,,a,,NAB\n", "one.csv:2: the score is 'NAB'"), (FULL + "1,,a,, \n", "one.csv:2: the score is ' '"),
    (FULL + '"1,,a,,1\n', "does not close"), (FULL + "1,,a,,0x1p-1\n", "the score is '0x1p-1'"), (FULL + ",,a,,1\n", "one.csv:2: the item has no name"),
    ("item,item,task,score\n", "named twice"), ("item,task,score\n\xff\n", "not UTF-8"),
    ("item,clusters,task,modality,score\n", "did you mean 'clusters'?"), ("item,task,modality,score\n", "no column 'cluster'"),
    ("item,cluster,task,score\n", "no column 'modality'"), (FULL[:-1] + ",promt\n", "unknown column 'promt'; did you mean 'prompt'?"),
    ("item;cluster;task;modality;score\n1;;a;;1\n", "separated by semicolons; save the table with commas")])
def test_broken_tables_are_refused(pair, text, said):
    (pair.folder / "one.csv").write_bytes(text.encode("latin-1"))
    assert said in pair.run(tables=[pair.table("ours"), pair.folder / "one.csv"], status=2)


@pytest.mark.parametrize("line, said", [
    ("alpha: 2", "alpha: 2"), ("alhpa: 0.05", "did you mean 'alpha'?"), ("required: {tasks: [z]}", "no task is called 'z'"),
    ("alpha: a lot", "such as 0.05 or 5 %"), ("locked: banana", "a day of the calendar"), ("locked: 2026-99-99", "a day of the calendar")])
def test_broken_protocols_are_refused(pair, line, said):
    pair.lines["more"] = line
    assert said in pair.run(status=2)


def test_an_undeclared_model_is_refused(pair):
    tables = [pair.table("ours"), pair.table("one")]
    (pair.folder / "onne.csv").write_text(tables[1].read_text())
    assert "did you mean 'one'?" in pair.run(tables=[*tables, pair.folder / "onne.csv"], status=2)


# --- what is declared must hold ---

@pytest.mark.parametrize("peers, said", [
    ("{model: one, published: [{task: aa, score: 50 %, items: 10}]}", "no task is called 'aa'; did you mean 'a'?"),
    ("{model: one, published: [{task: a, score: 150 %, items: 10}]}", "expected a value from 0 to 1"),
    ("{model: one, published: [{task: a, score: half, items: 10}]}", "such as 91.5 % or 0.915"),
    ('{model: "on\\e[31m"}', "found a control character"),
    ("{model: one, sm3: zzz}", "expected an SM3 digest, 64 hexadecimal digits, found 'zzz'"),
    ("{model: one, declared: 2026-02-30}", "a day of the calendar"),
    ("{model: one, declared: 2026-11-23}", "was declared after the protocol was locked (2026-11-22)")])
def test_peers_that_cannot_be_as_declared(pair, peers, said):
    pair.lines["locked"], pair.lines["peers"] = "locked: 2026-11-22", f"peers: [{peers}]"
    error = pair.run(status=2)
    assert said in error and "protocol.yaml:" in error


@pytest.mark.parametrize("task, said", [("metric: 17", "the name of a metric such as acc_norm"), ("scale: 0", "scale: 0"),
                                        ("items_sm3: abc", "64 hexadecimal digits"), ("prompts_sm3: abc", "64 hexadecimal digits")])
def test_tasks_that_cannot_be_as_declared(pair, task, said):
    pair.tasks = ["{task: a, modality: text, %s}" % task]
    assert said in pair.run(status=2)


def test_percents_with_and_without_a_blank(pair):
    pair.lines |= {"margin": "margin: 1%", "alpha": "alpha: 5 %", "peers": "peers: [{model: one, published: [{task: a, score: 91.5%, items: 10}]}]"}
    got = pair.run()
    assert (got["protocol"]["margin"], got["protocol"]["alpha"], got["published"][0]["published"]) == (0.01, 0.05, 0.915)


def test_who_is_not_dated_is_told(pair):
    pair.lines |= {"locked": "locked: 2026-11-22", "peers": "peers: [one, {model: two, top: false, declared: 2026-11-22}]"}
    notes = {note["rule"]: note for note in pair.run()["notes"]}
    assert "one" in notes["not_dated"]["zh"] and "two" not in notes["not_dated"]["en"]


def test_a_protocol_without_its_day_is_told(pair):
    pair.lines["peers"] = "peers: [{model: one, declared: 2030-01-01}]"
    (said,) = [note for note in pair.run()["notes"] if note["rule"] == "not_locked"]
    assert "(locked)" in said["en"] and "（locked）" in said["zh"]
    pair.lines |= {"locked": "locked: 2030-01-02"}
    assert "not_locked" not in rules(pair.run(), "notes")


def test_a_model_that_the_registry_knows_from_elsewhere_is_told(world):
    """By its name there, in whatever case; of models from China, and of names that it does not have, nothing is said."""
    ours, one, two, three = answers(37, 800, 0.9, 0.8, 0.78, 0.76, shared=0.5)
    world.task("a", ours=ours, **{"gpt-4.1": one, "DeepSeek-V3": two, "peer": three})
    world.lines["peers"] = "peers: [gpt-4.1, DeepSeek-V3, peer, {model: Llama-3-70B, top: false}]"
    result = world.run()
    (said,) = [note for note in result["notes"] if note["rule"] == "not_domestic"]
    for language in ("zh", "en"):
        assert "gpt-4.1 (OpenAI, US), Llama-3-70B (Meta, US)" in said[language]
        assert not any(name in said[language] for name in ("DeepSeek", "peer", "ours"))
    assert result["verdict"] == "领先"
    tables = [world.table(model) for model in world.scores if model != "gpt-4.1"]
    world.lines["peers"] = "peers: [DeepSeek-V3, peer]"
    assert "not_domestic" not in rules(world.run(tables=tables), "notes")


# --- published scores ---

def test_a_published_score_that_cannot_be_compared_is_listed_with_its_reason(world):
    """Whether scores are shares is each task's own matter: one graded task does not switch the others off."""
    ours, one = answers(23, 800, 0.9, 0.8, shared=0.5)
    grades = numpy.random.default_rng(1).integers(1, 11, 800)
    world.task("a", ours=ours, one=one).task("g", ours=grades, one=grades - 1.5)
    world.lines |= {"margin": "margin: 0.01", "required": "required: {tasks: [a]}",
                    "peers": "peers: [one, {model: far, published: [{task: a, score: 99 %, items: 1000}, {task: g, score: 99 %, items: 9},"
                             " {task: h, score: 1 %, items: 9}]}]"}
    world.tasks = [f"{{task: {name}, modality: text}}" for name in "agh"]
    result = world.run()
    assert [entry["rule"] for entry in result["published"]] == ["compared", "not_shares", "not_scored"]
    assert result["published"][1]["difference"] is None and "scale" in result["published"][1]["zh"]
    assert (result["verdict"], rules(result)) == ("不领先", ["published_above"])
    assert [result["tasks"][name]["unit"] for name in "ag"] == ["share", "score"]


@pytest.mark.parametrize("published, rule", [("99.5 %", "published_conflict"), ("40 %", "leading")])
def test_a_peer_whose_published_score_contradicts_its_table(world, published, rule):
    ours, one = answers(24, 800, 0.9, 0.8, shared=0.5)
    world.lines["peers"] = "peers: [{model: one, published: [{task: a, score: %s, items: 1000, source: a page}]}]" % published
    result = world.task("a", ours=ours, one=one).run()
    assert result["rule"] == rule and result["published"][0]["table"] == pytest.approx(one.mean())
    if rule == "published_conflict":
        said, = result["decided_by"]
        assert (result["verdict"], said["rule"]) == ("证据不足", rule)
        for language in ("zh", "en"):
            assert "99.50" in said[language] and f"{100 * one.mean():.2f}" in said[language]
        assert rules(result, "would_change") == ["published_explained"]


def newcombe(p1, n1, p2, n2):
    def wilson(p, n):
        z = scipy_stats.norm.ppf(0.975)
        middle, half = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
        return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    (l1, u1), (l2, u2) = wilson(p1, n1), wilson(p2, n2)
    return p1 - p2 - ((p1 - l1) ** 2 + (u2 - p2) ** 2) ** 0.5, p1 - p2 + ((u1 - p1) ** 2 + (p2 - l2) ** 2) ** 0.5


@pytest.mark.parametrize("clusters", [None, 10, 1])
def test_a_published_score_is_held_against_as_many_items_as_clusters_are_worth(world, clusters):
    """Kish's design effect; 10 clusters whose items agree are not 400 items, and one cluster is one item."""
    rng = numpy.random.default_rng(25)
    labels = numpy.arange(400) if clusters is None else numpy.arange(400) % clusters
    shares = rng.beta(0.5, 0.5, len(set(labels)))
    ours = (rng.random(400) < (0.5 if clusters is None else shares[labels])).astype(float)
    world.lines["peers"] = "peers: [one, {model: far, published: [{task: a, score: 60 %, items: 400}]}]"
    got = world.task("a", clusters=labels if clusters else None, ours=ours, one=1 - ours).run()["published"][0]
    mean = ours.mean()
    variance, _ = clustered_variance(ours, labels) if clusters != 1 else (None, 0)
    want = {None: 400, 1: 1}.get(clusters) or 400 / max(1, variance / (mean * (1 - mean) / 399))
    assert got["own_items"] == pytest.approx(want, rel=1e-12) and (clusters is None or want < 60)
    assert [got["low"], got["high"]] == pytest.approx(newcombe(mean, want, 0.6, 400), rel=1e-9)


def test_who_was_not_compared_is_named(world):
    ours, one = answers(26, 800, 0.9, 0.8, shared=0.5)
    world.lines["peers"] = "peers: [one, {model: strong, top: false}]"
    result = world.task("a", ours=ours, one=one).run()
    assert (result["verdict"], rules(result)) == ("领先", ["beats_all", "peer_not_compared"]) and "strong" in result["decided_by"][1]["zh"]


# --- units ---

def test_a_scale_makes_shares_of_scores(world):
    ours, one = answers(27, 800, 0.9, 0.8, shared=0.5)
    shares = world.task("a", ours=ours, one=one).run()
    world.scores = {model: {"a": [100 * score for score in scores["a"]]} for model, scores in world.scores.items()}
    refusal = refused(world, None, "scale_unknown")
    assert "scale: 100" in refusal["en"] and "for instance 100" in refusal["en"]
    world.tasks = ["{task: a, modality: text, scale: 100}"]
    hundred = world.run()
    for result in (shares, hundred):
        result.pop("protocol")
        for model in result["models"]:
            model.pop("sm3")
    assert shares == hundred
    world.scores["one"]["a"][3] = 100.5
    assert "100.5" in refused(world, None, "out_of_scale")["en"]


@pytest.mark.parametrize("margin", ["1", "100 %", "150 points", "5000%"])
def test_a_margin_of_a_hundred_points_is_a_slip(pair, margin):
    pair.lines["margin"] = f"margin: {margin}"
    said = refused(pair, None, "margin_too_wide")
    assert f"(margin: {margin})" in said["en"] and f"（margin: {margin}）" in said["zh"] and "write, for instance, margin: 1 point" in said["en"]
    pair.lines["margin"] = "margin: 99 points"
    assert pair.run()["refused"] is False


@pytest.mark.parametrize("declared", ["", ", scale: 100"])
@pytest.mark.parametrize("wrong", ["ours", "one"])
def test_shares_beside_percents_are_refused(world, wrong, declared):
    """Right and wrong, and grades: of one model as shares, of the other in percent."""
    ours, one = answers(30, 200, 0.7, 0.65)
    grades = numpy.random.default_rng(31).random((2, 200))
    world.lines["margin"] = "margin: 1 point" if declared else "margin: 0.5"
    world.tasks = ["{task: a, modality: text%s}" % declared]
    for scores in ((ours, one), grades):
        world.scores = {}
        right = dict(zip(("ours", "one"), scores))
        given = {model: values * (1 if model == wrong else 100) for model, values in right.items()}
        said = refused(world.task("a", **given), None, "two_scales")
        assert said["model"] == wrong and all(f"{values.max():g}" in said["en"] for values in given.values())
        world.task("a", **{model: 100 * values for model, values in right.items()})
        assert world.run()["refused"] is False


@pytest.mark.parametrize("scale, refuses", [(100, True), (20, True), (10, False)])
def test_shares_under_a_scale_of_percents_are_refused(world, scale, refuses):
    """A margin of a point would cover every gap."""
    ours, one = answers(32, 600, 0.66, 0.69)
    world.tasks = ["{task: a, modality: text, scale: %d}" % scale]
    result = world.task("a", ours=ours, one=one).run()
    assert ("two_scales" in rules(result)) == result["refused"] == refuses
    assert not refuses or f"scores {scale} (scale)" in result["decided_by"][0]["en"]


@pytest.mark.parametrize("ours, one, refuses", [
    ([0, 1, 1, 0], [0, 10, 0, 10], True), ([0, 0.5, 0, 0], [0, 10, 0, 0], True),  # right and wrong, ten points for right
    ([0, 1, 1, 0], [0, 5, 2, 3], False), ([1, 1, 1, 1], [5, 5, 5, 4], False),  # five points for the best answer
    ([0.9, 0.8, 1, 0.95], [1.2, 1.1, 0.9, 1.3], False),  # bits a byte
    ([0, 0, 0, 0], [0, 100, 100, 0], False), ([0.5, 0.1, 0.3, 0.2], [-1, 2, 3, 2.5], False)])
def test_low_scores_are_no_other_scale(world, ours, one, refuses):
    world.lines["margin"] = "margin: 0.5"
    result = world.task("a", ours=ours, one=one).run()
    assert ("two_scales" in rules(result)) == result["refused"] == refuses


def test_sentences_name_their_unit(world):
    ours, one = answers(6, 800, 0.9, 0.8, shared=0.5)
    said = world.task("a", ours=ours, one=one).run()["decided_by"][0]
    points = f"{100 * (ours - one).mean():.2f}"
    assert f"差值 {points} 个百分点" in said["zh"] and f"difference {points} points" in said["en"]


# --- tables that do not say what they are ---

def test_a_declared_model_file_must_stand_in_the_table(pair):
    digest = "ab" * 32
    pair.lines["claimant"] = "claimant: {model: ours, sm3: %s}" % digest
    assert "# model_sm3:" in refused(pair, [pair.table("ours"), pair.table("one")], "model_unstated")["en"]
    first = "# Model_SM3: " + digest.upper() + "\n# PROTOCOL: " + hashlib.new("sm3", pair.protocol().read_bytes()).hexdigest() + "\n"
    models = pair.run(tables=[pair.table("ours", first=first), pair.table("one")])["models"]
    assert [(m["model_sm3"], m["protocol_sm3"] is None) for m in models] == [(digest.upper(), False), (None, True)]
    first = "# Protocol: " + 64 * "0" + "\n"
    refused(pair, [pair.table("ours", first=first), pair.table("one")], "protocol_differs")


def test_prompts_are_locked(pair):
    header, prompts = "item,cluster,task,modality,score,prompt", [f"{(7 * i) % 50:03}" for i in range(50)]
    tables = lambda: [pair.table(model, [[*row, p] for row, p in zip(pair.rows(model), prompts)], header) for model in ("ours", "one")]
    assert pair.run()["tasks"]["a"]["prompts_sm3"] is None
    digest = pair.run(tables=tables())["tasks"]["a"]["prompts_sm3"]
    assert digest == hashlib.new("sm3", "".join(f"{p}\n" for p in sorted(prompts)).encode()).hexdigest()
    pair.tasks = ["{task: a, modality: text, prompts_sm3: %s}" % digest]
    assert pair.run(tables=tables())["refused"] is False
    assert "no column prompt" in refused(pair, [pair.table(model) for model in ("ours", "one")], "prompts_differ")["en"]
    prompts[0] = "other"
    assert digest in refused(pair, tables(), "prompts_differ")["en"]


def test_columns_that_mean_nothing_are_told(pair):
    tables = [pair.table(model, [[*row, "x"] for row in pair.rows(model)], "item,cluster,task,modality,score,remarks") for model in ("ours", "one")]
    result = pair.run(tables=tables)
    assert [model["columns_not_read"] for model in result["models"]] == [["remarks"]] * 2
    assert sum("remarks" in note["en"] for note in result["notes"] if note["rule"] == "columns_not_read") == 2


def blank(rows):
    return [[*row[:3], "", row[4]] for row in rows]


def test_a_blank_modality_is_the_tasks(pair):
    tables = lambda edit: [pair.table("ours", edit(pair.rows("ours"))), pair.table("one")]
    assert list(pair.run(tables=tables(blank))["endpoints"]) == ["text"]
    pair.tasks = ["a"]
    assert list(pair.run(tables=tables(blank))["endpoints"]) == ["text"]
    none = [pair.table(model, blank(pair.rows(model))) for model in ("ours", "one")]
    assert 'Task "a"' in refused(pair, none, "modality_missing")["en"]
    pair.tasks = ["{task: a, modality: vision}"]
    assert '"vision"' in refused(pair, tables(blank), "modality_differs")["en"]


def test_the_list_of_seen_items_must_be_of_these_items(pair):
    pair.lines["contaminated"] = "contaminated: seen.csv"
    seen = lambda *rows: (pair.folder / "seen.csv").write_text("task,item\n" + "".join(f"{row}\n" for row in rows))
    seen("a,q1", "a,q2")
    assert '"q1"' in refused(pair, None, "contaminated_unmatched")["en"]
    seen("b,a-1")
    assert '"b"' in refused(pair, None, "contaminated_unmatched")["en"]
    seen()
    assert pair.run()["clean"]["listed"] == 0
    seen("a,a-1", "a,a-1", "a,q2", "b,x")
    result = pair.run()
    assert [result["clean"][key] for key in ("listed", "left_out", "not_found", "other_tasks", "items")] == [4, 1, 1, 1, 49]
    notes = {note["rule"]: note["en"] for note in result["notes"]}
    assert '"q2"' in notes["seen_not_found"] and "seen_other_tasks" in notes
    done = subprocess.run([ZHIHENG, "rank", pair.protocol(), pair.table("ours"), pair.table("one")], capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C"})
    assert result["clean"]["en"] in done.stdout and notes["seen_not_found"] in done.stdout


# --- what would change it ---

def test_published_peers_alone_name_who_is_needed(world):
    (ours,) = answers(16, 1000, 0.9)
    world.lines["peers"] = "peers: [{model: far, published: [{task: a, score: 0.5, items: 1000}]}]"
    result = world.task("a", ours=ours).run()
    assert result["rule"] == "no_pairs" and rules(result, "would_change") == ["peer_scores"] and "far" in result["would_change"][0]["en"]


def test_four_clusters_can_show_nothing(world):
    labels = numpy.arange(200) % 4
    ours = numpy.ones(200)
    one = (numpy.arange(200) // 4 % 10 < 9 - labels // 2).astype(float)
    result = world.task("a", clusters=labels, ours=ours, one=one).run()
    few = [entry for entry in result["would_change"] if entry["rule"] == "clusters"]
    assert result["endpoints"]["text"]["p"] == 1 / 16 and [entry["clusters"] for entry in few] == [5] and "0.0625" in few[0]["en"]


@pytest.mark.parametrize("won, advice", [(3, 4), (4, None)])
def test_few_items_that_differ_can_show_nothing(world, won, advice):
    """McNemar's mid-p of k items won is 1/2^(k+1)."""
    ours, one = numpy.ones(1000), numpy.ones(1000)
    one[:won] = 0
    result = world.task("a", ours=ours, one=one).run()
    few = [entry for entry in result["would_change"] if entry["rule"] == "clusters"]
    assert [entry["clusters"] for entry in few] == ([advice] if advice else [])
    assert result["endpoints"]["text"]["p"] == pytest.approx(0.5 ** (won + 1)) and (result["verdict"] == "领先") == (advice is None)
    assert not few or "lead_gain" not in rules(result, "would_change")


def test_clusters_are_counted_where_there_are_clusters(world):
    labels = numpy.arange(240) % 40
    ours, one = answers(36, 240, 0.7, 0.68)
    result = world.task("a", clusters=labels, ours=ours, one=one).run()
    assert (result["verdict"], result["rule"]) == ("证据不足", "underpowered")
    needed = {entry["rule"]: entry for entry in result["would_change"]}
    unit = result["endpoints"]["text"]
    z = scipy_stats.norm.ppf(0.95) + scipy_stats.norm.ppf(0.8)
    assert needed["clusters_to_tie"]["clusters"] == numpy.ceil(40 * (z * unit["se"] / (unit["difference"] + 0.01)) ** 2)
    assert "it has 40, of 240 items" in needed["clusters_to_tie"]["en"]


@pytest.mark.parametrize("one, said", [(0, "Items of graded difficulty"), (1, "that tell ours from one")])
def test_differences_that_do_not_vary_are_told_apart(world, one, said):
    scores = numpy.ones(30)
    world.task("a", ours=[*scores, 1], one=[*(one * scores), one])
    world.scores["ours"]["b"], world.scores["one"]["b"] = [1, 0, 1], [1, 0, 1]  # so that the tables are not the same
    world.modality["b"], world.clusters["b"] = "vision", None
    world.scores["one"]["b"] = [0, 1, 1]
    result = world.run()
    assert said in " ".join(entry["en"] for entry in result["tasks"]["a"]["would_change"])


@pytest.mark.parametrize("clusters, said", [([0] * 50, "stand in one cluster"), (None, "has one item")])
def test_the_task_of_one_cluster_is_named(world, clusters, said):
    ours, one = answers(20, 50, 0.9, 0.3)
    world.task("many", ours=ours, one=one)
    world.task("lone", clusters=clusters, ours=ours if clusters else [1], one=one if clusters else [0])
    result = world.run()
    assert (result["verdict"], result["rule"]) == ("证据不足", "one_cluster")
    first = result["decided_by"][0]
    assert first["task"] == "lone" and said in first["en"] and result["would_change"][0]["task"] == "lone"


def test_a_lead_with_two_ranks_is_explained(world):
    """One-sided p of 0.04: a lead, though the two-sided rank set goes on to 2."""
    ours, one = numpy.zeros(400), numpy.zeros(400)
    ours[:200], one[:200] = 1, 1
    ours[200:220], one[220:230] = 1, 1
    result = world.task("a", ours=ours, one=one).run()
    assert result["verdict"] == "领先" and result["rank_sets"]["text"]["own"]["U"] == 2
    assert [note["rule"] for note in result["notes"]].count("two_sided_set") == 1


# --- what people see ---

def test_names_of_others_do_not_reach_the_terminal_as_they_are(pair):
    pair.tasks = ["{task: a, modality: text, items: 51}"]
    for model in ("ours", "one"):
        pair.scores[model]["a"] = pair.scores[model]["a"][:3]
    rows = [["\x1b[31mred" + "x" * 5000, "", "a", "text", 1], ["b", "", "a", "text", 0]]
    tables = [pair.table("ours", rows), pair.table("one", [["c", "", "a", "text", 1]])]
    done = subprocess.run([ZHIHENG, "rank", pair.protocol(), *tables], capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout and "?[31mred" in done.stdout and "x" * 300 not in done.stdout and "…" in done.stdout


def test_the_table_has_a_head_with_units(pair):
    done = subprocess.run([ZHIHENG, "rank", pair.protocol(), pair.table("ours"), pair.table("one")], capture_output=True, text=True,
                          check=True, env={**os.environ, "LC_ALL": "C"})
    assert "95 % interval" in done.stdout and " points " in done.stdout and "states neither protocol nor model file" in done.stdout


def test_people_read_it_in_both_languages(pair):
    words = [ZHIHENG, "rank", pair.protocol(), pair.table("ours"), pair.table("one")]
    for language, want in (("zh_CN.UTF-8", "ours: 领先"), ("C", "ours: leading")):
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "LC_ALL": language})
        assert done.returncode == 0 and done.stdout.startswith(want + "\n")


def test_the_example_is_a_protocol_that_runs(tmp_path):
    example = subprocess.run([ZHIHENG, "rank", "--example"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "protocol.yaml").write_text(example, encoding="utf-8")
    for model, line in zip(("ours", "peer-a"), answers(21, 900, 0.9, 0.8, shared=0.5)):
        rows = "".join(f"{task}-{i},,{task},{modality},{int(score)}\n" for task, modality in (("exam", "text"), ("charts", "vision"))
                       for i, score in enumerate(line))
        (tmp_path / f"{model}.csv").write_text("item,cluster,task,modality,score\n" + rows)
    words = [ZHIHENG, "rank", tmp_path / "protocol.yaml", tmp_path / "ours.csv", tmp_path / "peer-a.csv", "--json"]
    result = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert (result["verdict"], result["protocol"]["locked"]) == ("领先", "2026-11-22")
    # What the result shows of a task's items can be locked.
    names = "".join(sorted(f"exam-{i}\n" for i in range(900)))
    digest = result["tasks"]["exam"]["items_sm3"]
    assert digest == hashlib.new("sm3", names.encode()).hexdigest()
    locked = example.replace("{task: exam, modality: text,", "{task: exam, modality: text, items: 900, items_sm3: %s," % digest)
    assert locked != example
    (tmp_path / "protocol.yaml").write_text(locked, encoding="utf-8")
    assert json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)["verdict"] == "领先"


# --- a task that differs by as much on every item ---

def beside(world, ours, peer, items=334):
    """A task of which nothing follows, and one of the given scores."""
    first, second = answers(55, items, 0.7, 0.7, shared=0.5)
    return world.task("wide", ours=first, one=second).task("narrow", ours=ours, one=peer)


@pytest.mark.parametrize("count, clusters", [(2, None), (3, None), (40, None), (3, 2)])
@pytest.mark.parametrize("ours, one", [(0, 1), (1, 0), (0.9, 0.8)])
def test_a_task_that_differs_by_as_much_everywhere_leaves_the_mean_unknown(world, count, clusters, ours, one):
    """Two items lost by all are no ±0 beside 334: neither a lead nor its contrary, a tie or an interval follows."""
    items = count * (clusters or 1)
    beside(world, [ours] * items, [one] * items)
    world.clusters["narrow"] = [k // clusters for k in range(items)] if clusters else None
    result = world.run()
    unit = result["endpoints"]["text"]
    assert (result["verdict"], result["rule"], unit["verdict"]) == ("证据不足", "zero_variance", "证据不足")
    assert [unit[key] for key in ("se", "p", "low", "high", "bound", "L", "U")] == [None] * 5 + [1, 2]
    assert {(entry["L"], entry["U"]) for entry in result["rank_sets"]["text"]["joint"]} == {(1, 2)}
    told = [(entry["rule"], entry["task"]) for entry in result["decided_by"]]
    assert told == [("zero_variance", "narrow")] and rules(result, "would_change") == ["variation"]
    assert result["tasks"]["wide"]["p"] is not None


def test_a_constant_task_hides_no_other_pair(world):
    """One of two peers is above by the mean of both tasks, which vary: 不领先, and the joint sets tell the peers apart."""
    ours, one, two = answers(51, 400, 0.5, 0.5, 0.9, shared=0.5)
    few, more = answers(52, 60, 0.4, 0.8, shared=0.5)
    world.task("wide", ours=ours, one=one, two=two).task("narrow", ours=0.5 * few, one=0.5 * few + 0.125, two=more)
    result = world.run()
    assert (result["verdict"], rules(result), result["decided_by"][0]["peer"]) == ("不领先", ["own_rank"], "two")
    peers = result["endpoints"]["text"]["peers"]
    assert peers["one"]["p"] is None and peers["two"]["p"] > 0.99
    joint = {entry["model"]: (entry["L"], entry["U"]) for entry in result["rank_sets"]["text"]["joint"]}
    assert joint == {"ours": (2, 3), "one": (2, 3), "two": (1, 1)}


@pytest.mark.parametrize("gap, verdict", [(0.2, "领先"), (0, "证据不足"), (-0.2, "不领先")])
@pytest.mark.parametrize("graded", [False, True])
def test_a_task_that_never_differs_changes_nothing(world, gap, verdict, graded):
    ours, one = answers(53, 400, 0.6 + gap, 0.6, shared=0.5)
    alone = world.task("wide", ours=ours, one=one).run()
    same = answers(54, 400, 0.7)[0] * (0.37 if graded else 1)
    both = world.task("narrow", ours=same, one=same).run()
    assert alone["verdict"] == both["verdict"] == verdict
    before, after = alone["endpoints"]["text"], both["endpoints"]["text"]
    assert [after[key] for key in ("p", "method", "L", "U")] == [before[key] for key in ("p", "method", "L", "U")]
    assert [after["difference"], after["se"]] == pytest.approx([before["difference"] / 2, before["se"] / 2], rel=1e-9)
    assert after["low"] < after["difference"] < after["high"]


# --- how much a lead hangs on ---

def a_lead(world, kind):
    rng = numpy.random.default_rng(60)
    if kind == "mcnemar_mid_p":
        return sparse(world, 8, 1, items=600)
    if kind == "sign_flip":
        return world.task("a", ours=0.5 + 0.04 * rng.random(20), peer=0.5 + 0.04 * rng.random(20) - 0.012)
    if kind == "t":
        return world.task("a", clusters=numpy.arange(300) % 100, ours=rng.random(300), peer=rng.random(300) - 0.06)
    few = answers(61, 30, 0.9, 0.6)
    return world.task("a", ours=answers(62, 200, 0.8)[0], peer=answers(63, 200, 0.7)[0]).task("b", ours=few[0], peer=few[1])


@pytest.mark.parametrize("kind", ["mcnemar_mid_p", "sign_flip", "t", "two tasks"])
def test_as_many_clusters_turned_as_it_says_end_a_lead(world, kind):
    """By the very test that decided: one fewer leaves it."""
    a_lead(world, kind)
    if kind in ("sign_flip", "t"):
        world.lines["margin"] = "margin: 0.01"
    result = world.run()
    (fragile,) = [entry for entry in result["would_change"] if entry["rule"] == "fragile"]
    assert result["verdict"] == "领先" and (kind == "two tasks" or result["endpoints"]["text"]["method"] == kind)
    assert kind != "mcnemar_mid_p" or fragile["clusters"] == 1  # mid-p of 7 against 2 is 0.0547
    scores = {model: {task: numpy.array(values, float) for task, values in tasks.items()} for model, tasks in world.scores.items()}
    gains = []
    for task, values in scores["ours"].items():
        labels = numpy.arange(len(values)) if world.clusters[task] is None else numpy.asarray(world.clusters[task])
        for label in numpy.unique(labels):
            gains.append(((values - scores["peer"][task])[labels == label].sum() / len(values), task, labels == label))
    gains.sort(key=lambda gain: -gain[0])
    for turned in (fragile["clusters"] - 1, fragile["clusters"]):
        for model, other in (("ours", "peer"), ("peer", "ours")):
            for task, values in scores[model].items():
                world.scores[model][task] = values.copy()
            for _, task, which in gains[:turned]:
                world.scores[model][task][which] = scores[other][task][which]
        p = world.run()["endpoints"]["text"]["p"]
        assert (p <= 0.05) == (turned < fragile["clusters"])


# --- what would change it where the claimant is behind ---

@pytest.mark.parametrize("clusters", [None, 4])
def test_who_is_behind_hears_when_that_would_be_sure_and_what_would_lead(world, clusters):
    ours, one = answers(73, 60, 0.55, 0.7)
    world.task("a", clusters=None if clusters is None else numpy.arange(60) // clusters, ours=ours, one=one)
    result = world.run()
    assert (result["verdict"], result["rule"]) == ("证据不足", "underpowered")
    unit, (lose, lead) = result["endpoints"]["text"], result["would_change"]
    assert unit["difference"] < 0 and lead["rule"] == "lead_gain" and lead["gain"] >= -unit["bound"] > 0
    what = "clusters" if clusters else "items"
    z = scipy_stats.norm.ppf(0.975) + scipy_stats.norm.ppf(0.8)
    assert (lose["rule"], lose[what]) == (what + "_to_lose", numpy.ceil(unit[what] * (z * unit["se"] / unit["difference"]) ** 2))
    assert "that one is above ours" in lose["en"] and lose[what] > unit[what]


def test_a_primary_task_that_is_lost_is_one_to_gain_on(world):
    """Tied, and above by the mean: what is missing is the task."""
    a, b = answers(71, 300, 0.9, 0.4), answers(72, 300, 0.4, 0.6)
    result = world.task("a", ours=a[0], one=a[1]).task("b", ours=b[0], one=b[1]).run()
    assert (result["verdict"], rules(result)) == ("并列领先", ["non_inferior", "task_lost"])
    (gain,) = result["would_change"]
    lost = result["tasks"]["b"]
    half = scipy_stats.t.ppf(0.95, lost["df"]) * lost["se"]
    assert (gain["rule"], gain["task"]) == ("task_gain", "b") and gain["gain"] == pytest.approx(-lost["difference"] - half, rel=1e-9)


def test_what_is_to_gain_is_more_than_nothing(world):
    """Two items that both answer add no p, and limits that reach beyond 0."""
    ours, one = (numpy.arange(1000) % 10 < right for right in (5, 8))
    ours = numpy.where(numpy.arange(1000) % 97 == 0, 1, ours)
    result = world.task("a", ours=ours, one=one).task("b", ours=[1, 1], one=[1, 1]).run()
    unit, gain = result["endpoints"]["text"], result["would_change"][0]
    assert result["verdict"] == "不领先" and unit["high"] > 0 and gain["rule"] == "gain" and 0.1 < gain["gain"] < -unit["difference"]
