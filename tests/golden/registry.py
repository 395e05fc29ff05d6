"""`zhiheng registry`: every row of the table as it stands, conflicts with their sources, faults by line."""
import collections
import csv
import json
import os
import subprocess
import xml.etree.ElementTree
from pathlib import Path

import pytest

ZHIHENG = os.path.join(os.environ["ZH_BINARY_DIR"], "bin", "zhiheng")
FILE = Path(os.environ["ZH_SOURCE_DIR"]) / "evaluator/registry/published-scores.csv"
SAME = ("model", "kind", "benchmark", "metric", "shots", "setting", "unit")


@pytest.fixture(scope="module")
def rows():
    with open(FILE, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def ask(*words, status=0):
    done = subprocess.run([ZHIHENG, "registry", *words, "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("words, wanted", [
    (["--benchmark", "C-Eval"], {"benchmark": "C-Eval"}), (["--model", "deepseek-v3"], {"model": "DeepSeek-V3"}),
    (["--benchmark", "mmlu", "--country", "cn", "--kind", "base"], {"benchmark": "MMLU", "country": "CN", "kind": "base"})])
def test_scores_are_those_of_the_table(rows, words, wanted):
    got = ask(*words)
    want = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert got["count"] == len(got["rows"]) == len(want) > 3
    key = lambda row: tuple(str(row[name]) for name in want[0] if name != "score") + (float(row["score"]),)
    assert sorted(map(key, got["rows"])) == sorted(map(key, want))
    for before, after in zip(got["rows"], got["rows"][1:]):
        if (before["benchmark"], before["unit"]) == (after["benchmark"], after["unit"]):
            assert before["score"] >= after["score"]


def test_conflicts_show_every_source(rows):
    groups = collections.defaultdict(list)
    for row in rows:
        if row["benchmark"] == "MMLU":
            groups[tuple(row[key] for key in SAME)].append(row)
    want = {key: group for key, group in groups.items() if len({float(row["score"]) for row in group}) > 1}
    got = ask("--benchmark", "MMLU")["conflicts"]
    assert len(got) == len(want) > 0
    for conflict in got:
        group = want[tuple(conflict["rows"][0][key] for key in SAME)]
        assert [conflict["low"], conflict["high"]] == [f(float(row["score"]) for row in group) for f in (min, max)]
        assert sorted(row["source_repo"] for row in conflict["rows"]) == sorted(row["source_repo"] for row in group)


def test_names(rows):
    assert {entry["name"]: entry["rows"] for entry in ask("benchmarks")} == collections.Counter(row["benchmark"] for row in rows)
    cn = collections.Counter(row["model"] for row in rows if row["country"] == "CN")
    assert {entry["name"]: entry["rows"] for entry in ask("models", "--country", "CN")} == cn


def test_the_registry_has_no_faults(rows):
    got = ask("check")
    assert (got["rows"], got["faults"]) == (len(rows), [])


@pytest.mark.parametrize("change, said", [
    ({"score": "101"}, "no number from 0 to 100"), ({"score": "nan"}, "no number"), ({"unit": "furlong"}, "unknown unit"),
    ({"kind": "chatty"}, "unknown kind"), ({"release": "2025-13"}, None), ({"release": "May 2025"}, "is no date"),
    ({"country": "China"}, "two letters"), ({"source_repo": ""}, "source_repo is empty"), ("twice", "the same as line 2")])
def test_faults_are_named_by_line(rows, tmp_path, change, said):
    row = dict(rows[0], **(change if change != "twice" else {}))
    path = tmp_path / "scores.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows([rows[0], row] if change == "twice" else [row])
    got = ask("check", "--file", path, status=1 if said else 0)
    assert [said in fault["fault"] for fault in got["faults"]] == ([True] if said else [])
    assert not said or got["faults"][0]["line"] == (3 if change == "twice" else 2)


def test_unknown_names_get_the_nearest():
    done = subprocess.run([ZHIHENG, "registry", "--benchmark", "CEval"], capture_output=True, text=True)
    assert done.returncode == 2 and "did you mean 'C-Eval'?" in done.stderr


def test_people_see_bars_and_sources():
    done = subprocess.run([ZHIHENG, "registry", "--benchmark", "CMMLU", "--plot"], capture_output=True, text=True, check=True,
                          env={**os.environ, "LC_ALL": "zh_CN.UTF-8"})
    assert done.stdout.startswith("CMMLU\n") and "█" in done.stdout and "来源不一致：" in done.stdout


def test_what_is_no_number_is_shown_so(rows, tmp_path):
    path, mine = tmp_path / "scores.csv", []
    for score, note in (("nan", "a"), ("0x1p3", "b"), ("50", "c")):
        mine.append(dict(rows[0], model="A", score=score, note=note, metric="EM", shots="3"))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(mine)
    done = subprocess.run([ZHIHENG, "registry", "--file", path, "--model", "A"], capture_output=True, text=True, check=True,
                          env={**os.environ, "LC_ALL": "C"})
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["50.00", "nan", "nan"] and "0.00" not in done.stdout.replace("50.00", "")
    assert "EM, 3 shots" in done.stdout.split("Sources disagree:")[1]


@pytest.mark.parametrize("language, said", [("C", "No score has all of these."), ("zh_CN.UTF-8", "没有符合条件的成绩。")])
def test_a_question_without_rows_says_so(language, said):
    done = subprocess.run([ZHIHENG, "registry", "--benchmark", "C-Eval", "--model", "Qwen2.5-72B", "--kind", "multimodal"], capture_output=True,
                          text=True, check=True, env={**os.environ, "LC_ALL": language})
    assert done.stdout.strip() == said


SVG = "{http://www.w3.org/2000/svg}"


def draw(path, *words):
    done = subprocess.run([ZHIHENG, "registry", *words, "--svg", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    root = xml.etree.ElementTree.parse(path).getroot()
    dots = [(float(dot.get("cx")), float(dot.get("cy")), dot.get("class"), dot.find(SVG + "title").text) for dot in root.iter(SVG + "circle")]
    return root, dots, [text.text for text in root.iter(SVG + "text") if text.text]


def test_a_drawing_has_every_dated_figure_and_the_source_of_what_disagrees(rows, tmp_path):
    root, dots, texts = draw(tmp_path / "c.svg", "--benchmark", "C-Eval", "--lang", "en")
    mine = [row for row in rows if row["benchmark"] == "C-Eval"]
    dated = [row for row in mine if row["release"]]
    assert {row["unit"] for row in mine} == {"%"} and len(dots) == len(dated)
    assert f"{len(mine) - len(dated)} figures without a date of release are not drawn." in texts
    width, height = map(float, root.get("viewBox").split()[2:])
    assert all(0 <= x <= width and 0 <= y <= height for x, y, _, _ in dots)
    # Higher is higher, later is further right.
    score = {f"{row['model']}, C-Eval: {float(row['score']):g} %": row for row in dated}
    placed = [(x, y, score[title.split(" (")[0]]) for x, y, _, title in dots]
    for (x1, y1, a), (x2, y2, b) in zip(placed, placed[1:]):
        assert (y1 < y2) == (float(a["score"]) > float(b["score"])) or abs(y1 - y2) < 0.02
        assert (x1 < x2) == (a["release"] < b["release"]) or abs(x1 - x2) < 3
    groups = collections.defaultdict(list)
    for row in dated:
        groups[tuple(row[key] for key in SAME)].append(row)
    disagree = [row for group in groups.values() if len({float(row["score"]) for row in group}) > 1 for row in group]
    assert sum(kind == "other" for _, _, kind, _ in dots) >= len({(r["model"], r["score"]) for r in disagree}) > 0
    for row in disagree:
        assert any(row["source_repo"] in text and row["model"] in text for text in texts)


def test_drawings_by_model_and_of_one_model(rows, tmp_path):
    _, dots, texts = draw(tmp_path / "m.svg", "--benchmark", "CMMLU", "--by", "model", "--lang", "zh")
    assert len(dots) == sum(row["benchmark"] == "CMMLU" for row in rows) and "来源不一致的成绩：" in texts
    _, dots, texts = draw(tmp_path / "o.svg", "--model", "Qwen2.5-72B")
    of_model = [row for row in rows if row["model"] == "Qwen2.5-72B" and row["unit"] == "%"]
    assert len(dots) == len(of_model) and {row["benchmark"] for row in of_model} <= set(texts)


@pytest.mark.parametrize("words, said", [
    (["check", "--svg", "x.svg"], "--svg draws scores"), (["--benchmark", "MMLU", "--svg", "x.svg", "--by", "weight"], "expected time or model")])
def test_drawings_that_cannot_be(tmp_path, words, said):
    done = subprocess.run([ZHIHENG, "registry", *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and not (tmp_path / "x.svg").exists()
