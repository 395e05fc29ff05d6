"""The applicant's file that `evaluate --example` writes, for every policy: it loads as it stands, and with every entry
switched on and its paper beside it; and what `evaluate` then says to people.

Run by ctest (evaluator.example).
"""
import json
import os
import re
import subprocess

import pytest

from policies import APPLICANTS, POLICIES, ZHIHENG, load, papers_of

NAMES = sorted(path.stem for path in POLICIES.glob("*.yaml"))
LANGUAGES = {"zh": "zh_CN.UTF-8", "en": "en_US.UTF-8"}


def zhiheng(*words, language="en"):
    environment = {**os.environ, "LC_ALL": LANGUAGES[language]}
    return subprocess.run([str(ZHIHENG), *map(str, words)], capture_output=True, text=True, timeout=60, env=environment)


def example(policy, language):
    done = zhiheng("evaluate", "--policy", policy, "--example", language=language)
    assert done.returncode == 0, done.stderr
    return done.stdout


def switched_on(text):
    return re.sub(r"^#(?!#)", "", text, flags=re.MULTILINE)


def write_with_papers(folder, text):
    path = folder / "applicant.yaml"
    path.write_text(text, encoding="utf-8")
    content = load(path)
    (folder / "papers").mkdir()
    for name in set(papers_of(content)):
        (folder / name).write_text(name + "\n", encoding="utf-8")
    return path, content


def evaluate(policy, path, language="en"):
    out = path.parent / "evaluation.json"
    done = zhiheng("evaluate", "--policy", policy, "--applicant", path, "--out", out, language=language)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(out.read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("policy", NAMES)
def test_as_it_stands_nothing_is_decided(policy, language, tmp_path):
    path = tmp_path / "applicant.yaml"
    path.write_text(example(policy, language), encoding="utf-8")
    APPLICANTS.validate(load(path))
    _, document = evaluate(policy, path)
    amounts = sum(clause["kind"] == "amount" for clause in document["clauses"])
    assert len(document["grants"]) == amounts
    assert {grant["verdict"] for grant in document["grants"]} == {"undetermined"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("policy", NAMES)
def test_switched_on_every_entry_is_known_to_the_policy(policy, language, tmp_path):
    path, content = write_with_papers(tmp_path, switched_on(example(policy, language)))
    APPLICANTS.validate(content)
    _, document = evaluate(policy, path)
    wanted = [line["text"]["en"] for grant in document["grants"] for line in grant["would_take"]]
    assert not [text for text in wanted if text.startswith(("Hand in", "Obtain", "State "))], wanted


@pytest.mark.parametrize("language", LANGUAGES)
def test_people_are_told_the_amount_the_questions_and_what_is_wanted(language, tmp_path):
    text = switched_on(example("xuhui-2023", language))
    text = text.replace("algorithm_r_and_d: {amount: 1000 万元", "algorithm_r_and_d: {amount: 200 万元")
    text = text.replace("papers/event_cost.pdf", "papers/compute_cost.pdf")  # one bill under 二.2 and 四.12
    path, _ = write_with_papers(tmp_path, re.sub(r"^  leading_evaluation:.*\n", "", text, flags=re.MULTILINE))
    shown, document = evaluate("xuhui-2023", path, language)
    assert document["policy"]["title"][language] == shown.splitlines()[0]
    for clause in document["clauses"]:
        assert clause["kind"] != "amount" or not clause["looked_at"] or clause["heading"][language] in shown
    asked = {reading["reading"] for reading in document["readings"] if reading["question"][language] in shown}
    # The example applies after the trial's two years, and has received money under 二.1 in an earlier year.
    assert asked == {"r_and_d_scope", "one_bill", "trial_end", "project_cap"}
    leading = next(grant for grant in document["grants"] if grant["id"] == "leading_project")
    assert leading["would_take"] and leading["would_take"][0]["text"][language] in shown
    # 30 % of 1000 万元, bought and recognised
    assert {"zh": "300 万元", "en": "3,000,000 yuan"}[language] in shown


@pytest.mark.parametrize("document", ["applicant.md", "applicant.zh.md"])
def test_the_file_in_the_documentation_is_one(document, tmp_path):
    text = (POLICIES.parents[1] / "docs" / document).read_text(encoding="utf-8")
    whole = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]
    path, content = write_with_papers(tmp_path, re.sub(r", sm3: [0-9a-f]{64}", "", whole))
    APPLICANTS.validate(content)
    _, evaluation = evaluate("songjiang-2025-draft", path)
    grants = {grant["id"]: grant for grant in evaluation["grants"]}
    assert set(grants) == {"development_support", "security_support"}
    assert grants["security_support"]["base"]["yuan"] == "400000.50"
    assert grants["development_support"]["base"]["yuan"] == "32800100.00"
