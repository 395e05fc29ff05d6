"""Every file of a real bundle, and the evaluation of it, against its JSON schema in docs/schemas/."""
import json
import os
import subprocess
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(os.environ.get("ZH_SOURCE_DIR", Path(__file__).parents[2]))
ZHIHENG = Path(os.environ.get("ZH_BINARY_DIR", ROOT / "build")) / "bin" / "zhiheng"
SCHEMAS = ROOT / "docs" / "schemas"
# Bundle files by pattern, and the schema that each of them (or each of its lines) must obey.
BUNDLE = {
    "run.json": "run",
    "audit.json": "audit",
    "environment/machine.json": "environment",
    "measurements.jsonl": "measurement",
    "samples/*.json": "samples",
    "journal.jsonl": "journal",
}


def validator(name):
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def complaints(name, document):
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator(name).iter_errors(document)]


def documents(path):
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [json.loads(text)]


def zhiheng(*words):
    return subprocess.run([ZHIHENG, *map(str, words)], capture_output=True, text=True, timeout=300)


# As small as a run with peaks, a model and a closing drift can be.
SMALL = """\
suite: small
summary: {zh: 一步解码, en: one step of decoding}
seed: 7
models: [zh-0.1b]
peaks: [compute]
steps:
  - step: compute
    workload: compute
    deadline: 60 s
    repeats: 1
  - step: decode
    workload: decode
    deadline: 100 s
    repeats: 2
    parameters: {prompt: 4, tokens: 4, batch: 1}
"""


def run(folder, suite):
    out = folder / "bundle"
    result = zhiheng("run", suite, "--out", out)
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="module")
def null_bundle(tmp_path_factory):
    return run(tmp_path_factory.mktemp("null"), "null")


@pytest.fixture(scope="module")
def model_bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.yaml").write_text(SMALL, encoding="utf-8")
    return run(folder, folder / "small.yaml")


@pytest.mark.parametrize("which", ["null_bundle", "model_bundle"])
def test_every_file_of_a_bundle_obeys_its_schema(which, request):
    bundle = request.getfixturevalue(which)
    seen = set()
    for pattern, schema in BUNDLE.items():
        paths = sorted(bundle.glob(pattern))
        assert paths, f"the bundle holds no {pattern}"
        seen.update(paths)
        for path in paths:
            for line, document in enumerate(documents(path), 1):
                assert complaints(schema, document) == [], f"{path.relative_to(bundle)}:{line}"
    left = {path for path in bundle.rglob("*.json*") if path.is_file()} - seen
    assert not left, f"files without a schema: {left}"


def test_an_evaluation_obeys_its_schema(model_bundle, tmp_path):
    out = tmp_path / "evaluation.json"
    result = zhiheng("evaluate", model_bundle, "--policy", "songjiang-2025-draft", "--out", out)
    assert result.returncode in (0, 1), result.stderr
    assert complaints("evaluation", json.loads(out.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("file, spoil", [
    ("run", lambda run: run.pop("plan_sm3")),
    ("run", lambda run: run.update(ranks="one")),
    ("run", lambda run: run.update(valid=None)),
    ("run", lambda run: run["steps"][0].update(status="finished")),
    ("audit", lambda audit: audit["models"][0]["parameters"].update(unique="many")),
], ids=["no plan digest", "ranks in words", "neither valid nor not", "unknown status", "parameters in words"])
def test_a_spoiled_file_is_caught(model_bundle, file, spoil):
    document = json.loads((model_bundle / f"{file}.json").read_text(encoding="utf-8"))
    assert complaints(file, document) == []
    spoil(document)
    assert complaints(file, document) != []
