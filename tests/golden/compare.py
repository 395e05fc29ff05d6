"""`zhiheng compare`: figures against scipy, what cannot be compared, bundles and evaluations, pages as they were agreed."""
import csv
import hashlib
import io
import itertools
import json
import os
import re
import subprocess
import xml.etree.ElementTree
from pathlib import Path

import jsonschema
import numpy
import pytest
from scipy import stats

ZHIHENG = os.path.join(os.environ["ZH_BINARY_DIR"], "bin", "zhiheng")
ROOT = Path(os.environ["ZH_SOURCE_DIR"])
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs/schemas/compare.schema.json").read_text(encoding="utf-8")))


def call(*words, status=0, **options):
    done = subprocess.run([ZHIHENG, "compare", *map(str, words)], capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == status, done.stderr
    return done


def compare(*words):
    result = json.loads(call(*words, "--json").stdout)
    assert [error.message for error in SCHEMA.iter_errors(result)] == []
    return result


def pair(result, task, first=0, second=1):
    found, = [p for p in result["pairs"] if (p["task"], p["first"], p["second"]) == (task, first, second)]
    return found


def kinds(entry):
    return [reason["kind"] for reason in entry["reasons"]]


def table(path, tasks, remarks=(), header="item,cluster,task,modality,score,prompt"):
    """tasks: {name: [(item, cluster, score, prompt)]}"""
    lines = [f"# {remark}" for remark in remarks] + [header]
    for task, rows in tasks.items():
        lines += [f"{item},{cluster},{task},text,{score},{prompt}" for item, cluster, score, prompt in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows(scores, clusters=None):
    return [(f"i{k}", "" if clusters is None else f"c{clusters[k]}", repr(float(score)), f"p{k}") for k, score in enumerate(scores)]


def answers(seed, items, *shares):
    rng = numpy.random.default_rng(seed)
    luck = rng.random(items)
    return [(0.6 * luck + 0.4 * rng.random(items) < share).astype(float) for share in shares]


def holm(p):
    order, adjusted, worst = numpy.argsort(p), numpy.empty(len(p)), 0
    for rank, at in enumerate(order):
        worst = max(worst, min(1, p[at] * (len(p) - rank)))
        adjusted[at] = worst
    return adjusted


def sm3(data):
    return hashlib.new("sm3", data).hexdigest()


# --- bundles and evaluations, as the program writes them ---

def write_run(folder, models, figures, machine="a processor", threads=2, parameters=None, stable=True, valid=True, quality=(), n=7):
    """figures: {model: {(step, metric, unit): (value, low, high)}}; quality: steps with a model and facts, of files that are there"""
    parameters = parameters or {"prompt": 512, "precision": "fast"}
    lines, steps, audits = [], [], []
    for name, (digest, kind) in models.items():
        audits.append({"name": name, "format": "gguf", "bytes": 1000, "sm3": digest, "sha256": None, "notes": [],
                       "architecture": {}, "groups": [], "tensors": 1, "buffers": 0,
                       "parameters": {"declared": None, "stored": 500, "unique": 500, "active": 500},
                       "types": [{"type": kind, "tensors": 1, "parameters": 500, "bytes": 900}]})
        for (step, metric, unit), (value, low, high) in figures.get(name, {}).items():
            lines.append({"step": f"{step}@{name}", "workload": step.split("-")[0], "model": name, "metric": metric, "value": value,
                          "unit": unit, "n": n, "ci95": [low, high], "more_is_better": unit != "s", "when": "main", "peak": None,
                          "samples": "samples/x.json", "valid": valid})
            steps.append({"step": f"{step}@{name}", "workload": step.split("-")[0], "model": name, "when": "main", "status": "done",
                          "reason": "", "wall_s": 1, "ranks": [], "parameters": parameters,
                          "facts": {"content_sm3": digest, "kernels": "avx512"}, "checks": []})
    for name, facts in quality:
        steps.append({"step": f"tasks@{name}", "workload": "quality", "model": name, "when": "main", "status": "done", "reason": "",
                      "wall_s": 1, "ranks": [], "parameters": {}, "checks": [],
                      "facts": {"content_sm3": models[name][0], "quality": facts}})
    run = {"schema": "zhiheng.run/1", "id": "x", "suite": {"name": "compare", "sm3": sm3(b"suite")}, "plan_sm3": sm3(b"plan"),
           "seed": "0x0000000000000001", "fault": "none", "command": [],
           "version": {"zhiheng": "0.1.0", "compiler": "gcc", "kernels": "avx512", "mpi": None},
           "started_utc": "2026-11-21T10:08:12Z", "finished_utc": "2026-11-21T10:08:20Z", "ranks": 1, "threads": threads,
           "harness": {}, "models": [{"name": name, "format": "gguf", "path": "", "bytes": 1000, "sm3": digest, "sha256": None,
                                      "content_sm3": digest} for name, (digest, _) in models.items()],
           "steps": steps, "criteria": [], "stability": {"stable": stable, "limit": 0.1, "drift": []}, "valid": valid}
    files = {"run.json": json.dumps(run), "audit.json": json.dumps({"schema": "zhiheng.audit/1", "models": audits}),
             "environment/machine.json": json.dumps({"hostname": "vm", "cpu": {"model": machine, "packages": 1, "cores": 2, "threads": 2},
                                                     "gpus": []}),
             "measurements.jsonl": "".join(json.dumps(line) + "\n" for line in lines)}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    every = sorted((str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()), key=str.encode)
    (folder / "MANIFEST.sm3").write_text("".join(f"{sm3((folder / name).read_bytes())}  {name}\n" for name in every))
    return folder


def write_evaluation(folder, model, digest, tasks, metadata=None, config=None):
    """tasks: {name: [sample]}, each with doc, metrics and resps."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {"results": {}, "configs": {task: {"metadata": metadata or {}} for task in tasks}, "versions": {task: 1.0 for task in tasks},
               "n-shot": {task: 0 for task in tasks}, "higher_is_better": {task: {"acc": True} for task in tasks},
               "config": {"model": "zhiheng", "model_args": {"precision": "fast", "kv": "bf16"}, "made_seed": 7, "limit": None} | (config or {}),
               "model_name": model, "model_sm3": digest, "model_source": "zhiheng 0.1.0"}
    (folder / "results_2026-11-22T01-00-00.000001.json").write_text(json.dumps(results), encoding="utf-8")
    for task, samples in tasks.items():
        lines = []
        for number, sample in enumerate(samples):
            text = json.dumps(sample["doc"])
            lines.append({"doc_id": number, "target": "0", "arguments": {}, "filter": "none",
                          "doc_hash": hashlib.sha256(text.encode()).hexdigest(),
                          "prompt_hash": hashlib.sha256(b"asked " + text.encode()).hexdigest()} | sample)
        (folder / f"samples_{task}_2026-11-22T01-00-00.000001.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def choices(right, likely):
    """Samples of two options each; likely: log-likelihood of the right one, the first."""
    return [{"doc": {"n": k}, "metrics": ["acc"], "acc": float(r), "resps": [[[repr(float(l)), "False"]], [["-1.5", "True"]]]}
            for k, (r, l) in enumerate(zip(right, likely))]


# --- figures ---

def test_pairs_take_the_test_that_fits_and_holm_adjusts_all_of_them(tmp_path):
    rng = numpy.random.default_rng(5)
    single, many, few = answers(1, 300, 0.7, 0.55), rng.random((2, 240)), rng.random((2, 120)) + [[0.1], [0]]
    of_many, of_few = rng.permutation(numpy.repeat(numpy.arange(40), 6)), numpy.repeat(numpy.arange(12), 10)
    paths = [table(tmp_path / f"{name}.csv", {"single": rows(single[k]), "many": rows(many[k] / 2, of_many), "few": rows(few[k] / 2, of_few)})
             for k, name in enumerate(("one", "two"))]
    got = compare(*paths)
    b, c = (single[0] > single[1]).sum(), (single[0] < single[1]).sum()
    tail = stats.binom.cdf(min(b, c), b + c, 0.5) - stats.binom.pmf(min(b, c), b + c, 0.5) / 2
    assert pair(got, "single")["method"] == "mcnemar_mid_p" and pair(got, "single")["discordant"] == [b, c]
    assert pair(got, "single")["p"] == pytest.approx(2 * tail, rel=1e-9)
    difference = (many[0] - many[1]) / 2
    sums = numpy.array([(difference - difference.mean())[of_many == label].sum() for label in range(40)])
    se = (40 / 39 * (sums**2).sum()) ** 0.5 / 240
    assert pair(got, "many")["method"] == "t" and pair(got, "many")["se"] == pytest.approx(se, rel=1e-12)
    assert pair(got, "many")["p"] == pytest.approx(2 * stats.t.sf(abs(difference.mean()) / se, 39), rel=1e-9)
    half = stats.t.ppf(0.975, 39) * se
    assert [pair(got, "many")["low"], pair(got, "many")["high"]] == pytest.approx([difference.mean() - half, difference.mean() + half], rel=1e-9)
    sums = numpy.array([(few[0] - few[1])[of_few == label].sum() for label in range(12)])
    flips = numpy.array(list(itertools.product((1, -1), repeat=12))) @ sums
    assert pair(got, "few")["method"] == "sign_flip"
    assert pair(got, "few")["p"] == pytest.approx((abs(flips) >= abs(sums.sum()) - 1e-9).mean(), abs=1e-12)
    assert len(got["pairs"]) == got["family"]["tests"] == 4 and got["tasks"][-1]["overall"]
    assert [p["p_adjusted"] for p in got["pairs"]] == pytest.approx(list(holm([p["p"] for p in got["pairs"]])), rel=1e-12)
    wilson = stats.binomtest(int(single[0].sum()), 300).proportion_ci(method="wilson")
    cell = got["tasks"][0]["of"][0]
    assert [cell["low"], cell["high"]] == pytest.approx([wilson.low, wilson.high], rel=1e-9)
    exploratory = compare(*paths, "--exploratory")
    assert [p["p_adjusted"] for p in exploratory["pairs"]] == pytest.approx(
        list(stats.false_discovery_control([p["p"] for p in got["pairs"]])), rel=1e-12)


@pytest.mark.parametrize("scale, step", [(1, 0.0001), (100, 0.01)])
def test_a_constant_step_between_graded_scores_is_no_difference(tmp_path, scale, step):
    """What rounding to binary fractions leaves of a step that is the same on every item is no variance."""
    peer = numpy.round(scale * numpy.random.default_rng(5).random(100), 4)
    for name, scores in (("one", numpy.round(peer + step, 4)), ("two", peer)):
        table(tmp_path / f"{name}.csv", {"a": rows(scores)})
    found = pair(compare(tmp_path / "one.csv", tmp_path / "two.csv"), "a")
    assert (found.get("p"), found["verdict"], kinds(found)) == (None, "insufficient", ["zero_variance"])


def test_rows_threads_and_the_order_of_options_change_nothing(tmp_path):
    scores = answers(2, 120, 0.7, 0.6, 0.5)
    paths = [table(tmp_path / f"{name}.csv", {"a": rows(s)}) for name, s in zip("xyz", scores)]
    first = compare(*paths, "--threads", "1")
    for path, s in zip(paths, scores):
        table(path, {"a": [rows(s)[i] for i in numpy.random.default_rng(1).permutation(120)]})
    again = compare("--threads", "3", *paths)
    for result in (first, again):
        for model in result["models"]:
            model.pop("sources")
    assert first == again


def test_against_one_model_leaves_the_others_pairs_out(tmp_path):
    scores = answers(3, 150, 0.8, 0.5, 0.5)
    paths = [table(tmp_path / f"{name}.csv", {"a": rows(s)}) for name, s in zip("xyz", scores)]
    got = compare(*paths, "--against", "y")
    assert [(p["first"], p["second"]) for p in got["pairs"]] == [(0, 1), (2, 1)] and got["reference"] == 1
    assert pair(got, "a", 0, 1)["verdict"] == "above" and pair(got, "a", 2, 1)["verdict"] == "open"
    assert "did you mean 'y'?" in call(*paths, "--against", "yy", status=2).stderr


def test_perplexity_is_paired_by_document(tmp_path):
    rng = numpy.random.default_rng(9)
    size, base = rng.integers(200, 900, 60), rng.normal(0.9, 0.1, 60)
    nats = [base * size, (base + rng.normal(0.01, 0.02, 60)) * size]
    for name, values in zip(("full", "small"), nats):
        write_evaluation(tmp_path / name, name, sm3(name.encode()), {"texts": [
            {"doc": {"n": k}, "metrics": ["bits_per_byte"], "bits_per_byte": [-float(v), int(b)], "resps": [[repr(-float(v))]]}
            for k, (v, b) in enumerate(zip(values, size))]})
    got = compare(tmp_path / "full", tmp_path / "small", "--damage", "full=small")
    bits = [values.sum() / size.sum() / numpy.log(2) for values in nats]
    assert [cell["score"] for cell in got["tasks"][0]["of"]] == pytest.approx(bits, rel=1e-12)
    change = bits[1] - bits[0]
    residuals = (nats[1] - nats[0]) / numpy.log(2) - change * size
    se = (60 / 59 * (residuals**2).sum()) ** 0.5 / size.sum()
    task, = got["damage"]["pairs"][0]["tasks"]
    assert task["test"]["difference"] == pytest.approx(change, rel=1e-9) and task["test"]["se"] == pytest.approx(se, rel=1e-9)
    assert task["test"]["p"] == pytest.approx(2 * stats.t.sf(change / se, 59), rel=1e-7)
    assert task["perplexity_ratio"] == pytest.approx(2**change, rel=1e-12) and task["flips"] is None
    assert pair(got, "texts")["difference"] == pytest.approx(-change, rel=1e-9)
    # Fewer bits are better, whatever the sign of the difference.
    assert pair(got, "texts")["verdict"] == "above"
    for language, said in (("en", "better"), ("zh", "优于")):
        shown = call(tmp_path / "full", tmp_path / "small", "--markdown", "--lang", language).stdout
        assert re.search(rf"\| texts \| full \| small \| −0\.\d+ \|.*\| {said} \|\n", shown)


def test_damage_counts_answers_that_turned_and_pairs_likelihoods(tmp_path):
    right = answers(7, 200, 0.6, 0.5)
    rng = numpy.random.default_rng(8)
    likely = [rng.normal(-2, 1, 200)]
    likely.append(likely[0] + rng.normal(-0.05, 0.2, 200))
    for k, name in enumerate(("BF16", "Q4_0")):
        write_evaluation(tmp_path / name, name, sm3(name.encode()), {"t": choices(right[k], likely[k])})
    got = compare(tmp_path / "BF16", tmp_path / "Q4_0", "--damage", "BF16=Q4_0")
    task, = got["damage"]["pairs"][0]["tasks"]
    lost, won = int((right[0] > right[1]).sum()), int((right[0] < right[1]).sum())
    assert (task["flips"]["right_to_wrong"], task["flips"]["wrong_to_right"]) == (lost, won)
    assert task["flips"]["mcnemar_exact"] == pytest.approx(stats.binomtest(lost, lost + won).pvalue, rel=1e-9)
    assert task["test"]["difference"] == pytest.approx(right[1].mean() - right[0].mean(), abs=1e-12)
    want = stats.ttest_rel(likely[1], likely[0])
    assert task["likelihood"]["p"] == pytest.approx(want.pvalue, rel=1e-7)
    assert task["likelihood"]["difference"] == pytest.approx((likely[1] - likely[0]).mean(), rel=1e-9)
    tests = [task["test"], task["likelihood"]]
    assert [t["p_adjusted"] for t in tests] == pytest.approx(list(holm([t["p"] for t in tests])), rel=1e-12)
    assert got["damage"]["tests"] == 2
    # Where nothing turned there is no error, and no figure: never a difference of 0 that looks certain.
    write_evaluation(tmp_path / "Q8_0", "Q8_0", sm3(b"Q8_0"), {"t": choices(right[0], likely[1])})
    task, = compare(tmp_path / "BF16", tmp_path / "Q8_0", "--damage", "BF16=Q8_0")["damage"]["pairs"][0]["tasks"]
    assert task["test"] == {"method": "none"} | dict.fromkeys(("difference", "se", "low", "high", "p"))
    assert kinds(task) == ["zero_variance"]
    assert (task["flips"]["right_to_wrong"], task["flips"]["wrong_to_right"]) == (0, 0) and task["likelihood"]["p"] is not None


# --- what cannot be compared is named, and has no figure ---

PLAIN = rows(answers(4, 80, 0.6)[0])
OTHER = rows(answers(4, 80, 0.6, 0.5)[1])
PROTOCOL = "protocol: " + "ab" * 32
HOSTILE = {
    "items_missing": dict(second=OTHER[:-3]),
    "duplicate": dict(second=[*OTHER, OTHER[5]]),
    "prompt_differs": dict(second=[(*row[:3], "else") for row in OTHER]),
    "prompt_unstated": dict(second=[(*row[:3], "") for row in OTHER]),
    "two_scales": dict(second=[(*row[:2], repr(100 * float(row[2])), row[3]) for row in OTHER]),
    "modality_differs": dict(second=OTHER, modality="image"),
    "cluster_differs": dict(second=[(row[0], "c1", *row[2:]) for row in OTHER]),
    "not_finite": dict(second=[*OTHER[:-1], (*OTHER[-1][:2], "nan", OTHER[-1][3])]),
    "zero_variance": dict(second=[(*row[:2], repr(float(row[2]) - 0.25), row[3]) for row in PLAIN]),
    "one_cluster": dict(first=rows([1, 0, 1, 1], [1] * 4), second=rows([0, 1, 1, 0], [1] * 4)),
    "same_model": dict(second=OTHER, remarks=["model_sm3: " + "12" * 32] * 2),
    "protocol_differs": dict(second=OTHER, remarks=[PROTOCOL, "protocol: " + "cd" * 32]),
    "missing": dict(second=OTHER, task="b"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_cannot_be_compared_is_named(tmp_path, kind):
    case = HOSTILE[kind]
    remarks = case.get("remarks", ["by: hand", "by: hand"])
    paths = [table(tmp_path / "one.csv", {"a": case.get("first", PLAIN), "c": PLAIN}, remarks[:1]),
             table(tmp_path / "two.csv", {case.get("task", "a"): case["second"], "c": OTHER}, remarks[1:])]
    paths[1].write_text(paths[1].read_text().replace(",a,text,", f",a,{case.get('modality', 'text')},"))
    got = compare(*paths)
    found = pair(got, "a")
    assert found["verdict"] == "insufficient" and kind in kinds(found) and "p" not in found and "difference" not in found
    assert all("one" in r["zh"] or "two" in r["zh"] for r in found["reasons"])
    assert found["missing"] == (kind == "missing")
    for form in ([], ["--markdown"], ["--csv"]):
        said = call(*paths, "--lang", "zh", *form).stdout
        assert "±0" not in said.replace("不得写作 ±0", "") and "nan" not in said.lower()
        assert found["reasons"][0]["zh"] in said or form == ["--markdown"] or kind == "missing"
    # A fault of one task does not spoil another, unless it is the model's.
    whole = kind in ("same_model", "protocol_differs")
    assert (pair(got, "c")["verdict"] == "insufficient") == whole
    # What stands above the pairs does not contradict them.
    apart = kind not in ("zero_variance", "one_cluster", "same_model", "missing")
    assert got["protocol"]["scores"]["comparable"] is not apart
    named = {"prompt_differs": "prompts a", "prompt_unstated": "prompts a", "modality_differs": "modality a", "protocol_differs": "protocol"}
    fields = {d["field"]: d["breaks"] for d in got["protocol"]["differences"]}
    assert kind not in named or fields[named[kind]] is True


@pytest.mark.parametrize("score", ["", "NA", "None"])
def test_a_score_that_is_not_there_is_named(tmp_path, score):
    gap = [*OTHER[:-1], (*OTHER[-1][:2], score, OTHER[-1][3])]
    found = pair(compare(table(tmp_path / "one.csv", {"a": PLAIN}), table(tmp_path / "two.csv", {"a": gap})), "a")
    assert found["verdict"] == "insufficient" and kinds(found) == ["not_finite"] and "missing" in found["reasons"][0]["en"]


def test_one_table_under_two_names(tmp_path):
    paths = [table(tmp_path / f"{name}.csv", {"a": PLAIN}) for name in ("one", "two")]
    found = pair(compare(*paths), "a")
    assert kinds(found) == ["same_table"] and found["verdict"] == "insufficient"


def test_scores_on_two_scales_are_not_compared(tmp_path):
    """0 and 1 beside 0 and 100: also where runs are averaged. Scores that may well be of one scale are compared."""
    right, other = answers(6, 90, 0.7, 0.5)
    rng = numpy.random.default_rng(3)

    def tables(first, second, header="item,cluster,task,modality,score,prompt"):
        return [table(tmp_path / f"{name}.csv", {"a": of}, header=header) for name, of in (("one", first), ("two", second))]

    found = pair(compare(*tables(rows(100 * right), rows(other))), "a")
    assert [reason["en"] for reason in found["reasons"]] == [
        'Task "a": the scores of two go up to 1 and those of one up to 100, which looks like two scales (shares and percents, for instance): '
        'write both on one.']
    runs = [[(item, cluster, score, run) for run in range(3) for item, cluster, score, _ in rows(numpy.roll(of, run))] for of in (100 * right, other)]
    assert kinds(pair(compare(*tables(*runs, header="item,cluster,task,modality,score,run")), "a")) == ["two_scales"]
    for first, second in ((rng.normal(1, 0.2, 90), rng.normal(0.8, 0.05, 90)),  # bits a byte
                          (rng.integers(0, 11, 90), numpy.zeros(90)),          # 0 is 0 on every scale
                          (rng.integers(0, 4, 90), rng.integers(0, 2, 90)),    # a weak model under a rubric of three points
                          (100 * right, 100 * other)):
        assert "p" in pair(compare(*tables(rows(first), rows(second))), "a")


def test_who_says_less_goes_with_one_of_two_that_differ(tmp_path):
    """A table without modalities matches either of two; with it stands only who matches all."""
    of = answers(6, 90, 0.8, 0.6, 0.4)
    paths = [table(tmp_path / f"{name}.csv", {"a": rows(scores)}) for name, scores in zip(("text", "none", "image"), of)]
    for path in paths[1:]:
        path.write_text(path.read_text().replace(",text,", f",{path.stem.replace('none', '')},"))
    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0)):
        got = compare(*(paths[k] for k in order))
        for p in got["pairs"]:
            names = {got["models"][p["first"]]["label"], got["models"][p["second"]]["label"]}
            if names == {"text", "image"}:
                assert kinds(p) == ["modality_differs"]
            elif p["verdict"] == "insufficient":
                assert kinds(p) == ["modality_differs"] and re.search("with (text and image|image and text) ", p["reasons"][0]["en"])
        assert sum("p" in p for p in got["pairs"]) == 1 and got["protocol"]["scores"]["comparable"] is False


def test_one_item_or_cluster_is_no_want_of_variance(tmp_path):
    """What is said is so, of the task, of all tasks together and of damage."""
    tasks = {"lone": [rows([1]), rows([0])], "joined": [rows([1, 0, 1, 1], [1] * 4), rows([0, 1, 1, 0], [1] * 4)],
             "same": [PLAIN, PLAIN], "c": [PLAIN, OTHER]}
    paths = [table(tmp_path / f"{name}.csv", {task: of[k] for task, of in tasks.items()}) for k, name in enumerate(("one", "two"))]
    got = compare(*paths, "--damage", "one=two")
    lone, joined = ([reason["en"] for reason in pair(got, task)["reasons"]] for task in ("lone", "joined"))
    assert lone == ['one and two answered one item of task "lone", of which no error can be estimated.']
    assert joined == ['All items of task "joined" (4) that one and two answered stand in one cluster, where they depend on each other, '
                      "so that no error can be estimated."]
    assert kinds(pair(got, "same")) == ["zero_variance"] and "p" in pair(got, "c")
    # A task on which they do not differ is not why nothing can be said of all together.
    assert [reason["en"] for reason in pair(got, "overall")["reasons"]] == lone + joined
    assert [reason["kind"] for task in got["damage"]["pairs"][0]["tasks"] for reason in task["reasons"]] == [
        "one_cluster", "one_cluster", "zero_variance"]
    for path in paths:
        table(path, {"a": PLAIN, "b": PLAIN}, [f"model: {path.stem}"])
    assert kinds(pair(compare(*paths), "overall")) == ["zero_variance"]


def climbing(folder):
    write_evaluation(folder, "m", "", {})
    results, = folder.glob("results_*.json")
    results.write_text(json.dumps(json.loads(results.read_text()) | {"configs": {"../t": {}}}))
    return folder


@pytest.mark.parametrize("spoil, said", [
    (lambda f: [f / "none"], "no such bundle"),
    (lambda f: [table(f / "x.csv", {"a": [("i", "", "good", "")]})], "where a number is expected"),
    (lambda f: [table(f / "x.csv", {"a": PLAIN}, header="item,clusters,task,modality,score,prompt")], "did you mean 'clusters'?"),
    (lambda f: [f], "neither a bundle"),
    (lambda f: [climbing(f / "e")], "no '/'"),
    (lambda f: [(write_evaluation(f / "e", "m", "", {"t": []}) / "samples_t_2026-11-22T01-00-00.000001.jsonl").write_text("{") and f / "e"],
     "samples_t_"),
    (lambda f: [f / "one.csv"], "a comparison takes two to 50"),
    (lambda f: [f / "one.csv", "x=" + str(f / "one.csv"), "x=" + str(f / "one.csv")], "name each once"),
], ids=["absent", "no number", "a misspelt column", "empty folder", "path in a task", "torn samples", "alone", "twice one label"])
def test_unreadable_input_is_refused(tmp_path, spoil, said):
    one = table(tmp_path / "one.csv", {"a": PLAIN})
    words = spoil(tmp_path)
    done = call(*(words if one in words else [one, *words]), status=2)
    assert said in done.stderr and done.stdout == ""


def test_a_bundle_that_was_changed_is_refused(tmp_path):
    folder = write_run(tmp_path / "run", {"m.gguf": (sm3(b"m"), "BF16")}, {})
    (folder / "measurements.jsonl").write_text("{}\n")
    assert "measurements.jsonl" in call(folder, table(tmp_path / "one.csv", {"a": PLAIN}), status=1).stderr


# --- only what the inputs state is said ---

def test_conditions_that_no_input_states_are_named(tmp_path):
    bare = [(item, cluster, score, "") for item, cluster, score, _ in PLAIN], [(item, cluster, score, "") for item, cluster, score, _ in OTHER]
    scores = compare(*(table(tmp_path / f"{k}.csv", {"a": of}) for k, of in enumerate(bare)))["protocol"]["scores"]
    assert scores["comparable"] is True and scores["not_stated"] == ["prompts", "metric", "protocol"]
    assert scores["en"] == ("Scores can be compared: items are the same. Not stated by every input, and so not known to be the same: "
                            "prompts, metrics and protocol.")
    assert scores["zh"] == "得分可比：题目相同。并非所有输入都注明了提示、指标、评测协议，是否相同无从核对。"
    stated = [table(tmp_path / f"{k}.csv", {"a": of}, [PROTOCOL]) for k, of in enumerate((PLAIN, OTHER))]
    assert compare(*stated)["protocol"]["scores"]["not_stated"] == ["metric"]
    for k, name in enumerate(("full", "small")):
        write_evaluation(tmp_path / name, name, sm3(name.encode()), {"t": choices(answers(7, 50, 0.6, 0.5)[k], numpy.arange(50))})
    scores = compare(tmp_path / "full", tmp_path / "small")["protocol"]["scores"]
    assert scores["not_stated"] == ["protocol"] and scores["en"].startswith("Scores can be compared: items, prompts and metrics are the same.")


@pytest.mark.parametrize("task", ["长" * 140, "t" * 8000], ids=["cut in a character", "very long"])
def test_items_of_a_task_with_a_long_name_are_compared(tmp_path, task):
    tables = [table(tmp_path / f"{k}.csv", {task + end: of for end in "xy"}) for k, of in enumerate((PLAIN, PLAIN[:-1]))]
    assert {d["field"] for d in compare(*tables)["protocol"]["differences"]} == {f"{what} {task}{end}" for what in ("items", "prompts") for end in "xy"}


@pytest.mark.parametrize("versions", [("a" * 61 + "1", "a" * 61 + "2"), ("a" * 59 + "一", "b" * 59 + "一"), (20251101, 20251102), (1.5, 1.25)],
                         ids=["long", "cut in a character", "date", "fraction"])
def test_versions_of_a_task_are_compared_whole(tmp_path, versions):
    for k, version in enumerate(versions):
        folder = write_evaluation(tmp_path / str(k), f"m{k}", sm3(b"%d" % k), {"t": choices(answers(7, 50, 0.6, 0.5)[k], numpy.arange(50))})
        file, = folder.glob("results_*.json")
        file.write_text(json.dumps(json.loads(file.read_text()) | {"versions": {"t": version}}, ensure_ascii=False), encoding="utf-8")
    differs, = compare(tmp_path / "0", tmp_path / "1")["protocol"]["differences"]
    assert differs == {"field": "version t", "of": "scores", "breaks": True, "values": [str(version) for version in versions]}


def test_a_metric_that_no_task_has_is_refused(tmp_path):
    samples = [dict(sample, metrics=["acc", "acc_norm"], acc_norm=1.0 - sample["acc"]) for sample in choices(answers(7, 50, 0.6)[0], numpy.arange(50))]
    other = [dict(sample, metrics=["acc", "acc_norm"], acc_norm=1.0 - sample["acc"]) for sample in choices(answers(8, 50, 0.6)[0], numpy.arange(50))]
    paths = [write_evaluation(tmp_path / name, name, sm3(name.encode()), {"t": of}) for name, of in (("one", samples), ("two", other))]
    assert compare(*paths, "--metric", "acc_norm")["tasks"][0]["metric"] == "acc_norm"
    assert "--metric foo: no task has it; there are acc, acc_norm" in call(*paths, "--metric", "foo", status=2).stderr
    tables = [table(tmp_path / f"{k}.csv", {"a": of}) for k, of in enumerate((PLAIN, OTHER))]
    assert "tables of scores do not" in call(*tables, "--metric", "acc", status=2).stderr


def test_a_model_is_not_its_own_damage(tmp_path):
    paths = [table(tmp_path / f"{name}.csv", {"a": of}) for name, of in (("ours", PLAIN), ("theirs", OTHER))]
    assert "--damage ours=ours: a model is not held against itself" in call(*paths, "--damage", "ours=ours", status=2).stderr
    assert "--damage ours=theirs,ours" in call(*paths, "--damage", "ours=theirs,ours", status=2).stderr


def test_a_folder_that_is_no_bundle_is_told_so(tmp_path):
    one = table(tmp_path / "one.csv", {"a": PLAIN})
    folder = write_run(tmp_path / "run", {"m.gguf": (sm3(b"m"), "BF16")}, {})
    (folder / "MANIFEST.sm3").rename(tmp_path / "kept")
    said = call(one, folder, status=2).stderr
    assert f"{folder}: no whole bundle: it lacks MANIFEST.sm3" in said and "table of scores" in said
    (folder / "run.json").unlink()
    (tmp_path / "kept").rename(folder / "MANIFEST.sm3")
    assert "it lacks run.json" in call(one, folder, status=2).stderr


def test_cells_of_csv_are_no_formulas(tmp_path):
    names = ["=cmd()", "+1+1", "-q4", "@sum", "-12.5", "plain"]
    paths = [table(tmp_path / f"{k}.csv", {"a": rows(of)}, [f"model: {name}"])
             for k, (name, of) in enumerate(zip(names, answers(3, 60, *numpy.linspace(0.3, 0.8, 6))))]
    found = list(csv.DictReader(io.StringIO(call(*paths, "--csv", "--lang", "zh").stdout)))
    assert {row["model"] for row in found if row["kind"] == "score"} == {"'=cmd()", "'+1+1", "'-q4", "'@sum", "-12.5", "plain"}
    for row in found:
        for cell in row.values():
            assert cell[:1] not in tuple("=+-@\t") or float(cell) is not None


# --- bundles ---

def speeds(value, spread=0.01):
    return {("decode", "decode_rate", "token/s"): (value, value * (1 - spread), value * (1 + spread)),
            ("decode", "tpot", "s"): (1 / value, (1 - spread) / value, (1 + spread) / value)}


def of(result, name):
    entry, = [speed for speed in result["speeds"] if speed["figure"] == name]
    return entry["of"]


def test_speeds_are_told_apart_where_intervals_do_not_meet(tmp_path):
    models = {name: (sm3(name.encode()), "Q4_0") for name in ("a", "b", "c")}
    folder = write_run(tmp_path / "run", models, {"a": speeds(100), "b": speeds(120), "c": speeds(101)})
    got = compare(folder)
    rates, times = of(got, "decode/decode_rate"), of(got, "decode/tpot")
    assert [rate["ratio"]["verdict"] for rate in rates[1:]] == ["above", "open"]
    assert [time["ratio"]["verdict"] for time in times[1:]] == ["above", "open"]
    assert rates[1]["ratio"]["value"] == pytest.approx(1.2) and rates[1]["ratio"]["low"] == pytest.approx(118.8 / 101)
    assert got["protocol"]["speeds"]["comparable"] is True and got["protocol"]["scores"]["comparable"] is None
    assert [m["type"] for m in got["models"]] == ["Q4_0"] * 3 and got["pairs"] == []


@pytest.mark.parametrize("change, field, why", [
    (dict(machine="another"), "machine", "conditions"), (dict(threads=4), "threads", "conditions"),
    (dict(parameters={"prompt": 64, "precision": "fast"}), "parameters decode", "parameters"),
    (dict(stable=False), None, "doubtful"), (dict(valid=False), None, "invalid"), (dict(n=1), None, "single")])
def test_speeds_under_other_conditions_are_not_compared(tmp_path, change, field, why):
    one = write_run(tmp_path / "one", {"a": (sm3(b"a"), "BF16")}, {"a": speeds(100)})
    two = write_run(tmp_path / "two", {"b": (sm3(b"b"), "Q8_0")}, {"b": speeds(150)}, **change)
    got = compare(one, two)
    ratio = of(got, "decode/decode_rate")[1]["ratio"]
    assert (ratio["verdict"], ratio["why"]) == ("insufficient", why)
    assert (ratio["value"] is None) == (why in ("parameters", "invalid"))
    assert got["protocol"]["speeds"]["comparable"] is (why == "single")
    fields = {d["field"]: d["breaks"] for d in got["protocol"]["differences"]}
    assert fields["type"] is False and (field is None or fields[field] is True)


def test_parameters_of_a_step_with_a_long_name_are_compared(tmp_path):
    step = "decode-" + "长" * 80  # 200 bytes end in the middle of a character
    folders = [write_run(tmp_path / name, {name: (sm3(name.encode()), "BF16")}, {name: {(step, "decode_rate", "token/s"): (rate, rate - 1, rate + 1)}},
                         parameters={"prompt": prompt}) for name, rate, prompt in (("a", 100, 512), ("b", 150, 128))]
    ratio = of(compare(*folders), f"{step}/decode_rate")[1]["ratio"]
    assert (ratio["verdict"], ratio["why"], ratio["value"]) == ("insufficient", "parameters", None)


def test_a_figure_that_was_measured_once_has_no_interval(tmp_path):
    """Its one value is no interval: neither of the figure nor of a ratio, nor does a drawing show it."""
    models = {name: (sm3(name.encode()), "BF16") for name in ("a", "b")}
    run = write_run(tmp_path / "run", models, {"a": speeds(100, spread=0), "b": speeds(150, spread=0)}, n=1)
    paths = [run, *(write_evaluation(tmp_path / name, name, models[name][0], {"t": choices(*[answers(7, 50, 0.6)[0]] * 2)}) for name in models)]
    got = compare(*paths)
    for speed in of(got, "decode/decode_rate"):
        assert (speed["low"], speed["high"], speed["n"]) == (None, None, 1)
    ratio = of(got, "decode/decode_rate")[1]["ratio"]
    assert ratio == {"value": 1.5, "low": None, "high": None, "verdict": "insufficient", "why": "single"}
    assert [point["speed_interval"] for point in got["fronts"][0]["points"]] == [[None, None]] * 2
    assert "| decode/decode_rate | b | 150.0 token/s | — | 1 | 1.500 | insufficient evidence: measured once" in call(
        *paths, "--markdown", "--lang", "en").stdout
    found = [row for row in csv.DictReader(io.StringIO(call(*paths, "--csv").stdout)) if row["kind"].startswith("speed")]
    assert found and {(row["low"], row["high"]) for row in found} == {("", "")}


def test_parts_of_a_model_are_joined_and_the_dominated_is_named(tmp_path):
    digests = {name: sm3(name.encode()) for name in ("good", "slow", "weak")}
    right = answers(11, 300, 0.8, 0.6, 0.75)
    for name, score in zip(digests, right):
        write_evaluation(tmp_path / "eval" / name, name, digests[name], {"t": choices(score, score)})
    rates = {"good": speeds(100), "slow": speeds(80), "weak": speeds(200)}
    run = write_run(tmp_path / "run", {name: (digest, "BF16") for name, digest in digests.items()}, rates)
    got = compare(run, *(tmp_path / "eval" / name for name in digests))
    assert [m["label"] for m in got["models"]] == list(digests) and all(m["has_speeds"] and m["has_scores"] for m in got["models"])
    front, = got["fronts"]
    assert [(p["dominated_by"], p["surely"]) for p in front["points"]] == [([], False), ([0, 2], True), ([], False)]
    named = compare("A=" + str(tmp_path / "eval/good"), "B=" + ",".join([str(tmp_path / "eval/weak")]), run)
    assert [m["label"] for m in named["models"]] == ["A", "B", "good", "slow", "weak"]


def write_quality(folder, name, right, likely, scores=None):
    """A bundle of `zhiheng eval`: a table of scores, and samples that have what a table has no column for."""
    digest = sm3(name.encode())
    samples = choices(right, likely)
    texts = [{"doc": {"t": k}, "metrics": ["bits_per_byte"], "bits_per_byte": [-float(k + 20 * len(name)), 100], "resps": [["-1"]]}
             for k in range(40)]
    write_evaluation(folder / "quality/tasks", name, digest, {"t": samples, "texts": texts})
    lines = [json.loads(line) for line in next((folder / "quality/tasks").glob("samples_t_*")).read_text().splitlines()]
    (folder / "scores").mkdir()
    table(folder / "scores/m.csv", {"t": [(f"{line['doc_id']}-{line['doc_hash'][:16]}", "", line["acc"], f"p{line['doc_id']}") for line in lines]},
          [f"model: {name}", f"model_sm3: {digest}"])
    results, = (folder / "quality/tasks").glob("results_*")
    facts = {"folder": "quality/tasks", "results": str(results.relative_to(folder)), "scores": scores or "scores/m.csv",
             "tasks": [{"task": "t", "metric": "acc"}], "figures": [{"name": "t", "metric": "acc", "higher_is_better": True}]}
    return write_run(folder, {name: (digest, "BF16")}, {}, quality=[(name, facts)])


def test_bundles_with_answers(tmp_path):
    right = answers(31, 150, 0.7, 0.6)
    likely = numpy.random.default_rng(2).normal(-2, 1, (2, 150))
    paths = [write_quality(tmp_path / name, name, right[k], likely[k]) for k, name in enumerate(("full", "quant"))]
    got = compare(*paths, "--damage", "full=quant")
    assert [(t["task"], t["metric"], t["texts"]) for t in got["tasks"]] == [("t", "acc", False), ("texts", "bits_per_byte", True)]
    assert pair(got, "t")["difference"] == pytest.approx(right[0].mean() - right[1].mean(), abs=1e-12)
    task = got["damage"]["pairs"][0]["tasks"][0]
    assert task["likelihood"]["difference"] == pytest.approx((likely[1] - likely[0]).mean(), rel=1e-9)
    # All texts are worse by as many nats a byte: no error follows.
    assert kinds(pair(got, "texts")) == ["zero_variance"] and pair(got, "texts")["verdict"] == "insufficient"
    outside = write_quality(tmp_path / "outside", "outside", right[0], likely[0], "../full/scores/m.csv")
    assert "no file of the bundle" in call(paths[0], outside, status=2).stderr


# --- many ---

def test_fifty_models(tmp_path):
    scores = answers(12, 200, *numpy.linspace(0.4, 0.8, 50))
    paths = [table(tmp_path / f"m{k:02}.csv", {"a": rows(s)}) for k, s in enumerate(scores)]
    got = compare(*paths)
    assert len(got["pairs"]) == got["family"]["tests"] == 1225
    ranks = [cell["ranks"] for cell in got["tasks"][0]["of"]]
    assert all(1 <= low <= high <= 50 and of == 50 for low, high, of in ranks)
    order = numpy.argsort([-cell["score"] for cell in got["tasks"][0]["of"]], kind="stable")
    assert ranks[order[0]][0] == 1 and ranks[order[-1]][1] == 50
    page = tmp_path / "page.html"
    call(*paths, "--html", page, "--lang", "en")
    assert page.stat().st_size < 1_000_000
    assert "two to 50" in call("--html", page, paths[0], status=2).stderr
    assert "more than 50 models" in call(*paths, "again=" + str(paths[0]), status=2).stderr


# --- pages ---

@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """Three models, of which two lack something: their page is kept as a file."""
    folder = tmp_path_factory.mktemp("example")
    digests = {name: sm3(name.encode()) for name in ("模型<甲>", "m|2", "slow")}
    right, likely = answers(21, 120, 0.75, 0.6), numpy.random.default_rng(3).normal(-2, 1, (2, 120))
    write_run(folder / "run", {"模型<甲>": (digests["模型<甲>"], "BF16"), "slow": (digests["slow"], "Q4_0")},
              {"模型<甲>": speeds(100), "slow": speeds(60)})
    for k, name in enumerate(("模型<甲>", "m|2")):
        write_evaluation(folder / f"eval{k}", name, digests[name], {"t": choices(right[k], likely[k])})
    return folder


def shortened(text):
    """Numbers to ten digits: compilers differ in the last ones."""
    return re.sub(r"-?\d+\.\d{9,}(e-?\d+)?", lambda number: f"{float(number[0]):.10g}", text)


WORDS = ["run", "eval0", "eval1", "--damage", "模型<甲>=m|2"]


@pytest.mark.parametrize("file, words", [("compare.json", ["--json"]), ("compare.zh.md", ["--markdown", "--lang", "zh"]),
                                         ("compare.en.md", ["--markdown", "--lang", "en"]), ("compare.csv", ["--csv", "--lang", "en"]),
                                         ("compare.en.txt", ["--lang", "en"])])
def test_the_example_reads_as_agreed(example, file, words):
    got = call(*WORDS, *words, cwd=example).stdout
    kept = ROOT / "tests/golden/compare" / file
    if os.environ.get("ZH_REGENERATE"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(got, encoding="utf-8")
    assert shortened(got) == shortened(kept.read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_stands_alone(example, tmp_path, language):
    page = tmp_path / "page.html"
    call(*WORDS, "--html", page, "--lang", language, cwd=example)
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and not re.search(r"(src|href)=", text) and "url(http" not in text
    assert "模型&lt;甲&gt;" in text and "<甲>" not in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        root = xml.etree.ElementTree.fromstring(svg)
        numbers = [float(v) for e in root.iter() for k, v in e.attrib.items() if k in ("x", "y", "cx", "cy", "x1", "x2", "y1", "y2")]
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        assert numbers and min(numbers) >= -1 and max(numbers) <= max(width, height) + 1
    assert len(re.findall("<svg", text)) == 1 and f'lang="{"zh-CN" if language == "zh" else "en"}"' in text
    again = tmp_path / "again.html"
    call(*WORDS, "--html", again, "--lang", language, cwd=example)
    assert again.read_bytes() == page.read_bytes()


def test_csv_has_every_figure(example):
    got = compare(*(example / word if word in ("run", "eval0", "eval1") else word for word in WORDS))
    table_rows = list(csv.DictReader(io.StringIO(call(*WORDS, "--csv", cwd=example).stdout)))
    tested = [row for row in table_rows if row["kind"] == "pair" and row["p"]]
    assert [float(row["p"]) for row in tested] == [p["p"] for p in got["pairs"] if "p" in p]
    rates = [row for row in table_rows if row["kind"] == "speed" and row["value"]]
    assert sorted(float(row["value"]) for row in rates) == sorted(s["value"] for e in got["speeds"] for s in e["of"] if s)
