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


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    out = tmp_path_factory.mktemp("schemas") / "null"
    result = zhiheng("run", "null", "--out", out)
    assert result.returncode == 0, result.stderr
    return out


def test_every_file_of_a_bundle_obeys_its_schema(bundle):
    seen = set()
    for pattern, schema in BUNDLE.items():
        for path in sorted(bundle.glob(pattern)):
            seen.add(path)
            for line, document in enumerate(documents(path), 1):
                assert complaints(schema, document) == [], f"{path.relative_to(bundle)}:{line}"
    left = {path for path in bundle.rglob("*.json*") if path.is_file()} - seen
    assert not left, f"files without a schema: {left}"
    for required in ("run.json", "audit.json", "environment/machine.json", "measurements.jsonl"):
        assert bundle / required in seen


def test_an_evaluation_obeys_its_schema(bundle, tmp_path):
    out = tmp_path / "evaluation.json"
    result = zhiheng("evaluate", bundle, "--policy", "songjiang-2025-draft", "--out", out)
    assert result.returncode in (0, 1), result.stderr
    assert complaints("evaluation", json.loads(out.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("spoil", [
    lambda run: run.pop("plan_sm3"),
    lambda run: run.update(ranks="one"),
    lambda run: run.update(valid=None),
])
def test_a_spoiled_run_is_caught(bundle, spoil):
    run = json.loads((bundle / "run.json").read_text(encoding="utf-8"))
    spoil(run)
    assert complaints("run", run) != []
