"""Templates against PyPI's jinja2: the same text, or a failure on both sides; what is refused by name is counted."""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import chat_templates
import jinja_environment
import task_templates
import template_random

TOOL = Path(os.environ.get("ZH_BINARY_DIR", "build")) / "tests/template_tool"
NOW = 1_700_000_000
# The last: where all is constant, jinja2 answers slices of numbers with nothing instead of a failure.
REFUSED = re.compile("this version|64 bits|cannot be printed|makes a list of it|at most|has no slices")
# What Python prints of its own objects, and what it finds wrong with them, is not part of the language.
PYTHON_ONLY = re.compile(r"unhashable type|<\w+ object|<function|<built-in")


def ours(cases, style):
    lines = [json.dumps({"template": template, "variables": variables, "style": style, "now": NOW}) for _, template, variables in cases]
    done = subprocess.run([TOOL], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False,
                          env={**os.environ, "TZ": "UTC"})
    answers = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert done.returncode == 0 and len(answers) == len(cases), f"ended with {done.returncode} after {len(answers)} templates: {done.stderr}"
    return answers


def compare(cases, environment, style):
    """Counts of same, failed, refused; the differences as sentences."""
    counts, differences = {"same": 0, "failed": 0, "refused": 0}, []
    for (name, template, variables), answer in zip(cases, ours(cases, style)):
        text, why = jinja_environment.render(environment, template, variables)
        error = answer.get("error")
        if error is None and text == answer["text"]:
            counts["same"] += 1
        elif error is not None and why is not None:
            counts["failed"] += 1
        elif error is not None and REFUSED.search(error):
            counts["refused"] += 1
        elif not PYTHON_ONLY.search(why or text or ""):
            differences.append(f"{name}: {template!r}\n  ours   {answer}\n  jinja2 {text!r} {why}")
    return counts, differences


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    import time
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_chat_templates_in_the_manner_of_every_family():
    cases = list(chat_templates.cases())
    counts, differences = compare(cases, jinja_environment.chat(NOW), "chat")
    print(counts)
    assert differences == [] and counts["refused"] == 0
    assert counts["same"] > 1200
    rendered = {name.split("/")[0] for (name, _, _), answer in zip(cases, ours(cases, "chat")) if "text" in answer}
    assert rendered == set(chat_templates.TEMPLATES)


def test_templates_of_task_files():
    counts, differences = compare(list(task_templates.cases()), jinja_environment.tasks(), "tasks")
    print(counts)
    assert differences == [] and counts["refused"] == 0 and counts["same"] >= 30


@pytest.mark.parametrize("style, first, count", [("chat", 0, 1500), ("tasks", 1_000_000, 500)])
def test_random_templates(style, first, count):
    """Constants are not folded, as folding changes which mistakes are found. ZH_TEMPLATES=N: N times as many."""
    count *= int(os.environ.get("ZH_TEMPLATES", "1"))
    cases = [(f"seed {seed}", template_random.Maker(seed).template(), template_random.VARIABLES) for seed in range(first, first + count)]
    environment = jinja_environment.chat(NOW, False) if style == "chat" else jinja_environment.tasks(False)
    counts, differences = compare(cases, environment, style)
    print(counts)
    assert differences == []
    assert counts["same"] > 0.4 * count and counts["refused"] < 0.1 * count
