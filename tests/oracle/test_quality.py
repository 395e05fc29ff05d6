"""`zhiheng eval` against what lm-evaluation-harness 0.4.13 said of the same tasks, items and model (golden/quality)."""
import csv
import hashlib
import json
import math
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SOURCE = Path(os.environ["ZH_SOURCE_DIR"])
ZHIHENG = Path(os.environ["ZH_BINARY_DIR"]) / "bin/zhiheng"
MODEL = SOURCE / "models/SmolLM2-135M-Instruct.Q4_1.gguf"
GOLDEN = SOURCE / "tests/golden/quality"
TASKS = "common_group,cloze,pages,sums,words"
# Natural logarithms. Both compute in fp32, in other orders; a text's is a sum over its tokens.
BOUND = 1e-4  # of the larger of 1 and the log-likelihood


def run(out, *words, tasks=TASKS, check=True):
    done = subprocess.run([ZHIHENG, "eval", MODEL, "--tasks", tasks, "--include", GOLDEN / "tasks", "--out", out, *map(str, words)], cwd=SOURCE,
                          env=dict(os.environ, OMPI_MCA_rmaps_base_oversubscribe="1"), capture_output=True, text=True, timeout=580, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def folder_of(out):
    """Of the one step that asked."""
    return next((out / "quality").iterdir())


def rows_of(out):
    """{task: lines}"""
    return {path.name[len("samples_"):path.name.rindex("_")]: path.read_text(encoding="utf-8") for path in folder_of(out).glob("samples_*.jsonl")}


@pytest.fixture(scope="module")
def expected():
    return json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))["all"]


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    out = tmp_path_factory.mktemp("eval")
    run(out, "--precision", "unrounded")
    results = json.loads(next(folder_of(out).glob("results_*.json")).read_text(encoding="utf-8"))
    return results, {task: [json.loads(line) for line in text.splitlines()] for task, text in rows_of(out).items()}


def test_windows_of_a_long_text(tmp_path):
    """A model that holds 24 positions: disjoint windows, and the last has as much context as there is room."""
    wanted = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))["short"]
    run(tmp_path, "--precision", "unrounded", "--context", "24", tasks="pages")
    mine = [json.loads(line) for line in rows_of(tmp_path)["pages"].splitlines()]
    for a, b in zip(mine, wanted["samples"]["pages"], strict=True):
        assert abs(float(a["resps"][0][0]) - float(b["resps"][0][0])) <= BOUND * abs(float(b["resps"][0][0]))


def near(a, b, bound):
    return a == b or (isinstance(a, (int, float)) and isinstance(b, (int, float)) and abs(a - b) <= bound * max(1.0, abs(b)))


def test_every_item_is_asked_and_hashed_alike(ours, expected):
    assert set(ours[1]) == set(expected["samples"])
    for task, rows in expected["samples"].items():
        assert len(ours[1][task]) == len(rows)
        for mine, theirs in zip(ours[1][task], rows):
            for key in ("doc_id", "target", "filter", "doc_hash", "prompt_hash", "target_hash", "arguments"):
                assert mine[key] == theirs[key], f"{task}, item {theirs['doc_id']}: {key}"


def test_every_answer(ours, expected):
    worst = 0.0
    for task, rows in expected["samples"].items():
        for mine, theirs in zip(ours[1][task], rows):
            where = f"{task}, item {theirs['doc_id']}"
            for a, b in zip(mine["resps"], theirs["resps"], strict=True):
                a, b = a[0], b[0]
                if task in ("sums", "words"):
                    assert a == b, where
                    continue
                number, other = (float(a), float(b)) if isinstance(b, str) else (float(a[0]), float(b[0]))
                assert isinstance(b, str) or a[1] == b[1], f"{where}: greedy"
                worst = max(worst, abs(number - other) / max(1.0, abs(other)))
            assert set(mine["metrics"]) == set(theirs["metrics"]), where
            for name, value in theirs["scores"].items():
                mine_value = mine[name]
                if name in ("perplexity", "brier_score", "word_perplexity", "byte_perplexity", "bits_per_byte"):
                    continue  # held by their aggregates
                assert mine_value == value, f"{where}: {name}"
    print(f"largest difference of a log-likelihood: {worst:.2e}")
    assert worst <= BOUND


def test_every_figure_and_its_error(ours, expected):
    count = 0
    for task, figures in expected["results"].items():
        mine = ours[0]["results"][task]
        assert mine["alias"] == figures["alias"].strip(" -"), task
        assert mine.get("sample_count") == figures.get("sample_count")
        for key, value in figures.items():
            if "," not in key:
                continue
            bound = 1e-9 if key.split(",")[0].removesuffix("_stderr") in ("acc", "acc_norm", "acc_bytes", "exact_match", "mcc", "bleu", "chrf",
                                                                        "acc_mutual_info") else 1e-3
            assert near(mine[key], value, bound), f"{task}: {key} is {mine[key]}, not {value}"
            count += 1
    assert count > 30


def test_what_is_said_of_the_tasks(ours, expected):
    for key in ("task_hashes", "n-samples", "higher_is_better", "group_subtasks", "n-shot"):
        for task, value in expected[key].items():
            if key == "group_subtasks" and value == []:
                continue
            assert ours[0][key].get(task) == value, f"{key} of {task}"
    for group in expected["groups"]:
        assert group in ours[0]["groups"]


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    out = tmp_path_factory.mktemp("fast")
    run(out)
    return rows_of(out)


def test_samples_do_not_depend_on_what_stands_beside_them(fast, tmp_path):
    """The same bytes in batches of 1, of 3 and of 16, in another order, with other tasks."""
    run(tmp_path / "one", "--batch", "1")
    assert rows_of(tmp_path / "one") == fast
    run(tmp_path / "three", "--batch", "3", "--threads", "1", tasks="words,sums,pages,capitals,cloze")
    assert rows_of(tmp_path / "three") == {task: fast[task] for task in ("words", "sums", "pages", "capitals", "cloze")}


@pytest.mark.parametrize("ranks", [2, 3])
def test_samples_do_not_depend_on_the_number_of_ranks(fast, tmp_path, ranks):
    run(tmp_path / "out", "--ranks", ranks, "--threads", "1")
    assert rows_of(tmp_path / "out") == fast
    step = next(s for s in json.loads((tmp_path / "out/run.json").read_text())["steps"] if s["workload"] == "quality")
    assert len(step["ranks"]) == ranks


def test_an_interrupted_evaluation_goes_on(fast, tmp_path):
    out = tmp_path / "out"
    words = [ZHIHENG, "eval", MODEL, "--tasks", TASKS, "--include", GOLDEN / "tasks", "--out", out, "--batch", "1"]
    journal = tmp_path / "out.partial/work/001/answers-0.jsonl"
    process = subprocess.Popen(words, cwd=SOURCE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (journal.exists() and journal.read_bytes().count(b"\n") > 25):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert journal.exists() and not out.exists()
    with journal.open("ab") as file:
        file.write(b'{"task":0,"request":1,"bi')  # the last line was being written
    kept = journal.read_bytes().count(b"\n") - 1
    done = run(out, "--batch", "1", "--limit", "2", check=False)
    assert done.returncode == 2 and "another plan" in done.stderr and "limit" in done.stderr
    done = run(out, "--batch", "1", "--ranks", "3", "--json")
    assert rows_of(out) == fast and not journal.exists() and kept > 25
    tokens = json.loads(done.stdout)["tokens"]
    assert tokens["computed"] < tokens["asked"]


def test_made_items_are_the_seeds(tmp_path):
    def questions(name, *words):
        run(tmp_path / name, "--limit", "3", *words, tasks="made_sorting_zh,made_calendar_en")
        return {task: [json.loads(line)["doc"] for line in text.splitlines()] for task, text in rows_of(tmp_path / name).items()}
    first, again, other = questions("a", "--seed", "5"), questions("b", "--seed", "5"), questions("c", "--seed", "6")
    assert first == again and first != other
    assert [doc["level"] for doc in first["made_calendar_en"]] == [1, 2, 3]
    checked = subprocess.run([ZHIHENG, "data", "check", "--tasks", "made", "--seed", "5"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    for doc in first["made_sorting_zh"]:
        numbers = [int(word) for word in doc["question"].removeprefix("把这些数从小到大排列：").rstrip("。").split(", ")]
        assert [int(word) for word in doc["answer"].split(", ")] == sorted(numbers)


@pytest.mark.parametrize("text, said", [
    ("doc_to_text: '{{ missing }}'", "'missing' is undefined"),
    ("doc_to_text: '{{ country '", "doc_to_text: template line 1"),
    ("process_docs: !function utils.process_docs", "task.yaml:2:15: 'utils.process_docs' is a function in Python"),
    ("proces_docs: x", "did you mean 'process_docs'"),
    ("output_type: multiple_choise", "did you mean 'multiple_choice'"),
    ("metric_list: [{metric: pass_at_k}]", "the metric 'pass_at_k' is not known"),
    ("filter_list: [{name: x, filter: [{function: regexx}]}]", "did you mean 'regex'"),
    ("filter_list: [{name: x, filter: [{function: regex, regex_pattern: '('}]}]", "cannot be read"),
    ("dataset_path: gsm8k", "name a folder that has it with --data"),
    ("test_split: other", "names no files for the split 'other'"),
    ("include: nowhere.yaml", "there is no file"),
    ("include: task.yaml", "include each other"),
    ("generation_kwargs: {top_p: 2}\noutput_type: generate_until", "'top_p' must be a number"),
    ("doc_to_target: 9", None),
])
def test_mistakes_are_named(tmp_path, text, said):
    base = {"task": "t", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(GOLDEN / "data/capitals.jsonl")}}, "test_split": "test",
            "output_type": "multiple_choice", "doc_to_text": "{{country}}", "doc_to_choice": "options", "doc_to_target": "label"}
    given = {line.split(":")[0] for line in text.splitlines()}
    (tmp_path / "task.yaml").write_text("task: t\n" + text + "\n" + "".join(f"{k}: {json.dumps(v)}\n" for k, v in base.items() if k not in given | {"task"}))
    done = run(tmp_path / "out", "--limit", "2", tasks=str(tmp_path / "task.yaml"), check=False)
    if said is None:
        assert done.returncode == 0, done.stderr  # an answer outside the options scores nothing; `data check` tells
        checked = subprocess.run([ZHIHENG, "data", "check", "--tasks", tmp_path / "task.yaml", "--json"], capture_output=True, text=True, check=False)
        assert checked.returncode == 1
        assert [f["check"] for f in json.loads(checked.stdout)["tasks"][0]["findings"]][0] == "answer_outside"
    else:
        assert done.returncode == 2 and said in done.stderr, done.stderr


def test_data_check_finds_what_is_wrong(tmp_path):
    rows = [{"q": "one?", "o": ["a", "b"], "a": 0}, {"q": "one?", "o": ["a", "b"], "a": 0}, {"q": "one?", "o": ["a", "b"], "a": 1},
            {"q": "two?", "o": ["", "b"], "a": 1}, {"q": "three?", "o": ["b", "b"], "a": 1}, {"q": " ", "o": ["a", "b"], "a": 1},
            {"q": "four?", "o": ["a", "b"], "a": 2}]
    rows += [{"q": f"item {i}?", "o": ["a", "b"], "a": 0} for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "shots.jsonl").write_text(json.dumps(rows[7]) + "\n" + json.dumps(dict(rows[8], q="another?")) + "\n")
    (tmp_path / "t.yaml").write_text(f"""task: t
dataset_path: json
dataset_kwargs: {{data_files: {{test: rows.jsonl, dev: shots.jsonl}}}}
test_split: test
fewshot_split: dev
num_fewshot: 1
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: o
doc_to_target: a
""")
    done = subprocess.run([ZHIHENG, "data", "check", "--tasks", tmp_path / "t.yaml", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    found = {f["check"]: (f["items"], f["severity"]) for f in json.loads(done.stdout)["tasks"][0]["findings"]}
    assert found == {"duplicate": ([1], "warning"), "contradiction": ([2], "error"), "empty_option": ([3], "error"), "equal_options": ([4], "error"),
                     "empty_question": ([5], "error"), "answer_outside": ([6], "error"), "leaked_example": ([7], "error"), "label_skew": ([], "warning")}


LAYOUTS = ["accountant/val.csv", "val/accountant.csv", "val/accountant_val.csv", "accountant_val.tsv", "accountant/val.jsonl", "accountant/val.json"]


@pytest.mark.parametrize("place", LAYOUTS)
def test_data_sets_of_a_hub_from_a_folder(tmp_path, place):
    """C-Eval's shape. Quotes, commas and line ends within a field; a byte order mark; what was read is named with its digest."""
    header = ["id", "question", "A", "B", "C", "D", "answer", "explanation"]
    rows = [["0", '下列，"哪一项"\n正确？', "1,000", "025", "25.00", "－", "B", ""], ["1", "第二题", "甲", "乙", "丙", "丁", "D", "见 \"书\""]]
    path = tmp_path / "data/ceval/ceval-exam" / place
    path.parent.mkdir(parents=True)
    if place.endswith("json") or place.endswith("jsonl"):
        items = [dict(zip(header, row)) for row in rows]
        path.write_text(json.dumps(items) if place.endswith("json") else "".join(json.dumps(item) + "\n" for item in items))
    else:
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file, delimiter="\t" if place.endswith("tsv") else ",").writerows([header, *rows])
    (tmp_path / "ceval-valid_accountant.yaml").write_text("""task: ceval-valid_accountant
dataset_path: ceval/ceval-exam
dataset_name: accountant
validation_split: val
output_type: multiple_choice
doc_to_text: "{{question.strip()}}\\nA. {{A}}\\nB. {{B}}\\nC. {{C}}\\nD. {{D}}\\n答案："
doc_to_choice: "{{ [A, B, C, D] }}"
doc_to_target: "{{['A', 'B', 'C', 'D'].index(answer)}}"
""", encoding="utf-8")
    words = [ZHIHENG, "data", "check", "--tasks", "ceval-valid_accountant", "--include", tmp_path, "--json"]
    done = subprocess.run([*words, "--data", tmp_path / "data"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)["tasks"][0]
    assert report["items"] == 2 and report["findings"] == [] and report["labels"] == [0, 1, 0, 1]
    assert report["files"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "nothing is fetched here" in done.stdout


def test_no_error_is_shown_where_all_items_are_alike(tmp_path):
    shown = run(tmp_path / "out", "--limit", "2", "--seed", "3", tasks="made_calendar_zh").stdout
    assert "0.0000  all items alike: no error can be told" in shown and "±" not in shown
