"""What an examination leaves: a bundle with lm-evaluation-harness's files, a table that `rank` reads, figures, facts; and that each
injected fault is caught."""
import csv
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from harness import SOURCE, ZHIHENG, check_whole
from harness import run as run_in

GOLDEN = SOURCE / "tests/golden/quality"
MODEL = SOURCE / "models/SmolLM2-135M-Instruct.Q4_1.gguf"
MODULE = pathlib.Path(os.environ["ZH_BINARY_DIR"]) / "lib/zhiheng/libzhiheng-mpi.so"
ENVIRONMENT = dict(os.environ, OMPI_MCA_rmaps_base_oversubscribe="1")

SUITE = f"""suite: probe
summary: {{zh: 试验, en: a probe}}
seed: 7
steps:
  - step: choices
    workload: quality
    parameters: {{tasks: [common_group], include: {GOLDEN}/tasks, protocol: PROTOCOL}}
    criteria:
      - {{metric: common_group.acc, at_least: 0 1}}
  - step: made
    workload: quality
    parameters: {{tasks: [made_sorting_zh, capitals], include: {GOLDEN}/tasks, limit: "6", protocol: PROTOCOL}}
"""

PROTOCOL = """protocol: probe
locked: 2026-11-22
claimant: MODEL
peers: [other]
tasks:
  - {task: capitals, modality: text, metric: acc_norm}
  - {task: made_sorting_zh, modality: text}
"""


def run(*words, timeout=120):
    return run_in(*words, timeout=timeout, cwd=SOURCE, env=ENVIRONMENT)


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def call(*words):
    return subprocess.run([ZHIHENG, *map(str, words)], capture_output=True, text=True, timeout=300, cwd=SOURCE, env=ENVIRONMENT, check=False)


def table_of(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    remarks = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    return remarks, list(csv.DictReader(line for line in lines if not line.startswith("#")))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quality")
    (folder / "protocol.yaml").write_text(PROTOCOL.replace("MODEL", MODEL.name))
    (folder / "probe.yaml").write_text(SUITE.replace("PROTOCOL", str(folder / "protocol.yaml")))
    done = run(folder / "probe.yaml", "--model", MODEL, "--out", folder / "out", timeout=400)
    assert done.returncode == 0, done.stderr
    return folder / "out", done.stdout


def test_every_file_of_the_contract_is_there(bundle):
    out, shown = bundle
    run_json, lines = check_whole(out)
    for step in ("choices", "made"):
        entry = next(s for s in run_json["steps"] if s["step"] == f"{step}@{MODEL.name}")
        facts = entry["facts"]["quality"]
        assert facts["folder"] == f"quality/{step}@{MODEL.name}" and facts["scores"] == f"scores/{MODEL.name}.csv"
        results = load(out / facts["results"])
        for figure in facts["figures"]:
            key = f"{figure['metric']},{figure['filter']}"
            assert results["results"][figure["name"]][key] == figure["value"]
            if figure["value"] is not None:
                name = f"{figure['name']}.{figure['metric']}" + ("" if figure["filter"] == "none" else f".{figure['filter']}")
                line = next(m for m in lines if m["step"] == entry["step"] and m["metric"] == name)
                assert line["value"] == figure["value"] and line["unit"] == "1"
                assert (line["ci95"] is None) == (figure["stderr"] is None) and figure["stderr"] != 0
                if figure["stderr"]:
                    assert line["ci95"][1] - line["value"] == pytest.approx(1.96 * figure["stderr"], rel=1e-3)
        for task in facts["tasks"]:
            samples = next((out / facts["folder"]).glob(f"samples_{task['task']}_2*.jsonl"))
            assert len(samples.read_text(encoding="utf-8").splitlines()) >= task["items"]
            assert figure_of(facts, task)["deciding"]
        rate = next(m for m in lines if m["step"] == entry["step"] and m["metric"] == "answer_rate")
        assert rate["value"] > 0 and rate["peak"]["name"] == "quality/prefill_limit"
    manifest = (out / "MANIFEST.sm3").read_text()
    assert f"scores/{MODEL.name}.csv" in manifest and "samples_capitals_" in manifest
    assert f"made@{MODEL.name}" in shown and "made_sorting_zh" in shown and "exact_match" in shown


def test_no_error_is_told_of_items_that_all_score_alike(tmp_path):
    """Neither in run.json nor in measurements.jsonl; results_*.json say what the harness says."""
    task = (GOLDEN / "tasks/capitals.yaml").read_text().split("metric_list")[0].replace("task: capitals", "task: alike")
    (tmp_path / "alike.yaml").write_text(task.replace("doc_to_choice: options", 'doc_to_choice: ["the", "xqzwv kjhgf xqzwv"]')
                                         .replace("doc_to_target: label", "doc_to_target: 1") + "metric_list: [{metric: acc}]\n")
    done = call("eval", MODEL, "--tasks", "alike", "--include", tmp_path, "--limit", 6, "--out", tmp_path / "out")
    assert done.returncode == 0 and "all items alike" in done.stdout, done.stderr
    step, = (s for s in load(tmp_path / "out/run.json")["steps"] if s["workload"] == "quality")
    figure, = step["facts"]["quality"]["figures"]
    assert figure["value"] in (0, 1) and (figure["stderr"], figure["alike"]) == (None, True)
    lines = [json.loads(line) for line in (tmp_path / "out/measurements.jsonl").read_text().splitlines()]
    line, = (line for line in lines if line["metric"] == "alike.acc")
    assert (line["value"], line["n"], line["ci95"]) == (figure["value"], 1, None)
    assert load(tmp_path / "out" / step["facts"]["quality"]["results"])["results"]["alike"]["acc_stderr,none"] == 0


def figure_of(facts, task):
    return next(f for f in facts["figures"] if (f["name"], f["metric"], f["filter"]) == (task["task"], task["metric"], task["filter"]))


def test_the_limit_stands_behind_the_examples_that_questions_share(tmp_path):
    """Tokens of the examples are what each ask has more than without them."""
    task = (GOLDEN / "tasks/capitals.yaml").read_text().split("metric_list")[0]
    (tmp_path / "same.yaml").write_text(task.replace("task: capitals", "task: same") + "fewshot_config: {sampler: first_n}\nmetric_list: [{metric: acc}]\n")

    def ask(shots):
        done = call("eval", MODEL, "--tasks", "same", "--include", tmp_path, "--num-fewshot", shots, "--out", tmp_path / str(shots))
        assert done.returncode == 0, done.stderr
        return next(s["facts"]["quality"] for s in load(tmp_path / str(shots) / "run.json")["steps"] if s["workload"] == "quality")

    bare, behind = ask(0), ask(4)
    asks = 4 * bare["tasks"][0]["items"]
    examples = (behind["tokens"]["asked"] - bare["tokens"]["asked"]) / asks
    assert bare["limit"]["behind"] < 8 and examples > 30
    own = 1 - examples / behind["tokens"]["needed"]  # the first question's examples are computed
    assert behind["limit"]["behind"] == pytest.approx(own * examples, rel=0.1)


def test_the_table_has_a_row_for_each_item_by_the_deciding_metric(bundle):
    out, _ = bundle
    remarks, rows = table_of(out / f"scores/{MODEL.name}.csv")
    run_json = load(out / "run.json")
    assert remarks["model"] == MODEL.name and remarks["model_sm3"] == run_json["models"][0]["sm3"]
    protocol = run_json["steps"][-1]["facts"]["quality"]["protocol"]
    assert remarks["protocol"] == protocol["sm3"]
    # A task that two steps ask has the step before it.
    names = {row["task"] for row in rows}
    assert {"choices/capitals", "made/capitals", "made_sorting_zh"} <= names and "capitals" not in names
    step = next(s for s in run_json["steps"] if s["step"].startswith("choices@"))
    facts = step["facts"]["quality"]
    for task in facts["tasks"]:
        named = f"choices/{task['task']}" if task["task"] == "capitals" else task["task"]
        mine = [row for row in rows if row["task"] == named]
        assert len(mine) == task["items"] == len({row["item"] for row in mine})
        assert sum(float(row["score"]) for row in mine) / len(mine) == pytest.approx(figure_of(facts, task)["value"])
        lines = [json.loads(line) for line in next((out / facts["folder"]).glob(f"samples_{task['task']}_2*")).read_text(encoding="utf-8").splitlines()]
        by_item = {f"{line['doc_id']}-{line['doc_hash'][:16]}": line for line in lines if line["filter"] == task["filter"]}
        for row in mine:
            line = by_item[row["item"]]
            assert float(row["score"]) == line[task["metric"]] and row["modality"] == "text" and len(row["prompt"]) == 64
    deciding = {task["task"]: task["metric"] for task in facts["tasks"]}
    assert deciding["capitals"] == "acc_norm"  # as the protocol says, though `acc` stands first


def test_rank_takes_bundles_and_finds_the_protocol(tmp_path):
    """Two bundles under one protocol: a model, and what its second quantisation made of it. The same model twice is refused."""
    other = tmp_path / "other.gguf"
    done = call("model", "convert", MODEL, other, "--type", "q4_0")
    assert done.returncode == 0, done.stderr
    text = PROTOCOL.replace("MODEL", MODEL.name).replace("[other]", "[other.gguf]").replace("- {task: made_sorting_zh, modality: text}", "")
    (tmp_path / "protocol.yaml").write_text(text)
    words = ["--tasks", "capitals", "--include", GOLDEN / "tasks", "--protocol", tmp_path / "protocol.yaml"]
    for model in (MODEL, other):
        done = call("eval", model, *words, "--out", tmp_path / f"of-{model.name}")
        assert done.returncode == 0, done.stderr
    bundles = [tmp_path / f"of-{MODEL.name}", tmp_path / "of-other.gguf"]
    result = call("rank", tmp_path / "protocol.yaml", *bundles, "--json")
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    tables = [table_of(bundle / "scores" / f"{bundle.name.removeprefix('of-')}.csv")[1] for bundle in bundles]
    means = [sum(float(row["score"]) for row in rows) / len(rows) for rows in tables]
    assert len(tables[0]) == len(tables[1]) == 12
    assert said["tasks"]["capitals"]["difference"] == pytest.approx(means[0] - means[1]), said
    # Under another protocol they are no match.
    (tmp_path / "later.yaml").write_text(text + "seed: 2\n")
    refused = json.loads(call("rank", tmp_path / "later.yaml", *bundles, "--json").stdout)
    assert refused["verdict"] == "证据不足" and "difference" not in json.dumps(refused)
    # A table that was touched is no longer what the bundle's manifest says.
    path = bundles[0] / f"scores/{MODEL.name}.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",text,0,", ",text,1,", 1), encoding="utf-8")
    touched = call("rank", tmp_path / "protocol.yaml", *bundles, "--json")
    assert touched.returncode == 1 and "scores/" in touched.stderr


@pytest.mark.parametrize("task", ["sums", "capitals"])
def test_a_chat_template_does_not_change_what_was_asked(tmp_path, task):
    """Each model has its own; the digest of a prompt is of what stands before it."""
    tables = []
    for name, words in (("bare", []), ("chat", ["--apply-chat-template"])):
        done = call("eval", MODEL, "--tasks", task, "--include", GOLDEN / "tasks", "--limit", "2", *words, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
        tables.append(table_of(tmp_path / name / f"scores/{MODEL.name}.csv")[1])
    samples = [json.loads(path.read_text(encoding="utf-8").splitlines()[0]) for path in tmp_path.rglob(f"samples_{task}_2*")]
    assert len({sample["prompt_hash"] for sample in samples}) == 2
    assert [(row["item"], row["prompt"]) for row in tables[0]] == [(row["item"], row["prompt"]) for row in tables[1]]


@pytest.mark.parametrize("fault", ["weight", "token", "activation", "clock"])
@pytest.mark.parametrize("tasks", ["capitals", "sums"], ids=["choices", "generated"])
def test_every_injected_fault_is_caught(tmp_path, fault, tasks):
    suite = tmp_path / "probe.yaml"
    suite.write_text(f"""suite: probe
summary: {{zh: 试验, en: a probe}}
steps:
  - step: asked
    workload: quality
    parameters: {{tasks: [{tasks}], include: {GOLDEN}/tasks, limit: "4"}}
""")
    done = run(suite, "--model", MODEL, "--out", tmp_path / "out", "--inject", f"fault={fault}", timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    run_json = load(tmp_path / "out/run.json")
    step = next(s for s in run_json["steps"] if s["workload"] == "quality")
    assert step["status"] == "failed" and not (tmp_path / "out/scores").exists()


TOGETHER = """suite: probe
summary: {zh: 试验, en: a probe}
steps:
  - step: asked
    workload: quality
    deadline: 200 s
    parameters: {tasks: [capitals, sums], include: %s/tasks, limit: "1", precision: unrounded, parallel: %s}
"""


def ask_together(folder, ranks, parallel):
    folder.mkdir()
    (folder / "probe.yaml").write_text(TOGETHER % (GOLDEN, parallel))
    done = run(folder / "probe.yaml", "--model", MODEL, "--ranks", str(ranks), "--threads", "1", "--out", folder / "out", timeout=300)
    lines = [json.loads(line) for path in sorted((folder / "out").rglob("samples_*")) for line in path.read_text(encoding="utf-8").splitlines()]
    return done, lines


@pytest.mark.skipif(shutil.which("mpirun") is None or not MODULE.exists(), reason="no mpirun or no MPI module here: one rank is all there is")
def test_ranks_that_hold_one_model_answer_as_one_does(tmp_path):
    """Three ranks with three of nine heads each: the same texts, decisions and scores; log-likelihoods as far apart as sums in another
    order are. Two ranks cannot share nine heads, and one sentence says so."""
    alone, one = ask_together(tmp_path / "alone", 1, "none")
    done, three = ask_together(tmp_path / "together", 3, "tensor")
    assert alone.returncode == done.returncode == 0, alone.stderr + done.stderr
    check_whole(tmp_path / "together/out")
    assert len(one) == len(three) > 0
    for a, b in zip(one, three):
        assert (a["doc_id"], a["filter"], a["prompt_hash"]) == (b["doc_id"], b["filter"], b["prompt_hash"])
        for (said,), (again,) in zip(a["resps"], b["resps"]):
            if isinstance(said, str):
                assert said == again
            else:
                assert said[1] == again[1] and float(said[0]) == pytest.approx(float(again[0]), rel=2e-5)
    tables = [(tmp_path / name / f"out/scores/{MODEL.name}.csv").read_text(encoding="utf-8") for name in ("alone", "together")]
    assert tables[0] == tables[1]
    refused, none = ask_together(tmp_path / "two", 2, "tensor")
    assert refused.returncode != 0 and none == []
    assert "9 query heads cannot be divided evenly among 2 ranks; take a number of ranks that divides them" in refused.stderr


def test_the_same_seed_asks_all_models_the_same(tmp_path):
    """A run's fresh seed is one for all of its models."""
    other = tmp_path / "other.gguf"
    other.symlink_to(MODEL)
    done = run("quality", "--model", MODEL, "--model", other, "--set", "tasks=[made_lookup_en]", "--set", "limit='2'", "--out", tmp_path / "out",
               timeout=300)
    assert done.returncode == 0, done.stderr
    tables = [table_of(tmp_path / f"out/scores/{name}.csv")[1] for name in (MODEL.name, "other.gguf")]
    assert [row["item"] for row in tables[0]] == [row["item"] for row in tables[1]]
    assert [row["prompt"] for row in tables[0]] == [row["prompt"] for row in tables[1]]
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "out/quality").rglob("samples_*")}
    assert len(digests) == 1


def test_a_protocol_must_name_a_task_that_is_asked(tmp_path):
    """By its name alone, too, as `rank` takes it; a task that is asked twice is asked once."""
    protocol = tmp_path / "protocol.yaml"
    words = ["--tasks", "capitals,capitals", "--include", GOLDEN / "tasks", "--limit", "2", "--protocol", protocol, "--out", tmp_path / "out"]
    protocol.write_text("protocol: p\nclaimant: a\npeers: [b]\ntasks: [words]\n")
    done = call("eval", MODEL, *words)
    assert done.returncode == 2 and "protocol.yaml:4" in done.stderr and "names none of the tasks" in done.stderr and "capitals" in done.stderr
    assert not (tmp_path / "out").exists()
    protocol.write_text("protocol: p\nclaimant: a\npeers: [b]\ntasks: [words, capitals]\n")
    done = call("eval", MODEL, *words)
    assert done.returncode == 0, done.stderr
    facts = load(tmp_path / "out/run.json")["steps"][-1]["facts"]["quality"]
    figures = [(f["name"], f["metric"], f["filter"]) for f in facts["figures"]]
    assert figures and len(figures) == len(set(figures))


def test_bad_parameters_are_refused_before_anything_runs(tmp_path):
    for setting, said in (("tasks=[made_zhh]", "made_zhh"), ("limit='x'", "limit x"), ("protocol=/nowhere.yaml", "nowhere.yaml"),
                          ("context=1000000", "holds at most")):
        done = run("quality", "--model", MODEL, "--out", tmp_path / "out", "--set", setting)
        assert done.returncode == 2 and said in done.stderr, done.stderr
        assert not list(tmp_path.iterdir())
