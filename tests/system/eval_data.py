"""Sets that no package carries: their tasks on rows of the published shapes, made here; and what is said of the terms of data."""
import csv
import json
import os
import pathlib
import re
import subprocess

import pytest
import yaml

SOURCE = pathlib.Path(os.environ["ZH_SOURCE_DIR"])
ZHIHENG = os.path.join(os.environ["ZH_BINARY_DIR"], "bin", "zhiheng")
MODEL = SOURCE / "models/SmolLM2-135M-Instruct.Q4_1.gguf"
TASKS = SOURCE / "bench/quality/tasks"


def run(*words, **environment):
    return subprocess.run([ZHIHENG, *map(str, words)], capture_output=True, text=True, timeout=300, env={**os.environ, **environment}, check=False)


def subjects(group):
    return [member["dataset_name"] for member in yaml.safe_load((TASKS / f"{group}.yaml").read_text(encoding="utf-8"))["task"]]


def write_csv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """C-Eval: val/SUBJECT_val.csv, dev with explanations. CMMLU: SUBJECT.csv with a first column that has no name. Our own rows."""
    folder = tmp_path_factory.mktemp("data")
    for number, subject in enumerate(subjects("ceval")):
        row = [f"{subject} 的第 {number} 题，______。", "甲", "乙", "丙，含逗号", "丁 1.50", "ABCD"[number % 4]]
        write_csv(folder / f"ceval/ceval-exam/val/{subject}_val.csv", ["id", "question", "A", "B", "C", "D", "answer"],
                  [[i, *row[:1], *row[1:]] for i in range(2)])
        write_csv(folder / f"ceval/ceval-exam/dev/{subject}_dev.csv", ["id", "question", "A", "B", "C", "D", "answer", "explanation"],
                  [[i, f"例 {i}", "一", "二", "三", "四", "B", "1. 因为\n2. 所以"] for i in range(5)])
    for subject in subjects("cmmlu"):
        for split, count in (("test", 3), ("dev", 5)):
            write_csv(folder / f"haonan-li/cmmlu/{split}/{subject}.csv", ["", "Question", "A", "B", "C", "D", "Answer"],
                      [[i, f"{split}{subject}{i}？", "甲", "乙", "丙", "丁", "C"] for i in range(count)])
    sums = [{"question": f"Tom has {n} apples and gets {n}. How many has he?", "answer": f"He has {n}+{n} = <<{n}+{n}={2 * n}>>{2 * n}.\n#### {2 * n}"}
            for n in range(3, 10)]
    (folder / "openai/gsm8k").mkdir(parents=True)
    for split in ("train", "test"):
        (folder / f"openai/gsm8k/{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sums))
    return folder


def test_sets_of_many_subjects_are_read(data):
    done = run("data", "check", "--tasks", "ceval,cmmlu,gsm8k", "--data", data, "--json")
    reports = {report["task"]: report for report in json.loads(done.stdout)["tasks"]}
    assert len(reports) == 52 + 67 + 1, done.stderr
    assert reports["ceval_law"]["items"] == 2 and reports["cmmlu_world_religions"]["items"] == 3
    assert {f["check"] for f in reports["ceval_law"]["findings"]} == {"duplicate"}  # both rows are alike, as made


def test_an_answer_scores_by_its_number(data, tmp_path):
    answers = ["It is 6.\n#### 6", "So the answer is $8.", "10"]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps({"doc_id": i, "answer": a}) + "\n" for i, a in enumerate(answers)))
    done = run("data", "score", "--tasks", "gsm8k", "--data", data, "--answers", tmp_path / "answers.jsonl", "--limit", "3", "--json")
    got = json.loads(done.stdout)["results"]["gsm8k"]
    assert got["exact_match,strict"] == pytest.approx(1 / 3) and got["exact_match,flexible"] == pytest.approx(1)


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """Two subjects: a group whose members include a file by its path."""
    folder = tmp_path_factory.mktemp("tasks")
    members = "".join(f"  - {{include: {TASKS}/_ceval.yaml, task: own_{s}, dataset_name: {s}, num_fewshot: 1}}\n" for s in ("law", "logic"))
    (folder / "own.yaml").write_text(f"group: own\naggregate_metric_list:\n  - {{metric: acc, weight_by_size: false}}\ntask:\n{members}")
    return folder


def test_a_licence_that_forbids_commerce_brings_its_warning(data, group, tmp_path):
    out = tmp_path / "out"
    done = run("eval", MODEL, "--tasks", "own", "--include", group, "--data", data, "--out", out, LC_ALL="C.UTF-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("data: C-Eval; licence: CC-BY-NC-SA-4.0; source: https://github.com/hkust-nlp/ceval. Note: ") == 1
    assert done.stdout.count("forbids commercial use") == 1
    shown = run("show", out, LC_ALL="zh_CN.UTF-8").stdout
    assert shown.count("数据：C-Eval；许可：CC-BY-NC-SA-4.0；来源：https://github.com/hkust-nlp/ceval") == 1 and shown.count("禁止商业使用") == 1
    run_json = json.loads((out / "run.json").read_text(encoding="utf-8"))
    (sources,) = [s["facts"]["quality"]["sources"] for s in run_json["steps"] if "quality" in s.get("facts", {})]
    assert len(sources) == 1 and "CC-BY-NC-SA-4.0" in sources[0]["zh"] and "forbids commercial use" in sources[0]["en"]
    results = json.loads(next(out.rglob("results_*")).read_text(encoding="utf-8"))
    for task in ("own_law", "own_logic"):
        terms = results["datasets"][task]
        assert terms["licence"] == "CC-BY-NC-SA-4.0" and terms["use"] == "non_commercial" and set(terms["warning"]) == {"zh", "en"}
        assert terms["file"] is None
    assert results["group_subtasks"]["own"] == ["own_law", "own_logic"] and "acc,none" in results["groups"]["own"]
    sample = json.loads(next(out.rglob("samples_own_law_*")).read_text(encoding="utf-8").splitlines()[0])
    prompt = sample["arguments"]["gen_args_0"]["arg_0"]
    assert prompt.startswith("例 0\nA. 一\nB. 二\nC. 三\nD. 四\n答案：B\n\n") and prompt.endswith("D. 丁 1.50\n答案：")


def terms_of(tmp_path, beside, dataset="json"):
    (tmp_path / "items").mkdir(exist_ok=True)
    (tmp_path / "items/rows.jsonl").write_text('{"q": "a", "a": "b"}\n')
    (tmp_path / "items/SOURCE.json").unlink(missing_ok=True)
    if beside is not None:
        (tmp_path / "items/SOURCE.json").write_text(json.dumps(beside))
    (tmp_path / "one.yaml").write_text(f"""task: one
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path}/items/rows.jsonl}}}}
output_type: generate_until
test_split: test
doc_to_text: q
doc_to_target: a
""")
    (tmp_path / "answers.jsonl").write_text('{"doc_id": 0, "answer": "b"}\n')
    done = run("data", "score", "--tasks", tmp_path / "one.yaml", "--answers", tmp_path / "answers.jsonl", "--json")
    return json.loads(done.stdout)["datasets"]["one"] if done.returncode == 0 else done


def test_what_stands_beside_the_items_is_believed(tmp_path):
    none = terms_of(tmp_path, None)
    assert none["use"] == "unknown" and none["licence"] is None and "not known" in none["warning"]["en"]
    stated = terms_of(tmp_path, {"licence": "CC-BY-4.0", "source": "https://example.org/items", "title": "Own items"})
    assert (stated["title"], stated["licence"], stated["use"], stated["warning"]) == ("Own items", "CC-BY-4.0", "open", None)
    assert stated["file"].endswith("items/SOURCE.json")
    assert terms_of(tmp_path, {"licence": "CC-BY-NC-4.0", "source": "x"})["use"] == "non_commercial"
    assert terms_of(tmp_path, {"source": "x"})["use"] == "unstated"
    for wrong, words in (({"licence": "MIT"}, "source"), ({"licence": 3, "source": "x"}, "licence"), ({"source": "x", "use": "any"}, "non_commercial")):
        done = terms_of(tmp_path, wrong)
        assert done.returncode == 2 and words in done.stderr


def test_the_list_of_data_sets_is_whole():
    known = yaml.safe_load((SOURCE / "bench/quality/datasets.yaml").read_text(encoding="utf-8"))
    names = [name for of in known["datasets"] for name in of["names"]]
    assert len(names) == len(set(names))
    for of in known["datasets"]:
        assert of["use"] in known["uses"] and of["title"] and of["source"], of
        assert (of["licence"] is None) == (of["use"] == "unstated"), of
        assert ("-NC" in (of["licence"] or "")) == (of["use"] == "non_commercial"), of
    for use, what in known["uses"].items():
        assert use == "open" or (what["warning"]["en"] and re.search("[一-龥]", what["warning"]["zh"]))
    used = {yaml.safe_load(re.sub(r"!function ", "", path.read_text(encoding="utf-8"))).get("dataset_path") for path in TASKS.rglob("*.yaml")} - {None}
    fetched = {of["folder"] for of in yaml.safe_load((SOURCE / "bench/quality/packages.yaml").read_text(encoding="utf-8"))["sets"].values()}
    assert used <= set(names) | fetched, "a task of the product reads data whose terms are not known"
