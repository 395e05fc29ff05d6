"""Applicants with results computed by hand, evaluated by the program: tests/golden/<policy>/cases.yaml.

Every case starts from the file's `applicant`; `with` lays its keys over it (null takes one away). Short forms: a fact, a
cost, a document, a decision or an exclusion that is a plain value gets a paper of its own; {unproven: value} gets none.
What `expect` names is an amount or a condition by its clause's id, `valid`, or `sum`; see xuhui-2023/cases.yaml.

Run by ctest (evaluator.policies). Mutations of the policy files: policy_mutations.py, which uses this.
"""
import copy
import functools
import json
import os
import pathlib
import subprocess

import jsonschema
import pytest
import yaml

SOURCE = pathlib.Path(os.environ.get("ZH_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("ZH_BINARY_DIR", SOURCE / "build"))
ZHIHENG = BUILD / "bin" / "zhiheng"
POLICIES = SOURCE / "evaluator/policies"
FILES = sorted((SOURCE / "tests/golden").glob("*/cases.yaml"))


@functools.cache
def load(path):
    """YAML as text: dates and numbers stay as they are written. Read once: nobody may change what comes back."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=Plain)


class Plain(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Booleans, null and whole numbers are read; everything else stays text."""


def is_read(tag, first):
    kind = tag.removeprefix("tag:yaml.org,2002:")
    return kind in ("null", "int") or kind == "bool" and first not in "yYnNoO"


Plain.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if is_read(tag, first)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}


# --- an applicant's file from the short forms ---

def as_map(section):
    """A list of ids is a map of ids, each as good as can be."""
    return {name: True for name in section} if isinstance(section, list) else dict(section or {})


def overlay(base, changes):
    """`changes` over `base`, one level deep; null takes away."""
    merged = copy.deepcopy(base)
    for key, value in (changes or {}).items():
        if value is None:
            merged.pop(key, None)
        elif key in ("claims", "received") or not isinstance(value, (dict, list)):
            merged[key] = value
        elif isinstance(merged.get(key), (dict, list)) or isinstance(value, dict):
            section = as_map(merged.get(key))
            section.update(as_map(value))
            merged[key] = {name: entry for name, entry in section.items() if entry is not None}
        else:
            merged[key] = value
    return merged


def paper(section, name):
    return {"file": f"papers/{section}-{name}.txt"}


def with_paper(section, name, value, key):
    """A plain value with a paper; {unproven: value} without; a map as it is, with a paper where it names none."""
    if isinstance(value, dict) and set(value) == {"unproven"}:
        return {key: value["unproven"]}
    if not isinstance(value, dict):
        value = {key: value}
    return value if "file" in value else {**value, **paper(section, name)}


def cost(name, value):
    lines = value if isinstance(value, list) else [value]
    lines = [with_paper("cost", f"{name}-{i}", line, "amount") for i, line in enumerate(lines)]
    return lines if isinstance(value, list) else lines[0]


def expand(applicant):
    """The file as docs/adding-a-policy.md describes it."""
    full = dict(applicant)
    full["facts"] = {n: with_paper("fact", n, v, "value") for n, v in as_map(applicant.get("facts")).items()}
    full["documents"] = {n: v if isinstance(v, dict) else paper("document", n)
                         for n, v in as_map(applicant.get("documents")).items()}
    full["decisions"] = {n: with_paper("decision", n, v, "granted")
                         for n, v in as_map(applicant.get("decisions")).items()}
    full["exclusions"] = {n: with_paper("exclusion", n, v, "applies")
                          for n, v in as_map(applicant.get("exclusions")).items()}
    full["costs"] = {n: cost(n, v) for n, v in as_map(applicant.get("costs")).items()}
    return {key: value for key, value in full.items() if value not in ({}, None)}


def papers_of(node):
    if isinstance(node, dict):
        if "file" in node:
            yield node["file"]
        for value in node.values():
            yield from papers_of(value)
    if isinstance(node, list):
        for value in node:
            yield from papers_of(value)


Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def write_applicant(folder, applicant):
    folder.mkdir(parents=True, exist_ok=True)
    for name in set(papers_of(applicant)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name + "\n", encoding="utf-8")
    path = folder / "applicant.yaml"
    path.write_text(yaml.dump(applicant, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=1000),
                    encoding="utf-8")
    return path


def is_amount(value):
    return isinstance(value, str) and value.endswith("元")


# --- what the program says ---

def run(policy, applicant, folder, bundle=None):
    path = write_applicant(folder, expand(applicant))
    out = folder / "evaluation.json"
    words = [ZHIHENG, "evaluate", *([bundle] if bundle else []), "--policy", policy, "--applicant", path, "--out", out]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        return done
    return json.loads(out.read_text(encoding="utf-8"))


def entry(document, name):
    """The amount, the condition, or the time of validity."""
    for grant in document["grants"]:
        if grant["id"] == name:
            return grant
    if name == "valid":
        return next(finding for finding in document["findings"] if finding["id"] == "validity")
    return next(clause for clause in document["clauses"] if clause["id"] == name)


def shown(found, wanted):
    """Those members of `found` that `wanted` speaks of, in its form."""
    result = {}
    if "verdict" in wanted:
        result["verdict"] = found["verdict"]
    if "up_to" in wanted:
        result["up_to"] = found["up_to_yuan"] or "-"
    if "range" in wanted:
        result["range"] = found["range"] and [found["range"]["low_yuan"], found["range"]["high_yuan"]]
    if "figures" in wanted:
        result["figures"] = {figure["id"]: f"{figure['op']} {figure['value']} {figure['unit']}" for figure in found["figures"]}
    if "if_all_hold" in wanted:
        result["if_all_hold"] = found["if_all_hold_yuan"] or "-"
    return result


def under(results, reading, choice, wanted):
    """What comes out under one choice of a reading, the same whatever the others are; else the list of what does."""
    rows = [shown(row, wanted) for row in results if row["choices"].get(reading) == choice]
    first = rows[0] if rows else None
    return first if all(row == first for row in rows) else rows


def differences(document, expect):
    """[(what, expected, found)] for all that is not as it was computed by hand."""
    wrong = []
    for name, wanted in expect.items():
        if name == "sum":
            found = document["combination"]["up_to_yuan"] or "-"
            if found != wanted:
                wrong.append((name, wanted, found))
            continue
        if name == "sum_under":
            for reading, choices in wanted.items():
                for choice, value in choices.items():
                    sums = {row["certain"]["up_to_yuan"] for row in document["combination"]["by_reading"]
                            if row["choices"].get(reading) == choice}
                    if sums != {value}:
                        wrong.append((name, {reading: {choice: value}}, sorted(sums)))
            continue
        found = entry(document, name)
        plain = {key: value for key, value in wanted.items() if key not in ("under", "chosen")}
        if shown(found, plain) != plain:
            wrong.append((name, plain, shown(found, plain)))
        if name == "valid":
            continue  # its readings show in the amounts
        for reading, choices in wanted.get("under", {}).items():
            for choice, value in choices.items():
                got = under(found["readings"], reading, choice, value)
                if got != value:
                    wrong.append((name, {reading: {choice: value}}, got))
    return wrong


def cases():
    for path in FILES:
        content = load(path)
        for case in content["cases"]:
            yield pytest.param(content["policy"], content["applicant"], case, id=f"{content['policy']}/{case['case']}")


def applicant_of(base, case):
    return overlay(overlay(base, {"claims": "all"}), case.get("with"))


SCHEMA = jsonschema.Draft202012Validator(
    json.loads((SOURCE / "docs/schemas/evaluation.schema.json").read_text(encoding="utf-8")))


APPLICANTS = jsonschema.Draft202012Validator(
    json.loads((SOURCE / "docs/schemas/applicant.schema.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("policy, base, case", cases())
def test_case(policy, base, case, tmp_path):
    bundle = None
    if "model" in case:
        from evaluations import audit, write_bundle
        counts = [int(count) for count in case["model"]]
        bundle = write_bundle(tmp_path / "bundle", [audit("golden.gguf", counts)])
    document = run(policy, applicant_of(base, case), tmp_path / "applicant", bundle)
    if isinstance(document, subprocess.CompletedProcess):
        assert "refused" in case["expect"], document.stderr
        assert case["expect"]["refused"] in document.stderr
        return
    SCHEMA.validate(document)
    APPLICANTS.validate(load(tmp_path / "applicant/applicant.yaml"))
    assert not differences(document, case["expect"])


def test_there_are_enough_cases():
    assert len(list(cases())) >= 80


def test_names_are_unique():
    for path in FILES:
        names = [case["case"] for case in load(path)["cases"]]
        assert len(names) == len(set(names)), path
